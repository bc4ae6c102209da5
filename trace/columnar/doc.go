// Package columnar encodes a page of traces, without the loss of a byte, in a third of what rows of OTLP
// take under zstd, and reads one trace of a page in the time that decompressing the rows takes, or less.
//
//	var e columnar.Encoder
//	page, err := e.Append(nil, keys, values)   // value: a TracesData, key: its trace ID
//
//	var p columnar.Page
//	err := p.Parse(page, nil)
//	i, found := p.Find(key)
//	value, err := p.Value(nil, i)
//
// # Idea
//
// A span is mostly what other spans of its page are: the same fields, keys and constants in the same order,
// which here are a shape, a path in a trie that the page defines once. What is left are the values of the
// fields. Each is coded by what is likely in its place: the value that the last span of the shape had, or
// the one that this attribute had before in the trace, one of those it has had in the page, or a new one,
// of a known pattern such as "user-" and a number that another attribute of the trace has shown. A parent
// is one of the spans of the trace that have the shape which parents of this shape have. A time is close to
// the one before it: the start of the parent, the end of the sibling or of the last child.
//
// Each such guess is a bit with a probability that learns, written by an arithmetic coder; random bits (IDs,
// the noise of times, UUIDs) go beside it as they are; texts that are seen for the first time go together
// through zstd. There are no tables of statistics to store, and nothing to choose: the page is one pass over
// its values, and code that writes it is the code that reads it (coder.go). FORMAT.md tells the bytes.
//
//	┌────────┬──────┬──────────────────┬───────────────────┬───────────────────┐
//	│ header │ keys │ guesses          │ random bits       │ new texts (zstd)  │
//	└────────┴──────┴──────────────────┴───────────────────┴───────────────────┘
//
// # Promises
//
// Any bytes are a value: what is not a TracesData in the form that protobuf libraries write is kept as it is,
// a field, the rest of a message, or the whole value. What is read is what was written. Bytes that are no
// page are an error that wraps [ErrCorrupt], or other values; pages have no checksum, their caller does.
// The memory that a page takes is bounded by its length and by [MaxContent].
//
// # Primers
//
// The model learns from the page's beginning on, and so a page of 64 KiB costs twice as much a span as one
// of 1 MiB. A [Primer] is what the model knows at the end of a page: with the first page of a block for the
// primer of all others, pages may be small, which makes lookups fast, and are denser than big ones. A page
// is read with the primer it was made with or not at all.
//
// Value reads a page from its beginning to the value asked for. Values that are asked for in their order are
// read once; going back begins anew.
//
// # Who calls it
//
// The owner of blocks, as the encoding of the pages whose values are traces. An [Encoder] and a [Page] are
// for one goroutine at a time and are worth keeping; a [Primer] is for all.
package columnar

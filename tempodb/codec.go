package tempodb

import "github.com/jaeger-tempo/tempo/tempodb/index"

// Key is what values are stored under.
type Key = [16]byte

// Entry is a value to append under a key.
type Entry struct {
	Key   Key
	Value []byte
}

// Codec says what values mean. One that is a page.Packer too packs the pages of blocks. Its methods are called concurrently and must not keep the slices they are given.
type Codec interface {
	// Merge appends to dst one value that holds what values, of which there is at least one, hold together; what several hold
	// in the same way it holds once. Merging a merged value again, or with one of its parts, must change nothing.
	Merge(dst []byte, values ...[]byte) ([]byte, error)
	// Index lists the rows of a value. A value that it refuses is refused by Append; one that it accepts, Merge and Summarize must
	// accept too.
	Index(value []byte, s index.Sink) error
	// Summarize appends a summary of a merged value: small, and all that some answers need.
	Summarize(dst, value []byte) ([]byte, error)
}

// RowCounter is a Codec that keeps rows as they are: the rows of a merged value are rows of the values, with the same columns and terms, and of those none
// is missing but for one that equals another. Then as many rows are the same rows, and when recent data becomes a block, its index is
// made from the one that it has in memory; of keys whose values had rows in common the rows are listed anew.
//
// Of a Codec that is none, the rows of all keys with several values are listed anew.
type RowCounter interface {
	// Rows returns how many rows Index would list of a merged value.
	Rows(value []byte) (int, error)
}

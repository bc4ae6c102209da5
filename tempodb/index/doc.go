// Package index finds rows by their terms and columns, and by rows the keys that own them.
//
// A codec lists each value of the database as rows (see Sink): a row has a start, a duration and terms,
// which are pairs of a field and a value; rows that share many terms share them as a group. A Query
// asks for the keys with a row on which a condition on terms holds and whose columns lie in ranges; the keys whose
// matching rows started last come first.
//
// There are two indexes that answer it in the same way. Memory grows row by row and serves the data that
// still is in the log. Write makes the search object of an immutable block from a Memory, and Object reads it page by
// page from wherever the block lies.
//
// A Memory may be searched by many goroutines while nobody adds to it. Everything else may be used concurrently.
// The format of the search object is in docs/format.md.
package index

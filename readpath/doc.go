// Package readpath answers questions about traces from a tenant's database: by ID, by search, and the lists that a user
// interface needs.
//
// It knows what a query means in terms of spans and translates it into terms of the index; the database finds keys, merges values and
// drops what is stored twice. A structured filter (package spanfilter) asks the index as far as that knows, and reads spans for the rest.
//
// Traces and spans come in a total order, and by pages if wanted: a token says where a page ended, and the next begins behind it. An answer is whole, or it is an error that says which part of the store could not be read.
package readpath

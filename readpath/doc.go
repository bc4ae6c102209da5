// Package readpath answers questions about traces from a tenant's database: by ID, by search, and the lists that a user
// interface needs.
//
// It knows what a query means in terms of spans and translates it into terms of the index; the database finds keys, merges values and
// drops what is stored twice. An answer is whole, or it is an error that says which part of the store could not be read.
package readpath

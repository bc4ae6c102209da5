// Package blocks reads the traces of a tenant from its blocks in an object store: what a daemon answers, from the store alone.
//
// # Idea
//
// A Set is the blocks of a tenant as one listing found them: the live ones answer, and what each of them has of a trace is merged. It
// is for questions asked once: nothing is kept in memory between two of them but the blocks' directories.
//
// # Promise
//
// An answer is whole, or it comes with a *tempodb.PartialError that names each block which could not be read. A block whose
// meta.json is damaged is such a block. Recent data, which is in the log of the daemon that has taken it, is not seen.
//
// A Set may be used concurrently.
package blocks

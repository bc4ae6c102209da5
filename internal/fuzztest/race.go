//go:build race

package fuzztest

// perByte is 2 under the race detector: there the compiler does not see through append(s, make([]byte, n)...), with which slices.Grow
// makes room, and the n bytes are allocated twice.
const perByte = 2

//go:build !race

package fuzztest

// perByte is how often a byte that a decoder allocates is counted.
const perByte = 1

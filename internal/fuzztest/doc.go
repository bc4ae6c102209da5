// Package fuzztest is how the fuzz tests of this module hold a decoder to the memory that its input justifies. Only tests import it.
//
//	f.Fuzz(func(t *testing.T, b []byte) {
//		var s Summary
//		var err error
//		fuzztest.Bounded(t, 64*len(b), func() { s, err = ParseSummary(b) })
//		...
//	})
//
// The bound is the decoder's promise, and its caller says it: so many bytes for each byte of input; for a form that may expand, such as a
// compressed page, what the input says it expands to, as far as that form can.
package fuzztest

// Package programs pins Jaeger v1.76.0: all-in-one, collector and query, the last of v1, and the program jaeger, which is Jaeger v2. The Makefile
// builds them into bin/jaeger-v1.76/; the tests that use them are in e2e/jaegers.
//
// Its go.sum holds all of Jaeger's own, for some of the checksums cannot be looked up.
package programs

// Package columnar encodes a page of traces in less than half of what compressed rows take, without loss
// of a byte.
package columnar

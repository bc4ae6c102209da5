//go:build !race

package remote

// slower is how much slower all is than without the race detector.
const slower = 1

//go:build race

package remote

// slower is how much slower all is under the race detector.
const slower = 3

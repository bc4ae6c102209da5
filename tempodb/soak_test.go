package tempodb

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// number returns what the environment says of name.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// SOAK_SEED repeats a history as far as no goroutines of its own are in it, SOAK_STEPS makes it longer.
func TestHistoriesAgreeWithAModel(t *testing.T) {
	steps := number(t, "SOAK_STEPS", 1500)
	seed := number(t, "SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_SEED=%d SOAK_STEPS=%d", seed, steps)
	var tally tally
	if err := runTrial(t.Context(), t.TempDir(), seed, int(steps), &tally); err != nil {
		t.Error(err)
	}
	t.Log(&tally)
}

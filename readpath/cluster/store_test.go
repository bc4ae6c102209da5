package cluster

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is acknowledged is on two of three replicas, in whatever mixture of recent data and blocks, one of which is out of order at any time.
func TestAnswersAreThoseOfANaiveModelWhateverOneReplicaDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kept := rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Hour}).Draw(rt, "kept")
		c := newCluster(t.TempDir(), kept)
		s, err := c.open(Options{BatchBytes: rapid.SampledFrom([]int{0, 1, 1000}).Draw(rt, "batch bytes")})
		if err != nil {
			rt.Fatal(err)
		}
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }
		bad := -1
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			r := c.replicas[pick(3)]
			switch what := rapid.SampledFrom([]string{"write", "write", "write", "write", "upload", "upload", "drop", "compact", "fail", "ask"}).Draw(rt, "step"); what {
			case "write":
				var spans []span
				for range 1 + pick(5) {
					spans = append(spans, c.drawSpan(pick))
				}
				c.write(pick(6), spans...)
			case "upload":
				if err := c.upload(t.Context(), r, func() bool { return pick(4) > 0 }); err != nil {
					rt.Fatal(err)
				}
			case "drop":
				r.drop()
			case "compact":
				if err := c.compact(t.Context()); err != nil {
					rt.Fatal(err)
				}
			case "fail":
				if bad >= 0 {
					c.replicas[bad].fault = sound
				}
				bad = pick(3)
				c.replicas[bad].fault = rapid.SampledFrom([]fault{sound, dead, silent, incomplete, torn}).Draw(rt, "fault")
				rt.Logf("%s is %v", c.replicas[bad].address, c.replicas[bad].fault)
			case "ask":
				if err := naive(c.spans).check(t.Context(), s, pick); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if err := naive(c.spans).check(t.Context(), s, pick); err != nil {
			rt.Fatal(err)
		}
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

package cluster

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
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
					c.replicas[bad].turn(sound)
				}
				bad = pick(3)
				f := rapid.SampledFrom([]fault{sound, dead, silent, incomplete, torn}).Draw(rt, "fault")
				c.replicas[bad].turn(f)
				rt.Logf("%s is %v", c.replicas[bad].address, f)
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

// A trace counts whole, also what of it lies outside of the time that is asked for, wherever that is.
func TestEachSummaryIsWholeThoughATimeIsAskedFor(t *testing.T) {
	early := span{trace: 1, id: 1, service: "a", name: "op", start: 10}
	late := span{trace: 1, id: 2, parent: 1, service: "b", name: "op", start: 90}
	always := func() bool { return true }
	for name, c := range map[string]struct{ inBlocks, recent span }{"early in blocks": {early, late}, "late in blocks": {late, early}} {
		for _, starts := range []index.Range{{Min: 50, Max: 100}, {Min: 0, Max: 50}, index.Everything, {Min: 20, Max: 80}} {
			w := newCluster(t.TempDir(), 0)
			s := mustOpen(t, w, Options{})
			w.write(-1, c.inBlocks)
			for _, r := range w.replicas {
				if err := w.upload(t.Context(), r, always); err != nil {
					t.Fatal(err)
				}
				r.drop()
			}
			w.write(1, c.recent)
			want, err := naive(w.spans).summaries(starts)
			if err != nil {
				t.Fatal(err)
			}
			db, err := s.Database(t.Context(), tenant)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[tempodb.Key]string)
			err = db.EachSummary(t.Context(), starts, func(key tempodb.Key, summary []byte) error {
				got[key] = string(summary)
				return nil
			})
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%s, asked for %v: %d summaries, %v, want %d", name, starts, len(got), err, len(want))
			}
		}
	}
}

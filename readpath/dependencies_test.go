package readpath_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
)

// drawCalls draws a trace: most often a server's span below the client's that called it.
func drawCalls(t *rapid.T, id byte) (spans []span) {
	for len(spans) == 0 || len(spans) < 12 && rapid.IntRange(0, 7).Draw(t, "more") > 0 {
		s := span{
			trace: id, id: byte(len(spans) + 1), service: fmt.Sprint("s", rapid.IntRange(0, 3).Draw(t, "service")), kind: trace.KindServer,
			name: "op", start: int64(rapid.IntRange(1, 100).Draw(t, "start")), duration: int64(rapid.IntRange(0, 9).Draw(t, "duration")),
		}
		if len(spans) > 0 {
			parent := spans[rapid.IntRange(0, len(spans)-1).Draw(t, "parent")]
			if s.parent = parent.id; parent.kind != trace.KindClient {
				s.kind, s.service = trace.KindClient, parent.service
			}
			switch rapid.IntRange(0, 19).Draw(t, "odd") {
			case 0:
				s.parent = 200 // which nobody sends
			case 1:
				s.parent = 0
			case 2:
				s.kind = trace.KindInternal
			}
		}
		spans = append(spans, s)
	}
	return spans
}

// countCalls is what Dependencies means, span by span.
func countCalls(spans []span, from, to int64) (all []readpath.Dependency) {
	within := map[byte]bool{}
	of := map[[2]byte]string{}
	for _, s := range spans {
		within[s.trace] = within[s.trace] || from <= s.start && s.start <= to
		of[[2]byte{s.trace, s.id}] = s.service
	}
	calls := map[readpath.Dependency]uint64{}
	for _, s := range spans {
		if parent, sent := of[[2]byte{s.trace, s.parent}]; sent && within[s.trace] && s.parent != 0 && parent != s.service {
			calls[readpath.Dependency{Parent: parent, Child: s.service}]++
		}
	}
	for d, n := range calls {
		d.Calls = n
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b readpath.Dependency) int {
		return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Child, b.Child))
	})
	return all
}

// Traces lie in one block or in several, spans in as many: each trace counts once and whole.
func TestDependenciesAreThoseOfANaiveCountHoweverTracesAreSpreadOverBlocks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "store")
		if err != nil {
			rt.Fatal(err)
		}
		bucket, err := local.New(filepath.Join(dir, "blocks"))
		if err != nil {
			rt.Fatal(err)
		}
		store, err := tracedb.Open(t.Context(), tracedb.Options{Dir: filepath.Join(dir, "recent"), Bucket: bucket, Sync: wal.SyncNever, NoCompaction: true})
		if err != nil {
			rt.Fatal(err)
		}
		w := writepath.NewWriter(store)
		var spans []span
		for id := range rapid.IntRange(1, 8).Draw(rt, "traces") {
			spans = append(spans, drawCalls(rt, byte(id+1))...)
		}
		// What is sent, span by span or trace by trace, with repetitions, and after which of it a block is cut.
		sent := slices.Clone(spans)
		for range rapid.IntRange(0, len(spans)).Draw(rt, "repeated") {
			sent = append(sent, rapid.SampledFrom(spans).Draw(rt, "again"))
		}
		if rapid.Bool().Draw(rt, "replica") {
			sent = append(sent, spans...)
		}
		sent = rapid.Permutation(sent).Draw(rt, "order")
		if rapid.Bool().Draw(rt, "by trace") {
			slices.SortStableFunc(sent, func(a, b span) int { return cmp.Compare(a.trace, b.trace) })
		}
		ask := func(when string) {
			for range 3 {
				from, to := int64(0), int64(1000)
				if rapid.Bool().Draw(rt, "a part of the time") {
					from, to = int64(rapid.IntRange(0, 100).Draw(rt, "from")), int64(rapid.IntRange(0, 110).Draw(rt, "to"))
				}
				got, err := readpath.NewReader(store).Dependencies(t.Context(), tenant, time.Unix(0, from), time.Unix(0, to))
				if want := countCalls(spans, from, to); err != nil || !slices.Equal(got, want) {
					rt.Fatalf("%s, from %d to %d: got %v, %v, want %v", when, from, to, got, err, want)
				}
			}
			got, err := readpath.NewReader(store).Dependencies(t.Context(), tenant, time.Time{}, time.Time{})
			if want := countCalls(spans, 0, 1000); err != nil || !slices.Equal(got, want) {
				rt.Fatalf("%s, all time: got %v, %v, want %v", when, got, err, want)
			}
		}
		for len(sent) > 0 {
			n := rapid.IntRange(1, len(sent)).Draw(rt, "written at once")
			write(t, w, sent[:n]...)
			if sent = sent[n:]; rapid.Bool().Draw(rt, "cut") {
				if err := store.Cut(t.Context()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		ask("some of it recent")
		if err := store.Cut(t.Context()); err != nil {
			rt.Fatal(err)
		}
		ask("in blocks")
		ask("asked again")
		store.Each(func(_ string, db *tempodb.DB) {
			if err := db.Compact(t.Context()); err != nil {
				rt.Fatal(err)
			}
		})
		ask("compacted")
		if err := store.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

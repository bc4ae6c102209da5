package tempodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// joiningCodec is a noteCodec whose summaries are the lines, sorted. They tell what they are together unless several are different and one has a secret.
type joiningCodec struct{ noteCodec }

func (joiningCodec) Summarize(dst, value []byte) ([]byte, error) {
	return append(dst, strings.Join(lines(value), "\n")...), nil
}

func (joiningCodec) JoinSummaries(dst []byte, summaries ...[]byte) ([]byte, bool, error) {
	var all []string
	for _, s := range summaries {
		if bytes.Contains(s, []byte("secret")) && !bytes.Equal(s, summaries[0]) {
			return dst, false, nil
		}
		all = append(all, strings.Split(string(s), "\n")...)
	}
	slices.Sort(all)
	return append(dst, strings.Join(slices.Compact(all), "\n")...), true, nil
}

func TestSummariesOfSeveralBlocksAreJoinedAndReadValuesOnceAtMost(t *testing.T) {
	dir := t.TempDir()
	bucket, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		t.Fatal(err)
	}
	counted := instrument.Count(bucket, instrument.CountOptions{Kind: path.Base})
	db := open(t, dir, func(o *Options) { o.Bucket, o.Codec = counted, joiningCodec{} })
	defer db.Close()
	write := func(entries ...Entry) {
		t.Helper()
		if err := db.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	told, same, secret, alone := key(1), key(2), key(3), key(4)
	write(Entry{told, note(1, 1, "a=1")}, Entry{same, note(2, 1, "hidden=secret")}, Entry{secret, note(3, 1, "a=3")}, Entry{alone, note(4, 1)})
	write(Entry{told, note(10, 1, "b=1")}, Entry{same, note(2, 1, "hidden=secret")}, Entry{secret, note(30, 1, "b=secret")})
	want := map[Key]string{
		told: "1 1 a=1\n10 1 b=1", same: "2 1 hidden=secret", secret: "3 1 a=3\n30 1 b=secret", alone: "4 1",
	}
	reads := func(what string, ask func(ctx context.Context) error) (data int64) {
		t.Helper()
		before := counted.Counts()
		if err := ask(t.Context()); err != nil {
			t.Fatal(what, err)
		}
		for k, tally := range counted.Counts().Since(before) {
			if k.Kind == "data" {
				data += tally.Requests
			}
		}
		return data
	}
	summary := func(k Key) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := db.Summary(ctx, []byte("before "), k)
			if err == nil && string(got) != "before "+want[k] {
				err = fmt.Errorf("summary %q, want %q", got, want[k])
			}
			return err
		}
	}
	each := func(ctx context.Context) error {
		seen := 0
		err := db.EachSummary(ctx, index.Everything, func(k Key, got []byte) error {
			if seen++; string(got) != want[k] {
				return fmt.Errorf("summary of %x: %q, want %q", k, got, want[k])
			}
			return nil
		})
		if err == nil && seen != len(want) {
			err = fmt.Errorf("%d summaries", seen)
		}
		return err
	}
	for _, k := range []Key{told, same, alone} {
		if n := reads("summary", summary(k)); n != 0 {
			t.Errorf("the summary of %x reads values %d times", k, n)
		}
	}
	if n := reads("all summaries", each); n != 2 {
		t.Errorf("all summaries read values %d times; want those of the one key that they don't tell", n)
	}
	for what, ask := range map[string]func(context.Context) error{"summary": summary(secret), "all summaries": each} {
		if n := reads(what, ask); n != 0 {
			t.Errorf("%s again: values are read %d times", what, n)
		}
	}
	// A block more changes nothing for keys that it does not have, and all for one that it has.
	write(Entry{key(5), note(5, 1)})
	want[key(5)] = "5 1"
	if n := reads("all summaries", each); n != 0 {
		t.Errorf("with another block: values are read %d times", n)
	}
	write(Entry{secret, note(31, 1)})
	want[secret] += "\n31 1"
	if n := reads("summary", summary(secret)); n != 3 {
		t.Errorf("with another piece: values are read %d times", n)
	}
	if n := reads("all summaries", each); n != 0 {
		t.Errorf("with another piece, again: values are read %d times", n)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads("all summaries, compacted", each)
}

func TestMadeSummariesTakeBoundedMemory(t *testing.T) {
	m := &madeSummaries{most: 2000}
	summary := bytes.Repeat([]byte{1}, 100)
	for i := range 1000 {
		m.put(Key{byte(i >> 8), byte(i)}, uint64(i), summary)
		if _, kept := m.get(nil, Key{}, 0); !kept { // asked again and again
			t.Fatalf("what is used is forgotten after %d", i)
		}
		if got, kept := m.get([]byte("x"), Key{byte(i >> 8), byte(i)}, uint64(i)); !kept || string(got) != "x"+string(summary) {
			t.Fatalf("what was just put is %q, %v", got, kept)
		}
		if n := len(m.young) + len(m.old); n > 2*2000/len(summary) {
			t.Fatalf("%d are kept", n)
		}
	}
	if _, kept := m.get(nil, Key{1: 1}, 1); kept {
		t.Error("the first is still kept")
	}
	if _, kept := m.get(nil, Key{}, 1); kept {
		t.Error("of other pieces")
	}
}

// A merge of parts yields every key that a part wants once, with all parts that have it, wherever it ends.
func TestAWalkYieldsWhatItsPartsHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type part struct {
			keys   []Key
			wanted map[Key]bool
			fails  bool
		}
		var parts []part
		want := map[Key]int{}
		wants := map[Key]bool{}
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			p := part{fails: rapid.IntRange(0, 5).Draw(t, "fails") == 0}
			if rapid.Bool().Draw(t, "some") {
				p.wanted = map[Key]bool{}
			}
			n := rapid.SampledFrom([]int{0, 1, 5, runKeys, 3*runKeys + 1}).Draw(t, "keys")
			step := rapid.IntRange(1, 3).Draw(t, "step")
			for i := range n {
				k := Key{0: byte(i * step >> 8), 1: byte(i * step)}
				p.keys = append(p.keys, k)
				if p.wanted != nil && rapid.IntRange(0, 3).Draw(t, "wanted") == 0 {
					p.wanted[k] = true
				}
				want[k]++
				wants[k] = wants[k] || p.wanted == nil || p.wanted[k]
			}
			parts = append(parts, p)
		}
		w := newWalk(context.Background())
		bad := errors.New("bad")
		failing := 0
		for i, p := range parts {
			w.add(p.wanted, true, func(_ context.Context, yield func(Key, []byte) bool) error {
				for _, k := range p.keys {
					if !yield(k, append([]byte{byte(i)}, k[:]...)) {
						return nil
					}
				}
				if p.fails {
					return bad
				}
				return nil
			})
			if p.fails {
				failing++
			}
		}
		enough := errors.New("enough")
		most := rapid.SampledFrom([]int{0, 1, runKeys, 1 << 20}).Draw(t, "most")
		got := 0
		var last *Key
		err := w.each(func(k Key, from []*cursor) error {
			if last != nil && compareKeys(*last, k) >= 0 {
				t.Fatalf("%x after %x", k, *last)
			}
			last = &k
			if len(from) != want[k] || !wants[k] {
				t.Fatalf("%x from %d parts, want %d; wanted: %v", k, len(from), want[k], wants[k])
			}
			for _, c := range from {
				if !bytes.Equal(c.summary[1:], k[:]) {
					t.Fatalf("the summary of %x is that of %x", k, c.summary[1:])
				}
			}
			if got++; got > most {
				return enough
			}
			return nil
		})
		w.stop()
		total := 0
		for _, wanted := range wants {
			if wanted {
				total++
			}
		}
		if most < total {
			if err != enough || got != most+1 {
				t.Fatalf("%d keys, then %v", got, err)
			}
			return
		}
		if err != nil || got != total || len(w.errs()) != failing {
			t.Fatalf("%d keys, want %d; %v; %d of %d failures told", got, total, err, len(w.errs()), failing)
		}
	})
}

func TestKeysWithoutRowsHaveSummariesOnlyAmongAll(t *testing.T) {
	db := open(t, t.TempDir())
	defer db.Close()
	if err := db.Append(t.Context(), []Entry{{key(1), note(10, 1)}, {key(2), nil}, {key(3), note(20, 1)}}); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"recent", "in a block", "compacted"} {
		for _, of := range []struct {
			starts index.Range
			want   []Key
		}{
			{index.Everything, []Key{key(1), key(2), key(3)}},
			{index.Range{Min: 0, Max: 100}, []Key{key(1), key(3)}},
			{index.Range{Min: 10, Max: 20}, []Key{key(1), key(3)}},
			{index.Range{Min: 11, Max: 20}, []Key{key(3)}},
			{index.Range{Min: 11, Max: 19}, nil},
			{index.Range{Min: 21, Max: 30}, nil},
		} {
			var got []Key
			err := db.EachSummary(t.Context(), of.starts, func(k Key, _ []byte) error { got = append(got, k); return nil })
			if err != nil || !slices.Equal(got, of.want) {
				t.Errorf("%s, %v: %x, %v, want %x", where, of.starts, got, err, of.want)
			}
		}
		if where == "in a block" {
			if err := db.Append(t.Context(), []Entry{{key(1), note(10, 1)}}); err != nil {
				t.Fatal(err)
			}
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

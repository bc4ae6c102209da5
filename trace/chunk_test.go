package trace

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
)

// walked lists what Walk shows of data.
func walked(data []byte) (all []modelSpan, err error) {
	err = Walk(data, func(resource, scope, span []byte) error {
		all = append(all, modelSpan{"", string(resource), string(scope), string(span)})
		return nil
	})
	return all, err
}

// checkChunks looks at the chunks of data, which is of len(spans) spans.
func checkChunks(t interface {
	Helper()
	Fatalf(string, ...any)
}, data []byte, limit int, spans []modelSpan) {
	t.Helper()
	var got []modelSpan
	err := EachChunk(data, limit, func(c *Chunk) error {
		b := c.Append(nil)
		inside, err := walked(b)
		if err != nil || len(inside) == 0 || len(b) > c.Size() {
			t.Fatalf("a chunk of %d spans and %d bytes, of at most %d: %v", len(inside), len(b), c.Size(), err)
		}
		size := 0
		for _, s := range inside {
			size += sizeField(len(s.span))
		}
		if shells := len(b) - size; len(inside) > 1 && len(b) > limit && size > (c.Size()-size)/4 {
			t.Fatalf("%d spans of %d bytes, %d bytes besides, in a chunk for at most %d", len(inside), size, shells, limit)
		}
		if (c.Whole() != nil) != (len(data) <= limit) {
			t.Fatalf("%d of %d bytes are the whole: %v", len(b), len(data), c.Whole() != nil)
		}
		got = append(got, inside...)
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(spans, got, cmp.AllowUnexported(modelSpan{})); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestChunksHoldEverySpanOnceAndInItsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawData(t)
		want, err := walked(b)
		if err != nil {
			t.Fatal(err)
		}
		checkChunks(t, b, rapid.IntRange(0, len(b)+1).Draw(t, "limit"), want)
	})
}

func TestAnErrorEndsChunksAndIsReturned(t *testing.T) {
	data := marshal(shopBatch(newRand(1), 3, 4))
	bad := errors.New("bad")
	calls := 0
	for _, limit := range []int{1, len(data)} {
		if err := EachChunk(data, limit, func(*Chunk) error { calls++; return bad }); err != bad { //nolint:errorlint // as it is
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	var wire *WireError
	if err := EachChunk(data[:len(data)-1], 10, func(*Chunk) error { return nil }); !errors.As(err, &wire) {
		t.Errorf("cut: %v", err)
	}
}

// A resource longer than the limit must not be repeated for every span.
func TestLongResourcesAreNotRepeatedForEachSpan(t *testing.T) {
	const spans, limit = 100, 1000
	resource := field(1, marshal(text("k", string(bytes.Repeat([]byte("x"), 10*limit)))))
	var scope []byte
	for range spans {
		scope = append(scope, field(2, marshal(goodSpan("good----")))...)
	}
	data := field(1, append(field(1, resource), field(2, scope)...))
	written := 0
	if err := EachChunk(data, limit, func(c *Chunk) error { written += len(c.Append(nil)); return nil }); err != nil {
		t.Fatal(err)
	}
	if written > 6*len(data) {
		t.Errorf("%d bytes became %d", len(data), written)
	}
}

func FuzzEachChunk(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		want, broken := walked(data)
		for _, limit := range []int{0, 100, len(data)} {
			if broken == nil {
				checkChunks(t, data, limit, want)
			}
			var err error
			// Chunks are not written here: each repeats its resource and scope.
			fuzztest.Bounded(t, 256*len(data), func() { err = EachChunk(data, limit, func(*Chunk) error { return nil }) })
			if (err != nil) != (broken != nil) {
				t.Fatalf("limit %d: %v, and Walk says %v", limit, err, broken)
			}
			if err != nil {
				mustPlace(t, data, err)
			}
		}
	})
}

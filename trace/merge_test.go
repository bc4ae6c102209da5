package trace

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"pgregory.net/rapid"
)

// rawSpans lists the spans of data told apart by their bytes and by those of resource and scope, as Merge
// tells them apart.
func rawSpans(data []byte) (spans []modelSpan) {
	for _, rs := range rawFields(data) {
		if rs.number != 1 {
			continue
		}
		resource, scopes := rawRest(rs.content)
		for _, ss := range scopes {
			scope, inner := rawRest(ss.content)
			for _, span := range inner {
				spans = append(spans, modelSpan{"", string(resource), string(scope), string(span.content)})
			}
		}
	}
	return spans
}

func merge(t *rapid.T, values ...[]byte) []byte {
	dst := []byte("before")
	merged, err := Merge(dst, values...)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(merged, dst) {
		t.Fatal("what stood in dst is gone")
	}
	return merged[len(dst):]
}

func TestMergeKeepsEveryDistinctSpanOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawData(t), drawData(t)
		if rapid.Bool().Draw(t, "shared") {
			b = append(b, a...)
		}
		if rapid.Bool().Draw(t, "unknown field") {
			b = append(b, drawUnknown(t)...)
		}
		merged := merge(t, a, b)
		want := distinct(rawSpans(append(bytes.Clone(a), b...)))
		if diff := cmp.Diff(want, sorted(rawSpans(merged)), cmp.AllowUnexported(modelSpan{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		// Each resource once, each scope once within it, none without spans.
		resources := map[string]bool{}
		for _, rs := range unmarshal(t, merged).ResourceSpans {
			if len(rs.ScopeSpans) == 0 {
				t.Fatal("resource without spans")
			}
			for _, ss := range rs.ScopeSpans {
				if len(ss.Spans) == 0 {
					t.Fatal("scope without spans")
				}
			}
		}
		for _, rs := range rawFields(merged) {
			resource, scopes := rawRest(rs.content)
			if resources[string(resource)] {
				t.Fatal("resource twice")
			}
			resources[string(resource)] = true
			inner := map[string]bool{}
			for _, ss := range scopes {
				scope, _ := rawRest(ss.content)
				if inner[string(scope)] {
					t.Fatal("scope twice")
				}
				inner[string(scope)] = true
			}
		}
	})
}

func TestMergingAMergeChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawData(t), drawData(t), drawData(t)
		ab := merge(t, a, b)
		if !bytes.Equal(merge(t, ab), ab) {
			t.Fatal("Merge(Merge(a, b)) != Merge(a, b)")
		}
		if !bytes.Equal(merge(t, ab, a, b), ab) {
			t.Fatal("merging what is there already changes the merge")
		}
		if !bytes.Equal(merge(t, ab, c), merge(t, a, b, c)) {
			t.Fatal("Merge(Merge(a, b), c) != Merge(a, b, c)")
		}
		if !bytes.Equal(merge(t, a, b), merge(t, append(bytes.Clone(a), b...))) && len(a)+len(b) != len(ab) {
			t.Fatal("a concatenation does not merge like its parts")
		}
	})
}

func TestTheSpansOfAMergeDoNotDependOnTheOrderOfValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := [][]byte{drawData(t), drawData(t), drawData(t)}
		one := merge(t, values...)
		other := merge(t, rapid.Permutation(values).Draw(t, "order")...)
		if diff := cmp.Diff(sorted(rawSpans(one)), sorted(rawSpans(other)), cmp.AllowUnexported(modelSpan{})); diff != "" {
			t.Fatal(diff)
		}
		if len(one) != len(other) {
			t.Fatalf("%d and %d bytes", len(one), len(other))
		}
	})
}

func TestMergeKeepsSpansThatShareAnIDButDiffer(t *testing.T) {
	a, b := goodSpan("same-id-"), goodSpan("same-id-")
	b.Kind = tracev1.Span_SPAN_KIND_SERVER
	merged, err := Merge(nil, requestOf(marshal(a), marshal(b), marshal(a)), requestOf(marshal(b)))
	if want := requestOf(marshal(a), marshal(b)); err != nil || !bytes.Equal(merged, want) {
		t.Fatalf("got %x, error %v\nwant %x", merged, err, want)
	}
}

func TestMergeOfNothing(t *testing.T) {
	for _, values := range [][][]byte{nil, {nil}, {nil, {}}, {field(1, nil), field(1, field(2, nil))}} {
		if got, err := Merge(nil, values...); len(got) != 0 || err != nil {
			t.Errorf("%x: got %x, error %v", values, got, err)
		}
	}
}

func TestMergeNamesTheValueThatItCanNotRead(t *testing.T) {
	good, dst := requestOf(marshal(goodSpan("good----"))), []byte("before")
	got, err := Merge(dst, good, append(bytes.Clone(good), 0x0a, 9))
	var bad *WireError
	if !errors.As(err, &bad) || bad.Offset != len(good)+1 || string(got) != "before" {
		t.Fatalf("%q, error %v", got, err)
	}
	if want := "value 2 of 2"; !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("%q does not say %q", err, want)
	}
}

func TestAMergerForgetsTheMergeBefore(t *testing.T) {
	var m Merger
	values := [][]byte{marshal(shopBatch(newRand(2), 3, 2)), marshal(shopBatch(newRand(3), 3, 2))}
	want, err := new(Merger).Merge(nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range [][]byte{marshal(shopBatch(newRand(1), 50, 3)), {0x0a, 9}, values[1], nil} {
		m.Merge(nil, before, before)
		if got, err := m.Merge(nil, values...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d; error %v", len(got), len(want), err)
		}
	}
}

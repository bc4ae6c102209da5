package trace

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWalkShowsEverySpanBelowItsResourceAndScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawData(t)
		var want, got []modelSpan
		for _, rs := range rawFields(b) {
			below, scopes := rawRest(rs.content)
			for _, ss := range scopes {
				inner, spans := rawRest(ss.content)
				for _, span := range spans {
					want = append(want, modelSpan{"", heads(below), heads(inner), string(span.content)})
				}
			}
		}
		err := Walk(b, func(resource, scope, span []byte) error {
			got = append(got, modelSpan{"", string(resource), string(scope), string(span)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(modelSpan{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if n, err := Spans(b); n != len(want) || err != nil {
			t.Fatalf("Spans: %d, error %v, want %d", n, err, len(want))
		}
	})
}

// heads concatenates the field 1s of a message.
func heads(b []byte) (all string) {
	for _, f := range rawFields(b) {
		if f.number == 1 {
			all += string(f.content)
		}
	}
	return all
}

func TestWalkGivesAnotherResourceAtAnotherAddress(t *testing.T) {
	// Resources of equal length, each in two parts, which have to be put together.
	var data []byte
	for _, service := range []string{"cart", "mail", "shop"} {
		parts := append(field(1, field(1, marshal(text("service.name", service)))), field(1, field(1, marshal(integer("pid", 1))))...)
		data = append(data, field(1, append(parts, field(2, field(2, marshal(goodSpan("good----"))))...))...)
	}
	var seen [][]byte
	err := Walk(data, func(resource, _, _ []byte) error {
		for _, other := range seen {
			if &other[0] == &resource[0] {
				t.Errorf("%q stands where %q stood", resource, other)
			}
		}
		seen = append(seen, resource)
		return nil
	})
	if err != nil || len(seen) != 3 {
		t.Fatal(len(seen), err)
	}
}

func TestWalkStopsAtAnError(t *testing.T) {
	data, _ := shopTrace(newRand(1))
	stop, calls := errors.New("stop"), 0
	err := Walk(marshal(data), func(_, _, _ []byte) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if err != stop || calls != 3 {
		t.Fatalf("error %v after %d calls", err, calls)
	}
}

func TestBrokenDataIsAWireErrorEverywhere(t *testing.T) {
	for _, b := range [][]byte{{0x0a}, {0x0a, 2, 0x12, 9}, {1 << 3, 0}, field(1, field(2, []byte{2 << 3, 1})), {0x0f}} {
		_, spans := Spans(b)
		_, merged := Merge(nil, b)
		_, summary := Summarize(b)
		for name, err := range map[string]error{
			"Spans": spans, "Merge": merged, "Summarize": summary, "Index": Index(b, &recordingSink{}),
			"Walk": Walk(b, func(_, _, _ []byte) error { return nil }),
		} {
			var bad *WireError
			if !errors.As(err, &bad) {
				t.Errorf("%s(%x): %v", name, b, err)
			}
		}
	}
}

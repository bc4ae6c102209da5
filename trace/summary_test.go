package trace

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"pgregory.net/rapid"
)

// modelSummary says what a Summary is, with the generated types.
func modelSummary(data *tracev1.TracesData) (s Summary) {
	type span struct {
		*tracev1.Span
		service string
		rank    int // as root: 2 without parent, 1 with one that is not in the data
	}
	var all []*span
	services, edges, open := map[string]*ServiceSummary{}, map[[2]string]uint64{}, map[OpenParent]uint64{}
	for _, rs := range data.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, x := range ss.Spans {
				all = append(all, &span{Span: x, service: modelService(rs)})
			}
		}
	}
	for n, x := range all {
		start, end := int64(x.StartTimeUnixNano), int64(x.EndTimeUnixNano)
		if n == 0 {
			s.Start, s.End = start, end
		}
		s.Start, s.End = min(s.Start, start), max(s.End, end)
		service := services[x.service]
		if service == nil {
			service = &ServiceSummary{Service: x.service}
			services[x.service] = service
		}
		s.Spans++
		service.Spans++
		if x.Status.GetCode() == tracev1.Status_STATUS_CODE_ERROR || slices.ContainsFunc(x.Attributes, func(kv *commonv1.KeyValue) bool {
			raw := modelRaw(kv.Value)
			_, isBytes := kv.Value.GetValue().(*commonv1.AnyValue_BytesValue)
			return kv.Key == "error" && (raw == true || raw == "true") && !isBytes
		}) {
			s.Errors++
			service.Errors++
		}
		if len(bytes.Trim(x.ParentSpanId, "\x00")) == 0 {
			x.rank = 2
			continue
		}
		at := slices.IndexFunc(all, func(p *span) bool { return bytes.Equal(p.SpanId, x.ParentSpanId) })
		switch {
		case at < 0:
			x.rank = 1
			open[OpenParent{SpanID: [8]byte(x.ParentSpanId), Child: x.service}]++
		case all[at].service != x.service:
			edges[[2]string{all[at].service, x.service}]++
		}
	}
	if len(all) > 0 {
		root := slices.MinFunc(all, func(a, b *span) int {
			return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(int64(a.StartTimeUnixNano), int64(b.StartTimeUnixNano)),
				bytes.Compare(a.SpanId, b.SpanId), cmp.Compare(a.service, b.service), cmp.Compare(a.Name, b.Name))
		})
		s.RootService, s.RootName, s.HasRoot = root.service, root.Name, root.rank == 2
	}
	for _, service := range services {
		s.Services = append(s.Services, *service)
	}
	slices.SortFunc(s.Services, func(a, b ServiceSummary) int { return cmp.Compare(a.Service, b.Service) })
	for e, calls := range edges {
		s.Edges = append(s.Edges, Edge{e[0], e[1], calls})
	}
	slices.SortFunc(s.Edges, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.Parent, b.Parent), cmp.Compare(a.Child, b.Child)) })
	for p, calls := range open {
		p.Calls = calls
		s.OpenParents = append(s.OpenParents, p)
	}
	slices.SortFunc(s.OpenParents, func(a, b OpenParent) int {
		return cmp.Or(bytes.Compare(a.SpanID[:], b.SpanID[:]), cmp.Compare(a.Child, b.Child))
	})
	return s
}

func TestSummaryIsTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawData(t)
		got, err := Summarize(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(modelSummary(unmarshal(t, b)), got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestSummaryOfAShopTrace(t *testing.T) {
	for seed := range uint64(20) {
		data, spans := shopTrace(newRand(seed))
		got, err := Summarize(marshal(data))
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(modelSummary(data), got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if got.Spans != spans || got.RootService != "frontend" || !got.HasRoot || len(got.Edges) == 0 || len(got.OpenParents) != 0 {
			t.Fatalf("%+v", got)
		}
	}
}

func TestSummaryOfNothing(t *testing.T) {
	got, err := Summarize(nil)
	if diff := gocmp.Diff(Summary{}, got); diff != "" || err != nil {
		t.Fatal(diff, err)
	}
}

func TestADamagedSummaryIsAnError(t *testing.T) {
	data, _ := shopTrace(newRand(1))
	data.ResourceSpans = data.ResourceSpans[1:] // so that parents are missing
	b, err := AppendSummary([]byte("before"), marshal(data))
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.TrimPrefix(b, []byte("before"))
	if s, err := ParseSummary(b); err != nil || len(s.OpenParents) == 0 {
		t.Fatal(s, err)
	}
	for n := range b {
		if _, err := ParseSummary(b[:n]); !errors.Is(err, ErrSummary) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(b), err)
		}
	}
	for name, bad := range map[string][]byte{
		"bytes follow":           append(bytes.Clone(b), 0),
		"later version":          append([]byte{2}, b[1:]...),
		"unknown flag":           append([]byte{1, 4}, b[2:]...),
		"services out of order":  {1, 0, 0, 0, 2, 1, 'b', 1, 0, 1, 'a', 1, 0, 0, 0, 0, 0},
		"more errors than spans": {1, 0, 0, 0, 1, 1, 'b', 1, 2, 0, 0, 0, 0},
		"unlisted root":          {1, 0, 0, 0, 1, 1, 'b', 1, 0, 1, 0, 0, 0},
		"unlisted child":         {1, 0, 0, 0, 1, 1, 'b', 1, 0, 0, 0, 1, 0, 1, 1, 0},
		"too many services":      {1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"too many spans":         append([]byte{1, 0, 0, 0, 2, 1, 'a'}, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x01b\x01\x00\x00\x00\x00\x00"...),
	} {
		if s, err := ParseSummary(bad); !errors.Is(err, ErrSummary) {
			t.Errorf("%s: %+v, error %v", name, s, err)
		}
	}
}

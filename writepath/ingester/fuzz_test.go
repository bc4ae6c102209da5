package ingester

import (
	"bytes"
	"context"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// stream takes what a server sends.
type stream[T any] struct {
	grpc.ServerStream
	ctx  context.Context
	sent []*T
}

func (s *stream[T]) Context() context.Context { return s.ctx }
func (s *stream[T]) Send(m *T) error          { s.sent = append(s.sent, m); return nil }

// FuzzRequests makes of the bytes each of the requests that there are.
func FuzzRequests(f *testing.F) {
	dir := f.TempDir()
	blocks, err := local.New(filepath.Join(dir, "blocks"))
	if err != nil {
		f.Fatal(err)
	}
	i, err := Open(context.Background(), Options{
		Dir: filepath.Join(dir, "ingester"), Instance: "one", Blocks: blocks, Reserve: 1, Sync: wal.SyncNever,
		Limits: func(string) limits.Limits {
			return limits.Limits{TraceBytes: 1 << 20, TraceSpans: 1000, AttributeBytes: 1000, LiveTraces: 1000}
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := i.Close(); err != nil {
			f.Error(err)
		}
	})
	s := &server{Ingester: i}
	query, err := index.AppendQuery(nil, &index.Query{Start: index.Everything, Duration: index.Everything, Limit: 5})
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []proto.Message{
		&ingesterpb.PushRequest{Groups: []*ingesterpb.Group{{Tenant: "a", Keys: make([]byte, 16), Values: [][]byte{{0x0a, 0}}}, {Tenant: "../a"}}},
		&ingesterpb.ValuesRequest{Tenant: "a", Keys: make([]byte, 32)},
		&ingesterpb.SearchRequest{Tenant: "a", Query: query},
		&ingesterpb.TermsRequest{Tenant: "a", Field: trace.FieldService},
		&ingesterpb.SummariesRequest{Tenant: "a", MinStart: math.MinInt64, MaxStart: math.MaxInt64},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(err error) {
			t.Helper()
			switch status.Code(err) {
			case codes.OK, codes.InvalidArgument, codes.ResourceExhausted:
			default:
				t.Errorf("%v", err)
			}
		}
		if m := new(ingesterpb.PushRequest); proto.Unmarshal(b, m) == nil {
			resp, err := s.Push(t.Context(), m)
			check(err)
			if n := len(resp.GetOutcomes()); n != 0 && n != len(m.Groups) {
				t.Errorf("%d outcomes of %d groups", n, len(m.Groups))
			}
			for _, o := range resp.GetOutcomes() {
				if o.GetCode() != 0 {
					check(status.Error(codes.Code(o.GetCode()), o.GetMessage()))
				}
			}
		}
		if m := new(ingesterpb.ValuesRequest); proto.Unmarshal(b, m) == nil {
			to := &stream[ingesterpb.ValuesResponse]{ctx: t.Context()}
			err := s.Values(m, to)
			check(err)
			if err == nil && (len(to.sent) == 0 || to.sent[0].Source == nil) {
				t.Error("values without their source")
			}
		}
		if m := new(ingesterpb.SearchRequest); proto.Unmarshal(b, m) == nil {
			resp, err := s.Search(t.Context(), m)
			check(err)
			if err == nil && (resp.Source == nil || len(resp.Keys) != 16*len(resp.Starts)) {
				t.Errorf("%v", resp)
			}
		}
		if m := new(ingesterpb.TermsRequest); proto.Unmarshal(b, m) == nil {
			to := &stream[ingesterpb.TermsResponse]{ctx: t.Context()}
			check(s.Terms(m, to))
		}
		if m := new(ingesterpb.SummariesRequest); proto.Unmarshal(b, m) == nil {
			to := &stream[ingesterpb.SummariesResponse]{ctx: t.Context()}
			check(s.Summaries(m, to))
		}
	})
}

func FuzzLedger(f *testing.F) {
	f.Add([]byte("a 01ARZ3NDEKTSV4RRFFQ69G5FAV\nb 01ARZ3NDEKTSV4RRFFQ69G5FAW\na 01ARZ3NDEK"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var has map[blockName]bool
		fuzztest.Bounded(t, 64*len(b), func() { has = parseLedger(bytes.NewReader(b)) })
		again := parseLedger(strings.NewReader((&ledger{has: has}).text()))
		if !maps.Equal(has, again) {
			t.Errorf("%v is written and read again as %v", has, again)
		}
	})
}

func FuzzLost(f *testing.F) {
	f.Add([]byte("2026-01-05T09:00:00Z the disk was empty\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, lostFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		until, reason, err := readLost(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		if until.IsZero() {
			t.Error("a file that is there says nothing of a loss")
		}
		again, same, err := readLost(dir, 0)
		if err != nil || !again.Equal(until) || same != reason {
			t.Errorf("%v %q is read again as %v %q, %v", until, reason, again, same, err)
		}
	})
}

package client

import (
	"bytes"
	"context"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/internal/fuzztest"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// recording answers each call with the messages in it, as they came over the wire.
type recording struct {
	ingesterpb.IngesterClient
	grpc.ClientStream
	rest []byte
}

func (r *recording) next(m proto.Message) error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	b, n := protowire.ConsumeBytes(r.rest)
	if n < 0 {
		return status.Error(codes.Unavailable, "it breaks off")
	}
	r.rest = r.rest[n:]
	if err := proto.Unmarshal(b, m); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

type played[T any, M interface {
	*T
	proto.Message
}] struct{ *recording }

func (p played[T, M]) Recv() (*T, error) {
	m := new(T)
	return m, p.next(M(m))
}

func (r *recording) Search(context.Context, *ingesterpb.SearchRequest, ...grpc.CallOption) (*ingesterpb.SearchResponse, error) {
	m := new(ingesterpb.SearchResponse)
	if err := r.next(m); err != nil {
		return nil, status.Error(codes.Internal, err.Error()) // as gRPC says that there is none
	}
	return m, nil
}

func (r *recording) Values(context.Context, *ingesterpb.ValuesRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ingesterpb.ValuesResponse], error) {
	return played[ingesterpb.ValuesResponse, *ingesterpb.ValuesResponse]{r}, nil
}

func (r *recording) Terms(context.Context, *ingesterpb.TermsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ingesterpb.TermsResponse], error) {
	return played[ingesterpb.TermsResponse, *ingesterpb.TermsResponse]{r}, nil
}

func (r *recording) Summaries(context.Context, *ingesterpb.SummariesRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[ingesterpb.SummariesResponse], error) {
	return played[ingesterpb.SummariesResponse, *ingesterpb.SummariesResponse]{r}, nil
}

// FuzzAnswers reads any bytes as what an ingester answers: what is handed on is what was asked for, and all else an error.
func FuzzAnswers(f *testing.F) {
	seed := func(call byte, messages ...proto.Message) {
		var b []byte
		for _, m := range messages {
			wire, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			b = protowire.AppendBytes(b, wire)
		}
		f.Add(call, b)
	}
	key := make([]byte, keySize)
	seed(0, &ingesterpb.ValuesResponse{Source: source, Values: []*ingesterpb.Value{{Key: 1, Piece: key}}}, &ingesterpb.ValuesResponse{Values: []*ingesterpb.Value{{Key: 1, Piece: key, Last: true}}})
	seed(0, &ingesterpb.ValuesResponse{Source: source, Values: []*ingesterpb.Value{{Key: 7, Piece: key, Last: true}}})
	seed(1, &ingesterpb.SearchResponse{Source: source, Keys: key, Starts: []int64{5}})
	seed(2, &ingesterpb.TermsResponse{Source: source, Values: [][]byte{[]byte("pre"), []byte("prefix")}})
	seed(3, &ingesterpb.SummariesResponse{Source: source, Keys: key, Summaries: [][]byte{key}}, &ingesterpb.SummariesResponse{Keys: bytes.Repeat([]byte{1}, keySize), Summaries: [][]byte{nil}})
	f.Fuzz(func(t *testing.T, call byte, b []byte) {
		c := &Client{address: "fuzz", rpc: &recording{rest: b}}
		fuzztest.Bounded(t, 128*len(b), func() {
			var err error
			var from Source
			switch call % 4 {
			case 0:
				total := 0
				from, err = c.Values(t.Context(), "acme", make([]tempodb.Key, 3), func(i int, value []byte) error {
					if total += len(value); i < 0 || i > 2 || total > len(b) {
						t.Errorf("a value of key %d, and %d bytes of %d", i, total, len(b))
					}
					return nil
				})
			case 1:
				var hits []index.Hit
				if hits, from, err = c.Search(t.Context(), "acme", &index.Query{Limit: 2}); len(hits) > 2 {
					t.Errorf("%d hits of 2", len(hits))
				}
			case 2:
				from, err = c.Terms(t.Context(), "acme", nil, []byte("pre"), func(value []byte) error {
					if !bytes.HasPrefix(value, []byte("pre")) {
						t.Errorf("%q", value)
					}
					return nil
				})
			case 3:
				var last []byte
				from, err = c.Summaries(t.Context(), "acme", index.Everything, func(key tempodb.Key, _ []byte) error {
					if last != nil && bytes.Compare(key[:], last) <= 0 {
						t.Errorf("%x after %x", key, last)
					}
					last = key[:]
					return nil
				})
			}
			if err == nil && len(b) == 0 {
				t.Error("nothing is an answer")
			}
			if err != nil && (status.Code(err) == codes.Unknown || from != Source{}) {
				t.Errorf("%v, of %+v", err, from)
			}
		})
	})
}

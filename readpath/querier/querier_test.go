package querier

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath/querier/querierpb"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// dial serves what register registers and returns a client of it.
func dial(t *testing.T, register func(grpc.ServiceRegistrar)) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(client.ServerOptions()...)
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	c, err := Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

// span is an export request of one span of trace n, of a service and with an attribute of that many bytes.
func span(n byte, service string, long int) []byte {
	message := func(number byte, parts ...[]byte) []byte {
		b := slices.Concat(parts...)
		return slices.Concat([]byte{number<<3 | 2, byte(len(b)&0x7f | 0x80), byte(len(b)>>7&0x7f | 0x80), byte(len(b) >> 14 & 0x7f)}, b)
	}
	attribute := func(number byte, key, value string) []byte {
		return message(number, message(1, []byte(key)), message(2, message(1, []byte(value))))
	}
	id := bytes.Repeat([]byte{n}, 16)
	return message(1,
		message(1, attribute(1, "service.name", service)),
		message(2, message(2, message(1, id), message(2, id[:8]), message(5, []byte("op")), []byte{7<<3 | 1, n, 0, 0, 0, 0, 0, 0, 0}, attribute(9, "long", strings.Repeat("x", long)))),
	)
}

// stored is a directory of blocks, each of one trace: of block i that of ID i+1, and all of them in the first.
func stored(t *testing.T, blocks int) (dir string, bucket *local.Bucket, ids []block.ID) {
	t.Helper()
	dir = t.TempDir()
	bucket, err := local.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	db, err := tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket, NoCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	w := writepath.NewWriter(db)
	seen := map[string]bool{}
	for i := range blocks {
		if _, err := w.Write(t.Context(), "acme", span(byte(i+1), fmt.Sprint("service-", i), 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		folders, err := os.ReadDir(filepath.Join(dir, "acme"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			if !seen[f.Name()] {
				seen[f.Name()] = true
				ids = append(ids, block.ID(f.Name()))
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if len(ids) != blocks {
		t.Fatalf("%d blocks, not %d: %v", len(ids), blocks, ids)
	}
	return dir, bucket, ids
}

func key(n byte) (k tempodb.Key) {
	for i := range k {
		k[i] = n
	}
	return k
}

func TestAQuerierAnswersAboutTheBlocksThatItIsAskedFor(t *testing.T) {
	dir, bucket, ids := stored(t, 4)
	q, err := New(Options{Bucket: bucket, Blocks: 2, Questions: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, q.Register)
	ctx := t.Context()
	asked := ids[1:3]

	values, err := c.Values(ctx, "acme", asked, []tempodb.Key{key(1), key(2), key(3), key(9)})
	if err != nil || len(values) != 4 || values[0] != nil || len(values[1]) < 1<<20 || len(values[2]) < 1<<20 || values[3] != nil {
		t.Errorf("values: %d, %v", len(values), err) // longer than a message: they come in pieces
	}
	hits, err := c.Search(ctx, "acme", asked, &index.Query{Where: tracedb.OperationIs("", "op"), Start: index.Everything, Duration: index.Everything, Limit: 9})
	if err != nil || len(hits) != 2 || hits[0].Key != key(3) || hits[1].Key != key(2) || hits[1].Start != 2 {
		t.Errorf("search: %v, %v", hits, err)
	}
	terms, err := c.Terms(ctx, "acme", asked, trace.FieldService, []byte("service-"))
	if err != nil || !slices.Equal(terms, []string{"service-1", "service-2"}) {
		t.Errorf("terms: %q, %v", terms, err)
	}
	summaries, err := c.Summaries(ctx, "acme", asked, []tempodb.Key{key(1), key(3)})
	if err != nil || summaries[0] != nil || len(summaries[1]) == 0 {
		t.Errorf("summaries: %v, %v", summaries, err)
	}

	if _, err := c.Terms(ctx, "acme", ids, trace.FieldService, nil); err != nil || q.Stats().Known != 2 {
		t.Errorf("of four blocks %d are kept, and it was to be two: %v", q.Stats().Known, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "acme", string(ids[0]))); err != nil {
		t.Fatal(err)
	}
	_, err = c.Values(ctx, "acme", ids[:1], []tempodb.Key{key(1)})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), string(ids[0])) {
		t.Errorf("a block that is gone: %v", err)
	}
	if s := q.Stats(); s.Failed == 0 || s.Questions <= s.Failed {
		t.Errorf("%+v", s)
	}
}

func TestAQuestionThatMakesNoSenseIsRefused(t *testing.T) {
	_, bucket, _ := stored(t, 1)
	q, err := New(Options{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, q.Register)
	ctx := t.Context()
	for name, ask := range map[string]func() error{
		"a tenant that can't be": func() error {
			_, err := c.Terms(ctx, "../acme", nil, trace.FieldService, nil)
			return err
		},
		"half an ID of a block": func() error {
			_, err := c.rpc.Search(ctx, &querierpb.SearchRequest{Blocks: &querierpb.Blocks{Tenant: "acme", Ids: make([]byte, 8)}, Query: mustQuery(t)})
			return err
		},
		"half a key": func() error {
			_, err := c.rpc.Summaries(ctx, &querierpb.SummariesRequest{Blocks: &querierpb.Blocks{Tenant: "acme"}, Keys: make([]byte, 8)})
			return err
		},
		"too many keys": func() error {
			_, err := c.rpc.Summaries(ctx, &querierpb.SummariesRequest{Blocks: &querierpb.Blocks{Tenant: "acme"}, Keys: make([]byte, 16*(maxKeys+1))})
			return err
		},
		"no query": func() error {
			_, err := c.rpc.Search(ctx, &querierpb.SearchRequest{Blocks: &querierpb.Blocks{Tenant: "acme"}, Query: []byte{0xff}})
			return err
		},
	} {
		if err := ask(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Terms(ctx, "acme", []block.ID{"no-block"}, trace.FieldService, nil); err == nil {
		t.Error("a block whose ID is none was asked")
	}
}

func mustQuery(t *testing.T) []byte {
	b, err := index.AppendQuery(nil, &index.Query{Start: index.Everything, Duration: index.Everything})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestQuestionsBeyondThoseThatHaveRoomWait(t *testing.T) {
	_, bucket, ids := stored(t, 1)
	q, err := New(Options{Bucket: bucket, Questions: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, q.Register)
	q.room <- struct{}{} // a question that takes long
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := c.Terms(ctx, "acme", ids, trace.FieldService, nil)
		answered <- err
	}()
	cancel()
	if err := <-answered; status.Code(err) != codes.Canceled {
		t.Errorf("who waits and gives up: %v", err)
	}
	<-q.room
	if _, err := c.Terms(t.Context(), "acme", ids, trace.FieldService, nil); err != nil {
		t.Error(err)
	}
}

// liar answers what it is told to.
type liar struct {
	querierpb.UnimplementedQuerierServer
	values    []*querierpb.Value
	search    *querierpb.SearchResponse
	summaries *querierpb.SummariesResponse
}

func (l *liar) Values(_ *querierpb.ValuesRequest, stream grpc.ServerStreamingServer[querierpb.ValuesResponse]) error {
	return stream.Send(&querierpb.ValuesResponse{Values: l.values})
}

func (l *liar) Search(context.Context, *querierpb.SearchRequest) (*querierpb.SearchResponse, error) {
	return l.search, nil
}

func (l *liar) Summaries(context.Context, *querierpb.SummariesRequest) (*querierpb.SummariesResponse, error) {
	return l.summaries, nil
}

func TestAnAnswerThatMakesNoSenseIsAnError(t *testing.T) {
	l := new(liar)
	c := dial(t, func(r grpc.ServiceRegistrar) { querierpb.RegisterQuerierServer(r, l) })
	keys := []tempodb.Key{key(1), key(2)}
	fails := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), c.Address()) || !strings.Contains(err.Error(), "makes no sense") {
			t.Errorf("%s: %v", what, err)
		}
	}
	piece := func(key uint32, last bool) *querierpb.Value {
		return &querierpb.Value{Key: key, Piece: []byte("x"), Last: last}
	}
	for what, values := range map[string][]*querierpb.Value{
		"a key that was not asked for": {piece(2, true)},
		"a value twice":                {piece(0, true), piece(0, true)},
		"values out of order":          {piece(1, true), piece(0, true)},
		"a value within another":       {piece(0, false), piece(1, true)},
		"half a value":                 {piece(0, true), piece(1, false)},
	} {
		l.values = values
		_, err := c.Values(t.Context(), "acme", nil, keys)
		fails(what, err)
	}
	l.search = &querierpb.SearchResponse{Keys: make([]byte, 16), Starts: []int64{1, 2}}
	_, err := c.Search(t.Context(), "acme", nil, &index.Query{})
	fails("more starts than keys", err)
	for what, summaries := range map[string]*querierpb.SummariesResponse{
		"a key that was not asked for": {Keys: []uint32{2}, Summaries: [][]byte{{1}}},
		"an empty summary":             {Keys: []uint32{1}, Summaries: [][]byte{{}}},
		"a key without a summary":      {Keys: []uint32{1}},
	} {
		l.summaries = summaries
		_, err := c.Summaries(t.Context(), "acme", nil, keys)
		fails(what, err)
	}
}

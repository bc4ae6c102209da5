package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// server answers what a test says.
type server struct {
	ingesterpb.UnimplementedIngesterServer
	push      func(context.Context, *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error)
	values    []*ingesterpb.ValuesResponse
	search    *ingesterpb.SearchResponse
	asked     *ingesterpb.SearchRequest
	terms     []*ingesterpb.TermsResponse
	summaries []*ingesterpb.SummariesResponse
}

func (s *server) Push(ctx context.Context, r *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
	return s.push(ctx, r)
}

func (s *server) Values(_ *ingesterpb.ValuesRequest, to grpc.ServerStreamingServer[ingesterpb.ValuesResponse]) error {
	return sendAll(to, s.values)
}

func (s *server) Search(_ context.Context, r *ingesterpb.SearchRequest) (*ingesterpb.SearchResponse, error) {
	s.asked = r
	return s.search, nil
}

func (s *server) Terms(_ *ingesterpb.TermsRequest, to grpc.ServerStreamingServer[ingesterpb.TermsResponse]) error {
	return sendAll(to, s.terms)
}

func (s *server) Summaries(_ *ingesterpb.SummariesRequest, to grpc.ServerStreamingServer[ingesterpb.SummariesResponse]) error {
	return sendAll(to, s.summaries)
}

func sendAll[T any](to grpc.ServerStreamingServer[T], messages []*T) error {
	for _, m := range messages {
		if err := to.Send(m); err != nil {
			return err
		}
	}
	return nil
}

var empty = NewGroup("acme", nil)

// serve returns the address of s, and what stops it.
func serve(t *testing.T, s ingesterpb.IngesterServer) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(ServerOptions()...)
	ingesterpb.RegisterIngesterServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	stop = func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		served <- nil
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func connect(t *testing.T, o Options, s ingesterpb.IngesterServer) *Client {
	t.Helper()
	address, _ := serve(t, s)
	return clientOf(t, newPool(t, o), address)
}

func newPool(t *testing.T, o Options) *Pool {
	t.Helper()
	p := NewPool(o)
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func clientOf(t *testing.T, p *Pool, address string) *Client {
	t.Helper()
	c, err := p.Client(address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPushArrivesWhateverItsCompression(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"", None, Gzip, Zstd} {
		var got *ingesterpb.PushRequest
		c := connect(t, Options{Compression: compression}, &server{push: func(_ context.Context, r *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
			got = r
			return &ingesterpb.PushResponse{}, nil
		}})
		large := strings.Repeat("a long value ", 1<<20) // larger than gRPC takes by itself
		for range 3 {                                   // coders are used again
			entries := []tempodb.Entry{{Key: tempodb.Key{1}, Value: []byte("one")}, {Key: tempodb.Key{3}}, {Key: tempodb.Key{2}, Value: []byte(large)}}
			outcomes, err := c.Push(t.Context(), []Group{NewGroup("acme", entries, 0, 2), NewGroup("other", entries[1:2])})
			if err != nil || outcomes != nil {
				t.Fatalf("%q: %v, %v", compression, outcomes, err)
			}
		}
		if len(got.Groups) != 2 || got.Groups[0].Tenant != "acme" || len(got.Groups[0].Keys) != 32 || got.Groups[0].Keys[16] != 2 ||
			string(got.Groups[0].Values[0]) != "one" || string(got.Groups[0].Values[1]) != large || got.Groups[1].Tenant != "other" || len(got.Groups[1].Values) != 1 {
			t.Errorf("%q: something else arrived", compression)
		}
	}
	if _, err := newPool(t, Options{Compression: "paper"}).Client("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), `"paper"`) {
		t.Errorf("a compression that there is not: %v", err)
	}
}

func TestOutcomesKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	var answer *ingesterpb.PushResponse
	var failure error
	c := connect(t, Options{}, &server{push: func(context.Context, *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
		return answer, failure
	}})
	answer = &ingesterpb.PushResponse{Outcomes: []*ingesterpb.Outcome{
		{}, {Code: uint32(codes.ResourceExhausted), Message: "slowly", RetryAfterMs: 250}, {Code: uint32(codes.InvalidArgument), Message: "no tenant"}, {Code: 99, Message: "new"},
	}}
	outcomes, err := c.Push(t.Context(), []Group{empty, empty, empty, empty})
	if err != nil || len(outcomes) != 4 {
		t.Fatalf("%v, %v", outcomes, err)
	}
	for i, want := range []codes.Code{codes.OK, codes.ResourceExhausted, codes.InvalidArgument, codes.Unknown} {
		if status.Code(outcomes[i]) != want {
			t.Errorf("outcome %d: %v, want %v", i, outcomes[i], want)
		}
	}
	if after, ok := RetryAfter(outcomes[1]); !ok || after != 250*time.Millisecond {
		t.Errorf("retry after %v, %v", after, ok)
	}
	if _, ok := RetryAfter(outcomes[2]); ok {
		t.Error("to be tried again, which nobody said")
	}
	if !strings.Contains(outcomes[1].Error(), "slowly") || !strings.Contains(outcomes[1].Error(), c.Address()) {
		t.Errorf("%v does not say who said what", outcomes[1])
	}
	if _, err := c.Push(t.Context(), []Group{empty, empty, empty}); status.Code(err) != codes.Internal {
		t.Errorf("outcomes of other groups: %v", err)
	}
	failure = WithRetry(status.New(codes.ResourceExhausted, "full"), time.Second)
	_, err = c.Push(t.Context(), []Group{empty})
	if after, ok := RetryAfter(err); status.Code(err) != codes.ResourceExhausted || !ok || after != time.Second {
		t.Errorf("%v, retry after %v, %v", err, after, ok)
	}
}

func TestSingleEntriesAreRefused(t *testing.T) {
	t.Parallel()
	answer := &ingesterpb.Outcome{Code: uint32(codes.InvalidArgument), Message: "too long"}
	c := connect(t, Options{}, &server{push: func(context.Context, *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
		return &ingesterpb.PushResponse{Outcomes: []*ingesterpb.Outcome{answer}}, nil
	}})
	group := NewGroup("acme", []tempodb.Entry{{Key: tempodb.Key{1}}, {Key: tempodb.Key{2}}, {Key: tempodb.Key{3}}})
	answer.Refused = []uint32{0, 2}
	outcomes, err := c.Push(t.Context(), []Group{group})
	var refused *RefusedError
	if err != nil || !errors.As(outcomes[0], &refused) || !slices.Equal(refused.Entries, []int{0, 2}) || status.Code(outcomes[0]) != codes.InvalidArgument {
		t.Errorf("%v, %v", outcomes, err)
	}
	for _, nonsense := range [][]uint32{{3}, {1 << 31}, {1, 1}, {2, 0}} {
		answer.Refused = nonsense
		if outcomes, err := c.Push(t.Context(), []Group{group}); status.Code(err) != codes.Internal {
			t.Errorf("entries %d of 3 are refused: %v, %v", nonsense, outcomes, err)
		}
	}
}

func TestAServerThatIsGoneIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	s := &server{push: func(context.Context, *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
		return &ingesterpb.PushResponse{}, nil
	}}
	address, stop := serve(t, s)
	c := clientOf(t, newPool(t, Options{}), address)
	if _, err := c.Push(t.Context(), []Group{empty}); err != nil {
		t.Fatal(err)
	}
	stop()
	began := time.Now()
	for range 100 {
		if _, err := c.Push(t.Context(), []Group{empty}); status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
	}
	if _, err := c.Terms(t.Context(), "acme", nil, nil, nil); status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestAConnectionIsSharedAndGivenUpWhenUnused(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	push := func(context.Context, *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
		return &ingesterpb.PushResponse{}, nil
	}
	address, _ := serve(t, &server{push: push})
	p := newPool(t, Options{Unused: time.Hour, Dial: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		conns.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})}})
	first := clientOf(t, p, address)
	for range 5 {
		c := clientOf(t, p, address)
		if _, err := c.Push(t.Context(), []Group{empty}); err != nil || c != first {
			t.Fatalf("%v; the same client: %v", err, c == first)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections", conns.Load())
	}
	sweep := func(in time.Duration) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.sweep(time.Now().Add(in))
	}
	sweep(50 * time.Minute)
	if clientOf(t, p, address) != first {
		t.Error("a client is dropped before its time")
	}
	first.begin()
	sweep(3 * time.Hour)
	if clientOf(t, p, address) != first {
		t.Error("a client is dropped while a call goes on")
	}
	first.end()
	sweep(6 * time.Hour)
	second := clientOf(t, p, address)
	if second == first {
		t.Error("a client is kept that was unused for long")
	}
	if _, err := second.Push(t.Context(), []Group{empty}); err != nil || conns.Load() != 2 {
		t.Errorf("%v; %d connections", err, conns.Load())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Client(address); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed pool: %v", err)
	}
}

var source = &ingesterpb.Source{Instance: "a", Complete: true, KeptForMs: 60_000}

func TestReadsReturnWhatIsThereAndWhatItIsWorth(t *testing.T) {
	t.Parallel()
	key := func(b byte) []byte { return append([]byte{b}, make([]byte, 15)...) }
	s := &server{
		values: []*ingesterpb.ValuesResponse{
			{Source: source, Values: []*ingesterpb.Value{{Key: 0, Piece: []byte("whole"), Last: true}, {Key: 2, Piece: []byte("in ")}}},
			{Values: []*ingesterpb.Value{{Key: 2, Piece: []byte("three ")}, {Key: 2, Piece: []byte("pieces"), Last: true}}},
		},
		search:    &ingesterpb.SearchResponse{Source: source, Keys: append(key(2), key(1)...), Starts: []int64{9, 8}},
		terms:     []*ingesterpb.TermsResponse{{Source: source, Values: [][]byte{[]byte("ab")}}, {Values: [][]byte{[]byte("ac")}}},
		summaries: []*ingesterpb.SummariesResponse{{Source: source, Keys: key(1), Summaries: [][]byte{[]byte("x")}}, {Keys: key(2), Summaries: [][]byte{nil}}},
	}
	c := connect(t, Options{}, s)
	want := Source{"a", true, time.Minute}

	var got []string
	from, err := c.Values(t.Context(), "acme", make([]tempodb.Key, 3), func(i int, value []byte) error {
		got = append(got, string(rune('0'+i))+string(value))
		return nil
	})
	if err != nil || from != want || !slices.Equal(got, []string{"0whole", "2in three pieces"}) {
		t.Errorf("values: %q, %+v, %v", got, from, err)
	}
	q := &index.Query{Where: index.Equal([]byte("f"), []byte("v")), Start: index.Everything, Duration: index.Everything, Limit: 2}
	hits, from, err := c.Search(t.Context(), "acme", q)
	if err != nil || from != want || !slices.Equal(hits, []index.Hit{{Key: tempodb.Key{2}, Start: 9}, {Key: tempodb.Key{1}, Start: 8}}) {
		t.Errorf("search: %v, %+v, %v", hits, from, err)
	}
	asked, err := index.ParseQuery(s.asked.Query, nil)
	if err != nil || asked.Limit != 2 || string(asked.Where.Value) != "v" {
		t.Errorf("asked for %+v, %v", asked, err)
	}
	got = nil
	from, err = c.Terms(t.Context(), "acme", []byte("f"), []byte("a"), func(value []byte) error { got = append(got, string(value)); return nil })
	if err != nil || from != want || !slices.Equal(got, []string{"ab", "ac"}) {
		t.Errorf("terms: %q, %+v, %v", got, from, err)
	}
	var keys []byte
	from, err = c.Summaries(t.Context(), "acme", index.Everything, func(key tempodb.Key, _ []byte) error { keys = append(keys, key[0]); return nil })
	if err != nil || from != want || !slices.Equal(keys, []byte{1, 2}) {
		t.Errorf("summaries: %v, %+v, %v", keys, from, err)
	}
	enough := errors.New("enough")
	if _, err := c.Terms(t.Context(), "acme", nil, nil, func([]byte) error { return enough }); err != enough { //nolint:errorlint // as it is
		t.Errorf("the caller's own error came back as %v", err)
	}
}

func TestAnAnswerThatCannotBeIsAnError(t *testing.T) {
	t.Parallel()
	value := func(key uint32, last bool) *ingesterpb.Value {
		return &ingesterpb.Value{Key: key, Piece: []byte("x"), Last: last}
	}
	for name, s := range map[string]*server{
		"nothing":                  {search: &ingesterpb.SearchResponse{}},
		"no source":                {values: []*ingesterpb.ValuesResponse{{Values: []*ingesterpb.Value{value(0, true)}}}, search: &ingesterpb.SearchResponse{}, terms: []*ingesterpb.TermsResponse{{}}, summaries: []*ingesterpb.SummariesResponse{{}}},
		"another key":              {values: []*ingesterpb.ValuesResponse{{Source: source, Values: []*ingesterpb.Value{value(2, true)}}}, search: &ingesterpb.SearchResponse{Source: source, Keys: make([]byte, 16)}, terms: []*ingesterpb.TermsResponse{{Source: source, Values: [][]byte{[]byte("b")}}}, summaries: []*ingesterpb.SummariesResponse{{Source: source, Keys: make([]byte, 16)}}},
		"a value that has no end":  {values: []*ingesterpb.ValuesResponse{{Source: source, Values: []*ingesterpb.Value{value(0, false)}}}, search: &ingesterpb.SearchResponse{Source: source, Keys: make([]byte, 32), Starts: []int64{2, 1}}, terms: []*ingesterpb.TermsResponse{{Source: source, Values: [][]byte{nil}}}, summaries: []*ingesterpb.SummariesResponse{{Source: source, Keys: make([]byte, 32), Summaries: [][]byte{nil, nil}}}},
		"a value within another's": {values: []*ingesterpb.ValuesResponse{{Source: source, Values: []*ingesterpb.Value{value(0, false), value(1, true)}}}, search: &ingesterpb.SearchResponse{}, terms: nil, summaries: nil},
	} {
		c := connect(t, Options{}, s)
		q := &index.Query{Start: index.Everything, Duration: index.Everything, Limit: 1}
		_, values := c.Values(t.Context(), "acme", make([]tempodb.Key, 2), func(int, []byte) error { return nil })
		_, _, search := c.Search(t.Context(), "acme", q)
		_, terms := c.Terms(t.Context(), "acme", nil, []byte("a"), func([]byte) error { return nil })
		_, summaries := c.Summaries(t.Context(), "acme", index.Everything, func(tempodb.Key, []byte) error { return nil })
		for call, err := range map[string]error{"values": values, "search": search, "terms": terms, "summaries": summaries} {
			if status.Code(err) != codes.Internal {
				t.Errorf("%s: %s: %v", name, call, err)
			}
		}
	}
}

package querier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath/querier/querierpb"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// Client asks one querier.
type Client struct {
	address string
	conn    *grpc.ClientConn
	rpc     querierpb.QuerierClient
}

// maxValue bounds what is put together of the pieces of one value.
const maxValue = 1 << 30

// Dial returns the client of the querier at address, a host and a port. It does not wait for a connection. Calls to a querier that is not there fail at once.
func Dial(address string, options ...grpc.DialOption) (*Client, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(client.MaxMessage), grpc.MaxCallSendMsgSize(client.MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
	}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("querier at %s: %w", address, err)
	}
	return &Client{address: address, conn: conn, rpc: querierpb.NewQuerierClient(conn)}, nil
}

// Address returns where the querier is.
func (c *Client) Address() string { return c.address }

// Close ends the connection. Calls that go on fail.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) fail(err error) error { return fmt.Errorf("querier at %s: %w", c.address, err) }

func (c *Client) nonsense(format string, args ...any) error {
	return c.fail(status.Errorf(codes.Internal, "its answer makes no sense: "+format, args...))
}

func blocksOf(tenant string, blocks []block.ID) (*querierpb.Blocks, error) {
	of := &querierpb.Blocks{Tenant: tenant, Ids: make([]byte, 0, len(ulid.ULID{})*len(blocks))}
	for _, id := range blocks {
		u, err := ulid.ParseStrict(string(id))
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", id, err)
		}
		of.Ids = append(of.Ids, u[:]...)
	}
	return of, nil
}

func appendKeys(dst []byte, keys []tempodb.Key) []byte {
	for _, key := range keys {
		dst = append(dst, key[:]...)
	}
	return dst
}

// Values returns what the blocks have under each of keys together; nil of what they have nothing under.
func (c *Client) Values(ctx context.Context, tenant string, blocks []block.ID, keys []tempodb.Key) ([][]byte, error) {
	of, err := blocksOf(tenant, blocks)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	open, last := false, -1
	err = receive(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[querierpb.ValuesResponse], error) {
		return c.rpc.Values(ctx, &querierpb.ValuesRequest{Blocks: of, Keys: appendKeys(nil, keys)})
	}, func(m *querierpb.ValuesResponse) error {
		for _, v := range m.Values {
			i := int(v.Key)
			switch {
			case i >= len(keys):
				return c.nonsense("a value of key %d, of %d", v.Key, len(keys))
			case open && i != last, !open && i <= last:
				return c.nonsense("a piece of key %d after one of key %d", v.Key, last)
			case len(values[i])+len(v.Piece) > maxValue:
				return c.nonsense("a value of more than %d bytes", maxValue)
			case !open && v.Last:
				values[i] = v.Piece
			default:
				values[i] = append(values[i], v.Piece...)
			}
			open, last = !v.Last, i
		}
		return nil
	})
	if err == nil && open {
		err = c.nonsense("it ends within the value of key %d", last)
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Search returns the newest keys of the blocks that have a row on which q holds.
func (c *Client) Search(ctx context.Context, tenant string, blocks []block.ID, q *index.Query) ([]index.Hit, error) {
	of, err := blocksOf(tenant, blocks)
	if err != nil {
		return nil, err
	}
	query, err := index.AppendQuery(nil, q)
	if err != nil {
		return nil, err
	}
	m, err := c.rpc.Search(ctx, &querierpb.SearchRequest{Blocks: of, Query: query})
	switch {
	case err != nil:
		return nil, c.fail(err)
	case len(m.Keys) != len(tempodb.Key{})*len(m.Starts):
		return nil, c.nonsense("%d bytes of keys with %d starts", len(m.Keys), len(m.Starts))
	}
	hits := make([]index.Hit, len(m.Starts))
	for i, start := range m.Starts {
		hits[i] = index.Hit{Key: tempodb.Key(m.Keys[len(tempodb.Key{})*i:]), Start: start}
	}
	return hits, nil
}

// Terms returns the values of field in the blocks that begin with prefix.
func (c *Client) Terms(ctx context.Context, tenant string, blocks []block.ID, field, prefix []byte) ([]string, error) {
	of, err := blocksOf(tenant, blocks)
	if err != nil {
		return nil, err
	}
	var terms []string
	err = receive(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[querierpb.TermsResponse], error) {
		return c.rpc.Terms(ctx, &querierpb.TermsRequest{Blocks: of, Field: field, Prefix: prefix})
	}, func(m *querierpb.TermsResponse) error {
		for _, value := range m.Values {
			terms = append(terms, string(value))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return terms, nil
}

// Summaries returns the summaries of keys, each of what the blocks have of it together; nil of what they have nothing of.
func (c *Client) Summaries(ctx context.Context, tenant string, blocks []block.ID, keys []tempodb.Key) ([][]byte, error) {
	of, err := blocksOf(tenant, blocks)
	if err != nil {
		return nil, err
	}
	m, err := c.rpc.Summaries(ctx, &querierpb.SummariesRequest{Blocks: of, Keys: appendKeys(nil, keys)})
	switch {
	case err != nil:
		return nil, c.fail(err)
	case len(m.Keys) != len(m.Summaries):
		return nil, c.nonsense("%d keys with %d summaries", len(m.Keys), len(m.Summaries))
	}
	all := make([][]byte, len(keys))
	for n, i := range m.Keys {
		if int64(i) >= int64(len(keys)) || len(m.Summaries[n]) == 0 {
			return nil, c.nonsense("a summary of %d bytes of key %d, of %d", len(m.Summaries[n]), i, len(keys))
		}
		all[i] = m.Summaries[n]
	}
	return all, nil
}

// receive calls add with every message of a stream.
func receive[T any](ctx context.Context, c *Client, call func(context.Context) (grpc.ServerStreamingClient[T], error), add func(*T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := call(ctx)
	if err != nil {
		return c.fail(err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.fail(err)
		}
		if err := add(m); err != nil {
			return err
		}
	}
}

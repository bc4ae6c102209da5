package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

const (
	keySize = len(tempodb.Key{})
	// maxValue bounds what is put together of the pieces of one value.
	maxValue = 1 << 30
)

// Source says what an answer is worth.
type Source struct {
	// Instance is who answered, as in the ring.
	Instance string
	// Complete is false if the ingester may have lost what it acknowledged: then the answer does not count towards a quorum.
	Complete bool
	// KeptFor is how long a block stays there after it can be read in the object store. Who knows the blocks of a longer time ago must look again.
	KeptFor time.Duration
}

func sourceOf(s *ingesterpb.Source) Source {
	keptFor := time.Duration(math.MaxInt64)
	if s.KeptForMs < uint64(keptFor/time.Millisecond) {
		keptFor = time.Duration(s.KeptForMs) * time.Millisecond
	}
	return Source{Instance: s.Instance, Complete: s.Complete, KeptFor: keptFor}
}

// Values calls fn with what the ingester has under each of keys, by its index in keys; of what it has nothing under, not at all. fn may keep the value.
func (c *Client) Values(ctx context.Context, tenant string, keys []tempodb.Key, fn func(i int, value []byte) error) (Source, error) {
	r := &ingesterpb.ValuesRequest{Tenant: tenant, Keys: make([]byte, 0, keySize*len(keys))}
	for _, key := range keys {
		r.Keys = append(r.Keys, key[:]...)
	}
	a := values{client: c, keys: len(keys), fn: fn}
	source, err := receive(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[ingesterpb.ValuesResponse], error) {
		return c.rpc.Values(ctx, r)
	}, a.add)
	if err == nil && a.open {
		return Source{}, c.nonsense("it ends within the value of key %d", a.key)
	}
	return source, err
}

// values puts values together.
type values struct {
	client *Client
	keys   int
	fn     func(i int, value []byte) error

	open  bool // within a value
	key   uint32
	value []byte
}

func (a *values) add(m *ingesterpb.ValuesResponse) error {
	for _, v := range m.Values {
		switch {
		case int64(v.Key) >= int64(a.keys):
			return a.client.nonsense("a value of key %d, of %d", v.Key, a.keys)
		case a.open && v.Key != a.key:
			return a.client.nonsense("a piece of key %d within the value of key %d", v.Key, a.key)
		case len(a.value)+len(v.Piece) > maxValue:
			return a.client.nonsense("a value of more than %d bytes", maxValue)
		case !a.open && v.Last:
			a.value = v.Piece // whole
		default:
			a.value = append(a.value, v.Piece...)
		}
		if a.open, a.key = !v.Last, v.Key; a.open {
			continue
		}
		value := a.value
		a.value = nil
		if err := a.fn(int(v.Key), value); err != nil {
			return err
		}
	}
	return nil
}

// Search returns the newest keys there that have a row on which q holds, as tempodb.DB.Search does. Patterns of q must be such as tracedb.CompilePattern knows.
func (c *Client) Search(ctx context.Context, tenant string, q *index.Query) ([]index.Hit, Source, error) {
	c.begin()
	defer c.end()
	query, err := index.AppendQuery(nil, q)
	if err != nil {
		return nil, Source{}, err
	}
	m, err := c.rpc.Search(ctx, &ingesterpb.SearchRequest{Tenant: tenant, Query: query})
	switch {
	case err != nil:
		return nil, Source{}, c.explain(err)
	case m.Source == nil:
		return nil, Source{}, c.nonsense("it does not say whose it is")
	case len(m.Keys) != keySize*len(m.Starts):
		return nil, Source{}, c.nonsense("%d bytes of keys with %d starts", len(m.Keys), len(m.Starts))
	case q.Limit > 0 && len(m.Starts) > q.Limit:
		return nil, Source{}, c.nonsense("%d keys, where %d were asked for", len(m.Starts), q.Limit)
	}
	hits := make([]index.Hit, len(m.Starts))
	for i, start := range m.Starts {
		hits[i] = index.Hit{Key: tempodb.Key(m.Keys[keySize*i:]), Start: start}
	}
	return hits, sourceOf(m.Source), nil
}

// Terms calls fn with the values of field that begin with prefix. fn may keep the value.
func (c *Client) Terms(ctx context.Context, tenant string, field, prefix []byte, fn func(value []byte) error) (Source, error) {
	r := &ingesterpb.TermsRequest{Tenant: tenant, Field: field, Prefix: prefix}
	return receive(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[ingesterpb.TermsResponse], error) {
		return c.rpc.Terms(ctx, r)
	}, func(m *ingesterpb.TermsResponse) error {
		for _, value := range m.Values {
			if !bytes.HasPrefix(value, prefix) {
				return c.nonsense("%q does not begin with %q", value, prefix)
			}
			if err := fn(value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Summaries calls fn with the summary of each key that has a row that starts within starts, ascending by key. fn may keep the summary.
func (c *Client) Summaries(ctx context.Context, tenant string, starts index.Range, fn func(key tempodb.Key, summary []byte) error) (Source, error) {
	r := &ingesterpb.SummariesRequest{Tenant: tenant, MinStart: starts.Min, MaxStart: starts.Max}
	var last tempodb.Key
	first := true
	return receive(ctx, c, func(ctx context.Context) (grpc.ServerStreamingClient[ingesterpb.SummariesResponse], error) {
		return c.rpc.Summaries(ctx, r)
	}, func(m *ingesterpb.SummariesResponse) error {
		if len(m.Keys) != keySize*len(m.Summaries) {
			return c.nonsense("%d bytes of keys with %d summaries", len(m.Keys), len(m.Summaries))
		}
		for i, summary := range m.Summaries {
			key := tempodb.Key(m.Keys[keySize*i:])
			if !first && bytes.Compare(key[:], last[:]) <= 0 {
				return c.nonsense("key %x after key %x", key, last)
			}
			first, last = false, key
			if err := fn(key, summary); err != nil {
				return err
			}
		}
		return nil
	})
}

// message is one of a stream's.
type message[T any] interface {
	*T
	GetSource() *ingesterpb.Source
}

// receive calls add with every message of a stream, and returns the source that comes with the first. An error of add ends the call, and is returned as it is.
func receive[T any, M message[T]](ctx context.Context, c *Client, call func(context.Context) (grpc.ServerStreamingClient[T], error), add func(M) error) (Source, error) {
	c.begin()
	defer c.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := call(ctx)
	if err != nil {
		return Source{}, c.explain(err)
	}
	var source *ingesterpb.Source
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Source{}, c.explain(err)
		}
		if source == nil {
			if source = M(m).GetSource(); source == nil {
				return Source{}, c.nonsense("it does not say whose it is")
			}
		}
		if err := add(m); err != nil {
			return Source{}, err
		}
	}
	if source == nil {
		return Source{}, c.nonsense("it is empty, and so does not say whose it is")
	}
	return sourceOf(source), nil
}

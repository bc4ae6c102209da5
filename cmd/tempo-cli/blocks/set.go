package blocks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/blocklist"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// atOnce is how many blocks are asked at once for what they have of a trace.
const atOnce = 16

// Set is the blocks of a tenant.
type Set struct{ reader *tempodb.Reader }

// Open lists the blocks of a tenant, and reads the meta.json of each that no index of blocks knows.
func Open(ctx context.Context, bucket backend.Bucket, tenant string) (*Set, error) {
	r, err := tempodb.OpenReader(ctx, tempodb.ReaderOptions{Bucket: bucket, Name: tenant, Codec: tracedb.Codec{}, PollEvery: -1, Listing: true})
	if err != nil {
		return nil, err
	}
	return &Set{r}, nil
}

// Blocks returns what the last listing found.
func (s *Set) Blocks() *blocklist.List { return s.reader.List() }

// Damage returns the damage that was met in blocks, whether or not an answer suffered from it.
func (s *Set) Damage() (met []error) {
	for _, b := range s.reader.Blocks() {
		met = append(met, b.Damage()...)
	}
	return met
}

// Search returns the traces that q asks for, newest first.
func (s *Set) Search(ctx context.Context, q *index.Query) ([]index.Hit, error) {
	return s.reader.Search(ctx, q)
}

// Terms returns the values of field that begin with prefix, ascending, each once.
func (s *Set) Terms(ctx context.Context, field, prefix []byte) ([]string, error) {
	return s.reader.Terms(ctx, field, prefix)
}

// Summary returns the summary of a trace, with a *tempodb.PartialError that of what could be read of it; tempodb.ErrNotFound if there is no such trace.
// It reads no spans where one block has all of it.
func (s *Set) Summary(ctx context.Context, id trace.ID) (*trace.Summary, error) {
	encoded, lost := s.reader.Summary(ctx, nil, id)
	if len(encoded) == 0 {
		return nil, lost
	}
	sum, err := trace.ParseSummary(encoded)
	if err != nil {
		return nil, err
	}
	return &sum, lost
}

// Part is what one block has of a trace.
type Part struct {
	Block *block.Meta
	// Data is OTLP TracesData.
	Data []byte
}

// Parts returns what each block has of a trace, the newest block first.
func (s *Set) Parts(ctx context.Context, id trace.ID) ([]Part, error) {
	parts, err := s.parts(ctx, id)
	if errors.Is(err, backend.ErrNotExist) && s.reader.Poll(ctx) == nil {
		return s.parts(ctx, id) // a block has gone: what it had is in another
	}
	return parts, err
}

func (s *Set) parts(ctx context.Context, id trace.ID) ([]Part, error) {
	lost := s.missing()
	all := s.reader.Blocks()
	parts := make([]Part, len(all))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, b := range all {
		group.Go(func() error {
			value, found, err := b.Get(ctx, nil, id)
			if err != nil {
				lost.add(err)
			} else if found {
				parts[i] = Part{b.Meta(), value}
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(parts, func(p Part) bool { return p.Block == nil }), lost.err()
}

// Join merges the parts of a trace.
func Join(parts []Part) ([]byte, error) {
	if len(parts) == 1 {
		return parts[0].Data, nil
	}
	values := make([][]byte, len(parts))
	for i, p := range parts {
		values[i] = p.Data
	}
	return trace.Merge(nil, values...)
}

// missing gathers what could not be read. It may be used concurrently.
type missing struct {
	mu    sync.Mutex
	parts []error
}

// missing returns what is missing from every answer: the blocks of which only the folder is known.
func (s *Set) missing() *missing {
	m := new(missing)
	for _, d := range s.Blocks().Damaged {
		if !d.Superseded {
			m.add(fmt.Errorf("block %s: %w", d.ID, d.Err))
		}
	}
	return m
}

func (m *missing) add(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A page that many ask for is damaged once.
	for _, known := range m.parts {
		if known.Error() == err.Error() {
			return
		}
	}
	m.parts = append(m.parts, err)
}

// err returns a *tempodb.PartialError, or nil if everything was read.
func (m *missing) err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) == 0 {
		return nil
	}
	slices.SortFunc(m.parts, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return &tempodb.PartialError{Parts: m.parts}
}

package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// lookedAt is what came of looking at the index object.
type lookedAt struct {
	// believed is whether a reader may take it for what blocks there are. If so and there is no index, then
	// what it says is known already.
	believed bool
	// index is what it says, even if it is not believed: then it is good for its metas.
	index *Index
	// header is its header, nil if it can't be read, and since when that was first seen.
	header *Header
	since  time.Time
}

// remember keeps what was seen of the index, once the list has all of it. Of an index that is gone or damaged, what was
// seen before is kept: one that appears in its place may be older.
func (p *Poller) remember(found lookedAt) {
	if found.header == nil {
		p.written = nil
		return
	}
	if found.index != nil {
		p.written = nil
	}
	p.seen, p.since = found.header, found.since
}

// lookAtIndex reads as much of the index object as is new. The error is one of the store, other than that there is no
// object; damage is no error.
func (p *Poller) lookAtIndex(ctx context.Context, prev *List, now time.Time) (lookedAt, error) {
	var damage error
	for range 3 {
		found, err := p.readIndex(ctx, prev, now)
		switch {
		case err == nil:
			return found, nil
		case errors.Is(err, backend.ErrNotExist):
			return lookedAt{}, nil
		case !page.IsCorrupt(err):
			return lookedAt{}, err
		}
		damage = err // or it was replaced between two requests
	}
	p.options.Logger.Warn("the index of blocks is damaged; listing instead", "tenant", p.tenant, "error", damage)
	return lookedAt{}, nil
}

// readIndex makes one request for the header, and if what follows is new, one or a few more for that.
func (p *Poller) readIndex(ctx context.Context, prev *List, now time.Time) (lookedAt, error) {
	content := make([]byte, maxIndexHeader)
	n, err := p.readAt(ctx, content, 0)
	if err != nil && err != io.EOF {
		return lookedAt{}, err
	}
	content = content[:n]
	h, length, err := ParseHeader(content)
	if err != nil {
		return lookedAt{}, err
	}
	if h.Tenant != p.tenant {
		return lookedAt{}, corruptIndex(0, "is of tenant %q", h.Tenant)
	}
	seen := p.seen
	same := seen != nil && h.Seq == seen.Seq && h.Sum == seen.Sum && h.Writer == seen.Writer && h.Listed.Equal(seen.Listed)
	since := now
	if same {
		since = p.since
	}
	// Its own word for how old it is, if clocks agree; what was seen of it, whatever the clocks.
	fresh := now.Sub(h.Listed) <= p.options.Stale && now.Sub(since) <= p.options.Stale
	found := lookedAt{believed: fresh, header: &h, since: since}
	switch {
	case same:
		// The list has all it says, or is newer.
	case seen != nil && h.Seq > seen.Seq && h.Sum == seen.Sum && p.applied:
		// It says the same again.
	default:
		body, err := p.readRest(ctx, content[min(length, n):], int64(length), h.Body())
		if err != nil {
			return lookedAt{}, err
		}
		if found.index, err = parseBody(h, body, prev.Meta); err != nil {
			return lookedAt{}, err
		}
		// An index that is not newer than the one seen before may be the older one.
		found.believed = fresh && (seen == nil || h.Seq > seen.Seq)
	}
	return found, nil
}

// readRest returns the size bytes of the index object from begin on, of which some are here already. Memory is taken in
// steps, so that a false size costs little more than what is really there.
func (p *Poller) readRest(ctx context.Context, body []byte, begin, size int64) ([]byte, error) {
	body = body[:min(int64(len(body)), size)]
	for step := int64(8 << 20); int64(len(body)) < size; step *= 2 {
		have := len(body)
		grown := make([]byte, have+int(min(step, size-int64(have))))
		copy(grown, body)
		n, err := p.readAt(ctx, grown[have:], begin+int64(have))
		if have+n < len(grown) {
			if err == io.EOF {
				return nil, corruptIndex(have+n, "is cut short")
			}
			return nil, err
		}
		body = grown
	}
	return body, nil
}

func (p *Poller) readAt(ctx context.Context, b []byte, off int64) (int, error) {
	p.stats.indexReads.Add(1)
	n, err := p.bucket.ReadAt(ctx, p.indexName(), b, off)
	if errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	if err != nil && !errors.Is(err, backend.ErrNotExist) {
		err = fmt.Errorf("read the index of blocks: %w", err)
	}
	return n, err
}

func (p *Poller) indexName() string { return p.tenant + "/" + IndexObject }

// writeIndex writes list, which was listed at the time given, unless the index object says it already and is not old.
func (p *Poller) writeIndex(ctx context.Context, list *List, listed time.Time) error {
	h := Header{Seq: 1, Listed: listed, Writer: p.options.Writer}
	if p.seen != nil {
		if p.written == list && listed.Sub(p.seen.Listed) < p.options.Stale/3 {
			return nil
		}
		h.Seq = p.seen.Seq + 1
	}
	content, err := AppendIndex(nil, list, h)
	if err == nil {
		p.stats.indexWrites.Add(1)
		err = put(ctx, p.bucket, p.indexName(), content)
	}
	if err != nil {
		// It may be there or not: the next poll looks.
		p.written = nil
		return fmt.Errorf("%w: %w", errIndexWrite, err)
	}
	if h, _, err = ParseHeader(content); err != nil {
		return fmt.Errorf("%w: what was written can't be read again: %w", errIndexWrite, err)
	}
	p.seen, p.since, p.written = &h, listed, list
	return nil
}

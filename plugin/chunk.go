package plugin

import (
	"context"
	"math/bits"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
)

// maxChunk is the size of a message of spans, in bytes on the wire. A span larger than that goes alone.
// Clients receive 4 MiB unless they are told otherwise.
const maxChunk = 1 << 20

// chunkStream is what all streams of spans have in common.
type chunkStream interface {
	Send(*storage_v1.SpansResponseChunk) error
	Context() context.Context
}

// chunker sends spans in messages of a bounded size. Its zero value with send is ready; flush sends what
// is left.
type chunker struct {
	send  func(*storage_v1.SpansResponseChunk) error
	chunk storage_v1.SpansResponseChunk
	size  int
}

func (c *chunker) add(span *model.Span) error {
	n := span.Size()
	n += 1 + (bits.Len64(uint64(n)|1)+6)/7 // with the head of the field that holds it
	if c.size > 0 && c.size+n > maxChunk {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.chunk.Spans = append(c.chunk.Spans, *span)
	c.size += n
	return nil
}

// flush sends the spans added since the last one. A message is encoded when send returns, so its list is
// used again.
func (c *chunker) flush() error {
	if len(c.chunk.Spans) == 0 {
		return nil
	}
	err := c.send(&c.chunk)
	clear(c.chunk.Spans)
	c.chunk.Spans, c.size = c.chunk.Spans[:0], 0
	return err
}

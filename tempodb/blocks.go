package tempodb

import "github.com/jaeger-tempo/tempo/tempodb/block"

// Blocks is a Database of some blocks: of a part of those of a Reader, say. It may be used concurrently, and need not be closed.
type Blocks struct{ queries }

var _ Database = (*Blocks)(nil)

// NewBlocks returns the database of blocks, of which lacks are further ones that can't be asked: with any of these, no answer is whole. The blocks stay
// the caller's, with what they keep open.
func NewBlocks(codec Codec, blocks []*block.Block, lacks ...error) *Blocks {
	b := &Blocks{queries{codec: codec}}
	b.view.Store(&view{blocks: blocks, lacks: lacks})
	return b
}

// Parts returns the blocks that answer now, the newest first, and what is known to be there and can't be asked, because its meta.json is damaged.
func (r *Reader) Parts() (blocks []*block.Block, lacks []error) {
	v := r.asked.view.Load()
	return v.blocks[:len(v.blocks):len(v.blocks)], v.lacks[:len(v.lacks):len(v.lacks)]
}

package tempodb

import (
	"context"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// Database answers questions. DB is one, and so is Reader; what the methods mean DB says.
type Database interface {
	Get(ctx context.Context, dst []byte, key Key) ([]byte, error)
	Search(ctx context.Context, q *index.Query) ([]index.Hit, error)
	Terms(ctx context.Context, field, prefix []byte) ([]string, error)
	Summary(ctx context.Context, dst []byte, key Key) ([]byte, error)
	EachSummary(ctx context.Context, starts index.Range, fn func(key Key, summary []byte) error) error
}

var (
	_ Database = (*DB)(nil)
	_ Database = (*Reader)(nil)
)

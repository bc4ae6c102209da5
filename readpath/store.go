package readpath

import (
	"context"

	"github.com/jaeger-tempo/tempo/tempodb"
)

// Database answers questions about a tenant's traces.
type Database = tempodb.Database

// Store has the databases of tenants. tracedb.Store is one, of this process; package readpath/cluster has one of many processes.
type Store interface {
	// Database returns the database of tenant, or nil if nothing was ever written for it. It is asked anew for each question.
	Database(ctx context.Context, tenant string) (Database, error)
}

// Outcome is what came of asking for one key: what could be read, and an error if that is not all, as of Database.Get.
type Outcome struct {
	Value []byte
	Err   error
}

// Batcher is a Database that answers for several keys with hardly more requests than for one. A search reads the traces that it finds so.
type Batcher interface {
	Database
	// GetMany returns what Get returns of each of the keys, SummaryMany what Summary returns. Where that would be much at once it is returned of the first
	// of them only, of which there is one at least.
	GetMany(ctx context.Context, keys []tempodb.Key) ([]Outcome, error)
	SummaryMany(ctx context.Context, keys []tempodb.Key) ([]Outcome, error)
}

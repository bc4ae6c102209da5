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

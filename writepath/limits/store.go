package limits

import (
	"context"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// Store is a tracedb.Store that takes what limits allow. It is a writepath.Store.
type Store struct {
	store   *tracedb.Store
	of      func(tenant string) Limits
	limiter Limiter
}

// NewStore returns a Store over store. of is asked at each write what a tenant may do.
func NewStore(store *tracedb.Store, of func(tenant string) Limits) *Store {
	return &Store{store: store, of: of}
}

// Append stores those of the entries that may be, in whose place entries has them then. The error is of the others: a gRPC status.
func (s *Store) Append(ctx context.Context, tenant string, entries []tempodb.Entry) error {
	limits := s.of(tenant)
	if limits == (Limits{}) {
		return s.store.Append(ctx, tenant, entries)
	}
	db, err := s.store.Tenant(tenant)
	if err != nil {
		return err
	}
	kept, refusal := s.limiter.Admit(tenant, limits, db).Check(entries, time.Now())
	if len(kept) > 0 {
		if err := s.store.Append(ctx, tenant, kept); err != nil {
			return err
		}
	}
	if refusal == nil {
		return nil
	}
	refused := refusal.Refused
	if refused == 0 {
		refused = len(entries)
	}
	s.limiter.Count(tenant, refusal.Reason, refused)
	return refusal.Err()
}

// Refused returns how many entries were refused, for each reason.
func (s *Store) Refused() map[Refused]int64 { return s.limiter.Counts() }

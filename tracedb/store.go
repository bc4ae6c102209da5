package tracedb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// Options of a Store. Dir and Bucket are required.
type Options struct {
	// Dir holds a folder for each tenant's log. It must be this process's alone.
	Dir string
	// Bucket holds a folder for each tenant's blocks.
	Bucket backend.Bucket
	// Sync and SyncEvery say when a write is acknowledged; see tempodb.Options.
	Sync      wal.Sync
	SyncEvery time.Duration
	// CutBytes and CutAge say when recent data becomes a block; see tempodb.Options.
	CutBytes int64
	CutAge   time.Duration
	// Retention is asked again and again which blocks of a tenant are dropped; nil is none.
	Retention func(tenant string) compact.RetainOptions
	// NoCompaction leaves blocks as they are cut.
	NoCompaction bool
	// Replayed, if set, is told while Open replays logs of each record's bytes, concurrently.
	Replayed func(bytes int)
	// Logger is told of what goes wrong; nil is silence.
	Logger *slog.Logger
}

// maxTenants bounds what names in requests can make a process open.
const maxTenants = 10_000

// ErrClosed is returned by a Store after Close.
var ErrClosed = errors.New("store is closed")

// TenantError refuses a tenant. The reason names it.
type TenantError struct{ Tenant, Reason string }

// Error names the tenant and says what is wrong with it.
func (e *TenantError) Error() string { return e.Reason }

// Store holds the databases of all tenants. Its methods may be called concurrently.
type Store struct {
	opts  Options
	shelf *block.Shelf // of all tenants

	mu      sync.RWMutex
	dbs     map[string]*tempodb.DB
	opening map[string]chan struct{} // databases that are being opened or given up; closed when that is over
	closed  bool
}

// Open opens the databases of all tenants that have a log in dir or blocks in the bucket. When it returns, all of them have
// replayed their logs.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: o, shelf: block.NewShelf(block.DefaultShelfBytes), dbs: make(map[string]*tempodb.DB), opening: make(map[string]chan struct{})}
	tenants := make(map[string]struct{})
	entries, err := os.ReadDir(o.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open store: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			tenants[e.Name()] = struct{}{}
		}
	}
	err = o.Bucket.List(ctx, "", func(name string) error {
		if tenant, folder := strings.CutSuffix(name, "/"); folder && tenant != block.QuarantineFolder {
			tenants[tenant] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open store: list tenants: %w", err)
	}
	var opening errgroup.Group
	opening.SetLimit(runtime.GOMAXPROCS(0))
	for _, tenant := range slices.Sorted(maps.Keys(tenants)) {
		if validTenant(tenant) != nil {
			o.Logger.Warn("folder is no tenant's and is left alone", "folder", tenant)
			continue
		}
		opening.Go(func() error {
			_, err := s.create(ctx, tenant)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// validTenant refuses names that are no safe names of folders in every object store.
func validTenant(tenant string) error {
	if err := block.CheckTenant(tenant); err != nil {
		return &TenantError{tenant, err.Error()}
	}
	return nil
}

// Tenant returns the database of tenant, or nil if it has none: if nothing was ever written for it.
func (s *Store) Tenant(tenant string) (*tempodb.DB, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	if db := s.dbs[tenant]; db != nil {
		return db, nil
	}
	return nil, validTenant(tenant)
}

// Database is Tenant, for who asks only; see readpath.Store.
func (s *Store) Database(_ context.Context, tenant string) (tempodb.Database, error) {
	db, err := s.Tenant(tenant)
	if db == nil {
		return nil, err // not a Database that holds nil
	}
	return db, err
}

// Create returns the database of tenant, and makes one if it has none.
func (s *Store) Create(ctx context.Context, tenant string) (*tempodb.DB, error) {
	s.mu.RLock()
	db, closed := s.current(tenant), s.closed
	s.mu.RUnlock()
	switch {
	case closed:
		return nil, ErrClosed
	case db != nil:
		return db, nil
	}
	if err := validTenant(tenant); err != nil {
		return nil, err
	}
	return s.create(ctx, tenant)
}

// current returns the database of tenant unless it is being given up. s.mu is held.
func (s *Store) current(tenant string) *tempodb.DB {
	if s.opening[tenant] != nil {
		return nil
	}
	return s.dbs[tenant]
}

// Append appends entries to the database of tenant, and makes one if it has none; see tempodb.DB.Append.
func (s *Store) Append(ctx context.Context, tenant string, entries []tempodb.Entry) error {
	db, err := s.Create(ctx, tenant)
	if err != nil {
		return err
	}
	return db.Append(ctx, entries)
}

// create opens the database of a tenant while others are opened and used.
func (s *Store) create(ctx context.Context, tenant string) (*tempodb.DB, error) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return nil, ErrClosed
		case s.current(tenant) != nil:
			defer s.mu.Unlock()
			return s.dbs[tenant], nil
		}
		opening := s.opening[tenant]
		if opening == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(s.dbs)+len(s.opening) >= maxTenants {
		s.mu.Unlock()
		return nil, &TenantError{tenant, fmt.Sprintf("tenant %q is new and this store has %d tenants already, which is the most it takes", tenant, maxTenants)}
	}
	over := make(chan struct{})
	s.opening[tenant] = over
	s.mu.Unlock()

	db, err := s.open(ctx, tenant)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.opening, tenant)
	close(over)
	if err == nil && s.closed {
		err = errors.Join(ErrClosed, db.Close())
	}
	if err != nil {
		return nil, err
	}
	s.dbs[tenant] = db
	return db, nil
}

// GiveUp closes the database of tenant and removes its folder, if there is nothing in it, and reports whether it did. A database that is used
// again is made anew; who was about to use it may get tempodb.ErrClosed once, and can try again.
func (s *Store) GiveUp(tenant string) (bool, error) {
	s.mu.Lock()
	db := s.current(tenant)
	if s.closed || db == nil {
		s.mu.Unlock()
		return false, nil
	}
	over := make(chan struct{})
	s.opening[tenant] = over
	s.mu.Unlock()
	gone, err := db.CloseIfEmpty()
	if gone {
		err = errors.Join(err, removeEmpty(filepath.Join(s.opts.Dir, tenant)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.opening, tenant)
	close(over)
	if gone {
		delete(s.dbs, tenant)
	}
	return gone, err
}

// removeEmpty removes the directory of a database with nothing in it; what was set aside there keeps it.
func removeEmpty(dir string) error {
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil {
		return err
	}
	for _, path := range append(segments, filepath.Join(dir, "wal"), filepath.Join(dir, "id"), dir) {
		if err := os.Remove(path); err != nil {
			if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
				return nil
			}
			return err
		}
	}
	return nil
}

func (s *Store) open(ctx context.Context, tenant string) (*tempodb.DB, error) {
	var retention func() compact.RetainOptions
	if s.opts.Retention != nil {
		retention = func() compact.RetainOptions { return s.opts.Retention(tenant) }
	}
	return tempodb.Open(ctx, tempodb.Options{
		Dir:       filepath.Join(s.opts.Dir, tenant),
		Bucket:    s.opts.Bucket,
		Name:      tenant,
		Codec:     Codec{},
		Sync:      s.opts.Sync,
		SyncEvery: s.opts.SyncEvery,
		CutBytes:  s.opts.CutBytes,
		CutAge:    s.opts.CutAge,
		Shelf:     s.shelf,
		Replayed:  s.opts.Replayed,
		Logger:    s.opts.Logger,

		NoCompaction: s.opts.NoCompaction,
		Retention:    retention,
	})
}

// Each calls fn with every tenant's database, in the order of names.
func (s *Store) Each(fn func(tenant string, db *tempodb.DB)) {
	s.mu.RLock()
	dbs := maps.Clone(s.dbs)
	s.mu.RUnlock()
	for _, tenant := range slices.Sorted(maps.Keys(dbs)) {
		fn(tenant, dbs[tenant])
	}
}

// Cut writes everything that was written before the call as blocks.
func (s *Store) Cut(ctx context.Context) error {
	var errs []error
	s.Each(func(_ string, db *tempodb.DB) { errs = append(errs, db.Cut(ctx)) })
	return errors.Join(errs...)
}

// Close closes all databases; see tempodb.DB.Close.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	opening := slices.Collect(maps.Values(s.opening))
	dbs := maps.Clone(s.dbs)
	s.mu.Unlock()
	for _, over := range opening {
		<-over
	}
	var closing errgroup.Group
	closing.SetLimit(runtime.GOMAXPROCS(0))
	for _, db := range dbs {
		closing.Go(db.Close)
	}
	return closing.Wait()
}

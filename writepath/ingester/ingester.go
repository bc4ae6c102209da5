package ingester

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// ErrClosed is returned by an Ingester after Close.
var ErrClosed = errors.New("ingester is closed")

// Ingester is a server of the protocol in ingesterpb. Its methods may be called concurrently.
type Ingester struct {
	o      Options
	log    *slog.Logger
	local  *local.Bucket
	ledger *ledger

	store    atomic.Pointer[tracedb.Store] // nil until the logs are replayed
	opened   chan struct{}                 // closed when they are, or can't be
	openErr  error                         // constant after opened is closed
	progress progress

	losses  losses
	limits  limits.Limiter
	uploads uploads
	full    atomic.Pointer[limits.Refusal] // why nothing can be taken now; nil if it can
	leaving atomic.Bool                    // nothing is taken any more
	pushing atomic.Int64                   // bytes of the pushes that are going on
	cutting atomic.Bool                    // because memory is short
	reads   chan struct{}                  // holds a token for each answer that is being made

	left     chan struct{}
	leftOnce sync.Once

	life    context.Context
	stop    context.CancelFunc
	done    sync.WaitGroup
	closing sync.Mutex // held to begin what done waits for, from outside of it
	closed  atomic.Bool
}

// progress is how far the replay has come.
type progress struct {
	begin       time.Time
	bytes, most atomic.Int64 // most counts what the files have, of which not all may be records
}

// Open starts an ingester and waits until it is ready.
func Open(ctx context.Context, o Options) (*Ingester, error) {
	i, err := Start(o)
	if err != nil {
		return nil, err
	}
	if err := i.Wait(ctx); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Start starts an ingester: it takes possession of the directory, and replays the logs while it returns. Until they are replayed, which Wait waits
// for, all that it is asked is Unavailable, and Ready says how far it is.
func Start(o Options) (*Ingester, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	fresh, err := checkDir(o.Dir, o.Instance)
	if err != nil {
		return nil, err
	}
	i := &Ingester{o: o, log: o.Logger, opened: make(chan struct{}), left: make(chan struct{}), reads: make(chan struct{}, maxReads)}
	i.life, i.stop = context.WithCancel(context.Background())
	i.progress.begin = time.Now()
	if err := i.losses.open(o.Dir, o.Whole, o.Logger); err != nil {
		return nil, fmt.Errorf("ingester directory %s: %w", o.Dir, err)
	}
	if fresh && o.Known {
		err = i.losses.note("the directory was empty, while the ring knew the instance")
	}
	if fresh && err == nil { // after the note: nothing would tell a second start that the directory was empty
		err = claimDir(o.Dir, o.Instance)
	}
	if err != nil {
		return nil, fmt.Errorf("ingester directory %s: %w", o.Dir, err)
	}
	if i.local, err = local.New(filepath.Join(o.Dir, blocksFolder)); err != nil {
		return nil, fmt.Errorf("ingester directory %s: %w", o.Dir, err)
	}
	if i.ledger, err = openLedger(filepath.Join(o.Dir, uploadedFile)); err != nil {
		return nil, fmt.Errorf("ingester directory %s: %w", o.Dir, err)
	}
	i.uploads.init()
	i.progress.most.Store(logBytes(filepath.Join(o.Dir, logFolder)))
	i.done.Go(i.run)
	return i, nil
}

// logBytes returns the size of all logs.
func logBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".wal") {
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}

// run replays the logs and then tends to blocks until Close.
func (i *Ingester) run() {
	over := make(chan struct{})
	i.done.Go(func() { i.tellProgress(over) })
	store, err := i.openStore()
	close(over)
	if err != nil {
		i.openErr = fmt.Errorf("ingester directory %s: %w", i.o.Dir, err)
		close(i.opened)
		return
	}
	i.log.Info("logs are replayed", "bytes", i.progress.bytes.Load(), "seconds", time.Since(i.progress.begin).Seconds())
	i.adopt(store)
	i.store.Store(store)
	close(i.opened)
	i.tend(store)
}

func (i *Ingester) openStore() (*tracedb.Store, error) {
	// Nobody else writes here.
	if _, err := i.local.RemoveStale(i.life, 0); err != nil {
		return nil, err
	}
	return tracedb.Open(i.life, tracedb.Options{
		Dir:       filepath.Join(i.o.Dir, logFolder),
		Bucket:    i.local,
		Sync:      i.o.Sync,
		SyncEvery: i.o.SyncEvery,
		CutBytes:  i.o.CutBytes,
		CutAge:    i.o.CutAge,
		Logger:    i.log,
		Replayed:  func(bytes int) { i.progress.bytes.Add(int64(bytes)) },
		Retention: func(tenant string) compact.RetainOptions {
			if i.o.Retention == nil {
				return compact.RetainOptions{}
			}
			return compact.RetainOptions{MaxAge: i.o.Retention(tenant)} // how much there is in all, the object store knows
		},
		NoCompaction: true,
	})
}

// tellProgress logs how far the replay is.
func (i *Ingester) tellProgress(over <-chan struct{}) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			i.log.Info("logs are being replayed", "bytes", i.progress.bytes.Load(), "of_at_most", i.progress.most.Load())
		}
	}
}

// Wait returns when the logs are replayed, or can't be.
func (i *Ingester) Wait(ctx context.Context) error {
	select {
	case <-i.opened:
		return i.openErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready returns nil if the ingester takes and answers, and else an error that says why not.
func (i *Ingester) Ready() error {
	switch {
	case i.closed.Load():
		return ErrClosed
	case i.store.Load() != nil:
		return nil
	}
	select {
	case <-i.opened:
		if i.openErr != nil {
			return i.openErr
		}
		return nil
	default:
		return fmt.Errorf("ingester %s replays its logs: %d MiB of at most %d, for %.0f seconds", i.o.Instance,
			i.progress.bytes.Load()>>20, i.progress.most.Load()>>20, time.Since(i.progress.begin).Seconds())
	}
}

// Close ends the ingester. What was acknowledged and not copied to the object store is on the disk, and is copied after the next Start; see Leave.
func (i *Ingester) Close() error {
	i.closing.Lock()
	before := i.closed.Swap(true)
	i.closing.Unlock()
	if before {
		return nil
	}
	i.stop()
	i.done.Wait()
	var err error
	if store := i.store.Load(); store != nil {
		err = store.Close()
	}
	return errors.Join(err, i.ledger.close(), i.local.Close())
}

// losses is until when answers don't count.
type losses struct {
	dir   string
	whole time.Duration
	log   *slog.Logger

	mu     sync.Mutex
	until  time.Time
	reason string
	// stalled is when the object store was last found not to work, while answers don't count; the zero time if it works.
	stalled time.Time
	seen    map[*tempodb.DB]int64 // DB.Losses that were noted
}

func (l *losses) open(dir string, whole time.Duration, log *slog.Logger) (err error) {
	l.dir, l.whole, l.log, l.seen = dir, whole, log, make(map[*tempodb.DB]int64)
	l.until, l.reason, err = readLost(dir, whole)
	return err
}

// note says that something was lost now.
func (l *losses) note(reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noteLocked(reason)
}

func (l *losses) noteLocked(reason string) error {
	now := time.Now()
	l.until, l.reason = now.Add(l.whole), reason
	l.log.Warn("this ingester may lack something that it acknowledged: its answers don't count until its replicas have surely copied it to the object store",
		"reason", reason, "until", l.until)
	return writeLost(l.dir, now, reason)
}

// look notes what was lost of a database since it was asked last. It is called after a question to it was answered.
func (l *losses) look(tenant string, db *tempodb.DB) {
	now := db.Losses()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now == l.seen[db] {
		return
	}
	l.seen[db] = now
	if err := l.noteLocked("damage in the data of tenant " + tenant); err != nil {
		l.log.Error("that something was lost can't be noted; after a restart it will not be known", "error", err)
	}
}

// store is told whether the object store works. What the replicas shared with what was lost here they copy only while it does, so the time stands still meanwhile.
func (l *losses) store(works bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case !l.stalled.IsZero():
		l.until = l.until.Add(now.Sub(l.stalled))
		if err := writeLost(l.dir, l.until.Add(-l.whole), l.reason); err != nil {
			l.log.Warn("that the object store does not work can't be noted; after a restart, answers count too early", "error", err)
		}
	case works || !now.Before(l.until):
		return
	}
	if l.stalled = now; works {
		l.stalled = time.Time{}
	}
}

// forget lets go of a database that is closed.
func (l *losses) forget(db *tempodb.DB) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, db)
}

// none reports whether nothing that was acknowledged can be missing.
func (l *losses) none() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalled.IsZero() && !time.Now().Before(l.until)
}

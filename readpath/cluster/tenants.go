package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// tenants follows the blocks of the tenants that are asked about.
type tenants struct {
	store *Store
	mu    sync.Mutex
	open  map[string]*following
}

// following is the blocks of one tenant. Who uses it has it from follow and gives it back to release.
type following struct {
	tenant string
	ready  chan struct{} // closed when reader or err is there
	reader *tempodb.Reader
	err    error

	// Guarded by tenants.mu:
	users int
	used  time.Time // when it was given back last

	refreshing chan struct{} // holds a token while the list is made new before someone has to wait for it
}

// follow returns the blocks of a tenant: as they were found last, or, if nobody follows them, as they are now.
func (t *tenants) follow(ctx context.Context, tenant string) (*following, error) {
	t.mu.Lock()
	f := t.open[tenant]
	if f == nil {
		f = &following{tenant: tenant, ready: make(chan struct{}), refreshing: make(chan struct{}, 1)}
		t.makeRoom()
		t.open[tenant] = f
		// For all who wait for it, whatever becomes of the first.
		t.store.work.Go(func() { t.begin(f) })
	}
	f.users++
	t.mu.Unlock()
	select {
	case <-f.ready:
		if f.err != nil {
			t.release(f)
			return nil, f.err
		}
		return f, nil
	case <-ctx.Done():
		t.release(f)
		return nil, ctx.Err()
	}
}

func (t *tenants) begin(f *following) {
	o := &t.store.options
	f.reader, f.err = tempodb.OpenReader(t.store.life, tempodb.ReaderOptions{
		Bucket: o.Bucket, CacheBytes: -1, Shelf: o.Shelf, Name: f.tenant, Codec: tracedb.Codec{}, PollEvery: o.PollEvery, Logger: o.Logger,
	})
	if f.err != nil {
		t.mu.Lock()
		if t.open[f.tenant] == f {
			delete(t.open, f.tenant) // the next question tries again
		}
		t.mu.Unlock()
	}
	close(f.ready)
}

func (t *tenants) release(f *following) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.users--
	f.used = time.Now()
}

// makeRoom lets the tenant go about which nobody asks for the longest time, if there are too many. Who calls holds mu.
func (t *tenants) makeRoom() {
	if len(t.open) < t.store.options.Tenants {
		return
	}
	var oldest *following
	for _, f := range t.open {
		if f.users == 0 && (oldest == nil || f.used.Before(oldest.used)) {
			oldest = f
		}
	}
	if oldest != nil {
		t.letGo(oldest)
	}
}

// letGo stops to follow a tenant that nobody uses. Who calls holds mu.
func (t *tenants) letGo(f *following) {
	delete(t.open, f.tenant)
	t.store.work.Go(func() {
		<-f.ready
		if f.reader != nil {
			f.reader.Close()
		}
	})
}

// sweepLoop lets tenants go about which nobody asks any more.
func (t *tenants) sweepLoop() {
	ticker := time.NewTicker(t.store.options.Idle / 4)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			t.sweep(now)
		case <-t.store.life.Done():
			return
		}
	}
}

func (t *tenants) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.open {
		if f.users == 0 && now.Sub(f.used) >= t.store.options.Idle {
			t.letGo(f)
		}
	}
}

// close is called when nobody uses anything any more.
func (t *tenants) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.open {
		if f.reader != nil {
			f.reader.Close()
		}
	}
	clear(t.open)
}

// freshen lists the blocks of f, if that is due, in the background: so that questions hardly ever have to wait for it.
func (t *tenants) freshen(f *following, kept time.Duration) {
	if age(f.reader.AsOf(), time.Now()) < kept/2 {
		return
	}
	select {
	case f.refreshing <- struct{}{}:
	default:
		return
	}
	t.mu.Lock()
	f.users++
	t.mu.Unlock()
	t.store.work.Go(func() {
		defer t.release(f)
		defer func() { <-f.refreshing }()
		if err := f.reader.CatchUp(t.store.life, time.Now()); err != nil && t.store.life.Err() == nil {
			t.store.options.Logger.Warn("the blocks of a tenant can't be listed; questions will try again", "tenant", f.tenant, "error", err)
		}
	})
}

// age is how old something is that was so at a time, at now. Of the two clocks of a machine the one is believed that says more: one stands still while the machine
// sleeps, the other may be set back.
func age(at, now time.Time) time.Duration { return max(now.Sub(at), now.Round(0).Sub(at.Round(0))) }

package objectstores

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// faultTime returns how long a test is to go on: otherwise, or what FAULT_TIME says.
func faultTime(t *testing.T, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("FAULT_TIME")
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("FAULT_TIME: %v", err)
	}
	return d
}

// remote is an object store of another process, and the proxy before it.
type remote struct {
	kind   string
	server *server
	proxy  *faults.Proxy
	// tears says that a server which is killed while it writes may leave half an object, as no store does whose double it is.
	tears bool
	// open returns the bucket at an address, as the store's client has it.
	open func(address string) (closer, error)
}

// closer is a bucket with connections.
type closer interface {
	backend.Bucket
	Close() error
}

// remotes are the stores, each with its objects on disk.
var remotes = map[string]func(t *testing.T, seed uint64) *remote{
	"gcs": func(t *testing.T, seed uint64) *remote {
		r := &remote{kind: "gcs", tears: true, open: func(address string) (closer, error) { return tryGCS(address, databasePrefix, impatient) }}
		r.server = startGCS(t, func(address string) string {
			r.proxy = newProxy(t, address, seed)
			return r.proxy.Address()
		}, "-backend", "filesystem", "-filesystem-root", t.TempDir())
		return r
	},
	"s3": func(t *testing.T, seed uint64) *remote {
		r := &remote{kind: "s3", open: func(address string) (closer, error) { return tryS3(address, databasePrefix, impatient) }}
		r.server, _ = startS3(t)
		r.proxy = newProxy(t, r.server.address, seed)
		return r
	},
}

func eachRemote(t *testing.T, test func(t *testing.T, r *remote)) {
	for _, kind := range []string{"gcs", "s3"} {
		t.Run(kind, func(t *testing.T) {
			r := remotes[kind](t, *seedFlag)
			r.proxy.Kinds = faults.More
			test(t, r)
		})
	}
}

const (
	databasePrefix = "db"
	databaseName   = "lines"
	// impatient is how long a client waits for a store that does nothing.
	impatient = 500 * time.Millisecond
)

// restart kills the server and starts it again on the same objects.
func (r *remote) restart(during func()) error {
	if r.tears {
		r.proxy.Writing.Lock()
		defer r.proxy.Writing.Unlock()
	}
	r.server.kill()
	during()
	return r.server.run()
}

// stack is the bucket as a program has it: counted, hedged, retried.
type stack struct {
	backend.Bucket
	client  closer
	counted *instrument.Counted
	hedged  *instrument.Hedged
	retried atomic.Int64
}

func (r *remote) stack(address string) (*stack, error) {
	client, err := r.open(address)
	if err != nil {
		return nil, err
	}
	s := &stack{client: client}
	s.counted = instrument.Count(client, instrument.CountOptions{})
	s.hedged = instrument.Hedge(s.counted, instrument.HedgeOptions{Longest: impatient / 2, Share: 0.2})
	s.Bucket = instrument.Retry(s.hedged, instrument.RetryOptions{
		Tries: 4, First: 5 * time.Millisecond, Longest: 50 * time.Millisecond, TryTime: impatient, ListTime: impatient, Within: 3 * time.Second,
		OnRetry: func(instrument.Op, string, error, time.Duration) { s.retried.Add(1) },
	})
	return s, nil
}

// through opens the bucket through the proxy, as often as it takes.
func (r *remote) through(t *testing.T) *stack {
	t.Helper()
	for range 1000 {
		if s, err := r.stack(r.proxy.Address()); err == nil {
			return s
		}
	}
	t.Fatal("the bucket can't be opened")
	return nil
}

// databaseOptions are those of a database that is always cutting and merging.
func databaseOptions(dir string, b backend.Bucket) tempodb.Options {
	return tempodb.Options{
		Dir: dir, Bucket: b, Name: databaseName, Codec: lines{}, CutBytes: 96 << 10, MaxWaiting: 8,
		Compaction: compact.PlanOptions{MaxInputs: 4, Growth: 2},
	}
}

// history is one database in use by many while its store is beset.
type history struct {
	*remote
	t      *testing.T
	dir    string
	bucket *stack
	ledger *ledger
	random *rand.Rand // of who besets

	db     atomic.Pointer[tempodb.DB]
	reader *tempodb.Reader
	cut    atomic.Int64 // so many of the ledger's puts, the first, are in blocks
	polled atomic.Int64 // and so many the reader knows of

	answers, refused, read, readRefused, behind, openFailed, cuts, compactions atomic.Int64
	longest                                                                    atomic.Int64 // nanoseconds, of a question

	mu     sync.Mutex
	events map[string]int // what was done to the store
	errs   []string       // of questions
}

func (h *history) note(event string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events[event]++
}

// patience is the time that a question has; hanging is when it has overstayed it.
const (
	patience = 5 * time.Second
	hanging  = 20 * time.Second
)

// limited calls f with a question's time. That it ends then is part of what is tested.
func (h *history) limited(what string, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begun := time.Now()
	err := f(ctx)
	took := time.Since(begun)
	if took > hanging {
		h.t.Errorf("%s hangs: it took %s: %v", what, took, err)
	}
	for {
		longest := h.longest.Load()
		if int64(took) <= longest || h.longest.CompareAndSwap(longest, int64(took)) {
			return err
		}
	}
}

// open opens the database, as often as it takes.
func (h *history) open() {
	for {
		err := h.limited("open", func(ctx context.Context) error {
			db, err := tempodb.Open(ctx, databaseOptions(h.dir, h.bucket))
			h.db.Store(db)
			return err
		})
		if err == nil {
			return
		}
		h.openFailed.Add(1)
	}
}

// close closes the database, which must not take long whatever the store does.
func (h *history) close() {
	if err := h.limited("close", func(context.Context) error { return h.db.Load().Close() }); err != nil {
		h.t.Errorf("close: %v", err)
	}
	s := h.db.Load().Stats()
	h.cuts.Add(s.Cuts)
	h.compactions.Add(s.Compactions)
	if s.Unindexed > 0 || len(s.DamagedBlocks) > 0 || s.Salvaged > 0 || len(s.Damage) > 0 {
		h.t.Errorf("the database has met damage, of which there is none: %d records, %v, %d blocks salvaged, %v", s.Unindexed, s.DamagedBlocks, s.Salvaged, s.Damage)
	}
}

// write appends puts until it is told to stop. What was not acknowledged is appended again.
func (h *history) write(writer int, stop <-chan struct{}) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		id := putID{writer, n}
		entries := h.ledger.begin(id)
		for {
			err := h.limited("append", func(ctx context.Context) error { return h.db.Load().Append(ctx, entries) })
			if err == nil {
				break
			}
			if errors.Is(err, tempodb.ErrBehind) || errors.Is(err, context.DeadlineExceeded) {
				h.behind.Add(1)
			} else if !errors.Is(err, tempodb.ErrClosed) {
				h.t.Errorf("append: %v", err)
			}
			select {
			case <-stop:
				return
			case <-pace.C:
			}
		}
		h.ledger.acknowledge(id)
		select {
		case <-stop:
			return
		case <-pace.C:
		}
	}
}

// question asks the database or the reader for something acknowledged. The answer is right, or it is an error.
func (h *history) question(rng *rand.Rand) {
	db, good, bad, before := asker(h.db.Load()), &h.answers, &h.refused, 0
	if rng.IntN(3) == 0 {
		if db, good, bad, before = h.reader, &h.read, &h.readRefused, int(h.polled.Load()); before == 0 {
			return
		}
	}
	id, any := h.ledger.some(rng, before)
	if !any {
		return
	}
	err := h.limited("question", func(ctx context.Context) error { return h.ledger.ask(ctx, db, rng, id) })
	var w wrongError
	switch {
	case errors.As(err, &w):
		h.t.Errorf("%T: %v", db, err)
	case err == nil:
		good.Add(1)
	case errors.Is(err, tempodb.ErrClosed):
	default:
		bad.Add(1)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.errs) < 3 {
			h.errs = append(h.errs, err.Error()[:min(len(err.Error()), 400)])
		}
	}
}

// maintain has the database cut and merge, beside what it does of itself, and the reader look.
func (h *history) maintain(rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0:
		before := h.ledger.size()
		if h.limited("cut", h.db.Load().Cut) == nil {
			h.cut.Store(int64(before))
		}
	case 1:
		_ = h.limited("compact", h.db.Load().Compact)
	default:
		before := h.cut.Load()
		if h.limited("poll", h.reader.Poll) == nil {
			h.polled.Store(before)
		}
	}
}

// beset does something to the store by chance, for a while.
func (h *history) beset(stop <-chan struct{}) {
	wait := func(d time.Duration) {
		select {
		case <-stop:
		case <-time.After(d):
		}
	}
	h.proxy.Spoil(0.02 + 0.25*h.random.Float64())
	switch h.random.IntN(8) {
	case 0:
		h.note("calm")
		h.proxy.Spoil(0)
		wait(300 * time.Millisecond)
	case 1, 2:
		h.note("faults")
		wait(700 * time.Millisecond)
	case 3, 4:
		h.note("server killed")
		if err := h.restart(func() { wait(time.Duration(h.random.IntN(500)) * time.Millisecond) }); err != nil {
			h.t.Errorf("the server does not come up again: %v", err)
		}
		wait(300 * time.Millisecond)
	case 5:
		h.note("reopened")
		h.close()
		h.open()
		wait(300 * time.Millisecond)
	default:
		o := []faults.Outage{faults.Refused, faults.Silent, faults.Busy}[h.random.IntN(3)]
		h.note("down (" + strings.TrimSuffix(string(o), " before") + ")")
		h.proxy.Down(o)
		wait(time.Duration(300+h.random.IntN(1200)) * time.Millisecond)
		if h.random.IntN(2) == 0 {
			h.note("reopened after a close without a store")
			h.close()
			err := h.limited("open", func(ctx context.Context) error {
				_, err := tempodb.Open(ctx, databaseOptions(h.dir, h.bucket))
				return err
			})
			if err == nil {
				h.t.Error("a database is opened without its store")
			}
			h.proxy.Down(faults.None)
			h.open()
		}
		h.proxy.Down(faults.None)
	}
}

// TestADatabaseOnABesetStoreLosesNothing: while many append to a database and ask it, and another process' reader reads, its store fails in
// every way. What was acknowledged is in every answer that is no error, and afterwards in all.
func TestADatabaseOnABesetStoreLosesNothing(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote) {
		h := &history{remote: r, t: t, dir: t.TempDir(), ledger: newLedger(*seedFlag), random: rand.New(rand.NewPCG(*seedFlag, 7)), events: map[string]int{}}
		h.bucket = r.through(t)
		h.open()
		// The reader is another process': it has a client of its own.
		theirs := r.through(t)
		var err error
		if h.reader, err = tempodb.OpenReader(context.Background(), tempodb.ReaderOptions{Bucket: theirs, Name: databaseName, Codec: lines{}, PollEvery: time.Second}); err != nil {
			t.Fatal(err)
		}

		stop := make(chan struct{})
		var group sync.WaitGroup
		for w := range 3 {
			group.Go(func() { h.write(w, stop) })
		}
		repeat := func(n uint64, do func(rng *rand.Rand)) {
			group.Go(func() {
				rng := rand.New(rand.NewPCG(*seedFlag, n))
				pace := time.NewTicker(2 * time.Millisecond)
				defer pace.Stop()
				for !t.Failed() {
					do(rng)
					select {
					case <-stop:
						return
					case <-pace.C:
					}
				}
			})
		}
		for n := range 3 {
			repeat(100+uint64(n), h.question)
		}
		repeat(200, h.maintain)
		end := time.After(faultTime(t, 6*time.Second))
		for ended := false; !ended && !t.Failed(); {
			h.beset(stop)
			select {
			case <-end:
				ended = true
			default:
			}
		}
		close(stop)
		group.Wait()
		h.proxy.Spoil(0)
		h.proxy.Settle()

		h.check(r, "at the end")
		h.close()
		h.open()
		found := h.check(r, "after reopening")
		h.check(r, "by a reader")
		h.close()
		h.reader.Close()
		for _, s := range []*stack{h.bucket, theirs} {
			if err := s.client.Close(); err != nil {
				t.Error(err)
			}
		}
		noGoroutines(t, r)
		total := h.bucket.counted.Counts().Total()
		t.Logf("%v", h.events)
		t.Logf("errors are like:\n%s", strings.Join(h.errs, "\n"))
		t.Logf("%d puts acknowledged, %d lines found; %d appends held back; %d answers of the database and %d errors, %d and %d of the reader, the longest took %s; %d blocks cut, %d merges; %d times Open failed",
			h.ledger.size(), found, h.behind.Load(), h.answers.Load(), h.refused.Load(), h.read.Load(), h.readRefused.Load(), time.Duration(h.longest.Load()).Round(time.Millisecond), h.cuts.Load(), h.compactions.Load(), h.openFailed.Load())
		t.Logf("%d requests, %d errors, %d retried, hedges %+v; proxy: %s", total.Requests, total.Errors, h.bucket.retried.Load(), h.bucket.hedged.Stats(), r.proxy)
	})
}

// check compares everything that a database, or a reader, says with what was acknowledged.
func (h *history) check(r *remote, when string) (lines int) {
	h.t.Helper()
	db := asker(h.db.Load())
	if when == "by a reader" {
		if err := h.db.Load().Cut(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		if err := h.reader.Poll(context.Background()); err != nil {
			h.t.Fatal(err)
		}
		db = h.reader
	}
	lines, err := h.ledger.everything(context.Background(), db)
	if err != nil {
		h.t.Errorf("%s: %v", when, err)
	}
	if when != "at the end" {
		r.verify(h.t, h.db.Load())
	}
	return lines
}

// verify looks at the store directly: all blocks are sound, and there is nothing that is not a block which the database serves.
func (r *remote) verify(t *testing.T, db *tempodb.DB) {
	t.Helper()
	ctx := context.Background()
	direct, err := r.open(r.server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	// Compaction goes on until nothing is due; then the store stands still.
	if err := db.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	var folders []string
	if err := direct.List(ctx, databaseName, func(name string) error { folders = append(folders, name); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		id := block.ID(strings.TrimSuffix(folder, "/"))
		b, err := block.Open(ctx, direct, databaseName, id, lines{})
		if err == nil {
			err = b.Verify(ctx)
		}
		if err != nil {
			var objects []string
			_ = direct.List(ctx, databaseName+"/"+string(id), func(name string) error { objects = append(objects, name); return nil })
			t.Errorf("block %s, which has %q: %v", id, objects, err)
		}
	}
	if served := db.Stats().Blocks; served != len(folders) {
		t.Errorf("%d blocks are in the store, and %d are served", len(folders), served)
	}
	err = direct.List(ctx, "", func(name string) error {
		if name != databaseName+"/" {
			t.Errorf("%s is in the bucket", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// noGoroutines fails if the database, the reader or a client have left a goroutine behind. It ends the server.
func noGoroutines(t *testing.T, r *remote) {
	t.Helper()
	// GCS' client leaves its connections open, for a while.
	r.proxy.Close()
	r.server.kill()
	var left []string
	for range 200 {
		left = left[:0]
		buf := make([]byte, 4<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if slices.ContainsFunc([]string{"jaeger-tempo/tempo/tempodb", "net/http.(*persistConn)", "minio", "cloud.google.com"}, func(of string) bool { return strings.Contains(g, of) }) {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left[:min(len(left), 5)], "\n\n"))
}

// TestAppendsAreHeldBackWhileTheStoreIsDown: what waits to be written is bounded, however long the store is silent, and a Close and an Open
// do not wait for it.
func TestAppendsAreHeldBackWhileTheStoreIsDown(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote) {
		bucket, dir := r.through(t), t.TempDir()
		o := databaseOptions(dir, bucket)
		o.MaxWaiting = 4
		db, err := tempodb.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		h := &history{remote: r, t: t, dir: dir, bucket: bucket, ledger: newLedger(*seedFlag)}
		h.ledger.small = true
		h.db.Store(db)
		r.proxy.Down(faults.Silent)
		var group sync.WaitGroup
		const enough = 20_000 // puts, many times what may wait
		for w := range 8 {
			group.Go(func() {
				for n := range enough {
					id := putID{w, n}
					entries := h.ledger.begin(id)
					if err := db.Append(t.Context(), entries); err != nil {
						if !errors.Is(err, tempodb.ErrBehind) {
							t.Errorf("append: %v", err)
						}
						return
					}
					h.ledger.acknowledge(id)
				}
			})
		}
		group.Wait()
		s := db.Stats()
		if h.ledger.size() == 8*enough {
			t.Error("no append was refused")
		}
		// Beside what waits, one part is being filled; and each writer may have gone beyond the limit by a put of 2 KB.
		if limit := int64(o.MaxWaiting+1)*o.CutBytes + 8*2_000; s.RecentBytes > limit {
			t.Errorf("%d bytes are in no block yet, more than %d", s.RecentBytes, limit)
		}
		t.Logf("%d puts were acknowledged before appends were refused; %d bytes wait, and take %d bytes of memory", h.ledger.size(), s.RecentBytes, s.IndexBytes)
		// All of it is there, since nothing is in the store.
		if _, err := h.ledger.everything(t.Context(), db); err != nil {
			t.Error(err)
		}
		h.close()
		if _, err := tempodb.Open(t.Context(), o); err == nil {
			t.Error("a database is opened without its store")
		}
		r.proxy.Down(faults.None)
		h.open()
		if err := h.db.Load().Cut(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := h.ledger.everything(t.Context(), h.db.Load()); err != nil {
			t.Error(err)
		}
		h.close()
		h.open()
		r.verify(t, h.db.Load())
		h.close()
		if err := bucket.client.Close(); err != nil {
			t.Error(err)
		}
		noGoroutines(t, r)
		t.Log("the longest call took ", time.Duration(h.longest.Load()))
	})
}

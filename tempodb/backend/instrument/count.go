package instrument

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// Op is what is asked of a bucket.
type Op string

// The operations. OpWrite is counted at Commit, or at Abort if it comes to that.
const (
	OpRead   Op = "read"
	OpSize   Op = "size"
	OpList   Op = "list"
	OpWrite  Op = "write"
	OpDelete Op = "delete"
	OpClaim  Op = "claim"
)

// Key is what counters are kept for.
type Key struct {
	Op   Op
	Kind string // of object
}

// Tally counts the requests of one Key.
type Tally struct {
	Requests int64
	Errors   int64 // of Requests; an object that is not there, or ends early, is none
	Canceled int64 // of Requests, by their caller; they are no errors
	Bytes    int64 // read or written
	Names    int64 // listed
	Time     time.Duration
}

func (t *Tally) add(o Tally) {
	t.Requests += o.Requests
	t.Errors += o.Errors
	t.Canceled += o.Canceled
	t.Bytes += o.Bytes
	t.Names += o.Names
	t.Time += o.Time
}

// Counts are all counters of a bucket at one time.
type Counts map[Key]Tally

// Op returns the sum of an operation's counters.
func (c Counts) Op(op Op) (sum Tally) {
	for key, t := range c {
		if key.Op == op {
			sum.add(t)
		}
	}
	return sum
}

// Total returns the sum of all counters.
func (c Counts) Total() (sum Tally) {
	for _, t := range c {
		sum.add(t)
	}
	return sum
}

// Since returns what has been counted since before, without what was not used.
func (c Counts) Since(before Counts) Counts {
	diff := Counts{}
	for key, t := range c {
		b := before[key]
		t.add(Tally{-b.Requests, -b.Errors, -b.Canceled, -b.Bytes, -b.Names, -b.Time})
		if t != (Tally{}) {
			diff[key] = t
		}
	}
	return diff
}

// CountOptions say what is told apart.
type CountOptions struct {
	// Kind returns the kind of an object, by its name; for OpList by the folder's name. There must be few of them. If nil all are "object".
	Kind func(name string) string
}

// LastElement returns a Kind: the last element of the name, if it is one of those given, else "other".
func LastElement(kinds ...string) func(name string) string {
	return func(name string) string {
		if base := path.Base(name); slices.Contains(kinds, base) {
			return base
		}
		return "other"
	}
}

// Counted is what Count returns.
type Counted struct {
	backend.Bucket
	kind func(string) string

	mu     sync.Mutex
	counts Counts
}

// Count returns b with counters.
func Count(b backend.Bucket, o CountOptions) *Counted {
	if o.Kind == nil {
		o.Kind = func(string) string { return "object" }
	}
	return &Counted{Bucket: b, kind: o.Kind, counts: Counts{}}
}

// Counts returns the counters as they are now.
func (c *Counted) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// count adds a request that began at the time given.
func (c *Counted) count(op Op, name string, begun time.Time, bytes, names int64, err error) {
	one := Tally{Requests: 1, Bytes: bytes, Names: names, Time: time.Since(begun)}
	switch {
	case definite(err):
	case errors.Is(err, context.Canceled):
		one.Canceled = 1
	default:
		one.Errors = 1
	}
	key := Key{op, c.kind(name)}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.counts[key]
	t.add(one)
	c.counts[key] = t
}

// ReadAt implements backend.Bucket.
func (c *Counted) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	begun := time.Now()
	n, err := c.Bucket.ReadAt(ctx, name, p, off)
	c.count(OpRead, name, begun, int64(n), 0, err)
	return n, err
}

// Size implements backend.Bucket.
func (c *Counted) Size(ctx context.Context, name string) (int64, error) {
	begun := time.Now()
	size, err := c.Bucket.Size(ctx, name)
	c.count(OpSize, name, begun, 0, 0, err)
	return size, err
}

// List implements backend.Bucket. The time that fn takes is not counted.
func (c *Counted) List(ctx context.Context, dir string, fn func(name string) error) error {
	begun := time.Now()
	var names int64
	var refused error // by fn
	err := c.Bucket.List(ctx, dir, func(name string) error {
		names++
		entered := time.Now()
		refused = fn(name)
		begun = begun.Add(time.Since(entered))
		return refused
	})
	if refused != nil {
		c.count(OpList, dir, begun, 0, names, nil)
	} else {
		c.count(OpList, dir, begun, 0, names, err)
	}
	return err
}

// Delete implements backend.Bucket.
func (c *Counted) Delete(ctx context.Context, name string) error {
	begun := time.Now()
	err := c.Bucket.Delete(ctx, name)
	c.count(OpDelete, name, begun, 0, 0, err)
	return err
}

// CreateIfAbsent implements backend.Claimer.
func (c *Counted) CreateIfAbsent(ctx context.Context, name string, content []byte) (bool, error) {
	begun := time.Now()
	created, err := backend.CreateIfAbsent(ctx, c.Bucket, name, content)
	c.count(OpClaim, name, begun, int64(len(content)), 0, err)
	return created, err
}

// Create implements backend.Bucket.
func (c *Counted) Create(ctx context.Context, name string) (backend.ObjectWriter, error) {
	w, err := c.Bucket.Create(ctx, name)
	if err != nil {
		c.count(OpWrite, name, time.Now(), 0, 0, err)
		return nil, err
	}
	return &countedWriter{ObjectWriter: w, c: c, name: name}, nil
}

type countedWriter struct {
	backend.ObjectWriter
	c     *Counted
	name  string
	bytes int64
	time  time.Duration // in Write
	done  bool
}

// Write implements io.Writer.
func (w *countedWriter) Write(p []byte) (int, error) {
	begun := time.Now()
	n, err := w.ObjectWriter.Write(p)
	w.bytes += int64(n)
	w.time += time.Since(begun)
	return n, err
}

// Commit implements backend.ObjectWriter. Each call is a request.
func (w *countedWriter) Commit() error {
	begun := time.Now().Add(-w.time)
	w.time = 0
	err := w.ObjectWriter.Commit()
	w.c.count(OpWrite, w.name, begun, w.bytes, 0, err)
	w.done = true
	return err
}

// Abort implements backend.ObjectWriter. What was not committed counts as cancelled.
func (w *countedWriter) Abort() {
	w.ObjectWriter.Abort()
	if !w.done {
		w.c.count(OpWrite, w.name, time.Now().Add(-w.time), w.bytes, 0, context.Canceled)
		w.done = true
	}
}

// Repeatable says what the writer below says.
func (w *countedWriter) Repeatable() bool {
	r, ok := w.ObjectWriter.(repeatable)
	return ok && r.Repeatable()
}

var (
	labels          = []string{"operation", "kind"}
	requestsMetric  = prometheus.NewDesc("tempo_backend_requests_total", "Requests to the object store.", labels, nil)
	errorsMetric    = prometheus.NewDesc("tempo_backend_errors_total", "Requests to the object store that failed. An object that does not exist is no error.", labels, nil)
	cancelledMetric = prometheus.NewDesc("tempo_backend_cancelled_total", "Requests to the object store that their caller gave up, as the slower of two hedged reads.", labels, nil)
	bytesMetric     = prometheus.NewDesc("tempo_backend_transferred_bytes_total", "Bytes read from and written to the object store.", labels, nil)
	timeMetric      = prometheus.NewDesc("tempo_backend_requests_seconds_total", "Time that requests to the object store took.", labels, nil)
)

// Collector returns the counters as metrics, for one registry.
func (c *Counted) Collector() prometheus.Collector { return collector{c} }

type collector struct{ c *Counted }

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsMetric, errorsMetric, cancelledMetric, bytesMetric, timeMetric} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	for key, t := range c.c.Counts() {
		send := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, string(key.Op), key.Kind)
		}
		send(requestsMetric, float64(t.Requests))
		send(errorsMetric, float64(t.Errors))
		send(cancelledMetric, float64(t.Canceled))
		send(bytesMetric, float64(t.Bytes))
		send(timeMetric, t.Time.Seconds())
	}
}

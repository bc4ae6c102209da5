package compactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// Options say what a Compactor does. Bucket and Codec are required.
type Options struct {
	// Bucket is the object store, each tenant in a folder. There should be no cache in front of it.
	Bucket backend.Bucket
	// Codec says what values mean.
	Codec tempodb.Codec
	// Claims says that the Bucket is a backend.Claimer that works.
	Claims bool
	// Owner is asked whether this process owns a tenant, or, on a store without claims, a job: TENANT/JOB. Nil is all.
	Owner func(key string) bool
	// Retention says what is kept of a tenant; nil is everything.
	Retention func(tenant string) compact.RetainOptions
	// PollEvery and Grace are as in tempodb.CompactorOptions; new tenants are looked for as often as new blocks.
	PollEvery, Grace time.Duration
	// Merges is how many merges go on at once; 1 if zero.
	Merges int
	// Writer names this process for a person to read.
	Writer string
	Logger *slog.Logger
}

// Compactor does it. Its methods may be called concurrently.
type Compactor struct {
	opts  Options
	slots chan struct{}

	mu      sync.Mutex
	looked  bool // at the tenants, once at least
	tenants map[string]*tenant
}

// tenant is one that is being kept in order.
type tenant struct {
	*tempodb.Compactor
	stop context.CancelFunc
	done chan struct{}
}

// New returns a Compactor that does nothing before Run.
func New(o Options) (*Compactor, error) {
	if o.Bucket == nil || o.Codec == nil {
		return nil, errors.New("compactor: Bucket and Codec are required")
	}
	if o.PollEvery <= 0 {
		o.PollEvery = 30 * time.Second
	}
	if o.Owner == nil {
		o.Owner = func(string) bool { return true }
	}
	if o.Retention == nil {
		o.Retention = func(string) compact.RetainOptions { return compact.RetainOptions{} }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Compactor{opts: o, slots: make(chan struct{}, max(o.Merges, 1)), tenants: make(map[string]*tenant)}, nil
}

// Run keeps the tenants in order until ctx ends, and returns when all that it began has ended.
func (c *Compactor) Run(ctx context.Context) {
	ticker := time.NewTicker(c.opts.PollEvery)
	defer ticker.Stop()
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.opts.Logger.Error("the compactor can't look for tenants; it is tried again", "in", c.opts.PollEvery, "error", err)
		}
		select {
		case <-ctx.Done():
			c.end(c.names())
			return
		case <-ticker.C:
		}
	}
}

// look begins with tenants that are new, and ends with those that are gone.
func (c *Compactor) look(ctx context.Context) error {
	there := make(map[string]bool)
	err := c.opts.Bucket.List(ctx, "", func(name string) error {
		if name, folder := strings.CutSuffix(name, "/"); folder && block.CheckTenant(name) == nil {
			there[name] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	known := c.names()
	c.end(slices.DeleteFunc(slices.Clone(known), func(name string) bool { return there[name] }))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if !slices.Contains(known, name) {
			errs = append(errs, c.begin(ctx, name))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = true
	return errors.Join(errs...)
}

func (c *Compactor) begin(ctx context.Context, name string) error {
	o := tempodb.CompactorOptions{
		Bucket: c.opts.Bucket, Name: name, Codec: c.opts.Codec, Writer: c.opts.Writer, PollEvery: c.opts.PollEvery, Grace: c.opts.Grace,
		Slots: c.slots, Logger: c.opts.Logger,
		Owner:     func() bool { return c.opts.Owner(name) },
		Retention: func() compact.RetainOptions { return c.opts.Retention(name) },
		Around: func(ctx context.Context, job *compact.Job) (context.Context, func(error)) {
			span, ctx := tracing.Span(ctx, "merge", "tenant", name, "job", job.Name, "blocks", len(job.Inputs), "bytes", job.Bytes)
			return ctx, func(err error) { tracing.End(span, err) }
		},
	}
	if !c.opts.Claims {
		o.Owns = func(job string) bool { return c.opts.Owner(name + "/" + job) }
	}
	db, err := tempodb.OpenCompactor(ctx, o)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	t := &tenant{Compactor: db, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		db.Run(ctx)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenants[name] = t
	return nil
}

// end ends with tenants, and returns when all that was begun for them has ended.
func (c *Compactor) end(names []string) {
	var ended []*tenant
	c.mu.Lock()
	for _, name := range names {
		t := c.tenants[name]
		t.stop()
		ended = append(ended, t)
		delete(c.tenants, name)
	}
	c.mu.Unlock()
	for _, t := range ended {
		<-t.done
	}
}

// names returns the tenants that are being kept in order, sorted.
func (c *Compactor) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.tenants))
}

// Ready returns nil once it knows the tenants.
func (c *Compactor) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.looked {
		return errors.New("the object store could not be asked yet for its tenants")
	}
	return nil
}

// Each calls fn with each tenant, sorted, and how it is.
func (c *Compactor) Each(fn func(tenant string, s *tempodb.CompactorStats)) {
	for _, name := range c.names() {
		c.mu.Lock()
		t := c.tenants[name]
		c.mu.Unlock()
		if t != nil {
			stats := t.Stats()
			fn(name, &stats)
		}
	}
}

package ingester

import (
	"context"
	"errors"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// The reasons, beside those of package limits, for which entries are refused, as they are counted.
const (
	reasonTenants = "tenants"
	reasonInvalid = "invalid"
	reasonDisk    = "disk full"
	reasonBehind  = "too much waits"
	reasonFailed  = "failed"
)

// maxPushing is how many bytes of pushes may be in memory before further ones are turned away.
const maxPushing = 256 << 20

// Push implements ingesterpb.IngesterServer. What one push has for a tenant is one record of the log.
func (s *server) Push(ctx context.Context, req *ingesterpb.PushRequest) (*ingesterpb.PushResponse, error) {
	i := s.Ingester
	store, err := i.serving()
	if err != nil {
		return nil, err
	}
	if i.leaving.Load() {
		return nil, unavailable("ingester %s is leaving and takes nothing any more", i.o.Instance)
	}
	if wait := time.Until(i.o.Settled); wait > 0 {
		return nil, unavailable("ingester %s was unknown to the ring and takes nothing before readers know of it, in %v", i.o.Instance, wait.Round(time.Millisecond))
	}
	groups := req.GetGroups()
	var size int64
	byTenant := make(map[string][]int)
	for n, g := range groups {
		size += int64(len(g.GetKeys())) + valueBytes(g)
		byTenant[g.GetTenant()] = append(byTenant[g.GetTenant()], n)
	}
	defer i.pushing.Add(-size)
	if i.pushing.Add(size) > maxPushing+size {
		return nil, exhausted(time.Second, "ingester %s has pushes of %d MiB in memory already", i.o.Instance, maxPushing>>20)
	}
	refusals := make([]*limits.Refusal, len(groups))
	push := func(tenant string, of []int) { i.pushTenant(ctx, store, tenant, groups, of, refusals) }
	if len(byTenant) == 1 {
		for tenant, of := range byTenant {
			push(tenant, of)
		}
	} else {
		var tenants errgroup.Group
		tenants.SetLimit(max(16, 4*runtime.GOMAXPROCS(0))) // each waits for an fsync
		for tenant, of := range byTenant {
			tenants.Go(func() error {
				push(tenant, of)
				return nil
			})
		}
		_ = tenants.Wait()
	}
	resp := &ingesterpb.PushResponse{}
	for n, r := range refusals {
		if r == nil {
			continue
		}
		refused := r.Refused
		if refused == 0 {
			refused = len(groups[n].GetValues())
		}
		i.limits.Count(groups[n].GetTenant(), r.Reason, refused)
		if resp.Outcomes == nil {
			resp.Outcomes = make([]*ingesterpb.Outcome, len(groups))
			for m := range resp.Outcomes {
				resp.Outcomes[m] = &ingesterpb.Outcome{}
			}
		}
		resp.Outcomes[n] = &ingesterpb.Outcome{Code: uint32(r.Code), Message: r.Message, RetryAfterMs: uint32(r.RetryAfter.Milliseconds()), Refused: r.Entries}
	}
	return resp, nil
}

func valueBytes(g *ingesterpb.Group) (total int64) {
	for _, v := range g.GetValues() {
		total += int64(len(v))
	}
	return total
}

// pushTenant stores those groups that are one tenant's, and says in refusals of which it could not.
func (i *Ingester) pushTenant(ctx context.Context, store *tracedb.Store, tenant string, groups []*ingesterpb.Group, of []int, refusals []*limits.Refusal) {
	all := func(of []int, r *limits.Refusal) {
		for _, n := range of {
			refusals[n] = r
		}
	}
	if err := block.CheckTenant(tenant); err != nil {
		all(of, limits.Refuse(codes.InvalidArgument, reasonInvalid, 0, "%v", err))
		return
	}
	if r := i.full.Load(); r != nil {
		all(of, r)
		return
	}
	db, err := store.Tenant(tenant)
	if err != nil {
		all(of, i.refusalOf(tenant, err))
		return
	}
	var may limits.Limits
	if i.o.Limits != nil {
		may = i.o.Limits(tenant)
	}
	a := i.limits.Admit(tenant, may, db)
	var together []tempodb.Entry
	var taken []int // groups
	var ends []int  // where their entries end in together
	now := time.Now()
	for _, n := range of {
		begin := len(together)
		var r *limits.Refusal
		if together, r = appendEntries(together, groups[n]); r != nil {
			together, refusals[n] = together[:begin], r
			continue
		}
		var kept []tempodb.Entry
		if kept, r = a.Check(together[begin:], now); r != nil {
			refusals[n] = r
		}
		if together = together[:begin+len(kept)]; len(kept) > 0 {
			taken, ends = append(taken, n), append(ends, len(together))
		}
	}
	if len(together) == 0 {
		return
	}
	err = i.append(ctx, store, tenant, together)
	var wire *trace.WireError
	if err == nil {
		return
	}
	if !errors.As(err, &wire) || len(taken) == 1 {
		all(taken, i.refusalOf(tenant, err))
		return
	}
	// One of the groups is not OTLP. The others are stored already, which their own record will say.
	begin := 0
	for m, n := range taken {
		if err := i.append(ctx, store, tenant, together[begin:ends[m]]); err != nil {
			refusals[n] = i.refusalOf(tenant, err)
		}
		begin = ends[m]
	}
}

// append appends entries; a database that is just being given up because it was idle is made anew.
func (i *Ingester) append(ctx context.Context, store *tracedb.Store, tenant string, entries []tempodb.Entry) error {
	for try := 0; ; try++ {
		db, err := store.Create(ctx, tenant)
		if err != nil {
			return err
		}
		if err = db.Append(ctx, entries); !errors.Is(err, tempodb.ErrClosed) || try == 3 {
			return err
		}
	}
}

// appendEntries appends what a group has to store.
func appendEntries(entries []tempodb.Entry, g *ingesterpb.Group) ([]tempodb.Entry, *limits.Refusal) {
	keys, values := g.GetKeys(), g.GetValues()
	if len(keys) != len(tempodb.Key{})*len(values) {
		return entries, limits.Refuse(codes.InvalidArgument, reasonInvalid, 0, "a group of tenant %q has %d values and keys of %d bytes: each key takes %d", g.GetTenant(), len(values), len(keys), len(tempodb.Key{}))
	}
	for n, value := range values {
		if len(value) == 0 {
			return entries, limits.Refuse(codes.InvalidArgument, reasonInvalid, 0, "a group of tenant %q has no value for key %x", g.GetTenant(), keys[16*n:16*n+16])
		}
		entries = append(entries, tempodb.Entry{Key: tempodb.Key(keys[16*n:]), Value: value})
	}
	return entries, nil
}

// refusalOf says what an error of the database means to who pushed.
func (i *Ingester) refusalOf(tenant string, err error) *limits.Refusal {
	var wire *trace.WireError
	var bad *tracedb.TenantError
	switch {
	case errors.As(err, &wire):
		return limits.Refuse(codes.InvalidArgument, reasonInvalid, 0, "tenant %q: %v", tenant, err)
	case errors.As(err, &bad): // its name was looked at before: there are too many
		return limits.Refuse(codes.ResourceExhausted, reasonTenants, time.Minute, "%v", err)
	case errors.Is(err, tempodb.ErrBehind):
		return limits.Refuse(codes.ResourceExhausted, reasonBehind, 2*time.Second, "ingester %s: %v", i.o.Instance, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return limits.Refuse(codes.ResourceExhausted, reasonDisk, 5*time.Second, "ingester %s: %v", i.o.Instance, err)
	case errors.Is(err, context.Canceled):
		return limits.Refuse(codes.Canceled, reasonFailed, 0, "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return limits.Refuse(codes.DeadlineExceeded, reasonFailed, 0, "%v", err)
	default:
		return limits.Refuse(codes.Unavailable, reasonFailed, 0, "ingester %s: %v", i.o.Instance, err)
	}
}

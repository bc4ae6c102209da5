package limits

import (
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// Limits are what a tenant may do in one store, of an ingester or of a single process; zero is no limit. What is over a limit is refused before it is acknowledged, and what was taken before stays
// readable. Where some of the traces in a group are over a limit of traces, the others are stored all the same, and the group's outcome is the error: of senders that drop
// what is refused, nobody loses what another trace has too much.
type Limits struct {
	// RateBytes a second are taken in the long run, BurstBytes at once; twice RateBytes if zero. More is ResourceExhausted, with a hint when to try again.
	RateBytes, BurstBytes int64
	// TraceBytes and TraceSpans are how much of a trace may be recent: in the log and in no block yet. More is ResourceExhausted, without such a hint.
	TraceBytes int64
	TraceSpans int
	// AttributeBytes is how long the key and the value of an attribute may be together; a longer one is InvalidArgument.
	AttributeBytes int
	// LiveTraces is how many traces may be recent. Spans of further ones are ResourceExhausted, with a hint.
	LiveTraces int
}

// The reasons for which entries are refused, as they are counted.
const (
	reasonRate       = "rate"
	reasonTrace      = "trace size"
	reasonSpans      = "trace spans"
	reasonAttribute  = "attribute size"
	reasonLiveTraces = "live traces"
	reasonInvalid    = "invalid"
)

// Refusal is why entries are not taken.
type Refusal struct {
	Reason     string // of few, as they are counted
	Code       codes.Code
	Message    string
	RetryAfter time.Duration // zero is no hint
	Refused    int           // how many entries; 0 is all
	// Entries are those that are refused however often they are tried, ascending, where the others are stored. None: the Refusal is of all of them.
	Entries []uint32
}

// Refuse makes a Refusal.
func Refuse(code codes.Code, reason string, retryAfter time.Duration, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Code: code, Message: fmt.Sprintf(format, args...), RetryAfter: retryAfter}
}

// Err is the refusal as a gRPC status, with its hint; a *client.RefusedError if it is of single entries.
func (r *Refusal) Err() error {
	err := client.WithRetry(status.New(r.Code, r.Message), r.RetryAfter)
	if r.Entries == nil {
		return err
	}
	return client.NewRefusedError(r.Entries, err)
}

// Limiter has the state of the rate limits, and counts what was refused. Its zero value is ready, and its methods may be called concurrently.
type Limiter struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	refused map[Refused]int64
}

// Refused says what was refused.
type Refused struct{ Tenant, Reason string }

// bucket is filled at a rate, up to what may be taken at once. A push that is larger than it can be takes all and more, and the next waits for that.
type bucket struct {
	tokens float64
	filled time.Time
}

// maxCounted bounds the tenants that are told apart: their names come with requests.
const maxCounted = 10_000

// Count counts n refused entries.
func (l *Limiter) Count(tenant, reason string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := Refused{tenant, reason}
	if _, known := l.refused[at]; !known {
		if len(l.refused) >= maxCounted {
			at.Tenant = ""
		}
		if l.refused == nil {
			l.refused = make(map[Refused]int64)
		}
	}
	l.refused[at] += int64(n)
}

// Counts returns how many entries were refused, for each reason.
func (l *Limiter) Counts() map[Refused]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.refused)
}

// take takes bytes from the tenant's rate, or says after how long it may be tried again.
func (l *Limiter) take(tenant string, bytes int64, limits Limits, now time.Time) (ok bool, again time.Duration) {
	if limits.RateBytes <= 0 {
		return true, 0
	}
	rate, burst := float64(limits.RateBytes), float64(limits.BurstBytes)
	if burst <= 0 {
		burst = 2 * rate
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[tenant]
	if b == nil {
		if l.buckets == nil {
			l.buckets = make(map[string]*bucket)
		}
		if len(l.buckets) >= maxCounted {
			clear(l.buckets)
		}
		b = &bucket{tokens: burst, filled: now}
		l.buckets[tenant] = b
	}
	b.tokens = min(b.tokens+rate*max(now.Sub(b.filled), 0).Seconds(), burst)
	b.filled = now
	if need := min(float64(bytes), burst); b.tokens < need {
		seconds := math.Ceil(1000*(need-b.tokens)/rate) / 1000
		return false, time.Duration(seconds * float64(time.Second))
	}
	b.tokens -= float64(bytes)
	return true, 0
}

// Admission checks the groups of entries of one tenant that are about to be stored together. It is for one goroutine.
type Admission struct {
	limiter *Limiter
	tenant  string
	limits  Limits
	db      *tempodb.DB // nil if the tenant is new
	live    int         // recent traces, with the new ones of this push; -1 before they are counted
	pending map[tempodb.Key]tempodb.Recent
}

// Admit begins to check what is to be stored for tenant in db, which is nil if the tenant is new.
func (l *Limiter) Admit(tenant string, limits Limits, db *tempodb.DB) *Admission {
	return &Admission{limiter: l, tenant: tenant, limits: limits, db: db, live: -1}
}

// Check returns those of a group's entries that are to be stored, in place, and why the others are not; nil if all are. The rate is of the group as a whole.
func (a *Admission) Check(entries []tempodb.Entry, now time.Time) ([]tempodb.Entry, *Refusal) {
	if a.limits == (Limits{}) {
		return entries, nil
	}
	var bytes int64
	for i := range entries {
		bytes += int64(len(entries[i].Value))
	}
	if ok, again := a.limiter.take(a.tenant, bytes, a.limits, now); !ok {
		return entries[:0], Refuse(codes.ResourceExhausted, reasonRate, again, "tenant %q sends more than its limit of %d bytes a second", a.tenant, a.limits.RateBytes)
	}
	// first is of an entry that may be tried again, if there is one: then all may.
	var first *Refusal
	var refused []uint32
	kept := entries[:0]
	for n := range entries {
		e := entries[n]
		r := a.attributes(&e)
		if r == nil {
			r = a.trace(&e)
		}
		if r == nil {
			kept = append(kept, e)
			continue
		}
		refused = append(refused, uint32(n))
		if first == nil || r.RetryAfter > 0 && first.RetryAfter == 0 {
			first = r
		}
	}
	if first != nil {
		first.Refused = len(refused)
		if first.RetryAfter == 0 {
			first.Entries = refused
		}
	}
	if first != nil && len(kept) > 0 {
		first.Message += fmt.Sprintf(" (of %d pieces of traces that were pushed together the other %d are stored, but for those that are over a limit as well)", len(entries), len(kept))
	}
	return kept, first
}

// of returns what is recent of a trace, or will be when what was admitted is stored.
func (a *Admission) of(key tempodb.Key) tempodb.Recent {
	var r tempodb.Recent
	if a.db != nil {
		r = a.db.RecentOf(key)
	}
	p := a.pending[key]
	return tempodb.Recent{Bytes: r.Bytes + p.Bytes, Rows: r.Rows + p.Rows, Keys: max(r.Keys, p.Keys)}
}

// trace checks the limits of a trace, and counts the entry as stored if it is within them.
func (a *Admission) trace(e *tempodb.Entry) *Refusal {
	if a.limits.TraceBytes <= 0 && a.limits.TraceSpans <= 0 && a.limits.LiveTraces <= 0 {
		return nil
	}
	has := a.of(e.Key)
	if a.limits.LiveTraces > 0 && has.Keys == 0 {
		if a.live < 0 {
			a.live = len(a.pending)
			if a.db != nil {
				a.live += a.db.Recent().Keys
			}
		}
		if a.live >= a.limits.LiveTraces {
			return Refuse(codes.ResourceExhausted, reasonLiveTraces, 10*time.Second, "tenant %q has as many recent traces as its limit of %d: spans of another one, %s, are not taken",
				a.tenant, a.limits.LiveTraces, trace.ID(e.Key))
		}
	}
	bytes := int64(len(e.Value))
	if most := a.limits.TraceBytes; most > 0 && has.Bytes+bytes > most {
		return Refuse(codes.ResourceExhausted, reasonTrace, 0, "trace %s of tenant %q would have more than the limit of %d recent bytes: %d are kept and can be read, %d more are refused",
			trace.ID(e.Key), a.tenant, most, has.Bytes, bytes)
	}
	spans := 0
	if most := a.limits.TraceSpans; most > 0 {
		var err error
		if spans, err = trace.Spans(e.Value); err != nil {
			return Refuse(codes.InvalidArgument, reasonInvalid, 0, "tenant %q: trace %s: %v", a.tenant, trace.ID(e.Key), err)
		}
		if has.Rows+spans > most {
			return Refuse(codes.ResourceExhausted, reasonSpans, 0, "trace %s of tenant %q would have more than the limit of %d recent spans: %d are kept and can be read, %d more are refused",
				trace.ID(e.Key), a.tenant, most, has.Rows, spans)
		}
	}
	if a.pending == nil {
		a.pending = make(map[tempodb.Key]tempodb.Recent)
	}
	p := a.pending[e.Key]
	a.pending[e.Key] = tempodb.Recent{Bytes: p.Bytes + bytes, Rows: p.Rows + spans, Keys: 1}
	if has.Keys == 0 && a.live >= 0 {
		a.live++
	}
	return nil
}

func (a *Admission) attributes(e *tempodb.Entry) *Refusal {
	most := a.limits.AttributeBytes
	if most <= 0 || len(e.Value) <= most {
		return nil
	}
	key, size, err := trace.LongestAttribute(e.Value)
	switch {
	case err != nil:
		return Refuse(codes.InvalidArgument, reasonInvalid, 0, "tenant %q: trace %s: %v", a.tenant, trace.ID(e.Key), err)
	case size > most:
		return Refuse(codes.InvalidArgument, reasonAttribute, 0, "trace %s of tenant %q has the attribute %.100q, which takes %d bytes, more than the limit of %d",
			trace.ID(e.Key), a.tenant, key, size, most)
	}
	return nil
}

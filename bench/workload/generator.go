package workload

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	hosts = 4
	// A collector sends its spans when there are so many, or when the first is so old.
	batchSpans = 400
	batchAge   = int64(5 * time.Second)
	// Traces begin at random, so far apart on average.
	traceGap = 45 * time.Millisecond
)

// service is one program of the shop.
type service struct {
	name, language, scope string
	replicas              int
	instances             []*instance
}

// instance is a running copy of a service.
type instance struct {
	service  *service
	host     *host
	ip       string
	resource []byte // Resource message
	pending  []byte // repeated field 2 of ScopeSpans: what the host's collector holds of it
}

// host has a collector for the instances on it.
type host struct {
	instances []*instance
	spans     int
	oldest    int64 // end of the first pending span
	parts     []Part
	index     map[[16]byte]int // in parts
}

// generator makes one pass over the workload.
type generator struct {
	rng      *rand.Rand
	yield    func(Request) bool
	stopped  bool
	services map[string]*service
	hosts    [hosts]host
	sessions []session
	truth    *Truth

	traceID [16]byte
	begin   int64 // start of the current trace
	now     int64 // within the current trace
	free    []*span

	request, scratch []byte
}

func newGenerator(seed uint64, yield func(Request) bool) *generator {
	g := &generator{
		rng:      rand.New(rand.NewPCG(seed, 0x7e3a0)),
		yield:    yield,
		services: map[string]*service{},
		begin:    Base.UnixNano(),
		truth:    &Truth{Operations: map[string]map[string]int{}, Answers: make([][]Hit, len(queries))},
	}
	for i := range g.hosts {
		g.hosts[i].index = map[[16]byte]int{}
	}
	for i := range shop {
		s := shop[i] // a copy: instances belong to the pass
		g.services[s.name] = &s
		for r := range s.replicas {
			s.instances = append(s.instances, g.instance(&s, (i+r)%hosts))
		}
	}
	for range activeSessions {
		g.sessions = append(g.sessions, g.session())
	}
	return g
}

func (g *generator) instance(s *service, on int) *instance {
	h := &g.hosts[on]
	x := &instance{service: s, host: h, ip: fmt.Sprintf("10.1.%d.%d", on, 10+g.rng.IntN(200))}
	h.instances = append(h.instances, x)
	pod := fmt.Sprintf("%s-%s-%s", s.name, g.hex(9), g.hex(5))
	for _, kv := range [][2]string{
		{"service.name", s.name},
		{"service.namespace", "shop"},
		{"service.version", fmt.Sprintf("1.%d.%d", 2+g.rng.IntN(9), g.rng.IntN(20))},
		{"service.instance.id", g.uuid()},
		{"host.name", fmt.Sprintf("node-%d.eu-west.shop.internal", on)},
		{"k8s.namespace.name", "shop-prod"},
		{"k8s.deployment.name", s.name},
		{"k8s.pod.name", pod},
		{"deployment.environment", "production"},
		{"telemetry.sdk.name", "opentelemetry"},
		{"telemetry.sdk.language", s.language},
		{"telemetry.sdk.version", "1.28.0"},
	} {
		x.resource = appendString(x.resource, 1, kv[0], kv[1])
	}
	return x
}

// trace generates trace i of the workload.
func (g *generator) trace(i int) {
	g.begin += int64(g.rng.ExpFloat64() * float64(traceGap))
	g.now = g.begin
	binary.BigEndian.PutUint64(g.traceID[:8], g.rng.Uint64())
	binary.BigEndian.PutUint64(g.traceID[8:], g.rng.Uint64()|1) // never zero
	g.truth.Traces = append(g.truth.Traces, Part{TraceID: g.traceID})
	g.visit(i%rareEvery == rareEvery/2)
	for h := range g.hosts {
		if h := &g.hosts[h]; h.spans > 0 && g.begin-h.oldest > batchAge {
			g.flush(h)
		}
	}
}

// span runs work as a span of an instance: what work does and how long it takes lies in the span.
func (g *generator) span(parent *span, at *instance, kind uint64, name string, work func(*span)) (failed bool) {
	s := g.newSpan()
	s.at, s.kind, s.name, s.start = at, kind, name, g.now
	binary.BigEndian.PutUint64(s.id[:], g.rng.Uint64()|1)
	if s.root = parent == nil; !s.root {
		s.parent = parent.id
	}
	work(s)
	g.pass(3 * time.Microsecond)
	s.end = g.now
	g.account(s)
	g.collect(s)
	failed = s.failed
	g.free = append(g.free, s)
	return failed
}

func (g *generator) newSpan() *span {
	n := len(g.free)
	if n == 0 {
		return &span{}
	}
	s := g.free[n-1]
	g.free = g.free[:n-1]
	*s = span{attrs: s.attrs[:0], events: s.events[:0]}
	return s
}

// pass lets time pass: the median given, log-normally spread, down to the nanosecond.
func (g *generator) pass(median time.Duration) {
	g.now += int64(float64(median)*math.Exp(0.5*g.rng.NormFloat64())) + 1
}

// parallel runs fn n times from the same moment on, and goes on when the last has ended.
func (g *generator) parallel(n int, fn func(i int)) {
	from, last := g.now, g.now
	for i := range n {
		g.now = from
		g.pass(2 * time.Microsecond)
		fn(i)
		last = max(last, g.now)
	}
	g.now = last
}

// collect hands the ended span to the collector of its host.
func (g *generator) collect(s *span) {
	h := s.at.host
	if h.spans == 0 {
		h.oldest = s.end
	}
	g.scratch = appendSpan(g.scratch[:0], g.traceID, s)
	s.at.pending = appendMessage(s.at.pending, 2, g.scratch)
	i, ok := h.index[g.traceID]
	if !ok {
		i = len(h.parts)
		h.index[g.traceID] = i
		h.parts = append(h.parts, Part{TraceID: g.traceID})
	}
	h.parts[i].Spans++
	if h.spans++; h.spans == batchSpans {
		g.flush(h)
	}
}

// flush sends what the host's collector holds.
func (g *generator) flush(h *host) {
	if h.spans == 0 || g.stopped {
		return
	}
	g.request = g.request[:0]
	for _, x := range h.instances {
		if len(x.pending) == 0 {
			continue
		}
		var scope []byte
		scope = protowire.AppendTag(scope, 1, protowire.BytesType)
		scope = protowire.AppendString(scope, x.service.scope)
		scope = protowire.AppendTag(scope, 2, protowire.BytesType)
		scope = protowire.AppendString(scope, "0.49.0")

		scopeSpans := appendMessage(g.scratch[:0], 1, scope)
		scopeSpans = append(scopeSpans, x.pending...)
		g.scratch = scopeSpans

		size := 1 + protowire.SizeBytes(len(x.resource)) + 1 + protowire.SizeBytes(len(scopeSpans))
		g.request = protowire.AppendTag(g.request, 1, protowire.BytesType)
		g.request = protowire.AppendVarint(g.request, uint64(size))
		g.request = appendMessage(g.request, 1, x.resource)
		g.request = appendMessage(g.request, 2, scopeSpans)
		x.pending = x.pending[:0]
	}
	if !g.yield(Request{Data: g.request, Spans: h.spans, Parts: h.parts}) {
		g.stopped = true
	}
	h.spans, h.parts = 0, h.parts[:0]
	clear(h.index)
}

func (g *generator) flushAll() {
	for i := range g.hosts {
		g.flush(&g.hosts[i])
	}
}

const hexDigits = "0123456789abcdef"

func (g *generator) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = hexDigits[g.rng.IntN(16)]
	}
	return string(b)
}

func (g *generator) uuid() string {
	h := g.hex(32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

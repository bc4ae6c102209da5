package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Proxy stands before a server of HTTP and spoils what goes through it, by chance, from a seed. Its methods may be called concurrently.
type Proxy struct {
	// Kinds are the faults that there may be; Common if nil. Constant once requests come, as is Chunks.
	Kinds []string
	// Chunks says that a chunk of an upload that has arrived is not sent through again.
	Chunks bool
	// Writing is held for reading while a request that may change something is on its way to the server.
	Writing sync.RWMutex

	upstream string // host:port
	listener net.Listener
	server   *http.Server
	client   *http.Transport

	mu       sync.Mutex
	random   *rand.Rand
	rate     float64 // of requests that are spoiled
	outage   Outage
	watch    func(r *http.Request) (fault string) // what is asked first; nil is nobody
	injected map[string]int
	passed   int
	busy     int                 // requests on their way to the server
	chunks   map[string]answered // by address and range, see again
	idle     *sync.Cond
}

type answered struct {
	status int
	header http.Header
	body   []byte
}

// Common are what can happen to a request, and how often, relative to each other.
var Common = []string{
	"503 before", "503 before", "500 after", "429 before",
	"reset before", "reset after", "reset in request", "reset in request",
	"cut", "cut", "cut",
	"503 before", "500 after", "reset before", "reset after", "reset in request", "cut",
	"stall before", "stall after",
}

// More are Common, and answers that come slowly, and requests that take effect when the client has given them up long ago.
var More = append(slices.Clone(Common), "slow", "slow", "slow", "late", "late")

// Outage is a fault that everything meets.
type Outage string

// The outages.
const (
	None    Outage = ""
	Refused Outage = "reset before"
	Silent  Outage = "stall before" // the connection is accepted and nothing ever comes
	Busy    Outage = "503 before"
)

// New starts a proxy before the server at upstream. It listens on an address like "127.0.0.1:0".
func New(listen, upstream string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		Chunks:   true,
		upstream: upstream,
		listener: l,
		client:   &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
		random:   rand.New(rand.NewPCG(seed, 0)),
		injected: map[string]int{},
		chunks:   map[string]answered{},
	}
	p.idle = sync.NewCond(&p.mu)
	p.server = &http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = p.server.Serve(l) }() // until Close
	return p, nil
}

// Close ends the proxy and all connections.
func (p *Proxy) Close() error {
	p.client.CloseIdleConnections()
	return p.server.Close()
}

// Address is where clients reach the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Passed is the number of requests that were not spoiled.
func (p *Proxy) Passed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// Spoil sets the share of requests that are spoiled.
func (p *Proxy) Spoil(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

// Down begins an outage, or ends it.
func (p *Proxy) Down(o Outage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage = o
}

// Ask has a function asked for the fate of each request before chance is. It must not call the proxy.
func (p *Proxy) Ask(watch func(r *http.Request) (fault string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = watch
}

// Settle waits until nothing is on its way to the server, whatever became of the clients that sent it.
func (p *Proxy) Settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.busy > 0 {
		p.idle.Wait()
	}
}

func (p *Proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := fmt.Sprintf("%d requests passed", p.passed)
	for _, fault := range slices.Sorted(maps.Keys(p.injected)) {
		s += fmt.Sprintf(", %d x %s", p.injected[fault], fault)
	}
	return s
}

// next decides the fate of a request: a fault, or none.
func (p *Proxy) next(r *http.Request) (fault string, where float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy++
	if p.watch != nil {
		fault = p.watch(r)
	}
	switch {
	case fault != "":
	case p.outage != None:
		fault = string(p.outage)
	case p.random.Float64() >= p.rate:
		p.passed++
		return "", 0
	case p.Kinds != nil:
		fault = p.Kinds[p.random.IntN(len(p.Kinds))]
	default:
		fault = Common[p.random.IntN(len(Common))]
	}
	p.injected[fault]++
	return fault, p.random.Float64()
}

func (p *Proxy) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.idle.Broadcast()
}

var errCut = errors.New("cut by the proxy")

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, where := p.next(r)
	kind, when, _ := strings.Cut(fault, " ")
	if when == "before" {
		p.leave()
		p.spoiled(w, r, kind)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // the client gave up
		p.leave()
		return
	}
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = "http", p.upstream
	out.Body = io.NopCloser(strings.NewReader(string(body)))
	out.ContentLength = int64(len(body))
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	if when == "in request" && len(body) > 0 {
		half := string(body[:int(where*float64(len(body)))])
		out.Body = io.NopCloser(io.MultiReader(strings.NewReader(half), broken{}))
	}
	if kind == "changed" && len(body) > 0 {
		// Behind the middle there is content, not a description of it.
		body[len(body)/2+int(where*float64(len(body)/4))] ^= 1
		out.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	if kind == "late" {
		p.stall(r)
		time.Sleep(time.Duration(where * float64(longestDelay)))
		_, _ = p.again(out) // nobody waits for the answer
		p.leave()
		p.spoiled(w, r, "reset")
		return
	}
	// A client that gives up does not stop the request: what it has sent may be done later, and settle waits for it.
	got, err := p.again(out)
	p.leave()
	if err != nil && when != "in request" { // the server is down
		p.spoiled(w, r, "reset")
		return
	}
	if when != "" { // after
		p.spoiled(w, r, kind)
		return
	}
	header := w.Header()
	maps.Copy(header, got.header)
	if r.Method != http.MethodHead {
		header.Set("Content-Length", fmt.Sprint(len(got.body)))
	}
	answer := got.body
	w.WriteHeader(got.status)
	if kind == "cut" && len(answer) > 0 {
		_, _ = w.Write(answer[:int(where*float64(len(answer)))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if kind == "slow" { // at times too slow, and always progressing
		pause := time.Duration(where * float64(2*time.Second) / 16)
		for part := range slices.Chunk(answer, len(answer)/16+1) {
			time.Sleep(pause)
			if _, err := w.Write(part); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
		return
	}
	_, _ = w.Write(answer) // the client may be gone
}

// again does what GCS does and the fake server does not: a chunk of an upload that has arrived already, and is sent again because the client does not
// know, is not appended once more.
func (p *Proxy) again(out *http.Request) (answered, error) {
	part := out.Header.Get("Content-Range")
	if part == "" || !p.Chunks {
		return p.forward(out)
	}
	key := out.URL.String() + " " + part
	p.mu.Lock()
	got, ok := p.chunks[key]
	p.mu.Unlock()
	if ok {
		return got, nil
	}
	got, err := p.forward(out)
	if err == nil {
		p.mu.Lock()
		p.chunks[key] = got
		p.mu.Unlock()
	}
	return got, err
}

func (p *Proxy) forward(out *http.Request) (answered, error) {
	if out.Method != http.MethodGet && out.Method != http.MethodHead {
		p.Writing.RLock()
		defer p.Writing.RUnlock()
	}
	response, err := p.client.RoundTrip(out.WithContext(context.WithoutCancel(out.Context())))
	if err != nil {
		return answered{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answered{response.StatusCode, response.Header, body}, err
}

// spoiled does to the client what the fault is.
func (p *Proxy) spoiled(w http.ResponseWriter, r *http.Request, kind string) {
	switch kind {
	case "stall":
		p.stall(r)
		fallthrough
	case "reset":
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	default:
		code := http.StatusServiceUnavailable
		_, _ = fmt.Sscan(kind, &code)
		http.Error(w, "spoiled", code)
	}
}

// longestDelay bounds how late a request takes effect after its client has given up.
const longestDelay = 500 * time.Millisecond

// stall lets a client wait until it gives up, or for longer than it should.
func (p *Proxy) stall(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then it is seen when the client gives up
	select {
	case <-r.Context().Done():
	case <-time.After(10 * time.Second):
	}
}

// broken is the rest of a body that does not come.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errCut }

// Injected is the number of requests that were spoiled.
func (p *Proxy) Injected() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, times := range p.injected {
		n += times
	}
	return n
}

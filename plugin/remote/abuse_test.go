package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/plugin"
	"github.com/jaeger-tempo/tempo/plugin/tenancy"
)

// clients is how many rude ones there are at once: few, or as many as the environment says (make chaos-remote).
func clients() int {
	n, err := strconv.Atoi(os.Getenv("REMOTE_CLIENTS"))
	if err != nil {
		return 60
	}
	return n
}

// patient is long enough for the polite client beside them, on two cores.
func patient() time.Duration { return time.Duration(slower*(3+clients()/60)) * time.Second }

// abused has a server live through something. All the while a polite client writes spans and reads each back. Afterwards goroutines and memory must be
// what they were.
func abused(t *testing.T, o Options, store plugin.Options, abuse func(s *Server)) {
	t.Helper()
	abusedWith(t, o, store, nil, "", abuse)
}

// abusedWith is the same, where the polite client needs a TLS configuration or a token.
func abusedWith(t *testing.T, o Options, store plugin.Options, config *tls.Config, token string, abuse func(s *Server)) {
	t.Helper()
	s := serve(t, store, o)
	polite := shared.NewGRPCClient(dial(t, s.Address(), config))
	var asked int
	var slowest time.Duration
	ask := func() error {
		asked++
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		span := spanOf(1<<40+uint64(asked), 1)
		if err := polite.SpanWriter().WriteSpan(ctx, span); err != nil {
			return err
		}
		_, err := polite.SpanReader().GetTrace(ctx, span.TraceID)
		slowest = max(slowest, time.Since(began))
		return err
	}
	for range 20 { // buffers of its connection have grown
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	goroutines, heap := settled()
	var peak atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		// What it writes the store has in memory, by right: not so much that it counts.
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-pace.C:
			}
			if err := ask(); err != nil {
				stopped <- err
				return
			}
			peak.Store(max(peak.Load(), s.clients.held.Load()))
		}
	}()
	abuse(s)
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("the polite client: %v", err)
	}
	var nowGoroutines, nowHeap int
	await(t, func() error {
		if nowGoroutines, nowHeap = settled(); nowGoroutines > goroutines+3 || nowHeap > heap+8<<20 {
			return fmt.Errorf("%d goroutines, before %d; %d bytes of heap, before %d", nowGoroutines, goroutines, nowHeap, heap)
		}
		if held := s.clients.held.Load(); held > trifle {
			return fmt.Errorf("%d bytes are held", held)
		}
		return nil
	})
	if err := ask(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	t.Logf("goroutines %d before, %d after; heap %.1f MiB before, %.1f after; at most %.1f MiB held; %d calls ended, %d connections; "+
		"the polite client asked %d times, at most %v each", goroutines, nowGoroutines, float64(heap)/(1<<20), float64(nowHeap)/(1<<20), float64(peak.Load())/(1<<20),
		s.patience.ended.Load(), s.clients.ended.Load(), asked, slowest.Round(time.Millisecond))
}

// settled returns how many goroutines there are, and what is in use of the heap when all garbage is gone.
func settled() (goroutines, heap int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), int(m.HeapAlloc)
}

// await looks until what is looked for is so.
func await(t *testing.T, look func() error) {
	t.Helper()
	deadline := time.After(time.Minute)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

// each runs all rude clients at once and waits for them.
func each(rude func(i int)) {
	var wg sync.WaitGroup
	for i := range clients() {
		wg.Go(func() { rude(i) })
	}
	wg.Wait()
}

// preface is what a connection of HTTP/2 begins with, and an empty SETTINGS frame.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func TestRandomBytesOnThePortDoNoHarm(t *testing.T) {
	abused(t, Options{}, openStore(t), func(s *Server) {
		each(func(i int) {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for range 10 {
				conn, err := net.Dial("tcp", s.Address())
				if err != nil {
					t.Error(err)
					return
				}
				var b []byte
				if random.IntN(3) > 0 {
					b = append(b, preface...)
				}
				for range random.IntN(20) {
					if random.IntN(2) == 0 { // a frame of a type that there is, with a length that may be right
						body := random.IntN(300)
						b = append(b, 0, byte(body>>8), byte(body), byte(random.IntN(10)), byte(random.Uint32()))
						b = binary.BigEndian.AppendUint32(b, random.Uint32N(8))
					}
					for range random.IntN(400) {
						b = append(b, byte(random.Uint32()))
					}
				}
				_, _ = conn.Write(b) // it may be closed by now
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
		})
	})
}

// h2c is a client of HTTP/2 by which a test does what no gRPC client does, with a connection of its own, which leave closes.
func h2c() (client *http.Client, leave func()) {
	var mu sync.Mutex
	var conns []net.Conn
	transport := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10}, // what it takes that nobody reads
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
		return conn, err
	}
	return &http.Client{Transport: transport}, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// post makes a call with a body; the answer is read by who calls it.
func post(ctx context.Context, client *http.Client, address, method string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+method, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	return client.Do(r)
}

const (
	writeMethod = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan"
	readMethod  = "/jaeger.storage.v1.SpanReaderPlugin/GetTrace"
)

// framed is a message with the head that gRPC puts before it.
func framed(claimed int, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(claimed)), message...)
}

func TestAMessageBeyondTheLimitIsRefusedUnread(t *testing.T) {
	abused(t, Options{MaxMessage: 1 << 20}, openStore(t), func(s *Server) {
		each(func(i int) {
			client, leave := h2c()
			defer leave()
			for _, claimed := range []int{1<<20 + 1, 1 << 30, 1<<32 - 1} {
				body, rest := io.Pipe()
				go func() {
					_, _ = rest.Write(framed(claimed, make([]byte, 1<<10))) // and no more
				}()
				r, err := post(t.Context(), client, s.Address(), writeMethod, body)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				status := r.Header.Get("Grpc-Status") + r.Trailer.Get("Grpc-Status")
				if status != strconv.Itoa(int(codes.ResourceExhausted)) {
					t.Errorf("a message of %d bytes: status %s", claimed, status)
				}
				r.Body.Close()
				body.Close()
			}
		})
		if most := s.clients.ended.Load(); most != 0 {
			t.Errorf("%d connections were ended", most)
		}
	})
}

// Each client sends most of a message that is within the limit, and then is silent.
func TestMessagesThatNeverEndAreBounded(t *testing.T) {
	const limit, part = 2 << 20, 1 << 20
	abused(t, Options{MaxMessage: limit, Held: 8 << 20, Patience: patient()}, openStore(t), func(s *Server) {
		stop := make(chan struct{})
		var over atomic.Int64
		var watching sync.WaitGroup
		watching.Go(func() {
			ticker := time.NewTicker(time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
					over.Store(max(over.Load(), s.clients.held.Load()))
				}
			}
		})
		each(func(i int) {
			client, leave := h2c()
			defer leave()
			body, rest := io.Pipe()
			go func() { _, _ = rest.Write(framed(limit, make([]byte, part))) }()
			r, err := post(t.Context(), client, s.Address(), writeMethod, body) // until its call or its connection is ended
			body.Close()
			if err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		})
		close(stop)
		watching.Wait()
		ended := s.patience.ended.Load() + s.clients.ended.Load()
		if ended < int64(clients()) {
			t.Errorf("%d of %d were ended", ended, clients())
		}
		t.Logf("at most %.1f MiB were held of %d MiB that were sent", float64(over.Load())/(1<<20), clients()*part>>20)
	})
}

// bigTrace writes a trace of so many spans of 64 KiB each.
func bigTrace(t *testing.T, store plugin.Options, id uint64, spans int) {
	t.Helper()
	s := serve(t, store, Options{})
	defer s.Stop()
	writer := shared.NewGRPCClient(dial(t, s.Address(), nil)).SpanWriter()
	for i := range spans {
		span := spanOf(id, uint64(i)+1)
		value := make([]byte, 32<<10)
		for j := range value {
			value[j] = byte(rand.Uint32())
		}
		span.Tags = append(span.Tags, model.Binary("value", value), model.String("text", strings.Repeat("x", 32<<10)))
		if err := writer.WriteSpan(t.Context(), span); err != nil {
			t.Fatal(err)
		}
	}
}

// Each client asks for a trace and reads nothing of it. One of 8 MiB has the server wait for room for the next message. One of less than a megabyte is sent, as far as
// the call can tell, and yet it is there until the client reads it.
func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	for name, spans := range map[string]int{"large": 128, "small": 14} {
		t.Run(name, func(t *testing.T) {
			store := openStore(t)
			bigTrace(t, store, 7, spans)
			request, err := (&storage_v1.GetTraceRequest{TraceID: model.NewTraceID(7, 7)}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			held := int64(max(64, min(256, clients()/4))) << 20
			abused(t, Options{Patience: patient(), Held: held, MaxMessage: 1 << 20}, store, func(s *Server) {
				leave := make(chan struct{})
				var rude, asked sync.WaitGroup
				for range clients() {
					asked.Add(1)
					rude.Go(func() {
						client, hangUp := h2c()
						defer hangUp()
						r, err := post(t.Context(), client, s.Address(), readMethod, bytes.NewReader(framed(len(request), request)))
						asked.Done()
						if err == nil {
							<-leave
							r.Body.Close()
						}
					})
				}
				asked.Wait()
				await(t, func() error {
					if ended := s.patience.ended.Load() + s.clients.ended.Load(); ended < int64(clients()) {
						return fmt.Errorf("%d of %d were ended", ended, clients())
					}
					return nil
				})
				close(leave)
				rude.Wait()
			})
		})
	}
}

// Some connect and say nothing, some say that they speak HTTP/2 and nothing more, some begin a call and do not say what it is about.
func TestClientsThatSayNothingDoNoHarm(t *testing.T) {
	abused(t, Options{Patience: patient()}, openStore(t), func(s *Server) {
		leave := make(chan struct{})
		var rude sync.WaitGroup
		calls := 0
		for i := range clients() {
			if i%3 == 2 {
				calls++
				rude.Go(func() {
					client, hangUp := h2c()
					defer hangUp()
					body, rest := io.Pipe()
					defer rest.Close()
					r, err := post(t.Context(), client, s.Address(), writeMethod, body)
					if err == nil {
						<-leave
						r.Body.Close()
					}
				})
				continue
			}
			conn, err := net.Dial("tcp", s.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if i%3 == 1 {
				if _, err := io.WriteString(conn, preface); err != nil {
					t.Fatal(err)
				}
			}
		}
		await(t, func() error {
			if ended := s.patience.ended.Load(); ended < int64(calls) {
				return fmt.Errorf("%d of %d calls were ended", ended, calls)
			}
			return nil
		})
		close(leave)
		rude.Wait()
	})
}

func TestTooManyConnectionsEndTheStillest(t *testing.T) {
	abused(t, Options{Connections: 10}, openStore(t), func(s *Server) {
		var conns []net.Conn
		for range clients() {
			conn, err := net.Dial("tcp", s.Address())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		await(t, func() error {
			s.clients.mu.Lock()
			defer s.clients.mu.Unlock()
			if n, ended := len(s.clients.open), s.clients.ended.Load(); n > 10 || ended < int64(clients()-10) {
				return fmt.Errorf("%d connections are open, %d were ended", n, ended)
			}
			return nil
		})
		for _, conn := range conns {
			conn.Close()
		}
	})
}

// Clients go away in the middle of what they asked for.
func TestCancelledStreamsLeaveNothing(t *testing.T) {
	store := openStore(t)
	bigTrace(t, store, 7, 64)
	abused(t, Options{StreamingWriter: true}, store, func(s *Server) {
		conn := dial(t, s.Address(), nil)
		defer conn.Close()
		reader, writer := storage_v1.NewSpanReaderPluginClient(conn), storage_v1.NewStreamingSpanWriterPluginClient(conn)
		each(func(i int) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				stream, err := reader.FindTraces(ctx, &storage_v1.FindTracesRequest{Query: &storage_v1.TraceQueryParameters{ServiceName: "shop"}})
				if err == nil {
					_, err = stream.Recv()
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			stream, err := writer.WriteSpanStream(ctx)
			if err == nil {
				err = stream.Send(&storage_v1.WriteSpanRequest{Span: spanOf(9, uint64(i))})
			}
			if err != nil {
				t.Error(err)
			}
		})
		await(t, func() error {
			if held := s.clients.held.Load(); held > 10<<20 { // what the polite one has
				return fmt.Errorf("%d bytes are held, on a connection that is there", held)
			}
			return nil
		})
	})
}

// Clients guess tokens, come with one that has expired, and name a tenant that is not theirs.
func TestClientsWithoutTheRightTokenGetNothing(t *testing.T) {
	const right, other, expired = "the-token-of-acme-0001", "the-token-of-globex-01", "the-token-that-expired"
	file := filepath.Join(t.TempDir(), "tokens")
	writeFiles(t, map[string][]byte{file: []byte(right + " acme\n" + other + " globex\n" + expired + " acme " + time.Now().Add(-time.Hour).Format(time.RFC3339) + "\n")})
	tenants, err := tenancy.New(tenancy.Options{Enabled: true, Header: "x-tenant", TokensFile: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer tenants.Close()
	store := openStore(t)
	store.TenantOf = tenants.Of
	abusedWith(t, Options{Tokens: true}, store, nil, right, func(s *Server) {
		each(func(i int) {
			conn := connect(t, s.Address(), nil)
			defer conn.Close()
			jaeger := shared.NewGRPCClient(conn)
			for j, c := range []struct {
				with []string
				want codes.Code
			}{
				{nil, codes.Unauthenticated},
				{[]string{"authorization", fmt.Sprintf("Bearer the-token-of-acme-%04d", i+2)}, codes.Unauthenticated},
				{[]string{"bearer.token", expired}, codes.Unauthenticated},
				{[]string{"bearer.token", expired, "authorization", "Bearer " + right}, codes.Unauthenticated},
				{[]string{"bearer.token", other, "x-tenant", "acme"}, codes.PermissionDenied},
				{[]string{"bearer.token", right, "x-tenant", "acme~archive"}, codes.InvalidArgument},
			} {
				ctx := metadata.AppendToOutgoingContext(t.Context(), c.with...)
				services, err := jaeger.SpanReader().GetServices(ctx)
				if status.Code(err) != c.want || len(services) > 0 {
					t.Errorf("read %d: %v, %v", j, services, err)
				}
				if err := jaeger.SpanWriter().WriteSpan(ctx, spanOf(5, 5)); statusIn(err) != c.want {
					t.Errorf("write %d: %v", j, err)
				}
			}
			services, err := jaeger.SpanReader().GetServices(metadata.AppendToOutgoingContext(t.Context(), "bearer.token", other))
			if err != nil || len(services) > 0 {
				t.Errorf("the other tenant has %v, %v", services, err)
			}
		})
	})
}

// statusIn is the code of a status that an error wraps.
func statusIn(err error) codes.Code {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Code()
	}
	return codes.OK
}

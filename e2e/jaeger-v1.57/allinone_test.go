package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/api_v2"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/receivers"
)

// allInOne is a running Jaeger with all its receivers.
type allInOne struct {
	receivers.Receivers
	api string // host:port

	query api_v2.QueryServiceClient

	// stop ends it in order; the test's end does the same, once.
	stop func()
}

// startAllInOne starts all-in-one with memory storage, or if dir is given, on the plugin with its data there.
func startAllInOne(t testing.TB, dir string) *allInOne {
	t.Helper()
	j := &allInOne{}
	var queryGRPC string
	tcp := map[string]*string{
		"query.http-server.host-port": &j.api, "query.grpc-server.host-port": &queryGRPC,
		"collector.otlp.grpc.host-port": &j.OTLPGRPC, "collector.otlp.http.host-port": &j.OTLPHTTP,
		"collector.grpc-server.host-port": &j.JaegerGRPC, "collector.http-server.host-port": &j.ThriftHTTP,
		"collector.zipkin.host-port": &j.Zipkin, "admin.http.host-port": nil, "http-server.host-port": nil,
	}
	udp := map[string]*string{"processor.jaeger-compact.server-host-port": &j.ThriftCompact,
		"processor.jaeger-binary.server-host-port": nil, "processor.zipkin-compact.server-host-port": nil}
	args := []string{
		"--collector.queue-size=20000", // The 10,000-span trace arrives at once.
		"--collector.grpc-server.max-message-size=33554432",
		"--collector.otlp.grpc.max-message-size=33554432",
	}
	listen := func(flag string, to *string, address string) {
		if to != nil {
			*to = address
		}
		args = append(args, "--"+flag+"="+address)
	}
	for flag, to := range tcp {
		listen(flag, to, freePort(t, "tcp"))
	}
	for flag, to := range udp {
		listen(flag, to, freePort(t, "udp"))
	}
	env := append(os.Environ(), "OTEL_TRACES_SAMPLER=always_off")
	if dir == "" {
		env = append(env, "SPAN_STORAGE_TYPE=memory")
	} else {
		env = append(env, "SPAN_STORAGE_TYPE=grpc-plugin")
		args = append(args, "--grpc-storage-plugin.binary="+program("tempo-plugin"),
			"--grpc-storage-plugin.configuration-file="+configFor(t, dir), "--grpc-storage-plugin.log-level=debug")
	}

	log := new(syncBuffer)
	cmd := exec.Command(program("jaeger-v1.57/all-in-one"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	j.stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Error("all-in-one did not stop within 15 s")
		}
	})
	t.Cleanup(func() {
		j.stop()
		if t.Failed() {
			t.Logf("what all-in-one logged above info (storage directory %q):\n%s", dir, warnings(log.String()))
		}
	})

	j.query = api_v2.NewQueryServiceClient(dial(t, queryGRPC))
	eventually(t, 30*time.Second, func() error {
		select {
		case <-ended:
			t.Fatal("all-in-one ended by itself")
		default:
		}
		_, err := j.get("/api/services")
		return err
	})
	return j
}

// get returns the data of an answer of the HTTP API.
func (j *allInOne) get(path string) (json.RawMessage, error) { return j.call(http.MethodGet, path) }

func (j *allInOne) call(method, path string) (json.RawMessage, error) {
	request, err := http.NewRequest(method, "http://"+j.api+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &apiError{response.StatusCode, string(body)}
	}
	var answer struct {
		Data json.RawMessage
	}
	err = json.Unmarshal(body, &answer)
	return answer.Data, err
}

// apiError is an answer other than 200.
type apiError struct {
	status int
	body   string
}

func (e *apiError) Error() string { return fmt.Sprintf("HTTP %d: %s", e.status, e.body) }

// trace returns the spans of a trace over gRPC, which keeps the exact types; none if there is no such trace.
func (j *allInOne) trace(id model.TraceID) ([]model.Span, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := j.query.GetTrace(ctx, &api_v2.GetTraceRequest{TraceID: id})
	if err != nil {
		return nil, err
	}
	var spans []model.Span
	for {
		chunk, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return spans, nil
		case status.Code(err) == codes.NotFound:
			return nil, nil
		case err != nil:
			return nil, err
		}
		spans = append(spans, chunk.Spans...)
	}
}

// awaitTrace returns the trace as soon as it has n spans: Jaeger acknowledges before it has written.
func (j *allInOne) awaitTrace(t testing.TB, id model.TraceID, n int) []model.Span {
	t.Helper()
	var spans []model.Span
	eventually(t, 60*time.Second, func() (err error) {
		if spans, err = j.trace(id); err == nil && len(spans) != n {
			err = fmt.Errorf("trace %v has %d spans of %d", id, len(spans), n)
		}
		return err
	})
	return spans
}

// eventually calls try until it returns nil, and fails the test with its last error after patience.
func eventually(t testing.TB, patience time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still so after %v: %v", patience, err)
		}
		<-tick.C
	}
}

func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

var given sync.Map

// freePort returns an address on loopback that nobody listens on, each one once.
func freePort(t testing.TB, network string) string {
	t.Helper()
	for {
		var port int
		if network == "udp" {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port = c.LocalAddr().(*net.UDPAddr).Port
			c.Close()
		} else {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port = l.Addr().(*net.TCPAddr).Port
			l.Close()
		}
		if _, taken := given.LoadOrStore(network+strconv.Itoa(port), true); !taken {
			return "127.0.0.1:" + strconv.Itoa(port)
		}
	}
}

// warnings returns the last lines of a log of Jaeger's that are not plain information.
func warnings(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool { return strings.Contains(line, `"level":"info"`) })
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

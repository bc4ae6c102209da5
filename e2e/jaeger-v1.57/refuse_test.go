package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestBadStartsAreRefused starts the plugin wrongly. Each time it ends with one line that says what is wrong, and
// where, and nothing is served.
func TestBadStartsAreRefused(t *testing.T) {
	t.Parallel()
	file := func(content string) func(*testing.T) []string {
		return func(t *testing.T) []string { return []string{"--config", writeFile(t, "tempo.yaml", content)} }
	}
	at := func(dir func(t *testing.T) string) func(*testing.T) []string {
		return func(t *testing.T) []string { return []string{"--config", configFor(t, dir(t))} }
	}
	for _, c := range []struct {
		name   string
		args   func(t *testing.T) []string
		byHand bool
		exit   int
		says   []string
	}{
		{name: "unknown key", args: file("storage:\n  path: x\n  pth: y\n"), exit: 1, says: []string{"tempo.yaml:3", "storage.pth", "storage.path"}},
		{name: "unknown section", args: file("strage:\n  path: x\n"), exit: 1, says: []string{"tempo.yaml:1", "strage", "storage"}},
		{name: "list where text belongs", args: file("storage:\n  path: [a, b]\n"), exit: 1, says: []string{"tempo.yaml:2", "storage.path", "list"}},
		{name: "bad duration", args: file("cut:\n  age: soon\n"), exit: 1, says: []string{"tempo.yaml:2", "cut.age", `"soon" is not a duration`, "90s"}},
		{name: "duration without a unit", args: file("cut:\n  age: 30\n"), exit: 1, says: []string{"tempo.yaml:2", "cut.age", "no unit", "30s"}},
		{name: "negative size", args: file("cut:\n  bytes: -1MiB\n"), exit: 1, says: []string{"tempo.yaml:2", "cut.bytes", "-1MiB"}},
		{name: "unknown choice", args: file("wal:\n  sync: sometimes\n"), exit: 1, says: []string{"tempo.yaml:2", "wal.sync", "sometimes", "always"}},
		{name: "environment variable that is not set", args: file("storage:\n  path: ${NO_SUCH_VARIABLE}\n"), exit: 1,
			says: []string{"tempo.yaml:2", "storage.path", "NO_SUCH_VARIABLE is not set"}},
		{name: "tab", args: file("storage:\n\tpath: x\n"), exit: 1, says: []string{"tempo.yaml:2", "tab"}},
		{name: "not YAML", args: file("\x00\x01\x02 this is no configuration"), exit: 1, says: []string{"tempo.yaml"}},
		{name: "missing file", args: func(t *testing.T) []string { return []string{"--config", filepath.Join(t.TempDir(), "none.yaml")} },
			exit: 1, says: []string{"none.yaml does not exist"}},
		{name: "file is a directory", args: func(t *testing.T) []string { return []string{"--config", t.TempDir()} },
			exit: 1, says: []string{"is a directory"}},
		{name: "data directory is a file", args: at(func(t *testing.T) string { return writeFile(t, "data", "") }),
			exit: 1, says: []string{"storage.path", "not a directory"}},
		{name: "data directory cannot be made", args: at(func(t *testing.T) string { return filepath.Join(writeFile(t, "file", ""), "data") }),
			exit: 1, says: []string{"storage.path", "not a directory"}},
		{name: "data directory cannot be written", args: at(readOnlyDir), exit: 1, says: []string{"storage.path"}},
		{name: "data directory is in use", args: at(func(t *testing.T) string {
			dir := t.TempDir()
			startPlugin(t, dir)
			return dir
		}), exit: 1, says: []string{"is in use by process", "storage.path", "jaeger-all-in-one"}},
		{name: "admin port in use", args: func(t *testing.T) []string {
			return []string{"--config", writeFile(t, "tempo.yaml", fmt.Sprintf("storage:\n  path: %s\nadmin:\n  listen_address: %s\n", t.TempDir(), busyPort(t)))}
		}, exit: 1, says: []string{"admin.listen_address", "in use"}},
		{name: "unknown flag", args: func(*testing.T) []string { return []string{"--confg=x"} }, exit: 2, says: []string{"--confg", "--help"}},
		{name: "argument", args: func(*testing.T) []string { return []string{"sarve"} }, exit: 2, says: []string{`"sarve"`, "--help"}},
		{name: "started by hand", args: func(*testing.T) []string { return nil }, byHand: true, exit: 2,
			says: []string{"started by Jaeger, not by hand", "--grpc-storage-plugin.binary"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, program("tempo-plugin"), c.args(t)...)
			cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir())
			if !c.byHand {
				cmd.Env = append(cmd.Env, "STORAGE_PLUGIN=jaeger", "PLUGIN_PROTOCOL_VERSIONS=1")
			}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			// The plugin watches the pipe of its parent.
			cmd.WaitDelay = time.Second
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.exit {
				t.Errorf("ended with %v, want exit code %d", err, c.exit)
			}
			if stdout.Len() > 0 {
				t.Errorf("printed on stdout, which is for the handshake: %s", &stdout)
			}
			var complaints []string
			for line := range strings.Lines(stderr.String()) {
				if c.byHand || strings.Contains(line, `"@level":"error"`) {
					complaints = append(complaints, line)
				}
			}
			if !c.byHand && len(complaints) != 1 {
				t.Errorf("%d errors logged, want 1:\n%s", len(complaints), &stderr)
			}
			text := strings.ReplaceAll(strings.Join(complaints, ""), `\"`, `"`)
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("the error does not say %q:\n%s", want, &stderr)
				}
			}
		})
	}
}

// TestBadRequestsAreRefused sends the plugin what no client should. Each time the answer has the right code and
// says what is wrong, and the plugin goes on.
func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	p := startPlugin(t, t.TempDir())
	id, unknown := model.NewTraceID(1, 2), model.NewTraceID(3, 4)

	write := func(change func(s *model.Span)) func(context.Context) error {
		return func(ctx context.Context) error {
			s := samples.Plain(id, 1, "refused")
			change(s)
			_, err := p.writes.WriteSpan(ctx, &storage_v1.WriteSpanRequest{Span: s})
			return err
		}
	}
	find := func(query storage_v1.TraceQueryParameters) func(context.Context) error {
		return func(ctx context.Context) error {
			stream, err := p.reads.FindTraces(ctx, &storage_v1.FindTracesRequest{Query: &query})
			if err != nil {
				return err
			}
			return drain(stream.Recv)
		}
	}
	get := func(id model.TraceID) func(context.Context) error {
		return func(ctx context.Context) error {
			stream, err := p.reads.GetTrace(ctx, &storage_v1.GetTraceRequest{TraceID: id})
			if err != nil {
				return err
			}
			return drain(stream.Recv)
		}
	}
	for _, c := range []struct {
		name string
		call func(context.Context) error
		code codes.Code
		says []string
	}{
		{"zero trace ID", write(func(s *model.Span) { s.TraceID = model.TraceID{} }), codes.InvalidArgument, []string{"trace_id is zero"}},
		{"zero span ID", write(func(s *model.Span) { s.SpanID = 0 }), codes.InvalidArgument, []string{"span_id is zero"}},
		{"operation not UTF-8", write(func(s *model.Span) { s.OperationName = "a\xffb" }), codes.InvalidArgument, []string{"UTF-8"}},
		{"service not UTF-8", write(func(s *model.Span) { s.Process.ServiceName = "a\xffb" }), codes.InvalidArgument, []string{"UTF-8"}},
		{"tag not UTF-8", write(func(s *model.Span) { s.Tags = []model.KeyValue{model.String("k", "\xc3")} }), codes.InvalidArgument, []string{"UTF-8"}},
		{"no span", func(ctx context.Context) error {
			_, err := p.writes.WriteSpan(ctx, &storage_v1.WriteSpanRequest{})
			return err
		}, codes.InvalidArgument, []string{"span"}},
		{"100 MB span", write(func(s *model.Span) { s.Tags = []model.KeyValue{model.String("k", strings.Repeat("x", 100<<20))} }),
			codes.ResourceExhausted, []string{"message larger than max"}},
		{"archived span with zero trace ID", func(ctx context.Context) error {
			_, err := p.archives.WriteArchiveSpan(ctx, &storage_v1.WriteSpanRequest{Span: samples.Plain(model.TraceID{}, 1, "refused")})
			return err
		}, codes.InvalidArgument, []string{"trace_id is zero"}},
		{"trace unknown", get(unknown), codes.NotFound, []string{"trace not found"}},
		{"archived trace unknown", func(ctx context.Context) error {
			stream, err := p.archived.GetArchiveTrace(ctx, &storage_v1.GetTraceRequest{TraceID: unknown})
			if err != nil {
				return err
			}
			return drain(stream.Recv)
		}, codes.NotFound, []string{"trace not found"}},
		{"start after end", find(storage_v1.TraceQueryParameters{ServiceName: "s", StartTimeMin: samples.Now, StartTimeMax: samples.Now.Add(-time.Second)}),
			codes.InvalidArgument, []string{"start"}},
		{"least duration above the greatest", find(storage_v1.TraceQueryParameters{ServiceName: "s", StartTimeMin: samples.Now.Add(-time.Hour), StartTimeMax: samples.Now,
			DurationMin: time.Second, DurationMax: time.Millisecond}), codes.InvalidArgument, []string{"duration"}},
		{"tags without a service", find(storage_v1.TraceQueryParameters{Tags: map[string]string{"k": "v"}, StartTimeMin: samples.Now.Add(-time.Hour), StartTimeMax: samples.Now}),
			codes.InvalidArgument, []string{"service"}},
		{"no query", func(ctx context.Context) error {
			stream, err := p.reads.FindTraces(ctx, &storage_v1.FindTracesRequest{})
			if err != nil {
				return err
			}
			return drain(stream.Recv)
		}, codes.InvalidArgument, []string{"query"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			err := c.call(ctx)
			if status.Code(err) != c.code {
				t.Fatalf("code %v, want %v: %v", status.Code(err), c.code, err)
			}
			for _, want := range c.says {
				if !strings.Contains(status.Convert(err).Message(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
	if err := write(func(*model.Span) {})(context.Background()); err != nil {
		t.Errorf("after all that a good span is refused: %v", err)
	}
	services, err := p.reader.GetServices(context.Background())
	if err != nil || len(services) != 1 || services[0] != "refused" {
		t.Errorf("services %q (%v), want just the good span's", services, err)
	}
}

// drain receives to the end of a stream.
func drain[T any](receive func() (T, error)) error {
	for {
		if _, err := receive(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readOnlyDir returns a directory that not even root can write: one of the kernel's.
func readOnlyDir(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 {
		return "/proc/self/data"
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// busyPort returns an address that this test listens on.
func busyPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

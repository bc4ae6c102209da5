package main

import (
	"bufio"
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/plugin"
)

// startServer starts `tempo-plugin serve` and returns it with the address it listens at.
func startServer(t *testing.T, yaml string) (r *running, address string) {
	t.Helper()
	cmd := prepare(t, nil, "serve", "--config.file", write(t, yaml), "--grpc.listen-address", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r = &running{Cmd: cmd, logs: bufio.NewReader(stderr)}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for {
		line := r.nextLog(t)
		if url, ok := line["url"].(string); ok {
			r.admin = url
		}
		if line["@message"] == "remote storage server is listening" {
			return r, line["address"].(string)
		}
	}
}

func clientOfServer(t *testing.T, address string) *shared.GRPCClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return shared.NewGRPCClient(conn)
}

func TestAServerKeepsWhatItAcknowledged(t *testing.T) {
	for name, blocks := range map[string]string{"in a directory": "", "in an object store": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			_, yaml := storage(t)
			if blocks != "" {
				yaml = strings.Replace(yaml, "storage: {", "storage: {blocks: "+blocks+", ", 1)
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			r, address := startServer(t, yaml)
			span := &model.Span{TraceID: model.NewTraceID(1, 2), SpanID: 3, OperationName: "get", Process: model.NewProcess("shop", nil)}
			if err := clientOfServer(t, address).SpanWriter().WriteSpan(ctx, span); err != nil {
				t.Fatal(err)
			}
			if code, body := get(t, r.admin+"ready"); code != 200 {
				t.Errorf("/ready: %d, %s", code, body)
			}
			if err := r.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			for line := r.nextLog(t); line["@message"] != "stopped"; line = r.nextLog(t) {
				if line["@level"] == "error" {
					t.Errorf("logged: %v", line)
				}
			}
			if err := r.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			_, address = startServer(t, yaml)
			got, err := clientOfServer(t, address).SpanReader().GetTrace(ctx, span.TraceID)
			if err != nil || len(got.Spans) != 1 || got.Spans[0].SpanID != span.SpanID {
				t.Errorf("after a restart: %v, %v", got, err)
			}
		})
	}
}

func TestServeTeachesAndPrints(t *testing.T) {
	stdout, stderr, code := runToEnd(t, nil, "serve", "--help")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"SPAN_STORAGE_TYPE=grpc", "--grpc-storage.server=", "--grpc.listen-address", "--config.file", "--config.print", "OTEL_TRACES_SAMPLER=always_off",
		"remote.archive_listen_address", "remote.tls_cert",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("serve --help does not show %s", want)
		}
	}
	if stdout, _, _ = runToEnd(t, nil, "--help"); !strings.Contains(stdout, "serve ") {
		t.Error("--help does not name serve")
	}
	if stdout, _, code = runToEnd(t, nil, "serve", "--version"); code != 0 || !strings.Contains(stdout, "v0.0.0-test ") {
		t.Errorf("serve --version: %q, exit code %d", stdout, code)
	}
	stdout, stderr, code = runToEnd(t, nil, "serve", "--config.print", "--config.file", write(t, "remote: {span_kind: unspecified}"), "--grpc.listen-address", ":7")
	cfg, err := config.Parse("printed", []byte(stdout), func(string) (string, bool) { return "", false })
	if code != 0 || err != nil || cfg.Remote.ListenAddress != ":7" || cfg.Remote.SpanKind != config.SpanKindUnspecified {
		t.Errorf("exit code %d, %v, %+v, stderr %q", code, err, cfg.Remote, stderr)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/plugin/jaegerv1"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func TestTenantsAndTheirLimitsHoldInOneProcess(t *testing.T) {
	for name, blocks := range map[string]string{"in a directory": "", "in an object store": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := func(name, text string) string {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			cfg := config.Default(os.LookupEnv)
			cfg.Storage = config.Storage{Path: filepath.Join(dir, "data"), Blocks: blocks}
			cfg.Admin.ListenAddress = config.AdminOff
			cfg.Limits.TraceSpans = 3
			cfg.Limits.File = file("limits.yaml", "acme: {trace_spans: 1}")
			cfg.Tenancy.Enabled, cfg.Tenancy.Allowed = true, "acme,globex"
			cfg.Tenancy.TokensFile = file("tokens", "token-of-acme-1234 acme\n")
			log := daemon.NewLog("error", io.Discard)
			s, err := openStore(t.Context(), cfg, log, daemon.NewAdmin("tempo-plugin", "plugin", cfg, log))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			})

			tenant, err := s.services.TenantOf(metadata.NewIncomingContext(t.Context(), metadata.Pairs("bearer.token", "token-of-acme-1234")))
			if tenant != "acme" || err != nil {
				t.Errorf("%q, %v", tenant, err)
			}
			if tenant, err := s.services.TenantOf(t.Context()); status.Code(err) != codes.Unauthenticated {
				t.Errorf("without a token: %q, %v", tenant, err)
			}

			spans := uint64(0)
			write := func(tenant string) error {
				spans++
				otlp, err := jaegerv1.AppendOTLP(nil, &model.Span{TraceID: model.NewTraceID(1, 1), SpanID: model.NewSpanID(spans), OperationName: "op", Process: &model.Process{ServiceName: "s"}})
				if err != nil {
					t.Fatal(err)
				}
				rejected, err := s.services.Writer.Write(t.Context(), tenant, otlp)
				return errors.Join(err, rejected.Limit)
			}
			for tenant, most := range map[string]int{"acme": 1, "globex": 3} {
				for range most {
					if err := write(tenant); err != nil {
						t.Fatal(err)
					}
				}
				if err := write(tenant); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "recent spans") {
					t.Errorf("a span too much of %s: %v", tenant, err)
				}
				for range 5 { // what can be read can be archived
					if err := write(tracedb.ArchiveTenant(tenant)); err != nil {
						t.Errorf("the archive of %s: %v", tenant, err)
					}
				}
			}
		})
	}
}

func TestATokenIsShownNowhere(t *testing.T) {
	const token, tenant = "token-of-acme-1234", "acme"
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(token+" "+tenant+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, yaml := storage(t)
	yaml += "tenancy: {enabled: true, tokens_file: " + tokens + "}\nlogging: {level: debug}\n"
	stdout, _, code := runToEnd(t, nil, "--config.file", write(t, yaml), "--config.print")
	if code != 0 || !strings.Contains(stdout, tokens) || strings.Contains(stdout, token) {
		t.Errorf("--config.print: %d\n%s", code, stdout)
	}

	r, address := startServer(t, yaml)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	client := clientOfServer(t, address)
	span := &model.Span{TraceID: model.NewTraceID(1, 2), SpanID: 3, OperationName: "get", Process: model.NewProcess("shop", nil)}
	for sent, want := range map[string]codes.Code{token: codes.OK, "x" + token: codes.Unauthenticated, "": codes.Unauthenticated} {
		ctx := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+sent)
		if err := client.SpanWriter().WriteSpan(ctx, span); status.Code(err) != want || err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("with the token %q: %v", sent, err)
		}
	}
	if _, err := client.Capabilities(); err != nil {
		t.Errorf("capabilities, which need no token: %v", err)
	}
	for _, page := range []string{"", "metrics", "ready"} {
		if code, body := get(t, r.admin+page); code != 200 || strings.Contains(body, token) {
			t.Errorf("/%s: %d\n%s", page, code, body)
		}
	}
	if err := os.WriteFile(tokens, []byte("acme "+token), 0o600); err != nil {
		t.Fatal(err)
	}
	told := false
	for line := r.nextLog(t); line["@message"] != "stopped"; line = r.nextLog(t) {
		if strings.Contains(fmt.Sprint(line), token) {
			t.Errorf("logged: %v", line)
		}
		if !told && line["@level"] == "error" {
			told = true
			if text := fmt.Sprint(line); !strings.Contains(text, tokens+":1: the token is shorter than") {
				t.Errorf("of a wrong file is said: %s", text)
			}
			if err := r.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
}

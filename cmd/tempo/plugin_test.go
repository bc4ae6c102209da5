package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/storage/spanstore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// host is what Jaeger has on its side of a plugin.
type host struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (host) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return errors.ErrUnsupported }

func (host) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return shared.NewGRPCClient(conn), nil
}

// plug starts a plugin as Jaeger does.
func plug(t *testing.T, yaml, data, join string) *shared.GRPCClient {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "tempo-plugin"), "--config", write(t, yaml))
	cmd.Env = append(os.Environ(), "DATA="+data, "JOIN="+join)
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: "STORAGE_PLUGIN", MagicCookieValue: "jaeger"},
		VersionedPlugins: map[int]goplugin.PluginSet{1: {"storage_plugin": host{}}},
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		Stderr:           testWriter{t},
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense("storage_plugin")
	if err != nil {
		t.Fatal(err)
	}
	return raw.(*shared.GRPCClient)
}

// testWriter puts what a plugin logs to what the test does.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("plugin: %s", p)
	return len(p), nil
}

func spanOf(n uint64) *model.Span {
	return &model.Span{
		TraceID: model.NewTraceID(7, n), SpanID: model.NewSpanID(n), OperationName: "buy", StartTime: time.Now().Truncate(time.Microsecond).UTC(),
		Duration: time.Millisecond, Process: model.NewProcess("shop", nil), Tags: model.KeyValues{model.Int64("n", int64(n))},
	}
}

const pluginYAML = `
storage: {blocks: "${DATA}/blocks"}
ring: {store: memberlist, join: "${JOIN:-}", settle: 100ms, heartbeat: 2s, heartbeat_timeout: 20s}
admin: {listen_address: 127.0.0.1:0}
`

// A plugin starts before anybody else of the cluster; what one plugin has written another reads, also after the ingesters have
// been stopped and started again, and after a flush.
func TestPluginsInFrontOfACluster(t *testing.T) {
	data := t.TempDir()
	gossip := freeAddress(t)
	early := plug(t, pluginYAML, data, gossip)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := early.SpanWriter().WriteSpan(ctx, spanOf(1)); status.Code(err) != codes.Unavailable {
		t.Errorf("a write before there is an ingester: %v, want Unavailable", err)
	}
	var ingesters []*running
	for i := range 3 {
		ingesters = append(ingesters, daemonOf(t, data, "ingester", fmt.Sprint("ingester-", i+1), gossip))
	}
	compactor := daemonOf(t, data, "compactor", "compactor-1", gossip)
	for _, r := range append(ingesters, compactor) {
		await(t, r.admin+"ready", "ready\n")
	}
	await(t, ingesters[0].admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 3`)
	querier := daemonOf(t, data, "querier", "querier-1", "")
	late := plug(t, pluginYAML+"reader: {poll_interval: 100ms, queriers: '"+querier.grpc+"'}\n", data, gossip)
	for n := range uint64(20) {
		for {
			err := early.SpanWriter().WriteSpan(ctx, spanOf(n+1))
			if err == nil {
				break
			}
			if status.Code(err) != codes.Unavailable || ctx.Err() != nil { // it may not have heard of the ingesters yet
				t.Fatal(err)
			}
		}
	}
	readBack := func(from *shared.GRPCClient, when string) {
		t.Helper()
		for n := range uint64(20) {
			got, err := from.SpanReader().GetTrace(ctx, model.NewTraceID(7, n+1))
			if err != nil || len(got.Spans) != 1 || got.Spans[0].OperationName != "buy" {
				t.Fatalf("%s: trace %d: %v, %v", when, n+1, got, err)
			}
		}
		found, err := from.SpanReader().FindTraces(ctx, &spanstore.TraceQueryParameters{
			ServiceName: "shop", StartTimeMin: time.Now().Add(-time.Hour), StartTimeMax: time.Now().Add(time.Hour), NumTraces: 100,
		})
		if err != nil || len(found) != 20 {
			t.Errorf("%s: a search finds %d traces, %v, want 20", when, len(found), err)
		}
		if services, err := from.SpanReader().GetServices(ctx); err != nil || len(services) != 1 || services[0] != "shop" {
			t.Errorf("%s: services %v, %v", when, services, err)
		}
	}
	readBack(early, "right after the writes")
	readBack(late, "by another plugin")
	for _, r := range ingesters {
		if _, err := httpPost(r.admin + "flush"); err != nil {
			t.Fatal(err)
		}
	}
	readBack(late, "after a flush")
	for asked := false; !asked; { // once the plugin has seen the blocks
		readBack(late, "through a querier")
		_, body := get(t, querier.admin+"metrics")
		asked = !strings.Contains(body, "tempo_querier_questions_total 0\n")
	}
	ingesters[1].stop(t)
	readBack(late, "while an ingester is away")
}

// spans receives what processes trace, and keeps it as it came: names are text in it.
type spans struct {
	mu   sync.Mutex
	sent bytes.Buffer
}

func (s *spans) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent.Write(body)
}

func (s *spans) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.sent.Bytes(), []byte(text))
}

// A query is traced from the plugin to the ingesters, and so is an upload; a write is not.
func TestQueriesAreTracedAndWritesAreNot(t *testing.T) {
	traced := new(spans)
	collector := httptest.NewServer(traced)
	defer collector.Close()
	t.Setenv("JAEGER_ENDPOINT", collector.URL)
	t.Setenv("JAEGER_REPORTER_FLUSH_INTERVAL", "50ms")
	data := t.TempDir()
	r := start(t, data, "one", "", "started", "tempo", "--target=all", "--config.file", write(t, oneReplica))
	await(t, r.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 1`)
	p := plug(t, strings.Replace(pluginYAML, "settle:", "replication: 1, settle:", 1), data, r.gossip)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := p.SpanWriter().WriteSpan(ctx, spanOf(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.SpanReader().GetTrace(ctx, model.NewTraceID(7, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := httpPost(r.admin + "flush"); err != nil {
		t.Fatal(err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for _, want := range []string{"SpanReaderPlugin/GetTrace", "values", "Ingester/Values", "upload", "tempo-plugin", "tempo-all"} {
		for !traced.has(want) {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				t.Fatalf("%s is not traced", want)
			}
		}
	}
	for _, never := range []string{"WriteSpan", "/Push"} {
		if traced.has(never) {
			t.Errorf("%s is traced", never)
		}
	}
}

// With storage.blocks alone the plugin is all of it.
func TestAPluginWithAnObjectStoreAlone(t *testing.T) {
	const yaml = `
storage: {path: "${DATA}/store", blocks: "${DATA}/blocks"}
cut: {age: 1s}
admin: {listen_address: 127.0.0.1:0}
`
	data := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	p := plug(t, yaml, data, "")
	if err := p.SpanWriter().WriteSpan(ctx, spanOf(1)); err != nil {
		t.Fatal(err)
	}
	if got, err := p.SpanReader().GetTrace(ctx, model.NewTraceID(7, 1)); err != nil || len(got.Spans) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if metas, _ := filepath.Glob(filepath.Join(data, "blocks", "single-tenant", "*", "meta.json")); len(metas) > 0 {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("no block comes to the object store")
		}
	}
	if got, err := p.SpanReader().GetTrace(ctx, model.NewTraceID(7, 1)); err != nil || len(got.Spans) != 1 {
		t.Errorf("once it is in the object store: %v, %v", got, err)
	}
}

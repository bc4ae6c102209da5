package plugin

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/jaegertracing/jaeger/model"
	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/storage/spanstore"
	"google.golang.org/grpc"
)

// closedFile names, in the environment of the test binary, the file that it makes when it has served as
// a plugin and closes its store. With it set, the binary is a plugin and no test.
const closedFile = "TEMPO_TEST_PLUGIN_CLOSED"

func TestMain(m *testing.M) {
	if file := os.Getenv(closedFile); file != "" {
		store := &naiveStore{}
		ServePlugin(context.Background(), New(Options{Writer: store, Reader: store}), hclog.NewNullLogger())
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// host is what Jaeger has on its side of a plugin.
type host struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (host) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return errors.ErrUnsupported }

func (host) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return shared.NewGRPCClient(conn), nil
}

func TestAHostLoadsThePlugin(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), closedFile+"="+closed)
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: "STORAGE_PLUGIN", MagicCookieValue: "jaeger"},
		VersionedPlugins: map[int]goplugin.PluginSet{1: {"storage_plugin": host{}}},
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	if version := client.NegotiatedVersion(); version != 1 {
		t.Errorf("protocol version %d", version)
	}
	if err := protocol.Ping(); err != nil { // Jaeger exits when this fails
		t.Errorf("health check: %v", err)
	}
	raw, err := protocol.Dispense("storage_plugin")
	if err != nil {
		t.Fatal(err)
	}
	jaeger := raw.(*shared.GRPCClient)
	if got, err := jaeger.Capabilities(); err != nil || *got != (shared.Capabilities{ArchiveSpanReader: true, ArchiveSpanWriter: true}) {
		t.Errorf("capabilities %v, %v", got, err)
	}

	want := someSpan(1, 1)
	want.Tags = append(want.Tags, model.String("large", strings.Repeat("x", 3<<20)), model.String("larger", strings.Repeat("x", 3<<20)))
	if err := jaeger.SpanWriter().WriteSpan(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := jaeger.SpanReader().GetTrace(t.Context(), want.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal([]*model.Span{want}, got.Spans) {
		t.Error("a span of 6 MiB came back different")
	}
	if _, err := jaeger.SpanReader().GetTrace(t.Context(), model.NewTraceID(0, 7)); !errors.Is(err, spanstore.ErrTraceNotFound) {
		t.Errorf("unknown trace: %v", err)
	}

	if err := jaeger.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	client.Kill()
	if _, err := os.Stat(closed); err != nil {
		t.Errorf("the plugin was killed before it closed its store: %v", err)
	}
}

func TestThePluginIsNotAClient(t *testing.T) {
	if _, err := (&GRPCPlugin{}).GRPCClient(t.Context(), nil, nil); err == nil {
		t.Error("no error")
	}
}

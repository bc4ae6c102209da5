package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"github.com/jaegertracing/jaeger/proto-gen/storage_v1"
	"github.com/jaegertracing/jaeger/storage/spanstore"
)

// plugin is a running tempo-plugin, started the way Jaeger starts it.
type plugin struct {
	client *goplugin.Client
	cmd    *exec.Cmd
	log    *syncBuffer

	// The raw services, and Jaeger's own reader and writer over them.
	reads    storage_v1.SpanReaderPluginClient
	writes   storage_v1.SpanWriterPluginClient
	depends  storage_v1.DependenciesReaderPluginClient
	archived storage_v1.ArchiveSpanReaderPluginClient
	archives storage_v1.ArchiveSpanWriterPluginClient
	reader   spanstore.Reader
	writer   spanstore.Writer
}

// startPlugin starts a plugin on the directory and stops it when the test ends.
func startPlugin(t testing.TB, dir string) *plugin {
	t.Helper()
	p, err := tryPlugin(configFor(t, dir))
	if err != nil {
		t.Fatalf("starting the plugin: %v\nits log:\n%s", err, p.log)
	}
	t.Cleanup(func() {
		p.client.Kill()
		if t.Failed() {
			t.Logf("the plugin's log:\n%s", p.log)
		}
	})
	return p
}

// tryPlugin starts a plugin with a configuration file. The plugin's log is there also if it did not start.
func tryPlugin(config string) (*plugin, error) {
	return tryCommand(exec.Command(program("tempo-plugin"), "--config", config))
}

// tryCommand is tryPlugin with the command that starts it.
func tryCommand(cmd *exec.Cmd) (*plugin, error) {
	p := &plugin{log: new(syncBuffer), cmd: cmd}
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: shared.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{
			1: {shared.StoragePluginIdentifier: connection{}},
		},
		Cmd:              p.cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Output: p.log, Level: hclog.Debug}),
		GRPCDialOptions:  []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20))},
	})
	rpc, err := p.client.Client()
	if err != nil {
		p.client.Kill()
		return p, err
	}
	raw, err := rpc.Dispense(shared.StoragePluginIdentifier)
	if err != nil {
		p.client.Kill()
		return p, err
	}
	conn := raw.(*grpc.ClientConn)
	p.reads = storage_v1.NewSpanReaderPluginClient(conn)
	p.writes = storage_v1.NewSpanWriterPluginClient(conn)
	p.depends = storage_v1.NewDependenciesReaderPluginClient(conn)
	p.archived = storage_v1.NewArchiveSpanReaderPluginClient(conn)
	p.archives = storage_v1.NewArchiveSpanWriterPluginClient(conn)
	jaeger := shared.NewGRPCClient(conn)
	p.reader, p.writer = jaeger.SpanReader(), jaeger.SpanWriter()
	return p, nil
}

// kill ends the plugin as kill -9 does, and returns when it is dead.
func (p *plugin) kill() {
	p.cmd.Process.Kill()
	// Returns once the process was waited for.
	p.client.Kill()
}

// connection is the go-plugin plugin whose client is the bare connection.
type connection struct{ goplugin.Plugin }

func (connection) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { panic("this is the host") }

func (connection) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// configFor writes a configuration that keeps the data in dir and opens no admin port, with more lines if given.
func configFor(t testing.TB, dir string, more ...string) string {
	t.Helper()
	lines := append([]string{"storage: {path: " + dir + "}", `admin: {listen_address: "off"}`}, more...)
	return writeFile(t, "tempo.yaml", strings.Join(lines, "\n")+"\n")
}

// writeFile writes a file into a fresh directory of the test.
func writeFile(t testing.TB, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// root is the folder of the repository.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// program returns the path of a program in the repository's bin/.
func program(name string) string { return filepath.Join(root, "bin", name) }

func TestMain(m *testing.M) {
	for _, name := range []string{"tempo-plugin", "jaeger-v1.57/all-in-one", "jaeger-v1.57/tracegen"} {
		if _, err := os.Stat(program(name)); err != nil {
			fmt.Fprintf(os.Stderr, "bin/%s is missing: run `make e2e`, which builds it\n", name)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/plugin/storage/grpc/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/plugin"
)

// bin is where the programs under test are, built once.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tempo-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin = dir
	if out, err := exec.Command("go", "build", "-o", dir+"/", ".", "../tempo-plugin").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %s\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// deadline ends a program that hangs, and with it the test.
const deadline = 60 * time.Second

func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "tempo.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// clusterYAML is the configuration of a cluster on free ports. Its variables are DATA, GOSSIP, JOIN and ID.
const clusterYAML = `
storage: {path: "${DATA}/${ID}", blocks: "${DATA}/blocks"}
ring: {store: memberlist, listen_address: "${GOSSIP:-127.0.0.1:0}", join: "${JOIN:-}", settle: 100ms, heartbeat: 2s, heartbeat_timeout: 20s}
instance: {id: "${ID}"}
server: {grpc_listen_address: 127.0.0.1:0}
remote: {listen_address: 127.0.0.1:0, archive_listen_address: 127.0.0.1:0}
admin: {listen_address: 127.0.0.1:0}
`

// oneReplica is the same for a cluster of one ingester.
var oneReplica = strings.Replace(clusterYAML, "settle:", "replication: 1, settle:", 1)

// running is a process that has started.
type running struct {
	*exec.Cmd
	admin  string // URL of its admin server
	gossip string
	grpc   string        // where its gRPC server is reached
	remote string        // where Jaeger reaches it, if it does
	ended  chan struct{} // closed when it has, and err and logs are what it has left
	err    error

	mu   sync.Mutex
	logs []string
}

// start starts a program in a cluster of which all have the same data, and waits until it says that it has started.
func start(t *testing.T, data, id, join, started string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	r := &running{Cmd: exec.CommandContext(ctx, filepath.Join(bin, args[0]), args[1:]...), ended: make(chan struct{})}
	r.Dir = t.TempDir()
	r.Env = []string{"DATA=" + data, "ID=" + id, "JOIN=" + join}
	for _, name := range []string{"JAEGER_ENDPOINT", "JAEGER_REPORTER_FLUSH_INTERVAL"} {
		if v := os.Getenv(name); v != "" {
			r.Env = append(r.Env, name+"="+v)
		}
	}
	if id == "ingester-1" && join != "" { // it is whom the others join
		r.Env = append(r.Env, "GOSSIP="+join)
	}
	stderr, err := r.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	go func() {
		defer close(r.ended)
		defer cancel()
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			r.mu.Lock()
			r.logs = append(r.logs, lines.Text())
			r.mu.Unlock()
			var line struct {
				Message string `json:"@message"`
				URL     string `json:"url"`
				Address string `json:"address"`
				Reached string `json:"reached_at"`
				Serves  string `json:"serves"`
			}
			_ = json.Unmarshal(lines.Bytes(), &line)
			switch line.Message {
			case "admin server is listening":
				r.admin = line.URL
			case "gossip is listening":
				r.gossip = line.Address
			case "gRPC server is listening":
				r.grpc = line.Reached
			}
			if line.Message == "remote storage server is listening" && line.Serves == "traces" {
				r.remote = line.Address
			}
			if line.Message == started {
				close(up)
			}
		}
		r.err = r.Wait()
	}()
	t.Cleanup(func() {
		_ = r.Process.Kill()
		<-r.ended
		if t.Failed() {
			t.Logf("%s:\n%s", id, strings.Join(r.lines(), "\n"))
		}
	})
	select {
	case <-up:
	case <-r.ended:
		t.Fatalf("%s has ended: %v\n%s", id, r.err, strings.Join(r.lines(), "\n"))
	}
	return r
}

func (r *running) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.logs...)
}

func daemonOf(t *testing.T, data, target, id, join string) *running {
	t.Helper()
	return start(t, data, id, join, "started", "tempo", "--target="+target, "--config.file", write(t, clusterYAML))
}

// stop ends the process by SIGTERM.
func (r *running) stop(t *testing.T) {
	t.Helper()
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-r.ended
	if r.err != nil {
		t.Errorf("ended by SIGTERM: %v", r.err)
	}
	if lines := r.lines(); !strings.Contains(lines[len(lines)-1], `"stopped"`) {
		t.Errorf("its last word was %s", lines[len(lines)-1])
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// await waits until the page holds the text, gone until it does not.
func await(t *testing.T, url, text string) { t.Helper(); awaitPage(t, url, text, true) }
func gone(t *testing.T, url, text string)  { t.Helper(); awaitPage(t, url, text, false) }

func awaitPage(t *testing.T, url, text string, holds bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(deadline)
	for {
		_, body := get(t, url)
		if strings.Contains(body, text) == holds {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("waited too long: that %s holds %s is %v\n%s", url, text, !holds, body)
		}
	}
}

func TestHelpVersionAndPrint(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--help"}, []string{"--target", "--config.file", "ring.store", "storage.blocks", "jaeger-config/v1.57-cluster"}},
		{[]string{"--version"}, []string{"tempo dev"}},
		{[]string{"--config.print"}, []string{"replication: \"3\""}},
	} {
		out, err := exec.Command(filepath.Join(bin, "tempo"), c.args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v does not show %s:\n%s", c.args, want, out)
			}
		}
	}
	out, _ := exec.Command(filepath.Join(bin, "tempo"), "--help").Output()
	for _, k := range config.Keys() {
		if !strings.Contains(string(out), k.Name) {
			t.Errorf("--help does not name the key %s", k.Name)
		}
	}
}

// TestBadStarts lists what a person can get wrong, and the one error that each gets.
func TestBadStarts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests
	address := taken.Addr().String()
	used := t.TempDir()
	if err := os.MkdirAll(filepath.Join(used, "log", "single-tenant"), 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir()
	if err := os.MkdirAll(filepath.Join(foreign, "ingester"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "ingester", "instance"), []byte("somebody-else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const cluster = "storage: {path: %q, blocks: b}\nring: {store: memberlist, listen_address: '127.0.0.1:0'}\nadmin: {listen_address: off}\nserver: {grpc_listen_address: '127.0.0.1:0'}\n"
	for _, c := range []struct {
		name, target, yaml string
		code               int
		want               string
	}{
		{name: "no target", code: 2, want: "--target is missing: it says what this process does, ingester, compactor, querier or all"},
		{name: "unknown target", target: "distributor", code: 2, want: "--target=distributor is not one of ingester, compactor, querier, all"},
		{name: "no ring", target: "ingester", yaml: "admin: {listen_address: off}", code: 1,
			want: "ring.store: is empty: nobody would find this process; set it to memberlist, etcd or consul, or run --target=all"},
		{name: "a querier of nothing", target: "querier", yaml: "admin: {listen_address: off}", code: 1, want: "storage.blocks: is empty: name the object store that a querier reads"},
		{name: "no object store", target: "ingester", yaml: "ring: {store: memberlist}", code: 1,
			want: "FILE: storage.blocks: is empty: ring.store is memberlist, name the object store that all processes share"},
		{name: "etcd without servers", target: "compactor", yaml: "storage: {blocks: b}\nring: {store: etcd}", code: 1,
			want: "FILE: ring.endpoints: is empty: ring.store is etcd, name its servers"},
		{name: "zones without a zone", target: "ingester", yaml: fmt.Sprintf(cluster, t.TempDir()) + "instance: {zone: ''}\n", code: 1,
			want: "instance.zone: is empty: ring.zones is true, say in which zone this instance is"},
		{name: "gRPC address that is taken", target: "compactor", code: 1,
			yaml: "storage: {blocks: b}\nring: {store: memberlist}\nadmin: {listen_address: off}\nserver: {grpc_listen_address: '" + address + "'}",
			want: "gRPC server: listen tcp " + address + ": bind: address already in use; set server.grpc_listen_address to a free address"},
		{name: "gossip address that is taken", target: "compactor", code: 1,
			yaml: "storage: {blocks: b}\nring: {store: memberlist, listen_address: '" + address + "'}\nadmin: {listen_address: off}\nserver: {grpc_listen_address: '127.0.0.1:0'}",
			want: "ring store: "},
		{name: "Azure without an account", target: "compactor", code: 1,
			yaml: "storage: {blocks: 'azblob://c/p'}\nring: {store: memberlist, listen_address: '127.0.0.1:0'}\nadmin: {listen_address: off}\nserver: {grpc_listen_address: '127.0.0.1:0'}",
			want: "storage.blocks: azblob://c/p: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING in the environment"},
		{name: "directory of an embedded store", target: "ingester", yaml: fmt.Sprintf(cluster, used), code: 1,
			want: "storage directory " + used + " holds recent traces of a tempo-plugin without storage.blocks, which would not be found any more: set storage.path to another directory"},
		{name: "directory of another instance", target: "ingester", yaml: fmt.Sprintf(cluster, foreign) + "instance: {id: me}\n", code: 1, want: "somebody-else"},
		{name: "limits that are wrong", target: "ingester", yaml: fmt.Sprintf(cluster, t.TempDir()) + "limits: {file: " + write(t, "acme: {rate: 1}") + "}\n", code: 1,
			want: "tempo.yaml:1: acme.rate: unknown key"},
		{name: "limits that are not there", target: "ingester", yaml: fmt.Sprintf(cluster, t.TempDir()) + "limits: {file: /none.yaml}\n", code: 1,
			want: "limits.file: configuration file /none.yaml does not exist"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.name == "zones without a zone" {
				c.yaml = strings.Replace(c.yaml, "memberlist,", "memberlist, zones: true,", 1)
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			file := write(t, c.yaml)
			args := []string{"--config.file", file}
			if c.target != "" {
				args = append(args, "--target="+c.target)
			}
			cmd := exec.CommandContext(ctx, filepath.Join(bin, "tempo"), args...)
			cmd.Dir, cmd.Env = t.TempDir(), []string{"X=x"}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			err := cmd.Run()
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != c.code {
				t.Errorf("%v, want exit code %d", err, c.code)
			}
			var plain []string // what is no line of the log
			for _, line := range strings.Split(strings.TrimSpace(errs.String()), "\n") {
				if !strings.HasPrefix(line, "{") {
					plain = append(plain, line)
				}
			}
			want := strings.ReplaceAll(c.want, "FILE", file)
			if len(plain) != 1 || !strings.HasPrefix(plain[0], "tempo: ") || !strings.Contains(plain[0], want) {
				t.Errorf("it says\n%s\nwant one error:\n%s", errs.String(), want)
			}
		})
	}
}

func TestIngesterAndCompactorStartAndStop(t *testing.T) {
	data := t.TempDir()
	first := daemonOf(t, data, "ingester", "ingester-1", "")
	second := daemonOf(t, data, "ingester", "ingester-2", first.gossip)
	compactor := daemonOf(t, data, "compactor", "compactor-1", first.gossip)
	for _, c := range []struct {
		of         *running
		path, want string
	}{
		{first, "ready", "ready\n"},
		{compactor, "ready", "ready\n"},
		{first, "metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 2`},
		{compactor, "metrics", `tempo_ring_instances{ring="compactors",state="ACTIVE"} 1`},
		{first, "metrics", "tempo_ingester_ready 1"},
		{compactor, "metrics", "tempo_compactor_ready 1"},
		{compactor, "metrics", "tempo_backend_requests_total"},
		{first, "ring", "ingester-2"},
		{first, "ring/ingesters", "ingester-1"},
		{compactor, "ring", "compactor-1"},
		{first, "prepare-downscale", `"active":true`},
		{first, "", "Ring of ingesters"},
		{compactor, "", "Blocks in "},
		{first, "debug/pprof/", "goroutine"},
	} {
		await(t, c.of.admin+c.path, c.want)
	}
	second.stop(t)
	await(t, first.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="LEAVING"} 1`)
	compactor.stop(t)
	second = daemonOf(t, data, "ingester", "ingester-2", first.gossip)
	await(t, first.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 2`)
	second.stop(t)
	first.stop(t)
}

func TestAllInOneProcess(t *testing.T) {
	r := start(t, t.TempDir(), "one", "", "started", "tempo", "--target=all", "--config.file", write(t, oneReplica))
	await(t, r.admin+"ready", "ready\n")
	for _, want := range []string{"tempo_ingester_whole 1", `tempo_ring_instances{ring="compactors",state="ACTIVE"} 1`, `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 1`} {
		await(t, r.admin+"metrics", want)
	}
	await(t, r.admin+"ring/compactors", "one")
	throughRemote(t, r.remote, r.remote)
	r.stop(t)
}

func TestAQuerierInARingServesJaeger(t *testing.T) {
	data := t.TempDir()
	all := start(t, data, "one", "", "started", "tempo", "--target=all", "--config.file", write(t, oneReplica))
	await(t, all.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 1`)
	querier := start(t, data, "two", all.gossip, "started", "tempo", "--target=querier", "--config.file", write(t, oneReplica))
	await(t, querier.admin+"ready", "ready\n")
	throughRemote(t, querier.remote, all.remote)
	alone := start(t, data, "three", "", "started", "tempo", "--target=querier", "--config.file", write(t, strings.Replace(clusterYAML, "store: memberlist, ", "", 1)))
	if alone.remote != "" {
		t.Errorf("a querier without a ring serves Jaeger at %s", alone.remote)
	}
	querier.stop(t)
	all.stop(t)
}

// throughRemote writes a span at one address and reads it at another.
func throughRemote(t *testing.T, written, read string) {
	t.Helper()
	client := func(address string) *shared.GRPCClient {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(plugin.Codec{})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return shared.NewGRPCClient(conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := client(written).SpanWriter().WriteSpan(ctx, spanOf(1)); err != nil {
		t.Fatal(err)
	}
	if got, err := client(read).SpanReader().GetTrace(ctx, spanOf(1).TraceID); err != nil || len(got.Spans) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestShutdownLeavesAndEnds(t *testing.T) {
	data := t.TempDir()
	file := write(t, clusterYAML+"ingester: {keep: 1s}\nreader: {poll_interval: 100ms}\n")
	one := daemonOf(t, data, "ingester", "one", "")
	two := start(t, data, "two", one.gossip, "started", "tempo", "--target=ingester", "--config.file", file)
	await(t, one.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 2`)
	answer, err := http.Post(two.admin+"shutdown", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Errorf("status %s", answer.Status)
	}
	<-two.ended
	if two.err != nil {
		t.Errorf("it ended with %v", two.err)
	}
	await(t, one.admin+"metrics", `tempo_ring_instances{ring="ingesters",state="ACTIVE"} 1`)
	gone(t, one.admin+"ring", "<td>two</td>")
}

func TestTwoIngestersOnOneDirectory(t *testing.T) {
	data := t.TempDir()
	first := daemonOf(t, data, "ingester", "one", "")
	cmd := exec.Command(filepath.Join(bin, "tempo"), "--target=ingester", "--config", write(t, clusterYAML))
	cmd.Env = []string{"DATA=" + data, "ID=one", "JOIN=" + first.gossip}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("is in use by process %d (tempo --target=ingester", first.Process.Pid)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// freeAddress returns an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func httpPost(url string) (status int, err error) {
	r, err := http.Post(url, "", nil)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode >= 300 {
		return r.StatusCode, fmt.Errorf("POST %s: %s", url, r.Status)
	}
	return r.StatusCode, nil
}

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
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	if stdout := os.Getenv("BE_PARENT"); stdout != "" {
		os.Exit(beParent(stdout))
	}
	dir, err := os.MkdirTemp("", "tempo-plugin-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "tempo-plugin")
	if out, err := exec.Command("go", "build", "-o", binary, "-ldflags", "-X github.com/jaeger-tempo/tempo/internal/version.version=v0.0.0-test", ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %s\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// deadline ends a program that hangs, and with it the test.
const deadline = 30 * time.Second

// prepare prepares a run in a directory of its own, with no environment but what is given.
func prepare(t *testing.T, env []string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"TMPDIR=" + cmd.Dir}, env...)
	return cmd
}

// runToEnd runs the program to its end.
func runToEnd(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := prepare(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "tempo.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// asJaeger is the environment that a host of plugins gives.
var asJaeger = []string{"STORAGE_PLUGIN=jaeger"}

// running is a plugin that has shaken hands.
type running struct {
	*exec.Cmd
	handshake string
	stdout    *os.File
	logs      *bufio.Reader // the JSON lines that followed those that start has read
	admin     string        // URL of the admin server
}

// start starts the program as Jaeger does and waits for the handshake, reading the address of the admin
// server from the log on the way.
func start(t *testing.T, yaml string) *running {
	t.Helper()
	cmd := prepare(t, asJaeger, "--config", write(t, yaml))
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = stdoutEnd
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdoutEnd.Close()
	r := &running{Cmd: cmd, stdout: stdout, logs: bufio.NewReader(stderr)}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); stdout.Close() })
	for {
		line := r.nextLog(t)
		if url, ok := line["url"].(string); ok {
			r.admin = url
		}
		if line["@message"] == "store is open" {
			break
		}
	}
	if r.handshake, err = bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("handshake: %s", err)
	}
	return r
}

// nextLog reads a line of the log.
func (r *running) nextLog(t *testing.T) map[string]any {
	t.Helper()
	text, err := r.logs.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the log has ended: %s", err)
	}
	line := map[string]any{}
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("log line %q: %s", text, err)
	}
	return line
}

// storage is a configuration with a fresh directory and an admin server that disturbs nobody.
func storage(t *testing.T) (dir, yaml string) {
	dir = filepath.Join(t.TempDir(), "data")
	return dir, fmt.Sprintf("storage: {path: %q}\nadmin: {listen_address: 127.0.0.1:0}\n", dir)
}

func TestHelpTeaches(t *testing.T) {
	stdout, stderr, code := runToEnd(t, nil, "--help")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"SPAN_STORAGE_TYPE=grpc-plugin", "--grpc-storage-plugin.binary=", "--grpc-storage-plugin.configuration-file=",
		"--config.print", "--config.file", "./tempo-data", "OTEL_TRACES_SAMPLER=always_off",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--help does not show %s", want)
		}
	}
	for _, k := range config.Keys() {
		if !strings.Contains(stdout, k.Name) {
			t.Errorf("--help does not name the key %s", k.Name)
		}
	}
}

func TestVersion(t *testing.T) {
	stdout, stderr, code := runToEnd(t, nil, "--version")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "tempo-plugin v0.0.0-test ") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestConfigPrintShowsWhatIsInEffect(t *testing.T) {
	file := write(t, "storage: {path: '${WHERE}/x'}\n")
	for _, flag := range []string{"--config", "--config.file"} {
		stdout, stderr, code := runToEnd(t, []string{"WHERE=/data"}, flag, file, "--config.print")
		if code != 0 || stderr != "" {
			t.Fatalf("%s: exit code %d, stderr %q", flag, code, stderr)
		}
		cfg, err := config.Parse("printed", []byte(stdout), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		want := config.Default(func(string) (string, bool) { return "", false })
		want.Storage.Path = "/data/x"
		if cfg != want {
			t.Errorf("%s: got  %+v\nwant %+v", flag, cfg, want)
		}
	}
}

// TestBadInputs lists what a person can get wrong, and the one error that each gets: on the terminal in
// plain text, in Jaeger's log as an error.
func TestBadInputs(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // after the parallel subtests
	embedded := t.TempDir()
	if err := os.MkdirAll(filepath.Join(embedded, "log", "single-tenant"), 0o700); err != nil {
		t.Fatal(err)
	}
	noDir := filepath.Join(write(t, "a file"), "below")
	for _, c := range []struct {
		name string
		yaml string // with --config FILE, if not empty
		args []string
		env  []string
		code int
		want []string // one a line, in which FILE is the configuration file
	}{
		{name: "started by hand", code: 2,
			want: []string{`this program is started by Jaeger, not by hand. Tell Jaeger (up to v1.57) to use it:`}},
		{name: "started by another host of plugins", env: []string{"STORAGE_PLUGIN=other"}, code: 2,
			want: []string{`this program is started by Jaeger, not by hand.`}},
		{name: "unknown flag", args: []string{"--conifg", "x"}, code: 2, want: []string{`unknown flag: --conifg: see --help`}},
		{name: "argument", args: []string{"server"}, code: 2, want: []string{`unexpected argument "server": see --help`}},
		{name: "serve on no address", args: []string{"serve", "--grpc.listen-address", "here"}, code: 2, want: []string{`--grpc.listen-address: "here" is not host:port or off: for example 127.0.0.1:17271`}},
		{name: "serve nowhere", args: []string{"serve", "--grpc.listen-address", "off"}, code: 1, want: []string{`remote.listen_address: is off: give this program an address to serve`}},
		{name: "serve on an address that is taken", args: []string{"serve", "--grpc.listen-address", taken.Addr().String()}, code: 1,
			want: []string{`remote storage server of traces: listen tcp ` + taken.Addr().String() + `: bind: address already in use; set remote.listen_address, and remote.archive_listen_address, to free addresses`}},
		{name: "serve without the certificate", args: []string{"serve", "--grpc.listen-address", "127.0.0.1:0"}, yaml: "remote: {tls_cert: /none.pem, tls_key: /none.pem}", code: 1,
			want: []string{`remote storage server: certificate /none.pem and key /none.pem: open /none.pem: no such file or directory`}},
		{name: "two files", args: []string{"--config", "a", "--config.file", "b"}, code: 2, env: asJaeger,
			want: []string{`--config a and --config.file b mean the same: give one`}},
		{name: "no such file", args: []string{"--config", "/none.yaml"}, env: asJaeger, code: 1,
			want: []string{`configuration file /none.yaml does not exist: check the path, or leave it out to run with the defaults`}},
		{name: "no such file, printed", args: []string{"--config", "/none.yaml", "--config.print"}, code: 1,
			want: []string{`configuration file /none.yaml does not exist`}},
		{name: "a directory as file", args: []string{"--config", "/"}, env: asJaeger, code: 1,
			want: []string{`configuration file / is a directory: name a YAML file in it`}},
		{name: "not YAML", yaml: "storage: [", env: asJaeger, code: 1, want: []string{`FILE:1: is not YAML: did not find expected node content`}},
		{name: "unknown key", yaml: "storage:\n  paht: x\n", env: asJaeger, code: 1,
			want: []string{`FILE:2: storage.paht: unknown key; did you mean storage.path?`}},
		{name: "two problems", yaml: "wal: {sync: maybe}\ncut: {age: 90}\n", env: asJaeger, code: 1, want: []string{
			`FILE:1: wal.sync: "maybe" is not one of always, interval, never`,
			`FILE:2: cut.age: "90" has no unit: write 90s for seconds, 90m for minutes`,
		}},
		{name: "undefined variable", yaml: "storage: {path: '${NOWHERE}'}", env: asJaeger, code: 1,
			want: []string{`FILE:1: storage.path: environment variable NOWHERE is not set: set it, or write ${NOWHERE:-default}`}},
		{name: "directory that cannot be made", yaml: "admin: {listen_address: off}\nstorage: {path: " + noDir + "}", env: asJaeger, code: 1,
			want: []string{`storage directory ` + noDir + ` cannot be made: `}},
		{name: "a cluster without an object store", yaml: "ring: {store: memberlist}", env: asJaeger, code: 1,
			want: []string{`FILE: storage.blocks: is empty: ring.store is memberlist, name the object store that all processes share`}},
		{name: "consul that does not answer", yaml: "storage: {blocks: b}\nring: {store: consul, endpoints: '127.0.0.1:1'}\nadmin: {listen_address: off}", env: asJaeger, code: 1,
			want: []string{`watch ring ingesters: unable to initialise ring state: Get "http://127.0.0.1:1/v1/kv/tempo-rings/ingesters?stale=": dial tcp 127.0.0.1:1: connect: connection refused; does consul answer at 127.0.0.1:1, as ring.endpoints says?`}},
		{name: "Azure without an account", yaml: "storage: {blocks: 'azblob://c'}\nring: {store: memberlist}\nadmin: {listen_address: off}", env: asJaeger, code: 1,
			want: []string{`storage.blocks: azblob://c: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING in the environment`}},
		{name: "an object store for the directory of a store without", yaml: "storage: {path: " + embedded + ", blocks: b}\nadmin: {listen_address: off}", env: asJaeger, code: 1,
			want: []string{`storage directory ` + embedded + ` holds recent traces of a tempo-plugin without storage.blocks`}},
		{name: "admin address that is taken", yaml: "admin: {listen_address: '" + taken.Addr().String() + "'}", env: asJaeger, code: 1,
			want: []string{`admin server: listen tcp ` + taken.Addr().String() + `: bind: address already in use; set admin.listen_address to a free address, or to auto or off`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, args := "", c.args
			if c.yaml != "" {
				file = write(t, c.yaml)
				args = append(args, "--config", file)
			}
			stdout, stderr, code := runToEnd(t, c.env, args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if stdout != "" {
				t.Errorf("stdout is go-plugin's, but holds %q", stdout)
			}
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if len(lines) < len(c.want) {
				t.Fatalf("stderr %q, want %q", stderr, c.want)
			}
			for i, want := range c.want {
				want = strings.ReplaceAll(want, "FILE", file)
				if c.env == nil {
					want = "tempo-plugin: " + want
				}
				got := lines[i]
				if len(c.env) > 0 && c.env[0] == asJaeger[0] {
					var line map[string]string
					if err := json.Unmarshal([]byte(got), &line); err != nil || line["@level"] != "error" {
						t.Fatalf("Jaeger reads %q, %v, which is no error of hclog", got, err)
					}
					got, want = line["@message"], "tempo-plugin cannot run: "+want
				}
				if !strings.Contains(got, want) {
					t.Errorf("line %d:\ngot  %s\nwant %s", i, got, want)
				}
			}
		})
	}
}

func TestHandshakeIsTheFirstThingOnStdout(t *testing.T) {
	_, yaml := storage(t)
	r := start(t, yaml+"logging: {level: debug}\n")
	if !regexp.MustCompile(`^1\|1\|(unix|tcp)\|[^|]+\|grpc\|\n$`).MatchString(r.handshake) {
		t.Errorf("handshake %q", r.handshake)
	}
}

func TestLockedDirectoryRefusesASecondProcess(t *testing.T) {
	t.Parallel()
	dir, yaml := storage(t)
	r := start(t, yaml)
	if st, err := os.Stat(filepath.Join(dir, "lock")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("lock file: %v, %v", st.Mode(), err)
	}
	_, stderr, code := runToEnd(t, asJaeger, "--config", write(t, yaml))
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		fmt.Sprintf("storage directory %s is in use by process %d (tempo-plugin, since ", dir, r.Process.Pid),
		"set storage.path to another directory", "jaeger-all-in-one",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr does not say %q:\n%s", want, stderr)
		}
	}
}

func TestTheNextProcessWaitsForTheLastOneToEnd(t *testing.T) {
	_, yaml := storage(t)
	first := start(t, yaml)
	second := prepare(t, asJaeger, "--config", write(t, yaml))
	stdout, err := second.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := second.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { second.Process.Kill(); second.Wait() }()
	logs := bufio.NewScanner(stderr)
	for logs.Scan() && !strings.Contains(logs.Text(), "waiting for its holder to end") {
	}
	first.Process.Kill()
	go io.Copy(io.Discard, stderr)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.HasPrefix(line, "1|1|") {
		t.Errorf("handshake %q, %v", line, err)
	}
}

func TestSIGTERMStopsCleanly(t *testing.T) {
	_, yaml := storage(t)
	r := start(t, yaml)
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for r.nextLog(t)["@message"] != "stopped" {
	}
	if err := r.Wait(); err != nil {
		t.Error(err)
	}
}

// TestEndsWithItsParent starts the plugin under a parent of its own, which is this test program again
// (see beParent), and kills that.
func TestEndsWithItsParent(t *testing.T) {
	for _, c := range []struct{ name, stdout, until string }{
		{"reading its stdout, as Jaeger does", "pipe", "the parent has read the handshake"},
		{"with stdout elsewhere", "null", "store is open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, yaml := storage(t)
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			parent := exec.CommandContext(ctx, os.Args[0])
			parent.Env = append(os.Environ(), "BE_PARENT="+c.stdout, "BE_PARENT_BINARY="+binary, "BE_PARENT_CONFIG="+write(t, yaml))
			stderr, stderrEnd, err := os.Pipe() // the plugin writes into it too, and closes it last
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			parent.Stderr = stderrEnd
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			stderrEnd.Close()
			defer parent.Process.Kill()
			stderr.SetReadDeadline(time.Now().Add(deadline))
			logs := bufio.NewReader(stderr)
			for found := false; !found; {
				line, err := logs.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				found = strings.Contains(line, c.until)
			}
			parent.Process.Kill()
			parent.Wait()
			rest, err := io.ReadAll(logs) // ends when the plugin has
			if err != nil {
				t.Fatalf("the plugin lives on: %s", err)
			}
			if !strings.Contains(string(rest), "Jaeger has ended") {
				t.Errorf("it ended without a word: %s", rest)
			}
			lock, err := daemon.LockDir(dir, "test", daemon.NewLog("off", io.Discard))
			if err != nil {
				t.Fatalf("the directory is still locked: %s", err)
			}
			lock.Release()
		})
	}
}

// beParent runs the plugin as Jaeger does, until it is killed.
func beParent(stdout string) (code int) {
	cmd := exec.Command(os.Getenv("BE_PARENT_BINARY"), "--config", os.Getenv("BE_PARENT_CONFIG"))
	cmd.Env = asJaeger
	cmd.Stderr = os.Stderr
	if stdout == "pipe" {
		out, err := cmd.StdoutPipe()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() {
			r := bufio.NewReader(out)
			if _, err := r.ReadString('\n'); err == nil {
				fmt.Fprintln(os.Stderr, "the parent has read the handshake")
			}
			io.Copy(io.Discard, r)
		}()
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
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

func TestAdminServer(t *testing.T) {
	dir, yaml := storage(t)
	r := start(t, yaml)
	for _, c := range []struct{ path, want string }{
		{"ready", "ready\n"},
		{"metrics", "tempo_plugin_ready 1\n"},
		{"metrics", "process_resident_memory_bytes"},
		{"debug/pprof/", "goroutine"},
		{"", dir},
		{"", "v0.0.0-test"},
		{"", "None since the start."},
	} {
		status, body := get(t, r.admin+c.path)
		if status != http.StatusOK || !strings.Contains(body, c.want) {
			t.Errorf("/%s: status %d, does not contain %q:\n%s", c.path, status, c.want, body)
		}
	}
	if status, _ := get(t, r.admin+"nothing"); status != http.StatusNotFound {
		t.Errorf("/nothing: status %d", status)
	}
}

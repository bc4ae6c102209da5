package jaegers

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster/process"
	"github.com/jaeger-tempo/tempo/e2e/jaegers/receivers"
)

// jaeger is a running Jaeger on a store of its own.
type jaeger struct {
	name string
	receivers.Receivers
	api string // host:port of its HTTP API

	// collectors are the receivers by tenant where each tenant has its own.
	collectors map[string]*receivers.Receivers

	// token is what users of its API show; none if empty.
	token string

	// address and archive are those of the server, if there is one.
	address, archive string

	// store is the process of the store, programs are Jaeger's, or first of a cluster's. The plugin is a child of Jaeger's: then store is nil.
	store    *process.Process
	programs []*process.Process
}

// options say how to run one.
type options struct {
	tenancy   bool    // every call needs a tenant
	retention string  // a duration; for ever if empty
	split     bool    // collector and query service apart
	wait      bool    // v2 acknowledges what is stored, see jaeger-config/v2/README.md
	tokens    string  // the lines that docs/tenants.md has for tenants that are known by their tokens, for the server's configuration
	token     string  // that v2 shows with every call
	limits    string  // the line of the server's configuration
	on        *jaeger // whose server to use; nil: an own one
}

// tenants are those of a Jaeger with tenancy.
var tenants = []string{"acme", "globex"}

// as returns where a tenant sends spans.
func (j *jaeger) as(tenant string) *receivers.Receivers {
	if r := j.collectors[tenant]; r != nil {
		return r
	}
	r := j.Receivers
	r.Tenant = tenant
	return &r
}

// kind is a Jaeger with a protocol to the store.
type kind struct {
	name    string
	prepare func(t *testing.T, j *jaeger, dir string, o options) // fills in j, with processes that do not run yet
}

var (
	v57plugin = kind{"v1.57 with the plugin", plugin57}
	v57remote = kind{"v1.57 with a server", remote57}
	v76remote = kind{"v1.76 with a server", remote76}
	v2remote  = kind{"v2 with a server", remoteV2}

	v57cluster = kind{"v1.57 with plugins before a cluster", cluster57} // collector and query service apart
	v2cluster  = kind{"v2 with a server before a cluster", clusterV2}

	// four are those that are compared.
	four = []kind{v57plugin, v57remote, v76remote, v2remote}
)

// start starts a Jaeger of that kind, until the test ends.
func start(t *testing.T, k kind, o options) *jaeger {
	t.Helper()
	return startAll(t, o, k)[0]
}

// startAll starts one of each of the kinds, at once.
func startAll(t *testing.T, o options, kinds ...kind) []*jaeger {
	t.Helper()
	all := make([]*jaeger, len(kinds))
	errs := make([]error, len(kinds))
	var wg sync.WaitGroup
	for i, k := range kinds {
		j := &jaeger{name: k.name}
		k.prepare(t, j, t.TempDir(), o)
		t.Cleanup(func() {
			if t.Failed() {
				for _, p := range j.processes() {
					t.Logf("%s: the last words of %s:\n%s", j.name, p.Name, warnings(p.Tail(1000)))
				}
			}
			j.stop(t)
		})
		all[i] = j
		wg.Go(func() { errs[i] = j.start() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return all
}

func (j *jaeger) processes() []*process.Process {
	if j.store == nil {
		return j.programs
	}
	return append([]*process.Process{j.store}, j.programs...)
}

// start starts the store, and then all else at once.
func (j *jaeger) start() error {
	if j.store != nil {
		if err := j.store.Start(); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	for _, p := range j.programs {
		if err := p.Launch(); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	for _, p := range j.programs {
		if err := p.Wait(); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	return nil
}

// stop stops all processes in order, the store last.
func (j *jaeger) stop(t *testing.T) {
	t.Helper()
	for _, p := range slices.Backward(j.processes()) {
		if err := p.Stop(20 * time.Second); err != nil {
			t.Errorf("%s: %v", j.name, err)
		}
	}
}

// plugin57 is all-in-one with the store in its plugin.
func plugin57(t *testing.T, j *jaeger, dir string, o options) {
	more := []string{`admin: {listen_address: "off"}`}
	if o.tenancy {
		more = append(more, "tenancy: {enabled: true}")
	}
	if o.retention != "" {
		more = append(more, "retention: {age: "+o.retention+"}")
	}
	j.v1(t, dir, "v1.57", "all-in-one", o, []string{"SPAN_STORAGE_TYPE=grpc-plugin"}, "--grpc-storage-plugin.log-level=info",
		"--grpc-storage-plugin.binary="+program("tempo-plugin"), "--grpc-storage-plugin.configuration-file="+configured(t, dir, "v1.57/tempo-plugin.yaml", o, more...))
}

// cluster57 is collector and query with a plugin each, and the three ingesters and the compactor behind them.
func cluster57(t *testing.T, j *jaeger, dir string, o options) {
	env := j.cluster(t, dir)
	for _, name := range []string{"collector", "query"} {
		j.v1(t, dir, "v1.57", name, o, append(environment(env), "SPAN_STORAGE_TYPE=grpc-plugin"), "--grpc-storage-plugin.log-level=info",
			"--grpc-storage-plugin.binary="+program("tempo-plugin"), "--grpc-storage-plugin.configuration-file="+file("v1.57-cluster/tempo-plugin.yaml"))
	}
}

// clusterV2 is Jaeger v2 with a server that keeps nothing itself, and the same cluster behind that.
func clusterV2(t *testing.T, j *jaeger, dir string, o options) {
	env := j.cluster(t, dir)
	j.address, j.archive = free(t), free(t)
	env["TEMPO_LISTEN"], env["TEMPO_ARCHIVE"], env["TEMPO_SERVER_ADMIN"] = j.address, j.archive, "off"
	j.programs = append(j.programs, &process.Process{
		Name: "tempo-plugin serve", Log: filepath.Join(dir, "server.log"), Env: environment(env), Dir: dir, Ready: process.Listens(j.address),
		Command: []string{program("tempo-plugin"), "serve", "--config.file=" + file("v2/tempo-cluster.yaml")},
	})
	o.on = j
	remoteV2(t, j, dir, o)
}

// cluster adds three ingesters and a compactor, and returns the environment in which other programs join them.
func (j *jaeger) cluster(t *testing.T, dir string) (env map[string]string) {
	first := free(t)
	env = map[string]string{"TEMPO_PATH": dir + "/", "TEMPO_BLOCKS": filepath.Join(dir, "blocks"), "TEMPO_JOIN": first}
	for i, id := range []string{"ingester-1", "ingester-2", "ingester-3", "compactor-1"} {
		admin, own := free(t), maps.Clone(env)
		own["TEMPO_INSTANCE"], own["TEMPO_ADMIN"] = id, admin
		if i == 0 {
			own["TEMPO_GOSSIP"] = first
		}
		role, _, _ := strings.Cut(id, "-")
		j.programs = append(j.programs, &process.Process{
			Name: id, Log: filepath.Join(dir, id+".log"), Ready: process.Answers("http://" + admin + "/ready"), Dir: dir, Env: environment(own),
			Command: []string{program("tempo"), "--target=" + role, "--config.file=" + file("v1.57-cluster/tempo.yaml")},
		})
	}
	return env
}

// configured returns a shipped configuration, with more lines at its end if a test needs any.
func configured(t *testing.T, dir, name string, o options, more ...string) string {
	t.Helper()
	if o.retention != "" {
		more = append(more, "cut: {age: 3s}") // retention is of blocks
	}
	if len(more) == 0 {
		return file(name)
	}
	text, err := os.ReadFile(file(name))
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, "tempo.yaml")
	if err := os.WriteFile(changed, append(text, strings.Join(more, "\n")+"\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	return changed
}

// remote57 is all-in-one, or collector and query, with `tempo-plugin serve`.
func remote57(t *testing.T, j *jaeger, dir string, o options) {
	address, _ := j.serve(t, dir, "v1.57-remote/tempo.yaml", o)
	for _, name := range o.programs() {
		j.v1(t, dir, "v1.57", name, o, []string{"SPAN_STORAGE_TYPE=grpc-plugin"}, "--grpc-storage.server="+address)
	}
}

// remote76 is the same of v1.76, with an archive.
func remote76(t *testing.T, j *jaeger, dir string, o options) {
	address, archive := j.serve(t, dir, "v1.76/tempo.yaml", o)
	for _, name := range o.programs() {
		j.v1(t, dir, "v1.76", name, o, []string{"SPAN_STORAGE_TYPE=grpc"}, "--grpc-storage.server="+address,
			"--grpc-storage-archive.enabled=true", "--grpc-storage-archive.server="+archive)
	}
}

func (o options) programs() []string {
	if o.split {
		return []string{"collector", "query"}
	}
	return []string{"all-in-one"}
}

// serve adds `tempo-plugin serve` with a shipped configuration, and returns its addresses.
func (j *jaeger) serve(t *testing.T, dir, config string, o options) (address, archive string) {
	if o.on != nil {
		return o.on.address, o.on.archive
	}
	address, archive = free(t), free(t)
	j.address, j.archive = address, archive
	var more []string
	if o.limits != "" {
		more = append(more, o.limits)
	}
	path := configured(t, dir, config, o, more...)
	if o.tokens != "" {
		path = edited(t, dir, path, "  header: x-tenant\n", "  header: x-tenant\n"+o.tokens)
	}
	env := map[string]string{
		"TEMPO_PATH": filepath.Join(dir, "data"), "TEMPO_LISTEN": address, "TEMPO_ARCHIVE": archive, "TEMPO_ADMIN": "off",
		"TEMPO_TENANCY": fmt.Sprint(o.tenancy || o.tokens != ""), "TEMPO_RETENTION": o.retention,
	}
	j.store = &process.Process{
		Name: "tempo-plugin serve", Log: filepath.Join(dir, "store.log"), Env: environment(env), Dir: dir, Ready: process.Listens(address),
		Command: []string{program("tempo-plugin"), "serve", "--config.file=" + path},
	}
	return address, archive
}

// v1 adds a program of Jaeger v1 to j. The flags are those of the storage.
func (j *jaeger) v1(t *testing.T, dir, version, name string, o options, env []string, flags ...string) {
	admin := free(t)
	listen := map[string]*string{"admin.http.host-port": &admin}
	if name != "query" {
		maps.Copy(listen, map[string]*string{
			"collector.otlp.grpc.host-port": &j.OTLPGRPC, "collector.otlp.http.host-port": &j.OTLPHTTP,
			"collector.grpc-server.host-port": &j.JaegerGRPC, "collector.http-server.host-port": &j.ThriftHTTP, "collector.zipkin.host-port": &j.Zipkin,
		})
		flags = append(flags, "--collector.queue-size=20000", "--collector.otlp.grpc.max-message-size=33554432")
	}
	if name != "collector" {
		maps.Copy(listen, map[string]*string{"query.http-server.host-port": &j.api, "query.grpc-server.host-port": new(string)})
	}
	if name == "all-in-one" && version == "v1.57" { // the last that has an agent in it
		maps.Copy(listen, map[string]*string{
			"processor.jaeger-compact.server-host-port": &j.ThriftCompact, "processor.jaeger-binary.server-host-port": &j.ThriftBinary,
			"processor.zipkin-compact.server-host-port": new(string), "http-server.host-port": new(string),
		})
	}
	for flag, address := range listen {
		if *address == "" {
			*address = free(t)
		}
		flags = append(flags, "--"+flag+"="+*address)
	}
	if o.tenancy || o.tokens != "" && name == "collector" {
		flags = append(flags, "--multi-tenancy.enabled=true")
	}
	if o.tokens != "" && name == "query" {
		flags = append(flags, "--query.bearer-token-propagation=true")
	}
	j.programs = append(j.programs, &process.Process{
		Name: "jaeger-" + name + " " + version, Log: filepath.Join(dir, name+".log"), Ready: process.Answers("http://" + admin + "/"), Dir: dir,
		Command: append([]string{program("jaeger-" + version + "/" + name)}, flags...),
		// Jaeger would else trace its own calls of the storage.
		Env: append(env, "OTEL_TRACES_SAMPLER=always_off"),
	})
}

// remoteV2 is Jaeger v2 with `tempo-plugin serve`: all-in-one, or a query service and a collector, with tenancy one for each tenant.
func remoteV2(t *testing.T, j *jaeger, dir string, o options) {
	address, archive := j.serve(t, dir, "v2/tempo.yaml", o)
	j.api = free(t)
	add := func(config, tenant string, r *receivers.Receivers, more ...string) {
		health, path := free(t), file("v2/"+config+".yaml")
		if o.wait {
			path = edited(t, dir, path, "    queue:\n", "    queue:\n      wait_for_result: true\n")
		}
		if o.token != "" { // two backends in the one file
			for _, endpoint := range []string{`          endpoint: "${env:TEMPO_LISTEN:-localhost:17271}"` + "\n", `          endpoint: "${env:TEMPO_ARCHIVE:-localhost:17273}"` + "\n"} {
				path = edited(t, dir, path, endpoint, endpoint+`          headers: {authorization: "Bearer `+o.token+`"}`+"\n")
			}
		}
		for _, a := range []*string{&r.OTLPGRPC, &r.OTLPHTTP, &r.JaegerGRPC, &r.ThriftHTTP, &r.ThriftCompact, &r.ThriftBinary, &r.Zipkin} {
			*a = free(t)
		}
		env := map[string]string{
			"TEMPO_LISTEN": address, "TEMPO_ARCHIVE": archive, "JAEGER_HEALTH": health,
			"JAEGER_OTLP_GRPC": r.OTLPGRPC, "JAEGER_OTLP_HTTP": r.OTLPHTTP, "JAEGER_GRPC": r.JaegerGRPC, "JAEGER_THRIFT_HTTP": r.ThriftHTTP,
			"JAEGER_THRIFT_COMPACT": r.ThriftCompact, "JAEGER_THRIFT_BINARY": r.ThriftBinary, "JAEGER_ZIPKIN": r.Zipkin,
			"JAEGER_QUERY_HTTP": j.api, "JAEGER_QUERY_GRPC": free(t), "JAEGER_TENANT": tenant,
		}
		j.programs = append(j.programs, &process.Process{
			Name: strings.TrimSpace("jaeger v2 " + config + " " + tenant), Log: filepath.Join(dir, config+tenant+".log"), Ready: process.Answers("http://" + health + "/status"), Dir: dir,
			Command: append([]string{program("jaeger-v1.76/jaeger"), "--config=" + path}, more...), Env: environment(env),
		})
	}
	switch {
	case o.tenancy:
		j.collectors = make(map[string]*receivers.Receivers)
		for _, tenant := range tenants {
			j.collectors[tenant] = new(receivers.Receivers)
			add("collector", tenant, j.collectors[tenant])
		}
		add("query", "", new(receivers.Receivers), "--config="+file("v2/tenancy.yaml"))
	case o.split:
		add("collector", "", &j.Receivers)
		add("query", "", new(receivers.Receivers))
	default:
		add("all-in-one", "", &j.Receivers)
	}
}

// edited returns a copy of a file in which a text is replaced.
func edited(t *testing.T, dir, name, text, by string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(content), text) != 1 {
		t.Fatalf("%s has not %q once", name, text)
	}
	changed := filepath.Join(dir, filepath.Base(name))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(content), text, by, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return changed
}

func environment(env map[string]string) (list []string) {
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

func free(t *testing.T) string {
	t.Helper()
	address, err := process.FreePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// root is the folder of the repository.
var root = sync.OnceValue(func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
})

// program returns the path of a program in the repository's bin/, file that of a configuration.
func program(name string) string { return filepath.Join(root(), "bin", name) }
func file(name string) string    { return filepath.Join(root(), "jaeger-config", name) }

func TestMain(m *testing.M) {
	for _, name := range []string{"tempo", "tempo-plugin", "jaeger-v1.57/all-in-one", "jaeger-v1.57/collector", "jaeger-v1.57/query",
		"jaeger-v1.76/all-in-one", "jaeger-v1.76/collector", "jaeger-v1.76/query", "jaeger-v1.76/jaeger"} {
		if _, err := os.Stat(program(name)); err != nil {
			fmt.Fprintf(os.Stderr, "bin/%s is missing: run `make e2e`, which builds it\n", name)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// eventually calls try until it returns nil, and fails the test with its last error after patience.
func eventually(t *testing.T, patience time.Duration, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still so after %v: %v", patience, err)
		}
		<-time.After(pause)
	}
}

// warnings returns the last lines of a log that are not plain information.
func warnings(log string) string {
	lines := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool {
		return strings.Contains(line, `"level":"info"`) || strings.Contains(line, "\tinfo\t") || strings.Contains(line, "level=info")
	})
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

package cluster

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/e2e/cluster/process"
)

// Options say what a cluster is made of.
type Options struct {
	// Root is the repository, Dir where everything is kept that the cluster writes.
	Root, Dir string
	// Ingesters, Compactors and Queriers are how many there are at first.
	Ingesters, Compactors, Queriers int
	// Zones is how many zones the processes are spread over; 0 is none.
	Zones int
	// Network has the zones, each in a network of its own; nil is loopback.
	Network *Network
	// Keys are configuration for all, by dotted name, beside what Quick sets.
	Keys map[string]string
	// Tempo is the program of the daemons, relative to Root; bin/tempo if empty.
	Tempo string
	// Env is added to the environment of the daemon of that ID.
	Env map[string][]string
	// Disk makes the directory of the daemon of that ID, which is otherwise made by itself.
	Disk func(id, dir string) error
	// Seed is that of the proxy before the object store.
	Seed uint64
}

// Quick is a configuration in which what takes minutes takes seconds.
var Quick = map[string]string{
	"ring.heartbeat":         "2s",
	"ring.heartbeat_timeout": "6s",
	"ring.settle":            "1s",
	"ring.forget_after":      "1h",
	"cut.bytes":              "1MiB",
	"cut.age":                "3s",
	"ingester.keep":          "10s",
	"reader.poll_interval":   "1s",
	"compactor.grace":        "1m",
	"logging.level":          "info",
}

// Cluster is a running cluster. Its methods may not be called concurrently, those of its nodes may.
type Cluster struct {
	// Store is the proxy before the object store, Compacted another one, for compactors alone.
	Store, Compacted *faults.Proxy
	// The nodes by role, those too that do not run now.
	Ingesters, Compactors, Queriers []*Node

	o      Options
	gcs    *process.Process
	server string   // where it listens
	blocks string   // URL of the object store
	env    []string // of everything that opens it
	jaeger []*process.Process
	port   int            // in a network, the next one
	added  map[string]int // by role, those that have left too
}

// Node is a daemon of the store.
type Node struct {
	*process.Process
	// ID is its name in the ring, Zone the number of its zone.
	ID   string
	Zone int
	// Dir is its storage.path.
	Dir string
	// Admin, GRPC and Gossip are where it listens.
	Admin, GRPC, Gossip string

	config string
}

// Bucket is the name of the bucket in the object store.
const Bucket = "traces"

// Start starts a cluster, and returns when all of it is ready.
func Start(o Options) (*Cluster, error) {
	var err error
	if o.Root, err = filepath.Abs(o.Root); err != nil {
		return nil, err
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	c := &Cluster{o: o, port: 20000}
	if err := c.startStore(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for _, r := range []struct {
		role string
		n    int
	}{{"ingester", o.Ingesters}, {"compactor", o.Compactors}, {"querier", o.Queriers}} {
		for range r.n {
			if _, err := c.add(r.role); err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
	}
	nodes := c.Nodes()
	for _, n := range nodes { // once the addresses of all are known
		if err := c.configureNode(n); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := StartAll(nodes); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// StartAll starts nodes at once, and returns when all are ready.
func StartAll(nodes []*Node) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.Start() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// AddIngester adds an ingester, which is not started.
func (c *Cluster) AddIngester() (*Node, error) {
	n, err := c.add("ingester")
	if err != nil {
		return nil, err
	}
	return n, c.configureNode(n)
}

// Nodes are all daemons.
func (c *Cluster) Nodes() []*Node { return slices.Concat(c.Ingesters, c.Compactors, c.Queriers) }

// Close ends all processes.
func (c *Cluster) Close() error {
	var errs []error
	for _, p := range slices.Backward(c.jaeger) {
		errs = append(errs, p.Stop(10*time.Second))
	}
	nodes := c.Nodes()
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(n.Kill) // nothing depends on how they end
	}
	wg.Wait()
	for _, p := range []*faults.Proxy{c.Store, c.Compacted} {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	if c.gcs != nil {
		c.gcs.Kill()
	}
	return errors.Join(errs...)
}

func (c *Cluster) program(name string) string { return filepath.Join(c.o.Root, "bin", name) }

func (c *Cluster) log(name string) string { return filepath.Join(c.o.Dir, "log", name+".log") }

func (c *Cluster) startStore() error {
	here := "127.0.0.1"
	if c.o.Network != nil {
		here = c.o.Network.Host()
	}
	server, err := process.FreePort("127.0.0.1")
	if err != nil {
		return err
	}
	for _, p := range []**faults.Proxy{&c.Store, &c.Compacted} {
		if *p, err = faults.New(net.JoinHostPort(here, "0"), server, c.o.Seed); err != nil {
			return err
		}
		(*p).Kinds = faults.More
	}
	host, port, _ := net.SplitHostPort(server)
	c.gcs = &process.Process{
		Name: "fake-gcs-server", Log: c.log("gcs"), Ready: process.Listens(server),
		Command: []string{c.program("objectstores/fake-gcs-server"), "-backend", "filesystem", "-filesystem-root", filepath.Join(c.o.Dir, "gcs"),
			"-scheme", "http", "-host", host, "-port", port, "-external-url", "http://" + c.Store.Address(), "-log-level", "error"},
	}
	if err := c.gcs.Start(); err != nil {
		return err
	}
	response, err := http.Post("http://"+server+"/storage/v1/b?project=test", "application/json", strings.NewReader(`{"name":"`+Bucket+`"}`))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusConflict { // of an earlier run
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("making the bucket: %s: %s", response.Status, text)
	}
	c.server, c.blocks, c.env = server, "gs://"+Bucket+"/tempo", through(c.Store)
	return nil
}

// through is the environment of what reaches the object store through a proxy.
func through(p *faults.Proxy) []string {
	return []string{"STORAGE_EMULATOR_HOST=http://" + p.Address()}
}

// address returns a free address in a zone.
func (c *Cluster) address(zone int) (string, error) {
	if c.o.Network == nil {
		return process.FreePort("127.0.0.1")
	}
	c.port++
	return net.JoinHostPort(c.o.Network.Address(zone), fmt.Sprint(c.port)), nil
}

func (c *Cluster) zone(i int) int { return i % max(1, c.o.Zones) }

func (c *Cluster) add(role string) (*Node, error) {
	of := map[string]*[]*Node{"ingester": &c.Ingesters, "compactor": &c.Compactors, "querier": &c.Queriers}[role]
	if c.added == nil {
		c.added = make(map[string]int)
	}
	n := &Node{ID: fmt.Sprint(role, "-", c.added[role]+1), Zone: c.zone(c.added[role])}
	c.added[role]++
	n.Dir = filepath.Join(c.o.Dir, n.ID)
	for _, a := range []*string{&n.Admin, &n.GRPC, &n.Gossip} {
		address, err := c.address(n.Zone)
		if err != nil {
			return nil, err
		}
		*a = address
	}
	n.config = filepath.Join(c.o.Dir, "config", n.ID+".yaml")
	tempo := c.o.Tempo
	if tempo == "" {
		tempo = "bin/tempo"
	}
	n.Process = &process.Process{
		Name: n.ID, Log: c.log(n.ID), Ready: process.Answers("http://" + n.Admin + "/ready"), Patience: 2 * time.Minute,
		Command: []string{filepath.Join(c.o.Root, tempo), "--target=" + role, "--config.file=" + n.config},
		Env:     slices.Concat(c.env, c.o.Env[n.ID]),
	}
	if role == "compactor" {
		// An upload in pieces goes on at the address that the store names, which is that of the other proxy.
		n.Env = slices.Concat(through(c.Compacted), c.o.Env[n.ID])
	}
	if c.o.Disk != nil {
		if err := c.o.Disk(n.ID, n.Dir); err != nil {
			return nil, err
		}
	}
	if c.o.Network != nil {
		n.Command = c.o.Network.Within(n.Zone, n.Command...)
	}
	*of = append(*of, n)
	return n, nil
}

func (c *Cluster) configureNode(n *Node) error {
	_, err := c.configure(n.ID, n.Zone, map[string]string{
		"storage.path":               n.Dir,
		"ring.listen_address":        n.Gossip,
		"ring.join":                  c.join(),
		"instance.id":                n.ID,
		"server.grpc_listen_address": n.GRPC,
		"admin.listen_address":       n.Admin,
		"remote.listen_address":      "off",
	}, nil)
	return err
}

// join is whom a new process asks for the ring.
func (c *Cluster) join() string {
	var addresses []string
	for _, n := range c.Ingesters {
		addresses = append(addresses, n.Gossip)
	}
	return strings.Join(addresses, ",")
}

// PluginConfig writes the configuration of a plugin in a zone, and returns the file. Keys come on top.
func (c *Cluster) PluginConfig(name string, zone int, keys map[string]string) (string, error) {
	gossip := "127.0.0.1:0"
	if c.o.Network != nil {
		gossip = c.o.Network.Address(zone) + ":0"
	}
	own := map[string]string{
		"storage.path":         filepath.Join(c.o.Dir, name),
		"ring.listen_address":  gossip,
		"ring.join":            c.join(),
		"admin.listen_address": "off",
	}
	if len(c.Queriers) > 0 {
		var addresses []string
		for _, n := range c.Queriers {
			addresses = append(addresses, n.GRPC)
		}
		own["reader.queriers"] = strings.Join(addresses, ",")
	}
	return c.configure(name, zone, own, keys)
}

// PluginEnv is what a plugin needs in its environment.
func (c *Cluster) PluginEnv() []string { return c.env }

// configure writes a configuration file: Quick, that of the cluster, own, keys; the later wins.
func (c *Cluster) configure(name string, zone int, own, keys map[string]string) (string, error) {
	all := maps.Clone(Quick)
	all["storage.blocks"] = c.blocks
	all["ring.store"] = "memberlist"
	if c.o.Zones > 0 {
		all["ring.zones"], all["instance.zone"] = "true", fmt.Sprint("zone-", zone+1)
	}
	maps.Copy(all, own)
	maps.Copy(all, c.o.Keys)
	maps.Copy(all, keys)
	file := filepath.Join(c.o.Dir, "config", name+".yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(yaml(all)), 0o644)
}

// yaml writes keys with dots as sections.
func yaml(keys map[string]string) string {
	var b strings.Builder
	last := ""
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		section, name, _ := strings.Cut(key, ".")
		if section != last {
			fmt.Fprintf(&b, "%s:\n", section)
			last = section
		}
		fmt.Fprintf(&b, "  %s: %q\n", name, keys[key])
	}
	return b.String()
}

// Post asks the admin server of a node to do something, as /flush.
func (n *Node) Post(path string) error {
	client := http.Client{Timeout: 5 * time.Minute}
	response, err := client.Post("http://"+n.Admin+path, "", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s: %s", n.ID, path, response.Status, text)
	}
	return nil
}

// LoseDisk removes all that the node has stored. It must not run.
func (n *Node) LoseDisk() error {
	entries, err := os.ReadDir(n.Dir) // the directory may be a mount
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(n.Dir, e.Name())))
	}
	return err
}

// Forget takes an ingester that has left out of c.Ingesters.
func (c *Cluster) Forget(n *Node) {
	c.Ingesters = slices.DeleteFunc(c.Ingesters, func(o *Node) bool { return o == n })
}

// Terminate stops the node as a rolling restart does.
func (n *Node) Terminate() error {
	n.Signal(syscall.SIGTERM)
	select {
	case <-n.Ended():
		return nil
	case <-time.After(time.Minute):
		return n.Stop(0)
	}
}

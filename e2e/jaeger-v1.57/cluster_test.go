package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/proto-gen/api_v2"

	"github.com/jaeger-tempo/tempo/e2e/cluster"
	"github.com/jaeger-tempo/tempo/e2e/jaegers/receivers"
)

// startCluster starts a cluster until the test ends.
func startCluster(t *testing.T, o cluster.Options) *cluster.Cluster {
	t.Helper()
	for _, name := range []string{"tempo", "objectstores/fake-gcs-server"} {
		if _, err := os.Stat(program(name)); err != nil {
			t.Fatalf("bin/%s is missing: run `make e2e`, which builds it", name)
		}
	}
	o.Root = root
	// CLUSTER_DIR keeps what processes log and store, for a look at it.
	if o.Dir = t.TempDir(); os.Getenv("CLUSTER_DIR") != "" {
		o.Dir = filepath.Join(os.Getenv("CLUSTER_DIR"), strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.RemoveAll(o.Dir); err != nil {
			t.Fatal(err)
		}
	}
	c, err := cluster.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes() {
				t.Logf("the last words of %s:\n%s", n.ID, n.Tail(15))
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// clusterPlugin starts a plugin process of a cluster, as a collector or a query service would, in a zone.
func clusterPlugin(t *testing.T, c *cluster.Cluster, n *cluster.Network, name string, zone int, keys map[string]string) *plugin {
	t.Helper()
	p, err := tryClusterPlugin(c, n, name, zone, keys)
	if err != nil {
		t.Fatalf("starting the plugin: %v\nits log:\n%s", err, p.log)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text := p.log.String()
			t.Logf("the last words of %s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return p
}

func tryClusterPlugin(c *cluster.Cluster, n *cluster.Network, name string, zone int, keys map[string]string) (*plugin, error) {
	file, err := c.PluginConfig(name, zone, keys)
	if err != nil {
		return &plugin{log: new(syncBuffer)}, err
	}
	command := []string{program("tempo-plugin"), "--config", file}
	if n != nil {
		command = n.Within(zone, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = c.PluginEnv()
	return tryCommand(cmd)
}

// doorTo is clusterPlugin for a checker.
func doorTo(t *testing.T, c *cluster.Cluster, n *cluster.Network, name string, zone int, keys map[string]string) *door {
	t.Helper()
	d := &door{name: name, keys: keys}
	d.at.Store(clusterPlugin(t, c, n, name, zone, keys))
	return d
}

// threeAndTwo are three ingesters and two compactors.
func threeAndTwo() cluster.Options { return cluster.Options{Ingesters: 3, Compactors: 2} }

// jaegers starts jaeger-collector and jaeger-query on the cluster, for a tenant, as what the tests of all-in-one ask.
func jaegers(t *testing.T, c *cluster.Cluster, tenant string) *allInOne {
	t.Helper()
	j, err := c.StartJaeger(cluster.Jaeger{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the collector:\n%s\nthe query service:\n%s", warnings(j.Collector.Tail(60)), warnings(j.Query.Tail(60)))
		}
	})
	a := &allInOne{
		Receivers: receivers.Receivers{OTLPGRPC: j.OTLPGRPC, OTLPHTTP: j.OTLPHTTP, JaegerGRPC: j.SpansGRPC, ThriftHTTP: j.SpansHTTP, Zipkin: j.Zipkin},
		api:       j.API,
		query:     api_v2.NewQueryServiceClient(dial(t, j.QueryGRPC)),
		stop: sync.OnceFunc(func() {
			if err := j.Collector.Stop(15 * time.Second); err != nil {
				t.Error(err)
			}
			if err := j.Query.Stop(15 * time.Second); err != nil {
				t.Error(err)
			}
		}),
	}
	eventually(t, 30*time.Second, func() error {
		_, err := a.get("/api/services")
		return err
	})
	return a
}

// TestClusterKeepsWhatJaegerSends: what the collector takes, over each of its protocols, the query service gives back, by ID and by search, though
// each speaks to a plugin process of its own.
func TestClusterKeepsWhatJaegerSends(t *testing.T) {
	t.Parallel()
	c := startCluster(t, cluster.Options{Ingesters: 3, Compactors: 2, Queriers: 2})
	t.Run("spans", func(t *testing.T) { requireSpansComeBack(t, jaegers(t, c, "spans"), startAllInOne(t, "")) })
	t.Run("questions", func(t *testing.T) {
		requireAnswers(t, jaegers(t, c, "questions"), startAllInOne(t, ""), func() *plugin {
			return clusterPlugin(t, c, nil, "plugin-for-archive", 0, map[string]string{"tenancy.default": "questions"})
		})
	})
}

// TestClusterPassesJaegersStorageSuite runs Jaeger's suite on a cluster. The suite wants an empty store for each test: it gets a tenant of its own.
func TestClusterPassesJaegersStorageSuite(t *testing.T) {
	c := startCluster(t, threeAndTwo())
	// Jaeger's factory starts the plugins, with this process's environment.
	for _, e := range c.PluginEnv() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	tenants := 0
	s := &jaegersSuite{config: func(*testing.T) string {
		tenants++
		tenant := fmt.Sprint("suite-", tenants)
		file, err := c.PluginConfig("plugin-of-"+tenant, 0, map[string]string{"tenancy.default": tenant, "storage.path": filepath.Join(t.TempDir(), tenant)})
		if err != nil {
			t.Fatal(err)
		}
		return file
	}}
	s.run(t)
}

// TestClusterFindsAnAcknowledgedSpanByTheNextCall: also where another plugin process asks than the one that wrote.
func TestClusterFindsAnAcknowledgedSpanByTheNextCall(t *testing.T) {
	t.Parallel()
	c := startCluster(t, threeAndTwo())
	requireVisible(t, clusterPlugin(t, c, nil, "writer", 0, nil), clusterPlugin(t, c, nil, "reader", 0, nil))
}

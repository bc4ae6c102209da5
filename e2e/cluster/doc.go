// Package cluster runs a cluster of the store as real processes: an object store (fake-gcs-server behind a proxy that can fail), ingesters,
// compactors and queriers, each with a directory and ports of its own, on loopback or each zone in a network of its own; and jaeger-collector and
// jaeger-query of v1.57 with a plugin each.
//
//	c, err := cluster.Start(cluster.Options{Root: "../..", Dir: t.TempDir(), Ingesters: 3, Compactors: 2})
//	defer c.Close()
//	file, err := c.PluginConfig("plugin-1", 0, nil)   // what a plugin is told
//	c.Ingesters[1].Kill()                             // kill -9
//	err = c.Ingesters[1].Start()                      // and again, on the same directory
//	c.Store.Down(faults.Silent)                       // no object store
//
// It is a module of its own, with nothing but Go's own library, so that modules with other dependencies than the store can use it: the tests with
// Jaeger v1.57, those of object stores, and `make cluster`, whose program is in run-cluster.
//
// Programs are taken from bin/ of the repository, where make puts them.
package cluster

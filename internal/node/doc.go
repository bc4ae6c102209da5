// Package node makes a process of the store out of its parts: which are started, in which order, by one configuration.
//
//	n, err := node.Open(ctx, node.Options{Config: cfg, Log: log, Admin: admin, Serves: true})
//	err = n.Ingest(ctx)       // the parts that the process has, each its page, metrics and reason for not being ready
//	err = n.Compact(ctx)
//	err = n.Serve()           // gRPC
//	err = n.Wait(ctx)         // until ctx ends, or a part can't go on
//	err = n.Close()           // the parts in reverse
//
// The programs tempo and tempo-plugin are made of this. The parts know nothing of each other or of the configuration; here alone is written which of
// its keys means what to which part.
//
// # Stopping
//
// Close is for a process that will come back: an ingester stays in the ring, as LEAVING, and keeps its data; nothing is flushed. Who is to leave
// for good is told so before, by POST /shutdown. Nothing depends on Close: each part can be killed at any moment.
//
// A Node is for one goroutine.
package node

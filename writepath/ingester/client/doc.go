// Package client is how writers and readers speak to ingesters: the calls of package ingesterpb, over gRPC.
//
//	pool := client.NewPool(client.Options{})
//	c, err := pool.Client(instance.Address)
//	outcomes, err := c.Push(ctx, groups)                        // nil, nil: all of them are durable there
//	source, err := c.Search(ctx, "acme", query)                 // what an answer is worth comes with it
//
// A Pool has one connection an address. It is made by the first call, and given up when it was not used for long; so callers ask the Pool
// for a Client each time, and keep none. A call to a server that is not there fails at once, as Unavailable; one to a host that does not
// answer, once that is noticed.
//
// What a server answers is checked before it is handed on, and takes no more memory than messages and values may have. Errors are gRPC statuses, with
// an errdetails.RetryInfo where the server said when to try again: RetryAfter finds it.
//
// ServerOptions is the other side: a server without them would refuse large messages, and hang up on clients that look whether it is alive.
//
// All types may be used concurrently.
package client

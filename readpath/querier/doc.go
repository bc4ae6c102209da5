// Package querier answers questions about blocks for other processes, so that a store which one process can't scan is scanned by many, and what each of them has
// cached is of blocks that come to it again.
//
//	q := querier.New(querier.Options{Bucket: cached})      // a process with --target=querier
//	q.Register(grpcServer)
//
//	c, err := querier.Dial("10.0.0.7:17272")               // who asks: readpath/cluster
//	hits, err := c.Search(ctx, "acme", blocks, query)
//
// Which blocks there are the caller knows: it names them with each question, and chooses for each block the querier that it always goes to. A querier
// follows no list and owns nothing: it can be started and killed at any time. An answer is whole, or an error, after which the caller reads the blocks itself.
//
// All types may be used concurrently.
package querier

// Program tempo runs the daemons of a cluster: --target=ingester keeps recent traces, --target=compactor keeps the blocks in order,
// --target=querier answers questions about blocks, --target=all is all of it in one process. Jaeger comes to them through tempo-plugin, which is told of the same ring and the same object store.
//
// # What happens, in order
//
//  1. main.go reads the flags and the configuration.
//  2. The admin server starts (/ready says 503).
//  3. run.go has package internal/node start the parts that the target consists of.
//  4. It ends on SIGTERM or SIGINT: it is told to the ring, calls that are being served end, and so do the parts. An ingester keeps its data and its
//     place in the ring for the next start; POST /shutdown on its admin server makes it leave for good. A second signal ends the process at once.
//
// Nothing depends on the last step. Log lines go to stderr as JSON. Exit codes: 0 asked to stop, 1 could not run, 2 called the wrong way.
package main

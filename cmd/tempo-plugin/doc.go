// Program tempo-plugin is what Jaeger loads as its storage. Jaeger up to v1.57 starts it as a hashicorp
// go-plugin (--grpc-storage-plugin.binary); it then runs the whole store in its own process on a
// local directory.
//
// # What happens, in order
//
//  1. command.go reads the flags, and refuses to run where it was not Jaeger who started it.
//  2. serve.go reads the configuration, starts the admin server (/ready says 503), locks the
//     directory, opens the store, which replays its log, and only then shakes hands with Jaeger.
//  3. It ends when Jaeger says so, when Jaeger is gone (parent.go), or on SIGTERM.
//
// Nothing depends on the last step: Jaeger waits about two seconds for a plugin and then kills it. What
// was acknowledged is on disk, and the next start replays it.
//
// # Where output goes
//
// Stdout belongs to go-plugin: its first line is the handshake. Log lines go to stderr as hclog JSON
// (internal/daemon), the one form whose level Jaeger understands: a warning here is a warning in Jaeger's log.
// Errors that end the program go the same way; without Jaeger they are plain text. Exit codes: 0 asked
// to stop, 1 could not run, 2 called the wrong way.
package main

// Package plugin is the face that Jaeger sees: the gRPC services of jaeger.storage.v1 over the store's
// write and read path.
//
// # Idea
//
// A span goes down from here and nothing comes back up: [Services] takes a span of Jaeger's model, has
// package jaegerv1 turn it into OTLP bytes, and hands those to the write path; a question goes to the
// read path, and the OTLP bytes of its answer are translated span by span while they are sent.
//
// What a query means to Jaeger is decided at this edge (see query.go): which times count as unset, which
// combinations are refused, how many traces are meant by none. What the store answers becomes the status
// that Jaeger's clients look for (see status.go).
//
// # Promise
//
//   - WriteSpan returns when the span is durable and readable; a span that can't be stored is refused
//     with InvalidArgument and what is wrong with it. There is no streaming writer: it has no
//     acknowledgement.
//   - An answer is cut into messages of about a megabyte, so that clients with gRPC's default limit of
//     4 MiB receive traces of any size, and a reader's memory does not grow with the answer beyond the
//     one trace that is being sent.
//   - A trace's spans follow each other in a stream.
//
// # Tenants
//
// Whose data a call is about [Options.TenantOf] says: package tenancy has one.
//
// # Archive
//
// Archived traces are the same store's, under another tenant: [tracedb.ArchiveTenant].
//
// # Use
//
// cmd/tempo-plugin makes one [Services] and serves it to the Jaeger that started it with [ServePlugin].
// All methods may be called concurrently.
package plugin

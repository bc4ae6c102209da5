// Package storagev2 is the face that Jaeger v2 sees: the gRPC services of jaeger.storage.v2, and OpenTelemetry's trace service to write with, over the same
// write and read path as package plugin's services.
//
// # Idea
//
// Jaeger v2 and the store speak the same language, OTLP. So spans are not translated: an export request goes to the writer in the bytes in which it arrived, and a trace goes out
// in the bytes in which the reader has it. Both are a [plugin.Raw], which the server's codec passes through; a large trace is cut between spans, of which none is decoded.
//
//	wire ── Raw ── Export ── Writer.Write            Reader.Trace, FindTraces ── trace.EachChunk ── Raw ── wire
//
// Only spans that came through Jaeger's v1 protocol are rewritten, since they bear what OTLP has no field for in attributes of the store's own: see [jaegerv1.Plain].
//
// What a list of traces shows (FindTraceSummaries, FindTraceIDs) is read from the summaries that the store keeps of traces; no span is.
//
// A filter is translated to one of package spanfilter, which says what is wrong with it and where; FindSpans sends spans in the order of the query, of several traces.
//
// # Promise
//
//   - Export returns when all spans that it does not report as rejected are durable and readable.
//   - A chunk holds spans of one trace, a trace's chunks follow each other, none is empty, and each is about a megabyte, whatever the trace; a larger span goes alone.
//   - A trace comes whole, spans outside of the time that was asked for too: times with an ID are hints, and no reason to leave out spans.
//   - A trace that may lack spans is an error, or is marked with a warning on a span of it (see [Options]).
//   - [Services.Register]'s Capabilities say what is there, and nothing else.
//
// # Use
//
// Package plugin/remote registers the services on a server, which must use [plugin.Codec]. All calls may be concurrent.
//
// The packages storagepb and expressionpb are generated from Jaeger's .proto files; `make proto` does it.
package storagev2

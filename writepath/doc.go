// Package writepath takes OTLP export requests to where they are durable.
//
// A request is split by trace at the wire level, and its fragments are appended to a Store. When Write returns, the spans are durable and every query finds them.
//
// With a tracedb.Store, the database in this process, all fragments are one record of the log, as durable as its sync policy says. Concurrent writes share an fsync.
//
// # Cluster
//
// With a Cluster, each fragment goes to the ingesters that the ring names for its tenant and trace, and Write returns when more than half of them have logged it; a
// reader asks so many that it meets one of those (see package ring).
//
//	Append ─ ring.Batch ─┬─► lane of ingester a ─┐ one push at a time, of all that waits;
//	Append ─ ring.Batch ─┼─► lane of ingester b  ├ at once where nothing is under way
//	Append ─ ring.Batch ─┴─► lane of ingester c ─┘
//
// Concurrent Appends share pushes: Jaeger's v1 protocol has one span in a call, and 50 workers. What an Append sends is copied once, into the form it has on the wire, which its
// pushes share and which outlives it: the last replica may get it later.
//
// Memory is bounded twice. All Appends that go on have ClusterOptions.QueueBytes together, and more wait: so ingesters that are slow hold back who writes. And as much may
// wait for one ingester; one that hangs or is behind is then given nothing more, and counts as failed at once, which a quorum does without.
//
// Where no quorum can be reached, an Append tries again for a while. An error is a gRPC status as the ingesters gave it: ResourceExhausted with when to try again, InvalidArgument,
// Unavailable.
package writepath

// Package limits bounds what a tenant may store, before it is acknowledged.
//
// [Limits] are the numbers, [Limiter] what they need to be remembered: how much of a rate is used, and what was refused. Who is about to store
// entries asks an [Admission] which of them may be, and tells the sender of the others the [Refusal], which is a gRPC status: ResourceExhausted, with a
// hint when to try again where that helps, or InvalidArgument.
//
//	a := limiter.Admit(tenant, limits, db)
//	kept, refusal := a.Check(entries, time.Now())
//
// Ingesters do so for the groups of a push. For the store of a single process [Store] does it, between writepath.Writer and tracedb.Store.
//
// What is recent of a trace is asked of the database, so nothing is counted twice and a restart forgets nothing but the rates. Entries that are
// stored at the same moment do not see each other: a trace may get a little larger than its limit.
package limits

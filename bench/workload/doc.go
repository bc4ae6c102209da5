// Package workload makes the spans that benchmarks and tests store: the traffic of a web shop, as OTLP
// export requests, the same bytes for the same seed.
//
// # What it looks like
//
// Twelve services on four hosts serve page views, carts and checkouts (shop.go). A trace has 19.5 spans on
// average, over half a dozen services: server and client spans of each call, database and cache calls. Each
// service instance has 12 resource attributes, each span 4 to 11 attributes, among them such as few
// spans share (session, order, user of 10,000, URL). Times nest and have nanosecond noise, IDs are
// random, about 2 % of the spans failed, and one trace in 5,000 bears a rare tag.
//
// The spans are sent as a collector on each host would send them: when 400 have ended, or the first of them
// 5 seconds ago, grouped by resource. The spans of a trace so come in several requests.
//
//	w := workload.New(1, 20_000)
//	for r := range w.Requests() {
//		send(r.Data)
//	}
//	for i, q := range workload.Queries() {
//		check(q, w.Truth().Answers[i])
//	}
//
// # Truth
//
// While it generates, the workload keeps account of what a store must answer: the spans of each trace, the
// operations of each service, and for each of [Queries] every matching trace, newest first.
//
// A Workload is for one goroutine; several may be used at once.
package workload

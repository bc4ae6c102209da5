// Package writepath takes OTLP export requests to where they are durable.
//
// A request is split by trace at the wire level and its fragments are appended to the tenant's database, all in one record of the log:
// when Write returns, the spans are as durable as the store's sync policy says and every query finds them. Concurrent
// writes share an fsync.
package writepath

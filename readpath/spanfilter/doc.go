// Package spanfilter holds structured filters of spans: conditions of attributes and fields, joined by and, or and not, as Jaeger's expression.v1 has
// them.
//
// A filter is made of its form, an expression, by New, which refuses what makes no sense and says where. It then has two halves:
//
//   - Plan asks the index. The index knows a span by terms, which have no types, and it knows nothing of links, of times inside a span and of what belongs to which
//     event. So a condition becomes two: Over, which holds wherever the filter does, and Under, which holds nowhere else. Where both are the same the
//     answer is the index's. The complement of the one bounds the negation's other, so that not, ne and not_in are no special cases.
//   - Matcher reads a span's bytes, and is exact. What Over finds and Under does not is read.
//
// # What it means
//
// A condition on a reference that holds no value is false, ne and not_in too; only not turns that around. Of a reference to several values, one must satisfy a
// positive condition, and none may satisfy what ne or not_in deny. An attribute without a level is one of the span or of its resource. What is equal and what is more,
// package valuetest says. Besides:
//
//   - resource.service is the name under which Jaeger lists the service, trace.ServiceUnknown if the resource has none.
//   - The attribute error of a span that has none is whether its status is an error.
//   - A span's fields that OTLP leaves empty, parentSpanID, traceState and statusMessage, are not there; so name and version of a scope and schema URLs.
//   - Attributes in which the store keeps what OTLP has no place for are not there.
//
// A Filter does not change, and may be used concurrently; a Matcher is for one goroutine at a time.
package spanfilter

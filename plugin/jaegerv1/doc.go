// Package jaegerv1 translates spans between Jaeger's v1 model and OTLP bytes, in both directions.
//
// # Idea
//
// The store knows one data form, OTLP. Jaeger v1 speaks another, [model.Span], which can say things
// that OTLP has no field for (warnings, 32 flags, an ordered list of typed references, the year 1)
// and says other things in tags for which OTLP has fields (kind, status, trace state). So a span has
// one of two origins, and the way back depends on it:
//
//   - A span of Jaeger's model goes in with all its tags as attributes, in order and untouched.
//     Kind, status, trace state, parent and event names are derived from them in addition, so that
//     whatever reads OTLP understands the span. What has no field at all becomes an attribute whose
//     key begins with "@jaeger@", only where it is needed. The scope bears the attribute
//     "@jaeger@model": it says that the derived fields repeat what the attributes say already.
//   - A span born as OTLP comes out by the conventions by which OpenTelemetry's collector makes
//     Jaeger spans: kind and status become tags, the parent becomes the first reference, and so on.
//
// A key of Jaeger's model that begins with "@jaeger@" itself is written with that prefix twice.
//
// # Promise
//
// Whatever [AppendOTLP] takes comes back from [Each] equal, as Jaeger's own wire form tells spans
// apart: an empty list and no list are the same there, times are in UTC, and fields that the model
// does not know are dropped. What can't be said in OTLP at all (invalid UTF-8, a zero ID) is refused
// with an error that names the field.
//
// # Use
//
// All functions are pure: they keep no state, hold on to nothing they are given, and may be called
// from any number of goroutines. Memory is bounded by a multiple of the largest span for Each, and
// of the value for [Spans].
package jaegerv1

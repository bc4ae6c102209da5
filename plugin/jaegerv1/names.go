package jaegerv1

// Tags by which Jaeger's conventions say what OTLP has fields for.
const (
	tagScopeName     = "otel.library.name" // Jaeger from v1.58 on spells the two otel.scope.*
	tagScopeVersion  = "otel.library.version"
	tagKind          = "span.kind"
	tagStatusCode    = "otel.status_code"
	tagStatusMessage = "otel.status_description"
	tagError         = "error"
	tagTraceState    = "w3c.tracestate"
	fieldEventName   = "event"

	statusTextOK    = "OK"
	statusTextError = "ERROR"

	// noServiceName is the service of spans whose resource has no attribute service.name.
	noServiceName = "OTLPResourceNoServiceName"
)

// Attributes of OTLP with a meaning for Jaeger.
const (
	attrServiceName = "service.name"

	// attrRefType stands on a link and tells the type of the reference that it was.
	attrRefType        = "opentracing.ref_type"
	refTypeChildOf     = "child_of"
	refTypeFollowsFrom = "follows_from"
)

// Attributes of this package: what Jaeger's model holds and OTLP has no field for.
const (
	reserved = "@jaeger@"

	// attrModel on the scope marks its spans as translated from Jaeger's model.
	attrModel    = reserved + "model"
	modelVersion = "v1"

	attrNoProcess = reserved + "no_process" // resource: true, the span has no process at all
	attrWarnings  = reserved + "warnings"   // span: array of strings
	attrProcessID = reserved + "process_id" // span: string
	attrFlags     = reserved + "flags"      // span: int, flags above the 8 bits that OTLP gives away
	attrStart     = reserved + "start"      // span: "seconds.nanoseconds" where Unix nanoseconds can't tell
	attrDuration  = reserved + "duration"   // span: int, nanoseconds, where start or end can't tell
	attrTime      = reserved + "time"       // event: as attrStart
	attrRefTypeNo = reserved + "ref_type"   // link: int, a type that is neither of the two known ones
	// attrTag follows an attribute that is not the whole of its tag: the tag in Jaeger's own wire form.
	attrTag = reserved + "tag"
)

// The values of Span.kind, Status.code in OTLP.
const (
	kindInternal = 1 + iota
	kindServer
	kindClient
	kindProducer
	kindConsumer
)

const (
	statusOK    = 1
	statusError = 2
)

// kindNumber returns the OTLP number of a span.kind tag, 0 for none.
func kindNumber(text string) uint64 {
	switch text {
	case "internal":
		return kindInternal
	case "server":
		return kindServer
	case "client":
		return kindClient
	case "producer":
		return kindProducer
	case "consumer":
		return kindConsumer
	}
	return 0
}

// kindText returns the span.kind tag of an OTLP kind, empty for none.
func kindText(number uint64) string {
	switch number {
	case kindInternal:
		return "internal"
	case kindServer:
		return "server"
	case kindClient:
		return "client"
	case kindProducer:
		return "producer"
	case kindConsumer:
		return "consumer"
	}
	return ""
}

package columnar

// A schema says which fields of a message have a meaning for the encoding. Any other field, and any of
// these that is not as it should be, is kept by its wire type.
type schema uint8

const (
	schemaResourceSpans schema = iota
	schemaResource
	schemaScopeSpans
	schemaScope
	schemaSpan
	schemaStatus
	schemaEvent
	schemaLink
)

type meaning uint8

const (
	asOther     meaning = iota
	asConst             // few values: part of the shape
	asOnce              // has an op of its own
	asAttribute         // a KeyValue
	asMessage           // a message whose fields are part of the shape
	asChildren          // messages with shapes of their own
)

type action struct {
	what   meaning
	op     op
	schema schema
	kind   kind
}

// maxTag is a tag greater than those in schemas.
const maxTag = 17 << 3

var schemas = [...]struct{ actions [maxTag + 1]action }{
	schemaResourceSpans: {[maxTag + 1]action{
		1<<3 | typeBytes: {what: asMessage, schema: schemaResource},
	}},
	schemaResource: {[maxTag + 1]action{
		1<<3 | typeBytes: {what: asAttribute},
	}},
	schemaScopeSpans: {[maxTag + 1]action{
		1<<3 | typeBytes: {what: asMessage, schema: schemaScope},
	}},
	schemaScope: {[maxTag + 1]action{
		3<<3 | typeBytes: {what: asAttribute},
	}},
	schemaSpan: {[maxTag + 1]action{
		1<<3 | typeBytes:    {what: asOnce, op: opTraceID},
		2<<3 | typeBytes:    {what: asOnce, op: opSpanID},
		4<<3 | typeBytes:    {what: asOnce, op: opParent},
		5<<3 | typeBytes:    {what: asConst}, // name
		6<<3 | typeVarint:   {what: asConst}, // kind
		7<<3 | typeFixed64:  {what: asOnce, op: opStart},
		8<<3 | typeFixed64:  {what: asOnce, op: opFinish},
		9<<3 | typeBytes:    {what: asAttribute},
		11<<3 | typeBytes:   {what: asChildren, schema: schemaEvent, kind: kindEvent},
		13<<3 | typeBytes:   {what: asChildren, schema: schemaLink, kind: kindLink},
		15<<3 | typeBytes:   {what: asMessage, schema: schemaStatus},
		16<<3 | typeFixed32: {what: asConst}, // flags
	}},
	schemaStatus: {[maxTag + 1]action{
		3<<3 | typeVarint: {what: asConst}, // code
	}},
	schemaEvent: {[maxTag + 1]action{
		1<<3 | typeFixed64: {what: asOnce, op: opTime},
		2<<3 | typeBytes:   {what: asConst}, // name
		3<<3 | typeBytes:   {what: asAttribute},
	}},
	schemaLink: {[maxTag + 1]action{
		4<<3 | typeBytes:   {what: asAttribute},
		6<<3 | typeFixed32: {what: asConst}, // flags
	}},
}

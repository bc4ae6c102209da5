package jaegerv1

// Field numbers of opentelemetry.proto.trace.v1, common.v1 and resource.v1.
const (
	tracesResourceSpans = 1

	resourceSpansResource = 1
	resourceSpansScopes   = 2

	resourceAttributes = 1

	scopeSpansScope = 1
	scopeSpansSpans = 2

	scopeName       = 1
	scopeVersion    = 2
	scopeAttributes = 3

	spanTraceID    = 1
	spanID         = 2
	spanTraceState = 3
	spanParentID   = 4
	spanName       = 5
	spanKind       = 6
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
	spanEvents     = 11
	spanLinks      = 13
	spanStatus     = 15
	spanFlags      = 16

	eventTime       = 1
	eventName       = 2
	eventAttributes = 3

	linkTraceID    = 1
	linkSpanID     = 2
	linkAttributes = 4

	statusMessage = 2
	statusCode    = 3

	keyValueKey   = 1
	keyValueValue = 2

	valueString = 1
	valueBool   = 2
	valueInt    = 3
	valueDouble = 4
	valueArray  = 5
	valueKvlist = 6
	valueBytes  = 7

	// listValues is the field of ArrayValue and of KeyValueList.
	listValues = 1
)

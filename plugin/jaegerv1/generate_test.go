package jaegerv1

import (
	"math"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"pgregory.net/rapid"
)

// keys holds what has a meaning somewhere, and a bit of everything else.
var keys = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "a", "ключ", "http.status_code",
		tagKind, tagStatusCode, tagStatusMessage, tagError, tagTraceState, tagScopeName, tagScopeVersion,
		fieldEventName, attrServiceName, attrRefType, "otel.scope.name", "internal.span.format",
		reserved, reserved + reserved, reserved + "unheard", attrModel, attrNoProcess, attrWarnings,
		attrProcessID, attrFlags, attrStart, attrDuration, attrTime, attrTag, reserved + attrTag,
	}),
	rapid.String(),
)

var texts = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "client", "server", "producer", "consumer", "internal", "CLIENT", "ok", "ERROR", "true",
		"k=v,k2=v2", "child_of", "v1", "\x00", "\U0001F600", "{}", "5.000000000",
	}),
	rapid.String(),
)

var floats = rapid.OneOf(
	rapid.Float64(),
	rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64}),
)

var ints = rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, -1, math.MinInt64, math.MaxInt64}))

var bools = rapid.Bool()

var binaries = rapid.OneOf(
	rapid.SampledFrom([][]byte{nil, {0}, {0xff, 0xfe}}),
	rapid.SliceOf(rapid.Byte()),
)

var tags = rapid.Custom(func(t *rapid.T) model.KeyValue {
	key := keys.Draw(t, "key")
	switch rapid.IntRange(0, 9).Draw(t, "type") {
	default:
		return model.String(key, texts.Draw(t, "string"))
	case 5:
		return model.Bool(key, bools.Draw(t, "bool"))
	case 6:
		return model.Int64(key, ints.Draw(t, "int"))
	case 7:
		return model.Float64(key, floats.Draw(t, "float"))
	case 8:
		return model.Binary(key, binaries.Draw(t, "binary"))
	case 9: // nothing makes these, the model can hold them
		return model.KeyValue{
			Key:      key,
			VType:    model.ValueType(rapid.Int32Range(-1, 7).Draw(t, "type")),
			VStr:     texts.Draw(t, "string"),
			VBool:    bools.Draw(t, "bool"),
			VInt64:   ints.Draw(t, "int"),
			VFloat64: rapid.Float64().Draw(t, "float"),
			VBinary:  binaries.Draw(t, "binary"),
		}
	}
})

var times = rapid.OneOf(
	rapid.Map(rapid.Int64Range(0, math.MaxInt64), func(n int64) time.Time { return time.Unix(0, n) }),
	rapid.SampledFrom([]time.Time{
		{},
		time.Unix(0, 0),
		time.Unix(0, -1),
		time.Unix(0, math.MaxInt64),
		time.Unix(0, math.MaxInt64).Add(1),
		time.Unix(math.MaxInt64/int64(time.Second), 0),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(2026, 11, 22, 16, 0, 0, 1, time.FixedZone("east", 3600)),
	}),
	rapid.Map(rapid.Int64(), func(s int64) time.Time { return time.Unix(s, 7) }),
)

var durations = rapid.Map(ints, func(n int64) time.Duration { return time.Duration(n) })

var logs = rapid.Custom(func(t *rapid.T) model.Log {
	return model.Log{
		Timestamp: times.Draw(t, "timestamp"),
		Fields:    rapid.SliceOfN(tags, 0, 4).Draw(t, "fields"),
	}
})

var processes = rapid.OneOf(
	rapid.SampledFrom([]*model.Process{nil, {}}),
	rapid.Custom(func(t *rapid.T) *model.Process {
		return &model.Process{
			ServiceName: rapid.OneOf(texts, rapid.Just(noServiceName)).Draw(t, "service"),
			Tags:        rapid.SliceOfN(tags, 0, 6).Draw(t, "process tags"),
		}
	}),
)

// references favour few IDs, so that parents, duplicates and foreign traces all come up.
func references(own model.TraceID) *rapid.Generator[model.SpanRef] {
	return rapid.Custom(func(t *rapid.T) model.SpanRef {
		return model.SpanRef{
			TraceID: rapid.SampledFrom([]model.TraceID{own, own, own, {Low: 1}, {}}).Draw(t, "trace"),
			SpanID:  rapid.SampledFrom([]model.SpanID{0, 1, 1, 2, math.MaxUint64}).Draw(t, "span"),
			RefType: rapid.SampledFrom([]model.SpanRefType{0, 0, 0, 1, 1, 2, -1}).Draw(t, "type"),
		}
	})
}

var spans = rapid.Custom(func(t *rapid.T) *model.Span {
	id := model.TraceID{
		High: rapid.Uint64().Draw(t, "high"),
		Low:  rapid.Uint64Min(1).Draw(t, "low"),
	}
	return &model.Span{
		TraceID:       id,
		SpanID:        model.SpanID(rapid.Uint64Min(1).Draw(t, "span")),
		OperationName: texts.Draw(t, "operation"),
		References:    rapid.SliceOfN(references(id), 0, 5).Draw(t, "references"),
		Flags: model.Flags(rapid.OneOf(
			rapid.SampledFrom([]uint32{0, 1, 3, 255, 256, math.MaxUint32}), rapid.Uint32(),
		).Draw(t, "flags")),
		StartTime: times.Draw(t, "start"),
		Duration:  durations.Draw(t, "duration"),
		Tags:      rapid.SliceOfN(tags, 0, 12).Draw(t, "tags"),
		Logs:      rapid.SliceOfN(logs, 0, 4).Draw(t, "logs"),
		Process:   processes.Draw(t, "process"),
		ProcessID: rapid.OneOf(rapid.Just(""), texts).Draw(t, "process ID"),
		Warnings:  rapid.SliceOfN(texts, 0, 3).Draw(t, "warnings"),
	}
})

package jaegerv1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// AppendOTLP appends an OTLP TracesData message that holds this span alone, in one scope of one
// resource made of its process, and returns the extended buffer. Equal spans give equal bytes.
//
// An error means that the span can't be stored whoever tries: it is nil, its trace ID or span ID is
// zero, or a string is not valid UTF-8. It names the span and the field; dst is returned as it was.
func AppendOTLP(dst []byte, span *model.Span) ([]byte, error) {
	if span == nil {
		return dst, errors.New("no span")
	}
	out, err := appendTracesData(dst, span)
	if err != nil {
		return dst, fmt.Errorf("span %s of trace %s: %w", span.SpanID, span.TraceID, err)
	}
	return out, nil
}

// markedScope is the scope of all spans that come from Jaeger's model, as a field of ScopeSpans.
var markedScope = func() []byte {
	dst, body := openMessage(nil, scopeSpansScope, 1)
	dst = appendTextAttribute(dst, scopeAttributes, attrModel, modelVersion)
	return closeMessage(dst, body, 1)
}()

func appendTracesData(dst []byte, span *model.Span) ([]byte, error) {
	if span.TraceID == (model.TraceID{}) {
		return nil, errors.New("trace_id is zero")
	}
	if span.SpanID == 0 {
		return nil, errors.New("span_id is zero")
	}
	// Two bytes hold the size of nearly all spans; closeMessage corrects the rest.
	const width = 2
	dst, group := openMessage(dst, tracesResourceSpans, width)

	dst, resource := openMessage(dst, resourceSpansResource, width)
	dst, err := appendProcess(dst, span.Process)
	if err != nil {
		return nil, err
	}
	dst = closeMessage(dst, resource, width)

	dst, scope := openMessage(dst, resourceSpansScopes, width)
	dst = append(dst, markedScope...)
	dst, body := openMessage(dst, scopeSpansSpans, width)
	dst, err = appendSpan(dst, span)
	if err != nil {
		return nil, err
	}
	dst = closeMessage(dst, body, width)
	dst = closeMessage(dst, scope, width)
	return closeMessage(dst, group, width), nil
}

// appendProcess puts the service name first, even an empty one: the way back takes the first
// attribute for it, and so a tag called service.name survives beside it.
func appendProcess(dst []byte, process *model.Process) ([]byte, error) {
	if process == nil {
		return appendAttribute(dst, resourceAttributes, attrNoProcess, &model.KeyValue{VType: model.BoolType, VBool: true}), nil
	}
	if !utf8.ValidString(process.ServiceName) {
		return nil, notUTF8("process.service_name")
	}
	dst = appendTextAttribute(dst, resourceAttributes, attrServiceName, process.ServiceName)
	return appendTags(dst, resourceAttributes, process.Tags, "process.tags")
}

func appendSpan(dst []byte, span *model.Span) ([]byte, error) {
	derived := derive(span.Tags)
	parent := parentOf(span)
	start, startFits := unixNano(span.StartTime)
	end, endFits := addDuration(start, span.Duration)

	dst = append(dst, spanTraceID<<3|byte(protowire.BytesType), 16)
	dst = appendTraceID(dst, span.TraceID)
	dst = append(dst, spanID<<3|byte(protowire.BytesType), 8)
	dst = binary.BigEndian.AppendUint64(dst, uint64(span.SpanID))
	if derived.traceState != "" {
		dst = appendString(dst, spanTraceState, derived.traceState)
	}
	if parent.id != 0 {
		dst = append(dst, spanParentID<<3|byte(protowire.BytesType), 8)
		dst = binary.BigEndian.AppendUint64(dst, uint64(parent.id))
	}
	if !utf8.ValidString(span.OperationName) {
		return nil, notUTF8("operation_name")
	}
	if span.OperationName != "" {
		dst = appendString(dst, spanName, span.OperationName)
	}
	if derived.kind != 0 {
		dst = appendVarint(dst, spanKind, derived.kind)
	}
	dst = appendNanos(dst, spanStart, start)
	dst = appendNanos(dst, spanEnd, end)

	dst, err := appendTags(dst, spanAttributes, span.Tags, "tags")
	if err != nil {
		return nil, err
	}
	if !startFits {
		dst = appendTextAttribute(dst, spanAttributes, attrStart, timeText(span.StartTime))
	}
	if !endFits {
		dst = appendIntAttribute(dst, spanAttributes, attrDuration, int64(span.Duration))
	}
	if dst, err = appendExtras(dst, span); err != nil {
		return nil, err
	}
	for i := range span.Logs {
		if dst, err = appendLog(dst, &span.Logs[i]); err != nil {
			return nil, fmt.Errorf("logs[%d].%w", i, err)
		}
	}
	links := span.References
	if parent.first {
		links = links[1:]
	}
	for i := range links {
		dst = appendLink(dst, &links[i])
	}
	dst = appendStatus(dst, derived.status, derived.statusMessage)
	if low := uint32(span.Flags & 0xff); low != 0 {
		dst = protowire.AppendTag(dst, spanFlags, protowire.Fixed32Type)
		dst = protowire.AppendFixed32(dst, low)
	}
	return dst, nil
}

func appendStatus(dst []byte, code uint64, message string) []byte {
	if code == 0 {
		return dst
	}
	const width = 1
	dst, body := openMessage(dst, spanStatus, width)
	if message != "" {
		dst = appendString(dst, statusMessage, message)
	}
	dst = appendVarint(dst, statusCode, code)
	return closeMessage(dst, body, width)
}

// appendExtras appends what has no field in OTLP and is rarely there.
func appendExtras(dst []byte, span *model.Span) ([]byte, error) {
	if span.Flags > 0xff {
		dst = appendIntAttribute(dst, spanAttributes, attrFlags, int64(span.Flags))
	}
	if span.ProcessID != "" {
		if !utf8.ValidString(span.ProcessID) {
			return nil, notUTF8("process_id")
		}
		dst = appendTextAttribute(dst, spanAttributes, attrProcessID, span.ProcessID)
	}
	return appendWarnings(dst, span.Warnings)
}

func appendWarnings(dst []byte, warnings []string) ([]byte, error) {
	if len(warnings) == 0 {
		return dst, nil
	}
	const width = 1
	dst, attribute := openMessage(dst, spanAttributes, width)
	dst = appendString(dst, keyValueKey, attrWarnings)
	dst, value := openMessage(dst, keyValueValue, width)
	dst, list := openMessage(dst, valueArray, width)
	for i, text := range warnings {
		if !utf8.ValidString(text) {
			return nil, notUTF8(fmt.Sprintf("warnings[%d]", i))
		}
		dst = append(dst, listValues<<3|byte(protowire.BytesType))
		dst = protowire.AppendVarint(dst, uint64(sizeBytes(len(text))))
		dst = appendString(dst, valueString, text)
	}
	dst = closeMessage(dst, list, width)
	dst = closeMessage(dst, value, width)
	return closeMessage(dst, attribute, width), nil
}

func appendLog(dst []byte, log *model.Log) ([]byte, error) {
	const width = 1
	dst, body := openMessage(dst, spanEvents, width)
	at, fits := unixNano(log.Timestamp)
	dst = appendNanos(dst, eventTime, at)
	for i := range log.Fields {
		if f := &log.Fields[i]; f.Key == fieldEventName && f.VType == model.StringType && f.VStr != "" {
			dst = appendString(dst, eventName, f.VStr)
			break
		}
	}
	dst, err := appendTags(dst, eventAttributes, log.Fields, "fields")
	if err != nil {
		return nil, err
	}
	if !fits {
		dst = appendTextAttribute(dst, eventAttributes, attrTime, timeText(log.Timestamp))
	}
	return closeMessage(dst, body, width), nil
}

func appendLink(dst []byte, ref *model.SpanRef) []byte {
	const width = 1
	dst, body := openMessage(dst, spanLinks, width)
	dst = append(dst, linkTraceID<<3|byte(protowire.BytesType), 16)
	dst = appendTraceID(dst, ref.TraceID)
	dst = append(dst, linkSpanID<<3|byte(protowire.BytesType), 8)
	dst = binary.BigEndian.AppendUint64(dst, uint64(ref.SpanID))
	switch ref.RefType {
	case model.ChildOf:
		dst = appendTextAttribute(dst, linkAttributes, attrRefType, refTypeChildOf)
	case model.FollowsFrom:
		dst = appendTextAttribute(dst, linkAttributes, attrRefType, refTypeFollowsFrom)
	default:
		dst = appendIntAttribute(dst, linkAttributes, attrRefTypeNo, int64(ref.RefType))
	}
	return closeMessage(dst, body, width)
}

func appendTraceID(dst []byte, id model.TraceID) []byte {
	dst = binary.BigEndian.AppendUint64(dst, id.High)
	return binary.BigEndian.AppendUint64(dst, id.Low)
}

// derivation is what tags say that OTLP has fields for.
type derivation struct {
	kind          uint64
	status        uint64
	statusMessage string
	traceState    string
}

// derive reads the first tag of each meaning, as Jaeger does. HTTP status codes do not make a status:
// a search for error=true must not find spans that Jaeger's users never marked.
func derive(tags []model.KeyValue) derivation {
	var d derivation
	var kind, code, message, failed, state *model.KeyValue
	for i := range tags {
		tag := &tags[i]
		var first **model.KeyValue
		switch tag.Key {
		case tagKind:
			first = &kind
		case tagStatusCode:
			first = &code
		case tagStatusMessage:
			first = &message
		case tagError:
			first = &failed
		case tagTraceState:
			first = &state
		default:
			continue
		}
		if *first == nil {
			*first = tag
		}
	}
	if kind != nil && kind.VType == model.StringType {
		d.kind = kindNumber(kind.VStr)
	}
	if state != nil && state.VType == model.StringType {
		d.traceState = state.VStr
	}
	if code != nil && code.VType == model.StringType {
		switch {
		case strings.EqualFold(code.VStr, statusTextOK):
			d.status = statusOK
		case strings.EqualFold(code.VStr, statusTextError):
			d.status = statusError
		}
	}
	if failed != nil && failed.VType == model.BoolType && failed.VBool {
		d.status = statusError
	}
	if d.status != 0 && message != nil && message.VType == model.StringType {
		d.statusMessage = message.VStr
	}
	return d
}

type parentRef struct {
	id    model.SpanID
	first bool // it is the first reference and stands nowhere else: the field alone tells it
}

// parentOf finds the first CHILD_OF reference within the trace.
func parentOf(span *model.Span) parentRef {
	for i := range span.References {
		ref := &span.References[i]
		if ref.RefType != model.ChildOf || ref.TraceID != span.TraceID || ref.SpanID == 0 {
			continue
		}
		p := parentRef{id: ref.SpanID, first: i == 0}
		for j := i + 1; j < len(span.References) && p.first; j++ {
			p.first = !sameRef(ref, &span.References[j])
		}
		return p
	}
	return parentRef{}
}

func sameRef(a, b *model.SpanRef) bool {
	return a.SpanID == b.SpanID && a.TraceID == b.TraceID && a.RefType == b.RefType
}

// maxUnixNano is the last time that Unix nanoseconds in 63 bits can tell, in the year 2262.
const maxUnixNano = math.MaxInt64

// unixNano returns the time as OTLP has it and whether that is exact; else the nearest it can tell.
// The 64th bit is left unused: few readers of OTLP expect it.
func unixNano(t time.Time) (nanos uint64, exact bool) {
	switch s := t.Unix(); {
	case s < 0:
		return 0, false
	case s >= maxUnixNano/int64(time.Second):
		return maxUnixNano, false
	default:
		return uint64(s)*1e9 + uint64(t.Nanosecond()), true
	}
}

// addDuration returns the end of a span and whether end minus start is its duration.
func addDuration(start uint64, d time.Duration) (end uint64, exact bool) {
	switch end := int64(start) + int64(d); {
	case end >= 0:
		return uint64(end), true
	case d < 0:
		return 0, false
	default:
		return maxUnixNano, false
	}
}

func appendNanos(dst []byte, num protowire.Number, nanos uint64) []byte {
	if nanos == 0 {
		return dst
	}
	return appendFixed64(dst, num, nanos)
}

// timeText is for times of any year, which parseTime reads back.
func timeText(t time.Time) string {
	return strconv.FormatInt(t.Unix(), 10) + "." + strconv.Itoa(t.Nanosecond())
}

func notUTF8(field string) error { return fmt.Errorf("%s is not valid UTF-8", field) }

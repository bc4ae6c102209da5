package jaegerv1

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// spanDecoder makes a Jaeger span of one OTLP span: a first walk over the message reads its single
// fields and counts the repeated ones, a second fills lists of the right size.
type spanDecoder struct {
	message string
	scope   *scope
	span    *model.Span

	parent                    model.SpanID
	kind, status, start, end  uint64
	traceState, statusMessage string
	attributes, events, links int
}

func (d *spanDecoder) decode() (*model.Span, error) {
	d.span = &model.Span{Process: d.scope.process}
	if err := d.readFields(); err != nil {
		return nil, err
	}
	d.setTimes()
	var err error
	if d.scope.origin == fromOTLP {
		err = d.decodeOTLP()
	} else {
		err = d.decodeModel()
	}
	if err != nil {
		return nil, fmt.Errorf("%s of trace %s: %w", d.span.SpanID, d.span.TraceID, err)
	}
	return d.span, nil
}

// readFields reads all that stands once in a span, and counts the rest.
func (d *spanDecoder) readFields() error {
	c := walk(d.message)
	for c.next() {
		switch {
		case c.is(spanTraceID, protowire.BytesType):
			if len(c.body) != 16 {
				return fmt.Errorf("trace ID of %d bytes", len(c.body))
			}
			d.span.TraceID = traceIDOf(c.body)
		case c.is(spanID, protowire.BytesType):
			if len(c.body) != 8 {
				return fmt.Errorf("span ID of %d bytes", len(c.body))
			}
			d.span.SpanID = spanIDOf(c.body)
		case c.is(spanTraceState, protowire.BytesType):
			d.traceState = c.body
		case c.is(spanParentID, protowire.BytesType):
			d.parent = spanIDOf(c.body)
		case c.is(spanName, protowire.BytesType):
			d.span.OperationName = c.body
		case c.is(spanKind, protowire.VarintType):
			d.kind = c.n
		case c.is(spanStart, protowire.Fixed64Type):
			d.start = c.n
		case c.is(spanEnd, protowire.Fixed64Type):
			d.end = c.n
		case c.is(spanAttributes, protowire.BytesType):
			d.attributes++
		case c.is(spanEvents, protowire.BytesType):
			d.events++
		case c.is(spanLinks, protowire.BytesType):
			d.links++
		case c.is(spanStatus, protowire.BytesType):
			if err := d.readStatus(c.body); err != nil {
				return err
			}
		case c.is(spanFlags, protowire.Fixed32Type):
			d.span.Flags = model.Flags(c.n & 0xff)
		}
	}
	return c.err
}

func (d *spanDecoder) readStatus(message string) error {
	c := walk(message)
	for c.next() {
		switch {
		case c.is(statusMessage, protowire.BytesType):
			d.statusMessage = c.body
		case c.is(statusCode, protowire.VarintType):
			d.status = c.n
		}
	}
	return c.err
}

func (d *spanDecoder) setTimes() {
	start := timeOf(d.start)
	d.span.StartTime = start
	d.span.Duration = timeOf(d.end).Sub(start)
}

// decodeModel takes the lists of a span that was Jaeger's as they are, and its reserved attributes
// for the fields that they stand for.
func (d *spanDecoder) decodeModel() error {
	span := d.span
	tags := tagList{tags: make([]model.KeyValue, 0, d.attributes), origin: fromModel}
	span.References = make([]model.SpanRef, 0, d.links+1)
	if err := d.readLists(&tags); err != nil {
		return err
	}
	span.Tags = orNil(tags.tags)
	d.prependParent()
	return nil
}

// readLists adds the span's attributes to tags, its events to its logs and its links to its references.
func (d *spanDecoder) readLists(tags *tagList) error {
	span, from := d.span, tags.origin
	span.Logs = make([]model.Log, 0, d.events)
	c := walk(d.message)
	for c.next() {
		switch {
		case c.is(spanAttributes, protowire.BytesType):
			key, v, err := readAttribute(c.body)
			if err != nil {
				return err
			}
			if from == fromModel && strings.HasPrefix(key, reserved) && d.setExtra(key, v) {
				continue
			}
			if err := tags.add(key, v); err != nil {
				return err
			}
		case c.is(spanEvents, protowire.BytesType):
			log, err := readEvent(c.body, from)
			if err != nil {
				return err
			}
			span.Logs = append(span.Logs, log)
		case c.is(spanLinks, protowire.BytesType):
			ref, err := readLink(c.body)
			if err != nil {
				return err
			}
			if from == fromOTLP {
				d.addLink(ref)
			} else {
				span.References = append(span.References, ref)
			}
		}
	}
	span.Logs = orNil(span.Logs)
	return nil
}

// setExtra sets the field that a reserved attribute stands for, and reports false where it stands
// for none.
func (d *spanDecoder) setExtra(key string, v value) bool {
	switch {
	case key == attrWarnings && v.field == valueArray:
		warnings, ok := v.texts()
		d.span.Warnings = warnings
		return ok
	case key == attrProcessID && v.field == valueString:
		d.span.ProcessID = v.body
	case key == attrFlags && v.field == valueInt:
		d.span.Flags = model.Flags(v.n)
	case key == attrDuration && v.field == valueInt:
		d.span.Duration = time.Duration(v.n)
	case key == attrStart && v.field == valueString:
		start, ok := parseTime(v.body)
		if ok {
			d.span.StartTime = start
		}
		return ok
	default:
		return false
	}
	return true
}

// prependParent adds the parent where the links do not tell it: they hold all references or all but
// the first.
func (d *spanDecoder) prependParent() {
	span := d.span
	if d.parent != 0 {
		parent := model.NewChildOfRef(span.TraceID, d.parent)
		for i := range span.References {
			if sameRef(&span.References[i], &parent) {
				return
			}
		}
		span.References = append(span.References, model.SpanRef{})
		copy(span.References[1:], span.References)
		span.References[0] = parent
	}
	span.References = orNil(span.References)
}

// readEvent makes a log of an event. An OTLP event's name becomes the first field, unless a field
// says it.
func readEvent(message string, from origin) (model.Log, error) {
	log := model.Log{Timestamp: timeOf(0)}
	name, named, count := "", false, 0
	for c := walk(message); c.next(); {
		switch {
		case c.is(eventTime, protowire.Fixed64Type):
			log.Timestamp = timeOf(c.n)
		case c.is(eventName, protowire.BytesType):
			name = c.body
		case c.is(eventAttributes, protowire.BytesType):
			count++
			if from == fromOTLP && !named {
				key, _, _ := readAttribute(c.body) // errors are the second walk's to find
				named = key == fieldEventName
			}
		}
	}
	if from == fromModel || named {
		name = ""
	}
	if name != "" {
		count++
	}
	fields := tagList{tags: make([]model.KeyValue, 0, count), origin: from}
	fields.addText(fieldEventName, name)
	c := walk(message)
	for c.next() {
		if !c.is(eventAttributes, protowire.BytesType) {
			continue
		}
		key, v, err := readAttribute(c.body)
		if err != nil {
			return log, err
		}
		if from == fromModel && key == attrTime && v.field == valueString {
			if at, ok := parseTime(v.body); ok {
				log.Timestamp = at
				continue
			}
		}
		if err := fields.add(key, v); err != nil {
			return log, err
		}
	}
	log.Fields = orNil(fields.tags)
	return log, c.err
}

// readLink makes a reference of a link, which follows from the linked span unless an attribute says
// that it is its child.
func readLink(message string) (model.SpanRef, error) {
	ref := model.SpanRef{RefType: model.FollowsFrom}
	c := walk(message)
	for c.next() {
		switch {
		case c.is(linkTraceID, protowire.BytesType):
			ref.TraceID = traceIDOf(c.body)
		case c.is(linkSpanID, protowire.BytesType):
			ref.SpanID = spanIDOf(c.body)
		case c.is(linkAttributes, protowire.BytesType):
			key, v, err := readAttribute(c.body)
			switch {
			case err != nil:
				return ref, err
			case key == attrRefType && v.field == valueString && v.body == refTypeChildOf:
				ref.RefType = model.ChildOf
			case key == attrRefTypeNo && v.field == valueInt:
				ref.RefType = model.SpanRefType(v.n)
			}
		}
	}
	return ref, c.err
}

// orNil makes an empty list the one that Jaeger's wire form has for it.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func timeOf(unixNano uint64) time.Time { return time.Unix(0, int64(unixNano)).UTC() }

// parseTime reads what timeText wrote.
func parseTime(text string) (time.Time, bool) {
	s, n, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	nanos, err := strconv.ParseUint(n, 10, 30)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(seconds, int64(nanos)).UTC(), true
}

package jaegerv1

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jaegertracing/jaeger/model"
	"google.golang.org/protobuf/encoding/protowire"
)

// Spans returns all spans of an OTLP TracesData message, in its order. See [Each] for what they share.
func Spans(data []byte) ([]*model.Span, error) {
	var spans []*model.Span
	err := Each(data, func(span *model.Span) error {
		spans = append(spans, span)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return spans, nil
}

// Each calls fn with each span of an OTLP TracesData message, in its order, making one at a time.
// It stops at the first error: one of fn's, which it returns as it is, or one that says where data is
// malformed or which span has an ID of a wrong length.
//
// Spans are fn's to keep and point nowhere into data. Those that follow each other from one resource
// share their Process, which must be read only; nothing else is shared.
func Each(data []byte, fn func(*model.Span) error) error {
	c := walk(data)
	for c.next() {
		if !c.is(tracesResourceSpans, protowire.BytesType) {
			continue
		}
		if err := eachOfResource(c.body, fn); err != nil {
			return err
		}
	}
	if c.err != nil {
		return fmt.Errorf("traces data: %w at byte %d", c.err, len(data)-len(c.rest))
	}
	return nil
}

func eachOfResource(resourceSpans []byte, fn func(*model.Span) error) error {
	// The process depends on the origin of the spans, and a resource may hold scopes of both.
	var processes [2]*model.Process
	var known [2]bool
	c := walk(resourceSpans)
	for c.next() {
		if !c.is(resourceSpansScopes, protowire.BytesType) {
			continue
		}
		scope, err := readScope(c.body)
		if err != nil {
			return fmt.Errorf("scope: %w", err)
		}
		if o := scope.origin; !known[o] {
			if processes[o], err = readProcess(resourceSpans, o); err != nil {
				return fmt.Errorf("resource: %w", err)
			}
			known[o] = true
		}
		scope.process = processes[scope.origin]
		if err := eachOfScope(c.body, &scope, fn); err != nil {
			return err
		}
	}
	if c.err != nil {
		return fmt.Errorf("resource spans: %w", c.err)
	}
	return nil
}

func eachOfScope(scopeSpans []byte, scope *scope, fn func(*model.Span) error) error {
	c := walk(scopeSpans)
	for c.next() {
		if !c.is(scopeSpansSpans, protowire.BytesType) {
			continue
		}
		// One copy, of which all strings of the span are parts.
		d := spanDecoder{message: string(c.body), scope: scope}
		span, err := d.decode()
		if err != nil {
			return fmt.Errorf("span: %w", err)
		}
		if err := fn(span); err != nil {
			return err
		}
	}
	if c.err != nil {
		return fmt.Errorf("scope spans: %w", c.err)
	}
	return nil
}

// origin tells how a span came to be, and so how it becomes a Jaeger span.
type origin int

const (
	fromOTLP  origin = iota // by conventions, with tags made of OTLP's fields
	fromModel               // by attributes alone, exactly
)

// scope is what all spans of a ScopeSpans message have in common.
type scope struct {
	origin        origin
	name, version string
	process       *model.Process
}

func readScope(scopeSpans []byte) (scope, error) {
	var s scope
	outer := walk(scopeSpans)
	for outer.next() {
		if !outer.is(scopeSpansScope, protowire.BytesType) {
			continue
		}
		c := walk(string(outer.body))
		for c.next() {
			switch {
			case c.is(scopeName, protowire.BytesType):
				s.name = c.body
			case c.is(scopeVersion, protowire.BytesType):
				s.version = c.body
			case c.is(scopeAttributes, protowire.BytesType):
				key, v, err := readAttribute(c.body)
				if err != nil {
					return s, err
				}
				if key == attrModel && v.field == valueString && v.body == modelVersion {
					s.origin = fromModel
				}
			}
		}
		if c.err != nil {
			return s, c.err
		}
	}
	return s, outer.err
}

// readProcess makes the process of the resource, which may stand before, after and between the scopes.
func readProcess(resourceSpans []byte, from origin) (*model.Process, error) {
	r := processReader{tags: tagList{origin: from}}
	c := walk(resourceSpans)
	for c.next() {
		if !c.is(resourceSpansResource, protowire.BytesType) {
			continue
		}
		if err := r.read(string(c.body)); err != nil {
			return nil, err
		}
	}
	switch {
	case c.err != nil:
		return nil, c.err
	case r.none:
		return nil, nil
	case !r.named && from == fromOTLP:
		r.service = noServiceName
	}
	return &model.Process{ServiceName: r.service, Tags: r.tags.tags}, nil
}

type processReader struct {
	service string
	named   bool // service is known
	none    bool // there is no process
	tags    tagList
}

func (r *processReader) read(resource string) error {
	c := walk(resource)
	for c.next() {
		if !c.is(resourceAttributes, protowire.BytesType) {
			continue
		}
		key, v, err := readAttribute(c.body)
		if err != nil {
			return err
		}
		switch {
		case key == attrServiceName && !r.named:
			tag, err := v.tag(key)
			if err != nil {
				return err
			}
			r.service, r.named = tag.AsString(), true
		case key == attrNoProcess && r.tags.origin == fromModel:
			r.none = true
		default:
			if err := r.tags.add(key, v); err != nil {
				return err
			}
		}
	}
	return c.err
}

// tagList collects tags of attributes.
type tagList struct {
	tags   []model.KeyValue
	origin origin
}

func (l *tagList) add(key string, v value) error {
	if l.origin == fromModel && strings.HasPrefix(key, reserved) {
		if key == attrTag && v.field == valueBytes && len(l.tags) > 0 {
			var whole model.KeyValue
			if err := whole.Unmarshal([]byte(v.body)); err != nil {
				return fmt.Errorf("attribute %s: %w", attrTag, err)
			}
			l.tags[len(l.tags)-1] = whole
			return nil
		}
		if own := key[len(reserved):]; strings.HasPrefix(own, reserved) {
			key = own
		}
	}
	tag, err := v.tag(key)
	if err != nil {
		return fmt.Errorf("attribute %.100q: %w", key, err)
	}
	l.tags = append(l.tags, tag)
	return nil
}

// traceIDOf and spanIDOf return zero for IDs of wrong lengths.
func traceIDOf(id string) model.TraceID {
	if len(id) != 16 {
		return model.TraceID{}
	}
	return model.NewTraceID(binary.BigEndian.Uint64([]byte(id[:8])), binary.BigEndian.Uint64([]byte(id[8:])))
}

func spanIDOf(id string) model.SpanID {
	if len(id) != 8 {
		return 0
	}
	return model.NewSpanID(binary.BigEndian.Uint64([]byte(id)))
}

package jaegerv1

import "github.com/jaegertracing/jaeger/model"

// decodeOTLP makes the lists of a span that was born as OTLP, by the conventions of OpenTelemetry's
// Jaeger exporters: https://opentelemetry.io/docs/specs/otel/trace/sdk_exporters/jaeger/.
func (d *spanDecoder) decodeOTLP() error {
	span := d.span
	tags := tagList{tags: make([]model.KeyValue, 0, d.attributes+d.derivedTags()), origin: fromOTLP}
	tags.addText(tagScopeName, d.scope.name)
	tags.addText(tagScopeVersion, d.scope.version)
	span.References = make([]model.SpanRef, 0, d.links+1)
	if d.parent != 0 {
		span.References = append(span.References, model.NewChildOfRef(span.TraceID, d.parent))
	}
	if err := d.readLists(&tags); err != nil {
		return err
	}
	tags.addText(tagKind, kindText(d.kind))
	switch d.status {
	case statusOK:
		tags.addText(tagStatusCode, statusTextOK)
	case statusError:
		tags.addText(tagStatusCode, statusTextError)
		tags.tags = append(tags.tags, model.Bool(tagError, true))
	}
	tags.addText(tagStatusMessage, d.statusMessage)
	tags.addText(tagTraceState, d.traceState)

	span.Tags = orNil(tags.tags)
	span.References = orNil(span.References)
	return nil
}

// derivedTags is how many tags the span gets that are not among its attributes.
func (d *spanDecoder) derivedTags() int {
	n := 0
	for _, text := range [...]string{d.scope.name, d.scope.version, kindText(d.kind), d.statusMessage, d.traceState} {
		if text != "" {
			n++
		}
	}
	switch d.status {
	case statusOK:
		n++
	case statusError:
		n += 2
	}
	return n
}

// addLink adds the reference of a link. A link to the parent is not a second reference: it tells the
// type of the first.
func (d *spanDecoder) addLink(ref model.SpanRef) {
	refs := d.span.References
	if d.parent != 0 && ref.SpanID == d.parent && ref.TraceID == d.span.TraceID {
		refs[0].RefType = ref.RefType
		return
	}
	d.span.References = append(refs, ref)
}

// addText adds a tag, if there is anything to say in it.
func (l *tagList) addText(key, text string) {
	if text != "" {
		l.tags = append(l.tags, model.String(key, text))
	}
}

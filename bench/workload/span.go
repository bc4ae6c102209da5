package workload

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of OTLP: span kinds and the status code of an error.
const (
	internal = 1
	server   = 2
	client   = 3

	statusError = 2
)

// span is a span under construction. Its attributes and events are encoded as they come.
type span struct {
	at         *instance
	id, parent [8]byte
	root       bool
	name       string
	kind       uint64
	start, end int64
	attrs      []byte // repeated field 9 of Span
	events     []byte // repeated field 11
	tags       uint64 // queries whose tag was set
	failed     bool
	message    string
}

func (s *span) str(key, value string) *span {
	s.attrs = appendString(s.attrs, 9, key, value)
	s.tags |= tagged(key, value)
	return s
}

func (s *span) int(key string, value int) *span {
	s.attrs = appendInt(s.attrs, 9, key, value)
	s.tags |= tagged(key, strconv.Itoa(value))
	return s
}

// event adds an event with string attributes, given as key, value, key, value.
func (s *span) event(at int64, name string, kv ...string) {
	var e []byte
	e = protowire.AppendTag(e, 1, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, uint64(at))
	e = protowire.AppendTag(e, 2, protowire.BytesType)
	e = protowire.AppendString(e, name)
	for i := 0; i < len(kv); i += 2 {
		e = appendString(e, 3, kv[i], kv[i+1])
		s.tags |= tagged(kv[i], kv[i+1])
	}
	s.events = appendMessage(s.events, 11, e)
}

// appendSpan appends the Span message of s, in the order in which SDKs write the fields.
func appendSpan(b []byte, traceID [16]byte, s *span) []byte {
	b = appendMessage(b, 1, traceID[:])
	b = appendMessage(b, 2, s.id[:])
	if !s.root {
		b = appendMessage(b, 4, s.parent[:])
	}
	b = protowire.AppendTag(b, 5, protowire.BytesType)
	b = protowire.AppendString(b, s.name)
	b = protowire.AppendTag(b, 6, protowire.VarintType)
	b = protowire.AppendVarint(b, s.kind)
	b = protowire.AppendTag(b, 7, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(s.start))
	b = protowire.AppendTag(b, 8, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(s.end))
	b = append(b, s.attrs...)
	b = append(b, s.events...)
	var status []byte
	if s.failed {
		status = protowire.AppendTag(status, 2, protowire.BytesType)
		status = protowire.AppendString(status, s.message)
		status = protowire.AppendTag(status, 3, protowire.VarintType)
		status = protowire.AppendVarint(status, statusError)
	}
	b = appendMessage(b, 15, status)
	b = protowire.AppendTag(b, 16, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, 0x101) // sampled; it is known whether the parent is remote
}

// appendMessage appends a field of length-delimited type.
func appendMessage(b []byte, field protowire.Number, m []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, m)
}

// appendString appends a KeyValue with a string value.
func appendString(b []byte, field protowire.Number, key, value string) []byte {
	v := 1 + protowire.SizeBytes(len(value))
	b = appendKey(b, field, key, v)
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	return protowire.AppendString(b, value)
}

// appendInt appends a KeyValue with an integer value.
func appendInt(b []byte, field protowire.Number, key string, value int) []byte {
	v := 1 + protowire.SizeVarint(uint64(value))
	b = appendKey(b, field, key, v)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(value))
}

// appendKey appends a KeyValue up to its AnyValue, which has size bytes.
func appendKey(b []byte, field protowire.Number, key string, size int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(key))+1+protowire.SizeBytes(size)))
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendString(b, key)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

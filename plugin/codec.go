package plugin

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Codec encodes the messages of Jaeger's protocol by the methods that come with them, which are gogo's, and all others as gRPC does. A server must
// be told to use it, and so must a client in a program of this project: under its name any package may register another one, of which the last wins.
// Cortex's, which the ring brings, panics on messages of Jaeger's.
type Codec struct{}

var _ encoding.CodecV2 = Codec{}

// Name is what the content type of messages says.
func (Codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	var (
		b   []byte
		err error
	)
	switch m := v.(type) {
	case interface{ Marshal() ([]byte, error) }:
		b, err = m.Marshal()
	case proto.Message:
		b, err = proto.Marshal(m)
	default:
		err = fmt.Errorf("a %T is no message", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

// Unmarshal implements encoding.CodecV2. Messages may keep references to what it decodes.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case interface{ Unmarshal([]byte) error }:
		return m.Unmarshal(data.Materialize())
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("a %T is no message", v)
}

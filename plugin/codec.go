package plugin

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// Raw is a message in its wire form, which Codec passes through. Its zero value is to be received into.
//
// Its bytes have one owner. A Raw that was received belongs to who received it, who frees it: then others use its memory. One that is sent belongs
// to gRPC, which writes it later and then frees it: it is sent once, and its bytes are not changed any more.
type Raw struct{ buffer mem.Buffer }

// NewRaw returns a message of b, which goes to the garbage collector when it is sent.
func NewRaw(b []byte) *Raw { return &Raw{mem.SliceBuffer(b)} }

// PooledRaw returns a message of size bytes at most, which fill appends to the buffer that it is given: one of a pool, where it goes when the message is sent.
func PooledRaw(size int, fill func(dst []byte) []byte) *Raw {
	pool := mem.DefaultBufferPool()
	b := pool.Get(size)
	*b = fill((*b)[:0])
	return &Raw{mem.NewBuffer(b, pool)}
}

// Bytes returns the message, valid until Free.
func (r *Raw) Bytes() []byte {
	if r.buffer == nil {
		return nil
	}
	return r.buffer.ReadOnlyData()
}

// Free gives the memory of a message that was received to others.
func (r *Raw) Free() {
	if r.buffer != nil {
		r.buffer.Free()
		r.buffer = nil
	}
}

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
	case *Raw:
		return mem.BufferSlice{m.buffer}, nil
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
	case *Raw:
		m.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	case interface{ Unmarshal([]byte) error }:
		return m.Unmarshal(data.Materialize())
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("a %T is no message", v)
}

package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// Group is what has one outcome: entries of one tenant, in the form in which they go to ingesters. It is stored whole, but for the traces that a limit
// refuses. It never changes, so that the same one may go to several.
type Group struct {
	wire    mem.Buffer // a field of ingesterpb.PushRequest
	entries int
}

// MaxGroup bounds the Size of a Group that a Push can have.
const MaxGroup = MaxMessage - 1<<20

// The fields, with the type of what has a length.
var (
	tagGroups = protowire.EncodeTag(1, protowire.BytesType) // of PushRequest
	tagTenant = protowire.EncodeTag(1, protowire.BytesType) // of Group
	tagKeys   = protowire.EncodeTag(2, protowire.BytesType)
	tagValues = protowire.EncodeTag(3, protowire.BytesType)
)

// NewGroup returns a group of those entries that indexes name, or of all if there are none. It keeps nothing of them.
func NewGroup(tenant string, entries []tempodb.Entry, indexes ...int) Group {
	n := len(indexes)
	if n == 0 {
		n = len(entries)
	}
	at := func(i int) *tempodb.Entry {
		if len(indexes) == 0 {
			return &entries[i]
		}
		return &entries[indexes[i]]
	}
	size := 1 + protowire.SizeBytes(len(tenant)) + 1 + protowire.SizeBytes(keySize*n)
	for i := range n {
		size += 1 + protowire.SizeBytes(len(at(i).Value))
	}
	b := make([]byte, 0, 1+protowire.SizeBytes(size))
	b = append(b, byte(tagGroups))
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, byte(tagTenant))
	b = protowire.AppendString(b, tenant)
	b = append(b, byte(tagKeys))
	b = binary.AppendUvarint(b, uint64(keySize*n))
	for i := range n {
		b = append(b, at(i).Key[:]...)
	}
	for i := range n {
		b = append(b, byte(tagValues))
		b = protowire.AppendBytes(b, at(i).Value)
	}
	return Group{mem.SliceBuffer(b), n}
}

// Size returns how many bytes the group takes in memory and in a message.
func (g Group) Size() int {
	if g.wire == nil {
		return 0
	}
	return g.wire.Len()
}

// Push stores groups, which together have at most MaxGroup bytes. The error concerns all of them: some may be stored nevertheless. Without one there is an outcome for each group,
// nil for what is stored, a *RefusedError if it is but for single entries; or no outcomes, if everything is.
func (c *Client) Push(ctx context.Context, groups []Group) (outcomes []error, err error) {
	c.begin()
	defer c.end()
	request := make(pushRequest, len(groups))
	for i, g := range groups {
		request[i] = g.wire
	}
	var answer ingesterpb.PushResponse
	if err := c.conn.Invoke(ctx, ingesterpb.Ingester_Push_FullMethodName, request, &answer, grpc.ForceCodecV2(pushCodec{})); err != nil {
		return nil, c.explain(err)
	}
	if len(answer.Outcomes) == 0 {
		return nil, nil
	}
	if len(answer.Outcomes) != len(groups) {
		return nil, c.nonsense("%d outcomes of %d groups", len(answer.Outcomes), len(groups))
	}
	outcomes = make([]error, len(groups))
	for i, o := range answer.Outcomes {
		outcomes[i] = c.explain(outcomeError(o))
		if o.Code == 0 || len(o.Refused) == 0 {
			continue
		}
		for n, entry := range o.Refused {
			if int(entry) >= groups[i].entries || n > 0 && entry <= o.Refused[n-1] {
				return nil, c.nonsense("entry %d of %d is refused", entry, groups[i].entries)
			}
		}
		outcomes[i] = NewRefusedError(o.Refused, outcomes[i])
	}
	return outcomes, nil
}

// RefusedError is about some entries of an Append or a Group, which are refused however often they are tried. The others are stored.
type RefusedError struct {
	// Entries are their indexes, in ascending order.
	Entries []int
	// Err is a gRPC status: why the first of them is.
	Err error
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// NewRefusedError makes a RefusedError of the entries that an Outcome names.
func NewRefusedError(entries []uint32, err error) *RefusedError {
	e := &RefusedError{Entries: make([]int, len(entries)), Err: err}
	for i, n := range entries {
		e.Entries[i] = int(n)
	}
	return e
}

// pushRequest is an ingesterpb.PushRequest: its fields, one after the other.
type pushRequest mem.BufferSlice

// pushCodec sends groups as they are, and reads the answer as gRPC always does.
type pushCodec struct{}

func (pushCodec) Name() string { return proto.Name }
func (pushCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice(v.(pushRequest)), nil
}
func (pushCodec) Unmarshal(data mem.BufferSlice, v any) error {
	return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
}

// outcomeError is the status that an outcome tells, or nil.
func outcomeError(o *ingesterpb.Outcome) error {
	code := codes.Code(o.Code)
	switch {
	case code == codes.OK:
		return nil
	case code > codes.Unauthenticated: // unknown to this program: it is no success
		code = codes.Unknown
	}
	return WithRetry(status.New(code, o.Message), time.Duration(o.RetryAfterMs)*time.Millisecond)
}

// WithRetry makes an error of s that says when to try again; 0 says nothing.
func WithRetry(s *status.Status, after time.Duration) error {
	if after > 0 {
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)}); err == nil {
			s = detailed
		}
	}
	return s.Err()
}

// RetryAfter returns when err says that what failed may be tried again, and whether it does.
func RetryAfter(err error) (time.Duration, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return 0, false
	}
	for _, detail := range s.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return max(0, retry.GetRetryDelay().AsDuration()), true
		}
	}
	return 0, false
}

// explain says which ingester failed. The status, with its details, stays.
func (c *Client) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ingester at %s: %w", c.address, err)
}

// nonsense is the error of an answer that can't be.
func (c *Client) nonsense(format string, args ...any) error {
	return c.explain(status.Errorf(codes.Internal, "its answer can't be: "+format, args...))
}

package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// Group is what is stored whole or not at all: entries of one tenant.
type Group struct {
	Tenant  string
	Entries []tempodb.Entry
}

// Push stores groups. The error concerns all of them: some may be stored nevertheless. Without one there is an outcome for each group,
// nil for what is stored; or no outcomes, if everything is.
func (c *Client) Push(ctx context.Context, groups []Group) (outcomes []error, err error) {
	c.begin()
	defer c.end()
	r := &ingesterpb.PushRequest{Groups: make([]*ingesterpb.Group, len(groups))}
	for i, g := range groups {
		m := &ingesterpb.Group{Tenant: g.Tenant, Keys: make([]byte, 0, keySize*len(g.Entries)), Values: make([][]byte, len(g.Entries))}
		for j := range g.Entries {
			m.Keys = append(m.Keys, g.Entries[j].Key[:]...)
			m.Values[j] = g.Entries[j].Value
		}
		r.Groups[i] = m
	}
	answer, err := c.rpc.Push(ctx, r)
	if err != nil {
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
	}
	return outcomes, nil
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

package remote

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"
)

// patience ends calls whose client does not do its part: the first message of a call must have arrived in time, and each message of an answer must have found
// room in time. What the store takes to answer does not count, and neither do pauses between the messages of a client.
type patience struct {
	within time.Duration
	ended  atomic.Int64
}

func (p *patience) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.InTapHandle(p.begin), grpc.ChainUnaryInterceptor(p.unary), grpc.ChainStreamInterceptor(p.stream)}
}

// patienceKey is where the timer of a call stands in its context.
type patienceKey struct{}

// begin is there before the call's first message has arrived, unlike interceptors. When the call ends gRPC cancels the context that it gives.
func (p *patience) begin(ctx context.Context, _ *tap.Info) (context.Context, error) {
	of := ctx
	ctx, cancel := context.WithCancel(of)
	timer := time.AfterFunc(p.within, func() {
		p.ended.Add(1)
		cancel()
	})
	context.AfterFunc(of, func() { timer.Stop() })
	return context.WithValue(ctx, patienceKey{}, timer), nil
}

func timerOf(ctx context.Context) *time.Timer { return ctx.Value(patienceKey{}).(*time.Timer) }

func (*patience) unary(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	timerOf(ctx).Stop() // the message is here
	return handler(ctx, r)
}

func (p *patience) stream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(server, &patientStream{stream, timerOf(stream.Context()), p.within})
}

type patientStream struct {
	grpc.ServerStream
	timer  *time.Timer
	within time.Duration
}

func (s *patientStream) RecvMsg(m any) error {
	defer s.timer.Stop()
	return s.ServerStream.RecvMsg(m)
}

func (s *patientStream) SendMsg(m any) error {
	s.timer.Reset(s.within)
	defer s.timer.Stop()
	return s.ServerStream.SendMsg(m)
}

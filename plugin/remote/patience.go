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

// patienceKey is where the wait of a call stands in its context.
type patienceKey struct{}

// wait is for the client of a call.
type wait struct {
	timer *time.Timer
	over  atomic.Bool // it was in vain
}

// begin is there before the call's first message has arrived, unlike interceptors. When the call ends gRPC cancels the context that it gives.
func (p *patience) begin(ctx context.Context, _ *tap.Info) (context.Context, error) {
	of := ctx
	ctx, cancel := context.WithCancel(of)
	w := new(wait)
	w.timer = time.AfterFunc(p.within, func() {
		p.ended.Add(1)
		w.over.Store(true)
		cancel()
	})
	context.AfterFunc(of, func() { w.timer.Stop() })
	return context.WithValue(ctx, patienceKey{}, w), nil
}

func waitOf(ctx context.Context) *wait { return ctx.Value(patienceKey{}).(*wait) }

func (*patience) unary(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	waitOf(ctx).timer.Stop() // the message is here
	return handler(ctx, r)
}

func (p *patience) stream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(server, &patientStream{stream, waitOf(stream.Context()).timer, p.within})
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

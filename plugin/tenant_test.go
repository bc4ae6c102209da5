package plugin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bearNoTenant are the calls that Jaeger makes without saying whose data it means.
var bearNoTenant = map[string]bool{
	"/jaeger.storage.v1.PluginCapabilities/Capabilities": true,
	"/jaeger.storage.v1.SpanWriterPlugin/Close":          true,
}

// raw is a message as its bytes.
type raw []byte

func (r *raw) Marshal() ([]byte, error) { return *r, nil }

func (r *raw) Unmarshal(b []byte) error {
	*r = bytes.Clone(b)
	return nil
}

func TestACallWithoutATenantReachesNothing(t *testing.T) {
	store := &naiveStore{}
	o := Options{Writer: store, Reader: store, StreamingWriter: true, TenantOf: func(context.Context) (string, error) {
		return "", status.Error(codes.Unauthenticated, "who are you?")
	}}
	conn := dial(t, o)
	server := grpc.NewServer()
	New(o).Register(server)
	var refused, answered int
	for service, info := range server.GetServiceInfo() {
		for _, m := range info.Methods {
			method := "/" + service + "/" + m.Name
			err := call(t.Context(), conn, method, m)
			switch {
			case bearNoTenant[method] && err == nil:
				answered++
			case !bearNoTenant[method] && status.Code(err) == codes.Unauthenticated && status.Convert(err).Message() == "who are you?":
				refused++
			default:
				t.Errorf("%s: %v", method, err)
			}
		}
	}
	if len(store.tenants) > 0 || refused < 10 || answered != len(bearNoTenant) {
		t.Errorf("%d refused, %d answered, stored: %v", refused, answered, store.tenants)
	}
}

// call makes a call with an empty message and reads the first answer.
func call(ctx context.Context, conn *grpc.ClientConn, method string, m grpc.MethodInfo) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: m.IsServerStream, ClientStreams: m.IsClientStream}, method)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&raw{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&raw{})
}

package plugin

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func TestErrorsTellAClientWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{readpath.ErrTraceNotFound, codes.NotFound},
		{&tempodb.PartialError{Parts: []error{errors.New("ingester at a: refused")}}, codes.Unavailable},
		{status.Error(codes.Aborted, "no"), codes.Aborted},
		{context.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{&tracedb.TenantError{Reason: "no"}, codes.InvalidArgument},
		{&trace.WireError{}, codes.InvalidArgument},
		{&trace.ExpansionError{}, codes.InvalidArgument},
		{&readpath.QueryError{Reason: "no"}, codes.InvalidArgument},
		{&spanfilter.Error{Where: "eq[0]", Reason: "no"}, codes.InvalidArgument},
		{tempodb.ErrBehind, codes.ResourceExhausted},
		{syscall.ENOSPC, codes.ResourceExhausted},
		{tempodb.ErrClosed, codes.Unavailable},
		{&tempodb.PartialError{Parts: []error{&page.CorruptError{}}}, codes.DataLoss},
		{fmt.Errorf("anything else"), codes.Internal},
	} {
		if got := status.Code(statusOf(fmt.Errorf("wrapped: %w", c.err))); got != c.want {
			t.Errorf("%v: code %v, want %v", c.err, got, c.want)
		}
	}
	if statusOf(nil) != nil {
		t.Error("no error became one")
	}
}

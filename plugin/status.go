package plugin

import (
	"context"
	"errors"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/page"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

// StatusOf gives an error of the store the status that this package's services answer with; nil to nil.
func StatusOf(err error) error { return statusOf(err) }

// statusOf gives an error of the store the gRPC status that says to a client what to do about it. A
// status that is in the error already, however deep, stays.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, readpath.ErrTraceNotFound) {
		// Clients compare the message.
		return status.Error(codes.NotFound, readpath.ErrTraceNotFound.Error())
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.OK {
		return s.Err()
	}
	return status.Error(codeOf(err), err.Error())
}

func codeOf(err error) codes.Code {
	var (
		tenant    *tracedb.TenantError
		wire      *trace.WireError
		expansion *trace.ExpansionError
		partial   *tempodb.PartialError
		query     *readpath.QueryError
		filter    *spanfilter.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.As(err, &tenant), errors.As(err, &wire), errors.As(err, &expansion), errors.As(err, &query), errors.As(err, &filter):
		return codes.InvalidArgument
	case errors.Is(err, tempodb.ErrBehind), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return codes.ResourceExhausted
	case errors.Is(err, tempodb.ErrClosed), errors.Is(err, tracedb.ErrClosed):
		return codes.Unavailable
	case page.IsCorrupt(err):
		return codes.DataLoss
	case errors.As(err, &partial):
		return codes.Unavailable // what can't be asked now may be later
	default:
		return codes.Internal
	}
}

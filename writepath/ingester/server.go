package ingester

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/ingester/ingesterpb"
)

// Limits of what a request may claim, and of what one message of an answer holds.
const (
	maxKeys     = 10_000  // of a ValuesRequest
	maxQuery    = 1 << 20 // bytes
	maxPatterns = 64      // different ones of a query
	maxPattern  = 16 << 10
	maxHits     = 1_000_000
	maxAnswer   = 512 << 10
	maxReads    = 256 // answers that are being made at the same time
)

// server is the face of an Ingester to gRPC.
type server struct {
	ingesterpb.UnimplementedIngesterServer
	*Ingester
}

// Register lets the ingester serve. It may be called before it is ready. The gRPC server must have what client.ServerOptions says.
func (i *Ingester) Register(r grpc.ServiceRegistrar) {
	ingesterpb.RegisterIngesterServer(r, &server{Ingester: i})
}

// serving returns the store, or the status that says that there is none yet, or any more.
func (i *Ingester) serving() (*tracedb.Store, error) {
	if err := i.Ready(); err != nil {
		return nil, unavailable("%v", err)
	}
	return i.store.Load(), nil
}

func unavailable(format string, args ...any) error {
	return status.Errorf(codes.Unavailable, format, args...)
}

// exhausted is a status that says when to try again.
func exhausted(again time.Duration, format string, args ...any) error {
	st := status.Newf(codes.ResourceExhausted, format, args...)
	if detailed, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(again)}); err == nil {
		st = detailed
	}
	return st.Err()
}

// answer is an answer under way.
type answer struct {
	i      *Ingester
	tenant string
	db     *tempodb.DB // nil if the tenant is unknown
	source *ingesterpb.Source
	end    func()
}

// answer begins an answer. Its end must be called.
func (i *Ingester) answer(ctx context.Context, tenant string) (*answer, error) {
	store, err := i.serving()
	if err != nil {
		return nil, err
	}
	if err := block.CheckTenant(tenant); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	select {
	case i.reads <- struct{}{}:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	a := &answer{i: i, tenant: tenant, end: func() { <-i.reads }}
	if a.db, err = store.Tenant(tenant); err != nil {
		a.end()
		return nil, unavailable("ingester %s: %v", i.o.Instance, err)
	}
	if a.db != nil {
		i.losses.look(tenant, a.db)
	}
	a.source = &ingesterpb.Source{Instance: i.o.Instance, Complete: i.losses.none(), KeptForMs: uint64(i.o.Keep.Milliseconds())}
	return a, nil
}

// givenUp reports whether an error is because the tenant's database was just given up: there was nothing in it.
func (a *answer) givenUp(err error) bool {
	return errors.Is(err, tempodb.ErrClosed) && !a.i.closed.Load()
}

// finish returns the status with which the answer ends, if err is what the database said. What could be read was sent.
func (a *answer) finish(err error) error {
	if a.db != nil {
		a.i.losses.look(a.tenant, a.db)
	}
	var partial *tempodb.PartialError
	if a.givenUp(err) {
		err = nil
	}
	switch {
	case err == nil || errors.As(err, &partial):
		if partial == nil && a.i.losses.none() == a.source.Complete {
			return nil
		}
		if partial == nil {
			if !a.source.Complete {
				return nil // it was said
			}
			err = errors.New("damage was met in its data")
		}
		return status.Errorf(codes.DataLoss, "ingester %s, tenant %s: %v", a.i.o.Instance, a.tenant, err)
	case errors.Is(err, tempodb.ErrClosed), errors.Is(err, tracedb.ErrClosed):
		return unavailable("ingester %s: %v", a.i.o.Instance, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err // of the stream
	}
	return status.Errorf(codes.Internal, "ingester %s, tenant %s: %v", a.i.o.Instance, a.tenant, err)
}

// Values implements ingesterpb.IngesterServer. It reads one value after the other: its memory is that of one.
func (s *server) Values(req *ingesterpb.ValuesRequest, stream grpc.ServerStreamingServer[ingesterpb.ValuesResponse]) error {
	keys := req.GetKeys()
	if len(keys)%16 != 0 || len(keys) > 16*maxKeys {
		return status.Errorf(codes.InvalidArgument, "keys of %d bytes: each takes 16, and %d may be asked for at once", len(keys), maxKeys)
	}
	a, err := s.answer(stream.Context(), req.GetTenant())
	if err != nil {
		return err
	}
	defer a.end()
	msg := &ingesterpb.ValuesResponse{Source: a.source}
	size, sent := 0, false
	send := func() error {
		if sent && len(msg.Values) == 0 {
			return nil
		}
		err := stream.Send(msg)
		msg, size, sent = &ingesterpb.ValuesResponse{}, 0, true
		return err
	}
	var missing tempodb.PartialError
	var value []byte
	for n := 0; n < len(keys)/16 && a.db != nil; n++ {
		// A message may be kept by gRPC after it was sent, so no piece is written to again.
		value, err = a.db.Get(stream.Context(), nil, tempodb.Key(keys[16*n:]))
		if errors.Is(err, tempodb.ErrNotFound) || a.givenUp(err) {
			continue
		}
		var partial *tempodb.PartialError
		if errors.As(err, &partial) {
			missing.Parts = append(missing.Parts, partial.Parts...)
			if len(value) == 0 {
				continue
			}
		} else if err != nil {
			return a.finish(err)
		}
		for last := false; !last; {
			if size >= maxAnswer {
				if err := send(); err != nil {
					return err
				}
			}
			piece := value[:min(len(value), maxAnswer-size)]
			value = value[len(piece):]
			last = len(value) == 0
			msg.Values = append(msg.Values, &ingesterpb.Value{Key: uint32(n), Piece: piece, Last: last})
			size += len(piece) + 32
		}
	}
	if err := send(); err != nil {
		return err
	}
	if len(missing.Parts) > 0 {
		return a.finish(&missing)
	}
	return a.finish(nil)
}

// Search implements ingesterpb.IngesterServer. What could be found of what is not whole has a Source that is not complete.
func (s *server) Search(ctx context.Context, req *ingesterpb.SearchRequest) (*ingesterpb.SearchResponse, error) {
	q, err := parseQuery(req.GetQuery())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "search: %v", err)
	}
	a, err := s.answer(ctx, req.GetTenant())
	if err != nil {
		return nil, err
	}
	defer a.end()
	resp := &ingesterpb.SearchResponse{Source: a.source}
	if a.db == nil {
		return resp, nil
	}
	hits, err := a.db.Search(ctx, q)
	if err := a.finish(err); err != nil {
		if status.Code(err) != codes.DataLoss {
			return nil, err
		}
		a.i.log.Warn("a search could not be answered whole", "error", err)
		a.source.Complete = false
	}
	if len(hits) > maxHits {
		return nil, status.Errorf(codes.ResourceExhausted, "search: ingester %s finds %d traces, and an answer may have %d: ask for a shorter time, or for fewer with a limit", s.o.Instance, len(hits), maxHits)
	}
	resp.Keys = make([]byte, 0, 16*len(hits))
	resp.Starts = make([]int64, 0, len(hits))
	for _, hit := range hits {
		resp.Keys = append(resp.Keys, hit.Key[:]...)
		resp.Starts = append(resp.Starts, hit.Start)
	}
	return resp, nil
}

// parseQuery reads a query, within limits.
func parseQuery(b []byte) (*index.Query, error) {
	if len(b) > maxQuery {
		return nil, fmt.Errorf("a query of %d bytes, more than %d", len(b), maxQuery)
	}
	compiled := make(map[string]func([]byte) bool) // the same pattern stands for several fields
	return index.ParseQuery(b, func(pattern []byte) (func([]byte) bool, error) {
		if accepts := compiled[string(pattern)]; accepts != nil {
			return accepts, nil
		}
		switch {
		case len(pattern) > maxPattern:
			return nil, fmt.Errorf("a pattern of %d bytes, more than %d", len(pattern), maxPattern)
		case len(compiled) == maxPatterns:
			return nil, fmt.Errorf("more than %d patterns", maxPatterns)
		}
		accepts, err := tracedb.CompilePattern(pattern)
		compiled[string(pattern)] = accepts
		return accepts, err
	})
}

// Terms implements ingesterpb.IngesterServer.
func (s *server) Terms(req *ingesterpb.TermsRequest, stream grpc.ServerStreamingServer[ingesterpb.TermsResponse]) error {
	a, err := s.answer(stream.Context(), req.GetTenant())
	if err != nil {
		return err
	}
	defer a.end()
	msg := &ingesterpb.TermsResponse{Source: a.source}
	if a.db == nil {
		return stream.Send(msg)
	}
	terms, err := a.db.Terms(stream.Context(), req.GetField(), req.GetPrefix())
	if err := a.finish(err); err != nil {
		if status.Code(err) != codes.DataLoss {
			return err
		}
		a.i.log.Warn("values could not all be listed", "error", err)
		a.source.Complete = false
	}
	size := 0
	for _, term := range terms {
		if size >= maxAnswer {
			if err := stream.Send(msg); err != nil {
				return err
			}
			msg, size = &ingesterpb.TermsResponse{}, 0
		}
		msg.Values = append(msg.Values, []byte(term))
		size += len(term) + 8
	}
	return stream.Send(msg)
}

// Summaries implements ingesterpb.IngesterServer.
func (s *server) Summaries(req *ingesterpb.SummariesRequest, stream grpc.ServerStreamingServer[ingesterpb.SummariesResponse]) error {
	a, err := s.answer(stream.Context(), req.GetTenant())
	if err != nil {
		return err
	}
	defer a.end()
	msg := &ingesterpb.SummariesResponse{Source: a.source}
	if a.db != nil {
		size := 0
		err = a.db.EachSummary(stream.Context(), index.Range{Min: req.GetMinStart(), Max: req.GetMaxStart()}, func(key tempodb.Key, summary []byte) error {
			if size+len(summary) > maxAnswer && len(msg.Summaries) > 0 {
				if err := stream.Send(msg); err != nil {
					return err
				}
				msg, size = &ingesterpb.SummariesResponse{}, 0
			}
			msg.Keys = append(msg.Keys, key[:]...)
			msg.Summaries = append(msg.Summaries, append([]byte(nil), summary...))
			size += len(summary) + 24
			return nil
		})
		var partial *tempodb.PartialError
		if err != nil && !errors.As(err, &partial) && !a.givenUp(err) {
			return a.finish(err)
		}
	}
	if msg.Source != nil || len(msg.Summaries) > 0 {
		if err := stream.Send(msg); err != nil {
			return err
		}
	}
	return a.finish(err)
}

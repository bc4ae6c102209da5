package querier

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/readpath/querier/querierpb"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

// server is a Querier as gRPC sees it.
type server struct {
	querierpb.UnimplementedQuerierServer
	*Querier
}

// ask answers a question about blocks. Of blocks that are gone it is forgotten that they were there.
func (s *server) ask(ctx context.Context, of *querierpb.Blocks, answer func(*tempodb.Blocks) error) (err error) {
	db, leave, err := s.enter(ctx, of)
	if err != nil {
		return err
	}
	defer leave(&err)
	err = answer(db)
	if errors.Is(err, backend.ErrNotExist) {
		s.forget(of.GetTenant(), of.GetIds())
	}
	return err
}

// keysOf reads the keys of a request.
func keysOf(b []byte) ([]tempodb.Key, error) {
	const size = len(tempodb.Key{})
	if len(b)%size != 0 || len(b) > maxKeys*size {
		return nil, status.Errorf(codes.InvalidArgument, "keys of %d bytes: each takes %d, and %d may be asked for at once", len(b), size, maxKeys)
	}
	keys := make([]tempodb.Key, len(b)/size)
	for i := range keys {
		keys[i] = tempodb.Key(b[i*size:])
	}
	return keys, nil
}

// Values implements querierpb.QuerierServer. It reads one value after the other: its memory is that of one.
func (s *server) Values(req *querierpb.ValuesRequest, stream grpc.ServerStreamingServer[querierpb.ValuesResponse]) error {
	keys, err := keysOf(req.GetKeys())
	if err != nil {
		return err
	}
	return s.ask(stream.Context(), req.GetBlocks(), func(db *tempodb.Blocks) error {
		msg, size := new(querierpb.ValuesResponse), 0
		for i, key := range keys {
			value, err := db.Get(stream.Context(), nil, key) // anew: gRPC may keep what it has sent
			if errors.Is(err, tempodb.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			for last := false; !last; {
				if size >= maxAnswer {
					if err := stream.Send(msg); err != nil {
						return err
					}
					msg, size = new(querierpb.ValuesResponse), 0
				}
				piece := value[:min(len(value), maxAnswer-size)]
				value = value[len(piece):]
				last = len(value) == 0
				msg.Values = append(msg.Values, &querierpb.Value{Key: uint32(i), Piece: piece, Last: last})
				size += len(piece) + 32
			}
		}
		return stream.Send(msg)
	})
}

// Search implements querierpb.QuerierServer.
func (s *server) Search(ctx context.Context, req *querierpb.SearchRequest) (*querierpb.SearchResponse, error) {
	q, err := parseQuery(req.GetQuery())
	if err != nil {
		return nil, err
	}
	resp := new(querierpb.SearchResponse)
	err = s.ask(ctx, req.GetBlocks(), func(db *tempodb.Blocks) error {
		hits, err := db.Search(ctx, q)
		for _, hit := range hits {
			resp.Keys = append(resp.Keys, hit.Key[:]...)
			resp.Starts = append(resp.Starts, hit.Start)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Terms implements querierpb.QuerierServer.
func (s *server) Terms(req *querierpb.TermsRequest, stream grpc.ServerStreamingServer[querierpb.TermsResponse]) error {
	return s.ask(stream.Context(), req.GetBlocks(), func(db *tempodb.Blocks) error {
		terms, err := db.Terms(stream.Context(), req.GetField(), req.GetPrefix())
		if err != nil {
			return err
		}
		msg, size := new(querierpb.TermsResponse), 0
		for _, term := range terms {
			if size >= maxAnswer {
				if err := stream.Send(msg); err != nil {
					return err
				}
				msg, size = new(querierpb.TermsResponse), 0
			}
			msg.Values = append(msg.Values, []byte(term))
			size += len(term) + 8
		}
		return stream.Send(msg)
	})
}

// Summaries implements querierpb.QuerierServer.
func (s *server) Summaries(ctx context.Context, req *querierpb.SummariesRequest) (*querierpb.SummariesResponse, error) {
	keys, err := keysOf(req.GetKeys())
	if err != nil {
		return nil, err
	}
	resp := new(querierpb.SummariesResponse)
	err = s.ask(ctx, req.GetBlocks(), func(db *tempodb.Blocks) error {
		for i, key := range keys {
			summary, err := db.Summary(ctx, nil, key)
			if errors.Is(err, tempodb.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			resp.Keys = append(resp.Keys, uint32(i))
			resp.Summaries = append(resp.Summaries, summary)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

package storagev2

import (
	"context"

	"github.com/jaeger-tempo/tempo/plugin/storagev2/storagepb"
	"github.com/jaeger-tempo/tempo/readpath/spanfilter"
)

// capabilities answers calls that bear no tenant.
type capabilities struct {
	storagepb.UnimplementedCapabilitiesServer
}

// GetCapabilities says what searches can do here. What is said is done, and what is done is said: tests ask for each.
func (capabilities) GetCapabilities(context.Context, *storagepb.GetCapabilitiesRequest) (*storagepb.GetCapabilitiesResponse, error) {
	return &storagepb.GetCapabilitiesResponse{Search: &storagepb.SearchCapabilities{
		WithoutServiceName:  true,
		SameSpanConjunction: true,
		Paginated:           true,
		Filter:              &storagepb.FilterCapabilities{Levels: spanfilter.Levels(), Operators: spanfilter.Operators()},
		SpanSearch:          true,
		SpanSorting:         true,
	}}, nil
}

package tracedb

import (
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/trace"
)

var _ tempodb.SummaryJoiner = Codec{}

// JoinSummaries joins summaries of pieces of a trace; see trace.JoinSummaries.
func (Codec) JoinSummaries(dst []byte, summaries ...[]byte) (joined []byte, ok bool, err error) {
	return trace.JoinSummaries(dst, summaries...)
}

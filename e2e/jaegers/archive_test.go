package jaegers

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jaegertracing/jaeger/model"

	"github.com/jaeger-tempo/tempo/e2e/jaegers/samples"
)

// TestArchivedTracesOutliveRetention: a trace that is archived is whole by its ID after retention has dropped it; one that is not is gone.
func TestArchivedTracesOutliveRetention(t *testing.T) {
	all := startAll(t, options{retention: "1h"}, four...)
	// Both traces are two days old: they go with the first block that they are in.
	old := func(n uint64, service string) []*model.Span {
		spans := samples.Trip(model.NewTraceID(n, n), service)
		for _, s := range spans {
			s.StartTime, s.Duration = s.StartTime.Add(-48*time.Hour), min(s.Duration, time.Hour)
		}
		return spans
	}
	for _, j := range all {
		t.Run(j.name, func(t *testing.T) {
			if _, err := j.call(http.MethodPost, "/api/archive/99", ""); !isNotFound(err) {
				t.Errorf("archiving an unknown trace: %v, want 404", err)
			}
			var kept []*model.Span
			for n := uint64(1); ; n += 2 {
				kept = old(n, "kept")
				for _, spans := range [][]*model.Span{kept, old(n+1, "dropped")} {
					if err := j.SendJaegerGRPC(spans); err != nil {
						t.Fatal(err)
					}
				}
				j.await(t, kept[0].TraceID, "", len(kept))
				_, err := j.call(http.MethodPost, "/api/archive/"+kept[0].TraceID.String(), "")
				if err == nil {
					break
				}
				if !isNotFound(err) || n > 20 { // retention may have been quicker
					t.Fatal(err)
				}
			}
			eventually(t, time.Minute, func() error {
				services, err := j.list("/api/services", "")
				if err == nil && len(services) > 0 {
					err = fmt.Errorf("services %q: retention has dropped nothing yet", services)
				}
				return err
			})
			id := kept[0].TraceID
			got, err := j.trace(id, "")
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				got[i].Warnings = nil // v1.76 and v2 archive a trace as they show it: with what they say about clocks
			}
			requireSame(t, "the archived trace", sent(kept), got)
			if _, err := j.trace(model.NewTraceID(id.High+1, id.Low+1), ""); !isNotFound(err) {
				t.Errorf("the trace that was not archived: %v, want 404", err)
			}
		})
	}
}

package metric

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

type stats struct{ Done, Open int }

var table = []Metric[stats]{
	Counter("x_done_total", "Done.", func(s *stats) float64 { return float64(s.Done) }),
	Gauge("x_open", "Open.", func(s *stats) float64 { return float64(s.Open) }),
}

func TestATableIsShown(t *testing.T) {
	one := Of(table, func() stats { return stats{1, 2} })
	if err := testutil.CollectAndCompare(one, strings.NewReader(`# HELP x_done_total Done.
# TYPE x_done_total counter
x_done_total 1
# HELP x_open Open.
# TYPE x_open gauge
x_open 2
`)); err != nil {
		t.Error(err)
	}
	each := ByTenant(table, func(fn func(string, *stats)) {
		fn("a", &stats{1, 2})
		fn("b", &stats{3, 4})
	})
	if err := testutil.CollectAndCompare(each, strings.NewReader(`# HELP x_done_total Done.
# TYPE x_done_total counter
x_done_total{tenant="a"} 1
x_done_total{tenant="b"} 3
# HELP x_open Open.
# TYPE x_open gauge
x_open{tenant="a"} 2
x_open{tenant="b"} 4
`)); err != nil {
		t.Error(err)
	}
}

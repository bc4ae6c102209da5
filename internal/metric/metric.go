// Package metric makes Prometheus metrics of structs of statistics: a table says what of a struct is shown under which name.
package metric

import "github.com/prometheus/client_golang/prometheus"

// Metric is a number in an S.
type Metric[S any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(*S) float64
}

// Counter is a number that only grows.
func Counter[S any](name, help string, value func(*S) float64) Metric[S] {
	return Metric[S]{name, help, prometheus.CounterValue, value}
}

// Gauge is a number that goes up and down.
func Gauge[S any](name, help string, value func(*S) float64) Metric[S] {
	return Metric[S]{name, help, prometheus.GaugeValue, value}
}

// Of shows metrics of what stats returns.
func Of[S any](metrics []Metric[S], stats func() S) prometheus.Collector {
	return newCollector(metrics, nil, func(fn func(string, *S)) {
		s := stats()
		fn("", &s)
	})
}

// ByTenant shows metrics of what each gives it: an S for each tenant.
func ByTenant[S any](metrics []Metric[S], each func(fn func(tenant string, s *S))) prometheus.Collector {
	return newCollector(metrics, []string{"tenant"}, each)
}

type collector[S any] struct {
	metrics []Metric[S]
	descs   []*prometheus.Desc
	labels  int
	each    func(fn func(tenant string, s *S))
}

func newCollector[S any](metrics []Metric[S], labels []string, each func(fn func(tenant string, s *S))) prometheus.Collector {
	c := &collector[S]{metrics: metrics, labels: len(labels), each: each}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(to chan<- prometheus.Metric) {
	c.each(func(tenant string, s *S) {
		for i, m := range c.metrics {
			to <- prometheus.MustNewConstMetric(c.descs[i], m.kind, m.value(s), []string{tenant}[:c.labels]...)
		}
	})
}

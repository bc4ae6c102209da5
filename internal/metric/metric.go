// Package metric makes Prometheus metrics of statistics that are kept a tenant: one table says what of a struct is shown under which name.
package metric

import "github.com/prometheus/client_golang/prometheus"

// Metric is a number in an S, shown for each tenant.
type Metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*S) float64
}

// Counter is a number that only grows.
func Counter[S any](name, help string, value func(*S) float64) Metric[S] {
	return Metric[S]{prometheus.NewDesc(name, help, []string{"tenant"}, nil), prometheus.CounterValue, value}
}

// Gauge is a number that goes up and down.
func Gauge[S any](name, help string, value func(*S) float64) Metric[S] {
	return Metric[S]{prometheus.NewDesc(name, help, []string{"tenant"}, nil), prometheus.GaugeValue, value}
}

// Collector shows metrics of what each gives it: an S for each tenant.
func Collector[S any](metrics []Metric[S], each func(fn func(tenant string, s *S))) prometheus.Collector {
	return collector[S]{metrics, each}
}

type collector[S any] struct {
	metrics []Metric[S]
	each    func(fn func(tenant string, s *S))
}

// Describe implements prometheus.Collector.
func (c collector[S]) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector[S]) Collect(to chan<- prometheus.Metric) {
	c.each(func(tenant string, s *S) {
		for _, m := range c.metrics {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), tenant)
		}
	})
}

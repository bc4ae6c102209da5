package cluster

import (
	"fmt"

	"github.com/jaeger-tempo/tempo/e2e/cluster/process"
)

// Jaeger is jaeger-collector and jaeger-query, each with a plugin process. The fields are addresses, host:port.
type Jaeger struct {
	API, QueryGRPC                                   string
	OTLPGRPC, OTLPHTTP, SpansGRPC, SpansHTTP, Zipkin string

	// Tenant is whose traces both have; the default tenant's if empty.
	Tenant string

	Collector, Query *process.Process
}

// StartJaeger starts both. Addresses that are empty are free ones.
func (c *Cluster) StartJaeger(j Jaeger) (*Jaeger, error) {
	var collectorAdmin, queryAdmin string
	for _, a := range []*string{&j.API, &j.QueryGRPC, &j.OTLPGRPC, &j.OTLPHTTP, &j.SpansGRPC, &j.SpansHTTP, &j.Zipkin, &collectorAdmin, &queryAdmin} {
		if *a == "" {
			address, err := process.FreePort("127.0.0.1")
			if err != nil {
				return nil, err
			}
			*a = address
		}
	}
	start := func(name, admin string, more ...string) (*process.Process, error) {
		keys := map[string]string{}
		id := name
		if j.Tenant != "" {
			keys["tenancy.default"] = j.Tenant
			id += "-of-" + j.Tenant
		}
		file, err := c.PluginConfig("plugin-of-"+id, 0, keys)
		if err != nil {
			return nil, err
		}
		p := &process.Process{
			Name: "jaeger-" + name, Log: c.log("jaeger-" + id), Ready: process.Answers("http://" + admin + "/"),
			Command: append([]string{c.program("jaeger-v1.57/" + name),
				"--grpc-storage-plugin.binary=" + c.program("tempo-plugin"),
				"--grpc-storage-plugin.configuration-file=" + file,
				"--grpc-storage-plugin.log-level=info",
				"--admin.http.host-port=" + admin}, more...),
			// Jaeger would else trace its own calls of the plugin.
			Env: append([]string{"SPAN_STORAGE_TYPE=grpc-plugin", "OTEL_TRACES_SAMPLER=always_off"}, c.env...),
		}
		c.jaeger = append(c.jaeger, p)
		return p, p.Start()
	}
	var err error
	j.Collector, err = start("collector", collectorAdmin,
		"--collector.otlp.grpc.host-port="+j.OTLPGRPC, "--collector.otlp.http.host-port="+j.OTLPHTTP,
		"--collector.grpc-server.host-port="+j.SpansGRPC, "--collector.http-server.host-port="+j.SpansHTTP,
		"--collector.zipkin.host-port="+j.Zipkin,
		"--collector.queue-size=20000", "--collector.grpc-server.max-message-size=33554432", "--collector.otlp.grpc.max-message-size=33554432")
	if err != nil {
		return nil, fmt.Errorf("starting jaeger-collector: %w", err)
	}
	j.Query, err = start("query", queryAdmin, "--query.http-server.host-port="+j.API, "--query.grpc-server.host-port="+j.QueryGRPC)
	if err != nil {
		return nil, fmt.Errorf("starting jaeger-query: %w", err)
	}
	return &j, nil
}

package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// conflicts returns what values that are good by themselves do wrong together, each under the key to change.
func (c *Config) conflicts() []Problem {
	var found []Problem
	conflict := func(is bool, key, format string, args ...any) {
		if is {
			found = append(found, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
		}
	}
	t := &c.Tenancy
	conflict(t.Default == "" && !t.Enabled, "tenancy.default", "is empty: without tenancy.enabled all calls are about it")
	conflict(t.Allowed != "" && !t.Enabled, "tenancy.allowed", "has no effect without tenancy.enabled: set that too")
	conflict(t.TokensFile != "" && !t.Enabled, "tenancy.tokens_file", "has no effect without tenancy.enabled: set that too")
	conflict(t.TokensFor != TokensForAll && t.TokensFile == "", "tenancy.tokens_for", "has no effect without tenancy.tokens_file: set that too")
	conflict(t.Enabled && t.Allowed != "" && t.Default != "" && t.Default != defaultTenant && !slices.Contains(t.Allowed.Elements(), t.Default),
		"tenancy.default", "%q is not in tenancy.allowed: add it there, or leave this empty so that each call must name its tenant", t.Default)
	conflict(t.Enabled && c.Remote.StreamingWriter, "remote.streaming_writer", "is true: Jaeger sends spans of different tenants over one stream, which is of one; without tenancy.enabled it may be")
	r := &c.Ring
	timeout, poll := formatDuration(r.HeartbeatTimeout), formatDuration(c.Reader.PollInterval)
	conflict(r.Store == RingEtcd && r.Endpoints == "", "ring.endpoints", "is empty: ring.store is etcd, name its servers")
	conflict(r.Store == RingConsul && len(r.Endpoints.Elements()) != 1, "ring.endpoints",
		"names %d servers: ring.store is consul, name its agent", len(r.Endpoints.Elements()))
	conflict(r.Store != RingNone && c.Storage.Blocks == "", "storage.blocks", "is empty: ring.store is %s, name the object store that all processes share", r.Store)
	conflict(r.HeartbeatTimeout < 2*r.Heartbeat, "ring.heartbeat_timeout", "%s is less than twice ring.heartbeat, which is %s", timeout, formatDuration(r.Heartbeat))
	conflict(r.ForgetAfter < 2*r.HeartbeatTimeout, "ring.forget_after", "%s is less than twice ring.heartbeat_timeout, which is %s", formatDuration(r.ForgetAfter), timeout)
	conflict(r.Store != RingNone && c.Instance.Address == "" && anyHost(c.Server.GRPCListenAddress), "instance.address",
		"is empty: server.grpc_listen_address is %s, which nobody can reach; say what others do", c.Server.GRPCListenAddress)
	conflict(anyHost(r.AdvertiseAddress), "ring.advertise_address", "%q has no host that others could reach", r.AdvertiseAddress)
	conflict(anyHost(c.Instance.Address), "instance.address", "%q has no host that others could reach", c.Instance.Address)
	conflict(c.Ingester.Keep < 3*c.Reader.PollInterval, "ingester.keep", "%s is less than three times reader.poll_interval, which is %s", formatDuration(c.Ingester.Keep), poll)
	conflict(c.Compactor.Grace != 0 && c.Compactor.Grace < 20*c.Reader.PollInterval, "compactor.grace",
		"%s is less than 20 times reader.poll_interval, which is %s", formatDuration(c.Compactor.Grace), poll)
	conflict(c.Limits.BurstBytes != 0 && c.Limits.RateBytes == 0, "limits.burst_bytes", "has no effect without limits.rate_bytes: set that too")
	m := &c.Remote
	conflict(m.TLSCert != "" && m.TLSKey == "", "remote.tls_key", "is empty: remote.tls_cert is set, name the key of that certificate")
	conflict(m.TLSKey != "" && m.TLSCert == "", "remote.tls_cert", "is empty: remote.tls_key is set, name the certificate of that key")
	conflict(m.TLSClientCA != "" && m.TLSCert == "" && m.TLSKey == "", "remote.tls_cert", "is empty: remote.tls_client_ca is set, and only with TLS clients show certificates")
	conflict(m.ArchiveListenAddress != "" && m.ListenAddress == RemoteOff, "remote.archive_listen_address", "has no effect while remote.listen_address is off")
	conflict(m.ArchiveListenAddress == m.ListenAddress && !strings.HasSuffix(m.ListenAddress, ":0"), "remote.archive_listen_address",
		"is remote.listen_address too: two servers need two addresses")
	return found
}

// anyHost reports whether an address stands for all hosts: a server can listen there, and nobody can go there.
func anyHost(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "" || ip != nil && ip.IsUnspecified())
}

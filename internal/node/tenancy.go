package node

import (
	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/plugin/tenancy"
)

// OpenTenancy returns what tells whose data a call of Jaeger's is about.
func OpenTenancy(c config.Tenancy, log *daemon.Log) (*tenancy.Tenants, error) {
	return tenancy.New(tenancy.Options{
		Enabled: c.Enabled, Header: c.Header, Default: c.Default, Allowed: c.Allowed.Elements(),
		TokensFile: c.TokensFile, ReadsOnly: c.TokensFor == config.TokensForReads, Logger: log.Logger,
	})
}

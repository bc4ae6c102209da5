package node

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/reload"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath/limits"
)

// TenantSettings are the limits and the retention of all tenants, as they are now. Its methods may be called concurrently.
type TenantSettings struct {
	all  config.Tenant
	own  atomic.Pointer[map[string]config.Tenant] // what limits.file says
	stop func()
}

// OpenTenantSettings reads limits.file, if there is one, and follows it until Close: a file that is wrong is an error at first, and later leaves the
// settings as they were.
func OpenTenantSettings(c config.Config, log *daemon.Log) (*TenantSettings, error) {
	s := &TenantSettings{all: config.Tenant{Limits: c.Limits, Retention: c.Retention}, stop: func() {}}
	if c.Limits.File == "" {
		return s, nil
	}
	file := reload.New(c.Limits.File, s.read)
	if _, err := file.Look(); err != nil {
		return nil, err
	}
	s.stop = file.Follow(reload.Every, func(err error) {
		if err != nil {
			log.Error("limits and retention of tenants stay as they were: the file can't be used", "error", err)
			return
		}
		log.Info("limits and retention of tenants were read again", "file", c.Limits.File)
	})
	return s, nil
}

func (s *TenantSettings) read(path string) error {
	own, err := config.LoadLimits(path, s.all, os.LookupEnv)
	if err != nil {
		return fmt.Errorf("limits.file: %w", err)
	}
	s.own.Store(&own)
	return nil
}

// Close ends following the file.
func (s *TenantSettings) Close() { s.stop() }

func (s *TenantSettings) of(tenant string) config.Tenant {
	if own := s.own.Load(); own != nil {
		if t, ok := (*own)[tenant]; ok {
			return t
		}
	}
	return s.all
}

// Limits returns those of a tenant. An archive has the rate that all have and no other limit, whatever is said of its tenant: what can be read can
// be archived.
func (s *TenantSettings) Limits(tenant string) limits.Limits {
	if tracedb.IsArchive(tenant) {
		return limits.Limits{RateBytes: s.all.Limits.RateBytes, BurstBytes: s.all.Limits.BurstBytes}
	}
	c := s.of(tenant).Limits
	return limits.Limits{
		RateBytes: c.RateBytes, BurstBytes: c.BurstBytes, TraceBytes: c.TraceBytes, TraceSpans: int(c.TraceSpans),
		AttributeBytes: int(c.AttributeBytes), LiveTraces: int(c.LiveTraces),
	}
}

// Retention says what is kept of a tenant: of an archive everything.
func (s *TenantSettings) Retention(tenant string) compact.RetainOptions {
	if tracedb.IsArchive(tenant) {
		return compact.RetainOptions{}
	}
	r := s.of(tenant).Retention
	return compact.RetainOptions{MaxAge: r.Age, MaxBytes: r.Bytes}
}

// tenantSettings returns those of this process.
func (n *Node) tenantSettings() (*TenantSettings, error) {
	if n.settings == nil {
		s, err := OpenTenantSettings(n.cfg, n.log)
		if err != nil {
			return nil, err
		}
		n.settings = s
		n.closeLast(func() error { s.Close(); return nil })
	}
	return n.settings, nil
}

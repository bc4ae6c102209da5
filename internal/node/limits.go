package node

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
)

// reloadEvery is how often it is looked whether limits.file has changed.
const reloadEvery = 5 * time.Second

// tenantLimits are the limits of all tenants, as they are now.
type tenantLimits struct {
	all     config.Limits
	seen    fileStamp // of the file when it was last read
	tenants atomic.Pointer[map[string]config.Limits]
}

func (l *tenantLimits) of(tenant string) ingester.Limits {
	c := l.all
	if tenants := l.tenants.Load(); tenants != nil {
		if own, ok := (*tenants)[tenant]; ok {
			c = own
		}
	}
	return ingester.Limits{
		RateBytes: c.RateBytes, BurstBytes: c.BurstBytes, TraceBytes: c.TraceBytes, TraceSpans: int(c.TraceSpans),
		AttributeBytes: int(c.AttributeBytes), LiveTraces: int(c.LiveTraces),
	}
}

// look reads the file if it has changed, and says whether it had. After an error the limits are what they were.
func (l *tenantLimits) look() (changed bool, err error) {
	now := stamp(l.all.File) // before it is read: a change meanwhile is seen later
	if now == l.seen {
		return false, nil
	}
	l.seen = now
	tenants, err := config.LoadLimits(l.all.File, l.all, os.LookupEnv)
	if err != nil {
		return true, fmt.Errorf("limits.file: %w", err)
	}
	l.tenants.Store(&tenants)
	return true, nil
}

// watchLimits returns what tells the limits of a tenant. It follows limits.file until Close; a file that is wrong is an error at first, and later leaves
// the limits as they were.
func (n *Node) watchLimits() (func(tenant string) ingester.Limits, error) {
	l := &tenantLimits{all: n.cfg.Limits, seen: fileStamp{size: -1}}
	if l.all.File == "" {
		return l.of, nil
	}
	if _, err := l.look(); err != nil {
		return nil, err
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(reloadEvery)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			switch changed, err := l.look(); {
			case err != nil:
				n.log.Error("the limits of tenants stay as they were: the file can't be used", "error", err)
			case changed:
				n.log.Info("limits of tenants were read again", "file", l.all.File)
			}
		}
	}()
	n.closeLast(func() error {
		close(stop)
		<-stopped
		return nil
	})
	return l.of, nil
}

// fileStamp is what changes when a file does.
type fileStamp struct {
	size     int64
	modified time.Time
}

func stamp(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

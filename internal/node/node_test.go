package node

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/writepath/ingester"
)

func TestWhereRingsLie(t *testing.T) {
	for _, c := range []struct {
		name   string
		ring   config.Ring
		serves bool
		want   ring.StoreConfig
	}{
		{"none: this process gossips with itself", config.Ring{ListenAddress: "auto", Join: "a:1"}, true, ring.StoreConfig{Kind: "memberlist", Listen: "127.0.0.1:0"}},
		{"a daemon has an address that is known", config.Ring{Store: "memberlist", ListenAddress: "auto", Join: "a:1,b:2"}, true,
			ring.StoreConfig{Kind: "memberlist", Listen: "127.0.0.1:7946", Join: []string{"a:1", "b:2"}}},
		{"who only watches takes a free port", config.Ring{Store: "memberlist", ListenAddress: "auto"}, false, ring.StoreConfig{Kind: "memberlist", Listen: "127.0.0.1:0"}},
		{"what is set holds", config.Ring{Store: "memberlist", ListenAddress: ":7", AdvertiseAddress: "h:7"}, false, ring.StoreConfig{Kind: "memberlist", Listen: ":7", Advertise: "h:7"}},
		{"etcd", config.Ring{Store: "etcd", ListenAddress: "auto", Endpoints: "e:1,f:1"}, true, ring.StoreConfig{Kind: "etcd", Listen: "127.0.0.1:7946", Endpoints: []string{"e:1", "f:1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{cfg: config.Config{Ring: c.ring}}
			if got := n.ringStore(c.serves); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestArchivesAreKept(t *testing.T) {
	keep := retention(config.Retention{Age: time.Hour, Bytes: 7})
	if got := keep("acme"); got != (compact.RetainOptions{MaxAge: time.Hour, MaxBytes: 7}) {
		t.Errorf("%+v", got)
	}
	if got := keep("acme~archive"); got != (compact.RetainOptions{}) {
		t.Errorf("an archive: %+v", got)
	}
}

func TestLimitsFollowTheirFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := &tenantLimits{all: config.Limits{RateBytes: 1, TraceSpans: 7, File: file}, seen: fileStamp{size: -1}}
	look := func(changed bool, wrong string) {
		t.Helper()
		got, err := l.look()
		if got != changed || (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("looked: %v, %v", got, err)
		}
	}
	look(true, "does not exist")
	write("acme: {rate_bytes: 2, live_traces: 3}")
	look(true, "")
	look(false, "")
	own, all := ingester.Limits{RateBytes: 2, TraceSpans: 7, LiveTraces: 3}, ingester.Limits{RateBytes: 1, TraceSpans: 7}
	if l.of("acme") != own || l.of("other") != all {
		t.Errorf("%+v, %+v", l.of("acme"), l.of("other"))
	}
	write("acme: {rate_bytes: much}")
	look(true, "limits.file: "+file+":1: acme.rate_bytes")
	look(false, "") // it was told once
	if l.of("acme") != own {
		t.Errorf("after a file that is wrong: %+v", l.of("acme"))
	}
	write("other: {rate_bytes: 5}")
	look(true, "")
	if l.of("acme") != all || l.of("other").RateBytes != 5 {
		t.Errorf("%+v, %+v", l.of("acme"), l.of("other"))
	}
}

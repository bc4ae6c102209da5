package node

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend/local"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tracedb"
	"github.com/jaeger-tempo/tempo/writepath"
	"github.com/jaeger-tempo/tempo/writepath/limits"
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

func settingsOf(t *testing.T, c config.Config) *TenantSettings {
	t.Helper()
	s, err := OpenTenantSettings(c, daemon.NewLog("error", io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestAnArchiveIsKeptAndKnowsNoLimitsOfItsTenant(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yaml")
	if err := os.WriteFile(file, []byte("acme: {rate_bytes: 1, trace_spans: 1, attribute_bytes: 1, retention_age: 1s, retention_bytes: 1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settingsOf(t, config.Config{
		Limits: config.Limits{RateBytes: 5, BurstBytes: 6, TraceBytes: 7, TraceSpans: 7, AttributeBytes: 7, LiveTraces: 7, File: file}, Retention: config.Retention{Age: time.Hour, Bytes: 7},
	})
	for tenant, want := range map[string]compact.RetainOptions{
		"acme": {MaxAge: time.Second, MaxBytes: 1}, "other": {MaxAge: time.Hour, MaxBytes: 7}, "acme~archive": {}, "other~archive": {},
	} {
		if got := s.Retention(tenant); got != want {
			t.Errorf("of %s is kept %+v", tenant, got)
		}
	}
	for _, tenant := range []string{"acme~archive", "other~archive"} {
		if got := s.Limits(tenant); got != (limits.Limits{RateBytes: 5, BurstBytes: 6}) {
			t.Errorf("%s: %+v", tenant, got)
		}
	}
	if got := s.Limits("acme"); got != (limits.Limits{RateBytes: 1, BurstBytes: 6, TraceBytes: 7, TraceSpans: 1, AttributeBytes: 1, LiveTraces: 7}) {
		t.Errorf("acme: %+v", got)
	}
}

func TestSettingsOfTenantsFollowTheirFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := config.Config{Limits: config.Limits{RateBytes: 1, TraceSpans: 7, File: file}, Retention: config.Retention{Age: time.Hour}}
	if _, err := OpenTenantSettings(c, daemon.NewLog("error", io.Discard)); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a file that is not there: %v", err)
	}
	write("acme: {rate_bytes: 2, live_traces: 3}")
	s := settingsOf(t, c)
	own, all := limits.Limits{RateBytes: 2, TraceSpans: 7, LiveTraces: 3}, limits.Limits{RateBytes: 1, TraceSpans: 7}
	if s.Limits("acme") != own || s.Limits("other") != all || s.Retention("acme").MaxAge != time.Hour {
		t.Errorf("%+v, %+v, %+v", s.Limits("acme"), s.Limits("other"), s.Retention("acme"))
	}
	write("acme: {rate_bytes: much}")
	if err := s.read(file); err == nil || !strings.Contains(err.Error(), "limits.file: "+file+":1: acme.rate_bytes") {
		t.Errorf("a file that is wrong: %v", err)
	}
	if s.Limits("acme") != own {
		t.Errorf("after it: %+v", s.Limits("acme"))
	}
	write("other: {rate_bytes: 5, retention_age: 2h}")
	if err := s.read(file); err != nil {
		t.Fatal(err)
	}
	if s.Limits("acme") != all || s.Limits("other").RateBytes != 5 || s.Retention("other").MaxAge != 2*time.Hour || s.Retention("acme").MaxAge != time.Hour {
		t.Errorf("%+v, %+v", s.Limits("acme"), s.Limits("other"))
	}
}

// A store of two tenants with archives, of which all blocks are of the day before yesterday.
func TestRetentionIsByTenantAndLeavesArchivesAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	s := settingsOf(t, config.Config{Limits: config.Limits{File: file}})
	bucket, err := local.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	db, err := tracedb.Open(t.Context(), tracedb.Options{Dir: t.TempDir(), Bucket: bucket, CutAge: time.Hour, NoCompaction: true, Retention: s.Retention})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	writer := writepath.NewWriter(db)
	old := uint64(time.Now().Add(-48 * time.Hour).UnixNano())
	for _, tenant := range []string{"acme", "globex", "acme~archive", "globex~archive"} {
		data, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
			TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8), Name: "old", StartTimeUnixNano: old, EndTimeUnixNano: old,
		}}}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(t.Context(), tenant, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := func(want ...string) {
		t.Helper()
		var got []string
		db.Each(func(tenant string, db *tempodb.DB) {
			if err := db.Retain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if blocks := db.Stats().Blocks; blocks > 0 {
				got = append(got, tenant)
			}
		})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v have blocks, want %v", got, want)
		}
	}
	left("acme", "acme~archive", "globex", "globex~archive")
	write("acme: {retention_age: 72h}\nglobex: {retention_age: 1h}")
	if err := s.read(file); err != nil {
		t.Fatal(err)
	}
	left("acme", "acme~archive", "globex~archive")
	write("acme: {retention_bytes: 1}\nglobex: {retention_bytes: 1}")
	if err := s.read(file); err != nil {
		t.Fatal(err)
	}
	left("acme~archive", "globex~archive")
	s.all.Retention = config.Retention{Age: time.Nanosecond, Bytes: 1}
	s.all.Limits = config.Limits{RateBytes: 1}
	left("acme~archive", "globex~archive")
}

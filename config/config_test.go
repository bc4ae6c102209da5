package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

func env(pairs ...string) LookupEnv {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestDefaultPathFollowsXDG(t *testing.T) {
	for _, c := range []struct{ dir, want string }{
		{"", "./tempo-data"},
		{"relative", "./tempo-data"},
		{"/home/a/.local/share", "/home/a/.local/share/tempo"},
	} {
		if got := Default(env("XDG_DATA_HOME", c.dir)).Storage.Path; got != c.want {
			t.Errorf("XDG_DATA_HOME=%q: path %q, want %q", c.dir, got, c.want)
		}
	}
	if got := Default(env()).Storage.Path; got != "./tempo-data" {
		t.Errorf("XDG_DATA_HOME unset: path %q", got)
	}
}

func TestEveryDefaultIsValid(t *testing.T) {
	c := Default(env())
	for _, k := range Keys() {
		v := k.field(&c)
		if err := v.set(v.String()); err != nil {
			t.Errorf("%s: its default: %s", k.Name, err)
		}
	}
	if c != Default(env()) {
		t.Errorf("setting each default changed the configuration to %+v", c)
	}
}

func TestEveryFieldHasAKey(t *testing.T) {
	count := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		count += f.Type.NumField()
	}
	if count != len(keys) {
		t.Errorf("Config has %d fields, the table %d keys", count, len(keys))
	}
}

func TestParse(t *testing.T) {
	type mutate = func(*Config)
	for _, c := range []struct {
		name, yaml string
		want       mutate
	}{
		{"empty file", "", func(*Config) {}},
		{"comments only", "# nothing\n", func(*Config) {}},
		{"empty document", "---\n", func(*Config) {}},
		{"section without keys", "storage:\n", func(*Config) {}},
		{"key without value", "storage:\n  path:\n", func(*Config) {}},
		{"remote storage", "remote: {listen_address: ':1', tls_cert: c, tls_key: k, tls_client_ca: a, max_message_bytes: 1MiB, span_kind: unspecified, streaming_writer: true}", func(c *Config) {
			c.Remote = Remote{ListenAddress: ":1", TLSCert: "c", TLSKey: "k", TLSClientCA: "a", MaxMessageBytes: 1 << 20, SpanKind: SpanKindUnspecified, StreamingWriter: true}
		}},
		{"path", "storage:\n  path: /data\n", func(c *Config) { c.Storage.Path = "/data" }},
		{"path that looks like a number", "storage: {path: 17}", func(c *Config) { c.Storage.Path = "17" }},
		{"quoted null is a directory", "storage: {path: 'null'}", func(c *Config) { c.Storage.Path = "null" }},
		{"duration", "cut: {age: 1h30m}", func(c *Config) { c.Cut.Age = 90 * time.Minute }},
		{"size of two", "cut: {bytes: 2GiB}", func(c *Config) { c.Cut.Bytes = 2 << 30 }},
		{"size of ten, with a space", "cut: {bytes: 5 MB}", func(c *Config) { c.Cut.Bytes = 5e6 }},
		{"size without a unit", "cut: {bytes: 2000000}", func(c *Config) { c.Cut.Bytes = 2e6 }},
		{"sync", "wal: {sync: never}", func(c *Config) { c.WAL.Sync = SyncNever }},
		{"off is text, not false", "admin: {listen_address: off}", func(c *Config) { c.Admin.ListenAddress = AdminOff }},
		{"IPv6 address", `admin: {listen_address: "[::1]:80"}`, func(c *Config) { c.Admin.ListenAddress = "[::1]:80" }},
		{"all interfaces", `admin: {listen_address: ":80"}`, func(c *Config) { c.Admin.ListenAddress = ":80" }},
		{"variable", "storage: {path: '${DIR}/x'}", func(c *Config) { c.Storage.Path = "/v/x" }},
		{"variable with unused default", "storage: {path: '${DIR:-y}'}", func(c *Config) { c.Storage.Path = "/v" }},
		{"default of an unset variable", "storage: {path: '${NONE:-y}/z'}", func(c *Config) { c.Storage.Path = "y/z" }},
		{"default of an empty variable", "storage: {path: '${EMPTY:-y}'}", func(c *Config) { c.Storage.Path = "y" }},
		{"dollar sign", "storage: {path: 'a$$b'}", func(c *Config) { c.Storage.Path = "a$b" }},
		{"dollar sign before a brace", "storage: {path: '$${DIR}'}", func(c *Config) { c.Storage.Path = "${DIR}" }},
		{"a variable is not expanded again", "storage: {path: '${TRICK}'}", func(c *Config) { c.Storage.Path = "${DIR}" }},
		{"a variable adds no key", "storage: {path: '${INJECT}'}", func(c *Config) { c.Storage.Path = "x, other: 1" }},
		{"list", "ring: {join: ' a:1, b:2,,'}", func(c *Config) { c.Ring.Join = "a:1,b:2" }},
		{"empty list", "ring: {join: ''}", func(*Config) {}},
		{"number", "limits: {trace_spans: 100}", func(c *Config) { c.Limits.TraceSpans = 100 }},
		{"truth", "ring: {zones: true}", func(c *Config) { c.Ring.Zones = true }},
		{"a cluster", "storage: {blocks: 'gs://b/p'}\nring: {store: memberlist, replication: 1, listen_address: '127.0.0.1:0'}\n", func(c *Config) {
			c.Storage.Blocks = "gs://b/p"
			c.Ring.Store, c.Ring.Replication, c.Ring.ListenAddress = RingMemberlist, 1, "127.0.0.1:0"
		}},
		{"a server on all interfaces, and where it is reached", "storage: {blocks: b}\nring: {store: memberlist}\nserver: {grpc_listen_address: ':1'}\ninstance: {address: 'h:1'}\n", func(c *Config) {
			c.Storage.Blocks, c.Ring.Store, c.Server.GRPCListenAddress, c.Instance.Address = "b", RingMemberlist, ":1", "h:1"
		}},
		{"tenancy", "tenancy: {enabled: true, header: X-Scope, allowed: 'a, b,a', default: b, tokens_file: /t, tokens_for: reads}", func(c *Config) {
			c.Tenancy = Tenancy{Enabled: true, Header: "x-scope", Allowed: "a,b", Default: "b", TokensFile: "/t", TokensFor: TokensForReads}
		}},
		{"tenancy in which each call names a tenant", "tenancy: {enabled: true, default: ''}", func(c *Config) { c.Tenancy.Enabled, c.Tenancy.Default = true, "" }},
		{"alias", "storage: {path: &p /data}\ntenancy: {default: acme}\n", func(c *Config) {
			c.Storage.Path, c.Tenancy.Default = "/data", "acme"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := env("DIR", "/v", "EMPTY", "", "TRICK", "${DIR}", "INJECT", "x, other: 1")
			got, err := Parse("f.yaml", []byte(c.yaml), e)
			if err != nil {
				t.Fatal(err)
			}
			want := Default(e)
			c.want(&want)
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "storage:\n  paht: /x\n", "f.yaml:2: storage.paht: unknown key; did you mean storage.path?"},
		{"unknown section", "storge:\n  path: /x\n", "f.yaml:1: storge: unknown key; did you mean storage?"},
		{"key outside its section", "path: /x\n", "f.yaml:1: path: unknown key; did you mean storage.path?"},
		{"key in the wrong section", "wal: {bytes: x}", "f.yaml:1: wal.bytes: unknown key; did you mean cut.bytes?"},
		{"dotted key", "storage.path: /x\n", "f.yaml:1: storage.path: unknown key; did you mean storage.path?"},
		{"nothing near", "elasticsearch:\n  hosts: 1\n", "f.yaml:1: elasticsearch: unknown key; known here: storage, wal, cut, retention, tenancy, ring, instance, server, ingester, writer, reader, cache, compactor, limits, remote, admin, logging"},
		{"merge key", "storage:\n  <<: {path: x}\n", "f.yaml:2: storage.<<: unknown key; known here: path, blocks"},
		{"twice", "wal: {sync: never}\nlogging: {level: warn}\nwal: {sync: always}\n", "f.yaml:3: wal: is set twice, first in line 1"},
		{"value for a section", "storage: /x\n", `f.yaml:1: storage: is the value "/x": it is a section, with keys below it`},
		{"list for a value", "storage:\n  path: [a, b]\n", "f.yaml:2: storage.path: is a list: it takes one value (directory)"},
		{"list of sections", "- storage\n", "f.yaml:1: is a list: expected sections with keys, such as storage:"},
		{"not YAML", "storage: [\n", "f.yaml:1: is not YAML: did not find expected node content"},
		{"tab", "storage:\n\tpath: x\n", "f.yaml:2: is not YAML: a tab: YAML is indented with spaces"},
		{"binary rubbish", "\x00\x01", "f.yaml: is not YAML: control characters are not allowed"},
		{"two documents", "wal: {sync: never}\n---\nwal: {sync: always}\n", "f.yaml:2: a second YAML document begins here: only one is read"},
		{"binary", "storage: {path: !!binary aGk=}", "f.yaml:1: storage.path: has the tag !!binary: write the value without a tag"},
		{"empty path", "storage: {path: ''}", "f.yaml:1: storage.path: is empty: name a directory"},
		{"home", "storage: {path: ~/data}", `f.yaml:1: storage.path: "~/data": ~ is not replaced here, write ${HOME}/data`},
		{"control character", `storage: {path: "a\x00b"}`, `f.yaml:1: storage.path: "a\x00b" is not plain text: it holds control characters or invalid UTF-8`},
		{"sync", "wal: {sync: sometimes}", `f.yaml:1: wal.sync: "sometimes" is not one of always, interval, never`},
		{"duration without unit", "cut: {age: 90}", `f.yaml:1: cut.age: "90" has no unit: write 90s for seconds, 90m for minutes`},
		{"no duration", "cut: {age: soon}", `f.yaml:1: cut.age: "soon" is not a duration: write it like 100ms, 90s or 1h30m`},
		{"duration out of range", "wal: {sync_interval: 0s}", "f.yaml:1: wal.sync_interval: 0s is out of range: 1ms to 1m"},
		{"no size", "cut: {bytes: big}", `f.yaml:1: cut.bytes: "big" is not a size: write it like 64MiB or 2GB`},
		{"negative size", "cut: {bytes: -1MiB}", `f.yaml:1: cut.bytes: "-1MiB" is not a size: write it like 64MiB or 2GB`},
		{"size with a wrong unit", "cut: {bytes: 64M}", `f.yaml:1: cut.bytes: "64M" has an unknown unit "M": take B, KiB, MiB, GiB, TiB, KB, MB, GB or TB`},
		{"size out of range", "cut: {bytes: 10}", "f.yaml:1: cut.bytes: 10 is out of range: 1MiB to 16GiB"},
		{"size that overflows", "cut: {bytes: 9000000000TiB}", `f.yaml:1: cut.bytes: "9000000000TiB" is more than 8 EiB`},
		{"tenant with a slash", "tenancy: {default: a/b}", `f.yaml:1: tenancy.default: "a/b" has the character '/': letters, digits and - _ . can be used`},
		{"tenant too long for an archive", "tenancy: {default: " + strings.Repeat("a", 143) + "}", "f.yaml:1: tenancy.default: is 143 bytes long: at most 142"},
		{"tenant where bad blocks go", "tenancy: {default: quarantine}", `f.yaml:1: tenancy.default: "quarantine" is no tenant: it is the folder of bad blocks`},
		{"no tenant", "tenancy: {default: ''}", "f.yaml:1: tenancy.default: is empty: without tenancy.enabled all calls are about it"},
		{"tenants without tenancy", "tenancy: {allowed: 'a,b'}", "f.yaml:1: tenancy.allowed: has no effect without tenancy.enabled: set that too"},
		{"an archive among tenants", "tenancy: {enabled: true, allowed: 'a,a~archive'}", `f.yaml:1: tenancy.allowed: "a~archive" has the character '~': letters, digits and - _ . can be used`},
		{"default that is not allowed", "tenancy: {enabled: true, allowed: 'a,b', default: c}", `f.yaml:1: tenancy.default: "c" is not in tenancy.allowed: add it there, or leave this empty so that each call must name its tenant`},
		{"tokens without tenancy", "tenancy: {tokens_file: f}", "f.yaml:1: tenancy.tokens_file: has no effect without tenancy.enabled: set that too"},
		{"streams of different tenants", "remote: {streaming_writer: true}\ntenancy: {enabled: true}", "f.yaml:1: remote.streaming_writer: is true: Jaeger sends spans of different tenants over one stream, which is of one; without tenancy.enabled it may be"},
		{"reads without tokens", "tenancy: {enabled: true, tokens_for: reads}", "f.yaml:1: tenancy.tokens_for: has no effect without tenancy.tokens_file: set that too"},
		{"header with a space", "tenancy: {header: 'x tenant'}", `f.yaml:1: tenancy.header: "x tenant" is no name of a header: letters, digits and - _ . can be used`},
		{"header of the token", "tenancy: {header: Authorization}", `f.yaml:1: tenancy.header: "authorization" means something else to gRPC or to Jaeger: take another, such as x-tenant`},
		{"tenant that climbs", "tenancy: {default: ..}", `f.yaml:1: tenancy.default: ".." begins with a dot`},
		{"address without port", "admin: {listen_address: localhost}", `f.yaml:1: admin.listen_address: "localhost" is not host:port, auto or off: for example 127.0.0.1:17270`},
		{"port out of range", `admin: {listen_address: "h:70000"}`, `f.yaml:1: admin.listen_address: "h:70000": the port must be a number from 0 to 65535 (0 = any free one)`},
		{"level", "logging: {level: trace}", `f.yaml:1: logging.level: "trace" is not one of debug, info, warn, error`},
		{"undefined variable", "\nstorage: {path: '${NOPE}/x'}", "f.yaml:2: storage.path: environment variable NOPE is not set: set it, or write ${NOPE:-default}"},
		{"bare variable", "storage: {path: $HOME/x}", "f.yaml:1: storage.path: $HOME: write ${HOME} for the variable, $$ for a dollar sign"},
		{"lone dollar", "storage: {path: a$}", "f.yaml:1: storage.path: a single $: write $$ for a dollar sign"},
		{"unclosed variable", "storage: {path: '${HOME'}", `f.yaml:1: storage.path: "${HOME" has no closing brace`},
		{"variable with a bad name", "storage: {path: '${A-B}'}", `f.yaml:1: storage.path: ${A-B}: "A-B" is not the name of an environment variable`},
		{"store of rings", "ring: {store: zookeeper}", `f.yaml:1: ring.store: "zookeeper" is not one of memberlist, etcd, consul`},
		{"replication", "ring: {replication: 2}", `f.yaml:1: ring.replication: "2" is not one of 1, 3`},
		{"truth", "ring: {zones: yes}", `f.yaml:1: ring.zones: "yes" is not one of true, false`},
		{"list with an address without port", "ring: {join: 'a:1,b'}", `f.yaml:1: ring.join: "b" is not host:port: for example 10.0.0.7:7946`},
		{"list with port 0", "ring: {join: 'a:0'}", `f.yaml:1: ring.join: "a:0": nobody can be reached at port 0`},
		{"number", "limits: {trace_spans: 1k}", `f.yaml:1: limits.trace_spans: "1k" is not a whole number`},
		{"number out of range", "compactor: {merges: 0}", "f.yaml:1: compactor.merges: 0 is out of range: 1 to 256"},
		{"object store", "storage: {blocks: 'http://x/y'}", `f.yaml:1: storage.blocks: "http://x/y": http is none of file, gs, s3 and azblob`},
		{"object store with credentials", "storage: {blocks: 's3://k:s@b/p'}", `f.yaml:1: storage.blocks: "s3://k:s@b/p" should be s3://BUCKET/PREFIX; endpoints and credentials are taken from the environment`},
		{"object store at home", "storage: {blocks: ~/b}", `f.yaml:1: storage.blocks: "~/b": ~ is not replaced here, write ${HOME}/b`},
		{"compression", "writer: {compression: snappy}", `f.yaml:1: writer.compression: "snappy" is not one of none, gzip, zstd`},
		{"etcd without servers", "storage: {blocks: b}\nring:\n  store: etcd\n", "f.yaml: ring.endpoints: is empty: ring.store is etcd, name its servers"},
		{"consul with two servers", "storage: {blocks: b}\nring:\n  store: consul\n  endpoints: a:1,b:1\n", "f.yaml:4: ring.endpoints: names 2 servers: ring.store is consul, name its agent"},
		{"cluster without an object store", "ring: {store: memberlist}", "f.yaml: storage.blocks: is empty: ring.store is memberlist, name the object store that all processes share"},
		{"timeout and heartbeat", "ring: {heartbeat: 15s}", "f.yaml: ring.heartbeat_timeout: 20s is less than twice ring.heartbeat, which is 15s"},
		{"forgotten too early", "ring:\n  forget_after: 30s\n", "f.yaml:2: ring.forget_after: 30s is less than twice ring.heartbeat_timeout, which is 20s"},
		{"nobody reaches all interfaces", "storage: {blocks: b}\nring: {store: memberlist}\nserver: {grpc_listen_address: '0.0.0.0:1'}\n",
			"f.yaml: instance.address: is empty: server.grpc_listen_address is 0.0.0.0:1, which nobody can reach; say what others do"},
		{"nobody reaches an address without host", "instance: {address: ':1'}", `f.yaml:1: instance.address: ":1" has no host that others could reach`},
		{"a certificate without a key", "remote: {tls_cert: c}", "f.yaml: remote.tls_key: is empty: remote.tls_cert is set, name the key of that certificate"},
		{"a key without a certificate", "remote: {tls_key: k, tls_client_ca: a}", "f.yaml: remote.tls_cert: is empty: remote.tls_key is set, name the certificate of that key"},
		{"mTLS without TLS", "remote: {tls_client_ca: a}", "f.yaml: remote.tls_cert: is empty: remote.tls_client_ca is set, and only with TLS clients show certificates"},
		{"an archive of nothing", "remote: {listen_address: off, archive_listen_address: ':1'}", "f.yaml:1: remote.archive_listen_address: has no effect while remote.listen_address is off"},
		{"the archive at the same address", "remote: {archive_listen_address: '127.0.0.1:17271'}", "f.yaml:1: remote.archive_listen_address: is remote.listen_address too: two servers need two addresses"},
		{"kept too short", "ingester: {keep: 1m}", "f.yaml:1: ingester.keep: 1m is less than three times reader.poll_interval, which is 30s"},
		{"grace too short", "compactor: {grace: 1m}", "f.yaml:1: compactor.grace: 1m is less than 20 times reader.poll_interval, which is 30s"},
		{"burst without rate", "limits: {burst_bytes: 1MiB}", "f.yaml:1: limits.burst_bytes: has no effect without limits.rate_bytes: set that too"},
		{"all at once, in order", "cut:\n  age: soon\n  size: 1\nwal: {sync: no}\n", `f.yaml:2: cut.age: "soon" is not a duration: write it like 100ms, 90s or 1h30m
f.yaml:3: cut.size: unknown key; known here: bytes, age
f.yaml:4: wal.sync: "no" is not one of always, interval, never`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(c.yaml), env())
			if err == nil {
				t.Fatal("parsed without an error")
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	all := Tenant{Limits{RateBytes: 1 << 20, TraceSpans: 7, File: "f.yaml"}, Retention{Age: time.Hour, Bytes: 9}}
	got, err := ParseLimits("f.yaml", []byte("acme: {rate_bytes: '${RATE}', live_traces: 5}\nother:\nthird: {trace_spans: 0, retention_age: 48h, retention_bytes: 0}\n"), all, env("RATE", "2MiB"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Tenant{
		"acme":  {Limits{RateBytes: 2 << 20, TraceSpans: 7, LiveTraces: 5}, all.Retention},
		"other": {Limits{RateBytes: 1 << 20, TraceSpans: 7}, all.Retention},
		"third": {Limits{RateBytes: 1 << 20}, Retention{Age: 48 * time.Hour}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for text, want := range map[string]string{
		"acme: {rate: 1}":                "f.yaml:1: acme.rate: unknown key; known here: rate_bytes, burst_bytes, trace_bytes, trace_spans, attribute_bytes, live_traces, retention_age, retention_bytes",
		"acme:\n  file: x\n":             "f.yaml:2: acme.file: unknown key; known here: rate_bytes, burst_bytes, trace_bytes, trace_spans, attribute_bytes, live_traces, retention_age, retention_bytes",
		"acme: {trace_spans: many}":      `f.yaml:1: acme.trace_spans: "many" is not a whole number`,
		"acme: {retention_file: x}":      "f.yaml:1: acme.retention_file: unknown key; known here: rate_bytes, burst_bytes, trace_bytes, trace_spans, attribute_bytes, live_traces, retention_age, retention_bytes",
		"acme: {retention_age: 1}":       `f.yaml:1: acme.retention_age: "1" has no unit: write 1s for seconds, 1m for minutes`,
		"acme~archive: {}":               `f.yaml:1: acme~archive: "acme~archive" has the character '~': letters, digits and - _ . can be used`,
		"'': {}":                         "f.yaml:1: is empty: name a tenant",
		"acme: 7":                        `f.yaml:1: acme: is the value "7": it is a tenant, with limits below it`,
		"a/b: {trace_spans: 1}":          `f.yaml:1: a/b: "a/b" has the character '/': letters, digits and - _ . can be used`,
		"- acme":                         "f.yaml:1: is a list: expected a section for each tenant, with its limits",
		"acme: {}\nacme: {}\n":           "f.yaml:2: acme: is set twice, first in line 1",
		"acme: {trace_spans: '${NONE}'}": "f.yaml:1: acme.trace_spans: environment variable NONE is not set: set it, or write ${NONE:-default}",
		"acme: {trace_spans: [1, 2]}\n":  "f.yaml:1: acme.trace_spans: is a list: it takes one value (number, 0 to 1000000000; 0 is without limit)",
	} {
		if _, err := ParseLimits("f.yaml", []byte(text), all, env()); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestLoadNamesTheFileItCannotRead(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, want string }{
		{filepath.Join(dir, "none.yaml"), "does not exist: check the path"},
		{dir, "is a directory"},
		{large, "larger than 1 MiB"},
	} {
		_, err := Load(c.file, env())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s: got error %v, want it to name the file and say %q", c.file, err, c.want)
		}
	}
}

// draw makes a valid configuration with values that are hard to print.
func draw(t *rapid.T) Config {
	c := drawAll(t)
	if c.Remote.StreamingWriter {
		c.Tenancy.Enabled, c.Tenancy.TokensFile, c.Tenancy.TokensFor = false, "", TokensForAll
	}
	return c
}

func drawAll(t *rapid.T) Config {
	return Config{
		Storage: Storage{Path: rapid.StringMatching(`[ -~¡-ÿ  ]*[a-z#:\-"'$]`).Filter(func(s string) bool {
			return !strings.HasPrefix(s, "~")
		}).Draw(t, "path"), Blocks: rapid.SampledFrom([]string{"gs://b/p", "./blocks", "s3://b"}).Draw(t, "blocks")},
		WAL: WAL{
			Sync:         rapid.SampledFrom([]Sync{SyncAlways, SyncInterval, SyncNever}).Draw(t, "sync"),
			SyncInterval: time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Minute)).Draw(t, "interval")),
		},
		Cut: Cut{
			Bytes: rapid.Int64Range(1<<20, 16<<30).Draw(t, "bytes"),
			Age:   time.Duration(rapid.Int64Range(int64(time.Second), int64(time.Hour*168)).Draw(t, "age")),
		},
		Tenancy: Tenancy{
			Enabled: true, Default: rapid.StringMatching(`[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}`).Draw(t, "tenant"),
			Header:     rapid.StringMatching(`[a-z][a-z0-9._-]{0,20}[a-z]`).Filter(func(s string) bool { return (header{&s}).set(s) == nil }).Draw(t, "header"),
			TokensFile: "/tokens", TokensFor: rapid.SampledFrom([]TokensFor{TokensForAll, TokensForReads}).Draw(t, "tokens"),
		},
		Ring: Ring{
			Store:         rapid.SampledFrom([]RingStore{RingNone, RingMemberlist, RingEtcd, RingConsul}).Draw(t, "store"),
			ListenAddress: rapid.SampledFrom([]string{"auto", ":0", "h:7"}).Draw(t, "gossip"),
			Join:          rapid.SampledFrom([]List{"", "a:1", "a:1,[::1]:2"}).Draw(t, "join"),
			Endpoints:     "h:1",
			Replication:   rapid.SampledFrom([]int{1, 3}).Draw(t, "replication"),
			Zones:         rapid.Bool().Draw(t, "zones"),
			Heartbeat:     time.Second, HeartbeatTimeout: 2 * time.Second, Settle: time.Second, ForgetAfter: time.Minute,
		},
		Instance:  Instance{ID: rapid.StringMatching(`[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}`).Draw(t, "instance"), Address: "h:1"},
		Server:    Server{GRPCListenAddress: rapid.SampledFrom([]string{"127.0.0.1:0", ":17"}).Draw(t, "server")},
		Ingester:  Ingester{Keep: time.Minute},
		Writer:    Writer{Compression: rapid.SampledFrom([]Compression{CompressionNone, CompressionGzip, CompressionZstd}).Draw(t, "compression")},
		Reader:    Reader{PollInterval: time.Second, Partial: rapid.SampledFrom([]Partial{PartialError, PartialMark}).Draw(t, "partial"), Queriers: "q:1"},
		Cache:     Cache{MemoryBytes: 1 << 20, DiskPath: rapid.SampledFrom([]string{"", "/cache"}).Draw(t, "cache"), DiskBytes: 1 << 30},
		Compactor: Compactor{Grace: time.Duration(rapid.Int64Range(int64(time.Minute), int64(time.Hour)).Draw(t, "grace")), Merges: rapid.IntRange(1, 256).Draw(t, "merges")},
		Limits:    Limits{RateBytes: 1, BurstBytes: rapid.Int64Range(0, 1<<40).Draw(t, "burst"), TraceSpans: rapid.Int64Range(0, 1e9).Draw(t, "spans")},
		Remote: Remote{
			ListenAddress: rapid.SampledFrom([]string{"127.0.0.1:0", ":17271"}).Draw(t, "remote"), ArchiveListenAddress: rapid.SampledFrom([]string{"", ":1"}).Draw(t, "archive"),
			TLSCert: "cert.pem", TLSKey: "key.pem", TLSClientCA: rapid.SampledFrom([]string{"", "ca.pem"}).Draw(t, "ca"), MaxMessageBytes: rapid.Int64Range(64<<10, 1<<30).Draw(t, "message"),
			SpanKind: rapid.SampledFrom([]SpanKind{SpanKindEmpty, SpanKindUnspecified}).Draw(t, "kind"),
		},
		Admin:   Admin{ListenAddress: rapid.SampledFrom([]string{"auto", "off", ":1", "[::]:80"}).Draw(t, "address")},
		Logging: Logging{Level: rapid.SampledFrom([]string{"debug", "info", "warn", "error"}).Draw(t, "level")},
	}
}

func TestPrintedConfigurationParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		var b strings.Builder
		if err := Print(&b, c); err != nil {
			t.Fatal(err)
		}
		got, err := Parse("printed", []byte(b.String()), env())
		if err != nil {
			t.Fatalf("%s\n%s", err, b.String())
		}
		if got != c {
			t.Fatalf("got  %+v\nwant %+v\n%s", got, c, b.String())
		}
	})
}

func TestAKeyIsSetWhateverTheFileSays(t *testing.T) {
	c := Default(env())
	if err := c.Set("remote.listen_address", "127.0.0.1:7"); err != nil || c.Remote.ListenAddress != "127.0.0.1:7" {
		t.Errorf("%v, %+v", err, c.Remote)
	}
	before := c
	for _, bad := range []struct{ key, text, want string }{
		{"remote.listen_address", "here", `"here" is not host:port`},
		{"remote.tls_cert", "c", "remote.tls_key: is empty"},
		{"ingester.keep", "1m", "1m is less than three times reader.poll_interval"},
		{"remote.adress", "x", "remote.adress is no key"},
	} {
		if err := c.Set(bad.key, bad.text); err == nil || !strings.HasPrefix(err.Error(), bad.want) {
			t.Errorf("%s: got %v, want %s", bad.key, err, bad.want)
		}
	}
	if c != before {
		t.Errorf("what could not be set changed it to %+v", c)
	}
}

func TestDocumentation(t *testing.T) {
	const page = "../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Errorf("%s is not what config/keys.go says: go test ./config -run TestDocumentation -update", page)
	}
}

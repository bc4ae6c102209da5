package config

import (
	"slices"
	"strings"
	"time"
)

// Key describes one key of the configuration.
type Key struct {
	// Name is the dotted name: "storage.path" is the key path in the section storage.
	Name string
	// Type says in a few words what a value looks like.
	Type string
	// Default is the value that holds where the key is not set, in words where it depends on something.
	Default string
	// Doc says what the key does, in Markdown; its first sentence can stand alone.
	Doc string

	field func(*Config) value
}

// Summary is the first sentence of Doc.
func (k Key) Summary() string {
	if i := strings.Index(k.Doc, ". "); i >= 0 {
		return k.Doc[:i+1]
	}
	return k.Doc
}

// Keys returns all keys in the order in which they are documented and printed; those of a section
// stand together.
func Keys() []Key { return slices.Clone(keys) }

var keys = []Key{
	{
		Name:    "storage.path",
		Type:    "directory",
		Default: "`$XDG_DATA_HOME/tempo`, or `./tempo-data` where `XDG_DATA_HOME` is unset",
		Doc: "The directory of this process: log, blocks, and a lock. " +
			"It is made if it does not exist; a relative path starts at the working directory of the process, which is Jaeger's. " +
			"One process at a time can use a directory: a second one refuses to start.",
		field: func(c *Config) value { return directory{&c.Storage.Path} },
	},
	{
		Name:    "storage.blocks",
		Type:    "`gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX`, `azblob://CONTAINER/PREFIX` or a directory",
		Default: "empty: the folder `blocks` of `storage.path`",
		Doc: "The object store that blocks are kept in, the same for all processes of a cluster. " +
			"Endpoints and credentials are taken from the environment: `GOOGLE_APPLICATION_CREDENTIALS` and `STORAGE_EMULATOR_HOST`; " +
			"`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and `AWS_ENDPOINT_URL` (with `http://`: without TLS); " +
			"`AZURE_STORAGE_ACCOUNT` and `AZURE_STORAGE_KEY`, or `AZURE_STORAGE_CONNECTION_STRING`.",
		field: func(c *Config) value { return store{&c.Storage.Blocks} },
	},
	{
		Name: "wal.sync",
		Type: "`always`, `interval` or `never`",
		Doc: "When a write is forced to disk. " +
			"`always`: before it is acknowledged; writes that arrive together share an fsync, and nothing acknowledged is lost in a power cut. " +
			"`interval`: every `wal.sync_interval`; a power cut loses what was written since, the death of the process nothing. " +
			"`never`: when the operating system likes; a power cut loses about the last 30 seconds.",
		field: func(c *Config) value {
			return choice[Sync]{&c.WAL.Sync, []Sync{SyncAlways, SyncInterval, SyncNever}}
		},
	},
	{
		Name:  "wal.sync_interval",
		Type:  "duration, 1ms to 1m",
		Doc:   "The time between two syncs of the log where `wal.sync` is `interval`; otherwise without effect.",
		field: func(c *Config) value { return duration{&c.WAL.SyncInterval, time.Millisecond, time.Minute} },
	},
	{
		Name: "cut.bytes",
		Type: "size, 1MiB to 16GiB",
		Doc: "The log is cut into a block when it has grown by this much. " +
			"Larger makes larger blocks, and a longer replay at the next start.",
		field: func(c *Config) value { return size{&c.Cut.Bytes, 1 << 20, 16 << 30} },
	},
	{
		Name: "cut.age",
		Type: "duration, 1s to 168h",
		Doc: "The log is cut into a block when its oldest record is this old, however small it is. " +
			"Spans can be found from the moment they are acknowledged; this sets only when they are moved.",
		field: func(c *Config) value { return duration{&c.Cut.Age, time.Second, 7 * 24 * time.Hour} },
	},
	{
		Name: "retention.age",
		Type: "duration, 0s to 87600h; 0s is without limit",
		Doc: "Blocks are dropped when their last span is older than this. " +
			"Archived traces are kept in any case. A block goes as a whole, so single traces may be kept a little longer.",
		field: func(c *Config) value { return duration{&c.Retention.Age, 0, 10 * 365 * 24 * time.Hour} },
	},
	{
		Name: "retention.bytes",
		Type: "size, 0B to 1024TiB; 0B is without limit",
		Doc: "The oldest blocks of a tenant are dropped when all its blocks together are larger than this. " +
			"Archived traces are kept in any case, and do not count.",
		field: func(c *Config) value { return size{&c.Retention.Bytes, 0, 1 << 50} },
	},
	{
		Name: "tenancy.default",
		Type: "empty, or letters, digits, `-`, `_`, `.`; at most 142, not starting with a dot",
		Doc: "The tenant of reads and writes that name none. Changing it does not move the data written under the old name. " +
			"With `tenancy.enabled`, empty or not in `tenancy.allowed` means that each call must name its tenant.",
		field: func(c *Config) value { return tenant{&c.Tenancy.Default} },
	},
	{
		Name: "tenancy.enabled",
		Type: "`true` or `false`",
		Doc: "Whether calls may be about different tenants. " +
			"`false`: all are about `tenancy.default`, whatever they name. See [tenants.md](tenants.md).",
		field: func(c *Config) value { return truth{&c.Tenancy.Enabled} },
	},
	{
		Name:  "tenancy.header",
		Type:  "letters, digits, `-`, `_`, `.`",
		Doc:   "The gRPC metadata in which a call names its tenant: what Jaeger's `--multi-tenancy.header` says. Upper and lower case are the same.",
		field: func(c *Config) value { return header{&c.Tenancy.Header} },
	},
	{
		Name:    "tenancy.allowed",
		Type:    "list of tenants, parted by commas",
		Default: "empty: any",
		Doc:     "The tenants that there are. A call that names another is refused.",
		field:   func(c *Config) value { return tenants{&c.Tenancy.Allowed} },
	},
	{
		Name:    "tenancy.tokens_file",
		Type:    "file",
		Default: "empty: no tokens",
		Doc: "A file of bearer tokens, and of the tenants that each gives access to; calls without a token are then refused. " +
			"A line for each: `TOKEN acme,globex`, or `TOKEN *` for all tenants; in place of the token may stand `sha256:` and its hash in hex, and a third field is the time at which it expires. " +
			"The file is read again when it changes.",
		field: func(c *Config) value { return optional{directory{&c.Tenancy.TokensFile}} },
	},
	{
		Name: "tenancy.tokens_for",
		Type: "`all` or `reads`",
		Doc: "Which calls need a token. " +
			"`reads`: writes need none, for a jaeger-collector of v1, which can't send any; let nobody else reach the server, by mTLS say.",
		field: func(c *Config) value {
			return choice[TokensFor]{&c.Tenancy.TokensFor, []TokensFor{TokensForAll, TokensForReads}}
		},
	},
	{
		Name:    "ring.store",
		Type:    "empty, `memberlist`, `etcd` or `consul`",
		Default: "empty",
		Doc: "What holds the ring, by which the processes of a cluster know of each other. " +
			"Empty: there is no cluster, and everything is in one process. `memberlist`: they gossip, and nothing else is needed. All must be told the same.",
		field: func(c *Config) value {
			return choice[RingStore]{&c.Ring.Store, []RingStore{RingNone, RingMemberlist, RingEtcd, RingConsul}}
		},
	},
	{
		Name: "ring.listen_address",
		Type: "`host:port` or `auto`",
		Doc: "Where this process gossips, if `ring.store` is `memberlist`. " +
			"`auto` is `" + RingDefaultAddress + "` of a daemon, and a free port of that host of `tempo-plugin`; port 0 is a free one.",
		field: func(c *Config) value { return address{&c.Ring.ListenAddress, []string{RingAuto}, RingDefaultAddress} },
	},
	{
		Name:    "ring.advertise_address",
		Type:    "`host:port`",
		Default: "empty: `ring.listen_address`",
		Doc:     "What others reach `ring.listen_address` under, where that differs.",
		field:   func(c *Config) value { return address{&c.Ring.AdvertiseAddress, []string{""}, "10.0.0.7:7946"} },
	},
	{
		Name:    "ring.join",
		Type:    "list of `host:port`, parted by commas",
		Default: "empty: this is the first",
		Doc: "Some that gossip already, if `ring.store` is `memberlist`. " +
			"A name stands for all its addresses. Who is not there yet is tried again, also this process itself may be in the list.",
		field: func(c *Config) value { return addresses{&c.Ring.Join, "10.0.0.7:7946"} },
	},
	{
		Name:    "ring.endpoints",
		Type:    "list of `host:port`, parted by commas",
		Default: "empty",
		Doc:     "The servers of etcd, or the agent of Consul, if `ring.store` is one of these.",
		field:   func(c *Config) value { return addresses{&c.Ring.Endpoints, "10.0.0.7:2379"} },
	},
	{
		Name: "ring.replication",
		Type: "`1` or `3`",
		Doc: "How many ingesters keep a trace until it is in the object store. " +
			"With 3, any one ingester may fail or lose its disk, and neither is a write refused nor a span lost.",
		field: func(c *Config) value { return replication{&c.Ring.Replication} },
	},
	{
		Name:  "ring.zones",
		Type:  "`true` or `false`",
		Doc:   "Whether the replicas of a trace are kept in different zones, of which `ring.replication` may then fail a minority whole. Ingesters need `instance.zone`.",
		field: func(c *Config) value { return truth{&c.Ring.Zones} },
	},
	{
		Name:  "ring.heartbeat",
		Type:  "duration, 1s to 1h",
		Doc:   "How often an instance tells the ring that it is there.",
		field: func(c *Config) value { return duration{&c.Ring.Heartbeat, time.Second, time.Hour} },
	},
	{
		Name:  "ring.heartbeat_timeout",
		Type:  "duration, 2s to 24h",
		Doc:   "How long an instance may be silent before it counts as failed; at least twice `ring.heartbeat`.",
		field: func(c *Config) value { return duration{&c.Ring.HeartbeatTimeout, 2 * time.Second, 24 * time.Hour} },
	},
	{
		Name: "ring.settle",
		Type: "duration, 1ms to 1h",
		Doc: "How long a new ingester is known before it is written to. " +
			"Every reader must have heard of it by then.",
		field: func(c *Config) value { return duration{&c.Ring.Settle, time.Millisecond, time.Hour} },
	},
	{
		Name: "ring.forget_after",
		Type: "duration, 1s to 8760h",
		Doc: "How long an instance may be silent before the ring forgets it; at least twice `ring.heartbeat_timeout`. " +
			"What it shared with another instance must be in the object store by then: it should be longer than `cut.age`.",
		field: func(c *Config) value { return duration{&c.Ring.ForgetAfter, time.Second, 8760 * time.Hour} },
	},
	{
		Name:    "instance.id",
		Type:    "letters, digits, `-`, `_`, `.`; at most 150, not starting with a dot",
		Default: "empty: the name of the host",
		Doc:     "The name of this process in the ring, and in what it writes for people. It must be like no other's, and the same after a restart.",
		field:   func(c *Config) value { return name{p: &c.Instance.ID} },
	},
	{
		Name:    "instance.zone",
		Type:    "letters, digits, `-`, `_`, `.`; at most 150, not starting with a dot",
		Default: "empty",
		Doc:     "The zone of this process; see `ring.zones`.",
		field:   func(c *Config) value { return name{p: &c.Instance.Zone} },
	},
	{
		Name:    "instance.address",
		Type:    "`host:port`",
		Default: "empty: `server.grpc_listen_address`",
		Doc:     "What others reach `server.grpc_listen_address` under, where that differs.",
		field:   func(c *Config) value { return address{&c.Instance.Address, []string{""}, "10.0.0.7:17272"} },
	},
	{
		Name: "server.grpc_listen_address",
		Type: "`host:port`",
		Doc: "Where the gRPC server of `tempo` listens, for other processes of the store; port 0 is a free one. " +
			"It has no access control: give it no public address.",
		field: func(c *Config) value { return address{&c.Server.GRPCListenAddress, nil, "127.0.0.1:17272"} },
	},
	{
		Name: "ingester.keep",
		Type: "duration, 1s to 168h",
		Doc: "How long an ingester keeps, and answers from, a block after it has uploaded it. " +
			"At least three times `reader.poll_interval`, so that no reader misses it.",
		field: func(c *Config) value { return duration{&c.Ingester.Keep, time.Second, 7 * 24 * time.Hour} },
	},
	{
		Name: "writer.compression",
		Type: "`none`, `gzip` or `zstd`",
		Doc:  "How spans are compressed on their way to ingesters. It saves network and costs processor.",
		field: func(c *Config) value {
			return choice[Compression]{&c.Writer.Compression, []Compression{CompressionNone, CompressionGzip, CompressionZstd}}
		},
	},
	{
		Name:  "reader.poll_interval",
		Type:  "duration, 100ms to 1h",
		Doc:   "How often readers and compactors look for new blocks. What is newer than the last look is answered by ingesters: nothing waits for this.",
		field: func(c *Config) value { return duration{&c.Reader.PollInterval, 100 * time.Millisecond, time.Hour} },
	},
	{
		Name: "reader.partial",
		Type: "`error` or `mark`",
		Doc: "What becomes of an answer that may lack something because a part of the store can't be asked. " +
			"`error`: the query fails. `mark`: it is given, with a warning on a span.",
		field: func(c *Config) value { return choice[Partial]{&c.Reader.Partial, []Partial{PartialError, PartialMark}} },
	},
	{
		Name:    "reader.queriers",
		Type:    "list of `host:port`, parted by commas",
		Default: "empty: none",
		Doc:     "Processes `tempo --target=querier` that the work on blocks is spread over. Empty: this process does it.",
		field:   func(c *Config) value { return addresses{&c.Reader.Queriers, "10.0.0.7:17272"} },
	},
	{
		Name:  "cache.memory_bytes",
		Type:  "size, 1MiB to 1TiB",
		Doc:   "The memory for what was read of blocks in an object store.",
		field: func(c *Config) value { return size{&c.Cache.MemoryBytes, 1 << 20, 1 << 40} },
	},
	{
		Name:    "cache.disk_path",
		Type:    "directory",
		Default: "empty: no cache on disk",
		Doc:     "A directory of its own for a larger cache below that in memory. It may be deleted while the process does not run.",
		field:   func(c *Config) value { return optional{directory{&c.Cache.DiskPath}} },
	},
	{
		Name:  "cache.disk_bytes",
		Type:  "size, 16MiB to 1024TiB",
		Doc:   "The size of the cache in `cache.disk_path`.",
		field: func(c *Config) value { return size{&c.Cache.DiskBytes, 16 << 20, 1 << 50} },
	},
	{
		Name:    "cache.memcached",
		Type:    "list of `host:port`, parted by commas",
		Default: "empty: none",
		Doc:     "Servers of memcached for a cache that several processes share. All should list them in the same order.",
		field:   func(c *Config) value { return addresses{&c.Cache.Memcached, "10.0.0.7:11211"} },
	},
	{
		Name: "compactor.grace",
		Type: "duration, 0s to 168h; 0s is half an hour, or 40 times `reader.poll_interval` if that is more",
		Doc: "How long a block that was merged is still there for those who read it. " +
			"At least 20 times `reader.poll_interval`, and longer than any query.",
		field: func(c *Config) value { return duration{&c.Compactor.Grace, 0, 7 * 24 * time.Hour} },
	},
	{
		Name:  "compactor.merges",
		Type:  "number, 1 to 256",
		Doc:   "How many merges a compactor does at once, whatever the number of tenants.",
		field: func(c *Config) value { return number[int]{&c.Compactor.Merges, 1, 256} },
	},
	{
		Name: "limits.rate_bytes",
		Type: "size a second, 0B to 1TiB; 0B is without limit",
		Doc: "How much an ingester, or a process without a cluster, takes of a tenant a second. " +
			"What is more is refused before it is stored, with a hint when to try again.",
		field: func(c *Config) value { return size{&c.Limits.RateBytes, 0, 1 << 40} },
	},
	{
		Name:  "limits.burst_bytes",
		Type:  "size, 0B to 1TiB; 0B is twice `limits.rate_bytes`",
		Doc:   "How much of a tenant is taken at once, after a pause, beyond `limits.rate_bytes`.",
		field: func(c *Config) value { return size{&c.Limits.BurstBytes, 0, 1 << 40} },
	},
	{
		Name:  "limits.trace_bytes",
		Type:  "size, 0B to 1TiB; 0B is without limit",
		Doc:   "How much of a trace may be recent: in the log, and in no block yet. Spans beyond it are refused; those before it stay.",
		field: func(c *Config) value { return size{&c.Limits.TraceBytes, 0, 1 << 40} },
	},
	{
		Name:  "limits.trace_spans",
		Type:  "number, 0 to 1000000000; 0 is without limit",
		Doc:   "How many spans of a trace may be recent. Spans beyond it are refused; those before it stay.",
		field: func(c *Config) value { return number[int64]{&c.Limits.TraceSpans, 0, 1e9} },
	},
	{
		Name:  "limits.attribute_bytes",
		Type:  "size, 0B to 1GiB; 0B is without limit",
		Doc:   "How long the key and the value of an attribute may be together.",
		field: func(c *Config) value { return size{&c.Limits.AttributeBytes, 0, 1 << 30} },
	},
	{
		Name:  "limits.live_traces",
		Type:  "number, 0 to 1000000000; 0 is without limit",
		Doc:   "How many traces of a tenant may be recent. Spans of further ones are refused.",
		field: func(c *Config) value { return number[int64]{&c.Limits.LiveTraces, 0, 1e9} },
	},
	{
		Name:    "limits.file",
		Type:    "file",
		Default: "empty: none",
		Doc: "A YAML file with other limits and another retention for single tenants. It has a section for each, with keys of the section `limits`, and `retention_age` and `retention_bytes`: " +
			"`acme: {rate_bytes: 10MiB, retention_age: 720h}`. What a tenant has no key for is as for all. Archives are not concerned. The file is read again when it changes.",
		field: func(c *Config) value { return optional{directory{&c.Limits.File}} },
	},
	{
		Name: "remote.listen_address",
		Type: "`host:port` or `off`",
		Doc: "Where Jaeger reaches this store as remote storage, v1 and v2 on one port. " +
			"`tempo-plugin serve` listens there, `tempo --target=all`, and `tempo --target=querier` if `ring.store` is set; port 0 is a free one. " +
			"Whoever reaches it reads and writes traces: give it TLS before it leaves the host. [remote-storage.md](remote-storage.md) says more.",
		field: func(c *Config) value { return address{&c.Remote.ListenAddress, []string{RemoteOff}, "127.0.0.1:17271"} },
	},
	{
		Name:    "remote.archive_listen_address",
		Type:    "`host:port`",
		Default: "empty: none",
		Doc: "Where Jaeger reaches the archive as a remote storage of its own. " +
			"Jaeger from v1.66 on asks a second server for archived traces, v2 a second backend; Jaeger before that finds them at `remote.listen_address`.",
		field: func(c *Config) value { return address{&c.Remote.ArchiveListenAddress, []string{""}, "127.0.0.1:17273"} },
	},
	{
		Name:    "remote.tls_cert",
		Type:    "file",
		Default: "empty: no TLS",
		Doc: "The certificate of the remote storage server and what it was signed with, as PEM. " +
			"The files of certificates and keys are read again when they change, for the connections that are made from then on.",
		field: func(c *Config) value { return optional{directory{&c.Remote.TLSCert}} },
	},
	{
		Name:    "remote.tls_key",
		Type:    "file",
		Default: "empty: no TLS",
		Doc:     "The key of `remote.tls_cert`, as PEM.",
		field:   func(c *Config) value { return optional{directory{&c.Remote.TLSKey}} },
	},
	{
		Name:    "remote.tls_client_ca",
		Type:    "file",
		Default: "empty: clients need no certificate",
		Doc:     "Certificates, as PEM, by one of which that of a client must be signed (mTLS). Others are turned away before they can ask anything.",
		field:   func(c *Config) value { return optional{directory{&c.Remote.TLSClientCA}} },
	},
	{
		Name: "remote.max_message_bytes",
		Type: "size, 64KiB to 1GiB",
		Doc: "The largest message that the remote storage server takes; a larger one is refused with `ResourceExhausted`, unread. " +
			"Jaeger v2 writes a batch as one message, Jaeger v1 a span.",
		field: func(c *Config) value { return size{&c.Remote.MaxMessageBytes, 64 << 10, 1 << 30} },
	},
	{
		Name: "remote.span_kind",
		Type: "`empty` or `unspecified`",
		Doc: "What the remote storage server v1 calls the kind of operations whose spans have none. " +
			"Jaeger from v1.65 on expects it to be empty, Jaeger up to v1.64 expects `unspecified`. A plugin always says `unspecified`, and v2 nothing.",
		field: func(c *Config) value {
			return choice[SpanKind]{&c.Remote.SpanKind, []SpanKind{SpanKindEmpty, SpanKindUnspecified}}
		},
	},
	{
		Name: "remote.streaming_writer",
		Type: "`true` or `false`",
		Doc: "Offer the streaming writer of remote storage v1, which Jaeger then prefers. " +
			"It is faster, and nothing is acknowledged: what Jaeger has sent and the server has not yet written is lost when either of them ends. Not with `tenancy.enabled`: Jaeger's streams mix tenants.",
		field: func(c *Config) value { return truth{&c.Remote.StreamingWriter} },
	},
	{
		Name: "admin.listen_address",
		Type: "`host:port`, `auto` or `off`",
		Doc: "Where the admin server listens: status page `/`, `/ready`, `/metrics` for Prometheus, `/debug/pprof/`. " +
			"`auto` is `" + AdminDefaultAddress + "`, or a free port of that host where the port is taken (the log says which); " +
			"a `host:port` that is taken is an error. The server has no access control: give it no public address.",
		field: func(c *Config) value {
			return address{&c.Admin.ListenAddress, []string{AdminAuto, AdminOff}, AdminDefaultAddress}
		},
	},
	{
		Name: "logging.level",
		Type: "`debug`, `info`, `warn` or `error`",
		Doc: "The least level of the program's own log lines. " +
			"Of a plugin's lines Jaeger shows those that pass its own `--grpc-storage-plugin.log-level` too, which is `warn` by default.",
		field: func(c *Config) value {
			return choice[string]{&c.Logging.Level, []string{"debug", "info", "warn", "error"}}
		},
	},
}

func init() {
	// A default that is the same everywhere is documented as what Default sets.
	c := Default(func(string) (string, bool) { return "", false })
	for i, k := range keys {
		if k.Default == "" {
			keys[i].Default = "`" + k.field(&c).String() + "`"
		}
	}
}

// section returns the part of a key's name before the dot, and the rest.
func (k Key) section() (section, name string) {
	section, name, _ = strings.Cut(k.Name, ".")
	return section, name
}

// find returns the key of the dotted name, or nil.
func find(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}

// isSection reports whether keys of the section exist.
func isSection(name string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { s, _ := k.section(); return s == name })
}

// siblings lists the names that could stand where the unknown one does.
func siblings(unknown string) string {
	in, _, dotted := strings.Cut(unknown, ".")
	var names []string
	for _, k := range keys {
		s, name := k.section()
		switch {
		case !dotted && !slices.Contains(names, s):
			names = append(names, s)
		case dotted && s == in:
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// nearest returns the known name that the unknown one was probably meant to be, or "".
func nearest(unknown string) string {
	_, last, dotted := strings.Cut(unknown, ".")
	if !dotted {
		last = unknown
	}
	best, least := "", max(2, len(unknown)/3)+1
	consider := func(known string, distance int) {
		if distance < least {
			best, least = known, distance
		}
	}
	for _, k := range keys {
		s, name := k.section()
		if !dotted {
			consider(s, distance(unknown, s))
		}
		consider(k.Name, distance(unknown, k.Name))
		if name == last { // the right key in a wrong section, or in none
			consider(k.Name, 1)
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b. Names are short: longer ones are cut.
func distance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	var row [longest + 1]int
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

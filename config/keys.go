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
		Doc: "The directory that holds all data: log, blocks, and a lock. " +
			"It is made if it does not exist; a relative path starts at the working directory of the process, which is Jaeger's. " +
			"One process at a time can use a directory: a second one refuses to start.",
		field: func(c *Config) value { return directory{&c.Storage.Path} },
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
		Type: "letters, digits, `-`, `_`, `.`; at most 150, not starting with a dot",
		Doc:  "The tenant of reads and writes that name none. Changing it does not move the data written under the old name.",
		field: func(c *Config) value {
			return tenant{&c.Tenancy.Default}
		},
	},
	{
		Name: "admin.listen_address",
		Type: "`host:port`, `auto` or `off`",
		Doc: "Where the admin server listens: status page `/`, `/ready`, `/metrics` for Prometheus, `/debug/pprof/`. " +
			"`auto` is `" + AdminDefaultAddress + "`, or a free port of that host where the port is taken (the log says which); " +
			"a `host:port` that is taken is an error. The server has no access control: give it no public address.",
		field: func(c *Config) value { return address{&c.Admin.ListenAddress} },
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

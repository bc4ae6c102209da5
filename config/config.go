package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Config is an effective configuration: every field has a value. docs/configuration.md lists the keys.
type Config struct {
	Storage   Storage
	WAL       WAL
	Cut       Cut
	Retention Retention
	Tenancy   Tenancy
	Ring      Ring
	Instance  Instance
	Server    Server
	Ingester  Ingester
	Writer    Writer
	Reader    Reader
	Cache     Cache
	Compactor Compactor
	Limits    Limits
	Remote    Remote
	Admin     Admin
	Logging   Logging
}

// Storage says where the data is.
type Storage struct {
	// Path is the directory of a process; one process at a time.
	Path string
	// Blocks is the URL of the object store; empty is a folder of Path.
	Blocks string
}

// WAL is the write-ahead log: the store of recent data.
type WAL struct {
	// Sync says when what was written is forced to disk.
	Sync Sync
	// SyncInterval is the longest time between two syncs under SyncInterval.
	SyncInterval time.Duration
}

// Sync is a policy of forcing the log to disk.
type Sync string

// The policies.
const (
	// SyncAlways acknowledges a write after an fsync that covers it; concurrent writes share one.
	SyncAlways Sync = "always"
	// SyncInterval acknowledges at once and syncs at intervals: a power cut loses the last one.
	SyncInterval Sync = "interval"
	// SyncNever leaves it to the operating system.
	SyncNever Sync = "never"
)

// Cut says when recent data leaves the log and becomes a block.
type Cut struct {
	// Bytes of log after which a block is cut.
	Bytes int64
	// Age of the oldest record after which a block is cut.
	Age time.Duration
}

// Retention says how much is kept. Zero is without limit.
type Retention struct {
	// Age is how long after its last span a block is kept.
	Age time.Duration
	// Bytes is how much is kept of a tenant's blocks.
	Bytes int64
}

// Tenancy says whose data a call reads and writes.
type Tenancy struct {
	// Enabled says that calls name their tenant; else all are Default's.
	Enabled bool
	// Default is the tenant of calls that name none; empty, or not among Allowed: there is none.
	Default string
	// Header is the gRPC metadata that names a tenant.
	Header string
	// Allowed are the tenants that may be named; empty is any.
	Allowed List
	// TokensFile holds bearer tokens, and TokensFor says which calls need one.
	TokensFile string
	TokensFor  TokensFor
}

// TokensFor says which calls need a token.
type TokensFor string

// The calls.
const (
	TokensForAll   TokensFor = "all"
	TokensForReads TokensFor = "reads"
)

// Admin is the HTTP server for people and monitoring.
type Admin struct {
	// ListenAddress is host:port, or AdminAuto, or AdminOff.
	ListenAddress string
}

// Values of Admin.ListenAddress beside host:port.
const (
	// AdminAuto listens on AdminDefaultAddress, or on a free port of the same host where that is taken.
	AdminAuto = "auto"
	// AdminOff starts no admin server.
	AdminOff = "off"
	// AdminDefaultAddress is what AdminAuto tries first.
	AdminDefaultAddress = "127.0.0.1:17270"
)

// Logging is the program's own log.
type Logging struct {
	// Level is the least level that is written: debug, info, warn or error.
	Level string
}

// LookupEnv finds an environment variable, as os.LookupEnv does.
type LookupEnv func(name string) (value string, ok bool)

// defaultTenant is the tenant of calls that name none, where nothing else is configured. It is in no list of tenants unless somebody writes it there.
const defaultTenant = "single-tenant"

// maxFile bounds what Load reads: a larger file is not a configuration.
const maxFile = 1 << 20

// Default returns the configuration that holds where nothing is configured.
func Default(env LookupEnv) Config {
	path := "./tempo-data"
	// The XDG specification: an empty or relative directory counts as unset.
	if dir, _ := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		path = filepath.Join(dir, "tempo")
	}
	return Config{
		Storage: Storage{Path: path},
		WAL:     WAL{Sync: SyncAlways, SyncInterval: 100 * time.Millisecond},
		Cut:     Cut{Bytes: 64 << 20, Age: 30 * time.Minute},
		Tenancy: Tenancy{Default: defaultTenant, Header: "x-tenant", TokensFor: TokensForAll},
		Ring: Ring{
			ListenAddress: RingAuto, Replication: 3,
			Heartbeat: 5 * time.Second, HeartbeatTimeout: 20 * time.Second, Settle: 10 * time.Second, ForgetAfter: time.Hour,
		},
		Server:    Server{GRPCListenAddress: "127.0.0.1:17272"},
		Ingester:  Ingester{Keep: 15 * time.Minute},
		Writer:    Writer{Compression: CompressionNone},
		Reader:    Reader{PollInterval: 30 * time.Second, Partial: PartialError},
		Cache:     Cache{MemoryBytes: 64 << 20, DiskBytes: 1 << 30},
		Compactor: Compactor{Merges: 1},
		Remote:    Remote{ListenAddress: "127.0.0.1:17271", MaxMessageBytes: 64 << 20, SpanKind: SpanKindEmpty},
		Admin:     Admin{ListenAddress: AdminAuto},
		Logging:   Logging{Level: "info"},
	}
}

// Load reads the configuration file; with file "" it returns the default configuration. The error is an
// *Error where the file could be read but not understood.
func Load(file string, env LookupEnv) (Config, error) {
	if file == "" {
		return Parse("", nil, env)
	}
	data, err := read(file)
	if err != nil {
		return Config{}, err
	}
	return Parse(file, data, env)
}

// Set sets a key to a value as it stands in a file, though without variables. The error does not name the key, unless it is another that conflicts.
func (c *Config) Set(key, text string) error {
	k := find(key)
	if k == nil {
		return fmt.Errorf("%s is no key of the configuration", key)
	}
	changed := *c
	if err := k.field(&changed).set(text); err != nil {
		return err
	}
	if found := changed.conflicts(); len(found) > 0 {
		if found[0].Key == key {
			return errors.New(found[0].Text)
		}
		return fmt.Errorf("%s: %s", found[0].Key, found[0].Text)
	}
	*c = changed
	return nil
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration file %s does not exist: check the path, or leave it out to run with the defaults", file)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fmt.Errorf("configuration file %s is a directory: name a YAML file in it", file)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", file, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("configuration file %s is larger than 1 MiB: this is not a configuration", file)
	}
	return data, nil
}

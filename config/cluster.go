package config

import (
	"cmp"
	"os"
	"strings"
	"time"
)

// Ring says how the processes of a cluster know of each other. They must agree on all but the addresses.
type Ring struct {
	// Store is what holds the ring; RingNone is a process that holds everything itself.
	Store RingStore
	// ListenAddress is host:port for gossip, or RingAuto; AdvertiseAddress what others reach it under, where that differs.
	ListenAddress, AdvertiseAddress string
	// Join are some that gossip already; Endpoints those of etcd or Consul.
	Join, Endpoints List
	// Replication is how many ingesters keep a trace; Zones spreads them over zones.
	Replication int
	Zones       bool
	// Heartbeat, HeartbeatTimeout, Settle and ForgetAfter are as in ring.Config.
	Heartbeat, HeartbeatTimeout, Settle, ForgetAfter time.Duration
}

// RingStore is a kind of store that holds a ring.
type RingStore string

// The stores of rings.
const (
	RingNone       RingStore = ""
	RingMemberlist RingStore = "memberlist"
	RingEtcd       RingStore = "etcd"
	RingConsul     RingStore = "consul"
)

// Values of Ring.ListenAddress beside host:port.
const (
	// RingAuto is RingDefaultAddress of a daemon, and a free port of the same host where the process only watches the ring.
	RingAuto = "auto"
	// RingDefaultAddress is what RingAuto is for a daemon.
	RingDefaultAddress = "127.0.0.1:7946"
)

// Instance is this process as the others know it.
type Instance struct {
	// ID tells it from all others, and outlasts restarts; empty is the name of the host. Name resolves that.
	ID   string
	Zone string
	// Address is what others reach its gRPC server under; empty is where that listens.
	Address string
}

// Name returns the ID, or the name of the host.
func (i Instance) Name() string {
	host, _ := os.Hostname()
	return cmp.Or(i.ID, host, "localhost")
}

// Server is the gRPC server for other processes of the store.
type Server struct {
	GRPCListenAddress string
}

// Ingester says how an ingester keeps what it has cut from its log.
type Ingester struct {
	// Keep is how long a block stays here after it was uploaded.
	Keep time.Duration
}

// Writer says how spans travel to ingesters.
type Writer struct {
	Compression Compression
}

// Compression is one that gRPC knows.
type Compression string

// The compressions.
const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
	CompressionZstd Compression = "zstd"
)

// Reader says how queries are answered.
type Reader struct {
	// PollInterval is how often it looks for new blocks.
	PollInterval time.Duration
	// Partial says what becomes of an answer that may lack something.
	Partial Partial
	// Queriers are addresses of processes that the work on blocks is spread over; none is this process.
	Queriers List
}

// Partial is a way to deal with an answer that may lack something.
type Partial string

// The ways.
const (
	// PartialError gives an error in its place.
	PartialError Partial = "error"
	// PartialMark gives it, with a warning on a span.
	PartialMark Partial = "mark"
)

// Cache holds what was read of blocks. Its zeros are no such tier.
type Cache struct {
	MemoryBytes int64
	DiskPath    string
	DiskBytes   int64
	Memcached   List
}

// Compactor says how blocks are merged.
type Compactor struct {
	// Grace is how long a block that was merged is still there for those who read it; zero is by Reader.PollInterval.
	Grace time.Duration
	// Merges is how many go on at once in a process.
	Merges int
}

// Limits are those of each tenant. Zero is no limit.
type Limits struct {
	// RateBytes a second are taken, and BurstBytes at once; a BurstBytes of zero is twice RateBytes.
	RateBytes, BurstBytes int64
	// TraceBytes and TraceSpans are how much of a trace may be recent: in the log of an ingester.
	TraceBytes, TraceSpans int64
	// AttributeBytes is how long the key and the value of an attribute may be together.
	AttributeBytes int64
	// LiveTraces is how many traces may be recent.
	LiveTraces int64
	// File has those of single tenants; see LoadLimits.
	File string
}

// List is a list as text: its elements are parted by commas, without spaces. So that a Config can be compared, it is no slice.
type List string

// Elements returns the elements.
func (l List) Elements() []string {
	if l == "" {
		return nil
	}
	return strings.Split(string(l), ",")
}

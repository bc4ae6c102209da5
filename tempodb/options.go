package tempodb

import (
	"log/slog"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// Options of a DB. Dir, Bucket, Name and Codec are required.
type Options struct {
	// Dir is the directory of the log, this DB's alone.
	Dir string
	// Bucket holds the blocks, under the folder Name, which is this DB's alone. One that is far away should have a cache in front of it, see
	// cache.Cache.Over; that of a directory is the operating system's.
	Bucket backend.Bucket
	// Name is the database's name in the bucket: a tenant's.
	Name string
	// Codec says what values mean.
	Codec Codec
	// Sync is when Append returns: by default after an fsync.
	Sync wal.Sync
	// SyncEvery is the period of wal.SyncInterval.
	SyncEvery time.Duration
	// CutBytes is how many bytes of values make a block; 64 MiB if zero.
	CutBytes int64
	// CutAge is when values are made a block though they are fewer; zero is never.
	CutAge time.Duration
	// MaxWaiting is how many times CutBytes may wait to be written as blocks, before Append waits too; 4 if zero.
	MaxWaiting int
	// Compaction says which blocks are merged; the zero value is good.
	Compaction compact.PlanOptions
	// NoCompaction leaves blocks as they are cut. Compact can be called all the same.
	NoCompaction bool
	// Retention is asked with each Retain which blocks are dropped; nil is none.
	Retention func() compact.RetainOptions
	// Shelf bounds the memory of what is kept open of blocks. Databases may share it; nil is one of block.DefaultShelfBytes.
	Shelf *block.Shelf
	// Replayed, if set, is told while Open replays the log of each record's bytes.
	Replayed func(bytes int)
	// Logger is told of what goes wrong and of blocks; nil is silence.
	Logger *slog.Logger
}

const (
	defaultCutBytes   = 64 << 20
	defaultMaxWaiting = 4

	// maxValue bounds a value, and maxRecord an Append: the log's records are read whole at replay.
	maxValue  = 256 << 20
	maxRecord = 512 << 20
)

func (o Options) withDefaults() Options {
	if o.CutBytes <= 0 {
		o.CutBytes = defaultCutBytes
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = defaultMaxWaiting
	}
	if o.Shelf == nil {
		o.Shelf = block.NewShelf(block.DefaultShelfBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

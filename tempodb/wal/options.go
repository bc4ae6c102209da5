package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// MaxRecord is the largest payload of one record, in bytes.
const MaxRecord = 1 << 30

// DefaultSyncEvery is the period of SyncInterval where Options does not set one.
const DefaultSyncEvery = 200 * time.Millisecond

var (
	// ErrClosed is returned by every method of a closed Log.
	ErrClosed = errors.New("log is closed")
	// ErrNoSegment is returned (wrapped, with the segment's number) for a segment that the log does not
	// hold: it was removed, or never existed. A reader looks again in the blocks.
	ErrNoSegment = errors.New("no such segment in the log")
	// ErrTooLarge is returned (wrapped, with the size) for a record over MaxRecord. Nothing was written.
	ErrTooLarge = errors.New("record is too large for the log")
)

// VersionError says that a segment was written by a newer program. Nothing of the log was changed.
type VersionError struct {
	File    string
	Version uint32 // the file's
	Known   uint32 // the newest this program reads
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("log segment %s has format version %d, this program knows up to %d: use the program version that wrote it, or a newer one",
		e.File, e.Version, e.Known)
}

// Sync says when an Append is acknowledged.
type Sync uint8

const (
	// SyncAlways acknowledges when the record is on stable storage. The default.
	SyncAlways Sync = iota
	// SyncInterval acknowledges when the operating system has the record, and syncs every
	// Options.SyncEvery: a killed process loses nothing, a crashed machine the last period.
	SyncInterval
	// SyncNever leaves the time of writing to the operating system; only Rotate and Close sync.
	SyncNever
)

var syncNames = [...]string{SyncAlways: "always", SyncInterval: "interval", SyncNever: "never"}

// String returns the policy's name as ParseSync takes it.
func (s Sync) String() string {
	if int(s) < len(syncNames) {
		return syncNames[s]
	}
	return fmt.Sprintf("Sync(%d)", uint8(s))
}

// ParseSync returns the policy of that name: always, interval or never.
func ParseSync(name string) (Sync, error) {
	for i, n := range syncNames {
		if n == name {
			return Sync(i), nil
		}
	}
	return 0, fmt.Errorf("unknown sync policy %q: it is one of always, interval, never", name)
}

// Options of a Log. The zero value is good: every append is synced, files of the operating system, silent.
type Options struct {
	// FS holds the files; nil is the operating system.
	FS FS
	// Sync is when an Append is acknowledged.
	Sync Sync
	// SyncEvery is the period of SyncInterval; zero or less is DefaultSyncEvery.
	SyncEvery time.Duration
	// Logger is told of damage, failures and recovery; nil is silence.
	Logger *slog.Logger
	// Skip, if set, is asked at Open for each segment. One it answers true for is not replayed but removed
	// (after a look for damage, for the sake of quarantine): the owner has all of it in blocks.
	Skip func(segment uint64) bool
	// MinSegment is the lowest number a new segment may get. The log never uses a number twice as long as
	// its directory is left alone; an owner that remembers segment numbers elsewhere passes one more than
	// the highest it remembers, and is safe from a directory that somebody emptied too.
	MinSegment uint64
}

// Position is a place in the log.
type Position struct {
	Segment uint64
	// Offset is a byte in the segment's file. Of a record, it is where the payload begins; the payload is
	// contiguous, so Offset+n is the position of the payload's byte n.
	Offset int64
}

// SegmentInfo describes a segment the log holds.
type SegmentInfo struct {
	ID uint64
	// Bytes is the length of the file in use.
	Bytes int64
	// Active is true of the segment that appends go to.
	Active bool
	// Damaged is true where replay found corruption; Remove moves the file to quarantine.
	Damaged bool
}

// Stats are counters since Open. They only grow.
type Stats struct {
	Appends      int64         // records acknowledged
	Bytes        int64         // payload bytes acknowledged
	Failed       int64         // records refused by a failure of the file system
	Commits      int64         // writes that carried one or more records
	Syncs        int64         // file syncs, failed ones included
	SyncTime     time.Duration // spent in them
	SyncErrors   int64         // file syncs that failed
	WriteErrors  int64         // writes, or creations of a segment, that failed
	CorruptParts int64         // corruptions found by replay
	TornTails    int64         // torn tails found by replay: ordinary after a crash
	Quarantined  int64         // segments moved to quarantine
}

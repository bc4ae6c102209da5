// Package wal is the log in which recent data lives: segmented, checksummed, group-committed.
//
// It is not a log that is replayed into something else and forgotten. Until a segment has been cut into
// a block, its records are read from here, through the page cache, by the Position that Append returned.
// The owner (package tempodb) keeps in memory only an index from keys to positions.
//
// # Promise
//
//   - A record whose Append returned nil under SyncAlways is replayed by every later Open, whole and in
//     order, whatever was killed or unplugged in between.
//   - Nothing is replayed that was not appended: a record is recognised by a checksum over its header, its
//     offset and a random salt of its file, so neither payload bytes nor blocks of a recycled file pass.
//   - Damage costs the records it touches and no others. Replay goes on behind it, reports it with
//     segment, offset and size, and Remove keeps a damaged file under quarantine/ for a person to look at.
//   - A failed write or fsync fails the Appends that took part in it, and closes the file to later ones:
//     they go to a new segment, as soon as the disk takes one.
//
// An Append that returned an error is undecided: its record is not readable now, but may be replayed
// after a crash, when the disk took the bytes and the failure came behind them.
//
// # Use
//
//	log, report, err := wal.Open(dir, wal.Options{}, func(pos wal.Position, payload []byte) error {
//		return index.Add(payload, pos) // payload is valid until the function returns
//	})
//	pos, err := log.Append(ctx, key, value) // returns when durable
//	err = log.ReadAt(buf, pos)              // any part of the payload: pos.Offset+n is fine
//
//	closed, err := log.Rotate()             // what was appended until now can be made a block
//	err = log.Remove(closed)                // and needs the log no longer
//
// # The files
//
//	dir/0000000000000007.wal        one segment, numbers ascending and never used twice
//	dir/quarantine/...07.wal        a segment with damage that was removed
//	dir/quarantine/...07.wal.txt    what the damage was
//
//	+----------------+---------+----------------+--------+--------+-----+--------+---------------+
//	| segment header | zeros   | segment header | record | record | ... | end    | zeros         |
//	| 48 bytes       | to 4096 | again          |        |        |     | record | (space ahead) |
//	+----------------+---------+----------------+--------+--------+-----+--------+---------------+
//
// The header stands twice, in two file system blocks, because it holds the salt without which no record
// can be verified. Records follow each other without padding. The end record is written when a segment is
// sealed, so that damage in a sealed file is not taken for a torn tail. docs/format.md has all bytes.
//
// # Group commit
//
// Callers that find a commit under way queue up; the commit's end makes the first of them the leader of
// the next one, which writes and syncs for all that are queued. A caller that is alone is its own leader:
// one pwrite and one fdatasync on its own goroutine, nothing handed over. On Linux the file is extended
// ahead of the writes (fallocate), so that most syncs have no metadata to journal; measured on ext4 this
// takes a lone 400-byte append from 160 µs to 110 µs and halves its system time.
//
// # Concurrency
//
// All methods of Log may be called at once from any goroutine. A ReadAt that has begun ends well when the
// segment is removed meanwhile. One process owns a directory; the owner sees to that (cmd/tempo-plugin
// locks it).
package wal

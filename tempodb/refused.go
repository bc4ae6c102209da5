package tempodb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jaeger-tempo/tempo/tempodb/wal"
)

// refusedDir is the folder, in Options.Dir, of log records that the codec refuses at replay.
const refusedDir = "refused"

// keepRefused keeps a record of the log that the codec refuses: its part of the log goes with the next cut. Most often its Append was
// refused as well and there is no loss; but it may have been acknowledged by a program whose codec knew more.
func (db *DB) keepRefused(pos wal.Position, record []byte) (path string, err error) {
	dir := filepath.Join(db.opts.Dir, refusedDir)
	path = filepath.Join(dir, fmt.Sprintf("%016d-%d.record", pos.Segment, pos.Offset))
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(record)) {
		return path, nil // it was replayed before
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return path, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return path, err
	}
	_, err = f.Write(record)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return path, err
	}
	return path, errors.Join(syncDir(dir), syncDir(db.opts.Dir))
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

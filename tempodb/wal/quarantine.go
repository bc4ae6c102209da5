package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// quarantineDir is the folder, in the log's, of removed segments that had damage.
const quarantineDir = "quarantine"

// quarantine moves a segment's file aside and writes beside it what is wrong with it.
func (l *Log) quarantine(path string, damages []Damage) error {
	dir := filepath.Join(l.dir, quarantineDir)
	fail := func(err error) error {
		return fmt.Errorf("log: move damaged segment %s to %s: %w", path, dir, err)
	}
	if err := makeDir(l.fs, dir); err != nil {
		return fail(err)
	}
	names, err := l.fs.ReadDir(dir)
	if err != nil {
		return fail(err)
	}
	name := filepath.Base(path)
	for n := 1; slices.Contains(names, name); n++ {
		name = fmt.Sprintf("%s.%d", filepath.Base(path), n)
	}

	var text strings.Builder
	fmt.Fprintf(&text, "Log segment %s was removed on %s and kept here because of damage.\n",
		filepath.Base(path), time.Now().UTC().Format(time.RFC3339))
	text.WriteString("All records outside of the following parts were readable. The format is in docs/format.md.\n\n")
	for _, d := range damages {
		fmt.Fprintf(&text, "offset %d, %d bytes: %s\n", d.Offset, d.Bytes, d.Kind)
	}
	target := filepath.Join(dir, name)
	if err := l.writeFile(target+".txt", text.String()); err != nil {
		return fail(err)
	}
	if err := l.fs.Rename(path, target); err != nil {
		return fail(err)
	}
	if err := errors.Join(l.fs.SyncDir(dir), l.fs.SyncDir(l.dir)); err != nil {
		return fail(err)
	}
	l.stats.quarantined.Add(1)
	l.log.Warn("damaged log segment is in quarantine", "file", target)
	return nil
}

func (l *Log) writeFile(path, text string) error {
	f, err := l.fs.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

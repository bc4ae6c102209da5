package ingester

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The files and folders in an ingester's directory.
const (
	instanceFile = "instance"
	uploadedFile = "uploaded"
	lostFile     = "lost"
	logFolder    = "log"
	blocksFolder = "blocks"
)

// checkDir refuses a directory that is another instance's. It reports whether it is nobody's, with nothing in it; see claimDir.
func checkDir(dir, instance string) (fresh bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("ingester directory %s cannot be made: %w; set storage.path to a directory that this process may write", dir, err)
	}
	path := filepath.Join(dir, instanceFile)
	content, err := os.ReadFile(path)
	switch owner := strings.TrimSpace(string(content)); {
	case err == nil && owner == instance:
		return false, nil
	case err == nil:
		return false, fmt.Errorf("ingester directory %s belongs to the instance %q, and this is %q: set instance.id to %[2]q, or storage.path to another directory; "+
			"a directory that is to change its owner must be emptied, after its instance has left the ring (/shutdown)", dir, owner, instance)
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("ingester directory %s: %w", dir, err)
	}
	for _, folder := range []string{logFolder, blocksFolder} {
		if entries, err := os.ReadDir(filepath.Join(dir, folder)); err == nil && len(entries) > 0 {
			return false, fmt.Errorf("ingester directory %s has data of nobody knows which instance: if it is that of %q, write this name into %s; "+
				"else set storage.path to another directory", dir, instance, path)
		}
	}
	return true, nil
}

// claimDir makes dir this instance's.
func claimDir(dir, instance string) error {
	return writeDurably(filepath.Join(dir, instanceFile), instance+"\n")
}

// writeDurably replaces a file, or leaves it as it was.
func writeDurably(path, content string) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readLost returns until when answers don't count, and why; the zero time if nothing was lost. What can't be read counts as lost just now.
func readLost(dir string, whole time.Duration) (until time.Time, reason string, err error) {
	content, err := os.ReadFile(filepath.Join(dir, lostFile))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, "", nil
	}
	if err != nil {
		return time.Time{}, "", err
	}
	since, reason, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	at, err := time.Parse(time.RFC3339Nano, since)
	if now := time.Now(); err != nil || at.After(now) { // the clock was set back
		return now.Add(whole), reason, writeLost(dir, now, reason)
	}
	return at.Add(whole), reason, nil
}

// writeLost notes when something was lost, and why.
func writeLost(dir string, at time.Time, reason string) error {
	return writeDurably(filepath.Join(dir, lostFile), at.UTC().Format(time.RFC3339Nano)+" "+reason+"\n")
}

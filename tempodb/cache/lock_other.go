//go:build !unix

package cache

import (
	"io"
	"os"
	"path/filepath"
)

// lockDir does not keep others out here. Two processes on one directory damage each other's frames, which the checksums tell.
func lockDir(dir string) (io.Closer, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
}

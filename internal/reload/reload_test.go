package reload

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAFileIsReadWhenItHasChangedAndOnlyThen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var got string
	f := New(path, func(path string) error {
		data, err := os.ReadFile(path)
		if got = string(data); got == "wrong" {
			return errors.New("wrong")
		}
		return err
	})
	look := func(changed, fails bool, want string) {
		t.Helper()
		now, err := f.Look()
		if now != changed || (err != nil) != fails || got != want {
			t.Errorf("changed %v, %v, %q was read", now, err, got)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look(true, true, "") // it does not exist
	look(false, false, "")
	write("a")
	look(true, false, "a")
	look(false, false, "a")
	write("wrong")
	look(true, true, "wrong")
	look(false, false, "wrong") // told once

	// Another file in its place, of the same size and time, as a secret is exchanged.
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	next := path + ".next"
	if err := os.WriteFile(next, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(next, before.ModTime(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
	look(true, false, "right")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(true, true, "")
}

func TestWhatFollowsAFileIsToldOfEachChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := New(path, func(path string) error { _, err := os.Stat(path); return err })
	if _, err := f.Look(); err == nil {
		t.Fatal("a file that is not there can be read")
	}
	told := make(chan error)
	stop := f.Follow(time.Millisecond, func(err error) { told <- err })
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := <-told; err == nil {
		t.Error("it is not told that the file is gone")
	}
	stop()
}

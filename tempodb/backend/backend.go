package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrNotExist is returned (wrapped, with the object's name) where an object does not exist.
var ErrNotExist = errors.New("object does not exist")

// ErrName is returned (wrapped, with the name) for a name that CheckName refuses.
var ErrName = errors.New("not an object name")

// Bucket is an object store: whole immutable objects under slash-separated names.
//
// An object becomes visible whole, at Commit, or not at all. All methods may be called concurrently. A
// context that is done makes any of them return its error. Names are as CheckName says; no object's name
// may be a folder of another's ("a" beside "a/b"), since a directory cannot hold both.
type Bucket interface {
	// Create begins an object. An object of that name is replaced at Commit, until then it is read as it
	// was. The context covers the writer too: Commit fails when it is done.
	Create(ctx context.Context, name string) (ObjectWriter, error)
	// ReadAt fills p from offset off of the object. Fewer bytes than len(p) come only with an error
	// (io.EOF at the object's end, ErrNotExist where there is no such object).
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	// Size returns the object's length in bytes.
	Size(ctx context.Context, name string) (int64, error)
	// List calls fn with the names directly under the folder dir ("" is the top), in ascending order of
	// their bytes: objects as they are, sub-folders with a trailing slash, both without dir. A folder that
	// does not exist is empty; a sub-folder may be listed while its first object is being written. An
	// error of fn ends the listing and is returned.
	List(ctx context.Context, dir string, fn func(name string) error) error
	// Delete removes an object; one that does not exist is no error.
	Delete(ctx context.Context, name string) error
}

// ObjectWriter writes one object. Exactly one of Commit and Abort must be called, last.
// It is for one goroutine.
type ObjectWriter interface {
	io.Writer
	// Commit makes the object durable and visible. After an error the object may be there, whole, or not;
	// in either case nothing else is left behind.
	Commit() error
	// Abort leaves no object behind. After Commit it does nothing.
	Abort()
}

// The two functions that follow are for implementations of List.

// FolderPrefix returns what the names in dir begin with, in a store of which all names begin with prefix.
func FolderPrefix(prefix, dir string) (string, error) {
	if dir = strings.TrimSuffix(dir, "/"); dir == "" {
		return prefix, nil
	}
	if err := CheckName(dir); err != nil {
		return "", err
	}
	return prefix + dir + "/", nil
}

// EachName sorts names and calls fn with each, until fn returns an error or ctx is done, whose error it returns.
func EachName(ctx context.Context, names []string, fn func(name string) error) error {
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

// CheckName returns an error that wraps ErrName unless name is good for an object in every store: valid
// UTF-8 without control characters, of elements that are separated by single slashes, none of them empty,
// "." or "..".
func CheckName(name string) error {
	refuse := func(why string) error { return fmt.Errorf("%q is %w: %s", name, ErrName, why) }
	if name == "" {
		return refuse("it is empty")
	}
	if len(name) > 1024 {
		return refuse("it is longer than 1024 bytes")
	}
	if !utf8.ValidString(name) {
		return refuse("it is not valid UTF-8")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return refuse("it has a control character")
	}
	for element := range strings.SplitSeq(name, "/") {
		switch element {
		case "":
			return refuse("it has an empty element (a slash at the start or end, or two in a row)")
		case ".", "..":
			return refuse("it has the element " + element)
		}
	}
	return nil
}

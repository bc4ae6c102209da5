package page

import (
	"errors"
	"fmt"
	"io"
)

// CorruptError says that bytes are not what was written.
type CorruptError struct {
	// Object is the name of the object, where it is known.
	Object string
	// What is what was being read, such as "page of records".
	What string
	// Offset is its position in the object.
	Offset int64
	// Reason is what is wrong with it.
	Reason string
}

// Error names the object, the place and the damage.
func (e *CorruptError) Error() string {
	in := ""
	if e.Object != "" {
		in = " of " + e.Object
	}
	return fmt.Sprintf("corrupt %s at offset %d%s: %s", e.What, e.Offset, in, e.Reason)
}

// IsCorrupt reports whether err is or wraps a *CorruptError.
func IsCorrupt(err error) bool {
	var c *CorruptError
	return errors.As(err, &c)
}

// ErrOrder is returned for a key that is not greater than the one before it.
var ErrOrder = errors.New("keys are not ascending")

// ErrKeyTooLong is returned for a key of more than MaxKey bytes.
var ErrKeyTooLong = fmt.Errorf("key is longer than %d bytes", MaxKey)

// naming puts the name of the object that r reads into err, if err is a corruption and r has a name.
func naming(err error, r io.ReaderAt) error {
	if c, ok := err.(*CorruptError); ok && c.Object == "" {
		c.Object = name(r)
	}
	return err
}

func name(r io.ReaderAt) string {
	if n, ok := r.(interface{ Name() string }); ok {
		return n.Name()
	}
	return ""
}

func of(r io.ReaderAt) string {
	if n := name(r); n != "" {
		return " of " + n
	}
	return ""
}

package tempodb

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by a DB after Close.
var ErrClosed = errors.New("database is closed")

// ErrBehind is returned by Append when more data waits to be written as blocks than memory should hold. Nothing was appended;
// the caller may try again.
var ErrBehind = errors.New("too much data waits to be written to the object store")

// PartialError says that parts of the database could not be read. The answer that comes with it holds everything else.
type PartialError struct {
	// Parts names each part with what went wrong.
	Parts []error
}

// Error names the parts.
func (e *PartialError) Error() string {
	reasons := make([]string, len(e.Parts))
	for i, part := range e.Parts {
		reasons[i] = part.Error()
	}
	return fmt.Sprintf("the answer is not whole: %s", strings.Join(reasons, "; "))
}

// Unwrap returns the causes.
func (e *PartialError) Unwrap() []error { return e.Parts }

// partial gathers what could not be read.
type partial struct{ parts []error }

func (p *partial) add(err error) { p.parts = append(p.parts, err) }

// err returns a *PartialError, or nil if everything was read.
func (p *partial) err() error {
	if len(p.parts) == 0 {
		return nil
	}
	return &PartialError{Parts: p.parts}
}

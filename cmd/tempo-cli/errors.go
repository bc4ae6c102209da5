package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // the store can't be reached or read, a file can't be written
	exitUsage    = 2
	exitDamage   = 3 // damage was found, or the answer is not whole
	exitNotFound = 4
)

// usageError is a call that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// noError is an answer: there is no such thing.
type noError struct{ error }

func (e noError) Unwrap() error { return e.error }

func no(format string, args ...any) error { return noError{fmt.Errorf(format, args...)} }

// damageError is an answer: what is there is not what was written.
type damageError struct{ error }

func (e damageError) Unwrap() error { return e.error }

func damagedError(format string, args ...any) error { return damageError{fmt.Errorf(format, args...)} }

// storeError is a failure of the object store.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// fromStore marks an error that came of asking the store for something, unless it is an answer.
func fromStore(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || isAnswer(err) {
		return err
	}
	return storeError{err}
}

// isAnswer reports whether the store has answered, with something that is not what it should be.
func isAnswer(err error) bool {
	var partial *tempodb.PartialError
	if errors.As(err, &partial) {
		for _, part := range partial.Parts {
			if !isAnswer(part) {
				return false
			}
		}
		return true
	}
	return page.IsCorrupt(err) || errors.Is(err, backend.ErrNotExist) || errors.As(err, new(noError)) || errors.As(err, new(damageError))
}

func exitCode(err error) int {
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, new(noError)):
		return exitNotFound
	case !errors.As(err, new(storeError)) && isAnswer(err):
		return exitDamage
	default:
		return exitFailed
	}
}

// lines returns what an error says, each cause in a line of its own.
func lines(err error) []string {
	var partial *tempodb.PartialError
	if errors.As(err, &partial) {
		all := []string{"the answer is not whole: of the blocks, these can't be read:"}
		for _, part := range partial.Parts {
			all = append(all, "  "+oneLine(part))
		}
		return all
	}
	return []string{oneLine(err)}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

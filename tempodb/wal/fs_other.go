//go:build !linux

package wal

import "errors"

var errNoReserve = errors.New("reserving space is not supported here")

// Reserve is for Linux, where it was measured to pay.
func (f osFile) Reserve(off, n int64) error { return errNoReserve }

package wal

import (
	"fmt"
	"time"
)

// Kind says what a damage is taken for.
type Kind uint8

const (
	// TornTail is what a crash leaves of records whose Append had not returned: ordinary, nothing is lost.
	TornTail Kind = iota + 1
	// Corrupt is anything else: bytes that were written, and probably acknowledged, do not read back.
	Corrupt
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case TornTail:
		return "torn tail"
	case Corrupt:
		return "corrupt"
	default:
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
}

// Damage is a stretch of a segment in which no record could be read.
type Damage struct {
	Segment uint64
	File    string
	Offset  int64
	Bytes   int64
	Kind    Kind
}

// String describes the damage in one line.
func (d Damage) String() string {
	return fmt.Sprintf("%s: %d bytes at offset %d: %s", d.File, d.Bytes, d.Offset, d.Kind)
}

// Report is what Open found.
type Report struct {
	Segments int   // replayed
	Skipped  int   // removed because the owner had them in blocks
	Records  int64 // replayed
	Bytes    int64 // payload bytes replayed
	// Damages are in the order of segments and offsets.
	Damages  []Damage
	Duration time.Duration
}

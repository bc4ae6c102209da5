package tempodb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// noteCodec is a codec of notes: a value is a list of lines "start duration field=value …", each preceded by
// its length. Merging keeps each different line once, in order of first appearance. The summary is the number of lines.
type noteCodec struct{}

func note(start, duration int64, terms ...string) []byte {
	line := fmt.Sprint(start, " ", duration)
	for _, term := range terms {
		line += " " + term
	}
	return appendLine(nil, []byte(line))
}

func appendLine(dst, line []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(line))), line...)
}

func eachLine(value []byte, fn func(line []byte) error) error {
	for len(value) > 0 {
		length, n := binary.Uvarint(value)
		if n <= 0 || length > uint64(len(value)-n) {
			return fmt.Errorf("value of notes is cut short")
		}
		if err := fn(value[n : n+int(length)]); err != nil {
			return err
		}
		value = value[n+int(length):]
	}
	return nil
}

func (noteCodec) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	seen := make(map[string]bool)
	for _, value := range values {
		err := eachLine(value, func(line []byte) error {
			if !seen[string(line)] {
				seen[string(line)] = true
				dst = appendLine(dst, line)
			}
			return nil
		})
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (noteCodec) Index(value []byte, s index.Sink) error {
	return eachLine(value, func(line []byte) error {
		words := strings.Fields(string(line))
		start, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil {
			return err
		}
		duration, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		s.Row(start, duration)
		for _, word := range words[2:] {
			field, term, _ := strings.Cut(word, "=")
			s.Term([]byte(field), []byte(term))
		}
		return nil
	})
}

func (noteCodec) Summarize(dst, value []byte) ([]byte, error) {
	lines := 0
	err := eachLine(value, func([]byte) error { lines++; return nil })
	return strconv.AppendInt(dst, int64(lines), 10), err
}

// lines returns the lines of a value, sorted.
func lines(value []byte) []string {
	var all []string
	if err := eachLine(value, func(line []byte) error { all = append(all, string(bytes.Clone(line))); return nil }); err != nil {
		return []string{err.Error()}
	}
	slices.Sort(all)
	return all
}

package export

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// Format is a form that traces are written in.
type Format string

// The formats.
const (
	OTLPJSON   Format = "otlp-json"
	JaegerJSON Format = "jaeger-json"
	Parquet    Format = "parquet"
)

// Formats lists all of them.
var Formats = []Format{OTLPJSON, JaegerJSON, Parquet}

// ParseFormat returns s as a format, if it is one.
func ParseFormat(s string) (Format, error) {
	if slices.Contains(Formats, Format(s)) {
		return Format(s), nil
	}
	return "", fmt.Errorf("format %q is none of %s", s, Formats)
}

// Writer writes traces.
type Writer interface {
	// Write writes a trace, OTLP TracesData, and returns how many spans it has. data is not kept.
	Write(data []byte) (spans int, err error)
	// Close writes what remains. It does not close what is written to.
	Close() error
}

// New returns a Writer to w.
func New(f Format, w io.Writer) (Writer, error) {
	out := bufio.NewWriterSize(w, 1<<18)
	switch f {
	case OTLPJSON:
		return &otlpWriter{out: out}, nil
	case JaegerJSON:
		return &jaegerWriter{out: out}, nil
	case Parquet:
		return newParquet(out), nil
	}
	return nil, fmt.Errorf("format %q is none of %s", f, Formats)
}

// otlpWriter writes lines of OTLP JSON.
type otlpWriter struct {
	out *bufio.Writer
	buf []byte
}

func (w *otlpWriter) Write(data []byte) (spans int, err error) {
	if w.buf, spans, err = appendOTLP(w.buf[:0], data); err != nil {
		return 0, err
	}
	w.buf = append(w.buf, '\n')
	_, err = w.out.Write(w.buf)
	return spans, err
}

func (w *otlpWriter) Close() error { return w.out.Flush() }

// jaegerWriter writes what Jaeger's query service answers.
type jaegerWriter struct {
	out   *bufio.Writer
	begun bool
}

func (w *jaegerWriter) Write(data []byte) (spans int, err error) {
	trace, err := Jaeger(data)
	if err != nil {
		return 0, err
	}
	text, err := marshal(trace)
	if err != nil {
		return 0, err
	}
	w.begin(",\n")
	_, err = w.out.Write(text)
	return len(trace.Spans), err
}

// begin writes what stands before a trace or the end.
func (w *jaegerWriter) begin(between string) {
	if !w.begun {
		w.begun, between = true, "{\"data\":[\n"
	}
	_, _ = w.out.WriteString(between) // Flush repeats the error
}

func (w *jaegerWriter) Close() error {
	if !w.begun {
		w.begin("")
	}
	_, _ = w.out.WriteString("\n]}\n")
	return w.out.Flush()
}

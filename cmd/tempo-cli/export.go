package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/blocks"
	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/trace"
)

func (p *program) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write traces to a file, as OTLP JSON, Jaeger JSON or a Parquet table",
		Long: `Write to a file the traces with at least one span on which all conditions hold; without conditions, all of them. Each
is written whole and once.

  tempo-cli export --format=parquet --since=24h -o spans.parquet
  duckdb -c "SELECT service, name, count(*), quantile_cont(duration_nano, 0.99) / 1e6 AS p99_ms
             FROM 'spans.parquet' WHERE span_attributes['http.status_code'] = '500' GROUP BY ALL"

Formats:
  otlp-json    a line for each trace; OpenTelemetry's collector reads it (otlpjsonfile)
  jaeger-json  what Jaeger's API answers; its UI opens it as a file
  parquet      a row for each span: IDs, service, name, kind, start, duration, status, attributes of
               resource, scope and span as maps of text, events and links as JSON

A file is written beside its place and gets its name at the end. Memory is bounded, whatever is exported.`,
		Args: noArguments,
	}
	format := &choice{value: "", of: []string{string(export.OTLPJSON), string(export.JaegerJSON), string(export.Parquet)}}
	cmd.Flags().Var(format, "format", "`form` of the file: otlp-json, jaeger-json, parquet")
	file := cmd.Flags().StringP("output", "o", "", "the `file`; - is stdout")
	var flags queryFlags
	flags.add(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if format.value == "" || *file == "" {
			return usage("export needs --format=otlp-json, jaeger-json or parquet, and -o FILE")
		}
		q, err := flags.query(time.Now())
		if err != nil {
			return err
		}
		set, err := p.openBlocks(cmd.Context())
		if err != nil {
			return err
		}
		out, err := p.create(*file)
		if err != nil {
			return err
		}
		defer out.abort()
		w, err := export.New(export.Format(format.value), out)
		if err != nil {
			return err
		}
		bar := newProgress(p.stderr, "export")
		defer bar.end()
		var traces, spans int64
		lost := set.Each(cmd.Context(), q, func(at blocks.Progress) {
			part := float64(at.Keys) / float64(max(at.AllKeys, 1))
			bar.show((float64(at.Blocks)+part)/float64(max(at.AllBlocks, 1)), fmt.Sprintf("%s traces, %s spans, %s", formatCount(traces), formatCount(spans), formatBytes(out.n)))
		}, func(_ trace.ID, data []byte) error {
			n, err := w.Write(data)
			traces++
			spans += int64(n)
			return err
		})
		if lost != nil && !isAnswer(lost) {
			return fromStore(lost)
		}
		if err := errors.Join(w.Close(), out.commit()); err != nil {
			return err
		}
		bar.end()
		fmt.Fprintf(p.stderr, "%s traces, %s spans, %s written\n", formatCount(traces), formatCount(spans), formatBytes(out.n))
		return whole(lost)
	}
	return cmd
}

// outFile is a file that gets its name when it is whole.
type outFile struct {
	io.Writer
	file *os.File // nil: stdout
	name string
	n    int64
}

// create begins a file; - is stdout.
func (p *program) create(name string) (*outFile, error) {
	if name == "-" {
		return &outFile{Writer: p.stdout}, nil
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return nil, usage("-o %s is a directory", name)
	}
	f, err := os.Create(name + ".part")
	if err != nil {
		return nil, err
	}
	return &outFile{Writer: f, file: f, name: name}, nil
}

func (o *outFile) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	o.n += int64(n)
	return n, err
}

func (o *outFile) commit() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	err := errors.Join(f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), o.name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// abort takes away what was written, unless it was committed.
func (o *outFile) abort() {
	if o.file != nil {
		o.file.Close()
		_ = os.Remove(o.file.Name()) // there is an error already
	}
}

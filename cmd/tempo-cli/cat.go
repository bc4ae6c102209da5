package main

import (
	"bufio"
	"errors"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
	"github.com/jaeger-tempo/tempo/tracedb"
)

func (p *program) catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat ID",
		Short: "Print what a block holds, as lines of OTLP JSON",
		Long: `Print what a block holds: a line of OTLP JSON for each trace, in the order of IDs. Of a trace of which other
blocks hold parts, this is the part of this block: trace ID joins them.`,
		Args: oneArgument("block"),
	}
	key := cmd.Flags().String("key", "", "only the trace of that `ID`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := parseBlockID(args[0])
		if err != nil {
			return err
		}
		var only trace.ID
		if *key != "" {
			if only, err = trace.ParseID(*key); err != nil {
				return usage("--key: %w", err)
			}
		}
		if err := p.open(cmd.Context()); err != nil {
			return err
		}
		b, err := block.Open(cmd.Context(), p.bucket, p.flags.tenant, id, tracedb.Codec{})
		if errors.Is(err, backend.ErrNotExist) {
			return no("block %s of tenant %s: %w in %s", id, p.flags.tenant, errNoBlock, p.flags.store)
		}
		if err != nil {
			return fromStore(err)
		}
		out := bufio.NewWriterSize(p.stdout, 1<<16)
		var line []byte
		write := func(value []byte) error {
			var err error
			if line, err = export.AppendOTLP(line[:0], value); err != nil {
				return err
			}
			_, err = out.Write(append(line, '\n'))
			return err
		}
		if *key == "" {
			err = b.Scan(cmd.Context(), block.Key{}, func(_ [16]byte, value []byte) (bool, error) { return true, write(value) })
			return fromStore(errors.Join(err, out.Flush()))
		}
		value, found, err := b.Get(cmd.Context(), nil, only)
		if err != nil {
			return fromStore(err)
		}
		if !found {
			return no("trace %s is not in block %s", only, id)
		}
		return errors.Join(write(value), out.Flush())
	}
	return cmd
}

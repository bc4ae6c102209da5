package main

import (
	"bufio"
	"errors"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/export"
	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/trace"
)

func (p *program) catCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat ID",
		Short: "Print what a block holds, as lines of OTLP JSON",
		Long: `Print what a block holds: a line of OTLP JSON for each trace, in the order of IDs. Of a trace of which other
blocks hold parts, this is the part of this block: trace ID joins them. Where pages are damaged, the others are printed.

  tempo-cli blocks cat 01M826G85SRYJWMRVVZCP3X78E | head -1 | jq .
  tempo-cli blocks cat 01M826G85SRYJWMRVVZCP3X78E --key=64aa0bcddc62826e1b13374b8113745f`,
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
		b, err := p.openBlock(cmd.Context(), id)
		if err != nil {
			return err
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
			var met []error
			err = b.ScanAround(cmd.Context(), block.Key{}, func(_ [16]byte, value []byte) (bool, error) { return true, write(value) }, func(damage error) error {
				met = append(met, damage)
				return nil
			})
			if err = errors.Join(err, out.Flush()); err == nil && len(met) > 0 {
				err = &tempodb.PartialError{Parts: met}
			}
			return fromStore(err)
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

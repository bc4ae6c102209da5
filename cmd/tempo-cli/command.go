package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/cmd/tempo-cli/blocks"
	"github.com/jaeger-tempo/tempo/internal/version"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// program is one run.
type program struct {
	stdout, stderr io.Writer
	env            func(string) (string, bool)

	flags   storeFlags
	bucket  backend.Bucket // nil before open
	counted *instrument.Counted
	set     *blocks.Set // nil before openBlocks
	closers []func() error
}

func (p *program) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tempo-cli",
		Short: "Look at traces and blocks in an object store",
		Long: `tempo-cli looks at the blocks in which traces are kept, in a directory or in GCS, S3 or Azure.
It needs no running daemon and disturbs none: it reads, and writes nothing to a store but with gen.

  tempo-cli --store=./tempo-data blocks list           the storage.path of tempo-plugin
  tempo-cli --store=gs://traces/prod blocks verify --all
  tempo-cli --store=s3://traces/prod search --service=cart --tag=error=true --since=1h
  tempo-cli trace 4bf92f3577b34da6a3ce929d0e0e4736     with TEMPO_STORE in the environment

What a daemon has taken in the last minutes is in its log and not in blocks: that is not seen.

Stores:
  DIRECTORY, file:///DIRECTORY   of blocks, or the storage.path of an embedded store
  gs://BUCKET/PREFIX             credentials as for Google's programs; STORAGE_EMULATOR_HOST
  s3://BUCKET/PREFIX             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, shared credentials
                                 file or role; --s3-endpoint and so on for other servers than AWS
  azblob://CONTAINER/PREFIX      AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, or
                                 AZURE_STORAGE_CONNECTION_STRING, or an identity

Exit codes:
  0  done
  1  failed: the store can't be reached or read, or a file can't be written
  2  called the wrong way
  3  damage was found, or the answer is not whole: what there is was printed
  4  there is no such trace, block, service or tenant`,
		Version:       version.Text(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%w: see %s --help", err, cmd.CommandPath())
	})
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.PersistentFlags().SortFlags = false
	p.flags.add(root.PersistentFlags(), p.env)
	root.PersistentFlags().BoolP("help", "h", false, "say more about a command")
	root.Flags().Bool("version", false, "print the version")
	root.AddCommand(p.tenantsCommand(), p.blocksCommand(), p.quarantineCommand(), p.traceCommand(), p.searchCommand(), p.servicesCommand(), p.operationsCommand(),
		p.exportCommand(), p.compactCommand(), p.retentionCommand(), p.genCommand())
	return root
}

// group returns a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			if len(args) == 0 {
				return usage("%s what? One of %s: see %s --help", cmd.Name(), strings.Join(names, ", "), cmd.CommandPath())
			}
			return usage("%s has no command %q: it has %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usage("there is no command %q: see %s --help", args[0], cmd.CommandPath())
	}
	return usage("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())
}

// oneArgument is the Args of a command that takes just one.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usage("which %s? See %s --help", what, cmd.CommandPath())
		case 1:
			return nil
		}
		return usage("unexpected argument %q: one %s is asked for", args[1], what)
	}
}

// outputFlag adds -o to a command. The first form is the default.
func outputFlag(cmd *cobra.Command, forms ...string) *choice {
	c := &choice{value: forms[0], of: forms}
	cmd.Flags().VarP(c, "output", "o", "`form` of the answer: "+strings.Join(forms, ", "))
	return c
}

// choice is a flag that has one of some values.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return "form" }
func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("it is none of %s", strings.Join(c.of, ", "))
	}
	c.value = s
	return nil
}

func (c *choice) json() bool { return c.value == "json" }

// open opens the store, once.
func (p *program) open(ctx context.Context) error {
	if p.bucket != nil {
		return nil
	}
	if err := block.CheckTenant(p.flags.tenant); err != nil {
		return usage("--tenant: %w", err)
	}
	counted, closer, err := p.flags.openBucket(ctx, p.env)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, closer)
	p.counted, p.bucket = counted, counted
	if !strings.HasPrefix(p.flags.store, "file://") && strings.Contains(p.flags.store, "://") {
		p.bucket = tryAgain(counted)
	}
	return nil
}

// close ends what was opened.
func (p *program) close() {
	for _, closer := range slices.Backward(p.closers) {
		_ = closer() // what was only read from
	}
	if p.flags.stats && p.counted != nil {
		p.printStats()
	}
}

// warn says what damage was met that did no harm to the answer.
func (p *program) warn() {
	if p.set == nil {
		return
	}
	for _, err := range p.set.Damage() {
		fmt.Fprintf(p.stderr, "tempo-cli: the answer is whole, but took a detour around damage: %s\n", oneLine(err))
	}
}

func (p *program) printStats() {
	counts := p.counted.Counts()
	total := counts.Total()
	fmt.Fprintf(p.stderr, "asked of the store: %d requests, %s", total.Requests, formatBytes(total.Bytes))
	for _, op := range []instrument.Op{instrument.OpList, instrument.OpSize, instrument.OpRead} {
		if n := counts.Op(op).Requests; n > 0 {
			fmt.Fprintf(p.stderr, ", %d %s", n, op)
		}
	}
	if total.Errors > 0 {
		fmt.Fprintf(p.stderr, ", %d failed", total.Errors)
	}
	fmt.Fprintln(p.stderr)
}

// openBlocks opens the store and lists the tenant's blocks. A tenant without any is an error that names those that have some.
func (p *program) openBlocks(ctx context.Context) (*blocks.Set, error) {
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	set, err := blocks.Open(ctx, p.bucket, p.flags.tenant)
	if err != nil {
		return nil, storeError{err}
	}
	p.set = set
	if l := set.Blocks(); len(l.Live)+len(l.Retired)+len(l.Damaged)+len(l.Unfinished) > 0 {
		return set, nil
	}
	tenants, err := p.tenants(ctx)
	if err != nil {
		return nil, err
	}
	if len(tenants) == 0 {
		return nil, no("there are no blocks in %s", p.flags.store)
	}
	return nil, no("tenant %s has no blocks in %s; --tenant may be one of %s", p.flags.tenant, p.flags.store, strings.Join(tenants, ", "))
}

// tenants returns the names of the folders in the store that can be tenants.
func (p *program) tenants(ctx context.Context) ([]string, error) {
	var tenants []string
	err := p.bucket.List(ctx, "", func(name string) error {
		if tenant, folder := strings.CutSuffix(name, "/"); folder && block.CheckTenant(tenant) == nil {
			tenants = append(tenants, tenant)
		}
		return nil
	})
	if err != nil {
		return nil, storeError{err}
	}
	return tenants, nil
}

// whole returns err as the outcome of a command whose answer was printed.
func whole(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fromStore(err)
}

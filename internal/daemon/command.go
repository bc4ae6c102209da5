package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/version"
)

// UsageError is a call that makes no sense, told to who made it with exit code 2.
type UsageError struct{ error }

func (e UsageError) Unwrap() error { return e.error }

// Usage returns a UsageError.
func Usage(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Program says what a program is.
type Program struct {
	Name string
	// Short and Long are its help. Long is followed by the keys of the configuration, and After.
	Short, Long, After string
	// Flags set keys of the configuration, beside the file.
	Flags []Flag
	// Check is asked before Run whether it may run at all; nil is yes.
	Check func() error
	// Run runs it until it is asked to stop.
	Run func(config.Config) error
}

// Flag is a flag that sets a key of the configuration, whatever the file says.
type Flag struct{ Name, Key string }

// Command returns the command that reads the configuration and runs the program, or prints the configuration, version or help. Flags may be added to it.
func (p *Program) Command() *cobra.Command {
	var (
		file, sameFile string
		print          bool
	)
	cmd := &cobra.Command{
		Use:           p.Name,
		Short:         p.Short,
		Long:          p.help(),
		Version:       version.Text(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return Usage("unexpected argument %q: see --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && sameFile != "" && file != sameFile {
				return Usage("--config %s and --config.file %s mean the same: give one", sameFile, file)
			}
			if file == "" {
				file = sameFile
			}
			if !print && p.Check != nil {
				if err := p.Check(); err != nil {
					return err
				}
			}
			cfg, err := config.Load(file, os.LookupEnv)
			if err == nil {
				err = p.set(&cfg, cmd.Flags())
			}
			switch {
			case err != nil:
				return err
			case print:
				return config.Print(cmd.OutOrStdout(), cfg)
			}
			return p.Run(cfg)
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage("%w: see --help", err) })
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&file, "config.file", "", "configuration `file` (YAML); without one, everything has its default")
	flags.StringVar(&sameFile, "config", "", "the same `file`, by the name that Jaeger passes it on by")
	for _, f := range p.Flags {
		flags.String(f.Name, "", "`value` of "+f.Key+", whatever the file says")
	}
	flags.BoolVar(&print, "config.print", false, "check the configuration, print what is in effect, and exit")
	flags.Bool("version", false, "print the version and exit")
	flags.BoolP("help", "h", false, "print this text and exit")
	return cmd
}

// set sets the keys that flags were given for.
func (p *Program) set(cfg *config.Config, flags *pflag.FlagSet) error {
	for _, f := range p.Flags {
		if flag := flags.Lookup(f.Name); flag.Changed {
			if err := cfg.Set(f.Key, flag.Value.String()); err != nil {
				return Usage("--%s: %w", f.Name, err)
			}
		}
	}
	return nil
}

func (p *Program) help() string {
	var b strings.Builder
	b.WriteString(p.Long + "\n\nConfiguration keys, with their defaults:\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, k := range config.Keys() {
		fmt.Fprintf(w, "  %s\t%s\n", k.Name, plain(k.Default))
		fmt.Fprintf(w, "  \t  %s\n", plain(k.Summary()))
	}
	_ = w.Flush()
	if p.After != "" {
		b.WriteString("\n" + p.After)
	}
	return b.String()
}

// plain is Markdown text as a terminal shows it.
func plain(s string) string { return strings.ReplaceAll(s, "`", "") }

// ExitCode is the one that tells of err.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(UsageError)):
		return 2
	}
	return 1
}

// Lines returns the lines in which err is told: each problem of a configuration has one.
func Lines(err error) []string {
	if errors.As(err, new(*config.Error)) {
		return strings.Split(err.Error(), "\n")
	}
	return []string{err.Error()}
}

// Report writes the error that ends a program, as a person at a terminal reads it.
func Report(w io.Writer, program string, err error) {
	for _, line := range Lines(err) {
		fmt.Fprintf(w, "%s: %s\n", program, line)
	}
}

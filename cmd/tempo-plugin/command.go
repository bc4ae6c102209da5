package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/version"
)

// usageError is a call that makes no sense, told to who made it with exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func command(byJaeger bool) *cobra.Command {
	var (
		file, sameFile string
		print          bool
	)
	cmd := &cobra.Command{
		Use:           "tempo-plugin",
		Short:         "Storage for Jaeger on a local directory",
		Long:          help(),
		Version:       version.Text(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q: there are only flags, see --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && sameFile != "" && file != sameFile {
				return usageError{fmt.Errorf("--config %s and --config.file %s mean the same: give one", file, sameFile)}
			}
			if file == "" {
				file = sameFile
			}
			switch {
			case print:
				cfg, err := config.Load(file, os.LookupEnv)
				if err != nil {
					return err
				}
				return config.Print(cmd.OutOrStdout(), cfg)
			case !byJaeger:
				return usageError{errors.New(notByHand)}
			}
			return serve(file)
		},
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see --help", err)}
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&file, "config", "", "configuration `file` (YAML); without one, everything has its default")
	flags.StringVar(&sameFile, "config.file", "", "the same `file`, by the name that other daemons use")
	flags.BoolVar(&print, "config.print", false, "check the configuration, print what is in effect, and exit")
	flags.Bool("version", false, "print the version and exit")
	flags.BoolP("help", "h", false, "print this text and exit")
	return cmd
}

const notByHand = `this program is started by Jaeger, not by hand. Tell Jaeger (up to v1.57) to use it:

  SPAN_STORAGE_TYPE=grpc-plugin jaeger-all-in-one --grpc-storage-plugin.binary=/path/to/tempo-plugin

--help says the rest`

func help() string {
	var b strings.Builder
	b.WriteString(`tempo-plugin stores Jaeger's traces in a directory: no database, no cluster.
A span is on disk when Jaeger hears that it was written, and can be found from then on.

Jaeger (up to v1.57) starts this program itself, as a plugin:

  SPAN_STORAGE_TYPE=grpc-plugin OTEL_TRACES_SAMPLER=always_off \
    jaeger-all-in-one --grpc-storage-plugin.binary=/path/to/tempo-plugin

That is all: traces are now kept in ` + config.Default(os.LookupEnv).Storage.Path + `. (OTEL_TRACES_SAMPLER=always_off
keeps Jaeger from storing traces of its own storing.)

To keep them elsewhere, write a configuration and name it to Jaeger, which passes it on as --config:

  echo 'storage: {path: /var/lib/tempo}' > tempo.yaml
  tempo-plugin --config tempo.yaml --config.print        # is it right, and what is in effect?
  SPAN_STORAGE_TYPE=grpc-plugin OTEL_TRACES_SAMPLER=always_off \
    jaeger-all-in-one --grpc-storage-plugin.binary=/path/to/tempo-plugin \
      --grpc-storage-plugin.configuration-file=tempo.yaml

One process can use a directory. jaeger-collector and jaeger-query start a plugin each: use
jaeger-all-in-one, in which one plugin serves both.

Configuration keys, with their defaults:

`)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, k := range config.Keys() {
		fmt.Fprintf(w, "  %s\t%s\n", k.Name, plain(k.Default))
		fmt.Fprintf(w, "  \t  %s\n", plain(k.Summary()))
	}
	_ = w.Flush()
	b.WriteString("\nWhile it runs, http://" + config.AdminDefaultAddress + "/ shows how it is doing.")
	return b.String()
}

// plain is Markdown text as a terminal shows it.
func plain(s string) string { return strings.ReplaceAll(s, "`", "") }

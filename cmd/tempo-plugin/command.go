package main

import (
	"os"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
)

func program(byJaeger bool) *daemon.Program {
	return &daemon.Program{
		Name:  "tempo-plugin",
		Short: "Storage for Jaeger on a local directory, or on a cluster",
		Long:  help(),
		After: "While it runs, http://" + config.AdminDefaultAddress + "/ shows how it is doing.",
		Check: func() error {
			if !byJaeger {
				return daemon.Usage("%s", notByHand)
			}
			return nil
		},
		Run: serve,
	}
}

const notByHand = `this program is started by Jaeger, not by hand. Tell Jaeger (up to v1.57) to use it:

  SPAN_STORAGE_TYPE=grpc-plugin jaeger-all-in-one --grpc-storage-plugin.binary=/path/to/tempo-plugin

--help says the rest`

func help() string {
	return `tempo-plugin stores Jaeger's traces in a directory: no database, no cluster.
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
jaeger-all-in-one, in which one plugin serves both. Or set ring.store and storage.blocks: the plugin then
writes to and reads from a cluster of the daemons of the program tempo, and any number of plugins can.`
}

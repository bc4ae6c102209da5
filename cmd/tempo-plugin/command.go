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
		Run: runPlugin,
	}
}

// server is the program as a daemon.
func server() *daemon.Program {
	return &daemon.Program{
		Name:  "serve",
		Short: "Serve any Jaeger, as remote storage, instead of being started by one",
		Long:  serveHelp,
		After: "While it runs, http://" + config.AdminDefaultAddress + "/ shows how it is doing.",
		Flags: []daemon.Flag{{Name: "grpc.listen-address", Key: "remote.listen_address"}},
		Run:   serve,
	}
}

const serveHelp = `tempo-plugin serve keeps Jaeger's traces, and Jaeger comes to it over the network: any number of collectors and query services.

  tempo-plugin serve --config.file=tempo.yaml                                   on remote.listen_address
  tempo-plugin serve --config.file=tempo.yaml --grpc.listen-address=H:17271     on another one

  SPAN_STORAGE_TYPE=grpc jaeger-all-in-one --grpc-storage.server=H:17271        Jaeger v1.58 and later
  SPAN_STORAGE_TYPE=grpc-plugin jaeger-all-in-one --grpc-storage.server=H:17271 Jaeger up to v1.57

and jaeger_storage.backends.NAME.grpc.endpoint of Jaeger v2.

Jaeger v1.66 and later asks a second server for archived traces: set remote.archive_listen_address, and tell Jaeger
--grpc-storage-archive.server. Set OTEL_TRACES_SAMPLER=always_off for Jaeger, or it stores traces of its own storing.

The store is a directory, or with storage.blocks an object store, of which this process is the only one; or with ring.store
the way to a cluster. It ends on SIGTERM or SIGINT.`

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

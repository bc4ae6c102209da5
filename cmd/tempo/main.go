package main

import (
	"os"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
)

func main() {
	var target string
	p := &daemon.Program{
		Name:  "tempo",
		Short: "The daemons of a cluster that stores Jaeger's traces in an object store",
		Long:  help,
		After: "While it runs, the admin server, http://" + config.AdminDefaultAddress + "/ if nothing else is set, shows how it is doing.",
		Check: func() error { return checkTarget(target) },
		Run:   func(cfg config.Config) error { return run(target, cfg) },
	}
	cmd := p.Command()
	cmd.Flags().StringVar(&target, "target", "", "what this process does: `ROLE` is ingester, compactor, querier or all")
	err := cmd.Execute()
	if err != nil {
		daemon.Report(os.Stderr, p.Name, err)
	}
	os.Exit(daemon.ExitCode(err))
}

const help = `tempo runs the daemons of a cluster that stores Jaeger's traces in an object store: GCS, S3, Azure, or a directory.

  tempo --target=ingester  --config.file=tempo.yaml     keeps recent traces; three of them, on machines of their own
  tempo --target=compactor --config.file=tempo.yaml     merges and drops blocks in the object store; any number
  tempo --target=querier   --config.file=tempo.yaml     answers questions about blocks for plugins that name it in reader.queriers; any number, or none
  tempo --target=all       --config.file=tempo.yaml     all of them in one process

Jaeger writes to the cluster and reads from it through tempo-plugin, with the same ring.store, ring.join and storage.blocks in its configuration.
All processes can share one file, in which ${VARIABLES} stand for what differs: see jaeger-config/v1.57-cluster.`

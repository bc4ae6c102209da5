package main

import (
	"context"
	"errors"
	"os"

	"github.com/jaeger-tempo/tempo/config"
	"github.com/jaeger-tempo/tempo/internal/daemon"
	"github.com/jaeger-tempo/tempo/internal/node"
	"github.com/jaeger-tempo/tempo/internal/tracing"
	"github.com/jaeger-tempo/tempo/internal/version"
)

// targets are what a process can consist of.
var targets = map[string][]func(*node.Node, context.Context) error{
	"ingester":  {(*node.Node).Ingest},
	"compactor": {(*node.Node).Compact},
	"querier":   {(*node.Node).Query},
	"all":       {(*node.Node).Ingest, (*node.Node).Compact, (*node.Node).Query},
}

func checkTarget(target string) error {
	if target == "" {
		return daemon.Usage("--target is missing: it says what this process does, ingester, compactor, querier or all")
	}
	if targets[target] == nil {
		return daemon.Usage("--target=%s is not one of ingester, compactor, querier, all", target)
	}
	return nil
}

func run(target string, cfg config.Config) (err error) {
	switch {
	case target == "querier":
		if cfg.Storage.Blocks == "" {
			return errors.New("storage.blocks: is empty: name the object store that a querier reads")
		}
	case cfg.Ring.Store != config.RingNone:
	case target != "all":
		return errors.New("ring.store: is empty: nobody would find this process; set it to memberlist, etcd or consul, or run --target=all")
	default:
		cfg.Ring.Store, cfg.Ring.Replication = config.RingMemberlist, 1 // a ring of one, which plugins can join
	}
	log := daemon.NewLog(cfg.Logging.Level, os.Stderr)
	ctx := daemon.UntilStopped(log)
	stopTracing, err := tracing.Start("tempo-"+target, os.LookupEnv, log.Logger)
	if err != nil {
		return err
	}
	defer stopTracing()
	admin := daemon.NewAdmin("tempo --target="+target, target, cfg, log)
	if err := admin.Listen(); err != nil {
		return err
	}
	// A querier without a ring knows blocks only: what it told Jaeger would lack what is recent, and it could write nothing.
	remote := (target == "all" || target == "querier" && cfg.Ring.Store != config.RingNone) && cfg.Remote.ListenAddress != config.RemoteOff
	n, err := node.Open(ctx, node.Options{Config: cfg, Program: "tempo --target=" + target, Log: log, Admin: admin, Serves: true, Remote: remote})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, n.Close())
		log.Info("stopped")
	}()
	for _, start := range targets[target] {
		if err := start(n, ctx); err != nil {
			return err
		}
	}
	if err := n.Serve(); err != nil {
		return err
	}
	if remote {
		if err := n.Remote(ctx); err != nil {
			return err
		}
	}
	admin.SetReady(n.Ready)
	log.Info("started", "target", target, "instance", cfg.Instance.Name(), "version", version.Text())
	return n.Wait(ctx)
}

// Run-cluster shows a cluster at work: three ingesters, two compactors and an object store's double as plain processes, with jaeger-collector and
// jaeger-query of v1.57 before them and a plugin process each. It stays until Ctrl-C.
//
// `make cluster` builds what it needs and calls it. It is no part of the store.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster"
	"github.com/jaeger-tempo/tempo/e2e/cluster/process"
)

func main() {
	// The kernel ends the processes when the thread that started them ends: this one must not.
	runtime.LockOSThread()

	dir := flag.String("dir", "tempo-cluster", "`folder` for all that is stored and logged; what an earlier run has left there is found again")
	free := flag.Bool("free-ports", false, "listen on any free ports rather than on Jaeger's own")
	runFor := flag.Duration("for", 0, "end by itself after this `time` (0: stay until Ctrl-C)")
	flag.Parse()

	// The second signal ends this program at once, and with it all others.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	if err := run(ctx, *dir, *free, *runFor); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "run-cluster:", err)
		os.Exit(1)
	}
}

// own are Jaeger's own ports.
var own = cluster.Jaeger{
	API: "127.0.0.1:16686", QueryGRPC: "127.0.0.1:16685", OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318",
	SpansGRPC: "127.0.0.1:14250", SpansHTTP: "127.0.0.1:14268", Zipkin: "127.0.0.1:9411",
}

func run(ctx context.Context, dir string, free bool, runFor time.Duration) (err error) {
	var ports cluster.Jaeger
	if !free {
		ports = own
		if err := available(ports.API, ports.QueryGRPC, ports.OTLPGRPC, ports.OTLPHTTP, ports.SpansGRPC, ports.SpansHTTP, ports.Zipkin); err != nil {
			return err
		}
	}
	fmt.Printf("==> starting three ingesters, two compactors and fake-gcs-server; all that they store and log is in %s\n", dir)
	c, err := cluster.Start(cluster.Options{Root: ".", Dir: dir, Ingesters: 3, Compactors: 2, Keys: map[string]string{
		"cut.age": "1m", "ingester.keep": "2m", "reader.poll_interval": "5s", "compactor.grace": "5m",
	}})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("==> stopping all of them")
		err = errors.Join(err, c.Close())
	}()
	fmt.Println("==> starting jaeger-collector and jaeger-query, with a plugin each")
	j, err := c.StartJaeger(ports)
	if err != nil {
		return err
	}
	if err := show(ctx, j); err != nil {
		return err
	}
	fmt.Println("  processes")
	for _, n := range c.Nodes() {
		fmt.Printf("    %-12s pid %-7d http://%s/\n", n.ID, n.Pid(), n.Admin)
	}
	fmt.Printf("  kill one    kill -9 %d   (nothing is lost, and nothing fails; this program does not start it again)\n", c.Ingesters[0].Pid())

	var over <-chan time.Time
	if runFor > 0 {
		over = time.After(runFor)
		fmt.Printf("\nRunning for %v.\n", runFor)
	} else {
		fmt.Println("\nCtrl-C ends all of them.")
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-j.Collector.Ended():
		return fmt.Errorf("jaeger-collector ended: %w; it said:\n%s", j.Collector.Err(), j.Collector.Tail(10))
	case <-j.Query.Ended():
		return fmt.Errorf("jaeger-query ended: %w; it said:\n%s", j.Query.Err(), j.Query.Tail(10))
	}
}

// show sends traces to the collector until the query service finds them, and tells the user how to do the same.
func show(ctx context.Context, j *cluster.Jaeger) error {
	api := "http://" + j.API
	fmt.Printf("==> sending traces to http://%s\n", j.OTLPHTTP)
	find := process.Answers(api + "/api/services/demo/operations")
	for end := time.Now().Add(time.Minute); ; {
		// The ring takes a moment until it is written to, and Jaeger's collector does not repeat what failed.
		cmd := exec.CommandContext(ctx, "bin/jaeger-v1.57/tracegen", "-service=demo", "-traces=3", "-spans=4", "-pause=2ms", "-trace-exporter=otlp-http")
		cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+j.OTLPHTTP)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("tracegen: %w\n%s", err, out)
		}
		err := find()
		if err == nil {
			err = found(api + "/api/traces?service=demo&limit=1")
		}
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("traces were sent, but none is found: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	fmt.Printf(`==> found them

Jaeger is up, with its traces in a cluster:
  look        %s   (built from its Go module Jaeger has no UI, only the API)
  send        OTLP to %s (gRPC) or %s (HTTP), e.g.
              OTEL_EXPORTER_OTLP_ENDPOINT=http://%s bin/jaeger-v1.57/tracegen -service shop -traces 5 -trace-exporter otlp-http
  search      curl -s '%s/api/traces?service=demo&limit=5'
  services    curl -s '%s/api/services'
`, api, j.OTLPGRPC, j.OTLPHTTP, j.OTLPHTTP, api, api)
	return nil
}

// available returns an error that names the addresses on which somebody listens.
func available(addresses ...string) error {
	var errs []error
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: end the program that listens there (another Jaeger?), or take other ports: make cluster PORTS=free", err))
			continue
		}
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Run-jaeger shows the store at work: it starts a real Jaeger all-in-one on the plugin, sends it a few
// traces, finds one of them through Jaeger's API, says how to look at them, and stays until Ctrl-C.
//
// `make run` builds what it needs and calls it. It is no part of the store.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	// Jaeger asks the kernel to be told when the thread that started it ends: this one must not.
	runtime.LockOSThread()

	var o options
	var freePorts bool
	flag.StringVar(&o.jaeger, "jaeger", "", "Jaeger's all-in-one `program`, v1.57 or earlier")
	flag.StringVar(&o.tracegen, "tracegen", "", "Jaeger's tracegen `program`")
	flag.StringVar(&o.plugin, "plugin", "", "the storage plugin, a `program`")
	flag.StringVar(&o.config, "config", "", "the plugin's configuration `file`")
	flag.StringVar(&o.log, "log", "jaeger.log", "`file` for Jaeger's log")
	flag.BoolVar(&freePorts, "free-ports", false, "listen on any free ports rather than on Jaeger's own")
	flag.DurationVar(&o.runFor, "for", 0, "end by itself after this `time` (0: stay until Ctrl-C)")
	flag.Parse()

	// The second signal ends this program at once, and Jaeger with it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	var err error
	if o.ports, err = choosePorts(freePorts); err == nil {
		err = run(ctx, o)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "run-jaeger:", err)
		os.Exit(1)
	}
}

// options say what to run, and where.
type options struct {
	jaeger, tracegen, plugin, config, log string
	ports                                 []port
	runFor                                time.Duration
}

// run starts Jaeger, shows that it stores and finds traces, and returns once ctx has ended, Jaeger has,
// or o.runFor is over. No process that it started is left then.
func run(ctx context.Context, o options) (err error) {
	fmt.Printf("==> starting Jaeger (%s) on the plugin (%s); its log: %s\n", o.jaeger, o.plugin, o.log)
	j, err := startJaeger(o)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("==> stopping Jaeger and the plugin")
		err = errors.Join(err, j.stop())
	}()

	// Whatever is waited for below ends with Jaeger's end too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-j.ended
		cancel(j.endError())
	}()
	if err := show(ctx, o); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}

	var over <-chan time.Time
	if o.runFor > 0 {
		over = time.After(o.runFor)
		fmt.Printf("\nRunning for %v.\n", o.runFor)
	} else {
		fmt.Println("\nCtrl-C ends Jaeger and the plugin.")
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// show sends traces to Jaeger, finds one, and tells the user how to do the same.
func show(ctx context.Context, o options) error {
	api := jaegerAPI{base: "http://localhost:" + portOf(o.ports, "query.http-server")}
	if err := api.wait(ctx, 30*time.Second); err != nil {
		return err
	}
	began := time.Now()
	otlp := "http://localhost:" + portOf(o.ports, "collector.otlp.http")
	fmt.Printf("==> sending three traces to %s with %s\n", otlp, o.tracegen)
	if err := sendTraces(ctx, o.tracegen, otlp); err != nil {
		return err
	}
	id, spans, err := api.find(ctx, demoService, began, 15*time.Second)
	if err != nil {
		return err
	}

	fmt.Printf(`==> found trace %s with %d spans

Jaeger is up, with its traces in this store:
  look        %s
`, id, spans, api.base)
	if !api.hasUI(ctx) {
		fmt.Println(`              (this Jaeger was built from its Go module and has no UI, only the API; an official
              release of v1.57 brings the UI: make run JAEGER_BIN=path/to/jaeger-all-in-one)`)
	}
	fmt.Printf(`  send        OTLP to localhost:%s (gRPC) or localhost:%s (HTTP), e.g.
              OTEL_EXPORTER_OTLP_ENDPOINT=%s %s -service shop -traces 5
  find by ID  curl -s '%s/api/traces/%s'
  search      curl -s '%s/api/traces?service=%s&limit=5'
  services    curl -s '%s/api/services'
`, portOf(o.ports, "collector.otlp.grpc"), portOf(o.ports, "collector.otlp.http"), otlp, o.tracegen,
		api.base, id, api.base, demoService, api.base)
	return nil
}

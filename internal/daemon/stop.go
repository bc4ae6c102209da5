package daemon

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilStopped returns a context that is cancelled on SIGTERM or SIGINT. A second signal kills the process: it can end at any moment.
func UntilStopped(log *Log) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		why := <-asked
		signal.Stop(asked) // signals do again what they do by themselves
		log.Info("stopping", "why", why.String())
		cancel()
	}()
	return ctx
}

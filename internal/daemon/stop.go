package daemon

import (
	"context"
	"os/signal"
	"syscall"
)

// UntilStopped returns a context that is cancelled on SIGTERM or SIGINT. A second signal kills the process: it can end at any moment.
func UntilStopped(log *Log) context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ctx.Done()
		stop() // signals do again what they do by themselves
		log.Info("stopping", "why", "a signal")
	}()
	return ctx
}

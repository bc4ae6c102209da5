package ring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
)

// cortexLogger lets Cortex log to logger; nil is silence.
func cortexLogger(logger *slog.Logger) log.Logger {
	if logger == nil {
		return log.NewNopLogger()
	}
	return log.LoggerFunc(func(pairs ...any) error {
		at, message, stopped := slog.LevelInfo, "", false
		var rest []any
		for i := 0; i+1 < len(pairs); i += 2 {
			switch key := fmt.Sprint(pairs[i]); {
			case key == "level":
				at = levels[fmt.Sprint(pairs[i+1])]
			case key == "msg":
				message = fmt.Sprint(pairs[i+1])
			default:
				rest = append(rest, key, pairs[i+1])
				if err, ok := pairs[i+1].(error); ok && errors.Is(err, context.Canceled) {
					stopped = true
				}
			}
		}
		if stopped {
			at = min(at, slog.LevelDebug) // this process ends: what it had begun need not succeed
		}
		logger.Log(context.Background(), at, "ring: "+message, rest...)
		return nil
	})
}

var levels = map[string]slog.Level{
	level.DebugValue().String(): slog.LevelDebug,
	level.InfoValue().String():  slog.LevelDebug, // what is information for Cortex is detail for the user of a plugin
	level.WarnValue().String():  slog.LevelWarn,
	level.ErrorValue().String(): slog.LevelError,
}

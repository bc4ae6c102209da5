package daemon

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Log is the log of a program, which remembers the last warnings and errors for the status page.
type Log struct {
	*slog.Logger
	// HC is the same for who speaks hclog. Its lines are JSON, which Jaeger reads with their levels.
	HC     hclog.Logger
	recent *recent
}

// NewLog returns a log that writes to out the lines of a level and above it.
//
// In a plugin out must be the process's stderr as it was at start: go-plugin later puts a pipe into os.Stderr.
func NewLog(level string, out io.Writer) *Log {
	hc := hclog.New(&hclog.LoggerOptions{Name: "tempo", Level: hclog.LevelFromString(level), Output: out, JSONFormat: true})
	r := new(recent)
	return &Log{Logger: slog.New(&bridge{to: hc, recent: r}), HC: hc, recent: r}
}

// bridge is a slog.Handler that writes to an hclog.Logger, and remembers warnings for the status page.
type bridge struct {
	to     hclog.Logger
	recent *recent
	args   []any  // of WithAttrs: key, value, key, value
	group  string // prefix of keys, with its dot
}

func hclogLevel(l slog.Level) hclog.Level {
	switch {
	case l < slog.LevelDebug:
		return hclog.Trace
	case l < slog.LevelInfo:
		return hclog.Debug
	case l < slog.LevelWarn:
		return hclog.Info
	case l < slog.LevelError:
		return hclog.Warn
	}
	return hclog.Error
}

func (b *bridge) Enabled(_ context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || hclogLevel(l) >= b.to.GetLevel()
}

func (b *bridge) Handle(_ context.Context, r slog.Record) error {
	args := slices.Clip(b.args)
	r.Attrs(func(a slog.Attr) bool {
		args = appendAttr(args, b.group, a)
		return true
	})
	if r.Level >= slog.LevelWarn {
		b.recent.add(entry{Time: r.Time, Level: r.Level.String(), Message: r.Message, Args: args})
	}
	b.to.Log(hclogLevel(r.Level), r.Message, args...)
	return nil
}

func (b *bridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *b
	c.args = slices.Clip(b.args)
	for _, a := range attrs {
		c.args = appendAttr(c.args, b.group, a)
	}
	return &c
}

func (b *bridge) WithGroup(name string) slog.Handler {
	if name == "" {
		return b
	}
	c := *b
	c.group += name + "."
	return &c
}

// appendAttr adds key and value, the members of a group one by one under dotted names.
func appendAttr(args []any, prefix string, a slog.Attr) []any {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range v.Group() {
			args = appendAttr(args, prefix, m)
		}
		return args
	case a.Equal(slog.Attr{}):
		return args
	case v.Kind() == slog.KindDuration: // JSON would make nanoseconds of it
		return append(args, prefix+a.Key, v.Duration().String())
	}
	return append(args, prefix+a.Key, v.Any())
}

// entry is a warning or an error that was logged.
type entry struct {
	Time    time.Time
	Level   string
	Message string
	Args    []any
}

// recent keeps the last entries. It may be used concurrently.
type recent struct {
	mu      sync.Mutex
	entries []entry // at most maxRecent, oldest first
}

const maxRecent = 20

func (r *recent) add(e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == maxRecent {
		r.entries = append(r.entries[:0], r.entries[1:]...)
	}
	r.entries = append(r.entries, e)
}

// list returns the entries, newest first.
func (r *recent) list() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.entries)
	slices.Reverse(out)
	return out
}

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress says on a terminal how far a long work is. Where there is no terminal it says nothing.
type progress struct {
	w     io.Writer // nil: nothing
	what  string
	begun time.Time
	last  time.Time
	shown int // characters on the line
}

// newProgress begins a work of that name.
func newProgress(w io.Writer, what string) *progress {
	p := &progress{what: what, begun: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.w = w
		}
	}
	return p
}

// show says that the part done, of 1, is done, and more in words. It does so ten times a second at most.
func (p *progress) show(done float64, words string) {
	now := time.Now()
	if p.w == nil || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	line := bar(p.what, done, words, now.Sub(p.begun))
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.shown-len([]rune(line)))))
	p.shown = len([]rune(line))
}

// bar returns the line that says how far it is.
func bar(what string, done float64, words string, since time.Duration) string {
	done = min(max(done, 0), 1)
	const cells = 24
	full := int(done * cells)
	left := ""
	if done > 0.02 && since > 2*time.Second && since < 1000*time.Hour {
		left = "  " + formatAge(time.Duration(float64(since)*(1-done)/done)) + " left"
	}
	return cut(fmt.Sprintf("%s [%s%s] %3.0f%%  %s%s", what, strings.Repeat("█", full), strings.Repeat("·", cells-full), 100*done, words, left), width-1)
}

// end takes the line away.
func (p *progress) end() {
	if p.w != nil && p.shown > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}

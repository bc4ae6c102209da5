package ingester

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// blockName names a block.
type blockName struct {
	tenant string
	id     block.ID
}

// ledger is the file of the blocks that were copied to the object store: a line "TENANT ID" for each, fsynced. A line that a crash has cut short has no
// newline and does not count.
type ledger struct {
	path string

	mu   sync.Mutex
	file *os.File // nil after a failure: the file is written anew then
	has  map[blockName]bool
}

func openLedger(path string) (*ledger, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &ledger{path: path, has: make(map[blockName]bool)}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return &ledger{path: path, has: parseLedger(f)}, nil
}

// parseLedger returns what can be read; what can't is looked for in the object store.
func parseLedger(from io.Reader) map[blockName]bool {
	has := make(map[blockName]bool)
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return has // at its end, or cut short
		}
		tenant, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if id, err := block.ParseID(name); err == nil {
			has[blockName{tenant, id}] = true
		}
	}
}

// text is what parseLedger reads.
func (l *ledger) text() string {
	var text strings.Builder
	for b := range l.has {
		fmt.Fprintf(&text, "%s %s\n", b.tenant, b.id)
	}
	return text.String()
}

// contains reports whether a block was copied.
func (l *ledger) contains(b blockName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.has[b]
}

// add notes that a block was copied. When it returns nil that is durable.
func (l *ledger) add(b blockName) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has[b] {
		return nil
	}
	l.has[b] = true
	err := l.append(b)
	if err != nil {
		delete(l.has, b)
		return fmt.Errorf("note that block %s of tenant %s was copied: %w", b.id, b.tenant, err)
	}
	return nil
}

func (l *ledger) append(b blockName) error {
	if l.file == nil {
		return l.rewrite()
	}
	_, err := fmt.Fprintf(l.file, "%s %s\n", b.tenant, b.id)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		_ = l.file.Close()
		l.file = nil
	}
	return err
}

// keep forgets all blocks but those that keep says.
func (l *ledger) keep(keep func(blockName) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for b := range l.has {
		if !keep(b) {
			delete(l.has, b)
		}
	}
	return l.rewrite()
}

func (l *ledger) rewrite() error {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	if err := writeDurably(l.path, l.text()); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY, 0o600)
	l.file = f
	return err
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.has)
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

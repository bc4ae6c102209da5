package objectstores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

// ledger is what writers have put into a database and what of it was acknowledged: the judge of every answer.
//
// Put n of writer w is the same whenever it is drawn: some entries of one line "start duration writer-n-i put=writer-n #ballast" each. So a line that
// comes back says of itself what it must be, to the byte.
type ledger struct {
	seed  uint64
	small bool // no put has a big line

	mu    sync.Mutex
	acked map[tempodb.Key]map[lineID]bool
	puts  []putID // acknowledged, in that order
	open  map[putID]bool
}

// putID is a put: the nth of a writer. lineID is one of its lines.
type (
	putID  struct{ writer, n int }
	lineID struct {
		putID
		i int
	}
)

func newLedger(seed uint64) *ledger {
	return &ledger{seed: seed, acked: make(map[tempodb.Key]map[lineID]bool), open: make(map[putID]bool)}
}

func (id putID) String() string { return fmt.Sprint(id.writer, "-", id.n) }

// dawn is when rows begin: so long ago that every window of compaction is settled.
const dawn = int64(1_700_000_000_000_000_000)

// put draws a put. Lines of some puts of a writer, one after another, share keys.
func (l *ledger) put(id putID) []tempodb.Entry {
	rng := rand.New(rand.NewPCG(l.seed, uint64(id.writer)<<40|uint64(id.n)))
	entries := make([]tempodb.Entry, 1+rng.IntN(4))
	for i := range entries {
		group := id.n / 60
		entries[i].Key = tempodb.Key{byte(group * 37), byte(group >> 16), byte(group >> 8), byte(group), 13: byte(rng.IntN(2)), 14: byte(id.writer), 15: byte(i)}
		size := rng.IntN(400)
		if rng.IntN(300) == 0 && !l.small {
			size = 300_000
		}
		ballast := make([]byte, size)
		for j := range ballast {
			ballast[j] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[rng.Uint32()&63]
		}
		start := dawn + int64(id.n)*1_000_000 + int64(id.writer)
		entries[i].Value = fmt.Appendf(nil, "%d %d %s-%d put=%s #%s\n", start, rng.IntN(1000), id, i, id, ballast)
	}
	return entries
}

// begin says that a put is about to be appended, acknowledge that it was. Between the two it may be there, whole, or not.
func (l *ledger) begin(id putID) []tempodb.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id] = true
	return l.put(id)
}

func (l *ledger) acknowledge(id putID) {
	entries := l.put(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
	l.puts = append(l.puts, id)
	for i, e := range entries {
		if l.acked[e.Key] == nil {
			l.acked[e.Key] = make(map[lineID]bool)
		}
		l.acked[e.Key][lineID{id, i}] = true
	}
}

// size returns the number of puts acknowledged so far.
func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.puts)
}

// some returns an acknowledged put by chance, a recent one more often than not. It is among the first of so many, if before is not 0.
func (l *ledger) some(rng *rand.Rand, before int) (putID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.puts)
	if before > 0 {
		n = min(n, before)
	}
	if n == 0 {
		return putID{}, false
	}
	if rng.IntN(2) == 0 {
		return l.puts[n-1-rng.IntN(min(n, 50))], true
	}
	return l.puts[rng.IntN(n)], true
}

func (l *ledger) keys() []tempodb.Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Keys(l.acked), func(a, b tempodb.Key) int { return bytes.Compare(a[:], b[:]) })
}

// due returns the lines that an answer about key must have, if it is asked for now.
func (l *ledger) due(key tempodb.Key) map[lineID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked[key])
}

// judge says what is wrong with the lines that came as the value of key: one that is none, one that is there twice, or, if the answer says that
// it is whole, one of due that is not there. What is there, also of puts that are not acknowledged, it returns.
func (l *ledger) judge(key tempodb.Key, value []byte, whole bool, due map[lineID]bool) (map[lineID]bool, error) {
	there := make(map[lineID]bool)
	for line := range bytes.Lines(value) {
		var id lineID
		words := strings.Fields(string(line))
		if len(words) < 5 {
			return nil, fmt.Errorf("key %x: %.80q is no line", key, line)
		}
		if _, err := fmt.Sscanf(words[2], "%d-%d-%d", &id.writer, &id.n, &id.i); err != nil {
			return nil, fmt.Errorf("key %x: %.80q is no line: %w", key, line, err)
		}
		if entries := l.put(id.putID); id.i >= len(entries) || entries[id.i].Key != key || !bytes.Equal(entries[id.i].Value, line) {
			return nil, fmt.Errorf("key %x: %.80q is not what was put", key, line)
		}
		if there[id] {
			return nil, fmt.Errorf("key %x: line %v is there twice", key, id)
		}
		there[id] = true
	}
	for id := range due {
		if whole && !there[id] {
			return nil, fmt.Errorf("key %x: line %v of %d was acknowledged and is not there; %d others are", key, id, len(due), len(there))
		}
	}
	return there, nil
}

// asker is a database or a reader.
type asker interface {
	Get(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error)
	Search(ctx context.Context, q *index.Query) ([]index.Hit, error)
	Terms(ctx context.Context, field, prefix []byte) ([]string, error)
	Summary(ctx context.Context, dst []byte, key tempodb.Key) ([]byte, error)
	EachSummary(ctx context.Context, starts index.Range, fn func(key tempodb.Key, summary []byte) error) error
}

// wrongError is an answer that should not have been given. Any other error is one that the database gave.
type wrongError struct{ error }

func wrong(format string, args ...any) error { return wrongError{fmt.Errorf(format, args...)} }

// ask asks for an acknowledged put in one of several ways. The error is a wrongError, or the answer's: then the answer may lack something.
func (l *ledger) ask(ctx context.Context, db asker, rng *rand.Rand, id putID) error {
	entries := l.put(id)
	e := entries[rng.IntN(len(entries))]
	keys := make(map[tempodb.Key]bool)
	for i := range entries {
		keys[entries[i].Key] = true
	}
	switch rng.IntN(4) {
	case 0, 1:
		return l.get(ctx, db, e.Key, map[lineID]bool{{id, slices.IndexFunc(entries, func(o tempodb.Entry) bool { return o.Key == e.Key })}: true})
	case 2:
		q := &index.Query{Where: index.Equal([]byte("put"), []byte(id.String())), Start: index.Everything, Duration: index.Everything, Limit: 10}
		hits, err := db.Search(ctx, q)
		for _, hit := range hits {
			if !keys[hit.Key] {
				return wrong("search for put %s: %x is none of its keys", id, hit.Key)
			}
			delete(keys, hit.Key)
		}
		if err == nil && len(keys) > 0 {
			return wrong("search for put %s: %d of its keys are not found", id, len(keys))
		}
		return err
	default:
		values, err := db.Terms(ctx, []byte("put"), []byte(id.String()))
		if err == nil && !slices.Contains(values, id.String()) {
			return wrong("terms: put %s is not among %q", id, values)
		}
		return err
	}
}

// get asks for a key, of which the lines due must be there.
func (l *ledger) get(ctx context.Context, db asker, key tempodb.Key, due map[lineID]bool) error {
	value, err := db.Get(ctx, nil, key)
	if errors.Is(err, tempodb.ErrNotFound) {
		return wrong("key %x of %v: %w", key, due, err)
	}
	if _, bad := l.judge(key, value, err == nil, due); bad != nil {
		return wrongError{bad}
	}
	return err
}

// everything compares all that can be asked for with what was acknowledged. Nothing else may be going on.
func (l *ledger) everything(ctx context.Context, db asker) (lines int, err error) {
	keys := l.keys()
	summaries := make(map[tempodb.Key]string)
	for _, key := range keys {
		due := l.due(key)
		there, err := l.value(ctx, db, key, due)
		if err != nil {
			return lines, err
		}
		lines += len(due)
		summaries[key] = strconv.Itoa(there)
		if summary, err := db.Summary(ctx, nil, key); err != nil || string(summary) != summaries[key] {
			return lines, fmt.Errorf("summary of %x: %q, %v, want %s", key, summary, err, summaries[key])
		}
	}
	hits, err := db.Search(ctx, &index.Query{Start: index.Everything, Duration: index.Everything})
	if err != nil || len(hits) < len(keys) {
		return lines, fmt.Errorf("search for everything: %d keys, %v, want %d", len(hits), err, len(keys))
	}
	found := make(map[tempodb.Key]bool)
	for _, hit := range hits {
		if found[hit.Key] {
			return lines, fmt.Errorf("search for everything: %x is found twice", hit.Key)
		}
		found[hit.Key] = true
	}
	puts, err := db.Terms(ctx, []byte("put"), nil)
	if err != nil {
		return lines, err
	}
	for _, id := range l.puts {
		if _, there := slices.BinarySearch(puts, id.String()); !there {
			return lines, fmt.Errorf("put %s is not among the %d terms", id, len(puts))
		}
	}
	err = db.EachSummary(ctx, index.Everything, func(key tempodb.Key, summary []byte) error {
		if want := summaries[key]; want != "" && want != string(summary) {
			return fmt.Errorf("summary of %x in the walk: %q, want %q", key, summary, want)
		}
		delete(summaries, key)
		return nil
	})
	if err == nil && len(summaries) > 0 {
		err = fmt.Errorf("%d keys are not in the walk over summaries", len(summaries))
	}
	for _, key := range keys {
		if !found[key] {
			return lines, fmt.Errorf("search for everything: %x is not found", key)
		}
	}
	return lines, err
}

// value gets the value of a key, which must have the lines due and may have those of puts that are under way. It returns how many it has.
func (l *ledger) value(ctx context.Context, db asker, key tempodb.Key, due map[lineID]bool) (int, error) {
	value, err := db.Get(ctx, nil, key)
	if err != nil {
		return 0, fmt.Errorf("key %x: %w", key, err)
	}
	there, err := l.judge(key, value, true, due)
	for id := range there {
		if !due[id] && !l.open[id.putID] {
			err = fmt.Errorf("key %x: line %v was never put", key, id)
		}
	}
	return len(there), err
}

// lines is the codec: a value is a set of lines, ascending; a line is a row with its words of the form field=value as terms; the summary is
// the number of lines.
type lines struct{}

func (lines) Merge(dst []byte, values ...[]byte) ([]byte, error) {
	var all [][]byte
	for _, value := range values {
		all = slices.AppendSeq(all, bytes.Lines(value))
	}
	slices.SortFunc(all, bytes.Compare)
	for _, line := range slices.CompactFunc(all, bytes.Equal) {
		dst = append(dst, line...)
	}
	return dst, nil
}

func (lines) Index(value []byte, s index.Sink) error {
	for line := range bytes.Lines(value) {
		words := bytes.Fields(line)
		if len(words) < 2 {
			return fmt.Errorf("%.40q has no start and duration", line)
		}
		start, err := strconv.ParseInt(string(words[0]), 10, 64)
		if err != nil {
			return err
		}
		duration, err := strconv.ParseInt(string(words[1]), 10, 64)
		if err != nil {
			return err
		}
		s.Row(start, duration)
		for _, word := range words[2:] {
			if field, term, ok := bytes.Cut(word, []byte("=")); ok && word[0] != '#' {
				s.Term(field, term)
			}
		}
	}
	return nil
}

func (lines) Summarize(dst, value []byte) ([]byte, error) {
	return strconv.AppendInt(dst, int64(bytes.Count(value, []byte("\n"))), 10), nil
}

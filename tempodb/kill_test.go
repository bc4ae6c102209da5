package tempodb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/compact"
	"github.com/jaeger-tempo/tempo/tempodb/index"
)

const killedWriters = 4

// serialPut is the nth put of a writer. Each of its entries has the put's serial number, which is in no other.
func serialPut(seed uint64, writer, n int) ([]Entry, content) {
	rng := rand.New(rand.NewPCG(seed, uint64(writer)<<32|uint64(n)))
	var entries []Entry
	means := make(content)
	for i := range 1 + rng.IntN(5) {
		k := Key{0: byte(rng.IntN(40)), 15: byte(i)} // others put under it too
		line := fmt.Sprint(dawn+rng.Int64N(span), " ", rng.IntN(1000), " serial=", writer, "-", n, " color=", rng.IntN(10))
		if rng.IntN(1000) == 0 {
			line += " #" + strings.Repeat("x", rng.IntN(100_000))
		}
		entries = append(entries, Entry{k, appendLine(nil, []byte(line))})
		means.add(k, line)
	}
	return entries, means
}

func killedOptions(o *Options) {
	o.Codec, o.NoCompaction, o.CutBytes = lineCodec{}, false, 8<<10
	o.Compaction = compact.PlanOptions{MaxInputs: 4, Growth: 2}
}

// TestKilledChild is the process that killed starts and kills. It appends, cuts and merges for ever, and says what was acknowledged.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("KILLED_DIR")
	if dir == "" {
		t.Skip("it is run by others")
	}
	seed := number(t, "KILLED_SEED", 0)
	db := open(t, dir, killedOptions)
	var group sync.WaitGroup
	for w, from := range strings.Split(os.Getenv("KILLED_FROM"), ",") {
		n, err := strconv.Atoi(from)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for ; ; n++ {
				entries, _ := serialPut(seed, w, n)
				if err := appendAnyway(db, t.Context(), entries); err != nil {
					fmt.Printf("\nfailed %v\n", err)
					os.Exit(1)
				}
				fmt.Printf("\nack %d %d .\n", w, n) // whole lines only: a kill may come in the middle of one
			}
		})
	}
	group.Wait()
}

// killed has a child process write to a database, kills it at a random moment, and looks at what is there: all that was acknowledged, once,
// and of what was not either all of a put or nothing.
type killed struct {
	dir   string
	seed  uint64
	rng   *rand.Rand
	next  [killedWriters]int
	model content
	acks  int
}

func newKilled(dir string, seed uint64) *killed {
	return &killed{dir: dir, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), model: make(content)}
}

func (x *killed) round(ctx context.Context) error {
	var from []string
	for _, n := range x.next {
		from = append(from, strconv.Itoa(n))
	}
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), "KILLED_DIR="+x.dir, "KILLED_SEED="+strconv.FormatUint(x.seed, 10), "KILLED_FROM="+strings.Join(from, ","))
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	after := 1 + x.rng.IntN(400)
	seen := 0
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		text := scanner.Text()
		var w, n int
		if _, err := fmt.Sscanf(text, "ack %d %d .", &w, &n); err != nil {
			if strings.HasPrefix(text, "failed") || strings.HasPrefix(text, "---") || strings.Contains(text, "panic") {
				child.Process.Kill()
				child.Wait()
				return fmt.Errorf("the child: %s", text)
			}
			continue
		}
		if n != x.next[w] {
			return fmt.Errorf("the child acknowledges put %d of writer %d, should be %d", n, w, x.next[w])
		}
		_, means := serialPut(x.seed, w, n)
		x.model.addAll(means)
		x.next[w]++
		x.acks++
		if seen++; seen == after {
			child.Process.Kill() // what it has said until now is still read
		}
	}
	child.Wait()
	select {
	case <-ctx.Done():
		return nil // time is up
	default:
	}
	if seen < after {
		return fmt.Errorf("the child ended by itself after %d acknowledgements", seen)
	}
	return x.check(context.WithoutCancel(ctx))
}

// failed is a fataler whose failures check recovers.
type failed struct{}

func (failed) Helper()          {}
func (failed) Fatal(all ...any) { panic(failure{errors.New(fmt.Sprint(all...))}) }

func (x *killed) check(ctx context.Context) (err error) {
	defer func() {
		if what := recover(); what != nil {
			f, ours := what.(failure)
			if !ours {
				panic(what)
			}
			err = f.error
		}
	}()
	db := open(failed{}, x.dir, killedOptions)
	defer func() { err = errors.Join(err, db.Close()) }()
	// The put that each writer was at may be there; then the writer goes on behind it.
	for w := range x.next {
		_, means := serialPut(x.seed, w, x.next[w])
		there, lacking := 0, 0
		for k, all := range means {
			value, err := db.Get(ctx, nil, k)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			for line := range all {
				if slices.Contains(lines(value), line) {
					there++
				} else {
					lacking++
				}
			}
		}
		if there > 0 && lacking > 0 {
			return fmt.Errorf("of put %d of writer %d, which was cut off, %d entries are there and %d are not", x.next[w], w, there, lacking)
		}
		if there > 0 {
			x.model.addAll(means)
			x.next[w]++
		}
	}
	for _, k := range x.model.keys() {
		value, err := db.Get(ctx, nil, k)
		if got, want := lines(value), x.model.lines(k); err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("key %x: %v, %s", k, err, difference(got, want))
		}
	}
	for w, n := range x.next {
		if n == 0 {
			continue
		}
		n = max(0, n-1-x.rng.IntN(20))
		_, means := serialPut(x.seed, w, n)
		q := everything()
		q.Where = index.Equal([]byte("serial"), fmt.Appendf(nil, "%d-%d", w, n))
		if hits, err := db.Search(ctx, q); err != nil || len(hits) != len(means) {
			return fmt.Errorf("search for put %d of writer %d: %v, %v, want %d keys", n, w, hits, err, len(means))
		}
	}
	return nil
}

func TestAKilledProcessLosesNothing(t *testing.T) {
	if os.Getenv("KILLED_DIR") != "" {
		t.Skip("this is the one to be killed")
	}
	seed := number(t, "SOAK_SEED", rand.Uint64())
	t.Logf("SOAK_SEED=%d", seed)
	x := newKilled(t.TempDir(), seed)
	for n := range number(t, "SOAK_KILLS", 4) {
		if err := x.round(t.Context()); err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
	}
	t.Logf("%d puts acknowledged", x.acks)
}

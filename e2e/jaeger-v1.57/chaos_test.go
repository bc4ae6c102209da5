package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster"
	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
)

// TestChaos breaks a cluster in every way there is, one after the other, while checkers write and read through three plugin processes, of which one
// marks traces that may not be whole and the others refuse them. After each fault everything that was acknowledged during it is asked for, and at
// the end everything of all faults. It prints a table.
//
// FAULT_TIME (10s) is how long an ingester at a time is killed; the object store is away for half of it, other faults last a tenth. KILL_SEED
// (random, printed) chooses what is hit.
func TestChaos(t *testing.T) {
	seed := environment(t, "KILL_SEED", time.Now().UnixNano()%1_000_000)
	full := faultTime(t, 10*time.Second)
	t.Logf("FAULT_TIME=%v KILL_SEED=%d", full, seed)
	table := &figures{}
	t.Cleanup(func() { fmt.Print(table) })

	// For a short look all at once; for times that mean something one after the other.
	together := func(t *testing.T) {
		if full < time.Minute {
			t.Parallel()
		}
	}
	t.Run("one cluster", func(t *testing.T) {
		together(t)
		w := newWorld(t, table, uint64(seed), cluster.Options{Ingesters: 3, Compactors: 2, Disk: smallDisk(t, "ingester-3")})
		tenth := max(full/10, 2*time.Second)
		w.fault("nothing", tenth, func(time.Duration) int { return 0 })
		w.fault("kill -9 of one ingester after another", full, w.killIngesters)
		w.fault("kill -9 of one plugin after another", tenth, w.killPlugins)
		w.fault("an ingester's disk is lost", tenth, w.loseDisk)
		w.fault("rolling restart", tenth, w.rollingRestart)
		w.fault("3 ingesters become 5 and 3 again", tenth, w.scale)
		w.fault("all ingesters killed at once", tenth, w.killAll)
		w.fault("object store slow", tenth, w.storeSlow)
		w.fault("object store erring", tenth, w.storeErring)
		w.fault("object store away", full/2, w.storeAway)
		w.fault("compactors killed while they merge", max(tenth, 6*time.Second), w.killCompactors)
		w.fault("compactors on the same job", tenth, w.sameJob)
		w.fault("disk full on one ingester", tenth, w.fillDisk)
		w.all()
	})
	t.Run("zones parted", func(t *testing.T) {
		together(t)
		partition(t, table, uint64(seed), max(full/10, 5*time.Second))
	})
	t.Run("clocks askew", func(t *testing.T) {
		together(t)
		skew(t, table, uint64(seed), max(full/10, 2*time.Second))
	})
}

// world is a cluster that is hit by one fault after another.
type world struct {
	*cluster.Cluster
	t        *testing.T // of the fault that is on
	random   *rand.Rand
	table    *figures
	doors    []*door
	checkers []*checker
}

// forgetAfter is after which time an ingester that lost its disk is whole again: what its peers share with it is in the object store then.
const forgetAfter = 12 * time.Second

func newWorld(t *testing.T, table *figures, seed uint64, o cluster.Options) *world {
	o.Seed = seed
	if o.Keys == nil {
		o.Keys = make(map[string]string)
	}
	o.Keys["ring.forget_after"] = forgetAfter.String()
	w := &world{Cluster: startCluster(t, o), t: t, random: rand.New(rand.NewPCG(seed, 0)), table: table}
	for i, partial := range []string{"error", "error", "mark"} {
		w.doors = append(w.doors, doorTo(t, w.Cluster, nil, fmt.Sprint("plugin-", i+1), i, map[string]string{"reader.partial": partial}))
	}
	awaitRing(t, w.doors)
	t.Cleanup(func() {
		for _, d := range w.doors {
			d.at.Load().kill() // one that has taken the place of another
		}
		if t.Failed() {
			for _, d := range w.doors {
				text := d.at.Load().log.String()
				t.Logf("the last words of %s:\n%s", d.name, text[max(0, len(text)-4000):])
			}
		}
	})
	return w
}

// awaitRing waits until everybody can write: a ring that is new, or was parted, takes its time.
func awaitRing(t *testing.T, doors []*door) {
	t.Helper()
	c := newChecker("warm", len(doors), 0, 1, doors...)
	for _, p := range c.writers {
		eventually(t, time.Minute, func() error { return p.door.at.Load().writer.WriteSpan(context.Background(), c.span(p.w, 0)) })
	}
}

// fault runs a fault for so long under load, and then asks for everything. What breaks things says how often it did.
func (w *world) fault(name string, d time.Duration, breaks func(d time.Duration) int) {
	parent := w.t
	parent.Run(name, func(t *testing.T) {
		w.t = t
		defer func() { w.t = parent }()
		c := newChecker(fmt.Sprint("chaos-", runs.Load()+1), 9, 3, 400, w.doors...)
		w.checkers = append(w.checkers, c)
		began := time.Now()
		stop := c.load()
		w.after(time.Second) // before the first fault something is there
		n := breaks(d)
		w.after(time.Second)
		stop()
		c.everything(t, time.Minute)
		w.table.add(row{name, time.Since(began), n, c})
		c.report(t)
		if e := c.found.lastErr.Load(); e != nil {
			t.Logf("the last error that a client got: %s", *e)
		}
	})
}

// all asks for everything of all faults once more.
func (w *world) all() {
	w.t.Run("everything once more", func(t *testing.T) {
		began := time.Now()
		for _, c := range w.checkers {
			c.everything(t, time.Minute)
			c.report(t)
		}
		t.Logf("%d checkers in %v", len(w.checkers), time.Since(began).Round(time.Millisecond))
	})
}

// after lets time go by, in which the load goes on.
func (w *world) after(d time.Duration) { <-time.After(d) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// until calls step until the time is over.
func until(d time.Duration, step func()) (n int) {
	for end := time.Now().Add(d); time.Now().Before(end); n++ {
		step()
	}
	return n
}

func (w *world) killIngesters(d time.Duration) int {
	return until(d, func() {
		n := w.Ingesters[w.random.IntN(len(w.Ingesters))]
		n.Kill()
		w.after(time.Duration(w.random.Int64N(int64(500 * time.Millisecond))))
		w.must(n.Start())
		w.after(time.Duration(w.random.Int64N(int64(time.Second))))
	})
}

func (w *world) killPlugins(d time.Duration) int {
	i := 0
	return until(d, func() {
		door := w.doors[i%len(w.doors)]
		i++
		door.at.Load().kill()
		next, err := tryClusterPlugin(w.Cluster, nil, door.name, 0, door.keys)
		w.must(err)
		door.at.Store(next)
		w.after(500 * time.Millisecond)
	})
}

// loseDisk waits after each loss until the ingester counts as whole again, as who runs a cluster must: two losses at once are too many.
func (w *world) loseDisk(d time.Duration) int {
	i := 0
	return until(d, func() {
		n := w.Ingesters[i%len(w.Ingesters)]
		i++
		n.Kill()
		w.must(n.LoseDisk())
		w.must(n.Start())
		w.after(forgetAfter + 2*time.Second)
	})
}

func (w *world) rollingRestart(d time.Duration) int {
	return until(d, func() {
		for _, n := range w.Nodes() {
			w.must(n.Terminate())
			w.must(n.Start())
		}
	}) * len(w.Nodes())
}

// scale adds two, and takes one of the old and one of the new away, that one in two steps.
func (w *world) scale(d time.Duration) int {
	leave := func(n *cluster.Node) {
		w.must(n.Post("/shutdown"))
		select {
		case <-n.Ended():
		case <-time.After(time.Minute):
			w.t.Fatalf("%s does not end after /shutdown; it said:\n%s", n.ID, n.Tail(10))
		}
		w.Forget(n)
	}
	return until(d, func() {
		var added []*cluster.Node
		for range 2 {
			n, err := w.AddIngester()
			w.must(err)
			w.must(n.Start())
			added = append(added, n)
		}
		w.after(2 * time.Second)
		leave(w.Ingesters[0])
		w.must(added[1].Post("/prepare-downscale"))
		w.after(time.Second)
		leave(added[1])
	})
}

func (w *world) killAll(d time.Duration) int {
	return until(d, func() {
		for _, n := range w.Ingesters {
			n.Signal(syscall.SIGKILL)
		}
		for _, n := range w.Ingesters {
			n.Kill()
		}
		w.must(cluster.StartAll(w.Ingesters))
		w.after(time.Second)
	})
}

func (w *world) proxies(do func(p *faults.Proxy)) {
	do(w.Store)
	do(w.Compacted)
}

// storeAway: a third of the time connections are refused, a third nothing ever comes, a third it is busy.
func (w *world) storeAway(d time.Duration) int {
	outages := []faults.Outage{faults.Refused, faults.Silent, faults.Busy}
	for _, o := range outages {
		w.proxies(func(p *faults.Proxy) { p.Down(o) })
		w.after(d / 3)
	}
	w.proxies(func(p *faults.Proxy) { p.Down(faults.None) })
	return len(outages)
}

func (w *world) storeSlow(d time.Duration) int {
	var n atomic.Int64
	w.proxies(func(p *faults.Proxy) {
		p.Ask(func(*http.Request) string { n.Add(1); return "slow" })
	})
	w.after(d)
	w.proxies(func(p *faults.Proxy) { p.Ask(nil) })
	return int(n.Load())
}

func (w *world) storeErring(d time.Duration) int {
	before := w.Store.Injected() + w.Compacted.Injected()
	w.proxies(func(p *faults.Proxy) { p.Spoil(0.3) })
	w.after(d)
	w.proxies(func(p *faults.Proxy) { p.Spoil(0) })
	return w.Store.Injected() + w.Compacted.Injected() - before
}

// killCompactors kills them at a moment when one of them writes.
func (w *world) killCompactors(d time.Duration) int {
	kills := 0
	until(d, func() {
		writes := make(chan bool, 1)
		skip := w.random.IntN(4)
		w.Compacted.Ask(func(r *http.Request) string {
			if r.Method == http.MethodPost || r.Method == http.MethodPut {
				if skip--; skip < 0 {
					select {
					case writes <- true:
					default:
					}
				}
			}
			return ""
		})
		select {
		case <-writes:
			kills++
		case <-time.After(5 * time.Second):
		}
		for _, n := range w.Compactors {
			n.Kill()
		}
		w.must(cluster.StartAll(w.Compactors))
	})
	w.Compacted.Ask(nil)
	return kills
}

// sameJob takes the compactors' claims away as soon as they are there, and makes merges last, so that both do what one has begun. It returns how many
// blocks were merged twice, of which there is one at least.
func (w *world) sameJob(d time.Duration) int {
	writes := 0
	w.Compacted.Ask(func(r *http.Request) string {
		// Not all: a merge of many blocks writes much, and there should be many merges.
		if r.Method != http.MethodGet {
			if writes++; writes%4 == 0 {
				return "slow"
			}
		}
		return ""
	})
	defer w.Compacted.Ask(nil)
	step := func() {
		claims, err := w.Objects("/claims/")
		w.must(err)
		for _, name := range claims {
			w.must(w.Delete(name))
		}
		w.after(20 * time.Millisecond)
	}
	before := w.doneTwice()
	until(d, step)
	for end := time.Now().Add(3 * time.Minute); w.doneTwice() == before && time.Now().Before(end); {
		step()
	}
	n := w.doneTwice() - before
	if n == 0 {
		w.t.Error("no block was merged twice: nothing was tested")
	}
	return n
}

// doneTwice is how many blocks went into more than one merge, by what the compactors' logs tell.
func (w *world) doneTwice() (n int) {
	times := make(map[string]int)
	for _, c := range w.Compactors {
		text, err := os.ReadFile(c.Log)
		w.must(err)
		for line := range strings.Lines(string(text)) {
			var entry struct{ Inputs []string }
			if !strings.Contains(line, `"blocks compacted"`) || json.Unmarshal([]byte(line), &entry) != nil {
				continue
			}
			for _, input := range entry.Inputs {
				if times[input]++; times[input] == 2 {
					n++
				}
			}
		}
	}
	return n
}

// fillDisk fills the disk of the ingester that has a small one to the last byte.
func (w *world) fillDisk(d time.Duration) int {
	for _, n := range w.Ingesters {
		if n.ID != "ingester-3" {
			continue
		}
		file := filepath.Join(n.Dir, "ballast")
		f, err := os.Create(file)
		w.must(err)
		for chunk := make([]byte, 1<<20); len(chunk) > 0; {
			if _, err := f.Write(chunk); err != nil {
				chunk = chunk[:len(chunk)/2] // to the last byte
			}
		}
		w.must(f.Close())
		w.after(d)
		w.must(os.Remove(file))
	}
	return 1
}

// smallDisk gives an ingester a disk of its own, in memory. Where that is not allowed, the test of a full disk is skipped.
func smallDisk(t *testing.T, of string) func(id, dir string) error {
	return func(id, dir string) error {
		if id != of {
			return nil
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512m", "tempo-chaos", dir).CombinedOutput(); err != nil {
			t.Logf("no small disk here, so none is filled: %v: %s", err, out)
			return os.WriteFile(filepath.Join(filepath.Dir(dir), "no-small-disk"), nil, 0o600)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
				t.Errorf("umount %s: %v: %s", dir, err, out)
			}
		})
		return nil
	}
}

// partition puts three ingesters, and a plugin each, into zones with networks of their own, and cuts one zone off from the two others. The object
// store is reached by all. The plugin of the zone that is alone can acknowledge nothing, and answer nothing as if it were whole.
func partition(t *testing.T, table *figures, seed uint64, d time.Duration) {
	n, err := cluster.NewNetwork(3)
	if err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	c := startCluster(t, cluster.Options{Ingesters: 3, Compactors: 2, Zones: 3, Network: n, Seed: seed,
		Keys: map[string]string{"ring.forget_after": "10m"}})
	var doors []*door
	for zone := range 3 {
		doors = append(doors, doorTo(t, c, n, fmt.Sprint("plugin-", zone+1), zone, nil))
	}
	awaitRing(t, doors)
	check := newChecker("parted", 6, 6, 300, doors...)
	began := time.Now()
	stop := check.load()
	w := &world{t: t}
	w.after(time.Second)
	cuts := 0
	for alone := range 3 {
		doors[alone].isolated.Store(true)
		for other := range 3 {
			if other != alone {
				w.must(n.Cut(alone, other))
				cuts++
			}
		}
		w.after(d)
		for other := range 3 {
			if other != alone {
				w.must(n.Heal(alone, other))
			}
		}
		awaitRing(t, doors)
		w.after(12 * time.Second) // gossip looks for those that were lost every 5 s
		doors[alone].isolated.Store(false)
	}
	stop()
	check.everything(t, time.Minute)
	table.add(row{"a zone cut off from the others", time.Since(began), cuts, check})
	check.report(t)
	if e := check.found.lastErr.Load(); e != nil {
		t.Logf("the last error that a client got: %s", *e)
	}
}

// skew runs a cluster in which no two nodes agree about the time: by a minute, and by about as much as a heartbeat may be late.
func skew(t *testing.T, table *figures, seed uint64, d time.Duration) {
	if _, err := os.Stat(program("skewed/tempo")); err != nil {
		t.Skip("bin/skewed/tempo is missing: make chaos builds it")
	}
	w := newWorld(t, table, seed, cluster.Options{Ingesters: 3, Compactors: 2, Tempo: "bin/skewed/tempo", Env: map[string][]string{
		"ingester-2": {"CLOCK_SKEW=60"}, "ingester-3": {"CLOCK_SKEW=-3"}, "compactor-1": {"CLOCK_SKEW=-60"}, "compactor-2": {"CLOCK_SKEW=600"},
	}})
	w.fault("clocks that differ", d, func(d time.Duration) int {
		w.after(d)
		return 4
	})
	w.fault("clocks that differ, and kill -9", d, w.killIngesters)
}

// faultTime returns FAULT_TIME, or another time if it is not set.
func faultTime(t *testing.T, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("FAULT_TIME")
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("FAULT_TIME: %v", err)
	}
	return d
}

// figures are the table of a run.
type figures struct {
	mu   sync.Mutex
	rows []row
}

type row struct {
	fault string
	took  time.Duration
	hits  int
	*checker
}

func (f *figures) add(r row) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, r)
	fmt.Print(&figures{rows: []row{r}}) // who waits for hours wants to see something
}

func (f *figures) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\ttime\thits\tspans acked\ttraces read\tnot found\tpartial, not told\tduplicates\tchanged\tmarked partial\twrites failed\treads failed\talone failed\tslowest write\tslowest read\t")
	for _, r := range f.rows {
		x := &r.found
		fmt.Fprintf(w, "%s\t%v\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t%v\t%v\t%v\t%v\t\n", r.fault, r.took.Round(time.Second), r.hits, r.acknowledged(), x.wholes.Load(),
			x.missing.Load(), x.partial.Load(), x.twice.Load(), x.changed.Load(), x.marked.Load(), &x.writeFailed, &x.readFailed, &x.alone, &x.slowestWrite, &x.slowestRead)
	}
	_ = w.Flush()
	return "\n" + b.String() + "(writes, reads failed: the longest time for which one was tried again until it succeeded)\n\n"
}

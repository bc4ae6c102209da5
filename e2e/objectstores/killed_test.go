package objectstores

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb"
)

const killedWriters = 3

// TestKilledDatabase is the process that is killed: it appends, cuts and merges for ever, and says what was acknowledged.
func TestKilledDatabase(t *testing.T) {
	dir := os.Getenv("KILLED_DIR")
	if dir == "" {
		t.Skip("it is run by others")
	}
	open := map[string]func(address string) (closer, error){
		"gcs": func(address string) (closer, error) { return tryGCS(address, databasePrefix, impatient) },
		"s3":  func(address string) (closer, error) { return tryS3(address, databasePrefix, impatient) },
	}[os.Getenv("KILLED_STORE")]
	r := &remote{open: open}
	seed, err := strconv.ParseUint(os.Getenv("KILLED_SEED"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := r.stack(os.Getenv("KILLED_ADDRESS"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := tempodb.Open(t.Context(), databaseOptions(dir, bucket))
	if err != nil {
		t.Fatal(err)
	}
	ledger := newLedger(seed)
	var group sync.WaitGroup
	for w, from := range strings.Split(os.Getenv("KILLED_FROM"), ",") {
		n, err := strconv.Atoi(from)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond)
			defer pace.Stop()
			for ; ; n++ {
				<-pace.C
				if err := db.Append(t.Context(), ledger.put(putID{w, n})); err != nil {
					fmt.Printf("\nfailed %v\n", err)
					os.Exit(1)
				}
				fmt.Printf("\nack %d %d .\n", w, n) // whole lines only: a kill may come in the middle of one
			}
		})
	}
	group.Wait()
}

// killed has another process write to a database, and kills it when it asks the store to change something.
type killed struct {
	*history
	next [killedWriters]int
}

// aim has the process killed at its nth request that changes the store, before or behind its effect, or so that the effect comes later, when another
// process has the database already. The channel that is returned is closed then.
func (k *killed) aim(n int, kill func()) <-chan struct{} {
	done := make(chan struct{})
	how := []string{"reset before", "reset after", "late after", "late after"}[k.random.IntN(4)]
	kind := ""
	if k.random.IntN(2) == 0 {
		kind, n = "meta.json", 1+n/4
	}
	k.proxy.Ask(func(r *http.Request) string {
		what := r.Method + " " + r.URL.RequestURI()
		if r.Method == http.MethodGet || r.Method == http.MethodHead || !strings.Contains(what, kind) {
			return ""
		}
		if n--; n != 0 {
			return ""
		}
		kill()
		close(done)
		object := "an object"
		for _, name := range []string{"meta.json", "data", "search", "summary", "filter", "index"} {
			if strings.Contains(what, name) {
				object = name
			}
		}
		k.note(fmt.Sprintf("killed at %s %s: %s", r.Method, object, how))
		return how
	})
	return done
}

func (k *killed) round(t *testing.T) {
	var from []string
	for w := range k.next {
		from = append(from, strconv.Itoa(k.next[w]))
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilledDatabase$")
	child.Env = append(os.Environ(), "KILLED_DIR="+k.dir, "KILLED_STORE="+k.kind, "KILLED_ADDRESS="+k.proxy.Address(),
		"KILLED_SEED="+strconv.FormatUint(*seedFlag, 10), "KILLED_FROM="+strings.Join(from, ","))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	hit := k.aim(1+k.random.IntN(12), func() { child.Process.Kill() })
	// A process that does not come to its change is killed all the same.
	late := time.AfterFunc(5*time.Second, func() { child.Process.Kill() })
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		var id putID
		text := scanner.Text()
		if _, err := fmt.Sscanf(text, "ack %d %d .", &id.writer, &id.n); err == nil {
			if id.n != k.next[id.writer] {
				t.Fatalf("put %v is acknowledged, should be %d", id, k.next[id.writer])
			}
			k.ledger.acknowledge(id)
			k.next[id.writer]++
		} else if strings.HasPrefix(text, "failed") || strings.Contains(text, "panic") || strings.Contains(text, "DATA RACE") {
			t.Fatalf("the process: %s", text)
		}
	}
	child.Wait()
	late.Stop()
	k.proxy.Ask(nil)
	select {
	case <-hit:
	default:
		k.note("killed at no change")
	}
}

// TestAKilledDatabaseOnABesetStoreLosesNothing: a process is killed while it cuts and merges on a store that fails now and then. The next one that opens
// the database finds all that was acknowledged, once, of what was not either all of a put or nothing; and no garbage stays.
func TestAKilledDatabaseOnABesetStoreLosesNothing(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote) {
		k := &killed{history: &history{
			remote: r, t: t, dir: t.TempDir(), ledger: newLedger(*seedFlag), random: rand.New(rand.NewPCG(*seedFlag, 8)), events: map[string]int{},
		}}
		k.bucket = r.through(t)
		rounds := 0
		for begun := time.Now(); time.Since(begun) < faultTime(t, 5*time.Second) && !t.Failed(); rounds++ {
			r.proxy.Spoil(0.15 * float64(k.random.IntN(2)))
			k.round(t)
			k.open() // while what the killed process has sent may still take effect
			k.settle(t)
			if rounds%4 == 3 {
				if k.random.IntN(2) == 0 {
					// A process that is killed between this one and the next open finds what has come late.
					k.close()
					r.proxy.Settle()
					k.open()
				}
				k.look(t)
			}
			k.close()
		}
		r.proxy.Spoil(0)
		r.proxy.Settle()
		k.open()
		found := k.look(t)
		k.close()
		k.open()
		r.verify(t, k.db.Load())
		k.close()
		if err := k.bucket.client.Close(); err != nil {
			t.Error(err)
		}
		noGoroutines(t, r)
		t.Logf("%d kills: %v", rounds, k.events)
		t.Logf("%d puts acknowledged, %d lines found; %d times Open failed; the longest call took %s; proxy: %s", k.ledger.size(), found, k.openFailed.Load(), time.Duration(k.longest.Load()), r.proxy)
	})
}

// patiently asks until the store answers.
func patiently[T any](f func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		v, err := f()
		if err == nil || err == tempodb.ErrNotFound || try == 20 {
			return v, err
		}
	}
}

// settle finds out whether the put that each writer was at is there; then the writer goes on behind it.
func (k *killed) settle(t *testing.T) {
	for w := range k.next {
		id := putID{w, k.next[w]}
		there, lacking := 0, 0
		for i, e := range k.ledger.put(id) {
			value, err := patiently(func() ([]byte, error) { return k.db.Load().Get(t.Context(), nil, e.Key) })
			if err != nil && err != tempodb.ErrNotFound {
				t.Fatalf("key %x: %v", e.Key, err)
			}
			lines, err := k.ledger.judge(e.Key, value, true, k.ledger.due(e.Key))
			if err != nil {
				t.Fatal(err)
			}
			if lines[lineID{id, i}] {
				there++
			} else {
				lacking++
			}
		}
		if there > 0 && lacking > 0 {
			t.Fatalf("of put %v, which was cut off, %d entries are there and %d are not", id, there, lacking)
		}
		if there > 0 {
			k.ledger.acknowledge(id)
			k.next[w]++
		}
	}
}

// look compares everything with what was acknowledged, while the store fails now and then.
func (k *killed) look(t *testing.T) int {
	t.Helper()
	for _, key := range k.ledger.keys() {
		due := k.ledger.due(key)
		if _, err := patiently(func() (int, error) { return k.ledger.value(t.Context(), k.db.Load(), key, due) }); err != nil {
			t.Fatal(err)
		}
	}
	found, err := patiently(func() (int, error) { return k.ledger.everything(t.Context(), k.db.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	return found
}

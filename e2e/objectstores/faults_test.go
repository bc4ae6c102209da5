package objectstores

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/e2e/cluster/faults"
	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/backend/instrument"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "of the faults and of what is done meanwhile")
	stepsFlag = flag.Int("steps", 120, "operations on each store in TestFaults")
)

// state is what an object may be. The zero value is that it does not exist.
type state struct {
	exists  bool
	content string
}

// model knows for each name the states in which the store may be: one, after an operation that succeeded; the old ones and the new one,
// after one that failed.
type model map[string][]state

func (m model) of(name string) []state {
	if s := m[name]; len(s) > 0 {
		return s
	}
	return []state{{}}
}

func (m model) done(name string, s state)   { m[name] = []state{s} }
func (m model) undone(name string, s state) { m[name] = append(slices.Clone(m.of(name)), s) }

// learn drops the states that are not as seen. It says whether one is left.
func (m model) learn(name string, seen func(state) bool) bool {
	left := slices.DeleteFunc(slices.Clone(m.of(name)), func(s state) bool { return !seen(s) })
	m[name] = left
	return len(left) > 0
}

// run does things to a store by chance, and checks what it answers.
type run struct {
	t      *testing.T
	b      backend.Bucket
	p      *faults.Proxy
	random *rand.Rand
	model  model
	done   map[string]int // operations that succeeded
	failed map[string]int
	errs   []string
}

func (r *run) name() string { return fmt.Sprintf("folder/%d/object", r.random.IntN(12)) }

func (r *run) content() []byte {
	size := r.random.IntN(3000)
	switch r.random.IntN(8) {
	case 0:
		size = 0
	case 1:
		size = chunkSize + r.random.IntN(2*chunkSize)
	case 2:
		size = partSize + r.random.IntN(partSize)
	}
	return random(size)
}

// result counts an operation, and after a failure waits until the store has done all that it will do of it.
func (r *run) result(op string, err error) bool {
	if err == nil || errors.Is(err, backend.ErrNotExist) || errors.Is(err, io.EOF) {
		r.done[op]++
		return true
	}
	r.failed[op]++
	r.errs = append(r.errs, op+": "+err.Error())
	r.p.Settle()
	return false
}

func (r *run) step() {
	name := r.name()
	// No operation may take long, whatever happens to it.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer func() {
		if ctx.Err() != nil {
			r.t.Errorf("an operation on %s hangs", name)
		}
	}()
	switch r.random.IntN(10) {
	case 0, 1, 2:
		content := r.content()
		s := state{true, string(content)}
		if r.result("put", r.put(ctx, name, content)) {
			r.model.done(name, s)
		} else {
			r.model.undone(name, s)
		}
	case 3:
		w, err := r.b.Create(ctx, name)
		if err != nil {
			return
		}
		_, err = w.Write(r.content())
		w.Abort()
		r.result("abort", err)
		r.p.Settle()
	case 4:
		if r.result("delete", r.b.Delete(ctx, name)) {
			r.model.done(name, state{})
		} else {
			r.model.undone(name, state{})
		}
	case 5:
		size, err := r.b.Size(ctx, name)
		if r.result("size", err) && !r.model.learn(name, func(s state) bool {
			return s.exists == (err == nil) && int64(len(s.content)) == size
		}) {
			r.t.Fatalf("size of %s: %d, %v", name, size, err)
		}
	case 6:
		r.list(ctx)
	default:
		r.read(ctx, name)
	}
}

func (r *run) put(ctx context.Context, name string, content []byte) error {
	w, err := r.b.Create(ctx, name)
	if err != nil {
		return err
	}
	defer w.Abort()
	for part := range bytesIn(content, 700_000) {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return w.Commit()
}

func (r *run) read(ctx context.Context, name string) {
	off, p := int64(r.random.IntN(4000)), make([]byte, 1+r.random.IntN(3000))
	if r.random.IntN(3) == 0 {
		off, p = 0, make([]byte, 3*partSize)
	}
	n, err := r.b.ReadAt(ctx, name, p, off)
	if !r.result("read", err) {
		return
	}
	if err == nil && n < len(p) {
		r.t.Fatalf("read of %s: %d of %d bytes and no error", name, n, len(p))
	}
	if !r.model.learn(name, func(s state) bool {
		if errors.Is(err, backend.ErrNotExist) || !s.exists {
			return errors.Is(err, backend.ErrNotExist) && !s.exists
		}
		want := s.content[min(off, int64(len(s.content))):]
		want = want[:min(len(want), len(p))]
		return want == string(p[:n])
	}) {
		r.t.Fatalf("read of %s, %d bytes at %d: %d, %v, and these are wrong", name, len(p), off, n, err)
	}
}

func (r *run) list(ctx context.Context) {
	listed := map[string]bool{}
	err := r.b.List(ctx, "folder", func(folder string) error {
		listed["folder/"+folder+"object"] = true
		return nil
	})
	if !r.result("list", err) {
		return
	}
	for i := range 12 {
		name := fmt.Sprintf("folder/%d/object", i)
		// A folder may be listed while its first object is written, so that one that is listed says nothing.
		if !listed[name] && !r.model.learn(name, func(s state) bool { return !s.exists }) {
			r.t.Fatalf("%s is not listed", name)
		}
	}
}

// check looks, without a proxy in between, whether the store is as it may be.
func (r *run) check(direct backend.Bucket) {
	for _, name := range slices.Sorted(maps.Keys(r.model)) {
		size, err := direct.Size(context.Background(), name)
		if err != nil && !errors.Is(err, backend.ErrNotExist) {
			r.t.Fatal(err)
		}
		got := state{exists: err == nil}
		if got.exists {
			p := make([]byte, size)
			if _, err := direct.ReadAt(context.Background(), name, p, 0); err != nil {
				r.t.Fatal(err)
			}
			got.content = string(p)
		}
		if !slices.Contains(r.model.of(name), got) {
			var may []string
			for _, s := range r.model.of(name) {
				may = append(may, fmt.Sprintf("exists %v, %d bytes", s.exists, len(s.content)))
			}
			r.t.Errorf("%s: exists %v, %d bytes; it may be: %q", name, got.exists, len(got.content), may)
		}
	}
}

// TestFaults: nothing is lost or damaged, whatever happens on the way to the store.
func TestFaults(t *testing.T) {
	for store, open := range map[string]func(t *testing.T, seed uint64) (b, direct backend.Bucket, p *faults.Proxy){
		"gcs": func(t *testing.T, seed uint64) (b, direct backend.Bucket, p *faults.Proxy) {
			server := fakeGCS(t, func(address string) string {
				p = newProxy(t, address, seed)
				return p.Address()
			})
			return openGCS(t, p.Address(), "f"), openGCS(t, server, "f"), p
		},
		"s3": func(t *testing.T, seed uint64) (b, direct backend.Bucket, p *faults.Proxy) {
			server, _ := s3Server(t)
			p = newProxy(t, server, seed)
			return openS3(t, p.Address(), "f"), openS3(t, server, "f"), p
		},
	} {
		for _, c := range []struct {
			name string
			rate float64
			wrap func(backend.Bucket) backend.Bucket
		}{
			{"bare", 0.15, func(b backend.Bucket) backend.Bucket {
				return instrument.Retry(b, instrument.RetryOptions{Tries: 1, TryTime: time.Second}) // no retries, but an end to stalls
			}},
			{"retried and hedged", 0.25, func(b backend.Bucket) backend.Bucket {
				return instrument.Retry(instrument.Hedge(b, instrument.HedgeOptions{Share: 0.2}), instrument.RetryOptions{
					Tries: 5, First: 5 * time.Millisecond, Longest: 50 * time.Millisecond, TryTime: time.Second,
				})
			}},
		} {
			t.Run(store+"/"+c.name, func(t *testing.T) {
				b, direct, p := open(t, *seedFlag)
				counted := instrument.Count(b, instrument.CountOptions{})
				r := &run{
					t: t, b: c.wrap(counted), p: p, random: rand.New(rand.NewPCG(*seedFlag, 1)), model: model{},
					done: map[string]int{}, failed: map[string]int{},
				}
				p.Spoil(c.rate)
				for i := range *stepsFlag {
					if r.step(); t.Failed() {
						t.Logf("in step %d", i)
						break
					}
				}
				p.Settle()
				r.check(direct)
				total := counted.Counts().Total()
				if testing.Verbose() {
					t.Logf("what failed:\n%s", strings.Join(r.errs, "\n"))
				}
				t.Logf("done %v, failed %v; %d calls of the store, %d errors; %s", r.done, r.failed, total.Requests, total.Errors, p)
			})
		}
	}
}

// The fake server, without the proxy's help, appends a chunk again that is sent again.
func TestAnUploadThatArrivesChangedFailsAndIsRemoved(t *testing.T) {
	var p *faults.Proxy
	server := fakeGCS(t, func(address string) string {
		p = newProxy(t, address, *seedFlag)
		return p.Address()
	})
	p.Chunks = false
	b, direct := openGCS(t, p.Address(), "f"), openGCS(t, server, "f")
	p.Spoil(0.3)
	changed, i := 0, 0
	for ; changed == 0 && i < 100; i++ {
		name, content := fmt.Sprint(i), random(3*chunkSize)
		err := tryPut(b, name, content)
		p.Settle()
		size, missing := direct.Size(context.Background(), name)
		switch {
		case err == nil:
			mustHold(t, direct, name, content)
		case strings.Contains(err.Error(), "they are removed"):
			changed++
			if !errors.Is(missing, backend.ErrNotExist) {
				t.Errorf("%d bytes of it are still there", size)
			}
		}
	}
	if changed == 0 {
		t.Error("no upload arrived changed")
	}
	t.Logf("%d of %d uploads arrived changed; %s", changed, i, p)
}

// TestAnUploadThatIsChangedOnItsWayIsNotTaken: what arrives is compared with what was sent, by the store or by its client.
func TestAnUploadThatIsChangedOnItsWayIsNotTaken(t *testing.T) {
	eachRemote(t, func(t *testing.T, r *remote) {
		b, err := r.open(r.proxy.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		direct, err := r.open(r.server.address)
		if err != nil {
			t.Fatal(err)
		}
		defer direct.Close()
		for i, size := range []int{1000, 100_000, 2*chunkSize + 1, 2*partSize + 1} {
			name := fmt.Sprint(i)
			n := 0
			r.proxy.Ask(func(r *http.Request) string {
				if r.ContentLength >= 0 && r.ContentLength < 500 { // what begins an upload of parts, and what ends it
					return ""
				}
				if n++; n == 1 {
					return "changed"
				}
				return ""
			})
			content := random(size)
			err := tryPut(b, name, content)
			r.proxy.Ask(nil)
			// A part that is refused is sent again; should the client have given up meanwhile, what it sent again may be there, and that alone.
			if _, absent := direct.Size(context.Background(), name); err == nil || absent == nil {
				mustHold(t, direct, name, content)
			} else if !errors.Is(absent, backend.ErrNotExist) {
				t.Errorf("whether %d bytes that arrived changed are there is not known: %v", size, absent)
			}
			t.Logf("%d bytes: %d requests, %v", size, n, err)
			if n == 0 {
				t.Errorf("%d bytes: nothing was changed", size)
			}
		}
	})
}

// TestClaimsUnderFaults: at most one caller believes that it has won, and it is the one whose claim is there.
func TestClaimsUnderFaults(t *testing.T) {
	for store, open := range map[string]func(t *testing.T, p func(string) *faults.Proxy) (b, direct backend.Bucket){
		"gcs": func(t *testing.T, through func(string) *faults.Proxy) (b, direct backend.Bucket) {
			var p *faults.Proxy
			server := fakeGCS(t, func(address string) string {
				p = through(address)
				return p.Address()
			})
			return openGCS(t, p.Address(), "f"), openGCS(t, server, "f")
		},
		"s3": func(t *testing.T, through func(string) *faults.Proxy) (b, direct backend.Bucket) {
			server, _ := s3Server(t)
			return openS3(t, through(server).Address(), "f"), openS3(t, server, "f")
		},
	} {
		t.Run(store, func(t *testing.T) {
			var p *faults.Proxy
			b, direct := open(t, func(address string) *faults.Proxy { p = newProxy(t, address, *seedFlag); return p })
			b = instrument.Retry(b, instrument.RetryOptions{Tries: 3, First: time.Millisecond, Longest: 5 * time.Millisecond, TryTime: time.Second})
			p.Spoil(0.3)
			won, unknown := 0, 0
			for job := range 25 {
				name := fmt.Sprintf("claims/%d", job)
				winner := ""
				for caller := range 3 {
					me := fmt.Sprintf("%d of %d", caller, job)
					created, err := backend.CreateIfAbsent(context.Background(), b, name, []byte(me))
					switch p.Settle(); {
					case err != nil:
						unknown++
					case created && winner != "":
						t.Errorf("%s: %q and %q have won", name, winner, me)
					case created:
						winner, won = me, won+1
					}
				}
				if winner != "" {
					p := make([]byte, len(winner))
					if _, err := direct.ReadAt(context.Background(), name, p, 0); err != nil || !bytes.Equal(p, []byte(winner)) {
						t.Errorf("%s: %q has won, but %q, %v is there", name, winner, p, err)
					}
				}
			}
			t.Logf("%d of 25 won, %d calls with an error; %s", won, unknown, p)
		})
	}
}

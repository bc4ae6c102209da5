package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// model is what a test knows about a log: each record is a number and bytes made from it, so that none can
// be altered or invented unseen.
type model struct {
	mu           sync.Mutex
	next         uint64
	acknowledged map[uint64]uint64 // record to segment
	refused      map[uint64]bool   // under way, or removed: may be replayed
	removed      map[uint64]bool   // segments
}

func newModel() *model {
	return &model{acknowledged: make(map[uint64]uint64), refused: make(map[uint64]bool), removed: make(map[uint64]bool)}
}

func record(n uint64) []byte {
	rng := rand.New(rand.NewPCG(n, 1))
	size := rng.IntN(200)
	if n%10 == 0 {
		size = rng.IntN(20_000)
	}
	b := make([]byte, 8+size)
	binary.BigEndian.PutUint64(b, n)
	for i := range b[8:] {
		b[8+i] = byte(rng.Uint32())
	}
	return b
}

func (m *model) begin() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	m.refused[m.next] = true
	return m.next
}

func (m *model) end(n uint64, pos Position) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.removed[pos.Segment] { // between the Append and now
		return
	}
	delete(m.refused, n)
	m.acknowledged[n] = pos.Segment
}

// forget is called before a segment is removed: its records may be there or not.
func (m *model) forget(segment uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removed[segment] = true
	for n, s := range m.acknowledged {
		if s == segment {
			delete(m.acknowledged, n)
			m.refused[n] = true
		}
	}
}

func (m *model) clone() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newModel()
	c.next = m.next
	for n, s := range m.acknowledged {
		c.acknowledged[n] = s
	}
	for n := range m.refused {
		c.refused[n] = true
	}
	return c
}

// check opens the log and compares; it makes what was replayed the model's truth. Where synced is false
// the machine, and not only the process, crashed under a relaxed policy: records may be missing.
func (m *model) check(t *testing.T, fsys FS, policy Sync, synced, ordered bool) *Log {
	t.Helper()
	replayed := make(map[uint64]uint64)
	last := uint64(0)
	log, report, err := Open("/log", Options{FS: fsys, Sync: policy}, func(pos Position, p []byte) error {
		n := binary.BigEndian.Uint64(p)
		if !bytes.Equal(p, record(n)) {
			return fmt.Errorf("record %d was altered", n)
		}
		if _, acked := m.acknowledged[n]; !acked && !m.refused[n] {
			return fmt.Errorf("record %d was invented", n)
		}
		if _, twice := replayed[n]; twice {
			return fmt.Errorf("record %d is there twice", n)
		}
		if ordered && n < last {
			return fmt.Errorf("record %d comes after %d", n, last)
		}
		last = n
		replayed[n] = pos.Segment
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range m.acknowledged {
		if _, ok := replayed[n]; !ok && synced {
			t.Fatalf("acknowledged record %d of segment %d is lost", n, m.acknowledged[n])
		}
	}
	for _, d := range report.Damages {
		if d.Kind != TornTail {
			t.Fatalf("a crash is reported as %v", d)
		}
	}
	m.acknowledged = replayed
	m.refused = make(map[uint64]bool)
	return log
}

// TestCrashes runs random histories of one caller, with crashes of the machine that keep what was synced
// and some of the rest.
func TestCrashes(t *testing.T) {
	for _, policy := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		for seed := range uint64(30) {
			t.Run(fmt.Sprintf("%v/%d", policy, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, uint64(policy)))
				disk := vfs.NewCrashableMem()
				m := newModel()
				log := m.check(t, memFS{disk}, policy, true, true)
				for range 150 {
					switch k := rng.IntN(100); {
					case k < 80:
						n := m.begin()
						pos, err := log.Append(context.Background(), record(n))
						if err != nil {
							t.Fatal(err)
						}
						m.end(n, pos)
					case k < 85:
						mustRotate(t, log)
					case k < 88:
						if s := log.Segments(); len(s) > 0 {
							if s = s[rng.IntN(len(s)):]; !s[0].Active {
								m.forget(s[0].ID)
								if err := log.Remove(s[0].ID); err != nil {
									t.Fatal(err)
								}
							}
						}
					case k < 90:
						mustClose(t, log)
						log = m.check(t, memFS{disk}, policy, true, true)
					case k < 95:
						log.syncActive()
					default:
						crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
						log.Close() // on a disk that nobody reads again
						disk = crashed
						log = m.check(t, memFS{disk}, policy, policy == SyncAlways, true)
					}
				}
				mustClose(t, log)
				mustClose(t, m.check(t, memFS{disk}, policy, true, true))
			})
		}
	}
}

// TestCrashesAmongManyCallers crashes while appends, rotations and removals are under way.
func TestCrashesAmongManyCallers(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 99))
		disk := vfs.NewCrashableMem()
		m := newModel()
		log := m.check(t, memFS{disk}, SyncAlways, true, false)
		for range 3 {
			var wg sync.WaitGroup
			var before *model
			var crashed *vfs.MemFS
			stop := make(chan struct{})
			for range 8 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						n := m.begin()
						pos, err := log.Append(context.Background(), record(n))
						if err != nil {
							t.Error(err)
							return
						}
						m.end(n, pos)
					}
				})
			}
			wg.Go(func() {
				defer close(stop)
				for range 1 + rng.IntN(10) {
					id, err := log.Rotate()
					if err != nil {
						t.Error(err)
					}
					if rng.IntN(3) == 0 && id != 0 {
						m.forget(id)
						if err := log.Remove(id); err != nil {
							t.Error(err)
						}
					}
				}
				// What was acknowledged before the clone must be in it; what was begun after it is not.
				before = m.clone()
				crashed = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			})
			wg.Wait()
			mustClose(t, log)
			// Appends that began between the model's clone and the disk's may be there too.
			for n := before.next + 1; n <= m.next; n++ {
				before.refused[n] = true
			}
			disk, m = crashed, before
			m.next += 1000 // those numbers were used
			log = m.check(t, memFS{disk}, SyncAlways, true, false)
		}
		mustClose(t, log)
	}
}

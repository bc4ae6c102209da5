package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
)

// TestEverythingAtOnce is for the race detector: appends, reads, rotations and removals side by side. A
// read gives the record, or ErrNoSegment after its segment was removed.
func TestEverythingAtOnce(t *testing.T) {
	for _, policy := range []Sync{SyncAlways, SyncNever} {
		log, _ := open(t, t.TempDir(), Options{Sync: policy})
		type place struct {
			n   uint64
			pos Position
		}
		places := make(chan place, 1000)
		var appenders, others sync.WaitGroup
		for a := range uint64(4) {
			appenders.Go(func() {
				for n := a * 1000; n < a*1000+300; n++ {
					pos, err := log.Append(context.Background(), record(n))
					if err != nil {
						t.Error(err)
						return
					}
					places <- place{n, pos}
				}
			})
		}
		for range 3 {
			others.Go(func() {
				for p := range places {
					want := record(p.n)
					got := make([]byte, len(want))
					err := log.ReadAt(got, p.pos)
					if errors.Is(err, ErrNoSegment) {
						continue
					}
					if err != nil || !bytes.Equal(got, want) || binary.BigEndian.Uint64(got) != p.n {
						t.Errorf("record %d: %v", p.n, err)
					}
				}
			})
		}
		stop := make(chan struct{})
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, err := log.Rotate()
				if err != nil {
					t.Error(err)
				}
				log.Segments()
				log.Stats()
				log.syncActive()
				if id != 0 && id%2 == 0 {
					if err := log.Remove(id); err != nil {
						t.Error(err)
					}
				}
			}
		})
		appenders.Wait()
		close(stop)
		close(places)
		others.Wait()
		if s := log.Stats(); s.Appends != 1200 || s.Failed != 0 {
			t.Errorf("stats are %+v", s)
		}
		mustClose(t, log)
	}
}

// TestCloseWaitsForAppends closes among appends: each is acknowledged and replayed, or told of the end.
func TestCloseWaitsForAppends(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		log, _ := open(t, dir, Options{Sync: SyncNever})
		m := newModel()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					n := m.begin()
					pos, err := log.Append(context.Background(), record(n))
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					m.end(n, pos)
				}
			})
		}
		for log.Stats().Appends < 20 {
		}
		mustClose(t, log)
		wg.Wait()
		var got int
		log, _, err := Open(dir, Options{}, func(Position, []byte) error { got++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		mustClose(t, log)
		if got != len(m.acknowledged) {
			t.Fatalf("%d records were acknowledged, %d replayed", len(m.acknowledged), got)
		}
	}
}

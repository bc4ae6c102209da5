package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func memFaults() *faultFS { return &faultFS{FS: memFS{vfs.NewMem()}} }

func mustFail(t testing.TB, log *Log, payload string, want error) {
	t.Helper()
	_, err := log.Append(context.Background(), []byte(payload))
	if !errors.Is(err, want) {
		t.Fatalf("append: error is %v, want %v", err, want)
	}
	mustName(t, "append", err, ".wal")
}

// Whatever fails, the log takes records again when it no longer fails, and nothing acknowledged is lost.
func TestAppendRecoversFromEachFailure(t *testing.T) {
	for _, before := range []int{0, 1, 3} {
		for _, op := range []string{"write", "sync", "create", "syncdir"} {
			for _, more := range []string{"", "truncate", "reserve", "remove"} {
				t.Run(fmt.Sprintf("%s %s after %d records", op, more, before), func(t *testing.T) {
					fsys := memFaults()
					log, _ := open(t, "/log", Options{FS: fsys})
					var want []string
					var at []Position
					for n := range before {
						want = append(want, fmt.Sprint("early ", n))
					}
					at = appendTo(t, log, want...)

					if op == "create" || op == "syncdir" {
						mustRotate(t, log) // so that the next append needs a file
					}
					fsys.set(failing(syscall.ENOSPC, op, more))
					for range 5 {
						mustFail(t, log, "refused", syscall.ENOSPC)
					}
					names, err := fsys.ReadDir("/log")
					if err != nil || len(names) > 2 {
						t.Errorf("failing left files %v, %v", names, err)
					}
					fsys.set(nil)
					for n := range 3 {
						p := fmt.Sprint("late ", n)
						want = append(want, p)
						at = append(at, appendTo(t, log, p)...)
					}
					for i, pos := range at {
						p := make([]byte, len(want[i]))
						if err := log.ReadAt(p, pos); err != nil || string(p) != want[i] {
							t.Errorf("record %d is %q, %v", i, p, err)
						}
					}
					if s := log.Stats(); s.Failed != 5 || s.Appends != int64(before+3) {
						t.Errorf("stats are %+v", s)
					}
					mustClose(t, log)
					// Refused records may come back where they reached the file and it could not be cut.
					_, got := open(t, "/log", Options{FS: fsys})
					var acknowledged []string
					for _, p := range got {
						if p != "refused" {
							acknowledged = append(acknowledged, p)
						} else if more != "truncate" {
							t.Error("a refused record was replayed")
						}
					}
					mustEqual(t, "replayed", acknowledged, want)
				})
			}
		}
	}
}

// After a failed sync the kernel may have dropped the pages and call them clean.
func TestAFileIsNotWrittenAfterAFailedSync(t *testing.T) {
	fsys := memFaults()
	log, _ := open(t, "/log", Options{FS: fsys})
	first := appendTo(t, log, "good")[0]
	fsys.set(failing(syscall.EIO, "sync"))
	mustFail(t, log, "lost", syscall.EIO)
	fsys.set(func(op, path string) error {
		if op == "write" && strings.HasSuffix(path, segmentName(first.Segment)) {
			t.Errorf("%s %s after a failed sync", op, path)
		}
		return nil
	})
	if pos := appendTo(t, log, "next")[0]; pos.Segment == first.Segment {
		t.Error("the next record went to the same segment")
	}
	if s := log.Stats(); s.SyncErrors != 1 {
		t.Errorf("stats are %+v", s)
	}
	if err := log.Remove(first.Segment); err != nil {
		t.Errorf("the segment that failed cannot be removed: %v", err)
	}
}

func TestAFailedSyncFailsEveryCallerOfTheCommit(t *testing.T) {
	fsys, g := gated()
	log, _ := open(t, "/log", Options{FS: fsys})
	var wg sync.WaitGroup
	wg.Go(func() { appendTo(t, log, "first") })
	<-g.entered
	for n := range 10 {
		wg.Go(func() {
			if _, err := log.Append(context.Background(), []byte{byte(n)}); !errors.Is(err, syscall.EIO) {
				t.Errorf("error is %v", err)
			}
		})
	}
	waitQueued(log, 10)
	fsys.set(failing(syscall.EIO, "sync"))
	g.open <- struct{}{}
	wg.Wait()
	fsys.set(nil)
	appendTo(t, log, "last")
	mustClose(t, log)
	_, got := open(t, "/log", Options{FS: fsys})
	mustEqual(t, "replayed", got, []string{"first", "last"})
}

// Records that a relaxed policy acknowledged are kept where a strict one would have cut them off.
func TestRelaxedPoliciesKeepWhatTheyAcknowledged(t *testing.T) {
	for _, policy := range []Sync{SyncInterval, SyncNever} {
		for _, op := range []string{"write", "sync"} {
			fsys := memFaults()
			log, _ := open(t, "/log", Options{FS: fsys, Sync: policy})
			appendTo(t, log, "a", "b")
			fsys.set(failing(syscall.EIO, op))
			if op == "write" {
				mustFail(t, log, "refused", syscall.EIO)
			} else {
				log.syncActive()
			}
			fsys.set(nil)
			if pos := appendTo(t, log, "c")[0]; pos.Segment != 2 {
				t.Errorf("%v: after a failed %s a record went to segment %d", policy, op, pos.Segment)
			}
			mustClose(t, log)
			_, got := open(t, "/log", Options{FS: fsys})
			mustEqual(t, fmt.Sprintf("%v, failed %s: replayed", policy, op), got, []string{"a", "b", "c"})
		}
	}
}

func TestRotateAndCloseReportAFailedSync(t *testing.T) {
	fsys := memFaults()
	log, _ := open(t, "/log", Options{FS: fsys, Sync: SyncNever})
	appendTo(t, log, "a")
	fsys.set(failing(syscall.EIO, "sync"))
	id, err := log.Rotate()
	if id != 1 || !errors.Is(err, syscall.EIO) {
		t.Errorf("rotate: segment %d, %v", id, err)
	}
	appendTo(t, log, "b")
	if err := log.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
}

func TestAFailedRemoveCanBeRepeated(t *testing.T) {
	for _, op := range []string{"remove", "create", "syncdir"} {
		fsys := memFaults()
		log, _ := open(t, "/log", Options{FS: fsys})
		at := appendTo(t, log, "a")[0]
		mustRotate(t, log)
		fsys.set(failing(syscall.EIO, op))
		err := log.Remove(1)
		mustName(t, op, err, ".wal")
		if op != "syncdir" { // else it may be gone, or not
			if err := log.ReadAt(make([]byte, 1), at); err != nil {
				t.Errorf("%s: the segment cannot be read any more: %v", op, err)
			}
		}
		fsys.set(nil)
		if err := log.Remove(1); err != nil {
			t.Errorf("%s: second time: %v", op, err)
		}
	}
}

func TestAFullDiskDoesNotKeepALogFromOpening(t *testing.T) {
	fsys := memFaults()
	log, _ := open(t, "/log", Options{FS: fsys})
	appendTo(t, log, "a")
	mustRotate(t, log)
	appendTo(t, log, "b")
	mustClose(t, log)
	fsys.set(failing(syscall.ENOSPC, "create", "write", "sync", "syncdir", "mkdir"))
	_, _, err := Open("/log", Options{FS: fsys}, nil)
	mustName(t, "mkdir fails", err, "/log")
	fsys.set(failing(syscall.ENOSPC, "create", "write", "sync", "syncdir"))
	log, got := open(t, "/log", Options{FS: fsys, Skip: func(id uint64) bool { return id == 2 }})
	mustEqual(t, "replayed", got, []string{"a"})
	mustFail(t, log, "refused", syscall.ENOSPC)
	fsys.set(nil)
	appendTo(t, log, "c")
}

// One operation after the other fails, once, in the same history.
func TestEachOperationMayFailOnce(t *testing.T) {
	for _, policy := range []Sync{SyncAlways, SyncNever} {
		for fail := 1; ; fail++ {
			fsys := memFaults()
			count := 0
			var failed string
			fsys.set(func(op, path string) error {
				if count++; count == fail {
					failed = op + " " + path
					return syscall.EIO
				}
				return nil
			})
			acknowledged := history(fsys, policy)
			done := count < fail
			fsys.set(nil)
			log, got := open(t, "/log", Options{FS: fsys})
			replayed := make(map[string]int)
			for _, p := range got {
				replayed[p]++
			}
			for _, p := range acknowledged {
				if replayed[p] != 1 {
					t.Fatalf("%v: %s failed: record %q was replayed %d times", policy, failed, p, replayed[p])
				}
			}
			mustClose(t, log)
			if done {
				if fail < 50 {
					t.Errorf("the history has only %d operations", fail)
				}
				break
			}
		}
	}
}

// history uses a log and returns the records that were acknowledged and not removed. It does not mind errors.
func history(fsys FS, policy Sync) []string {
	var acknowledged []string
	for session := range 3 {
		log, _, err := Open("/log", Options{FS: fsys, Sync: policy}, nil)
		if err != nil {
			continue
		}
		for n := range 6 {
			p := fmt.Sprintf("session %d record %d", session, n)
			if _, err := log.Append(context.Background(), []byte(p)); err == nil {
				acknowledged = append(acknowledged, p)
			}
			if n%3 == 2 {
				log.Rotate()
			}
		}
		// A segment of its own that is removed at once.
		if pos, err := log.Append(context.Background(), []byte("short-lived")); err == nil {
			log.Rotate()
			log.Remove(pos.Segment)
		}
		log.Close()
	}
	return acknowledged
}

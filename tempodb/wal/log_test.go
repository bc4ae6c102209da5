package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// open opens a log and closes it at the test's end; it returns the payloads it replayed.
func open(t testing.TB, dir string, o Options) (*Log, []string) {
	t.Helper()
	log, _, got := openReport(t, dir, o)
	return log, got
}

func openReport(t testing.TB, dir string, o Options) (*Log, *Report, []string) {
	t.Helper()
	var got []string
	log, report, err := Open(dir, o, func(_ Position, payload []byte) error {
		got = append(got, string(payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	if int(report.Records) != len(got) {
		t.Errorf("report says %d records, replay passed %d", report.Records, len(got))
	}
	return log, report, got
}

func appendTo(t testing.TB, log *Log, payloads ...string) []Position {
	t.Helper()
	var at []Position
	for _, p := range payloads {
		pos, err := log.Append(context.Background(), []byte(p))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, pos)
	}
	return at
}

func mustClose(t testing.TB, log *Log) {
	t.Helper()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustRotate(t testing.TB, log *Log) uint64 {
	t.Helper()
	id, err := log.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustEqual(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %s, want %s", what, short(got), short(want))
	}
}

func short(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%.20q(%d)", s, len(s))
	}
	return strings.Join(out, " ")
}

func mustName(t testing.TB, what string, err error, name string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
	} else if !strings.Contains(err.Error(), name) {
		t.Errorf("%s: error %q does not name %s", what, err, name)
	}
}

func ids(log *Log) []uint64 {
	var out []uint64
	for _, s := range log.Segments() {
		out = append(out, s.ID)
	}
	return out
}

func TestRecordsComeBackInOrder(t *testing.T) {
	dir := t.TempDir()
	want := []string{"a", "", "bc", strings.Repeat("long", 200_000), "", "end"}
	log, got := open(t, dir, Options{})
	mustEqual(t, "a new log", got, nil)
	appendTo(t, log, want[:3]...)
	mustRotate(t, log)
	appendTo(t, log, want[3:]...)
	mustClose(t, log)

	log, report, got := openReport(t, dir, Options{})
	mustEqual(t, "after reopening", got, want)
	if report.Segments != 2 || len(report.Damages) != 0 || report.Bytes != int64(len(strings.Join(want, ""))) {
		t.Errorf("report is %+v", report)
	}
	appendTo(t, log, "later")
	mustClose(t, log)
	_, got = open(t, dir, Options{})
	mustEqual(t, "after a third opening", got, append(want, "later"))
}

func TestARecordIsTheConcatenationOfItsParts(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	big := bytes.Repeat([]byte("0123456789abcdef"), directWrite/16+1)
	parts := [][]byte{[]byte("head"), nil, big, []byte("middle"), big, {}, []byte("tail")}
	pos, err := log.Append(context.Background(), parts...)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "next")
	want := bytes.Join(parts, nil)
	got := make([]byte, len(want))
	if err := log.ReadAt(got, pos); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("what is read is not what was appended")
	}
	mustClose(t, log)
	_, all := open(t, dir, Options{})
	mustEqual(t, "replayed", all, []string{string(want), "next"})
}

func TestAnyPartOfAPayloadCanBeRead(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	at := appendTo(t, log, "first", "0123456789")
	check := func(log *Log, when string) {
		t.Helper()
		for from := 0; from <= 10; from++ {
			for to := from; to <= 10; to++ {
				p := make([]byte, to-from)
				if err := log.ReadAt(p, Position{at[1].Segment, at[1].Offset + int64(from)}); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				if string(p) != "0123456789"[from:to] {
					t.Fatalf("%s: bytes %d to %d are %q", when, from, to, p)
				}
			}
		}
		for _, pos := range []Position{{at[1].Segment, at[1].Offset + 1}, {at[1].Segment, 0}, {at[1].Segment, -1}, {at[1].Segment, 1 << 62}} {
			mustName(t, when+": outside", log.ReadAt(make([]byte, 10), pos), segmentName(1))
		}
		if err := log.ReadAt(nil, Position{99, firstRecord}); !errors.Is(err, ErrNoSegment) {
			t.Errorf("%s: reading segment 99: %v", when, err)
		}
	}
	check(log, "active")
	mustRotate(t, log)
	check(log, "sealed")
	mustClose(t, log)
	log, _ = open(t, dir, Options{})
	check(log, "reopened")
}

func TestReplayPassesThePositionsThatAppendReturned(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	want := appendTo(t, log, "a", "bb")
	mustRotate(t, log)
	want = append(want, appendTo(t, log, "ccc")...)
	mustClose(t, log)
	var got []Position
	log, _, err := Open(dir, Options{}, func(pos Position, _ []byte) error {
		got = append(got, pos)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if !slices.Equal(got, want) {
		t.Errorf("positions are %v, were %v", got, want)
	}
}

func TestAnErrorOfTheReplayFunctionEndsOpen(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	appendTo(t, log, "a", "b")
	mustClose(t, log)
	enough := errors.New("enough")
	_, _, err := Open(dir, Options{}, func(Position, []byte) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("error is %v", err)
	}
	mustName(t, "the error", err, segmentName(1))
	_, got := open(t, dir, Options{})
	mustEqual(t, "the next opening", got, []string{"a", "b"})
}

func TestRotateSealsWhatWasAppended(t *testing.T) {
	log, _ := open(t, t.TempDir(), Options{})
	if id := mustRotate(t, log); id != 0 {
		t.Errorf("rotating an empty log closed segment %d", id)
	}
	at := appendTo(t, log, "a")
	if id := mustRotate(t, log); id != at[0].Segment {
		t.Errorf("closed segment %d, the record is in %d", id, at[0].Segment)
	}
	if id := mustRotate(t, log); id != 0 {
		t.Errorf("rotating twice closed segment %d", id)
	}
	if next := appendTo(t, log, "b"); next[0].Segment <= at[0].Segment {
		t.Errorf("the next record went to segment %d", next[0].Segment)
	}
	infos := log.Segments()
	if len(infos) != 2 || infos[0].Active || !infos[1].Active {
		t.Errorf("segments are %+v", infos)
	}
}

func TestEmptySegmentsDoNotPileUp(t *testing.T) {
	dir := t.TempDir()
	for range 20 {
		log, _ := open(t, dir, Options{})
		for range 5 {
			mustRotate(t, log)
		}
		mustClose(t, log)
	}
	log, _ := open(t, dir, Options{})
	for range 20 {
		appendTo(t, log, "x")
		if err := log.Remove(mustRotate(t, log)); err != nil {
			t.Fatal(err)
		}
	}
	if names := readDir(t, dir); len(names) > 1 {
		t.Errorf("the directory of an empty log holds %v", names)
	}
}

func readDir(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	at := appendTo(t, log, "a")
	mustName(t, "removing the active segment", log.Remove(at[0].Segment), "rotate")
	mustRotate(t, log)
	kept := appendTo(t, log, "b")
	if err := log.Remove(at[0].Segment); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"reading a removed segment":  log.ReadAt(make([]byte, 1), at[0]),
		"removing a removed segment": log.Remove(at[0].Segment),
		"removing an unknown one":    log.Remove(77),
	} {
		if !errors.Is(err, ErrNoSegment) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := ids(log); !slices.Equal(got, []uint64{kept[0].Segment}) {
		t.Errorf("segments are %v", got)
	}
	mustClose(t, log)
	_, got := open(t, dir, Options{})
	mustEqual(t, "replayed", got, []string{"b"})
}

// A number that the owner remembers as "all in blocks" must not come back with other records in it.
func TestNumbersAreNeverUsedTwice(t *testing.T) {
	dir := t.TempDir()
	var last uint64
	for round := range 12 {
		skip := func(uint64) bool { return round%4 == 1 }
		log, _ := open(t, dir, Options{Skip: skip})
		for range 3 {
			pos := appendTo(t, log, "x")[0]
			if pos.Segment <= last {
				t.Fatalf("round %d: a record went to segment %d, numbers up to %d were used", round, pos.Segment, last)
			}
			last = pos.Segment
			mustRotate(t, log)
			if round%4 >= 2 {
				for _, id := range ids(log) {
					if err := log.Remove(id); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		mustClose(t, log)
	}
	log, _ := open(t, t.TempDir(), Options{MinSegment: 100})
	if pos := appendTo(t, log, "x")[0]; pos.Segment != 100 {
		t.Errorf("with MinSegment 100 a record went to segment %d", pos.Segment)
	}
}

func TestSkippedSegmentsAreRemovedUnread(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	for _, p := range []string{"a", "b", "c"} {
		appendTo(t, log, p)
		mustRotate(t, log)
	}
	mustClose(t, log)
	_, report, got := openReport(t, dir, Options{Skip: func(id uint64) bool { return id != 2 }})
	mustEqual(t, "replayed", got, []string{"b"})
	if report.Skipped != 2 || report.Segments != 1 {
		t.Errorf("report is %+v", report)
	}
	_, got = open(t, dir, Options{})
	mustEqual(t, "replayed later", got, []string{"b"})
}

func TestAClosedLogSaysSo(t *testing.T) {
	log, _ := open(t, t.TempDir(), Options{})
	at := appendTo(t, log, "a")
	mustClose(t, log)
	_, rotateErr := log.Rotate()
	_, appendErr := log.Append(context.Background(), nil)
	for what, err := range map[string]error{
		"append": appendErr,
		"rotate": rotateErr,
		"read":   log.ReadAt(nil, at[0]),
		"remove": log.Remove(1),
		"close":  log.Close(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestACancelledAppendWritesNothing(t *testing.T) {
	dir := t.TempDir()
	log, _ := open(t, dir, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := log.Append(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	mustClose(t, log)
	_, got := open(t, dir, Options{})
	mustEqual(t, "replayed", got, nil)
}

// gate lets a test hold up a sync.
type gate struct{ entered, open chan struct{} }

func gated() (*faultFS, gate) {
	g := gate{make(chan struct{}, 100), make(chan struct{}, 100)}
	fsys := &faultFS{FS: memFS{vfs.NewMem()}}
	fsys.set(func(op, _ string) error {
		if op == "sync" {
			g.entered <- struct{}{}
			<-g.open
		}
		return nil
	})
	return fsys, g
}

// waitQueued returns when n callers wait for the commit under way.
func waitQueued(log *Log, n int) {
	for {
		log.queueMu.Lock()
		have := len(log.queue)
		log.queueMu.Unlock()
		if have == n {
			return
		}
		runtime.Gosched()
	}
}

func TestCallersThatWaitShareOneSync(t *testing.T) {
	fsys, g := gated()
	log, _ := open(t, "/log", Options{FS: fsys})
	var wg sync.WaitGroup
	wg.Go(func() { appendTo(t, log, "first") })
	<-g.entered
	for n := range 50 {
		wg.Go(func() { appendTo(t, log, fmt.Sprint(n)) })
	}
	waitQueued(log, 50)
	g.open <- struct{}{}
	<-g.entered
	g.open <- struct{}{}
	wg.Wait()
	fsys.set(nil)
	if s := log.Stats(); s.Syncs != 2 || s.Commits != 2 || s.Appends != 51 {
		t.Errorf("stats are %+v", s)
	}
}

func TestAWaitingAppendCanBeCancelled(t *testing.T) {
	fsys, g := gated()
	log, _ := open(t, "/log", Options{FS: fsys})
	var wg sync.WaitGroup
	wg.Go(func() { appendTo(t, log, "first") })
	<-g.entered
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := log.Append(ctx, []byte("given up")); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
	waitQueued(log, 1)
	wg.Go(func() { appendTo(t, log, "third") })
	waitQueued(log, 2)
	cancel()
	waitQueued(log, 1)
	g.open <- struct{}{}
	<-g.entered
	g.open <- struct{}{}
	wg.Wait()
	fsys.set(nil)
	mustClose(t, log)
	_, got := open(t, "/log", Options{FS: fsys})
	mustEqual(t, "replayed", got, []string{"first", "third"})
}

func TestARecordOverTheLimitIsRefused(t *testing.T) {
	log, _ := open(t, t.TempDir(), Options{})
	part := make([]byte, 64<<20)
	parts := slices.Repeat([][]byte{part}, MaxRecord/len(part)+1)
	if _, err := log.Append(context.Background(), parts...); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error is %v", err)
	}
	appendTo(t, log, "small")
}

func TestSyncPolicies(t *testing.T) {
	for _, s := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		parsed, err := ParseSync(s.String())
		if err != nil || parsed != s {
			t.Errorf("%v is parsed as %v, %v", s, parsed, err)
		}
		dir := t.TempDir()
		log, _ := open(t, dir, Options{Sync: s})
		appendTo(t, log, "a", "b", "c")
		if syncs := log.Stats().Syncs; (s == SyncAlways) != (syncs >= 3) {
			t.Errorf("%v: %d syncs for 3 appends", s, syncs)
		}
		log.syncActive()
		if log.active.synced != log.active.end {
			t.Errorf("%v: not durable after a sync", s)
		}
		mustClose(t, log)
		_, got := open(t, dir, Options{})
		mustEqual(t, "replayed", got, []string{"a", "b", "c"})
	}
	if _, err := ParseSync("sometimes"); err == nil {
		t.Error("a policy of that name is unknown")
	}
}

func TestFilesOfOtherNamesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1.wal", "0000000000000000.wal", "0000000000000001.wal.bak", "notes", "x.wal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := readDir(t, dir)
	_, got := open(t, dir, Options{})
	mustEqual(t, "replayed", got, nil)
	mustEqual(t, "the directory", readDir(t, dir), before)
}

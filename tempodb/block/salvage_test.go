package block

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// objectsUnder returns the objects in a folder by what follows it in their names.
func (m *memory) objectsUnder(folder string) map[string][]byte {
	found := make(map[string][]byte)
	for name, content := range m.objects {
		if rest, ok := strings.CutPrefix(name, folder+"/"); ok {
			found[rest] = content
		}
	}
	return found
}

func folderOf(id ID) string { return tenant + "/" + string(id) }

// salvaged salvages the block, one of whose objects is damaged, and checks what becomes of it.
func (s sample) salvaged(t tb, bucket *memory, object string) *SalvageReport {
	t.Helper()
	lost := s.lost(bucket)
	before := bucket.objectsUnder(folderOf(s.id))
	report, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{By: "test 1.2"})
	if err != nil {
		t.Fatal(err)
	}
	if report.DamageCount == 0 || !slices.ContainsFunc(report.Damage, func(d DamagedPlace) bool { return d.Object == object }) {
		t.Fatalf("the report does not name %s: %+v", object, report.Damage)
	}
	s.outcome(t, bucket, report, before, lost)
	return report
}

// outcome checks that the bad block is in the quarantine as it was, and all but the lost keys in a new block.
func (s sample) outcome(t tb, bucket *memory, report *SalvageReport, before map[string][]byte, lost map[[16]byte]bool) {
	t.Helper()
	if rest := bucket.objectsUnder(folderOf(s.id)); len(rest) > 0 {
		t.Fatalf("the bad block is still there: %v", slices.Collect(maps.Keys(rest)))
	}
	kept := bucket.objectsUnder(QuarantineFolder + "/" + folderOf(s.id))
	told := kept[reportObject]
	delete(kept, reportObject)
	if !maps.EqualFunc(kept, before, bytes.Equal) {
		t.Fatal("what is in the quarantine is not what the block was")
	}
	for name, content := range before {
		if report.Kept[name].Bytes != int64(len(content)) {
			t.Fatalf("the report says %v is kept of %s", report.Kept[name], name)
		}
	}
	read, err := ReadReport(ctx, bucket, tenant, s.id)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.MarshalIndent(read, "", "  "); err != nil || string(again)+"\n" != string(told) {
		t.Fatalf("the report is read as another: %v", err)
	}
	if read.Saved != report.Saved || read.Block != s.id || read.Tenant != tenant {
		t.Fatalf("%+v", read)
	}
	listed, err := ListQuarantine(ctx, bucket)
	if err != nil || !slices.Equal(listed, []Quarantined{{tenant, s.id}}) {
		t.Fatalf("quarantine: %v, %v", listed, err)
	}
	for _, r := range report.Lost {
		some := slices.ContainsFunc(s.entries, func(e entry) bool { return lost[e.key] && r.contains(e.key) })
		if !some && (report.Meta != nil || r.Before != nil) {
			t.Fatalf("nothing was lost %v", r)
		}
	}
	var whole []entry
	for _, e := range s.entries {
		within := slices.ContainsFunc(report.Lost, func(r KeyRange) bool { return r.contains(e.key) })
		if within != lost[e.key] {
			t.Fatalf("key %x is lost: %v; the report says %v", e.key, lost[e.key], report.Lost)
		}
		if !lost[e.key] {
			whole = append(whole, e)
		}
	}
	if report.Saved != int64(len(whole)) || report.LostCount != len(report.Lost) || report.Keys != 0 && report.Keys != int64(len(s.entries)) {
		t.Fatalf("%d saved of %d: %+v", len(whole), len(s.entries), report)
	}
	ids := visible(t, bucket)
	if len(whole) == 0 {
		if len(ids) > 0 || report.NewBlock != "" {
			t.Fatalf("nothing was saved, but: %v", ids)
		}
		return
	}
	if !slices.Equal(ids, []ID{report.NewBlock}) {
		t.Fatalf("blocks: %v", ids)
	}
	b := mustOpen(t, bucket, report.NewBlock)
	if err := b.Verify(ctx); err != nil {
		t.Fatal(err)
	}
	if m := b.Meta(); !slices.Equal(m.Parents, []ID{s.id}) || m.Keys != int64(len(whole)) || len(m.Sources) > 0 {
		t.Fatalf("%+v", m)
	}
	n := 0
	err = b.Scan(ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		if key != whole[n].key || !bytes.Equal(value, whole[n].value) {
			t.Fatalf("key %x of the new block", key)
		}
		n++
		return true, nil
	})
	if err != nil || n != len(whole) {
		t.Fatal(n, err)
	}
	if hits, err := b.Search(ctx, everything(nil, 0)); err != nil || !slices.Equal(hits, wantHits(whole, "", 0)) {
		t.Fatalf("search of the new block: %d hits, %v", len(hits), err)
	}
}

func (r KeyRange) contains(key [16]byte) bool {
	return (r.After == nil || bytes.Compare(r.After[:], key[:]) < 0) && (r.Before == nil || bytes.Compare(key[:], r.Before[:]) < 0)
}

// Whatever becomes of several objects at once.
func TestAnyDamageIsSetAside(t *testing.T) {
	s, other := newSample(t, 5, 14), newSample(t, 6, 14)
	rapid.Check(t, func(t *rapid.T) {
		bucket := s.bucket.clone()
		changed := false
		for _, object := range append([]string{metaObject}, objectNames...) {
			damages := s.damages(other, object)
			for range 3 {
				damages[fmt.Sprint("has byte changed ", len(damages))] = flipped(s.object(object), rapid.IntRange(0, len(s.object(object))-1).Draw(t, "at"))
			}
			if object == metaObject {
				delete(damages, "is missing")
			}
			what := rapid.SampledFrom(append([]string{"", "", ""}, slices.Sorted(maps.Keys(damages))...)).Draw(t, object)
			if what == "" {
				continue
			}
			content := damages[what]
			if name := objectName(tenant, s.id, object); content == nil {
				delete(bucket.objects, name)
			} else {
				bucket.objects[name] = content
			}
			changed = true
		}
		s.answers(t, bucket)
		_, err := Salvage(ctx, bucket.clone(), tenant, s.id, lines{}, SalvageOptions{})
		if errors.Is(err, ErrSound) {
			if _, err := Open(ctx, bucket, tenant, s.id, lines{}); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err != nil || !changed {
			t.Fatal(err)
		}
		lost, before := s.lost(bucket), bucket.objectsUnder(folderOf(s.id))
		report, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{})
		if err != nil {
			t.Fatal(err)
		}
		// Of a block of which neither meta.json nor filter is left, nobody knows what stood behind the last page.
		if report.Keys == 0 && len(lost) > 0 {
			if report.Saved != int64(len(s.entries)-len(lost)) {
				t.Fatalf("%d keys saved, %d of %d lost", report.Saved, len(lost), len(s.entries))
			}
			return
		}
		s.outcome(t, bucket, report, before, lost)
	})
}

// Whatever step fails, alone or with all that follow, before or after it was done: nothing is lost, and the next try ends it.
func TestSalvageThatFailsAtAnyStep(t *testing.T) {
	s := newSample(t, 5, 14)
	steps := 0
	count := func(string) error { steps++; return nil }
	damaged := s.with(dataObject, flipped(s.object(dataObject), 30))
	lost, before := s.lost(damaged), damaged.objectsUnder(folderOf(s.id))
	whole := damaged.clone()
	whole.fail = count
	if _, err := Salvage(ctx, whole, tenant, s.id, lines{}, SalvageOptions{}); err != nil {
		t.Fatal(err)
	}
	if steps < 40 {
		t.Fatalf("%d steps", steps)
	}
	for _, mode := range []struct {
		name          string
		crashed, late bool
	}{{"once", false, false}, {"once, though it is done", false, true}, {"from then on", true, false}, {"from then on, though the first is done", true, true}} {
		for failing := range steps {
			t.Run(fmt.Sprintf("step %d %s", failing, mode.name), func(t *testing.T) {
				bucket := damaged.clone()
				bucket.late = mode.late
				step := 0
				bucket.fail = func(string) error {
					step++
					if step-1 == failing || mode.crashed && step > failing {
						bucket.late = mode.late && step-1 == failing
						return errFull
					}
					return nil
				}
				_, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{})
				if err == nil && failing < steps-1 && mode.crashed {
					t.Fatal("succeeds without its last steps")
				}
				bucket.fail = func(string) error { return nil }

				there := bucket.objectsUnder(folderOf(s.id))
				kept := bucket.objectsUnder(QuarantineFolder + "/" + folderOf(s.id))
				delete(kept, reportObject)
				if !maps.EqualFunc(there, before, bytes.Equal) && !maps.EqualFunc(kept, before, bytes.Equal) {
					t.Fatal("the bad block is neither in its place nor in the quarantine")
				}
				if _, inPlace := there[metaObject]; !inPlace || len(visible(t, bucket)) > 1 {
					// It is gone or superseded, so what it had is to be found.
					if !maps.EqualFunc(kept, before, bytes.Equal) {
						t.Fatal("it is gone or superseded and not in the quarantine")
					}
					if _, err := ReadReport(ctx, bucket, tenant, s.id); err != nil {
						t.Fatal(err)
					}
				}
				report, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{})
				if err != nil {
					t.Fatal(err)
				}
				// What a crash in the midst of deleting leaves is garbage, and taken away as such.
				for name := range bucket.objectsUnder(folderOf(s.id)) {
					if name == metaObject {
						t.Fatal("it is still there")
					}
					delete(bucket.objects, folderOf(s.id)+"/"+name)
				}
				s.outcome(t, bucket, report, before, lost)
			})
		}
	}
}

func TestSoundBlockIsNotSalvaged(t *testing.T) {
	s := newSample(t, 5, 14)
	before := maps.Clone(s.bucket.objects)
	if _, err := Salvage(ctx, s.bucket, tenant, s.id, lines{}, SalvageOptions{}); !errors.Is(err, ErrSound) {
		t.Fatal(err)
	}
	if _, err := Salvage(ctx, s.bucket, tenant, NewID(), lines{}, SalvageOptions{}); !errors.Is(err, backend.ErrNotExist) {
		t.Fatal(err)
	}
	for _, names := range [][2]string{{"a/b", string(s.id)}, {QuarantineFolder, string(s.id)}, {tenant, "../" + string(s.id)}} {
		if _, err := Salvage(ctx, s.bucket, names[0], ID(names[1]), lines{}, SalvageOptions{}); err == nil {
			t.Errorf("salvage of %v is no error", names)
		}
		if _, err := ReadReport(ctx, s.bucket, names[0], ID(names[1])); err == nil {
			t.Errorf("report of %v is no error", names)
		}
	}
	if !maps.EqualFunc(before, s.bucket.objects, bytes.Equal) {
		t.Fatal("something has changed")
	}
}

func TestSalvageTwiceTellsTheSame(t *testing.T) {
	s := newSample(t, 5, 14)
	bucket := s.with(dataObject, flipped(s.object(dataObject), 30))
	first := s.salvaged(t, bucket, dataObject)
	after := maps.Clone(bucket.objects)
	second, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{})
	if err != nil || second.NewBlock != first.NewBlock || second.Saved != first.Saved || !maps.EqualFunc(after, bucket.objects, bytes.Equal) {
		t.Fatalf("%+v, %v", second, err)
	}
}

// A block that a newer program has written is none of ours to judge.
func TestNewerBlockIsNotDamaged(t *testing.T) {
	s := newSample(t, 5, 14)
	m := *mustOpen(t, s.bucket, s.id).Meta()
	m.Version++
	content, err := AppendMeta(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	bucket := s.with(metaObject, content)
	if _, err := Open(ctx, bucket, tenant, s.id, lines{}); !errors.Is(err, ErrNewer) || page.IsCorrupt(err) {
		t.Fatal(err)
	}
	if _, err := Salvage(ctx, bucket, tenant, s.id, lines{}, SalvageOptions{}); !errors.Is(err, ErrNewer) {
		t.Fatal(err)
	}
}

// picky refuses the values with a word in them.
type picky struct {
	lines
	word string
}

func (p picky) Index(value []byte, s index.Sink) error {
	if bytes.Contains(value, []byte(p.word)) {
		return errLine
	}
	return lines{}.Index(value, s)
}

func TestValuesThatTheCodecRefusesStayInTheQuarantine(t *testing.T) {
	s := newSample(t, 5, 14)
	report, err := Salvage(ctx, s.with(filterObject, nil), tenant, s.id, picky{word: "5big"}, SalvageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Saved != 13 || report.RefusedCount != 1 || report.Refused[0].Key != s.entries[7].key || report.LostCount != 0 {
		t.Fatalf("%+v", report)
	}
}

// The index of what is saved is not in memory as a whole, and the block is the same.
func TestSalvageWithLittleMemory(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 300, 30)
	m := write(t, bucket, entries, WriterOptions{PageBytes: 200})
	delete(bucket.objects, objectName(tenant, m.ID, filterObject))
	for _, memory := range []int64{0, 1, 20_000} {
		c := bucket.clone()
		report, err := Salvage(ctx, c, tenant, m.ID, lines{}, SalvageOptions{MemoryBytes: memory})
		if err != nil {
			t.Fatal(err)
		}
		b := mustOpen(t, c, report.NewBlock)
		if err := b.Verify(ctx); err != nil {
			t.Fatal(err)
		}
		n := b.Meta()
		if n.Rows != m.Rows || n.Keys != m.Keys || n.MinStart != m.MinStart || n.MaxStart != m.MaxStart || n.MaxEnd != m.MaxEnd {
			t.Fatalf("with %d bytes: %+v, was %+v", memory, n, m)
		}
		for _, term := range []string{"", "t3"} {
			var where *index.Expr
			if term != "" {
				where = index.Equal([]byte("term"), []byte(term))
			}
			if hits, err := b.Search(ctx, everything(where, 0)); err != nil || !slices.Equal(hits, wantHits(entries, term, 0)) {
				t.Fatalf("with %d bytes: %d hits, %v", memory, len(hits), err)
			}
		}
	}
}

// What a block lost all over is told within bounds.
func TestReportIsBounded(t *testing.T) {
	bucket := newMemory()
	entries := randomEntries(rand.New(rand.NewPCG(5, 6)), 8000, 30)
	m := write(t, bucket, entries, WriterOptions{PageBytes: 64, Compression: page.Raw})
	data := bucket.objects[objectName(tenant, m.ID, dataObject)]
	for at := 300; at < len(data); at += 300 {
		data[at] ^= 1
	}
	report, err := Salvage(ctx, bucket, tenant, m.ID, lines{}, SalvageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Lost) != maxReported || len(report.Damage) != maxReported || report.LostCount < 1100 || report.DamageCount < 1100 || report.Saved < 2000 {
		t.Fatalf("%d lost of %d, %d damaged of %d, %d saved", len(report.Lost), report.LostCount, len(report.Damage), report.DamageCount, report.Saved)
	}
	for name, content := range bucket.objects {
		if path.Base(name) == reportObject && len(content) > 1<<20 {
			t.Fatalf("the report has %d bytes", len(content))
		}
	}
}

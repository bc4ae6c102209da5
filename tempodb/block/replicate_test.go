package block

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// isCopy fails the test unless to has the sample's block, with the same bytes, and nothing else.
func (s sample) isCopy(t *testing.T, to *memory) {
	t.Helper()
	if !maps.EqualFunc(to.objects, s.bucket.objects, bytes.Equal) {
		t.Errorf("the copy is not what was copied: %d objects, of %d", len(to.objects), len(s.bucket.objects))
	}
	if there, err := Replicated(t.Context(), to, s.bucket, tenant, s.id); err != nil || !there {
		t.Errorf("a whole copy is replicated: %v, %v", there, err)
	}
}

func TestACopyIsTheSameBlock(t *testing.T) {
	s := newSample(t, 1, 200)
	to := newMemory()
	if there, err := Replicated(t.Context(), to, s.bucket, tenant, s.id); err != nil || there {
		t.Errorf("replicated before: %v, %v", there, err)
	}
	for range 2 { // a copy of what is there already does no harm
		if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); err != nil {
			t.Fatal(err)
		}
		s.isCopy(t, to)
	}
	for _, e := range s.entries[:20] {
		mustGet(t, mustOpen(t, to, s.id), e)
	}
	if err := Replicate(t.Context(), to, s.bucket, tenant, NewID()); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("a block that is not there: %v", err)
	}
}

func TestADamagedBlockIsNotCopied(t *testing.T) {
	s := newSample(t, 2, 200)
	for _, object := range append([]string{metaObject}, objectNames...) {
		content := s.object(object)
		for what, damaged := range map[string]*memory{
			"a byte flipped": s.with(object, flipped(content, len(content)/2)),
			"cut short":      s.with(object, content[:len(content)-2]),
			"too long":       s.with(object, append(bytes.Clone(content), 0)),
			"missing":        s.with(object, nil),
		} {
			to := newMemory()
			err := Replicate(t.Context(), to, damaged, tenant, s.id)
			switch {
			case object == metaObject && what == "too long": // a zero behind JSON
				if err == nil {
					t.Errorf("%s, %s: copied", object, what)
				}
			case object == metaObject && what == "missing":
				if !errors.Is(err, backend.ErrNotExist) {
					t.Errorf("%s, %s: %v", object, what, err)
				}
			case !page.IsCorrupt(err):
				t.Errorf("%s, %s: %v", object, what, err)
			}
			if blocks := visible(t, to); len(blocks) > 0 {
				t.Errorf("%s, %s: there is a block: %v", object, what, blocks)
			}
			if there, err := Replicated(t.Context(), to, damaged, tenant, s.id); err != nil && object != metaObject || there {
				t.Errorf("%s, %s: replicated: %v, %v", object, what, there, err)
			}
			// The next try, with a block that is sound, makes it whole.
			if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); err != nil {
				t.Fatal(err)
			}
			s.isCopy(t, to)
		}
	}
}

func TestACopyThatFailsMidwayIsNoBlockAndIsMadeWholeByTheNext(t *testing.T) {
	s := newSample(t, 3, 200)
	broken := errors.New("broken")
	for _, object := range append([]string{metaObject}, objectNames...) {
		for _, do := range []string{"create ", "write ", "commit "} {
			for _, late := range []bool{false, true} {
				to := newMemory()
				to.late = late
				to.fail = func(what string) error {
					if what == do+object {
						return broken
					}
					return nil
				}
				if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); !errors.Is(err, broken) {
					t.Fatalf("%s%s: %v", do, object, err)
				}
				to.fail = func(string) error { return nil }
				// If the commit of meta.json was carried out all the same, all else was there before it.
				whole := do == "commit " && late && object == metaObject
				if blocks := visible(t, to); len(blocks) > 0 != whole {
					t.Errorf("%s%s, late %v: blocks %v", do, object, late, blocks)
				}
				if there, err := Replicated(t.Context(), to, s.bucket, tenant, s.id); err != nil || there != whole {
					t.Errorf("%s%s, late %v: replicated: %v, %v", do, object, late, there, err)
				}
				if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); err != nil {
					t.Fatal(err)
				}
				s.isCopy(t, to)
			}
		}
	}
}

func TestACopyOfWhichOthersDeleteObjectsMeanwhileIsNotCalledWhole(t *testing.T) {
	s := newSample(t, 4, 200)
	to := newMemory()
	to.fail = func(what string) error {
		if what == "commit "+metaObject { // somebody takes for garbage what has no meta.json yet
			to.mu.Lock()
			defer to.mu.Unlock()
			delete(to.objects, objectName(tenant, s.id, dataObject))
		}
		return nil
	}
	if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); err == nil {
		t.Error("a copy without data is called whole")
	}
	if there, err := Replicated(t.Context(), to, s.bucket, tenant, s.id); err != nil || there {
		t.Errorf("replicated: %v, %v", there, err)
	}
	to.fail = func(string) error { return nil }
	if err := Replicate(t.Context(), to, s.bucket, tenant, s.id); err != nil {
		t.Fatal(err)
	}
	s.isCopy(t, to)
}

func TestABlockOfTheSameIDThatIsAnotherIsNoCopy(t *testing.T) {
	s := newSample(t, 5, 200)
	other := newMemory()
	write(t, other, randomEntries(rand.New(rand.NewPCG(9, 6)), 50, 10), WriterOptions{ID: s.id})
	if there, err := Replicated(t.Context(), other, s.bucket, tenant, s.id); err != nil || there {
		t.Errorf("replicated: %v, %v", there, err)
	}
	if err := Replicate(t.Context(), other, s.bucket, tenant, s.id); err != nil {
		t.Fatal(err)
	}
	s.isCopy(t, other)
}

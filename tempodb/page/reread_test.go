package page

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// keeper is a reader that keeps what may be wrong, over an object.
type keeper struct {
	kept, object []byte
	again        int
}

func (k *keeper) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(k.kept).ReadAt(p, off)
}

func (k *keeper) ReadAgain(p []byte, off int64) (int, error) {
	k.again++
	n, err := bytes.NewReader(k.object).ReadAt(p, off)
	copy(k.kept[off:], p[:n])
	return n, err
}

var _ Rereader = (*keeper)(nil)

func keeping(object []byte, flip int) *keeper {
	k := &keeper{kept: bytes.Clone(object), object: object}
	if flip < len(object) {
		k.kept[flip] ^= 0x04 // makes of records packed ones, and the other way round
	}
	return k
}

func TestAPageThatIsNotWholeIsReadAgainBeforeItIsCalledDamaged(t *testing.T) {
	records := []record{}
	rng := rand.New(rand.NewPCG(1, 9))
	for i := range 12 {
		records = append(records, record{fmt.Appendf(nil, "key %02d", i), randomBytes(rng, 40+100*(i%3/2))})
	}
	for name, p := range map[string]Packer{"rows": nil, "packed": plain{}} {
		w := writeTableWithLeaves(t, records, TableOptions{PageBytes: 128, Packer: p}, 40)
		for flip := range max(len(w.data), len(w.dir)) {
			data, dir := keeping(w.data, flip), keeping(w.dir, flip)
			table, err := OpenPacked(data, dir, w.root, p)
			if err != nil {
				t.Fatalf("%s, byte %d: %v", name, flip, err)
			}
			if all, err := scanAll(table, nil); err != nil || !sameRecords(all, records) {
				t.Fatalf("%s, byte %d: scan: %d records, %v", name, flip, len(all), err)
			}
			if data.again > 1 || dir.again > 1 || !bytes.Equal(data.kept, w.data) {
				t.Fatalf("%s, byte %d: read again %d and %d times, and data was put right: %v", name, flip, data.again, dir.again, bytes.Equal(data.kept, w.data))
			}
			data, dir = keeping(w.data, flip), keeping(w.dir, flip)
			if table, err = OpenPacked(data, dir, w.root, p); err != nil {
				t.Fatalf("%s, byte %d: %v", name, flip, err)
			}
			for _, r := range records {
				if value, found, err := table.Get(nil, r.key); err != nil || !found || !bytes.Equal(value, r.value) {
					t.Fatalf("%s, byte %d: get %s: %v, %v", name, flip, r.key, found, err)
				}
			}
		}
	}
}

// unable is a Rereader that can't.
type unable struct{ io.ReaderAt }

func (unable) ReadAgain([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWhatCannotBeReadAgainIsDamaged(t *testing.T) {
	w := writeTable(t, []record{{[]byte("a"), []byte("x")}}, TableOptions{})
	bad := bytes.Clone(w.data)
	bad[len(bad)-1] ^= 1
	for name, r := range map[string]io.ReaderAt{"not at all": unable{bytes.NewReader(bad)}, "to no avail": &keeper{kept: bad, object: bad}} {
		table, err := OpenTable(r, bytes.NewReader(w.dir), w.root)
		if err != nil {
			t.Fatal(err)
		}
		if _, found, err := table.Get(nil, []byte("a")); found || !IsCorrupt(err) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
}

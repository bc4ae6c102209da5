package index

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

func TestAnObjectIsOpenedWithOneRead(t *testing.T) {
	for _, rows := range []int{1, 10_000, 5 * stripeRows / 2} {
		m, keys := manyRows(t, rows)
		_, content := object(t, m, keys)
		r := &countingReader{Reader: bytes.NewReader(content)}
		if _, err := OpenObject(r, int64(len(content))); err != nil || r.reads != 1 {
			t.Errorf("%d rows: %d reads, %v", rows, r.reads, err)
		}
		if most := max(leastTail, len(content)/tailShare); r.bytes > most {
			t.Errorf("%d rows in %d bytes: %d bytes read", rows, len(content), r.bytes)
		}
	}
}

func TestASearchForTermsThatAreNotThereReadsNothing(t *testing.T) {
	m, keys := manyRows(t, 5000)
	_, content := object(t, m, keys)
	there := Equal([]byte("resource1"), []byte("value 3"))
	absent := func(i int) *Expr { return Equal([]byte("nothing"), fmt.Appendf(nil, "like that %d", i)) }
	wheres := map[string]func(i int) *Expr{
		"a term":                  absent,
		"a term and another":      func(i int) *Expr { return And(there, absent(i)) },
		"one of two":              func(i int) *Expr { return Or(absent(i), absent(-i)) },
		"none, of no expressions": func(int) *Expr { return Or() },
		"neither and a negation":  func(i int) *Expr { return And(Not(there), absent(i)) },
		"not of the terms":        func(i int) *Expr { return And(there, Or(absent(i), And(absent(i), there))) },
	}
	r := &countingReader{Reader: bytes.NewReader(content)}
	o, err := OpenObject(r, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	for name, where := range wheres {
		reads := 0
		const asked = 1000
		for i := range asked {
			r.reads = 0
			q := &Query{Where: where(i), Start: Everything, Duration: Everything}
			hits, err := o.Search(t.Context(), q)
			if err != nil || len(hits) > 0 {
				t.Fatal(name, hits, err)
			}
			if !o.Excludes(q) {
				reads++
			} else if r.reads > 0 {
				t.Fatalf("%s: %d reads of an object that is excluded", name, r.reads)
			}
		}
		// One in 256 on average, and of two terms two.
		if reads > asked/32 {
			t.Errorf("%s: %d of %d searches were not excluded", name, reads, asked)
		}
	}
	r.reads = 0
	past := &Query{Start: Range{Min: -2, Max: -1}, Duration: Everything}
	if hits, err := o.Search(t.Context(), past); err != nil || len(hits) > 0 || r.reads > 0 || !o.Excludes(past) {
		t.Errorf("before all rows: %v, %v, %d reads", hits, err, r.reads)
	}
	for name, where := range map[string]*Expr{"a term": there, "all": nil, "no conditions": And(), "a negation": Not(absent(1)), "a prefix": Prefix([]byte("nothing"), nil)} {
		if o.Excludes(&Query{Where: where, Start: Everything, Duration: Everything}) {
			t.Errorf("%s is excluded", name)
		}
	}
}

func TestTheFilterHasEveryTermOfMergedObjectsToo(t *testing.T) {
	sources, _ := shopParts(t, 3, 2000)
	var merged bytes.Buffer
	if _, err := Merge(t.Context(), &merged, sources, keepAll); err != nil {
		t.Fatal(err)
	}
	o, err := OpenObject(bytes.NewReader(merged.Bytes()), int64(merged.Len()))
	if err != nil {
		t.Fatal(err)
	}
	terms := 0
	for r, err := range o.records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if terms++; !o.filter.has(r.stem) {
			t.Fatalf("the filter denies %q", r.stem)
		}
	}
	if terms == 0 {
		t.Fatal("no terms")
	}
	t.Logf("%d records, %d bytes of filter, %d of the object", terms, len(o.filter.prints), merged.Len())
}

func TestAnObjectOfTooManyTermsHasNoFilter(t *testing.T) {
	table := &termTable{TableWriter: page.NewTableWriter(new(bytes.Buffer), 0, page.TableOptions{}), many: true}
	if err := table.Add(appendClasses([]byte("\x01fv")), nil); err != nil {
		t.Fatal(err)
	}
	if filter, err := table.filter(nil); err != nil || len(filter) > 0 {
		t.Fatal(filter, err)
	}
}

// What a filter says of a term is said of memory that it has, whatever its bytes are.
func FuzzTermFilter(f *testing.F) {
	table := &termTable{hashes: []uint64{1, 2, 3, 4, 5}}
	seed, err := table.filter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, []byte("term"))
	f.Fuzz(func(t *testing.T, content, stem []byte) {
		if filter, err := parseTermFilter(content); err == nil {
			filter.has(stem)
		}
	})
}

func BenchmarkObjectExcludes(b *testing.B) {
	m, keys := manyRows(b, 20_000)
	o, _ := object(b, m, keys)
	q := &Query{Where: Equal([]byte("nothing"), []byte("like that")), Start: Everything, Duration: Everything}
	b.ReportAllocs()
	for b.Loop() {
		if !o.Excludes(q) {
			b.Fatal("not excluded")
		}
	}
}

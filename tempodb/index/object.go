package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// Object is the search object of a block, read through an io.ReaderAt. It keeps the footer, the filter of terms and the root
// of the term table in memory, and nothing else. It may be used concurrently.
type Object struct {
	r     io.ReaderAt
	terms *page.Table
	footer
	filter *termFilter // nil if there is none
	// bound is, for each chunk, the greatest start of its rows and of all rows in the chunks after it.
	bound []int64
}

// How much of its end is read at once when an object is opened: what a reader keeps of it, and the root of the term table, take
// less than a sixteenth of most objects.
const (
	leastTail, greatestTail = 32 << 10, 1 << 20
	tailShare               = 16
)

// tail is the end of an object, read before. What lies before it is read from the object.
type tail struct {
	io.ReaderAt
	b  []byte
	at int64
}

func (t *tail) ReadAt(p []byte, off int64) (int, error) {
	if off < t.at || off > t.at+int64(len(t.b)) {
		return t.ReaderAt.ReadAt(p, off)
	}
	n := copy(p, t.b[off-t.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Name returns the object's name, if it has one.
func (t *tail) Name() string {
	if n, ok := t.ReaderAt.(interface{ Name() string }); ok {
		return n.Name()
	}
	return "search object"
}

// OpenObject opens the search object of size bytes. It reads its end, with one read if what is kept of it is of ordinary size.
// Damage is a *page.CorruptError.
func OpenObject(r io.ReaderAt, size int64) (*Object, error) {
	if size < trailerBytes {
		return nil, corrupt(r, "trailer", 0, fmt.Sprintf("the object has only %d bytes", size))
	}
	end := &tail{ReaderAt: r, b: make([]byte, min(size, max(leastTail, min(size/tailShare, greatestTail))))}
	end.at = size - int64(len(end.b))
	if _, err := r.ReadAt(end.b, end.at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	trailer := end.b[len(end.b)-trailerBytes:]
	ref := page.Ref{
		Offset: int64(binary.LittleEndian.Uint64(trailer)),
		Length: int64(binary.LittleEndian.Uint64(trailer[8:])),
	}
	if string(trailer[16:]) != objectMagic {
		return nil, corrupt(r, "trailer", size-trailerBytes, "the magic number is missing")
	}
	if ref.Offset < 0 || ref.Length < 0 || ref.Offset > size-trailerBytes || ref.Length != size-trailerBytes-ref.Offset {
		return nil, corrupt(r, "trailer", size-trailerBytes, "the footer's place is not before the trailer")
	}
	content, err := page.Read(nil, end, ref)
	if err != nil {
		return nil, err
	}
	o := &Object{r: r}
	if err := o.footer.parse(content, size); err != nil {
		return nil, corrupt(r, "footer", ref.Offset, err.Error())
	}
	terms, err := page.OpenTable(end, end, o.footer.terms)
	if err != nil {
		return nil, err
	}
	o.terms = terms.Reading(r, r)
	if o.footer.filter.Length > 0 {
		if content, err = page.Read(nil, end, o.footer.filter); err != nil {
			return nil, err
		}
		if o.filter, err = parseTermFilter(content); err != nil {
			return nil, corrupt(r, "filter of terms", o.footer.filter.Offset, err.Error())
		}
	}
	o.bound = make([]int64, len(o.chunks))
	bound := int64(math.MinInt64)
	for i := len(o.chunks) - 1; i >= 0; i-- {
		bound = max(bound, o.chunks[i].starts.Max)
		o.bound[i] = bound
	}
	return o, nil
}

func corrupt(r io.ReaderAt, what string, offset int64, reason string) error {
	object := "search object"
	if n, ok := r.(interface{ Name() string }); ok {
		object = n.Name()
	}
	return &page.CorruptError{Object: object, What: what, Offset: offset, Reason: reason}
}

// Reading returns the same object read through another reader of it: such as one that ends with a request's context.
func (o *Object) Reading(r io.ReaderAt) *Object {
	reading := *o
	reading.r, reading.terms = r, o.terms.Reading(r, r)
	return &reading
}

// Bytes returns about how much memory the object takes.
func (o *Object) Bytes() int64 {
	const object, stripe, chunk, bound = 256, 16, 48, 8
	n := object + o.terms.Bytes() + stripe*int64(cap(o.stripes)) + chunk*int64(cap(o.chunks)) + bound*int64(cap(o.bound))
	if o.filter != nil {
		n += int64(cap(o.filter.prints))
	}
	return n
}

// Rows returns the number of rows.
func (o *Object) Rows() int { return int(o.rows) }

// Owners returns the number of owners that have rows.
func (o *Object) Owners() int { return int(o.footer.owners) }

// Search returns the keys that q asks for, newest first. It reads the postings of the terms that q names and
// the columns of rows that may match, newest rows first, and stops when no further row can change the answer.
func (o *Object) Search(ctx context.Context, q *Query) ([]Hit, error) {
	if err := q.Where.validate(); err != nil {
		return nil, err
	}
	if o.Excludes(q) {
		return nil, nil
	}
	best := newNewest(q.Limit)
	s := &search{o: o, ctx: ctx, lists: make(map[string]*stripes), wide: make(map[*Expr]*wideLeaf)}
	s.buffers = pooledBuffers.Get().(*buffers)
	defer pooledBuffers.Put(s.buffers)
	// The terms of a query are often neighbours: a tag as a span's, a resource's, a scope's and an event's, an operation of six kinds.
	s.terms = o.terms.Remembering()
	defer s.terms.Forget()
	for stripe := uint32(0); int64(stripe)*stripeRows < int64(o.rows); stripe++ {
		first := int(stripe) * (stripeRows / chunkRows)
		last := min(first+stripeRows/chunkRows, len(o.chunks))
		if best.hopeless(o.bound[first]) {
			break
		}
		if !o.mayMatch(q, first, last) {
			continue
		}
		s.stripe = stripe
		set, err := eval(q.Where, s.rows(), s)
		if err != nil {
			return nil, err
		}
		for i := first; i < last; i++ {
			const words = chunkRows / 64
			at := (i - first) * words
			rows := set[at:min(at+words, len(set))]
			if rows.empty() || !o.mayMatch(q, i, i+1) {
				continue
			}
			if best.hopeless(o.bound[i]) {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := s.columns(i); err != nil {
				return nil, err
			}
			s.count(q, rows, best)
		}
	}
	return best.sorted(), nil
}

// mayMatch reports whether the columns of a row in chunks first to last-1 may lie in q's ranges.
func (o *Object) mayMatch(q *Query, first, last int) bool {
	for _, c := range o.chunks[first:last] {
		if q.Start.Overlaps(c.starts) && q.Duration.Overlaps(c.durations) {
			return true
		}
	}
	return false
}

// search is one search's state.
type search struct {
	o      *Object
	ctx    context.Context
	stripe uint32 // being evaluated
	terms  *page.Table

	lists map[string]*stripes // postings, by the key of their records without stripe
	wide  map[*Expr]*wideLeaf // rows of prefix and match leaves

	ofStripe uint32 // of which buffers.of has the classes, plus one
	*buffers
}

// buffers is the memory into which pages are decoded: several hundred KiB, so searches pass it on.
type buffers struct {
	chunk   chunk
	of      []uint32 // the classes of a stripe's rows
	content []byte
}

var pooledBuffers = sync.Pool{New: func() any { return new(buffers) }}

// rows returns the number of rows in the current stripe.
func (s *search) rows() int { return s.o.rowsOf(s.stripe) }

// rowsOf returns the number of rows in a stripe: none if there is no such stripe.
func (o *Object) rowsOf(stripe uint32) int {
	begin := uint64(stripe) * stripeRows
	if begin >= o.footer.rows {
		return 0
	}
	return int(min(o.footer.rows-begin, stripeRows))
}

// columns reads the columns of chunk i.
func (s *search) columns(i int) error {
	ref := s.o.chunks[i].ref
	var err error
	if s.content, err = page.Read(s.content[:0], s.o.r, ref); err != nil {
		return err
	}
	if err := s.chunk.parse(s.content); err != nil {
		return corrupt(s.o.r, "page of columns", ref.Offset, err.Error())
	}
	if want := min(chunkRows, int(s.o.footer.rows)-i*chunkRows); len(s.chunk.starts) != want {
		return corrupt(s.o.r, "page of columns", ref.Offset, fmt.Sprintf("%d rows instead of %d", len(s.chunk.starts), want))
	}
	return nil
}

// count adds the rows of the chunk in hand that are in set and in q's ranges to best.
func (s *search) count(q *Query, set rowSet, best *newest) {
	c := &s.chunk
	key := func(owner uint32) [16]byte { return c.keys[owner-c.firstOwner] }
	owner := 0
	for word, w := range set {
		for base := word << 6; w != 0; w &= w - 1 {
			row := base + trailingZeros(w)
			for int(c.ends[owner]) <= row {
				owner++
			}
			if q.Start.Contains(c.starts[row]) && q.Duration.Contains(c.durations[row]) {
				best.add(c.firstOwner+uint32(owner), c.starts[row], key)
			}
		}
	}
}

// addLeaf adds the rows of the current stripe on which leaf holds.
func (s *search) addLeaf(leaf *Expr, dst rowSet) error {
	if leaf.Op != OpEqual {
		return s.addWide(leaf, dst)
	}
	if !s.o.mayHaveTerm(leaf) {
		return nil
	}
	stem := appendValueKey(appendFieldKey(nil, leaf.Field), leaf.Value)
	list, known := s.lists[string(stem)]
	if !known {
		list = &stripes{stem: stem, rows: make(map[uint32][]byte)}
		s.lists[string(stem)] = list
	}
	if err := list.load(s); err != nil {
		return err
	}
	if rows, any := list.rows[s.stripe]; any {
		if err := addRowList(dst, rows, s.rows()); err != nil {
			return corrupt(s.o.r, fmt.Sprintf("postings of %q", stem), 0, err.Error())
		}
	}
	return s.addClasses(list.classes, dst)
}

// addClasses adds the rows of the current stripe that are of the classes in set; of none if it is nil.
func (s *search) addClasses(set rowSet, dst rowSet) error {
	if set == nil {
		return nil
	}
	if err := s.loadClasses(s.stripe); err != nil {
		return err
	}
	for word := range dst {
		of := s.of[word<<6 : min(word<<6+64, len(s.of))]
		var w uint64
		for i, class := range of {
			w |= set[class>>6] >> (class & 63) & 1 << i
		}
		dst[word] |= w
	}
	return nil
}

// loadClasses makes the classes of a stripe's rows present.
func (s *search) loadClasses(stripe uint32) error {
	if s.ofStripe == stripe+1 {
		return nil
	}
	ref := s.o.footer.stripes[stripe]
	var err error
	if s.content, err = page.Read(s.content[:0], s.o.r, ref); err != nil {
		return err
	}
	if s.of, err = parseClassColumn(s.of, s.content, s.o.rowsOf(stripe), s.o.classes); err != nil {
		return corrupt(s.o.r, "page of classes", ref.Offset, err.Error())
	}
	s.ofStripe = stripe + 1
	return nil
}

// parseClasses adds an encoded list of classes to set, which it makes if it is nil.
func (s *search) parseClasses(set rowSet, list []byte) (rowSet, error) {
	if set == nil {
		set = newRowSet(int(s.o.classes))
	}
	return set, eachClass(list, s.o.classes, func(class uint32) { set.add(class) })
}

// stripes are the postings of one term, read as far as they were wanted.
type stripes struct {
	stem    []byte
	classes rowSet            // nil: none
	rows    map[uint32][]byte // encoded, by stripe
	begun   bool
	done    bool   // nothing is left to read
	until   uint32 // if not done: the stripes below were read
}

// readAhead is how many stripes are read at once. More than one, since they are neighbours and often in
// one page; few, since a search for the newest seldom needs the second.
const readAhead = 8

// load makes the current stripe's postings present.
func (l *stripes) load(s *search) error {
	if l.done || l.begun && s.stripe < l.until {
		return nil
	}
	from := append([]byte(nil), l.stem...)
	if l.begun {
		from = appendStripe(from, s.stripe)
	} else {
		from = appendClasses(from) // stands before all stripes
		if s.stripe > 0 {
			// The stripes before were out of the query's time: only the classes are wanted of what is there.
			if err := l.scan(s, from, 1); err != nil || l.done {
				return err
			}
			from = appendStripe(append([]byte(nil), l.stem...), s.stripe)
		}
		l.begun = true
	}
	l.until = s.stripe + readAhead
	return l.scan(s, from, 1+readAhead)
}

// scan reads up to limit records of the term.
func (l *stripes) scan(s *search, from []byte, limit int) error {
	l.done = true
	return s.terms.Scan(from, func(key, value []byte) (bool, error) {
		rest, ours := bytes.CutPrefix(key, l.stem)
		if !ours {
			return false, nil
		}
		unescaped, kind, stripe, ok := splitTermKey(nil, rest)
		if !ok {
			return false, corrupt(s.o.r, fmt.Sprintf("term key %q", key), 0, "is malformed")
		}
		if len(unescaped) != 0 {
			return false, nil // a longer value
		}
		if limit == 0 {
			l.done = false
			return false, nil
		}
		limit--
		if kind == kindRows {
			l.rows[stripe] = bytes.Clone(value)
			return true, s.ctx.Err()
		}
		var err error
		if l.classes, err = s.parseClasses(nil, value); err != nil {
			return false, corrupt(s.o.r, fmt.Sprintf("classes of %q", l.stem), 0, err.Error())
		}
		return true, s.ctx.Err()
	})
}

// wideLeaf is what the dictionary says of a leaf that many values may satisfy.
type wideLeaf struct {
	classes rowSet            // nil: none
	rows    map[uint32]rowSet // by stripe
}

// addWide adds the rows of all values of the leaf's field that it accepts. The dictionary is read once,
// at the first stripe, and the rows of all stripes are kept.
func (s *search) addWide(leaf *Expr, dst rowSet) error {
	wide, known := s.wide[leaf]
	if !known {
		wide = &wideLeaf{rows: make(map[uint32]rowSet)}
		if err := s.scanWide(leaf, wide); err != nil {
			return err
		}
		s.wide[leaf] = wide
	}
	if rows, any := wide.rows[s.stripe]; any {
		dst.or(rows)
	}
	return s.addClasses(wide.classes, dst)
}

func (s *search) scanWide(leaf *Expr, wide *wideLeaf) error {
	return s.eachRecord(leaf, func(kind byte, stripe uint32, list []byte) error {
		var err error
		if kind == kindClasses {
			wide.classes, err = s.parseClasses(wide.classes, list)
		} else if rows := s.o.rowsOf(stripe); rows == 0 {
			err = errRowList
		} else {
			if wide.rows[stripe] == nil {
				wide.rows[stripe] = newRowSet(rows)
			}
			err = addRowList(wide.rows[stripe], list, rows)
		}
		if err != nil {
			return corrupt(s.o.r, fmt.Sprintf("postings of field %q", leaf.Field), 0, err.Error())
		}
		return nil
	})
}

// eachRecord calls fn with every record of a value that leaf accepts.
func (s *search) eachRecord(leaf *Expr, fn func(kind byte, stripe uint32, list []byte) error) error {
	var prefix []byte
	if leaf.Op == OpPrefix {
		prefix = leaf.Value
	}
	return s.o.eachRecord(s.ctx, s.terms, leaf.Field, prefix, func(value []byte, kind byte, stripe uint32, list []byte) (bool, error) {
		if !leaf.accepts(value) {
			return true, nil
		}
		return true, fn(kind, stripe, list)
	})
}

// eachRecord calls fn with every record of field whose value begins with prefix, until fn returns false or an error.
func (o *Object) eachRecord(ctx context.Context, terms *page.Table, field, prefix []byte, fn func(value []byte, kind byte, stripe uint32, list []byte) (bool, error)) error {
	fieldKey := appendFieldKey(nil, field)
	from := appendValueKey(bytes.Clone(fieldKey), prefix)
	var value []byte
	records := 0
	return terms.Scan(from, func(key, list []byte) (bool, error) {
		if !bytes.HasPrefix(key, from) {
			return false, nil
		}
		if records++; records%1024 == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		var kind byte
		var stripe uint32
		var ok bool
		if value, kind, stripe, ok = splitTermKey(value[:0], key[len(fieldKey):]); !ok {
			return false, corrupt(o.r, fmt.Sprintf("term key %q", key), 0, "is malformed")
		}
		return fn(value, kind, stripe, list)
	})
}

// Terms calls fn with each value of field that begins with prefix, in ascending order, until fn returns false.
// The value is valid during the call.
func (o *Object) Terms(ctx context.Context, field, prefix []byte, fn func(value []byte) bool) error {
	if len(field) == 0 {
		return nil // the index's own
	}
	var last []byte
	first := true
	return o.eachRecord(ctx, o.terms, field, prefix, func(value []byte, _ byte, _ uint32, _ []byte) (bool, error) {
		if !first && bytes.Equal(value, last) {
			return true, nil
		}
		first = false
		last = append(last[:0], value...)
		return fn(value), nil
	})
}

// Check reads the whole object and verifies what can be verified without the block's data.
func (o *Object) Check(ctx context.Context) error {
	s := &search{o: o, ctx: ctx, buffers: new(buffers)}
	for i := range o.chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.columns(i); err != nil {
			return err
		}
	}
	for stripe := range o.footer.stripes {
		s.stripe = uint32(stripe)
		if err := s.addClasses(newRowSet(int(o.classes)), nil); err != nil {
			return err
		}
	}
	set := newRowSet(stripeRows)
	return o.terms.Scan(nil, func(key, list []byte) (bool, error) {
		_, kind, stripe, ok := cutStem(key)
		rows := o.rowsOf(stripe)
		if !ok || kind == kindRows && rows == 0 {
			return false, corrupt(o.r, fmt.Sprintf("term key %q", key), 0, "is malformed")
		}
		var err error
		if kind == kindClasses {
			err = eachClass(list, o.classes, func(uint32) {})
		} else {
			err = addRowList(set[:(rows+63)/64], list, rows)
		}
		if err != nil {
			return false, corrupt(o.r, fmt.Sprintf("postings of %q", key), 0, err.Error())
		}
		return true, ctx.Err()
	})
}

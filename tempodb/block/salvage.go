package block

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/index"
	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// SalvageOptions says how a block is salvaged. The zero value is a good one.
type SalvageOptions struct {
	// By names the program and its version, for the report.
	By string
	// Keep leaves the bad block in its place, superseded by the new one, for those who read it. The caller deletes it. It has no effect
	// if there is no new block, or if the bad one has no sound meta.json.
	Keep bool
	// MemoryBytes is about how much memory may go to the index of what is saved; 64 MiB if zero.
	MemoryBytes int64
	// Writer is how the new block is written. Codec, ID, Level, Parents and Sources are set by Salvage.
	Writer WriterOptions
}

// ErrSound is returned by Salvage for a block in which nothing is damaged.
var ErrSound = errors.New("block is not damaged")

// ErrNewer is returned for a block of a format that a newer program writes. It is not damaged.
var ErrNewer = errors.New("block is of a newer format; use a newer program")

// maxReported bounds each list of a report.
const maxReported = 1000

// Salvage sets a damaged block aside: it writes a new block with all that is whole of it, which has the bad one for its parent, keeps
// the bad block's objects and a report under quarantine/<tenant>/<id>/, and removes the block. A page counts as whole if its checksum
// holds, a big value if all its pages are; of the other objects nothing is needed, not even of meta.json.
//
// The order is: the new block's data; the report; the copies; the new block's meta.json, by which it is there and supersedes the bad one; and
// when all that is durable, the bad block is deleted, its meta.json first. So whatever fails or crashes, the bad block is in its place with all that
// it had, or all of it is in the quarantine; and Salvage may be called again. Two at a time do no harm, but may leave two new blocks with the same data.
//
// It is for live blocks: what of a block is superseded or dropped would live again. A new block has no Sources: if the log still has what was lost, it will be cut again. The bad block's own parents, if they
// are there still, serve again once it is gone.
//
// It reads the data four times, in memory bounded by a page, the greatest value, 60 bytes a page, 24 bytes a key, and MemoryBytes and a tenth of what the
// whole index would take. If nothing is
// damaged the error is ErrSound, and nothing was done; if there is no such block, and none in the quarantine, backend.ErrNotExist.
func Salvage(ctx context.Context, bucket backend.Bucket, tenant string, id ID, codec Codec, o SalvageOptions) (*SalvageReport, error) {
	if err := checkNames(tenant, id); err != nil {
		return nil, err
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = defaultMergeMemory
	}
	if o.Writer.Now == nil {
		o.Writer.Now = time.Now
	}
	s := &salvage{ctx: ctx, bucket: bucket, tenant: tenant, id: id, codec: codec, o: o, seen: make(map[DamagedPlace]bool)}
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("salvage block %s of tenant %s: %w", id, tenant, err)
	}
	return s.report, nil
}

type salvage struct {
	ctx    context.Context
	bucket backend.Bucket
	tenant string
	id     ID
	codec  Codec
	o      SalvageOptions

	report *SalvageReport
	kept   map[string]Object     // what there is of the block
	seen   map[DamagedPlace]bool // those of report.Damage, without the reasons
	open   bool                  // the last range of keys lost is not closed: no key was saved since
	last   Key                   // saved last, if any was
}

func (s *salvage) run() error {
	meta, err := ReadMeta(s.ctx, s.bucket, s.tenant, s.id)
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return s.gone(err)
	case err != nil && !page.IsCorrupt(err):
		return err
	}
	s.report = &SalvageReport{
		Version: ReportVersion, Tenant: s.tenant, Block: s.id, When: s.o.Writer.Now().UTC(), By: s.o.By,
		Meta: meta,
	}
	s.damaged(err)
	if err := s.readObjects(); err != nil {
		return err
	}
	if err := s.inspect(); err != nil {
		return err
	}
	if s.report.DamageCount == 0 {
		return ErrSound
	}
	done, err := s.already()
	if err != nil {
		return err
	}
	if !done {
		if err := s.save(); err != nil {
			return err
		}
	}
	if s.o.Keep && s.report.NewBlock != "" && meta != nil {
		return nil
	}
	for _, name := range s.names() {
		if err := s.bucket.Delete(s.ctx, objectName(s.tenant, s.id, name)); err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
	}
	return nil
}

// gone is what is left to do if there is no meta.json: to tell what was done before.
func (s *salvage) gone(err error) error {
	report, failed := ReadReport(s.ctx, s.bucket, s.tenant, s.id)
	if failed != nil {
		return err
	}
	if _, failed = s.bucket.Size(s.ctx, quarantined(s.tenant, s.id, metaObject)); failed != nil {
		return err
	}
	s.report = report
	return nil
}

// names are the objects there are, meta.json first.
func (s *salvage) names() []string {
	names := []string{metaObject}
	for name := range s.kept {
		if name != metaObject {
			names = append(names, name)
		}
	}
	slices.Sort(names[1:])
	return names
}

// readObjects finds out what there is of the block, and the length and checksum of each object.
func (s *salvage) readObjects() error {
	var names []string
	err := s.bucket.List(s.ctx, s.tenant+"/"+string(s.id), func(name string) error {
		if !strings.HasSuffix(name, "/") {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list its objects: %w", err)
	}
	s.kept = make(map[string]Object)
	for _, name := range names {
		o, err := read(s.ctx, s.bucket, objectName(s.tenant, s.id, name), io.Discard)
		if err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
		s.kept[name] = o
	}
	s.report.Kept = s.kept
	return nil
}

// block returns the block to read from, beneath all caches. Where meta.json is damaged, one is made of what the objects' lengths tell.
func (s *salvage) block() *Block {
	meta := s.report.Meta
	if meta == nil {
		meta = &Meta{Tenant: s.tenant, ID: s.id, Objects: make(map[string]Object)}
		for _, name := range objectNames {
			meta.Objects[name] = s.kept[name]
		}
		for i := range meta.MaxKey {
			meta.MaxKey[i] = 0xff
		}
	}
	return New(beneath(s.bucket), meta, s.codec)
}

// inspect takes down all damage to be found without a walk through the pages of data.
func (s *salvage) inspect() error {
	b := s.block()
	var errs []error
	for _, name := range objectNames {
		is, there := s.kept[name]
		reason := ""
		switch should := b.meta.Objects[name]; {
		case !there:
			reason = "is missing"
		case is.Bytes != should.Bytes:
			reason = fmt.Sprintf("has %d bytes, should have %d", is.Bytes, should.Bytes)
		case is != should:
			reason = fmt.Sprintf("checksum is %016x, should be %016x", uint64(is.Checksum), uint64(should.Checksum))
		default:
			continue
		}
		errs = append(errs, &page.CorruptError{Object: b.objectName(name), What: "object", Reason: reason})
	}
	if len(errs) == 0 && s.report.DamageCount == 0 {
		// Its bytes are those that were written. They may be wrong all the same.
		errs = flatten(b.Verify(s.ctx))
	} else {
		errs = append(errs, s.places(b)...)
	}
	s.report.Keys = b.meta.Keys
	for _, err := range errs {
		if err != nil && !page.IsCorrupt(err) {
			return err
		}
		s.damaged(err)
	}
	return s.ctx.Err()
}

// places returns where the objects beside the data are damaged, as far as one can tell.
func (s *salvage) places(b *Block) (errs []error) {
	keys, err := b.keyFilter(s.ctx)
	if err == nil {
		if b.meta.Keys == 0 {
			b.meta.Keys = int64(keys.Keys())
		}
		err = b.fail(keys.Check())
	}
	errs = append(errs, err)
	search, err := b.searchObject(s.ctx)
	if err == nil {
		err = b.failSearch(search.Check(s.ctx))
	}
	errs = append(errs, err)
	if s.report.Meta == nil {
		return errs // where the tables begin is not known
	}
	_, err = b.openData(s.ctx)
	errs = append(errs, err)
	summary, err := b.summaryTable(s.ctx)
	if err == nil {
		err = b.fail(summary.Check())
	}
	return append(errs, err)
}

// flatten returns the errors that err joins.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, err := range joined.Unwrap() {
			all = append(all, flatten(err)...)
		}
		return all
	}
	return []error{err}
}

// damaged takes down what err says is damaged; nothing if it is nil.
func (s *salvage) damaged(err error) {
	var c *page.CorruptError
	if !errors.As(err, &c) {
		return
	}
	at := DamagedPlace{Object: path.Base(c.Object), Offset: c.Offset, What: clip(c.What)}
	if s.seen[at] {
		return
	}
	r := s.report
	r.DamageCount++
	if len(r.Damage) < maxReported {
		s.seen[at] = true
		at.Reason = clip(c.Reason)
		r.Damage = append(r.Damage, at)
	}
}

// clip bounds what is quoted of what was read.
func clip(s string) string { return fmt.Sprintf("%.300s", s) }

// already reports whether a Salvage before this one came so far that the new block is there, which it is not before all else
// is in the quarantine. Its report is the one to keep.
func (s *salvage) already() (bool, error) {
	before, err := ReadReport(s.ctx, s.bucket, s.tenant, s.id)
	if err != nil || before.NewBlock == "" || checkNames(s.tenant, before.NewBlock) != nil {
		if s.ctx.Err() != nil {
			return false, s.ctx.Err()
		}
		return false, nil // there is none, or it can't be read: it is written again
	}
	meta, err := ReadMeta(s.ctx, s.bucket, s.tenant, before.NewBlock)
	switch {
	case errors.Is(err, backend.ErrNotExist) || page.IsCorrupt(err):
		return false, nil
	case err != nil:
		return false, err
	}
	if !slices.Contains(meta.Parents, s.id) {
		return false, nil
	}
	s.report = before
	return true, nil
}

// save writes the report, the copies and the new block.
func (s *salvage) save() error {
	o := s.o.Writer
	o.Codec, o.ID, o.Parents, o.Sources, o.Level = s.codec, "", []ID{s.id}, nil, 0
	if s.report.Meta != nil {
		o.Level = s.report.Meta.Level
	}
	w, err := NewWriter(s.ctx, s.bucket, s.tenant, o)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := s.copyValues(w); err != nil {
		return err
	}
	r := s.report
	if r.Saved > 0 {
		r.NewBlock = w.ID()
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := put(s.ctx, s.bucket, quarantined(s.tenant, s.id, reportObject), append(content, '\n')); err != nil {
		return err
	}
	for _, name := range s.names() {
		if err := copyObject(s.ctx, s.bucket, objectName(s.tenant, s.id, name), quarantined(s.tenant, s.id, name), s.kept[name]); err != nil {
			return err
		}
	}
	if r.Saved == 0 {
		return nil
	}
	_, err = w.Finish(s.ctx)
	return err
}

// copyValues adds to w what is whole.
func (s *salvage) copyValues(w *Writer) error {
	b := s.block()
	if _, err := b.rebuiltTable(s.ctx); err != nil {
		return err
	}
	m := &saver{merge: merge{ctx: s.ctx, w: w}, memory: s.o.MemoryBytes, span: noSpan}
	var summary []byte
	err := b.ScanAround(s.ctx, [16]byte{}, func(key [16]byte, value []byte) (bool, error) {
		// A writer that was refused a value is of no use any more.
		var err error
		if summary, err = s.codec.Summarize(summary[:0], value); err == nil {
			err = s.codec.Index(value, nowhere{})
		}
		if err != nil {
			s.refused(key, err)
			return true, s.ctx.Err()
		}
		if err := m.add(key, value, summary); err != nil {
			return false, fmt.Errorf("key %x: %w", key, err)
		}
		s.saved(key)
		return true, s.ctx.Err()
	}, func(err error) error {
		s.damaged(err)
		s.lost()
		return nil
	})
	if err != nil {
		return err
	}
	if r := s.report; r.Meta == nil && r.Saved+int64(r.RefusedCount) < r.Keys {
		s.lost() // perhaps of the end: how long the data was is not known
	}
	return m.end()
}

// saver adds to a Writer, and keeps the index of all rows within bounds, as a merge does that of rows which it lists.
type saver struct {
	merge
	memory int64
	span   span // of the rows that were spilled
}

func (m *saver) add(key [16]byte, value, summary []byte) error {
	if err := m.w.copy(key, value, summary); err != nil {
		return err
	}
	if err := m.list(key, value); err != nil {
		return err
	}
	if m.w.rows.Bytes() > m.memory {
		return m.spill()
	}
	return nil
}

func (m *saver) spill() error {
	_, starts, maxEnd := m.w.rows.Extent()
	m.span.starts = index.Range{Min: min(m.span.starts.Min, starts.Min), Max: max(m.span.starts.Max, starts.Max)}
	m.span.maxEnd = max(m.span.maxEnd, maxEnd)
	return m.merge.spill()
}

// end is called after the last key.
func (m *saver) end() error {
	if len(m.runs) == 0 {
		return nil // the writer has the index of all
	}
	if err := m.spill(); err != nil {
		return err
	}
	if err := m.searches(); err != nil {
		return err
	}
	m.w.span = m.span
	return nil
}

// saved takes down that key was saved, after which the range of keys lost before is closed.
func (s *salvage) saved(key Key) {
	if r := s.report; s.open && r.LostCount <= maxReported {
		before := key
		r.Lost[r.LostCount-1].Before = &before
	}
	s.report.Saved++
	s.last, s.open = key, false
}

// lost takes down that keys are missing after the last one saved.
func (s *salvage) lost() {
	if s.open {
		return
	}
	s.open = true
	r := s.report
	if r.LostCount++; r.LostCount > maxReported {
		return
	}
	var lost KeyRange
	if r.Saved > 0 {
		after := s.last
		lost.After = &after
	}
	r.Lost = append(r.Lost, lost)
}

func (s *salvage) refused(key Key, err error) {
	if s.report.RefusedCount++; s.report.RefusedCount <= maxReported {
		s.report.Refused = append(s.report.Refused, RefusedKey{key, clip(err.Error())})
	}
}

// nowhere is a sink for rows that are of no interest.
type nowhere struct{}

func (nowhere) Group([]byte) bool        { return false }
func (nowhere) GroupTerm([]byte, []byte) {}
func (nowhere) Row(int64, int64)         {}
func (nowhere) Term([]byte, []byte)      {}

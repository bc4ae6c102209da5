package block

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/jaeger-tempo/tempo/tempodb/page"
)

// copyPage adds the keys of the page at whose first key c stands, by copying the page, without listing their rows. It returns false, with nothing
// done, if the page had better be added key by key: see page.TableWriter.Copy.
func (w *Writer) copyPage(c *mergeCursor) (bool, error) {
	if err := w.roomFor(c.count); err != nil {
		return false, err
	}
	keys := c.known.keys[:c.count]
	c.slices = c.slices[:0]
	for i := range keys {
		c.slices = append(c.slices, keys[i][:])
	}
	copied, err := w.dataTable.Copy(c.data, c.slices)
	if page.IsCorrupt(err) {
		err = c.b.fail(err)
	}
	if !copied || err != nil {
		return false, err
	}
	for i, key := range keys {
		if err := w.enter(key, c.known.summary(i)); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w *Writer) roomFor(keys int) error {
	if len(w.keys) > math.MaxUint32-keys {
		return errors.New("a block holds no more than 4294967295 keys")
	}
	return nil
}

// enter adds a key, whose value is in data, to everything else but search.
func (w *Writer) enter(key [16]byte, summary []byte) error {
	if err := w.summaryTable.Add(key[:], summary); err != nil {
		return err
	}
	w.filter.Add(key)
	w.keys = append(w.keys, key)
	return nil
}

// mergeCursor goes through the keys of an input. It knows the keys of a page of data from the summaries, so that a page need not be
// decoded if no value of it is asked for.
type mergeCursor struct {
	b     *Block
	input int
	key   [16]byte
	live  bool // stands at a key

	data, summaries *page.Cursor
	known           knownKeys // from the page's first key on
	count, at       int       // keys of the page, and which of them it stands at
	slices          [][]byte  // the keys again, for who wants slices

	pull func() ([]byte, bool) // the page's values, of which one was asked for; else nil
	stop func()
	err  error // of reading them
}

// mergeCursor returns a cursor at the block's first key.
func (b *Block) mergeCursor(ctx context.Context, input int) (*mergeCursor, error) {
	c := &mergeCursor{b: b, input: input}
	summaries, err := b.summaryTable(ctx)
	if err != nil {
		return nil, err
	}
	err = b.withData(ctx, func(t *page.Table) error {
		c.data = t.Cursor()
		// All of the directory: if it is damaged anywhere, there is another attempt with a new one.
		return t.Pages(func(page.PageInfo) error { return nil })
	})
	if err != nil {
		return nil, err
	}
	c.summaries = summaries.Cursor()
	if err := c.nextPage(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *mergeCursor) close() {
	if c.pull != nil {
		c.stop()
	}
	c.data.Close()
	c.summaries.Close()
}

// atPage reports whether it stands at the first key of a page no value of which was asked for.
func (c *mergeCursor) atPage() bool { return c.live && c.at == 0 && c.pull == nil }

// last returns the last key of the page.
func (c *mergeCursor) last() [16]byte { return c.known.keys[c.count-1] }

// summary returns the summary of the key, valid until next.
func (c *mergeCursor) summary() []byte { return c.known.summary(c.at) }

// value returns the value of the key, valid until next. Of a page of which it is asked for one, it has to be asked for all, once each.
func (c *mergeCursor) value() ([]byte, error) {
	if c.pull == nil {
		c.pull, c.stop = iter.Pull(c.values)
	}
	value, _ := c.pull()
	return value, c.err
}

// values iterates over the values of the page. An error ends it, and is left in c.err.
func (c *mergeCursor) values(yield func([]byte) bool) {
	i := 0
	c.err = c.b.fail(c.data.Each(func(key, value []byte) (bool, error) {
		if string(key) != string(c.known.keys[i][:]) {
			return false, c.otherKeys(key)
		}
		i++
		return yield(value), nil
	}))
}

// endValues ends the iteration over the page's values. What is wrong behind the last of them is an error.
func (c *mergeCursor) endValues() error {
	if c.pull == nil {
		return nil
	}
	if c.at == c.count {
		c.pull()
	}
	c.stop()
	c.pull = nil
	return c.err
}

// next moves to the next key.
func (c *mergeCursor) next() error {
	if c.at++; c.at < c.count {
		c.key = c.known.keys[c.at]
		return nil
	}
	return c.nextPage()
}

// nextPage moves to the first key of the next page.
func (c *mergeCursor) nextPage() (err error) {
	if err := c.endValues(); err != nil {
		return err
	}
	c.known.drop(c.count)
	c.count, c.at = 0, 0
	if c.live, err = c.data.Next(); err != nil {
		return c.b.fail(err)
	}
	if !c.live {
		return c.end()
	}
	for records := c.data.Records(); int64(len(c.known.keys)) < records; {
		more, err := c.readSummaries()
		if err != nil {
			return err
		}
		if !more {
			return c.b.fail(&page.CorruptError{Object: c.b.objectName(summaryObject), What: "table", Reason: fmt.Sprintf("has fewer keys than %s", dataObject)})
		}
	}
	c.count = int(c.data.Records())
	c.key = c.known.keys[0]
	return nil
}

// end finds out whether the summaries end where the data does.
func (c *mergeCursor) end() error {
	more := len(c.known.keys) > 0
	if !more {
		var err error
		if more, err = c.readSummaries(); err != nil {
			return err
		}
	}
	if more {
		return c.b.fail(&page.CorruptError{Object: c.b.objectName(summaryObject), What: "table", Reason: fmt.Sprintf("has more keys than %s", dataObject)})
	}
	return nil
}

// readSummaries reads a page of them; false if there is none.
func (c *mergeCursor) readSummaries() (bool, error) {
	more, err := c.summaries.Next()
	if more && err == nil {
		err = c.summaries.Each(func(key, summary []byte) (bool, error) {
			if len(key) != len(c.key) {
				return false, c.b.oddKey(summaryObject, key)
			}
			c.known.add([16]byte(key), summary)
			return true, nil
		})
	}
	return more, c.b.fail(err)
}

func (c *mergeCursor) otherKeys(key []byte) error {
	return &page.CorruptError{Object: c.b.objectName(summaryObject), What: "table", Reason: fmt.Sprintf("has other keys than %s, which has %x", dataObject, key)}
}

// knownKeys are keys and their summaries.
type knownKeys struct {
	keys  [][16]byte
	ends  []int // of the summaries, in arena
	arena []byte
}

func (k *knownKeys) add(key [16]byte, summary []byte) {
	k.arena = append(k.arena, summary...)
	k.keys = append(k.keys, key)
	k.ends = append(k.ends, len(k.arena))
}

func (k *knownKeys) summary(i int) []byte {
	begin := 0
	if i > 0 {
		begin = k.ends[i-1]
	}
	return k.arena[begin:k.ends[i]]
}

// drop drops the first n.
func (k *knownKeys) drop(n int) {
	if n == 0 {
		return
	}
	end := k.ends[n-1]
	k.arena = append(k.arena[:0], k.arena[end:]...)
	k.keys = append(k.keys[:0], k.keys[n:]...)
	k.ends = append(k.ends[:0], k.ends[n:]...)
	for i := range k.ends {
		k.ends[i] -= end
	}
}

// Package page is how a block's objects hold bytes: in pages that are compressed and verified one by
// one, and in tables made of pages.
//
// # Pages
//
// A page is the unit of reading, caching and verifying. Its checksum covers its bytes and its place:
// a page that lies at another offset than it was written for is as corrupt as one with a flipped bit; and one in
// another object, where objects are [Salted].
//
//	w := page.NewWriter(object, 0, page.DefaultLevel)
//	ref, err := w.Write(column)            // ref is kept by the caller
//	column, err := page.Read(nil, object, ref)
//
// # Tables
//
// A table maps byte keys to byte values, in ascending order of keys: pages of records, and a directory
// of the pages that is itself in pages, so that a table of any size is opened by reading one page and
// asked by reading two.
//
//	t := page.NewTableWriter(data, 0, page.TableOptions{})
//	err := t.Add(key, value)               // ascending keys
//	root, stats, err := t.Finish(index, 0) // the directory, in this object or another
//
//	t, err := page.OpenTable(data, index, root)
//	value, found, err := t.Get(nil, key)
//
//	  data:   ┌─────────┬─────────┬───────┬───────┬──────┬─────────┐
//	          │ records │ records │ chunk │ chunk │ head │ records │
//	          └─────────┴─────────┴───────┴───────┴──────┴─────────┘
//	               ▲         ▲     └── a big value ──┘▲       ▲
//	  index:  ┌────┴─────────┴─────────┬──────────────┴───────┴────┬──────┐
//	          │ directory leaf         │ directory leaf            │ root │
//	          └────────────────────────┴───────────────────────────┴──────┘
//
// The directory comes last because it is known last; it may lie in an object of its own, which is then
// small enough to keep in memory where the data is not. A small table's root names the pages itself.
// A value that does not fit into a page is cut into chunk pages, and the head page that follows them
// lists them: nothing has to be known before it is written, and no value is copied whole to be written.
//
// # Copying
//
// A table is made of another's pages, where its records come one after another, without decompressing them:
//
//	c := table.Cursor()
//	for more, err := c.Next(); more; more, err = c.Next() {
//		copied, err := t.Copy(c, keys)     // the page's keys, known from elsewhere; where it is not copied:
//		err = c.Each(t.Add)                // (in effect)
//	}
//
// # Damage
//
// [Table.ScanAround] goes on behind a damaged page. Pages begin with their own length and kind, so a table whose directory is lost
// is found again by [Rebuild], which walks them:
//
//	r := page.NewRebuild(dataBytes, indexBytes, nil)
//	t, err := r.Run(data, index)
//
// # Promises
//
// What is read is what was written, or the answer is an error; for damage, a [*CorruptError]. No memory is
// taken on the word of a length that was read, beyond [MaxPage].
//
// Writers are for one goroutine. A [Table] and all functions may be used concurrently. The formats are
// described in docs/format.md.
package page

package blocklist

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

// The model: a block holds atoms, one or more; a cut makes a new atom, a compaction's output holds those of its inputs. Owners, readers and
// compactors do what they do in random order, while others are in the middle of it, and crash between any two requests. After each request
// the store itself must be sound; after each poll, what a process sees.
type world struct {
	t       *rapid.T
	bucket  *memory
	clock   *clock
	blocks  map[block.ID]*modelBlock
	next    int
	dropped map[int]bool // atoms that retention may have taken
	damaged map[int]bool // atoms that damage may have taken
	hidden  map[int]bool // atoms that are dropped and were served no more
	procs   []*process
	// everSuperseded are the blocks that the store has shown to be superseded.
	everSuperseded map[block.ID]bool
	checked        int // the store's changes that were looked at
	// bared are those of them that answer again, since what superseded them is void or was salvaged.
	bared  map[block.ID]bool
	busy   bool // in the middle of a poll, a Reap or a drop
	owning bool // in the middle of a Reap or a drop
}

type modelBlock struct {
	meta     *block.Meta
	atoms    map[int]bool
	finished bool
	deleted  bool // its meta.json
}

type process struct {
	name    string
	owner   bool
	poller  *Poller
	atoms   map[int]bool      // that it has seen
	retired map[block.ID]bool // that it has seen superseded
	asOf    map[int]bool      // what was finished at its AsOf
	busy    bool
}

const (
	modelStale = 5 * time.Minute
	modelGrace = 30 * time.Minute
)

// GoString is what a failed test prints of a process.
func (p *process) GoString() string { return p.name }

func (w *world) restart(p *process) {
	var err error
	p.poller, err = NewPoller(w.bucket, tenant, Options{
		Owner: func() bool { return p.owner }, Writer: p.name, Now: w.clock.time, Stale: modelStale, Logger: quiet, Concurrency: 1,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p.atoms, p.retired, p.asOf = make(map[int]bool), make(map[block.ID]bool), make(map[int]bool)
}

// fresh is what one sees that looks at the store for the first time, all at once.
func (w *world) fresh() *List {
	x := situation{
		tenant: tenant, prev: newList(tenant).finish(), listing: true, listed: []block.ID{}, marks: make(map[block.ID]time.Time), now: w.clock.now,
	}
	folders := make(map[block.ID]bool)
	w.bucket.mu.Lock()
	for name := range w.bucket.objects {
		name = strings.TrimPrefix(name, tenant+"/")
		if id, at, ok := parseMark(name); ok {
			x.marks[id] = at
		} else if folder, _, ok := strings.Cut(name, "/"); ok {
			folders[block.ID(folder)] = true
		}
	}
	w.bucket.mu.Unlock()
	read := make(map[block.ID]reading)
	for id := range folders {
		x.listed = append(x.listed, id)
		b := w.blocks[id]
		there := w.bucket.isThere(id)
		b.deleted = b.finished && !there
		read[id] = reading{err: missing(string(id))}
		if there {
			read[id] = reading{meta: b.meta}
		}
	}
	for id, b := range w.blocks {
		b.deleted = b.finished && (b.deleted || !folders[id])
	}
	slices.Sort(x.listed)
	return x.next(read)
}

// checkStore makes sure that no atom is without a block to answer for it, that no block that was superseded serves again, and
// that nothing comes back that was dropped.
func (w *world) checkStore(after string) {
	if w.checked == w.bucket.changes {
		return
	}
	w.checked = w.bucket.changes
	list := w.fresh()
	maps.Copy(w.bared, list.kin.bared)
	served := make(map[int]bool)
	for _, m := range list.Live {
		if w.everSuperseded[m.ID] && !w.bared[m.ID] {
			w.t.Fatalf("after %s block%s serves again", after, numbers([]block.ID{m.ID}))
		}
		maps.Copy(served, w.blocks[m.ID].atoms)
	}
	for _, r := range list.Retired {
		if r.Cause == Superseded {
			w.everSuperseded[r.Meta.ID] = true
		}
	}
	for id, b := range w.blocks {
		for atom := range b.atoms {
			if b.finished && !served[atom] && !w.dropped[atom] && !w.damaged[atom] {
				w.t.Fatalf("after %s nothing answers for what was in block%s", after, numbers([]block.ID{id}))
			}
		}
	}
	for atom := range w.dropped {
		if served[atom] && w.hidden[atom] {
			w.t.Fatalf("after %s atom %d is back, which was dropped; live%v", after, atom, liveNumbers(list))
		}
		if !served[atom] {
			w.hidden[atom] = true
		}
	}
}

// finishedAtoms returns the atoms that a listing has to find.
func (w *world) finishedAtoms() map[int]bool {
	atoms := make(map[int]bool)
	for _, b := range w.blocks {
		if b.finished {
			maps.Copy(atoms, b.atoms)
		}
	}
	return atoms
}

// checkView makes sure that what a process sees has all of must, after a poll in blocks that are there, and nothing that
// was gone before.
func (w *world) checkView(p *process, must map[int]bool, polled bool, gone map[block.ID]bool) {
	list := p.poller.List()
	covered := make(map[int]bool)
	for _, m := range list.Live {
		b := w.blocks[m.ID]
		if !b.deleted || !polled {
			maps.Copy(covered, b.atoms)
		}
		if gone[m.ID] {
			w.t.Fatalf("%s sees block%s, which was deleted before", p.name, numbers([]block.ID{m.ID}))
		}
		if p.retired[m.ID] && !w.bared[m.ID] {
			w.t.Fatalf("%s sees block%s serve again", p.name, numbers([]block.ID{m.ID}))
		}
	}
	for _, d := range list.Damaged {
		maps.Copy(covered, w.blocks[d.ID].atoms)
	}
	for atom := range p.asOf {
		if !covered[atom] && !w.dropped[atom] && !w.damaged[atom] {
			w.t.Fatalf("%s knows the blocks as of %s and does not see atom %d; it has live%v", p.name, p.poller.AsOf(), atom, liveNumbers(list))
		}
	}
	// A folder is looked at again after some time: what was finished meanwhile may still be missed.
	for _, u := range list.Unfinished {
		maps.Copy(covered, w.blocks[u.ID].atoms)
	}
	for atom := range must {
		if !covered[atom] && !w.dropped[atom] && !w.damaged[atom] {
			w.t.Fatalf("%s does not see atom %d; it has live%v", p.name, atom, liveNumbers(list))
		}
	}
	for _, m := range list.Live {
		maps.Copy(p.atoms, w.blocks[m.ID].atoms)
	}
	for _, r := range list.Retired {
		if r.Cause == Superseded {
			p.retired[r.Meta.ID] = true
		}
	}
}

var errCrash = errors.New("crashed")

// during runs do; at one of its requests another process may act, and from one on it may find itself dead.
func (w *world) during(p *process, what string, do func() error) error {
	t := w.t
	crashAt, otherAt := -1, -1
	if rapid.IntRange(0, 3).Draw(t, "crash?") == 0 {
		crashAt = rapid.IntRange(0, 12).Draw(t, "crash at request")
	}
	if !w.busy && rapid.Bool().Draw(t, "others meanwhile?") {
		otherAt = rapid.IntRange(0, 6).Draw(t, "others at request")
	}
	request := 0
	outer := w.bucket.before
	wasBusy := w.busy
	w.busy, p.busy = true, true
	w.bucket.before = func(kind, name string) error {
		w.checkStore(fmt.Sprintf("request %d of %s's %s", request, p.name, what))
		request++
		if crashAt >= 0 && request > crashAt {
			return errCrash
		}
		if request-1 == otherAt {
			mine := w.bucket.before
			w.bucket.before = nil
			for range rapid.IntRange(1, 4).Draw(t, "how much") {
				w.step()
			}
			w.bucket.before = mine
		}
		return nil
	}
	err := do()
	w.bucket.before = outer
	w.busy, p.busy = wasBusy, false
	w.checkStore(p.name + "'s " + what)
	return err
}

func (w *world) poll(p *process) (done bool) {
	must := maps.Clone(p.atoms)
	if p.owner {
		must = w.finishedAtoms()
	}
	gone := make(map[block.ID]bool)
	for id, b := range w.blocks {
		if b.deleted {
			gone[id] = true
		}
	}
	crashed := false
	finished, before := w.finishedAtoms(), p.poller.AsOf()
	poll := p.poller.Poll
	if rapid.IntRange(0, 3).Draw(w.t, "look") == 0 {
		poll = p.poller.Look
	}
	err := w.during(p, "poll", func() error {
		_, _, err := poll(w.t.Context())
		if p.poller.AsOf().After(before) {
			p.asOf = finished
		}
		crashed = errors.Is(err, errCrash)
		return err
	})
	if err != nil && !crashed {
		w.t.Fatal(err)
	}
	if crashed {
		// It goes on with what it knew, or it was killed.
		if rapid.Bool().Draw(w.t, "killed") {
			w.restart(p)
		}
		return false
	}
	w.t.Logf("%s at %s has\n%s", p.name, w.clock.now.Format(time.TimeOnly), describeList(p.poller.List(), w.clock.now))
	w.checkView(p, must, true, gone)
	return true
}

func (w *world) reap(p *process) {
	if w.owning {
		return
	}
	w.owning = true
	defer func() { w.owning = false }()
	if !w.poll(p) {
		return
	}
	list := p.poller.List()
	err := w.during(p, "reap", func() error {
		deleted, err := Reap(w.t.Context(), w.bucket, list, ReapOptions{Now: w.clock.now, Grace: modelGrace, Abandoned: 3 * time.Hour, Concurrency: 1})
		w.t.Logf("deleted:%s", numbers(deleted))
		return err
	})
	if err != nil && !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
}

// begin begins a block with all atoms of its parents, or a new one.
func (w *world) begin(parents ...block.ID) block.ID {
	w.next++
	// IDs are of the time they are made at, but not in order.
	n := int(w.clock.now.Sub(epoch) / time.Second)
	for w.blocks[idOf(n)] != nil {
		n++
	}
	m := metaOf(n)
	b := &modelBlock{meta: m, atoms: make(map[int]bool)}
	m.Parents = parents
	for _, id := range parents {
		maps.Copy(b.atoms, w.blocks[id].atoms)
		m.Level = max(m.Level, w.blocks[id].meta.Level+1)
		m.MinStart, m.MaxStart, m.MaxEnd = 1, 1, 1 // so that the same work has the same result
	}
	if len(parents) == 0 {
		b.atoms[w.next] = true
	}
	w.blocks[m.ID] = b
	w.t.Logf("begun:%s of%s", numbers([]block.ID{m.ID}), numbers(parents))
	w.bucket.begin(m.ID)
	return m.ID
}

func (w *world) finish(id block.ID) {
	b := w.blocks[id]
	content, err := block.AppendMeta(nil, b.meta)
	if err != nil {
		w.t.Fatal(err)
	}
	w.bucket.set(metaName(id), content)
	b.finished = true
	w.t.Logf("finished:%s", numbers([]block.ID{id}))
	w.checkStore("a block was finished")
}

func (w *world) anyProcess(name string, owner bool) *process {
	var free []*process
	for _, p := range w.procs {
		if !p.busy && (p.owner || !owner) {
			free = append(free, p)
		}
	}
	return rapid.SampledFrom(free).Draw(w.t, name)
}

// step lets something happen.
func (w *world) step() {
	t := w.t
	switch rapid.SampledFrom([]string{
		"cut", "cut", "begin", "finish", "compact", "compact", "salvage", "poll", "poll", "poll", "owner polls", "reap", "wait", "wait long", "spoil index", "drop", "restart",
	}).Draw(t, "step") {
	case "cut":
		id := w.begin()
		w.finish(id)
		if p := w.anyProcess("cutter", false); rapid.Bool().Draw(t, "add") {
			p.poller.Add(w.blocks[id].meta)
			w.checkView(p, p.atoms, false, nil)
		}
	case "begin":
		w.begin()
	case "finish":
		var begun []block.ID
		for id, b := range w.blocks {
			// Not what a crash of its writer has left, a writer writes for less than an hour.
			longest := time.Hour
			if len(b.meta.Parents) > 0 {
				longest = modelGrace / 2 // a merge that takes longer finds its inputs gone
			}
			if !b.finished && w.clock.now.Sub(id.Time()) < longest {
				begun = append(begun, id)
			}
		}
		if len(begun) > 0 {
			slices.Sort(begun)
			w.finish(rapid.SampledFrom(begun).Draw(t, "block"))
		}
	case "compact":
		p := w.anyProcess("compactor", true)
		if !w.poll(p) {
			return
		}
		var inputs []block.ID
		for _, m := range p.poller.List().Live {
			if len(inputs) < 3 && rapid.Bool().Draw(t, "take") {
				inputs = append(inputs, m.ID)
			}
		}
		for _, id := range inputs {
			if w.blocks[id].deleted {
				return // it can't be read, the job fails
			}
		}
		if len(inputs) < 2 {
			return
		}
		id := w.begin(inputs...)
		if rapid.IntRange(0, 2).Draw(t, "crash of the compactor") == 0 {
			return // or it takes its time: see finish
		}
		w.finish(id)
		if rapid.Bool().Draw(t, "add") {
			p.poller.Add(w.blocks[id].meta)
			w.checkView(p, p.atoms, false, nil)
		}
	case "poll":
		w.poll(w.anyProcess("process", false))
	case "owner polls":
		w.poll(w.anyProcess("owner", true))
	case "reap":
		w.reap(w.anyProcess("owner", true))
	case "wait":
		w.clock.now = w.clock.now.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, "seconds")) * time.Second)
	case "wait long":
		if !w.busy { // a request does not take so long
			w.clock.now = w.clock.now.Add(time.Duration(rapid.IntRange(10, 40).Draw(t, "minutes")) * time.Minute)
		}
	case "spoil index":
		if rapid.Bool().Draw(t, "remove") {
			w.bucket.set(tenant+"/"+IndexObject, nil)
		} else if content := w.bucket.get(tenant + "/" + IndexObject); len(content) > 0 {
			content = slices.Clone(content)
			content[rapid.IntRange(0, len(content)-1).Draw(t, "byte")] ^= 4
			w.bucket.set(tenant+"/"+IndexObject, content)
		}
	case "salvage":
		p := w.anyProcess("salvager", true)
		if !w.poll(p) || len(p.poller.List().Live) == 0 {
			return
		}
		live := p.poller.List().Live
		bad := w.blocks[rapid.SampledFrom(live).Draw(t, "bad").ID]
		if bad.deleted {
			return
		}
		id := w.begin(bad.meta.ID)
		w.blocks[id].meta.Level = bad.meta.Level
		for atom := range bad.atoms {
			if len(w.blocks[id].atoms) > 1 && rapid.Bool().Draw(t, "damaged") {
				delete(w.blocks[id].atoms, atom)
				w.damaged[atom] = true
			}
		}
		w.finish(id)
	case "drop":
		// Only one owner at a time drops and reaps: what one drops while another deletes may come back, until it is dropped again.
		p := w.anyProcess("owner", true)
		if w.owning {
			return
		}
		w.owning = true
		defer func() { w.owning = false }()
		if !w.poll(p) {
			return
		}
		if live := p.poller.List().Live; len(live) > 0 {
			m := live[len(live)-1]
			maps.Copy(w.dropped, w.blocks[m.ID].atoms)
			err := w.during(p, "drop", func() error {
				return Drop(t.Context(), w.bucket, tenant, []block.ID{m.ID}, Dropping{At: w.clock.now, By: p.name})
			})
			t.Logf("dropped:%s: %v", numbers([]block.ID{m.ID}), err)
		}
	case "restart":
		w.restart(w.anyProcess("process", false))
	}
}

func TestNothingVanishesAndNothingComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, bucket: newMemory(), clock: &clock{epoch.Add(time.Hour)},
			blocks: make(map[block.ID]*modelBlock), dropped: make(map[int]bool), everSuperseded: make(map[block.ID]bool),
			damaged: make(map[int]bool), hidden: make(map[int]bool), bared: make(map[block.ID]bool),
		}
		for _, p := range []*process{{name: "owner one", owner: true}, {name: "owner two", owner: true}, {name: "reader one"}, {name: "reader two"}} {
			w.restart(p)
			w.procs = append(w.procs, p)
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.step()
			w.checkStore("a step")
		}
		// In the end, all see the same, and that is all.
		w.clock.now = w.clock.now.Add(20 * time.Minute)
		for range 2 { // a block that seemed to be orphaned
			for _, p := range w.procs {
				must := w.finishedAtoms()
				if _, _, err := p.poller.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.checkView(p, must, true, nil)
			}
		}
		for _, p := range w.procs {
			if a, b := liveNumbers(w.procs[0].poller.List()), liveNumbers(p.poller.List()); !slices.Equal(a, b) {
				t.Fatalf("owner one and %s see:\n%s\n%s", p.name, describeList(w.procs[0].poller.List(), w.clock.now), describeList(p.poller.List(), w.clock.now))
			}
		}
	})
}

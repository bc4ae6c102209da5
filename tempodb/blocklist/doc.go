// Package blocklist knows which blocks a tenant has, without asking the object store more than it must.
//
// # The idea
//
// The blocks of a tenant are the folders under its name. Listing them is one request, but each block's meta.json
// is another. So one process, the owner, lists, reads the metas it does not know, and writes all of them into one object,
// <tenant>/blocks.index; all others read that. FORMAT.md says what is in it.
//
//	p, err := blocklist.NewPoller(bucket, tenant, blocklist.Options{Owner: func() bool { return true }})
//	list, diff, err := p.Poll(ctx)               // or go p.Run(ctx, onChange)
//	for m := range list.Overlapping(from, to) { … }
//
//	deleted, err := blocklist.Reap(ctx, bucket, list, blocklist.ReapOptions{Now: now, Grace: grace})
//
// A reader whose index is missing, damaged, too old, or older than what the reader knows already, lists by itself and
// reads only metas that it does not know. Who is the owner is decided by the caller; two at a time do no harm.
//
// # Life of a block
//
//	unfinished   a folder without meta.json: being written, or garbage
//	live         has a meta.json; answers queries
//	retired      superseded by a block that has all it has, or dropped by retention; answers no query
//	deleted      by Reap, a grace period later
//
// What supersedes a block says so itself, by its Parents, so there is nothing to go out of step. It follows that a
// child must not go before its parents, or they would be live again: Reap deletes parents first, wholly, and keeps a child
// as long as anything of a parent is listed.
//
// [Drop] puts a mark beside the block, <tenant>/<id>.dropped.<time>. Whoever lists sees it with the same request, so a dropped
// block stays dropped whatever fails or is lost: the index, the owner, the deletion.
//
// # Work done twice
//
// All that follows is found out from the metas and marks alone (lineage.go), so that all who see the same agree.
//
// Blocks that were merged of the same parents, with the same result, are twins: one of them serves, the others are superseded by it. Children whose parents
// overlap but are not the same all serve: what they have twice answers once, and the next compaction merges it away.
//
// A block that is merged of a dropped one, by a compactor that had not heard of it, is void: it answers nothing, and its other
// parents serve in its place. If one of these is gone already, the block is all there is of it, and serves.
//
// A block from which another was salvaged (its only parent, and on the same level) is damaged: what it was made of, and its twins, serve
// again beside what was salvaged, if they are there still.
//
// # Promises
//
// No live block vanishes from a list while it is there: a reader that misses one in a newer index looks for it in the store.
// No superseded block comes back but for what is said above: not by an older index, not by what a crash leaves of a deletion, not by a
// child deleted while metas are read. (If a child is lost otherwise, by hand say, its parents serve again
// after two listings that agree.) What was dropped does not come back. A meta that can't be read is listed as damaged, with the error;
// nothing else suffers.
//
// What this asks of the caller: the grace period is longer than Options.Stale, the interval of polls, the longest query, the longest merge and a
// quarter of an hour (in which a meta that could not be read is read again) together; who merges, salvages, drops or reaps has listed just before
// (Options.Lists); only one at a time drops and reaps (where two do, what one drops may serve again until it is dropped again;
// nothing is lost); and a block that turns out not to exist when it is read (backend.ErrNotExist) is asked for again after a poll.
//
// # Parts
//
// The decisions (situation, lineage, reapSteps) are functions over values without I/O, clock or goroutine; Poller and Reap
// do what they say. A List is immutable. A Poller may be used concurrently. Who calls is package tempodb.
package blocklist

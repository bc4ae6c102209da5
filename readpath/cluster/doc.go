// Package cluster answers questions about traces that many processes keep: recent ones are with the ingesters of a ring, all others in blocks of an object store.
//
//	store, err := cluster.New(cluster.Options{Ring: ingesters, Pool: pool, Bucket: cache.Over(bucket, place)})
//	reader := readpath.NewReader(store)
//
// Each question goes to all ingesters and, in parallel, to the tenant's blocks (tempodb.Reader). What they have is merged: values by the codec, hits by
// index.MergeHits, terms as a union, summaries as far as they tell what they are together. What is there several times, because it is with several replicas, or
// with an ingester and in a block already, is one in every answer.
//
// # Whole, or told
//
// A write was acknowledged when more than half of a trace's replicas had it. ring.ReadSet says whom to ask so that each such write is met, and how many may fail
// (ReadSet.Enough). As failed counts who does not answer, who says that it may have lost something (Source.Complete), and who breaks off. If more failed than that, or
// a part of the blocks could not be read, the answer is a *tempodb.PartialError, with everything that could be read. Nobody in the ring is no reason to say that
// there is nothing: it may not be known yet.
//
// # No flush gap, no poll gap
//
// An ingester answers from a block for Source.KeptFor after it was copied to the object store, whole. Let it answer at time t. What it has dropped by then was to be
// found in the store at t-KeptFor. tempodb.Reader.AsOf says since when its list of blocks is good: blocks that could be read at that time T are in it, or what they were
// merged to is. So, if T ≥ t-KeptFor, what the ingester has no more the blocks have; else the blocks are listed anew and asked again, before the question is answered.
// A tenant that nobody has asked about before, or whose first block has just come, is no exception: its blocks are listed when it is asked about.
//
// T and t are of one clock, this process's: t is when the answer had come, later than when it was made, T when a listing began. KeptFor is a duration that the ingester
// measures. So clocks need not agree, only run at about the same speed; and of the machine's two clocks the one is believed that says more, since one stands
// still while a machine sleeps. An index object, whose age only its owner's clock tells, says which blocks are new, but moves T never. While questions come in, T is moved
// in the background each half of KeptFor, so that hardly any waits for it. Polls (Options.PollEvery) make no answer right; they spare reading what
// has been merged since.
//
// # Nobody waits for the dead
//
// A connection that is refused fails at once. When those that have answered are enough, the others have as long again as most of these took, and Options.Patience;
// then they count as failed. Who was given up so is not waited for at all the next time, as long as it is not needed, until it answers again: one question at a time goes on in the
// background to see. Who is needed has Options.Timeout.
//
// # Bounds
//
// Options.Questions are answered at the same time. Each holds what ingesters and blocks answer: a search reads readpath's few batches of traces ahead, EachSummary some hundred
// keys a member. All tenants share the cache of the Bucket, and the Shelf; the lists of blocks are those of Options.Tenants tenants.
//
// Decisions (panel, listNeeded) are functions over values. All methods may be called concurrently. Every goroutine ends with its question, but for the one that
// probes, the sweep, and what follows blocks; Close waits for all.
package cluster

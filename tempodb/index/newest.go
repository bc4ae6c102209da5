package index

import (
	"bytes"
	"container/heap"
	"slices"
)

// newest keeps the hits of the limit owners whose matching rows started last.
type newest struct {
	limit int // 0: no limit
	hits  []ownerHit
	at    map[uint32]int // owner -> its place in hits
}

type ownerHit struct {
	Hit
	owner uint32
}

func newNewest(limit int) *newest {
	return &newest{limit: max(limit, 0), at: make(map[uint32]int)}
}

// full reports whether a further owner would have to beat one that is kept.
func (n *newest) full() bool { return n.limit > 0 && len(n.hits) >= n.limit }

// hopeless reports whether no row that started at start or before can change the outcome.
// Rows that start with the last one kept may, by their key.
func (n *newest) hopeless(start int64) bool { return n.full() && start < n.hits[0].Start }

// add counts a matching row. key is called only when the row may be among the newest.
func (n *newest) add(owner uint32, start int64, key func(owner uint32) [16]byte) {
	if n.hopeless(start) {
		return
	}
	if i, kept := n.at[owner]; kept {
		if start > n.hits[i].Start {
			n.hits[i].Start = start
			heap.Fix(n, i)
		}
		return
	}
	hit := ownerHit{Hit: Hit{Key: key(owner), Start: start}, owner: owner}
	if !n.full() {
		heap.Push(n, hit)
		return
	}
	if compareHits(hit.Hit, n.hits[0].Hit) >= 0 {
		return
	}
	delete(n.at, n.hits[0].owner)
	n.hits[0] = hit
	n.at[owner] = 0
	heap.Fix(n, 0)
}

// sorted returns the hits, newest first.
func (n *newest) sorted() []Hit {
	hits := make([]Hit, len(n.hits))
	for i, h := range n.hits {
		hits[i] = h.Hit
	}
	slices.SortFunc(hits, compareHits)
	return hits
}

// compareHits orders hits newest first, and by key where they started together.
func compareHits(a, b Hit) int {
	switch {
	case a.Start > b.Start:
		return -1
	case a.Start < b.Start:
		return 1
	default:
		return bytes.Compare(a.Key[:], b.Key[:])
	}
}

// MergeHits merges lists of hits, each newest first as Search returns them, into one of at most
// limit hits (all of them if limit is not positive), newest first, each key once.
//
// If every list has the newest limit keys of its part of the rows, the outcome has the newest of
// all: a key among them is among the newest of the part that holds its latest matching row.
func MergeHits(limit int, lists ...[]Hit) []Hit {
	var all []Hit
	for _, list := range lists {
		all = append(all, list...)
	}
	slices.SortFunc(all, compareHits)
	seen := make(map[[16]byte]struct{}, len(all))
	merged := all[:0]
	for _, hit := range all {
		if limit > 0 && len(merged) == limit {
			break
		}
		if _, again := seen[hit.Key]; again {
			continue
		}
		seen[hit.Key] = struct{}{}
		merged = append(merged, hit)
	}
	return merged
}

// The heap's order: the oldest hit on top, which is the first to go.

func (n *newest) Len() int           { return len(n.hits) }
func (n *newest) Less(i, j int) bool { return compareHits(n.hits[i].Hit, n.hits[j].Hit) > 0 }
func (n *newest) Swap(i, j int) {
	n.hits[i], n.hits[j] = n.hits[j], n.hits[i]
	n.at[n.hits[i].owner], n.at[n.hits[j].owner] = i, j
}
func (n *newest) Push(x any) {
	hit := x.(ownerHit)
	n.at[hit.owner] = len(n.hits)
	n.hits = append(n.hits, hit)
}
func (n *newest) Pop() any {
	last := n.hits[len(n.hits)-1]
	n.hits = n.hits[:len(n.hits)-1]
	delete(n.at, last.owner)
	return last
}

package cache

import "path"

// Kind is what an object of a block is for. It decides what its frames are evicted for, and how they are
// counted.
type Kind uint8

// The kinds. KindIndex and KindFilter are directories: small, asked by every lookup, and worth a share of
// the cache that no amount of the other kinds takes from them.
const (
	KindData Kind = iota
	KindSummary
	KindSearch
	KindFilter
	KindIndex

	// Kinds is how many kinds there are.
	Kinds = int(KindIndex) + 1
)

var kindNames = [Kinds]string{KindData: "data", KindSummary: "summary", KindSearch: "search", KindFilter: "filter", KindIndex: "index"}

// String returns the kind's name, which is the last element of the names of its objects.
func (k Kind) String() string {
	if int(k) < Kinds {
		return kindNames[k]
	}
	return "unknown"
}

// KindOf returns the kind of the object of a block that has this name, with or without folders. What it does not
// know is KindData, which is favoured least.
func KindOf(object string) Kind {
	base := path.Base(object)
	for k, name := range kindNames {
		if base == name {
			return Kind(k)
		}
	}
	return KindData
}

// class returns which queues the frames of a kind live in.
func (k Kind) class() int {
	if k == KindFilter || k == KindIndex {
		return directories
	}
	return others
}

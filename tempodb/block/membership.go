package block

import "context"

// MayContain reports whether the block may hold key: always if it does, hardly ever if it does not. It reads the filter, once if it is of
// ordinary size; where it is damaged, the answer is yes.
func (b *Block) MayContain(ctx context.Context, key [16]byte) (bool, error) {
	if !b.inRange(key) {
		return false, nil
	}
	return b.mayHold(ctx, key)
}

// Excludes reports whether key is known not to be in the block. It reads nothing: it knows the range of keys, and the filter once that
// was read.
func (b *Block) Excludes(key [16]byte) bool {
	if !b.inRange(key) {
		return true
	}
	f := b.filter.load()
	if f == nil || !f.Loaded() {
		return false
	}
	maybe, err := f.MayContain(key)
	return !maybe && err == nil
}

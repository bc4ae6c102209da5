package block

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/cache"
)

// book is a part that knows whether it is open.
type book struct {
	spot spot
	open bool
	used bool
}

func (b *book) wasUsed() bool { defer func() { b.used = false }(); return b.used }
func (b *book) drop()         { b.open = false }

// ask uses the book, which is opened if it is not, and reports whether it was open.
func (b *book) ask(s *Shelf, bytes int64) bool {
	b.used = true
	if b.open {
		return true
	}
	b.spot.part = b
	s.take(&b.spot, bytes)
	s.stand(&b.spot, func() { b.open = true })
	return false
}

func TestWhatStandsOnAShelfIsWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 100
		s := NewShelf(limit)
		books := make([]book, rapid.IntRange(1, 20).Draw(t, "books"))
		sizes := make([]int64, len(books))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			i := rapid.IntRange(0, len(books)-1).Draw(t, "book")
			if rapid.IntRange(0, 9).Draw(t, "what") == 0 {
				s.leave(&books[i].spot)
			} else if !books[i].open {
				sizes[i] = rapid.Int64Range(0, limit*3/2).Draw(t, "bytes")
				books[i].ask(s, sizes[i])
			} else {
				books[i].ask(s, 0)
			}
			sum := int64(0)
			for i := range books {
				if books[i].open != (books[i].spot.element != nil) {
					t.Fatalf("book %d: open %v", i, books[i].open)
				}
				if books[i].open {
					sum += sizes[i]
				}
			}
			if sum != s.Used() || sum > limit {
				t.Fatalf("%d bytes stand there, %d are counted", sum, s.Used())
			}
		}
	})
}

func TestOfTooManyBooksThatAreReadInTurnMostThatFitStay(t *testing.T) {
	s := NewShelf(100)
	books := make([]book, 200)
	open := 0
	const rounds = 20
	for range rounds {
		for i := range books {
			if books[i].ask(s, 1) {
				open++
			}
		}
	}
	if least := rounds * 100 * 2 / 3; open < least {
		t.Errorf("%d times open, want %d", open, least)
	}
}

func TestAShelfFollowsWhatIsAskedFor(t *testing.T) {
	s := NewShelf(100)
	before, now := make([]book, 100), make([]book, 100)
	for range 5 {
		for i := range before {
			before[i].ask(s, 1)
		}
	}
	for range 5 {
		for i := range now {
			now[i].ask(s, 1)
		}
	}
	for i := range now {
		if !now[i].ask(s, 1) {
			t.Fatalf("book %d has no room while those of before have", i)
		}
	}
}

func TestBlocksAnswerWithWhateverRoomTheyHave(t *testing.T) {
	s := newSample(t, 11, 60)
	meta := mustOpen(t, s.bucket, s.id).Meta()
	one := NewShelf(1 << 30)
	all := New(s.bucket, meta, lines{})
	all.KeepOn(one)
	s.ask(t, all)
	each := one.Used()
	for _, room := range []int64{0, 100, each / 2, each, 3 * each / 2, 10 * each} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			bucket, _ := withCache(t, s.bucket, cache.Options{})
			shelf := NewShelf(room)
			var blocks [3]*Block
			var asking sync.WaitGroup
			for i := range blocks {
				blocks[i] = New(bucket.Bucket, meta, lines{})
				blocks[i].KeepOn(shelf)
				for range 2 {
					asking.Go(func() { s.ask(t, blocks[i]) })
				}
			}
			asking.Wait()
			if used := shelf.Used(); used > room || room >= 3*each && used != 3*each {
				t.Errorf("%d bytes stand on a shelf of %d", used, room)
			}
			for _, b := range blocks {
				b.Release()
			}
			if used := shelf.Used(); used != 0 {
				t.Errorf("%d bytes of blocks that were released", used)
			}
			s.ask(t, blocks[0])
		})
	}
}

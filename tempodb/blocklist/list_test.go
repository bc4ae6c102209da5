package blocklist

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/jaeger-tempo/tempo/tempodb/block"
)

func TestQueriesFindTheBlocksThatMayHoldIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := func(name string) int64 {
			if rapid.IntRange(0, 9).Draw(t, "extreme") == 0 {
				return rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0}).Draw(t, name)
			}
			return rapid.Int64Range(-20, 100).Draw(t, name)
		}
		key := func(name string) (k block.Key) {
			k[0], k[15] = rapid.Byte().Draw(t, name), rapid.ByteRange(0, 2).Draw(t, name)
			return k
		}
		var metas []*block.Meta
		for n := range rapid.IntRange(0, 300).Draw(t, "blocks") {
			m := metaOf(n)
			m.MinStart = start("min")
			m.MaxStart = max(m.MinStart, start("max"))
			if m.MinKey, m.MaxKey = key("min"), key("max"); bytes.Compare(m.MinKey[:], m.MaxKey[:]) > 0 {
				m.MinKey, m.MaxKey = m.MaxKey, m.MinKey
			}
			if rapid.IntRange(0, 9).Draw(t, "rows") == 0 {
				m.Rows, m.MinStart, m.MaxStart = 0, 0, 0
			}
			metas = append(metas, m)
		}
		l := listOf(metas...)
		from, to, k := start("from"), start("to"), key("key")
		over, hold := make(map[block.ID]bool), make(map[block.ID]bool)
		last := int64(math.MaxInt64)
		for m := range l.Overlapping(from, to) {
			over[m.ID] = true
			if m.Rows > 0 && m.MaxStart > last {
				t.Fatal("not newest first")
			} else if m.Rows > 0 {
				last = m.MaxStart
			}
		}
		for m := range l.Holding(k, from, to) {
			hold[m.ID] = true
		}
		for _, m := range metas {
			inTime := m.Rows == 0 || m.MinStart <= to && m.MaxStart >= from
			inKeys := bytes.Compare(m.MinKey[:], k[:]) <= 0 && bytes.Compare(k[:], m.MaxKey[:]) <= 0
			if over[m.ID] != inTime || hold[m.ID] != (inTime && inKeys) {
				t.Fatalf("block %+v: overlaps %v, holds %v", m, over[m.ID], hold[m.ID])
			}
		}
	})
}

func TestAListIsLeftWhenTheCallerHasEnough(t *testing.T) {
	l := listOf(metasOf(0, 200)...)
	n := 0
	for range l.Overlapping(math.MinInt64, math.MaxInt64) {
		if n++; n == 3 {
			break
		}
	}
	for range l.Holding(block.Key{100}, math.MinInt64, math.MaxInt64) {
		if n++; n == 6 {
			break
		}
	}
	if n != 6 {
		t.Error(n)
	}
}

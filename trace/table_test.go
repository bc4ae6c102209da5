package trace

import "testing"

// collide runs test with hashes that say less and less; with the last, all records have the same.
func collide(t *testing.T, test func(t *testing.T)) {
	defer func(mask uint64) { hashMask = mask }(hashMask)
	for _, mask := range []uint64{hashMask, 3, 0} {
		hashMask = mask
		test(t)
	}
}

func TestTableNumbersDistinctRecords(t *testing.T) {
	collide(t, func(t *testing.T) {
		var table table
		for _, room := range []int{0, 1, 500, 0} {
			table.reset(room)
			var records []uint64
			for n := range uint64(1000) {
				value := n * n % 499 // 250 values
				got := table.intern(hashWords(value, 0), len(records), func(n int) bool { return records[n] == value })
				if got == len(records) {
					records = append(records, value)
				}
				if records[got] != value {
					t.Fatalf("%d is numbered as %d", value, records[got])
				}
			}
			if len(records) != 250 {
				t.Fatalf("%d distinct records", len(records))
			}
			for n, value := range records {
				if got := table.find(hashWords(value, 0), func(n int) bool { return records[n] == value }); got != n {
					t.Fatalf("%d found as %d, want %d", value, got, n)
				}
			}
			if got := table.find(hashWords(1000, 0), func(int) bool { return false }); got != -1 {
				t.Fatalf("what is not there is found as %d", got)
			}
		}
	})
}

func TestEqualHashesAreNeverTakenForEqualRecords(t *testing.T) {
	collide(t, TestMergeKeepsEveryDistinctSpanOnce)
	collide(t, TestSplitKeepsEverySpanWithItsResourceAndScope)
	collide(t, TestSummaryIsTheModels)
}

package instrument

import (
	"math"
	"time"
)

// Reads of different sizes take different times, and are not compared: up to 64 KiB, up to 1 MiB, and bigger.
const sizeClasses = 3

func sizeClass(bytes int) int {
	switch {
	case bytes <= 64<<10:
		return 0
	case bytes <= 1<<20:
		return 1
	default:
		return 2
	}
}

const (
	latencyBuckets = 72                     // the last holds all above 25 s
	fastest        = 100 * time.Microsecond // the first holds all below
	perDoubling    = 4                      // a bucket is 19% wide
	experience     = 20                     // latencies without which nothing is said of them
	memory         = 1000                   // latencies after which all before count half
)

// latencies estimates percentiles of the latencies seen lately. The zero value has seen none.
type latencies struct {
	counts [latencyBuckets]float64
	total  float64
	since  int // additions since the counts were halved
	known  int // additions, up to experience
}

func latencyBucket(d time.Duration) int {
	if d <= fastest {
		return 0
	}
	i := int(math.Ceil(perDoubling * math.Log2(float64(d)/float64(fastest))))
	return min(i, latencyBuckets-1)
}

// upTo returns the longest latency in a bucket.
func upTo(bucket int) time.Duration {
	return time.Duration(float64(fastest) * math.Exp2(float64(bucket)/perDoubling))
}

func (l *latencies) add(d time.Duration) {
	if l.since++; l.since > memory {
		l.since, l.total = 0, 0
		for i := range l.counts {
			l.counts[i] /= 2
			l.total += l.counts[i]
		}
	}
	l.counts[latencyBucket(d)]++
	l.total++
	l.known = min(l.known+1, experience)
}

// percentile returns a time in which at least the share q of the latencies lie, or unknown if there are too few.
func (l *latencies) percentile(q float64, unknown time.Duration) time.Duration {
	if l.known < experience {
		return unknown
	}
	sum := 0.0
	for i, n := range l.counts {
		if sum += n; sum >= q*l.total {
			return upTo(i)
		}
	}
	return upTo(latencyBuckets - 1)
}

// budget is what may be spent: a share of what is earned, and not more at once than a burst.
type budget struct {
	share, burst float64
	left         float64
}

func (b *budget) earn() { b.left = min(b.left+b.share, b.burst) }

func (b *budget) spend() bool {
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

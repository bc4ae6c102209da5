package cluster

import (
	"testing"
	"time"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

func TestWhenAnswersAreEnough(t *testing.T) {
	zones := []ring.Instance{{Address: "1", Zone: "a"}, {Address: "2", Zone: "a"}, {Address: "3", Zone: "b"}, {Address: "4", Zone: "c"}}
	for name, c := range map[string]struct {
		set    ring.ReadSet
		stand  []standing
		enough bool
	}{
		"all answered":               {ring.ReadSet{Ask: zones, Replication: 3}, []standing{answered, answered, answered, answered}, true},
		"one is open":                {ring.ReadSet{Ask: zones, Replication: 3}, []standing{answered, waiting, answered, answered}, true},
		"one failed, one is open":    {ring.ReadSet{Ask: zones, Replication: 3}, []standing{failed, waiting, answered, answered}, false},
		"both of them are in a zone": {ring.ReadSet{Ask: zones, Replication: 3, Zones: true}, []standing{failed, waiting, answered, answered}, true},
		"in two zones":               {ring.ReadSet{Ask: zones, Replication: 3, Zones: true}, []standing{failed, answered, waiting, answered}, false},
		"one silent, one failed":     {ring.ReadSet{Ask: zones[:2], Silent: zones[2:3], Replication: 3}, []standing{answered, failed}, false},
		"no replicas, one failed":    {ring.ReadSet{Ask: zones, Replication: 1}, []standing{answered, answered, answered, failed}, false},
		"the only one failed":        {ring.ReadSet{Ask: zones[:1], Replication: 3}, []standing{failed}, false},
		"nobody":                     {ring.ReadSet{Replication: 3}, nil, false},
	} {
		p := newPanel(&c.set, 0)
		copy(p.stand, c.stand)
		if p.enough() != c.enough {
			t.Errorf("%s: enough is %v", name, !c.enough)
		}
	}
}

func TestPatienceIsTwiceWhatMostTook(t *testing.T) {
	p := newPanel(&ring.ReadSet{Ask: make([]ring.Instance, 4)}, time.Second)
	if got := p.patience(); got != time.Second {
		t.Errorf("with no answer: %v", got)
	}
	p.answer(0, 3*time.Second)
	p.answer(1, 100*time.Second)
	p.answer(2, time.Second)
	if got := p.patience(); got != 7*time.Second {
		t.Errorf("%v", got)
	}
}

func TestAListOfBlocksIsGoodForAsLongAsIngestersKeepThem(t *testing.T) {
	at := time.Now()
	of := func(after time.Duration, kept time.Duration, err error) answer[int] {
		return answer[int]{source: client.Source{KeptFor: kept}, at: at.Add(after), err: err}
	}
	const min = time.Minute
	for name, c := range map[string]struct {
		answers []answer[int]
		asOf    time.Time
		need    time.Time
	}{
		"no answers":                  {nil, time.Time{}, time.Time{}},
		"never listed":                {[]answer[int]{of(0, 15*min, nil)}, time.Time{}, at.Add(-15 * min)},
		"just in time":                {[]answer[int]{of(0, 15*min, nil)}, at.Add(-15 * min), time.Time{}},
		"a moment late":               {[]answer[int]{of(0, 15*min, nil)}, at.Add(-15*min - 1), at.Add(-15 * min)},
		"one answered a moment later": {[]answer[int]{of(0, 15*min, nil), of(1, 15*min, nil)}, at.Add(-15 * min), at.Add(1 - 15*min)},
		"one keeps less":              {[]answer[int]{of(0, 15*min, nil), of(0, min, nil)}, at.Add(-2 * min), at.Add(-min)},
		"which did not answer well":   {[]answer[int]{of(0, 15*min, nil), of(0, 0, errRefused)}, at.Add(-2 * min), time.Time{}},
		"nothing is kept":             {[]answer[int]{of(0, 0, nil)}, at.Add(-1), at},
	} {
		if _, need := listNeeded(c.answers, c.asOf); !need.Equal(c.need) {
			t.Errorf("%s: needs a list as of %v, want %v", name, need.Sub(at), c.need.Sub(at))
		}
	}
	// A clock that stood still says that no time went by; the other says that it did.
	slept := []answer[int]{{source: client.Source{KeptFor: min}, at: at.Add(time.Second)}}
	if got := age(at, at.Round(0).Add(time.Hour)); got != time.Hour {
		t.Errorf("age %v", got)
	}
	if _, need := listNeeded(slept, at); !need.IsZero() {
		t.Errorf("needs a list as of %v", need.Sub(at))
	}
}

package instrument

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
)

func TestWhatIsAskedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{content: []byte("abcdef"), names: []string{"a", "b"}, act: takes(time.Second)}
		c := Count(f, CountOptions{Kind: LastElement("data", "index")})
		ctx := t.Context()
		c.ReadAt(ctx, "t/b/data", make([]byte, 4), 0)
		c.ReadAt(ctx, "t/b/data", make([]byte, 4), 4) // the object's end is no error
		c.ReadAt(ctx, "t/b/index", make([]byte, 6), 0)
		c.Size(ctx, "t/b/meta.json")
		c.Delete(ctx, "t/b/data")
		c.CreateIfAbsent(ctx, "t/claim", []byte("me"))
		c.List(ctx, "t", func(string) error { time.Sleep(time.Minute); return nil })
		w, _ := c.Create(ctx, "t/b/data")
		w.Write([]byte("xyz"))
		w.Commit()
		w.Abort()
		w, _ = c.Create(ctx, "t/b/data")
		w.Write([]byte("xyz"))
		w.Abort()
		second := time.Second
		want := Counts{
			{OpRead, "data"}:   {Requests: 2, Bytes: 6, Time: 2 * second},
			{OpRead, "index"}:  {Requests: 1, Bytes: 6, Time: second},
			{OpSize, "other"}:  {Requests: 1, Time: second},
			{OpDelete, "data"}: {Requests: 1, Time: second},
			{OpClaim, "other"}: {Requests: 1, Bytes: 2, Time: second},
			{OpList, "other"}:  {Requests: 1, Names: 2, Time: second},
			{OpWrite, "data"}:  {Requests: 2, Canceled: 1, Bytes: 6, Time: second},
		}
		got := c.Counts()
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%v: %+v, want %+v", key, got[key], want[key])
			}
		}
		if len(got) != len(want) || got.Total().Requests != 9 || got.Op(OpRead).Bytes != 12 {
			t.Errorf("%+v", got)
		}
		if diff := c.Counts().Since(got); len(diff) != 0 {
			t.Errorf("nothing was asked since, but %+v", diff)
		}
	})
}

func TestWhatIsAnErrorAndWhatIsNot(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Tally
	}{
		{backend.ErrNotExist, Tally{Requests: 1}},
		{errBroken, Tally{Requests: 1, Errors: 1}},
		{context.DeadlineExceeded, Tally{Requests: 1, Errors: 1}},
		{context.Canceled, Tally{Requests: 1, Canceled: 1}},
	} {
		counted := Count(&fake{act: fails(1, c.err)}, CountOptions{})
		if _, err := counted.Size(t.Context(), "a"); !errors.Is(err, c.err) {
			t.Error(err)
		}
		got := counted.Counts()[Key{OpSize, "object"}]
		got.Time = 0
		if got != c.want {
			t.Errorf("%v: %+v, want %+v", c.err, got, c.want)
		}
	}
}

func TestRetriesAndHedgesAreCountedBelowThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Count(&fake{content: []byte("abc"), act: fails(2, errBroken)}, CountOptions{})
		if _, err := Retry(c, RetryOptions{}).Size(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if got := c.Counts().Op(OpSize); got.Requests != 3 || got.Errors != 2 {
			t.Errorf("%+v", got)
		}
		w, _ := Retry(Count(&fake{act: fails(2, errBroken)}, CountOptions{}), RetryOptions{}).Create(t.Context(), "a")
		if err := w.Commit(); err != nil {
			t.Errorf("a Commit below Count is not tried again: %v", err)
		}
	})
}

func TestCountersAreMetrics(t *testing.T) {
	c := Count(&fake{content: []byte("abc")}, CountOptions{})
	c.ReadAt(t.Context(), "a", make([]byte, 3), 0)
	err := testutil.CollectAndCompare(c.Collector(), strings.NewReader(`
# HELP tempo_backend_transferred_bytes_total Bytes read from and written to the object store.
# TYPE tempo_backend_transferred_bytes_total counter
tempo_backend_transferred_bytes_total{kind="object",operation="read"} 3
`), "tempo_backend_transferred_bytes_total")
	if err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c.Collector()); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

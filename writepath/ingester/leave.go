package ingester

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// errNoRing is returned where there is no place in a ring to give up.
var errNoRing = errors.New("this ingester is in no ring")

// settle is how long after Retire, or less if Options.LeaveAfter is less, writers that have not heard of it yet are still served.
const settle = 10 * time.Second

// Leave takes the ingester out of the ring, for good: writers are told to go elsewhere, all that is here is copied to the object store, and when readers surely know
// the copies, which takes Options.LeaveAfter, its place is given up. Until then it answers. A Leave that an error or the end of ctx
// has cut short may be called again; before Leave has returned nil the process should not be ended for good.
func (i *Ingester) Leave(ctx context.Context) error {
	if i.o.Ring == nil {
		return errNoRing
	}
	if err := i.o.Ring.Retire(ctx); err != nil {
		return err
	}
	if err := i.Flush(ctx); err != nil { // most of it, while the last writers come to know
		return err
	}
	if err := i.pause(ctx, min(settle, i.o.LeaveAfter)); err != nil {
		return err
	}
	i.leaving.Store(true)
	err := i.Flush(ctx)
	if err == nil {
		err = i.pause(ctx, i.o.LeaveAfter)
	}
	if err == nil {
		err = i.o.Ring.Leave()
	}
	if err != nil {
		i.leaving.Store(false)
		return err
	}
	i.leftOnce.Do(func() { close(i.left) })
	return nil
}

// Left is closed when Leave has succeeded: the process has nothing more to do.
func (i *Ingester) Left() <-chan struct{} { return i.left }

func (i *Ingester) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-i.life.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler serves /flush, /shutdown and /prepare-downscale to operators.
//
//	POST /flush                     makes blocks of all there is and copies them; returns when that is done, or at once with ?wait=false
//	POST /shutdown                  Leave; returns when the ring has been left, or at once with ?wait=false. The process may be ended then
//	GET  /prepare-downscale         whether this instance is written to: {"active":true}
//	POST, DELETE /prepare-downscale lets nobody write here any more, and takes that back; both outlast a restart
func (i *Ingester) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /flush", i.operation("flush", i.Flush))
	mux.Handle("POST /shutdown", i.operation("shutdown", i.Leave))
	mux.HandleFunc("GET /prepare-downscale", func(w http.ResponseWriter, _ *http.Request) { i.tellActive(w) })
	mux.HandleFunc("POST /prepare-downscale", func(w http.ResponseWriter, r *http.Request) {
		i.change(w, func(p Place) error { return p.Retire(r.Context()) })
	})
	mux.HandleFunc("DELETE /prepare-downscale", func(w http.ResponseWriter, r *http.Request) {
		i.change(w, func(p Place) error { return p.Return(r.Context()) })
	})
	return mux
}

// operation is a request that does something which takes its time. With ?wait=false it goes on after the answer.
func (i *Ingester) operation(name string, do func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") == "false" {
			i.closing.Lock()
			defer i.closing.Unlock()
			if i.closed.Load() {
				http.Error(w, ErrClosed.Error(), http.StatusServiceUnavailable)
				return
			}
			i.done.Go(func() {
				if err := do(i.life); err != nil && i.life.Err() == nil {
					i.log.Error(name+" failed", "error", err)
				}
			})
			w.WriteHeader(http.StatusAccepted)
			return
		}
		switch err := do(r.Context()); {
		case errors.Is(err, errNoRing):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			i.log.Error(name+" failed", "error", err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func (i *Ingester) change(w http.ResponseWriter, do func(Place) error) {
	if i.o.Ring != nil {
		if err := do(i.o.Ring); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	i.tellActive(w)
}

func (i *Ingester) tellActive(w http.ResponseWriter) {
	if i.o.Ring == nil {
		http.Error(w, errNoRing.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Active bool `json:"active"`
	}{i.o.Ring.Active()})
}

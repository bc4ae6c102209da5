package tempodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jaeger-tempo/tempo/tempodb/backend"
	"github.com/jaeger-tempo/tempo/tempodb/block"
	"github.com/jaeger-tempo/tempo/tempodb/compact"
)

// claims are objects that say who merges what: <tenant>/claims/<job name>. They save work that would be done twice, and no more: a job
// that is done twice is harmless, and so is all that goes wrong here. A store that can't put an object only if there is none does without.
type claims struct {
	bucket backend.Bucket
	folder string
	owner  string // like no other
	ttl    time.Duration
	now    func() time.Time
	logger *slog.Logger

	none  atomic.Bool // the store has no claims
	taken atomic.Int64

	mu   sync.Mutex
	seen map[string]sighting // claims of others, by job
}

// sighting is since when a claim was seen to say just the same.
type sighting struct {
	content string
	since   time.Time
}

const (
	claimsFolder = "claims"
	maxClaim     = 64 << 10
)

// claimBody is the content of a claim.
type claimBody struct {
	Owner string `json:"owner"`
	// Since is when the job was begun; Until, up to when the claim holds. Until then the owner renews it or deletes it.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Inputs are the blocks that are being merged.
	Inputs []block.ID `json:"inputs"`
}

func parseClaim(content []byte) (claimBody, error) {
	var b claimBody
	err := json.Unmarshal(content, &b)
	if err == nil && (b.Owner == "" || b.Until.IsZero()) {
		err = errors.New("it has no owner or no end")
	}
	return b, err
}

var errClaimLost = errors.New("another process has taken the job over")

// claim is a claim that is held; nil on a store without.
type claim struct {
	of   *claims
	name string
	body claimBody
}

// read returns the content of a claim; backend.ErrNotExist if there is none.
func (c *claims) read(ctx context.Context, name string) (string, error) {
	content := make([]byte, maxClaim)
	n, err := c.bucket.ReadAt(ctx, name, content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(content[:n]), nil
}

// look reads a claim of another, and says what it claims and whether it has expired: by what it says itself, or, whatever its owner's clock shows, if it
// has been the same for so long.
func (c *claims) look(ctx context.Context, job string) (content string, body claimBody, expired bool, err error) {
	content, err = c.read(ctx, c.folder+"/"+job)
	if err != nil {
		return "", body, false, err
	}
	now := c.now()
	c.mu.Lock()
	at, known := c.seen[job]
	if !known || at.content != content {
		at = sighting{content, now}
		c.seen[job] = at
	}
	c.mu.Unlock()
	body, err = parseClaim([]byte(content))
	if err != nil {
		c.logger.Warn("a claim can't be read; it holds until it is old", "object", c.folder+"/"+job, "error", err)
	}
	expired = err == nil && now.After(body.Until) || now.Sub(at.since) > c.ttl
	return content, body, expired, nil
}

// busy returns the blocks that others are merging, so that other jobs are planned. Claims that have expired are removed.
func (c *claims) busy(ctx context.Context) (map[block.ID]bool, error) {
	if c.none.Load() {
		return nil, nil
	}
	var jobs []string
	err := c.bucket.List(ctx, c.folder, func(name string) error {
		if !strings.HasSuffix(name, "/") {
			jobs = append(jobs, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list claims: %w", err)
	}
	inputs := make(map[block.ID]bool)
	there := make(map[string]bool)
	for _, job := range jobs {
		there[job] = true
		content, body, expired, err := c.look(ctx, job)
		switch {
		case errors.Is(err, backend.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case expired:
			if err := c.remove(ctx, job, content); err != nil {
				return nil, err
			}
			continue
		}
		for _, id := range body.Inputs {
			inputs[id] = true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for job := range c.seen {
		if !there[job] {
			delete(c.seen, job)
		}
	}
	return inputs, nil
}

// remove deletes a claim that has expired, if it is still what was seen of it.
func (c *claims) remove(ctx context.Context, job, content string) error {
	name := c.folder + "/" + job
	now, err := c.read(ctx, name)
	if errors.Is(err, backend.ErrNotExist) {
		return nil
	}
	if err != nil || now != content {
		return err
	}
	c.taken.Add(1)
	c.logger.Info("a claim is taken from who does not renew it", "object", name, "claim", content)
	return c.bucket.Delete(ctx, name)
}

// take claims a job, and says whether it may be done: it has to be ended. The claim is nil on a store without claims.
func (c *claims) take(ctx context.Context, job *compact.Job) (held *claim, ok bool, err error) {
	if c.none.Load() {
		return nil, true, nil
	}
	held = &claim{of: c, name: c.folder + "/" + job.Name, body: claimBody{Owner: c.owner, Since: c.now().UTC()}}
	for _, m := range job.Inputs {
		held.body.Inputs = append(held.body.Inputs, m.ID)
	}
	content, err := held.content()
	if err != nil {
		return nil, false, err
	}
	created, err := backend.CreateIfAbsent(ctx, c.bucket, held.name, content)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		c.none.Store(true)
		c.logger.Info("the object store has no claims: jobs may be done twice, which costs time", "error", err)
		return nil, true, nil
	case err != nil:
		return nil, false, fmt.Errorf("claim job %s: %w", job.Name, err)
	case created:
		return held, true, nil
	}
	// An answer that was lost on its way may have been ours.
	got, err := c.read(ctx, held.name)
	if err == nil && got == string(content) {
		return held, true, nil
	}
	return nil, false, nil
}

func (h *claim) content() ([]byte, error) {
	h.body.Until = h.of.now().Add(h.of.ttl).UTC()
	return json.Marshal(h.body)
}

// keep renews the claim until the function it returns is called, which then deletes it. The context it returns ends, with errClaimLost for its cause, when
// another has taken the job over.
func (h *claim) keep(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if h == nil {
		return ctx, func() { cancel(nil) }
	}
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(h.of.ttl / 3)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			switch err := h.renew(ctx); {
			case errors.Is(err, errClaimLost):
				cancel(err)
				return
			case err != nil && ctx.Err() == nil:
				// The job goes on: that it may be done twice is no reason to give it up.
				h.of.logger.Warn("a claim can't be renewed", "object", h.name, "error", err)
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		renewing.Wait()
		// Also when the process is told to stop: another may go on at once.
		last, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer done()
		if err := h.release(last); err != nil {
			h.of.logger.Warn("a claim can't be given back; it expires", "object", h.name, "error", err)
		}
	}
}

// ours reports whether the claim is there and ours.
func (h *claim) ours(ctx context.Context) (bool, error) {
	content, err := h.of.read(ctx, h.name)
	if errors.Is(err, backend.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	body, err := parseClaim([]byte(content))
	return err == nil && body.Owner == h.body.Owner && body.Since.Equal(h.body.Since), nil
}

func (h *claim) renew(ctx context.Context) error {
	ours, err := h.ours(ctx)
	if err != nil {
		return err
	}
	if !ours {
		return errClaimLost
	}
	content, err := h.content()
	if err != nil {
		return err
	}
	w, err := h.of.bucket.Create(ctx, h.name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Commit()
}

func (h *claim) release(ctx context.Context) error {
	if ours, err := h.ours(ctx); err != nil || !ours {
		return err
	}
	return h.of.bucket.Delete(ctx, h.name)
}

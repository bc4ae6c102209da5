package writepath

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/jaeger-tempo/tempo/ring"
	"github.com/jaeger-tempo/tempo/writepath/ingester/client"
)

// lane is the way to one ingester. What comes to an empty lane is sent at once; what comes while that is under way goes together after it. So pushes grow
// with the load, and nothing waits for company.
type lane struct {
	address string
	waiting []item
	bytes   int // that wait or are under way
	queued  int // that wait
	pushes  int // under way
}

type item struct {
	push  *ring.Push
	group client.Group
}

const (
	// A push is full with so much.
	fullBytes  = 4 << 20
	fullGroups = 4096
	// maxPushes go to one ingester at a time, where the first was full.
	maxPushes = 2
)

// enqueue sees to it that p ends with how the ingester took group: at once where too much waits for that ingester.
func (c *Cluster) enqueue(p *ring.Push, group client.Group) {
	if group.Size() > client.MaxGroup {
		p.End(status.Errorf(codes.InvalidArgument, "%d bytes for one tenant at once; the most is %d", group.Size(), client.MaxGroup))
		return
	}
	if err := c.wait(item{p, group}); err != nil {
		p.End(err)
	}
}

func (c *Cluster) wait(i item) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return status.Error(codes.Unavailable, "the writer to ingesters is closed")
	}
	l := c.lanes[i.push.To.Address]
	if l == nil {
		l = &lane{address: i.push.To.Address}
		c.lanes[l.address] = l
	}
	size := i.group.Size()
	if l.bytes > 0 && l.bytes+size > c.opts.QueueBytes {
		c.stats.refused.Add(1)
		return status.Errorf(codes.Unavailable, "ingester at %s is behind: %d bytes wait for it", l.address, l.bytes)
	}
	l.waiting = append(l.waiting, i)
	l.bytes += size
	l.queued += size
	if l.pushes == 0 || l.pushes < maxPushes && l.queued >= fullBytes {
		l.pushes++
		c.going.Go(func() { c.drain(l) })
	}
	return nil
}

// drain pushes what waits until nothing does.
func (c *Cluster) drain(l *lane) {
	var (
		items  []item
		groups []client.Group
	)
	for {
		if items = c.next(l, items[:0]); len(items) == 0 {
			return
		}
		groups = groups[:0]
		size := 0
		for _, i := range items {
			groups = append(groups, i.group)
			size += i.group.Size()
		}
		outcomes, err := c.push(l.address, groups)
		c.stats.pushes.Add(1)
		c.stats.groups.Add(int64(len(groups)))
		c.stats.bytes.Add(int64(size))
		if err != nil {
			c.stats.failed.Add(1)
		}
		c.mu.Lock()
		l.bytes -= size
		c.mu.Unlock()
		for n, i := range items {
			if err == nil && outcomes != nil {
				end(i.push, outcomes[n])
			} else {
				i.push.End(err)
			}
		}
		clear(items)
		clear(groups)
	}
}

// end ends a push with the outcome of its group.
func end(p *ring.Push, outcome error) {
	var refused *client.RefusedError
	if errors.As(outcome, &refused) {
		p.Refuse(refused.Err, refused.Entries)
		return
	}
	p.End(outcome)
}

// next takes what goes together from what waits. If that is nothing, the caller has ended.
func (c *Cluster) next(l *lane, items []item) []item {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, n := 0, 0
	for n < len(l.waiting) && n < fullGroups {
		more := l.waiting[n].group.Size()
		if n > 0 && size+more > fullBytes {
			break
		}
		size += more
		n++
	}
	if n == 0 {
		if l.pushes--; l.pushes == 0 {
			delete(c.lanes, l.address)
		}
		return nil
	}
	items = append(items, l.waiting[:n]...)
	left := copy(l.waiting, l.waiting[n:])
	clear(l.waiting[left:])
	l.waiting = l.waiting[:left]
	l.queued -= size
	return items
}

func (c *Cluster) push(address string, groups []client.Group) ([]error, error) {
	to, err := c.pool.Client(address)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.opts.PushTimeout)
	defer cancel()
	outcomes, err := to.Push(ctx, groups)
	for i := range outcomes {
		outcomes[i] = notByCaller(outcomes[i])
	}
	return outcomes, notByCaller(err)
}

// notByCaller makes Unavailable of errors that say that the caller left or had no time: that was a push, which has several callers.
func notByCaller(err error) error {
	if code := status.Code(err); code == codes.DeadlineExceeded || code == codes.Canceled {
		return status.Error(codes.Unavailable, err.Error())
	}
	return err
}

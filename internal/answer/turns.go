package answer

import (
	"context"
	"slices"
	"sync"
)

// turns are the places of MaxPrograms and the queue for them. A client has one
// message in it at a time, so that each has its turn. Those that have left by the time
// a place is free come after all others: nobody may fill the queue by leaving.
type turns struct {
	mu      sync.Mutex
	running int
	queue   []*turn
}

type turn struct {
	left  func() bool
	ready chan struct{} // closed when it has its place
}

// wait returns nil with a place, which pass gives on.
func (t *turns) wait(ctx context.Context, left func() bool) error {
	t.mu.Lock()
	if t.running < MaxPrograms {
		t.running++
		t.mu.Unlock()
		return nil
	}
	own := &turn{left, make(chan struct{})}
	t.queue = append(t.queue, own)
	t.mu.Unlock()
	select {
	case <-own.ready:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.queue, own)
	if i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // it came at that moment
		t.pass()
	}
	return context.Cause(ctx)
}

// pass gives a place to the next one.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.running--
		return
	}
	i := slices.IndexFunc(t.queue, func(n *turn) bool { return n.left == nil || !n.left() })
	i = max(i, 0)
	close(t.queue[i].ready)
	t.queue = slices.Delete(t.queue, i, i+1)
}

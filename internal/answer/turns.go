package answer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"socketsrv/internal/rawio"
)

// turns are the places of MaxPrograms and the queue for them. A client has one
// message in it at a time, so that each has its turn and the queue is no longer than
// -max-conns. Those that have ended their side by the time a place is free come after
// all others, and those that are gone are dropped: nobody may fill the queue by leaving.
type turns struct {
	mu      sync.Mutex
	running int
	queue   []*turn
}

type turn struct {
	peer  func() rawio.Peer
	at    rawio.Peer // when pass looked
	ready chan error // gets nil with its place
}

// errGone is why no program runs for a client: nobody would read what it prints.
var errGone = errors.New("the client is gone")

// wait returns nil with a place, which pass gives on. peer is asked about the client;
// nil: nobody knows.
func (t *turns) wait(ctx context.Context, peer func() rawio.Peer) error {
	if peer == nil {
		peer = func() rawio.Peer { return rawio.Here }
	}
	if peer() == rawio.Gone {
		return errGone
	}
	t.mu.Lock()
	if t.running < MaxPrograms {
		t.running++
		t.mu.Unlock()
		return nil
	}
	own := &turn{peer: peer, ready: make(chan error, 1)}
	t.queue = append(t.queue, own)
	t.mu.Unlock()
	select {
	case err := <-own.ready:
		return err
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.queue, own)
	if i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 && <-own.ready == nil { // it came at that moment
		t.pass()
	}
	return context.Cause(ctx)
}

// pass gives a place to the next one.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.DeleteFunc(t.queue, func(n *turn) bool {
		if n.at = n.peer(); n.at == rawio.Gone {
			n.ready <- errGone
		}
		return n.at == rawio.Gone
	})
	if len(t.queue) == 0 {
		t.running--
		return
	}
	i := max(slices.IndexFunc(t.queue, func(n *turn) bool { return n.at == rawio.Here }), 0)
	t.queue[i].ready <- nil
	t.queue = slices.Delete(t.queue, i, i+1)
}

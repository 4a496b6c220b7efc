package play

import (
	"sync"
	"time"

	"socketsrv/internal/talkfile"
)

// An inbox has what came and was not looked at yet. One goroutine puts, one takes.
type inbox struct {
	ready chan struct{} // has an element when something came since the last look

	mu    sync.Mutex
	room  sync.Cond
	items []item
	size  int
	over  error // why no more comes
	done  bool  // nobody takes any more
}

const (
	maxInbox    = 16 << 20 // bytes: whoever puts waits beyond it, and so does the peer
	itemCost    = 64
	maxControls = 1024 // pings and pongs, which cannot wait
)

func newInbox() *inbox {
	in := &inbox{ready: make(chan struct{}, 1)}
	in.room.L = &in.mu
	return in
}

// put adds what came, once there is room for it. A ping or pong is dropped where too many
// wait: whoever reads holds locks then.
func (in *inbox) put(it item) {
	in.mu.Lock()
	defer in.mu.Unlock()
	it.at = time.Now()
	for in.size > maxInbox && !in.done && !it.isControl() {
		in.room.Wait()
	}
	if in.done || it.isControl() && len(in.items) >= maxControls {
		return
	}
	in.items = append(in.items, it)
	in.size += len(it.data) + itemCost
	in.signal()
}

func (in *inbox) signal() {
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// end says that no more comes.
func (in *inbox) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = err
	in.signal()
}

// stop drops what is there and what still comes.
func (in *inbox) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.items, in.size, in.done = nil, 0, true
	in.room.Broadcast()
}

// take returns what came next; ok is false where nothing is there.
func (in *inbox) take() (it item, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.items) == 0 {
		return item{}, false
	}
	it, in.items[0] = in.items[0], item{}
	in.items = in.items[1:]
	in.size -= len(it.data) + itemCost
	in.room.Signal()
	return it, true
}

// ended is why no more comes; nil: it may.
func (in *inbox) ended() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.over
}

// isControl reports whether it is a ping or pong.
func (it *item) isControl() bool { return it.kind == talkfile.Ping || it.kind == talkfile.Pong }

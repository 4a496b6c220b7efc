package wsproto

import (
	"errors"
	"math"
	"runtime"
	"sync/atomic"
)

// A Budget bounds what the connections whose Config.Memory it is hold together: of
// messages that are not whole yet, and of compressed ones as they are inflated. The one
// that would need more is closed with 1013. Beside it stands one message being inflated
// for each processor. Its methods may be called from any goroutine.
type Budget struct {
	max   int64
	used  atomic.Int64
	slots chan struct{} // of those who inflate
}

var (
	// ErrMemory is why a connection is closed with 1013.
	ErrMemory = errors.New("all messages together take more memory than they may")
	// ErrMessageTimeout is why a connection is closed with 1008: see
	// Config.MessageTimeout.
	ErrMessageTimeout = errors.New("a message did not come in time")
)

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{max: bytes, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Used returns how many bytes are held.
func (b *Budget) Used() int64 { return b.used.Load() }

// Hold has n bytes counted in place of as many as held says, for somebody who holds them
// beside the connections; it reports false, and nothing changes, where there is no room
// for more.
func (b *Budget) Hold(held *int64, n int64) bool {
	if n-*held > b.left() {
		return false
	}
	b.count(held, n)
	return true
}

func (b *Budget) count(held *int64, n int64) {
	if n != *held {
		b.used.Add(n - *held)
		*held = n
	}
}

// left returns how many more may be; of a nil Budget any number.
func (b *Budget) left() int64 {
	if b == nil {
		return math.MaxInt64
	}
	return max(b.max-b.used.Load(), 0)
}

// enter and leave stand around what inflates.
func (b *Budget) enter() {
	if b != nil {
		b.slots <- struct{}{}
	}
}

func (b *Budget) leave() {
	if b != nil {
		<-b.slots
	}
}

// account takes two blocks, which may be nil, for what somebody holds who held so much
// when it was told last.
func (b *Budget) account(held *int64, v, w *block) {
	if b == nil {
		return
	}
	var n int64
	if v != nil {
		n = int64(cap(v.b))
	}
	if w != nil {
		n += int64(cap(w.b))
	}
	b.count(held, n)
}

// account tells the Budget what a holds.
func (a *Assembler) account() { a.Memory.account(&a.held, a.buf, a.inflated) }

// drop gives everything back, for good.
func (a *Assembler) drop() {
	a.message = 0
	a.release()
}

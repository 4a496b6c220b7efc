package wsproto

import (
	"runtime"
	"slices"
	"sync"
)

// A Group sends messages to many users. Each message is framed, and compressed,
// once. Those that come while others are on their way go out together, with one
// system call for each member. A member that does not read delays nobody: what its
// socket does not take waits for it, Queue bytes at most, and messages beyond that
// it misses. Every member sees the same order.
//
// The zero value is an empty group. Its methods may be called from any
// goroutine, the fields must not be changed once they were.
type Group struct {
	ExcludeSender bool // a message does not go back to who sent it
	Queue         int  // bytes that may wait for one member; 0 means DefaultQueue

	// OnMissed is told of a member and how many messages in a row it just
	// missed because its queue is full. It may close the user; it must not wait.
	OnMissed func(u *User, messages int)

	mu       sync.Mutex
	taken    sync.Cond // pending was taken
	members  map[*User]struct{}
	list     []*User // of members; nil: to be made anew
	pending  *batch  // what the next round sends; nil if nothing
	spare    *batch
	flushing bool
}

// maxPending bounds what may be gathered for the next round, in bytes.
const maxPending = 1 << 20

// Add makes u a member. It gets what is sent from now on.
func (g *Group) Add(u *User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.members == nil {
		g.members = make(map[*User]struct{})
	}
	g.members[u] = struct{}{}
	g.list = nil
}

// Remove ends the membership of u; a round that is under way may still reach it.
func (g *Group) Remove(u *User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, u)
	g.list = nil
}

// Len returns the number of members.
func (g *Group) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members)
}

// Send sends p to the members, from a user or, if nil, from nobody, and has
// handed it to all of them when it returns, unless another goroutine is doing that.
func (g *Group) Send(from *User, op Opcode, p []byte) {
	g.Gather(from, op, p)
	g.Flush()
}

// Gather is Send for an OnMessage: the message waits for Flush, which an
// OnPause should call.
func (g *Group) Gather(from *User, op Opcode, p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken.L == nil {
		g.taken.L = &g.mu
	}
	for g.flushing && g.pending != nil && len(g.pending.plain.b) > maxPending {
		g.taken.Wait()
	}
	if g.pending == nil {
		g.pending, g.spare = g.spare, nil
		if g.pending == nil {
			g.pending = new(batch)
		}
	}
	g.pending.add(from, op, p)
}

// Flush sends what was gathered.
func (g *Group) Flush() {
	g.mu.Lock()
	if g.flushing || g.pending == nil {
		g.mu.Unlock()
		return
	}
	g.flushing = true
	g.mu.Unlock()
	runtime.Gosched() // whoever has something to add adds it first
	g.mu.Lock()
	for g.pending != nil {
		b := g.pending
		g.pending = nil
		g.taken.Broadcast()
		if g.list == nil {
			for u := range g.members {
				g.list = append(g.list, u)
			}
		}
		list := g.list
		g.mu.Unlock()
		for _, u := range list {
			if missed := g.deliver(u, b); missed > 0 && g.OnMissed != nil {
				g.OnMissed(u, missed)
			}
		}
		b.reset()
		g.mu.Lock()
		g.spare = b
	}
	g.flushing = false
	g.mu.Unlock()
}

// deliver hands b to one member and returns how many messages it missed.
func (g *Group) deliver(u *User, b *batch) (missed int) {
	limit := g.Queue
	if limit <= 0 {
		limit = DefaultQueue
	}
	skip := g.ExcludeSender && slices.Contains(b.senders, u)
	d := u.conn.asm.Deflate
	if !skip && (d == nil || d.shares()) && u.conn.cfg.Tap == nil {
		frames := b.plain
		if d != nil {
			frames = b.compressed(d)
		}
		if u.conn.postFrames(frames.b, len(b.parts), limit) == ErrQueueFull {
			return len(b.parts)
		}
		return 0
	}
	for i, m := range b.parts {
		if skip && m.from == u {
			continue
		}
		if u.conn.post(m.op, b.payload(i), limit) == ErrQueueFull {
			missed++
		}
	}
	return missed
}

// shares reports whether what d compresses is the same for every connection that
// has agreed on as much.
func (d *Deflate) shares() bool { return !d.keepsWriter() && d.send.window == maxWindow }

// A batch is messages for many, as frames one after another.
type batch struct {
	plain    *block // uncompressed
	deflated *block // compressed where that pays; nil until somebody wants it
	parts    []part
	senders  []*User
}

// A part is one message of a batch: its payload and its end in plain.
type part struct {
	from         *User
	op           Opcode
	payload, end int
}

func (b *batch) add(from *User, op Opcode, p []byte) {
	b.plain = b.plain.grow(MaxHeaderLen + len(p))
	v := AppendHeader(b.plain.b, Header{Fin: true, Opcode: op, PayloadLen: int64(len(p))})
	at := len(v)
	b.plain.b = append(v, p...)
	b.parts = append(b.parts, part{from, op, at, len(b.plain.b)})
	if from != nil && !slices.Contains(b.senders, from) {
		b.senders = append(b.senders, from)
	}
}

func (b *batch) payload(i int) []byte { return b.plain.b[b.parts[i].payload:b.parts[i].end] }

// compressed returns the frames as every connection gets them that has agreed on
// permessage-deflate as d has.
func (b *batch) compressed(d *Deflate) *block {
	if b.deflated != nil {
		return b.deflated
	}
	out := getBlock(len(b.plain.b))
	z := getBlock(len(b.plain.b))
	defer func() { putBlock(z) }()
	for i, m := range b.parts {
		p, h := b.payload(i), Header{Fin: true, Opcode: m.op}
		if d.wants(len(p)) {
			var err error
			if z.b, err = d.Compress(z.b[:0], p); err == nil {
				h.Rsv1, p = true, z.b
			}
		}
		h.PayloadLen = int64(len(p))
		out = out.grow(MaxHeaderLen + len(p))
		out.b = append(AppendHeader(out.b, h), p...)
	}
	b.deflated = out
	return out
}

// reset empties b for another round; large buffers go back.
func (b *batch) reset() {
	putBlock(b.deflated)
	b.deflated = nil
	clear(b.parts)
	clear(b.senders)
	b.parts, b.senders = b.parts[:0], b.senders[:0]
	if cap(b.plain.b) > maxBatch {
		putBlock(b.plain)
		b.plain = nil
		return
	}
	b.plain.b = b.plain.b[:0]
}

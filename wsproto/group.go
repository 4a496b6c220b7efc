package wsproto

import (
	"runtime"
	"slices"
	"sync"
)

// A Group sends messages to many users. Each message is framed, and compressed,
// once. Those that come while others are on their way go out together, with one
// system call for each member. A member that does not read delays nobody: what its
// socket does not take waits for it, Queue bytes at most and beside them one
// message, and messages beyond that it misses. Of what waits for many there is one
// copy. Every member sees the same order.
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

const (
	// maxPending bounds what may be gathered for the next round, in bytes.
	maxPending = 1 << 20
	// fairRounds is how often Flush goes on for what others gathered meanwhile.
	fairRounds = 4
	// shareFrom is the size from which frames wait as a part of the batch they are
	// in. Less is copied: a list of many small pieces costs more than they do.
	shareFrom = 2 << 10
)

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
// handed it to all of them when it returns, unless another goroutine is doing that. The
// opcode is OpText or OpBinary; any other one panics.
func (g *Group) Send(from *User, op Opcode, p []byte) {
	g.Gather(from, op, p)
	g.Flush()
}

// Gather is Send for an OnMessage: the message waits for Flush, which an
// OnPause should call.
func (g *Group) Gather(from *User, op Opcode, p []byte) {
	if !op.isMessage() {
		panic(errNoMessage)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.taken.L == nil {
		g.taken.L = &g.mu
	}
	for g.flushing && g.pending != nil && len(g.pending.plain.v.b) > maxPending {
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
	defer g.mu.Unlock()
	if g.flushing || g.pending == nil {
		return
	}
	g.flushing = true
	g.mu.Unlock()
	runtime.Gosched() // whoever has something to add adds it first
	g.mu.Lock()
	for range fairRounds {
		if g.round(); g.pending == nil {
			g.flushing = false
			return
		}
	}
	go g.goOn() // this goroutine has a member of its own to read from
}

// goOn does rounds until nothing is pending.
func (g *Group) goOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.pending != nil {
		g.round()
	}
	g.flushing = false
}

// round sends what is pending. The caller holds mu, which is released meanwhile.
func (g *Group) round() {
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

// deliver hands b to one member and returns how many messages it missed.
func (g *Group) deliver(u *User, b *batch) (missed int) {
	limit := g.Queue
	if limit <= 0 {
		limit = DefaultQueue
	}
	skip := g.ExcludeSender && slices.Contains(b.senders, u)
	d := u.conn.deflate
	if !skip && (d == nil || d.shares()) && u.conn.cfg.Tap == nil {
		f := &b.plain
		if d != nil {
			f = b.compressed(d)
		}
		return u.conn.postFrames(f, limit)
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

// postFrames is post for all of f, of a server, and returns how many of them were
// too many for the queue: the last ones.
func (c *Conn) postFrames(f *frames, limit int) (missed int) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.usable() != nil {
		return 0 // its reader knows
	}
	p := f.v.b
	if o.writing || o.len() > 0 {
		p = p[:f.fit(0, limit-o.len(), o.len() == 0)]
		o.push(f.v, p)
	} else if sent, err := c.writeSome(p); sent < len(p) && err == nil {
		p = p[:f.fit(sent, limit-o.len(), true)]
		o.unshift(f.v, p[sent:])
	}
	if o.len() > 0 {
		c.flush(false)
	}
	return f.after(len(p))
}

// writeSome writes what the socket takes of p at once. The caller holds mu, which is
// released meanwhile.
func (c *Conn) writeSome(p []byte) (n int, err error) {
	o := &c.out
	if c.loop != nil {
		return c.writeNow(p)
	}
	o.writing = true
	o.mu.Unlock()
	n, err = c.tryWrite(p)
	o.mu.Lock()
	o.wrote(err)
	return n, err
}

// push appends frames, which are a part of v, to what waits. The caller holds mu.
func (o *outbox) push(v *block, p []byte) {
	switch {
	case len(p) == 0:
	case len(p) < shareFrom:
		o.buf = o.buf.grow(len(p))
		o.buf.b = append(o.buf.b, p...)
		o.frames++
		o.lastPong = -1
	default:
		if o.buf != nil {
			w := o.takeBuf()
			o.ahead = append(o.ahead, w)
			o.held += len(w.p)
		}
		v.share()
		o.ahead = append(o.ahead, piece{v, p})
		o.held += len(p)
	}
}

// unshift puts the rest of frames, which are a part of v, before what waits. The
// caller holds mu.
func (o *outbox) unshift(v *block, p []byte) {
	if len(p) < shareFrom {
		own := getBlock(len(p))
		own.b = append(own.b, p...)
		v, p = own, own.b
	} else {
		v.share()
	}
	o.ahead = slices.Insert(o.ahead, 0, piece{v, p})
	o.held += len(p)
}

// shares reports whether what d compresses is the same for every connection that
// has agreed on as much.
func (d *Deflate) shares() bool { return !d.keepsWriter() && d.send.window == maxWindow }

// A batch is messages for many, as frames one after another.
type batch struct {
	plain    frames // uncompressed
	deflated frames // compressed where that pays; empty until somebody wants it
	parts    []part
	senders  []*User
}

// A part is one message of a batch and where its payload begins in plain.
type part struct {
	from    *User
	op      Opcode
	payload int
}

// frames are the frames of whole messages, in a block.
type frames struct {
	v    *block
	ends []int
}

// fit returns where those frames end of which no more than room bytes come after
// the first start bytes. A message begun before start is whole, also the first one
// after it if force says so.
func (f *frames) fit(start, room int, force bool) int {
	n, exact := slices.BinarySearch(f.ends, start)
	if exact {
		n++
	}
	first := start
	if n < len(f.ends) && (force || start > 0 && !exact) {
		first = f.ends[n]
	}
	last, exact := slices.BinarySearch(f.ends, start+max(room, 0))
	if exact {
		last++
	}
	if last == 0 {
		return first
	}
	return max(first, f.ends[last-1])
}

// after returns how many messages come after the first n bytes.
func (f *frames) after(n int) int {
	i, exact := slices.BinarySearch(f.ends, n)
	if exact {
		i++
	}
	return len(f.ends) - i
}

func (b *batch) add(from *User, op Opcode, p []byte) {
	b.parts = append(b.parts, part{from, op, b.plain.add(Header{Fin: true, Opcode: op}, p)})
	if from != nil && !slices.Contains(b.senders, from) {
		b.senders = append(b.senders, from)
	}
}

// add appends a frame and returns where its payload begins.
func (f *frames) add(h Header, p []byte) (payload int) {
	h.PayloadLen = int64(len(p))
	f.v = f.v.grow(MaxHeaderLen + len(p))
	f.v.b = AppendHeader(f.v.b, h)
	payload = len(f.v.b)
	f.v.b = append(f.v.b, p...)
	f.ends = append(f.ends, len(f.v.b))
	return payload
}

func (b *batch) payload(i int) []byte { return b.plain.v.b[b.parts[i].payload:b.plain.ends[i]] }

// compressed returns the frames as every connection gets them that has agreed on
// permessage-deflate as d has.
func (b *batch) compressed(d *Deflate) *frames {
	if b.deflated.v != nil {
		return &b.deflated
	}
	z := getBlock(len(b.plain.v.b))
	defer func() { putBlock(z) }()
	for i, m := range b.parts {
		p, h := b.payload(i), Header{Fin: true, Opcode: m.op}
		if d.wants(len(p)) {
			var err error
			if z.b, err = d.Compress(z.b[:0], p); err == nil {
				h.Rsv1, p = true, z.b
			}
		}
		b.deflated.add(h, p)
	}
	return &b.deflated
}

// keepParts is how many messages a batch keeps room for.
const keepParts = 4 << 10

// reset empties b for another round. What others still send, and what is large,
// goes back.
func (b *batch) reset() {
	putBlock(b.deflated.v)
	b.deflated.v = nil
	if b.plain.v.shared() || cap(b.plain.v.b) > maxBatch {
		putBlock(b.plain.v)
		b.plain.v = nil
	} else {
		b.plain.v.b = b.plain.v.b[:0]
	}
	if cap(b.parts) > keepParts {
		*b = batch{plain: frames{v: b.plain.v}}
		return
	}
	clear(b.parts)
	clear(b.senders)
	b.parts, b.senders = b.parts[:0], b.senders[:0]
	b.plain.ends, b.deflated.ends = b.plain.ends[:0], b.deflated.ends[:0]
}

package wsproto

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/rawio"
)

// On Linux a Server serves plain TCP from loops, one for each processor. A loop has
// an epoll instance and the connections in it. A goroutine, the loop's runner, waits
// for the instance as for any descriptor, so that no thread is spent, and gives a turn
// to one connection after another that has something to say. A turn reads once, calls
// the handlers for what is whole, and writes in one go what they gathered: User.turn.
//
// A handler may block: then the loop is handed on. While turns are taken a timer
// looks each millisecond whether one lasts, and if so gives the loop to another
// runner. The connection whose turn lasts is away: the loop only writes to it. The
// old runner finds that out when the turn is over, gives the connection back and ends.
//
// Only its turn reads a connection. Who sends to one writes at once, with outbox.mu
// held; what the socket does not take waits there, and epoll tells the loop when to go
// on. The descriptor is closed after a turn and nowhere else: who wants the end at
// once shuts the socket down, and that brings about a turn (Conn.cut).

// loops are the loops of a server. The zero value has none yet.
type loops struct {
	mu       sync.Mutex
	list     []*loop
	next     int // which gets the next connection
	over     bool
	runners  sync.WaitGroup
	timer    *time.Timer
	watching atomic.Bool // the timer runs
}

type loop struct {
	all  *loops
	file *os.File // the epoll instance
	raw  syscall.RawConn
	ep   int // its descriptor

	mu     sync.Mutex // held for moments, after outbox.mu where both are
	over   bool
	runner *runner
	seen   uint32  // its state when the timer last looked
	conns  []*Conn // by descriptor
}

// A runner is a goroutine that has a loop, or had it.
type runner struct {
	loop   *loop
	state  atomic.Uint32 // counts, odd in a turn; anything else: the loop was handed on
	count  uint32        // what state should be
	conn   *Conn         // whose turn it is
	paused []*Conn       // those that want a pause
	events []syscall.EpollEvent
	n      int
	buf    *block    // what a turn reads to
	head   wholeHead // for handshakes
}

// inLoop is what a Conn in a loop has.
type inLoop struct {
	loop    *loop // nil: the Conn is in none
	fd      int   // -1 once it was closed; guarded by outbox.mu
	owner   turner
	stopped bool   // input waits until the peer takes the answers that it got; of the turn
	away    bool   // its turn is not the loop's: guarded by loop.mu, as are the following
	want    uint32 // events that are of use
	events  uint32 // events that epoll tells of
}

// A turner is whose a Conn in a loop is.
type turner interface {
	turn(r *runner, events uint32) (goesOn, pause bool)
	pause() // after a turn that wants it, when those that came with it are over
	gone()  // the Conn is closed
}

// tick is how long a turn may last before the loop is handed on, or twice that.
const tick = time.Millisecond

const (
	epollIn  = syscall.EPOLLIN
	epollOut = syscall.EPOLLOUT
	epollET  = 1 << 31 // syscall.EPOLLET is negative
)

// pick returns the loop for another connection, nil if there is none to be had.
func (ls *loops) pick() *loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.over && len(ls.list) < runtime.GOMAXPROCS(0) {
		if l := ls.open(); l != nil {
			ls.list = append(ls.list, l)
		}
	}
	if len(ls.list) == 0 {
		return nil
	}
	ls.next++
	return ls.list[ls.next%len(ls.list)]
}

func (ls *loops) open() *loop {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	syscall.SetNonblock(ep, true)
	l := &loop{all: ls, ep: ep, file: os.NewFile(uintptr(ep), "epoll")}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil
	}
	if ls.timer == nil {
		ls.timer = time.AfterFunc(time.Hour, ls.look)
	}
	l.start(nil)
	return l
}

// close ends the loops, in which no connection is any more.
func (ls *loops) close() {
	ls.mu.Lock()
	ls.over = true
	list := ls.list
	ls.list = nil
	ls.mu.Unlock()
	for _, l := range list {
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
		l.file.Close()
	}
	ls.runners.Wait()
	if ls.timer != nil {
		ls.timer.Stop()
	}
}

// each calls f for every connection in the loops.
func (ls *loops) each(f func(c *Conn)) {
	ls.mu.Lock()
	list := slices.Clone(ls.list)
	ls.mu.Unlock()
	for _, l := range list {
		l.mu.Lock()
		conns := slices.Clone(l.conns)
		l.mu.Unlock()
		for _, c := range conns {
			if c != nil {
				f(c)
			}
		}
	}
}

// watch sees to it that the timer runs.
func (ls *loops) watch() {
	if !ls.watching.Load() && !ls.watching.Swap(true) {
		ls.timer.Reset(tick)
	}
}

// look hands on each loop whose turn is still that of the last look.
func (ls *loops) look() {
	ls.watching.Store(false) // first: a turn that begins after its loop was looked at starts the timer
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.list {
		l.mu.Lock()
		if now := l.runner.state.Load(); now != l.seen {
			l.seen = now
			ls.watch()
		} else if now&1 == 1 {
			l.handOn()
			ls.watch()
		}
		l.mu.Unlock()
	}
}

// handOn gives the loop to another runner, unless the turn is over. The caller holds
// mu.
func (l *loop) handOn() {
	r := l.runner
	now := r.state.Load()
	if l.over || now&1 == 0 || !r.state.CompareAndSwap(now, 0) {
		return
	}
	r.conn.away = true
	l.apply(r.conn)
	l.start(r.paused)
}

// yield hands the loop on because the turn of c is about to wait. The caller holds
// outbox.mu.
func (l *loop) yield(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.away {
		l.handOn()
	}
}

func (l *loop) start(paused []*Conn) {
	r := &runner{loop: l, count: 2, paused: paused, events: make([]syscall.EpollEvent, 128)}
	r.state.Store(r.count)
	l.runner = r
	l.all.runners.Go(r.run)
}

// add takes c in, whose fd and owner are set. If it is away its turn is the caller's
// until giveBack.
func (l *loop) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.want, c.events = epollIn, epollIn
	if c.away {
		c.events = epollET
	}
	event := syscall.EpollEvent{Events: c.events, Fd: int32(c.fd)}
	if l.over || syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, c.fd, &event) != nil {
		return false
	}
	if n := c.fd + 1 - len(l.conns); n > 0 {
		l.conns = append(l.conns, make([]*Conn, n)...)
	}
	l.conns[c.fd] = c
	return true
}

// remove takes c out, to be closed; false if it is not there any more.
func (l *loop) remove(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.has(c) {
		return false
	}
	l.conns[c.fd] = nil // with its descriptor epoll forgets it
	return true
}

func (l *loop) has(c *Conn) bool { return c.fd >= 0 && c.fd < len(l.conns) && l.conns[c.fd] == c }

// apply tells epoll which events are wanted of c. The caller holds mu.
func (l *loop) apply(c *Conn) {
	events := c.want
	if c.away {
		events = events&epollOut | epollET // an end that nobody looks at is told once
	}
	if events != c.events && l.has(c) {
		c.events = events
		syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: events, Fd: int32(c.fd)})
	}
}

// arm sets which events are wanted of c. The caller holds outbox.mu.
func (c *Conn) arm() {
	o := &c.out
	var want uint32
	if !o.deaf && !o.full.Load() {
		want = epollIn
	}
	if o.blocked {
		want |= epollOut
	}
	l := c.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.want != want {
		c.want = want
		l.apply(c)
	}
}

// giveBack ends a turn that was not the loop's.
func (l *loop) giveBack(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.away = false
	if c.stopped { // the peer may have taken the answers meanwhile
		c.want |= epollOut
	}
	l.apply(c)
}

// run gives turns until the loop is handed on or over.
func (r *runner) run() {
	r.buf = getBlock(readSize)
	defer putBlock(r.buf)
	exits := true
	defer func() {
		if exits {
			r.exit()
		}
	}()
	look := r.look
	for r.pauses() && r.loop.raw.Read(look) == nil {
		for _, e := range r.events[:r.n] {
			if !r.report(int(e.Fd), e.Events) {
				exits = false
				return
			}
		}
		runtime.Gosched() // else a loop that never waits has the processor until sysmon takes it, again and again
	}
	exits = false
}

// exit comes when a handler ended the goroutine, by runtime.Goexit: that ends the
// connection only.
func (r *runner) exit() {
	l := r.loop
	l.mu.Lock()
	l.handOn()
	l.mu.Unlock()
	r.conn.abort(errHandler)
	l.giveBack(r.conn)
}

// look asks epoll; false waits for it.
func (r *runner) look(ep uintptr) bool {
	for {
		n, err := syscall.EpollWait(int(ep), r.events, 0)
		if err != syscall.EINTR {
			r.n = max(n, 0)
			return n != 0
		}
	}
}

// report deals with what epoll said of a descriptor; false if the loop was handed on.
func (r *runner) report(fd int, events uint32) bool {
	l := r.loop
	l.mu.Lock()
	c := l.conns[fd] // nil, or another one, where another turn closed the one that was meant
	away := c != nil && c.away
	l.mu.Unlock()
	switch {
	case c == nil:
		return true
	case away:
		c.unblock()
		return true
	}
	r.begin(c)
	goesOn, pause := c.owner.turn(r, events)
	mine := r.end()
	switch {
	case !goesOn:
		c.close()
	case !mine:
		if pause {
			c.owner.pause()
		}
		l.giveBack(c)
	case pause:
		r.paused = append(r.paused, c)
	}
	return mine
}

// pauses makes the pauses that are due; false if the loop was handed on.
func (r *runner) pauses() bool {
	for len(r.paused) > 0 {
		c := r.paused[0]
		r.paused = r.paused[1:]
		r.begin(c)
		c.owner.pause()
		if !r.end() {
			r.loop.giveBack(c)
			return false
		}
	}
	r.paused = r.paused[:0]
	return true
}

// begin notes that the turn of c begins.
func (r *runner) begin(c *Conn) {
	r.conn = c
	r.count++
	r.state.Store(r.count)
	r.loop.all.watch()
}

// end reports whether the loop is still r's after a turn.
func (r *runner) end() bool {
	r.count++
	return r.state.CompareAndSwap(r.count-1, r.count)
}

// receive reads once: into the message itself when much of it is still to come, else
// into the runner's buffer; filled reports that there may be more.
func (c *Conn) receive(v *block) (filled bool, err error) {
	var dst []byte
	if len(c.p) == 0 {
		dst = c.asm.space()
	}
	n := 0
	if dst == nil {
		dst = v.b[:cap(v.b)]
		n = copy(dst, c.p)
		putBlock(c.in)
		c.in = nil
	}
	got, err := rawio.Read(uintptr(c.fd), dst[n:])
	c.took(dst, n, got)
	return n+got == len(dst), err
}

// stop ends a turn's handling of the input because the peer does not take the
// answers.
func (c *Conn) stop() { c.stopped = true }

// keep keeps what a turn leaves of the input: a part of a header, or all that came
// with a message whose answer the peer does not take.
func (c *Conn) keep() {
	if c.stopped {
		if c.in == nil {
			c.in = getBlock(len(c.p))
			c.in.b = append(c.in.b, c.p...)
			c.p = c.in.b
		}
		return
	}
	c.p = c.rest[:copy(c.rest[:], c.p)]
	putBlock(c.in)
	c.in = nil
	c.asm.release()
	c.lend()
}

// lend gives c's input to others if there is nothing in it that c will need.
func (c *Conn) lend() {
	if len(c.p) == 0 && !c.inFrame && c.asm.idle() {
		c.p, c.whole = nil, nil
		inputs.Put(c.input)
		c.input = nil
	}
}

// pump writes what the socket takes of what waits. The caller holds outbox.mu.
func (c *Conn) pump() error {
	o := &c.out
	if o.blocked && o.len() >= maxBatch && !o.full.Load() {
		o.full.Store(true)
		c.arm()
	}
	for o.err == nil && !o.blocked && o.len() > 0 {
		w := o.take()
		n, _ := c.writeNow(w.p)
		if n == len(w.p) || o.err != nil {
			putBlock(w.v)
			continue
		}
		o.ahead = slices.Insert(o.ahead, 0, piece{w.v, w.p[n:]})
		o.held += len(w.p) - n
		c.block()
	}
	return o.err
}

// writeNow writes what the socket takes of p. The caller holds outbox.mu.
func (c *Conn) writeNow(p []byte) (int, error) {
	o := &c.out
	n, err := rawio.Write(uintptr(c.fd), p)
	o.moved += n
	if err != nil {
		o.err = err
		o.drop()
		c.cut(err)
	}
	return n, err
}

// block lets the loop go on with what waits. The caller holds outbox.mu.
func (c *Conn) block() {
	o := &c.out
	o.blocked = true
	o.full.Store(o.len() >= maxBatch)
	if !o.stalling {
		o.moved = 0
	}
	if o.stall == nil {
		o.stall = time.AfterFunc(c.cfg.writeTimeout(), c.stalled)
	} else if !o.stalling {
		o.stall.Reset(c.cfg.writeTimeout())
	}
	o.stalling = true
	c.arm()
}

// unblock goes on with what waits.
func (c *Conn) unblock() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.blocked {
		return
	}
	o.blocked = false
	c.pump()
	if !o.blocked {
		o.moved = writeStride // what waits next has a time of its own
		o.full.Store(false)
		c.arm()
	}
	o.wake()
}

// stalled ends the connection of a peer that took less than writeStride of what waits in
// Config.WriteTimeout.
func (c *Conn) stalled() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !o.blocked || o.err != nil:
		o.stalling = false
	case o.moved >= writeStride:
		o.moved = 0
		o.stall.Reset(c.cfg.writeTimeout())
	default:
		c.cut(errStall)
	}
}

// sendInPlace sends the frame b, a part of what was received. The caller holds
// outbox.mu.
func (c *Conn) sendInPlace(h Header, b []byte) error {
	o := &c.out
	if err := c.pump(); err != nil {
		return err
	}
	if c.cfg.Tap != nil {
		c.cfg.Tap(false, h, nil)
	}
	if !o.blocked {
		n, err := c.writeNow(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	if len(b) == 0 {
		return nil
	}
	if v := c.asm.buf; v != nil && len(v.b) >= len(b) && &v.b[len(v.b)-len(b)] == &b[0] {
		o.push(v, b) // both hold it now
	} else {
		v := getBlock(len(b))
		v.b = append(v.b, b...)
		o.push(v, v.b)
		putBlock(v)
	}
	c.block()
	return nil
}

// cut makes the connection end with err, if nothing else ended it, by a turn that
// the socket's end brings about. The caller holds outbox.mu.
func (c *Conn) cut(err error) {
	c.dead.CompareAndSwap(nil, &err)
	if c.fd >= 0 {
		syscall.Shutdown(c.fd, syscall.SHUT_RDWR)
	}
	c.out.wake()
}

// close closes the connection, whose turn is over.
func (c *Conn) close() {
	c.stopTimers()
	o := &c.out
	o.mu.Lock()
	if c.loop.remove(c) {
		c.nc.Close()
	}
	c.fd = -1
	if o.err == nil {
		o.err = ErrClosed
	}
	o.drop()
	if o.stall != nil {
		o.stall.Stop()
	}
	o.wake()
	o.mu.Unlock()
	if c.input != nil {
		putBlock(c.in)
		c.asm.drop()
		c.input = nil
	}
	c.owner.gone()
}

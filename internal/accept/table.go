package accept

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStopped is what Table.Serve returns where the table was stopped before, and
// what a Deadlines says of a connection that others end.
var ErrStopped = errors.New("the server is stopped")

// A Member is a connection that a server looks after. Its methods return at once.
type Member interface {
	Stop() // ends it once it waits for its peer
	Kill() // ends it now, whatever it does
}

// A Table is what a server has to end: listeners and connections. Once stopped it
// stays so. The zero value is ready; methods may be called from several goroutines.
type Table struct {
	once     sync.Once
	ctx      context.Context // ends with Kill
	cancel   context.CancelFunc
	stopped  chan struct{} // closed by Stop
	gone     chan struct{} // closed when stopped, and nothing is accepted or served any more
	stopping atomic.Bool

	mu        sync.Mutex
	listeners map[*net.Listener]struct{} // each until its Accept fails
	members   map[Member]struct{}
	grace     *time.Timer // until Kill
	added     uint64
	over      bool // gone is closed
}

func (t *Table) init() {
	t.once.Do(func() {
		t.ctx, t.cancel = context.WithCancel(context.Background())
		t.stopped, t.gone = make(chan struct{}), make(chan struct{})
		t.listeners, t.members = map[*net.Listener]struct{}{}, map[Member]struct{}{}
	})
}

// Serve is the function Serve for a listener that Stop closes. It closes ln itself in
// any case.
func (t *Table) Serve(ln net.Listener, handle func(net.Conn), log func(error)) error {
	t.init()
	t.mu.Lock()
	stopping := t.stopping.Load()
	if !stopping {
		t.listeners[&ln] = struct{}{}
	}
	t.mu.Unlock()
	if stopping {
		ln.Close()
		return ErrStopped
	}
	return serve(ln, handle, log, func() { t.leave(&ln) })
}

func (t *Table) leave(ln *net.Listener) {
	(*ln).Close() // after an error of Accept
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.listeners, ln)
	t.checkGone()
}

func (t *Table) checkGone() {
	if t.over || !t.stopping.Load() || len(t.listeners)+len(t.members) > 0 {
		return
	}
	t.over = true
	if t.grace != nil {
		t.grace.Stop()
	}
	t.cancel()
	close(t.gone)
}

// Add notes m until Remove. Members are counted from 0: id. ok is false if the table
// was stopped before: then m has to be ended by who asks.
func (t *Table) Add(m Member) (id uint64, ok bool) {
	t.init()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping.Load() {
		return 0, false
	}
	t.members[m] = struct{}{}
	t.added++
	return t.added - 1, true
}

// Remove forgets m, whose connection is closed or somebody else's now. It may be
// called twice.
func (t *Table) Remove(m Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.members, m)
	t.checkGone()
}

// Members returns those there are at this moment, in no order.
func (t *Table) Members() []Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.members))
}

// Context ends with Kill, and when a stopped table has nothing left.
func (t *Table) Context() context.Context { t.init(); return t.ctx }

// Stopped returns a channel that Stop closes.
func (t *Table) Stopped() <-chan struct{} { t.init(); return t.stopped }

// Stopping reports whether Stop was called. It costs next to nothing.
func (t *Table) Stopping() bool { return t.stopping.Load() }

// Stop closes the listeners and asks every member to end.
func (t *Table) Stop() {
	t.init()
	t.mu.Lock()
	if t.stopping.Swap(true) {
		t.mu.Unlock()
		return
	}
	close(t.stopped)
	listeners := slices.Collect(maps.Keys(t.listeners))
	members := slices.Collect(maps.Keys(t.members))
	t.checkGone()
	t.mu.Unlock()

	// Close of a listener may wait for connections that it refuses.
	for _, m := range members {
		m.Stop()
	}
	for _, ln := range listeners {
		(*ln).Close()
	}
}

// Kill stops, ends the context and every member.
func (t *Table) Kill() {
	t.Stop()
	t.cancel()
	for _, m := range t.Members() {
		m.Kill()
	}
}

// KillAfter stops, and kills what is left after d.
func (t *Table) KillAfter(d time.Duration) {
	t.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grace == nil && !t.over {
		t.grace = time.AfterFunc(d, t.Kill)
	}
}

// Shutdown stops and waits until nothing is accepted or served any more. When ctx
// ends before that, it kills and returns the error of ctx.
func (t *Table) Shutdown(ctx context.Context) error {
	t.Stop()
	select {
	case <-t.gone:
		return nil
	case <-ctx.Done():
		t.Kill()
		return ctx.Err()
	}
}

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)

// Deadlines are those of a connection that others may end: a Member as it is. What
// Stop and Kill set is never replaced by a later one.
type Deadlines struct {
	net.Conn
	state atomic.Int32 // 1: stopped, 2: killed
}

// Stop ends a read that waits, and all that would.
func (d *Deadlines) Stop() {
	d.state.CompareAndSwap(0, 1)
	d.SetReadDeadline(past)
}

// Kill ends writes too.
func (d *Deadlines) Kill() {
	d.state.Store(2)
	d.SetDeadline(past)
}

// ReadBy sets the deadline of reads, zero for none. The error is ErrStopped.
func (d *Deadlines) ReadBy(by time.Time) error {
	d.SetReadDeadline(by)
	if d.state.Load() > 0 { // looked at after its deadline may have been replaced
		d.SetReadDeadline(past)
		return ErrStopped
	}
	return nil
}

// Stopped is ErrStopped after Stop or Kill: why a read met its deadline.
func (d *Deadlines) Stopped() error { return d.errorFrom(1) }

// Killed is ErrStopped after Kill, for rawio.Writing.Over.
func (d *Deadlines) Killed() error { return d.errorFrom(2) }

func (d *Deadlines) errorFrom(state int32) error {
	if d.state.Load() < state {
		return nil
	}
	return ErrStopped
}

// Handshake does the handshake of nc, where that is a connection of TLS.
func Handshake(ctx context.Context, nc net.Conn) error {
	if secure, ok := nc.(secure); ok {
		return secure.HandshakeContext(ctx)
	}
	return nil
}

// Proto is what the events of a connection have as proto where nothing but bytes is
// known of it: tls, unix or tcp.
func Proto(nc net.Conn) string {
	if _, ok := nc.(secure); ok {
		return "tls"
	}
	if a := nc.LocalAddr(); a != nil && a.Network() == "unix" {
		return "unix"
	}
	return "tcp"
}

// Peer is the name of an address in events and for people: "" for a client of a Unix
// socket that has none, which package net calls "@".
func Peer(a net.Addr) string {
	if a == nil || a.String() == "@" {
		return ""
	}
	return a.String()
}

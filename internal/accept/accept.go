// Package accept has what every server does with connections before it knows what
// they say: it accepts them, goes on after errors that pass, bounds how many are
// open, names them, ends them, and waits for what it started.
//
// A connection comes out of a listener, bounded by a Bound and perhaps with TLS on
// top, gets a goroutine from Table.Serve, and is noted in the Table until its end:
//
//	var table accept.Table
//	bound := accept.Bound{Max: 1024, Full: func() { log("as many connections as allowed") }}
//	go table.Serve(bound.Listen(ln), func(nc net.Conn) {
//		defer nc.Close()
//		c := &client{Deadlines: accept.Deadlines{Conn: nc}}
//		id, ok := table.Add(c)
//		if !ok {
//			return // it came as the server stopped
//		}
//		defer table.Remove(c)
//		c.serve(id, accept.Proto(nc), accept.Peer(nc.RemoteAddr()))
//	}, logError)
//	...
//	table.Shutdown(ctx) // Stop for each, Kill when ctx ends, and waits for both
//
// Deadlines is the Member of a connection whose reads and writes are plain; other
// members have a Stop and a Kill of their own.
package accept

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
	spell      = 5 * time.Second // without it ends a Spell

	maxRefusals = 16          // refused connections served at once
	refuseTime  = time.Second // what a refusal may take in all
)

// passing lists the errors of accept(2) that say something about this moment
// or about one client, not about the listener.
var passing = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR,
	10024, 10053, 10054, 10055, // Winsock's EMFILE, ECONNABORTED, ECONNRESET, ENOBUFS; no Unix counts that high
}

// Serve accepts connections of ln and runs handle for each on a goroutine of
// its own; handle closes what it is given. Serve returns when ln is closed (nil)
// or broken (its error), after every handle did. Errors that pass, such as too
// many open files, make it pause for 5 ms, then twice that and so on up to 1 s,
// until a connection comes; log, unless nil, is called for the first of a row.
//
// A handle that panics ends its connection, and log is told.
func Serve(ln net.Listener, handle func(net.Conn), log func(error)) error {
	return serve(ln, handle, log, func() {})
}

// spareTime is for how long a goroutine waits for another connection. A new one has to
// grow its stack, which costs as much as half of a short request.
const spareTime = 100 * time.Millisecond

// serve is Serve that calls over when it accepts no more.
func serve(ln net.Listener, handle func(net.Conn), log func(error), over func()) error {
	var handlers sync.WaitGroup
	next := make(chan net.Conn)
	defer handlers.Wait()
	defer close(next)
	defer over()
	return Each(ln, func(c net.Conn) {
		select {
		case next <- c:
		default:
			handlers.Go(func() { handleEach(c, next, handle, log) })
		}
	}, log)
}

// handleEach handles c, and those that come by next until none does.
func handleEach(c net.Conn, next <-chan net.Conn, handle func(net.Conn), log func(error)) {
	spare := time.NewTimer(spareTime)
	defer spare.Stop()
	for ok := true; ok; {
		run(handle, c, log)
		spare.Reset(spareTime)
		select {
		case c, ok = <-next:
		case <-spare.C:
			return
		}
	}
}

// run calls handle for c.
func run(handle func(net.Conn), c net.Conn, log func(error)) {
	err := Guard(func() error { handle(c); return nil })
	if err == nil {
		return
	}
	c.Close()
	if log != nil {
		log(fmt.Errorf("%v: %w", c.RemoteAddr(), err))
	}
}

// A PanicError is a panic as the error that ends a connection.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Guard returns what f does, or a *PanicError: what goes wrong with one connection is
// the end of that one.
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return f()
}

// Each is Serve for a take that returns soon: it is called for one connection after
// another.
func Each(ln net.Listener, take func(net.Conn), log func(error)) error {
	var pause time.Duration
	var failing Spell
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			take(c)
		case errors.Is(err, net.ErrClosed):
			return nil
		case !passes(err):
			return err
		default:
			if failing.Begins() && log != nil {
				log(err)
			}
			pause = min(max(2*pause, firstPause), maxPause)
			time.Sleep(pause)
		}
	}
}

// A Spell is a time in which something happens again and again, and is told when it
// begins. The zero value is none.
type Spell struct{ last time.Time }

// Begins notes that it happens, and reports whether it had not for 5 s.
func (s *Spell) Begins() bool {
	now := time.Now()
	begins := now.Sub(s.last) >= spell
	s.last = now
	return begins
}

func passes(err error) bool {
	no, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(passing, no)
}

// A Bound is how many connections may be open at once, of all the listeners it is
// given. Its fields are set before and not changed later.
//
// A connection gives its place back with its first Close. Those beyond the bound
// never come out of Accept: they are given to Refuse, which has one second and need
// not close them, or are closed at once where Refuse is nil or 16 refusals are under
// way. Close of a listener waits for its refusals.
//
// The connections keep the methods of *net.TCPConn or *net.UnixConn (ReadFrom,
// CloseWrite, SyscallConn) where they are such, CloseWrite, NetConn and
// HandshakeContext where they are of TLS, and CloseWrite and SetLinger where they have
// both.
type Bound struct {
	Max    int            // <= 0: no bound
	Refuse func(net.Conn) // nil: they are closed
	Full   func()         // called for the first that is turned away, and again after 5 s without one; nil: nobody is told

	open, turnedAway atomic.Int64
	mu               sync.Mutex
	full             Spell
}

// TurnedAway is the number of connections that were beyond the bound.
func (b *Bound) TurnedAway() int64 { return b.turnedAway.Load() }

// Listen returns a listener of the connections of ln within the bound.
func (b *Bound) Listen(ln net.Listener) net.Listener {
	if b.Max <= 0 {
		return ln
	}
	return &bounded{Listener: ln, Bound: b, refusals: make(chan struct{}, maxRefusals), giveBack: func() { b.open.Add(-1) }}
}

// Limit is Listen of a Bound of which no more is asked.
func Limit(ln net.Listener, max int, refuse func(net.Conn)) net.Listener {
	return (&Bound{Max: max, Refuse: refuse}).Listen(ln)
}

type bounded struct {
	net.Listener
	*Bound
	refusals chan struct{} // holds one element for each refusal under way
	giveBack func()        // a place
	once     sync.Once
}

func (l *bounded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= int64(l.Max) {
			return wrap(c, l.giveBack), nil
		}
		l.open.Add(-1)
		l.count()
		l.turnAway(c)
	}
}

// count notes one that is turned away.
func (b *Bound) count() {
	b.turnedAway.Add(1)
	b.mu.Lock()
	begins := b.full.Begins()
	b.mu.Unlock()
	if begins && b.Full != nil {
		b.Full()
	}
}

// Close closes the listener and returns when no refusal is under way.
func (l *bounded) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		for range maxRefusals { // and keeps the places, so that none begins
			l.refusals <- struct{}{}
		}
	})
	return err
}

func (l *bounded) turnAway(c net.Conn) {
	if l.Refuse == nil {
		c.Close()
		return
	}
	select {
	case l.refusals <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-l.refusals }()
		defer c.Close()
		c.SetDeadline(time.Now().Add(refuseTime))
		l.Refuse(c)
	}()
}

// wrap returns c with its methods; then is called by the first Close.
func wrap(c net.Conn, then func()) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: c, place: place{then: then}}
	case *net.UnixConn:
		return &unixConn{UnixConn: c, place: place{then: then}}
	case wrapped: // by another Bound
		c.andThen(then)
		return c
	case socket:
		return &socketConn{socket: c, place: place{then: then}}
	case secure:
		return &secureConn{secure: c, place: place{then: then}}
	}
	other := &otherConn{Conn: c, place: place{then: then}}
	if s, ok := c.(sided); ok {
		return &sidedConn{other, s}
	}
	return other
}

// One returns a listener of one connection, which was there before. After that Accept
// waits until it is closed; then the listener is closed too.
func One(c net.Conn) net.Listener {
	l := &one{addr: c.LocalAddr(), ready: make(chan net.Conn, 1), over: make(chan struct{})}
	l.ready <- wrap(c, func() { l.Close() })
	return l
}

type one struct {
	addr  net.Addr
	ready chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	default:
	}
	<-l.over
	return nil, net.ErrClosed
}

func (l *one) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *one) Addr() net.Addr { return l.addr }

type wrapped interface {
	net.Conn
	andThen(func())
}

// secure is a connection of TLS.
type secure interface {
	net.Conn
	CloseWrite() error
	NetConn() net.Conn
	HandshakeContext(context.Context) error
}

// socket is a connection of TCP that package net does not know yet: a *rawio.Sock.
type socket interface {
	sided
	net.Conn
	syscall.Conn
	io.ReaderFrom
}

// sided is what others have of a TCP connection that they are made of.
type sided interface {
	CloseWrite() error
	SetLinger(sec int) error
}

// A place is one of the max connections.
type place struct {
	then  func() // gives it back
	given atomic.Bool
	name  net.Addr // what a PROXY header says of the client; nil: nothing
}

func (p *place) giveBack() {
	if p.given.CompareAndSwap(false, true) {
		p.then()
	}
}

// andThen has another place given back too.
func (p *place) andThen(then func()) {
	first := p.then
	p.then = func() { first(); then() }
}

// setName is called before anybody else has the connection.
func (p *place) setName(a net.Addr) { p.name = a }

// remote is the address of the client of c.
func (p *place) remote(c net.Conn) net.Addr {
	if p.name != nil {
		return p.name
	}
	return c.RemoteAddr()
}

type tcpConn struct {
	*net.TCPConn
	place
}

type unixConn struct {
	*net.UnixConn
	place
}

type socketConn struct {
	socket
	place
}

type secureConn struct {
	secure
	place place
}

type otherConn struct {
	net.Conn
	place
}

type sidedConn struct {
	*otherConn
	sided
}

func (c *tcpConn) Close() error {
	defer c.place.giveBack()
	return c.TCPConn.Close()
}

func (c *unixConn) Close() error {
	defer c.place.giveBack()
	return c.UnixConn.Close()
}

func (c *socketConn) Close() error {
	defer c.place.giveBack()
	return c.socket.Close()
}

func (c *secureConn) Close() error {
	defer c.place.giveBack()
	return c.secure.Close()
}

func (c *otherConn) Close() error {
	defer c.place.giveBack()
	return c.Conn.Close()
}

func (c *tcpConn) RemoteAddr() net.Addr    { return c.remote(c.TCPConn) }
func (c *unixConn) RemoteAddr() net.Addr   { return c.remote(c.UnixConn) }
func (c *otherConn) RemoteAddr() net.Addr  { return c.remote(c.Conn) }
func (c *socketConn) RemoteAddr() net.Addr { return c.remote(c.socket) }

// Socket returns the connection that Limit was given, which package net knows as its
// own: between two of them the system moves bytes itself. Close is the outer one's.
func (c *tcpConn) Socket() net.Conn  { return c.TCPConn }
func (c *unixConn) Socket() net.Conn { return c.UnixConn }

// Inner returns the connection that Limit was given.
func (c *otherConn) Inner() net.Conn  { return c.Conn }
func (c *socketConn) Inner() net.Conn { return c.socket }

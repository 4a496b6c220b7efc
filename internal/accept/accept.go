// Package accept runs the accept loops of servers: it goes on after errors
// that pass, waits for what it started, and bounds how many connections are
// open at once.
package accept

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
	spell      = 5 * time.Second // without an error ends a spell of them

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
func Serve(ln net.Listener, handle func(net.Conn), log func(error)) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	var pause time.Duration
	var last time.Time // of an error that passed
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			handlers.Go(func() { handle(c) })
		case errors.Is(err, net.ErrClosed):
			return nil
		case !passes(err):
			return err
		default:
			if log != nil && time.Since(last) >= spell {
				log(err)
			}
			last = time.Now()
			pause = min(max(2*pause, firstPause), maxPause)
			time.Sleep(pause)
		}
	}
}

func passes(err error) bool {
	no, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(passing, no)
}

// Limit bounds the connections of ln that are open at once; max <= 0 means no
// bound. A connection gives its place back with its first Close. Those beyond the
// bound never come out of Accept: they are given to refuse, which has one second
// and need not close them, or are closed at once where refuse is nil or 16
// refusals are under way. Close of the listener waits for the refusals.
//
// The connections keep the methods of *net.TCPConn or *net.UnixConn (ReadFrom,
// CloseWrite, SyscallConn) where they are such.
func Limit(ln net.Listener, max int, refuse func(net.Conn)) net.Listener {
	if max <= 0 {
		return ln
	}
	return &limited{Listener: ln, max: int64(max), refuse: refuse, refusals: make(chan struct{}, maxRefusals)}
}

type limited struct {
	net.Listener
	max      int64
	open     atomic.Int64
	refuse   func(net.Conn)
	refusals chan struct{} // holds one element for each refusal under way
	once     sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.max {
			return l.wrap(c), nil
		}
		l.open.Add(-1)
		l.turnAway(c)
	}
}

// Close closes the listener and returns when no refusal is under way.
func (l *limited) Close() error {
	err := l.Listener.Close()
	l.once.Do(func() {
		for range maxRefusals { // and keeps the places, so that none begins
			l.refusals <- struct{}{}
		}
	})
	return err
}

func (l *limited) turnAway(c net.Conn) {
	if l.refuse == nil {
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
		l.refuse(c)
	}()
}

func (l *limited) wrap(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: c, place: place{open: &l.open}}
	case *net.UnixConn:
		return &unixConn{UnixConn: c, place: place{open: &l.open}}
	}
	return &otherConn{Conn: c, place: place{open: &l.open}}
}

// A place is one of the max connections.
type place struct {
	open  *atomic.Int64
	given atomic.Bool
}

func (p *place) giveBack() {
	if p.given.CompareAndSwap(false, true) {
		p.open.Add(-1)
	}
}

type tcpConn struct {
	*net.TCPConn
	place place
}

type unixConn struct {
	*net.UnixConn
	place place
}

type otherConn struct {
	net.Conn
	place place
}

func (c *tcpConn) Close() error {
	defer c.place.giveBack()
	return c.TCPConn.Close()
}

func (c *unixConn) Close() error {
	defer c.place.giveBack()
	return c.UnixConn.Close()
}

func (c *otherConn) Close() error {
	defer c.place.giveBack()
	return c.Conn.Close()
}

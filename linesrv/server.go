package linesrv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
)

// What a handler returns to ask for something. Wrapped ones count.
var (
	ErrDisconnect = errors.New("disconnect") // end this connection
	ErrShutdown   = errors.New("shutdown")   // end the server
)

// Why a connection ended, beside io.EOF, ErrDisconnect, ErrShutdown, what its handler
// returned, and a *ProtocolError: ErrLineTooLong, or ErrHTTP where LooksLikeHTTP says
// so of the first line, which gets no answer.
var (
	ErrIdle  = errors.New("no command came in time")
	ErrReset = errors.New("connection lost while a handler ran")
)

// A PanicError is what OnDisconnect gets when the handler panicked.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // of debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

const (
	defaultWriteTimeout = 30 * time.Second
	defaultTurnTimeout  = 60 * time.Second
	defaultGrace        = 3 * time.Second
	handshakeTimeout    = 10 * time.Second
)

// A Server answers line commands. The zero value answers "ping", "disconnect" and
// "shutdown", and everything else as Unknown does. Fields are not changed once
// Serve was called.
//
// A handler and the hooks run on the goroutine of their connection: one at a time
// for each client, at the same time for several.
type Server struct {
	// Handler answers a command that is not built in, by any number of Send and
	// SendString. ErrDisconnect and ErrShutdown do what they say; any other error,
	// and a panic, answers "error internal" and ends that connection. nil is Unknown.
	Handler func(c *Conn, cmd Command) error

	OneAtATime bool // the next client waits until the one before has gone
	MaxLine    int  // in bytes before the LF; 0 means DefaultMaxLine. A longer line answers "invalid" and ends its connection
	KeepCR     bool // a CR before the LF belongs to the command: "ping\r" is not "ping"

	NoShutdown    bool // "shutdown" answers "denied"
	LocalShutdown bool // "shutdown" answers "denied" unless it comes by the loopback interface or a Unix socket

	IdleTimeout  time.Duration // from one whole line to the next; 0 means no limit
	TurnTimeout  time.Duration // with OneAtATime, for a whole line while another client waits, and up to twice that; 0 means 60 s, negative no limit
	WriteTimeout time.Duration // for the client to take the next 64 KiB; 0 means 30 s
	Grace        time.Duration // for running handlers after a "shutdown", then their context ends; 0 means 3 s

	OnConnect    func(c *Conn)
	OnCommand    func(c *Conn, cmd Command)   // built-in ones too, before they are carried out
	OnSend       func(c *Conn, packet []byte) // each answer, without its LF
	OnDisconnect func(c *Conn, reason error)  // after OnConnect, once: io.EOF, ErrDisconnect, ErrShutdown or what went wrong

	// ErrorLog is told of errors of Accept that pass, once for each spell, and of a TLS
	// handshake. It is called from several goroutines.
	ErrorLog func(error)

	crew accept.Table
	turn turn
}

// Unknown is the handler of a Server that has none: it answers "invalid" to what
// is not UTF-8 and "nak - unknown cmd" to the rest.
func Unknown(c *Conn, cmd Command) error {
	if cmd.Invalid {
		return c.SendString("invalid")
	}
	return c.SendString("nak - unknown cmd")
}

// Serve serves the connections of ln until Shutdown, Close, a "shutdown", or the
// end of ln, and returns when all of them are done: nil, or the error that broke
// ln. It may be called for several listeners. It closes ln. A stopped server stays
// so: ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	if s.OneAtATime {
		s.turn.init(s.TurnTimeout)
		ln = &gate{Listener: ln, server: s}
	}
	return serve(&s.crew, ln, s.serveConn, s.report)
}

// ErrServerClosed is what Serve returns when the server was shut down before.
var ErrServerClosed = errors.New("linesrv: the server was shut down")

func serve(t *accept.Table, ln net.Listener, handle func(net.Conn), log func(error)) error {
	err := t.Serve(ln, handle, log)
	if err == accept.ErrStopped {
		return ErrServerClosed
	}
	return err
}

func (s *Server) report(err error) {
	if s.ErrorLog != nil {
		s.ErrorLog(err)
	}
}

// Shutdown closes the listeners, ends the connections that wait for a command at
// once and the others after the command they are in. It returns when Serve has
// nothing left to do. When ctx ends before that, Shutdown does what Close does and
// returns the error of ctx. Not to be called by a handler, which it would wait for:
// that is what ErrShutdown is for.
func (s *Server) Shutdown(ctx context.Context) error { return s.crew.Shutdown(ctx) }

// Close ends everything now: listeners, connections, the context of handlers. It
// does not wait for handlers; Serve does. The error is nil.
func (s *Server) Close() error {
	s.crew.Kill()
	return nil
}

// serveConn owns nc.
func (s *Server) serveConn(nc net.Conn) {
	c := newConn(s, nc)
	defer s.crew.Remove((*member)(c)) // at the end: Shutdown waits for it
	defer nc.Close()
	defer c.leaveTurn()
	id, ok := s.crew.Add((*member)(c))
	if !ok {
		return
	}
	c.id = id
	defer c.cancel()
	if err := c.handshake(); err != nil {
		s.report(fmt.Errorf("handshake with %v: %w", nc.RemoteAddr(), err))
		return
	}
	if s.OnConnect != nil {
		s.OnConnect(c)
	}
	reason := c.finish(c.run())
	if c.endAll {
		s.crew.KillAfter(orDefault(s.Grace, defaultGrace))
	}
	if s.OnDisconnect != nil {
		s.OnDisconnect(c, reason)
	}
	c.leaveTurn()
	c.linger()
}

// mayShutdown reports whether the client of c may end the server.
func (s *Server) mayShutdown(c *Conn) bool {
	return !s.NoShutdown && (!s.LocalShutdown || isLocal(c.RemoteAddr()))
}

// isLocal reports whether a is a loopback address. Those that are not of the
// Internet are as good.
func isLocal(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return true
	}
	ip, _ := netip.AddrFromSlice(t.IP)
	return ip.Unmap().IsLoopback()
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// A gate lets one client in at a time. Those that wait have been accepted, in their
// order: what the system still has in its queue is reset when the listener is closed.
type gate struct {
	net.Listener
	server  *Server
	waiting chan net.Conn // closed when no more come; nil before the first Accept
	err     error         // of the listener, set before waiting is closed
}

// maxWaiting clients are accepted before their turn.
const maxWaiting = 1024

func (g *gate) Accept() (net.Conn, error) {
	if g.waiting == nil {
		g.waiting = make(chan net.Conn, maxWaiting)
		go g.fill()
	}
	nc, ok := <-g.waiting
	if ok && g.server.turn.take(g.server.crew.Stopped()) {
		return nc, nil
	}
	var refusals sync.WaitGroup
	for ; ok; nc, ok = <-g.waiting {
		vain := nc
		refusals.Go(func() { g.refuse(vain) })
	}
	refusals.Wait()
	return nil, cmp.Or(g.err, net.ErrClosed)
}

func (g *gate) fill() {
	g.err = accept.Each(g.Listener, func(nc net.Conn) { g.waiting <- nc }, g.server.report)
	close(g.waiting)
}

// refuse ends a client that waited in vain so that it sees an end, not a reset.
func (g *gate) refuse(nc net.Conn) {
	defer nc.Close()
	if secure, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS has not begun
		nc = secure.NetConn()
	}
	nc.SetDeadline(time.Now().Add(lingerTime))
	defer context.AfterFunc(g.server.crew.Context(), func() { nc.SetDeadline(past) })()
	drain(nc, make([]byte, plainSize))
}

// A turn is the right to be served of a server that serves one at a time.
type turn struct {
	once    sync.Once
	place   chan struct{} // holds one element while the turn is taken
	holder  atomic.Pointer[Conn]
	timeout time.Duration
}

func (t *turn) init(timeout time.Duration) {
	t.once.Do(func() {
		t.place = make(chan struct{}, 1)
		t.timeout = orDefault(timeout, defaultTurnTimeout)
	})
}

// take waits for the turn, and sees to it that who has it uses it. It reports
// false when stopped is closed before.
func (t *turn) take(stopped <-chan struct{}) bool {
	var tick <-chan time.Time
	if t.timeout > 0 {
		ticker := time.NewTicker(t.timeout)
		defer ticker.Stop()
		tick = ticker.C
	}
	holder, seen := t.look()
	for {
		select {
		case t.place <- struct{}{}:
			return true
		case <-stopped:
			return false
		case <-tick:
			h, now := t.look()
			if h == holder && now == seen && h != nil && now%2 == 0 {
				h.end(endIdle)
			}
			holder, seen = h, now
		}
	}
}

// look returns who has the turn and how often he began or ended to carry out
// commands: even while he is waited for.
func (t *turn) look() (*Conn, uint32) {
	h := t.holder.Load()
	if h == nil {
		return nil, 0
	}
	return h, h.steps.Load()
}

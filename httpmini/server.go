package httpmini

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
)

// A Handler answers the request of an exchange with Respond or Send, once, or
// takes the connection with Hijack or Takeover. The exchange and its request body
// are valid until it returns. Where it returns without an answer, the server
// gives the one that an error of the request's body asks for, else 500.
type Handler func(x *Exchange)

// A Server answers the requests of connections, those of each one in their
// order. Its fields are set before the first use and not changed later. Methods
// may be called from several goroutines.
type Server struct {
	Handler Handler // nil answers 404
	Limits  Limits

	HeadTimeout  time.Duration // for a whole head, and from the start to the end of the first one; 0 means 10 s
	IdleTimeout  time.Duration // from an answer to the first byte of the next request; 0 means 60 s
	BodyTimeout  time.Duration // between two bytes of a request's body; 0 means 30 s
	WriteTimeout time.Duration // for each 256 KiB of an answer, or what there is of it; 0 means 30 s

	// Log is told at most once why a connection ended other than politely: an
	// *Error, a *PanicError or an I/O error, wrapped with the peer's address. It is
	// called from several goroutines. An idle connection that ends is polite.
	Log func(error)

	closing atomic.Bool
	mu      sync.Mutex
	conns   map[*conn]struct{}
	done    chan struct{} // closed when the last of conns is gone while closing
}

// PanicError reports that a Handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v\n%s", e.Value, e.Stack) }

// Serve serves the connections of ln until ln is closed, and returns when the
// last of them ended.
func (s *Server) Serve(ln net.Listener) error {
	return accept.Serve(ln, s.ServeConn, s.Log)
}

// ServeConn serves the requests of one connection and closes it. It returns
// when the connection ended or, where a handler took it, when the handler or what
// it gave to Takeover returned; then the connection is theirs to close.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	if !s.track(c) {
		c.end()
		return
	}
	c.serve()
	s.untrack(c)
	if f := c.x.takeover; f != nil {
		buffered := c.x.buffered
		c.x = Exchange{} // what the handler used is garbage while f runs
		f(nc, buffered)
	}
}

// Shutdown ends the connections: those that wait for a request at once, the
// others with their next answer. It returns when all are gone, or closes them and
// returns the context's error. Connections that a handler took are not concerned.
// New ones are closed as they come.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing.Store(true)
	for c := range s.conns {
		if c.waiting.Load() {
			c.nc.SetReadDeadline(time.Unix(1, 0))
		}
	}
	if s.done == nil {
		s.done = make(chan struct{})
		if len(s.conns) == 0 {
			close(s.done)
		}
	}
	done := s.done
	s.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.nc.Close()
	}
	return ctx.Err()
}

// track takes c in, unless the server is shutting down.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.done != nil && len(s.conns) == 0 {
		close(s.done)
	}
}

const (
	drainLimit  = 64 << 10    // of a body that its handler left, so that the connection can go on
	lingerLimit = 4 << 20     // of what a peer still sends after the last answer
	lingerTime  = time.Second // likewise
	gatherLimit = 16 << 10    // of answers that wait for the requests that came with theirs
	writePiece  = 256 << 10   // has WriteTimeout to leave
	slack       = time.Second // a deadline may be this much too early: setting one costs as much as parsing a head
)

// Refuse answers 503 with Retry-After: 1 and closes the connection. It is meant
// for accept loops that are full, and takes a second or two at the most.
func Refuse(nc net.Conn) {
	c := newConn(&Server{WriteTimeout: lingerTime}, nc)
	c.x = Exchange{c: c, close: true}
	c.x.Respond(503, Header{{"Retry-After", "1"}}, nil)
	c.lingers = true
	c.end()
}

// phase is what a conn reads next.
type phase uint8

const (
	idle  phase = iota // the first byte of a request
	head               // the rest of its head
	body_              // its body
	taken              // whatever its new owner likes
)

// A conn is a connection while it is served.
type conn struct {
	s   *Server
	nc  net.Conn
	br  *bufio.Reader // reads from the conn itself: see Read
	out *buffer       // answers that are not sent yet

	phase   phase
	waiting atomic.Bool // in phase idle: Shutdown may end it
	headBy  time.Time   // deadline of the head; zero until its second read

	readBy, writeBy time.Time // the deadlines in force
	broken          error     // why the answers cannot go on
	lingers, logged bool

	x Exchange
}

// A buffer is a byte slice that can be pooled.
type buffer struct{ b []byte }

var (
	readers = newPool(func() *bufio.Reader { return bufio.NewReaderSize(nil, 4<<10) })
	buffers = newPool(func() *buffer { return &buffer{make([]byte, 0, 4<<10)} })
	streams = newPool(func() *[32 << 10]byte { return new([32 << 10]byte) })
)

// errIdle ends a connection without a word.
var errIdle = errors.New("idle")

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, br: readers.get(), out: buffers.get()}
	c.br.Reset(c)
	return c
}

func (c *conn) serve() {
	c.headBy = time.Now().Add(cmp.Or(c.s.HeadTimeout, 10*time.Second))
	for c.exchange() {
		c.headBy = time.Time{}
		c.phase = idle
		if c.br.Buffered() > 0 {
			c.phase = head
		}
	}
	if c.phase != taken {
		c.end()
	}
}

// exchange serves one request and reports whether another may follow.
func (c *conn) exchange() bool {
	r, err := ReadRequest(c.br, c.s.Limits)
	if err != nil {
		c.x = Exchange{}
		c.fail(err)
		return false
	}
	c.phase = body_
	c.x = Exchange{Request: r, c: c}
	x := &c.x
	x.body, _ = r.Body.(*body)
	x.close = r.Method == "CONNECT" || !r.KeepAlive() || c.s.closing.Load()
	if expect := r.Header.Get("Expect"); expect != "" && r.Minor > 0 {
		if !equalFold(expect, "100-continue") {
			c.fail(&Error{417, ErrExpect})
			return false
		}
		x.expect = x.body != nil
	}
	c.handle(x)
	if c.phase == taken {
		return false
	}
	if !x.answered {
		c.fail(x.failure())
		return false
	}
	if err := cmp.Or(c.broken, x.bodyError()); err != nil {
		c.log(err)
	}
	c.lingers = x.close
	return !x.close && c.broken == nil && c.drain(x.body)
}

// handle runs the handler. A panic ends this client only.
func (c *conn) handle(x *Exchange) {
	defer func() {
		if v := recover(); v != nil {
			err := &PanicError{v, debug.Stack()}
			c.log(err)
			x.close = true
			switch {
			case c.phase == taken:
				c.nc.Close()
				x.takeover = nil
			case x.answered && !x.whole:
				c.broken = err
			}
		}
	}()
	if c.s.Handler == nil {
		x.Respond(404, nil, nil)
		return
	}
	c.s.Handler(x)
}

// drain reads the rest of a body, so that the next request can be found; Respond
// and Send saw to it that it is short.
func (c *conn) drain(b *body) bool {
	if b == nil || b.err == io.EOF {
		return true
	}
	_, err := c.br.Discard(int(b.left))
	if err != nil {
		c.log(err)
	}
	return err == nil
}

// fail answers what can be answered to err, as the last thing.
func (c *conn) fail(err error) {
	if err != io.EOF && err != errIdle {
		c.log(err)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	x := &c.x
	*x = Exchange{c: c, Request: x.Request, close: true}
	text := StatusText(e.Status) + ": " + e.Err.Error() + "\n"
	x.Respond(e.Status, Header{{"Content-Type", "text/plain; charset=utf-8"}}, []byte(text))
	c.lingers = true
}

func (c *conn) log(err error) {
	if c.logged || c.s.Log == nil {
		return
	}
	c.logged = true
	c.s.Log(fmt.Errorf("%v: %w", c.nc.RemoteAddr(), err))
}

// end sends what is to be sent and closes the connection so that it arrives: to
// close while the peer still sends would reset it, and the peer could lose the
// answer (RFC 9112 §9.6).
func (c *conn) end() {
	c.flush()
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok && c.lingers && c.broken == nil {
		half.CloseWrite()
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		c.br.Reset(c.nc)
		c.br.Discard(lingerLimit)
	}
	if c.broken != nil {
		c.reset()
	}
	c.nc.Close()
	c.release()
}

// reset makes Close tell the peer that what it got is not whole, and drop what
// it does not read.
func (c *conn) reset() {
	if tcp, ok := c.nc.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
}

// release gives the buffers back.
func (c *conn) release() {
	if c.br != nil {
		c.br.Reset(nil)
		readers.put(c.br)
		c.br = nil
	}
	if cap(c.out.b) <= 2*gatherLimit {
		c.out.b = c.out.b[:0]
		buffers.put(c.out)
	}
	c.out = nil
}

// Read is where all bytes of the connection come from, so it is where gathered
// answers leave (the peer may wait for them), where deadlines are set, and where
// the peer is told to go on with its body.
func (c *conn) Read(p []byte) (int, error) {
	if c.phase == taken {
		return c.nc.Read(p)
	}
	if c.phase == body_ && c.x.expect {
		c.x.expect = false
		if !c.x.answered {
			c.out.b = append(c.out.b, "HTTP/1.1 100 Continue\r\n\r\n"...)
		}
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	c.setReadDeadline()
	if c.phase == idle {
		c.waiting.Store(true)
		if c.s.closing.Load() { // Shutdown may have looked before we waited
			return 0, errIdle
		}
	}
	n, err := c.nc.Read(p)
	c.waiting.Store(false)
	if err != nil {
		return n, c.readError(err)
	}
	if c.phase == idle && n > 0 {
		c.phase = head
	}
	return n, nil
}

func (c *conn) setReadDeadline() {
	now := time.Now()
	by := c.headBy
	switch {
	case c.phase == body_:
		by = now.Add(cmp.Or(c.s.BodyTimeout, 30*time.Second))
	case !by.IsZero():
	case c.phase == idle:
		by = now.Add(cmp.Or(c.s.IdleTimeout, 60*time.Second))
	default:
		by = now.Add(cmp.Or(c.s.HeadTimeout, 10*time.Second))
		c.headBy = by
	}
	if early := by.Sub(c.readBy); early < 0 || early >= slack {
		c.readBy = by
		c.nc.SetReadDeadline(by)
	}
}

func (c *conn) readError(err error) error {
	switch {
	case c.phase == idle && err != io.EOF:
		return errIdle
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{408, os.ErrDeadlineExceeded}
	}
	return err
}

// flush sends the gathered answers.
func (c *conn) flush() error {
	if len(c.out.b) == 0 {
		return c.broken
	}
	err := c.write(c.out.b)
	c.out.b = c.out.b[:0]
	return err
}

// write sends p. After the first failure it does nothing.
func (c *conn) write(p []byte) error {
	for len(p) > 0 && c.broken == nil {
		c.setWriteDeadline()
		n := min(len(p), writePiece)
		_, c.broken = c.nc.Write(p[:n])
		p = p[n:]
	}
	return c.broken
}

func (c *conn) setWriteDeadline() {
	by := time.Now().Add(cmp.Or(c.s.WriteTimeout, 30*time.Second))
	if by.Sub(c.writeBy) >= slack {
		c.writeBy = by
		c.nc.SetWriteDeadline(by)
	}
}

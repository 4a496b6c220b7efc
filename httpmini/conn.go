package httpmini

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/rawio"
)

const (
	drainLimit  = 64 << 10    // of a body that its handler left, so that the connection can go on
	lingerLimit = 4 << 20     // of what a peer still sends after the last answer
	lingerTime  = time.Second // likewise
	gatherLimit = 16 << 10    // of answers that wait for the requests that came with theirs
	writePiece  = 256 << 10   // has WriteTimeout to leave
	sendPiece   = 4 << 20     // goes to the kernel in one call
	slack       = 32          // a timeout may be short by this part of it: to set a deadline costs as much as to parse a head
)

// A phase is what a conn reads next.
type phase uint8

const (
	atRequest phase = iota // its first byte
	atHead                 // the rest of the head
	atBody                 // the body
	taken                  // whatever its new owner likes
)

// A conn is a connection while it is served.
type conn struct {
	s   *Server
	nc  net.Conn
	br  *bufio.Reader // reads from the conn itself: see Read
	out *buffer       // answers that are not sent yet; nil where none was begun

	raw     syscall.RawConn // nil where next cannot use it
	tryRead func(fd uintptr) bool
	fd      uintptr // while in tryRead, else notFD
	readErr error   // of tryRead

	phase   phase
	waiting atomic.Bool // in phase atRequest: Shutdown may end it
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

const notFD = ^uintptr(0)

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, fd: notFD}
	if c.raw = rawio.Socket(nc); c.raw != nil {
		c.tryRead = c.readRaw
	}
	c.acquire()
	return c
}

func (c *conn) serve() {
	c.headBy = time.Now().Add(cmp.Or(c.s.HeadTimeout, 10*time.Second))
	for c.next() && c.exchange() {
		c.headBy = time.Time{}
	}
	if c.phase != taken {
		c.end()
	}
}

// next waits for the first bytes of a request. Thousands of connections may do
// so: where there is a file descriptor, none of them holds a buffer meanwhile.
func (c *conn) next() bool {
	if c.br.Buffered() > 0 {
		c.phase = atHead
		return true
	}
	c.phase = atRequest
	c.x = Exchange{}
	if c.raw == nil {
		return true // ReadRequest waits
	}
	err := c.raw.Read(c.tryRead)
	if err == nil {
		err = c.readErr
	}
	c.acquire()
	if c.broken == nil {
		err = c.afterRead(c.br.Buffered(), err)
	}
	if err != nil {
		c.fail(err)
	}
	return err == nil
}

// readRaw reads what there is, or makes ready to wait, without a buffer.
func (c *conn) readRaw(fd uintptr) bool {
	c.acquire()
	c.fd = fd
	_, c.readErr = c.br.Peek(1)
	c.fd = notFD
	if c.readErr != rawio.ErrAgain {
		return true
	}
	if !c.waiting.Load() {
		if c.readErr = c.beforeRead(); c.readErr != nil {
			return true
		}
	}
	c.release()
	return false
}

// exchange serves one request and reports whether another may follow.
func (c *conn) exchange() bool {
	r, came, err := readRequest(c.br, c.s.Limits)
	if err != nil {
		c.x = Exchange{}
		c.reject(came, err)
		return false
	}
	c.phase = atBody
	r.Conn = c.nc
	c.x = Exchange{Request: r, c: c}
	x := &c.x
	x.body, _ = r.Body.(*body)
	x.close = r.Method == "CONNECT" || !r.KeepAlive() || c.s.table.Stopping()
	if r.Minor > 0 {
		for _, expectation := range r.Header.List("Expect") {
			if !equalFold(expectation, "100-continue") {
				c.reject(came, &Error{Status: 417, Err: ErrExpect, Raw: came})
				return false
			}
			x.expect = x.body != nil
		}
	}
	c.handle(x)
	if c.phase == taken {
		return false
	}
	if !x.answered {
		c.fail(x.failure())
		return false
	}
	if err := x.Err(); err != nil {
		c.log(err)
	}
	// A client that asked for the end sends nothing any more, unless it sent it already.
	c.lingers = x.close && (r.KeepAlive() || c.br.Buffered() > 0 || x.body != nil && x.body.err != io.EOF)
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
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.log(err)
	}
	return err == nil
}

// reject fails because of a request of which that came.
func (c *conn) reject(came string, err error) {
	if f := c.s.OnBadRequest; f != nil && came != "" {
		f(c.nc.RemoteAddr(), came, err)
	}
	c.fail(err)
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
	if !c.logged {
		c.logged = true
		c.s.log(c.nc, err)
	}
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

func (c *conn) acquire() {
	if c.br == nil {
		c.br = readers.get()
		c.br.Reset(c)
	}
}

// begin makes room for an answer. Who only sends a head, slowly, needs none.
func (c *conn) begin() {
	if c.out == nil {
		c.out = buffers.get()
	}
}

// release gives the buffers back.
func (c *conn) release() {
	if c.br != nil {
		c.br.Reset(nil)
		readers.put(c.br)
		c.br = nil
	}
	if c.out != nil && cap(c.out.b) <= 2*gatherLimit {
		c.out.b = c.out.b[:0]
		buffers.put(c.out)
	}
	c.out = nil
}

// Read is where the bytes of the connection come from.
func (c *conn) Read(p []byte) (int, error) {
	switch {
	case c.phase == taken:
		return c.nc.Read(p)
	case c.fd != notFD:
		return rawio.Read(c.fd, p)
	}
	if err := c.beforeRead(); err != nil {
		return 0, err
	}
	n, err := c.nc.Read(p)
	return n, c.afterRead(n, err)
}

// beforeRead comes before a read that may block, so it is where gathered answers
// leave (the peer may wait for them), where deadlines are set, and where the peer
// is told to go on with its body.
func (c *conn) beforeRead() error {
	if c.phase == atBody && c.x.expect {
		c.x.expect = false
		if !c.x.answered || c.x.held {
			c.begin()
			c.out.b = append(c.out.b, "HTTP/1.1 100 Continue\r\n\r\n"...)
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.setReadDeadline()
	if c.phase == atRequest {
		c.waiting.Store(true)
		if c.s.table.Stopping() { // Shutdown may have looked before we waited
			return errIdle
		}
	}
	return nil
}

func (c *conn) afterRead(n int, err error) error {
	c.waiting.Store(false)
	switch {
	case n > 0 && c.phase == atRequest:
		c.phase = atHead
	case err == nil, err == io.EOF:
	case c.phase == atRequest && isPolite(err):
		return errIdle
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Status: 408, Err: os.ErrDeadlineExceeded, Offset: atEnd}
	}
	return err
}

// isPolite reports whether a connection may end so that waits for a request:
// by its deadline, by Shutdown, by a reset. What TLS finds wrong is not polite.
func isPolite(err error) bool {
	_, system := errors.AsType[syscall.Errno](err)
	return system || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed)
}

func (c *conn) setReadDeadline() {
	timeout := cmp.Or(c.s.HeadTimeout, 10*time.Second)
	switch {
	case c.phase == atBody:
		timeout = cmp.Or(c.s.BodyTimeout, 30*time.Second)
	case c.phase == atRequest && c.headBy.IsZero():
		timeout = cmp.Or(c.s.IdleTimeout, 60*time.Second)
	}
	by := time.Now().Add(timeout)
	if c.phase == atHead && c.headBy.IsZero() {
		c.headBy = by
	}
	if c.phase != atBody && !c.headBy.IsZero() {
		by = c.headBy
	}
	if early := by.Sub(c.readBy); early < 0 || early > timeout/slack {
		c.readBy = by
		c.nc.SetReadDeadline(by)
	}
}

// flush sends the gathered answers.
func (c *conn) flush() error {
	if c.out == nil || len(c.out.b) == 0 {
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
	timeout := cmp.Or(c.s.WriteTimeout, 30*time.Second)
	if by := time.Now().Add(timeout); by.Sub(c.writeBy) > timeout/slack {
		c.writeBy = by
		c.nc.SetWriteDeadline(by)
	}
}

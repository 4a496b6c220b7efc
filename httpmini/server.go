package httpmini

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"socketsrv/internal/accept"
)

// A Handler answers the request of an exchange with Respond or Send, once, or
// takes the connection with Hijack or Takeover. The exchange and its request body
// are valid until it returns. Where it returns without an answer, the server
// gives the one that an error of the request's body asks for, else 500; likewise where
// it panics, which ends the connection. A second answer panics, and so does a status
// that has not three digits.
type Handler func(x *Exchange)

// A Server answers the requests of connections, those of each one in their
// order. Its fields are set before the first use and not changed later. Methods
// may be called from several goroutines.
type Server struct {
	Handler Handler // nil answers 404
	Limits  Limits
	Date    bool // answers say when they were made (RFC 9110 §6.6.1)

	HeadTimeout  time.Duration // for a whole head, and from the start to the end of the first one; 0 means 10 s
	IdleTimeout  time.Duration // from an answer to the first byte of the next request; 0 means 60 s
	BodyTimeout  time.Duration // between two bytes of a request's body; 0 means 30 s
	WriteTimeout time.Duration // for each 256 KiB of an answer, or what there is of it; 0 means 30 s

	// ErrorLog is told at most once why a connection ended other than politely: an
	// *Error, a *PanicError or an I/O error, wrapped with the peer's address. It is
	// called from several goroutines. An idle connection that ends is polite.
	ErrorLog func(error)

	// OnBadRequest is told of each request that no Handler got to see: one that
	// breaks a rule or a limit, stops before its head is whole, or expects what is not
	// done; raw is what came, Limits.Head at most, as it came. It is called before the
	// answer, from several goroutines, and may be nil.
	OnBadRequest func(peer net.Addr, raw string, err error)

	table accept.Table
}

// A member is a conn for the table of its server.
type member conn

func (m *member) Stop() {
	if m.waiting.Load() {
		m.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

func (m *member) Kill() { m.nc.Close() }

// PanicError reports that a Handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v\n%s", e.Value, e.Stack) }

// ErrServerClosed is what Serve returns when the server was shut down before.
var ErrServerClosed = errors.New("httpmini: the server was shut down")

// Serve serves the connections of ln until Shutdown, Close, or the end of ln, and
// returns when the last of them ended, also of those that a handler took: nil, or the
// error that broke ln. It may be called for several listeners. It closes ln. A stopped
// server stays so: ErrServerClosed.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.table.Serve(ln, s.ServeConn, s.ErrorLog); err != accept.ErrStopped {
		return err
	}
	return ErrServerClosed
}

// ServeConn serves the requests of one connection and closes it. It returns
// when the connection ended or, where a handler took it, when the handler or what
// it gave to Takeover returned; then the connection is theirs to close.
func (s *Server) ServeConn(nc net.Conn) {
	c := newConn(s, nc)
	if _, ok := s.table.Add((*member)(c)); !ok {
		c.end()
		return
	}
	c.serve()
	s.table.Remove((*member)(c))
	if f := c.x.takeover; f != nil {
		s.handOver(f, nc, c.x.buffered) // for as long as that takes, c and all it holds are garbage
	}
}

func (s *Server) handOver(f func(net.Conn, []byte), nc net.Conn, buffered []byte) {
	defer func() {
		if v := recover(); v != nil {
			s.log(nc, &PanicError{v, debug.Stack()})
			nc.Close()
		}
	}()
	f(nc, buffered)
}

func (s *Server) log(nc net.Conn, err error) {
	if s.ErrorLog != nil {
		s.ErrorLog(fmt.Errorf("%v: %w", nc.RemoteAddr(), err))
	}
}

// Shutdown closes the listeners and ends the connections: those that wait for a
// request at once, the others with their next answer. It returns when all are gone.
// When ctx ends before that, Shutdown does what Close does and returns the error of ctx.
// Connections that a handler took are not concerned. New ones, of ServeConn, are closed
// as they come. Not to be called by a handler, which it would wait for.
func (s *Server) Shutdown(ctx context.Context) error { return s.table.Shutdown(ctx) }

// Close ends everything now: listeners and connections, but for those that a handler
// took. It does not wait for handlers; Serve does. The error is nil.
func (s *Server) Close() error {
	s.table.Kill()
	return nil
}

// Refuse answers 503 with Retry-After: 1 and closes the connection. It is meant
// for accept loops that are full, and takes a second or two at the most.
func Refuse(nc net.Conn) {
	c := newConn(&Server{WriteTimeout: lingerTime}, nc)
	c.x = Exchange{c: c, close: true}
	c.x.Respond(503, Header{{"Retry-After", "1"}}, nil)
	c.lingers = true
	c.end()
}

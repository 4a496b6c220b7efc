package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/rawio"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// An end is one of the two that a link connects: a WebSocket whose frames do not pass
// as they are, a stream, or a peer of datagrams.
type end interface {
	// read returns what came next, valid until the next call. Its opcode is 0 if it
	// has none. io.EOF says that no more comes, though more may be sent; after any
	// other error nothing may.
	read() (wsproto.Opcode, []byte, error)
	write(op wsproto.Opcode, p []byte) error

	finish(why error) // the other end sends no more: io.EOF, or what became of it
	linger()          // what comes is not wanted any more: read ends before long
	stop()            // the proxy goes
	abort()           // at once
	close()           // after read ended
}

const (
	lingerTime = 5 * time.Second
	pieceSize  = 32 << 10
)

// A stream is a connection of bytes: TCP, TLS, a Unix socket, stdin and stdout.
type stream struct {
	accept.Deadlines
	text    bool // what it brings is text, where that is UTF-8
	lingers time.Duration
	buf     []byte
	held    int // bytes at the start of buf: a character that is not whole yet
	from    int // where they are to be moved from
	ends    atomic.Bool
}

func (s *stream) read() (wsproto.Opcode, []byte, error) {
	if s.buf == nil {
		s.buf = make([]byte, pieceSize)
	}
	copy(s.buf, s.buf[s.from:s.from+s.held])
	n, err := s.Read(s.buf[s.held:])
	p := s.buf[:s.held+n]
	s.held, s.from = 0, 0
	switch {
	case err == io.EOF && tlsconf.Cut(s.Conn):
		err = tlsconf.ErrCut
	case len(p) == 0 || n == 0 && err == nil:
	case !s.text:
		return 0, p, nil // an error comes again
	default:
		whole := len(p) - len(event.Partial(p))
		if err == nil && whole > 0 {
			s.held, s.from = len(p)-whole, whole
			p = p[:whole]
		}
		if utf8.Valid(p) {
			return wsproto.OpText, p, nil
		}
		return wsproto.OpBinary, p, nil
	}
	return 0, nil, err
}

func (s *stream) write(_ wsproto.Opcode, p []byte) error {
	_, err := rawio.Writing{Stall: cli.WriteStall}.Write(s.Conn, p)
	return err
}

// finish passes an end of the stream on as such, and a reset, or what is like one, as
// a reset.
func (s *stream) finish(why error) {
	switch half, ok := s.Conn.(interface{ CloseWrite() error }); {
	case why != io.EOF:
		rawio.Reset(s.Conn)
	case ok && !s.ends.Swap(true):
		half.CloseWrite()
	}
}

func (s *stream) linger() { s.ReadBy(time.Now().Add(s.lingers)) }
func (s *stream) stop()   { s.Stop() }
func (s *stream) abort()  { s.Close() }
func (s *stream) close()  { s.Close() }

// plain returns the socket of e where bytes can pass without being looked at.
func plain(e end) net.Conn {
	s, ok := e.(*stream)
	if !ok {
		return nil
	}
	nc := s.Conn
	if bounded, ok := nc.(interface{ Socket() net.Conn }); ok {
		nc = bounded.Socket()
	}
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		return nc
	}
	return nil
}

// A packets is a peer of datagrams. Neither side can tell the other that it ends.
type packets struct {
	net.Conn
	buf []byte
}

func (d *packets) read() (wsproto.Opcode, []byte, error) {
	if d.buf == nil {
		d.buf = make([]byte, cli.MaxDatagram+1)
	}
	for {
		n, err := d.Read(d.buf)
		if err == nil || !listen.GoesOn(err) {
			return 0, d.buf[:n], err
		}
	}
}

func (d *packets) write(_ wsproto.Opcode, p []byte) error {
	_, err := d.Write(p)
	if listen.GoesOn(err) {
		return nil // it is about one before, or only this one is lost
	}
	return err
}

// finish waits for answers: there may be some.
func (d *packets) finish(why error) {
	if why == io.EOF {
		d.SetReadDeadline(time.Now().Add(lingerTime))
		return
	}
	d.Close()
}

func (d *packets) linger() { d.Close() }
func (d *packets) stop()   { d.Close() }
func (d *packets) abort()  { d.Close() }
func (d *packets) close()  { d.Close() }

// A webSocket is a WebSocket that is joined to something else.
type webSocket struct {
	*wsproto.Conn
	other string // who is at the other end
	gone  wsproto.StatusCode
}

func (w *webSocket) read() (wsproto.Opcode, []byte, error) {
	m, err := w.ReadMessage()
	return m.Opcode, m.Data, err
}

func (w *webSocket) write(op wsproto.Opcode, p []byte) error {
	if op == 0 {
		op = wsproto.OpBinary
	}
	err := w.WriteMessage(op, p)
	if err != nil && !errors.Is(err, wsproto.ErrCloseSent) {
		w.NetConn().Close() // read knows why
	}
	return err
}

func (w *webSocket) finish(why error) {
	if why == io.EOF {
		w.CloseWrite(wsproto.StatusNormalClosure, "")
		return
	}
	w.CloseWrite(w.gone, w.other+" connection broke")
}

func (w *webSocket) linger() {} // the closing handshake is bounded
func (w *webSocket) stop()   { w.CloseWrite(wsproto.StatusGoingAway, "") }
func (w *webSocket) abort()  { w.NetConn().Close() }
func (w *webSocket) close()  { w.Conn.Close(wsproto.StatusNormalClosure, "") }

// orderly reports whether err is the end that was meant: of a stream, of a WebSocket
// by a Close frame, or by our own doing.
func orderly(err error) bool {
	_, closed := errors.AsType[*wsproto.CloseError](err)
	return closed || err == io.EOF || err == io.ErrClosedPipe || errors.Is(err, os.ErrDeadlineExceeded)
}

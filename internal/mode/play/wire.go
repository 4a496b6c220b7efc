package play

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/rawio"
	"socketsrv/internal/talkfile"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// An item is a message that came, or bytes of a stream.
type item struct {
	kind talkfile.Kind // of a WebSocket's, else Text
	data []byte
	at   time.Time
}

// A wire is a connection as messages. One goroutine reads, another one does the rest.
type wire interface {
	read() (item, error) // io.EOF is the end of a stream
	send(kind talkfile.Kind, p []byte) error
	end() error                          // our side ends, without a Close frame
	close(code int, reason string) error // ends politely; 0: without a code
	hangUp(ended bool)                   // at last; ended: the peer's end was read
}

// A pipe is the connection below a wire, on top of TLS. What is written can be cut, and
// takes as long as the peer goes on to accept some of it.
type pipe struct {
	net.Conn
	ctx context.Context // ends pauses

	mu     sync.Mutex
	size   int           // of a piece; 0: all
	pause  time.Duration // between two
	inside bool          // a piece went out since split
}

func (p *pipe) split(size int, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size, p.pause, p.inside = size, pause, false
}

func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	writing := rawio.Writing{Stall: cli.WriteStall}
	for n < len(b) && err == nil {
		piece := b[n:]
		if p.size > 0 {
			piece = piece[:min(p.size, len(piece))]
			if p.inside && p.pause > 0 {
				if err := sleep(p.ctx, p.pause); err != nil {
					return n, err
				}
			}
			p.inside = true
		}
		var m int
		m, err = writing.Write(p.Conn, piece)
		n += m
	}
	return n, err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Write has deadlines of its own.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }

// NetConn lets others look inside.
func (p *pipe) NetConn() net.Conn { return p.Conn }

// CloseWrite ends our side, of TLS and below it.
func (p *pipe) CloseWrite() error {
	half, ok := p.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// queued returns how much of what was written the peer has not got.
func (p *pipe) queued() (n int) {
	nc := p.Conn
	for outer, ok := nc.(interface{ NetConn() net.Conn }); ok; outer, ok = nc.(interface{ NetConn() net.Conn }) {
		nc = outer.NetConn()
	}
	if raw := rawio.Socket(nc); raw != nil {
		n, _ = rawio.Queued(raw)
	}
	return n
}

// errHungUp is the end of what is read once we closed it.
var errHungUp = errors.New("we hung up")

// isReset reports whether the peer cut the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A stream is a connection of bytes, cut into messages unless its framing is none.
type stream struct {
	*pipe
	dial.Reader
	sent time.Time // the last message
}

func (c *conversation) stream() *stream {
	framing := c.framing
	c.loose = framing.Kind == linesrv.KindNone
	framing.KeepCR = true // which what is recorded has, and more takes away
	return &stream{pipe: c.pipe, Reader: dial.Reader{Conn: c.pipe, Cutter: linesrv.Cutter{Framing: framing, Max: int(c.serving.listener.MaxMessage)}}}
}

func (s *stream) read() (item, error) {
	message, _, err := s.Next()
	switch {
	case err == io.EOF && tlsconf.Cut(s.pipe):
		err = tlsconf.ErrCut
	case errors.Is(err, net.ErrClosed):
		err = errHungUp
	}
	return item{data: bytes.Clone(message)}, err
}

func (s *stream) send(_ talkfile.Kind, p []byte) (err error) {
	if p, err = s.Framing.Append(nil, p); err != nil {
		return err
	}
	if d := time.Until(s.sent.Add(2 * s.Silence)); s.Kind == linesrv.KindIdle && d > 0 {
		if err = sleep(s.ctx, d); err != nil { // else two would be one
			return err
		}
	}
	_, err = s.Write(p)
	s.sent = time.Now()
	return err
}

func (s *stream) end() error              { return s.CloseWrite() }
func (s *stream) close(int, string) error { return s.pipe.Close() }
func (p *pipe) hangUp(bool)               { p.Close() }

// Datagrams are messages by themselves, and have no end.
type datagrams struct {
	*pipe
	buf     []byte
	bounded bool // no more may be sent than came: who it goes to is not proved
	credit  atomic.Int64
}

var errLong = errors.New("more than came, which -udp-long-answers allows")

func (d *datagrams) read() (item, error) {
	if d.buf == nil {
		d.buf = make([]byte, cli.MaxDatagram+1)
	}
	n, err := d.Read(d.buf)
	if errors.Is(err, net.ErrClosed) {
		err = errHungUp
	}
	d.credit.Add(int64(n))
	return item{data: bytes.Clone(d.buf[:n])}, err
}

func (d *datagrams) send(_ talkfile.Kind, p []byte) error {
	if d.credit.Add(-int64(len(p))) < 0 && d.bounded {
		return errLong
	}
	_, err := d.pipe.Conn.Write(p) // whole
	return err
}

func (d *datagrams) end() error              { return nil }
func (d *datagrams) close(int, string) error { return d.Close() }

// A socket is a WebSocket.
type socket struct {
	below *pipe
	conn  *wsproto.Conn
}

func (s *socket) read() (item, error) {
	m, err := s.conn.ReadMessage()
	kind := talkfile.Text
	if m.Opcode == wsproto.OpBinary {
		kind = talkfile.Binary
	}
	return item{kind: kind, data: bytes.Clone(m.Data)}, err
}

func (s *socket) send(kind talkfile.Kind, p []byte) error {
	switch kind {
	case talkfile.Ping:
		return s.conn.Ping(p)
	case talkfile.Pong:
		return s.conn.Pong(p)
	case talkfile.Binary:
		return s.conn.WriteMessage(wsproto.OpBinary, p)
	}
	return s.conn.WriteMessage(wsproto.OpText, p)
}

func (s *socket) end() error { return s.below.CloseWrite() }

func (s *socket) close(code int, reason string) error {
	return s.conn.CloseWrite(wsproto.StatusCode(code), reason)
}

// hangUp has our last frame arrive where the peer waits for it.
func (s *socket) hangUp(ended bool) {
	defer s.below.Close()
	if ended {
		defer time.AfterFunc(endTime, func() { s.below.Close() }).Stop()
		s.conn.Close(wsproto.StatusNormalClosure, "")
	}
}

package linesrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/rawio"
)

var (
	// ErrCut says that the connection ended in the middle of a message.
	ErrCut = errors.New("connection ended in the middle of a message")
	// ErrPartial comes with a time-out in the middle of a message.
	ErrPartial = errors.New("message not complete")
)

const (
	defaultSocketTimeout = 60 * time.Second
	socketBuffer         = 4 << 10  // of a Socket that waits
	keepSocketBuffer     = 64 << 10 // a larger one is not kept
	piece                = 64 << 10 // of a message, that must come or be taken within each time-out
)

// firsts are buffers for the length and the first piece of what is sent.
var firsts = sync.Pool{New: func() any { b := make([]byte, 0, lengthSize+piece); return &b }}

// SocketOptions are the limits of a Socket. The zero value is fine.
type SocketOptions struct {
	Timeout      time.Duration // of Receive where it is given none; 0 means 60 s, negative no limit
	WriteTimeout time.Duration // for the peer to take the next 64 KiB; 0 means 30 s
	MaxMessage   int           // to receive, in bytes; 0 means DefaultMaxMessage

	// Dial connects; nil is that of net.Dialer. Of no use to a server.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Socket sends and receives messages. One goroutine at a time may receive; any
// number may send, and each message goes out whole. Close may be called from
// anywhere.
type Socket struct {
	nc  accept.Deadlines
	opt SocketOptions
	id  uint64

	buf     []byte
	r, w    int   // buf[r:w] has been received and not returned
	readErr error // stays

	mu       sync.Mutex // of sending
	writeErr error      // stays
}

// DialSocket connects to addr, host:port or unix:path.
func DialSocket(ctx context.Context, addr string, opt SocketOptions) (*Socket, error) {
	nc, err := dial(ctx, addr, opt.Dial)
	if err != nil {
		return nil, err
	}
	return NewSocket(nc, opt), nil
}

// NewSocket returns a Socket on nc, which belongs to it from then on.
func NewSocket(nc net.Conn, opt SocketOptions) *Socket {
	return &Socket{nc: accept.Deadlines{Conn: nc}, opt: opt}
}

// ID is the number of the client, counted from 0 for each SocketServer.
func (s *Socket) ID() uint64 { return s.id }

// RemoteAddr is the address of the peer.
func (s *Socket) RemoteAddr() net.Addr { return s.nc.RemoteAddr() }

// Close closes the connection. What has been sent still arrives.
func (s *Socket) Close() error { return s.nc.Close() }

// Send sends p, which may be empty, as one message. After an error nothing more
// can be sent, unless it is ErrMessageTooLong.
func (s *Socket) Send(p []byte) error {
	if err := checkSize(uint64(len(p))); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr != nil {
		return s.writeErr
	}
	w := rawio.Writing{Stall: orDefault(s.opt.WriteTimeout, defaultWriteTimeout), Least: piece, Over: s.nc.Killed}
	// The length goes out with the first piece: one packet for a small message.
	first := firsts.Get().(*[]byte)
	defer firsts.Put(first)
	n := min(len(p), piece)
	*first = append(appendLength((*first)[:0], len(p)), p[:n]...)
	if _, s.writeErr = w.Write(s.nc.Conn, *first); s.writeErr == nil {
		_, s.writeErr = w.Write(s.nc.Conn, p[n:])
	}
	if s.writeErr == accept.ErrStopped {
		s.writeErr = ErrShutdown
	}
	return s.writeErr
}

// Receive returns the next message, which is valid until the next call. It waits
// for it to begin for timeout, and in the middle of one as long again for each
// further 64 KiB; 0 means the time-out of the options, negative no limit. Errors:
//
//   - io.EOF: the peer ended the connection after a whole message
//   - ErrCut: the connection ended in the middle of a message
//   - os.ErrDeadlineExceeded, wrapped: no message came in time. With ErrPartial part
//     of one did. Receive may be called again in both cases and loses nothing
//   - ErrMessageTooLong: nothing that follows can be received
//   - ErrShutdown: the server of this Socket stops
func (s *Socket) Receive(timeout time.Duration) ([]byte, error) {
	timeout = orDefault(timeout, orDefault(s.opt.Timeout, defaultSocketTimeout))
	for wait := true; ; {
		p, n, err := ParseMessage(s.buf[s.r:s.w], s.opt.MaxMessage)
		if n > 0 {
			s.r += n
			return p, nil
		}
		if err != nil {
			s.readErr = err
		}
		if s.readErr != nil {
			return nil, s.explain(s.readErr)
		}
		if wait && s.nc.ReadBy(deadline(timeout)) != nil || s.nc.Stopped() != nil {
			return nil, ErrShutdown
		}
		before := s.w - s.r
		if err := s.fill(); err != nil {
			return nil, s.explain(err)
		}
		wait = before == 0 || before/piece != (s.w-s.r)/piece
	}
}

// fill reads once. A time-out is returned, other errors are kept for when what came
// before them is used up.
func (s *Socket) fill() error {
	s.makeRoom()
	n, err := s.nc.Read(s.buf[s.w:])
	s.w += n
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if n > 0 {
			return nil
		}
		return err
	}
	s.readErr = err
	return nil
}

// makeRoom doubles the buffer when it is full of one message, as far as that message
// goes: its length is not believed before.
func (s *Socket) makeRoom() {
	into, have := s.buf, s.w-s.r
	switch {
	case have == 0 && (len(into) == 0 || len(into) > keepSocketBuffer):
		into = make([]byte, socketBuffer)
	case have == len(into):
		size, _, _ := parseLength(into, s.opt.MaxMessage)
		into = make([]byte, have+min(have, size-(have-lengthSize)))
	case s.r == 0:
		return
	}
	s.r, s.w = 0, copy(into, s.buf[s.r:s.w])
	s.buf = into
}

// explain says what an error of a read means after what has come.
func (s *Socket) explain(err error) error {
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	switch have := s.w - s.r; {
	case timeout && s.nc.Stopped() != nil:
		return ErrShutdown
	case have == 0 || errors.Is(err, ErrMessageTooLong):
		return err
	case timeout:
		return fmt.Errorf("%w: %w", s.soFar(ErrPartial), err)
	case err == io.EOF:
		return s.soFar(ErrCut)
	}
	return fmt.Errorf("%w: %w", s.soFar(ErrCut), err)
}

// soFar adds to err how much of the message has come.
func (s *Socket) soFar(err error) error {
	have := s.w - s.r
	size, ok, _ := parseLength(s.buf[s.r:s.w], s.opt.MaxMessage)
	if !ok {
		return fmt.Errorf("%w: %d of the 4 bytes of its length", err, have)
	}
	return fmt.Errorf("%w: %d of %d bytes", err, have-lengthSize, size)
}

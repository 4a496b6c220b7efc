package dial

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"

	"socketsrv/internal/term"
	"socketsrv/internal/tlsconf"
)

// A meter is a connection that counts what moves, a piece at a time.
type meter struct {
	net.Conn
	small int // reads up to so many bytes count for nothing
	moved atomic.Int64
	end   atomic.Int64 // bytes by which our end was said
}

// controlMax is the longest control frame of a server (RFC 6455 §5.5): a ping is no
// progress.
const controlMax = 2 + 125

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if n > m.small {
		m.moved.Add(int64(n))
	}
	return n, err
}

func (m *meter) Write(p []byte) (done int, err error) {
	const piece = 64 << 10
	for more := true; more && err == nil; more = done < len(p) {
		var n int
		n, err = m.Conn.Write(p[done:min(done+piece, len(p))])
		done += n
		m.moved.Add(int64(n))
	}
	return done, err
}

// The bytes of a FIN, as the system counts it, and of a close_notify at most.
const finSize, closeNotifySize = 1, 32

// CloseWrite ends our side, where the connection has sides.
func (m *meter) CloseWrite() error {
	m.end.Store(finSize)
	if tlsconf.State(m.Conn) != "" {
		m.end.Store(finSize + closeNotifySize)
	}
	half, ok := m.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	err := half.CloseWrite()
	if errors.Is(err, syscall.ENOTCONN) { // what is left of it after a reset
		err = &net.OpError{Op: "write", Err: syscall.ECONNRESET}
	}
	return err
}

// NetConn lets others look inside.
func (m *meter) NetConn() net.Conn { return m.Conn }

// look is that of a Link.
func (m *meter) look(ended bool) (moved, held int64, err error) {
	moved = m.moved.Load()
	nc := m.Conn
	for inner, ok := nc.(interface{ NetConn() net.Conn }); ok; inner, ok = nc.(interface{ NetConn() net.Conn }) {
		nc = inner.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return moved, 0, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return moved, 0, nil // closed by us
	}
	raw.Control(func(fd uintptr) {
		held = int64(term.OutQueue(fd))
		if ended && held > 0 { // before that a reader wants to know; and a peer may reset over our close_notify
			err = socketError(fd)
		}
	})
	if _, ok := nc.(*net.TCPConn); ok {
		held -= min(held, m.end.Load())
	}
	return moved, held, err
}

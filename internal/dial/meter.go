package dial

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/term"
	"socketsrv/internal/tlsconf"
)

// A meter is a connection that knows when something moved last.
type meter struct {
	net.Conn
	small int // up to so many bytes at once count for nothing
	since time.Time
	moved atomic.Int64 // when, in nanoseconds after since; 0: never
	end   atomic.Int64 // bytes by which our end was said
}

// controlMax is the longest control frame (RFC 6455 §5.5): a ping is no progress.
const controlMax = 2 + 4 + 125

func newMeter(nc net.Conn, small int) *meter {
	return &meter{Conn: nc, small: small, since: time.Now().Add(-1)}
}

func (m *meter) count(n int) {
	if n > m.small {
		m.moved.Store(int64(time.Since(m.since)))
	}
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.count(n)
	return n, err
}

func (m *meter) Write(p []byte) (done int, err error) {
	const piece = 64 << 10
	for more := true; more && err == nil; more = done < len(p) {
		var n int
		n, err = m.Conn.Write(p[done:min(done+piece, len(p))])
		done += n
		m.count(n)
	}
	return done, err
}

// The bytes of a FIN, as the system counts it, of the alert of a close_notify, and of
// what a record has around it at most.
const finSize, alertSize, recordSize = 1, 2, 30

// shortMemory is what a Unix socket, which counts memory, counts for a short message on
// 64 bit systems; on others it is less. A FIN takes none.
const shortMemory = 768

// says notes that our end is said by n bytes; the first one counts.
func (m *meter) says(n int) {
	if tlsconf.State(m.Conn) != "" {
		n += recordSize
	}
	m.end.CompareAndSwap(0, int64(n))
}

// CloseWrite ends our side, where the connection has sides.
func (m *meter) CloseWrite() error {
	n := finSize
	if tlsconf.State(m.Conn) != "" {
		n += alertSize
	}
	m.says(n)
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
func (m *meter) look(ended bool) (moved time.Time, held int64, err error) {
	if at := m.moved.Load(); at > 0 {
		moved = m.since.Add(time.Duration(at))
	}
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
	said := m.end.Load()
	switch _, unix := nc.(*net.UnixConn); {
	case unix && said > finSize:
		said = shortMemory
	case unix:
		said = 0
	}
	return moved, held - min(held, said), err
}

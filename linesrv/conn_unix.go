//go:build unix

package linesrv

import (
	"io"
	"net"
	"os"
	"syscall"
)

// On these systems a connection waits without a buffer, and what came is worked on
// inside the call that waits: what comes meanwhile is not missed, so that the
// usual read that finds nothing can be left out where the system says that there is
// nothing (conn_linux.go).

// A rawIO reads and writes the socket of a connection without waiting.
type rawIO struct {
	socket syscall.RawConn
	hints  hints
	fd     int   // while inside is true
	inside bool  // of socket.Read, on the goroutine that serves the connection
	over   error // why the connection ends
	step   func(fd uintptr) bool
}

// open reports whether the connection of c is a stream socket.
func (r *rawIO) open(c *Conn) bool {
	sc, ok := c.nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	r.socket, r.step = raw, c.readable
	r.hints.turnOn(raw)
	return true
}

// tryWrite writes what the socket takes at once; why it does not take more is for
// the next write to say.
func (r *rawIO) tryWrite(p []byte) int {
	if !r.inside {
		return 0
	}
	for {
		n, err := syscall.Write(r.fd, p)
		if err != syscall.EINTR {
			return max(n, 0)
		}
	}
}

// runRaw is run without a buffer while the connection waits.
func (c *Conn) runRaw() error {
	for {
		if err := c.arm(); err != nil {
			return err
		}
		err := c.raw.socket.Read(c.raw.step)
		if c.raw.over != nil {
			return c.raw.over
		}
		if err = c.readError(err); err != nil {
			return err
		}
	}
}

// readable is called when the socket may have something, and reports false to go
// on waiting.
func (c *Conn) readable(fd uintptr) bool {
	c.borrow()
	c.raw.fd, c.raw.inside = int(fd), true
	c.raw.over = c.readAll()
	c.raw.inside = false
	if c.raw.over != nil {
		return true
	}
	c.giveBack()
	return false
}

// readAll carries out what has come until nothing is left, or the connection ends.
func (c *Conn) readAll() error {
	for {
		n, more, err := c.raw.hints.read(c.raw.fd, c.b.in[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return c.Flush()
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.EOF
		}
		before := c.writes
		if err := c.batch(c.b.in[:n], n < readSize || !more); err != nil {
			return err
		}
		// A reset that came along with the data shows in the write.
		if !more && c.writes > before {
			return nil
		}
	}
}

// lostFunc returns a function that reports whether the connection of nc is broken,
// or nil where that cannot be asked.
func lostFunc(nc net.Conn) func() bool {
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok { // of TLS
		nc = inner.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return func() (lost bool) {
		raw.Control(func(fd uintptr) {
			pending, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
			lost = err == nil && pending != 0
		})
		return lost
	}
}

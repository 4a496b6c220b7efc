package linesrv

import (
	"net"
	"syscall"

	"socketsrv/internal/rawio"
)

// Where the system lets it, a connection waits without a buffer, and what came is
// worked on inside the call that waits: what comes meanwhile is not missed, so that
// the usual read that finds nothing can be left out where the system says that there
// is nothing.

// A rawIO reads and writes the socket of a connection without waiting.
type rawIO struct {
	socket syscall.RawConn
	reader rawio.Reader
	fd     uintptr // while inside is true
	inside bool    // of socket.Read, on the goroutine that serves the connection
	over   error   // why the connection ends
	step   func(fd uintptr) bool
}

// open reports whether the connection of c can be served so.
func (r *rawIO) open(c *Conn) bool {
	if r.socket = rawio.Socket(c.nc); r.socket == nil {
		return false
	}
	r.step = c.readable
	r.reader.Init(r.socket)
	return true
}

// tryWrite writes what the socket takes at once; why it does not take more is for
// the next write to say.
func (r *rawIO) tryWrite(p []byte) (n int) {
	if r.inside {
		n, _ = rawio.Write(r.fd, p)
	}
	return n
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
	c.raw.fd, c.raw.inside = fd, true
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
		n, more, err := c.raw.reader.Read(c.raw.fd, c.b.in[:])
		if err == rawio.ErrAgain {
			return c.Flush()
		}
		if err != nil {
			return err
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
	raw := rawio.Socket(nc)
	if raw == nil {
		return nil
	}
	return func() bool { return rawio.Lost(raw) }
}

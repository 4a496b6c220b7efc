//go:build unix

package dump

import (
	"io"
	"net"
	"os"
	"syscall"
)

// On these systems a connection is waited for without a buffer, and written to
// without waiting.

// rawConn returns the raw form of nc if it is a plain stream socket.
func rawConn(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

func (c *tcpClient) readRaw() error {
	for {
		c.arm()
		c.readErr = nil
		if err := c.raw.Read(c.step); err != nil {
			return err
		}
		if c.readErr != nil {
			return c.readErr
		}
	}
}

// step reads all that has come. It reports false to wait for more, or true to
// have the idle time begin anew, or with readErr at the end.
func (c *tcpClient) step(fd uintptr) bool {
	buf := c.t.buffers.Get().(*[]byte)
	defer c.t.buffers.Put(buf)
	for came := false; c.dead.Load() == nil; {
		n, err := syscall.Read(int(fd), *buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return came && c.t.listeners.IdleTimeout > 0
		case err != nil:
			c.readErr = os.NewSyscallError("read", err)
		case n == 0:
			c.readErr = io.EOF
		default:
			came = true
			c.readErr = c.take((*buf)[:n])
		}
		if c.readErr != nil {
			return true
		}
	}
	c.readErr = *c.dead.Load()
	return true
}

// tryWrite writes what the socket takes at once.
func tryWrite(raw syscall.RawConn, p []byte) (n int, err error) {
	werr := raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), p)
			if err != syscall.EINTR {
				return true
			}
		}
	})
	switch {
	case werr != nil:
		return 0, werr
	case err == syscall.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

// isLost reports whether the connection is known to be broken.
func isLost(raw syscall.RawConn) (lost bool) {
	err := raw.Control(func(fd uintptr) {
		pending, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		lost = err == nil && pending != 0
	})
	return lost || err != nil
}

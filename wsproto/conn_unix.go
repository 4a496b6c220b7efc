//go:build unix

package wsproto

import (
	"io"
	"net"
	"syscall"
)

// On these systems a socket can be waited for without a buffer, and tried
// without waiting.

var errWouldBlock error = syscall.EAGAIN

// waitable returns the raw form of nc if it is a plain stream socket.
func waitable(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	switch nc.LocalAddr().(type) {
	case *net.TCPAddr, *net.UnixAddr:
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readFD reads what fd has: errWouldBlock if nothing, io.EOF at the end. Other
// errors are as the methods of net have them.
func readFD(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
		case err == errWouldBlock:
			return 0, err
		case err != nil:
			return 0, &net.OpError{Op: "read", Err: err}
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// writeFD writes what fd takes at once.
func writeFD(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, &net.OpError{Op: "write", Err: err}
		}
	}
}

// tryWrite writes what the socket takes at once.
func (c *Conn) tryWrite(b []byte) (int, error) {
	o := &c.out
	if c.raw == nil {
		return 0, nil
	}
	if o.step == nil {
		o.step = c.writeStep
	}
	o.trying = b
	err := c.raw.Write(o.step)
	o.trying = nil
	if err != nil {
		return 0, err
	}
	return o.tried, o.tryErr
}

func (c *Conn) writeStep(fd uintptr) bool {
	c.out.tried, c.out.tryErr = writeFD(int(fd), c.out.trying)
	return true
}

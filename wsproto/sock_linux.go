package wsproto

import (
	"bufio"
	"bytes"
	"net"
	"syscall"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/rawio"
)

// sockOf returns the rawio.Sock below nc.
func sockOf(nc net.Conn) *rawio.Sock {
	if inner, ok := nc.(interface{ Inner() net.Conn }); ok {
		nc = inner.Inner()
	}
	return nc.(*rawio.Sock)
}

// A lateConn is a connection some of which was read before.
type lateConn struct {
	*rawio.Sock
	nc   net.Conn  // what is to be closed: whoever counts connections wrapped it
	head []byte    // what was read
	by   time.Time // the deadline that is set first
}

func (c *lateConn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Sock.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// SyscallConn fails as long as there is something to read that no system call finds.
func (c *lateConn) SyscallConn() (syscall.RawConn, error) {
	if len(c.head) > 0 {
		return nil, syscall.EINVAL
	}
	return c.Sock.SyscallConn()
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	if !c.by.IsZero() {
		t, c.by = c.by, time.Time{}
	}
	return c.Sock.SetReadDeadline(t)
}

func (c *lateConn) Close() error { return c.nc.Close() }

// A wholeHead reads requests that are there as a whole.
type wholeHead struct {
	rd bytes.Reader
	br *bufio.Reader
}

// read returns the request that b begins with and what follows it; nil if there is
// none, or not all of it.
func (h *wholeHead) read(b []byte) (req *httpmini.Request, rest []byte) {
	h.rd.Reset(b)
	if h.br == nil {
		h.br = bufio.NewReaderSize(nil, 4<<10)
	}
	h.br.Reset(&h.rd)
	req, err := httpmini.ReadRequest(h.br, httpmini.Limits{})
	if err != nil {
		return nil, nil
	}
	return req, b[len(b)-h.rd.Len()-h.br.Buffered():]
}

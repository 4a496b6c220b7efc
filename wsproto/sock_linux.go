package wsproto

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/rawio"
)

// A sockListener accepts connections for loops: they are descriptors, which the
// runtime's poller does not know, and have their options from the listener. That has
// a descriptor of its own, because package net lets nobody wait for a listener's.
type sockListener struct {
	net.Listener
	file     *os.File
	raw      syscall.RawConn
	watch    *time.Timer
	handlers sync.WaitGroup // opening handshakes

	step func(fd uintptr) bool // accept, and what came of it
	fd   int
	late bool // no connection is older than the listener's options
	from syscall.Sockaddr
	err  error
}

// closedCheck is how often is looked whether somebody else closed the listener.
const closedCheck = 250 * time.Millisecond

// listenSocks returns ln as a sockListener, nil if it is not one of TCP alone.
func listenSocks(ln net.Listener) *sockListener {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil
	}
	own, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	l := &sockListener{Listener: ln}
	l.step = l.accept
	if l.file, err = tcp.File(); err != nil {
		return nil
	}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return nil
	}
	own.Control(setOptions)
	l.watch = time.AfterFunc(time.Hour, func() {
		if own.Control(func(uintptr) {}) != nil {
			l.file.Close()
			return
		}
		l.watch.Reset(closedCheck)
	})
	l.watch.Reset(closedCheck)
	return l
}

// setOptions sets the options that package net sets on each connection.
func setOptions(fd uintptr) {
	for _, opt := range [][3]int{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
	} {
		syscall.SetsockoptInt(int(fd), opt[0], opt[1], opt[2])
	}
}

func (l *sockListener) Close() error {
	l.watch.Stop()
	l.file.Close()
	return l.Listener.Close()
}

func (l *sockListener) accept(fd uintptr) bool {
	for {
		l.fd, l.from, l.err = syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch l.err {
		case syscall.EINTR, syscall.ECONNABORTED:
		case syscall.EAGAIN:
			l.late = true
			return false
		default:
			if l.err == nil && !l.late {
				setOptions(uintptr(l.fd))
			}
			return true
		}
	}
}

func (l *sockListener) Accept() (net.Conn, error) {
	if l.raw.Read(l.step) != nil {
		return nil, net.ErrClosed
	}
	if l.err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", l.err)}
	}
	return &sock{ln: l, fd: l.fd, remote: addrPort(l.from)}, nil
}

func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		addr := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			if ifi, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				addr = addr.WithZone(ifi.Name)
			}
		}
		return netip.AddrPortFrom(addr, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// A sock is an accepted connection: a descriptor, which only its loop reads and
// writes, until it is given to package net.
type sock struct {
	ln     *sockListener
	remote netip.AddrPort

	mu  sync.Mutex
	fd  int // -1: it is tcp's, or closed
	tcp *net.TCPConn
}

// sockOf returns the sock below nc.
func sockOf(nc net.Conn) *sock {
	if inner, ok := nc.(interface{ Inner() net.Conn }); ok {
		nc = inner.Inner()
	}
	return nc.(*sock)
}

// conn gives s to package net. Where that cannot be, the result is closed.
func (s *sock) conn() *net.TCPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tcp = new(net.TCPConn)
	f := os.NewFile(uintptr(s.fd), "")
	if nc, err := net.FileConn(f); err == nil {
		s.tcp = nc.(*net.TCPConn)
	}
	f.Close()
	s.fd = -1
	return s.tcp
}

func (s *sock) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp != nil {
		return s.tcp.Close()
	}
	fd := s.fd
	s.fd = -1
	return syscall.Close(fd)
}

func (s *sock) LocalAddr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp != nil {
		return s.tcp.LocalAddr()
	}
	if sa, err := syscall.Getsockname(s.fd); err == nil {
		return net.TCPAddrFromAddrPort(addrPort(sa))
	}
	return s.ln.Addr()
}

// Peer is for rawio.PeerOf.
func (s *sock) Peer() rawio.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tcp != nil:
		return rawio.PeerOf(s.tcp)
	case s.fd < 0:
		return rawio.Gone
	}
	return rawio.PeerAt(uintptr(s.fd))
}

func (s *sock) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// SetWriteBuffer sets how much the system keeps for a peer that does not read.
func (s *sock) SetWriteBuffer(bytes int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return syscall.SetsockoptInt(s.fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes)
}

func (s *sock) Read([]byte) (int, error)         { return 0, errors.ErrUnsupported }
func (s *sock) Write([]byte) (int, error)        { return 0, errors.ErrUnsupported }
func (s *sock) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (s *sock) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (s *sock) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// A lateConn is a connection of package net some of which was read before.
type lateConn struct {
	*net.TCPConn
	nc   net.Conn  // what is to be closed: whoever counts connections wrapped it
	head []byte    // what was read
	by   time.Time // the deadline that is set first
}

func (c *lateConn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.TCPConn.Read(p)
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
	return c.TCPConn.SyscallConn()
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	if !c.by.IsZero() {
		t, c.by = c.by, time.Time{}
	}
	return c.TCPConn.SetReadDeadline(t)
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

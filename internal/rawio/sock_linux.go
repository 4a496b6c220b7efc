package rawio

import (
	"cmp"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Listener accepts connections that are a descriptor each, which the runtime's
// poller does not know: see Sock. They have their options from the listener. It has a
// descriptor of its own, because package net lets nobody wait for a listener's.
type Listener struct {
	net.Listener
	Opening sync.WaitGroup // for who serves the listener

	file  *os.File
	raw   syscall.RawConn
	watch *time.Timer
	local net.Addr // of every connection; nil: each has its own

	step func(fd uintptr) bool // accept, and what came of it
	fd   int
	late bool // no connection is older than the listener's options
	from syscall.Sockaddr
	err  error
}

// closedCheck is how often is looked whether somebody else closed the listener.
const closedCheck = 250 * time.Millisecond

// Early returns ln as a *Listener, or as it is where it is not of TCP alone. The end of
// either closes both.
func Early(ln net.Listener) net.Listener {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return ln
	}
	own, err := tcp.SyscallConn()
	if err != nil {
		return ln
	}
	l := &Listener{Listener: ln}
	l.step = l.accept
	if l.file, err = tcp.File(); err != nil {
		return ln
	}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		l.file.Close()
		return ln
	}
	if at, ok := ln.Addr().(*net.TCPAddr); ok && !at.IP.IsUnspecified() {
		l.local = at
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

func (l *Listener) Close() error {
	l.watch.Stop()
	l.file.Close()
	return l.Listener.Close()
}

func (l *Listener) accept(fd uintptr) bool {
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

// Accept returns a *Sock.
func (l *Listener) Accept() (net.Conn, error) {
	if l.raw.Read(l.step) != nil {
		return nil, net.ErrClosed
	}
	if l.err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", l.err)}
	}
	return &Sock{Listener: l, fd: int32(l.fd), remote: addrPort(l.from)}, nil
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

// A Sock is an accepted connection: a descriptor, for as long as nobody has to wait for
// it, and then a connection of package net. What asks one question and goes away never
// gets that far, and costs four system calls less.
//
// It is a net.Conn like any other; or who has a poller of its own takes the descriptor,
// FD, and neither reads nor writes by the Sock.
type Sock struct {
	Listener *Listener
	remote   netip.AddrPort

	readBy, writeBy atomic.Int64 // the deadlines of tcp, while that is nil; 0: none

	mu   sync.Mutex
	tcp  *tcpSock // what it became
	fd   int32
	held int32 // calls that use fd at this moment
	over bool  // fd is closed when there are none
}

type tcpSock struct {
	*net.TCPConn
	raw syscall.RawConn
}

// NewSock returns the Sock of a descriptor that l accepted.
func NewSock(l *Listener, fd int) *Sock { return &Sock{Listener: l, fd: int32(fd)} }

// FD returns the descriptor.
func (s *Sock) FD() int { return int(s.fd) }

// TCP makes s a connection of package net, and returns that. Where that cannot be, the
// result is closed.
func (s *Sock) TCP() *net.TCPConn { return s.become().TCPConn }

func (s *Sock) become() *tcpSock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tcp != nil {
		return s.tcp
	}
	s.tcp = &tcpSock{new(net.TCPConn), closed{}}
	if s.over {
		return s.tcp
	}
	s.over = true
	f := os.NewFile(uintptr(s.fd), "")
	if s.held > 0 { // drop closes the one that is used
		fd, err := syscall.Dup(int(s.fd))
		if err != nil {
			return s.tcp
		}
		f = os.NewFile(uintptr(fd), "")
	}
	defer f.Close()
	if nc, err := net.FileConn(f); err == nil {
		tcp := nc.(*net.TCPConn)
		raw, _ := tcp.SyscallConn() // never fails for a connection
		*s.tcp = tcpSock{tcp, raw}
		s.tcp.SetReadDeadline(moment(s.readBy.Load()))
		s.tcp.SetWriteDeadline(moment(s.writeBy.Load()))
	}
	return s.tcp
}

// closed is the raw form of a connection that is closed.
type closed struct{}

func (closed) Control(func(uintptr)) error    { return net.ErrClosed }
func (closed) Read(func(uintptr) bool) error  { return net.ErrClosed }
func (closed) Write(func(uintptr) bool) error { return net.ErrClosed }

// moment is a deadline that was kept as a number.
func moment(by int64) time.Time {
	if by == 0 {
		return time.Time{}
	}
	return time.Unix(0, by)
}

// do calls early with the descriptor, which stays open meanwhile, and late where s is a
// connection of package net, or has to be one because early says ErrAgain.
func (s *Sock) do(early func(fd int) error, late func(*tcpSock) error) error {
	s.mu.Lock()
	tcp, over := s.tcp, s.over
	if tcp == nil && !over {
		s.held++
	}
	s.mu.Unlock()
	switch {
	case tcp != nil:
		return late(tcp)
	case over:
		return net.ErrClosed
	}
	err := early(int(s.fd))
	s.mu.Lock()
	if s.held--; s.held == 0 && s.over {
		syscall.Close(int(s.fd))
	}
	s.mu.Unlock()
	if err == ErrAgain {
		return late(s.become())
	}
	return err
}

func (s *Sock) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tcp != nil:
		return s.tcp.Close()
	case s.over:
		return net.ErrClosed
	}
	if s.over = true; s.held > 0 {
		return nil
	}
	return syscall.Close(int(s.fd))
}

// Read reads what is there. Where that is nothing, or a deadline says that somebody will
// wait, package net does it.
func (s *Sock) Read(p []byte) (n int, err error) {
	err = s.do(func(fd int) error {
		if s.readBy.Load() != 0 || len(p) == 0 {
			return ErrAgain
		}
		n, err = Read(uintptr(fd), p)
		return err
	}, func(tcp *tcpSock) error {
		n, err = tcp.Read(p)
		return err
	})
	return n, err
}

// Write writes what the socket takes; package net waits until it takes the rest.
func (s *Sock) Write(p []byte) (n int, err error) {
	err = s.do(func(fd int) error {
		if by := s.writeBy.Load(); by != 0 && time.Now().UnixNano() >= by {
			return ErrAgain
		}
		if n, err = Write(uintptr(fd), p); err == nil && n < len(p) {
			return ErrAgain
		}
		return err
	}, func(tcp *tcpSock) error {
		m, err := tcp.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

// ReadFrom has the kernel copy what r is, where it can.
func (s *Sock) ReadFrom(r io.Reader) (int64, error) { return s.TCP().ReadFrom(r) }

// SetLinger is that of *net.TCPConn.
func (s *Sock) SetLinger(sec int) error { return s.TCP().SetLinger(sec) }

func (s *Sock) CloseWrite() error {
	return s.do(func(fd int) error {
		return os.NewSyscallError("shutdown", syscall.Shutdown(fd, syscall.SHUT_WR))
	}, func(tcp *tcpSock) error { return tcp.CloseWrite() })
}

// SetWriteBuffer sets how much the system keeps for a peer that does not read.
func (s *Sock) SetWriteBuffer(bytes int) error {
	return s.do(func(fd int) error {
		return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes)
	}, func(tcp *tcpSock) error { return tcp.SetWriteBuffer(bytes) })
}

func (s *Sock) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

func (s *Sock) LocalAddr() net.Addr {
	if s.Listener.local != nil {
		return s.Listener.local
	}
	at := s.Listener.Addr()
	s.do(func(fd int) error {
		if sa, err := syscall.Getsockname(fd); err == nil {
			at = net.TCPAddrFromAddrPort(addrPort(sa))
		}
		return nil
	}, func(tcp *tcpSock) error {
		if own := tcp.LocalAddr(); own != nil {
			at = own
		}
		return nil
	})
	return at
}

// Peer is for PeerOf.
func (s *Sock) Peer() Peer {
	p := Gone
	s.do(func(fd int) error {
		p = PeerAt(uintptr(fd))
		return nil
	}, func(tcp *tcpSock) error {
		p = PeerOf(tcp.TCPConn)
		return nil
	})
	return p
}

func (s *Sock) SetDeadline(t time.Time) error {
	return cmp.Or(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *Sock) SetReadDeadline(t time.Time) error {
	if tcp := s.keep(&s.readBy, t); tcp != nil {
		return tcp.SetReadDeadline(t)
	}
	return nil
}

func (s *Sock) SetWriteDeadline(t time.Time) error {
	if tcp := s.keep(&s.writeBy, t); tcp != nil {
		return tcp.SetWriteDeadline(t)
	}
	return nil
}

// keep keeps a deadline, or returns whose it is.
func (s *Sock) keep(by *atomic.Int64, t time.Time) *tcpSock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.IsZero() {
		by.Store(0)
	} else {
		by.Store(t.UnixNano())
	}
	return s.tcp
}

// SyscallConn returns the raw form of s, where the first function that has to be called
// again makes it a connection of package net.
func (s *Sock) SyscallConn() (syscall.RawConn, error) { return (*rawSock)(s), nil }

type rawSock Sock

func (r *rawSock) Control(f func(fd uintptr)) error {
	return (*Sock)(r).do(func(fd int) error {
		f(uintptr(fd))
		return nil
	}, func(tcp *tcpSock) error { return tcp.raw.Control(f) })
}

func (r *rawSock) Read(f func(fd uintptr) bool) error {
	return (*Sock)(r).do(func(fd int) error {
		return until(f(uintptr(fd)))
	}, func(tcp *tcpSock) error { return tcp.raw.Read(f) })
}

func (r *rawSock) Write(f func(fd uintptr) bool) error {
	return (*Sock)(r).do(func(fd int) error {
		return until(f(uintptr(fd)))
	}, func(tcp *tcpSock) error { return tcp.raw.Write(f) })
}

func until(done bool) error {
	if done {
		return nil
	}
	return ErrAgain
}

package rawio

import (
	"cmp"
	"io"
	"math"
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

// A Sock is an accepted connection: a descriptor, which the runtime's poller learns of
// when somebody has to wait for it. What asks one question and goes away never gets that
// far, and takes four system calls less than a connection of package net.
//
// It is a net.Conn like any other; or who has a poller of its own takes the descriptor,
// FD, and neither reads nor writes by the Sock.
type Sock struct {
	Listener *Listener
	remote   netip.AddrPort

	readBy, writeBy atomic.Int64 // the deadlines of polled, while that is nil; 0: none

	mu     sync.Mutex
	polled *polled
	fd     int32
	held   int32 // calls that use fd at this moment
	over   bool  // it is closed, or is to be when nobody holds it
}

// A polled has the descriptor of a Sock, and waits for it.
type polled struct {
	*os.File
	raw syscall.RawConn
}

// NewSock returns the Sock of a descriptor that l accepted.
func NewSock(l *Listener, fd int) *Sock { return &Sock{Listener: l, fd: int32(fd)} }

// FD returns the descriptor.
func (s *Sock) FD() int { return int(s.fd) }

// try calls early with the descriptor, which stays open meanwhile. Where that is the
// poller's, or has to be because early says ErrAgain, it returns who goes on.
func (s *Sock) try(early func(fd int) error) (*polled, error) {
	s.mu.Lock()
	p, over := s.polled, s.over
	if p == nil && !over {
		s.held++
	}
	s.mu.Unlock()
	switch {
	case over:
		return nil, net.ErrClosed
	case p != nil:
		return p, nil
	}
	err := early(int(s.fd))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held--; s.held == 0 && s.over {
		s.finish()
	}
	switch {
	case err != ErrAgain:
		return nil, err
	case s.over:
		return nil, net.ErrClosed
	case s.polled == nil:
		f := os.NewFile(uintptr(s.fd), "")
		raw, _ := f.SyscallConn() // never fails for a file
		f.SetReadDeadline(moment(s.readBy.Load()))
		f.SetWriteDeadline(moment(s.writeBy.Load()))
		s.polled = &polled{f, raw}
	}
	return s.polled, nil
}

// moment is a deadline that was kept as a number.
func moment(by int64) time.Time {
	if by == 0 {
		return time.Time{}
	}
	return time.Unix(0, by)
}

// ofConn is err of an os.File as that of a connection.
func (s *Sock) ofConn(err error) error {
	if err != nil && s.closed() {
		return net.ErrClosed
	}
	if path, ok := err.(*os.PathError); ok {
		return os.NewSyscallError(path.Op, path.Err)
	}
	return err
}

func (s *Sock) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return net.ErrClosed
	}
	if s.over = true; s.held == 0 {
		return s.finish()
	}
	if s.polled != nil { // who holds the descriptor may wait there
		s.polled.SetDeadline(time.Unix(1, 0))
	}
	return nil
}

func (s *Sock) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

func (s *Sock) finish() error {
	if s.polled != nil {
		return s.polled.Close()
	}
	return os.NewSyscallError("close", syscall.Close(int(s.fd)))
}

// Read reads what is there, or waits for something.
func (s *Sock) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	f, err := s.try(func(fd int) (err error) {
		if passed(&s.readBy) {
			return ErrAgain
		}
		n, err = Read(uintptr(fd), p)
		return err
	})
	if f == nil {
		return n, err
	}
	n, err = f.Read(p)
	return n, s.ofConn(err)
}

// Write writes all of p, and waits where the socket does not take it.
func (s *Sock) Write(p []byte) (n int, err error) {
	f, err := s.try(func(fd int) (err error) {
		if passed(&s.writeBy) {
			return ErrAgain
		}
		if n, err = Write(uintptr(fd), p); err == nil && n < len(p) {
			return ErrAgain
		}
		return err
	})
	if f == nil {
		return n, err
	}
	m, err := f.Write(p[n:])
	return n + m, s.ofConn(err)
}

// passed reports whether a deadline is over.
func passed(by *atomic.Int64) bool {
	at := by.Load()
	return at != 0 && time.Now().UnixNano() >= at
}

// ReadFrom has the kernel send what r is, if that is a file or a part of one.
func (s *Sock) ReadFrom(r io.Reader) (n int64, err error) {
	left, inside := int64(math.MaxInt64), r
	limited, ok := r.(*io.LimitedReader)
	if ok {
		left, inside = limited.N, limited.R
	}
	file, ok := inside.(*os.File)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	n, err = s.sendFile(file, left)
	if limited != nil {
		limited.N -= n
	}
	switch no, _ := err.(syscall.Errno); no {
	case 0:
		return n, err
	case syscall.EINVAL, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM:
		if n == 0 { // what the kernel sends only by way of us
			return io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{r})
		}
	}
	return n, os.NewSyscallError("sendfile", err)
}

// sendFile sends at most left bytes of file from where that stands.
func (s *Sock) sendFile(file *os.File, left int64) (n int64, err error) {
	const most = 1 << 30 // in a call
	src, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	send := func(from uintptr) {
		err = (*rawSock)(s).Write(func(to uintptr) bool {
			for n < left {
				m, err := syscall.Sendfile(int(to), int(from), nil, int(min(left-n, most)))
				switch {
				case err == syscall.EINTR:
				case err == syscall.EAGAIN:
					return false
				case err != nil:
					failed = err
					return true
				case m == 0: // the end of file
					return true
				}
				n += int64(max(m, 0))
			}
			return true
		})
	}
	if cerr := src.Control(send); cerr != nil {
		return 0, cerr
	}
	return n, cmp.Or(err, failed)
}

// CloseWrite ends what is sent: the peer reads io.EOF.
func (s *Sock) CloseWrite() error {
	return s.set("shutdown", func(fd int) error { return syscall.Shutdown(fd, syscall.SHUT_WR) })
}

// SetLinger is that of *net.TCPConn.
func (s *Sock) SetLinger(sec int) error {
	l := &syscall.Linger{Onoff: 1, Linger: int32(sec)}
	if sec < 0 {
		*l = syscall.Linger{}
	}
	return s.set("setsockopt", func(fd int) error { return syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, l) })
}

// SetWriteBuffer sets how much the system keeps for a peer that does not read.
func (s *Sock) SetWriteBuffer(bytes int) error {
	return s.set("setsockopt", func(fd int) error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes) })
}

// set has the system do something with the descriptor.
func (s *Sock) set(name string, do func(fd int) error) (err error) {
	closed := (*rawSock)(s).Control(func(fd uintptr) { err = os.NewSyscallError(name, do(int(fd))) })
	return cmp.Or(closed, err)
}

func (s *Sock) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

func (s *Sock) LocalAddr() net.Addr {
	if s.Listener.local != nil {
		return s.Listener.local
	}
	at := s.Listener.Addr()
	(*rawSock)(s).Control(func(fd uintptr) {
		if sa, err := syscall.Getsockname(int(fd)); err == nil {
			at = net.TCPAddrFromAddrPort(addrPort(sa))
		}
	})
	return at
}

// Peer is for PeerOf.
func (s *Sock) Peer() (p Peer) {
	if (*rawSock)(s).Control(func(fd uintptr) { p = PeerAt(fd) }) != nil {
		return Gone
	}
	return p
}

func (s *Sock) SetDeadline(t time.Time) error {
	return cmp.Or(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func (s *Sock) SetReadDeadline(t time.Time) error {
	return s.setDeadline(&s.readBy, t, (*os.File).SetReadDeadline)
}

func (s *Sock) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(&s.writeBy, t, (*os.File).SetWriteDeadline)
}

func (s *Sock) setDeadline(by *atomic.Int64, t time.Time, set func(*os.File, time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return net.ErrClosed
	case s.polled != nil:
		return set(s.polled.File, t)
	case t.IsZero():
		by.Store(0)
	default:
		by.Store(t.UnixNano())
	}
	return nil
}

// SyscallConn returns the raw form of s, where the poller learns of the descriptor from
// the first function on that has to be called again.
func (s *Sock) SyscallConn() (syscall.RawConn, error) { return (*rawSock)(s), nil }

type rawSock Sock

func (r *rawSock) Control(f func(fd uintptr)) error {
	p, err := (*Sock)(r).try(func(fd int) error {
		f(uintptr(fd))
		return nil
	})
	if p == nil {
		return err
	}
	return (*Sock)(r).ofConn(p.raw.Control(f))
}

func (r *rawSock) Read(f func(fd uintptr) bool) error {
	p, err := (*Sock)(r).try(func(fd int) error { return until(f(uintptr(fd))) })
	if p == nil {
		return err
	}
	return (*Sock)(r).ofConn(p.raw.Read(f))
}

func (r *rawSock) Write(f func(fd uintptr) bool) error {
	p, err := (*Sock)(r).try(func(fd int) error { return until(f(uintptr(fd))) })
	if p == nil {
		return err
	}
	return (*Sock)(r).ofConn(p.raw.Write(f))
}

func until(done bool) error {
	if done {
		return nil
	}
	return ErrAgain
}

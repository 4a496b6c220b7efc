// Package rawio reads and writes sockets without waiting, below package net, and
// has the one loop that writes as long as a peer takes something.
//
// Socket gives what is underneath a net.Conn. Its Read waits for the socket to have
// something, without a buffer, and calls a function that reads it:
//
//	raw := rawio.Socket(nc) // nil for TLS, for a pipe of the program, on Windows
//	err := raw.Read(func(fd uintptr) bool {
//		n, err := rawio.Read(fd, buf)
//		return err != rawio.ErrAgain // false: wait for more
//	})
//
// Who must not wait for its peer writes by TryWrite; who may, by Writing.Write.
// Lost and Queued ask what became of what was written.
package rawio

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// ErrAgain says that there is nothing to read yet. It comes as it is, not wrapped.
var ErrAgain = errors.New("nothing to read yet")

// Socket returns the raw form of nc where that is a socket itself and the system has
// what this package needs, else nil.
func Socket(nc net.Conn) syscall.RawConn {
	sc, ok := nc.(syscall.Conn)
	if !ok || !supported {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// TryWrite writes what the socket takes at once: fewer bytes than len(p), or none,
// are no error. It does not work while a write of the same net.Conn waits, for
// which it would wait too.
func TryWrite(raw syscall.RawConn, p []byte) (n int, err error) {
	if werr := raw.Write(func(fd uintptr) bool {
		n, err = Write(fd, p)
		return true
	}); werr != nil {
		return 0, werr
	}
	return n, err
}

// Lost reports whether the connection is known to be broken: the peer refused what
// was sent to it, or the socket is closed. The system tells that once.
func Lost(raw syscall.RawConn) (lost bool) {
	err := raw.Control(func(fd uintptr) { lost = pendingError(fd) != nil })
	return lost || err != nil
}

// A Peer is what is known of the peer of a TCP connection, also where bytes that came
// before are not read yet.
type Peer uint8

const (
	Here  Peer = iota // or nobody knows
	Ended             // its end has come: it may still read
	Gone              // a reset has come, or the socket is closed: nobody reads
)

// PeerOf asks the system about the peer of nc, or of what nc is made of.
func PeerOf(nc net.Conn) (p Peer) {
	for {
		switch outer := nc.(type) {
		case interface{ Peer() Peer }:
			return outer.Peer()
		case interface{ Inner() net.Conn }:
			nc = outer.Inner()
			continue
		case interface{ NetConn() net.Conn }: // of TLS
			nc = outer.NetConn()
			continue
		}
		raw := Socket(nc)
		if raw != nil && raw.Control(func(fd uintptr) { p = PeerAt(fd) }) != nil {
			return Gone
		}
		return p
	}
}

// Queued returns how much of what was written the peer has not taken: 0 if it has
// all of it. On Linux that is the memory the bytes need, which is more than their
// number; it goes down whenever the peer takes some. ok is false where the system
// does not tell.
func Queued(raw syscall.RawConn) (n int, ok bool) {
	err := raw.Control(func(fd uintptr) { n, ok = queued(fd) })
	return n, ok && err == nil
}

// GiveUp lets the system end the connection of TCP whose peer takes nothing for d, or
// answers nothing, of which the next write or read is told. On Linux only.
func GiveUp(nc net.Conn, d time.Duration) {
	if raw := Socket(nc); raw != nil {
		raw.Control(func(fd uintptr) { giveUp(fd, d) })
	}
}

// Reset ends nc, and the socket below it by a reset. Where there is TLS nothing is said
// of that: a close_notify would claim that all was sent.
func Reset(nc net.Conn) {
	for below, ok := nc, true; ok; {
		if socket, cuts := below.(interface{ SetLinger(int) error }); cuts {
			socket.SetLinger(0)
			below.Close()
		}
		var outer interface{ NetConn() net.Conn }
		if outer, ok = below.(interface{ NetConn() net.Conn }); ok {
			below = outer.NetConn()
		}
	}
	nc.Close()
}

// A Writing is how long a peer may take. The zero value waits for ever.
type Writing struct {
	Stall time.Duration // in which the peer has to take Least bytes; <= 0 means no limit
	Least int           // 0 means that any progress is good enough, where the connection can go on after a part

	// Over, unless nil, is called after each deadline was set; its error ends the
	// writing. Whoever ends a connection by a deadline in the past may have done so
	// just before.
	Over func() error
}

// record is what a connection that is no socket gets at a time: TLS, where a record
// that was cut ends the connection.
const record = 16 << 10

// Write writes all of p to nc, or returns how much of it was taken before the error;
// os.ErrDeadlineExceeded, wrapped, is that of a peer that stalls. Afterwards the
// deadline of the last piece is still set.
func (w Writing) Write(nc net.Conn, p []byte) (n int, err error) {
	piece := w.Least
	_, whole := nc.(syscall.Conn)
	if piece <= 0 && !whole {
		piece = record
	}
	for n < len(p) {
		var by time.Time
		if w.Stall > 0 {
			by = time.Now().Add(w.Stall)
		}
		nc.SetWriteDeadline(by)
		if w.Over != nil {
			if err := w.Over(); err != nil {
				return n, err
			}
		}
		end := len(p)
		if piece > 0 {
			end = min(n+piece, end)
		}
		m, err := nc.Write(p[n:end])
		n += m
		goesOn := whole && w.Least <= 0 && m > 0 && errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !goesOn {
			return n, err
		}
	}
	return n, nil
}

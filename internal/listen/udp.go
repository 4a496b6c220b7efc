package listen

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// reflectors are the ports of services that answer, or that answers hurt: a
// datagram that claims to come from one was most likely made to start a loop or to
// aim our answer at a third party.
var reflectors = []uint16{0, 7, 13, 17, 19, 37, 53, 69, 111, 123, 137, 138, 161, 389, 520, 1900, 5353, 11211}

// Answerable reports whether a datagram from there may be answered at all. The
// answer must in no case be longer than the datagram: its source is not proved.
func Answerable(from netip.AddrPort) bool {
	a := from.Addr().Unmap()
	switch {
	case slices.Contains(reflectors, from.Port()):
		return false
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast():
		return false
	case a.Is4():
		b := a.As4()
		return b[3] != 255 || a.IsLoopback() && b != [4]byte{127, 255, 255, 255}
	}
	return true
}

// A packetReader reads datagrams with the flags that say whether they may be
// answered.
type packetReader struct {
	conn *net.UDPConn
	oob  []byte // for the address a datagram was sent to; nil where the system does not tell
}

// NewPacketReader prepares conn: it asks for a large receive buffer, and for the
// address that each datagram was sent to.
func NewPacketReader(conn *net.UDPConn) *packetReader {
	conn.SetReadBuffer(4 << 20) // as much of it as the system allows
	r := &packetReader{conn: conn}
	if askDestination(conn) == nil {
		r.oob = make([]byte, 128)
	}
	return r
}

// Read returns the next datagram's length and source, unmapped. may says whether
// it may be answered: not if it comes from a place that answerable refuses, nor if
// it was sent to many.
func (r *packetReader) Read(p []byte) (n int, from netip.AddrPort, may bool, err error) {
	n, control, _, from, err := r.conn.ReadMsgUDPAddrPort(p, r.oob)
	if err != nil {
		return 0, from, false, err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return n, from, Answerable(from) && !sentToMany(r.oob[:control]), nil
}

// GoesOn reports whether a UDP socket works on after the error: one that tells
// of an earlier answer that did not arrive, or that a buffer was full.
func GoesOn(err error) bool {
	for _, no := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENOBUFS, syscall.EINTR, syscall.EPERM, syscall.EMSGSIZE} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

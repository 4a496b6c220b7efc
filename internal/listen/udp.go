package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/event"
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

// Why a datagram is not answered.
var (
	errReflector = errors.New("its port is one of a service that answers, or its address one of many")
	errToMany    = errors.New("it was sent to a broadcast or multicast address")
	errOurselves = errors.New("it comes from this server")
	errRounds    = errors.New("answer and datagram follow each other without end, as between two servers")
	errNameless  = errors.New("its sender has no address")
)

// A Source is where a datagram came from and what it was sent to. Addresses that the
// system does not tell are not valid.
type Source struct {
	netip.AddrPort            // of UDP, unmapped
	Unix           net.Addr   // of a Unix socket; nil where it is UDP
	to             netip.Addr // which address, one of many perhaps
	local          netip.Addr // the one of ours that an answer leaves from; not valid where there is no choice
}

func (s Source) String() string {
	if s.Unix != nil {
		return s.Unix.String()
	}
	return s.AddrPort.String()
}

// True reports whether what comes from there is really from there: a Unix socket or
// the loopback interface. Else the source of a datagram is not proved.
func (s Source) True() bool { return s.Unix != nil || s.Addr().IsLoopback() }

// Datagrams is a socket of UDP, or of datagrams on a Unix socket, as servers use it.
// One goroutine reads; any may write.
type Datagrams struct {
	conn net.PacketConn
	udp  *net.UDPConn
	tap  *event.CapturedPackets // nil: there is no capture
	oob  []byte                 // for the address a datagram was sent to; nil where the system does not tell
	wild bool                   // the socket has no address of its own, so that an answer needs one
	own  []netip.AddrPort

	rounds [256]round // by a hash of the sender
	seed   maphash.Seed
}

// A round is what is known of a sender whose datagrams may be answers to ours.
type round struct {
	from  Source
	n     int       // datagrams
	begun time.Time // with the first of them
	last  uint64    // a hash of the content, where there were many
}

// NewDatagrams prepares conn: it asks for a large receive buffer, and for the address
// that each datagram was sent to.
func NewDatagrams(conn net.PacketConn) *Datagrams {
	d := &Datagrams{conn: conn, seed: maphash.MakeSeed()}
	if c, ok := conn.(*event.CapturedPackets); ok {
		d.tap, d.conn = c, c.PacketConn
	}
	var ok bool
	if d.udp, ok = d.conn.(*net.UDPConn); !ok {
		return d
	}
	growBuffer(d.udp)
	if askDestination(d.udp) == nil {
		d.oob = make([]byte, 128)
	}
	at := d.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	d.wild = at.Addr().IsUnspecified()
	d.own = append(d.own, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	if addrs, err := net.InterfaceAddrs(); err == nil && d.wild {
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				d.own = append(d.own, netip.AddrPortFrom(prefix.Addr().Unmap(), at.Port()))
			}
		}
	}
	return d
}

// UDP returns the socket where it is one of UDP, else nil.
func (d *Datagrams) UDP() *net.UDPConn { return d.udp }

// Read returns the next datagram's length and source. why is nil if it may be answered.
func (d *Datagrams) Read(p []byte) (n int, from Source, why, err error) {
	if n, from, why, err = d.read(p); err == nil {
		d.capture(from, true, p[:n])
	}
	return n, from, why, err
}

// capture keeps a datagram in the capture, if there is one.
func (d *Datagrams) capture(s Source, received bool, p []byte) {
	if d.tap == nil {
		return
	}
	peer, ours := s.Unix, d.conn.LocalAddr()
	if peer == nil {
		peer = net.UDPAddrFromAddrPort(s.AddrPort)
	}
	local := s.local
	if received {
		local = s.to
	}
	if at, ok := ours.(*net.UDPAddr); ok && local.IsValid() {
		ours = net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, uint16(at.Port)))
	}
	d.tap.Datagram(peer, ours, received, p)
}

func (d *Datagrams) read(p []byte) (n int, from Source, why, err error) {
	if d.udp == nil {
		n, from.Unix, err = d.conn.ReadFrom(p)
		if err == nil && (from.Unix == nil || from.Unix.String() == "") {
			why = errNameless
		} else if at, ok := from.Unix.(*net.UDPAddr); ok && !Answerable(at.AddrPort()) { // of a socket that stands in for one of UDP
			why = errReflector
		}
		return n, from, why, err
	}
	n, control, _, addr, err := d.udp.ReadMsgUDPAddrPort(p, d.oob)
	if err != nil {
		return 0, from, nil, err
	}
	from.AddrPort = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	to, local, many := sentTo(d.oob[:control])
	if from.to = to; d.wild && !local.IsUnspecified() {
		from.local = local
	}
	switch {
	case many:
		why = errToMany
	case !Answerable(from.AddrPort):
		why = errReflector
	case slices.Contains(d.own, from.AddrPort):
		why = errOurselves
	case d.circling(from, p[:n]):
		why = errRounds
	}
	return n, from, why, nil
}

const (
	// ephemeral is the first port that systems give to clients; below it are servers,
	// two of which may answer each other for ever. Those on ports above it are told from
	// clients by how much they send that is all the same.
	ephemeral = 32768
	maxRounds = 64
	maxEqual  = 10000
	roundTime = 10 * time.Second
)

// circling reports whether the sender sent as many datagrams within roundTime as a
// server does that answers our answers.
func (d *Datagrams) circling(from Source, p []byte) bool {
	a := from.Addr().As16()
	r := &d.rounds[(binary.LittleEndian.Uint64(a[8:])^uint64(from.Port()))*0x9e3779b97f4a7c15>>56]
	if r.from != from {
		*r = round{from: from, begun: time.Now()}
	}
	r.n++
	server := from.Port() < ephemeral
	if r.n <= maxRounds || !server && r.n <= maxEqual {
		return false
	}
	content := maphash.Bytes(d.seed, p[:min(len(p), 64)])
	same := content == r.last
	if r.last = content; !server && !same {
		return false
	}
	if now := time.Now(); now.Sub(r.begun) > roundTime {
		r.n, r.begun = 1, now
		return false
	}
	return true
}

// Write sends a datagram to where one came from, from the address it was sent to.
func (d *Datagrams) Write(p []byte, to Source) (err error) {
	d.capture(to, false, p)
	switch {
	case d.udp == nil:
		_, err = d.conn.WriteTo(p, to.Unix)
	case to.local.IsValid():
		_, _, err = d.udp.WriteMsgUDPAddrPort(p, leaveFrom(to.local), to.AddrPort)
	default:
		_, err = d.udp.WriteToUDPAddrPort(p, to.AddrPort)
	}
	return err
}

// Serve reads until the socket is closed and calls each for every datagram; why is as
// Read has it; log is told where it panics, and what follows is read. The error is that
// of a socket which is of no use any more.
func (d *Datagrams) Serve(buf []byte, each func(p []byte, from Source, why error), log func(error)) error {
	for {
		n, from, why, err := d.Read(buf)
		switch {
		case err == nil:
			if err := accept.Guard(func() error { each(buf[:n], from, why); return nil }); err != nil {
				log(fmt.Errorf("%v: %w", from, err))
			}
		case errors.Is(err, net.ErrClosed):
			return nil
		case !GoesOn(err):
			return err
		}
	}
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

package accept

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2): who connects for
// somebody else sends first who that is.

// A Header says who opened a connection, and to which address. The zero value is of a
// connection that the proxy opened for itself, or about which it knows nothing.
type Header struct{ From, To netip.AddrPort }

// HeaderOf is the Header of a connection with those addresses, zero where they are not
// of TCP.
func HeaderOf(remote, local net.Addr) Header {
	from, ok := remote.(*net.TCPAddr)
	to, ok2 := local.(*net.TCPAddr)
	if !ok || !ok2 {
		return Header{}
	}
	h := Header{plainAddr(from), plainAddr(to)}
	if h.From.Addr().Is4() != h.To.Addr().Is4() {
		h.From, h.To = in6(h.From), in6(h.To)
	}
	return h
}

func plainAddr(a *net.TCPAddr) netip.AddrPort {
	at := a.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

func in6(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

// AppendLine appends h as version 1 has it, a line.
func (h Header) AppendLine(dst []byte) []byte {
	if !h.From.IsValid() {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	family := 4
	if h.From.Addr().Is6() {
		family = 6
	}
	return fmt.Appendf(dst, "PROXY TCP%d %v %v %d %d\r\n", family, h.From.Addr(), h.To.Addr(), h.From.Port(), h.To.Port())
}

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2

	maxLine = 107 // bytes of a line of version 1
)

// The second and third byte behind the signature.
const (
	cmdLocal, cmdProxy   = 0x20, 0x21
	famUnknown           = 0x00
	famTCP4, famTCP6     = 0x11, 0x21
	famUDP4, famUDP6     = 0x12, 0x22
	famStream, famPacket = 0x31, 0x32 // of Unix sockets
)

// AppendBinary appends h as version 2 has it.
func (h Header) AppendBinary(dst []byte) []byte {
	dst = append(append(dst, signature...), cmdProxy)
	if !h.From.IsValid() {
		return append(dst, famUnknown, 0, 0)
	}
	from, to := h.From.Addr().AsSlice(), h.To.Addr().AsSlice()
	family := byte(famTCP4)
	if len(from) == 16 {
		family = famTCP6
	}
	be := binary.BigEndian
	dst = be.AppendUint16(append(dst, family), uint16(2*len(from)+4))
	dst = append(append(dst, from...), to...)
	return be.AppendUint16(be.AppendUint16(dst, h.From.Port()), h.To.Port())
}

var errHeader = errors.New("the connection does not begin with a PROXY header")

// ReadHeader reads a header of either version, and not a byte more.
func ReadHeader(r io.Reader) (Header, error) {
	b := make([]byte, len("PROXY UNKNOWN\r\n"), maxLine) // the shortest of all headers
	n, err := io.ReadFull(r, b)
	switch b = b[:n]; {
	case bytes.HasPrefix(b, []byte(signature)) && err == nil:
		return readBinary(r, b)
	case !bytes.HasPrefix(b, []byte("PROXY ")) && (n >= len("PROXY ") || err == io.EOF || err == io.ErrUnexpectedEOF):
		return Header{}, fmt.Errorf("%w: %q", errHeader, b)
	case err != nil:
		return Header{}, fmt.Errorf("PROXY header: %w", err)
	}
	for b[len(b)-1] != '\n' {
		if len(b) == maxLine {
			return Header{}, fmt.Errorf("PROXY header: no end of the line in %d bytes", maxLine)
		}
		b = b[:len(b)+1]
		if _, err := io.ReadFull(r, b[len(b)-1:]); err != nil {
			return Header{}, fmt.Errorf("PROXY header: %w", err)
		}
	}
	h, ok := parseLine(string(b))
	if !ok {
		return Header{}, fmt.Errorf("%w: %q", errHeader, b)
	}
	return h, nil
}

// parseLine reads a line of version 1. What stands behind UNKNOWN says nothing.
func parseLine(line string) (h Header, ok bool) {
	line, ok = strings.CutSuffix(line, "\r\n")
	f := strings.Split(line, " ")
	switch {
	case !ok || len(f) < 2:
		return h, false
	case f[1] == "UNKNOWN":
		return h, true
	case len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6":
		return h, false
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		addr, err := netip.ParseAddr(f[2+i])
		port, err2 := strconv.ParseUint(f[4+i], 10, 16)
		if err != nil || err2 != nil || addr.Is4() != (f[1] == "TCP4") || addr.Zone() != "" || strconv.FormatUint(port, 10) != f[4+i] {
			return h, false
		}
		ends[i] = netip.AddrPortFrom(addr, uint16(port))
	}
	return Header{ends[0], ends[1]}, true
}

// readBinary reads a header of version 2, of which b has the beginning. What follows
// the addresses is nothing that we use.
func readBinary(r io.Reader, b []byte) (h Header, err error) {
	b = b[:16]
	if _, err := io.ReadFull(r, b[15:]); err != nil {
		return h, fmt.Errorf("PROXY header: %w", err)
	}
	command, family, left := b[12], b[13], int64(binary.BigEndian.Uint16(b[14:]))
	size, known := map[byte]int{famUnknown: 0, famTCP4: 4, famUDP4: 4, famTCP6: 16, famUDP6: 16, famStream: 0, famPacket: 0}[family]
	switch {
	case command != cmdLocal && command != cmdProxy || !known || size > 0 && command == cmdProxy && left < int64(2*size+4):
		return h, fmt.Errorf("%w: % x", errHeader, b)
	case command == cmdLocal:
		size = 0
	}
	b = b[:0]
	if size > 0 {
		b = b[:2*size+4]
	}
	if _, err = io.ReadFull(r, b); err == nil {
		_, err = io.CopyN(io.Discard, r, left-int64(len(b)))
	}
	switch {
	case err != nil:
		return h, fmt.Errorf("PROXY header: %w", err)
	case size > 0:
		h.From, h.To = endOf(b[:size], b[2*size:]), endOf(b[size:2*size], b[2*size+2:])
	}
	return h, nil
}

func endOf(ip, port []byte) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port))
}

// Named is a listener of the connections of a Bound's listener that begin with a PROXY
// header: their RemoteAddr is whom it names. A connection comes out of Accept once its
// header was read. One whose header is none, or takes longer than timeout, is closed,
// and log is told. Close ends those that are still being read.
func Named(ln net.Listener, timeout time.Duration, log func(error)) net.Listener {
	l := &named{Listener: ln, timeout: timeout, log: log, ready: make(chan net.Conn), over: make(chan struct{})}
	go func() {
		defer close(l.over)
		l.err = l.table.Serve(ln, l.read, log)
	}()
	return l
}

type named struct {
	net.Listener
	timeout time.Duration
	log     func(error)
	table   Table // of those whose header is read
	ready   chan net.Conn
	over    chan struct{} // closed when nothing is accepted or read any more
	err     error         // why
}

func (l *named) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.over:
		if l.err == nil || l.err == ErrStopped {
			return nil, net.ErrClosed
		}
		return nil, l.err
	}
}

func (l *named) Close() error {
	l.table.Kill()
	<-l.over
	return nil
}

// read reads the header of c, which may be named.
func (l *named) read(c net.Conn) {
	reading := &Deadlines{Conn: c}
	if _, ok := l.table.Add(reading); !ok {
		c.Close()
		return
	}
	defer l.table.Remove(reading)
	reading.ReadBy(time.Now().Add(l.timeout))
	h, err := ReadHeader(c)
	if err == nil {
		err = reading.ReadBy(time.Time{})
	}
	if err != nil {
		c.Close()
		if reading.Stopped() == nil {
			l.log(fmt.Errorf("%s: %w", Peer(c.RemoteAddr()), err))
		}
		return
	}
	if h.From.IsValid() {
		c.(interface{ setName(net.Addr) }).setName(net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.From.Addr().Unmap(), h.From.Port())))
	}
	select {
	case l.ready <- c:
	case <-l.table.Stopped():
		c.Close()
	}
}

package event

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
)

// A capture is a pcapng file (draft-ietf-opsawg-pcapng) of IP packets that never
// were: a Recorder makes TCP segments of what a connection reads and writes, with
// addresses of its own where there are none, so that no right to capture is needed.
// The secrets of TLS stand before the bytes that need them.

const (
	captureIP = 101 // LINKTYPE_RAW: packets begin with the IP header
	tlsKeyLog = 0x544c534b

	protoTCP, protoUDP = 6, 17

	fin, syn, rst, psh, ack = 1, 2, 4, 8, 16

	segment = 16 << 10 // bytes at most; after as many the other end confirms
)

func appendCaptureHead(dst []byte) []byte {
	dst = appendCaptureBlock(dst, 0x0a0d0d0a, [2][]byte{}, 0x1a2b3c4d, 1, ^uint32(0), ^uint32(0))
	return appendCaptureBlock(dst, 1, [2][]byte{}, captureIP, 0)
}

// appendCaptureBlock appends a block of a kind: fixed fields, then data.
func appendCaptureBlock(dst []byte, kind uint32, data [2][]byte, fields ...uint32) []byte {
	le, size := binary.LittleEndian, len(data[0])+len(data[1])
	pad := -size & 3
	n := uint32(12 + 4*len(fields) + size + pad)
	dst = le.AppendUint32(le.AppendUint32(dst, kind), n)
	for _, v := range fields {
		dst = le.AppendUint32(dst, v)
	}
	dst = append(append(append(dst, data[0]...), data[1]...), "\x00\x00\x00"[:pad]...)
	return le.AppendUint32(dst, n)
}

// appendPacket appends a packet with the header head of proto, whose checksum goes
// to sumAt, and the data p.
func (r *Recorder) appendPacket(dst []byte, proto byte, from, to netip.AddrPort, head []byte, sumAt int, p []byte) []byte {
	be, src, dest := binary.BigEndian, from.Addr().AsSlice(), to.Addr().AsSlice()
	n := len(head) + len(p)
	b := make([]byte, 0, 40+len(head)) // all but p
	if from.Addr().Is4() {
		b = append(be.AppendUint16(append(b, 0x45, 0), uint16(20+n)), 0, 0, 0x40, 0, 64, proto, 0, 0) // may not be fragmented
		b = append(append(b, src...), dest...)
		be.PutUint16(b[10:], checksum(0, b))
	} else {
		b = append(be.AppendUint16(append(b, 0x60, 0, 0, 0), uint16(n)), proto, 64)
		b = append(append(b, src...), dest...)
	}
	at := len(b)
	b = append(b, head...)
	sum := checksum(sumOf(sumOf(sumOf(uint32(proto)+uint32(n), src), dest), head), p)
	if sum == 0 && proto == protoUDP {
		sum = 0xffff // 0 is no checksum (RFC 768)
	}
	be.PutUint16(b[at+sumAt:], sum)
	now, size := uint64(r.opt.Now().UnixMicro()), uint32(len(b)+len(p))
	return appendCaptureBlock(dst, 6, [2][]byte{b, p}, 0, uint32(now>>32), uint32(now), size, size)
}

// sumOf adds p to a sum in ones' complement (RFC 1071), checksum ends it.
func sumOf(sum uint32, p []byte) uint32 {
	all := uint64(sum)
	for ; len(p) >= 4; p = p[4:] {
		all += uint64(binary.BigEndian.Uint32(p))
	}
	for i, c := range p {
		all += uint64(c) << (8 * (3 - i))
	}
	for all > 0xffff {
		all = all>>16 + all&0xffff
	}
	return uint32(all)
}

func checksum(sum uint32, p []byte) uint16 { return ^uint16(sumOf(sum, p)) }

// addresses returns what stands in packets for the peer and for us: their own
// addresses, and made-up ones where there are none of the same family.
func (r *Recorder) addresses(peer, ours net.Addr) (p, o netip.AddrPort) {
	p, o = addrPort(peer), addrPort(ours)
	if !p.IsValid() {
		p = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(49152+r.flows.Add(1)%16384))
	}
	if !o.IsValid() || o.Addr().IsUnspecified() || o.Addr().Is4() != p.Addr().Is4() {
		own := netip.AddrFrom4([4]byte{10, 0, 0, 2})
		if p.Addr().Is6() {
			own = netip.AddrFrom16([16]byte{0: 0xfd, 15: 2})
		}
		o = netip.AddrPortFrom(own, max(o.Port(), 1))
	}
	return p, o
}

func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return netip.AddrPortFrom(a.AddrPort().Addr().Unmap().WithZone(""), a.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// Datagram keeps a datagram of UDP that was received from peer at ours, or sent.
func (r *Recorder) Datagram(peer, ours net.Addr, received bool, p []byte) {
	if r == nil || !r.capture {
		return
	}
	p0, o := r.addresses(peer, ours)
	r.datagram(p0, o, received, p)
}

func (r *Recorder) datagram(from, to netip.AddrPort, received bool, p []byte) {
	if !received {
		from, to = to, from
	}
	be := binary.BigEndian
	head := be.AppendUint16(be.AppendUint16(nil, from.Port()), to.Port())
	head = append(be.AppendUint16(head, uint16(8+len(p))), 0, 0)
	r.keep(r.appendPacket(nil, protoUDP, from, to, head, 6, p))
}

// Packets returns pc, or in a capture a socket that keeps what it receives and sends.
func (r *Recorder) Packets(pc net.PacketConn) net.PacketConn {
	if r == nil || !r.capture {
		return pc
	}
	return &CapturedPackets{pc, r}
}

// CapturedPackets are what Packets returns. Who reads and writes the PacketConn itself
// calls Datagram.
type CapturedPackets struct {
	net.PacketConn
	*Recorder
}

func (c *CapturedPackets) ReadFrom(p []byte) (int, net.Addr, error) {
	n, peer, err := c.PacketConn.ReadFrom(p)
	if err == nil {
		c.Datagram(peer, c.LocalAddr(), true, p[:n])
	}
	return n, peer, err
}

func (c *CapturedPackets) WriteTo(p []byte, peer net.Addr) (int, error) {
	c.Datagram(peer, c.LocalAddr(), false, p)
	return c.PacketConn.WriteTo(p, peer)
}

func (c *CapturedPackets) Close() error { return c.PacketConn.Close() }

// capturedPeer is a socket of datagrams that is connected.
type capturedPeer struct {
	net.Conn
	r          *Recorder
	peer, ours netip.AddrPort
}

func (c *capturedPeer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		c.r.datagram(c.peer, c.ours, true, p[:n])
	}
	return n, err
}

func (c *capturedPeer) Write(p []byte) (int, error) {
	c.r.datagram(c.peer, c.ours, false, p)
	return c.Conn.Write(p)
}

// KeyLog is for tls.Config.KeyLogWriter; nil if this is no capture.
func (r *Recorder) KeyLog() io.Writer {
	if r == nil || !r.capture {
		return nil
	}
	return keyLog{r}
}

type keyLog struct{ *Recorder }

func (k keyLog) Write(line []byte) (int, error) {
	k.keep(appendCaptureBlock(nil, 10, [2][]byte{line}, tlsKeyLog, uint32(len(line))))
	return len(line), nil
}

// Conn returns c, or in a capture a connection that keeps what is read from and
// written to c: what is below TLS, so that KeyLog's secrets fit. accepted says that
// the peer opened it.
func (r *Recorder) Conn(c net.Conn, accepted bool) net.Conn {
	if r == nil || !r.capture {
		return c
	}
	k := &capturedConn{Conn: c, r: r}
	k.ends[peer], k.ends[us] = r.addresses(c.RemoteAddr(), c.LocalAddr())
	switch c.LocalAddr().Network() {
	case "udp", "unixgram":
		return &capturedPeer{c, r, k.ends[peer], k.ends[us]}
	}
	client := us
	if accepted {
		client = peer
	}
	k.send(client, syn, nil)
	k.send(1-client, syn|ack, nil)
	k.send(client, ack, nil)
	k.flush()
	return k
}

// The two ends of a capturedConn.
const us, peer = 0, 1

type capturedConn struct {
	net.Conn
	r    *Recorder
	ends [2]netip.AddrPort

	mu      sync.Mutex
	next    [2]uint32 // sequence numbers
	waiting [2]int    // bytes that the other end has not confirmed
	ended   [2]bool
	cut     atomic.Bool // by Close
	held    []byte      // read last; in TLS it yields secrets, which come first
	packets []byte      // for flush
}

func (c *capturedConn) Read(p []byte) (int, error) {
	c.keep(nil)
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.held = append(c.held, p[:n]...)
	c.mu.Unlock()
	switch {
	case err == io.EOF:
		c.end(peer, fin)
	case errors.Is(err, syscall.ECONNRESET):
		c.end(peer, rst)
	}
	return n, err
}

func (c *capturedConn) Write(p []byte) (int, error) {
	c.keep(p) // before the peer can answer it
	return c.Conn.Write(p)
}

func (c *capturedConn) CloseWrite() error {
	c.end(us, fin)
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SetLinger has Close cut the connection where sec is 0.
func (c *capturedConn) SetLinger(sec int) error {
	if s, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		c.cut.Store(sec == 0)
		return s.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

func (c *capturedConn) Close() error {
	if c.cut.Load() {
		c.end(us, rst)
	} else {
		c.end(us, fin)
	}
	return c.Conn.Close()
}

// keep keeps what was read before, and p, which is written.
func (c *capturedConn) keep(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sendData(peer, c.held)
	c.held = c.held[:0]
	c.sendData(us, p)
	c.flush()
}

func (c *capturedConn) end(from int, flag byte) {
	c.keep(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended[from] {
		return
	}
	c.ended[from] = true
	if c.send(from, flag|ack, nil); flag == fin {
		c.send(1-from, ack, nil)
	} else {
		c.ended[1-from] = true
	}
	c.flush()
}

// flush keeps what was sent. c.mu is held, as in all that follow.
func (c *capturedConn) flush() {
	if len(c.packets) > 0 {
		c.r.keep(c.packets)
		c.packets = c.packets[:0]
	}
}

// sendData sends p in segments.
func (c *capturedConn) sendData(from int, p []byte) {
	for n := 0; len(p) > 0 && !c.ended[from]; p = p[n:] {
		n = min(len(p), segment)
		c.send(from, psh|ack, p[:n])
		if c.waiting[from] += n; c.waiting[from] >= segment {
			c.send(1-from, ack, nil)
		}
		if len(c.packets) >= piece {
			c.flush()
		}
	}
}

func (c *capturedConn) send(from int, flags byte, p []byte) {
	be, to := binary.BigEndian, 1-from
	head := be.AppendUint16(be.AppendUint16(make([]byte, 0, 20), c.ends[from].Port()), c.ends[to].Port())
	head = be.AppendUint32(head, c.next[from])
	if flags&ack != 0 {
		head, c.waiting[to] = be.AppendUint32(head, c.next[to]), 0
	} else {
		head = append(head, 0, 0, 0, 0)
	}
	head = append(head, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0) // a header of five words, a window of 64 KiB
	c.next[from] += uint32(len(p))
	if flags&(syn|fin) != 0 {
		c.next[from]++
	}
	c.packets = c.r.appendPacket(c.packets, protoTCP, c.ends[from], c.ends[to], head, 16, p)
}

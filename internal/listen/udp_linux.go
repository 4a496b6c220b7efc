package listen

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
)

// askDestination makes the system tell where each datagram was sent to.
func askDestination(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var v4, v6 error
	if err := raw.Control(func(fd uintptr) {
		v4 = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		v6 = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	}); err != nil {
		return err
	}
	if v4 != nil && v6 != nil {
		return v4
	}
	return nil
}

// sentTo returns what the control messages of a datagram say of where it was sent, the
// address of ours, and whether the first is one of many, broadcast or multicast.
func sentTo(control []byte) (to, local netip.Addr, many bool) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return to, local, false
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= 12:
			// struct in_pktinfo: the interface, our address there, the address in
			// the datagram. They differ where that is not an address of ours alone.
			// Of what came before askDestination only the last is known.
			local, to = netip.AddrFrom4([4]byte(m.Data[4:])), netip.AddrFrom4([4]byte(m.Data[8:]))
			if many = to.IsMulticast() || local != to && !local.IsUnspecified(); !many {
				local = to
			}
			return to, local, many
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= 16:
			if to = netip.AddrFrom16([16]byte(m.Data)).Unmap(); !to.IsMulticast() {
				local = to
			}
			return to, local, to.IsMulticast()
		}
	}
	return to, local, false
}

// leaveFrom is the control message that has a datagram leave from an address of ours
// (ip(7), ipv6(7)).
func leaveFrom(local netip.Addr) []byte {
	level, kind, data := int32(syscall.IPPROTO_IPV6), int32(syscall.IPV6_PKTINFO), make([]byte, 20)
	if ip := local.As16(); local.Is4() {
		level, kind, data = syscall.IPPROTO_IP, syscall.IP_PKTINFO, make([]byte, 12)
		copy(data[4:], ip[12:])
	} else {
		copy(data, ip[:])
	}
	b := make([]byte, syscall.CmsgSpace(len(data)))
	if length := syscall.CmsgLen(len(data)); syscall.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(b, uint64(length))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(length))
	}
	at := syscall.SizeofCmsghdr - 8
	binary.NativeEndian.PutUint32(b[at:], uint32(level))
	binary.NativeEndian.PutUint32(b[at+4:], uint32(kind))
	copy(b[syscall.CmsgLen(0):], data)
	return b
}

const receiveBuffer = 16 << 20 // a tenth of a second of what may come

// growBuffer gives the socket a large receive buffer: what root may have, or else
// as much as the system allows.
func growBuffer(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, receiveBuffer) != nil {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}
	})
}

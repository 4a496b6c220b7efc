package listen

import (
	"net"
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

// sentToMany reports whether the control messages of a datagram say that it was
// sent to a broadcast or multicast address.
func sentToMany(control []byte) bool {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= 12:
			// struct in_pktinfo: the interface, our address there, the address in
			// the datagram. They differ where that is not an address of ours alone.
			// Of what came before askDestination only the last is known.
			ours, to := [4]byte(m.Data[4:]), [4]byte(m.Data[8:])
			return ours != to && ours != [4]byte{}
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= 16:
			return m.Data[0] == 0xFF
		}
	}
	return false
}

package rawio

import (
	"encoding/binary"
	"syscall"
	"time"
)

const (
	tcpINQ    = 36 // TCP_INQ and TCP_CM_INQ of linux/tcp.h
	inqBytes  = 4
	soMemInfo = 55 // SO_MEMINFO of asm-generic/socket.h

	tcpInfo             = 11 // TCP_INFO of linux/tcp.h, whose first byte is the state
	tcpClose, closeWait = 7, 8

	tcpUserTimeout = 18 // TCP_USER_TIMEOUT of tcp(7), in milliseconds

	wmemAlloc, wmemQueued = 2, 5 // of linux/sock_diag.h: what waits in a Unix socket, in one of TCP
)

// A Reader reads and knows whether the socket holds more, on Linux: TCP_INQ of
// tcp(7), which counts the end of the stream too. A read of less than what was asked
// for does not tell that: the end may have come with the data, in one event. The
// zero value never knows.
type Reader struct {
	on      bool
	control [32]byte // one control message of inqBytes
}

// Init asks the socket to tell how much it holds.
func (r *Reader) Init(raw syscall.RawConn) {
	raw.Control(func(fd uintptr) {
		r.on = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpINQ, 1) == nil
	})
}

// Read is the function Read; more is false if nothing is left, true if that is not
// known.
func (r *Reader) Read(fd uintptr, p []byte) (n int, more bool, err error) {
	if !r.on {
		n, err = Read(fd, p)
		return n, true, err
	}
	var size int
	for {
		n, size, _, _, err = syscall.Recvmsg(int(fd), p, r.control[:], 0)
		if err != syscall.EINTR {
			break
		}
	}
	more = err != nil || size < syscall.CmsgLen(inqBytes) || binary.NativeEndian.Uint32(r.control[syscall.CmsgLen(0):]) != 0
	n, err = outcome(n, err)
	return n, more, err
}

// giveUp holds for a window that stays shut, too, and for keep-alive probes.
func giveUp(fd uintptr, d time.Duration) {
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
}

// queued asks for SO_MEMINFO, of which a list of 32 bytes begins with what is of
// interest; ioctl, for SIOCOUTQ, would need unsafe.
func queued(fd uintptr) (int, bool) {
	list, err := syscall.GetsockoptICMPv6Filter(int(fd), syscall.SOL_SOCKET, soMemInfo)
	if err != nil {
		return 0, false
	}
	return int(max(list.Data[wmemAlloc], list.Data[wmemQueued])), true
}

// PeerAt asks for TCP_INFO, in the way of queued.
func PeerAt(fd uintptr) Peer {
	info, err := syscall.GetsockoptICMPv6Filter(int(fd), syscall.IPPROTO_TCP, tcpInfo)
	if err != nil {
		return Here
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], info.Data[0])
	switch b[0] {
	case tcpClose:
		return Gone
	case closeWait:
		return Ended
	}
	return Here
}

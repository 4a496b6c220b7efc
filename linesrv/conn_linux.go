package linesrv

import (
	"encoding/binary"
	"syscall"
)

const (
	tcpINQ   = 36 // TCP_INQ and TCP_CM_INQ of linux/tcp.h
	inqBytes = 4
)

// hints tell with each read whether the socket holds more: TCP_INQ of tcp(7),
// which counts the end of the stream too. A read of less than what was asked for
// does not tell that: the end may have come with the data, in one event.
type hints struct {
	on      bool
	control [32]byte // one control message of inqBytes
}

func (h *hints) turnOn(raw syscall.RawConn) {
	raw.Control(func(fd uintptr) {
		h.on = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpINQ, 1) == nil
	})
}

// read reads from fd. more is false if nothing is left.
func (h *hints) read(fd int, p []byte) (n int, more bool, err error) {
	if !h.on {
		n, err = syscall.Read(fd, p)
		return n, true, err
	}
	n, size, _, _, err := syscall.Recvmsg(fd, p, h.control[:], 0)
	if err != nil || size < syscall.CmsgLen(inqBytes) {
		return n, true, err
	}
	return n, binary.NativeEndian.Uint32(h.control[syscall.CmsgLen(0):]) != 0, nil
}

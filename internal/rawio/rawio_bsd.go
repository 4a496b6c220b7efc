//go:build unix && !linux

package rawio

import (
	"runtime"
	"syscall"
	"time"
)

// A Reader reads and knows whether the socket holds more, on Linux.
type Reader struct{}

// Init does nothing on this system.
func (*Reader) Init(syscall.RawConn) {}

// Read is the function Read; more is true.
func (*Reader) Read(fd uintptr, p []byte) (n int, more bool, err error) {
	n, err = Read(fd, p)
	return n, true, err
}

const soNWrite = 0x1024 // SO_NWRITE of Darwin's sys/socket.h

func queued(fd uintptr) (int, bool) {
	if runtime.GOOS != "darwin" {
		return 0, false
	}
	n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soNWrite)
	return n, err == nil
}

func PeerAt(uintptr) Peer { return Here }

func giveUp(uintptr, time.Duration) {}

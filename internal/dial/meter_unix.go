//go:build unix

package dial

import (
	"net"
	"syscall"
)

// socketError is what happened to a socket, such as a reset; it is told once.
func socketError(fd uintptr) error {
	no, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	switch {
	case err != nil || no == 0:
		return err
	case syscall.Errno(no) == syscall.EPIPE: // what a reset is called after the peer's FIN
		no = int(syscall.ECONNRESET)
	}
	return &net.OpError{Op: "read", Err: syscall.Errno(no)}
}

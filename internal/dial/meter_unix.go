//go:build unix

package dial

import "syscall"

// socketError is what happened to a socket, such as a reset; it is told once.
func socketError(fd uintptr) error {
	no, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && no != 0 {
		err = syscall.Errno(no)
	}
	return err
}

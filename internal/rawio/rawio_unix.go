//go:build unix

package rawio

import (
	"io"
	"os"
	"syscall"
)

const supported = true

// Read reads what fd, which does not block, has: ErrAgain if that is nothing, io.EOF
// at the end.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR {
			return outcome(n, err)
		}
	}
}

// outcome is what Read returns for what the system did.
func outcome(n int, err error) (int, error) {
	switch {
	case err == syscall.EAGAIN:
		return 0, ErrAgain
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes what fd, which does not block, takes; that may be nothing.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

func pendingError(fd uintptr) error {
	no, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err != nil || no == 0 {
		return nil
	}
	return syscall.Errno(no)
}

//go:build unix

package httpmini

import (
	"io"
	"syscall"
)

const canPark = true

// readFD reads from a non-blocking socket; again means that there is nothing yet.
func readFD(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == nil && n == 0 && len(p) > 0:
			return 0, io.EOF
		case err == syscall.EAGAIN:
			return 0, errAgain
		}
		return max(n, 0), err
	}
}

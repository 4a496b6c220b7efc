//go:build unix && !linux

package linesrv

import "syscall"

// hints tell with each read whether the socket holds more, on Linux.
type hints struct{}

func (hints) turnOn(syscall.RawConn) {}

func (hints) read(fd int, p []byte) (n int, more bool, err error) {
	n, err = syscall.Read(fd, p)
	return n, true, err
}

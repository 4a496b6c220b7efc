//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package term

import (
	"syscall"
	"time"
	"unsafe"
)

const (
	ioctlGet = syscall.TIOCGETA
	ioctlSet = syscall.TIOCSETA
)

// poll is poll(2) by way of select(2), which knows terminals on macOS too and
// which package syscall has on all of these. Descriptors from FD_SETSIZE on are
// beyond it.
func poll(fds []pollFD, timeout time.Duration) error {
	var r, w syscall.FdSet
	top := 0
	for _, f := range fds {
		set := &r
		if f.events == pollOut {
			set = &w
		}
		if int(f.fd) >= 8*int(unsafe.Sizeof(*set)) {
			return syscall.EINVAL
		}
		word, bit := fdBit(set, int(f.fd))
		*word |= bit
		top = max(top, int(f.fd)+1)
	}
	var tv *syscall.Timeval
	if timeout >= 0 {
		t := syscall.NsecToTimeval(int64(timeout))
		tv = &t
	}
	if err := syscall.Select(top, &r, &w, nil, tv); err != nil {
		return err
	}
	for i, f := range fds {
		set := &r
		if f.events == pollOut {
			set = &w
		}
		if word, bit := fdBit(set, int(f.fd)); *word&bit != 0 {
			fds[i].revents = f.events
		}
	}
	return nil
}

// fdBit returns the word of s that holds fd, and its bit. Where words are longer
// than 32 bits, all systems here are little-endian, and it comes to the same.
func fdBit(s *syscall.FdSet, fd int) (word *uint32, bit uint32) {
	words := (*[unsafe.Sizeof(*s) / 4]uint32)(unsafe.Pointer(s))
	return &words[fd/32], 1 << (fd % 32)
}

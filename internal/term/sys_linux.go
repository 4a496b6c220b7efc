package term

import (
	"syscall"
	"time"
	"unsafe"
)

const (
	ioctlGet = syscall.TCGETS
	ioctlSet = syscall.TCSETS
)

// poll is poll(2), by way of ppoll(2), which newer architectures have only.
func poll(fds []pollFD, timeout time.Duration) error {
	var ts *syscall.Timespec
	if timeout >= 0 {
		t := syscall.NsecToTimespec(int64(timeout))
		ts = &t
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)),
		uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

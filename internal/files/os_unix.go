//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package files

import (
	"os"
	"syscall"
)

// OpenNonblock keeps the opening of a FIFO from waiting for its other end.
const OpenNonblock = syscall.O_NONBLOCK

// lockFile makes f ours until it is closed; an error if it is another program's.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// hasLinks says whether a file has another name as well.
func hasLinks(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

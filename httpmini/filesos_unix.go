//go:build unix && !linux

package httpmini

import (
	"io/fs"
	"syscall"
)

// openFlags: the opening of a FIFO does not wait for its other end.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOCTTY

func stampOf(fs.FileInfo) (s stamp, ok bool) { return s, false }

package httpmini

import (
	"io/fs"
	"syscall"
)

// openFlags: the opening of a FIFO does not wait for its other end; and files may
// be beyond 2 GiB where a machine word has 32 bits, which the methods of os.Root
// leave to us.
const openFlags = syscall.O_NONBLOCK | syscall.O_LARGEFILE | syscall.O_NOCTTY

// stampOf returns what changes whenever the file of that name or its content does.
func stampOf(info fs.FileInfo) (s stamp, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return s, false
	}
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, true
}

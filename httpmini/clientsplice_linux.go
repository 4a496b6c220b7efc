package httpmini

import (
	"net"
	"os"
	"syscall"
)

// canSplice reports whether package os may copy from nc to file by splice(2).
func canSplice(nc net.Conn, file *os.File) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// spliceByte writes c to file by splice(2). Where that is refused, for a file
// opened to append or on some file systems, package os would find out too late:
// what it took from the connection would be lost.
func spliceByte(file *os.File, c byte) bool {
	raw, err := file.SyscallConn()
	var p [2]int
	if err != nil || syscall.Pipe2(p[:], syscall.O_CLOEXEC) != nil {
		return false
	}
	defer syscall.Close(p[0])
	defer syscall.Close(p[1])
	if n, err := syscall.Write(p[1], []byte{c}); n != 1 || err != nil {
		return false
	}
	done := false
	err = raw.Write(func(fd uintptr) bool {
		n, err := syscall.Splice(p[0], nil, int(fd), nil, 1, 0)
		done = n == 1 && err == nil
		return true
	})
	return done && err == nil
}

package dump

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"syscall"
)

const receiveBuffer = 16 << 20 // a tenth of a second of what may come

// growBuffer gives the socket a large receive buffer: what root may have, or else
// as much as the system allows.
func growBuffer(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, receiveBuffer) != nil {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}
	})
}

// inodeOf returns the inode by which /proc knows the socket, 0 if there is none.
func inodeOf(conn *net.UDPConn) (inode uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		var st syscall.Stat_t
		if syscall.Fstat(int(fd), &st) == nil {
			inode = uint64(st.Ino)
		}
	})
	return inode
}

// udpDrops returns how many datagrams the system had no room for, by the last
// column of /proc/net/udp and udp6.
func udpDrops(inode uint64) (n int64, ok bool) {
	if inode == 0 {
		return 0, false
	}
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		if n, ok := dropsIn(b, inode); ok {
			return n, true
		}
	}
	return 0, false
}

// dropsIn finds a socket in such a table: sl local remote st queues timer retrnsmt
// uid timeout inode ref pointer drops.
func dropsIn(table []byte, inode uint64) (int64, bool) {
	const inodeColumn, columns = 9, 13
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < columns || string(f[inodeColumn]) != strconv.FormatUint(inode, 10) {
			continue
		}
		n, err := strconv.ParseInt(string(f[len(f)-1]), 10, 64)
		return n, err == nil
	}
	return 0, false
}

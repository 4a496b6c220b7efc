package proxy

import (
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"

	"socketsrv/internal/kit"
)

// TestPatience: where the system moves the bytes, it does not wait for ever for a peer
// that takes none, on either side.
func TestPatience(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := kit.Background(t, Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+ln.Addr().String())
	client, err := net.Dial("tcp", p.Addr("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	target, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, way := range [][2]net.Conn{{client, target}, {target, client}} { // what was passed on shows that both wait
		io.WriteString(way[0], "x")
		if _, err := io.ReadFull(way[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if got := userTimeout(t, way[1].LocalAddr()); got != int(patience.Milliseconds()) {
			t.Errorf("the socket to %v: TCP_USER_TIMEOUT is %d ms; want %v", way[1].LocalAddr(), got, patience)
		}
	}
}

// userTimeout returns TCP_USER_TIMEOUT of the socket of this process that is connected to
// addr.
func userTimeout(t *testing.T, addr net.Addr) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, entry := range fds {
		fd, _ := strconv.Atoi(entry.Name())
		peer, _ := syscall.Getpeername(fd)
		if sa, ok := peer.(*syscall.SockaddrInet4); !ok || sa.Port != addr.(*net.TCPAddr).Port {
			continue
		}
		got, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, 18)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	t.Fatalf("no socket is connected to %v", addr)
	return 0
}

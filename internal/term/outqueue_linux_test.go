package term

import (
	"io"
	"net"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What a socket's peer has not read lies with the system, until it does.
func TestOutQueue(t *testing.T) {
	much := make([]byte, 64<<20) // more than there is room for
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		nc, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		peer, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		raw, err := nc.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		queue := func() (n int) {
			raw.Control(func(fd uintptr) { n = OutQueue(fd) })
			return n
		}
		n := 0
		for n == 0 { // where the deadline came before the first write
			nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			n, _ = nc.Write(much)
		}
		if held := queue(); held == 0 {
			t.Errorf("%s: %d bytes were taken and none lies with the system", network, n)
		}
		io.CopyN(io.Discard, peer, int64(n))
		for late := time.Now().Add(patience); queue() > 0; runtime.Gosched() {
			if time.Now().After(late) {
				t.Fatalf("%s: all is read, and %d bytes lie with the system", network, queue())
			}
		}
	}
}

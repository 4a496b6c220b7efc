package accept

import (
	"net"
	"testing"
)

// TestDeferred: who says something first is accepted first.
func TestDeferred(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	Deferred(ln)
	var clients [2]net.Conn
	for i := range clients {
		if clients[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
	}
	for _, i := range []int{1, 0} {
		if _, err := clients[i].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got, want := c.RemoteAddr().String(), clients[i].LocalAddr().String(); got != want {
			t.Errorf("accepted %s, want %s, the one that said something", got, want)
		}
	}
}

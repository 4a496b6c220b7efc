package cli

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestGiven: each socket is for the first listener that it fits, and for one.
func TestGiven(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets are no files here")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	pc, err2 := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	defer ln.Close()
	defer pc.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var g Given
	for _, s := range []interface{ File() (*os.File, error) }{client.(*net.TCPConn), pc.(*net.UDPConn), ln.(*net.TCPListener)} {
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		g.files = append(g.files, f)
	}
	env := System()
	g.use(env)
	one, err := env.Listen(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := one.Accept(); err != nil || c.RemoteAddr().String() != ln.Addr().String() {
		t.Errorf("a connection that is given is not accepted: %v", err)
	} else {
		c.Close()
	}
	if _, err := one.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after that one: %v", err)
	}
	if got, err := env.Listen(t.Context(), "tcp", ""); err != nil || got.Addr().String() != ln.Addr().String() {
		t.Errorf("the second listens on %v, %v; want %v", got, err, ln.Addr())
	}
	if n := env.Given.Left(); n != 1 {
		t.Errorf("%d are left", n)
	}
	if _, err := env.Listen(t.Context(), "tcp", ""); err != ErrNotGiven {
		t.Errorf("the third: %v", err)
	}
	if got, err := env.ListenPacket(t.Context(), "udp", ""); err != nil || got.LocalAddr().String() != pc.LocalAddr().String() {
		t.Errorf("datagrams: %v, %v; want %v", got, err, pc.LocalAddr())
	}
	if _, err := env.ListenPacket(t.Context(), "udp", ""); err != ErrNotGiven || env.Given.Left() != 0 {
		t.Errorf("more datagrams: %v, %d left", err, env.Given.Left())
	}
}

// TestGivenElsewhere: what was given to another process is none of ours.
func TestGivenElsewhere(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	for _, pid := range []string{"", "x", "1"} {
		if t.Setenv("LISTEN_PID", pid); System().Given != nil {
			t.Errorf("LISTEN_PID=%s: taken", pid)
		}
	}
	if os.Getenv("LISTEN_FDS") != "1" {
		t.Error("what is not ours is taken from the environment")
	}
}

// TestStdio: a connection of two pipes has deadlines, and ends each way by itself.
func TestStdio(t *testing.T) {
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	c := Stdio(in, out)
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline a read has %v", err)
	}
	c.SetDeadline(time.Time{})
	go func() {
		io.WriteString(typed, "hello")
		typed.Close()
	}()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	go io.WriteString(c, "answer")
	got := make([]byte, 6)
	if _, err := io.ReadFull(shown, got); string(got) != "answer" || err != nil {
		t.Errorf("after the end of stdin it writes %q, %v", got, err)
	}
}

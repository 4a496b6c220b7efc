package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// counter is a target that answers when its client has ended: what came, then a
// megabyte.
func counter(nc net.Conn) {
	p, err := io.ReadAll(nc)
	fmt.Fprintf(nc, "%d bytes, %v;", len(p), err)
	nc.Write(p)
}

// dialStream connects to where a proxy says that it listens.
func dialStream(t *testing.T, announced string) net.Conn {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(announced, "unix:"); ok {
		network, announced = "unix", path
	}
	nc, err := net.Dial(network, announced)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(kit.Patience))
	return nc
}

// TestBytes: what ends its side first still gets all, whatever is on both sides.
func TestBytes(t *testing.T) {
	plain := kit.ListenFor(t, "tcp", counter)
	socket := kit.ListenFor(t, "unix", counter)
	secure := "" // TLS in front of a TCP server: our own proxy
	if tlsconf.Available {
		secure = kit.Background(t, Mode, "-listen", "tls://127.0.0.1:0", "-remote_host", "tcp://"+plain).Addr("tls")
	}
	sent := strings.Repeat("0123456789abcdef", 1<<16)
	for _, tt := range []struct{ listen, proto, remote, flags string }{
		{"tcp://127.0.0.1:0", "tcp", "tcp://" + plain, ""},
		{"tcp://127.0.0.1:0", "tcp", "tcp://" + plain, "-show"},
		{"tcp://127.0.0.1:0", "tcp", "tcp://" + plain, "-idle-timeout 10s"},
		{"tcp://127.0.0.1:0", "tcp", "unix:" + socket, ""},
		{"unix:" + filepath.Join(t.TempDir(), "p"), "tcp", "tcp://" + plain, ""},
		{"tls://127.0.0.1:0", "tls", "tcp://" + plain, "-json"},
		{"tls://127.0.0.1:0", "tls", "tls://" + secure, "-k"},
		{"tcp://127.0.0.1:0", "tls", "tls://" + secure, "-k -ca " + t.TempDir()},
	} {
		if !tlsconf.Available && strings.Contains(tt.proto+tt.remote, "tls") {
			continue
		}
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-listen", tt.listen, "-remote_host", tt.remote)...)
		nc := dialStream(t, p.Addr(tt.proto))
		if tt.proto == "tls" {
			config, err := tlsconf.Client(tlsconf.Options{Insecure: true})
			if err != nil {
				t.Fatal(err)
			}
			if nc, err = config.Client(t.Context(), nc, "localhost"); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			io.WriteString(nc, sent)
			nc.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(nc)
		if want := fmt.Sprintf("%d bytes, <nil>;", len(sent)) + sent; err != nil || string(got) != want {
			t.Errorf("%+v: %d bytes, %.40q, %v; want %d", tt, len(got), got, err, len(want))
		}
		nc.Close()
		p.Stderr.WaitFor(t, `client 0: closed by the client\n`)
		if code := p.Stop(); code != 0 {
			t.Errorf("%+v: exit %d", tt, code)
		}
		p.Stderr.WaitFor(t, fmt.Sprintf(`1 client, \d+ messages, %d bytes, 0 `, 2*len(sent)+len("1048576 bytes, <nil>;")))
	}
}

// TestResets: a reset passes as one, both ways, shown or not; so does the end of TLS
// without close_notify.
func TestResets(t *testing.T) {
	for _, flags := range []string{"", "-show"} {
		conns := make(chan *net.TCPConn, 1)
		target := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			conns <- nc.(*net.TCPConn)
			<-t.Context().Done()
		})
		p := kit.Background(t, Mode, append(strings.Fields(flags), "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+target)...)
		for _, byTarget := range []bool{false, true} {
			client := kit.DialTCP(t, p.Addr("tcp"))
			breaks, hears := client, <-conns
			if byTarget {
				breaks, hears = hears, breaks
			}
			kit.Swap(t, breaks, "hello", "")
			kit.Swap(t, hears, "", "hello")
			breaks.SetLinger(0)
			breaks.Close()
			if n, err := hears.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%q, by the target: %t: %d bytes, %v; want a reset", flags, byTarget, n, err)
			}
		}
		p.Stderr.WaitFor(t, `client 0: client: .*reset`)
		p.Stderr.WaitFor(t, `client 1: target: .*reset`)
	}
}

// TestStreamsRefused: a target that cannot be reached, or is the proxy itself, is the
// end of the client, and a line.
func TestStreamsRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, remote := range []string{"127.0.0.1:1", addr} {
		p := kit.Background(t, Mode, "-listen", "tcp://"+addr, "-remote_host", "tcp://"+remote)
		nc, err := net.Dial("tcp", p.Addr("tcp"))
		if err == nil {
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(kit.Patience))
			_, err = nc.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", remote, err)
		}
		p.Stderr.WaitFor(t, `socketsrv: 127\.0\.0\.1:\d+: tcp://127.0.0.1:\d+: (.*refused|the target is this proxy)\n`)
		p.Stop()
	}
}

// TestIntoWebSocket: a stream becomes messages, and they a stream; the first
// subprotocol asked for is offered.
func TestIntoWebSocket(t *testing.T) {
	type message struct {
		op   wsproto.Opcode
		data string
	}
	got := make(chan message, 9)
	target := kit.ListenFor(t, "tcp", kit.WSPeer(func(c *wsproto.Conn) {
		for {
			m, err := c.ReadMessage()
			if err != nil {
				if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
					got <- message{0, fmt.Sprint(int(ce.Code))}
				}
				return
			}
			got <- message{m.Opcode, string(m.Data)}
			c.WriteMessage(wsproto.OpText, []byte("answer"))
		}
	}))
	for _, tt := range []struct {
		flags string
		want  []message
	}{
		{"", []message{{wsproto.OpBinary, "h\xc3"}, {wsproto.OpBinary, "\xa4 x"}, {wsproto.OpBinary, "\xff"}, {0, "1000"}}},
		{"-text", []message{{wsproto.OpText, "h"}, {wsproto.OpText, "ä x"}, {wsproto.OpBinary, "\xff"}, {0, "1000"}}},
	} {
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-listen", "tcp://127.0.0.1:0", "-remote_host", "ws://"+target+"/x")...)
		nc := kit.DialTCP(t, p.Addr("tcp"))
		for _, send := range []string{"h\xc3", "\xa4 x", "\xff"} {
			kit.Swap(t, nc, send, "answer")
		}
		nc.CloseWrite()
		for _, want := range tt.want {
			if m := <-got; m != want {
				t.Errorf("%q: the target got %v, want %v", tt.flags, m, want)
			}
		}
		if rest, err := io.ReadAll(nc); len(rest) > 0 || err != nil {
			t.Errorf("%q: at the end %q, %v", tt.flags, rest, err)
		}
		p.Stop()
	}
}

// TestSubprotocol has hw-33: a client of a stream is answered what it offers first, or
// what -subprotocol says.
func TestSubprotocol(t *testing.T) {
	target := kit.ListenFor(t, "tcp", kit.DrainPeer)
	for _, tt := range []struct {
		flags, offer []string
		want         string
	}{
		{nil, []string{"mqtt", "binary"}, "mqtt"},
		{[]string{"-subprotocol", "v2,v1"}, []string{"v1", "v2"}, "v2"},
		{[]string{"-subprotocol", "v2"}, []string{"v1"}, ""},
		{nil, nil, ""},
	} {
		p := kit.Background(t, Mode, append(tt.flags, "-port", "0", "-remote_host", "tcp://"+target)...)
		c := dialThrough(t, p, wsproto.DialOptions{Subprotocols: tt.offer})
		if c.Subprotocol() != tt.want {
			t.Errorf("%+v: answered %q", tt, c.Subprotocol())
		}
		c.Close(1000, "")
		p.Stop()
	}
}

// TestUDP has E9 for datagrams: each sender has a session of its own, both ways shown.
func TestUDP(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-ws-port", "off", "-udp-port", "0").Addr("udp")
	p := kit.Background(t, Mode, "-listen", "udp://127.0.0.1:0", "-remote_host", "udp://"+target, "-show", "-max-show", "9", "-udp-idle", "300ms")
	addr := p.Addr("udp")
	for i := range 2 {
		nc, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(kit.Patience))
		for _, size := range []int{3, 0, 60000} {
			nc.Write([]byte(strings.Repeat("u", size)))
			p := make([]byte, 1<<16)
			if n, err := nc.Read(p); n != size || err != nil {
				t.Errorf("%d bytes came back as %d, %v", size, n, err)
			}
		}
		p.Stdout.WaitFor(t, fmt.Sprintf(`(?m)^< received datagram from UDP session #%d: uuu\n> sent datagram to UDP session #%[1]d: uuu\n`, i))
	}
	p.Stderr.WaitFor(t, `client 1: client: idle for too long\n`)
}

// TestStdio: one session, whose end is that of the program.
func TestStdio(t *testing.T) {
	target := kit.ListenFor(t, "tcp", counter)
	p := kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "tcp://"+target, "-show")
	io.WriteString(p.Stdin, "hello")
	p.Stderr.WaitFor(t, `< received payload on stdio connection #0: hello\n`)
	p.Stdin.Close()
	if code := p.Wait(); code != 0 || p.Stdout.String() != "5 bytes, <nil>;hello" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, p.Stdout, p.Stderr)
	}

	ws := kit.ListenFor(t, "tcp", kit.WSPeer(func(c *wsproto.Conn) {
		c.WriteMessage(wsproto.OpBinary, []byte("SSH-2.0"))
		c.Close(4001, "enough")
	}))
	p = kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "ws://"+ws)
	if code := p.Wait(); code != 9 || p.Stdout.String() != "SSH-2.0" { // stdin is open
		t.Errorf("exit %d, want 9; stdout %q, stderr %q", code, p.Stdout, p.Stderr)
	}
	p = kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "tcp://127.0.0.1:1")
	if code := p.Wait(); code != 7 {
		t.Errorf("nobody listens: exit %d, want 7; %q", code, p.Stderr)
	}
	p = kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "tcp://"+kit.ListenFor(t, "tcp", kit.SaysNothing))
	p.Stderr.WaitFor(t, `client 0: stdio to tcp://`)
	if p.Stop(); p.Stdout.String() != "" {
		t.Errorf("stdout has %q", p.Stdout)
	}
}

// TestFraming: streams are shown in messages, however they come.
func TestFraming(t *testing.T) {
	const line = `(?m)^< received payload on TCP connection #0: `
	target := kit.ListenFor(t, "tcp", kit.DrainPeer)
	for _, tt := range []struct {
		framing string
		send    []string
		want    string // on stdout
		says    string
	}{
		{"none", []string{"a\nb"}, line + `a\\nb\n`, ""},
		{"line", []string{"GE", "T 1\r\nGET", " 2\nGE"}, line + `GET 1\\r\n.*: GET 2\n.*: GE\n`, `the stream ended inside this message \(-framing line:keep-cr\)`},
		{"length:1", []string{"\x02a", "b\x01c"}, line + `ab\n.*: c\n`, ""},
		{"idle:20ms", []string{"silence ends this"}, line + `silence ends this\n`, ""},
		{"netstring", []string{"2:ab,x"}, line + `ab\n.*: x\n`, `from here on shown as it comes`},
	} {
		p := kit.Background(t, Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+target, "-show", "-framing", tt.framing)
		nc := kit.DialTCP(t, p.Addr("tcp"))
		for i, s := range tt.send {
			io.WriteString(nc, s)
			p.Stderr.WaitFor(t, `client 0: `)
			if i+1 < len(tt.send) {
				time.Sleep(5 * time.Millisecond) // most likely a read of its own; right in any case
			}
		}
		if strings.HasPrefix(tt.framing, "idle") {
			p.Stdout.WaitFor(t, tt.want)
		}
		nc.Close()
		p.Stdout.WaitFor(t, tt.want)
		p.Stderr.WaitFor(t, tt.says)
		p.Stop()
	}
}

// TestStreamsStop: who waits is let go at once when the proxy ends.
func TestStreamsStop(t *testing.T) {
	target := kit.ListenFor(t, "tcp", kit.DrainPeer)
	p := kit.Background(t, Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+target, "-grace", "1h")
	nc := kit.DialTCP(t, p.Addr("tcp"))
	p.Stderr.WaitFor(t, `client 0: 127.* to tcp://`)
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if rest, err := io.ReadAll(nc); len(rest) > 0 || err != nil {
		t.Errorf("the client has %q, %v", rest, err)
	}
	p.Stderr.WaitFor(t, `client 0: closed by us\n`)
}

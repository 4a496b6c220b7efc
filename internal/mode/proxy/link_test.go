package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
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
		{"tls://127.0.0.1:0", "tls", "tcp://" + plain, "-record " + filepath.Join(t.TempDir(), "r")},
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

// A breaker is one end of what a proxy passes, which may break.
type breaker struct {
	net.Conn
	socket interface{ SetLinger(int) error } // below TLS
}

// breaks ends the connection by a reset.
func (b *breaker) breaks() {
	b.socket.SetLinger(0)
	b.socket.(io.Closer).Close()
}

// secured makes nc one end of TLS.
func secured(t *testing.T, nc net.Conn, client bool) *breaker {
	t.Helper()
	config, err := tlsconf.Server(tlsconf.Options{})
	if client {
		config, err = tlsconf.Client(tlsconf.Options{Insecure: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{socket: nc.(*net.TCPConn)}
	if client {
		b.Conn, err = config.Client(t.Context(), nc, "localhost")
	} else {
		b.Conn, err = config.Handshake(t.Context(), nc)
	}
	if err != nil {
		t.Error(err)
	}
	return b
}

// trusting are flags with -k, where the build has TLS.
func trusting(flags ...string) []string {
	if tlsconf.Available {
		return append(flags, "-k")
	}
	return flags
}

// TestResets: a reset passes as one, both ways, with TLS or without, shown or not.
func TestResets(t *testing.T) {
	for _, tt := range []struct{ flags, client, target string }{
		{"", "tcp", "tcp"}, {"-show", "tcp", "tcp"}, {"", "tls", "tcp"}, {"", "tcp", "tls"}, {"-show", "tls", "tls"},
	} {
		if !tlsconf.Available && tt.client+tt.target != "tcptcp" {
			continue
		}
		conns := make(chan *breaker, 1)
		target := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			b := &breaker{nc, nc.(*net.TCPConn)}
			if tt.target == "tls" {
				b = secured(t, nc, false)
			}
			conns <- b
			<-t.Context().Done()
		})
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), trusting("-listen", tt.client+"://127.0.0.1:0", "-remote_host", tt.target+"://"+target)...)...)
		for _, byTarget := range []bool{false, true} {
			socket := kit.DialTCP(t, p.Addr(tt.client))
			client := &breaker{socket, socket}
			if tt.client == "tls" {
				client = secured(t, socket, true)
			}
			breaks, hears := client, <-conns
			if byTarget {
				breaks, hears = hears, breaks
			}
			kit.Swap(t, breaks, "hello", "")
			kit.Swap(t, hears, "", "hello")
			breaks.breaks()
			if n, err := hears.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%+v, by the target: %t: %d bytes, %v; want a reset", tt, byTarget, n, err)
			}
		}
		p.Stderr.WaitFor(t, `client 0: client: .*reset`)
		p.Stderr.WaitFor(t, `client 1: target: .*reset`)
		p.Stop()
	}
}

// TestCut: the end of TLS without close_notify is passed on as a reset, for what came
// may be only a part.
func TestCut(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build leaves TLS out")
	}
	ends := make(chan error, 1)
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) {
		_, err := io.ReadAll(nc)
		ends <- err
	})
	p := kit.Background(t, Mode, "-listen", "tls://127.0.0.1:0", "-remote_host", "tcp://"+target)
	socket := kit.DialTCP(t, p.Addr("tls"))
	kit.Swap(t, secured(t, socket, true), "half of a messa", "")
	socket.CloseWrite()
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target read to the end with %v, want a reset", err)
	}
	p.Stderr.WaitFor(t, `client 0: client: TLS ended without close_notify`)
}

// TestUnixBroken: a Unix socket knows no reset but of a peer that went without having
// read all, which passes on as one.
func TestUnixBroken(t *testing.T) {
	conns := make(chan net.Conn, 1)
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) {
		conns <- nc
		<-t.Context().Done()
	})
	p := kit.Background(t, Mode, "-listen", "unix:"+filepath.Join(t.TempDir(), "p"), "-remote_host", "tcp://"+target)
	client := dialStream(t, p.Addr("tcp"))
	hears := <-conns
	kit.Swap(t, client, "hello", "")
	kit.Swap(t, hears, "more than is read", "hello")
	client.Read(make([]byte, 4))
	client.Close()
	if n, err := hears.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target read %d bytes, %v; want a reset", n, err)
	}
}

// TestPlain: between sockets nothing stands that would keep the system from moving the
// bytes itself.
func TestPlain(t *testing.T) {
	p := &proxy{}
	for _, network := range []string{"tcp", "unix"} {
		at := "127.0.0.1:0"
		if network == "unix" {
			at = filepath.Join(t.TempDir(), "s")
		}
		ln, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		nc := dialStream(t, strings.Replace(ln.Addr().String(), "/", "unix:/", 1))
		accepted, err := accept.Limit(ln, 1, nil).Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		for _, nc := range []net.Conn{nc, accepted} {
			if got := fmt.Sprintf("%T", plain(p.stream(nc))); strings.ToLower(got) != "*net."+network+"conn" {
				t.Errorf("%s: %T is copied as %s", network, nc, got)
			}
		}
	}
}

// TestSendProxy: the target hears of the client, from proxy to proxy, before TLS, and
// before a handshake of WebSocket.
func TestSendProxy(t *testing.T) {
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) { io.Copy(nc, nc) })
	last := "tcp://" + target
	for i, tt := range []struct{ proto, version string }{{"tcp", "v1"}, {"tls", "v2"}, {"tcp", "v2"}} {
		if !tlsconf.Available {
			tt.proto = "tcp"
		}
		flags := trusting("-listen", tt.proto+"://127.0.0.1:0", "-remote_host", last, "-send-proxy", tt.version)
		if i < 2 {
			flags = append(flags, "-proxy-protocol")
		}
		last = tt.proto + "://" + kit.Background(t, Mode, flags...).Addr(tt.proto)
	}
	nc := kit.DialTCP(t, strings.TrimPrefix(last, "tcp://"))
	kit.Swap(t, nc, "hello", "PROXY TCP4 127.0.0.1 127.0.0.1 "+fmt.Sprint(nc.LocalAddr().(*net.TCPAddr).Port)+" ")

	p := kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "tcp://"+target, "-send-proxy", "v1")
	p.Stdin.Close()
	if code := p.Wait(); code != 0 || p.Stdout.String() != "PROXY UNKNOWN\r\n" {
		t.Errorf("of stdin it tells %q, exit %d, %s", p.Stdout, code, p.Stderr)
	}
	ws := kit.Background(t, echo.Mode, "-port", "0", "-proxy-protocol")
	p = kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+ws.Addr("ws"), "-send-proxy", "v2")
	c := dialThrough(t, p, wsproto.DialOptions{})
	ws.Stderr.WaitFor(t, c.NetConn().LocalAddr().String())
	c.Close(1000, "")
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
	p = kit.Background(t, Mode, "-listen", "stdio:", "-remote_host", "tcp://"+kit.ListenFor(t, "tcp", kit.DrainPeer))
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
		{"netstring", []string{"2:ab,3:de", "fxx"}, line + `ab\n.*: 3:de(\n.*: )?fxx\n`, `from here on shown as it comes`}, // with what came before the fault
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

// TestFramingMemory: what there is no memory for to wait for its end is shown as it comes,
// and once.
func TestFramingMemory(t *testing.T) {
	target := kit.ListenFor(t, "tcp", kit.DrainPeer)
	p := kit.Background(t, Mode, "-listen", "tcp://127.0.0.1:0", "-remote_host", "tcp://"+target, "-json", "-framing", "line", "-max-memory", "50k", "-max-message", "1M")
	nc := kit.DialTCP(t, p.Addr("tcp"))
	io.WriteString(nc, strings.Repeat("x", 300000))
	nc.Close()
	p.Stdout.WaitFor(t, `"event":"close".*\n`)
	sum := 0
	for _, m := range regexp.MustCompile(`"event":"message".*"size":(\d+)`).FindAllStringSubmatch(p.Stdout.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		sum += n
	}
	if sum != 300000 {
		t.Errorf("%d bytes are shown", sum)
	}
	p.Stop()
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

// TestNothingRaw: whatever peers send, no byte of it moves a terminal.
func TestNothingRaw(t *testing.T) {
	const bad = "\x1b]0;title\a\x1b[2J\u009b31m\u202e\u200b\x00\r\x7f\xff"
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) { io.Copy(nc, nc) })
	refuses := kit.ListenFor(t, "tcp", kit.WSRaw(func(string) string { return "HTTP/1.1 404 " + bad + "\r\nX: " + bad + "\r\n\r\n" }, kit.DrainPeer))
	frame := string(wsproto.AppendHeader(nil, wsproto.Header{Fin: true, Opcode: wsproto.OpBinary, Masked: true, PayloadLen: int64(len(bad))})) + bad
	open := strings.Replace(kit.Opening(), "GET /", "GET /\u202e\u009b", 1)
	for _, tt := range []struct{ flags, proto, send, wait string }{
		{"-listen tcp://127.0.0.1:0 -remote_host tcp://" + target, "tcp", bad, `sent payload .*connection #0`},
		{"-framing line -listen tcp://127.0.0.1:0 -remote_host tcp://" + target, "tcp", bad + "\n" + bad, `sent payload .*connection #0`},
		{"-format hex -listen tcp://127.0.0.1:0 -remote_host tcp://" + target, "tcp", bad, `sent payload .*connection #0`},
		{"-framing netstring -listen tcp://127.0.0.1:0 -remote_host tcp://" + target, "tcp", bad, `sent payload .*connection #0`},
		{"-port 0 -remote_host tcp://" + target, "ws", open, ``},
		{"-port 0 -remote_host tcp://" + target, "ws", kit.Opening() + frame, `eceived .*message on WebSocket connection #0`},
		{"-port 0 -remote_host ws://" + refuses, "ws", strings.Replace(kit.Opening(), "\r\n", "\r\nX: \u009b31m\r\n", 1), `socketsrv: `},
		{"-port 0 -proxy-protocol -remote_host ws://" + refuses, "ws", bad, `socketsrv: `},
	} {
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-show", "-v")...)
		nc := kit.DialTCP(t, p.Addr(tt.proto))
		io.WriteString(nc, tt.send)
		nc.CloseWrite()
		io.Copy(io.Discard, nc)
		says := p.Stdout
		if tt.wait == `socketsrv: ` {
			says = p.Stderr
		}
		says.WaitFor(t, tt.wait) // may come after the client was let go
		p.Stop()
		all := p.Stdout.String() + p.Stderr.String()
		for _, r := range all {
			if r != '\n' && !strconv.IsPrint(r) || r == utf8.RuneError {
				t.Errorf("%s: shows %q, in %q", tt.flags, r, all)
				break
			}
		}
	}
}

// TestFewDescriptors: no more clients come in than there are descriptors for, with the
// pipes that the system moves bytes through.
func TestFewDescriptors(t *testing.T) {
	target := kit.ListenFor(t, "tcp", func(nc net.Conn) { io.Copy(nc, nc) })
	few := Mode
	few.Setup = func(fs *cli.Flags) cli.Func {
		run := Mode.Setup(fs)
		return func(ctx context.Context, env *cli.Env, args []string) error {
			own := *env
			own.Descriptors = 256
			return run(ctx, &own, args)
		}
	}
	p := kit.Background(t, few, "-listen", "tcp://127.0.0.1:0", "-remote-host", "tcp://"+target)
	served := 0
	for range 60 {
		nc := kit.DialTCP(t, p.Addr("tcp"))
		io.WriteString(nc, "x")
		if n, _ := nc.Read(make([]byte, 1)); n > 0 {
			served++
		}
	}
	if served != 32 {
		t.Errorf("%d clients are served with 256 descriptors, want 32", served)
	}
}

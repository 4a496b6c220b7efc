package echo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

func TestEchoTCP(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-idle-timeout", "1h")
	nc := kit.DialTCP(t, p.Addr("tcp"))
	kit.Swap(t, nc, "hello", "hello")
	kit.Swap(t, nc, "\x00\xff\r\n", "\x00\xff\r\n")
	big := strings.Repeat("0123456789", 100000)
	go io.WriteString(nc, big)
	kit.Swap(t, nc, "", big)
	nc.CloseWrite()
	if rest, err := io.ReadAll(nc); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v; want the end", rest, err)
	}
	p.Stderr.WaitFor(t, "Closed connection: client id 0\n")
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

func TestEchoLines(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-framing", "line", "-max-message", "1000")
	nc := kit.DialTCP(t, p.Addr("tcp"))
	kit.Swap(t, nc, "one\r\ntw", "one\r\n")
	kit.Swap(t, nc, "o\n\n", "two\n\n")
	kit.Swap(t, nc, strings.Repeat("x", 1001), "") // -max-message
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("a line of 1,001 bytes is echoed")
	}
	p.Stderr.WaitFor(t, "line too long")
	kit.Swap(t, kit.DialTCP(t, p.Addr("tcp")), "next\n", "next\n")
}

// TestEchoLimits: a limit that an int may not hold is none that is less.
func TestEchoLimits(t *testing.T) {
	for _, limit := range []string{"2G", "4G", "1000G"} {
		p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-framing", "line", "-max-message", limit)
		kit.Swap(t, kit.DialTCP(t, p.Addr("tcp")), strings.Repeat("x", 100000)+"\n", strings.Repeat("x", 100000)+"\n")
	}
}

// TestEchoMessages: gruv_socks's echo, as bytes.
func TestEchoMessages(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-framing", "length")
	nc := kit.DialTCP(t, p.Addr("tcp"))
	kit.Swap(t, nc, "\x00\x00\x00\x05Hello", "\x00\x00\x00\x05Hello")
	kit.Swap(t, nc, "\x00\x00\x00\x00", "\x00\x00\x00\x00")
	io.WriteString(nc, "\xff\xff\xff\xff") // 4 GiB are announced
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("4 GiB announced: the connection goes on")
	}
	p.Stderr.WaitFor(t, "message too long")
}

func TestEchoUDP(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-udp-port", "0")
	nc, err := net.Dial("udp", p.Addr("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	late := time.Now().Add(kit.Patience)
	buf := make([]byte, cli.MaxDatagram+1)
	for _, n := range []int{5, 0, cli.MaxDatagram, 1} {
		want := bytes.Repeat([]byte{'d'}, n)
		for { // datagrams may get lost
			if _, err := nc.Write(want); err != nil {
				t.Fatal(err)
			}
			nc.SetReadDeadline(time.Now().Add(time.Second))
			got, err := nc.Read(buf)
			if err == nil && bytes.Equal(buf[:got], want) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("%d bytes: got %d, %v", n, got, err)
			}
		}
	}
}

func TestAnswerable(t *testing.T) {
	for from, want := range map[string]bool{
		"127.0.0.1:4000": true, "192.0.2.7:60000": true, "[::1]:4000": true, "[fe80::1%eth0]:4000": true, "[::ffff:192.0.2.7]:4000": true,
		"192.0.2.7:0": false, "192.0.2.7:7": false, "192.0.2.7:19": false, "192.0.2.7:53": false, "192.0.2.7:123": false,
		"192.0.2.7:1900": false, "192.0.2.7:11211": false, "[2001:db8::1]:53": false,
		"224.0.0.1:4000": false, "239.1.2.3:4000": false, "255.255.255.255:4000": false, "192.0.2.255:4000": false,
		"0.0.0.0:4000": false, "[::]:4000": false, "[ff02::1]:4000": false, "[::ffff:224.0.0.1]:4000": false,
	} {
		if got := listen.Answerable(netip.MustParseAddrPort(from)); got != want {
			t.Errorf("answerable(%s) = %t, want %t", from, got, want)
		}
	}
}

func TestEchoWebSocketOptions(t *testing.T) {
	tests := []struct {
		name   string
		flags  string
		header httpmini.Header
		status int // of a refusal; 0: none
		close  wsproto.StatusCode
		first  string // message
	}{
		{name: "greeting", flags: "-greet Welcome!", first: "Welcome!"},
		{name: "wrong Authorization, after the handshake", flags: "-http-authorization-header secret", close: 4001},
		{name: "right Authorization", flags: "-http_authorization_header secret -greet hi", header: httpmini.Header{{Name: "Authorization", Value: "secret"}}, first: "Authorization suceeded!"},
		{name: "no token", flags: "-token abc", status: 401},
		{name: "token", flags: "-token abc -greet hi", header: httpmini.Header{{Name: "Authorization", Value: "Bearer abc"}}, first: "hi"},
		{name: "user", flags: "-auth me:pw -greet hi", header: httpmini.Header{{Name: "Authorization", Value: "Basic bWU6cHc="}}, first: "hi"},
		{name: "wrong user", flags: "-auth me:pw", header: httpmini.Header{{Name: "Authorization", Value: "Basic bWU6cHg="}}, status: 401},
		{name: "any origin", flags: "-greet hi", header: httpmini.Header{{Name: "Origin", Value: "http://evil.example"}}, first: "hi"},
		{name: "an origin not listed", flags: "-origin http://good.example", header: httpmini.Header{{Name: "Origin", Value: "http://evil.example"}}, status: 403},
	}
	for _, tt := range tests {
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-port", "0")...)
		c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", wsproto.DialOptions{Header: tt.header})
		if he, ok := errors.AsType[*wsproto.HandshakeError](err); ok || tt.status != 0 {
			if he == nil || he.Status != tt.status {
				t.Errorf("%s: %v, want status %d", tt.name, err, tt.status)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		c.SetReadDeadline(time.Now().Add(kit.Patience))
		m, err := c.ReadMessage()
		if ce, ok := errors.AsType[*wsproto.CloseError](err); ok && ce.Code == tt.close {
			continue
		}
		if err != nil || string(m.Data) != tt.first {
			t.Errorf("%s: got %q, %v; want %q, close code %d", tt.name, m.Data, err, tt.first, tt.close)
		}
		c.Close(wsproto.StatusNormalClosure, "")
	}
}

// TestEchoStop: clients are told that the server goes, and no secret is logged.
func TestEchoStop(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-json", "-v")
	addr := p.Addr("ws")
	c, _, err := wsproto.Dial(t.Context(), "ws://"+addr+"/x", wsproto.DialOptions{Header: httpmini.Header{{Name: "Authorization", Value: "Bearer topsecret"}}})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	c.Ping([]byte("p"))
	c.WriteMessage(wsproto.OpText, []byte("hi"))
	if m, err := c.ReadMessage(); err != nil || string(m.Data) != "hi" {
		t.Fatalf("got %q, %v", m.Data, err)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- p.Stop() }()
	_, err = c.ReadMessage()
	if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != wsproto.StatusGoingAway {
		t.Errorf("the client ended with %v, want close 1001", err)
	}
	c.Close(0, "")
	if code := <-stopped; code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	if text := p.Stderr.String() + p.Stdout.String(); strings.Contains(text, "topsecret") || !strings.Contains(text, `\r\nAuthorization: ***\r\n\r\n`) {
		t.Errorf("the log has the secret: %s", text)
	}
	var kinds []string
	for line := range strings.Lines(p.Stdout.String()) {
		var ev struct {
			Event, Opcode, Text string
			Code                int
		}
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, strings.TrimSpace(ev.Event+" "+ev.Opcode+ev.Text))
	}
	if got, want := strings.Join(kinds, ", "), "listening, open, ping ping, pong pong, message texthi, message texthi, close, summary"; got != want &&
		strings.ReplaceAll(got, "ping pingp, pong pongp", "ping ping, pong pong") != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// TestEchoFramings: messages of every framing come back as they were framed.
func TestEchoFramings(t *testing.T) {
	for _, tt := range []struct{ framing, send, want string }{
		{"mllp", "\x0bMSH|a\x1c\r\x0bMSH", "\x0bMSH|a\x1c\r"},
		{"length:2le", "\x03\x00abc\x01", "\x03\x00abc"},
		{"delim:0d", "*IDN?\r*ID", "*IDN?\r"},
		{"decimal", "3 abc4 a", "3 abc"},
		{"slip", "\xc0a\xdb\xdcb\xc0", "\xc0a\xdb\xdcb\xc0"},
		{"idle:30ms", "\x01\x03\x00", "\x01\x03\x00"},
	} {
		p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-framing", tt.framing)
		nc := kit.DialTCP(t, p.Addr("tcp"))
		kit.Swap(t, nc, tt.send, tt.want)
		p.Stop()
	}
}

// TestEchoMemory: what clients have begun counts for all together. Who would need more
// is ended, which gives back what it had.
func TestEchoMemory(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-framing", "line", "-max-memory", "100k")
	part := strings.Repeat("x", 60<<10)
	first, second := kit.DialTCP(t, p.Addr("tcp")), kit.DialTCP(t, p.Addr("tcp"))
	kit.Swap(t, first, "here\n"+part, "here\n")
	go io.WriteString(second, part+part+"\n")
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a message is echoed for which there is no memory")
	}
	p.Stderr.WaitFor(t, "all messages together take more memory than they may")
	kit.Swap(t, first, "\n", part+"\n")
	kit.Swap(t, kit.DialTCP(t, p.Addr("tcp")), part+"\n", part+"\n")
}

// TestEchoNames: what events call a connection, over TLS and over a Unix socket.
func TestEchoNames(t *testing.T) {
	path := t.TempDir() + "/s"
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-tcp-addr", "unix:"+path, "-json")
	p.Addr("unix|tcp")
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	kit.Swap(t, nc, "x", "x")
	nc.Close()
	p.Stdout.WaitFor(t, `"event":"open","proto":"unix","client":0}`)
	p.Stdout.WaitFor(t, `"event":"message","proto":"unix","client":0,"dir":"out","size":1,"text":"x"`)
}

// TestEchoFull: a client of TCP that is one too many is closed without a word, and that
// is said.
func TestEchoFull(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-max-conns", "1")
	kit.Swap(t, kit.DialTCP(t, p.Addr("tcp")), "x", "x")
	if got, _ := io.ReadAll(kit.DialTCP(t, p.Addr("tcp"))); len(got) > 0 {
		t.Errorf("the one too many is sent %q", got)
	}
	p.Stderr.WaitFor(t, "as many clients as -max-conns allows")
}

package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/connect"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

func dialThrough(t *testing.T, p *kit.Run, opt wsproto.DialOptions) *wsproto.Conn {
	t.Helper()
	c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", opt)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	return c
}

func TestEcho(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0", "-subprotocol", "chat")
	p := kit.Background(t, Mode, "-port", "0", "-v", "-remote_host", "ws://"+target.Addr("ws"))
	pongs := make(chan string, 1)
	c := dialThrough(t, p, wsproto.DialOptions{Subprotocols: []string{"other", "chat"}, Config: wsproto.Config{Tap: func(received bool, h wsproto.Header, b []byte) {
		if received && h.Opcode == wsproto.OpPong {
			pongs <- string(b)
		}
	}}})
	if c.Agreement().Deflate == nil || c.Subprotocol() != "chat" {
		t.Errorf("agreed on %+v, want permessage-deflate and chat", c.Agreement())
	}
	c.Ping([]byte("who answers"))
	for _, m := range []wsproto.Message{
		{Opcode: wsproto.OpText, Data: []byte("Hello")},
		{Opcode: wsproto.OpBinary, Data: []byte{0, 255}},
		{Opcode: wsproto.OpText, Data: nil},
		{Opcode: wsproto.OpText, Data: bytes.Repeat([]byte("compressible "), 100000)},
	} {
		go c.WriteMessage(m.Opcode, m.Data)
		got, err := c.ReadMessage()
		if err != nil || got.Opcode != m.Opcode || !bytes.Equal(got.Data, m.Data) {
			t.Fatalf("%v of %d bytes: got %v of %d, %v", m.Opcode, len(m.Data), got.Opcode, len(got.Data), err)
		}
	}
	if got := <-pongs; got != "who answers" {
		t.Errorf("the pong is %q", got)
	}
	if err := c.Close(4001, "enough"); err != nil {
		t.Errorf("closing: %v", err)
	}
	p.Stderr.WaitFor(t, `client 0: closed by the client: code 4001 reason "enough"\n`)
	target.Stderr.WaitFor(t, `code 4001 reason enough\n`)
	for _, line := range []string{
		`< received ping on WebSocket connection #0: who answers`, `> sent pong to WebSocket connection #0: who answers`,
		`< Received message on WebSocket connection #0: Hello`, `> sent message to WebSocket connection #0: Hello`,
		`< Received binary message on WebSocket connection #0: 2 bytes\n00000000  00 ff .*`, `> sent message to WebSocket connection #0: `,
	} {
		p.Stdout.WaitFor(t, `(?m)^`+line+`$`)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p.Stderr.WaitFor(t, `1 client, 8 messages, \d+ bytes, 0 handshakes refused\n`)
}

// TestDeflate has PX21: with both, with the client alone, with -x.
func TestDeflate(t *testing.T) {
	for _, tt := range []struct {
		target, proxy []string
		client, want  bool
	}{
		{nil, nil, true, true},
		{nil, nil, false, false},
		{[]string{"-x"}, nil, true, false},
		{nil, []string{"-x"}, true, false},
	} {
		target := kit.Background(t, echo.Mode, append(tt.target, "-port", "0")...)
		p := kit.Background(t, Mode, append(tt.proxy, "-port", "0", "-remote_host", "ws://"+target.Addr("ws"))...)
		c := dialThrough(t, p, wsproto.DialOptions{NoCompression: !tt.client})
		if got := c.Agreement().Deflate != nil; got != tt.want {
			t.Errorf("%+v: permessage-deflate agreed on: %t", tt, got)
		}
		go c.WriteMessage(wsproto.OpText, bytes.Repeat([]byte("a"), 1000))
		if m, err := c.ReadMessage(); err != nil || len(m.Data) != 1000 {
			t.Errorf("%+v: %d bytes, %v", tt, len(m.Data), err)
		}
		c.Close(1000, "")
	}
}

// TestRefuses has what the target does not even hear of: PX06, PX07, PX11.
func TestRefuses(t *testing.T) {
	f := kit.PlayTarget(t, kit.Switching(), nil)
	config := filepath.Join(t.TempDir(), "proxy.conf")
	os.WriteFile(config, []byte("127.0.0.1=ws://"+f.Addr+"\n"), 0o600)
	p := kit.Background(t, Mode, "-port", "0", "-config_path", config)
	for _, tt := range []struct {
		name    string
		request string
		status  int
	}{
		{"no handshake", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 426},
		{"old version", kit.Opening("Sec-WebSocket-Version: 8"), 426},
		{"POST", strings.Replace(kit.Opening(), "GET", "POST", 1), 405},
		{"PX06: length", kit.Opening("Content-Length: 5") + "hello", 400},
		{"PX06: chunked", kit.Opening("Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"PX07: Host", kit.Opening("Connection: Upgrade, X-Auth, Host"), 400},
		{"PX07: Content-Length", kit.Opening("Connection: Upgrade, content-length"), 400},
		{"PX07: Transfer-Encoding", kit.Opening("Connection: Upgrade, Transfer-Encoding"), 400},
		{"PX11: other host", kit.Opening("Host: elsewhere.example"), 421},
		{"PX11: no host", kit.Opening("Host:"), 400},
		{"PX11: user", kit.Opening("Host: me@127.0.0.1"), 400},
		{"foreign page", kit.Opening("Origin: http://evil.example"), 403},
		{"malformed extensions", kit.Opening("Sec-WebSocket-Extensions: ;"), 400},
		{"bad key", kit.Opening("Sec-WebSocket-Key: short"), 400},
	} {
		res, body := kit.ExchangeHeads(t, p.Addr("ws"), tt.request)
		if res.Status != tt.status || !res.Header.HasToken("Connection", "close") || body == "" {
			t.Errorf("%s: %d %v %q, want %d", tt.name, res.Status, res.Header, body, tt.status)
		}
	}
	if len(f.Got) > 0 {
		t.Errorf("the target was asked: %q", <-f.Got)
	}
}

// TestBadTargets has PX01, PX03, PX05 and answers that no client could use.
func TestBadTargets(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, tt := range []struct {
		name   string
		answer func(string) string // nil: nobody listens
		status int
		header string // that must come along
		body   string
	}{
		{"PX01: refuses", nil, 502, "", "502 Bad Gateway: the target: cannot be reached\n"},
		{"closes", kit.Always(""), 502, "", ""},
		{"speaks no HTTP", kit.Always("SSH-2.0-OpenSSH\r\n"), 502, "", ""},
		{"PX03: 200", kit.Always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 200, "", "hello"},
		{"PX03: 401", kit.Always("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"), 401, `Basic realm="x"`, "no"},
		{"PX03: 302", kit.Always("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n"), 302, "ws://elsewhere/", ""},
		{"426", kit.Always("HTTP/1.1 426 No\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99\r\nContent-Length: 0\r\n\r\n"), 426, "99", ""},
		{"a large refusal", kit.Always("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("x", 70000)), 502, "", ""},
		{"a cut refusal", kit.Always("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), 502, "", ""},
		{"PX05: wrong accept", func(string) string { return kit.Switching()(kit.ExampleKey) }, 502, "", ""},
		{"no accept", kit.Always("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), 502, "", ""},
		{"HTTP/1.0", func(key string) string { return strings.Replace(kit.Switching()(key), "1.1", "1.0", 1) }, 502, "", ""},
		{"a subprotocol nobody offered", kit.Switching("Sec-WebSocket-Protocol: chat"), 502, "", ""},
		{"an extension nobody offered", kit.Switching("Sec-WebSocket-Extensions: permessage-deflate"), 502, "", ""},
	} {
		addr := gone.Addr().String()
		if tt.answer != nil {
			addr = kit.PlayTarget(t, tt.answer, nil).Addr
		}
		p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+addr)
		res, body := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening())
		if res.Status != tt.status || !res.Header.HasToken("Connection", "close") || tt.body != "" && body != tt.body || res.Header.Has("Keep-Alive") {
			t.Errorf("%s: %d %v %q, want %d %q", tt.name, res.Status, res.Header, body, tt.status, tt.body)
		}
		if !slices.ContainsFunc(res.Header, func(f httpmini.Field) bool { return f.Value == tt.header }) && tt.header != "" {
			t.Errorf("%s: %v lacks %q", tt.name, res.Header, tt.header)
		}
		p.Stderr.WaitFor(t, `(?m)^socketsrv: 127\.0\.0\.1:\d+: `)
	}
}

// TestBodyOf101 is hw-19: what says that a 101 has a body says nothing (RFC 9112 §6.3).
func TestBodyOf101(t *testing.T) {
	for _, field := range []string{"Content-Length: 2147483647", "Content-Length: 00", "Transfer-Encoding: chunked"} {
		f := kit.PlayTarget(t, kit.Switching(field), nil)
		p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+f.Addr)
		if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening()); res.Status != 101 || res.Header.Has("Content-Length") || res.Header.Has("Transfer-Encoding") {
			t.Errorf("%s: %d %v", field, res.Status, res.Header)
		}
	}
}

// TestJudge: what a target agrees to was offered, parameter by parameter (RFC 7692 §7.1).
func TestJudge(t *testing.T) {
	const d = "permessage-deflate"
	for _, tt := range []struct {
		offer, answer string
		status        int
	}{
		{d, d, 101},
		{d, d + "; client_max_window_bits=10", 502},
		{d + "; client_max_window_bits", d + "; client_max_window_bits=10", 101},
		{d, d + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9", 101},
		{d, d + "; x", 502},
		{d, d + "; client_max_window_bits", 502},
		{d + "; server_no_context_takeover", d, 502},
		{d + "; server_no_context_takeover, " + d, d, 101},
		{d + "; server_max_window_bits=9", d, 502},
		{d + "; server_max_window_bits=9", d + "; server_max_window_bits=10", 502},
		{d + "; server_max_window_bits=9", d + "; server_max_window_bits=9", 101},
		{d, d + ", " + d, 502},
		{"x-other", d, 502},
	} {
		f := kit.PlayTarget(t, kit.Switching("Sec-WebSocket-Extensions: "+tt.answer), nil)
		p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+f.Addr)
		if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening("Sec-WebSocket-Extensions: "+tt.offer)); res.Status != tt.status {
			t.Errorf("offered %q, answered %q: %d, want %d", tt.offer, tt.answer, res.Status, tt.status)
		}
		p.Stop()
	}
}

// TestLeaves: no path leads out of the target's own.
func TestLeaves(t *testing.T) {
	for path, want := range map[string]bool{
		"/": false, "/a/../b": false, "/a/..": false, "/..a/...": false, "/a%2fb/../..": false, "/%zz": false,
		"/..": true, "/../admin": true, "/a/../../admin": true, "/%2e%2e/admin": true, "/.%2E%2fadmin": true, "/..;x=y/admin": true,
		"/..\\admin": true, "/..%5cadmin": true, "//../admin": true, "/./../admin": true,
	} {
		if leaves(path) != want {
			t.Errorf("%q leaves: %t", path, !want)
		}
	}
	f := kit.PlayTarget(t, kit.Switching(), nil)
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+f.Addr+"/base")
	if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), strings.Replace(kit.Opening(), "/path", "/%2e./admin", 1)); res.Status != 400 || len(f.Got) > 0 {
		t.Errorf("a path that leaves: %d, want 400", res.Status)
	}
}

// TestLoop: a request that comes back, by one proxy or by two, is answered 508.
func TestLoop(t *testing.T) {
	for _, several := range []bool{false, true} {
		first := make(chan string, 1)
		back := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			addr := <-first
			first <- addr
			up, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			defer up.Close()
			go io.Copy(up, nc)
			io.Copy(nc, up)
		})
		if several {
			back = kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+back).Addr("ws")
		}
		p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+back)
		first <- p.Addr("ws")
		if res, body := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening()); res.Status != 508 {
			t.Errorf("several: %t: %d %q, want 508", several, res.Status, body)
		}
	}
}

// TestSilentTarget has PX02.
func TestSilentTarget(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	f := kit.PlayTarget(t, kit.Always(""), func(*net.TCPConn) { <-release })
	p := kit.Background(t, Mode, "-port", "0", "-handshake-timeout", "300ms", "-remote_host", "ws://"+f.Addr)
	if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening()); res.Status != 504 {
		t.Errorf("status %d, want 504", res.Status)
	}
}

// TestFields has what the target gets: PX07, PX08, PX24.
func TestFields(t *testing.T) {
	query := strings.Repeat("q", 8<<10)
	f := kit.PlayTarget(t, kit.Switching("Set-Cookie: a=b", "X-Hop: 1", "Connection: X-Hop", "Keep-Alive: 5"), nil)
	send := kit.Opening("Origin: http://localhost:3000", "Cookie: c=d", "User-Agent: test", "Authorization: Basic eDp5", "Sec-WebSocket-Protocol: a, b",
		"Sec-WebSocket-Extensions: x-other, permessage-deflate; client_max_window_bits", "Connection: keep-alive, Upgrade, X-Auth", "X-Auth: secret",
		"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X_Own: kept", "X-Forwarded-Host: h", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6",
		"X_Forwarded_For: 6.6.6.6", "X-Real_IP: 6.6.6.6", "Transfer_Encoding: chunked", "X_Auth: secret", "Sec_WebSocket_Protocol: evil",
		"Keep-Alive: 300", "Proxy-Authorization: Basic x", "TE: trailers", "Expect: 100-continue", "X-Own: kept")
	send = strings.Replace(send, "/path?q", "/a%0d%0a%00/%2e?"+query, 1)
	base := []string{"Origin: http://localhost:3000", "Cookie: c=d", "User-Agent: test", "Sec-WebSocket-Protocol: a, b", "X-Own: kept", "X_Own: kept",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}
	plain := []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: 127.0.0.1"}
	for _, tt := range []struct {
		flags []string
		path  string // of the target
		want  []string
	}{
		{nil, "", append([]string{"Authorization: Basic eDp5"}, plain...)},
		{[]string{"-auth", "x:y"}, "/base/", plain}, // which was for us
		{[]string{"-trust-forwarded"}, "/base", []string{"Authorization: Basic eDp5", "X-Forwarded-For: 6.6.6.6, 127.0.0.1", "X-Forwarded-Proto: https",
			"X-Forwarded-Host: h", "Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6"}},
	} {
		p := kit.Background(t, Mode, append(tt.flags, "-port", "0", "-remote_host", "ws://"+f.Addr+tt.path)...)
		res, _ := kit.ExchangeHeads(t, p.Addr("ws"), send)
		if res.Status != 101 || res.Header.Get("Sec-WebSocket-Accept") != wsproto.AcceptKey(kit.ExampleKey) || res.Header.Count("Sec-WebSocket-Accept") != 1 ||
			res.Header.Get("Set-Cookie") != "a=b" || res.Header.Has("X-Hop") || res.Header.Has("Keep-Alive") || res.Header.Count("Connection") != 1 {
			t.Errorf("%v: %d %v", tt.flags, res.Status, res.Header)
		}
		got := strings.Split(strings.TrimSpace(<-f.Got), "\r\n")
		if want := "GET " + strings.TrimSuffix(tt.path, "/") + "/a%0d%0a%00/%2e?" + query + " HTTP/1.1"; got[0] != want {
			t.Errorf("%v: request line %q", tt.flags, got[0])
		}
		want := append([]string{"Host: " + f.Addr, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"}, append(slices.Clone(base), tt.want...)...)
		fields := slices.DeleteFunc(slices.Clone(got[1:]), func(l string) bool { return strings.HasPrefix(l, "Sec-WebSocket-Key: ") })
		if len(fields) != len(got)-2 || slices.Contains(got, "Sec-WebSocket-Key: "+kit.ExampleKey) {
			t.Errorf("%v: no key of our own in %q", tt.flags, got)
		}
		if n := slices.IndexFunc(fields, func(l string) bool { return strings.HasPrefix(l, "Via: 1.1 socketsrv-") }); n >= 0 {
			fields = slices.Delete(fields, n, n+1)
		} else {
			t.Errorf("%v: no Via in %q", tt.flags, got)
		}
		slices.Sort(want)
		slices.Sort(fields)
		if !slices.Equal(fields, want) {
			t.Errorf("%v: the target got\n%q, want\n%q", tt.flags, fields, want)
		}
	}
}

// TestTLS has PX22, and TLS on both sides.
func TestTLS(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build leaves TLS out")
	}
	target := kit.Background(t, echo.Mode, "-port", "0", "-tls")
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "wss://"+target.Addr("wss"))
	if res, body := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening()); res.Status != 502 || !strings.HasSuffix(body, ": TLS failed\n") {
		t.Errorf("a certificate that nobody trusts: %d %q, want 502", res.Status, body)
	}
	p.Stderr.WaitFor(t, `x509: `)

	p = kit.Background(t, Mode, "-port", "0", "-tls", "-insecure-backend", "-remote_host", "wss://"+target.Addr("wss"))
	client := kit.Background(t, connect.Mode, "wss://"+p.Addr("wss"), "-k", "-m", "through it all", "-count", "1", "-timeout", "20s")
	if code := client.Wait(); code != 0 || client.Stdout.String() != "through it all\n" {
		t.Errorf("exit %d, %q, %q", code, client.Stdout, client.Stderr)
	}
}

// TestRoutesByHost has PX10.
func TestRoutesByHost(t *testing.T) {
	one, two := kit.PlayTarget(t, kit.Always("HTTP/1.1 201 one\r\nContent-Length: 0\r\n\r\n"), nil), kit.PlayTarget(t, kit.Always("HTTP/1.1 202 two\r\nContent-Length: 0\r\n\r\n"), nil)
	config := filepath.Join(t.TempDir(), "proxy.conf")
	os.WriteFile(config, []byte("# both\r\necho.Example.com=ws://"+one.Addr+"\r\n\r\nother.example.com:81 = ws://"+two.Addr+" # the other\r\n"), 0o600)
	p := kit.Background(t, Mode, "-port", "0", "-config_path", config, "-remote_host", "ws://"+two.Addr)
	for host, want := range map[string]int{
		"echo.example.com": 201, "ECHO.Example.com.:8765": 201, "other.example.com": 202, "127.0.0.1": 202,
		"rebound.example": 403, // a name that is not ours: DNS rebinding
	} {
		if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening("Host: "+host)); res.Status != want {
			t.Errorf("Host %s: %d, want %d", host, res.Status, want)
		}
	}
}

func TestParseRoutes(t *testing.T) {
	for _, tt := range []struct {
		text string
		line int    // of the error; 0: none
		err  string // what it says
		want map[string]string
	}{
		{"a=ws://x\nB.=wss://y:1/p/\n\n# no\n c = tcp://z:5 # yes\n", 0, "", map[string]string{"a": "ws://x", "b": "wss://y:1/p", "c": "tcp://z:5"}},
		{"\ufeffa=ws://x\r\n", 0, "", map[string]string{"a": "ws://x"}},
		{"[::1]:80=ws://[::1]:9", 0, "", map[string]string{"[::1]:80": "ws://[::1]:9"}},
		{`{"remote_urls": {"echo.localhost:8008": "ws://localhost:8009"}}`, 0, "", map[string]string{"echo.localhost:8008": "ws://localhost:8009"}},
		{"{\n \"a\": \"ws://x\",\n \"b\": \"ws://y\"\n}\n", 0, "", map[string]string{"a": "ws://x", "b": "ws://y"}},
		{"a=ws://x\nb=\n", 2, "want ws://", nil},
		{"a=ws://x\n\n=ws://x\n", 3, "want a host", nil},
		{"a=ws://x\nb=ws://x\nA.=ws://y\n", 3, "twice", nil},
		{"a=http://x\n", 1, "want ws://", nil},
		{"a=ws://x?q\n", 1, "want ws://", nil},
		{"a=ws://u:p@x\n", 1, "want ws://", nil},
		{"a=tcp://x\n", 1, "want ws://", nil},
		{"a=ws://x:0\n", 1, "want ws://", nil},
		{"a=ws://x:65536\n", 1, "want ws://", nil},
		{"a=ws://x y\n", 1, "want ws://", nil},
		{"a b=ws://x\n", 1, "want a host", nil},
		{"a:b=ws://x\n", 1, "port", nil},
		{"a=ws://x\nws://y\n", 2, "want HOST=URL", nil},
		{"a=ws://x\n\x00\n", 2, "NUL", nil},
		{strings.Repeat("#\n", 100000) + "a=ws://x\n", 10001, "more than 10000 lines", nil},
		{"", 1, "no line", nil},
		{"# nothing\n", 1, "no line", nil},
		{"{", 1, "JSON", nil},
		{"{\n\"a\": 1}", 2, "want hosts", nil},
		{"{\n\"a\": \"ws://x\",\n\"a\": \"ws://y\"}", 3, "twice", nil},
		{"{\"a\": \"ws://x\"} x", 1, "JSON", nil},
		{"{\"remote_urls\": {\"remote_urls\": {}}}", 1, "want hosts", nil},
	} {
		r, line, err := parseRoutes([]byte(tt.text))
		if tt.line > 0 {
			if err == nil || line != tt.line || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%.40q: line %d, %v; want line %d, %s", tt.text, line, err, tt.line, tt.err)
			}
			continue
		}
		got := map[string]string{}
		if err == nil {
			for host, target := range r.exact {
				got[host] = target.String()
			}
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%.40q: %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestRoutesFind(t *testing.T) {
	r, _, err := parseRoutes([]byte("a=ws://h1\na:81=ws://h2\nb:80=ws://h3\nb:81=ws://h4\nc:80=ws://h5\n[::1]=ws://h6\n"))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"a": "ws://h1", "A.": "ws://h1", "a:81": "ws://h2", "a:82": "ws://h1", "b:81": "ws://h4", "c": "ws://h5", "c:8765": "ws://h5", "C.:80": "ws://h5",
		"[::1]": "ws://h6", "[::1]:9": "ws://h6", "b": "", "b:82": "", "d": "", "": "",
	} {
		got := ""
		if target := r.find(host); target != nil {
			got = target.String()
		}
		if got != want {
			t.Errorf("%s leads to %q, want %q", host, got, want)
		}
	}
}

// FuzzRoutes: whatever a file says, an error names a line of it, and each host
// that was taken is found.
func FuzzRoutes(f *testing.F) {
	for _, s := range []string{"a=ws://x\n", "{\"a\":\"ws://x\"}", "{\"remote_urls\":{\"a:1\":\"tcp://x:1\"}}", "\ufeff#\r\na:1=wss://[::1]/p/\r\n", "=\n", "{\"a\":{}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, line, err := parseRoutes(text)
		if err != nil {
			if lines := 1 + bytes.Count(text, []byte("\n")); line < 1 || line > lines {
				t.Errorf("%q: %v in line %d of %d", text, err, line, lines)
			}
			return
		}
		for host, target := range r.exact {
			if r.find(host) != target {
				t.Errorf("%q: %q is not found", text, host)
			}
			if again, err := parseTarget(target.String()); err != nil || again.String() != target.String() {
				t.Errorf("%q: target %q becomes %+v, %v", text, target, again, err)
			}
		}
	})
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "proxy.conf")
	os.WriteFile(bad, []byte("a=ws://x\n\nb=http://y\n"), 0o600)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "missing -remote_host"},
		{[]string{"-remote_host", "http://x"}, "want ws://"},
		{[]string{"-remote_host", "localhost:8008/x?y"}, "want ws://"},
		{[]string{"-remote_host", "ws://x", "-listen", "http://x:1"}, "-listen"},
		{[]string{"-remote_host", "ws://x", "-listen", "tcp://x"}, "-listen"},
		{[]string{"-config_path", bad, "-listen", "tcp://127.0.0.1:0"}, "-config_path"},
		{[]string{"-config_path", filepath.Join(dir, "none")}, "no such file"},
		{[]string{"-config_path", dir}, "-config_path"},
		{[]string{"-config_path", bad}, "proxy.conf:3: want ws://"},
		{[]string{"-remote_host", "udp://x:1", "-listen", "tcp://127.0.0.1:0", "-send-proxy", "v1"}, "-send-proxy is for streams"},
		{[]string{"-remote_host", "ws://x", "-ping-interval", "5s"}, "-ping-interval"},
		{[]string{"-remote_host", "ws://x", "-backend-key", "f"}, map[bool]string{true: "-backend-cert", false: "leaves TLS out"}[tlsconf.Available]},
		{[]string{"-remote_host", "ws://x", "-ca", dir, "-cert", "f"}, map[bool]string{true: "-ca signs", false: "leaves TLS out"}[tlsconf.Available]},
	} {
		p := kit.Background(t, Mode, append(tt.args, "-port", "0")...)
		if code := p.Wait(); code != 2 || !strings.Contains(p.Stderr.String(), tt.want) {
			t.Errorf("%q: exit %d, %q; want 2, %s", tt.args, code, p.Stderr, tt.want)
		}
	}
}

// inUse is how many bytes the program has on its heap, garbage left out.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBackPressure has PX13 and PX14: who does not read stalls the other, whose
// bytes are not kept; when it leaves, the other is let go.
func TestBackPressure(t *testing.T) {
	for _, fromTarget := range []bool{true, false} {
		conns := make(chan *net.TCPConn, 1)
		release := make(chan struct{})
		f := kit.PlayTarget(t, kit.Switching(), func(nc *net.TCPConn) { conns <- nc; <-release })
		p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+f.Addr)
		nc := kit.DialTCP(t, p.Addr("ws"))
		io.WriteString(nc, kit.Opening())
		if _, err := httpmini.ReadResponse(bufio.NewReaderSize(nc, 16), "GET", httpmini.ClientLimits); err != nil {
			t.Fatal(err)
		}
		from, to, head := <-conns, nc, []byte{0x82, 127, 0, 0, 0, 0, 64, 0, 0, 0} // 1 GiB follow
		if !fromTarget {
			from, to = to, from
			head[1] |= 0x80
			head = append(head, 1, 2, 3, 4)
		}
		before := inUse()
		from.Write(head)
		block := make([]byte, 1<<20)
		var sent int
		for {
			from.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := from.Write(block)
			sent += n
			if err != nil {
				if !cli.IsTimeout(err) {
					t.Fatalf("after %d bytes: %v", sent, err)
				}
				break
			}
			if sent >= 1<<30 {
				t.Fatal("a GiB is taken though nobody reads")
			}
		}
		if grown := inUse() - before; grown > 512<<10+1<<20 { // a MiB is our own block
			t.Errorf("with %d bytes under way the heap has grown by %d", sent, grown)
		}
		to.SetLinger(0)
		to.Close()
		from.SetWriteDeadline(time.Now().Add(kit.Patience))
		for {
			if _, err := from.Write(block); err != nil {
				if cli.IsTimeout(err) {
					t.Error("the other one is not let go")
				}
				break
			}
		}
		close(release)
	}
}

// TestStreams has PX15, a little smaller: nothing is put together.
func TestStreams(t *testing.T) {
	const fragments, size = 1024, 64 << 10
	sums := make(chan int, 1)
	f := kit.PlayTarget(t, kit.Switching(), func(nc *net.TCPConn) {
		n, _ := io.Copy(io.Discard, nc)
		sums <- int(n)
	})
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+f.Addr)
	nc := kit.DialTCP(t, p.Addr("ws"))
	io.WriteString(nc, kit.Opening())
	if _, err := httpmini.ReadResponse(bufio.NewReaderSize(nc, 16), "GET", httpmini.ClientLimits); err != nil {
		t.Fatal(err)
	}
	h := wsproto.Header{Opcode: wsproto.OpBinary, Masked: true, MaskingKey: [4]byte{1, 2, 3, 4}, PayloadLen: size}
	before, most := inUse(), int64(0)
	total := 0
	for i := range fragments {
		h.Fin = i == fragments-1
		frame := append(wsproto.AppendHeader(nil, h), make([]byte, size)...)
		total += len(frame)
		if _, err := nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		h.Opcode = wsproto.OpContinuation
		if i%256 == 255 {
			most = max(most, inUse())
		}
	}
	if grown := most - before; grown > 1<<20 {
		t.Errorf("the heap has grown by %d", grown)
	}
	nc.Close()
	if got := <-sums; got != total+len("\x88\xa5....\x03\xe9client closed without close frame") {
		t.Errorf("%d bytes came, want %d and a Close frame", got, total)
	}
	p.Stderr.WaitFor(t, `client 0: the client left without a close frame`)
}

// TestStop: both sides are told that the proxy goes.
func TestStop(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0")
	p := kit.Background(t, Mode, "-port", "0", "-json", "-remote_host", "ws://"+target.Addr("ws"))
	c := dialThrough(t, p, wsproto.DialOptions{})
	go c.WriteMessage(wsproto.OpText, []byte("hi"))
	if _, err := c.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan int, 1)
	go func() { stopped <- p.Stop() }()
	_, err := c.ReadMessage()
	if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != wsproto.StatusGoingAway {
		t.Errorf("the client ended with %v, want close 1001", err)
	}
	c.Close(0, "")
	if code := <-stopped; code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	target.Stderr.WaitFor(t, `code 1001`)
	var kinds []string
	for line := range strings.Lines(p.Stdout.String()) {
		var ev struct {
			Event, Dir, Opcode string
			Size               int
		}
		if err := json.Unmarshal([]byte(line), &ev); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, fmt.Sprint(ev.Event, ev.Dir, ev.Opcode, ev.Size))
	}
	want := []string{"listening0", "open0", "messageintext2", "messageouttext2", "closein0", "summary0"}
	if !slices.Equal(kinds, want) {
		t.Errorf("events %q, want %q", kinds, want)
	}
}

// TestShow has hw-36: what passes is shown, both ways.
func TestShow(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0")
	for _, tt := range []struct {
		flags   string
		deflate bool
		want    string // on stdout
	}{
		{"-show", true, `(?m)^< Received message on WebSocket connection #0: \{"a":1\}\n> sent message to WebSocket connection #0: \{"a":1\}\n`},
		{"-v -format hex", false, `(?m)^< .* #0: 7 bytes\n00000000  7b 22 61 22 3a 31 7d .*\n> .*#0: 7 bytes\n00000000  7b 22`},
		{"-max-show 3", false, `#0: \{"a… \(\+4 bytes\)\n> sent`},
		{"-json", true, `"dir":"in",.*"text":"\{\\"a\\":1\}"\}\n.*"dir":"out",.*"size":7,"text":"\{\\"a\\":1\}"\}\n`},
	} {
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-port", "0", "-remote_host", "ws://"+target.Addr("ws"))...)
		c := dialThrough(t, p, wsproto.DialOptions{NoCompression: !tt.deflate})
		go c.WriteMessage(wsproto.OpText, []byte(`{"a":1}`))
		if m, err := c.ReadMessage(); err != nil || string(m.Data) != `{"a":1}` {
			t.Errorf("%s: got %q, %v", tt.flags, m.Data, err)
		}
		c.Close(1000, "")
		p.Stdout.WaitFor(t, tt.want)
	}
}

// TestMany has PX23, with fewer sessions: nothing of them stays.
func TestMany(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0")
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+target.Addr("ws"))
	talk := func() {
		c := dialThrough(t, p, wsproto.DialOptions{})
		go c.WriteMessage(wsproto.OpText, []byte("hi"))
		if _, err := c.ReadMessage(); err != nil {
			t.Error(err)
		}
		c.Close(1000, "")
	}
	talk()
	p.Stderr.WaitFor(t, `client 0: closed`)
	before := runtime.NumGoroutine()
	const sessions = 300
	for range sessions {
		talk()
	}
	p.Stderr.WaitFor(t, fmt.Sprintf(`client %d: closed`, sessions))
	for late := time.Now().Add(kit.Patience); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestFull: beyond -max-conns there is 503, and the place of one that left is
// free again.
func TestFull(t *testing.T) {
	target := kit.Background(t, echo.Mode, "-port", "0")
	p := kit.Background(t, Mode, "-port", "0", "-max-conns", "1", "-remote_host", "ws://"+target.Addr("ws"))
	c := dialThrough(t, p, wsproto.DialOptions{})
	if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), ""); res.Status != 503 {
		t.Errorf("status %d, want 503", res.Status)
	}
	c.Close(1000, "")
	p.Stderr.WaitFor(t, `client 0: closed`)
	for late := time.Now().Add(kit.Patience); ; {
		c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", wsproto.DialOptions{})
		if err == nil {
			c.Close(1000, "")
			break
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
	}
}

// TestBridge: messages become a stream, and its bytes binary messages.
func TestBridge(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "tcp://"+ln.Addr().String())
	c := dialThrough(t, p, wsproto.DialOptions{Subprotocols: []string{"binary", "base64"}})
	if c.Subprotocol() != "binary" {
		t.Errorf("subprotocol %q, want binary", c.Subprotocol())
	}
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(kit.Patience))
	c.WriteMessage(wsproto.OpBinary, []byte{0, 1, 2})
	c.WriteMessage(wsproto.OpText, []byte("text"))
	kit.Swap(t, nc, "\xff answer", "\x00\x01\x02text")
	m, err := c.ReadMessage()
	if err != nil || m.Opcode != wsproto.OpBinary || string(m.Data) != "\xff answer" {
		t.Errorf("got %v %q, %v", m.Opcode, m.Data, err)
	}
	nc.Close()
	_, err = c.ReadMessage()
	if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != wsproto.StatusNormalClosure {
		t.Errorf("at the end of the stream: %v, want close 1000", err)
	}
	c.Close(0, "")

	c = dialThrough(t, p, wsproto.DialOptions{})
	if nc, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(kit.Patience))
	c.WriteMessage(wsproto.OpBinary, []byte("last"))
	c.Close(4000, "bye")
	if b, err := io.ReadAll(nc); err != nil || string(b) != "last" {
		t.Errorf("the stream has %q, %v", b, err)
	}
	nc.Close()
	p.Stderr.WaitFor(t, `client 1: closed by the client: code 4000 reason "bye"\n`)
	ln.Close()
	if res, _ := kit.ExchangeHeads(t, p.Addr("ws"), kit.Opening()); res.Status != 502 {
		t.Errorf("nobody listens: %d, want 502", res.Status)
	}
}

// TestNode has a foreign client at the one end.
func TestNode(t *testing.T) {
	module := os.Getenv("SOCKETSRV_NODE_WS")
	node, err := exec.LookPath("node")
	if err != nil || module == "" {
		t.Skip("no node, or SOCKETSRV_NODE_WS does not say where its ws is")
	}
	target := kit.Background(t, echo.Mode, "-port", "0")
	p := kit.Background(t, Mode, "-port", "0", "-remote_host", "ws://"+target.Addr("ws"))
	const script = `
const WebSocket = require(process.argv[2]);
const ws = new WebSocket(process.argv[3], {perMessageDeflate: {threshold: 0}, headers: {Cookie: 'a=b'}});
const want = ['Hello', 'x'.repeat(200000)];
ws.on('error', e => { console.log('error ' + e); process.exit(1); });
ws.on('open', () => { ws.ping('p'); want.forEach(m => ws.send(m)); ws.send('frag', {fin: false}); ws.send('ment', {fin: true}); });
ws.on('pong', p => console.log('pong ' + p));
let n = 0;
ws.on('message', m => { console.log(m.length + ' ' + m.toString().slice(0, 8)); if (++n == 3) ws.close(4002, 'done'); });
ws.on('close', (code, reason) => console.log('close ' + code + ' ' + reason + ' ' + ws.extensions));
`
	file := filepath.Join(t.TempDir(), "client.js")
	os.WriteFile(file, []byte(script), 0o600)
	out, err := exec.CommandContext(t.Context(), node, file, module, "ws://"+p.Addr("ws")+"/").CombinedOutput()
	const want = "pong p\n5 Hello\n200000 xxxxxxxx\n8 fragment\nclose 4002 done permessage-deflate\n"
	if err != nil || string(out) != want {
		t.Errorf("node: %v\n%s\nwant\n%s", err, out, want)
	}
}

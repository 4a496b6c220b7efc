package connect

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// runConnect runs connect in a bubble, with serve at the other end of whatever it
// dials, and waits for that too.
func runConnect(t *testing.T, serve func(nc net.Conn), stdin io.Reader, args ...string) (r kit.Ran) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r = runOver(serve, stdin, args...)
		time.Sleep(time.Hour) // a peer that sleeps has to find out
	})
	return r
}

func runOver(serve func(nc net.Conn), stdin io.Reader, args ...string) kit.Ran {
	var stdout, stderr bytes.Buffer
	env := kit.PipeEnv(serve, stdin, &stdout, &stderr)
	start := time.Now()
	code := cli.Table{Mode}.Run(context.Background(), append([]string{"socketsrv"}, args...), env)
	return kit.Ran{Code: code, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
}

const exitURL = "ws://h:1/"

var hiFrame = kit.WSFrame(wsproto.OpText, "hi")

var exits = []struct {
	name   string
	serve  func(net.Conn)
	args   string
	stdin  string
	code   int
	stdout string
	stderr string // a part of it
}{
	{"echo", kit.WSEcho, exitURL + " -m hello -count 1", "", 0, "hello\n", "connected to ws://h:1/\n"},
	{"quiet", kit.WSEcho, exitURL + " -m hello -count 1 -q", "", 0, "hello\n", ""},
	{"bare host", kit.WSEcho, "h:1 -m hello -count 1", "", 0, "hello\n", "connected to ws://h:1"},
	{"lines", kit.WSEcho, exitURL, "a\n\nb\r\nc", 0, "a\n\nb\nc\n", ""},
	{"nothing to send", kit.WSEcho, exitURL, "", 0, "", ""},
	{"binary is dumped", kit.WSEcho, exitURL + " -m-binary 00ff41", "", 0, "3 bytes\n00000000  00 ff 41                                          |..A|\n", ""},
	{"binary with -b", kit.WSEcho, exitURL + " -b", "a\nb\n", 0, "a\nb\n", ""},
	{"binary with -raw", kit.WSEcho, exitURL + " -raw -m-binary 00ff -m a", "", 0, "\x00\xffa\n", ""},
	{"text with ESC to a pipe", kit.WSEcho, exitURL + " -m \x1b[2J", "", 0, "\x1b[2J\n", ""},
	{"-format text", kit.WSEcho, exitURL + " -format text -m \x1b[2J", "", 0, "\\x1b[2J\n", ""},
	{"@@ is one @", kit.WSEcho, exitURL + " -m @@x", "", 0, "@x\n", ""},
	{"-m @- is stdin", kit.WSEcho, exitURL + " -m @-", "a\nb", 0, "a\nb\n", ""},
	{"match", kit.WSEcho, exitURL + " -m abc -m xyz -expect ^x", "", 0, "abc\nxyz\n", ""},
	{"match among the first two", kit.WSEcho, exitURL + " -m abc -m xyz -expect ^a -count 2", "", 0, "abc\nxyz\n", ""},
	{"enough", kit.WSRaw(kit.GoodAnswer(hiFrame+hiFrame+hiFrame), kit.DrainPeer), exitURL + " -count 2", "", 0, "hi\nhi\n", ""},
	{"enough, whatever comes then", kit.WSRaw(kit.GoodAnswer(hiFrame+kit.CloseFrame(4001, "")), kit.DrainPeer), exitURL + " -count 1", "", 0, "hi\n", ""},
	{"no match", kit.WSEcho, exitURL + " -m abc -m xyz -expect q -count 2", "", 10, "abc\nxyz\n", "none of 2 messages matches"},
	{"too few", kit.WSRaw(kit.GoodAnswer(hiFrame+kit.CloseFrame(1000, "")), kit.DrainPeer), exitURL + " -count 2", "", 10, "hi\n", "messages received: 1, expected: 2"},
	{"closed before a match", kit.WSRaw(kit.GoodAnswer(hiFrame+kit.CloseFrame(1001, "bye")), kit.DrainPeer), exitURL + " -expect q", "", 10, "hi\n", "code 1001 reason \"bye\""},

	{"WC16 close 1000, stream left open", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(1000, "")), kit.DrainPeer), exitURL, "", 0, "", "connection closed: code 1000\n"},
	{"a message cut by a Close", kit.WSRaw(kit.GoodAnswer("\x01\x03hel"+kit.CloseFrame(1000, "")), kit.DrainPeer), exitURL, "", 56, "",
		"connection lost: code 1000, in the middle of a message that begins \"hel\"\n"},
	{"close 1001", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(1001, "")), kit.DrainPeer), exitURL, "", 0, "", "connection closed: code 1001\n"},
	{"close without a code", kit.WSRaw(kit.GoodAnswer(kit.WSFrame(wsproto.OpClose, "")), kit.DrainPeer), exitURL, "", 0, "", "connection closed: no code\n"},
	{"WC18 close 4001", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(4001, "Permission denied")), kit.DrainPeer), exitURL, "", 9, "",
		"socketsrv: connection closed: code 4001 reason \"Permission denied\"\n"},
	{"WC18 when something is expected", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(4001, "")), kit.DrainPeer), exitURL + " -count 1", "", 9, "", "code 4001\n"},
	{"WC18 with -q", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(4001, "")), kit.DrainPeer), exitURL + " -q", "", 9, "", "code 4001\n"},
	{"WC19 hostile reason", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(4000, "ok\n[info] fake\x1b[2J")), kit.DrainPeer), exitURL, "", 9, "",
		`reason "ok\n[info] fake\x1b[2J"` + "\n"},
	{"WC19 hostile reason, good code", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(1000, "ok\n[info] fake\x1b[2J")), kit.DrainPeer), exitURL, "", 0, "",
		`reason "ok\n[info] fake\x1b[2J"` + "\n"},

	{"WC01 wrong Accept", kit.WSRaw(func(string) string { return kit.GoodAnswer("")("x") }, kit.DrainPeer), exitURL, "", 11, "", "Sec-WebSocket-Accept"},
	{"WC02 no Upgrade", kit.WSRaw(func(k string) string { return strings.Replace(kit.GoodAnswer("")(k), "Upgrade: websocket\r\n", "", 1) }, kit.DrainPeer), exitURL, "", 11, "", "no Upgrade"},
	{"WC02 no Connection", kit.WSRaw(func(k string) string { return strings.Replace(kit.GoodAnswer("")(k), "Connection: Upgrade\r\n", "", 1) }, kit.DrainPeer), exitURL, "", 11, "", "no Connection"},
	{"WC02 no Accept", kit.WSRaw(kit.Always("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), kit.DrainPeer), exitURL, "", 11, "", "Sec-WebSocket-Accept"},
	{"WC02 Accept twice", kit.WSRaw(kit.Switching("Sec-WebSocket-Accept: x"), kit.DrainPeer), exitURL, "", 11, "", "Sec-WebSocket-Accept"},
	{"WC03 extension not offered", kit.WSRaw(kit.Switching("Sec-WebSocket-Extensions: foo"), kit.DrainPeer), exitURL, "", 11, "", "extension"},
	{"WC03 compression with -x", kit.WSRaw(kit.Switching("Sec-WebSocket-Extensions: permessage-deflate"), kit.DrainPeer), exitURL + " -x", "", 11, "", "extension"},
	{"WC04 subprotocol not offered", kit.WSRaw(kit.Switching("Sec-WebSocket-Protocol: a"), kit.DrainPeer), exitURL + " -subprotocol b", "", 11, "", "subprotocol"},
	{"WC04 two subprotocols", kit.WSRaw(kit.Switching("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b"), kit.DrainPeer), exitURL + " -subprotocol a,b", "", 11, "", "subprotocol"},
	{"WC05 401", kit.WSRaw(kit.Always("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\n\x1b[2J"), kit.DrainPeer), exitURL, "", 22, "", "401 Unauthorized"},
	{"WC05 401 with -v", kit.WSRaw(kit.Always("HTTP/1.1 401 Unauthorized\r\nX: y\x1b\r\nContent-Length: 6\r\n\r\na\n\x1b[2J"), kit.DrainPeer), exitURL + " -v", "", 11, "", ""},
	{"WC05 503 with -v", kit.WSRaw(kit.Always("HTTP/1.1 503 Busy\r\nX: y\r\nContent-Length: 6\r\n\r\na\n\x1b[2J"), kit.DrainPeer), exitURL + " -v", "", 22, "",
		"< HTTP/1.1 503 Busy\n< X: y\n< Content-Length: 6\na\n\\x1b[2J\n"},
	{"WC05 200", kit.WSRaw(kit.Always("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), kit.DrainPeer), exitURL, "", 22, "", "200 OK"},
	{"WC06 302", kit.WSRaw(kit.Always("HTTP/1.1 302 Found\r\nLocation: ws://h/\r\nContent-Length: 0\r\n\r\n"), kit.DrainPeer), exitURL, "", 22, "", "302 Found; -L follows to ws://h/\n"},
	{"WC06 302 without end", kit.WSRaw(kit.Always("HTTP/1.1 302 Found\r\nLocation: ws://h/\r\nContent-Length: 0\r\n\r\n"), kit.DrainPeer), exitURL + " -L", "", 47, "", "more than 10"},
	{"WC07 endless head", kit.WSRaw(kit.Always("HTTP/1.1 101 S\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 1000)), kit.DrainPeer), exitURL, "", 11, "", ""},
	{"WC08 a frame behind the head", kit.WSRaw(kit.GoodAnswer(hiFrame+kit.CloseFrame(1000, "")), kit.DrainPeer), exitURL, "", 0, "hi\n", ""},
	{"WC08 byte by byte", bytewise(kit.GoodAnswer(hiFrame + kit.CloseFrame(1000, ""))), exitURL, "", 0, "hi\n", ""},
	{"WC10 masked", kit.WSRaw(kit.GoodAnswer("\x81\x81\x00\x00\x00\x00a"), kit.DrainPeer), exitURL, "", 11, "", "masking"},
	{"WC11 2^63-1 bytes", kit.WSRaw(kit.GoodAnswer("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), kit.DrainPeer), exitURL, "", 63, "", "larger than the limit"},
	{"WC11 2^63 bytes", kit.WSRaw(kit.GoodAnswer("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), kit.DrainPeer), exitURL, "", 11, "", "payload length"},
	{"WC13 endless fragments", kit.WSRaw(kit.GoodAnswer("\x01\x00"+strings.Repeat("\x00\x00", 140000)), kit.DrainPeer), exitURL, "", 11, "", "fragments"},
	{"-max-message", kit.WSRaw(kit.GoodAnswer(hiFrame), kit.DrainPeer), exitURL + " -max-message 1", "", 63, "", "larger than the limit"},
	{"WC15 cut in a message", kit.WSRaw(kit.GoodAnswer("\x81\x05hel"), nil), exitURL, "", 56, "", "in the middle"},
	{"cut between messages", kit.WSRaw(kit.GoodAnswer(hiFrame), nil), exitURL, "", 56, "hi\n", "code 1006"},
	{"bad UTF-8", kit.WSRaw(kit.GoodAnswer(kit.WSFrame(wsproto.OpText, "\xff")), kit.DrainPeer), exitURL, "", 11, "", "UTF-8"},
	{"no HTTP", kit.WSRaw(kit.Always("SSH-2.0-x\r\n"), kit.DrainPeer), exitURL, "", 11, "", ""},
	{"nothing", kit.WSRaw(kit.Always(""), nil), exitURL, "", 52, "", ""},

	{"refused", nil, exitURL, "", 7, "", "connection refused"},
	{"no such name", kit.WSEcho, "ws://nowhere/", "", 6, "", "no such host"},
	{"TLS fails", kit.WSRaw(kit.Always("no TLS"), kit.DrainPeer), "wss://h/", "", 35, "", ""},
	{"stdin is not UTF-8", kit.WSEcho, exitURL, "a\n\xff\n", 26, "a\n", "stdin, line 2: it is not UTF-8"},
	{"line too long", kit.WSEcho, exitURL + " -max-message 3", "abc\nabcd\n", 26, "abc\n", "stdin, line 2: longer than 3 bytes"},
	{"no file", kit.WSEcho, exitURL + " -m @/nowhere/at/all", "", 26, "", "no such file"},

	{"no URL", nil, "", "", 2, "", "missing argument URL"},
	{"a scheme of others", nil, "ftp://h/", "", 2, "", "want a URL"},
	{"fragment", nil, exitURL + "#x", "", 2, "", "fragment"},
	{"bad expression", nil, exitURL + " -expect [", "", 2, "", "want a regular expression"},
	{"bad hex", nil, exitURL + " -m-binary 0g", "", 2, "", "not a hexadecimal digit"},
	{"text that is not UTF-8", nil, exitURL + " -m \xff", "", 2, "", "want UTF-8"},
	{"-reply and -exec", nil, exitURL + " -reply a -exec b", "", 2, "", "exclude each other"},
	{"an empty -exec", nil, exitURL + " -exec=", "", 2, "", "-exec: want a command"},
	{"an empty -sh-exec", nil, exitURL + " -sh-exec=", "", 2, "", "-sh-exec: want a command"},
	{"WC22 field with a control character", nil, exitURL + " -H A:\x01", "", 2, "", "control characters"},
	{"WC22 empty Host", nil, exitURL + " -H Host:", "", 2, "", "Host"},
}

// TestConnectExit has every exit code, and the cases of hostile servers (WC).
func TestConnectExit(t *testing.T) {
	t.Parallel()
	for _, tt := range exits {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.args, "wss:") && !tlsconf.Available {
				t.Skip("this build has no TLS")
			}
			got := runConnect(t, tt.serve, strings.NewReader(tt.stdin), append([]string{"-connect"}, strings.Split(tt.args, " ")...)...)
			if tt.args == "" {
				got = runConnect(t, nil, nil, "-connect")
			}
			if got.Code != tt.code || got.Stdout != tt.stdout || !strings.Contains(got.Stderr, tt.stderr) {
				t.Errorf("%s: exit %d, %q, %q; want %d, %q, %q", tt.args, got.Code, cli.Clip(got.Stdout, 200), cli.Clip(got.Stderr, 900), tt.code, tt.stdout, tt.stderr)
			}
			if strings.IndexFunc(strings.ReplaceAll(got.Stderr, "\n", ""), cli.Unprintable) >= 0 {
				t.Errorf("unescaped on stderr: %q", got.Stderr)
			}
			if got.Took > 6*time.Second {
				t.Errorf("it took %v", got.Took)
			}
		})
	}
}

// bytewise is wsRaw with an answer that comes byte by byte.
func bytewise(answer func(key string) string) func(net.Conn) {
	return func(nc net.Conn) {
		whole := ""
		kit.WSRaw(func(key string) string {
			whole = answer(key)
			return ""
		}, nil)(nc)
		for i := range len(whole) {
			if _, err := nc.Write([]byte{whole[i]}); err != nil {
				return
			}
		}
		kit.DrainPeer(nc)
	}
}

// TestConnectTime has all that ends by a clock, exactly.
func TestConnectTime(t *testing.T) {
	t.Parallel()
	const url = "ws://h:1/"
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		args  string
		code  int
		took  time.Duration
	}{
		{"WC17 our close is never answered", kit.WSRaw(kit.GoodAnswer(""), kit.DrainPeer), url + " -m a", 28, time.Second + 5*time.Second},
		{"-linger", kit.WSEcho, url + " -m a -linger 7s", 0, 7 * time.Second},
		{"no -linger", kit.WSEcho, url + " -m a -linger 0", 0, 0},
		{"-timeout without a match", kit.WSEcho, url + " -m a -expect b -timeout 3s", 28, 3 * time.Second},
		{"-timeout, and nobody answers", kit.WSRaw(kit.GoodAnswer(""), kit.DrainPeer), url + " -timeout 3s -count 1", 28, 3*time.Second + dial.CutTime},
		{"-timeout in the handshake", kit.DrainPeer, url + " -timeout 3s", 28, 3 * time.Second},
		{"-timeout in the TLS handshake", kit.DrainPeer, "wss://h/ -timeout 3s", 28, 3 * time.Second},
		{"-connect-timeout", kit.DrainPeer, url + " -connect-timeout 2s", 28, 2 * time.Second},
		{"-ping-interval", kit.WSRaw(kit.GoodAnswer(""), kit.DrainPeer), url + " -count 1 -ping-interval 4s", 28, 24 * time.Second},
		{"-heartbeat", kit.WSRaw(kit.GoodAnswer(""), kit.DrainPeer), url + " -count 1 -heartbeat -ping-interval 4s", 28, 4*time.Second + 5*time.Second},
		{"answers put the end off", slowPeer(3, 900*time.Millisecond), url + " -m a", 0, 3*900*time.Millisecond + time.Second},
		{"a line server that leaves the stream open", kit.DrainPeer, "line://h:1", 28, 5 * time.Second},
		{"-count over a stream waits for nothing", greetPeer, "tcp://h:1 -count 1", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.args, "wss:") && !tlsconf.Available {
				t.Skip("this build has no TLS")
			}
			got := runConnect(t, tt.serve, nil, append([]string{"-connect"}, strings.Fields(tt.args)...)...)
			if got.Code != tt.code || got.Took != tt.took {
				t.Errorf("%s: exit %d after %v; want %d after %v\n%s", tt.args, got.Code, got.Took, tt.code, tt.took, got.Stderr)
			}
		})
	}
}

// slowPeer answers a message by n, each after a pause.
func slowPeer(n int, pause time.Duration) func(net.Conn) {
	return kit.WSPeer(func(c *wsproto.Conn) {
		m, _ := c.ReadMessage()
		go func() {
			for range n {
				time.Sleep(pause)
				c.WriteMessage(m.Opcode, m.Data)
			}
		}()
		c.ReadMessage()
	})
}

func greetPeer(nc net.Conn) {
	io.WriteString(nc, "hello\n")
	kit.DrainPeer(nc)
}

// TestConnectSignal: SIGINT and SIGTERM, before and after the connection.
func TestConnectSignal(t *testing.T) {
	for _, serve := range []func(net.Conn){kit.DrainPeer, kit.WSEcho, kit.WSRaw(kit.GoodAnswer(""), kit.DrainPeer)} {
		for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				env := kit.PipeEnv(serve, nil, &stdout, &stderr)
				signals := make(chan os.Signal)
				env.Signals = signals
				go func() {
					synctest.Wait()
					signals <- sig
				}()
				if code := (cli.Table{Mode}).Run(t.Context(), []string{"socketsrv", "-connect", "ws://h/", "-count", "1"}, env); code != want {
					t.Errorf("%v: exit %d; want %d\n%s", sig, code, want, stderr.String())
				}
			})
		}
	}
}

// TestConnectStdoutClosed: the reader of stdout goes away.
func TestConnectStdoutClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		env := kit.PipeEnv(kit.WSEcho, nil, kit.FailingWriter{Err: syscall.EPIPE}, &stderr)
		code := cli.Table{Mode}.Run(t.Context(), []string{"socketsrv", "-connect", "ws://h/", "-m", "a", "-count", "5"}, env)
		if code != cli.ExitWrite || strings.Count(stderr.String(), "stdout is closed") != 1 {
			t.Errorf("exit %d, %q; want %d", code, stderr.String(), cli.ExitWrite)
		}
	})
}

// TestConnectStdoutClosedInTheMiddle: what ended it is named, and what was not sent.
func TestConnectStdoutClosedInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := kit.WSPeer(func(c *wsproto.Conn) {
			c.WriteMessage(wsproto.OpText, []byte("hello"))
			time.Sleep(time.Minute)
		})
		stdin := strings.NewReader(strings.Repeat("line\n", 1000))
		var stderr bytes.Buffer
		env := kit.PipeEnv(deaf, stdin, kit.FailingWriter{Err: syscall.EPIPE}, &stderr)
		code := cli.Table{Mode}.Run(t.Context(), []string{"socketsrv", "-connect", "ws://h/"}, env)
		want := "\nsocketsrv: stdout is closed, messages received: 1, not delivered: "
		if code != cli.ExitWrite || !strings.Contains(stderr.String(), want) {
			t.Errorf("exit %d, %q; want %d and %q", code, stderr.String(), cli.ExitWrite, want)
		}
		time.Sleep(time.Minute) // the peer ends
	})
}

// TestConnectManyLines is WC20: nothing is lost, nothing comes in another order,
// even if the answers come only when all is sent.
func TestConnectManyLines(t *testing.T) {
	t.Parallel()
	const n = 10000
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, "line %d\n", i)
	}
	late := kit.WSPeer(func(c *wsproto.Conn) {
		var all []string
		for {
			m, err := c.ReadMessage()
			if err != nil {
				return // before the closing handshake is over
			}
			if all = append(all, string(m.Data)); len(all) == n {
				for _, s := range all {
					c.WriteMessage(wsproto.OpText, []byte(s))
				}
			}
		}
	})
	for name, serve := range map[string]func(net.Conn){"echo": kit.WSEcho, "all at the end": late} {
		got := runConnect(t, serve, strings.NewReader(in.String()), "-connect", "ws://h/", "-linger", "0")
		if got.Code != 0 || got.Stdout != in.String() {
			t.Errorf("%s: exit %d, %d bytes; want those sent\n%s", name, got.Code, len(got.Stdout), got.Stderr)
		}
	}
}

// TestConnectStdinOpen: a peer that closes ends the program, whatever stdin does.
func TestConnectStdinOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		if got := runOver(kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(1000, "")), kit.DrainPeer), r, "-connect", "ws://h/"); got.Code != 0 {
			t.Errorf("exit %d, %q", got.Code, got.Stderr)
		}
		w.Close()
	})
}

// TestConnectRequest looks at the handshake that the flags make.
func TestConnectRequest(t *testing.T) {
	var req *httpmini.Request
	serve := func(nc net.Conn) {
		req, _ = httpmini.ReadRequest(bufio.NewReader(nc), httpmini.Limits{})
		io.WriteString(nc, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	}
	got := runConnect(t, serve, nil, "-connect", "ws://h:81/p?q", "-H", "X-A: b", "-H", "Host: other", "-u", "me:secret", "-v",
		"-subprotocol", "a,b", "-origin", "http://o", "-x")
	if got.Code != 22 {
		t.Errorf("exit %d, %q; want 22", got.Code, got.Stderr)
	}
	for name, want := range map[string]string{"Host": "other", "X-A": "b", "Authorization": "Basic bWU6c2VjcmV0",
		"Sec-WebSocket-Protocol": "a, b", "Origin": "http://o", "Sec-WebSocket-Extensions": ""} {
		if req.Target != "/p?q" || req.Header.Get(name) != want {
			t.Errorf("%s: %q; want %q", name, req.Header.Get(name), want)
		}
	}
	if strings.Contains(got.Stderr, "bWU6") || !strings.Contains(got.Stderr, "> Authorization: ***\n> X-A: b\n") &&
		!strings.Contains(got.Stderr, "> X-A: b\n> Authorization: ***\n") {
		t.Errorf("-v: %q; want the request without the secret", got.Stderr)
	}
}

// TestConnectTLS: a certificate that nobody trusts, and the ways to trust it.
func TestConnectTLS(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("built without TLS")
	}
	config, err := tlsconf.Server(tlsconf.Options{Hosts: []string{"h"}})
	if err != nil {
		t.Fatal(err)
	}
	url := "wss://" + kit.ListenFor(t, "tcp", func(nc net.Conn) {
		if tc, err := config.Handshake(context.Background(), nc); err == nil {
			kit.WSEcho(tc)
			tc.Close()
		}
	})
	for _, tt := range []struct {
		args string
		code int
	}{
		{"", 60},
		{"-k", 0},
		{"-pin " + config.Fingerprint(), 0},
		{"-pin sha256:" + strings.Repeat("00", 32), 60},
	} {
		got := runReal(nil, append([]string{"-connect", url, "-m", "a", "-count", "1"}, strings.Fields(tt.args)...)...)
		if got.Code != tt.code {
			t.Errorf("%s: exit %d; want %d\n%s", tt.args, got.Code, tt.code, got.Stderr)
		}
	}
}

// runReal runs a command line on the network there is.
func runReal(stdin io.Reader, args ...string) kit.Ran {
	var stdout, stderr bytes.Buffer
	env := cli.System()
	env.Stdin, env.Stdout, env.Stderr = stdin, &stdout, &stderr
	if stdin == nil {
		env.Stdin = strings.NewReader("")
	}
	env.TTYIn, env.TTYOut = nil, nil
	code := cli.Table{Mode}.Run(context.Background(), append([]string{"socketsrv"}, args...), env)
	return kit.Ran{Code: code, Stdout: stdout.String(), Stderr: stderr.String()}
}

// TestConnectReset: who resets the connection has not closed it.
func TestConnectReset(t *testing.T) {
	addr := kit.ListenFor(t, "tcp", kit.WSRaw(kit.GoodAnswer(""), func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) }))
	got := runReal(nil, "-connect", addr, "-count", "1", "-timeout", "10s")
	if got.Code != 56 {
		t.Errorf("exit %d, %q; want 56", got.Code, got.Stderr)
	}
}

// TestConnectStreams has the kinds of targets that are no WebSocket.
func TestConnectStreams(t *testing.T) {
	t.Parallel()
	back := func(nc net.Conn) { io.Copy(nc, nc) }
	tcp, unix, udp := kit.ListenFor(t, "tcp", back), kit.ListenFor(t, "unix", back), udpEcho(t)
	for _, tt := range []struct {
		args, stdin string
		code        int
		stdout      string
	}{
		{"tcp://" + tcp, "a\r\nb\x00\xff", 0, "a\r\nb\x00\xff"},
		{"tcp:" + tcp, "a", 0, "a"},
		{"tcp://" + tcp + "/ -m a -m-binary 0d", "", 0, "a\n\r"},
		{"tcp://" + tcp + " -m a -eol crlf", "", 0, "a\r\n"},
		{"tcp://" + tcp + " -m a -eol none", "", 0, "a"},
		{"tcp://" + tcp + " -m a\xffb", "", 2, ""},
		{"tcp://" + tcp + " -format text", "a\r\n\x1bb", 0, "a\n\\x1bb"},
		{"unix:" + unix, "a\nb", 0, "a\nb"},
		{"unix://" + unix, "a\nb", 0, "a\nb"},
		{"unix:" + unix + " -framing length", "a\n\nb\n", 0, "a\n\nb\n"},
		{"tcp://" + tcp + " -framing length -count 2", "a\nb\n", 0, "a\nb\n"},
		{"tcp://" + tcp + " -framing line -count 2", "a\r\nb\n", 0, "a\nb\n"},
		{"line://" + tcp + " -m ping -expect ^ping$", "", 0, "ping\n"},
		{"line://" + tcp + " -max-message 3 -m four", "", 63, ""},
		{"tcp://" + tcp + " -framing length -max-message 3 -m four", "", 63, ""},
		{"udp://" + udp + " -count 2", "a\n\xff\n", 0, "a\n1 byte\n00000000  ff                                                |.|\n"},
		{"udp://" + udp + " -m abc -reply {}{} -count 2", "", 0, ""},
		{"udp://" + udp + " -m abc -linger 3s", "", 0, "abc\n"}, // that long for an answer of the same machine
		{"tcp://127.0.0.1:0", "", 2, ""},
		{"tcp://127.0.0.1", "", 2, ""},
		{"unix:", "", 2, ""},
		{"unix:" + unix + ".not", "", 7, ""},
	} {
		args := append([]string{"-connect", "-linger", "1m"}, strings.Split(tt.args, " ")...)
		got := runReal(strings.NewReader(tt.stdin), args...)
		if got.Code != tt.code || got.Stdout != tt.stdout {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q", tt.args, got.Code, got.Stdout, got.Stderr, tt.code, tt.stdout)
		}
	}
}

// udpEcho sends each datagram back and returns its address.
func udpEcho(t *testing.T) string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, cli.MaxDatagram)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(buf[:n], from)
		}
	})
	t.Cleanup(func() {
		pc.Close()
		running.Wait()
	})
	return pc.LocalAddr().String()
}

// TestConnectStreamCut: what ended in the middle is not printed as whole.
func TestConnectStreamCut(t *testing.T) {
	for _, tt := range []struct {
		sent, framing, stdout string
		code                  int
	}{
		{"ab\ncd", "line", "ab\ncd\n", 56},
		{"\x00\x00\x00\x01a\x00\x00\x00\x09b", "length", "a\n\x00\x00\x00\tb\n", 56},
		{"\xff\xff\xff\xff", "length", "", 63},
		{"ab\ncd", "none", "ab\ncd", 0},
	} {
		got := runConnect(t, func(nc net.Conn) { io.WriteString(nc, tt.sent) }, nil, "-connect", "tcp://h:1", "-framing", tt.framing)
		if got.Code != tt.code || got.Stdout != tt.stdout {
			t.Errorf("%q, %s: exit %d, %q, %q; want %d, %q", tt.sent, tt.framing, got.Code, got.Stdout, got.Stderr, tt.code, tt.stdout)
		}
	}
}

// TestConnectReply has the echo client that conformance suites drive: every kind
// of message comes back byte by byte, and as what it was.
func TestConnectReply(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	for _, compress := range []bool{true, false} {
		var faults []string
		check := func(c *wsproto.Conn, op wsproto.Opcode, sent, want string) {
			c.WriteMessage(op, []byte(sent))
			m, err := c.ReadMessage()
			if err != nil || m.Opcode != op || string(m.Data) != want {
				faults = append(faults, fmt.Sprintf("%v %q: %v %q, %v", op, cli.Clip(sent, 20), m.Opcode, cli.Clip(string(m.Data), 20), err))
			}
		}
		serve := kit.WSPeer(func(c *wsproto.Conn) {
			for _, s := range []string{"", "a", "{}", "é\x00\n", strings.Repeat("x", 70000), big} {
				check(c, wsproto.OpText, s, s)
				check(c, wsproto.OpBinary, s, s)
			}
			check(c, wsproto.OpBinary, "\xff\xfe", "\xff\xfe")
			go func() { // many at once
				for i := range 1000 {
					c.WriteMessage(wsproto.OpText, fmt.Append(nil, i))
				}
			}()
			for i := range 1000 {
				if m, err := c.ReadMessage(); err != nil || string(m.Data) != fmt.Sprint(i) {
					faults = append(faults, fmt.Sprintf("message %d: %q, %v", i, m.Data, err))
					return
				}
			}
		})
		args := []string{"-connect", "ws://h/", "-reply", "{}"}
		if !compress {
			args = append(args, "-x")
		}
		got := runConnect(t, serve, nil, args...)
		if got.Code != 0 || got.Stdout != "" || len(faults) > 0 {
			t.Errorf("compression %v: exit %d, %q, %q; %q", compress, got.Code, got.Stdout, got.Stderr, faults)
		}
	}
}

// TestConnectReplyWire: fragments with a ping between them, and the answers as they
// go over the wire.
func TestConnectReplyWire(t *testing.T) {
	var got []string
	serve := kit.WSRaw(kit.GoodAnswer("\x01\x02ab\x89\x01p\x00\x00\x80\x01c"+kit.CloseFrame(4001, "x")), func(nc net.Conn) {
		all, _ := io.ReadAll(nc)
		for len(all) > 0 {
			h, n, err := wsproto.ParseHeader(all)
			if err != nil || n == 0 {
				break
			}
			p := all[n : n+int(h.PayloadLen)]
			for i := range p {
				p[i] ^= h.MaskingKey[i%4]
			}
			got = append(got, fmt.Sprintf("%v %q", h.Opcode, p))
			all = all[n+len(p):]
		}
	})
	r := runConnect(t, serve, nil, "-connect", "ws://h/", "-reply", "<{}{}>")
	want := []string{`pong "p"`, `text "<abcabc>"`, `close "\x0f\xa1x"`}
	if r.Code != 9 || !slices.Equal(got, want) {
		t.Errorf("exit %d, %q; want 9, %q", r.Code, got, want)
	}
}

// TestConnectExec runs a program for each message.
func TestConnectExec(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	got := runReal(nil, "-connect", kit.ListenFor(t, "tcp", kit.WSEcho), "-m", "abc", "-exec", "tr a-z A-Z", "-count", "2", "-v")
	if got.Code != 0 || got.Stdout != "abc\nABC\n" {
		t.Errorf("exit %d, %q, %q", got.Code, got.Stdout, got.Stderr)
	}
	for _, tt := range []struct {
		command string
		op      wsproto.Opcode
		data    string
		err     string
	}{
		{`sh -c 'cat; printf " %s" $SOCKETSRV_OPCODE'`, wsproto.OpText, "abc text", ""},
		{"printf \\\\377", wsproto.OpBinary, "\xff", ""},
		{"true", wsproto.OpText, "", "no answer"},
		{"echo not read", wsproto.OpText, "not read\n", ""},
		{"false", wsproto.OpText, "", "exit status 1"},
		{"/not/there", wsproto.OpText, "", "no such file"},
		{"cat /dev/zero", wsproto.OpText, "", "more than 1024 bytes"},
		{"sh -c 'sleep 1000 & echo a'", wsproto.OpText, "a\n", ""},
	} {
		m := wsproto.Message{Opcode: wsproto.OpText, Data: []byte("abc")}
		a := answer.Answerer{Program: answer.Exec{Command: tt.command, Timeout: kit.Patience}}
		if err := a.Program.Check(); err != nil {
			t.Fatal(err)
		}
		back, err := a.Answer(t.Context(), nil, m, 1024)
		switch {
		case err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v; want %q", tt.command, err, tt.err)
		case err == nil && (tt.err != "" || back.Opcode != tt.op || string(back.Data) != tt.data):
			t.Errorf("%s: %v %q; want %v %q, %q", tt.command, back.Opcode, back.Data, tt.op, tt.data, tt.err)
		}
	}
}

// TestConnectGunzip: what is compressed, what is not, and what is too much.
func TestConnectGunzip(t *testing.T) {
	pack := func(s string, packer func(w io.Writer) io.WriteCloser) string {
		var b bytes.Buffer
		z := packer(&b)
		io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	zip := func(s string) string {
		return pack(s, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	}
	dump := func(s string) string {
		return fmt.Sprintf("%s\n%s", cli.Plural(int64(len(s)), "byte"), event.AppendHexDump(nil, []byte(s)))
	}
	long := strings.Repeat("a", 1025)
	for _, tt := range []struct {
		op                     wsproto.Opcode
		sent, stdout, complain string
	}{
		{wsproto.OpBinary, zip("hello"), "hello\n", ""},
		{wsproto.OpBinary, zip("\xff"), dump("\xff"), ""},
		{wsproto.OpText, "plain", "plain\n", ""},
		{wsproto.OpBinary, "\x1f\x8b\x08", dump("\x1f\x8b\x08"), "gunzip: unexpected EOF"},
		{wsproto.OpBinary, zip("hello")[:25], dump(zip("hello")[:25]), "gunzip: unexpected EOF"},
		{wsproto.OpBinary, zip(long), dump(zip(long)), "more than 1024 bytes"},
		// hw-54: zlib and raw deflate, as feeds have it.
		{wsproto.OpBinary, pack("plain text", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }), "plain text\n", ""},
		{wsproto.OpBinary, pack("plain text", func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 9); return z }), "plain text\n", ""},
		{wsproto.OpBinary, "\xff\x00", dump("\xff\x00"), ""},
	} {
		serve := kit.WSRaw(kit.GoodAnswer(kit.WSFrame(tt.op, tt.sent)), kit.DrainPeer)
		got := runConnect(t, serve, nil, "-connect", "ws://h/", "-g", "-count", "1", "-max-message", "1k")
		if got.Code != 0 || got.Stdout != tt.stdout || !strings.Contains(got.Stderr, tt.complain) {
			t.Errorf("%q: exit %d, %q, %q; want %q, %q", tt.sent, got.Code, got.Stdout, got.Stderr, tt.stdout, tt.complain)
		}
	}
}

// TestConnectPings has -P, and the heartbeat as IXWebSocket sends it.
func TestConnectPings(t *testing.T) {
	var beats []string
	serve := kit.WSRaw(kit.GoodAnswer(kit.WSFrame(wsproto.OpPing, "a\x1b")), func(nc net.Conn) {
		c := wsproto.NewConn(nc, nil, wsproto.RoleServer, wsproto.Agreement{}, wsproto.Config{Tap: func(received bool, h wsproto.Header, p []byte) {
			if received && h.Opcode == wsproto.OpPing {
				beats = append(beats, string(p))
			}
		}})
		time.AfterFunc(65*time.Second, func() { c.WriteMessage(wsproto.OpText, []byte("end")) })
		c.ReadMessage()
		c.Close(wsproto.StatusNormalClosure, "")
	})
	got := runConnect(t, serve, nil, "-connect", "ws://h/", "-heartbeat", "-P", "-count", "1")
	want := []string{"ixwebsocket::heartbeat::30s::0", "ixwebsocket::heartbeat::30s::1", "ixwebsocket::heartbeat::30s::2"}
	if got.Code != 0 || !slices.Equal(beats, want) {
		t.Errorf("exit %d, %q; want 0, %q", got.Code, beats, want)
	}
	for _, line := range []string{"received ping: a\\x1b\n", "sent pong: a\\x1b\n", "received pong: ixwebsocket::heartbeat::30s::0\n"} {
		if !strings.Contains(got.Stderr, line) {
			t.Errorf("-P: %q; want %q", got.Stderr, line)
		}
	}
}

// TestConnectJSON: one object a line, and nothing else on stdout.
func TestConnectJSON(t *testing.T) {
	serve := kit.WSRaw(kit.GoodAnswer(""), func(nc net.Conn) {
		io.ReadFull(nc, make([]byte, 8)) // our message
		io.WriteString(nc, kit.WSFrame(wsproto.OpText, "a\x1b")+kit.WSFrame(wsproto.OpPing, "p")+kit.WSFrame(wsproto.OpBinary, "\xff")+kit.CloseFrame(4001, "x"))
		kit.DrainPeer(nc)
	})
	got := runConnect(t, serve, nil, "-connect", "ws://h/", "-json", "-m", "hi")
	seen := make(map[string]bool)
	for line := range strings.Lines(got.Stdout) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil || e["time"] == nil {
			t.Errorf("%q: %v", line, err)
		}
		delete(e, "time")
		if head, ok := e["head"].(string); ok {
			e["head"] = head[:len("HTTP/1.1 101")]
		}
		b, _ := json.Marshal(e)
		seen[string(b)] = true
	}
	for _, want := range []string{
		`{"dir":"out","event":"open","head":"HTTP/1.1 101","peer":"pipe","proto":"ws"}`,
		`{"dir":"out","event":"message","opcode":"text","proto":"ws","size":2,"text":"hi"}`,
		`{"dir":"in","event":"message","opcode":"text","proto":"ws","size":2,"text":"a\u001b"}`,
		`{"dir":"in","event":"ping","proto":"ws","size":1,"text":"p"}`,
		`{"base64":"/w==","dir":"in","event":"message","opcode":"binary","proto":"ws","size":1}`,
		`{"code":4001,"event":"close","proto":"ws","reason":"x"}`,
		`{"error":"connection closed: code 4001 reason \"x\"","event":"error","proto":"ws"}`,
	} {
		if !seen[want] {
			t.Errorf("no %s in\n%s", want, got.Stdout)
		}
	}
	if got.Code != 9 {
		t.Errorf("exit %d; want 9", got.Code)
	}
}

func TestConnectTargets(t *testing.T) {
	for _, tt := range []struct{ arg, scheme, address, shown string }{
		{"ws://h/p", "ws", "ws://h/p", "ws://h/p"},
		{"WSS://u:secret@h/p@q", "wss", "wss://u:secret@h/p@q", "wss://h/p@q"},
		{"h:80", "ws", "ws://h:80", "ws://h:80"},
		{"h:80/p?q=a:b", "ws", "ws://h:80/p?q=a:b", "ws://h:80/p?q=a:b"},
		{"u:secret@h:80", "ws", "ws://u:secret@h:80", "ws://h:80"},
		{"localhost", "ws", "ws://localhost", "ws://localhost"},
		{"[::1]:80", "ws", "ws://[::1]:80", "ws://[::1]:80"},
		{"https://h", "wss", "wss://h", "wss://h"},
		{"tcp:h:1", "tcp", "h:1", "tcp://h:1"},
		{"ws:h:1/p", "ws", "ws://h:1/p", "ws://h:1/p"},
		{"wss:h", "wss", "wss://h", "wss://h"},
		{"ws:80/p", "ws", "ws://ws:80/p", "ws://ws:80/p"},
		{"ws:/h", "ws", "ws:///h", "ws:///h"}, // and no host called ws
		{"tls://[::1]:1", "tls", "[::1]:1", "tls://[::1]:1"},
		{"unix:/a b", "unix", "/a b", "unix:///a b"},
		{"line://h:1/", "line", "h:1", "line://h:1"},
		{"unix:", "", "", ""},
		{"tcp://h", "", "", ""},
		{"udp://h:65536", "", "", ""},
		{"mailto://a:b", "", "", ""},
	} {
		got, err := dial.ParseTarget(tt.arg, "none")
		if err != nil {
			got = dial.Target{}
		}
		if got.Scheme != tt.scheme || got.Address != tt.address || got.Shown != tt.shown {
			t.Errorf("%s: %+v, %v; want %+v", tt.arg, got, err, tt)
		}
	}
}

// TestPrinter has what a terminal and a pipe get to see.
func TestPrinter(t *testing.T) {
	const text, binary = wsproto.OpText, wsproto.OpBinary
	for _, tt := range []struct {
		name   string
		p      printer
		op     wsproto.Opcode
		data   string
		output string
	}{
		{"text on a terminal (TL01)", printer{terminal: true, limit: -1}, text, "\x1b]0;pwned\x07", `\x1b]0;pwned\x07` + "\n"},
		{"bidi on a terminal (TL07)", printer{terminal: true, limit: -1}, text, "\u202e", "\\u202e\n"},
		{"binary on a terminal", printer{terminal: true, limit: -1}, binary, "AB", "2 bytes\n00000000  41 42                                             |AB|\n"},
		{"binary, -raw, on a terminal", printer{terminal: true, limit: -1, style: event.Style{Raw: true}}, binary, "AB", "AB\n"},
		{"binary, -b, on a terminal", printer{terminal: true, limit: -1, binary: true}, binary, "A", "1 byte\n00000000  41                                                |A|\n"},
		{"cut on a terminal", printer{terminal: true, limit: 4}, text, "abcdefg", "abcd… (+3 bytes)\n"},
		{"cut before a character", printer{terminal: true, limit: 3}, text, "abéf", "ab… (+3 bytes)\n"},
		{"an untyped message that ends its line", printer{limit: -1}, 0, "ab\n", "ab\n"},
		{"an untyped message that does not", printer{limit: -1}, 0, "ab", "ab\n"},
		{"a stream on a terminal", printer{terminal: true, stream: true, limit: -1}, 0, "a\r\nb\rc\x1b\n\n", "a\nb\\rc\\x1b\n\n"},
		{"-format raw", printer{terminal: true, limit: 1, style: event.Style{Format: event.FormatRaw}}, text, "a\x1b", "a\x1b"},
		{"-format hex", printer{limit: -1, style: event.Style{Format: event.FormatHex}}, text, "A", "1 byte\n00000000  41                                                |A|\n"},
	} {
		if got := string(tt.p.append(nil, wsproto.Message{Opcode: tt.op, Data: []byte(tt.data)})); got != tt.output {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.output)
		}
	}
}

// FuzzConnectTarget: what is shown of a URL leads to the same place, and has no
// password in it.
func FuzzConnectTarget(f *testing.F) {
	for _, s := range []string{"ws://u:secret@h/p@q", "h:80", "u:p@h", "tcp:h:1", "unix:/a b", "tls://[::1]:1", "line://h:1/", "wss://@@/?#@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		target, err := dial.ParseTarget(arg, "none")
		if err != nil {
			return
		}
		again, err := dial.ParseTarget(target.Shown, "none")
		if err != nil || again.Shown != target.Shown || again.Scheme != target.Scheme {
			t.Errorf("%q is shown as %q, which is %+v, %v", arg, target.Shown, again, err)
		}
		_, rest, _ := strings.Cut(target.Shown, "://")
		if host := rest[:strings.IndexAny(rest+"/", "/?#")]; target.WebSocket() && strings.Contains(host, "@") {
			t.Errorf("%q is shown as %q", arg, target.Shown)
		}
	})
}

// TestConnectLine: a line server is told that we go, once, as socket-oneline's own
// client does, and not where it ends the connection by itself.
func TestConnectLine(t *testing.T) {
	for _, tt := range []struct{ name, flags, stdin, want string }{
		{"end of stdin", "", "ping\nwhat\n", "ping\nwhat\ndisconnect\n"},
		{"-count met", "-m ping -count 1", "", "ping\ndisconnect\n"},
		{"typed", "", "ping\ndisconnect\n", "ping\ndisconnect\n"},
		{"the server is ended", "", "shutdown\n", "shutdown\n"},
		{"the server ends", "-n -m bye", "", "bye\n"},
	} {
		got := make(chan string, 1)
		addr := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			var all strings.Builder
			lines := bufio.NewScanner(nc)
			for lines.Scan() {
				fmt.Fprintln(&all, lines.Text())
				if slices.Contains([]string{"disconnect", "shutdown", "bye"}, lines.Text()) {
					nc.(*net.TCPConn).CloseWrite()
				} else {
					io.WriteString(nc, "pong\n")
				}
			}
			got <- all.String()
		})
		ran := runReal(strings.NewReader(tt.stdin), append([]string{"-connect", "line://" + addr}, strings.Fields(tt.flags)...)...)
		if got := <-got; got != tt.want || ran.Code != 0 {
			t.Errorf("%s: exit %d, %s; sent %q, want %q", tt.name, ran.Code, ran.Stderr, got, tt.want)
		}
	}
}

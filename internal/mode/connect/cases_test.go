package connect

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// What users of this and of other such programs reported, by the numbers of their
// list. In fakeCases time is not real and the peer is at the other end of a pipe.
var fakeCases = []struct {
	id     string
	serve  func(nc net.Conn)
	args   string // _ stands for a blank in a word
	stdin  string
	code   int
	stdout string // all of it
	stderr string // a part of it
}{
	{"A9", says(1500*time.Millisecond, "1\n", "2\n", "3\n", "4\n", "5\n"), "tcp://h:1 -n", "", 0, "1\n2\n3\n4\n5\n", ""},
	{"A9 with -for", says(1500*time.Millisecond, "1\n", "2\n", "3\n"), "tcp://h:1 -n -for 2s", "", 0, "1\n", ""},
	{"A10", says(150*time.Millisecond, "REA", "DY\r\n", "more"), "tcp://h:1 -m x -expect READY -timeout 2s", "", 0, "READY\r\n", ""},
	{"A12", asked("one\nERROR 17"), "tcp://h:1 -framing line -m q", "", 56, "one\nERROR 17\n", "ended in the middle of a message"},
	{"A12 line:", asked("one\nERROR 17"), "line://h:1 -m q", "", 56, "one\nERROR 17\n", ""},
	{"A12 -expect", asked("one\nERROR 17"), "line://h:1 -m q -expect 17", "", 0, "one\nERROR 17\n", ""},
	{"C1", answers(5), "tcp://h:1 -m-binary 0x02,0x45:31-00_$0D", "", 0, "\x02E1\x00\r", ""},
	{"C1 with text", answers(4), "tcp://h:1 -m-binary 02_\"AB\"_03", "", 0, "\x02AB\x03", ""},
	{"C2", answers(7), `tcp://h:1 -e -eol none -m \x02AB\x03\r\n\0`, "", 0, "\x02AB\x03\r\n\x00", ""},
	{"C2 taken as typed", answers(4), `tcp://h:1 -eol none -m \x02`, "", 0, `\x02`, ""},
	{"C3", answers(14), "tcp://h:1 -eol crlf", "EHLO x\nQUIT\n", 0, "EHLO x\r\nQUIT\r\n", ""},
	{"C3 has CR already, and no LF at the end", answers(7), "tcp://h:1 -eol crlf", "A\r\nBCDE", 0, "A\r\nBCDE", ""},
	{"C4", answers(8), "tcp://h:1 -framing line:keep-cr -eol crlf -m EHLO_x", "", 0, "EHLO x\r\n", ""},
	{"C7", sleeps(34 * time.Second), "tcp://h:1 -stall off", strings.Repeat("0123456789abcde\n", 8<<16), 0, "", ""},
	{"C7 without the flag", sleeps(34 * time.Second), "tcp://h:1", strings.Repeat("0123456789abcde\n", 8<<16), 55, "", "the peer took nothing for 30s, not delivered: "},
	{"E10", answers(3), "tcp://h:1 -m-binary 0001ff -v -format hex", "", 0,
		"3 bytes\n00000000  00 01 ff                                          |...|\n", "> 3 bytes\n> 00000000  00 01 ff "},
	{"E10 text", answers(3), "tcp://h:1 -m hi -v", "", 0, "hi\n", "\n> hi\n"},
	{"hw-01", kit.WSRaw(kit.GoodAnswer(kit.WSFrame(wsproto.OpText, "one")), sleeps(7*time.Second)), "ws://h:1/ -count 1 -timeout 2s", "", 0, "one\n", ""},
	{"hw-01 in a flood", kit.WSRaw(kit.GoodAnswer(""), floods), "ws://h:1/ -count 1 -timeout 2s", "", 0, "more\n", ""},
	{"hw-08", kit.WSRaw(kit.GoodAnswer(strings.Repeat(kit.WSFrame(wsproto.OpBinary, `{"a":"x\"y"}`), 2)+kit.CloseFrame(1000, "")), kit.DrainPeer),
		"ws://h:1/ -n -q", "", 0, `{"a":"x\"y"}` + "\n" + `{"a":"x\"y"}` + "\n", ""},
	{"hw-22", kit.WSRaw(withLF, kit.DrainPeer), "ws://h:1/ -n", "", 11, "", "< Upgrade: websocket\n"},
	{"hw-22 -lenient", kit.WSRaw(withLF, closes), "ws://h:1/ -n -lenient", "", 0, "hi\n", "passed over: "},
	{"hw-23", kit.WSRaw(kit.Switching("Sec-WebSocket-Protocol: "), kit.DrainPeer), "ws://h:1/", "", 11, "", "subprotocol"},
	{"hw-23 -lenient", kit.WSRaw(kit.Switching("Sec-WebSocket-Protocol: "), closes), "ws://h:1/ -n -lenient", "", 0, "", "passed over: "},
	{"hw-25", kit.WSRaw(kit.GoodAnswer("\x81\x0ccaf\xe9 temp=23"+kit.CloseFrame(1000, "")), kit.DrainPeer), "ws://h:1/ -n", "", 11, "",
		"at offset 3:\n00000000  63 61 66 e9 20 74 65 6d  70 3d 32 33 "},
	{"hw-25 -lenient", kit.WSRaw(kit.GoodAnswer("\x81\x04caf\xe9"+kit.CloseFrame(1000, "")), kit.DrainPeer), "ws://h:1/ -n -lenient -b", "", 0, "caf\xe9", "passed over: "},
	{"hw-30", kit.WSRaw(kit.GoodAnswer("\r\n\x81\x02hi"), kit.DrainPeer), "ws://h:1/ -n", "", 11, "", "00000000  0d 0a 81 02 68 69 "},
	{"hw-55", kit.WSRaw(kit.Always("HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n"), kit.DrainPeer), "ws://h:1/ -proxy http://p -v", "", 56, "",
		"< Proxy-Authenticate: NTLM\n"},
	{"no head that can be read", kit.WSRaw(kit.Always("SSH-2.0-x\r\n"), kit.DrainPeer), "ws://h:1/ -n", "", 11, "", "< SSH-2.0-x\n"},
}

// withLF is a good answer whose lines end in LF, and a message.
func withLF(key string) string {
	return strings.ReplaceAll(kit.GoodAnswer("")(key), "\r\n", "\n") + kit.WSFrame(wsproto.OpText, "hi")
}

// says sends pieces, each after a pause, and ends.
func says(pause time.Duration, pieces ...string) func(net.Conn) {
	return func(nc net.Conn) {
		go kit.DrainPeer(nc)
		for _, p := range pieces {
			time.Sleep(pause)
			if _, err := io.WriteString(nc, p); err != nil {
				return
			}
		}
	}
}

// asked answers a question of two bytes, and ends.
func asked(answer string) func(net.Conn) {
	return func(nc net.Conn) {
		io.ReadFull(nc, make([]byte, 2))
		io.WriteString(nc, answer)
	}
}

// answers sends the first n bytes back, and ends.
func answers(n int64) func(net.Conn) {
	return func(nc net.Conn) { io.CopyN(nc, nc, n) }
}

// sleeps takes nothing for a while, then all.
func sleeps(d time.Duration) func(net.Conn) {
	return func(nc net.Conn) {
		time.Sleep(d)
		io.CopyN(io.Discard, nc, 8<<20)
	}
}

func floods(nc net.Conn) {
	go kit.DrainPeer(nc)
	for frame := []byte(kit.WSFrame(wsproto.OpText, "more")); ; time.Sleep(time.Millisecond) {
		if _, err := nc.Write(frame); err != nil {
			return
		}
	}
}

func closes(nc net.Conn) {
	io.WriteString(nc, kit.CloseFrame(1000, ""))
	kit.DrainPeer(nc)
}

func TestFakeCases(t *testing.T) {
	for _, tt := range fakeCases {
		t.Run(tt.id, func(t *testing.T) {
			got := runConnect(t, tt.serve, strings.NewReader(tt.stdin), append([]string{"-connect"}, kit.Words(tt.args)...)...)
			if got.Code != tt.code || got.Stdout != tt.stdout || !strings.Contains(got.Stderr, tt.stderr) {
				t.Errorf("%s: exit %d, %.200q, %q; want %d, %q, %q", tt.args, got.Code, got.Stdout, got.Stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// realCases need sockets. Each runs beside the others.
var realCases = []struct {
	id  string
	run func(t *testing.T)
}{
	{"A3", func(t *testing.T) { // lines for longer than a second after our end
		addr := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			kit.DrainPeer(nc)
			for i := range 13 {
				time.Sleep(100 * time.Millisecond)
				fmt.Fprintln(nc, "line", i)
			}
		})
		wantRun(t, runReal(strings.NewReader("request\n"), "-connect", "tcp://"+addr, "-framing", "line"), 0, "line 0\n.*line 12\n", "")
	}},
	{"A7", func(t *testing.T) { // the peer answers at our end: with a -linger of a day that must come at once
		addr := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			kit.DrainPeer(nc)
			io.WriteString(nc, "at the end\n")
		})
		wantRun(t, runReal(strings.NewReader("uname"), "-connect", "tcp://"+addr, "-linger", "24h"), 0, "at the end\n", "")
	}},
	{"A14", func(t *testing.T) {
		if !tlsconf.Available {
			t.Skip("built without TLS")
		}
		url, _ := farEnd(t, "tls", nil, func(f *far) {
			io.WriteString(f, "half an ans")
			f.Conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn).CloseWrite()
			f.readAll()
		})
		wantRun(t, runReal(strings.NewReader("hi"), "-connect", url, "-k"), 56, "half an ans", "without close_notify.*bytes received: 11")
	}},
	{"B5", func(t *testing.T) {
		from := make(chan string, 1)
		addr := kit.ListenFor(t, "tcp", func(nc net.Conn) { from <- nc.RemoteAddr().String() })
		wantRun(t, runReal(nil, "-connect", "tcp://"+addr, "-from", "127.0.0.2"), 0, "", "")
		if got := <-from; !strings.HasPrefix(got, "127.0.0.2:") {
			t.Errorf("it came from %s", got)
		}
		wantRun(t, runReal(nil, "-connect", "tcp://"+addr, "-from", "here"), 2, "", "want ADDR:PORT")
	}},
	{"B9", func(t *testing.T) {
		const sip = "OPTIONS sip:x SIP/2.0\r\nVia: y\r\n\r\n"
		pc := listenPacket(t, "udp", "127.0.0.1:0")
		go runReal(strings.NewReader(sip), "-connect", "udp://"+pc.LocalAddr().String(), "-framing", "none", "-linger", "0")
		wantPacket(t, pc, sip)
	}},
	{"B11", udpCollector},
	{"B15", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "s")
		pc := listenPacket(t, "unixgram", name)
		wantRun(t, runReal(strings.NewReader("m:1|c"), "-connect", "unixgram:"+name, "-linger", "0"), 0, "", "")
		wantPacket(t, pc, "m:1|c")
	}},
	{"B4", func(t *testing.T) { // the device answers from an address of its own
		pc := listenPacket(t, "udp", "127.255.255.255:0")
		device := listenPacket(t, "udp", "127.0.0.3:0")
		go func() {
			_, from, err := pc.ReadFrom(make([]byte, 100))
			if err == nil {
				device.WriteTo([]byte("I am here"), from)
			}
		}()
		wantRun(t, runReal(nil, "-connect", "udp://"+pc.LocalAddr().String(), "-m", "who", "-count", "1", "-timeout", "10s"), 0, "I am here\n", "")
	}},
	{"hw-03", func(t *testing.T) { wantHandshake(t, "Authorization", "Basic dG9rOg==", "ws://tok@%s/") }},
	{"hw-05", func(t *testing.T) {
		random := make([]byte, 100000)
		rand.Read(random)
		got := runReal(strings.NewReader(string(random)), "-connect", kit.ListenFor(t, "tcp", kit.WSEcho), "-b", "-q", "-linger", "300ms")
		if got.Code != 0 || got.Stdout != string(random) || got.Stderr != "" {
			t.Errorf("exit %d, %d of 100,000 bytes, %q", got.Code, len(got.Stdout), got.Stderr)
		}
	}},
	{"hw-07", func(t *testing.T) { // no LF, and stdin stays open
		p := kit.Background(t, Mode, kit.ListenFor(t, "tcp", kit.WSEcho), "-b")
		io.WriteString(p.Stdin, "SSH-2.0-client")
		p.Stdout.WaitFor(t, "^SSH-2.0-client$")
	}},
	{"hw-11", func(t *testing.T) {
		refusing := kit.ListenFor(t, "tcp", kit.WSRaw(kit.Always("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"), nil))
		wantError(t, runReal(nil, "-connect", "-json", "ws://"+refusing), 22, 401, "401 Unauthorized")
		wantError(t, runReal(nil, "-connect", "-json", "ws://127.0.0.1:9"), 7, 0, "refused")
	}},
	{"hw-14", func(t *testing.T) {
		addr := kit.ListenFor(t, "tcp", func(nc net.Conn) {
			req, err := httpmini.ReadRequest(bufio.NewReader(nc), httpmini.Limits{})
			switch {
			case err != nil:
			case req.Target == "/old":
				io.WriteString(nc, "HTTP/1.1 302 Found\r\nX-Why: moved\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n")
			default:
				io.WriteString(nc, kit.GoodAnswer(kit.CloseFrame(1000, ""))(req.Header.Get("Sec-WebSocket-Key")))
				kit.DrainPeer(nc)
			}
		})
		wantRun(t, runReal(nil, "-connect", "ws://"+addr+"/old", "-L", "-v"), 0, "", "< HTTP/1.1 302 Found\n< X-Why: moved\n(?s:.*)< HTTP/1.1 101 .*(?s:.*)connected to ws://"+addr+"/new\n")
	}},
	{"hw-18", func(t *testing.T) {
		wantHandshake(t, "Sec-WebSocket-Protocol", "remotecontrol", "ws://%s/", "-H", "Sec-WebSocket-Protocol: remotecontrol")
		wantHandshake(t, "Sec-WebSocket-Version", "8", "ws://%s/", "-H", "Sec-WebSocket-Version: 8")
	}},
	{"hw-32", func(t *testing.T) {
		path := kit.ListenFor(t, "unix", kit.WSEcho)
		wantRun(t, runReal(nil, "-connect", "ws+unix:"+path+":/x", "-m", "a", "-count", "1"), 0, "a\n", "connected to ws\\+unix:")
	}},
	{"hw-38", func(t *testing.T) { // no terminal, no stdin: connects again, and subscribes again
		var n atomic.Int32
		addr := kit.ListenFor(t, "tcp", kit.WSPeer(func(c *wsproto.Conn) {
			m, _ := c.ReadMessage()
			c.WriteMessage(wsproto.OpText, fmt.Appendf(nil, "%s %d", m.Data, n.Add(1)))
		}))
		got := runReal(nil, "-connect", "ws://"+addr, "-m", "subscribe", "-resend", "-reconnect", "-count", "3", "-max-wait", "1ms")
		wantRun(t, got, 0, "subscribe 1\nsubscribe 2\nsubscribe 3\n", "connecting again")
	}},
}

func TestRealCases(t *testing.T) {
	for _, tt := range realCases {
		t.Run(tt.id, func(t *testing.T) {
			t.Parallel()
			tt.run(t)
		})
	}
}

// wantRun checks what came of a run; stdout and stderr are patterns, the first for all
// of it.
func wantRun(t *testing.T, got kit.Ran, code int, stdout, stderr string) {
	t.Helper()
	if got.Code != code || !matches("^(?s:"+stdout+")$", got.Stdout) || !matches(stderr, got.Stderr) {
		t.Errorf("exit %d, %q, %q; want %d, %s, %s", got.Code, got.Stdout, got.Stderr, code, stdout, stderr)
	}
}

// wantHandshake wants a field in what the command line sends to a URL.
func wantHandshake(t *testing.T, field, want, url string, args ...string) {
	t.Helper()
	fields := make(chan []string, 1)
	addr := kit.ListenFor(t, "tcp", func(nc net.Conn) {
		req, _ := httpmini.ReadRequest(bufio.NewReader(nc), httpmini.Limits{})
		fields <- req.Header.Values(field)
	})
	runReal(nil, append([]string{"-connect", fmt.Sprintf(url, addr)}, args...)...)
	if got := <-fields; !slices.Equal(got, []string{want}) {
		t.Errorf("%q: %s is %q; want %q", args, field, got, want)
	}
}

// wantError wants an error as the last event.
func wantError(t *testing.T, got kit.Ran, exit, code int, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(got.Stdout), "\n")
	var e struct {
		Event, Error string
		Code         int
	}
	json.Unmarshal([]byte(lines[len(lines)-1]), &e)
	if got.Code != exit || e.Event != "error" || e.Code != code || !strings.Contains(e.Error, text) {
		t.Errorf("exit %d, %+v of %q; want %d, an error with %d, %s", got.Code, e, got.Stdout, exit, code, text)
	}
}

func listenPacket(t *testing.T, network, address string) net.PacketConn {
	t.Helper()
	pc, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	pc.SetDeadline(time.Now().Add(kit.Patience))
	return pc
}

func wantPacket(t *testing.T, pc net.PacketConn, want string) {
	t.Helper()
	buf := make([]byte, 1000)
	if n, _, err := pc.ReadFrom(buf); string(buf[:n]) != want || err != nil {
		t.Errorf("a datagram of %q, %v; want %q", buf[:n], err, want)
	}
}

// udpCollector is away for the first lines, and gets the later ones.
func udpCollector(t *testing.T) {
	pc := listenPacket(t, "udp", ownAddress())
	addr := pc.LocalAddr().String()
	pc.Close()
	p := kit.Background(t, Mode, "udp://"+addr, "-linger", "100ms")
	io.WriteString(p.Stdin, "1\n")
	p.Stderr.WaitFor(t, "nobody listens there")
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Skip("somebody else listens there now: ", err)
	}
	defer pc.Close()
	pc.SetDeadline(time.Now().Add(kit.Patience))
	io.WriteString(p.Stdin, "3\n")
	wantPacket(t, pc, "3")
	p.Stdin.Close()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit %d, %s", code, p.Stderr)
	}
	wantRun(t, runReal(nil, "-connect", "udp://127.0.0.1:9", "-m", "x", "-count", "1", "-timeout", "10s"), 7, "", "nobody listens there")
}

// TestWait is E6: nobody listens yet, and then somebody does.
func TestWait(t *testing.T) {
	for wait, want := range map[string]int{"10s": 0, "1s": 7, "0": 7} {
		synctest.Test(t, func(t *testing.T) {
			env := kit.PipeEnv(answers(1), strings.NewReader("a"), io.Discard, io.Discard)
			listens, dial := time.Now().Add(5*time.Second), env.Dial
			env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if time.Now().Before(listens) {
					return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
				}
				return dial(ctx, network, address)
			}
			if code := (cli.Table{Mode}).Run(t.Context(), []string{"socketsrv", "-connect", "tcp://h:1", "-wait", wait}, env); code != want {
				t.Errorf("-wait %s: exit %d; want %d", wait, code, want)
			}
		})
	}
}

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

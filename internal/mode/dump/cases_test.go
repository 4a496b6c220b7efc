package dump

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// The tests of this file have the names of the reports they hold.

// TestCaseC1: bytes as people have them.
func TestCaseC1(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	c := d.dial("tcp")
	d.want(`#0.*\n`)
	for spelling, want := range map[string]string{
		"02:45:31": "\x02E1", "0x00,0x01": "\x00\x01", "0x00 0x01": "\x00\x01", `\x00\x01`: "\x00\x01", "00-01": "\x00\x01",
		"{0x00, 0x01}": "\x00\x01", "00h 01h": "\x00\x01", "$0D$0A": "\r\n", "0 1 2": "\x00\x01\x02", `02 "AB" 03`: "\x02AB\x03",
	} {
		d.do("sendb tcp 0 " + spelling)
		c.want(want)
	}
	d.quit()
}

// TestCaseC2: control characters in text, where -e asks for escapes, and D1: a
// greeting for TCP clients.
func TestCaseC2(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-e", "-greet", `220 ready\r`, "-reply", `ACK{}\r\n\x06`)
	c := d.dial("tcp")
	c.want("220 ready\r\n")
	d.want(`#0: 220 ready\\r\\n\n`)
	c.send("x")
	c.want("ACKx\r\n\x06")
	d.do(`send tcp 0 \x02AB\x03\r`, `send tcp 0 \q`)
	c.want("\x02AB\x03\r\n")
	d.want(`^X .*\(column 12\)\n`)
	w := d.dialWS("/", wsproto.DialOptions{})
	w.want(wsproto.OpText, "220 ready\r")
	d.quit()

	d = startDump(t, nil)
	c = d.dial("tcp")
	d.want(`#0.*\n`)
	d.do(`send tcp 0 \x02`)
	c.want(`\x02` + "\n")
	d.quit()
}

// TestCaseFramings has D7, D8 and D10: messages cut and answered by every framing.
func TestCaseFramings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ framing, send, shown, want string }{
		{"mllp", "\x0bMSH|a\rPID|b\r\x1c\r", `MSH\|a\\rPID\|b\\r`, "\x0bACK\x1c\r"},
		{"delim:0d", "*IDN?\r", `\*IDN\?`, "ACK\r"},
		{"decimal", "5 <13>a", `<13>a`, "3 ACK"},
		{"netstring", "5:<13>a,", `<13>a`, "3:ACK,"},
		{"length:2le", "\x03\x00abc", `abc`, "\x03\x00ACK"},
		{"slip", "\xc0ab\xc0", `ab`, "\xc0ACK\xc0"},
		{"idle:20ms", "\x01\x03A", `\\x01\\x03A`, "ACK"},
		{"between:02,03", "\x02ab\x03", `ab`, "\x02ACK\x03"},
	} {
		d := startDump(t, nil, "-framing", tt.framing, "-reply", "ACK", "-udp-port", "off", "-ws-port", "off")
		c := d.dial("tcp")
		c.send(tt.send)
		d.want(`payload on TCP connection #0: ` + tt.shown + `\n`)
		c.want(tt.want)
		d.do("send tcp 0 ACK")
		c.want(strings.TrimSuffix(tt.want, "\n") + map[bool]string{true: "\n"}[strings.HasPrefix(tt.framing, "idle")])
		d.quit()
	}
}

// TestCaseD7Cut: a frame that does not end is shown, as cut.
func TestCaseD7Cut(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-framing", "delim:0d")
	c := d.dial("tcp")
	c.send("half")
	c.Close()
	d.want(`payload on TCP connection #0: half\n< TCP connection #0 cut: connection ended in the middle of a message\n`)
	d.quit()
}

// TestCaseA14: TLS that ends without close_notify is cut.
func TestCaseA14(t *testing.T) {
	t.Parallel()
	if !tlsconf.Available {
		t.Skip("built without TLS")
	}
	d := startDump(t, nil, "-tls")
	for i, want := range []string{`< TLS connection #0 cut: TLS ended without close_notify`, `< end of TLS connection #1\n`} {
		c, err := tls.Dial("tcp", d.tcp, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "half")
		if i == 1 {
			c.CloseWrite()
		} else {
			c.NetConn().(*net.TCPConn).CloseWrite()
		}
		d.want(`^` + want)
	}
	d.quit()
}

// TestCaseE1: SIGHUP ends it as SIGTERM does.
func TestCaseE1(t *testing.T) {
	t.Parallel()
	pidfile := filepath.Join(t.TempDir(), "pid")
	d := startDump(t, nil, "-pidfile", pidfile)
	w := d.dialWS("/", wsproto.DialOptions{})
	d.want(`new WebSocket.*\n`)
	d.signals <- syscall.SIGHUP
	w.wantClose(wsproto.StatusGoingAway, "")
	d.end(0)
	d.err.Want(t, `^ws: 0 open of 1; .*\n`)
	if _, err := os.Stat(pidfile); err == nil {
		t.Error("the pidfile is still there")
	}
}

// TestCaseE4: -host unix:/path is the stream listener alone.
func TestCaseE4(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("not there")
	}
	path := filepath.Join(t.TempDir(), "s")
	p := kit.Background(t, Mode, "-host", "unix:"+path, "-reply", "{}")
	p.Addr("tcp")
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	kit.Swap(t, nc, "x", "x")
	p.Stdout.WaitFor(t, `new Unix connection #0`)
	if p.Stop(); strings.Count(p.Stderr.String(), "listening on") != 1 {
		t.Errorf("stderr: %s", p.Stderr)
	}
}

// TestCaseHW26: a frame that broke a rule is shown, with what stands in its header.
func TestCaseHW26(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]string{
		"\x89\x00":         `code 1002, masking does not match the sender's role \(ping frame, FIN, not masked, length 0\): 2 bytes\n00000000  89 00 `,
		"\x81\x08unmasked": `code 1002, masking .* \(text frame, FIN, not masked, length 8\): 10 bytes\n00000000  81 08 75 6e 6d 61 73 6b  65 64 `,
	} {
		d := startDump(t, nil)
		w := d.dialWS("/", wsproto.DialOptions{NoCompression: true})
		io.WriteString(w.NetConn(), wire)
		d.want(`^< WebSocket connection #0 cut: ` + want)
		d.quit()

		d = startDump(t, nil, "-json")
		w = d.dialWS("/", wsproto.DialOptions{NoCompression: true})
		io.WriteString(w.NetConn(), wire)
		d.want(`"event":"close".*"size":\d+,("text"|"base64"):".*"offset":0`)
		d.quit()
	}
}

// TestCaseLenient: faults that nothing depends on are shown, and it goes on.
func TestCaseLenient(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-lenient")
	w := d.dialWS("/", wsproto.DialOptions{NoCompression: true})
	io.WriteString(w.NetConn(), "\x81\x02hi")
	d.want(`^X WebSocket connection #0: passed over: masking .*\(text frame, FIN, not masked, length 2\): .*\n`)
	d.want(`^< Received message on WebSocket connection #0: hi\n`)
	io.WriteString(w.NetConn(), "\x81\x01\xff")
	d.want(`^X WebSocket connection #0: passed over: text is not valid UTF-8`)
	d.do("send ws 0 on")
	w.want(wsproto.OpText, "on")
	for request, fault := range map[string]string{
		strings.ReplaceAll(kit.Opening(), "\r\n", "\n"): "line does not end in CRLF",
		kit.Opening("Sec-WebSocket-Protocol: a b"):      "malformed Sec-WebSocket-Protocol",
	} {
		if res, _ := kit.ExchangeHeads(t, d.ws, request); res.Status != 101 {
			t.Errorf("%q is answered with %d", request, res.Status)
		}
		d.want(`^X handshake of ` + port + `: passed over: .*` + fault + `: GET .*\n`)
	}
	d.quit()
}

// TestCaseHW29: a request that cannot be read is shown with its bytes, a client that
// says nothing when it goes, and with -v when it comes.
func TestCaseHW29(t *testing.T) {
	t.Parallel()
	for _, json := range []bool{false, true} {
		d := startDump(t, nil, "-v", map[bool]string{true: "-json", false: "-json=false"}[json])
		for request, shown := range map[string]string{
			"GET / HTTP/1.1\nHost: a\n\n": `GET / HTTP/1.1\\n`,
			"hello\n":                     `hello\\n`,
			"GET /50% HTTP/1.1\r\n\r\n":   `GET /50% HTTP/1.1\\r\\n`,
		} {
			c, err := net.Dial("tcp", d.ws)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, request)
			if json {
				d.want(`"event":"error","proto":"ws","peer":"` + port + `".*"text":"` + shown)
			} else {
				d.want(`^X handshake of ` + port + `: .* \(byte \d+\): ` + shown)
			}
			c.Close()
		}
		c, err := net.Dial("tcp", d.ws)
		if err != nil {
			t.Fatal(err)
		}
		if !json {
			d.err.Want(t, `connection from `+c.LocalAddr().String()+` for WebSocket\n`)
		}
		c.Close()
		if json {
			d.want(`"event":"error","proto":"ws","peer":"` + c.LocalAddr().String() + `","error":"no request came"}\n`)
		} else {
			d.want(`^X handshake of ` + c.LocalAddr().String() + `: no request came\n`)
		}
		d.quit()
	}
}

// TestCaseD6: what a program that succeeds writes to stderr is shown with -v.
func TestCaseD6(t *testing.T) {
	t.Parallel()
	needShell(t)
	d := startDump(t, nil, "-v", "-sh-exec", "echo warn >&2; echo out")
	c := d.dial("tcp")
	c.send("x")
	c.want("out\n")
	d.err.Want(t, `^/bin/sh: warn\n`)
	d.quit()
}

// TestExecNotForBrowsers: a page that has a browser connect reaches no program, however
// its request is cut.
func TestExecNotForBrowsers(t *testing.T) {
	t.Parallel()
	needShell(t)
	for _, framing := range []string{"none", "line"} {
		d := startDump(t, nil, "-sh-exec", "echo ran", "-framing", framing)
		for i, request := range []string{"POST /x HTTP/1.1\r\nHost: a\r\n\r\nshutdown\n", "POST /" + strings.Repeat("x", 40000)} {
			c := d.dial("tcp")
			c.send(request)
			d.want(`< TCP connection #` + string(rune('0'+i)) + ` cut: an HTTP request where what comes leads to a program\n`)
			if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) { // a reset where some was not read
				t.Errorf("the client got %q, %v; want the end", b, err)
			}
		}
		d.quit()
		if strings.Contains(d.out.String(), "ran") {
			t.Errorf("-framing %s: it ran: %s", framing, d.out)
		}
	}
}

// TestGoal has -count, -expect and -timeout.
func TestGoal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		flags string
		sends []string // by a TCP client, which then ends
		batch string
		exit  int
		error string
	}{
		{"count", "-count 2 -framing line", []string{"a\nb\n"}, "", 0, ""},
		{"count unmet", "-batch -count 3 -framing line", []string{"a\nb\n"}, "", 10, "socketsrv: 2 of 3 messages came\n"},
		{"count after the commands", "-batch -count 1", []string{"early"}, "send tcp 0 late", 0, ""},
		{"expect across reads", "-expect lo.wo", []string{"hello", " world"}, "", 0, ""},
		{"expect in a last line", "-expect ^end$ -framing line", []string{"x\nend"}, "", 0, ""},
		{"expect unmet", "-batch -expect nothing", []string{"hello"}, "", 10, "socketsrv: nothing that came matches -expect\n"},
		{"timeout", "-expect nothing -timeout 50ms", []string{"hello"}, "", 28, "socketsrv: gave up after 50ms\n"},
		{"in time", "-count 1 -timeout 20s", []string{"hello"}, "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDump(t, nil, strings.Fields(tt.flags)...)
			c := d.dial("tcp")
			for _, s := range tt.sends {
				c.send(s)
				d.want(`payload`)
			}
			if tt.batch != "" {
				d.do(tt.batch)
				c.want("late\n")
			}
			if strings.Contains(tt.flags, "-batch") {
				d.in.Close()
			}
			c.Conn.(*net.TCPConn).CloseWrite()
			d.end(tt.exit)
			if !strings.Contains(d.err.String(), tt.error) {
				t.Errorf("stderr %q; want %q", d.err, tt.error)
			}
		})
	}
}

// TestFailureIsAnEvent: with -json an exit but 0 is told before.
func TestFailureIsAnEvent(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-json", "-count", "1", "-timeout", "10ms")
	d.want(`"event":"error","error":"gave up after 10ms"}\n`)
	d.end(28)
}

// TestCloseLetsOut: what waits goes out to a slow peer after close, quit and a signal.
func TestCloseLetsOut(t *testing.T) {
	t.Parallel()
	const pieces, size = 10, 1 << 20
	for _, end := range []string{"close tcp 0", "quit", "signal"} {
		d := startDump(t, nil, "-q", "-eol", "none", "-grace", "10ms")
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, make([]byte, pieces*size), 0o600); err != nil {
			t.Fatal(err)
		}
		c := d.dial("tcp")
		c.send("x")
		for {
			d.do("stats")
			if strings.Contains(d.want(`\Audp.*\ntcp.*\nws.*\n`), "received 1 message") {
				break
			}
		}
		d.do("sendf tcp 0 "+file, "send tcp 0 last", "stats")
		d.want(`^ws.*\n`)
		if end == "signal" {
			d.signals <- syscall.SIGTERM
		} else {
			d.do(end)
		}
		if n, err := io.Copy(io.Discard, c.Conn); n != pieces*size+4 || err != nil {
			t.Errorf("%s: the client got %d bytes, %v", end, n, err)
		}
		c.Close()
		if strings.HasPrefix(end, "close") {
			d.do("quit")
		}
		d.end(0)
	}
}

// TestNotTaken: who takes nothing is cut after -stall, what it did not get is told, and
// nothing of that is called sent.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		defer c.Close()
		d.want(`#0.*\n`)
		d.do("send tcp 0 one", "send tcp 0 two", "quit")
		c.want("on")
		began := time.Now()
		d.want(`\A< TCP connection #0 cut: the peer takes nothing of what is sent\nX TCP connection #0: not sent: 6 bytes of 2 messages\n`)
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
		d.end(55)
		d.err.Want(t, `socketsrv: 6 bytes not sent\n`)
	}, "-stall", "5s")
}

// TestCaseE14 holds the exit code of a full disk where the goal is met.
func TestCaseE14(t *testing.T) {
	t.Parallel()
	d := startDump(t, func(env *cli.Env) { env.Stdout = kit.FailingWriter{Err: syscall.ENOSPC} }, "-count", "1")
	d.dial("tcp").send("x")
	d.end(23)
}

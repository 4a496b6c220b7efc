package dump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// port is an address as a pattern, with any port.
const port = `127\.0\.0\.1:\d+`

func TestMain(m *testing.M) { os.Exit(kit.Main(m, Mode)) }

// TestDumpLines has the lines of SocketSrv, for all three protocols, from the
// first byte to the last.
func TestDumpLines(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	d.err.Want(t, `^listening on tcp `+regexp.QuoteMeta(d.tcp)+`\nlistening on udp `+regexp.QuoteMeta(d.udp)+`\nlistening on ws `+regexp.QuoteMeta(d.ws)+`\n`)

	c := d.dial("tcp")
	d.want(`\A< new TCP connection #0: ` + regexp.QuoteMeta(c.LocalAddr().String()) + `\n`)
	c.send("hello\n")
	d.want(`\A< received payload on TCP connection #0: hello\\n\n`)
	d.do("send tcp 0 TEXT")
	d.want(`\A> sent payload to TCP connection #0: TEXT\\n\n`)
	c.want("TEXT\n")
	d.do("send tcp 0")
	d.want(`\A> sent payload to TCP connection #0: \\n\n`)
	d.do("send  tcp   0  two  blanks ")
	d.want(`\A> sent payload to TCP connection #0:  two  blanks \\n\n`)
	d.do("sendb tcp 0 00 FF 41")
	d.want(`\A> sent payload to TCP connection #0: 3 bytes\n00000000  00 ff 41 .*\|\.\.A\|\n`)
	c.want("\n two  blanks \n\x00\xffA")
	c.Close()
	d.want(`\A< end of TCP connection #0\n`)

	u := d.dial("udp")
	u.send("dgram")
	d.want(`\A< new UDP session #0: ` + regexp.QuoteMeta(u.LocalAddr().String()) + `\n< received datagram from UDP session #0: dgram\n`)
	u.send("")
	d.want(`\A< received datagram from UDP session #0: \n`)
	d.do("send udp 0 back", "sendb udp 0 c3 a9", "send udp 0")
	d.want(`\A> sent datagram to UDP session #0: back\n> sent datagram to UDP session #0: é\n> sent datagram to UDP session #0: \n`)
	for _, want := range []string{"back", "é", ""} {
		b := make([]byte, 100)
		if n, err := u.Read(b); err != nil || string(b[:n]) != want {
			t.Errorf("the client got %q, %v; want %q", b[:n], err, want)
		}
	}

	w := d.dialWS("/a/b?c=d", wsproto.DialOptions{})
	d.want(`\A< new WebSocket connection #0: ` + port + `:/a/b\?c=d\n`)
	w.WriteMessage(wsproto.OpText, []byte("hello mister é"))
	d.want(`\A< Received message on WebSocket connection #0: hello mister é\n`)
	w.WriteMessage(wsproto.OpBinary, []byte("\x00\xffbin"))
	d.want(`\A< Received binary message on WebSocket connection #0: 5 bytes\n00000000 .*\|\.\.bin\|\n`)
	d.do("send ws 0 hi", "sendb ws 0 ff")
	d.want(`\A> sent message to WebSocket connection #0: hi\n> sent binary message to WebSocket connection #0: 1 byte\n.*\n`)
	w.want(wsproto.OpText, "hi")
	w.want(wsproto.OpBinary, "\xff")
	w.Close(4000, "done")
	d.want(`\A< end of WebSocket connection #0: code 4000, reason done\n`)

	d.dial("tcp")
	d.want(`\A< new TCP connection #1: ` + port + `\n`)
	d.quit()
	d.want(`\A> closed TCP connection #1\n\z`)
	d.err.Want(t, `\Audp: 1 open of 1; received 2 messages, 5 bytes; sent 3 messages, 6 bytes\n`+
		`tcp: 0 open of 2; received 1 message, 6 bytes; sent 4 messages, 23 bytes\n`+
		`ws: 0 open of 1; received 2 messages, 20 bytes; sent 2 messages, 3 bytes\n\z`)
}

var misuses = []struct{ line, reason string }{
	{"bogus", "unknown command bogus (column 1)"},
	{"  x\x1b[2J", `unknown command x\x1b[2J (column 3)`},
	{"s tcp 0 x", "s may be send, sendb, sendf, stats (column 1)"},
	{"SEND tcp 0 x", "unknown command SEND (column 1)"},
	{"send", "the protocol is missing (column 5): send <protocol> <client-num> <message>"},
	{"send tcp", "the client number is missing (column 9): send <protocol> <client-num> <message>"},
	{"send foo 0 x", "unknown protocol foo (column 6)"},
	{"send tcp abc x", "not a client number: abc (column 10)"},
	{"send tcp -1 x", "not a client number: -1 (column 10)"},
	{"send tcp +0 x", "not a client number: +0 (column 10)"},
	{"send tcp 0x0 x", "not a client number: 0x0 (column 10)"},
	{"send tcp 4294967296 x", "not a client number: 4294967296 (column 10)"},
	{"send tcp 999 hi", "try to write on unknown TCP connection #999"},
	{"send tcp 1 hi", "try to write on closed TCP connection #1"},
	{"send ws 9 hi", "try to write on unknown WebSocket connection #9"},
	{"send udp 9 hi", "try to write on unknown UDP session #9"},
	{"send udp all hi", "no UDP session is open"},
	{"send ws 0 \xff", "a text message must be UTF-8; sendb sends bytes"},
	{"sendb tcp 0 4x", "character 2: 'x' is not a hexadecimal digit (column 13)"},
	{"sendb tcp 0 é4x", "character 1: 'é' is not a hexadecimal digit (column 13)"},
	{"sendb tcp 0 abc", `a hexadecimal digit is missing: there are 3 in "abc" (column 13)`},
	{"sendb tcp 0", "nothing to send"},
	{"sendf tcp 0", "TCP connection #0: no file is on its way"},
	{"sendf udp 0", "try to write on unknown UDP session #0"},
	{"sendf ws 0", "the file is missing (column 11): sendf <protocol> <client-num> <file>"},
	{"sendf tcp 0 /no/such file", "open /no/such file: no such file or directory"},
	{"sendf tcp 0 " + os.TempDir(), "is not a regular file"},
	{"ping tcp 0", "tcp has no pings, ws has (column 6)"},
	{"ping ws 9", "unknown WebSocket connection #9"},
	{"ping ws 0 " + strings.Repeat("x", 126), "a ping has at most 125 bytes, not 126 (column 11)"},
	{"close tcp 0 1000", "codes are for WebSocket"},
	{"close ws 0 1005", "not a code that may be sent: 1005 (column 12)"},
	{"close ws 0 999999", "not a code that may be sent: 999999 (column 12)"},
	{"close ws 0 1000 " + strings.Repeat("x", 124), "a reason is UTF-8, at most 123 bytes (column 17)"},
	{"close ws 0 1000 \xff", "a reason is UTF-8, at most 123 bytes (column 17)"},
	{"close ws 7", "unknown WebSocket connection #7"},
	{"format colour", "unknown format colour (column 8)"},
	{"format hex now", "nothing more is wanted here (column 12)"},
	{"list_clients all", "nothing more is wanted here (column 14)"},
	{"stats é x", "nothing more is wanted here (column 7)"},
	{"help bogus", "unknown command bogus (column 6)"},
}

// TestDumpMisuse has TD04, TD05 and the like: X and a reason, nothing is sent, and
// the program goes on.
func TestDumpMisuse(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	c := d.dial("tcp")
	d.want(`#0: .*\n`)
	gone := d.dial("tcp")
	d.want(`#1: .*\n`)
	gone.Close()
	d.want(`end of TCP connection #1\n`)
	w := d.dialWS("/", wsproto.DialOptions{})
	d.want(`< new WebSocket.*\n`)
	for _, tt := range misuses {
		if runtime.GOOS == "windows" && strings.HasPrefix(tt.line, "sendf tcp 0 /") {
			continue
		}
		d.do(tt.line)
		if got := d.want(`\A.*\n`); !strings.HasPrefix(got, "X ") || !strings.HasSuffix(got, tt.reason+"\n") {
			t.Errorf("%q: %q; want X %s", tt.line, got, tt.reason)
		}
	}
	d.do("", "   ", strings.Repeat("y", 2<<20)) // the last is longer than a line may be
	d.want(`\AX line longer than 1 MiB\n`)
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("something was sent: %d bytes, %v", n, err)
	}
	w.Close(1000, "")
}

func TestDumpHelp(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	d.do("help")
	d.want(`\A[^\t]+\n\nHandled protocols:\n\tudp\n\ttcp\n\tws\n\nCommands list:\n(\t.*\n)*\tquit .*\n`)
	for _, c := range new(dump).commands() {
		if !regexp.MustCompile(`\n\t` + c.name + ` `).MatchString(d.out.String()) {
			t.Errorf("help does not list %s", c.name)
		}
		pattern := `\A` + regexp.QuoteMeta(c.name+cli.Space(c.args)) + `\n(\t.*\n)+`
		d.do("help " + c.name)
		d.want(pattern)
		if c.name != "help" {
			d.do(c.name + " help")
			d.want(pattern)
		}
	}
	for line := range strings.Lines(d.out.String()) {
		if width := len(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "        ")); width > 80 {
			t.Errorf("%d columns: %s", width, line)
		}
	}
	d.do("h l", "f", "stat")
	d.want(`\Alist_clients\n(\t.*\n)+format auto\nudp: 0 open.*\ntcp: .*\nws: .*\n\z`)
	d.quit()
}

func TestDumpListClients(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var mu sync.Mutex
	d := startDump(t, func(env *cli.Env) {
		env.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	}, "-udp-port", "off")
	d.do("list_clients")
	d.want(`\Audp:\n\tNot listening\ntcp:\n\tNo client\nws:\n\tNo client\n`)
	a := d.dial("tcp")
	d.want(`#0.*\n`)
	d.dial("tcp")
	d.want(`#1.*\n`)
	d.dialWS("/x%0a?y=\u00e9", wsproto.DialOptions{})
	d.want(`WebSocket.*\n`)
	a.send("12345")
	d.want(`12345\n`)
	mu.Lock()
	now = now.Add(61 * time.Second)
	mu.Unlock()
	d.do("send tcp all x")
	d.want(`#1: x\\n\n`)
	d.do("l")
	d.want(`\Audp:\n\tNot listening\ntcp:\n\t#0: ` + port + `, 1m1s, 5 bytes in, 2 bytes out\n\t#1: ` + port + `, 1m1s, 0 bytes in, 2 bytes out\nws:\n\t#0: ` + port + `:/x%0a\?y=\S+, 1m1s, 0 bytes in, 0 bytes out\n`)
	d.do("send udp 0 x")
	d.want(`\AX udp is off\n`)
	d.quit()
}

// TestDumpEndings has TD03: each way a TCP connection can end.
func TestDumpEndings(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	reset := d.dial("tcp")
	d.want(`new TCP connection #0.*\n`)
	reset.Conn.(*net.TCPConn).SetLinger(0)
	reset.Close()
	d.want(`\A< TCP connection #0 cut: connection reset by peer\n`)

	half := d.dial("tcp")
	half.send("request")
	half.Conn.(*net.TCPConn).CloseWrite()
	d.want(`payload on TCP connection #1: request\n< end of TCP connection #1\n`)
	d.do("l", "send tcp 1 answer")
	d.want(`#1: .*, ended its side\n`)
	d.want(`> sent payload to TCP connection #1: answer\\n\n`)
	half.want("answer\n")
	d.do("close tcp 1")
	half.wantEnd("")

	closed := d.dial("tcp")
	d.want(`new TCP connection #2.*\n`)
	d.do("close tcp 2")
	closed.wantEnd("")
	closed.Close()
	d.want(`\A> closed TCP connection #2\n`)
	d.quit()
}

// TestDumpSendToGone: nobody can tell a client that is gone from one that sends no
// more, before something is sent to it.
func TestDumpSendToGone(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	c := d.dial("tcp")
	d.want(`new TCP.*\n`)
	c.Close()
	d.want(`end of TCP connection #0\n`)
	d.do("send tcp 0 hello")
	d.want(`\AX try to write on closed TCP connection #0\n`)
	d.do("send tcp 0 hello")
	d.want(`\AX try to write on closed TCP connection #0\n`)
	d.quit()
	d.want(`\A\z`)
}

// TestDumpEndOfStdin: the servers go on, and who has ended its side is let go.
func TestDumpEndOfStdin(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	early := d.dial("tcp")
	early.Conn.(*net.TCPConn).CloseWrite()
	d.want(`end of TCP connection #0\n`)
	d.in.Close()
	early.wantEnd("")
	late := d.dial("tcp")
	late.send("x")
	late.Conn.(*net.TCPConn).CloseWrite()
	late.wantEnd("")
	d.want(`payload on TCP connection #1: x\n< end of TCP connection #1\n`)
	d.signals <- syscall.SIGTERM
	d.end(0)
}

// TestDumpHalfOpenBound: those who sent no more are not kept in place of new ones.
func TestDumpHalfOpenBound(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-max-conns", "8")
	var clients []wirePeer
	for i := range 4 {
		c := d.dial("tcp")
		c.Conn.(*net.TCPConn).CloseWrite()
		d.want(fmt.Sprintf(`end of TCP connection #%d\n`, i))
		clients = append(clients, c)
	}
	clients[0].wantEnd("")
	clients[1].wantEnd("")
	d.do("send tcp 3 x")
	clients[3].want("x\n")
	d.quit()
}

// TestDumpManyClients has TD01: nothing is lost or goes to another.
func TestDumpManyClients(t *testing.T) {
	t.Parallel()
	const clients, size = 300, 1024
	d := startDump(t, nil, "-json", "-max-show", "0")
	sent := make(map[string]string)
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c, err := net.Dial("tcp", d.tcp)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			b := make([]byte, size)
			for j := range b {
				b[j] = byte(i*31 + j*j>>3)
			}
			mu.Lock()
			sent[c.LocalAddr().String()] = string(b)
			mu.Unlock()
			c.Write(b[:size/3])
			c.Write(b[size/3:])
		})
	}
	all.Wait()
	for range clients {
		d.want(`"event":"end".*\n`)
	}
	d.quit()
	got := make(map[string]string)
	for line := range strings.Lines(d.out.String()) {
		var e struct {
			Event, Peer, Text string
			Base64            []byte
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Event == "message" {
			got[e.Peer] += e.Text + string(e.Base64)
		}
	}
	for peer, want := range sent {
		if got[peer] != want {
			t.Errorf("%s sent %d bytes, %d others were dumped", peer, len(want), len(got[peer]))
		}
	}
	if len(got) != clients {
		t.Errorf("%d clients, want %d", len(got), clients)
	}
}

// TestDumpAllBytes has TD02, TL01 to TL09: what is shown can be turned back, where no
// backslash came, and nothing reaches the terminal.
func TestDumpAllBytes(t *testing.T) {
	t.Parallel()
	var every []byte
	for i := range 256 {
		if i != '\\' {
			every = append(every, byte(i))
		}
	}
	d := startDump(t, nil, "-format", "text")
	c := d.dial("udp")
	for _, p := range []string{string(every), "\x1b]0;pwned\x07", "\x9b2J", "\u009b2J", "\u202e\u200b\U000e0041", "safe\rEVIL\b\x7f\t"} {
		c.send(p)
		line := d.want(`^< received datagram from UDP session #0: .*\n`)
		shown := strings.TrimSuffix(strings.TrimPrefix(line, "< received datagram from UDP session #0: "), "\n")
		if strings.ContainsFunc(shown, cli.Unprintable) {
			t.Errorf("%q is shown as %q", p, shown)
		}
		if back, err := event.AppendUnescaped(nil, shown); err != nil || string(back) != p {
			t.Errorf("%q is shown as %q, which stands for %q, %v", p, shown, back, err)
		}
	}
	d.quit()
}

// TestDumpNames has TL12: what a peer calls itself is one line.
func TestDumpNames(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	w := d.dialWS("/x%0a[info]%20fake", wsproto.DialOptions{})
	d.want(`\A< new WebSocket connection #0: ` + port + `:/x%0a\[info\]%20fake\n`)
	w.Close(1000, "a\n< new TCP connection #7\x1b[2J")
	d.want(`\A< end of WebSocket connection #0: code 1000, reason a\\n< new TCP connection #7\\x1b\[2J\n\z`)
	d.quit()
}

// TestDumpRawIsTheWire has TL17.
func TestDumpRawIsTheWire(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-format", "raw")
	c := d.dial("tcp")
	const wire = "\x1b[2J\x00\xff\r\nline\n"
	c.send(wire)
	d.want(`line\n`)
	d.do("send tcp 0 x", "list_clients", "bogus")
	c.want("x\n")
	d.err.Want(t, `#0: .*\n(?s:.*)^X unknown command bogus`)
	d.quit()
	if got := d.out.String(); got != wire {
		t.Errorf("stdout is %q; want %q", got, wire)
	}
}

// TestDumpLongPayload has TL11.
func TestDumpLongPayload(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-max-show", "10")
	w := d.dialWS("/", wsproto.DialOptions{})
	w.WriteMessage(wsproto.OpText, bytes.Repeat([]byte("x"), 10<<20))
	d.want(`^< Received message on WebSocket connection #0: x{10}… \(\+10485750 bytes\)\n`)
	d.do("stats")
	d.want(`received 1 message, 10485760 bytes`)
	d.quit()
}

func TestDumpFormat(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-t", "-color", "always")
	c := d.dial("udp")
	c.send("ab")
	d.want(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \x1b\[36m< received datagram from UDP session #0\x1b\[0m: ab\n`)
	d.do("format hex", "format")
	d.want(`^format hex\n`)
	c.send("ab")
	d.want(`UDP session #0\x1b\[0m: 2 bytes\n00000000  61 62 .*\n`)
	d.do("format t", "format")
	d.want(`^format text\n`)
	c.send("\x00")
	d.want(`: \\x00\n`)
	d.quit()
}

// TestDumpClientHello has TD12: it is shown as any bytes, and a hint says more.
func TestDumpClientHello(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	a := d.dial("tcp")
	a.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	d.want(`payload on TCP connection #0: 11 bytes\n00000000  16 03 01 `)
	d.err.Want(t, `^hint: what TCP connection #0 sends looks like a TLS ClientHello; -tls would answer it\n`)
	b := d.dial("tcp")
	b.send("GET / HTTP/1.1\r\n\r\n")
	d.want(`payload on TCP connection #1: GET / HTTP/1.1\\r\\n\\r\\n\n`)
	d.quit()
	if strings.Count(d.err.String(), "hint") != 1 {
		t.Errorf("stderr: %s", d.err)
	}
}

// TestDumpQuiet has -q, and that what is not shown is counted all the same (TD13).
func TestDumpQuiet(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-q")
	c := d.dial("tcp")
	block := make([]byte, 1<<20)
	for range 64 {
		c.Write(block)
	}
	c.Conn.(*net.TCPConn).CloseWrite()
	d.dial("udp").send("x")
	d.dialWS("/", wsproto.DialOptions{})
	for {
		d.do("stats")
		if strings.Contains(d.want(`\Audp.*\ntcp.*\nws.*\n`), fmt.Sprintf(" %d bytes; sent 0 messages", 64<<20)) {
			break
		}
	}
	d.do("bogus")
	d.want(`\AX unknown command bogus \(column 1\)\n\z`)
	d.quit()
	d.want(`\A\z`)
	if got := d.err.String(); got != "" {
		t.Errorf("stderr: %q", got)
	}
}

// TestDumpTooMany has -max-conns.
func TestDumpTooMany(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-max-conns", "1")
	first := d.dial("tcp")
	d.want(`new TCP connection #0.*\n`)
	for range 3 {
		if n, err := d.dial("tcp").Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("one too many got %d bytes, %v", n, err)
		}
	}
	d.do("stats")
	d.want(`tcp: 1 open of 1; .*; 3 turned away\n`)
	first.Close()
	d.want(`end of TCP connection #0\n`)
	if got := strings.Count(d.err.String(), "as many connections as -max-conns allows"); got != 1 {
		t.Errorf("it was said %d times: %s", got, d.err)
	}
	w := d.dialWS("/", wsproto.DialOptions{})
	_, _, err := wsproto.Dial(t.Context(), "ws://"+d.ws, wsproto.DialOptions{})
	if he, ok := errors.AsType[*wsproto.HandshakeError](err); !ok || he.Status != 503 {
		t.Errorf("the second WebSocket: %v", err)
	}
	w.Close(1000, "")
	d.quit()
}

// TestDumpQueueFull has TD06: who does not read delays nobody.
func TestDumpQueueFull(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-max-show", "1")
	d.dial("tcp")
	d.want(`#0`)
	other := d.dial("tcp")
	d.want(`#1`)
	for range 20 {
		d.do("send tcp 0 " + strings.Repeat("x", 1000<<10))
	}
	d.want(`^X TCP connection #0: send queue full \(1 MiB\)\n`)
	d.do("send tcp all hi")
	d.want(`^> sent payload to TCP connection #1: h…`)
	other.want("hi\n")
	w := d.dialWS("/", wsproto.DialOptions{NoCompression: true})
	d.want(`new WebSocket`)
	for range 20 {
		d.do("send ws 0 " + strings.Repeat("x", 1000<<10))
	}
	d.want(`^X WebSocket connection #0: send queue full \(1 MiB\)\n`)
	w.NetConn().Close()
	d.signals <- syscall.SIGTERM
	d.signals <- syscall.SIGTERM
	d.end(143)
	d.want(`X TCP connection #0: not sent: \d+ bytes of \d messages?\n`)
}

func TestDumpSendFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int) (string, string) {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i * i >> 7)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path, string(b)
	}
	large, content := write("a file", 20<<20)
	small, datagram := write("small", 1000)
	over, _ := write("over", 65508)
	d := startDump(t, nil, "-max-message", "16M")

	c := d.dial("tcp")
	d.want(`#0`)
	d.do("sendf tcp 0 "+large, "send tcp 0 after")
	c.want(content + "after\n")
	d.want(`^> sent file to TCP connection #0: ` + regexp.QuoteMeta(large) + `, 20971520 bytes in \d+\.\d\d\d s\n`)

	d.do("sendf tcp 0 "+large, "sendf tcp 0 "+large)
	d.want(`^X TCP connection #0: a file is on its way already\n`)
	d.do("sendf tcp 0")
	d.want(`^X TCP connection #0: \d+ of 20971520 bytes of .* sent: cancelled\n`)
	d.do("send tcp 0 still here")
	go io.Copy(io.Discard, c.Conn) // what came of the file may leave no room for it
	d.want(`still here`)

	u := d.dial("udp")
	u.send("x")
	d.want(`UDP session #0: x\n`)
	d.do("sendf udp 0 "+small, "sendf udp 0 "+over)
	d.want(`^> sent file to UDP session #0: .*, 1000 bytes in`)
	d.want(`^X .*over: message too long \(max 65507\)\n`)
	u.want(datagram)

	w := d.dialWS("/", wsproto.DialOptions{})
	d.want(`WebSocket connection #0`)
	d.do("sendf ws 0 "+small, "sendf ws 0 "+large)
	d.want(`^> sent file to WebSocket connection #0: .*, 1000 bytes in`)
	d.want(`^X .*: message too long \(max 16777216\)\n`)
	w.want(wsproto.OpBinary, datagram)

	d.dial("tcp")
	d.want(`TCP connection #1`)
	d.do("sendf tcp 1 "+large, "stats") // to one that does not read
	d.want(`^ws: 1 open.*\n`)
	d.signals <- syscall.SIGINT
	d.signals <- syscall.SIGINT
	d.want(`^X TCP connection #1: \d+ of 20971520 bytes of .* sent: closed\n`)
	d.end(130)
}

func TestDumpSendFileFIFO(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no FIFOs there")
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Skip("no mkfifo: ", err)
	}
	d := startDump(t, nil)
	d.dial("tcp")
	d.want(`#0.*\n`)
	d.do("sendf tcp 0 " + fifo)
	d.want(`^X .* is not a regular file\n`)
	d.quit()
}

func TestDumpFraming(t *testing.T) {
	t.Parallel()
	t.Run("line", func(t *testing.T) {
		d := startDump(t, nil, "-framing", "line", "-max-message", "100")
		c := d.dial("tcp")
		for _, piece := range []string{"a", "b\ncd\r", "\n\nrest"} {
			c.send(piece)
		}
		d.want(`connection #0: ab\n.*connection #0: cd\n.*connection #0: \n`)
		d.do("send tcp 0 x")
		c.want("x\n")
		c.Conn.(*net.TCPConn).CloseWrite()
		d.want(`payload on TCP connection #0: rest\n< end of TCP connection #0\n`)
		long := d.dial("tcp")
		long.send(strings.Repeat("x", 101))
		d.want(`< TCP connection #1 cut: line too long: x{64}\n`)
		d.quit()
	})
	t.Run("length", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		d := startDump(t, nil, "-framing", "length", "-max-message", "100")
		c := d.dial("tcp")
		for _, piece := range []string{"\x00\x00", "\x00\x05He", "llo\x00\x00\x00\x00\x00\x00\x00\x01x"} {
			c.send(piece)
		}
		d.want(`connection #0: Hello\n.*connection #0: \n.*connection #0: x\n`)
		d.do("send tcp 0 Hello", "sendb tcp 0", "sendf tcp 0 "+file)
		d.want(`sent payload to TCP connection #0: Hello\n`)
		c.want("\x00\x00\x00\x05Hello\x00\x00\x00\x00\x00\x00\x00\x07content")
		c.send("\x00\x00\x00\x09part")
		c.Close()
		d.want(`< TCP connection #0 cut: connection ended in the middle of a message\n`)
		d.dial("tcp").send("\xff\xff\xff\xff")
		d.want(`< TCP connection #1 cut: message too long: 4294967295 bytes, the limit is 100: 4 bytes\n00000000  ff ff ff ff .*\n`)
		d.quit()
	})
}

func TestDumpEOL(t *testing.T) {
	t.Parallel()
	for eol, end := range map[string]string{"lf": "\n", "crlf": "\r\n", "none": ""} {
		d := startDump(t, nil, "-eol", eol)
		c := d.dial("tcp")
		d.want(`#0`)
		d.do("send tcp 0 x", "sendb tcp 0 2e")
		c.want("x" + end + ".")
		d.quit()
	}
}

func TestDumpReply(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-reply", "<{}>")
	c := d.dial("tcp")
	c.send("a\n")
	c.want("<a\n>")
	d.want(`#0: a\\n\n> sent payload to TCP connection #0: <a\\n>\n`)
	w := d.dialWS("/", wsproto.DialOptions{})
	w.WriteMessage(wsproto.OpText, []byte("b"))
	w.want(wsproto.OpText, "<b>")
	w.WriteMessage(wsproto.OpBinary, []byte("c"))
	w.want(wsproto.OpBinary, "<c>")
	c.Conn.(*net.TCPConn).CloseWrite()
	d.quit()

	framed := startDump(t, nil, "-reply", "{}!", "-framing", "length")
	c = framed.dial("tcp")
	c.send("\x00\x00\x00\x01a\x00\x00\x00\x00")
	c.want("\x00\x00\x00\x02a!\x00\x00\x00\x01!")
	framed.quit()

	lines := startDump(t, nil, "-reply", "{}!", "-framing", "line")
	c = lines.dial("tcp")
	c.send("a\n\n")
	c.want("a!\n!\n")
	lines.quit()
}

// TestDumpReplySlowReader: a peer that sends and never reads is read no further.
func TestDumpReplySlowReader(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-reply", "{}", "-q")
	c := d.dial("tcp")
	sent := int64(0)
	block := make([]byte, 1<<20)
	for sent < 1<<30 {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Write(block)
		sent += int64(n)
		if err != nil {
			break
		}
	}
	if sent >= 1<<30 {
		t.Fatal("a gigabyte was taken whose answers nobody reads")
	}
	c.SetDeadline(time.Now().Add(kit.Patience))
	c.Conn.(*net.TCPConn).CloseWrite()
	if n, err := io.Copy(io.Discard, c.Conn); err != nil || n != sent {
		t.Errorf("%d bytes sent, %d came back, %v", sent, n, err)
	}
	d.quit()
}

// TestDumpReplyUDP has UD05: an answer is never longer than what it answers.
func TestDumpReplyUDP(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-reply", "1234", "-tcp-port", "off", "-ws-port", "off")
	c := d.dial("udp")
	c.send("abc")
	d.want(`X UDP session #0: not answered: 4 bytes would answer 3, `)
	c.send("abc")
	c.send("abcd")
	c.want("1234")
	d.do("stats")
	d.want(`udp: .* sent 1 message, 4 bytes; 2 not answered\n`)
	d.quit()
	if got := strings.Count(d.out.String(), "X "); got != 1 {
		t.Errorf("it was said %d times", got)
	}

	d = startDump(t, nil, "-reply", "1234", "-tcp-port", "off", "-ws-port", "off", "-udp-long-answers") // B6
	c = d.dial("udp")
	c.send("?")
	c.want("1234")
	d.quit()
}

func needShell(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh here")
	}
}

func TestDumpExec(t *testing.T) {
	t.Parallel()
	needShell(t)
	d := startDump(t, nil, "-exec", `sh -c 'tr a-z A-Z; test "$SOCKETSRV_PROTO" != udp || exit 0; echo " $SOCKETSRV_PROTO $SOCKETSRV_CLIENT $SOCKETSRV_OPCODE"'`)
	c := d.dial("tcp")
	c.send("abc")
	c.want("ABC tcp 0 \n")
	w := d.dialWS("/", wsproto.DialOptions{})
	w.WriteMessage(wsproto.OpText, []byte("é"))
	w.want(wsproto.OpText, "é ws 0 text\n")
	u := d.dial("udp")
	u.send("datagram")
	u.want("DATAGRAM")
	d.quit()
}

func TestDumpExecFails(t *testing.T) {
	t.Parallel()
	needShell(t)
	for _, tt := range []struct {
		flags  []string
		reason string
	}{
		{[]string{"-exec", "/no/such/program"}, `/no/such/program: .*no such file or directory`},
		{[]string{"-exec", `sh -c 'echo "no \033[2J" >&2; exit 3'`}, `sh: exit status 3: no \\x1b\[2J`},
		{[]string{"-exec", `sh -c 'while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done'`, "-max-message", "100k"}, `sh: it printed more than 102400 bytes`},
		{[]string{"-exec", `sh -c 'sleep 1000 & sleep 1000'`, "-exec-timeout", "100ms"}, `sh: ended after 100ms`},
	} {
		d := startDump(t, nil, tt.flags...)
		c := d.dial("tcp")
		c.send("x")
		d.want(`^X TCP connection #0: not answered: ` + tt.reason + `\n`)
		c.send("y")
		d.want(`^X TCP connection #0: `)
		d.quit()
	}
}

// TestDumpExecGroup: what a program started ends with it. It is ended for what it prints,
// as a program that has too much time: by no clock, which may run while it starts.
func TestDumpExecGroup(t *testing.T) {
	t.Parallel()
	needShell(t)
	if runtime.GOOS == "windows" {
		t.Skip("no process groups there")
	}
	pidfile := filepath.Join(t.TempDir(), "pid")
	d := startDump(t, nil, "-exec", `sh -c 'sleep 1000 & echo $! >`+pidfile+`; yes'`, "-max-message", "1k", "-udp-port", "off", "-ws-port", "off")
	d.dial("tcp").send("x")
	d.want(`it printed more than 1024 bytes`)
	b, err := os.ReadFile(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(b), &pid)
	// It has been killed; that it is gone, or a zombie nobody waits for, may take a moment.
	for deadline := time.Now().Add(kit.Patience); ; runtime.Gosched() {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(state, []byte(") Z ")) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there: %s", pid, state)
		}
	}
	d.quit()
}

func TestDumpUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, stderr string }{
		{"-reply x -exec y", "socketsrv: -reply and -exec exclude each other\n"},
		{`-exec 'a`, "socketsrv: -exec: a quote is not closed\n"},
		{`-exec  `, ""},
		{"-exec-timeout 0", "socketsrv: -exec-timeout: want more than 0\n"},
		{"-tcp-port 65536", `socketsrv: -tcp-port "65536": want a port from 0 to 65535, or off` + "\n"},
		{"-framing words", `socketsrv: -framing "words": want none, line, delim:BYTES, `},
		{"-tcp-port off -udp-port off -ws-port off", "socketsrv: all listeners are off\n"},
	} {
		args := strings.Split(tt.line, " ")
		if tt.stderr == "" {
			continue
		}
		code, stdout, stderr := kit.Command(cli.Table{Mode}, append([]string{"dump"}, args...)...)
		if code != 2 || stdout != "" || !strings.HasPrefix(stderr, tt.stderr) || len(stderr) > 1024 {
			t.Errorf("%s: exit %d, %q, %q; want %q", tt.line, code, stdout, stderr, tt.stderr)
		}
	}
}

// TestDumpPortInUse has TD11.
func TestDumpPortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	var stdout, stderr bytes.Buffer
	env := kit.ListenEnv(&stdout, &stderr)
	code := cli.Table{Mode}.Run(t.Context(), []string{"socketsrv", "-host", "127.0.0.1", "-tcp-port", port, "-udp-port", "0", "-ws-port", "0"}, env)
	if want := "socketsrv: listen tcp " + taken.Addr().String() + ": address already in use\n"; code != 1 || stdout.Len() > 0 || stderr.String() != want && runtime.GOOS == "linux" {
		t.Errorf("exit %d, %q, %q; want %q", code, stdout.String(), stderr.String(), want)
	}
}

func TestDumpBatch(t *testing.T) {
	t.Parallel()
	run := func(name string, f func(t *testing.T, d *dumpTest, tcp *fakeListener), flags ...string) {
		t.Run(name, func(t *testing.T) { // by a clock that no slow machine makes a second of silence pass on
			fakeDump(t, func(t *testing.T, d *dumpTest, tcp, _ *fakeListener, _ *fakeSocket) { f(t, d, tcp) }, append(flags, "-batch")...)
		})
	}
	run("until the clients have gone", func(t *testing.T, d *dumpTest, tcp *fakeListener) {
		go func() {
			io.WriteString(d.in, "send tcp 0 question\n")
			d.in.Close()
		}()
		c := tcp.connect(t)
		c.want("question\n")
		d.want(`new TCP connection #0.*\n> sent payload to TCP connection #0: question\\n\n`)
		c.send("answer")
		c.Close()
		d.want(`payload on TCP connection #0: answer\n< end of TCP connection #0\n`)
		d.end(0)
	})
	t.Run("until they are silent", func(t *testing.T) {
		fakeDump(t, func(t *testing.T, d *dumpTest, _, ws *fakeListener, _ *fakeSocket) {
			c, _, err := wsproto.Dial(t.Context(), "ws://127.0.0.1/", wsproto.DialOptions{
				NetDial: func(context.Context, string, string) (net.Conn, error) { return ws.connect(t).Conn, nil }})
			if err != nil {
				t.Fatal(err)
			}
			c.WriteMessage(wsproto.OpText, []byte("late"))
			d.want(`late\n`)
			d.in.Close() // a second of silence begins
			webUser{t, c}.wantClose(wsproto.StatusGoingAway, "")
			d.end(0)
		}, "-batch")
	})
	run("commands that cannot be carried out", func(t *testing.T, d *dumpTest, tcp *fakeListener) {
		go func() {
			io.WriteString(d.in, "send tcp 7 x\nnonsense\nsend tcp 0 x\n")
			d.in.Close()
		}()
		c := tcp.connect(t)
		c.want("x\n")
		c.Close()
		d.end(1)
		d.err.Want(t, `2 commands not done\n`)
	})
	run("and -count was met", func(t *testing.T, d *dumpTest, tcp *fakeListener) {
		go func() {
			io.WriteString(d.in, "nonsense\n")
			d.in.Close()
		}()
		c := tcp.connect(t)
		defer c.Close()
		c.send("x")
		d.end(0)
	}, "-count", "1")
	t.Run("stopped before a client came", func(t *testing.T) {
		d := startDump(t, nil, "-batch")
		d.signals <- syscall.SIGINT
		d.end(0)
	})
}

func TestDumpJSON(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-json")
	c := d.dial("tcp")
	c.send("hi\n")
	d.want(`"event":"message".*\n`)
	d.do("help", "send tcp 0 x", "bogus")
	d.want(`"event":"error".*\n`)
	c.want("x\n")
	d.err.Want(t, `^Commands list:\n`) // on stderr: stdout is for programs
	c.Close()
	d.want(`"event":"end".*\n`)
	w := d.dialWS("/p", wsproto.DialOptions{})
	w.Ping([]byte("p"))
	d.want(`"event":"pong".*\n`)
	w.Close(4001, "r")
	d.want(`"event":"close".*\n`)
	d.quit()
	var got []string
	for line := range strings.Lines(d.out.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		delete(m, "time")
		delete(m, "peer")
		delete(m, "addr")
		if head, ok := m["head"].(string); ok && strings.HasPrefix(head, "GET /p HTTP/1.1\r\nHost: ") && strings.HasSuffix(head, "\r\n\r\n") {
			m["head"] = "GET /p"
		}
		if m["event"] == "end" && m["dir"] == "out" {
			continue // the connection may close as a whole
		}
		b, _ := json.Marshal(m)
		got = append(got, string(b))
	}
	want := []string{
		`{"event":"listening","proto":"tcp"}`, `{"event":"listening","proto":"udp"}`, `{"event":"listening","proto":"ws"}`,
		`{"client":0,"event":"open","proto":"tcp"}`,
		`{"client":0,"dir":"in","event":"message","proto":"tcp","size":3,"text":"hi\n"}`,
		`{"client":0,"dir":"out","event":"message","proto":"tcp","size":2,"text":"x\n"}`,
		`{"error":"unknown command bogus (column 1)","event":"error"}`,
		`{"client":0,"dir":"in","event":"end","proto":"tcp"}`,
		`{"client":0,"event":"open","head":"GET /p","path":"/p","proto":"ws"}`,
		`{"client":0,"dir":"in","event":"ping","opcode":"ping","proto":"ws","size":1,"text":"p"}`,
		`{"client":0,"dir":"out","event":"pong","opcode":"pong","proto":"ws","size":1,"text":"p"}`,
		`{"client":0,"code":4001,"event":"close","path":"/p","proto":"ws","reason":"r"}`,
		`{"client":0,"event":"close","proto":"tcp"}`,
		`{"event":"summary","tcp_bytes_in":3,"tcp_bytes_out":2,"tcp_clients":1,"tcp_messages_in":1,"tcp_messages_out":1,` +
			`"udp_bytes_in":0,"udp_bytes_out":0,"udp_clients":0,"udp_dropped":0,"udp_forgotten":0,"udp_messages_in":0,"udp_messages_out":0,"udp_not_answered":0,` +
			`"ws_bytes_in":0,"ws_bytes_out":0,"ws_clients":1,"ws_messages_in":0,"ws_messages_out":0}`,
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestDumpStdoutCloses has TL16: clients get 1001.
func TestDumpStdoutCloses(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	w := d.dialWS("/", wsproto.DialOptions{})
	d.want(`new WebSocket.*\n`)
	d.out.Mu.Lock()
	d.out.Fail = &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	d.out.Mu.Unlock()
	w.WriteMessage(wsproto.OpText, []byte("x"))
	w.wantClose(wsproto.StatusGoingAway, "")
	d.end(1)
	d.err.Want(t, `^socketsrv: stdout is closed\n`)
}

// TestDumpDiskFull has RL13 and E14: it is said once, the server goes on, and the exit
// code tells.
func TestDumpDiskFull(t *testing.T) {
	t.Parallel()
	d := startDump(t, func(env *cli.Env) { env.Stdout = kit.FailingWriter{Err: syscall.ENOSPC} }, "-reply", "{}")
	c := d.dial("tcp")
	for range 3 {
		c.send("x")
		c.want("x")
	}
	d.signals <- syscall.SIGTERM
	d.end(23)
	if got := strings.Count(d.err.String(), syscall.ENOSPC.Error()); got != 1 {
		t.Errorf("it was said %d times: %s", got, d.err)
	}
}

// stalledWriter takes nothing until it is released.
type stalledWriter chan struct{}

func (w stalledWriter) Write(p []byte) (int, error) {
	<-w
	return len(p), nil
}

// TestDumpStdoutStalls: a reader of stdout that has stopped cannot keep the program
// from ending.
func TestDumpStdoutStalls(t *testing.T) {
	t.Parallel()
	stalled := make(stalledWriter)
	defer close(stalled)
	d := startDump(t, func(env *cli.Env) { env.Stdout = stalled }, "-grace", "10ms")
	c := d.dial("tcp")
	c.send("x")
	d.signals <- syscall.SIGTERM
	d.end(0)
}

// TestDumpStops has RL01: all WebSocket clients get 1001, and no new ones come in.
func TestDumpStops(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-q", "-grace", "10s")
	const clients = 200
	var opened, closed sync.WaitGroup
	for range clients {
		opened.Add(1)
		closed.Go(func() {
			w := d.dialWS("/", wsproto.DialOptions{NoCompression: true})
			opened.Done()
			w.wantClose(wsproto.StatusGoingAway, "")
		})
	}
	opened.Wait()
	c := d.dial("tcp")
	d.signals <- syscall.SIGTERM
	closed.Wait()
	c.wantEnd("")
	d.end(0)
	if c, err := net.Dial("tcp", d.tcp); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// TestDumpWebSocketEndings: a close always shows a code.
func TestDumpWebSocketEndings(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	for i, tt := range []struct {
		end  func(w webUser)
		line string
	}{
		{func(w webUser) { w.Close(1000, "") }, `end of WebSocket connection #%d: code 1000`},
		{func(w webUser) { w.Close(0, "") }, `end of WebSocket connection #%d: code 1005`},
		{func(w webUser) { w.Close(3999, "bye") }, `end of WebSocket connection #%d: code 3999, reason bye`},
		{func(w webUser) { w.NetConn().Close() }, `WebSocket connection #%d cut: code 1006, no close frame`},
		{func(w webUser) { w.NetConn().Write([]byte{0x81, 0x85, 1}); w.NetConn().Close() }, `WebSocket connection #%d cut: code 1006, websocket: connection ended in the middle of a message or a frame`},
		{func(w webUser) { w.NetConn().Write([]byte{0x81, 0}); w.ReadMessage() }, `WebSocket connection #%d cut: code 1002, masking does not match the sender's role \(text frame, FIN, not masked, length 0\): 2 bytes\n00000000  81 00  .*`},
		{func(w webUser) { w.NetConn().Write([]byte("\x81\x81\x00\x00\x00\x00\xff")); w.ReadMessage() }, `WebSocket connection #%d cut: code 1007, text is not valid UTF-8 \(text frame, FIN, masked, length 1\): 1 byte\n00000000  ff  .*`},
	} {
		w := d.dialWS("/", wsproto.DialOptions{NoCompression: true})
		d.want(`new WebSocket.*\n`)
		tt.end(w)
		d.want(`\A< ` + fmt.Sprintf(tt.line, i) + `\n`)
	}
	w := d.dialWS("/", wsproto.DialOptions{})
	d.want(`new WebSocket.*\n`)
	d.do("close ws 7 4000 bye now")
	w.wantClose(4000, "bye now")
	d.want(`\A> closed WebSocket connection #7: code 4000, reason bye now\n`)
	d.quit()
}

func TestDumpPings(t *testing.T) {
	t.Parallel()
	for _, verbose := range []bool{false, true} {
		flag := "-json=false"
		if verbose {
			flag = "-v"
		}
		d := startDump(t, nil, flag)
		w := d.dialWS("/", wsproto.DialOptions{})
		d.want(`new WebSocket.*\n`)
		w.Ping([]byte("theirs"))
		w.WriteMessage(wsproto.OpText, []byte("after"))
		d.want(`after\n`)
		d.do("ping ws 0 ours")
		d.want(`> sent ping to WebSocket connection #0: ours\n`)
		go w.ReadMessage()
		d.want(`\A< received pong on WebSocket connection #0: ours\n`)
		d.quit()
		theirs := strings.Contains(d.out.String(), "< received ping on WebSocket connection #0: theirs\n> sent pong to WebSocket connection #0: theirs\n")
		if theirs != verbose {
			t.Errorf("-v %v: %s", verbose, d.out)
		}
		if strings.Contains(d.err.String(), "Sec-WebSocket-Key: ") != verbose {
			t.Errorf("-v %v: %s", verbose, d.err)
		}
	}
}

// TestDumpHandshakes: a refused one is answered and said.
func TestDumpHandshakes(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-origin", "http://good.example", "-greet", "welcome", "-http-authorization-header", "secret", "-v")
	ask := func(request string) string {
		c, err := net.Dial("tcp", d.ws)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, request)
		b, _ := io.ReadAll(c)
		return string(b)
	}
	if got := ask("GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !regexp.MustCompile(`^HTTP/1.1 426 .*\r\n(.+\r\n)*\r\n.+\n$`).MatchString(got) {
		t.Errorf("a browser's GET: %q", got)
	}
	d.err.Want(t, `^handshake of `+port+` refused with 426: no upgrade of the connection to websocket \(GET /page\)\n`)
	if _, _, err := wsproto.Dial(t.Context(), "ws://"+d.ws, wsproto.DialOptions{Origin: "http://evil.example"}); err == nil {
		t.Error("a forbidden origin came in")
	}
	d.err.Want(t, `refused with 403: pages of that origin may not connect.* \(GET /\)\n`)

	w := d.dialWS("/", wsproto.DialOptions{Origin: "http://good.example"})
	w.wantClose(4001, "Permission denied")
	d.want(`> closed WebSocket connection #0: code 4001, reason Permission denied\n`)
	var opt wsproto.DialOptions
	opt.Header.Add("Authorization", "secret")
	w = d.dialWS("/", opt)
	w.want(wsproto.OpText, "welcome")
	d.want(`sent message to WebSocket connection #1: welcome\n`)
	d.quit()
	if strings.Contains(d.err.String(), "secret") {
		t.Errorf("the secret is in the log: %s", d.err)
	}
}

func TestDumpUnixSockets(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no datagrams over Unix sockets there")
	}
	dir := t.TempDir()
	d := startDump(t, nil, "-tcp-addr", "unix:"+dir+"/tcp", "-udp-addr", "unix:"+dir+"/udp", "-ws-addr", "unix:"+dir+"/ws", "-reply", "{}")
	c, err := net.Dial("unix", dir+"/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d.want(`^< new Unix connection #0\n`)
	stream := wirePeer{t, c}
	stream.send("hi")
	stream.want("hi")
	d.do("l", "send unix 0 x")
	d.want(`\t#0: unix, `)
	stream.want("x\n")

	for i, local := range []string{"", dir + "/peer"} {
		u, err := net.DialUnix("unixgram", &net.UnixAddr{Name: local, Net: "unixgram"}, &net.UnixAddr{Name: dir + "/udp", Net: "unixgram"})
		if err != nil {
			t.Skip("no datagrams over Unix sockets: ", err)
		}
		defer u.Close()
		wirePeer{t, u}.send("dgram")
		d.want(fmt.Sprintf(`^< received datagram from UDP session #%d: dgram\n`, i))
		if local != "" {
			wirePeer{t, u}.want("dgram")
		}
	}
	d.do("send udp 0 x")
	d.want(`^X UDP session #0: it has no address\n`)
	d.quit()
}

func TestDumpIdleTimeout(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		defer c.Close()
		time.Sleep(9 * time.Second)
		c.send("x")
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if strings.Contains(d.out.String(), "cut") {
			t.Errorf("cut too early: %s", d.out)
		}
		time.Sleep(2 * time.Second)
		d.want(`< TCP connection #0 cut: idle for too long\n`)
	}, "-idle-timeout", "10s")
}

// TestDumpIdleTimeoutSocket has the same over a real socket, which is waited for
// without a buffer.
func TestDumpIdleTimeoutSocket(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil, "-idle-timeout", "50ms")
	d.dial("tcp").send("x")
	d.want(`< TCP connection #0 cut: idle for too long\n`)
	d.quit()
}

func TestDumpHalfOpenTime(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		c.Conn.(duplex).CloseWrite()
		d.want(`end of TCP connection #0\n`)
		time.Sleep(halfOpenTime - time.Second)
		d.do("send tcp 0 x")
		c.want("x\n")
		time.Sleep(time.Second)
		c.wantEnd("")
		synctest.Wait()
		d.do("send tcp 0 x")
		d.want(`^X try to write on closed TCP connection #0\n`)
	})
}

// TestDumpClose: what was sent before arrives, and what the peer still sends is
// shown until it ends too.
func TestDumpClose(t *testing.T) {
	t.Parallel()
	d := startDump(t, nil)
	c := d.dial("tcp")
	d.want(`#0.*\n`)
	d.do("send tcp 0 last", "close tcp 0", "send tcp 0 x", "close tcp 0")
	d.want(`^> sent payload to TCP connection #0: last\\n\nX TCP connection #0: it is being closed\n`)
	c.wantEnd("last\n")
	c.send("late")
	d.want(`#0: late\n`)
	c.Close()
	d.want(`\A> closed TCP connection #0\n`)
	d.quit()
}

// TestDumpCloseAtOnce: where a stream cannot end on one side both end.
func TestDumpCloseAtOnce(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		a, b := net.Pipe()
		tcp.conns <- b
		d.want(`#0.*\n`)
		d.do("send tcp 0 last", "close tcp 0")
		wirePeer{t, a}.wantEnd("last\n")
		d.want(`> closed TCP connection #0\n`)
	})
}

// TestDumpWriteStall: a peer that takes nothing is cut, whatever it sends.
func TestDumpWriteStall(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		defer c.Close()
		d.want(`#0.*\n`)
		d.do("send tcp 0 x")
		time.Sleep(cli.WriteStall + time.Second)
		d.want(`< TCP connection #0 cut: the peer takes nothing of what is sent\n`)
	})
}

// TestDumpForcedStop has RL02: peers that take nothing are cut after -stall, those that
// never answer after -grace.
func TestDumpForcedStop(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		defer c.Close()
		d.want(`#0.*\n`)
		d.do("send tcp 0 nobody reads this")
		a, b := net.Pipe()
		ws.conns <- b
		defer a.Close()
		w := wirePeer{t, a}
		w.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		w.want("HTTP/1.1 101 ")
		go io.Copy(io.Discard, a) // and never answers the Close frame
		d.want(`new WebSocket connection #0`)
		began := time.Now()
		d.signals <- syscall.SIGTERM
		d.end(0)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		d.want(`X TCP connection #0: not sent: 18 bytes of 1 message\n`)
	}, "-stall", "1s")
}

func TestDumpBatchTimes(t *testing.T) {
	t.Parallel()
	fakeDump(t, func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket) {
		c := tcp.connect(t)
		defer c.Close()
		d.in.Close()
		began := time.Now()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for range 100 {
				if _, err := io.WriteString(c.Conn, "chatter"); err != nil {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		}()
		code := <-d.code
		d.code <- code
		if took := time.Since(began); code != 0 || took < drainTime || took > drainTime+5*time.Second {
			t.Errorf("exit %d after %v", code, took)
		}
		c.Close()
		<-over
	}, "-batch")
}

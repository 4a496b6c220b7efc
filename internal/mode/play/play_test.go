package play

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/internal/talkfile"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// file writes a talk file or recording.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve plays the server to one client and returns how to reach it.
func serve(t *testing.T, spec, talk string, flags ...string) (s *kit.Run, url string) {
	t.Helper()
	s = kit.Background(t, Mode, append([]string{talk, "-once", "-listen", spec}, flags...)...)
	scheme, _, _ := strings.Cut(spec, ":")
	if scheme == "unix" {
		s.Addr("tcp")
		return s, spec
	}
	return s, scheme + "://" + s.Addr(scheme)
}

// meet plays two talk files against each other and wants both to be met.
func meet(t *testing.T, spec, server, client string, flags ...string) {
	t.Helper()
	s, url := serve(t, spec, file(t, "server.talk", server), flags...)
	c := kit.Background(t, Mode, append([]string{file(t, "client.talk", client), url}, flags...)...)
	for name, r := range map[string]*kit.Run{"client": c, "server": s} {
		if code := r.Wait(); code != 0 {
			t.Errorf("%s %v: the %s: exit %d\n%s%s", spec, flags, name, code, r.Stdout, r.Stderr)
		}
	}
}

// TestTransports: one conversation over everything there is.
func TestTransports(t *testing.T) {
	const server = "< hello\n> bytes 00 ff\n<~ ^set (\\w+)=(\\d+)$\n> ok $1 is $2\n"
	const client = "> hello\n< bytes 00 ff\n> set a=12\n< ok a is 12\n"
	dir := t.TempDir()
	for _, tt := range []struct {
		spec, flags string
	}{
		{"tcp://:0", "-framing length"}, {"tcp://:0", "-framing mllp"}, {"tcp://:0", "-framing netstring"},
		{"tcp://:0", "-framing slip"}, {"tcp://:0", "-framing idle:20ms"}, {"tcp://:0", "-framing delim:0d0a"},
		{"line://:0", ""}, {"udp://:0", ""}, {"ws://:0", ""}, {"ws://:0", "-x"}, {"unix:" + filepath.Join(dir, "s"), "-framing line"},
		{"tls://:0", "-framing line -k"}, {"wss://:0", "-k"},
	} {
		if !tlsconf.Available && strings.Contains(tt.flags, "-k") {
			continue
		}
		client := client
		if tt.spec == "line://:0" || strings.Contains(tt.flags, "line") {
			client = strings.Replace(client, "00 ff", "00 ff", 1)
		}
		meet(t, tt.spec, server, client, strings.Fields(tt.flags)...)
	}
}

// TestStream: without framing, bytes are expected however they come.
func TestStream(t *testing.T) {
	meet(t, "tcp://:0", "< one two three\n<~ (\\d+)-(\\d+)\\r\\n\n> $2-$1\n< end\n", "split 1\n> one two \n> threejunk 12-34\\r\\n\n< 34-12\nend\n< end\n")
	meet(t, "tcp://:0", "split 3 1ms\n> abcdefgh\nsplit off\n> ijk\n", "<~ c(.)\n< e\n< fghijk\n< end\n")
	meet(t, "tcp://:0", "<~ bytes (?s)^(..)\\x00\\xff\n> $1\\x80\n", "> bytes 80 0a 00 ff\n< bytes 80 0a 80\n")
	meet(t, "tcp://:0", "< a\nreset\n", "> a\n< reset\n")
	meet(t, "tcp://:0", "> a\nclose\n", "< a\n< end\n")
}

func TestWebSocket(t *testing.T) {
	meet(t, "ws://:0", "< ping p\n> pong unasked\n> binary 01\nclose 4001 enough\n", "> ping p\n< pong p\n< pong unasked\n< bytes 01\n< close 4001\n")
	meet(t, "ws://:0", "< a\n< close 1000\n< end\n", "> a\nclose 1000 bye\n< close\n")
	meet(t, "ws://:0", "> a\nend\n", "< a\n< end\n")
	meet(t, "ws://:0", "> gr\u00fc\u00dfe\n>\n", "< gr\u00fc\u00dfe\n<\n< close 1000\n")
	meet(t, "ws://:0", "raw 81 01 41\nraw 01 01 42\nraw 80 01 43\n", "< A\n< BC\n")
}

// TestBeside: on and every hold while the lines go on, and after them.
func TestBeside(t *testing.T) {
	const server = "on ~ ^PING (.*)\n> PONG $1\n\non ~ ^Q$\n> bye\nclose\n\n< HELLO\n> READY\n"
	const client = "> PING 1\n> HELLO\n< PONG 1\n< READY\nrepeat 3\n> PING x\n< PONG x\ndone\n> what\n> Q\n< bye\n"
	meet(t, "line://:0", server, client+"< end\n")
	meet(t, "ws://:0", server, client+"< close\n")
	meet(t, "udp://:0", server, client)
	meet(t, "tcp://:0", "on ~ PING (.*)\\r\\n\n> PONG $1\n\n< HELLO\n> READY\n< end\n", "> PING 1\\r\\nPING 2\\r\\n\n< PONG 1PONG 2\n> HELLO\n<~ READY\n> PING 3\\r\\n\n< PONG 3\nend\n")
	meet(t, "ws://:0", "every 1ms > tick\n< stop\nclose\n", "< tick\n< tick\n< tick\n> stop\non ~ ^tick$\n> x\n\n< close\n")
}

// TestUnmet: what was not met is told with its line, what came instead, and exit 10.
func TestUnmet(t *testing.T) {
	for _, tt := range []struct {
		spec, server, client string
		exit                 int
		want                 string
	}{
		{"ws://:0", "> HELLO\n> x\n", "< HELLO\n< HELP\n", 10, `not ok 2 - line 2 < HELP\n# FAILED: .*expected < HELP, but there came text x, different from byte 1 on, \d+\.\d ms after`},
		{"ws://:0", "> HELLO\n", "< bytes 48 45\n", 10, `but there came text HELLO, \d`},
		{"tcp://:0", "> HELLO\n", "< HELP\n", 10, `there came HELLO, different from byte 4 on`},
		{"tcp://:0", "> HELLO\n", "< HELLO!\n", 10, `the peer ended its side; there came HELLO`},
		{"tcp://:0", "> xHELLO\nwait 10\n", "< x\nwithin 30ms\n< HELLO!\n", 10, `expected < HELLO! within 30ms, but there came HELLO`},
		{"tcp://:0", "> xHELLO\nwait 10\n", "< x\nwithin 30ms\n<~ ^bye\n", 10, `expected <~ \^bye within 30ms, but there came HELLO`},
		{"line://:0", "> HELLO\n", "<~ ^bye$\n", 10, `expected <~ \^bye\$, but there came HELLO`},
		{"ws://:0", "close 1001\n", "< x\n", 10, `the peer closed with 1001`},
		{"ws://:0", "close 1001\n", "< close 1000\n", 10, `the peer closed with 1001`},
		{"ws://:0", "> a\n", "< end\n", 10, `expected < end, but there came text a`},
		{"ws://:0", "raw 85 00\nwait 5\n", "< x\n", 11, `reserved opcode`},
		{"ws://:0", "wait 5s\n", "> a\n< x\n", 28, ``},
		{"tcp://:0", "raw \"\\x1b[2J\\u202e\"\n", "< x\n", 10, `there came \\x1b\[2J\\u202e`},
	} {
		s, url := serve(t, tt.spec, file(t, "s.talk", tt.server))
		timeout := "60s"
		if tt.exit == 28 {
			timeout = "1s"
		}
		c := kit.Background(t, Mode, file(t, "c.talk", tt.client), url, "-timeout", timeout)
		code, out := c.Wait(), c.Stdout.String()
		if code != tt.exit || !regexp.MustCompile(tt.want).MatchString(out) {
			t.Errorf("%s %q against %q: exit %d, %s%s; want %d, %s", tt.spec, tt.client, tt.server, code, out, c.Stderr, tt.exit, tt.want)
		}
		s.Stop()
	}
}

// TestServerReports: a server goes on after a client that does something else, and its
// exit code remembers.
func TestServerReports(t *testing.T) {
	junit := filepath.Join(t.TempDir(), "j.xml")
	s := kit.Background(t, Mode, file(t, "s.talk", "< a\n> b\n"), "-listen", "tcp://:0", "-junit", junit)
	for _, say := range []string{"x", "a"} {
		nc := kit.DialTCP(t, s.Addr("tcp"))
		io.WriteString(nc, say)
		if got, err := io.ReadAll(nc); say == "a" && (err != nil || string(got) != "b") {
			t.Errorf("sent a, got %q, %v", got, err)
		}
		nc.Close()
	}
	s.Stdout.WaitFor(t, `ok 3 - client 1 to its end`)
	if code := s.Stop(); code != 10 {
		t.Errorf("exit %d, want 10", code)
	}
	if !strings.HasSuffix(s.Stdout.String(), "\n1..3\n") {
		t.Errorf("the plan is missing: %s", s.Stdout)
	}
	var suites struct {
		Suite []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	b, err := os.ReadFile(junit)
	if err == nil {
		err = xml.Unmarshal(b, &suites)
	}
	if err != nil || len(suites.Suite) != 1 || suites.Suite[0].Tests != 3 || suites.Suite[0].Failures != 1 {
		t.Errorf("JUnit: %+v, %v: %s", suites, err, b)
	}
}

// TestRefused: what cannot be played is told before anybody connects.
func TestRefused(t *testing.T) {
	rec := file(t, "r.jsonl", `{"event":"open","proto":"tcp","dir":"out"}`+"\n")
	for _, tt := range []struct {
		args string
		exit int
		want string
	}{
		{"FILE ws://127.0.0.1:1", 26, `FILE:2:1: text on a WebSocket is UTF-8`},
		{"PING tcp://127.0.0.1:1", 26, `PING:1:1: only a WebSocket has pings`},
		{"CLOSE tcp://127.0.0.1:1", 26, `CLOSE:2:1: only a WebSocket has Close frames`},
		{"END udp://127.0.0.1:1", 26, `END:1:1: datagrams are not cut and have no end`},
		{"BAD tcp://127.0.0.1:1", 26, `BAD:1:3: no match before has a group 1`},
		{rec + " tcp://127.0.0.1:1", 26, `r\.jsonl:2: no connection with a message`},
		{"CAPTURE tcp://127.0.0.1:1", 26, `CAPTURE:1: a capture cannot be played`},
		{"none tcp://127.0.0.1:1", 26, `none: no such file`},
		{"END", 2, `want either a TARGET to play to, or -listen`},
		{"END -listen tcp://:0 tcp://127.0.0.1:1", 2, `want either`},
		{"END -listen stdio:", 2, `want an address`},
		{"END -to-talk tcp://127.0.0.1:1", 2, `-to-talk prints FILE`},
		{"END -side server tcp://127.0.0.1:1", 2, `-side is for recordings`},
		{"END -pace x0 tcp://127.0.0.1:1", 2, `want real, fast, or x and a number`},
		{"END tcp://127.0.0.1:1", 7, `connection refused`},
	} {
		args := strings.Fields(tt.args)
		for name, text := range map[string]string{"FILE": "> a\n> \\xff\n", "PING": "> ping x\n", "CLOSE": "> a\nclose 1000\n", "END": "< end\n",
			"BAD": "> $1\n", "CAPTURE": "\x0a\x0d\x0d\x0a\x00"} {
			if args[0] == name {
				args[0] = file(t, name, text)
			}
		}
		r := kit.Background(t, Mode, args...)
		if code := r.Wait(); code != tt.exit || !regexp.MustCompile(tt.want).MatchString(r.Stderr.String()) {
			t.Errorf("%s: exit %d, %s; want %d, %s", tt.args, code, r.Stderr, tt.exit, tt.want)
		}
	}
}

// TestEndless: a peer that never stops, or takes nothing, ends nobody but itself.
func TestEndless(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				for junk := bytes.Repeat([]byte("no "), 10000); err == nil; {
					_, err = nc.Write(junk)
				}
			}()
		}
	}()
	for talk, want := range map[string]int{
		"< no no no no \n":              0,
		"within 100ms\n<~ (never)\\b\n": 10,
		"wait 100ms\n< no \n":           0,
		"< end\n":                       10,
	} {
		r := kit.Background(t, Mode, file(t, "c.talk", talk), "tcp://"+ln.Addr().String())
		if code := r.Wait(); code != want {
			t.Errorf("%q: exit %d, want %d; %.300s", talk, code, want, r.Stdout)
		}
	}
}

// A slowWire takes its time to close.
type slowWire struct{ wire }

func (slowWire) close(int, string) error { time.Sleep(2 * slack); return nil }

// TestLate: what we do late moves what follows in a talk file, and nothing in a recording,
// which would fall behind by each hiccup of the machine.
func TestLate(t *testing.T) {
	for _, talk := range []talkfile.Talk{nil, {}} {
		due := time.Now()
		c := &conversation{play: &play{talk: talk}, ctx: t.Context(), wire: slowWire{}, in: newInbox(), due: due}
		if err := c.step(&talkfile.Step{Verb: talkfile.Close}); err != nil || c.due.After(due) != (talk != nil) {
			t.Errorf("talk file %v: %v, moved by %v", talk != nil, err, c.due.Sub(due))
		}
	}
}

// A goneWire leads to a peer that hears nothing more.
type goneWire struct{ wire }

func (goneWire) close(int, string) error { return wsproto.ErrCloseSent }

// TestBesideGone: what goes on beside takes what came for it also when the peer that sent
// it has closed meanwhile.
func TestBesideGone(t *testing.T) {
	talk, err := talkfile.Parse([]byte("on ~ ^tick$\nclose\n\n< close\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := &conversation{play: &play{proto: "ws", talk: talk, allowed: kit.Patience}, ctx: t.Context(), wire: goneWire{}, in: newInbox(), due: time.Now()}
	c.in.put(item{data: []byte("tick")})
	c.in.put(item{data: []byte("tick")})
	c.in.end(&wsproto.CloseError{Code: wsproto.StatusNormalClosure})
	for i := range talk {
		if err := c.step(&talk[i]); err != nil {
			t.Errorf("line %d: %v", talk[i].Line, err)
		}
	}
}

// TestStop: a server that is stopped says so to its clients.
func TestStop(t *testing.T) {
	s := kit.Background(t, Mode, file(t, "s.talk", "< a\nwait 1h\n> b\n"), "-listen", "ws://:0", "-within", "off")
	c, _, err := wsproto.Dial(t.Context(), "ws://"+s.Addr("ws"), wsproto.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	c.WriteMessage(wsproto.OpText, []byte("a"))
	s.Stdout.WaitFor(t, "ok 1 - client 0 line 1 < a")
	stopped := make(chan int, 1)
	go func() { stopped <- s.Stop() }()
	if _, err := c.ReadMessage(); fmt.Sprint(err) != fmt.Sprint(&wsproto.CloseError{Code: 1001}) {
		t.Errorf("the client got %v", err)
	}
	c.Close(0, "")
	if code := <-stopped; code != 0 {
		t.Errorf("exit %d", code)
	}
}

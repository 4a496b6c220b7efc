package ping

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// runPing is runConnect for ping.
func runPing(t *testing.T, serve func(nc net.Conn), stdin string, args ...string) (r kit.Ran) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		env := kit.PipeEnv(serve, strings.NewReader(stdin), &stdout, &stderr)
		start := time.Now()
		code := cli.Table{Mode}.Run(t.Context(), append([]string{"socketsrv", "-ping"}, args...), env)
		r = kit.Ran{Code: code, Stdout: stdout.String(), Stderr: stderr.String(), Took: time.Since(start)}
		time.Sleep(time.Hour) // until the other end has finished, too
	})
	return r
}

// ponging answers the pings of a client by answer, which may take its time; n
// counts them from 0.
func ponging(answer func(c *wsproto.Conn, n int, payload []byte)) func(net.Conn) {
	return kit.WSRaw(kit.GoodAnswer(""), func(nc net.Conn) {
		n := 0
		var c *wsproto.Conn
		c = wsproto.NewConn(nc, nil, wsproto.RoleServer, wsproto.Agreement{}, wsproto.Config{NoPong: true,
			Tap: func(received bool, h wsproto.Header, p []byte) {
				if received && h.Opcode == wsproto.OpPing {
					go answer(c, n, bytes.Clone(p))
					n++
				}
			}})
		c.ReadMessage()
		c.Close(wsproto.StatusNormalClosure, "")
	})
}

// pongAfter answers each ping after d.
func pongAfter(d time.Duration) func(net.Conn) {
	return ponging(func(c *wsproto.Conn, n int, p []byte) {
		time.Sleep(d)
		c.Pong(p)
	})
}

// pongExcept answers all pings but those.
func pongExcept(lost ...int) func(net.Conn) {
	return ponging(func(c *wsproto.Conn, n int, p []byte) {
		if !slices.Contains(lost, n) {
			c.Pong(p)
		}
	})
}

const pingURL = "ws://h:1/"

var pingRuns = []struct {
	name   string
	serve  func(net.Conn)
	args   string
	stdin  string
	code   int
	stdout string
	stderr string // a part of it
	took   time.Duration
}{
	{"three", pongAfter(250 * time.Millisecond), pingURL + " -c 3", "", 0, `
PING ws://h:1/ (pipe), 56 bytes
pong: seq=0 size=56 time=250.000 ms
pong: seq=1 size=56 time=250.000 ms
pong: seq=2 size=56 time=250.000 ms

--- ws://h:1/ ---
3 sent, 3 received, 0% lost in 2.25s
min/avg/max/p99 = 250.000/250.000/250.000/250.000 ms
`, "", 2250 * time.Millisecond},
	{"the next goes out before the first is answered", pongAfter(250 * time.Millisecond), pingURL + " -c 3 -i 100ms -q", "", 0, `
--- ws://h:1/ ---
3 sent, 3 received, 0% lost in 450ms
min/avg/max/p99 = 250.000/250.000/250.000/250.000 ms
`, "", 450 * time.Millisecond},
	{"one lost", pongExcept(1), pingURL + " -c 3 -W 2s", "", 0, `
PING ws://h:1/ (pipe), 56 bytes
pong: seq=0 size=56 time=0.000 ms
pong: seq=2 size=56 time=0.000 ms
no answer: seq=1 after 2s

--- ws://h:1/ ---
3 sent, 2 received, 33.33% lost in 4s
min/avg/max/p99 = 0.000/0.000/0.000/0.000 ms
`, "", 4 * time.Second},
	{"late", pongAfter(3 * time.Second), pingURL + " -c 2 -i 2s -W 2s", "", 0, `
PING ws://h:1/ (pipe), 56 bytes
no answer: seq=0 after 2s
pong: seq=0 size=56 time=3000.000 ms, late
no answer: seq=1 after 2s

--- ws://h:1/ ---
2 sent, 1 received, 50% lost in 4s
min/avg/max/p99 = 3000.000/3000.000/3000.000/3000.000 ms
`, "", 4 * time.Second},
	{"nothing comes back", pongExcept(0, 1), pingURL + " -c 2 -W 3s", "", 10, `
PING ws://h:1/ (pipe), 56 bytes
no answer: seq=0 after 3s
no answer: seq=1 after 3s

--- ws://h:1/ ---
2 sent, 0 received, 100% lost in 4s
`, "socketsrv: nothing came back\n", 4 * time.Second},
	{"a peer that does not read", kit.WSRaw(kit.GoodAnswer(""), func(net.Conn) { time.Sleep(time.Minute) }), pingURL + " -c 1 -W 3s", "", 28, "",
		"timeout", 3*time.Second + dial.EndTime + dial.CutTime},
	{"a duplicate, and what nobody asked for", ponging(func(c *wsproto.Conn, n int, p []byte) {
		c.Pong([]byte("\x1b"))
		c.Pong(p)
		c.Pong(p)
	}), pingURL + " -c 1 -s 20", "", 0, "", "", 0},
	{"-s 0", pongAfter(time.Millisecond), pingURL + " -c 1 -s 0", "", 0, `
PING ws://h:1/ (pipe), 0 bytes
pong: seq=0 size=0 time=1.000 ms

--- ws://h:1/ ---
1 sent, 1 received, 0% lost in 1ms
min/avg/max/p99 = 1.000/1.000/1.000/1.000 ms
`, "", time.Millisecond},
	{"-stdin", kit.WSEcho, pingURL + " -stdin", "a\x1b\n\n" + strings.Repeat("x", 126) + "\n" + strings.Repeat("y", 125), 0, `
PING ws://h:1/ (pipe)
pong: seq=0 size=2 time=0.000 ms: a\x1b
pong: seq=1 size=0 time=0.000 ms: ` + `
pong: seq=2 size=125 time=0.000 ms: ` + strings.Repeat("y", 125) + `

--- ws://h:1/ ---
3 sent, 3 received, 0% lost in 0s
min/avg/max/p99 = 0.000/0.000/0.000/0.000 ms
`, "socketsrv: not sent: a ping has at most 125 bytes\n", 0},
	{"-f waits for no interval", pongAfter(time.Millisecond), pingURL + " -c 100 -f", "", 0, `
PING ws://h:1/ (pipe), 56 bytes

--- ws://h:1/ ---
100 sent, 100 received, 0% lost in 100ms
min/avg/max/p99 = 1.000/1.000/1.000/1.000 ms
`, "", 100 * time.Millisecond},
	{"-f with answers that take long", pongAfter(25 * time.Millisecond), pingURL + " -c 4 -f -v", "", 0, `
PING ws://h:1/ (pipe), 56 bytes
pong: seq=0 size=56 time=25.000 ms
pong: seq=1 size=56 time=25.000 ms
pong: seq=2 size=56 time=25.000 ms
pong: seq=3 size=56 time=25.000 ms

--- ws://h:1/ ---
4 sent, 4 received, 0% lost in 50ms
min/avg/max/p99 = 25.000/25.000/25.000/25.000 ms
`, "", 0},
	{"closed by the peer", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(4001, "x\x1b")), kit.DrainPeer), pingURL + " -c 2", "", 9, "", `socketsrv: connection closed: code 4001 reason "x\x1b"`, time.Second},
	{"closed politely", kit.WSRaw(kit.GoodAnswer(kit.CloseFrame(1000, "")), kit.DrainPeer), pingURL + " -c 2", "", 1, "", "connection closed: code 1000", time.Second},
	{"cut", kit.WSRaw(kit.GoodAnswer("\x8a\x01x"), nil), pingURL + " -c 2", "", 56, "", "code 1006", 0},
	{"masked", kit.WSRaw(kit.GoodAnswer("\x8a\x81\x00\x00\x00\x00x"), kit.DrainPeer), pingURL + " -c 2", "", 11, "", "masking", time.Second},
	{"no WebSocket", kit.WSRaw(kit.Always("HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"), kit.DrainPeer), pingURL, "", 22, "", "404 N", 0},
	{"refused", nil, pingURL, "", 7, "", "connection refused", 0},
	{"no such name", nil, "ws://nowhere/", "", 6, "", "no such host", 0},

	{"tcp", kit.DrainPeer, "tcp://h:1 -c 2", "", 0, `
PING tcp://h:1 (h:1)
connected: seq=0 time=0.000 ms
connected: seq=1 time=0.000 ms

--- tcp://h:1 ---
2 sent, 2 received, 0% lost in 1s
min/avg/max/p99 = 0.000/0.000/0.000/0.000 ms
`, "", time.Second},
	{"tcp refused", nil, "tcp://h:1 -c 2", "", 7, `
PING tcp://h:1 (h:1)
no answer: seq=0: dial tcp: connection refused
no answer: seq=1: dial tcp: connection refused

--- tcp://h:1 ---
2 sent, 0 received, 100% lost in 1s
`, "", time.Second},
	{"tcp, no such name", nil, "tcp://nowhere:1 -c 2", "", 6, "", "no such host", 0},
	{"tls that says nothing", kit.DrainPeer, "tls://h:1 -c 1 -W 3s", "", 10, "", "nothing came back", 3 * time.Second},
	{"http", headServer(true), "http://u:p@h/a?b -c 2 -H X:y", "", 0, `
PING http://h/a?b (h:80)
answer: seq=0 time=5.000 ms status=404 Not There
answer: seq=1 time=5.000 ms status=404 Not There

--- http://h/a?b ---
2 sent, 2 received, 0% lost in 1.005s
min/avg/max/p99 = 5.000/5.000/5.000/5.000 ms
`, "", 1005 * time.Millisecond},
	{"http without keep-alive", headServer(false), "http://h/ -c 2 -q -H Host:x", "", 0, `
--- http://h/ ---
2 sent, 2 received, 0% lost in 1.005s
min/avg/max/p99 = 5.000/5.000/5.000/5.000 ms
`, "", 1005 * time.Millisecond},
	{"http that says nothing", kit.DrainPeer, "http://h/ -c 1 -W 2s", "", 10, "", "nothing came back", 2 * time.Second},
	{"http that is none", kit.WSRaw(kit.Always("hello\n"), kit.DrainPeer), "http://h/ -c 1", "", 11, "", "", 0},
	{"line", pongLines("pong"), "line://h:1 -c 2", "", 0, `
PING line://h:1 (h:1)
pong: seq=0 time=0.000 ms
pong: seq=1 time=0.000 ms

--- line://h:1 ---
2 sent, 2 received, 0% lost in 1s
min/avg/max/p99 = 0.000/0.000/0.000/0.000 ms
`, "", time.Second},
	{"line, something else comes", pongLines("x\x1b"), "line://h:1 -c 1", "", 11, `
PING line://h:1 (h:1)
no answer: seq=0: no pong came back but x\x1b

--- line://h:1 ---
1 sent, 0 received, 100% lost in 0s
`, "", 0},
	{"line, busy", kit.DrainPeer, "line://h:1 -c 1 -W 2s", "", 10, "", "", 2 * time.Second},

	{"too large", nil, pingURL + " -s 126", "", 2, "", "at most 125", 0},
	{"-W 0", nil, pingURL + " -i 0 -W 0", "", 2, "", "-W: want more than 0", 0},
	{"-f and -stdin", nil, pingURL + " -f -stdin", "", 2, "", "exclude each other", 0},
	{"-f of tcp", nil, "tcp://h:1 -f", "", 2, "", "for ws and wss", 0},
	{"udp", nil, "udp://h:1", "", 2, "", "want a URL", 0},
	{"http without a host", nil, "http:///", "", 2, "", "want http://host", 0},
}

// TestPing has whole runs, in the time of a bubble.
func TestPing(t *testing.T) {
	for _, tt := range pingRuns {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.args, "tls:") && !tlsconf.Available {
				t.Skip("this build has no TLS")
			}
			got := runPing(t, tt.serve, tt.stdin, strings.Fields(tt.args)...)
			if got.Code != tt.code || tt.stdout != "" && "\n"+got.Stdout != tt.stdout && got.Stdout != tt.stdout || !strings.Contains(got.Stderr, tt.stderr) {
				t.Errorf("%s: exit %d, %q\n%s\nwant %d, %q%s", tt.args, got.Code, got.Stderr, got.Stdout, tt.code, tt.stderr, tt.stdout)
			}
			if tt.took > 0 && got.Took != tt.took {
				t.Errorf("%s: it took %v; want %v", tt.args, got.Took, tt.took)
			}
		})
	}
}

// headServer answers HEAD requests after 5 ms.
func headServer(keep bool) func(net.Conn) {
	return func(nc net.Conn) {
		br := bufio.NewReader(nc)
		for {
			req, err := httpmini.ReadRequest(br, httpmini.Limits{})
			if err != nil || req.Method != "HEAD" || req.Header.Count("Host") != 1 || req.Target == "/a?b" && req.Header.Get("Authorization") != httpmini.Basic("u:p") {
				return
			}
			time.Sleep(5 * time.Millisecond)
			fields := ""
			if !keep {
				fields = "Connection: close\r\n"
			}
			io.WriteString(nc, "HTTP/1.1 404 Not There\r\n"+fields+"Content-Length: 5\r\n\r\n")
		}
	}
}

// pongLines answers every line, but for a disconnect.
func pongLines(answer string) func(net.Conn) {
	return func(nc net.Conn) {
		for lines := bufio.NewScanner(nc); lines.Scan() && lines.Text() != "disconnect"; {
			io.WriteString(nc, answer+"\n")
		}
	}
}

// TestPingCounts: what no ping asked for is not taken for an answer.
func TestPingCounts(t *testing.T) {
	serve := ponging(func(c *wsproto.Conn, n int, p []byte) {
		c.Pong([]byte("\x1b"))
		c.Pong([]byte(strings.Replace(string(p), ":0:", ":7:", 1))) // not sent yet
		c.Pong(p)
		c.Pong(p)
	})
	got := runPing(t, serve, "", "ws://h/", "-c", "2", "-s", "40")
	for _, want := range []string{
		"nobody asked for the pong: \\x1b\n", "nobody asked for the pong: socketsrv:", "duplicate: socketsrv:",
		"\n2 sent, 2 received, 0% lost in 1s\n", " duplicate, ",
	} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("no %q in\n%s", want, got.Stdout)
		}
	}
}

// TestPingHTTPKept: a kept connection that the server gave up meanwhile is no loss.
func TestPingHTTPKept(t *testing.T) {
	serve := func(nc net.Conn) {
		if _, err := httpmini.ReadRequest(bufio.NewReader(nc), httpmini.Limits{}); err == nil {
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		}
	}
	if got := runPing(t, serve, "", "http://h/", "-c", "3"); got.Code != 0 || !strings.Contains(got.Stdout, "3 received") {
		t.Errorf("exit %d\n%s", got.Code, got.Stdout)
	}
}

// TestPingJSON: a line each, and the summary.
func TestPingJSON(t *testing.T) {
	got := runPing(t, pongExcept(1), "", "ws://h/", "-c", "2", "-W", "2s", "-json", "-s", "3")
	var kinds []string
	for line := range strings.Lines(got.Stdout) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(e, "time")
		delete(e, "head")
		b, _ := json.Marshal(e)
		kinds = append(kinds, string(b))
	}
	want := []string{
		`{"dir":"out","event":"open","peer":"pipe","proto":"ws"}`,
		`{"dir":"in","event":"pong","ms":0,"proto":"ws","seq":0,"size":3,"text":"000"}`,
		`{"dir":"in","error":"no answer in time","event":"lost","proto":"ws","seq":1}`,
		`{"avg_ms":0,"duplicates":0,"event":"summary","loss_percent":50,"max_ms":0,"min_ms":0,"p99_ms":0,"proto":"ws","received":1,"sent":2,"unasked":0}`,
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("exit %d, %s\nwant %s", got.Code, strings.Join(kinds, "\n"), strings.Join(want, "\n"))
	}
}

// TestPingSignal: Ctrl-C is how it ends; it is a failure where nothing came.
func TestPingSignal(t *testing.T) {
	for _, tt := range []struct {
		serve func(net.Conn)
		url   string
		code  int
		line  string
	}{
		{pongAfter(0), "ws://h/", 0, "4 sent, 4 received, 0% lost in 3.5s"},
		{pongExcept(0, 1, 2, 3), "ws://h/", 130, "4 sent, 0 received, 100% lost in 3.5s"},
		{kit.DrainPeer, "tcp://h:1", 0, "4 sent, 4 received, 0% lost in 3.5s"},
		{kit.DrainPeer, "line://h:1", 130, ""}, // the first is still open
	} {
		synctest.Test(t, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			env := kit.PipeEnv(tt.serve, nil, &stdout, &stderr)
			signals := make(chan os.Signal)
			env.Signals = signals
			time.AfterFunc(3500*time.Millisecond, func() { signals <- syscall.SIGINT })
			code := cli.Table{Mode}.Run(t.Context(), []string{"socketsrv", "-ping", tt.url}, env)
			time.Sleep(time.Hour)
			if code != tt.code || !strings.Contains(stdout.String(), tt.line) {
				t.Errorf("%s: exit %d, %q\n%s\nwant %d, %q", tt.url, code, stderr.String(), stdout.String(), tt.code, tt.line)
			}
		})
	}
}

// TestPingPayload: -s says how long it is, and as long as there is room it says
// which one.
func TestPingPayload(t *testing.T) {
	for size := range maxPingPayload + 1 {
		f := &framePinger{pinger: &pinger{ping: &ping{size: int64(size)}, sent: 100}, id: "ABCDEFGH"}
		for _, seq := range []int{0, 99} {
			p := f.payload(seq)
			if len(p) != size {
				t.Errorf("size %d, ping %d: %d bytes: %s", size, seq, len(p), p)
			}
			if ours := f.isOurs(p); ours != (size >= len("socketsrv:ABCDEFGH:99:")-2+len(fmt.Sprint(seq))) {
				t.Errorf("size %d, ping %d: %s is ours: %v", size, seq, p, ours)
			}
		}
	}
}

// TestRoundTrips checks quantiles against sorted numbers.
func TestRoundTrips(t *testing.T) {
	var none roundTrips
	if none.average() != 0 || none.quantile(0.99) != 0 {
		t.Errorf("of nothing: %v, %v", none.average(), none.quantile(0.99))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 99, 100, 101, 10000} {
		var r roundTrips
		var all []time.Duration
		for range n {
			d := time.Duration(rnd.Int64N(1 << (1 + rnd.IntN(40))))
			r.add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		if r.low != all[0] || r.high != all[n-1] {
			t.Errorf("%d: %v to %v; want %v to %v", n, r.low, r.high, all[0], all[n-1])
		}
		for _, q := range []float64{0, 0.5, 0.99, 1} {
			exact := all[max((int(q*100)*n+99)/100-1, 0)]
			if got := r.quantile(q); got < exact || got > exact+exact/64 {
				t.Errorf("%d: quantile %v is %v; want %v", n, q, got, exact)
			}
		}
	}
	for v := uint64(1); v < 1<<62; v += v/100 + 1 {
		i := bucketOf(v)
		if top := bucketTop(i); top < v || top > v+v/64 || bucketOf(top) != i || bucketOf(top+1) != i+1 {
			t.Errorf("%d is in bucket %d up to %d", v, i, top)
		}
	}
}

// TestPingLineServer pings a server of ours, which serves one client at a time.
func TestPingLineServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &linesrv.Server{OneAtATime: true}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	for range 2 { // the second finds it free
		var stdout, stderr bytes.Buffer
		env := cli.System()
		env.Stdout, env.Stderr, env.TTYOut = &stdout, &stderr, nil
		args := []string{"socketsrv", "-ping", "line://" + ln.Addr().String(), "-c", "3", "-i", "1ms"}
		if code := (cli.Table{Mode}).Run(t.Context(), args, env); code != 0 || !strings.Contains(stdout.String(), "3 sent, 3 received") {
			t.Errorf("exit %d, %q\n%s", code, stderr.String(), stdout.String())
		}
	}
	ln.Close()
	<-done
}

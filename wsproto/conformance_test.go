package wsproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/internal/judge"
	"socketsrv/wsproto"
)

// The judge of package judge plays every case of Autobahn's public catalogue and
// its own against an echo server and an echo client of this package.

// pipe is one end of a connection in memory; unlike net.Pipe's, its directions end
// one by one.
type pipe struct {
	net.Conn // read from, and closed
	w        net.Conn
}

func newPipe() (a, b net.Conn) {
	ar, bw := net.Pipe()
	br, aw := net.Pipe()
	return pipe{ar, aw}, pipe{br, bw}
}

func (p pipe) Write(b []byte) (int, error)        { return p.w.Write(b) }
func (p pipe) CloseWrite() error                  { return p.w.Close() }
func (p pipe) Close() error                       { return errors.Join(p.w.Close(), p.Conn.Close()) }
func (p pipe) SetWriteDeadline(t time.Time) error { return p.w.SetWriteDeadline(t) }
func (p pipe) SetDeadline(t time.Time) error {
	return errors.Join(p.Conn.SetReadDeadline(t), p.w.SetWriteDeadline(t))
}

// pipes is a listener to which dial connects by a pipe.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (l *pipes) Close() error   { l.once.Do(func() { close(l.done) }); return nil }

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) dial(context.Context) (net.Conn, error) {
	a, b := newPipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// serveEcho echoes every message of those who connect to ln, until the test ends.
func serveEcho(t *testing.T, ln net.Listener, takeover bool) {
	s := &wsproto.Server{
		OnMessage: func(u *wsproto.User, m wsproto.Message) { _ = u.Reply(m.Opcode, m.Data) },
		Accept:    wsproto.AcceptOptions{ContextTakeover: takeover},
		Config:    judged,
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("the echo server's connections do not end: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// echoClient connects to url, echoes every message and returns what it received
// last when the connection has ended.
func echoClient(ctx context.Context, ln *pipes, url string) (last string, err error) {
	opt := wsproto.DialOptions{Config: judged,
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return ln.dial(ctx) }}
	c, _, err := wsproto.Dial(ctx, url, opt)
	if err != nil {
		return "", err
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return last, err
		}
		last = string(m.Data[:min(len(m.Data), 100)])
		if err := c.Reply(m.Opcode, m.Data); err != nil {
			return last, err
		}
	}
}

// judged is what both ends of this package have, who are as patient as the judge.
var judged = wsproto.Config{MaxMessage: 16 << 20, CloseTimeout: judgeWait}

const judgeWait = 30 * time.Second

// judging is how this package is judged; without takeover nothing can refer to
// earlier messages.
func judging(cases ...string) judge.Options {
	o := judge.Options{Cases: cases, Jobs: 16, Wait: judgeWait, Limit: 16 << 20, Volume: judge.Quick}
	if raceDetector {
		o.Exclude = []string{"9.*", "12.*", "13.*"}
	}
	return o
}

// remarked are the cases in which what we do is remarked on, and why that is well.
var remarked = []struct{ finding, why string }{
	{"there is no window to refer to", "without takeover there is none"},
	{`want text of 6 bytes "opened"`, "a client refuses a 101 with HTTP/1.0"},
	{`opening handshake answered "HTTP/1.1 400 Bad Request"`, "a server refuses LF alone, folded fields and keys of another length"},
}

// wantOK has all cases come out as they should, with nothing to remark.
func wantOK(t *testing.T, results []judge.Result) {
	t.Helper()
	for _, r := range results {
		known := slices.ContainsFunc(remarked, func(k struct{ finding, why string }) bool { return strings.Contains(r.Finding, k.finding) })
		if r.Finding != "" && (!known || r.Worst() > judge.Informational) {
			t.Errorf("%s %s %s: %v, %v: %s", r.Side, r.ID, r.Title, r.Behavior, r.Close, r.Finding)
		}
	}
	t.Logf("%d cases", len(results))
}

func TestConformanceOfServer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, ln, false)
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
	}
	results, err := judge.Server(t.Context(), dial, ln.Addr().String(), "/", judging())
	if err != nil {
		t.Error(err)
	}
	wantOK(t, results)
}

// TestConformanceOfTakeover has messages refer to earlier ones.
func TestConformanceOfTakeover(t *testing.T) {
	t.Parallel()
	ln := newPipes()
	serveEcho(t, ln, true)
	results, err := judge.Server(t.Context(), ln.dial, "127.0.0.1", "/", judging("12.*", "13.*", "x.extension.*", "x.limit.*", "x.cut.drop.*"))
	if err != nil {
		t.Error(err)
	}
	wantOK(t, results)
}

func TestConformanceOfClient(t *testing.T) {
	t.Parallel()
	ln := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reported := make(chan []judge.Result, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- judge.Client(ctx, ln, judging(), func(_ string, results []judge.Result) bool {
			reported <- results
			return true
		})
	}()
	url := "ws://127.0.0.1"
	said, err := echoClient(ctx, ln, url+"/getCaseCount")
	n, _ := strconv.Atoi(said)
	if n == 0 {
		t.Fatalf("/getCaseCount sends %q, %v", said, err)
	}
	numbers := make(chan int)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range numbers {
				_, _ = echoClient(ctx, ln, fmt.Sprintf("%s/runCase?case=%d&agent=wsproto", url, i))
			}
		})
	}
	for i := range n {
		numbers <- i + 1
	}
	close(numbers)
	group.Wait()
	if said, err := echoClient(ctx, ln, url+"/getCaseStatus?case=1&agent=wsproto"); said != `{"behavior":"OK"}` {
		t.Errorf("/getCaseStatus sends %q, %v", said, err)
	}
	if _, err := echoClient(ctx, ln, url+"/updateReports?agent=wsproto"); !isNormal(err) {
		t.Errorf("/updateReports: %v", err)
	}
	if results := <-reported; len(results) != n {
		t.Errorf("%d results of %d cases", len(results), n)
	} else {
		wantOK(t, results)
	}
	if err := <-ended; err != nil {
		t.Errorf("Client: %v", err)
	}
}

func isNormal(err error) bool {
	var closed *wsproto.CloseError
	return errors.As(err, &closed) && closed.Code == wsproto.StatusNormalClosure || errors.Is(err, io.EOF)
}

package wsproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"socketsrv/httpmini"
)

const upgrade = "GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// serve runs s on a loopback socket until the test ends.
func serve(t *testing.T, s *Server) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr()
}

// A client is a peer that writes and reads bytes.
type client struct {
	t *testing.T
	net.Conn
	br *bufio.Reader
}

// connect opens a WebSocket and sends more in the same segment as the handshake.
func connect(t *testing.T, addr net.Addr, more string) *client {
	t.Helper()
	c := dialRaw(t, addr)
	c.send([]byte(upgrade + string(unhex(more))))
	if status := c.head(); status != 101 {
		t.Fatalf("the handshake was answered with %d", status)
	}
	return c
}

func dialRaw(t *testing.T, addr net.Addr) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // a test that waits so long has failed
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

// head reads the head of a response and returns its status.
func (c *client) head() int {
	c.t.Helper()
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode
}

// want reads just the given bytes.
func (c *client) want(wire string) {
	c.t.Helper()
	want := unhex(wire)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.br, got); err != nil || string(got) != string(want) {
		c.t.Fatalf("got %x, %v; want %x", got[:n], err, want)
	}
}

func (c *client) wantEOF() {
	c.t.Helper()
	if b, err := io.ReadAll(c.br); err != nil || len(b) > 0 {
		c.t.Errorf("got %x, %v; want the end", b, err)
	}
}

// A journal collects what handlers saw.
type journal struct {
	mu    sync.Mutex
	lines []string
	news  chan struct{}
}

func newJournal() *journal { return &journal{news: make(chan struct{}, 1)} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default:
	}
}

// waitFor waits until the journal holds n lines and returns them.
func (j *journal) waitFor(t *testing.T, n int) []string {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		j.mu.Lock()
		lines := slices.Clone(j.lines)
		j.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
		select {
		case <-j.news:
		case <-late:
			t.Fatalf("the journal has only %q, want %d lines", lines, n)
		}
	}
}

func echoServer(j *journal) *Server {
	return &Server{
		OnConnect:    func(u *User, req *httpmini.Request) { j.add("connect %s", req.Target) },
		OnMessage:    func(u *User, m Message) { u.Reply(m.Opcode, m.Data) },
		OnDisconnect: func(u *User, err error) { j.add("disconnect %v", err) },
		ErrorLog:     func(err error) { j.add("log %v", err) },
	}
}

// TestServerClosed: Close ends users and listeners at once, and a stopped server serves
// no more.
func TestServerClosed(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	c := connect(t, serve(t, s), toServer(0x81, "first"))
	c.want("81 05 6669727374")
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if rest, _ := io.ReadAll(c); len(rest) > 0 {
		t.Errorf("after Close came %x", rest)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown after Close: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != ErrServerClosed {
		t.Errorf("Serve of a stopped server: %v, want %v", err, ErrServerClosed)
	}
}

// TestUserData: OnFrame may ask for what OnConnect is just keeping, when somebody else
// sends to a user that is new.
func TestUserData(t *testing.T) {
	here, pinged := make(chan *User), make(chan any)
	s := &Server{OnConnect: func(u *User, _ *httpmini.Request) {
		here <- u
		u.SetData("mine")
		if v := <-pinged; v != nil && v != "mine" {
			t.Errorf("OnFrame found %v", v)
		}
	}, OnFrame: func(u *User, received bool, h Header, _ []byte) {
		if h.Opcode == OpPing {
			pinged <- u.Data()
		}
	}}
	c := connect(t, serve(t, s), "")
	u := <-here
	u.Ping(nil)
	c.want("89 00")
	if v := u.Data(); v != "mine" {
		t.Errorf("the user has %v", v)
	}
}

func TestServer(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	addr := serve(t, s)
	c := connect(t, addr, toServer(0x81, "first")) // a frame in the handshake's segment
	c.want("81 05 6669727374")
	users := s.Users()
	if len(users) != 1 || users[0].ID() != 0 || s.User(0) != users[0] || s.User(1) != nil {
		t.Errorf("Users() = %v: want one, found by its number", users)
	}
	if users[0].RemoteAddr().String() != c.LocalAddr().String() {
		t.Errorf("RemoteAddr() = %v, want %v", users[0].RemoteAddr(), c.LocalAddr())
	}
	for i := range 16 {
		c.send(frame(RoleServer, 0x82, string(rune('a'+i))))
		c.want(fmt.Sprintf("82 01 %02x", 'a'+i))
	}
	if n := s.Broadcast(OpText, []byte("all")); n != 0 {
		t.Errorf("Broadcast missed %d", n)
	}
	c.want("81 03 616c6c")
	users[0].Ping([]byte("?"))
	c.want("89 01 3f")
	c.send(frame(RoleServer, 0x88, "\x0f\xa0bye"))
	c.want("88 05 0fa0 627965")
	c.wantEOF()
	want := []string{"connect /chat", (&CloseError{Code: 4000, Reason: "bye"}).Error()}
	if got := j.waitFor(t, 2); got[0] != want[0] || got[1] != "disconnect "+want[1] {
		t.Errorf("the handlers saw %q, want %q", got, want)
	}
	if n := len(s.Users()); n != 0 {
		t.Errorf("%d users after the last one left", n)
	}
	if err := users[0].Send(OpText, nil); err == nil {
		t.Error("Send to a user that left: no error")
	}
}

// TestServerLargeMessages: whatever the size, with a slow reader too.
func TestServerLargeMessages(t *testing.T) {
	addr := serve(t, echoServer(newJournal()))
	for _, n := range []int{noCopy - 1, noCopy, readSize, 300000, 5 << 20} {
		c := connect(t, addr, "")
		payload := strings.Repeat("0123456789abcde\n", n/16+1)[:n]
		go c.Write(frame(RoleServer, 0x82, payload))
		head := AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, PayloadLen: int64(n)})
		got := make([]byte, len(head)+n)
		if _, err := io.ReadFull(c.br, got); err != nil || string(got) != string(head)+payload {
			t.Errorf("%d bytes do not come back: %v", n, err)
		}
	}
}

// TestServerEndWithData: the end of the stream in the same segment as the last
// message is noticed.
func TestServerEndWithData(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	addr := serve(t, s)
	c := connect(t, addr, "")
	c.send(frame(RoleServer, 0x81, "x"))
	c.want("81 01 78")
	c.send(frame(RoleServer, 0x81, "y"))
	c.Conn.(*net.TCPConn).CloseWrite()
	c.want("81 01 79")
	if got := j.waitFor(t, 2)[1]; got != "disconnect EOF" {
		t.Errorf("the handlers saw %q, want the end of the stream", got)
	}
}

func TestServerRefusals(t *testing.T) {
	s := echoServer(newJournal())
	s.OnHandshake = func(req *httpmini.Request, remote net.Addr) error {
		switch req.Path() {
		case "/no":
			return errors.New("not there")
		case "/gone":
			return &HandshakeError{Status: 410, Err: errors.New("gone")}
		}
		return nil
	}
	addr := serve(t, s)
	for path, status := range map[string]int{"/no": 403, "/gone": 410, "/yes": 101} {
		c := dialRaw(t, addr)
		c.send([]byte(strings.Replace(upgrade, "/chat", path, 1)))
		if got := c.head(); got != status {
			t.Errorf("%s: status %d, want %d", path, got, status)
		}
	}
	c := dialRaw(t, addr)
	c.send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if got := c.head(); got != 426 {
		t.Errorf("a plain GET: status %d, want 426", got)
	}
}

func TestServerHTTP(t *testing.T) {
	s := echoServer(newJournal())
	s.HTTP = func(x *httpmini.Exchange) { x.Respond(200, nil, []byte("page")) }
	addr := serve(t, s)
	c := dialRaw(t, addr)
	c.send([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if got := c.head(); got != 200 {
		t.Errorf("a plain GET: status %d, want 200", got)
	}
	connect(t, addr, "")
}

func TestServerMaxConns(t *testing.T) {
	s := echoServer(newJournal())
	s.MaxConns = 2
	addr := serve(t, s)
	first, _ := connect(t, addr, ""), connect(t, addr, "")
	c := dialRaw(t, addr)
	if got := c.head(); got != 503 {
		t.Errorf("the third connection: status %d, want 503", got)
	}
	first.send(frame(RoleServer, 0x88, ""))
	first.want("88 00")
	first.wantEOF()
	for { // its place is free a moment after it saw the end
		c := dialRaw(t, addr)
		c.Write([]byte(upgrade)) // a refusal may come first
		if c.head() == 101 {
			break
		}
		c.Close() // only so many are refused with words at a time
	}
}

// TestServerSlowUser: a user that does not read loses its messages beyond the
// queue, nobody waits for it, and it can be closed.
func TestServerSlowUser(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	s.Queue = 1 << 16
	s.Config.CloseTimeout = 50 * time.Millisecond
	addr := serve(t, s)
	connect(t, addr, "")
	j.waitFor(t, 1)
	slow := s.Users()[0]
	p := make([]byte, 1<<16)
	for n := 0; ; n++ {
		if err := slow.Send(OpBinary, p); err != nil {
			if err != ErrQueueFull {
				t.Errorf("Send %d: %v, want ErrQueueFull", n, err)
			}
			break
		}
		if n > 1000 {
			t.Fatal("64 MiB are queued for a user that does not read")
		}
	}
	if n := s.Broadcast(OpBinary, p); n != 1 {
		t.Errorf("Broadcast missed %d, want 1", n)
	}
	connect(t, addr, toServer(0x81, "x")).want("81 01 78")
	slow.Close(StatusTryAgainLater, "too slow")
	if got := j.waitFor(t, 3)[2]; !strings.Contains(got, ErrCloseTimeout.Error()) {
		t.Errorf("the handlers saw %q, want %v", got, ErrCloseTimeout)
	}
}

func TestServerPanic(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	s.OnMessage = func(u *User, m Message) {
		if string(m.Data) == "boom" {
			panic("at the disco")
		}
		u.Reply(m.Opcode, m.Data)
	}
	addr := serve(t, s)
	other := connect(t, addr, "")
	for _, early := range []bool{true, false} {
		boom := toServer(0x81, "boom")
		if !early {
			boom = ""
		}
		c := connect(t, addr, boom)
		if !early {
			c.send(frame(RoleServer, 0x81, "boom"))
		}
		var head [4]byte
		io.ReadFull(c.br, head[:])
		if head[0] != 0x88 || string(head[2:]) != "\x03\xf3" {
			t.Errorf("after a panic: %x, want Close 1011", head)
		}
	}
	other.send(frame(RoleServer, 0x81, "x"))
	other.want("81 01 78")
	logged := 0
	for _, line := range j.waitFor(t, 7) {
		if strings.HasPrefix(line, "log ") && strings.Contains(line, "at the disco") && strings.Contains(line, "server_test.go") {
			logged++
		}
	}
	if logged != 2 {
		t.Errorf("%d panics logged with their stack, want 2", logged)
	}
}

// TestServerPanicEverywhere: whatever panics, also of what is sent, also while the
// connection ends of it, it is that connection's end.
func TestServerPanicEverywhere(t *testing.T) {
	for _, where := range []string{"frame", "connect", "pause", "disconnect", "handshake"} {
		j := newJournal()
		s := echoServer(j)
		var armed atomic.Bool
		armed.Store(true)
		boom := func(here string) {
			if here == where && armed.Load() {
				panic("boom in " + where)
			}
		}
		s.OnFrame = func(*User, bool, Header, []byte) { boom("frame") }
		s.OnConnect = func(*User, *httpmini.Request) { boom("connect") }
		s.OnPause = func(*User) { boom("pause") }
		s.OnDisconnect = func(*User, error) { boom("disconnect") }
		s.OnHandshake = func(*httpmini.Request, net.Addr) error { boom("handshake"); return nil }
		addr := serve(t, s)
		c := dialRaw(t, addr)
		c.send([]byte(upgrade + string(unhex(toServer(0x81, "x")+toServer(0x88, "")))))
		if _, err := io.Copy(io.Discard, c); err != nil && isTimeout(err) {
			t.Errorf("%s: after a panic the connection goes on", where)
		}
		for len(s.Users()) > 0 {
			runtime.Gosched()
		}
		armed.Store(false)
		connect(t, addr, toServer(0x81, "x")).want("81 01 78")
		if log := j.waitFor(t, 1)[0]; !strings.Contains(log, "boom in "+where) {
			t.Errorf("%s: the log has %q", where, log)
		}
	}
}

func TestServerShutdown(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	polite := connect(t, ln.Addr(), "")
	mute := connect(t, ln.Addr(), "")
	j.waitFor(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Shutdown(ctx) }()
	polite.want("88 02 03e9")
	polite.send(frame(RoleServer, 0x88, "\x03\xe9"))
	polite.wantEOF()
	mute.want("88 02 03e9")
	cancel() // the other one never answers
	if err := <-end; err != context.Canceled {
		t.Errorf("Shutdown: %v, want context.Canceled", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	got := j.waitFor(t, 4)[2:]
	slices.Sort(got)
	if want := []string{"disconnect " + ErrServerClosed.Error(), "disconnect " + (&CloseError{Code: 1001, Reason: ""}).Error()}; !slices.Equal(got, want) && !slices.Equal(got, []string{want[1], want[0]}) {
		t.Errorf("the handlers saw %q, want %q", got, want)
	}
}

// TestServerPlain: the same over streams that cannot be waited for without a buffer.
func TestServerPlain(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	var frames []string
	s.OnFrame = func(u *User, received bool, h Header, p []byte) {
		frames = append(frames, fmt.Sprintf("%t %v %s", received, h.Opcode, p))
	}
	defer s.Shutdown(context.Background())
	nc, peer := net.Pipe()
	h := &httpmini.Server{Handler: s.ServeExchange}
	done := make(chan struct{})
	go func() { h.ServeConn(nc); close(done) }()
	c := &client{t, peer, bufio.NewReader(peer)}
	peer.SetDeadline(time.Now().Add(20 * time.Second))
	c.send([]byte(upgrade))
	if got := c.head(); got != 101 {
		t.Fatalf("status %d", got)
	}
	c.send(frame(RoleServer, 0x81, "x"))
	c.want("81 01 78")
	c.send(frame(RoleServer, 0x89, "p"))
	c.want("8a 01 70")
	c.send(frame(RoleServer, 0x88, ""))
	c.want("88 00")
	c.wantEOF()
	<-done
	if want := []string{"true text ", "false text ", "true ping p", "false pong p", "true close ", "false close "}; !slices.Equal(frames, want) {
		t.Errorf("the tap saw %q, want %q", frames, want)
	}
	if got := j.waitFor(t, 2)[1]; got != "disconnect "+(&CloseError{Code: 1005, Reason: ""}).Error() {
		t.Errorf("the handlers saw %q", got)
	}
}

// TestServerStorm: joining, talking, being told and leaving at once.
func TestServerStorm(t *testing.T) {
	var s *Server
	s = &Server{OnMessage: func(u *User, m Message) { s.Broadcast(m.Opcode, m.Data) }}
	addr := serve(t, s)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 4 {
				c, _, err := Dial(t.Context(), "ws://"+addr.String()+"/", DialOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.WriteMessage(OpText, []byte("hi")); err != nil {
					t.Error(err)
				}
				if m, err := c.ReadMessage(); err != nil || string(m.Data) != "hi" {
					t.Errorf("got %q, %v", m.Data, err)
				}
				c.Close(StatusNormalClosure, "")
			}
		})
	}
	all.Wait()
}

func BenchmarkServerEcho(b *testing.B) {
	s := &Server{OnMessage: func(u *User, m Message) { u.Reply(m.Opcode, m.Data) }}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(ln)
	defer s.Shutdown(context.Background())
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, upgrade)
	br := bufio.NewReader(nc)
	if _, err := http.ReadResponse(br, nil); err != nil {
		b.Fatal(err)
	}
	one, answer := frame(RoleServer, 0x81, strings.Repeat("x", 64)), make([]byte, 66)
	b.ReportAllocs()
	for b.Loop() {
		nc.Write(one)
		if _, err := io.ReadFull(nc, answer); err != nil {
			b.Fatal(err)
		}
	}
}

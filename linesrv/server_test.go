package linesrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeListener accepts what connect makes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn, 16), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// A house is a server in a synctest bubble.
type house struct {
	t      *testing.T
	ln     *pipeListener
	served chan error
}

func newHouse(t *testing.T, serve func(net.Listener) error) *house {
	h := &house{t: t, ln: newPipeListener(), served: make(chan error, 1)}
	go func() { h.served <- serve(h.ln) }()
	return h
}

// isServing reports whether Serve has not returned yet.
func (h *house) isServing() bool {
	synctest.Wait()
	select {
	case err := <-h.served:
		if err != nil {
			h.t.Errorf("Serve returned %v", err)
		}
		h.served <- nil
		return false
	default:
		return true
	}
}

// A guest is a client that reads all the time.
type guest struct {
	t    *testing.T
	nc   net.Conn
	mu   sync.Mutex
	got  []byte
	over bool
}

func (h *house) guest() *guest {
	nc, theirs := net.Pipe()
	h.ln.conns <- theirs
	g := &guest{t: h.t, nc: nc}
	go g.read()
	return g
}

func (g *guest) read() {
	b := make([]byte, 1000)
	for {
		n, err := g.nc.Read(b)
		g.mu.Lock()
		g.got = append(g.got, b[:n]...)
		g.over = err != nil
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (g *guest) send(s string) {
	g.nc.Write([]byte(s)) // a server that has gone shows in what is wanted
}

// want compares all that has come since the last call.
func (g *guest) want(want string) {
	g.t.Helper()
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(g.got) != want {
		g.t.Errorf("got %q, want %q", g.got, want)
	}
	g.got = nil
}

func (g *guest) isOver() bool {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.over
}

// sample is the handler of the conversations.
func sample(c *Conn, cmd Command) error {
	word, rest, _ := strings.Cut(cmd.String(), " ")
	switch word {
	case "cmd01":
		return c.SendString("ack")
	case "echo":
		return c.Send([]byte(rest))
	case "none":
		return nil
	case "many":
		c.SendString("1")
		c.SendString("2\n3")
		return c.SendString("4")
	case "bye":
		return fmt.Errorf("as he said: %w", ErrDisconnect)
	case "stop":
		return fmt.Errorf("as he said: %w", ErrShutdown)
	case "fail":
		return errors.New("it failed")
	case "panic":
		panic("it panicked")
	}
	return Unknown(c, cmd)
}

// What becomes of the client and the server after a conversation.
const (
	stays = iota
	left  // the server ended the connection
	ended // the server ended
)

const nak = "nak - unknown cmd\n"

// conversations are the original's requirements, HARDENING's cases and our own.
var conversations = []struct {
	name       string
	server     *Server
	send, want string
	then       int
}{
	{"ping", &Server{}, "ping\n", "pong\n", stays},
	{"ping, CR LF (LS01)", &Server{}, "ping\r\n", "pong\n", stays},
	{"CR kept: another word, as the original", &Server{KeepCR: true}, "ping\r\n", nak, stays},
	{"words are exact", &Server{}, " ping\nPING\nping \n", nak + nak + nak, stays},
	{"several in one write, in order", &Server{}, "ping\ncmd01\nping\n", "pong\nack\npong\n", stays},
	{"two commands in one packet (tp006)", &Server{}, "ping\ncmd01\n", "pong\nack\n", stays},
	{"unknown", &Server{}, "cmd02\n", nak, stays},
	{"a page posts commands", &Server{}, "POST / HTTP/1.1\r\nHost: a\r\n\r\nping\nshutdown\n", "", left},
	{"a page whose request line was lost", &Server{}, "Host: a\r\nping\n", "", left},
	{"a later line is a command", &Server{}, "ping\nGET / HTTP/1.1\n", "pong\n" + nak, stays},
	{"a part is not a command", &Server{}, "ping\npin", "pong\n", stays},
	{"nothing is said unasked", &Server{}, "", "", stays},
	{"not UTF-8 (LS02)", &Server{}, "\xff\xfe\nping\n", "invalid\npong\n", stays},
	{"a bad byte does not make a ping", &Server{}, "p\xffing\n", "invalid\n", stays},
	{"the word invalid is a command", &Server{}, "invalid\n", nak, stays},
	{"UTF-8 of many bytes stays whole", &Server{}, "echo héllo, 世界\n", "héllo, 世界\n", stays},
	{"empty line (LS03)", &Server{}, "\n", nak, stays},
	{"NUL and TAB pass (LS03)", &Server{}, "echo a\x00b\tc \n", "a\x00b\tc \n", stays},
	{"no answer", &Server{}, "none\nping\n", "pong\n", stays},
	{"an empty answer", &Server{}, "echo\n", "\n", stays},
	{"many answers", &Server{}, "many\n", "1\n2\n3\n4\n", stays},
	{"disconnect", &Server{}, "disconnect\n", "", left},
	{"disconnect after ping", &Server{}, "ping\ndisconnect\nping\n", "pong\n", left},
	{"handler disconnects", &Server{}, "cmd01\nbye\nping\n", "ack\n", left},
	{"shutdown", &Server{}, "ping\nshutdown\nping\n", "pong\n", ended},
	{"handler shuts down", &Server{}, "cmd01\nstop\nping\n", "ack\n", ended},
	{"shutdown denied", &Server{NoShutdown: true}, "shutdown\nping\n", "denied\npong\n", stays},
	{"shutdown by a neighbour", &Server{LocalShutdown: true}, "shutdown\n", "", ended},
	{"handler fails", &Server{}, "ping\nfail\nping\n", "pong\nerror internal\n", left},
	{"handler panics (LS12)", &Server{}, "ping\npanic\nping\n", "pong\nerror internal\n", left},
	{"longest line", &Server{MaxLine: 11}, "echo 123456\n", "123456\n", stays},
	{"too long", &Server{MaxLine: 11}, "ping\necho 1234567\nping\n", "pong\ninvalid\n", left},
	{"too long without LF (LS04)", &Server{MaxLine: 11}, "ping\necho 1234567", "pong\ninvalid\n", left},
	{"one at a time", &Server{OneAtATime: true}, "ping\ndisconnect\n", "pong\n", left},
}

func TestConversations(t *testing.T) {
	for _, tt := range conversations {
		t.Run(tt.name, func(t *testing.T) {
			in := []byte(tt.send)
			pieces := [][][]byte{{in}, single(in)}
			for i := 1; i < len(in); i++ {
				pieces = append(pieces, [][]byte{in[:i], in[i:]})
			}
			for _, p := range pieces {
				synctest.Test(t, func(t *testing.T) {
					server := copyServer(tt.server)
					server.Handler = sample
					converse(t, server, p, tt.want, tt.then)
				})
			}
		})
	}
}

// copyServer copies the options of a server that has not served.
func copyServer(s *Server) *Server {
	return &Server{OneAtATime: s.OneAtATime, MaxLine: s.MaxLine, KeepCR: s.KeepCR, NoShutdown: s.NoShutdown, LocalShutdown: s.LocalShutdown}
}

// converse sends the pieces, and leaves if the server does not.
func converse(t *testing.T, server *Server, pieces [][]byte, want string, then int) {
	h := newHouse(t, server.Serve)
	g := h.guest()
	for _, p := range pieces {
		g.send(string(p))
	}
	g.want(want)
	if g.isOver() != (then != stays) {
		t.Errorf("after %q the connection has ended: %v", pieces, g.isOver())
	}
	g.nc.Close()
	if h.isServing() != (then != ended) {
		t.Errorf("after %q the server goes on: %v", pieces, h.isServing())
	}
	if then != ended {
		next := h.guest()
		next.send("ping\n")
		next.want("pong\n")
	}
	server.Close()
	<-h.served
}

// The zero value is a server.
func TestZeroServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		converse(t, new(Server), [][]byte{[]byte("ping\nhello\n\xff\n")}, "pong\n"+nak+"invalid\n", stays)
	})
}

func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{OneAtATime: true}
		h := newHouse(t, server.Serve)
		first, second, third := h.guest(), h.guest(), h.guest()
		first.send("ping\n")
		first.want("pong\n")
		go second.send("ping\n")
		go third.send("ping\n")
		second.want("")
		third.want("")
		first.send("disconnect\n")
		second.want("pong\n") // without any time going by
		third.want("")
		second.nc.Close() // without a word: the original spun for ever
		third.want("pong\n")
		third.send("shutdown\n")
		if h.isServing() {
			t.Error("the server goes on after shutdown")
		}
		server.Close()
	})
}

// A client that is silent may be so until somebody waits.
func TestTurnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reasons []error
		server := &Server{OneAtATime: true, OnDisconnect: func(_ *Conn, err error) { reasons = append(reasons, err) }}
		h := newHouse(t, server.Serve)
		silent := h.guest()
		time.Sleep(time.Hour)
		silent.send("ping\n")
		silent.want("pong\n")

		waiting := h.guest()
		go waiting.send("ping\n")
		for range 5 { // who speaks stays
			time.Sleep(50 * time.Second)
			silent.send("ping\n")
			silent.want("pong\n")
		}
		waiting.want("")
		for range 3 { // who sends bytes that end no line does not speak
			time.Sleep(40 * time.Second)
			silent.send("p")
		}
		waiting.want("pong\n")
		if !silent.isOver() || len(reasons) != 1 || reasons[0] != ErrIdle {
			t.Errorf("the silent client has gone: %v, because %v", silent.isOver(), reasons)
		}
		server.Close()
		<-h.served
	})
}

// A handler that takes its time is not a silent client, and the limit can be off.
func TestTurnTimeoutNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(c *Conn, cmd Command) error {
			time.Sleep(10 * time.Minute)
			return c.SendString("done")
		}
		for _, tt := range []struct {
			server *Server
			send   string
			want   string
		}{
			{&Server{OneAtATime: true, Handler: slow}, "slow\n", "done\n"},
			{&Server{OneAtATime: true, TurnTimeout: -1}, "ping\n", "pong\n"},
		} {
			h := newHouse(t, tt.server.Serve)
			holder, waiting := h.guest(), h.guest()
			holder.send(tt.send)
			go waiting.send("ping\n")
			time.Sleep(10*time.Minute + time.Second)
			holder.want(tt.want)
			waiting.want("")
			if holder.isOver() {
				t.Errorf("%q: the client was put out", tt.send)
			}
			tt.server.Close()
			<-h.served
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reason error
		server := &Server{IdleTimeout: time.Minute, OnDisconnect: func(_ *Conn, err error) { reason = err }}
		h := newHouse(t, server.Serve)
		g := h.guest()
		for _, b := range "ping\nping\n" { // LS11: one byte a second
			time.Sleep(time.Second)
			g.send(string(b))
		}
		g.want("pong\npong\n")
		time.Sleep(59 * time.Second)
		g.send("ping\n")
		g.want("pong\n")
		for range 5 { // bytes that end no line do not help
			time.Sleep(11 * time.Second)
			g.send("x")
		}
		if g.isOver() {
			t.Error("cut before its time")
		}
		time.Sleep(6 * time.Second)
		if !g.isOver() || reason != ErrIdle {
			t.Errorf("an endless slow line: ended %v, because %v", g.isOver(), reason)
		}
		g.want("")
		server.Close()
		<-h.served
	})
}

// LS06: who does not read is waited for 30 s.
func TestWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reasons := make(chan error, 1)
		server := &Server{OneAtATime: true, OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- theirs
		nc.Write([]byte("ping\nping\n"))
		start := time.Now()
		if err := <-reasons; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ended because %v", err)
		}
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("waited %v", d)
		}
		server.OnDisconnect(nil, nil)
		next := h.guest()
		next.send("ping\n")
		next.want("pong\n")
		<-reasons
		server.Close()
		<-h.served
	})
}

// Answers to what came together go out together.
func TestGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{Handler: func(c *Conn, cmd Command) error {
			if cmd.String() == "flush" {
				return c.Flush()
			}
			return c.Send(make([]byte, 50<<10))
		}}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- theirs
		nc.Write([]byte("ping\nping\nflush\nflush\nping\nbig\nbig\nping\n"))
		b := make([]byte, 200<<10)
		for _, want := range []int{10, 64 << 10, 5 + 2*(50<<10+1) - 64<<10, 5} {
			if n, err := nc.Read(b); n != want || err != nil {
				t.Errorf("a write of %d bytes, %v; want %d", n, err, want)
			}
		}
		server.Close()
		nc.Close()
		<-h.served
	})
}

func TestShutdownGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{Handler: func(c *Conn, cmd Command) error {
			time.Sleep(time.Second)
			return c.SendString("done")
		}}
		h := newHouse(t, server.Serve)
		idle, busy := h.guest(), h.guest()
		busy.send("slow\nping\n")
		synctest.Wait()
		start := time.Now()
		if err := server.Shutdown(t.Context()); err != nil || time.Since(start) != time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		idle.want("")
		busy.want("done\n") // and not what had not begun
		if !idle.isOver() || !busy.isOver() || h.isServing() {
			t.Error("somebody is left")
		}
		if err := server.Serve(newPipeListener()); err != ErrServerClosed {
			t.Errorf("Serve again: %v", err)
		}
	})
}

// A handler that does not end is told to by its context when the grace is over.
func TestShutdownNotGraceful(t *testing.T) {
	hang := func(c *Conn, cmd Command) error {
		c.SendString("not seen: the client does not read")
		<-c.Context().Done()
		return c.Context().Err()
	}
	for name, end := range map[string]func(s *Server, other *guest){
		"Shutdown": func(s *Server, _ *guest) {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
				s.ErrorLog(err)
			}
		},
		"command": func(_ *Server, other *guest) { other.send("shutdown\n") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &Server{Handler: hang, ErrorLog: func(err error) { t.Error(err) }}
				h := newHouse(t, server.Serve)
				nc, theirs := net.Pipe()
				h.ln.conns <- theirs
				nc.Write([]byte("hang\n"))
				synctest.Wait()
				start := time.Now()
				end(server, h.guest())
				<-h.served
				if d := time.Since(start); d != 3*time.Second {
					t.Errorf("took %v", d)
				}
				nc.Close()
			})
		})
	}
}

// Close ends a write that waits, too.
func TestCloseWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reason error
		server := &Server{OnDisconnect: func(_ *Conn, err error) { reason = err }}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- theirs
		nc.Write([]byte("ping\n"))
		synctest.Wait()
		server.Close()
		<-h.served
		if !errors.Is(reason, os.ErrDeadlineExceeded) {
			t.Errorf("ended because %v", reason)
		}
		nc.Close()
	})
}

// What was asked for while everything was being killed.
func TestWriteAfterKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent error
		server := &Server{Handler: func(c *Conn, cmd Command) error {
			<-c.Context().Done()
			c.SendString("late")
			sent = c.Flush()
			return nil
		}}
		h := newHouse(t, server.Serve)
		g := h.guest()
		g.send("wait\n")
		synctest.Wait()
		server.Close()
		<-h.served
		if sent != ErrShutdown {
			t.Errorf("Flush: %v", sent)
		}
		g.want("")
	})
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		note := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
		server := &Server{
			Handler:   sample,
			OnConnect: func(c *Conn) { note("#%d from %v to %v", c.ID(), c.RemoteAddr(), c.LocalAddr()) },
			OnCommand: func(c *Conn, cmd Command) { note("#%d rx %q %v", c.ID(), cmd.Line, cmd.Invalid) },
			OnSend:    func(c *Conn, p []byte) { note("#%d tx %q", c.ID(), p) },
			OnDisconnect: func(c *Conn, err error) {
				note("#%d %v", c.ID(), err)
			},
		}
		h := newHouse(t, server.Serve)
		for _, send := range []string{"ping\n\xff\n", "many\ndisconnect\n", "fail\n", "panic\n", "shutdown\n"} {
			g := h.guest()
			g.send(send)
			synctest.Wait()
			g.nc.Close()
			synctest.Wait()
		}
		<-h.served
		want := []string{
			"#0 from pipe to pipe", `#0 rx "ping" false`, `#0 tx "pong"`, `#0 rx "\xff" true`, `#0 tx "invalid"`, "#0 EOF",
			"#1 from pipe to pipe", `#1 rx "many" false`, `#1 tx "1"`, `#1 tx "2\n3"`, `#1 tx "4"`, `#1 rx "disconnect" false`, "#1 disconnect",
			"#2 from pipe to pipe", `#2 rx "fail" false`, `#2 tx "error internal"`, "#2 it failed",
			"#3 from pipe to pipe", `#3 rx "panic" false`, `#3 tx "error internal"`, "#3 handler panicked: it panicked",
			"#4 from pipe to pipe", `#4 rx "shutdown" false`, "#4 shutdown",
		}
		if !slices.Equal(log, want) {
			t.Errorf("the log is\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
		}
	})
}

// The stack of a panic is that of the handler.
// The reason of an end that the peer's bytes caused has the bytes.
func TestReasonsWithBytes(t *testing.T) {
	for _, tt := range []struct {
		send   string
		err    error
		bytes  string
		offset int64
	}{
		{"POST /x HTTP/1.1\r\nping\n", ErrHTTP, "POST /x HTTP/1.1", 0},
		{"ping\n" + strings.Repeat("x", 100), ErrLineTooLong, strings.Repeat("x", 64), 5},
	} {
		reasons := make(chan error, 1)
		server := &Server{MaxLine: 80, OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
		nc := connect(t, start(t, server, listen(t)))
		io.WriteString(nc, tt.send)
		err := <-reasons
		e, ok := errors.AsType[*ProtocolError](err)
		if !ok || !errors.Is(err, tt.err) || string(e.Bytes) != tt.bytes || e.Offset != tt.offset {
			t.Errorf("%.20q: %#v; want %v, %q at %d", tt.send, err, tt.err, tt.bytes, tt.offset)
		}
		server.Close()
	}
}

func TestPanicError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reason error
		server := &Server{Handler: sample, OnDisconnect: func(_ *Conn, err error) { reason = err }}
		h := newHouse(t, server.Serve)
		h.guest().send("panic\n")
		synctest.Wait()
		if p, ok := errors.AsType[*PanicError](reason); !ok || p.Value != "it panicked" || !strings.Contains(string(p.Stack), "linesrv.sample") {
			t.Errorf("ended because %#v", reason)
		}
		server.Close()
		<-h.served
	})
}

// A server does not speak unasked.
func TestSendUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said any
		server := &Server{OnConnect: func(c *Conn) {
			defer func() { said = recover() }()
			c.Flush() // nothing to write
			if c.Context().Err() != nil {
				t.Error("the context has ended")
			}
			c.SendString("hello")
		}}
		h := newHouse(t, server.Serve)
		g := h.guest()
		g.want("")
		if s, _ := said.(string); !strings.HasPrefix(s, "linesrv: ") {
			t.Errorf("SendString in OnConnect: %v", said)
		}
		server.Close()
		<-h.served
	})
}

// Send tells that the client is gone, again and again, and keeps nothing.
func TestSendToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		var reason error
		server := &Server{
			Handler: func(c *Conn, cmd Command) error {
				c.SendString("x")
				errs = append(errs, c.Flush(), c.SendString("x"), c.Send([]byte("x")), c.Flush())
				return errors.New("did not work")
			},
			OnDisconnect: func(_ *Conn, err error) { reason = err },
		}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- theirs
		nc.Write([]byte("x\nx\n"))
		nc.Close()
		synctest.Wait()
		if len(errs) != 4 || slices.ContainsFunc(errs, func(err error) bool { return err != io.ErrClosedPipe }) {
			t.Errorf("Flush, SendString, Send, Flush: %v", errs)
		}
		if reason != io.ErrClosedPipe {
			t.Errorf("ended because %v", reason)
		}
		server.Close()
		<-h.served
	})
}

// The word "shutdown" from elsewhere (LS09).
func TestIsLocal(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, true},
		{&net.TCPAddr{IP: net.ParseIP("127.8.9.10")}, true},
		{&net.TCPAddr{IP: net.IPv6loopback}, true},
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.1")}, false},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1")}, false},
		{&net.TCPAddr{}, false},
		{&net.UnixAddr{Name: "@", Net: "unix"}, true},
		{pipeAddr{}, true},
	} {
		if got := isLocal(tt.addr); got != tt.want {
			t.Errorf("isLocal(%v) = %v", tt.addr, got)
		}
	}
}

type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 9} }

func TestLocalShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{LocalShutdown: true}
		h := newHouse(t, server.Serve)
		nc, theirs := net.Pipe()
		h.ln.conns <- elsewhere{theirs}
		g := &guest{t: t, nc: nc}
		go g.read()
		g.send("shutdown\nping\n")
		g.want("denied\npong\n")
		server.Close()
		<-h.served
	})
}

// Shutdown of a server that has not served, twice, and of one whose listener broke.
func TestShutdownOfNothing(t *testing.T) {
	var server Server
	for range 2 {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	server.Close()
	broken := errors.New("broken")
	if err := new(Server).Serve(brokenListener{broken}); err != broken {
		t.Errorf("Serve: %v", err)
	}
	if err := (&Server{OneAtATime: true}).Serve(brokenListener{broken}); err != broken {
		t.Errorf("Serve, one at a time: %v", err)
	}
}

type brokenListener struct{ err error }

func (l brokenListener) Accept() (net.Conn, error) { return nil, l.err }
func (l brokenListener) Close() error              { return nil }
func (l brokenListener) Addr() net.Addr            { return pipeAddr{} }

// A client that connects while the server stops is not served.
func TestShutdownWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &Server{OneAtATime: true}
		h := newHouse(t, server.Serve)
		first, second := h.guest(), h.guest()
		synctest.Wait()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if !first.isOver() || !second.isOver() {
			t.Error("somebody is left")
		}
	})
	var server Server
	server.Close()
	nc, theirs := net.Pipe()
	server.serveConn(theirs)
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("served by a server that was closed: %v", err)
	}
}

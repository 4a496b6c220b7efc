package wsproto

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/rawio"
)

// talkOnce sends a message and reads the echo.
func (c *client) talkOnce(text string) {
	c.t.Helper()
	c.send(frame(RoleServer, 0x81, text))
	got := make([]byte, 2+len(text))
	if _, err := io.ReadFull(c.br, got); err != nil || string(got[2:]) != text {
		c.t.Fatalf("got %q, %v; want the echo of %q", got, err, text)
	}
}

// inLoops reports how many connections the loops of s have.
func inLoops(s *Server) (n int) {
	s.loops.each(func(*Conn) { n++ })
	return n
}

// TestLoopBlockingHandlers: however many handlers wait, everybody else is served, also
// with one processor; and who waited goes on where it was.
func TestLoopBlockingHandlers(t *testing.T) {
	s := echoServer(newJournal())
	release := make(chan struct{})
	var waiting sync.WaitGroup
	s.OnMessage = func(u *User, m Message) {
		if string(m.Data) == "wait" {
			waiting.Done()
			<-release
		}
		u.Reply(m.Opcode, m.Data)
	}
	addr := serve(t, s)
	const stuck = 20
	waiting.Add(stuck)
	var clients []*client
	for range stuck {
		c := connect(t, addr, "")
		c.send(append(frame(RoleServer, 0x81, "wait"), frame(RoleServer, 0x81, "same read")...))
		clients = append(clients, c)
	}
	waiting.Wait() // each of them got its turn while the others waited
	for range 3 {
		connect(t, addr, "").talkOnce("others")
	}
	for _, c := range clients {
		c.send(frame(RoleServer, 0x81, "later"))
	}
	if n := inLoops(s); n != stuck+3 {
		t.Errorf("%d connections in loops, want %d", n, stuck+3)
	}
	close(release)
	for _, c := range clients {
		c.want("8104 77616974" + "8109 73616d652072656164" + "8105 6c61746572")
		c.talkOnce("on it goes")
	}
}

// TestLoopShares: a loop that never runs out of turns lets other goroutines have the
// processor, without being made to.
func TestLoopShares(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := echoServer(newJournal())
	message := frame(RoleServer, 0x81, "x")
	var c *client
	var ready, over sync.WaitGroup
	var turns int
	var ran atomic.Bool
	ready.Add(1)
	over.Add(1)
	s.OnMessage = func(*User, Message) {
		switch turns++; {
		case turns == 1:
			ready.Wait()
			go ran.Store(true)
		case ran.Load() || turns == 10000:
			over.Done()
			return
		}
		c.Write(message) // the loop's next turn
	}
	c = connect(t, serve(t, s), "")
	ready.Done()
	c.send(message)
	over.Wait()
	if turns > 100 {
		t.Errorf("another goroutine had its turn after %d turns of the loop", turns)
	}
}

// TestLoopAway: what happens to a connection while its handler waits: it is sent to,
// the peer resets it, it is aborted, the server shuts down.
func TestLoopAway(t *testing.T) {
	for _, what := range []string{"send", "reset", "abort", "end", "shutdown"} {
		j := newJournal()
		s := echoServer(j)
		release, in := make(chan struct{}), make(chan *User, 1)
		s.OnMessage = func(u *User, m Message) {
			in <- u
			<-release
			u.Reply(m.Opcode, m.Data)
		}
		addr := serve(t, s)
		c := connect(t, addr, toServer(0x81, "x"))
		u := <-in
		time.Sleep(5 * tick) // the loop is handed on; if it were not yet, all the same would hold
		want := "EOF"
		switch what {
		case "send":
			big := strings.Repeat("0123456789abcdef", 1<<16)
			if err := u.Send(OpBinary, []byte(big)); err != nil {
				t.Errorf("Send: %v", err)
			}
			got := make([]byte, 10+len(big))
			if _, err := io.ReadFull(c.br, got); err != nil || string(got[10:]) != big {
				t.Errorf("what was sent to a user whose handler waits does not arrive: %v", err)
			}
			c.Conn.(*net.TCPConn).CloseWrite()
		case "reset":
			c.Conn.(*net.TCPConn).SetLinger(0)
			c.Close()
			want = "reset"
		case "abort":
			u.Abort(io.ErrClosedPipe)
			want = io.ErrClosedPipe.Error()
		case "end":
			c.Conn.(*net.TCPConn).CloseWrite()
		case "shutdown":
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { s.Shutdown(ctx); close(done) }()
			c.want("88 02 03e9")
			cancel()
			defer func() { <-done }()
			want = ErrServerClosed.Error()
		}
		connect2 := what != "shutdown"
		if connect2 {
			other := dialRaw(t, addr)
			other.send([]byte(upgrade))
			if other.head() != 101 {
				t.Errorf("%s: others are not served", what)
			}
		}
		close(release)
		for n := 2; ; n++ {
			lines := j.waitFor(t, n)
			if last := lines[n-1]; strings.HasPrefix(last, "disconnect") {
				if !strings.Contains(last, want) {
					t.Errorf("%s: %q, want %q", what, last, want)
				}
				break
			}
		}
	}
}

// TestLoopReplyToNobody: answers to a peer that does not read are bounded, nothing more
// is read from it, and what was read before is answered when it does.
func TestLoopReplyToNobody(t *testing.T) {
	for _, size := range []int{1000, 5000, 100 << 10, 1 << 20} {
		var answered atomic.Int64
		s := echoServer(newJournal())
		s.OnMessage = func(u *User, m Message) {
			answered.Add(1)
			u.Reply(m.Opcode, m.Data)
		}
		addr := serve(t, s)
		c := connect(t, addr, "")
		messages := 20 << 20 / size
		message := func(n int) string { return strings.Repeat(string(rune('a'+n%26)), size) }
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for n := range messages {
				if _, err := c.Write(frame(RoleServer, 0x82, message(n))); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		other := connect(t, addr, "")
		for range 10 {
			other.talkOnce("others")
		}
		head := AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, PayloadLen: int64(size)})
		got := make([]byte, len(head)+size)
		for n := range messages {
			if _, err := io.ReadFull(c.br, got); err != nil || string(got) != string(head)+message(n) {
				t.Fatalf("answer %d of %d bytes: %.20x, %v", n, size, got, err)
			}
		}
		<-sent
		if n := int(answered.Load()); n != messages+10 {
			t.Errorf("%d messages handled, want %d", n, messages+10)
		}
		c.talkOnce("on it goes")
	}
}

// TestLoopReplyWaits: a handler that replies without end waits for a peer that does not
// read, and the loop is handed on meanwhile.
func TestLoopReplyWaits(t *testing.T) {
	s := echoServer(newJournal())
	most := make(chan int, 1)
	s.OnMessage = func(u *User, m Message) {
		if string(m.Data) != "flood" {
			u.Reply(m.Opcode, m.Data)
			return
		}
		peak := 0
		for range 200 {
			u.Reply(OpBinary, make([]byte, 1<<16))
			u.conn.out.mu.Lock()
			peak = max(peak, u.conn.out.len())
			u.conn.out.mu.Unlock()
		}
		most <- peak
	}
	addr := serve(t, s)
	c := connect(t, addr, "")
	c.send(frame(RoleServer, 0x81, "flood"))
	connect(t, addr, "").talkOnce("others")
	if _, err := io.CopyN(io.Discard, c.br, 200*(1<<16+10)); err != nil {
		t.Fatal(err)
	}
	if peak := <-most; peak > 4*maxBatch {
		t.Errorf("%d bytes waited for a peer that does not read", peak)
	}
	c.talkOnce("on it goes")
}

// TestLoopWriteStall: a peer that takes nothing, or next to nothing, is given up.
func TestLoopWriteStall(t *testing.T) {
	for _, drip := range []bool{false, true} {
		j := newJournal()
		s := echoServer(j)
		s.Config.WriteTimeout = 50 * time.Millisecond
		s.Queue = 64 << 20
		addr := serve(t, s)
		c := connect(t, addr, "")
		j.waitFor(t, 1)
		if err := s.Users()[0].Send(OpBinary, make([]byte, 32<<20)); err != nil {
			t.Fatal(err)
		}
		if drip { // a few bytes a millisecond
			go func() {
				for b := make([]byte, 8); ; time.Sleep(time.Millisecond) {
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}()
		}
		if got := j.waitFor(t, 2)[1]; !strings.Contains(got, "i/o timeout") {
			t.Errorf("the handlers saw %q, want a time-out", got)
		}
		c.Close()
	}
}

// TestLoopGoexit: a handler that ends its goroutine ends its user only.
func TestLoopGoexit(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	s.OnMessage = func(u *User, m Message) {
		if string(m.Data) == "exit" {
			runtime.Goexit()
		}
		u.Reply(m.Opcode, m.Data)
	}
	addr := serve(t, s)
	other := connect(t, addr, "")
	for range 2 * runtime.GOMAXPROCS(0) {
		connect(t, addr, toServer(0x81, "exit")).wantEOF()
		other.talkOnce("others")
	}
	if lines := j.waitFor(t, 1+4*runtime.GOMAXPROCS(0)); !slices.Contains(lines, "disconnect "+errHandler.Error()) {
		t.Errorf("the handlers saw %q, want an end by %v", lines, errHandler)
	}
}

// TestLoopHeads: an opening handshake in pieces, none at all, one that ends.
func TestLoopHeads(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	s.HandshakeTimeout = 300 * time.Millisecond
	addr := serve(t, s)
	silent, half, gone := dialRaw(t, addr), dialRaw(t, addr), dialRaw(t, addr)
	half.send([]byte(upgrade[:40]))
	gone.Close()
	silent.wantEOF()
	if status := half.head(); status != 408 {
		t.Errorf("half a head is answered with %d, want 408", status)
	}
	c := dialRaw(t, addr)
	for _, piece := range []string{upgrade[:10], upgrade[10 : len(upgrade)-1], upgrade[len(upgrade)-1:] + string(frame(RoleServer, 0x81, "x"))} {
		c.send([]byte(piece))
	}
	if status := c.head(); status != 101 {
		t.Errorf("a head in pieces is answered with %d, want 101", status)
	}
	c.want("81 01 78")
	c.talkOnce("on it goes")
}

// TestLoopOptions: an accepted connection has the options that package net gives one.
func TestLoopOptions(t *testing.T) {
	j := newJournal()
	s := echoServer(j)
	addr := serve(t, s)
	c := connect(t, addr, "")
	j.waitFor(t, 1)
	u := s.Users()[0]
	for _, opt := range [][3]int{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
	} {
		if n, err := syscall.GetsockoptInt(u.conn.fd, opt[0], opt[1]); err != nil || n != opt[2] {
			t.Errorf("option %v is %d, %v", opt, n, err)
		}
	}
	if got := u.NetConn().LocalAddr().String(); got != c.RemoteAddr().String() {
		t.Errorf("LocalAddr() = %v, want %v", got, c.RemoteAddr())
	}
}

// TestLoopListenerClosed: Serve ends when somebody else closes the listener.
func TestLoopListenerClosed(t *testing.T) {
	s := echoServer(newJournal())
	s.Config.CloseTimeout = 100 * time.Millisecond // the client says nothing to our Close
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(ln) }()
	c := connect(t, ln.Addr(), "")
	ln.Close()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	c.talkOnce("users stay")
	s.Shutdown(t.Context())
}

// TestLoopTorture: clients that talk, do not read, reset and leave, handlers that wait,
// messages from elsewhere and a shutdown in the middle: all that came goes.
func TestLoopTorture(t *testing.T) {
	var came, gone atomic.Int64
	var s *Server
	s = &Server{
		OnConnect: func(u *User, _ *httpmini.Request) { came.Add(1) },
		OnMessage: func(u *User, m Message) {
			switch rand.IntN(20) {
			case 0:
				time.Sleep(time.Duration(rand.IntN(4)) * tick)
			case 1:
				s.Broadcast(OpText, []byte("to all"))
			case 2:
				go u.Ping([]byte("?"))
			case 3:
				go u.Close(StatusGoingAway, "enough")
			case 4:
				go u.Abort(io.ErrClosedPipe)
			}
			u.Reply(m.Opcode, m.Data)
		},
		OnPause:      func(u *User) { u.Send(OpText, []byte("pause")) },
		OnDisconnect: func(u *User, err error) { gone.Add(1) },
		Queue:        64 << 10,
		Config:       Config{CloseTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	torture(ln.Addr().String(), 100, 30)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if came.Load() != gone.Load() || came.Load() == 0 || len(s.Users()) != 0 {
		t.Errorf("%d users came, %d went, %d are there", came.Load(), gone.Load(), len(s.Users()))
	}
}

// torture has n clients connect rounds times each and behave at random. The last ones
// stay until the server ends them.
func torture(addr string, n, rounds int) {
	var ready sync.WaitGroup
	for range n {
		ready.Go(func() {
			for round := range rounds {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				io.WriteString(nc, upgrade[:rand.IntN(2)*rand.IntN(50)])
				nc.Close()
				if nc, err = net.Dial("tcp", addr); err != nil {
					return
				}
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				io.WriteString(nc, upgrade)
				if rand.IntN(3) > 0 {
					go io.Copy(io.Discard, nc)
				}
				for range rand.IntN(20) {
					nc.Write(frame(RoleServer, 0x82, strings.Repeat("x", 1<<rand.IntN(18))))
				}
				if round == rounds-1 {
					return
				}
				if rand.IntN(2) > 0 {
					nc.(*net.TCPConn).SetLinger(0)
				}
				nc.Close()
			}
		})
	}
	ready.Wait()
}

// TestPeerOf: of a client whose message is being handled the system is asked whether it
// is still there, in a loop and over a connection that somebody wrapped.
func TestPeerOf(t *testing.T) {
	for _, most := range []int{0, 5} { // with a bound connections are wrapped
		handled := make(chan *User, 1)
		end := make(chan struct{}) // Shutdown waits for the handlers
		s := &Server{MaxConns: most, OnMessage: func(u *User, m Message) { handled <- u; <-end }}
		addr := serve(t, s)
		t.Cleanup(func() { close(end) })
		for _, tt := range []struct {
			leave func(c *client)
			want  rawio.Peer
		}{
			{func(c *client) {}, rawio.Here},
			{func(c *client) { c.Conn.(*net.TCPConn).CloseWrite() }, rawio.Ended},
			{func(c *client) { c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }, rawio.Gone},
		} {
			c := connect(t, addr, "")
			c.send(frame(RoleServer, 0x81, "x"))
			nc := (<-handled).NetConn()
			tt.leave(c)
			by := time.Now().Add(20 * time.Second)
			for rawio.PeerOf(nc) != tt.want && time.Now().Before(by) {
				runtime.Gosched()
			}
			if got := rawio.PeerOf(nc); got != tt.want {
				t.Errorf("at most %d: PeerOf = %d, want %d", most, got, tt.want)
			}
		}
	}
}

// TestIdleUserIsSmall: what a user costs that waits is the struct, for the most part. A
// field that it needs only while it is heard belongs to input.
func TestIdleUserIsSmall(t *testing.T) {
	const class = 352 // of the allocator; the next one is 384
	if size := reflect.TypeFor[User]().Size(); size > class {
		t.Errorf("a User has %d bytes, more than %d", size, class)
	}
	c := &Conn{cfg: new(Config)}
	c.borrow()
	c.lend()
	if c.input != nil {
		t.Error("a connection that waits between two messages keeps its input")
	}
	c.borrow()
	c.p = []byte{bitFin | byte(OpText)}
	c.lend()
	if c.input == nil {
		t.Error("a connection that has a part of a header gives its input away")
	}
}

package wsproto

import (
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/rawio"
)

// The model of the loops: what a peer, other goroutines, the timer and the handlers do
// about one connection, in every order, step by step over the real state. A step is
// over when every goroutine waits. A handler waits where the order wants it to, a
// runner before each look at epoll, so that much may have happened when it looks. The
// clock is synctest's, and the sockets are pairs that no poller needs to know.

// modelEnds are the steps that end the connection; true if what was sent before may be
// lost.
var modelEnds = map[string]bool{"peer's close": false, "peer's end": false, "fault": false, "panic": false,
	"close": false, "shutdown": false, "abort": true, "reset": true, "exit": true}

// modelHolds are the handlers that may be made to wait.
var modelHolds = []string{"connect", "message a", "pause", "disconnect", "message a, pause"}

// A play is one order of steps.
type play struct {
	steps []string
	hold  string // the handlers that wait for a step "release" each
	eager bool   // runners look after each step, else only after "tick" and "read"
}

// somePlays is of how many plays one is played if not all are.
const somePlays = 41

// A stage is a server with one loop, the user of a play, and another one.
type stage struct {
	play
	t       *testing.T
	s       *Server
	loop    *loop
	look    chan struct{} // lets a runner look
	release chan struct{}
	shut    chan struct{} // closed when Shutdown returned
	user    *User
	peer    *wire
	other   *wire

	looks   int      // that found something
	journal []string // the calls of the user's handlers
	inside  bool     // one is under way
	taken   []string // what Send and Reply took
	asked   int      // messages of the other user
	limit   int      // the length of the journal, from which on no messages may come
}

// A wire is a peer's end of a connection.
type wire struct {
	fd  int
	got []byte
}

func (w *wire) write(p ...byte) { syscall.Write(w.fd, p) }

// read takes what is there.
func (w *wire) read() {
	for b := make([]byte, 64<<10); ; {
		n, err := syscall.Read(w.fd, b)
		if n <= 0 || err != nil {
			return
		}
		w.got = append(w.got, b[:n]...)
	}
}

func (w *wire) close() {
	syscall.Close(w.fd)
	w.fd = -1
}

// TestLoopModel plays every order of what may come before an end and after it, and
// every order of two ends.
func TestLoopModel(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one loop
	playAll(t, "data", "send", "tick", "release", "read", "release", "peer's end")
	for end := range modelEnds {
		playAll(t, "data", "send", "tick", "release", "read", end)
		for other := range modelEnds {
			if other < end {
				playAll(t, "data", "tick", "release", end, other)
			}
		}
	}
}

var allPlays = flag.Bool("all-plays", false, "TestLoopModel plays all 160,000 plays, for a minute or more")

// playAll plays the orders of steps.
func playAll(t *testing.T, steps ...string) {
	n := rand.IntN(somePlays)
	for order := range orders(steps) {
		for _, hold := range modelHolds {
			for _, eager := range []bool{true, false} {
				if n++; *allPlays || n%somePlays == 0 {
					synctest.Test(t, play{order, hold, eager}.run)
				}
			}
		}
	}
}

// orders yields every order of list.
func orders(list []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		var place func(n int) bool
		place = func(n int) bool {
			if n == len(list) {
				return yield(list)
			}
			for i := n; i < len(list); i++ {
				list[n], list[i] = list[i], list[n]
				if !place(n + 1) {
					return false
				}
				list[n], list[i] = list[i], list[n]
			}
			return true
		}
		place(0)
	}
}

func (p play) run(t *testing.T) {
	st := &stage{play: p, t: t, look: make(chan struct{}), release: make(chan struct{}, 2)}
	st.s = &Server{
		OnConnect:    func(u *User, _ *httpmini.Request) { st.connected(u) },
		OnMessage:    st.message,
		OnPause:      func(u *User) { st.call(u, "pause") },
		OnDisconnect: func(u *User, err error) { st.call(u, "disconnect") },
	}
	st.openLoop()
	st.other = st.admit()
	st.peer = st.admit()
	for _, step := range p.steps {
		st.step(step)
		synctest.Wait()
		if p.eager {
			st.poll()
			c := &st.user.conn
			c.out.mu.Lock()
			if c.stopped && !st.inside && c.out.len() == 0 {
				t.Errorf("after %q the input waits, though the peer took all answers", step)
			}
			c.out.mu.Unlock()
		}
	}
	st.finish()
	st.check()
	if t.Failed() {
		t.Logf("in the play %q, where %q waits, eager: %v", p.steps, p.hold, p.eager)
	}
}

// openLoop gives the server a loop whose runners wait for the stage.
func (st *stage) openLoop() {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		st.t.Fatal(err)
	}
	ls := &st.s.loops
	st.loop = &loop{all: ls, ep: ep, file: os.NewFile(uintptr(ep), "epoll"), raw: st}
	ls.list = []*loop{st.loop}
	ls.timer = time.AfterFunc(time.Hour, ls.look)
	st.loop.start(nil)
}

// Read is how a runner waits.
func (st *stage) Read(look func(fd uintptr) bool) error {
	for range st.look {
		st.loop.mu.Lock()
		over := st.loop.over
		st.loop.mu.Unlock()
		if over {
			break
		}
		if look(uintptr(st.loop.ep)) {
			st.looks++
			return nil
		}
	}
	return net.ErrClosed
}

func (st *stage) Write(func(fd uintptr) bool) error { return os.ErrInvalid }
func (st *stage) Control(func(fd uintptr)) error    { return os.ErrInvalid }

// poll lets the runner that waits look until there is nothing to see.
func (st *stage) poll() {
	synctest.Wait()
	for looks, before := st.looks, -1; st.looks > before; {
		before = st.looks
		select {
		case st.look <- struct{}{}:
		default:
		}
		synctest.Wait()
		if st.looks > looks+100 {
			st.t.Errorf("the loop turns and turns")
			break
		}
	}
}

// read lets the peer take all that there is for it.
func (st *stage) read() {
	for n := -1; n < len(st.peer.got); {
		n = len(st.peer.got)
		st.poll()
		st.peer.read()
	}
}

// admit connects somebody and does the opening handshake.
func (st *stage) admit() *wire {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		st.t.Fatal(err)
	}
	syscall.SetsockoptInt(pair[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10)
	w := &wire{fd: pair[1]}
	w.write([]byte(upgrade)...)
	st.s.admit(rawio.NewSock(new(rawio.Listener), pair[0]))
	st.poll()
	w.read()
	_, frames, _ := strings.Cut(string(w.got), "\r\n\r\n")
	w.got = []byte(frames)
	return w
}

func (st *stage) connected(u *User) {
	if st.other != nil {
		st.user = u
		st.call(u, "connect")
	}
}

func (st *stage) message(u *User, m Message) {
	text := string(m.Data)
	st.call(u, "message "+text)
	switch text {
	case "panic":
		panic(text)
	case "exit":
		runtime.Goexit()
	}
	answer := text
	if text == "a" {
		answer = long // b waits until the peer has taken much of it
	}
	if u.Reply(m.Opcode, []byte(answer)) == nil && u == st.user {
		st.taken = append(st.taken, answer)
	}
}

// call notes what a handler of the user is told, and waits if that is wanted.
func (st *stage) call(u *User, what string) {
	if u != st.user {
		return
	}
	if st.inside {
		st.t.Errorf("%q comes while another handler is under way", what)
	}
	st.inside = true
	st.journal = append(st.journal, what)
	if strings.Contains(st.hold, what) {
		<-st.release
	}
	st.inside = false
}

// long is more than the sockets take.
var long = strings.Repeat("long", 32<<10)

func (st *stage) step(what string) {
	switch what {
	case "data":
		st.peer.write(append(frame(RoleServer, 0x81, "a"), frame(RoleServer, 0x81, "b")...)...)
	case "send":
		if st.user.Send(OpText, []byte(long)) == nil {
			st.taken = append(st.taken, long)
		}
	case "read":
		st.read()
	case "tick":
		st.tick()
	case "release":
		st.release <- struct{}{}
	case "peer's close":
		st.peer.write(frame(RoleServer, 0x88, "\x03\xe8")...)
	case "peer's end":
		syscall.Shutdown(st.peer.fd, syscall.SHUT_WR)
	case "reset":
		st.peer.close()
	case "fault":
		st.peer.write(frame(RoleServer, 0x83, "")...)
	case "panic", "exit":
		st.peer.write(frame(RoleServer, 0x81, what)...)
	case "close":
		st.user.Close(StatusGoingAway, "")
		st.limit = len(st.journal)
	case "abort":
		st.user.Abort(io.ErrClosedPipe)
	case "shutdown":
		st.shutdown()
	}
}

// tick lets some time pass, in which the other user is served, whoever waits.
func (st *stage) tick() {
	st.other.write(frame(RoleServer, 0x81, "o")...)
	st.asked++
	for range 4 {
		time.Sleep(tick)
		st.poll()
	}
	st.other.read()
	answers := strings.Repeat("\x81\x01o", st.asked)
	if st.shut != nil {
		return
	}
	if got := string(st.other.got); got != answers {
		st.t.Errorf("the other user got %.40q, want %q", got, answers)
	}
}

func (st *stage) shutdown() {
	st.shut = make(chan struct{})
	go func() {
		st.s.Shutdown(st.t.Context())
		close(st.shut)
	}()
}

// finish lets everything come to its end.
func (st *stage) finish() {
	close(st.release)
	for range 10 {
		st.read()
		time.Sleep(time.Second)
	}
	if st.user.conn.fd != -1 {
		st.t.Errorf("the connection has not ended")
	}
	for _, err := range []error{st.user.Send(OpText, nil), st.user.Ping(nil)} {
		if err == nil {
			st.t.Errorf("something can be sent after the end")
		}
	}
	st.user.Close(StatusNormalClosure, "")
	st.user.Abort(io.ErrClosedPipe)
	st.peer.close()
	st.other.close()
	st.poll()
	if st.shut == nil {
		st.shutdown()
	}
	synctest.Wait()
	close(st.look)
	<-st.shut
	if n := inLoops(st.s); n != 0 || len(st.s.Users()) != 0 {
		st.t.Errorf("%d connections and %d users are left", n, len(st.s.Users()))
	}
}

// check looks at what the handlers and the peer saw.
func (st *stage) check() {
	lossy := false
	var whole bool // the messages came before anything that keeps them from the handlers
	first := slices.IndexFunc(st.steps, func(s string) bool { _, end := modelEnds[s]; return end })
	for _, step := range st.steps {
		lossy = lossy || modelEnds[step]
	}
	whole = slices.Index(st.steps, "data") < first && !lossy &&
		!slices.Contains(st.steps, "close") && !slices.Contains(st.steps, "shutdown")
	n := len(st.journal)
	if n < 2 || st.journal[0] != "connect" || st.journal[n-1] != "disconnect" || st.count("connect") != 1 || st.count("disconnect") != 1 {
		st.t.Errorf("the handlers were called for %q", st.journal)
	}
	a, b := st.count("message a"), st.count("message b")
	if a > 1 || b > a || whole && b == 0 {
		st.t.Errorf("the handlers were called for %q: a message was lost or doubled", st.journal)
	}
	if st.limit > 0 && slices.ContainsFunc(st.journal[st.limit:], func(s string) bool { return strings.HasPrefix(s, "message") }) {
		st.t.Errorf("the handlers were called for %q: a message came after Close", st.journal)
	}
	st.checkWire(lossy)
}

func (st *stage) count(what string) (n int) {
	for _, s := range st.journal {
		if s == what {
			n++
		}
	}
	return n
}

// checkWire looks at the frames that the peer got.
func (st *stage) checkWire(lossy bool) {
	var got []string
	b, closed := st.peer.got, false
	for len(b) > 0 {
		h, n, err := ParseHeader(b)
		if end := n + int(h.PayloadLen); err == nil && n > 0 && len(b) >= end && !closed {
			if closed = h.Opcode == OpClose; !closed {
				got = append(got, string(b[n:end]))
			}
			b = b[end:]
			continue
		}
		if !lossy || closed || err != nil {
			st.t.Errorf("the peer got a part of a frame, or more after the end: %.20x, %v", b, err)
		}
		break
	}
	if want := st.taken; lossy && len(got) > len(want) || !lossy && len(got) != len(want) {
		st.t.Errorf("the peer got %d messages of %d", len(got), len(want))
	}
	for _, text := range st.taken {
		if i := slices.Index(got, text); i >= 0 {
			got = slices.Delete(got, i, i+1)
		}
	}
	if len(got) > 0 {
		st.t.Errorf("the peer got %.20q, which nobody sent", got)
	}
}

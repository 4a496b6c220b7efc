package wsproto

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"socketsrv/httpmini"
)

// groupServer is a server that hands every message to a group.
func groupServer(g *Group) *Server {
	return &Server{
		OnConnect:    func(u *User, req *httpmini.Request) { g.Add(u) },
		OnMessage:    func(u *User, m Message) { g.Gather(u, m.Opcode, m.Data) },
		OnPause:      func(*User) { g.Flush() },
		OnDisconnect: func(u *User, err error) { g.Remove(u) },
	}
}

// member connects to a server and gives up when a test would.
func member(t testing.TB, addr net.Addr, opt DialOptions) *Conn {
	t.Helper()
	opt.Config.CloseTimeout = 100 * time.Millisecond
	c, _, err := Dial(t.Context(), "ws://"+addr.String()+"/", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(StatusNormalClosure, "") })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

// waitMembers waits until the group has n of them.
func waitMembers(t testing.TB, g *Group, n int) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); g.Len() != n; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("the group has %d members, want %d", g.Len(), n)
		}
	}
}

// read reads n messages.
func (c *Conn) read(t testing.TB, n int) (list []string) {
	t.Helper()
	for range n {
		m, err := c.ReadMessage()
		if err != nil {
			t.Errorf("after %d of %d messages: %v", len(list), n, err)
			break
		}
		list = append(list, fmt.Sprintf("%v %s", m.Opcode, m.Data))
	}
	return list
}

// TestGroupOrder: members of all kinds get all messages as they were, in the same
// order, that of each sender.
func TestGroupOrder(t *testing.T) {
	g := new(Group)
	s := groupServer(g)
	s.Accept.ContextTakeover = true
	addr := serve(t, s)
	options := []DialOptions{
		{NoCompression: true},
		{},                      // compressed, the same for all such
		{ContextTakeover: true}, // compressed, for it alone
		{NoCompression: true},
	}
	var members []*Conn
	for _, opt := range options {
		members = append(members, member(t, addr, opt))
	}
	waitMembers(t, g, len(members))
	const each = 50
	var senders sync.WaitGroup
	for i, c := range members {
		senders.Go(func() {
			for n := range each {
				op, size := OpText, []int{0, 10, 300, 5000, 70000}[n%5]
				if n%2 == 1 {
					op = OpBinary
				}
				if err := c.WriteMessage(op, fmt.Appendf(nil, "%d %d %s", i, n, strings.Repeat("mañana ", size/8))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([][]string, len(members))
	var readers sync.WaitGroup
	for i, c := range members {
		readers.Go(func() { got[i] = c.read(t, each*len(members)) })
	}
	senders.Wait()
	readers.Wait()
	for i := range members {
		if !slices.Equal(got[i], got[0]) {
			t.Errorf("members 0 and %d did not get the same in the same order", i)
		}
	}
	next := make([]int, len(members))
	for _, m := range got[0] {
		var kind string
		var from, n int
		fmt.Sscan(m, &kind, &from, &n)
		if n != next[from] || (kind == "binary") != (n%2 == 1) || len(m) < []int{0, 10, 300, 5000, 70000}[n%5] {
			t.Fatalf("%.40q is not message %d of sender %d", m, next[from], from)
		}
		next[from]++
	}
}

func TestGroupExcludeSender(t *testing.T) {
	g := &Group{ExcludeSender: true}
	addr := serve(t, groupServer(g))
	var members []*Conn
	for range 3 {
		members = append(members, member(t, addr, DialOptions{}))
	}
	waitMembers(t, g, 3)
	for i, c := range members {
		c.WriteMessage(OpText, fmt.Appendf(nil, "from %d", i))
	}
	for i, c := range members {
		got := c.read(t, 2)
		if slices.Sort(got); len(got) != 2 || got[0] == got[1] || slices.Contains(got, fmt.Sprintf("text from %d", i)) {
			t.Errorf("member %d got %q, want what the others said", i, got)
		}
	}
	g.Send(nil, OpBinary, []byte("from nobody"))
	for i, c := range members {
		if got := c.read(t, 1); !slices.Equal(got, []string{"binary from nobody"}) {
			t.Errorf("member %d got %q, want what nobody said", i, got)
		}
	}
}

// waitRound waits until g is sending nothing.
func waitRound(g *Group) {
	for busy := true; busy; runtime.Gosched() {
		g.mu.Lock()
		busy = g.flushing
		g.mu.Unlock()
	}
}

// TestGroupSlow: who does not read misses what its queue has no room for, whole
// messages, and gets all others in order; the rest of the group gets everything.
func TestGroupSlow(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		var missed, other atomic.Int64
		g := &Group{Queue: 100 << 10}
		var slowUser atomic.Pointer[User]
		g.OnMissed = func(u *User, n int) {
			if u == slowUser.Load() {
				missed.Add(int64(n))
			} else {
				other.Add(int64(n))
			}
		}
		s := groupServer(g)
		s.OnConnect = func(u *User, req *httpmini.Request) {
			if slowUser.CompareAndSwap(nil, u) {
				u.NetConn().(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(8 << 10)
			}
			g.Add(u)
		}
		addr := serve(t, s)
		opt := DialOptions{NoCompression: !deflate}
		slow := member(t, addr, opt)
		waitMembers(t, g, 1)
		fast, sender := member(t, addr, opt), member(t, addr, opt)
		waitMembers(t, g, 3)

		const messages = 600
		bytesOf := rand.NewChaCha8([32]byte{}) // which do not compress
		random := rand.New(bytesOf)
		sent := make([][]byte, messages)
		for n := range sent {
			sent[n] = make([]byte, 4+random.IntN(8<<10))
			bytesOf.Read(sent[n])
			binary.BigEndian.PutUint32(sent[n], uint32(n))
		}
		go func() {
			for _, p := range sent {
				sender.WriteMessage(OpBinary, p)
				sender.ReadMessage() // so that nobody but the slow one is behind
			}
		}()
		for n := range sent {
			if m, err := fast.ReadMessage(); err != nil || !bytes.Equal(m.Data, sent[n]) {
				t.Fatalf("message %d of the fast member: %d bytes, %v", n, len(m.Data), err)
			}
		}
		waitRound(g) // until then the slow one may miss the last message
		last := -1
		received := 0
		for want := int64(messages) - missed.Load(); int64(received) < want; received++ {
			m, err := slow.ReadMessage()
			if err != nil {
				t.Fatalf("after %d of %d messages: %v", received, want, err)
			}
			n := int(binary.BigEndian.Uint32(m.Data))
			if n <= last || !bytes.Equal(m.Data, sent[n]) {
				t.Fatalf("message %d after %d, or not as it was", n, last)
			}
			last = n
		}
		g.Send(nil, OpText, []byte("last"))
		if got := slow.read(t, 1); !slices.Equal(got, []string{"text last"}) {
			t.Errorf("then came %q, want the next message", got)
		}
		if missed.Load() == 0 || other.Load() != 0 {
			t.Errorf("deflate %t: the slow member missed %d, the others %d; want some, none", deflate, missed.Load(), other.Load())
		}
	}
}

// TestGroupMemory: what waits for many waits once.
func TestGroupMemory(t *testing.T) {
	const members = 100
	g := &Group{Queue: 4 << 20}
	s := groupServer(g)
	s.Config.CloseTimeout = time.Millisecond
	s.OnConnect = func(u *User, req *httpmini.Request) {
		u.NetConn().(interface{ SetWriteBuffer(int) error }).SetWriteBuffer(64 << 10)
		g.Add(u)
	}
	addr := serve(t, s)
	for range members {
		connect(t, addr, "")
	}
	waitMembers(t, g, members)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3 {
		g.Send(nil, OpBinary, make([]byte, 1<<20))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	waiting := 0
	for _, u := range s.Users() {
		u.conn.out.mu.Lock()
		waiting += u.conn.out.len()
		u.conn.out.mu.Unlock()
	}
	if waiting < members<<20 {
		t.Errorf("%d bytes wait for %d members that do not read, want some MiB for each", waiting, members)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes for %d that wait", grown, waiting)
	}
}

// TestGroupStalled: who takes nothing for the write timeout is no member any more.
func TestGroupStalled(t *testing.T) {
	g := new(Group)
	s := groupServer(g)
	s.Config.WriteTimeout = 50 * time.Millisecond
	why := make(chan error, 1)
	s.OnDisconnect = func(u *User, err error) {
		g.Remove(u)
		why <- err
	}
	addr := serve(t, s)
	connect(t, addr, "")
	waitMembers(t, g, 1)
	for g.Len() > 0 {
		g.Send(nil, OpBinary, make([]byte, 64<<10))
	}
	if err := <-why; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended with %v, want a time-out", err)
	}
}

// TestGroupClose: OnMissed may close the member.
func TestGroupClose(t *testing.T) {
	g := new(Group)
	g.OnMissed = func(u *User, n int) { u.Close(StatusTryAgainLater, "too slow") }
	s := groupServer(g)
	addr := serve(t, s)
	slow := connect(t, addr, "")
	waitMembers(t, g, 1)
	u := s.Users()[0]
	for !u.closed.Load() {
		g.Send(nil, OpBinary, make([]byte, 64<<10))
	}
	c := NewConn(slow.Conn, nil, RoleClient, Agreement{}, Config{})
	for {
		_, err := c.ReadMessage()
		if err == nil {
			continue
		}
		if ce, ok := errors.AsType[*CloseError](err); !ok || ce.Code != StatusTryAgainLater {
			t.Errorf("it ended with %v, want close 1013", err)
		}
		break
	}
	c.Close(0, "")
	waitMembers(t, g, 0)
}

// TestGroupFair: Flush returns though others go on gathering.
func TestGroupFair(t *testing.T) {
	g := &Group{Queue: 1}
	var rounds atomic.Int64
	var enough atomic.Bool
	g.OnMissed = func(*User, int) {
		if rounds.Add(1); !enough.Load() {
			g.Gather(nil, OpBinary, make([]byte, 100))
		}
	}
	s := groupServer(g)
	s.Config.CloseTimeout = time.Millisecond
	addr := serve(t, s)
	connect(t, addr, "")
	waitMembers(t, g, 1)
	for rounds.Load() == 0 { // until there is no room, and OnMissed has it go on
		g.Send(nil, OpBinary, make([]byte, 64<<10))
	}
	for n := rounds.Load(); rounds.Load() < n+10; runtime.Gosched() {
	}
	enough.Store(true)
}

// TestGroupEmpty: gathered or not, with nobody there.
func TestGroupEmpty(t *testing.T) {
	g := new(Group)
	g.Flush()
	g.Send(nil, OpText, []byte("x"))
	g.Gather(nil, OpText, make([]byte, 2*maxPending))
	g.Flush()
	g.Remove(new(User))
	if g.Len() != 0 || g.pending != nil || g.flushing {
		t.Errorf("%d members, %v pending", g.Len(), g.pending)
	}
}

// TestGroupChurn: members come and go while messages are on their way; who stays
// misses nothing.
func TestGroupChurn(t *testing.T) {
	g := new(Group)
	addr := serve(t, groupServer(g))
	stays := member(t, addr, DialOptions{NoCompression: true})
	waitMembers(t, g, 1)
	const guests, each = 40, 5
	var all sync.WaitGroup
	for i := range guests {
		all.Go(func() {
			for n := range each {
				c, _, err := Dial(t.Context(), "ws://"+addr.String()+"/", DialOptions{NoCompression: i%2 == 0})
				if err != nil {
					t.Error(err)
					return
				}
				c.WriteMessage(OpText, fmt.Appendf(nil, "%d %d", i, n))
				if n%2 == 0 {
					c.ReadMessage()
					c.Close(StatusNormalClosure, "")
				} else {
					c.Close(StatusNormalClosure, "") // with messages still to come
				}
			}
		})
	}
	got := stays.read(t, guests*each)
	all.Wait()
	if slices.Sort(got); len(slices.Compact(got)) != guests*each {
		t.Errorf("%d different messages came, want %d", len(slices.Compact(got)), guests*each)
	}
	waitMembers(t, g, 1)
}

func TestFit(t *testing.T) {
	f := &frames{ends: []int{10, 30, 60, 100}}
	for _, tt := range []struct {
		start, room int
		force       bool
		want, after int
	}{
		{0, 100, true, 100, 0},
		{0, 99, true, 60, 1},
		{0, 60, false, 60, 1},
		{0, 59, false, 30, 2},
		{0, 10, false, 10, 3},
		{0, 9, false, 0, 4},
		{0, -5, false, 0, 4},
		{0, 9, true, 10, 3}, // one at least
		{0, -5, true, 10, 3},
		{5, 0, true, 10, 3}, // the one that was begun
		{5, 0, false, 10, 3},
		{5, 54, true, 30, 2},
		{5, 55, true, 60, 1},
		{10, 0, true, 30, 2},
		{10, 0, false, 10, 3},
		{10, 20, false, 30, 2},
		{99, 0, true, 100, 0},
		{60, 1000, false, 100, 0},
	} {
		got := f.fit(tt.start, tt.room, tt.force)
		if after := f.after(got); got != tt.want || after != tt.after {
			t.Errorf("fit(%d, %d, %t) = %d, after it %d; want %d, %d", tt.start, tt.room, tt.force, got, after, tt.want, tt.after)
		}
	}
}

// TestBlockShared: a block that several have to give back is free after the last.
func TestBlockShared(t *testing.T) {
	for range 100 {
		v := getBlock(1000)
		const holders = 4
		for range holders - 1 {
			v.share()
		}
		var all sync.WaitGroup
		for range holders {
			all.Go(func() { putBlock(v) })
		}
		all.Wait()
		if n := v.others.Load(); n != 0 {
			t.Fatalf("given back by all, it has %d others", n)
		}
	}
}

// BenchmarkGroup: messages of 64 bytes to 100 members, gathered by 16.
func BenchmarkGroup(b *testing.B) {
	for _, opt := range []DialOptions{{NoCompression: true}, {}} {
		for _, size := range []int{64, 1024} {
			b.Run(fmt.Sprintf("deflate=%t/%d", !opt.NoCompression, size), func(b *testing.B) { benchmarkGroup(b, opt, size) })
		}
	}
}

func benchmarkGroup(b *testing.B, opt DialOptions, size int) {
	const members, gathered = 100, 16
	g := &Group{Queue: 64 << 20}
	s := groupServer(g)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(ln)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
	}()
	for range members {
		c := member(b, ln.Addr(), opt)
		go func() { // as fast as it can
			for buf := make([]byte, 64<<10); ; {
				if _, err := c.NetConn().Read(buf); err != nil {
					return
				}
			}
		}()
	}
	waitMembers(b, g, members)
	p := bytes.Repeat([]byte("0123456789abcde\n"), size/16)
	b.ReportAllocs()
	for b.Loop() {
		for range gathered {
			g.Gather(nil, OpBinary, p)
		}
		g.Flush()
	}
	b.ReportMetric(float64(b.N)*members*gathered/b.Elapsed().Seconds(), "deliveries/s")
}

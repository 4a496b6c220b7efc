package mode

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/wsproto"
)

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

// TestBroadcast: TwistedWebsocket's server, announcements and console included.
func TestBroadcast(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-v")
	a := joins(t, p, "/", wsproto.DialOptions{Origin: "http://localhost:8000"})
	a.hears("text " + uuidPattern + " connected")
	b := joins(t, p, "/other?x=1", wsproto.DialOptions{})
	for _, h := range []*hearer{a, b} {
		h.hears("text " + uuidPattern + " connected")
	}
	a.says("hi é")
	b.hears("text hi é")
	a.hears("text hi é")
	b.WriteMessage(wsproto.OpBinary, []byte{0, 255})
	for _, h := range []*hearer{a, b} {
		h.hears("binary \x00\xff")
	}
	b.leaves()
	a.hears("text " + uuidPattern + " disconnected")
	a.leaves()
	log := p.stderr.waitFor(t, `(?s)`+
		`\[HANDSHAKE\] (`+uuidPattern+`) origin : http://localhost:8000\n\[CONNECTION\] (`+uuidPattern+`) connected\n.*`+
		`\[CONNECTION\] (`+uuidPattern+`) connected\n`+
		`.*\[FRAME\] from (`+uuidPattern+`) to 2 clients: hi é\n.*\[FRAME\] from (`+uuidPattern+`) to 2 clients: \\x00\\xff\n`+
		`.*\[DISCONNECTION\] (`+uuidPattern+`) disconnected\n.*\[DISCONNECTION\] (`+uuidPattern+`) disconnected\n`)
	one, two := log[1], log[3]
	if one == two || !slices.Equal(log[1:], []string{one, one, two, one, two, two, one}) {
		t.Errorf("the ids are %q, want %s and %s", log[1:], one, two)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p.stderr.waitFor(t, `2 clients, 0 of them connected, 0 rooms; 2 messages, 7 bytes; 0 copies missed`)
}

// TestBroadcastServer: that of ws, which says nothing of its own.
func TestBroadcastServer(t *testing.T) {
	m := Broadcast
	m.Name = m.Aliases[0].Name
	p := background(t, m, "-port", "0")
	a, b := joins(t, p, "/", wsproto.DialOptions{}), joins(t, p, "/", wsproto.DialOptions{})
	p.stderr.waitFor(t, `(?s)CONNECTION.*CONNECTION`)
	a.says("from a")
	b.hears("text from a")
	b.says("from b")
	a.hears("text from b") // and neither its own message nor an announcement
}

func TestBroadcastRooms(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-rooms", "-no-announce")
	a, b := joins(t, p, "/one", wsproto.DialOptions{}), joins(t, p, "/one?b", wsproto.DialOptions{})
	other := joins(t, p, "/two", wsproto.DialOptions{})
	p.stderr.waitFor(t, `(?s)CONNECTION.*CONNECTION.*CONNECTION`)
	a.says("1")
	other.says("2")
	b.hears("text 1")
	other.hears("text 2")
	a.hears("text 1")
	a.says("3")
	for _, h := range []*hearer{a, b} {
		h.hears("text 3")
	}
	for _, h := range []*hearer{a, b, other} {
		h.leaves()
	}
	p.stderr.waitFor(t, `(?s)DISCONN.*DISCONN.*DISCONN`)
	p.stop()
	p.stderr.waitFor(t, "0 of them connected, 0 rooms")
}

// TestBroadcastMessages: the type is kept; nothing, just the limit, and more.
func TestBroadcastMessages(t *testing.T) {
	const limit = 1 << 20
	for _, flags := range []string{"", "-x"} {
		p := background(t, Broadcast, append(strings.Fields(flags), "-port", "0", "-no-announce", "-exclude-sender", "-max-message", "1M")...)
		a, b := joins(t, p, "/", wsproto.DialOptions{}), joins(t, p, "/", wsproto.DialOptions{Config: wsproto.Config{MaxMessage: 2 * limit}})
		p.stderr.waitFor(t, `(?s)CONNECTION.*CONNECTION`)
		largest := strings.Repeat("z", limit)
		go func() {
			a.WriteMessage(wsproto.OpText, nil)
			a.WriteMessage(wsproto.OpBinary, nil)
			a.WriteMessage(wsproto.OpText, []byte(largest))
			a.WriteMessage(wsproto.OpBinary, []byte(largest+"z"))
		}()
		b.hears("text ", "binary ", "text "+largest)
		a.ends(wsproto.StatusMessageTooBig)
		p.stderr.waitFor(t, "DISCONNECTION.*larger than the limit")
		joins(t, p, "/", wsproto.DialOptions{}).says("next")
		b.hears("text next")
	}
}

// TestBroadcastCut: of a fragmented message whose sender dies nobody hears
// anything.
func TestBroadcastCut(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-no-announce")
	a, b := joins(t, p, "/", wsproto.DialOptions{}), joins(t, p, "/", wsproto.DialOptions{})
	p.stderr.waitFor(t, `(?s)CONNECTION.*CONNECTION`)
	a.NetConn().Write(append(wsproto.AppendHeader(nil, wsproto.Header{Opcode: wsproto.OpText, Masked: true, PayloadLen: 4}), "part"...))
	a.NetConn().Close()
	p.stderr.waitFor(t, "DISCONNECTION.*in the middle of a message")
	b.says("whole")
	b.hears("text whole")
}

func TestBroadcastRefusals(t *testing.T) {
	status := func(p *run, opt wsproto.DialOptions) int {
		c, _, err := wsproto.Dial(t.Context(), "ws://"+p.addr("ws")+"/", opt)
		if err == nil {
			c.NetConn().Close()
			return 101
		}
		he, _ := errors.AsType[*wsproto.HandshakeError](err)
		return he.Status
	}
	p := background(t, Broadcast, "-port", "0")
	for origin, want := range map[string]int{"": 101, "http://localhost": 101, "http://[::1]:9": 101, "http://evil.example": 403, "null": 403} {
		if got := status(p, wsproto.DialOptions{Origin: origin}); got != want {
			t.Errorf("origin %q: status %d, want %d", origin, got, want)
		}
	}
	if got := status(p, wsproto.DialOptions{Host: "evil.example"}); got != 403 {
		t.Errorf("another Host: status %d, want 403", got)
	}

	p = background(t, Broadcast, "-port", "0", "-http-authorization-header", "secret")
	right := joins(t, p, "/", wsproto.DialOptions{Header: httpmini.Header{{Name: "Authorization", Value: "secret"}}})
	right.hears("text .* connected")
	for _, value := range []string{"", "Secret", "secret2"} {
		var h httpmini.Header
		if value != "" {
			h.Add("Authorization", value)
		}
		wrong := joins(t, p, "/", wsproto.DialOptions{Header: h})
		wrong.WriteMessage(wsproto.OpText, []byte("let me in"))
		wrong.ends(4001)
	}
	right.says("only me")
	right.hears("text only me") // and nothing of those who were not let in
}

// TestBroadcastPerAddress: one address has only so many clients; a place that is
// left is free.
func TestBroadcastPerAddress(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-max-conns-per-ip", "3", "-no-announce")
	var list []*hearer
	for range 3 {
		list = append(list, joins(t, p, "/", wsproto.DialOptions{}))
	}
	_, _, err := wsproto.Dial(t.Context(), "ws://"+p.addr("ws")+"/", wsproto.DialOptions{})
	if he, ok := errors.AsType[*wsproto.HandshakeError](err); !ok || he.Status != 503 {
		t.Errorf("the fourth: %v, want status 503", err)
	}
	p.stderr.waitFor(t, `(?s)(CONNECTION.*){3}`)
	list[0].leaves()
	p.stderr.waitFor(t, "DISCONNECTION")
	joins(t, p, "/", wsproto.DialOptions{}).says("x")
	list[1].hears("text x")
}

// TestBroadcastSlow: one who never reads delays nobody; he is closed, or stays and
// misses messages.
func TestBroadcastSlow(t *testing.T) {
	for _, policy := range []string{"close", "drop"} {
		p := background(t, Broadcast, "-port", "0", "-x", "-no-announce", "-exclude-sender", "-queue", "256k", "-slow", policy, "-grace", "50ms")
		sender := joins(t, p, "/", wsproto.DialOptions{})
		var fast []*hearer
		for range 3 {
			fast = append(fast, joins(t, p, "/", wsproto.DialOptions{}))
		}
		slow := joins(t, p, "/", wsproto.DialOptions{})
		p.stderr.waitFor(t, `(?s)(CONNECTION.*){5}`)
		const messages, window = 1200, 64
		body := bytes.Repeat([]byte("slow "), 2000)
		ready := make(chan struct{}, window*len(fast)) // so that only one is slow
		var all sync.WaitGroup
		all.Go(func() {
			for n := range messages {
				sender.WriteMessage(wsproto.OpBinary, fmt.Appendf(nil, "%d %s", n, body))
				if n < window {
					continue
				}
				for range fast {
					<-ready
				}
			}
		})
		for _, h := range fast {
			all.Go(func() {
				for n := range messages {
					m, err := h.ReadMessage()
					if err != nil || !bytes.HasPrefix(m.Data, fmt.Appendf(nil, "%d ", n)) || !bytes.HasSuffix(m.Data, body) {
						t.Errorf("%s: message %d: %.20q, %v", policy, n, m.Data, err)
						sender.NetConn().Close()
						return
					}
					if n < messages-window {
						ready <- struct{}{}
					}
				}
			})
		}
		all.Wait()
		p.stderr.waitFor(t, "reads too slowly")
		if policy == "close" {
			slow.ends(wsproto.StatusTryAgainLater)
			p.stderr.waitFor(t, `DISCONNECTION.*; it missed \d+ messages`)
		} else {
			for last := -1; ; {
				sender.says("end") // missed, too, until there is room
				m, err := slow.ReadMessage()
				if err != nil || string(m.Data) == "end" {
					if err != nil || last < 0 {
						t.Errorf("the slow one, after message %d: %.20q, %v", last, m.Data, err)
					}
					break
				}
				var n int
				if fmt.Sscan(string(m.Data[:8]), &n); n <= last || !bytes.HasSuffix(m.Data, body) {
					t.Fatalf("the slow one gets message %d, %d bytes, after %d", n, len(m.Data), last)
				}
				last = n
			}
		}
		p.stop()
		p.stderr.waitFor(t, `[1-9]\d* copies missed, `+map[string]string{"close": "1", "drop": "0"}[policy]+` clients closed`)
	}
}

// TestBroadcastAllSlow: nobody reads; the server still hears and stops.
func TestBroadcastAllSlow(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-x", "-no-announce", "-grace", "100ms", "-queue", "64k")
	var list []*hearer
	for range 20 {
		list = append(list, joins(t, p, "/", wsproto.DialOptions{}))
	}
	p.stderr.waitFor(t, `(?s)(CONNECTION.*){20}`)
	var all sync.WaitGroup
	for _, h := range list {
		all.Go(func() {
			for range 100 {
				h.NetConn().SetWriteDeadline(time.Now().Add(patience))
				if h.WriteMessage(wsproto.OpBinary, make([]byte, 64<<10)) != nil {
					return // closed as slow
				}
			}
		})
	}
	p.stderr.waitFor(t, "reads too slowly")
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	for _, h := range list {
		h.NetConn().Close()
	}
	all.Wait()
}

// TestBroadcastVanished: a peer that is gone without a word is pinged and dropped.
func TestBroadcastVanished(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-ping-interval", "50ms", "-ping-timeout", "50ms")
	h := joins(t, p, "/", wsproto.DialOptions{})
	p.stderr.waitFor(t, "DISCONNECTION.*nothing came in answer to a ping in time")
	h.NetConn().Close()
}

// TestBroadcastLines: clients of TCP and WebSocket hear each other.
func TestBroadcastLines(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-tcp-port", "0", "-exclude-sender", "-max-message", "64k", "-grace", "50ms")
	ws := joins(t, p, "/any", wsproto.DialOptions{})
	ws.hears("text .* connected")
	one, two := dialTCP(t, p.addr("tcp")), dialTCP(t, p.addr("tcp"))
	ws.hears("text .* connected", "text .* connected")
	first, second := bufio.NewReader(one), bufio.NewReader(two)
	wants := func(r *bufio.Reader, want string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err == nil && strings.HasSuffix(line, "connected\n") {
				continue
			}
			if err != nil || line != want+"\n" {
				t.Fatalf("got the line %q, %v; want %q", line, err, want)
			}
			return
		}
	}
	io.WriteString(one, "hello\r\nwor")
	ws.hears("text hello")
	wants(second, "hello")
	io.WriteString(one, "ld\n\n\xff\n")
	ws.hears("text world", "text ", "binary \xff")
	wants(second, "world")
	wants(second, "")
	wants(second, "\xff")
	ws.says("from ws")
	wants(first, "from ws")
	wants(second, "from ws")
	io.WriteString(one, "never ended")
	one.CloseWrite()
	ws.hears("text .* disconnected")
	p.stderr.waitFor(t, "DISCONNECTION.*within a line, whose 11 bytes nobody got")
	if rest, err := io.ReadAll(first); err != nil || len(rest) > 0 {
		t.Errorf("after its end a client gets %q, %v", rest, err)
	}
	io.WriteString(two, strings.Repeat("x", 70<<10))
	p.stderr.waitFor(t, "line too long")
	ws.says("still there")
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// TestBroadcastEnds: who is idle has to go; the others are told when the server does.
func TestBroadcastEnds(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-tcp-port", "0", "-no-announce", "-idle-timeout", "50ms")
	idle := dialTCP(t, p.addr("tcp"))
	if rest, err := io.ReadAll(idle); err != nil || len(rest) > 0 {
		t.Errorf("an idle client gets %q, %v; want the end", rest, err)
	}
	p.stderr.waitFor(t, "DISCONNECTION.*disconnected: idle for too long")

	p = background(t, Broadcast, "-port", "0", "-tcp-port", "0", "-v", "-ping-interval", "10ms")
	ws := joins(t, p, "/", wsproto.DialOptions{})
	ws.hears("text .* connected") // then it is in the room
	line := dialTCP(t, p.addr("tcp"))
	ws.hears("text .* connected")
	stopped := make(chan int, 1)
	go func() {
		p.stderr.waitFor(t, `(?s)ping sent to `+uuidPattern+`.*pong received from `+uuidPattern)
		stopped <- p.stop()
	}()
	ws.ends(wsproto.StatusGoingAway)
	if rest, err := io.ReadAll(line); err != nil || strings.Contains(string(rest), "disconnected") {
		t.Errorf("a client of TCP gets %q, %v; want the end", rest, err)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// TestBroadcastSlowLines: a client of TCP that does not read.
func TestBroadcastSlowLines(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-tcp-port", "0", "-no-announce", "-queue", "64k", "-x")
	slow := dialTCP(t, p.addr("tcp"))
	ws := joins(t, p, "/", wsproto.DialOptions{})
	p.stderr.waitFor(t, `(?s)CONNECTION.*CONNECTION`)
	line := strings.Repeat("s", 60<<10)
	for range 1000 {
		ws.says(line)
		ws.hears("text " + line)
		if strings.Contains(p.stderr.String(), "DISCONNECTION") {
			break
		}
	}
	p.stderr.waitFor(t, "DISCONNECTION.*reads too slowly; it missed 1 messages")
	got, _ := io.ReadAll(slow)
	if got := bytes.TrimRight(got, "s"); len(got)%(len(line)+1) != 0 {
		t.Errorf("it got %d bytes, which are not whole lines", len(got))
	}
}

// TestBroadcastDatagrams: on loopback a client of UDP hears all others from its
// first datagram on.
func TestBroadcastDatagrams(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-udp-port", "0", "-no-announce", "-v")
	ws := joins(t, p, "/", wsproto.DialOptions{})
	p.stderr.waitFor(t, "CONNECTION")
	udp, err := net.Dial("udp", p.addr("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.SetDeadline(time.Now().Add(patience))
	ws.says("before anybody came")
	ws.hears("text before anybody came")
	io.WriteString(udp, "one\ntwo\r\nthree")
	ws.hears("text one", "text two", "text three")
	ws.says("longer than all that came from there")
	buf := make([]byte, 100)
	if n, err := udp.Read(buf); err != nil || string(buf[:n]) != "longer than all that came from there\n" {
		t.Errorf("the client of UDP got %q, %v", buf[:n], err)
	}
	p.stderr.waitFor(t, `\[FRAME\] from udp 127.0.0.1:\d+ to 1 clients: two`)
}

// TestBroadcastCredit: elsewhere nobody is sent more than came from him, and there
// are only so many.
func TestBroadcastCredit(t *testing.T) {
	b := &broadcast{queue: 100}
	d := &broadcastDatagrams{broadcast: b, peers: make(map[string]*datagramPeer)}
	d.changed.L = &d.mu
	from := func(s string) net.Addr { return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	to := func(sender, line string) (list []string) {
		d.send(sender, []byte(line))
		if len(d.waiting) == 0 {
			return nil
		}
		for _, addr := range d.entitled(d.waiting[0]) {
			list = append(list, addr.String())
		}
		d.waiting, d.size = nil, 0
		slices.Sort(list)
		return list
	}
	want := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("it goes to %q, want %q", got, want)
		}
	}
	const a, c, local = "192.0.2.1:5000", "192.0.2.2:5000", "127.0.0.1:5000"
	want(to("", "x"))
	d.heard(from(a), 10)
	d.heard(from(c), 4)
	d.heard(from(local), 0)
	want(to("", "12345"), local, a) // six bytes with its line feed
	want(to("", "123"), local, a, c)
	want(to("", ""), local)
	d.heard(from(a), 1000) // 100 count
	want(to(a, "x"), local)
	want(to("", strings.Repeat("x", 98)), local, a)
	want(to("", "x"), local)
	if n := b.counts.unsent.Load(); n != 7 {
		t.Errorf("%d datagrams were not sent, want 7", n)
	}
	for i := range maxDatagramPeers + 100 {
		d.heard(from(fmt.Sprintf("[2001:db8::%x]:5000", i+1)), 1)
	}
	if len(d.peers) != maxDatagramPeers || d.order.Len() != maxDatagramPeers || d.peers[a] != nil {
		t.Errorf("%d peers are remembered, want those %d who sent last", len(d.peers), maxDatagramPeers)
	}
	d.send("", make([]byte, maxDatagram))
	if len(d.waiting) > 0 {
		t.Error("a message that no datagram can hold is to be sent")
	}
}

// TestBroadcastRandom: whatever the sizes, the fragments and the compression, what
// arrives is what was sent, in order.
func TestBroadcastRandom(t *testing.T) {
	p := background(t, Broadcast, "-port", "0", "-no-announce", "-exclude-sender")
	sender := joins(t, p, "/", wsproto.DialOptions{NoCompression: true})
	hearers := []*hearer{joins(t, p, "/", wsproto.DialOptions{}), joins(t, p, "/", wsproto.DialOptions{NoCompression: true})}
	p.stderr.waitFor(t, `(?s)(CONNECTION.*){3}`)
	random := rand.New(rand.NewPCG(3, 4))
	sent := make([]string, 2000)
	var stream []byte
	for i := range sent {
		b := make([]byte, random.IntN(1<<random.IntN(13)))
		for j := range b {
			b[j] = byte(random.IntN(1 + i%256)) // more or less compressible
		}
		sent[i] = string(b)
		for op := wsproto.OpBinary; ; op = wsproto.OpContinuation {
			n := random.IntN(len(b) + 1)
			if random.IntN(3) == 0 {
				n = len(b)
			}
			h := wsproto.Header{Fin: n == len(b), Opcode: op, Masked: true, PayloadLen: int64(n)}
			stream = append(wsproto.AppendHeader(stream, h), b[:n]...)
			if b = b[n:]; h.Fin {
				break
			}
			if random.IntN(5) == 0 {
				stream = wsproto.AppendHeader(stream, wsproto.Header{Fin: true, Opcode: wsproto.OpPong, Masked: true})
			}
		}
	}
	go func() {
		for len(stream) > 0 {
			n := 1 + random.IntN(min(len(stream), 5000))
			sender.NetConn().Write(stream[:n])
			stream = stream[n:]
		}
	}()
	var all sync.WaitGroup
	for i, h := range hearers {
		all.Go(func() {
			for n, want := range sent {
				if m, err := h.ReadMessage(); err != nil || string(m.Data) != want {
					t.Errorf("hearer %d, message %d: %d bytes, %v; want %d bytes", i, n, len(m.Data), err, len(want))
					return
				}
			}
		})
	}
	all.Wait()
}

// TestBroadcastStorm: many who join, talk and leave at once, and nothing of them
// stays.
func TestBroadcastStorm(t *testing.T) {
	before := runtime.NumGoroutine()
	p := background(t, Broadcast, "-port", "0", "-tcp-port", "0", "-rooms", "-q", "-json", "-max-conns", "4000")
	addr := p.stdout.waitFor(t, `"proto":"ws","addr":"([^"]+)"`)[1]
	lines := p.stdout.waitFor(t, `"proto":"tcp","addr":"([^"]+)"`)[1]
	const clients, rounds = 200, 3
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := range rounds {
				if i%20 == 0 {
					nc, err := net.Dial("tcp", lines)
					if err != nil {
						t.Error(err)
						return
					}
					fmt.Fprintf(nc, "%d %d\n", i, n)
					nc.Close()
					continue
				}
				c, _, err := wsproto.Dial(t.Context(), fmt.Sprintf("ws://%s/%s", addr, []string{"", "a", "b"}[i%3]), wsproto.DialOptions{NoCompression: i%2 == 0})
				if err != nil {
					t.Error(err)
					return
				}
				c.SetReadDeadline(time.Now().Add(patience))
				text := fmt.Sprintf("%d %d", i, n)
				c.WriteMessage(wsproto.OpText, []byte(text))
				for i%7 != 0 { // the others leave at once
					m, err := c.ReadMessage()
					if err != nil {
						t.Errorf("before its own message: %v", err)
					}
					if err != nil || string(m.Data) == text {
						break
					}
				}
				if i%5 == 0 {
					c.NetConn().Close()
				} else {
					c.Close(wsproto.StatusNormalClosure, "")
				}
			}
		})
	}
	all.Wait()
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p.stdout.waitFor(t, fmt.Sprintf(`"event":"summary","clients":%d,"open":0,`, clients*rounds))
	for late := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(late) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

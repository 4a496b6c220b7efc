package broadcast

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
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`

// TestBroadcast: TwistedWebsocket's server, announcements and console included.
func TestBroadcast(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-v")
	a := kit.Joins(t, p, "/", wsproto.DialOptions{Origin: "http://localhost:8000"})
	a.Hears("text " + uuidPattern + " connected")
	b := kit.Joins(t, p, "/other?x=1", wsproto.DialOptions{})
	for _, h := range []*kit.Hearer{a, b} {
		h.Hears("text " + uuidPattern + " connected")
	}
	a.Says("hi é")
	b.Hears("text hi é")
	a.Hears("text hi é")
	b.WriteMessage(wsproto.OpBinary, []byte{0, 255})
	for _, h := range []*kit.Hearer{a, b} {
		h.Hears("binary \x00\xff")
	}
	b.Leaves()
	a.Hears("text " + uuidPattern + " disconnected")
	a.Leaves()
	log := p.Stderr.WaitFor(t, `(?s)`+
		`\[HANDSHAKE\] (`+uuidPattern+`) origin : http://localhost:8000\n\[CONNECTION\] (`+uuidPattern+`) connected\n.*`+
		`\[CONNECTION\] (`+uuidPattern+`) connected\n`+
		`.*\[FRAME\] from (`+uuidPattern+`) to 2 clients: hi é\n.*\[FRAME\] from (`+uuidPattern+`) to 2 clients: \\x00\\xff\n`+
		`.*\[DISCONNECTION\] (`+uuidPattern+`) disconnected\n.*\[DISCONNECTION\] (`+uuidPattern+`) disconnected\n`)
	one, two := log[1], log[3]
	if one == two || !slices.Equal(log[1:], []string{one, one, two, one, two, two, one}) {
		t.Errorf("the ids are %q, want %s and %s", log[1:], one, two)
	}
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p.Stderr.WaitFor(t, `2 clients, 0 connected, 0 rooms, 2 messages, 7 bytes, 0 copies missed`)
}

// TestBroadcastServer: that of ws, which says nothing of its own.
func TestBroadcastServer(t *testing.T) {
	m := Mode
	m.Name = m.Aliases[0].Name
	p := kit.Background(t, m, "-port", "0")
	a, b := kit.Joins(t, p, "/", wsproto.DialOptions{}), kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
	a.Says("from a")
	b.Hears("text from a")
	b.Says("from b")
	a.Hears("text from b") // and neither its own message nor an announcement
}

func TestBroadcastRooms(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-rooms", "-no-announce")
	a, b := kit.Joins(t, p, "/one", wsproto.DialOptions{}), kit.Joins(t, p, "/one?b", wsproto.DialOptions{})
	other := kit.Joins(t, p, "/two", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION.*CONNECTION`)
	a.Says("1")
	other.Says("2")
	b.Hears("text 1")
	other.Hears("text 2")
	a.Hears("text 1")
	a.Says("3")
	for _, h := range []*kit.Hearer{a, b} {
		h.Hears("text 3")
	}
	for _, h := range []*kit.Hearer{a, b, other} {
		h.Leaves()
	}
	p.Stderr.WaitFor(t, `(?s)DISCONN.*DISCONN.*DISCONN`)
	p.Stop()
	p.Stderr.WaitFor(t, "0 connected, 0 rooms")
}

// TestBroadcastMessages: the type is kept; nothing, just the limit, and more.
func TestBroadcastMessages(t *testing.T) {
	const limit = 1 << 20
	for _, flags := range []string{"", "-x"} {
		p := kit.Background(t, Mode, append(strings.Fields(flags), "-port", "0", "-no-announce", "-exclude-sender", "-max-message", "1M")...)
		a, b := kit.Joins(t, p, "/", wsproto.DialOptions{}), kit.Joins(t, p, "/", wsproto.DialOptions{Config: wsproto.Config{MaxMessage: 2 * limit}})
		p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
		largest := strings.Repeat("z", limit)
		go func() {
			a.WriteMessage(wsproto.OpText, nil)
			a.WriteMessage(wsproto.OpBinary, nil)
			a.WriteMessage(wsproto.OpText, []byte(largest))
			a.WriteMessage(wsproto.OpBinary, []byte(largest+"z"))
		}()
		b.Hears("text ", "binary ", "text "+largest)
		a.Ends(wsproto.StatusMessageTooBig)
		p.Stderr.WaitFor(t, "DISCONNECTION.*larger than the limit")
		kit.Joins(t, p, "/", wsproto.DialOptions{}).Says("next")
		b.Hears("text next")
	}
}

// TestBroadcastCut: of a fragmented message whose sender dies nobody hears
// anything.
func TestBroadcastCut(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-no-announce")
	a, b := kit.Joins(t, p, "/", wsproto.DialOptions{}), kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
	a.NetConn().Write(append(wsproto.AppendHeader(nil, wsproto.Header{Opcode: wsproto.OpText, Masked: true, PayloadLen: 4}), "part"...))
	a.NetConn().Close()
	p.Stderr.WaitFor(t, "DISCONNECTION.*in the middle of a message")
	b.Says("whole")
	b.Hears("text whole")
}

func TestBroadcastRefusals(t *testing.T) {
	status := func(p *kit.Run, opt wsproto.DialOptions) int {
		c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", opt)
		if err == nil {
			c.NetConn().Close()
			return 101
		}
		he, _ := errors.AsType[*wsproto.HandshakeError](err)
		return he.Status
	}
	p := kit.Background(t, Mode, "-port", "0")
	for origin, want := range map[string]int{"": 101, "http://localhost": 101, "http://[::1]:9": 101, "http://evil.example": 403, "null": 403} {
		if got := status(p, wsproto.DialOptions{Origin: origin}); got != want {
			t.Errorf("origin %q: status %d, want %d", origin, got, want)
		}
	}
	if got := status(p, wsproto.DialOptions{Host: "evil.example"}); got != 403 {
		t.Errorf("another Host: status %d, want 403", got)
	}

	p = kit.Background(t, Mode, "-port", "0", "-http-authorization-header", "secret")
	right := kit.Joins(t, p, "/", wsproto.DialOptions{Header: httpmini.Header{{Name: "Authorization", Value: "secret"}}})
	right.Hears("text .* connected")
	for _, value := range []string{"", "Secret", "secret2"} {
		var h httpmini.Header
		if value != "" {
			h.Add("Authorization", value)
		}
		wrong := kit.Joins(t, p, "/", wsproto.DialOptions{Header: h})
		wrong.WriteMessage(wsproto.OpText, []byte("let me in"))
		wrong.Ends(4001)
	}
	right.Says("only me")
	right.Hears("text only me") // and nothing of those who were not let in
}

// TestBroadcastPerAddress: one address has only so many clients; a place that is
// left is free.
func TestBroadcastPerAddress(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-max-conns-per-ip", "3", "-no-announce")
	var list []*kit.Hearer
	for range 3 {
		list = append(list, kit.Joins(t, p, "/", wsproto.DialOptions{}))
	}
	_, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+"/", wsproto.DialOptions{})
	if he, ok := errors.AsType[*wsproto.HandshakeError](err); !ok || he.Status != 503 {
		t.Errorf("the fourth: %v, want status 503", err)
	}
	p.Stderr.WaitFor(t, `(?s)(CONNECTION.*){3}`)
	list[0].Leaves()
	p.Stderr.WaitFor(t, "DISCONNECTION")
	kit.Joins(t, p, "/", wsproto.DialOptions{}).Says("x")
	list[1].Hears("text x")
}

// TestBroadcastSlow: one who never reads delays nobody; he is closed, or stays and
// misses messages.
func TestBroadcastSlow(t *testing.T) {
	for _, policy := range []string{"close", "drop"} {
		p := kit.Background(t, Mode, "-port", "0", "-x", "-no-announce", "-exclude-sender", "-queue", "256k", "-slow", policy, "-grace", "50ms")
		sender := kit.Joins(t, p, "/", wsproto.DialOptions{})
		var fast []*kit.Hearer
		for range 3 {
			fast = append(fast, kit.Joins(t, p, "/", wsproto.DialOptions{}))
		}
		slow := kit.Joins(t, p, "/", wsproto.DialOptions{})
		p.Stderr.WaitFor(t, `(?s)(CONNECTION.*){5}`)
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
		p.Stderr.WaitFor(t, "reads too slowly")
		if policy == "close" {
			slow.Ends(wsproto.StatusTryAgainLater)
			p.Stderr.WaitFor(t, `DISCONNECTION.*; it missed \d+ messages`)
		} else {
			for last := -1; ; {
				sender.Says("end") // missed, too, until there is room
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
		p.Stop()
		p.Stderr.WaitFor(t, `[1-9]\d* cop(?:y|ies) missed, `+map[string]string{"close": "1 client", "drop": "0 clients"}[policy]+` closed`)
	}
}

// TestBroadcastAllSlow: nobody reads; the server still hears and stops.
func TestBroadcastAllSlow(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-x", "-no-announce", "-grace", "100ms", "-queue", "64k")
	var list []*kit.Hearer
	for range 20 {
		list = append(list, kit.Joins(t, p, "/", wsproto.DialOptions{}))
	}
	p.Stderr.WaitFor(t, `(?s)(CONNECTION.*){20}`)
	var all sync.WaitGroup
	for _, h := range list {
		all.Go(func() {
			for range 100 {
				h.NetConn().SetWriteDeadline(time.Now().Add(kit.Patience))
				if h.WriteMessage(wsproto.OpBinary, make([]byte, 64<<10)) != nil {
					return // closed as slow
				}
			}
		})
	}
	p.Stderr.WaitFor(t, "reads too slowly")
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	for _, h := range list {
		h.NetConn().Close()
	}
	all.Wait()
}

// TestBroadcastVanished: a peer that is gone without a word is pinged and dropped.
func TestBroadcastVanished(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-ping-interval", "50ms", "-ping-timeout", "50ms")
	h := kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, "DISCONNECTION.*nothing came in answer to a ping in time")
	h.NetConn().Close()
}

// TestBroadcastLines: clients of TCP and WebSocket hear each other.
func TestBroadcastLines(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-tcp-port", "0", "-exclude-sender", "-max-message", "64k", "-grace", "50ms")
	ws := kit.Joins(t, p, "/any", wsproto.DialOptions{})
	ws.Hears("text .* connected")
	one, two := kit.DialTCP(t, p.Addr("tcp")), kit.DialTCP(t, p.Addr("tcp"))
	ws.Hears("text .* connected", "text .* connected")
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
	ws.Hears("text hello")
	wants(second, "hello")
	io.WriteString(one, "ld\n\n\xff\n")
	ws.Hears("text world", "text ", "binary \xff")
	wants(second, "world")
	wants(second, "")
	wants(second, "\xff")
	ws.Says("from ws")
	wants(first, "from ws")
	wants(second, "from ws")
	io.WriteString(one, "never ended")
	one.CloseWrite()
	ws.Hears("text .* disconnected")
	p.Stderr.WaitFor(t, "DISCONNECTION.*within a line, whose 11 bytes nobody got")
	if rest, err := io.ReadAll(first); err != nil || len(rest) > 0 {
		t.Errorf("after its end a client gets %q, %v", rest, err)
	}
	io.WriteString(two, strings.Repeat("x", 70<<10))
	p.Stderr.WaitFor(t, "line too long")
	ws.Says("still there")
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// TestBroadcastEnds: who is idle has to go; the others are told when the server does.
func TestBroadcastEnds(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-tcp-port", "0", "-no-announce", "-idle-timeout", "50ms")
	idle := kit.DialTCP(t, p.Addr("tcp"))
	if rest, err := io.ReadAll(idle); err != nil || len(rest) > 0 {
		t.Errorf("an idle client gets %q, %v; want the end", rest, err)
	}
	p.Stderr.WaitFor(t, "DISCONNECTION.*disconnected: idle for too long")

	p = kit.Background(t, Mode, "-port", "0", "-tcp-port", "0", "-v", "-ping-interval", "10ms")
	ws := kit.Joins(t, p, "/", wsproto.DialOptions{})
	ws.Hears("text .* connected") // then it is in the room
	line := kit.DialTCP(t, p.Addr("tcp"))
	ws.Hears("text .* connected")
	stopped := make(chan int, 1)
	go func() {
		p.Stderr.WaitFor(t, `(?s)ping sent to `+uuidPattern+`.*pong received from `+uuidPattern)
		stopped <- p.Stop()
	}()
	ws.Ends(wsproto.StatusGoingAway)
	if rest, err := io.ReadAll(line); err != nil || strings.Contains(string(rest), "disconnected") {
		t.Errorf("a client of TCP gets %q, %v; want the end", rest, err)
	}
	if code := <-stopped; code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// TestBroadcastSlowLines: a client of TCP that does not read.
func TestBroadcastSlowLines(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-tcp-port", "0", "-no-announce", "-queue", "64k", "-x")
	slow := kit.DialTCP(t, p.Addr("tcp"))
	ws := kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
	line := strings.Repeat("s", 60<<10)
	for range 1000 {
		ws.Says(line)
		ws.Hears("text " + line)
		if strings.Contains(p.Stderr.String(), "DISCONNECTION") {
			break
		}
	}
	p.Stderr.WaitFor(t, "DISCONNECTION.*reads too slowly; it missed 1 messages")
	got, _ := io.ReadAll(slow)
	if got := bytes.TrimRight(got, "s"); len(got)%(len(line)+1) != 0 {
		t.Errorf("it got %d bytes, which are not whole lines", len(got))
	}
}

// faulty panics in place of writing.
type faulty struct{ net.Conn }

func (faulty) Write([]byte) (int, error) { panic("a fault of ours") }

// TestBroadcastWriterPanics: a fault of ours in writing to one client ends that one, and no more.
func TestBroadcastWriterPanics(t *testing.T) {
	var status bytes.Buffer
	con, err := new(cli.Output).Open(kit.Env(io.Discard, &status))
	if err != nil {
		t.Fatal(err)
	}
	b := &broadcast{queue: 1000, sockets: &listen.Sockets{TCP: new(net.TCPListener)}, listeners: new(listen.Listeners), output: new(cli.Output), con: con}
	b.rooms.open = make(map[string]*room)
	b.listeners.MaxMessage = 1000
	ours, theirs := net.Pipe()
	defer theirs.Close()
	theirs.SetDeadline(time.Now().Add(kit.Patience))
	served := make(chan struct{})
	go func() { b.serveLines(faulty{ours}); close(served) }()
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF { // its own announcement is what it is sent
		t.Errorf("a client whose writer broke: %v", err)
	}
	<-served
	if got := status.String(); !strings.Contains(got, "disconnected: panic: a fault of ours") {
		t.Errorf("said %q", got)
	}
}

// TestBroadcastDatagrams: on loopback a client of UDP hears all others from its
// first datagram on.
func TestBroadcastDatagrams(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-udp-port", "0", "-no-announce", "-v")
	ws := kit.Joins(t, p, "/", wsproto.DialOptions{})
	p.Stderr.WaitFor(t, "CONNECTION")
	udp, err := net.Dial("udp", p.Addr("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.SetDeadline(time.Now().Add(kit.Patience))
	ws.Says("before anybody came")
	ws.Hears("text before anybody came")
	io.WriteString(udp, "one\ntwo\r\nthree")
	ws.Hears("text one", "text two", "text three")
	ws.Says("longer than all that came from there")
	buf := make([]byte, 100)
	if n, err := udp.Read(buf); err != nil || string(buf[:n]) != "longer than all that came from there\n" {
		t.Errorf("the client of UDP got %q, %v", buf[:n], err)
	}
	p.Stderr.WaitFor(t, `\[FRAME\] from udp 127.0.0.1:\d+ to 1 clients: two`)
}

// TestBroadcastCredit: elsewhere nobody is sent more than came from him, and there
// are only so many.
func TestBroadcastCredit(t *testing.T) {
	b := &broadcast{queue: 200}
	d := &datagrams{broadcast: b, peers: make(map[string]*datagramPeer)}
	d.changed.L = &d.mu
	from := func(s string) listen.Source { return listen.Source{AddrPort: netip.MustParseAddrPort(s)} }
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
	want(to("", "12345"), local, a) // six bytes with its line feed, and the headers
	want(to("", "123"), local, c)
	want(to("", ""), local)
	d.heard(from(a), 1000) // 200 count
	want(to(a, "x"), local)
	want(to("", strings.Repeat("x", 171)), local, a)
	want(to("", "x"), local)
	if n := b.counts.unsent.Load(); n != 8 {
		t.Errorf("%d datagrams were not sent, want 8", n)
	}
	for i := range maxDatagramPeers + 100 {
		d.heard(from(fmt.Sprintf("[2001:db8::%x]:5000", i+1)), 1)
	}
	if len(d.peers) != maxDatagramPeers || d.order.Len() != maxDatagramPeers || d.peers[a] != nil {
		t.Errorf("%d peers are remembered, want those %d who sent last", len(d.peers), maxDatagramPeers)
	}
	d.send("", make([]byte, cli.MaxDatagram))
	if len(d.waiting) > 0 {
		t.Error("a message that no datagram can hold is to be sent")
	}
}

// TestBroadcastRandom: whatever the sizes, the fragments and the compression, what
// arrives is what was sent, in order.
func TestBroadcastRandom(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-no-announce", "-exclude-sender")
	sender := kit.Joins(t, p, "/", wsproto.DialOptions{NoCompression: true})
	hearers := []*kit.Hearer{kit.Joins(t, p, "/", wsproto.DialOptions{}), kit.Joins(t, p, "/", wsproto.DialOptions{NoCompression: true})}
	p.Stderr.WaitFor(t, `(?s)(CONNECTION.*){3}`)
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
	p := kit.Background(t, Mode, "-port", "0", "-tcp-port", "0", "-rooms", "-q", "-json", "-max-conns", "4000")
	addr := p.Stdout.WaitFor(t, `"proto":"ws","addr":"([^"]+)"`)[1]
	lines := p.Stdout.WaitFor(t, `"proto":"tcp","addr":"([^"]+)"`)[1]
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
				c.SetReadDeadline(time.Now().Add(kit.Patience))
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
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	p.Stdout.WaitFor(t, fmt.Sprintf(`"event":"summary","clients":%d,"open":0,`, clients*rounds))
	for late := time.Now().Add(kit.Patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(late) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// TestBroadcastHTTP: what a page has a browser send to a port of lines goes to nobody.
func TestBroadcastHTTP(t *testing.T) {
	p := kit.Background(t, Mode, "-ws-port", "off", "-tcp-port", "0", "-no-announce")
	hears, page := kit.DialTCP(t, p.Addr("tcp")), kit.DialTCP(t, p.Addr("tcp"))
	p.Stderr.WaitFor(t, `(?s)CONNECTION.*CONNECTION`)
	io.WriteString(page, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nshutdown\n")
	p.Stderr.WaitFor(t, "DISCONNECTION.*an HTTP request where lines are expected")
	kit.Swap(t, hears, "GET is a word\n", "GET is a word\n")
}

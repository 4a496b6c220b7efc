package mode

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/wsproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// dialTCP opens a stream that gives up when a test would.
func dialTCP(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

// swap sends and wants just that many bytes back.
func swap(t *testing.T, nc net.Conn, send, want string) {
	t.Helper()
	if _, err := io.WriteString(nc, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(nc, got); err != nil || string(got) != want {
		t.Fatalf("sent %q, got %q, %v; want %q", send, got[:n], err, want)
	}
}

// wsRaw is a server that reads the head of a handshake and writes what answer makes
// of its key, and then goes on.
func wsRaw(answer func(key string) string, then func(nc net.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		req, err := httpmini.ReadRequest(bufio.NewReader(nc), httpmini.Limits{})
		if err != nil {
			return
		}
		if _, err := io.WriteString(nc, answer(req.Header.Get("Sec-WebSocket-Key"))); err != nil {
			return
		}
		if then != nil {
			then(nc)
		}
	}
}

// goodAnswer is a good answer, with more in the same write.
func goodAnswer(more string) func(key string) string {
	return func(key string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			wsproto.AcceptKey(key) + "\r\n\r\n" + more
	}
}

func rawText(s string) func(string) string { return func(string) string { return s } }

// drainPeer reads until the client has ended the connection.
func drainPeer(nc net.Conn) { io.Copy(io.Discard, nc) }

// wsFrame is one as servers send them.
func wsFrame(op wsproto.Opcode, payload string) string {
	h := wsproto.Header{Fin: true, Opcode: op, PayloadLen: int64(len(payload))}
	return string(wsproto.AppendHeader(nil, h)) + payload
}

func closeFrame(code int, reason string) string {
	return wsFrame(wsproto.OpClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// wsPeer serves one client by talk, as a server of ours.
func wsPeer(talk func(c *wsproto.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		br := bufio.NewReader(nc)
		req, err := httpmini.ReadRequest(br, httpmini.Limits{})
		if err != nil {
			return
		}
		res, ag, err := wsproto.Answer(req, wsproto.AcceptOptions{Subprotocols: []string{"chat"}})
		head := res.AppendHead(nil)
		if err != nil {
			nc.Write(head)
			return
		}
		nc.Write(head)
		c := wsproto.NewConn(nc, nil, wsproto.RoleServer, ag, wsproto.Config{})
		talk(c)
		c.Close(wsproto.StatusNormalClosure, "")
	}
}

// wsEcho sends every message back.
var wsEcho = wsPeer(func(c *wsproto.Conn) {
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return
		}
		c.Reply(m.Opcode, m.Data)
	}
})

// saysNothing is a peer that does nothing.
func saysNothing(nc net.Conn) { drainPeer(nc) }

// listenFor serves the connections to a socket on loopback, or in a file, by serve,
// and returns its address.
func listenFor(t *testing.T, network string, serve func(net.Conn)) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		accept.Serve(ln, func(nc net.Conn) {
			defer nc.Close()
			serve(nc)
		}, nil)
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// A talker is a WebSocket server that tells what it gets, and says what it is told.
type talker struct {
	t      *testing.T
	ln     net.Listener
	got    chan string // "text hello", "close 1000 bye"
	screen *terminal   // to show when that is not what it should be; may be nil
	conns  chan *wsproto.Conn
	served chan struct{}

	mu  sync.Mutex
	all []*wsproto.Conn
}

func (k *talker) url() string { return "ws://" + k.ln.Addr().String() }

func (k *talker) talk(c *wsproto.Conn) {
	k.mu.Lock()
	k.all = append(k.all, c)
	k.mu.Unlock()
	k.conns <- c
	for {
		m, err := c.ReadMessage()
		if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
			k.got <- fmt.Sprintf("close %d %s", ce.Code, ce.Reason)
		}
		if err != nil {
			return
		}
		k.got <- m.Opcode.String() + " " + string(m.Data)
	}
}

// wants waits for what the client sends next.
func (k *talker) wants(want string) {
	k.t.Helper()
	select {
	case got := <-k.got:
		if got != want {
			k.t.Fatalf("got %q; want %q", got, want)
		}
	case <-time.After(patience):
		k.t.Fatalf("got nothing; want %q; the screen is\n%s", want, k.screen.text())
	}
}

// client is the next one to connect.
func (k *talker) client() *wsproto.Conn {
	k.t.Helper()
	select {
	case c := <-k.conns:
		return c
	case <-time.After(patience):
		k.t.Fatal("nobody connects")
		return nil
	}
}

// stop ends the listener and all connections, without a word.
func (k *talker) stop() {
	k.ln.Close()
	k.mu.Lock()
	for _, c := range k.all {
		c.NetConn().Close()
	}
	k.mu.Unlock()
	<-k.served
}

func newTalker(t *testing.T, address string) *talker {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{t: t, ln: ln, got: make(chan string, 10000), conns: make(chan *wsproto.Conn, 100), served: make(chan struct{})}
	go func() {
		defer close(k.served)
		accept.Serve(ln, wsPeer(k.talk), nil)
	}()
	t.Cleanup(k.stop)
	return k
}

// A hearer hears what a broadcast server sends.
type hearer struct {
	t *testing.T
	*wsproto.Conn
}

// joins connects to the broadcast server p.
func joins(t *testing.T, p *run, path string, opt wsproto.DialOptions) *hearer {
	t.Helper()
	c, _, err := wsproto.Dial(t.Context(), "ws://"+p.addr("ws")+path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.NetConn().Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return &hearer{t, c}
}

// says sends a text message.
func (h *hearer) says(text string) {
	h.t.Helper()
	if err := h.WriteMessage(wsproto.OpText, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
}

// hears wants these messages next: "text" and the rest, or "binary".
func (h *hearer) hears(want ...string) {
	h.t.Helper()
	for _, want := range want {
		m, err := h.ReadMessage()
		got := fmt.Sprintf("%v %s", m.Opcode, m.Data)
		if err == nil && got == want {
			continue
		}
		if match, _ := regexp.MatchString("^(?:"+want+")$", got); !match || err != nil {
			h.t.Fatalf("heard %.100q, %v; want %.100q", got, err, want)
		}
	}
}

// ends wants the end, with a Close frame of this code.
func (h *hearer) ends(code wsproto.StatusCode) {
	h.t.Helper()
	for {
		_, err := h.ReadMessage()
		if err == nil {
			continue
		}
		if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != code {
			h.t.Errorf("it ended with %v, want close %d", err, code)
		}
		h.Close(0, "")
		return
	}
}

// leaves closes politely.
func (h *hearer) leaves() { h.Close(wsproto.StatusNormalClosure, "") }

// opening is an opening handshake; each of more is a field line, or replaces the one
// of that name.
func opening(more ...string) string {
	lines := []string{"Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + exampleKey, "Sec-WebSocket-Version: 13"}
	for _, line := range more {
		name, value, _ := strings.Cut(line, ":")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
		if value != "" {
			lines = append(lines, line)
		}
	}
	return "GET /path?q HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// exchangeHeads sends a request and returns the answer with its body.
func exchangeHeads(t *testing.T, addr, request string) (*httpmini.Response, string) {
	t.Helper()
	nc := dialTCP(t, addr)
	defer nc.Close()
	io.WriteString(nc, request)
	res, err := httpmini.ReadResponse(bufio.NewReader(nc), "GET", httpmini.ClientLimits)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil && res.Status != 101 {
		t.Fatalf("%q: %d, and then %v", request, res.Status, err)
	}
	return res, string(body)
}

// withField is a good answer with a field more.
func withField(field string) func(key string) string {
	return func(key string) string {
		return strings.Replace(goodAnswer("")(key), "\r\n\r\n", "\r\n"+field+"\r\n\r\n", 1)
	}
}

// A fakeTarget is a backend that the test plays: each connection is handled on its
// own and closed after that.
type fakeTarget struct {
	addr string
	got  chan string // the head of each request
}

func (f *fakeTarget) handle(nc *net.TCPConn, answer func(key string) string, then func(nc *net.TCPConn)) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b...) {
		if _, err := nc.Read(b); err != nil {
			return
		}
	}
	f.got <- string(head)
	req, err := httpmini.ReadRequest(bufio.NewReader(bytes.NewReader(head)), httpmini.Limits{Line: 16 << 10})
	if err != nil {
		return
	}
	io.WriteString(nc, answer(req.Header.Get("Sec-WebSocket-Key")))
	if then != nil {
		then(nc)
	}
}

// playTarget answers the head of each request with what answer makes of it, and gives
// the connection to then, if not nil.
func playTarget(t *testing.T, answer func(key string) string, then func(nc *net.TCPConn)) *fakeTarget {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f := &fakeTarget{addr: ln.Addr().String(), got: make(chan string, 1000)}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go f.handle(nc.(*net.TCPConn), answer, then)
		}
	}()
	return f
}

// switching is a 101 with further field lines.
func switching(more ...string) func(key string) string {
	return func(key string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			wsproto.AcceptKey(key) + "\r\n" + strings.Join(append(slices.Clone(more), "\r\n"), "\r\n")
	}
}

func always(answer string) func(string) string { return func(string) string { return answer } }

const exampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

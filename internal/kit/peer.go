package kit

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
	"strings"
	"sync"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/wsproto"
)

// DialTCP opens a stream that gives up when a test would.
func DialTCP(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(Patience))
	return nc.(*net.TCPConn)
}

// Swap sends and wants just that many bytes back.
func Swap(t *testing.T, nc net.Conn, send, want string) {
	t.Helper()
	if _, err := io.WriteString(nc, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(nc, got); err != nil || string(got) != want {
		t.Fatalf("sent %q, got %q, %v; want %q", send, got[:n], err, want)
	}
}

// WSRaw is a server that reads the head of a handshake and writes what answer makes
// of its key, and then goes on.
func WSRaw(answer func(key string) string, then func(nc net.Conn)) func(net.Conn) {
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

// GoodAnswer is a good answer, with more in the same write.
func GoodAnswer(more string) func(key string) string {
	return func(key string) string { return Switching()(key) + more }
}

// DrainPeer says nothing, and reads until the client has ended the connection.
func DrainPeer(nc net.Conn) { io.Copy(io.Discard, nc) }

// WSFrame is one as servers send them.
func WSFrame(op wsproto.Opcode, payload string) string {
	h := wsproto.Header{Fin: true, Opcode: op, PayloadLen: int64(len(payload))}
	return string(wsproto.AppendHeader(nil, h)) + payload
}

func CloseFrame(code int, reason string) string {
	return WSFrame(wsproto.OpClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// WSPeer serves one client by talk, as a server of ours.
func WSPeer(talk func(c *wsproto.Conn)) func(net.Conn) {
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

// WSEcho sends every message back.
var WSEcho = WSPeer(func(c *wsproto.Conn) {
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return
		}
		c.Reply(m.Opcode, m.Data)
	}
})

// ListenFor serves the connections to a socket on loopback, or in a file, by serve,
// and returns its address.
func ListenFor(t *testing.T, network string, serve func(net.Conn)) string {
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
	Ln     net.Listener
	got    chan string // "text hello", "close 1000 bye"
	Screen *terminal   // to show when that is not what it should be; may be nil
	conns  chan *wsproto.Conn
	served chan struct{}

	mu  sync.Mutex
	all []*wsproto.Conn
}

func (k *talker) URL() string { return "ws://" + k.Ln.Addr().String() }

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

// Wants waits for what the client sends next.
func (k *talker) Wants(want string) {
	k.t.Helper()
	select {
	case got := <-k.got:
		if got != want {
			k.t.Fatalf("got %q; want %q", got, want)
		}
	case <-time.After(Patience):
		k.t.Fatalf("got nothing; want %q; the screen is\n%s", want, k.Screen.text())
	}
}

// Client is the next one to connect.
func (k *talker) Client() *wsproto.Conn {
	k.t.Helper()
	select {
	case c := <-k.conns:
		return c
	case <-time.After(Patience):
		k.t.Fatal("nobody connects")
		return nil
	}
}

// Stop ends the listener and all connections, without a word.
func (k *talker) Stop() {
	k.Ln.Close()
	k.mu.Lock()
	for _, c := range k.all {
		c.NetConn().Close()
	}
	k.mu.Unlock()
	<-k.served
}

func NewTalker(t *testing.T, address string) *talker {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{t: t, Ln: ln, got: make(chan string, 10000), conns: make(chan *wsproto.Conn, 100), served: make(chan struct{})}
	go func() {
		defer close(k.served)
		accept.Serve(ln, WSPeer(k.talk), nil)
	}()
	t.Cleanup(k.Stop)
	return k
}

// A Hearer hears what a broadcast server sends.
type Hearer struct {
	t *testing.T
	*wsproto.Conn
}

// Joins connects to the broadcast server p.
func Joins(t *testing.T, p *Run, path string, opt wsproto.DialOptions) *Hearer {
	t.Helper()
	c, _, err := wsproto.Dial(t.Context(), "ws://"+p.Addr("ws")+path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.NetConn().Close() })
	c.SetReadDeadline(time.Now().Add(Patience))
	return &Hearer{t, c}
}

// Says sends a text message.
func (h *Hearer) Says(text string) {
	h.t.Helper()
	if err := h.WriteMessage(wsproto.OpText, []byte(text)); err != nil {
		h.t.Fatal(err)
	}
}

// Hears wants these messages next: "text" and the rest, or "binary".
func (h *Hearer) Hears(want ...string) {
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

// Ends wants the end, with a Close frame of this code.
func (h *Hearer) Ends(code wsproto.StatusCode) {
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

// Leaves closes politely.
func (h *Hearer) Leaves() { h.Close(wsproto.StatusNormalClosure, "") }

// Opening is an opening handshake; each of more is a field line, or replaces the one
// of that name.
func Opening(more ...string) string {
	lines := []string{"Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + ExampleKey, "Sec-WebSocket-Version: 13"}
	for _, line := range more {
		name, value, _ := strings.Cut(line, ":")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+":") })
		if value != "" {
			lines = append(lines, line)
		}
	}
	return "GET /path?q HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// ExchangeHeads sends a request and returns the answer with its body.
func ExchangeHeads(t *testing.T, addr, request string) (*httpmini.Response, string) {
	t.Helper()
	nc := DialTCP(t, addr)
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

// A fakeTarget is a backend that the test plays: each connection is handled on its
// own and closed after that.
type fakeTarget struct {
	Addr string
	Got  chan string // the head of each request
}

func (f *fakeTarget) handle(nc *net.TCPConn, answer func(key string) string, then func(nc *net.TCPConn)) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(Patience))
	var head []byte
	for b := make([]byte, 1); !bytes.HasSuffix(head, []byte("\r\n\r\n")); head = append(head, b...) {
		if _, err := nc.Read(b); err != nil {
			return
		}
	}
	f.Got <- string(head)
	req, err := httpmini.ReadRequest(bufio.NewReader(bytes.NewReader(head)), httpmini.Limits{Line: 16 << 10})
	if err != nil {
		return
	}
	io.WriteString(nc, answer(req.Header.Get("Sec-WebSocket-Key")))
	if then != nil {
		then(nc)
	}
}

// PlayTarget answers the head of each request with what answer makes of it, and gives
// the connection to then, if not nil.
func PlayTarget(t *testing.T, answer func(key string) string, then func(nc *net.TCPConn)) *fakeTarget {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f := &fakeTarget{Addr: ln.Addr().String(), Got: make(chan string, 1000)}
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

// Switching is a 101 with further field lines.
func Switching(more ...string) func(key string) string {
	return func(key string) string {
		return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			wsproto.AcceptKey(key) + "\r\n" + strings.Join(append(slices.Clone(more), "\r\n"), "\r\n")
	}
}

func Always(answer string) func(string) string { return func(string) string { return answer } }

const ExampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

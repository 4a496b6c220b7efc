package linesrv

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/accept"
)

// patience is how long a test over real sockets waits for what must come.
const patience = 20 * time.Second

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// start serves ln until the end of the test.
func start(t testing.TB, server interface {
	Serve(net.Listener) error
	Close() error
}, ln net.Listener) (addr string) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
	return ln.Addr().String()
}

func connect(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return nc.(*net.TCPConn)
}

// wantPong fails unless a new client is served.
func wantPong(t testing.TB, addr string) {
	t.Helper()
	c, err := Dial(t.Context(), addr, ClientOptions{Timeout: patience})
	if err != nil {
		t.Fatalf("the next client: %v", err)
	}
	if err := c.Disconnect(); err != nil {
		t.Fatalf("the next client: Disconnect: %v", err)
	}
}

// reset closes nc with a reset.
func reset(nc *net.TCPConn) {
	nc.SetLinger(0)
	nc.Close()
}

// ask sends s, ends its side, and returns all that comes back.
func ask(t testing.TB, nc *net.TCPConn, s string) string {
	t.Helper()
	nc.Write([]byte(s))
	nc.CloseWrite()
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Errorf("after %.40q: %v", s, err)
	}
	return string(b)
}

// The conversations once more, over sockets.
func TestConversationsOverTCP(t *testing.T) {
	for _, tt := range conversations {
		t.Run(tt.name, func(t *testing.T) {
			server := copyServer(tt.server)
			server.Handler = sample
			addr := start(t, server, listen(t))
			nc := connect(t, addr)
			if got := ask(t, nc, tt.send); got != tt.want {
				t.Errorf("%q answered %q, want %q", tt.send, got, tt.want)
			}
			if tt.then != ended {
				wantPong(t, addr)
			}
		})
	}
}

// The end of the stream comes in the same event as the command before it.
func TestHalfClose(t *testing.T) {
	addr := start(t, &Server{OneAtATime: true, Handler: sample}, listen(t))
	for _, tt := range []struct{ send, want string }{
		{"ping\n", "pong\n"},
		{"none\n", ""},
		{"ping\npin", "pong\n"}, // LS10
		{"", ""},
	} {
		for range 50 {
			nc := connect(t, addr)
			if got := ask(t, nc, tt.send); got != tt.want {
				t.Errorf("%q answered %q, want %q", tt.send, got, tt.want)
			}
			nc.Close()
		}
	}
}

// However a client leaves, the next one is served.
func TestClientsLeaving(t *testing.T) {
	reasons := make(chan error, 1)
	server := &Server{OneAtATime: true, Handler: sample, OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
	addr := start(t, server, listen(t))
	for _, tt := range []struct {
		name  string
		leave func(nc *net.TCPConn)
	}{
		{"without a word", func(nc *net.TCPConn) { nc.Close() }},
		{"with a reset", reset},
		{"with a reset after a command", func(nc *net.TCPConn) { nc.Write([]byte("ping\n")); reset(nc) }},
		{"with a reset after a command without answer", func(nc *net.TCPConn) { nc.Write([]byte("none\n")); reset(nc) }},
		{"with a reset in mid-packet", func(nc *net.TCPConn) { nc.Write([]byte("pin")); reset(nc) }},
		{"with a command", func(nc *net.TCPConn) { nc.Write([]byte("ping\ndisconnect\n")); io.ReadAll(nc) }},
		{"for a handler that panics", func(nc *net.TCPConn) { nc.Write([]byte("panic\n")); io.ReadAll(nc) }},
	} {
		for range 20 {
			nc := connect(t, addr)
			tt.leave(nc)
			select {
			case <-reasons:
			case <-time.After(patience):
				t.Fatalf("%s: the server has not noticed", tt.name)
			}
			nc.Close()
		}
		go func() { <-reasons }()
		wantPong(t, addr)
	}
}

// The end comes before the first read: one event tells of it and of the data.
func TestEndWithData(t *testing.T) {
	gone, reasons := make(chan struct{}), make(chan error, 16)
	server := &Server{Handler: sample,
		OnConnect:    func(*Conn) { <-gone },
		OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
	addr := start(t, server, listen(t))
	for _, send := range []string{"", "none\n", "ping\n", "pin"} {
		for name, leave := range map[string]func(*net.TCPConn){
			"end":   func(nc *net.TCPConn) { nc.CloseWrite() },
			"close": func(nc *net.TCPConn) { nc.Close() },
			"reset": reset,
		} {
			nc := connect(t, addr)
			nc.Write([]byte(send))
			leave(nc)
			gone <- struct{}{}
			select {
			case <-reasons:
			case <-time.After(patience):
				t.Fatalf("%q, then %s: the server has not noticed", send, name)
			}
		}
	}
}

// Those that wait are served in their order, with what they have sent.
func TestQueue(t *testing.T) {
	addr := start(t, &Server{OneAtATime: true}, listen(t))
	var clients []*net.TCPConn
	for range 5 {
		clients = append(clients, connect(t, addr))
	}
	for i := range clients {
		fmt.Fprintf(clients[i], "hello %d\nping\n", i)
	}
	clients[3].Close() // gave up while waiting
	for i := range clients {
		if i == 3 {
			continue
		}
		b := make([]byte, len(nak)+len("pong\n"))
		if _, err := io.ReadFull(clients[i], b); err != nil || string(b) != nak+"pong\n" {
			t.Fatalf("client %d got %q, %v", i, b, err)
		}
		if i%2 == 0 {
			fmt.Fprintf(clients[i], "disconnect\n")
		} else {
			clients[i].Close()
		}
	}
}

// Who waits for its turn when the server is shut down sees an end, not a reset, also
// where it has sent something, and whoever waits before it.
func TestWaitingAtShutdown(t *testing.T) {
	plain := func(ln net.Listener) net.Listener { return ln }
	config, _ := testTLS(t)
	secure := func(ln net.Listener) net.Listener { return tls.NewListener(ln, config) }
	for name, wrap := range map[string]func(net.Listener) net.Listener{"plain": plain, "TLS": secure} {
		t.Run(name, func(t *testing.T) {
			server := &Server{OneAtATime: true}
			ln := &tellingListener{listen(t), make(chan bool, 4)}
			addr := start(t, server, wrap(ln))
			connect(t, addr)
			<-ln.accepted
			var waiting []*net.TCPConn
			for range 3 {
				nc := connect(t, addr)
				fmt.Fprintf(nc, "ping\n")
				waiting = append(waiting, nc)
			}
			for i := range waiting {
				select {
				case <-ln.accepted:
				case <-time.After(patience):
					t.Fatalf("client %d of those that wait is not accepted, and would be reset", i)
				}
			}
			go server.Shutdown(t.Context())
			for i, nc := range waiting {
				if got, err := io.ReadAll(nc); len(got) != 0 || err != nil {
					t.Errorf("client %d of those that waited read %q, %v; want the end", i, got, err)
				}
				nc.Close()
			}
		})
	}
}

// A tellingListener tells of each connection.
type tellingListener struct {
	net.Listener
	accepted chan bool
}

func (l *tellingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		l.accepted <- true
	}
	return nc, err
}

// LS05, and commands that fill the read buffer more than once.
func TestManyCommands(t *testing.T) {
	addr := start(t, &Server{Handler: sample}, listen(t))
	for _, n := range []int{1000, 10_000, 200_000} {
		nc := connect(t, addr)
		go func() {
			nc.Write(bytes.Repeat([]byte("ping\n"), n))
			nc.CloseWrite()
		}()
		got, err := io.ReadAll(nc)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("pong\n"), n)) {
			t.Errorf("%d pings: %d bytes, %v", n, len(got), err)
		}
	}
	// A batch that ends just where the buffer does is answered without more.
	nc := connect(t, addr)
	exact := strings.Repeat("ping\n", readSize/5) + strings.Repeat("\n", readSize%5)
	fmt.Fprint(nc, exact)
	want := strings.Repeat("pong\n", readSize/5) + strings.Repeat(nak, readSize%5)
	b := make([]byte, len(want))
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		t.Errorf("%d bytes of commands: %v", len(exact), err)
	}
}

// LS06 over TCP: backpressure, then the end, and the others do not notice.
func TestNeverReads(t *testing.T) {
	reasons := make(chan error, 2)
	server := &Server{WriteTimeout: 50 * time.Millisecond, OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
	addr := start(t, server, listen(t))
	nc := connect(t, addr)
	pings := bytes.Repeat([]byte("ping\n"), 10_000)
	for {
		if _, err := nc.Write(pings); err != nil {
			break
		}
	}
	if err := <-reasons; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ended because %v", err)
	}
	wantPong(t, addr)
}

// An answer of any size gets through to a client that reads slowly.
func TestLargeAnswer(t *testing.T) {
	answer := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	addr := start(t, &Server{Handler: func(c *Conn, cmd Command) error { return c.Send(answer) }}, listen(t))
	nc := connect(t, addr)
	if got := ask(t, nc, "large\nping\n"); got != string(answer)+"\npong\n" {
		t.Errorf("%d bytes came of %d", len(got), len(answer))
	}
}

// The last answer arrives although the client goes on sending.
func TestLastWords(t *testing.T) {
	for _, tt := range []struct{ send, want string }{
		{strings.Repeat("x", 200<<10), "invalid\n"}, // endless line
		{"disconnect\n" + strings.Repeat("ping\n", 20<<10), ""},
		{"fail\n" + strings.Repeat("ping\n", 20<<10), "error internal\n"},
		{"shutdown\n" + strings.Repeat("ping\n", 20<<10), ""},
	} {
		addr := start(t, &Server{Handler: sample}, listen(t))
		nc := connect(t, addr)
		if got := ask(t, nc, tt.send); got != tt.want {
			t.Errorf("%.20q... answered %q, want %q", tt.send, got, tt.want)
		}
	}
}

// A shutdown by one of many ends all of them.
func TestShutdownByOneOfMany(t *testing.T) {
	ln := listen(t)
	server := new(Server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	var clients []*Client
	for range 10 {
		c, err := Dial(t.Context(), ln.Addr().String(), ClientOptions{Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	if err := clients[4].Shutdown(); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for i, c := range slices.Delete(clients, 4, 5) {
		if _, err := c.Receive(patience); err != io.EOF {
			t.Errorf("client %d: %v", i, err)
		}
		c.Close()
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// The context of a handler ends when its client is reset, not when it ends its side.
func TestContext(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system is not asked there")
	}
	began := make(chan context.Context, 1)
	reasons := make(chan error, 1)
	server := &Server{
		OneAtATime: true,
		Handler: func(c *Conn, cmd Command) error {
			ctx := c.Context()
			if ctx != c.Context() {
				return errors.New("another context")
			}
			if cmd.String() == "quick" {
				return ctx.Err()
			}
			began <- ctx
			<-ctx.Done()
			return c.SendString("too late")
		},
		OnDisconnect: func(_ *Conn, err error) { reasons <- err },
	}
	addr := start(t, server, listen(t))
	nc := connect(t, addr)
	nc.Write([]byte("quick\nslow\nslow\n"))
	<-began
	nc.CloseWrite()
	reset(nc)
	select {
	case err := <-reasons:
		if err == nil || err == io.EOF {
			t.Errorf("ended because %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the handler was not told")
	}
	go func() { <-reasons }()
	wantPong(t, addr)
}

// A deadline that comes too early is set again, one that comes in time counts.
func TestIdleOverTCP(t *testing.T) {
	conns, reasons := make(chan *Conn, 1), make(chan error, 1)
	hooks := Server{OnConnect: func(c *Conn) { conns <- c }, OnDisconnect: func(_ *Conn, err error) { reasons <- err }}

	patient := &Server{IdleTimeout: time.Hour, OnConnect: hooks.OnConnect, OnDisconnect: hooks.OnDisconnect}
	nc := connect(t, start(t, patient, listen(t)))
	c := <-conns
	for range 3 {
		c.nc.SetReadDeadline(past)
		nc.Write([]byte("ping\n"))
		if _, err := io.ReadFull(nc, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	patient.Close()
	if err := <-reasons; err != ErrShutdown {
		t.Errorf("ended because %v", err)
	}

	strict := &Server{IdleTimeout: 10 * time.Millisecond, OnDisconnect: hooks.OnDisconnect}
	nc = connect(t, start(t, strict, listen(t)))
	nc.Write([]byte("pin"))
	if n, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a silent client got %d bytes, %v", n, err)
	}
	if err := <-reasons; err != ErrIdle {
		t.Errorf("ended because %v", err)
	}
}

// A server that stops while a client connects serves no command.
func TestStopAtConnect(t *testing.T) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"raw":   func(ln net.Listener) net.Listener { return ln },
		"plain": func(ln net.Listener) net.Listener { return plainListener{ln} },
	} {
		reasons := make(chan error, 1)
		server := &Server{OnDisconnect: func(_ *Conn, err error) { reasons <- err }}
		server.OnConnect = func(*Conn) { server.Close() }
		addr := start(t, server, wrap(listen(t)))
		connect(t, addr).Write([]byte("ping\n"))
		if err := <-reasons; err != ErrShutdown {
			t.Errorf("%s: ended because %v", name, err)
		}
	}
}

// Other streams than TCP.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	start(t, &Server{OneAtATime: true, Handler: sample, LocalShutdown: true}, ln)
	for range 3 {
		wantPong(t, "unix:"+path)
	}
	c, err := Dial(t.Context(), "unix:"+path, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Request("many\ncmd01", 5, patience); err != nil || strings.Join(got, " ") != "1 2 3 4 ack" {
		t.Errorf("answers %q, %v", got, err)
	}
	if err := c.Shutdown(); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A limit on connections wraps them, and they are still read without a buffer.
func TestBehindLimit(t *testing.T) {
	ln := accept.Limit(listen(t), 2, nil)
	addr := start(t, &Server{Handler: sample}, ln)
	a, b := connect(t, addr), connect(t, addr)
	for _, nc := range []net.Conn{a, b} {
		fmt.Fprint(nc, "ping\n")
		if _, err := io.ReadFull(nc, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := connect(t, addr).Read(make([]byte, 1)); err == nil {
		t.Error("a third client was served")
	}
	fmt.Fprint(a, "disconnect\n")
	io.ReadAll(a)
	a.Close()
	fmt.Fprint(b, "cmd01\n")
	if _, err := io.ReadFull(b, make([]byte, 4)); err != nil {
		t.Error(err)
	}
}

func testTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

func TestTLS(t *testing.T) {
	serverTLS, clientTLS := testTLS(t)
	errs := make(chan error, 1)
	server := &Server{Handler: func(c *Conn, cmd Command) error {
		if c.Context().Err() != nil {
			return c.Context().Err()
		}
		return sample(c, cmd)
	}, ErrorLog: func(err error) { errs <- err }}
	addr := start(t, server, tls.NewListener(listen(t), serverTLS))

	c, err := Dial(t.Context(), addr, ClientOptions{Timeout: patience,
		Dial: (&tls.Dialer{Config: clientTLS}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 60<<10)
	if got, err := c.Request("echo "+line+"\ncmd01", 2, patience); err != nil || got[0] != line || got[1] != "ack" {
		t.Errorf("answers of %d, %v", len(got), err)
	}
	if err := c.Disconnect(); err != nil {
		t.Errorf("Disconnect: %v", err)
	}

	if got := ask(t, connect(t, addr), "ping\nping\n"); strings.Contains(got, "pong") {
		t.Errorf("without TLS: %q", got)
	}
	if err := <-errs; !strings.HasPrefix(err.Error(), "handshake with 127.0.0.1:") {
		t.Errorf("Log: %v", err)
	}
}

// Where the system does not tell what a socket still holds, it is read until it is
// empty.
func TestPlainConnections(t *testing.T) {
	addr := start(t, &Server{Handler: sample, OneAtATime: true}, plainListener{listen(t)})
	for range 20 {
		if got := ask(t, connect(t, addr), "ping\nmany\nhéllo\npin"); got != "pong\n1\n2\n3\n4\n"+nak {
			t.Errorf("answers %q", got)
		}
	}
	wantPong(t, addr)
}

type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return struct{ net.Conn }{c}, nil
}

func BenchmarkPing(b *testing.B) {
	addr := start(b, new(Server), listen(b))
	nc := connect(b, addr)
	nc.SetDeadline(time.Time{})
	for _, depth := range []int{1, 50, 1000} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			send, got := bytes.Repeat([]byte("ping\n"), depth), make([]byte, 5*depth)
			b.ReportAllocs()
			for i := 0; i < b.N; i += depth {
				nc.Write(send)
				if _, err := io.ReadFull(nc, got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package dump

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// A dumpTest is a dump that runs as a whole.
type dumpTest struct {
	t        *testing.T
	in       io.WriteCloser
	out, err *kit.Transcript
	signals  chan os.Signal
	code     chan int

	tcp, udp, ws string // where it listens
}

// startDump runs the mode with flags after those for loopback and free ports.
// change may be nil.
func startDump(t *testing.T, change func(*cli.Env), flags ...string) *dumpTest {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	d := &dumpTest{t: t, in: w, out: kit.NewTranscript(), err: kit.NewTranscript(), signals: make(chan os.Signal, 2), code: make(chan int, 4)}
	env := kit.ListenEnv(d.out, d.err)
	env.Stdin, env.Signals = r, d.signals
	env.Exit = func(code int) { d.code <- code }
	addrs := make(chan string, 3)
	env.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
		ln, err := new(net.ListenConfig).Listen(ctx, network, address)
		if err == nil {
			addrs <- ln.Addr().String()
		}
		return ln, err
	}
	env.ListenPacket = func(ctx context.Context, network, address string) (net.PacketConn, error) {
		pc, err := new(net.ListenConfig).ListenPacket(ctx, network, address)
		if err == nil {
			addrs <- pc.LocalAddr().String()
		}
		return pc, err
	}
	if change != nil {
		change(env)
	}
	line := append([]string{"socketsrv", "-dump", "-host", "127.0.0.1", "-tcp-port", "0", "-udp-port", "0", "-ws-port", "0", "-grace", "200ms"}, flags...)
	go func() {
		code := cli.Table{Mode}.Run(context.Background(), line, env)
		close(addrs)
		d.code <- code
	}()
	all := " " + strings.Join(line, " ")
	for _, l := range []struct {
		name string
		addr *string
	}{{"tcp", &d.tcp}, {"udp", &d.udp}, {"ws", &d.ws}} {
		if strings.Contains(all, " -"+l.name+"-port off") || strings.Contains(all, " -no-real-sockets") {
			continue
		}
		var listens bool
		if *l.addr, listens = <-addrs; !listens { // it may also have ended well by now
			t.Fatalf("exit %d: %s", <-d.code, d.err)
		}
	}
	t.Cleanup(d.stop)
	return d
}

// stop ends a dump that still runs.
func (d *dumpTest) stop() {
	select {
	case d.signals <- syscall.SIGTERM:
	default:
	}
	d.in.Close()
	select {
	case <-d.code:
	case <-time.After(kit.Patience):
		d.t.Errorf("it does not stop: %s%s", d.out, d.err)
	}
}

// do gives lines to stdin.
func (d *dumpTest) do(lines ...string) {
	d.t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(d.in, line+"\n"); err != nil {
			d.t.Fatalf("stdin: %v", err)
		}
	}
}

func (d *dumpTest) want(pattern string) string {
	d.t.Helper()
	return d.out.Want(d.t, pattern)
}

// end waits for the end of the program.
func (d *dumpTest) end(want int) {
	d.t.Helper()
	select {
	case code := <-d.code:
		d.code <- code // for stop
		if code != want {
			d.t.Errorf("exit %d, want %d: %s", code, want, d.err)
		}
	case <-time.After(kit.Patience):
		d.t.Fatalf("it does not end: %s%s", d.out, d.err)
	}
}

func (d *dumpTest) quit() {
	d.t.Helper()
	d.do("quit")
	d.end(0)
}

// A wirePeer is a client of a dump.
type wirePeer struct {
	t *testing.T
	net.Conn
}

func (d *dumpTest) dial(network string) wirePeer {
	d.t.Helper()
	addr := d.tcp
	if network == "udp" {
		addr = d.udp
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(kit.Patience))
	return wirePeer{d.t, c}
}

func (c wirePeer) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c wirePeer) want(s string) {
	c.t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(c.Conn, b); err != nil || string(b) != s {
		c.t.Errorf("the client got %.200q, %v; want %.200q", b[:n], err, s)
	}
}

// wantEnd reads to the end of the stream.
func (c wirePeer) wantEnd(s string) {
	c.t.Helper()
	if b, err := io.ReadAll(c.Conn); err != nil || string(b) != s {
		c.t.Errorf("the client got %.200q, %v; want %.200q and the end", b, err, s)
	}
}

// A webUser is a WebSocket client of a dump.
type webUser struct {
	t *testing.T
	*wsproto.Conn
}

func (d *dumpTest) dialWS(path string, opt wsproto.DialOptions) webUser {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), kit.Patience)
	defer cancel()
	c, _, err := wsproto.Dial(ctx, "ws://"+d.ws+path, opt)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.NetConn().Close() })
	c.SetReadDeadline(time.Now().Add(kit.Patience))
	return webUser{d.t, c}
}

func (u webUser) want(op wsproto.Opcode, data string) {
	u.t.Helper()
	m, err := u.ReadMessage()
	if err != nil || m.Opcode != op || string(m.Data) != data {
		u.t.Errorf("the client got %v %.200q, %v; want %v %.200q", m.Opcode, m.Data, err, op, data)
	}
}

// wantClose reads to the end, which must be a Close frame.
func (u webUser) wantClose(code wsproto.StatusCode, reason string) {
	u.t.Helper()
	for {
		_, err := u.ReadMessage()
		if err == nil {
			continue
		}
		if ce, ok := errors.AsType[*wsproto.CloseError](err); !ok || ce.Code != code || ce.Reason != reason {
			u.t.Errorf("the connection ended with %v; want close %d %q", err, code, reason)
		}
		u.Close(0, "")
		return
	}
}

// A fakeListener accepts what a test connects.
type fakeListener struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func newFakeListener() *fakeListener {
	return &fakeListener{conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// A duplex is a net.Pipe for each direction, so that one can end before the other.
type duplex struct{ in, out net.Conn }

func newDuplex() (a, b duplex) {
	p, q := net.Pipe()
	r, s := net.Pipe()
	return duplex{p, r}, duplex{s, q}
}

func (c duplex) Read(p []byte) (int, error)         { return c.in.Read(p) }
func (c duplex) Write(p []byte) (int, error)        { return c.out.Write(p) }
func (c duplex) CloseWrite() error                  { return c.out.Close() }
func (c duplex) SetReadDeadline(t time.Time) error  { return c.in.SetReadDeadline(t) }
func (c duplex) SetWriteDeadline(t time.Time) error { return c.out.SetWriteDeadline(t) }
func (c duplex) LocalAddr() net.Addr                { return c.in.LocalAddr() }
func (c duplex) RemoteAddr() net.Addr               { return c.in.RemoteAddr() }

func (c duplex) SetDeadline(t time.Time) error {
	return errors.Join(c.in.SetDeadline(t), c.out.SetDeadline(t))
}

func (c duplex) Close() error { return errors.Join(c.in.Close(), c.out.Close()) }

// A fakeSocket is a UDP socket whose datagrams a test sends and receives.
type fakeSocket struct {
	net.PacketConn
	in   chan fakeDatagram
	sent chan fakeDatagram
	once sync.Once
	over chan struct{}
}

type fakeDatagram struct {
	data string
	addr net.Addr
	err  error
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{in: make(chan fakeDatagram), sent: make(chan fakeDatagram, 10), over: make(chan struct{})}
}

func (s *fakeSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case d := <-s.in:
		return copy(p, d.data), d.addr, d.err
	case <-s.over:
		return 0, nil, net.ErrClosed
	}
}

func (s *fakeSocket) WriteTo(p []byte, addr net.Addr) (int, error) {
	s.sent <- fakeDatagram{data: string(p), addr: addr}
	return len(p), nil
}

func (s *fakeSocket) Close() error {
	s.once.Do(func() { close(s.over) })
	return nil
}

func (s *fakeSocket) LocalAddr() net.Addr {
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}
}
func (s *fakeSocket) SetWriteDeadline(time.Time) error { return nil }

func udpAddr(s string) net.Addr {
	a, err := net.ResolveUDPAddr("udp", s)
	if err != nil {
		panic(err)
	}
	return a
}

// fakeDump runs f in a bubble beside a dump whose sockets are fakes.
func fakeDump(t *testing.T, f func(t *testing.T, d *dumpTest, tcp, ws *fakeListener, udp *fakeSocket), flags ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tcp, ws, udp := newFakeListener(), newFakeListener(), newFakeSocket()
		next := []*fakeListener{tcp, ws}
		r, w := io.Pipe()
		d := &dumpTest{t: t, in: w, out: kit.NewTranscript(), err: kit.NewTranscript(), signals: make(chan os.Signal, 2), code: make(chan int, 4)}
		env := kit.Env(d.out, d.err)
		env.Stdin, env.Signals = r, d.signals
		env.Exit = func(code int) { d.code <- code }
		env.Listen = func(context.Context, string, string) (net.Listener, error) {
			ln := next[0]
			next = next[1:]
			return ln, nil
		}
		env.ListenPacket = func(context.Context, string, string) (net.PacketConn, error) { return udp, nil }
		go func() {
			d.code <- cli.Table{Mode}.Run(context.Background(), append([]string{"socketsrv", "-dump"}, flags...), env)
		}()
		f(t, d, tcp, ws, udp)
		d.stop()
	})
}

// connect makes a connection to a fake listener.
func (l *fakeListener) connect(t *testing.T) wirePeer {
	a, b := newDuplex()
	l.conns <- b
	return wirePeer{t, a}
}

package dial

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
	"syscall"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A Client makes connections to whatever a URL names. It is what the flags of
// a client said, for modes that need no more of them than the mode itself wants.
type Client struct {
	WS          *WebSocket
	TLS         *TLS
	Output      *cli.Output
	MaxMessage  int64         // bytes, after inflating
	Linger      time.Duration // what the peer of a stream has to end after we did
	Keepalive   Keepalive
	ShowSecrets bool

	tlsConfig *tlsconf.Config
	Pinged    *PingWatch // nil: nobody pings by hand
}

// A Link is a connection of any kind, seen as messages. Those of a WebSocket are
// text or binary, others have no type: Opcode 0.
type Link interface {
	// Receive returns the next message, valid until the next call. One goroutine
	// calls it, and reply. Besides what wsproto.Conn.ReadMessage returns, io.EOF is
	// the end of a stream, which without framing or TLS says nothing more.
	Receive() (wsproto.Message, error)
	Reply(m wsproto.Message) error
	Send(m wsproto.Message) error

	// Finish says that nothing more is sent. receive goes on until the peer ends
	// too, or until it had time enough.
	Finish(code wsproto.StatusCode, reason string) error
	// Close ends the connection at once, receive with it.
	Close()
}

// A Target is where a URL leads.
type Target struct {
	Scheme  string // ws wss tcp tls udp unix line
	Address string // host:port, a path; of ws the URL
	Shown   string // without a password
	framing string
	Path    string // of an HTTP URL
}

func (t *Target) WebSocket() bool { return t.Scheme == "ws" || t.Scheme == "wss" }

// Stream says whether bytes come and go without a sign where one message ends.
func (t *Target) Stream() bool {
	return t.framing == "none" && (t.Scheme == "tcp" || t.Scheme == "tls" || t.Scheme == "unix")
}

// ParseTarget reads URL, scheme:address or host:port.
func ParseTarget(arg, framing string) (t Target, err error) {
	scheme, rest, ok := strings.Cut(arg, "://")
	if !ok {
		scheme, rest, _ = strings.Cut(arg, ":")
		ok = slices.Contains([]string{"tcp", "tls", "udp", "unix", "line"}, scheme)
	}
	if !ok {
		scheme, rest = "ws", arg
	}
	t = Target{Scheme: strings.ToLower(scheme), Address: rest, framing: framing}
	switch t.Scheme {
	case "http":
		t.Scheme = "ws"
	case "https":
		t.Scheme = "wss"
	case "line":
		t.framing = "line"
	}
	switch t.Scheme {
	case "ws", "wss":
		host := rest[:strings.IndexAny(rest+"/", "/?#")]
		t.Shown = t.Scheme + "://" + rest[strings.LastIndexByte(host, '@')+1:]
		t.Address = t.Scheme + "://" + rest
		return t, nil
	case "unix":
		if rest == "" {
			return t, cli.Usagef("want unix:/path of a socket")
		}
	case "tcp", "tls", "udp", "line":
		t.Address = strings.TrimSuffix(rest, "/")
		_, port, err := net.SplitHostPort(t.Address)
		if n, perr := cli.ParsePort(port); err != nil || perr != nil || n == "0" {
			return t, cli.Usagef("want %s://host:port, not %q", t.Scheme, cli.Clip(arg, cli.MaxShown))
		}
	default:
		return t, cli.Usagef("want a URL of ws wss tcp tls udp unix line, or host:port")
	}
	t.Shown = t.Scheme + "://" + t.Address
	return t, nil
}

// Dial connects, handshakes included.
func (c *Client) Dial(ctx context.Context, env *cli.Env, con *cli.Console, t Target) (Link, error) {
	ctx, cancel := c.WS.Timeout(ctx)
	defer cancel()
	if t.WebSocket() {
		return c.dialWebSocketLink(ctx, env, con, t)
	}
	network := "tcp"
	if t.Scheme == "udp" || t.Scheme == "unix" {
		network = t.Scheme
	}
	nc, err := c.WS.For(env, t.Scheme)(ctx, network, t.Address)
	if err == nil && t.Scheme == "tls" {
		nc, err = c.StartTLS(ctx, con, nc, t.Address)
	}
	if err != nil {
		return nil, err
	}
	con.Status("connected to %s", t.Shown)
	if c.Output.JSON {
		con.Emit(&event.Event{Event: event.Open, Proto: t.Scheme, Client: -1, Peer: nc.RemoteAddr().String(), Dir: event.Out})
	}
	switch {
	case t.Scheme == "udp":
		return &datagramLink{nc: nc}, nil
	case t.framing == "length":
		opt := linesrv.SocketOptions{Timeout: -1, MaxMessage: int(c.MaxMessage), WriteTimeout: cli.WriteStall}
		return &socketLink{linesrv.NewSocket(nc, opt), nc, c.Linger}, nil
	case t.framing == "line":
		return &lineLink{streamLink{nc: nc, linger: c.Linger}, linesrv.Cutter{Max: int(c.MaxMessage)}, nil, nil}, nil
	}
	return &streamLink{nc: nc, linger: c.Linger}, nil
}

// StartTLS makes nc a TLS connection, or closes it.
func (c *Client) StartTLS(ctx context.Context, con *cli.Console, nc net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err == nil {
		nc, err = c.secure(ctx, con, nc, host)
	}
	return nc, err
}

// A streamLink is a stream whose pieces are messages as they come.
type streamLink struct {
	nc     net.Conn
	linger time.Duration // what the peer has to end after we did
	buf    []byte
	mu     sync.Mutex
}

func (l *streamLink) Receive() (wsproto.Message, error) {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	n, err := l.nc.Read(l.buf)
	if n > 0 {
		return wsproto.Message{Data: l.buf[:n]}, nil // an error comes again
	}
	return wsproto.Message{}, ended(err)
}

// ended makes the end of a stream that we set a time for its normal end.
func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return io.EOF
	}
	return err
}

func (l *streamLink) Send(m wsproto.Message) error  { return l.write(m.Data) }
func (l *streamLink) Reply(m wsproto.Message) error { return l.write(m.Data) }

func (l *streamLink) write(p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	const piece = 256 << 10
	for len(p) > 0 {
		n := min(len(p), piece)
		l.nc.SetWriteDeadline(time.Now().Add(cli.WriteStall))
		if _, err := l.nc.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (l *streamLink) Finish(wsproto.StatusCode, string) error { return halfClose(l.nc, l.linger) }
func (l *streamLink) Close()                                  { l.nc.Close() }

// halfClose tells the peer that nothing more comes; he has some time to end too.
func halfClose(nc net.Conn, linger time.Duration) error {
	var err error
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		err = half.CloseWrite()
	}
	nc.SetReadDeadline(time.Now().Add(linger))
	return err
}

// A lineLink is a stream of lines, each a message.
type lineLink struct {
	streamLink
	cutter linesrv.Cutter
	rest   []byte
	err    error
}

func (l *lineLink) Receive() (wsproto.Message, error) {
	for {
		line, rest, ok, err := l.cutter.Next(l.rest)
		l.rest = rest
		switch {
		case err != nil:
			return wsproto.Message{}, cli.Fail(cli.ExitTooLarge, err)
		case ok:
			return wsproto.Message{Data: line}, nil
		case l.err == io.EOF && len(l.cutter.Pending()) > 0:
			return wsproto.Message{}, cli.Fail(cli.ExitReceive, errors.New("the connection ended in the middle of a line"))
		case l.err != nil:
			return wsproto.Message{}, l.err
		}
		m, err := l.streamLink.Receive()
		l.rest, l.err = m.Data, err
	}
}

func (l *lineLink) Send(m wsproto.Message) error {
	return l.write(append(m.Data[:len(m.Data):len(m.Data)], '\n'))
}

func (l *lineLink) Reply(m wsproto.Message) error { return l.Send(m) }

// A socketLink is a stream of messages with their length in front.
type socketLink struct {
	*linesrv.Socket
	nc     net.Conn
	linger time.Duration
}

func (l *socketLink) Receive() (wsproto.Message, error) {
	p, err := l.Socket.Receive(-1)
	switch {
	case errors.Is(err, linesrv.ErrMessageTooLong):
		err = cli.Fail(cli.ExitTooLarge, err)
	case errors.Is(err, linesrv.ErrPartial), errors.Is(err, linesrv.ErrCut):
		err = cli.Fail(cli.ExitReceive, err)
	case err != nil:
		err = ended(err)
	}
	return wsproto.Message{Data: p}, err
}

func (l *socketLink) Send(m wsproto.Message) error            { return l.Socket.Send(m.Data) }
func (l *socketLink) Reply(m wsproto.Message) error           { return l.Socket.Send(m.Data) }
func (l *socketLink) Finish(wsproto.StatusCode, string) error { return halfClose(l.nc, l.linger) }
func (l *socketLink) Close()                                  { l.nc.Close() }

// A datagramLink sends and receives datagrams.
type datagramLink struct {
	nc  net.Conn
	buf []byte
}

func (l *datagramLink) Receive() (wsproto.Message, error) {
	if l.buf == nil {
		l.buf = make([]byte, cli.MaxDatagram+1)
	}
	n, err := l.nc.Read(l.buf)
	if err != nil {
		return wsproto.Message{}, unheard(ended(err))
	}
	return wsproto.Message{Data: l.buf[:n]}, nil
}

// unheard tells that nobody listens from other errors.
func unheard(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return cli.Fail(cli.ExitConnect, err)
	}
	return err
}

func (l *datagramLink) Send(m wsproto.Message) error {
	_, err := l.nc.Write(m.Data)
	return unheard(err)
}

func (l *datagramLink) Reply(m wsproto.Message) error { return l.Send(m) }

// Finish: datagrams have no end.
func (l *datagramLink) Finish(wsproto.StatusCode, string) error { return l.nc.Close() }
func (l *datagramLink) Close()                                  { l.nc.Close() }

func CloseText(ce *wsproto.CloseError) string {
	switch {
	case ce.Code == wsproto.StatusNoStatusReceived:
		return "connection closed: no code"
	case ce.Reason == "":
		return fmt.Sprintf("connection closed: code %d", ce.Code)
	}
	return fmt.Sprintf("connection closed: code %d reason \"%s\"", ce.Code, ce.Reason)
}

// EndText says in a line why a connection ended.
func EndText(err error, t Target) string {
	if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
		return CloseText(ce)
	}
	switch {
	case err == io.EOF && t.WebSocket():
		return "connection closed: code 1006, there was no close frame"
	case err == io.EOF:
		return "connection closed"
	}
	return "connection lost: " + cli.ErrorText(err)
}

package mode

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

	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A dialClient makes connections to whatever a URL names. It is what the flags of
// a client said, for modes that need no more of them than the mode itself wants.
type dialClient struct {
	ws          *ClientWS
	tls         *ClientTLS
	output      *Output
	maxMessage  int64         // bytes, after inflating
	linger      time.Duration // what the peer of a stream has to end after we did
	keepalive   connectKeepalive
	showSecrets bool

	tlsConfig *tlsconf.Config
	pinged    *pingWatch // nil: nobody pings by hand
}

// A link is a connection of any kind, seen as messages. Those of a WebSocket are
// text or binary, others have no type: Opcode 0.
type link interface {
	// receive returns the next message, valid until the next call. One goroutine
	// calls it, and reply. Besides what wsproto.Conn.ReadMessage returns, io.EOF is
	// the end of a stream, which without framing or TLS says nothing more.
	receive() (wsproto.Message, error)
	reply(m wsproto.Message) error
	send(m wsproto.Message) error

	// finish says that nothing more is sent. receive goes on until the peer ends
	// too, or until it had time enough.
	finish(code wsproto.StatusCode, reason string) error
	// close ends the connection at once, receive with it.
	close()
}

// A connectTarget is where a URL leads.
type connectTarget struct {
	scheme  string // ws wss tcp tls udp unix line
	address string // host:port, a path; of ws the URL
	shown   string // without a password
	framing string
	path    string // of an HTTP URL
}

func (t *connectTarget) webSocket() bool { return t.scheme == "ws" || t.scheme == "wss" }

// stream says whether bytes come and go without a sign where one message ends.
func (t *connectTarget) stream() bool {
	return t.framing == "none" && (t.scheme == "tcp" || t.scheme == "tls" || t.scheme == "unix")
}

// parseConnectTarget reads URL, scheme:address or host:port.
func parseConnectTarget(arg, framing string) (t connectTarget, err error) {
	scheme, rest, ok := strings.Cut(arg, "://")
	if !ok {
		scheme, rest, _ = strings.Cut(arg, ":")
		ok = slices.Contains([]string{"tcp", "tls", "udp", "unix", "line"}, scheme)
	}
	if !ok {
		scheme, rest = "ws", arg
	}
	t = connectTarget{scheme: strings.ToLower(scheme), address: rest, framing: framing}
	switch t.scheme {
	case "http":
		t.scheme = "ws"
	case "https":
		t.scheme = "wss"
	case "line":
		t.framing = "line"
	}
	switch t.scheme {
	case "ws", "wss":
		host := rest[:strings.IndexAny(rest+"/", "/?#")]
		t.shown = t.scheme + "://" + rest[strings.LastIndexByte(host, '@')+1:]
		t.address = t.scheme + "://" + rest
		return t, nil
	case "unix":
		if rest == "" {
			return t, Usagef("want unix:/path of a socket")
		}
	case "tcp", "tls", "udp", "line":
		t.address = strings.TrimSuffix(rest, "/")
		_, port, err := net.SplitHostPort(t.address)
		if n, perr := parsePort(port); err != nil || perr != nil || n == "0" {
			return t, Usagef("want %s://host:port, not %q", t.scheme, clip(arg, maxShown))
		}
	default:
		return t, Usagef("want a URL of ws wss tcp tls udp unix line, or host:port")
	}
	t.shown = t.scheme + "://" + t.address
	return t, nil
}

// dial connects, handshakes included.
func (c *dialClient) dial(ctx context.Context, env *Env, con *Console, t connectTarget) (link, error) {
	ctx, cancel := c.ws.Timeout(ctx)
	defer cancel()
	if t.webSocket() {
		return c.dialWebSocketLink(ctx, env, con, t)
	}
	network := "tcp"
	if t.scheme == "udp" || t.scheme == "unix" {
		network = t.scheme
	}
	nc, err := c.ws.For(env, t.scheme)(ctx, network, t.address)
	if err == nil && t.scheme == "tls" {
		nc, err = c.startTLS(ctx, con, nc, t.address)
	}
	if err != nil {
		return nil, err
	}
	con.Status("connected to %s", t.shown)
	if c.output.JSON {
		con.Emit(&event.Event{Event: event.Open, Proto: t.scheme, Client: -1, Peer: nc.RemoteAddr().String(), Dir: event.Out})
	}
	switch {
	case t.scheme == "udp":
		return &datagramLink{nc: nc}, nil
	case t.framing == "length":
		opt := linesrv.SocketOptions{Timeout: -1, MaxMessage: int(c.maxMessage), WriteTimeout: writeStall}
		return &socketLink{linesrv.NewSocket(nc, opt), nc, c.linger}, nil
	case t.framing == "line":
		return &lineLink{streamLink{nc: nc, linger: c.linger}, linesrv.Cutter{MaxLine: int(c.maxMessage)}, nil, nil}, nil
	}
	return &streamLink{nc: nc, linger: c.linger}, nil
}

// startTLS makes nc a TLS connection, or closes it.
func (c *dialClient) startTLS(ctx context.Context, con *Console, nc net.Conn, address string) (net.Conn, error) {
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

func (l *streamLink) receive() (wsproto.Message, error) {
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

func (l *streamLink) send(m wsproto.Message) error  { return l.write(m.Data) }
func (l *streamLink) reply(m wsproto.Message) error { return l.write(m.Data) }

func (l *streamLink) write(p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	const piece = 256 << 10
	for len(p) > 0 {
		n := min(len(p), piece)
		l.nc.SetWriteDeadline(time.Now().Add(writeStall))
		if _, err := l.nc.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (l *streamLink) finish(wsproto.StatusCode, string) error { return halfClose(l.nc, l.linger) }
func (l *streamLink) close()                                  { l.nc.Close() }

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

func (l *lineLink) receive() (wsproto.Message, error) {
	for {
		line, rest, ok, err := l.cutter.Next(l.rest)
		l.rest = rest
		switch {
		case err != nil:
			return wsproto.Message{}, &Failure{ExitTooLarge, err}
		case ok:
			return wsproto.Message{Data: line}, nil
		case l.err == io.EOF && len(l.cutter.Pending()) > 0:
			return wsproto.Message{}, &Failure{ExitReceive, errors.New("the connection ended in the middle of a line")}
		case l.err != nil:
			return wsproto.Message{}, l.err
		}
		m, err := l.streamLink.receive()
		l.rest, l.err = m.Data, err
	}
}

func (l *lineLink) send(m wsproto.Message) error {
	return l.write(append(m.Data[:len(m.Data):len(m.Data)], '\n'))
}

func (l *lineLink) reply(m wsproto.Message) error { return l.send(m) }

// A socketLink is a stream of messages with their length in front.
type socketLink struct {
	*linesrv.Socket
	nc     net.Conn
	linger time.Duration
}

func (l *socketLink) receive() (wsproto.Message, error) {
	p, err := l.Receive(-1)
	switch {
	case errors.Is(err, linesrv.ErrMessageTooLong):
		err = &Failure{ExitTooLarge, err}
	case errors.Is(err, linesrv.ErrPartial), errors.Is(err, linesrv.ErrCut):
		err = &Failure{ExitReceive, err}
	case err != nil:
		err = ended(err)
	}
	return wsproto.Message{Data: p}, err
}

func (l *socketLink) send(m wsproto.Message) error            { return l.Send(m.Data) }
func (l *socketLink) reply(m wsproto.Message) error           { return l.Send(m.Data) }
func (l *socketLink) finish(wsproto.StatusCode, string) error { return halfClose(l.nc, l.linger) }
func (l *socketLink) close()                                  { l.nc.Close() }

// A datagramLink sends and receives datagrams.
type datagramLink struct {
	nc  net.Conn
	buf []byte
}

func (l *datagramLink) receive() (wsproto.Message, error) {
	if l.buf == nil {
		l.buf = make([]byte, maxDatagram+1)
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
		return &Failure{ExitConnect, err}
	}
	return err
}

func (l *datagramLink) send(m wsproto.Message) error {
	_, err := l.nc.Write(m.Data)
	return unheard(err)
}

func (l *datagramLink) reply(m wsproto.Message) error { return l.send(m) }

// finish: datagrams have no end.
func (l *datagramLink) finish(wsproto.StatusCode, string) error { return l.nc.Close() }
func (l *datagramLink) close()                                  { l.nc.Close() }

func closeText(ce *wsproto.CloseError) string {
	switch {
	case ce.Code == wsproto.StatusNoStatusReceived:
		return "connection closed: no code"
	case ce.Reason == "":
		return fmt.Sprintf("connection closed: code %d", ce.Code)
	}
	return fmt.Sprintf("connection closed: code %d reason \"%s\"", ce.Code, ce.Reason)
}

// endText says in a line why a connection ended.
func endText(err error, t connectTarget) string {
	if ce, ok := errors.AsType[*wsproto.CloseError](err); ok {
		return closeText(ce)
	}
	switch {
	case err == io.EOF && t.webSocket():
		return "connection closed: code 1006, there was no close frame"
	case err == io.EOF:
		return "connection closed"
	}
	return "connection lost: " + errorText(err)
}

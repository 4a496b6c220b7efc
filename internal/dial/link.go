package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/httpmini"
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
	MaxMessage  int64 // bytes, after inflating
	Keepalive   Keepalive
	ShowSecrets bool
	Lenient     bool // what nothing depends on is passed over, and said
	Judged      bool // somebody looks at a Link now and then, and closes it when it is time: a WebSocket has no time-outs of its own

	// Wrap, unless nil, makes of each connection of a WebSocket, on top of TLS, what is
	// spoken over; NetConn of that is the connection.
	Wrap func(net.Conn) net.Conn

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

	// Finish says that nothing more is sent. Receive goes on until the peer ends too.
	Finish(code wsproto.StatusCode, reason string) error
	// Close ends the connection at once, Receive with it.
	Close()

	// Look returns when a byte moved last, in either direction, and how many bytes that
	// were sent lie with the system. Where the peer has ended, err is why it will not
	// take those.
	Look(ended bool) (moved time.Time, held int64, err error)
}

// A Target is where a URL leads.
type Target struct {
	Scheme  string // ws wss tcp tls udp unix unixgram line
	Address string // host:port, a path; of ws the URL
	Shown   string // without a password
	framing linesrv.Framing
	Where   httpmini.Where // of http and https, which ping asks
}

// Datagrams says whether messages come and go without a connection.
func (t *Target) Datagrams() bool { return t.Scheme == "udp" || t.Scheme == "unixgram" }

func (t *Target) WebSocket() bool { return t.Scheme == "ws" || t.Scheme == "wss" }

// Stream says whether bytes come and go without a sign where one message ends.
func (t *Target) Stream() bool {
	return t.framing.Kind == linesrv.KindNone && (t.Scheme == "tcp" || t.Scheme == "tls" || t.Scheme == "unix")
}

// LineEnd is what a line needs at its end to be sent with eol: nothing where it is a
// message.
func (t *Target) LineEnd(eol string) string {
	switch {
	case t.Stream():
		return eol
	case t.framing.Kind == linesrv.KindLine:
		return strings.TrimSuffix(eol, "\n") // the framing has the LF
	}
	return ""
}

// bareSchemes may stand before an address without slashes.
var bareSchemes = []string{"tcp", "tls", "udp", "unix", "unixgram", "line", "ws+unix", "ws", "wss"}

// ParseWebSocket is ParseTarget for a WebSocket alone.
func ParseWebSocket(arg string) (Target, error) {
	t, err := ParseTarget(arg, "none")
	if err == nil && !t.WebSocket() {
		err = cli.Usagef("want a ws or wss URL, or host:port")
	}
	return t, err
}

// ParseTarget reads URL, scheme:address or host:port.
func ParseTarget(arg, framing string) (t Target, err error) {
	scheme, rest, ok := strings.Cut(arg, "://")
	if !ok {
		scheme, rest, _ = strings.Cut(arg, ":")
		ok = slices.Contains(bareSchemes, scheme)
		port := rest[:strings.IndexAny(rest+"/", "/?#")]
		if strings.HasPrefix(scheme, "ws") && port != "" && strings.Trim(port, "0123456789") == "" {
			ok = false // a host called ws
		}
	}
	if !ok {
		scheme, rest = "ws", arg
	}
	t = Target{Scheme: strings.ToLower(scheme), Address: rest}
	if t.framing, err = linesrv.ParseFraming(framing); err != nil {
		return t, cli.Usagef("-framing %q: %v", cli.Clip(framing, cli.MaxShown), err)
	}
	switch t.Scheme {
	case "http":
		t.Scheme = "ws"
	case "https":
		t.Scheme = "wss"
	case "line":
		t.framing = linesrv.Framing{}
	}
	switch t.Scheme {
	case "ws+unix":
		if rest == "" {
			return t, cli.Usagef("want ws+unix:/path of a socket[:/target]")
		}
		t.Scheme, t.Address, t.Shown = "ws", "ws+unix:"+rest, "ws+unix:"+rest
		return t, nil
	case "ws", "wss":
		host := rest[:strings.IndexAny(rest+"/", "/?#")]
		t.Shown = t.Scheme + "://" + rest[strings.LastIndexByte(host, '@')+1:]
		t.Address = t.Scheme + "://" + rest
		return t, nil
	case "unix", "unixgram":
		if rest == "" {
			return t, cli.Usagef("want %s:/path of a socket", t.Scheme)
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
	nc, err := c.DialConn(ctx, env, con, t)
	if err != nil {
		return nil, err
	}
	stream := streamLink{nc: newMeter(nc, 0)}
	switch {
	case t.Datagrams():
		return &datagramLink{nc: nc}, nil
	case t.Stream():
		return &stream, nil
	}
	framed := framedLink{streamLink: stream, Reader: Reader{Conn: stream.nc, Cutter: linesrv.Cutter{Framing: t.framing, Max: int(min(c.MaxMessage, math.MaxInt32))}}}
	if t.Scheme == "line" {
		return &lineLink{framedLink: framed}, nil
	}
	return &framed, nil
}

// DialConn connects to what is no WebSocket, and says so.
func (c *Client) DialConn(ctx context.Context, env *cli.Env, con *cli.Console, t Target) (net.Conn, error) {
	network := "tcp"
	if t.Datagrams() || t.Scheme == "unix" {
		network = t.Scheme
	}
	nc, err := c.netDial(env, con, t.Scheme)(ctx, network, t.Address)
	if err == nil && t.Scheme == "tls" {
		nc, err = c.StartTLS(ctx, con, nc, t.Address)
	}
	if err != nil {
		return nil, err
	}
	con.Status("connected to %s", t.Shown)
	con.Event(event.Event{Event: event.Open, Proto: t.Scheme, Client: -1, Peer: nc.RemoteAddr().String(), Dir: event.Out})
	return nc, nil
}

// never is a time-out that somebody else takes care of.
const never = 365 * 24 * time.Hour

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
	nc  *meter
	buf []byte
}

func (l *streamLink) Receive() (wsproto.Message, error) {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	n, err := l.nc.Read(l.buf)
	if n > 0 {
		return wsproto.Message{Data: l.buf[:n]}, nil // an error comes again
	}
	return wsproto.Message{}, l.ended(err)
}

// ErrCut is the end of a stream that may have been meant to be longer.
var ErrCut = errors.New("the connection ended in the middle")

var errNoCloseNotify = fmt.Errorf("%w: TLS without close_notify (RFC 8446 6.1)", ErrCut)

// ended is what the end of the stream means.
func (l *streamLink) ended(err error) error {
	switch {
	case err == io.EOF && tlsconf.Cut(l.nc):
		return errNoCloseNotify
	case errors.Is(err, net.ErrClosed):
		return io.EOF
	}
	return err
}

func (l *streamLink) Send(m wsproto.Message) error  { return l.write(m.Data) }
func (l *streamLink) Reply(m wsproto.Message) error { return l.write(m.Data) }

func (l *streamLink) write(p []byte) error {
	_, err := l.nc.Write(p)
	return err
}

func (l *streamLink) Finish(wsproto.StatusCode, string) error   { return l.nc.CloseWrite() }
func (l *streamLink) Close()                                    { l.nc.Close() }
func (l *streamLink) Look(ended bool) (time.Time, int64, error) { return l.nc.look(ended) }

// A Reader reads a stream as messages.
type Reader struct {
	linesrv.Cutter
	Conn net.Conn
	buf  []byte
	rest []byte // read and not cut
	err  error  // of reading; what is in Cutter and rest comes first
}

// Next returns the next message, valid until the next call; cut says that the stream
// ended in the middle of it. The error is that of the Cutter or of Conn.
func (r *Reader) Next() (message []byte, cut bool, err error) {
	for {
		message, rest, ok, err := r.Cutter.Next(r.rest)
		if r.rest = rest; ok || err != nil {
			return message, false, err
		}
		silent := false
		if r.err == nil {
			if silent = !r.fill(); !silent {
				continue
			}
		}
		if message, cut := r.Finish(); message != nil {
			return message, cut, nil
		}
		if !silent {
			return nil, false, r.err
		}
	}
}

// fill reads once. It returns false when nothing comes for so long that this ends a
// message.
func (r *Reader) fill() bool {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	if r.Kind == linesrv.KindIdle && r.Pending() != nil {
		r.Conn.SetReadDeadline(time.Now().Add(r.Silence))
		defer r.Conn.SetReadDeadline(time.Time{})
	}
	n, err := r.Conn.Read(r.buf)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	r.rest, r.err = r.buf[:n], err
	return true
}

// A framedLink is a stream of messages.
type framedLink struct {
	streamLink
	Reader
}

func (l *framedLink) Receive() (wsproto.Message, error) {
	message, cut, err := l.Next()
	switch {
	case errors.Is(err, linesrv.ErrLineTooLong), errors.Is(err, linesrv.ErrMessageTooLong):
		err = cli.Fail(cli.ExitTooLarge, err)
	case cli.As[*linesrv.ProtocolError](err):
		err = cli.Fail(cli.ExitProtocol, err)
	case err != nil:
		err = l.ended(err)
	case cut:
		l.err = fmt.Errorf("%w of a message (-framing %v)", ErrCut, l.Framing)
	}
	return wsproto.Message{Data: message}, err
}

func (l *framedLink) Send(m wsproto.Message) error {
	framed, err := l.Framing.Append(nil, m.Data)
	if err != nil {
		return err
	}
	return l.write(framed)
}

func (l *framedLink) Reply(m wsproto.Message) error { return l.Send(m) }

// A lineLink leads to a line server. It ends by "disconnect", as socket-oneline's own
// client does, whose server serves nobody any more after a bare end; unless what was
// sent ends the connection anyway, or the server did.
type lineLink struct {
	framedLink
	ends atomic.Bool
}

func (l *lineLink) Receive() (wsproto.Message, error) {
	m, err := l.framedLink.Receive()
	if err != nil {
		l.ends.Store(true)
	}
	return m, err
}

func (l *lineLink) Send(m wsproto.Message) error {
	if word := string(m.Data); word == "disconnect" || word == "shutdown" {
		l.ends.Store(true)
	}
	return l.framedLink.Send(m)
}

func (l *lineLink) Reply(m wsproto.Message) error { return l.Send(m) }

func (l *lineLink) Finish(code wsproto.StatusCode, reason string) error {
	l.sayDisconnect()
	return l.framedLink.Finish(code, reason)
}

func (l *lineLink) Close() {
	l.sayDisconnect()
	l.framedLink.Close()
}

// sayDisconnect says so once. That it cannot be said is no failure: it is the end.
func (l *lineLink) sayDisconnect() {
	if l.ends.CompareAndSwap(false, true) {
		l.nc.SetWriteDeadline(time.Now().Add(lastWord))
		l.write([]byte("disconnect\n"))
	}
}

const lastWord = time.Second // that "disconnect" may take of a server that reads nothing

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
		return wsproto.Message{}, unheard(err)
	}
	return wsproto.Message{Data: l.buf[:n]}, nil
}

// ErrUnheard says that nobody listens for datagrams: by now somebody may.
var ErrUnheard = errors.New("nobody listens there")

// unheard tells that nobody listens from other errors.
func unheard(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return cli.Fail(cli.ExitConnect, fmt.Errorf("%w: %w", ErrUnheard, err))
	}
	return err
}

// Send tries again: what the system says first is about the datagram before.
func (l *datagramLink) Send(m wsproto.Message) error {
	_, err := l.nc.Write(m.Data)
	for tries := 0; tries < 2 && errors.Is(err, syscall.ECONNREFUSED); tries++ {
		_, err = l.nc.Write(m.Data)
	}
	return unheard(err)
}

func (l *datagramLink) Reply(m wsproto.Message) error { return l.Send(m) }

// Finish: datagrams have no end.
func (l *datagramLink) Finish(wsproto.StatusCode, string) error      { return nil }
func (l *datagramLink) Close()                                       { l.nc.Close() }
func (l *datagramLink) Look(bool) (_ time.Time, held int64, _ error) { return time.Time{}, 0, nil }

// CloseText says in a line how a peer closed.
func CloseText(ce *wsproto.CloseError) string { return EndText(ce, Target{Scheme: "ws"}) }

// EndText says in a line why a connection ended.
func EndText(err error, t Target) string {
	e := t.end(err)
	return "connection " + event.EndText(&e)
}

// end makes an event of why a connection ended; nil: we closed it.
func (t *Target) end(err error) event.Event {
	who := event.Event{Event: event.Close, Proto: t.Scheme, Client: -1}
	ce, ok := errors.AsType[*wsproto.CloseError](err)
	switch {
	case err == nil:
		return who
	case ok:
		return cli.Closed(who, ce)
	case err == io.EOF:
		return event.OfEnd(who, 0, "", "")
	}
	return event.OfEnd(who, 0, "", cli.ErrorText(err))
}

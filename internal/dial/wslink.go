package dial

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A WSLink is a WebSocket connection.
type WSLink struct {
	*wsproto.Conn
	beat  *heartbeat  // nil: none
	ended atomic.Bool // Receive returned an error
}

// Receive hands out messages. After an error Close hangs up.
func (l *WSLink) Receive() (wsproto.Message, error) {
	m, err := l.ReadMessage()
	if err != nil && l.beat != nil {
		l.beat.stop()
		if l.beat.lost.Load() {
			err = wsproto.ErrPongTimeout
		}
	}
	if closed, ok := errors.AsType[*wsproto.CloseError](err); ok { // it was answered by the same
		l.says(closed.Code, closed.Reason)
	}
	l.ended.Store(err != nil)
	return m, err
}

// says notes which Close frame is our end: it is no part of what is to be delivered.
func (l *WSLink) says(code wsproto.StatusCode, reason string) {
	n := 2 + 4 // header, masking key
	if code != 0 && code != wsproto.StatusNoStatusReceived {
		n += 2 + len(reason)
	}
	if m, ok := l.NetConn().(*meter); ok {
		m.says(n)
	}
}

func (l *WSLink) Send(m wsproto.Message) error  { return l.WriteMessage(m.Opcode, m.Data) }
func (l *WSLink) Reply(m wsproto.Message) error { return l.Conn.Reply(m.Opcode, m.Data) }

func (l *WSLink) Finish(code wsproto.StatusCode, reason string) error {
	l.says(code, reason)
	return l.CloseWrite(code, reason)
}

// Close hangs up after the peer's end so that our last frame arrives. Before that
// it has Receive find the connection broken.
func (l *WSLink) Close() {
	if l.ended.Load() {
		defer time.AfterFunc(hangUpTime, func() { l.NetConn().Close() }).Stop()
		l.Conn.Close(wsproto.StatusNormalClosure, "")
		return
	}
	l.NetConn().Close()
}

const (
	hangUpTime = 2 * time.Second // what a peer has to take our last frame and to end the stream
	closeTime  = 5 * time.Second // what one that was silent has to answer our Close
)

func (l *WSLink) Look(ended bool) (moved time.Time, held int64, err error) {
	if m, ok := l.NetConn().(*meter); ok {
		return m.look(ended)
	}
	return moved, 0, nil
}

// maxRedirects is how many redirects of a handshake -L follows.
const maxRedirects = 10

func (c *Client) dialWebSocketLink(ctx context.Context, env *cli.Env, con *cli.Console, t Target) (Link, error) {
	l := new(WSLink)
	cfg := wsproto.Config{MaxMessage: c.MaxMessage}
	if c.Judged {
		cfg.WriteTimeout, cfg.CloseTimeout = never, -1
	}
	if c.Keepalive.heartbeat {
		l.beat = &heartbeat{interval: c.Keepalive.Interval, beats: &c.Keepalive.beats}
	} else {
		cfg.PingInterval = c.Keepalive.Interval
	}
	cfg.Tap = c.tap(con, t, l.beat)
	if c.Lenient {
		cfg.Lenient = func(err error) { con.Error(errors.New("passed over: " + cli.ErrorText(err))) }
	}
	var err error
	if l.Conn, err = c.DialWebSocket(ctx, env, con, &t, cfg); err != nil {
		return nil, err
	}
	con.Status("connected to %s", t.Shown)
	if l.beat != nil {
		l.beat.start(l.Conn)
	}
	return l, nil
}

// DialWebSocket connects as the flags say, and shows the handshake. After redirects
// t.Shown is where they led.
func (c *Client) DialWebSocket(ctx context.Context, env *cli.Env, con *cli.Console, t *Target, cfg wsproto.Config) (*wsproto.Conn, error) {
	opt := wsproto.DialOptions{
		Header: c.WS.Header, Origin: c.WS.Origin, Subprotocols: c.WS.Subprotocols, NoCompression: c.WS.NoCompression,
		OwnHandshake: true,
		Timeout:      never, // ctx has the real one
		OnRequest:    func(req *httpmini.Request) { c.showRequest(con, req) },
		OnRedirect: func(res *httpmini.Response, url string) {
			c.showResponse(con, res, nil)
			t.Shown = url
		},
		NetDial: c.netDial(env, con, t.Scheme),
		Config:  cfg,
		TLS: func(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
			return c.secure(ctx, con, nc, host)
		},
	}
	if c.WS.Follow {
		opt.MaxRedirects = maxRedirects
	}
	if host := opt.Header.Get("Host"); host != "" {
		opt.Host = host
		opt.Header = slices.Clone(opt.Header)
		opt.Header.Del("Host")
	}
	if c.Judged {
		c.Wrap = func(nc net.Conn) net.Conn { return newMeter(nc, controlMax) }
	}
	if c.Wrap != nil {
		wrapped(&opt, c.Wrap)
	}
	conn, res, err := wsproto.Dial(ctx, t.Address, opt)
	if res != nil {
		c.showResponse(con, res, err)
	}
	if err != nil {
		return nil, dialFailure(err)
	}
	con.Detail("TLS: %s", cmp.Or(tlsconf.State(conn.NetConn()), "none"))
	c.opened(con, *t, conn, res)
	return conn, nil
}

// netDial is For, which shows the answer of a proxy that refuses.
func (c *Client) netDial(env *cli.Env, con *cli.Console, scheme string) func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := c.WS.For(env, scheme)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if r, ok := errors.AsType[*refusal](err); ok {
			c.showResponse(con, r.Response, nil)
		}
		return nc, err
	}
}

// dialFailure makes mistakes of the command line usage errors, and says which flag
// would help.
func dialFailure(err error) error {
	if errors.Is(err, wsproto.ErrURL) || errors.Is(err, wsproto.ErrField) {
		return cli.Usagef("%v", err)
	}
	if errors.Is(err, wsproto.ErrRedirects) {
		return cli.Fail(cli.ExitRedirects, err)
	}
	he, ok := errors.AsType[*wsproto.HandshakeError](err)
	if ok && he.Response != nil && he.Response.Status/100 == 3 && !errors.Is(err, wsproto.ErrRedirect) && he.Response.Header.Has("Location") {
		return fmt.Errorf("%w; -L follows to %s", err, cli.Field(he.Response.Header.Get("Location")))
	}
	return err
}

// opened makes an event of a connection.
func (c *Client) opened(con *cli.Console, t Target, conn *wsproto.Conn, res *httpmini.Response) {
	if !c.Output.Events() {
		return
	}
	e := event.Event{Event: event.Open, Proto: t.Scheme, Client: -1, Peer: conn.NetConn().RemoteAddr().String(), Dir: event.Out, Head: res.Raw}
	if sub := conn.Subprotocol(); sub != "" {
		e.Fields = append(e.Fields, event.Text("subprotocol", sub))
	}
	if ext := res.Header.Get("Sec-WebSocket-Extensions"); ext != "" {
		e.Fields = append(e.Fields, event.Text("extensions", ext))
	}
	con.Event(e)
}

// showResponse shows the answer to a handshake, and of a refusal the body.
func (c *Client) showResponse(con *cli.Console, res *httpmini.Response, err error) {
	con.Detail("< HTTP/1.%d %d %s", res.Minor, res.Status, res.Reason)
	for _, f := range res.Header {
		con.Detail("< %s: %s", f.Name, c.unlessSecret(f))
	}
	refused, ok := errors.AsType[*wsproto.HandshakeError](err)
	if !ok {
		return
	}
	for line := range bytes.Lines(refused.Body) {
		con.Detail("%s", bytes.TrimRight(line, "\r\n"))
	}
}

func (c *Client) unlessSecret(f httpmini.Field) string {
	if c.ShowSecrets {
		return f.Value
	}
	return cli.Concealed(f)
}

// wrapped has wrap make what is spoken over of each connection.
func wrapped(opt *wsproto.DialOptions, wrap func(net.Conn) net.Conn) {
	over := func(nc net.Conn, err error) (net.Conn, error) {
		if err != nil {
			return nil, err
		}
		return wrap(nc), nil
	}
	dial, startTLS := opt.NetDial, opt.TLS
	opt.NetDial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return over(dial(ctx, network, address))
	}
	opt.TLS = func(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
		return over(startTLS(ctx, nc.(interface{ NetConn() net.Conn }).NetConn(), host))
	}
}

// showRequest shows a handshake that is sent.
func (c *Client) showRequest(con *cli.Console, req *httpmini.Request) {
	con.Detail("> %s %s HTTP/1.1", req.Method, req.Target)
	for _, f := range req.Header {
		con.Detail("> %s: %s", f.Name, c.unlessSecret(f))
	}
}

// secure makes nc a TLS connection.
func (c *Client) secure(ctx context.Context, con *cli.Console, nc net.Conn, host string) (net.Conn, error) {
	if c.tlsConfig == nil {
		config, err := c.TLS.Config()
		if err != nil {
			nc.Close()
			return nil, err
		}
		for _, note := range config.Notes() {
			con.Status("%s", note)
		}
		config.AddKeyLog(con.KeyLog())
		c.tlsConfig = config
	}
	return c.tlsConfig.Client(ctx, nc, host)
}

// tap is what sees the frames of a connection; nil if nobody asks.
func (c *Client) tap(con *cli.Console, t Target, beat *heartbeat) func(bool, wsproto.Header, []byte) {
	visible := c.Keepalive.show || c.Output.Verbose
	if !visible && !c.Output.Events() && beat == nil && c.Pinged == nil {
		return nil
	}
	return func(received bool, h wsproto.Header, p []byte) {
		if !h.Opcode.IsControl() {
			return
		}
		if beat != nil && received && h.Opcode == wsproto.OpPong {
			beat.heard()
		}
		dir, verb := event.In, "received"
		if !received {
			dir, verb = event.Out, "sent"
		}
		if h.Opcode == wsproto.OpClose {
			con.Detail("%s %v", verb, h.Opcode)
			return
		}
		after, asked := time.Duration(0), false
		if received && h.Opcode == wsproto.OpPong {
			after, asked = c.Pinged.heard(p)
		}
		switch {
		case asked:
			con.Status("%s %v%s (%v)", verb, h.Opcode, afterColon(p), after.Round(time.Microsecond))
		case visible:
			con.Status("%s %v%s", verb, h.Opcode, afterColon(p))
		}
		con.Event(event.Event{Event: h.Opcode.String(), Proto: t.Scheme, Client: -1, Dir: dir, Payload: p})
	}
}

// afterColon is p behind a colon, if there is anything.
func afterColon(p []byte) string {
	if len(p) == 0 {
		return ""
	}
	return ": " + string(p)
}

// Keepalive is what the flags say about pings.
type Keepalive struct {
	Interval  time.Duration
	heartbeat bool
	show      bool

	beats atomic.Int64 // over all connections
}

const defaultHeartbeat = 30 * time.Second

func (k *Keepalive) Flags(fs *cli.Flags) {
	fs.Switch(&k.heartbeat, "heartbeat", "Sends IXWebSocket's pings, one at once and one each -ping-interval, and ends when one stays unanswered.")
	fs.Duration(&k.Interval, "ping-interval", "Sends a ping every D.")
	fs.Switch(&k.show, "P", "Shows pings and pongs.")
	fs.Check(func() error {
		if k.heartbeat && k.Interval == 0 {
			k.Interval = defaultHeartbeat
		}
		return nil
	})
}

// A heartbeat is IXWebSocket's: a ping at once and then one each interval, with a
// counter in its payload; where no pong came to one by the time of the next, the
// connection is closed.
type heartbeat struct {
	interval time.Duration
	beats    *atomic.Int64
	waiting  atomic.Bool // for a pong
	lost     atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func (b *heartbeat) start(conn *wsproto.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(0, func() { b.tick(conn) })
}

func (b *heartbeat) tick(conn *wsproto.Conn) {
	if b.waiting.Swap(true) {
		b.lost.Store(true)
		conn.CloseWrite(wsproto.StatusInternalError, "Ping timeout")
		time.AfterFunc(closeTime, func() { conn.NetConn().Close() })
		return
	}
	payload := fmt.Sprintf("ixwebsocket::heartbeat::%ds::%d", b.interval/time.Second, b.beats.Add(1)-1)
	if conn.Ping([]byte(payload)) != nil {
		return // the reader knows why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.timer.Reset(b.interval)
	}
}

func (b *heartbeat) heard() { b.waiting.Store(false) }

func (b *heartbeat) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.timer != nil {
		b.timer.Stop()
	}
}

// A PingWatch times the pongs to pings sent by hand. A nil one waits for none.
type PingWatch struct {
	mu    sync.Mutex
	pings []timedPing // not answered yet, the oldest first; maxPings at most
}

type timedPing struct {
	payload string
	at      time.Time
}

const maxPings = 16

func (w *PingWatch) Sent(payload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pings = append(w.pings[max(len(w.pings)-maxPings+1, 0):], timedPing{payload, time.Now()})
}

// heard says whether p answers a ping, and how long that took. Those before it
// need no answer then (RFC 6455 §5.5.3).
func (w *PingWatch) heard(p []byte) (after time.Duration, asked bool) {
	if w == nil {
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, ping := range w.pings {
		if ping.payload == string(p) {
			w.pings = w.pings[i+1:]
			return time.Since(ping.at), true
		}
	}
	return 0, false
}

// CloseEvent makes an event of why the connection to t ended; nil: we closed it.
func (c *Client) CloseEvent(con *cli.Console, t Target, err error) {
	con.Event(t.end(err))
}

// Fault shows the bytes by which a peer broke a rule, and makes an event of why a
// client fails, if err is such.
func (c *Client) Fault(con *cli.Console, t Target, err error) {
	code := cli.ExitCode(err)
	if code == cli.ExitOK || code == cli.ExitUsage {
		return
	}
	status, head, where := 0, "", "the bytes"
	var bad []byte
	var offset int64
	if he, ok := errors.AsType[*wsproto.HandshakeError](err); ok {
		if head = he.Head; he.Response != nil {
			status = he.Response.Status
		}
		for line := range strings.Lines(head) {
			if he.Response == nil && !c.Output.JSON { // else it could be read, and -v shows it
				con.Line("< " + strings.TrimRight(line, "\r\n"))
			}
		}
	}
	if pe, ok := errors.AsType[*wsproto.ProtocolError](err); ok {
		h := pe.Header
		status, bad, offset = int(pe.Code), pe.Bytes, pe.Offset
		where = fmt.Sprintf("%v frame, FIN %v, masked %v, %d bytes of payload", h.Opcode, h.Fin, h.Masked, h.PayloadLen)
	} else if le, ok := errors.AsType[*linesrv.ProtocolError](err); ok {
		bad, offset = le.Bytes, le.Offset
	}
	e := event.OfError(event.Event{Proto: t.Scheme, Client: -1}, status, cli.ErrorText(err), bad, offset)
	e.Head = head
	con.Event(e)
	if len(bad) > 0 && !c.Output.JSON {
		con.Line(fmt.Sprintf("%s, at offset %d:", where, offset))
		for line := range bytes.Lines(event.AppendHexDump(nil, bad)) {
			con.Line(string(bytes.TrimSuffix(line, []byte{'\n'})))
		}
	}
}

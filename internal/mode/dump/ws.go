package dump

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// wsServer serves WebSocket.
type wsServer struct {
	*dump
	*protocol
	ctx    context.Context
	ln     net.Listener
	proto  string // of events
	http   *httpmini.Server
	server *wsproto.Server
	accept wsproto.AcceptOptions

	users   sync.Mutex
	clients map[*wsproto.User]*wsClient
}

// A wsClient is one WebSocket connection.
type wsClient struct {
	client
	w       *wsServer
	u       *wsproto.User
	order   sync.Mutex   // held while something is sent and shown
	pings   atomic.Int32 // sent by command, their pongs not yet shown
	closing atomic.Bool  // the end is ours
}

func (d *dump) newWS(ctx context.Context, p *protocol, ln net.Listener) *wsServer {
	p.listens = true
	w := &wsServer{dump: d, protocol: p, ctx: ctx, ln: ln, proto: "ws", clients: make(map[*wsproto.User]*wsClient)}
	if d.tls.Enabled() {
		w.proto = "wss"
	}
	w.server = d.ws.Server(&d.listeners.Serving, d.con, ln.Addr(), d.tls.Enabled(), nil)
	w.accept = w.server.Accept
	greet := w.server.OnConnect
	w.server.OnConnect = func(u *wsproto.User, req *httpmini.Request) { w.connected(u, req, greet) }
	w.server.OnMessage = w.message
	w.server.OnDisconnect = w.disconnected
	w.server.OnFrame = w.frame
	w.http = &httpmini.Server{Handler: w.handshake, HeadTimeout: d.listeners.HandshakeTimeout, Log: w.con.Error}
	return w
}

func (w *wsServer) serve() error {
	return accept.Serve(accept.Limit(w.ln, w.listeners.MaxConns, w.turnAway(w.protocol, httpmini.Refuse)), w.http.ServeConn, w.con.Error)
}

// stop closes all clients with 1001.
func (w *wsServer) stop(ctx context.Context) {
	for _, t := range w.current() {
		t.(*wsClient).closing.Store(true)
	}
	var both sync.WaitGroup
	both.Go(func() { w.server.Shutdown(ctx) })
	both.Go(func() { w.http.Shutdown(ctx) })
	both.Wait()
}

// handshake answers a request, and says which one was refused and why.
func (w *wsServer) handshake(x *httpmini.Exchange) {
	req, from := x.Request, x.RemoteAddr()
	w.con.Detail("handshake of %v: %s %s", from, req.Method, event.Field(req.Target))
	for _, f := range req.Header {
		w.con.Detail("  %s: %s", event.Field(f.Name), event.Field(cli.Concealed(f)))
	}
	w.server.ServeExchange(x)
	if status := x.Status(); status == 101 || status == 200 { // 200 is the page
		return
	}
	reason := "no answer"
	_, _, err := wsproto.Answer(req, w.accept)
	if refusal, ok := errors.AsType[*wsproto.HandshakeError](err); ok {
		reason = cli.ErrorText(refusal.Err)
	}
	w.con.Status("handshake of %v refused with %d: %s (%s %s)", from, x.Status(), reason, req.Method, event.Field(req.Target))
	w.con.Event(event.Event{Event: event.Error, Proto: w.proto, Client: -1, Peer: cli.PeerName(from), Path: req.Target, Code: x.Status(), Err: reason})
}

func (w *wsServer) connected(u *wsproto.User, req *httpmini.Request, greet func(*wsproto.User, *httpmini.Request)) {
	c := &wsClient{w: w, u: u}
	c.protocol, c.proto, c.peer, c.path = w.protocol, w.proto, cli.PeerName(u.RemoteAddr()), req.Target
	w.opened(c)
	w.users.Lock()
	w.clients[u] = c
	w.users.Unlock()
	if w.ws.Permitted(req) && w.ws.Greet != "" {
		c.out.count(len(w.ws.Greet))
		w.sent(&c.client, "text", []byte(w.ws.Greet))
	} else if !w.ws.Permitted(req) {
		c.closing.Store(true)
	}
	greet(u, req)
}

// client returns what is known of u, nil before it was shown.
func (w *wsServer) client(u *wsproto.User) *wsClient {
	w.users.Lock()
	defer w.users.Unlock()
	return w.clients[u]
}

func (w *wsServer) message(u *wsproto.User, m wsproto.Message) {
	c := w.client(u)
	c.in.count(len(m.Data))
	w.moved.Add(1)
	c.order.Lock() // after the line of what it may answer
	w.received(&c.client, m.Opcode.String(), m.Data)
	c.order.Unlock()
	if !w.Answers() {
		return
	}
	back, ok := w.answerTo(w.ctx, &c.client, m, w.listeners.MaxMessage)
	if !ok {
		return
	}
	if u.Reply(back.Opcode, back.Data) == nil { // an error ends the connection, which disconnected shows
		c.out.count(len(back.Data))
		w.sent(&c.client, back.Opcode.String(), back.Data)
	}
}

// frame shows pings and pongs with -v; a pong that a command asked for always.
func (w *wsServer) frame(u *wsproto.User, received bool, h wsproto.Header, p []byte) {
	if h.Opcode != wsproto.OpPing && h.Opcode != wsproto.OpPong {
		return
	}
	c := w.client(u)
	if c == nil {
		return
	}
	w.moved.Add(1)
	asked := received && h.Opcode == wsproto.OpPong && c.pings.Load() > 0
	if asked {
		c.pings.Add(-1)
	}
	if w.shows && (asked || w.output.Verbose || w.output.JSON) {
		w.con.Emit(c.control(received, h.Opcode, p))
	}
}

func (c *wsClient) control(received bool, op wsproto.Opcode, p []byte) *event.Event {
	e := event.OfFrame(event.Event{Proto: c.proto, Client: c.number, Peer: c.peer}, received, op.String(), p)
	return &e
}

// disconnected shows how a connection ended: always with a code, 1006 where there
// was no Close frame (RFC 6455 §7.1.5).
func (w *wsServer) disconnected(u *wsproto.User, err error) {
	c := w.client(u)
	w.users.Lock()
	delete(w.clients, u)
	w.users.Unlock()
	ev := cli.Ended(event.Event{Proto: w.proto}, err)
	if ev.Code == 0 {
		ev.Code, ev.Err = int(wsproto.StatusAbnormalClosure), plainError(err)
	}
	if c.closing.Load() {
		ev.Dir = event.Out
	}
	w.closed(&c.client, ev)
	w.gone(c)
}

func (c *wsClient) send(op wsproto.Opcode, p []byte) error {
	if op == wsproto.OpText && !utf8.Valid(p) {
		return errors.New("a text message must be UTF-8; sendb sends bytes")
	}
	c.order.Lock()
	defer c.order.Unlock()
	if err := c.u.Send(op, p); err != nil {
		return c.explain(err)
	}
	c.out.count(len(p))
	c.w.sent(&c.client, op.String(), p)
	return nil
}

func (c *wsClient) explain(err error) error {
	switch {
	case errors.Is(err, wsproto.ErrQueueFull):
		err = errQueueFull
	case errors.Is(err, wsproto.ErrCloseSent):
		err = errClosing
	}
	return fmt.Errorf("%v: %s", c, plainError(err))
}

func (c *wsClient) sendFile(f *fileOut) error {
	defer f.close()
	p, err := f.read(c.w.listeners.MaxMessage)
	if err != nil {
		return err
	}
	if err := c.u.Send(wsproto.OpBinary, p); err != nil {
		return c.explain(err)
	}
	c.out.count(len(p))
	f.done(f.size, nil)
	return nil
}

func (c *wsClient) ping(p []byte) error {
	c.pings.Add(1)
	if c.w.shows && !c.w.output.Verbose && !c.w.output.JSON { // else frame shows it
		c.w.con.Emit(c.control(false, wsproto.OpPing, p))
	}
	if err := c.u.Ping(p); err != nil {
		c.pings.Add(-1)
		return c.explain(err)
	}
	return nil
}

func (c *wsClient) end(code wsproto.StatusCode, reason string) error {
	if code == 0 {
		code = wsproto.StatusNormalClosure
	}
	if c.closing.Swap(true) {
		return fmt.Errorf("%v: %w", c, errClosing)
	}
	c.u.Close(code, reason)
	return nil
}

package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
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
	silent sync.Map       // net.Addr of connections from which no request has come
	late   sync.WaitGroup // goroutines of wsClient.watch
}

// A wsClient is one WebSocket connection.
type wsClient struct {
	client
	w       *wsServer
	u       *wsproto.User
	pings   atomic.Int32 // sent by command, their pongs not yet shown
	closing atomic.Bool  // the end is ours

	order sync.Mutex // held while something is sent and shown
	posts []post     // which the system has not taken
	after func()     // what is done once it has; nil: nothing
}

// A post is a message on its way.
type post struct {
	size int
	sent func() // shows that it was
}

func (d *dump) newWS(ctx context.Context, p *protocol, ln net.Listener) *wsServer {
	p.listens = true
	w := &wsServer{dump: d, protocol: p, ctx: ctx, ln: ln, proto: d.tls.Proto("ws")}
	s := d.ws.Server(&d.listeners.Serving, d.con, d.tls.Enabled(), nil)
	if s.Config.WriteTimeout = d.stall; d.stall < 0 {
		s.Config.WriteTimeout = never
	}
	if d.lenient {
		s.OnFault = func(u *wsproto.User, err error) {
			if c := clientOf(u); c != nil {
				w.broken(&c.client, "passed over: ", err)
			}
		}
		s.Accept.Lenient = func(error) {} // forgiven tells
	}
	greet := s.OnConnect
	s.OnConnect = func(u *wsproto.User, req *httpmini.Request) { w.connected(u, req, greet) }
	s.OnMessage, s.OnDisconnect, s.OnFrame = w.message, w.disconnected, w.frame
	w.server, w.accept = s, s.Accept
	w.http = &httpmini.Server{Handler: w.handshake, Limits: httpmini.Limits{Lenient: d.lenient}, HeadTimeout: d.listeners.HandshakeTimeout, OnBadRequest: w.unreadable, ErrorLog: func(err error) {
		if !cli.As[*httpmini.Error](err) { // else it is shown with its bytes
			w.con.Error(err)
		}
	}}
	return w
}

const never = 365 * 24 * time.Hour

func (w *wsServer) serve() error {
	w.bound.Max, w.bound.Refuse = w.listeners.MaxConns, httpmini.Refuse
	return accept.Serve(w.bound.Listen(w.ln), w.serveConn, w.con.Error)
}

// serveConn shows what comes and goes without a request.
func (w *wsServer) serveConn(nc net.Conn) {
	addr := nc.RemoteAddr()
	peer := accept.Peer(addr)
	w.con.Detail("connection from %s for WebSocket", peer)
	w.silent.Store(addr, nil)
	w.http.ServeConn(nc)
	if _, ok := w.silent.LoadAndDelete(addr); ok {
		w.complain(peer, 0, "no request came", "")
	}
}

// complain shows what a peer did that never became a client, and the request.
func (w *wsServer) complain(peer string, status int, reason, request string) {
	ev := event.Event{Proto: w.proto, Client: -1, Peer: peer}
	if !w.output.JSON {
		reason = "handshake of " + peer + ": " + reason
	}
	ev = event.OfError(ev, status, reason, []byte(request), 0)
	w.con.Emit(&ev)
}

// unreadable shows a request that is none.
func (w *wsServer) unreadable(from net.Addr, raw string, err error) {
	w.silent.Delete(from)
	status, reason := 0, cli.ErrorText(err)
	if bad, ok := errors.AsType[*httpmini.Error](err); ok {
		status = bad.Status
		reason = fmt.Sprintf("%s (byte %d)", cli.ErrorText(bad.Err), bad.Offset)
	}
	w.complain(accept.Peer(from), status, reason, raw)
}

// stop closes all clients with 1001, once they have what was sent to them.
func (w *wsServer) stop() {
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	all.Go(func() { w.http.Shutdown(ctx) })
	for _, t := range w.current() {
		t.(*wsClient).closing.Store(true)
	}
	w.late.Wait()
	timer := time.AfterFunc(w.listeners.Grace, cancel)
	defer timer.Stop()
	w.server.Shutdown(ctx)
	all.Wait()
}

func (w *wsServer) cut() {
	for _, t := range w.current() {
		t.(*wsClient).u.Abort(errHungUp)
	}
}

// handshake answers a request, and says which one was refused and why.
func (w *wsServer) handshake(x *httpmini.Exchange) {
	req, from := x.Request, accept.Peer(x.RemoteAddr())
	w.silent.Delete(x.RemoteAddr())
	w.con.Detail("handshake of %s: %s %s", from, req.Method, cli.Field(req.Target))
	for _, f := range req.Header {
		w.con.Detail("  %s: %s", cli.Field(f.Name), cli.Field(cli.Concealed(f)))
	}
	if w.lenient {
		w.forgiven(from, req)
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
	w.con.Status("handshake of %s refused with %d: %s (%s %s)", from, x.Status(), reason, req.Method, cli.Field(req.Target))
	w.con.Event(event.Event{Event: event.Error, Proto: w.proto, Client: -1, Peer: from, Path: req.Target, Code: x.Status(), Err: reason, Head: req.Raw})
}

// forgiven shows which rules a request breaks that -lenient passes over.
func (w *wsServer) forgiven(from string, req *httpmini.Request) {
	faults, opt := req.Faults.Errors(), w.accept
	opt.Lenient = func(err error) { faults = append(faults, err) }
	wsproto.Answer(req, opt)
	for _, fault := range faults {
		w.complain(from, 0, "passed over: "+cli.ErrorText(fault), req.Raw)
	}
}

func (w *wsServer) connected(u *wsproto.User, req *httpmini.Request, greet func(*wsproto.User, *httpmini.Request)) {
	c := &wsClient{w: w, u: u}
	c.protocol, c.proto, c.peer, c.path = w.protocol, w.proto, accept.Peer(u.RemoteAddr()), req.Target
	if w.output.JSON {
		c.head = req.Raw
	}
	w.opened(c)
	u.SetData(c)
	if w.ws.Permitted(req) && w.greets() {
		c.out.count(len(w.ws.Greet))
		w.sent(&c.client, "text", []byte(w.ws.Greet))
	} else if !w.ws.Permitted(req) {
		c.closing.Store(true)
	}
	greet(u, req)
}

// clientOf returns what is known of u, nil before it was shown.
func clientOf(u *wsproto.User) *wsClient {
	c, _ := u.Data().(*wsClient)
	return c
}

func (w *wsServer) message(u *wsproto.User, m wsproto.Message) {
	c := clientOf(u)
	c.in.count(len(m.Data))
	w.moved.Add(1)
	c.order.Lock() // after the line of what it may answer
	w.received(&c.client, m.Opcode.String(), m.Data)
	c.order.Unlock()
	if !w.Answers() {
		return
	}
	back, ok := w.answerTo(w.ctx, &c.client, m, w.listeners.MaxMessage, u.NetConn())
	if !ok {
		return
	}
	c.order.Lock()
	defer c.order.Unlock()
	err := u.Send(back.Opcode, back.Data)
	if errors.Is(err, wsproto.ErrQueueFull) {
		err = u.Reply(back.Opcode, back.Data) // and no more is read from a peer that does not read either
	}
	if err == nil { // an error ends the connection, which disconnected shows
		c.posted(back.Opcode, back.Data)
	}
}

// posted shows a message as sent, once the system has it; order is held.
func (c *wsClient) posted(op wsproto.Opcode, p []byte) {
	p = bytes.Clone(p)
	c.post(len(p), func() {
		c.out.count(len(p))
		c.w.sent(&c.client, op.String(), p)
	})
}

func (c *wsClient) post(size int, sent func()) {
	if n, _ := c.u.Waiting(); n == 0 && len(c.posts) == 0 {
		sent()
		return
	}
	c.posts = append(c.posts, post{size, sent})
	if !c.waits.Swap(true) {
		c.w.late.Go(c.watch)
	}
}

// watch looks from time to time whether the system has taken what was sent.
func (c *wsClient) watch() {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for last := 0; c.waits.Load(); <-look.C {
		n, err := c.u.Waiting()
		if n != last {
			last = n
			c.w.moved.Add(1)
		}
		if n == 0 || err != nil {
			c.order.Lock()
			c.settle()
			c.order.Unlock()
		}
	}
}

// settle shows what became of the posts, when nothing waits or nothing can be sent
// any more; order is held.
func (c *wsClient) settle() {
	posts, after := c.posts, c.after
	c.posts, c.after = nil, nil
	c.waits.Store(false)
	if n, err := c.u.Waiting(); n > 0 || err != nil {
		left := unsent{messages: len(posts)}
		for _, p := range posts {
			left.bytes += p.size
		}
		c.w.notSent(&c.client, left)
	} else {
		for _, p := range posts {
			p.sent()
		}
	}
	if after != nil {
		after()
	}
}

// frame shows pings and pongs with -v; a pong that a command asked for always.
func (w *wsServer) frame(u *wsproto.User, received bool, h wsproto.Header, p []byte) {
	if h.Opcode != wsproto.OpPing && h.Opcode != wsproto.OpPong {
		return
	}
	c := clientOf(u)
	if c == nil {
		return
	}
	w.moved.Add(1)
	asked := received && h.Opcode == wsproto.OpPong && c.pings.Load() > 0
	if asked {
		c.pings.Add(-1)
	}
	if w.shows && (asked || w.output.Verbose || w.output.JSON) {
		w.con.Show(c.control(received, h.Opcode, p))
	}
}

func (c *wsClient) control(received bool, op wsproto.Opcode, p []byte) *event.Event {
	e := event.OfFrame(event.Event{Proto: c.proto, Client: c.number, Peer: c.peer}, received, op.String(), p)
	return &e
}

// disconnected shows how a connection ended: always with a code, 1006 where there
// was no Close frame (RFC 6455 §7.1.5).
func (w *wsServer) disconnected(u *wsproto.User, err error) {
	c := clientOf(u)
	c.order.Lock()
	c.settle()
	c.order.Unlock()
	ev := cli.Ended(event.Event{Proto: w.proto}, err)
	if ev.Code == 0 {
		ev.Code, ev.Err = int(wsproto.StatusAbnormalClosure), plainError(err)
	}
	if broken, ok := errors.AsType[*wsproto.ProtocolError](err); ok {
		ev.Err += frameWords(broken.Header)
	}
	if c.closing.Load() {
		ev.Dir = event.Out
	}
	w.closed(&c.client, ev)
	w.gone(c)
}

// broken shows a rule that a peer broke, with the bytes.
func (w *wsServer) broken(c *client, before string, err error) {
	ev := event.Event{Event: event.Error, Proto: w.proto, Client: c.number, Peer: c.peer, Err: cli.ErrorText(err)}
	if pe, ok := errors.AsType[*wsproto.ProtocolError](err); ok {
		ev.Code, ev.Payload, ev.Offset = int(pe.Code), pe.Bytes, pe.Offset-int64(pe.Before)
		ev.Err = pe.Err.Error() + frameWords(pe.Header)
	}
	if ev.Err = before + ev.Err; !w.output.JSON {
		ev.Err = c.String() + ": " + ev.Err
	}
	w.con.Emit(&ev)
}

// frameWords tells of a frame that broke a rule what stands in its header.
func frameWords(h wsproto.Header) string {
	if h == (wsproto.Header{}) {
		return ""
	}
	words := map[bool]string{true: "", false: "not "}
	return fmt.Sprintf(" (%v frame, %sFIN, %smasked, length %d)", h.Opcode, words[h.Fin], words[h.Masked], h.PayloadLen)
}

func (c *wsClient) send(op wsproto.Opcode, p []byte) error {
	if op == wsproto.OpText && !utf8.Valid(p) {
		return errors.New("a text message must be UTF-8; sendb sends bytes")
	}
	c.order.Lock()
	defer c.order.Unlock()
	if c.closing.Load() {
		return c.explain(errClosing)
	}
	if err := c.u.Send(op, p); err != nil {
		return c.explain(err)
	}
	c.posted(op, p)
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
	c.order.Lock()
	defer c.order.Unlock()
	if c.closing.Load() {
		return c.explain(errClosing)
	}
	if err := c.u.Send(wsproto.OpBinary, p); err != nil {
		return c.explain(err)
	}
	c.post(len(p), func() {
		c.out.count(len(p))
		f.done(f.size, nil)
	})
	return nil
}

func (c *wsClient) ping(p []byte) error {
	c.pings.Add(1)
	if c.w.shows && !c.w.output.Verbose && !c.w.output.JSON { // else frame shows it
		c.w.con.Show(c.control(false, wsproto.OpPing, p))
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
	c.order.Lock()
	defer c.order.Unlock()
	if c.after = func() { c.u.Close(code, reason) }; len(c.posts) == 0 {
		c.settle()
	}
	return nil
}

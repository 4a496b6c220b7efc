package play

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// serving is what the flags of a server said, and the server at work.
type serving struct {
	spec     listen.Spec
	listener *listen.Listener
	once     bool // one conversation is all
	long     bool // datagrams may be answered by more than came

	table   accept.Table
	clients atomic.Int64
	first   chan error // how the first conversation ended
}

func (p *play) serverFlags(fs *cli.Flags) {
	v := &p.serving
	v.first = make(chan error, 1)
	fs.Func("listen", "SPEC", "Plays the server to each client that comes to tcp://HOST:PORT, tls://…, ws://…, wss://…, line://…, udp://… or unix:/PATH.", func(s string) (err error) {
		if v.spec, err = listen.ParseSpec(s); v.spec.Scheme == "stdio" {
			err = errors.New("want an address: stdin and stdout are for -proxy")
		}
		return err
	})
	fs.Switch(&v.once, "once", "Ends with the first client, by what came of its conversation.")
	fs.Switch(&v.long, "udp-long-answers", "Answers UDP by more than came, too: for a network where nobody forges addresses.")
	v.listener = listen.AddListener(fs, "127.0.0.1", "0")
	fs.Unlist("host", "port", "max-memory", "message-timeout", "idle-timeout", "ping-interval", "ping-timeout")
}

// serve plays the file to all that come.
func (p *play) serve(ctx context.Context) error {
	v := &p.serving
	proto := v.spec.Scheme
	var secure *listen.TLS
	if v.spec.Secure {
		if !tlsconf.Available {
			return cli.ErrNoTLS
		}
		secure = listen.NewTLS(p.dial.TLS.Options)
	}
	if err := p.start(secure.Proto(proto)); err != nil {
		return err
	}
	v.listener.Listen(v.spec.Host, v.spec.Port)
	if proto == "udp" {
		return p.serveDatagrams(ctx)
	}
	ln, err := v.listener.Open(ctx, p.env, p.con, v.spec.Scheme, secure)
	if err != nil {
		return err
	}
	defer ln.Close()
	handle := p.serveStream
	if p.isWebSocket() {
		ln = (&accept.Bound{Max: v.listener.MaxConns, Refuse: httpmini.Refuse, Full: listen.Full(p.con)}).Listen(ln)
		handle = p.serveWebSocket
	}
	return p.until(ctx, ln.Close, func() error { return v.table.Serve(ln, handle, p.con.Error) })
}

// until serves until ctx or with -once the first conversation ends; then end closes what
// is listened on.
func (p *play) until(ctx context.Context, end, serve func() error) error {
	v := &p.serving
	var first error
	wait := func() error {
		select {
		case first = <-v.first:
		case <-v.table.Stopped():
		}
		return nil
	}
	servers := []func() error{serve}
	if v.once {
		servers = append(servers, wait)
	}
	err := listen.ServeAll(ctx, &v.listener.Serving, func(ctx context.Context) {
		end()
		v.table.Shutdown(ctx)
	}, servers...)
	if err == nil {
		err = first
	}
	if err == nil && p.report.failed > 0 {
		err = cli.Fail(cli.ExitExpect, nil)
	}
	return err
}

// enter begins the conversation with who comes over nc; leave ends it.
func (p *play) enter(nc net.Conn, peer string) *conversation {
	v := &p.serving
	c := p.begin(context.Background(), nc, event.Event{Proto: p.proto, Client: int(v.clients.Add(1) - 1), Peer: peer})
	if _, ok := v.table.Add(c); !ok {
		c.cancel()
	}
	return c
}

func (c *conversation) leave() {
	c.serving.table.Remove(c)
	c.cancel()
	c.pipe.Close()
}

// Stop and Kill are those of an accept.Member.
func (c *conversation) Stop() { c.cancel() }
func (c *conversation) Kill() { c.pipe.Close() }

// serve says who came, plays the file on w, and says what became of that.
func (c *conversation) serve(w wire, path string) {
	c.con.Status("client %d: %s", c.who.Client, cli.Field(c.who.Peer+path))
	e := c.who
	e.Event, e.Path = event.Open, path
	c.con.Event(e)
	err := c.playOn(w)
	stopped := errors.Is(err, context.Canceled)
	if err != nil && !stopped {
		c.failed(err)
	}
	if c.ctx.Err() == nil || !stopped {
		select {
		case c.serving.first <- err:
		default:
		}
	}
}

func (c *conversation) failed(err error) { c.con.Error(fmt.Errorf("client %d: %w", c.who.Client, err)) }

func (p *play) serveStream(nc net.Conn) {
	c := p.enter(nc, accept.Peer(nc.RemoteAddr()))
	defer c.leave()
	if err := accept.Handshake(c.ctx, nc); err != nil {
		c.failed(err)
		return
	}
	c.serve(c.stream(), "")
}

func (p *play) serveWebSocket(nc net.Conn) {
	c := p.enter(nc, accept.Peer(nc.RemoteAddr()))
	defer c.leave()
	flags := listen.WebSocket{Origins: []string{"*"}, Subprotocols: p.dial.WS.Subprotocols, NoCompression: p.dial.WS.NoCompression}
	server := &httpmini.Server{HeadTimeout: p.serving.listener.HandshakeTimeout, ErrorLog: p.con.Error, Handler: func(x *httpmini.Exchange) {
		conn, err := wsproto.AcceptExchange(x, flags.AcceptOptions(p.serving.spec.Secure), c.config())
		if err != nil {
			c.failed(err)
			return
		}
		c.serve(&socket{c.pipe, conn}, x.Request.Target)
	}}
	server.ServeConn(c.pipe)
}

// serveDatagrams plays the file to each who sends one.
func (p *play) serveDatagrams(ctx context.Context) error {
	v := &p.serving
	pc, end, err := v.listener.OpenPacket(ctx, p.env, p.con)
	if err != nil {
		return err
	}
	defer end()
	peers := &listen.Peers{Datagrams: listen.NewDatagrams(pc), Max: v.listener.MaxConns, ErrorLog: p.con.Error,
		Refused: func(at listen.Source, why error) {
			p.con.Error(fmt.Errorf("datagrams of %v are not answered: %w", at, why))
		},
		Handle: func(nc net.Conn, at listen.Source) {
			c := p.enter(nc, at.String())
			defer c.leave()
			c.serve(&datagrams{pipe: c.pipe, bounded: !v.long && !at.True()}, "")
		}}
	return p.until(ctx, end, peers.Serve)
}

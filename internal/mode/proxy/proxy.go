// Package proxy passes WebSocket connections on to other servers.
//
// The opening handshake is made twice, in handshake.go: the client's is judged and
// not answered before the target's is done, whose answer goes back. Then the frames
// pass as they are, by wsproto.Relay, or, to a target that speaks no WebSocket, as a
// stream: bridge.go. Which target it is, routes.go says.
package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "proxy", Brief: "pass WebSocket connections on, by host name too; WebSocket to TCP",
	Aliases: []cli.Alias{{Name: "proxy_server"}},
	Examples: []string{
		"socketsrv -proxy -remote_host ws://127.0.0.1:9000",
		"socketsrv -proxy -host 0.0.0.0 -port 8765 -config_path proxy.conf -show",
		"socketsrv -proxy -remote_host tcp://127.0.0.1:5900",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		p := new(proxy)
		fs.Group("Proxy")
		fs.Func("remote-host", "URL", "Passes connections on to this target: ws://, wss:// or tcp://HOST:PORT.", func(s string) (err error) {
			p.remote, err = parseTarget(s)
			return err
		})
		fs.String(&p.config, "config-path", "FILE", "Reads targets by Host from FILE: lines of HOST=URL, or JSON; -remote-host takes the others.")
		fs.Switch(&p.show, "show", "Shows every message that passes, both ways, as -dump does; so do -v, -format, -raw and -max-show.")
		fs.Switch(&p.trust, "trust-forwarded", "Keeps Forwarded, X-Forwarded-* and X-Real-IP as clients send them.")
		p.listener = listen.AddListener(fs, "127.0.0.1", "8008")
		p.ws = wsFlags(fs)
		p.tls = listen.AddTLS(fs)
		p.targetTLS = targetTLSFlags(fs)
		p.dialer = dial.AddDialer(fs)
		p.output = fs.Output()
		fs.Check(func() error {
			if fs.Given("max-message") {
				p.maxMessage = p.listener.MaxMessage
			}
			p.show = p.show || p.output.Verbose || fs.Given("format") || fs.Given("raw") || fs.Given("max-show")
			p.output.Lossy = !p.show && !p.output.JSON // what nobody asked for stops nobody
			return nil
		})
		return p.run
	},
	Checks: []cli.Check{{Name: "WebSocket to an echo server", Run: func(ctx context.Context, b *cli.Bench) error {
		_, addr, err := b.Start(ctx, "ws", "echo", "-port", "0")
		if err != nil {
			return err
		}
		return cli.EchoCheck("", "ws", "ws", "proxy", "-port", "0", "-remote_host", "ws://"+addr).Run(ctx, b)
	}}},
}

// proxyWS adds those flags of a WebSocket server that concern the handshake: the
// rest is between client and target.
func wsFlags(fs *cli.Flags) *listen.WebSocket {
	w := new(listen.WebSocket)
	fs.Group("WebSocket")
	fs.List(&w.Origins, "origin", "LIST", "Takes clients of these origins; * takes all. Else those of the same host and of loopback.")
	fs.List(&w.AllowHosts, "allow-host", "LIST", "Takes these names in Host too, beside addresses and the names of this machine; * takes any.")
	fs.Switch(&w.NoCompression, "x", "Refuses compression (permessage-deflate).")
	fs.Func("auth", "USER:PASS", "Answers 401 without this user and password.", cli.SetUser(&w.User))
	fs.String(&w.Token, "token", "T", "Answers 401 without this bearer token, or this password of any user.")
	fs.Hide("auth", "token")
	return w
}

// proxyTLS adds the flags of TLS to the targets.
func targetTLSFlags(fs *cli.Flags) *dial.TLS {
	c := new(dial.TLS)
	o := &c.Options
	fs.Group("TLS to wss:// targets")
	fs.Switch(&o.Insecure, "k insecure-backend", "Trusts any certificate of a target.")
	fs.String(&o.CA, "backend-cacert", "FILE", "Trusts targets with certificates signed by those in this PEM file only.")
	fs.String(&o.Cert, "backend-cert", "FILE", "Shows targets the certificate in this PEM file.")
	fs.String(&o.Key, "backend-key", "FILE", "Uses the key in this PEM file; that of -backend-cert may hold it too.")
	fs.Check(func() error {
		switch {
		case !tlsconf.Available && fs.AnyGiven("TLS to wss:// targets"):
			return cli.ErrNoTLS
		case o.Key != "" && o.Cert == "":
			return cli.Usagef("-backend-key needs -backend-cert")
		}
		return nil
	})
	return c
}

// proxy is what the flags said, and the proxy at work.
type proxy struct {
	remote     *target // nil: none
	config     string
	trust      bool
	show       bool  // messages
	maxMessage int64 // on the wire; 0: no bound
	listener   *listen.Listener
	ws         *listen.WebSocket
	tls        *listen.TLS
	targetTLS  *dial.TLS
	dialer     *dial.Dialer
	output     *cli.Output

	name   string // in Via: nobody else's
	env    *cli.Env
	con    *cli.Console
	routes *routes
	accept wsproto.AcceptOptions
	secure *tlsconf.Config // to wss targets; nil: there are none
	ctx    context.Context // of handshakes with targets

	clients  atomic.Int64
	counts   struct{ messages, bytes, refused atomic.Int64 }
	sessions accept.Table
}

// A session is a client and its target, connected.
type session struct {
	number int
	peer   string
	proto  string
	target *target

	close func()          // ends it politely
	abort func(err error) // ends it
}

func (s *session) Stop() { s.close() }
func (s *session) Kill() { s.abort(wsproto.ErrServerClosed) }

func (p *proxy) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := p.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	p.name, p.env, p.con = "socketsrv-"+strings.ToLower(rand.Text()[:12]), env, con
	if err := p.prepare(); err != nil {
		return err
	}
	ln, err := p.listener.Open(ctx, env, con, "ws", p.tls)
	if err != nil {
		return err
	}
	defer ln.Close()
	p.accept = p.acceptOptions(ln.Addr())
	targets, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.ctx = targets
	server := &httpmini.Server{
		Handler:     p.serve,
		HeadTimeout: p.listener.HandshakeTimeout,
		Limits:      httpmini.Limits{Line: 9 << 10}, // a query of 8 KiB and what goes with it
		Log:         con.Error,
	}
	bound := &accept.Bound{Max: p.listener.MaxConns, Refuse: httpmini.Refuse, Full: func() { con.Error(errFull) }}
	err = listen.ServeAll(ctx, &p.listener.Serving, func(ctx context.Context) {
		ln.Close()
		cancel()
		var all sync.WaitGroup
		all.Go(func() { p.sessions.Shutdown(ctx) })
		all.Go(func() { server.Shutdown(ctx) })
		all.Wait()
	}, func() error { return accept.Serve(bound.Listen(ln), server.ServeConn, con.Error) })
	p.summary()
	return err
}

var errFull = errors.New("as many connections as -max-conns allows, more are turned away")

// prepare reads what is to be known before the first client.
func (p *proxy) prepare() (err error) {
	if p.remote == nil && p.config == "" {
		return cli.Usagef("missing -remote_host URL or -config_path FILE")
	}
	p.routes = &routes{other: p.remote}
	if p.config != "" {
		if p.routes, err = readRoutes(p.config, p.remote); err != nil {
			return err
		}
	}
	if p.listener.PingInterval > 0 && !p.routes.any(func(t *target) bool { return t.scheme == "tcp" }) {
		return cli.Usagef("-ping-interval is for tcp:// targets: to others pings pass from end to end")
	}
	if p.routes.any(func(t *target) bool { return t.scheme == "wss" }) {
		if p.secure, err = p.targetTLS.Config(); err != nil {
			return err
		}
		for _, note := range p.secure.Notes() {
			p.con.Status("%s", note)
		}
	}
	if n := p.env.Descriptors; n > 0 { // each client takes two
		p.listener.MaxConns = min(p.listener.MaxConns, max((n-listen.Spare)/2, 1))
	}
	return nil
}

// acceptOptions are those for all clients. Names that have a target of their own
// are ours without -allow-host; where there is no other target, all others are
// refused anyway.
func (p *proxy) acceptOptions(addr net.Addr) wsproto.AcceptOptions {
	w := *p.ws
	w.AllowHosts = append(p.routes.names(), w.AllowHosts...)
	opt := w.AcceptOptions(addr, p.tls.Enabled())
	opt.NoCompression = true // that is between client and target
	if p.remote == nil {
		opt.AllowHost = nil
	}
	return opt
}

// enter has s ended with the others; one that comes while we stop is ended at once.
func (p *proxy) enter(s *session) {
	if _, ok := p.sessions.Add(s); !ok {
		s.close()
	}
}

// serve answers one request; a good handshake becomes a session.
func (p *proxy) serve(x *httpmini.Exchange) {
	err := p.handshake(x)
	if err == nil {
		return
	}
	p.counts.refused.Add(1)
	p.con.Error(fmt.Errorf("%v: %w", x.RemoteAddr(), err))
}

// session names what comes of a handshake.
func (p *proxy) session(x *httpmini.Exchange, t *target) *session {
	s := &session{number: int(p.clients.Add(1) - 1), peer: accept.Peer(x.RemoteAddr()), proto: "ws", target: t}
	if p.tls.Enabled() {
		s.proto = "wss"
	}
	return s
}

// relay passes frames between nc and the target until both have ended.
func (p *proxy) relay(s *session, nc net.Conn, buffered []byte, up *upstream) {
	r := wsproto.NewRelay(nc, up.nc, buffered, up.buffered, wsproto.RelayConfig{
		Deflate:     up.deflate,
		MaxMessage:  p.maxMessage,
		IdleTimeout: p.listener.IdleTimeout,
		OnMessage:   p.teller(s),
		Payloads:    p.listener.MaxMessage,
	})
	s.close = func() { r.Close(wsproto.StatusGoingAway, "") }
	s.abort = r.Abort
	p.enter(s)
	end := r.Run()
	p.sessions.Remove(s)
	p.counts.messages.Add(end.Messages)
	p.counts.bytes.Add(end.Bytes)
	p.closed(s, end.ByBackend, end.Err)
}

func (p *proxy) opened(s *session, req *httpmini.Request) {
	p.con.Status("client %d: %s %s to %s", s.number, s.peer, cli.Field(req.Target), s.target)
	p.con.Event(event.Event{Event: event.Open, Proto: s.proto, Client: s.number, Peer: s.peer, Path: req.Target,
		Fields: []event.Data{event.Text("target", s.target.String())}})
}

// teller is what is told of each message of s; nil if nobody asks. One without a
// payload is too long to be shown.
func (p *proxy) teller(s *session) func(fromTarget bool, op wsproto.Opcode, size int64, payload []byte) {
	if !p.show && !p.output.Events() {
		return nil
	}
	return func(fromTarget bool, op wsproto.Opcode, size int64, payload []byte) {
		if op == wsproto.OpClose {
			return // closed says it
		}
		e := event.OfFrame(s.event(), !fromTarget, cli.OpcodeName(op), payload)
		if payload == nil {
			e.Size = size
		}
		if p.show && (e.Event == event.Message || p.output.Verbose) {
			p.con.Emit(&e)
		} else {
			p.con.Event(e)
		}
	}
}

func (p *proxy) closed(s *session, byTarget bool, err error) {
	e, who := cli.Ended(s.event(), err), "client"
	if e.Dir = event.In; byTarget {
		e.Dir, who = event.Out, "target"
	}
	switch {
	case errors.Is(err, wsproto.ErrServerClosed):
		p.con.Status("client %d: closed by us", s.number)
	case e.Err == "":
		p.con.Status("client %d: closed by the %s: %s", s.number, who, strings.TrimPrefix(event.EndText(&e), "closed: "))
	case errors.Is(err, io.EOF):
		p.con.Status("client %d: the %s left without a close frame", s.number, who)
	default:
		p.con.Status("client %d: %s: %s", s.number, who, cli.Field(e.Err))
	}
	p.con.Event(e)
}

// event is what every event of s has.
func (s *session) event() event.Event {
	return event.Event{Proto: s.proto, Client: s.number, Peer: s.peer}
}

func (p *proxy) summary() {
	c := &p.counts
	p.con.Summary(cli.Counted("clients", p.clients.Load(), "client", ""), cli.Counted("messages", c.messages.Load(), "message", ""),
		cli.Counted("bytes", c.bytes.Load(), "byte", ""), cli.Counted("refused", c.refused.Load(), "handshake", "refused"))
}

// handshakeTime is what the handshake with a target may take in all.
func (p *proxy) handshakeTime() (context.Context, context.CancelFunc) {
	ctx, stop := p.dialer.Timeout(p.ctx)
	if t := p.listener.HandshakeTimeout; t > 0 {
		ctx, cancel := context.WithTimeout(ctx, t)
		return ctx, func() { cancel(); stop() }
	}
	return ctx, stop
}

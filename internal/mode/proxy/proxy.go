// Package proxy passes connections on: anything to anything, and shows what passes.
//
// Clients come in by listen.go or udp.go; which target is theirs, routes.go says.
// Where both speak WebSocket the opening handshake is made twice, in handshake.go:
// the client's is judged and not answered before the target's is done, whose answer
// goes back. Then the frames pass as they are, by wsproto.Relay. All else becomes two
// ends, ends.go, which a link passes messages between: link.go. What is shown of both
// is in view.go. Begin with run.
package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/tlsconf"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "proxy", Brief: "pass connections on and show what passes: WebSocket, TCP, TLS, UDP, stdio",
	Aliases: []cli.Alias{{Name: "proxy_server"}},
	Examples: []string{
		"socketsrv -proxy -remote_host ws://127.0.0.1:9000",
		"socketsrv -proxy -host 0.0.0.0 -port 8765 -config_path proxy.conf -show",
		"socketsrv -proxy -listen tcp://:9100 -remote_host tcp://printer:9100 -show",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		p := &proxy{udpIdle: 5 * time.Minute, framing: linesrv.Framing{Kind: linesrv.KindNone}}
		fs.Group("Proxy")
		fs.Func("listen", "SPEC", "Takes clients at ws://HOST:PORT, wss://…, tcp://…, tls://…, udp://…, unix:/PATH, or one on stdin and stdout: stdio:.", func(s string) (err error) {
			if p.source, err = listen.ParseSpec(s); err == nil && p.source.Secure {
				err = fs.ByName["tls"].Set("true")
			}
			if p.source.Scheme == "line" {
				err = errors.New("want tcp:// for lines: -framing line shows them")
			}
			return err
		})
		fs.Func("remote-host", "URL", "Passes connections on to this target: ws://HOST:PORT, wss://…, ws+unix:/PATH, tcp://…, tls://…, udp://… or unix:/PATH.", func(s string) (err error) {
			p.remote, err = parseTarget(s)
			return err
		})
		fs.String(&p.config, "config-path", "FILE", "Reads targets by Host from FILE: lines of HOST=URL, or JSON; -remote-host takes the others.")
		fs.Func("H header", "'N: V'", "Sends this field to WebSocket targets of clients that speak no WebSocket; may be repeated.", func(s string) error {
			field, err := cli.ParseField(s)
			p.header = append(p.header, field)
			return cmp.Or(err, cli.CheckHandshakeField(field))
		})
		fs.Hide("header")
		fs.Switch(&p.text, "text", "Makes text messages of what a stream brings, where that is UTF-8, in place of binary ones.")
		fs.Duration(&p.udpIdle, "udp-idle", "Forgets a UDP peer when nothing passed for D.")
		fs.Switch(&p.show, "show", "Shows every message that passes, both ways, as -dump does; so do -v, -format, -raw and -max-show.")
		fs.Framing(&p.framing, "Cuts what is shown of streams into messages.")
		fs.Choice(&p.sendProxy, "send-proxy", "Tells targets first who the client is, by the PROXY protocol in version 1 or 2.", "v1", "v2")
		fs.Switch(&p.trust, "trust-forwarded", "Keeps Forwarded, X-Forwarded-* and X-Real-IP as clients send them.")
		p.listener = listen.AddListener(fs, "127.0.0.1", "8008")
		p.ws = listen.AddHandshake(fs, listen.SomeOrigins, "Answers the first of these that a client offers where the target speaks no WebSocket, else the first one offered; offers them to a target where the client speaks none.")
		p.tls = listen.AddTLS(fs)
		p.tls.AddAuthority(fs)
		p.targetTLS = targetTLSFlags(fs)
		p.dialer = dial.AddDialer(fs)
		p.output = fs.Output()
		fs.Check(func() error {
			if fs.Given("max-message") {
				p.maxMessage = p.listener.MaxMessage
			}
			if p.source.Port != "" {
				p.listener.Listen(p.source.Host, p.source.Port)
			}
			p.framing.KeepCR = true
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

// targetTLSFlags adds the flags of TLS to the targets.
func targetTLSFlags(fs *cli.Flags) *dial.TLS {
	c := new(dial.TLS)
	o := &c.Options
	fs.Group("TLS to targets")
	fs.Switch(&o.Insecure, "k insecure-backend", "Trusts any certificate of a target.")
	fs.String(&o.CA, "backend-cacert", "FILE", "Trusts targets with certificates signed by those in this PEM file only.")
	fs.String(&o.Cert, "backend-cert", "FILE", "Shows targets the certificate in this PEM file.")
	fs.String(&o.Key, "backend-key", "FILE", "Uses the key in this PEM file; that of -backend-cert may hold it too.")
	fs.Check(func() error {
		switch {
		case !tlsconf.Available && fs.AnyGiven("TLS to targets"):
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
	source     listen.Spec
	remote     *target // nil: none
	header     httpmini.Header
	text       bool
	udpIdle    time.Duration
	framing    linesrv.Framing
	config     string
	trust      bool
	sendProxy  string // v1, v2; "": no
	show       bool   // messages
	maxMessage int64  // on the wire; 0: no bound
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
	secure *tlsconf.Config // to targets with TLS; nil: there are none
	ctx    context.Context // of handshakes
	cancel func()          // ends ctx
	own    net.Addr        // where we listen, if not for WebSocket

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
	stdout := env.Stdout
	if p.source.Scheme == "stdio" { // that is the client's
		here := *env
		here.Stdout = env.Stderr
		env = &here
	}
	con, err := p.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	p.name, p.env, p.con = "socketsrv-"+strings.ToLower(rand.Text()[:12]), env, con
	if err := p.prepare(); err != nil {
		return err
	}
	handshakes, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.ctx, p.cancel = handshakes, cancel
	switch p.source.Scheme {
	case "stdio":
		return p.serveStdio(ctx, env.Stdin, stdout)
	case "tcp":
		err = p.serveStreams(ctx)
	case "udp":
		err = p.serveUDP(ctx)
	default:
		err = p.serveHTTP(ctx)
	}
	p.summary()
	return err
}

// prepare reads what is to be known before the first client.
func (p *proxy) prepare() (err error) {
	if p.remote == nil && p.config == "" {
		return cli.Usagef("missing -remote_host URL or -config_path FILE")
	}
	web := p.source.Scheme == "ws" || p.source.Scheme == ""
	p.routes = &routes{other: p.remote}
	switch {
	case p.config == "":
	case !web:
		return cli.Usagef("-config_path is for WebSocket clients: only they name a host")
	default:
		if p.routes, err = readRoutes(p.config, p.remote); err != nil {
			return err
		}
	}
	if p.sendProxy != "" && p.routes.any(func(t *target) bool { return t.Scheme == "udp" }) {
		return cli.Usagef("-send-proxy is for streams, not for datagrams")
	}
	if p.listener.PingInterval > 0 && !p.routes.any(func(t *target) bool { return web != t.webSocket() }) {
		return cli.Usagef("-ping-interval is for where one of both speaks WebSocket: between two pings pass from end to end")
	}
	if p.routes.any(func(t *target) bool { return t.Secure() }) {
		if p.secure, err = p.targetTLS.Config(); err != nil {
			return err
		}
		p.secure.AddKeyLog(p.con.KeyLog())
		for _, note := range p.secure.Notes() {
			p.con.Status("%s", note)
		}
	}
	if p.tls.Hosts = p.routes.names(); p.remote != nil {
		p.tls.Hosts = append(p.tls.Hosts, p.remote.Host)
	}
	p.tls.NoALPN = !web // what the client wants to speak is for the target to know
	if n := p.env.Descriptors; n > 0 {
		each := 2 // its own and the target's
		if p.source.Scheme == "tcp" && !p.tls.Enabled() && !p.remote.webSocket() && !p.remote.Secure() {
			each += 4 // two pipes, through which the system moves the bytes
		}
		p.listener.MaxConns = min(p.listener.MaxConns, max((n-listen.Spare)/each, 1))
	}
	return nil
}

// acceptOptions are those for all clients. Names that have a target of their own
// are ours without -allow-host; where there is no other target, all others are
// refused anyway.
func (p *proxy) acceptOptions() wsproto.AcceptOptions {
	w := *p.ws
	w.AllowHosts = append(p.routes.names(), w.AllowHosts...)
	opt := w.AcceptOptions(p.tls.Enabled())
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
	if err := p.handshake(x); err != nil {
		p.refused(x.RemoteAddr(), err)
	}
}

// refused counts a client that became no session, and says why.
func (p *proxy) refused(peer any, err error) {
	p.counts.refused.Add(1)
	p.con.Error(fmt.Errorf("%v: %w", peer, err))
}

// newSession numbers what comes of a client.
func (p *proxy) newSession(proto, peer string, t *target) *session {
	return &session{number: int(p.clients.Add(1) - 1), peer: peer, proto: proto, target: t}
}

// relay passes frames between nc and the target until both have ended.
func (p *proxy) relay(s *session, nc net.Conn, buffered []byte, up *upstream) {
	config := wsproto.RelayConfig{Deflate: up.deflate, MaxMessage: p.maxMessage, IdleTimeout: p.listener.IdleTimeout}
	if tell := p.teller(s); tell != nil {
		config.OnMessage, config.OnRead, config.Payloads, config.Memory = tell, p.con.Release, p.listener.MaxMessage, p.listener.Memory()
	}
	r := wsproto.NewRelay(nc, up.nc, buffered, up.buffered, config)
	s.close = func() { r.Close(wsproto.StatusGoingAway, "") }
	s.abort = r.Abort
	p.enter(s)
	end := r.Run()
	p.sessions.Remove(s)
	p.counts.messages.Add(end.Messages)
	p.counts.bytes.Add(end.Bytes)
	p.closed(s, end.ByBackend, end.Err)
}

func (p *proxy) opened(s *session, path, head string) {
	p.con.Status("%s to %s", strings.TrimSuffix(fmt.Sprintf("client %d: %s %s", s.number, cmp.Or(s.peer, s.proto), cli.Field(path)), " "), s.target)
	p.con.Event(event.Event{Event: event.Open, Proto: s.proto, Client: s.number, Peer: s.peer, Path: path, Head: head,
		Fields: []event.Data{event.Text("target", s.target.String())}})
}

// closed says how s ended. What an end without a Close frame means depends on who
// ended.
func (p *proxy) closed(s *session, byTarget bool, err error) {
	e, who, dir := s.event(), "client", event.In
	if byTarget {
		e.Proto, who, dir = s.target.proto(), "target", event.Out
	}
	e = cli.Ended(e, err)
	e.Proto, e.Dir = s.proto, dir
	_, words, _ := strings.Cut(event.EndText(&e), "closed")
	switch {
	case errors.Is(err, wsproto.ErrServerClosed):
		p.con.Status("client %d: closed by us", s.number)
	case e.Err == "":
		p.con.Status("client %d: closed by the %s%s", s.number, who, words)
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

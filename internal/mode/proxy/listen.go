package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

// serveHTTP serves clients that speak WebSocket.
func (p *proxy) serveHTTP(ctx context.Context) error {
	ln, err := p.listener.Open(ctx, p.env, p.con, "ws", p.tls)
	if err != nil {
		return err
	}
	defer ln.Close()
	p.accept = p.acceptOptions()
	server := &httpmini.Server{
		Handler:     p.serve,
		HeadTimeout: p.listener.HandshakeTimeout,
		Limits:      httpmini.Limits{Line: 9 << 10}, // a query of 8 KiB and what goes with it
		ErrorLog:    p.con.Error,
	}
	bound := &accept.Bound{Max: p.listener.MaxConns, Refuse: httpmini.Refuse, Full: listen.Full(p.con)}
	return p.until(ctx, ln.Close, func(ctx context.Context) { server.Shutdown(ctx) }, func() error {
		return accept.Serve(bound.Listen(ln), server.ServeConn, p.con.Error)
	})
}

// serveStreams serves clients whose bytes pass.
func (p *proxy) serveStreams(ctx context.Context) error {
	ln, err := p.listener.Open(ctx, p.env, p.con, "tcp", p.tls)
	if err != nil {
		return err
	}
	defer ln.Close()
	p.own = ln.Addr()
	return p.until(ctx, ln.Close, nil, func() error {
		return accept.Serve(ln, func(nc net.Conn) {
			defer nc.Close()
			err := accept.Handshake(p.ctx, nc)
			if err == nil {
				_, err = p.carry(p.stream(nc), accept.Proto(nc), accept.Peer(nc.RemoteAddr()), accept.HeaderOf(nc.RemoteAddr(), nc.LocalAddr()))
			}
			if err != nil {
				p.refused(accept.Peer(nc.RemoteAddr()), err)
			}
		}, p.con.Error)
	})
}

func (p *proxy) stream(nc net.Conn) *stream {
	return &stream{Deadlines: accept.Deadlines{Conn: nc}, text: p.text, lingers: lingerTime}
}

// until serves until ctx ends. Then end closes what is listened on, all sessions end, and
// stop ends what else there is.
func (p *proxy) until(ctx context.Context, end func() error, stop func(context.Context), serve func() error) error {
	return listen.ServeAll(ctx, &p.listener.Serving, func(ctx context.Context) {
		end()
		p.cancel()
		var all sync.WaitGroup
		all.Go(func() { p.sessions.Shutdown(ctx) })
		if stop != nil {
			all.Go(func() { stop(ctx) })
		}
		all.Wait()
	}, serve)
}

// carry connects a client that speaks no HTTP with the target, and returns how their
// session ended; err is why there was none: the client has been told.
func (p *proxy) carry(client end, proto, peer string, from accept.Header) (why, err error) {
	target, err := p.open(p.remote, from)
	if err != nil {
		client.finish(err)
		return nil, fmt.Errorf("%v: %w", p.remote, err)
	}
	s := p.newSession(proto, peer, p.remote)
	p.opened(s, "", "")
	return p.link(s, client, target), nil
}

var errOurselves = errors.New("the target is this proxy")

// open connects to a target, handshakes included, for clients that make none.
func (p *proxy) open(t *target, from accept.Header) (end, error) {
	ctx, cancel := p.handshakeTime()
	defer cancel()
	if t.webSocket() {
		conn, _, err := wsproto.Dial(ctx, t.String(), wsproto.DialOptions{
			Header: p.header, Subprotocols: p.ws.Subprotocols, NoCompression: p.ws.NoCompression,
			Timeout: 1 << 62, // ctx has the real one
			Config:  p.wsConfig(),
			NetDial: func(ctx context.Context, network, address string) (net.Conn, error) { return p.dialPlain(ctx, t, from) },
			TLS:     p.startTLS,
		})
		if err != nil {
			return nil, inTime(ctx, err)
		}
		return &webSocket{Conn: conn, other: "client", gone: wsproto.StatusGoingAway}, nil
	}
	nc, err := p.dial(ctx, t, from)
	switch {
	case err != nil:
		return nil, inTime(ctx, err)
	case p.isOurs(nc):
		nc.Close()
		return nil, errOurselves
	case t.Scheme == "udp":
		return &packets{Conn: nc}, nil
	}
	return p.stream(nc), nil
}

// isOurs tells whether nc leads to where we listen.
func (p *proxy) isOurs(nc net.Conn) bool {
	if p.own == nil || nc.RemoteAddr().Network() != p.own.Network() {
		return false
	}
	own, err := netip.ParseAddrPort(p.own.String())
	if err != nil {
		return nc.RemoteAddr().String() == p.own.String()
	}
	to, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	from, _ := netip.ParseAddrPort(nc.LocalAddr().String())
	if own.Port() != to.Port() {
		return false
	}
	return own.Addr().Unmap() == to.Addr().Unmap() || own.Addr().IsUnspecified() && to.Addr() == from.Addr()
}

// serveStdio is one session, of stdin and stdout; its end is that of the program.
func (p *proxy) serveStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	client := p.stream(cli.Stdio(in, out))
	client.lingers = 0 // who has nowhere to send to is ended
	defer context.AfterFunc(ctx, func() { p.cancel(); p.sessions.KillAfter(p.listener.Grace) })()
	why, err := p.carry(client, "stdio", "", accept.Header{})
	closed, ok := errors.AsType[*wsproto.CloseError](why)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case ok && cli.CloseCode(closed.Code) != cli.ExitOK:
		return cli.Fail(cli.CloseCode(closed.Code), why)
	case orderly(why):
		return nil
	}
	return cli.Fail(cli.ExitReceive, why)
}

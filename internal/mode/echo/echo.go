// Package echo sends back what it gets: WebSocket here, TCP and UDP in tcp.go.
//
// It is the smallest server of all three protocols, and the one to imitate.
package echo

import (
	"context"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "echo", Brief: "send back every message: WebSocket, and TCP, UDP when asked",
	Aliases: []cli.Alias{{Name: "echo_server", Change: ixwebsocket}},
	Examples: []string{
		"socketsrv -echo -port 8008",
		"socketsrv -echo -tls -ws-port 8443 -origin '*'",
		"socketsrv -echo -tcp-port 5551 -framing length -ws-port off",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		e := new(echo)
		e.listeners = listen.AddListeners(fs, "127.0.0.1", "off", "off", "8008")
		fs.Group("Echo")
		e.framing = linesrv.Framing{Kind: linesrv.KindNone}
		fs.Framing(&e.framing, "Cuts what TCP clients send into messages, each of which is sent back.")
		fs.Check(func() error {
			e.framing.KeepCR = true // it goes back as it came
			e.output.Lossy = !e.output.JSON
			return nil
		})
		e.tls = listen.AddTLS(fs)
		e.ws = listen.AddWebSocket(fs, true)
		e.output = fs.Output()
		return e.run
	},
	Checks: []cli.Check{
		cli.EchoCheck("WebSocket", "ws", "ws", "echo", "-port", "0"),
		cli.EchoCheck("WebSocket over TLS", "wss", "wss", "echo", "-port", "0", "-tls"),
		cli.EchoCheck("TCP", "tcp", "tcp", "echo", "-ws-port", "off", "-tcp-port", "0"),
		cli.EchoCheck("UDP", "udp", "udp", "echo", "-ws-port", "off", "-udp-port", "0"),
	},
}

// ixwebsocket gives flags the meaning they have to ws echo_server: -p is -no-pong, -g
// greets, -6 listens on ::1 unless -host says where.
func ixwebsocket(fs *cli.Flags) {
	fs.Alias("no-pong", "p")
	fs.Group("Echo")
	for _, f := range []struct{ name, sets, to, usage string }{
		{"g", "greet", "Welcome !", "Greets every client."},
		{"6", "host", "::1", "Listens on IPv6."},
	} {
		fs.Add(f.name, &cli.Flag{Usage: f.usage, Set: func(string) error {
			if fs.Given(f.sets) {
				return nil
			}
			return fs.ByName[f.sets].Set(f.to)
		}})
	}
}

type echo struct {
	listeners *listen.Listeners
	framing   linesrv.Framing
	tls       *listen.TLS
	ws        *listen.WebSocket
	output    *cli.Output

	con     *cli.Console
	streams accept.Table
	talks   bool // says what happens with every message
	clients atomic.Int64
	counts  struct{ messages, bytes, clients, suppressed, lost, refused atomic.Int64 }
}

func (e *echo) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := e.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	e.con, e.talks = con, e.output.Events() || !e.output.Quiet
	sockets, err := e.listeners.Open(ctx, env, con, e.tls)
	if err != nil {
		return err
	}
	defer sockets.Close()

	var servers []func() error
	stops := []func(context.Context){func(ctx context.Context) { e.streams.Shutdown(ctx) }}
	if sockets.WS != nil {
		s := e.webSocket()
		servers = append(servers, func() error { return s.Serve(sockets.WS) })
		stops = append(stops, func(ctx context.Context) { s.Shutdown(ctx) })
	}
	if sockets.TCP != nil {
		servers = append(servers, func() error { return e.streams.Serve(sockets.TCP, e.stream, con.Error) })
	}
	if sockets.UDP != nil {
		servers = append(servers, func() error { return e.datagrams(sockets.UDP) })
	}
	err = listen.ServeAll(ctx, &e.listeners.Serving, func(ctx context.Context) {
		sockets.Close()
		for _, stop := range stops {
			stop(ctx)
		}
	}, servers...)
	e.summary()
	return err
}

// webSocket is the echo server for WebSocket.
func (e *echo) webSocket() *wsproto.Server {
	proto := e.tls.Proto("ws")
	s := e.ws.Server(&e.listeners.Serving, e.con, e.tls.Enabled(), e.authorized)
	listen.Refusals(e.con, s, proto, &e.counts.refused)
	if !e.talks {
		s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
			u.Reply(m.Opcode, m.Data) // an error ends the connection, which OnDisconnect reports
			e.count(len(m.Data))
		}
		return s
	}
	greet := s.OnConnect
	s.OnConnect = func(u *wsproto.User, req *httpmini.Request) {
		c := e.newClient(proto, accept.Peer(u.RemoteAddr()))
		u.SetData(c)
		e.opened(c, req)
		greet(u, req)
	}
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
		u.Reply(m.Opcode, m.Data)
		e.received(u.Data().(*client), m.Opcode.String(), m.Data)
	}
	s.OnDisconnect = func(u *wsproto.User, err error) { e.closed(u.Data().(*client), err) }
	if e.output.Verbose || e.output.Events() {
		s.OnFrame = func(u *wsproto.User, received bool, h wsproto.Header, p []byte) {
			if c, ok := u.Data().(*client); ok && (h.Opcode == wsproto.OpPing || h.Opcode == wsproto.OpPong) {
				e.control(c, received, h.Opcode, p)
			}
		}
	}
	return s
}

// authorized tells a client that it has the Authorization that is asked for, as ws
// spells it.
func (e *echo) authorized(u *wsproto.User, req *httpmini.Request) {
	if e.ws.Authorization != "" && e.ws.Permitted(req) {
		u.Reply(wsproto.OpText, []byte("Authorization suceeded!"))
	}
}

// A client is a client as the log names it.
type client struct {
	proto  string
	number int
	peer   string
}

// newClient numbers a client; those of all protocols are counted together.
func (e *echo) newClient(proto, peer string) *client {
	return &client{proto: proto, number: int(e.clients.Add(1) - 1), peer: peer}
}

func (e *echo) opened(c *client, req *httpmini.Request) {
	e.counts.clients.Add(1)
	ev := event.Event{Event: event.Open, Proto: c.proto, Client: c.number, Peer: c.peer}
	e.con.Status("New connection")
	e.con.Status("remote ip: %s", c.peer)
	e.con.Status("id: %d", c.number)
	if req != nil {
		ev.Path, ev.Head = req.Target, cli.ConcealedHead(req.Raw)
		e.con.Status("Uri: %s", cli.Field(req.Target))
		e.con.Status("Headers:")
		for _, f := range req.Header {
			e.con.Status("%s: %s", cli.Field(f.Name), cli.Field(cli.Concealed(f)))
		}
	}
	e.con.Event(ev)
}

// received counts and shows a message and its way back.
func (e *echo) received(c *client, opcode string, p []byte) {
	e.count(len(p))
	if !e.talks {
		return
	}
	e.con.Status("Received %s", cli.Plural(int64(len(p)), "byte"))
	e.con.Event(event.OfFrame(c.event(), true, opcode, p))
	e.con.Event(event.OfFrame(c.event(), false, opcode, p))
}

func (e *echo) control(c *client, received bool, op wsproto.Opcode, p []byte) {
	verb := "Received"
	if !received {
		verb = "Sent"
	}
	e.con.Detail("%s %v %s", verb, op, cli.Field(string(p)))
	e.con.Event(event.OfFrame(c.event(), received, op.String(), p))
}

func (e *echo) closed(c *client, err error) {
	ev := cli.Ended(c.event(), err)
	switch {
	case ev.Err != "":
		e.con.Status("Closed connection: client id %d: %s", c.number, cli.Field(ev.Err))
	case ev.Code != 0:
		e.con.Status("Closed connection: client id %d code %d reason %s", c.number, ev.Code, cli.Field(ev.Reason))
	default:
		e.con.Status("Closed connection: client id %d", c.number)
	}
	e.con.Event(ev)
}

// event is what every event of c has.
func (c *client) event() event.Event {
	return event.Event{Proto: c.proto, Client: c.number, Peer: c.peer}
}

func (e *echo) count(n int) {
	e.counts.messages.Add(1)
	e.counts.bytes.Add(int64(n))
}

func (e *echo) summary() {
	c := &e.counts
	e.con.Summary(cli.Counted("clients", c.clients.Load(), "client", ""), cli.Counted("messages", c.messages.Load(), "message", ""),
		cli.Counted("bytes", c.bytes.Load(), "byte", ""), cli.Counted("suppressed", c.suppressed.Load(), "datagram", "not answered"),
		cli.Counted("lost", c.lost.Load(), "answer", "lost"), cli.Counted("refused", c.refused.Load(), "", "refused"))
}

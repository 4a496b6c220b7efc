// Package echo sends back what it gets: WebSocket here, TCP and UDP in tcp.go.
//
// It is the smallest server of all three protocols, and the one to imitate.
package echo

import (
	"context"
	"net"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "echo", Brief: "send back every message: WebSocket, and TCP, UDP when asked",
	Aliases: []cli.Alias{{Name: "echo_server"}},
	Examples: []string{
		"socketsrv -echo -port 8008",
		"socketsrv -echo -tls -ws-port 8443 -origin '*'",
		"socketsrv -echo -tcp-port 5551 -framing length -ws-port off",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		e := new(echo)
		e.listeners = listen.AddListeners(fs, "127.0.0.1", "off", "off", "8008")
		fs.Group("Echo")
		fs.Choice(&e.framing, "framing", "Cuts what TCP clients send into messages: lines, or 4 bytes of length before each.", "none", "line", "length")
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

type echo struct {
	listeners *listen.Listeners
	framing   string
	tls       *listen.TLS
	ws        *listen.WebSocket
	output    *cli.Output

	con     *cli.Console
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
	e.con, e.talks = con, e.output.JSON || !e.output.Quiet
	e.listeners.Refuse = httpmini.Refuse
	sockets, err := e.listeners.Open(ctx, env, con, e.tls)
	if err != nil {
		return err
	}
	defer sockets.Close()

	var servers []func() error
	var stops []func(context.Context)
	if sockets.WS != nil {
		s := e.webSocket(sockets.WS.Addr())
		servers = append(servers, func() error { return s.Serve(sockets.WS) })
		stops = append(stops, func(ctx context.Context) { s.Shutdown(ctx) })
	}
	if sockets.TCP != nil {
		serve, stop := e.stream()
		servers = append(servers, func() error { return serve(sockets.TCP) })
		stops = append(stops, stop)
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
func (e *echo) webSocket(addr net.Addr) *wsproto.Server {
	secure := e.tls.Enabled()
	proto := "ws"
	if secure {
		proto = "wss"
	}
	s := e.ws.Server(&e.listeners.Serving, e.con, addr, secure, nil)
	listen.Refusals(e.con, s, proto, &e.counts.refused)
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
		u.Reply(m.Opcode, m.Data) // an error ends the connection, which OnDisconnect reports
		e.count(len(m.Data))
	}
	if !e.talks {
		return s
	}
	greet := s.OnConnect
	s.OnConnect = func(u *wsproto.User, req *httpmini.Request) {
		c := &client{proto: proto, number: int(e.clients.Add(1) - 1), peer: u.RemoteAddr().String()}
		u.Data = c
		e.opened(c, req)
		greet(u, req)
	}
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
		u.Reply(m.Opcode, m.Data)
		e.count(len(m.Data))
		e.received(u.Data.(*client), m.Opcode.String(), m.Data)
	}
	s.OnDisconnect = func(u *wsproto.User, err error) { e.closed(u.Data.(*client), err) }
	if e.output.Verbose || e.output.JSON {
		s.OnFrame = func(u *wsproto.User, received bool, h wsproto.Header, p []byte) {
			if c, ok := u.Data.(*client); ok && (h.Opcode == wsproto.OpPing || h.Opcode == wsproto.OpPong) {
				e.control(c, received, h.Opcode, p)
			}
		}
	}
	return s
}

// A client is a client as the log names it.
type client struct {
	proto  string
	number int
	peer   string
}

func (e *echo) opened(c *client, req *httpmini.Request) {
	e.counts.clients.Add(1)
	ev := &event.Event{Event: event.Open, Proto: c.proto, Client: c.number, Peer: c.peer}
	e.con.Status("New connection")
	e.con.Status("remote ip: %s", c.peer)
	e.con.Status("id: %d", c.number)
	if req != nil {
		ev.Path = req.Target
		e.con.Status("Uri: %s", cli.Field(req.Target))
		e.con.Status("Headers:")
		for _, f := range req.Header {
			e.con.Status("%s: %s", cli.Field(f.Name), cli.Field(cli.Concealed(f)))
		}
	}
	e.event(ev)
}

func (e *echo) received(c *client, opcode string, p []byte) {
	e.con.Status("Received %d bytes", len(p))
	ev := event.OfFrame(c.event(), true, opcode, p)
	e.event(&ev)
}

func (e *echo) control(c *client, received bool, op wsproto.Opcode, p []byte) {
	verb := "Received"
	if !received {
		verb = "Sent"
	}
	e.con.Detail("%s %v %s", verb, op, cli.Field(string(p)))
	ev := event.OfFrame(c.event(), received, op.String(), p)
	e.event(&ev)
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
	e.event(&ev)
}

// event is what every event of c has.
func (c *client) event() event.Event {
	return event.Event{Proto: c.proto, Client: c.number, Peer: c.peer}
}

// event is for -json alone: without it the log says the same.
func (e *echo) event(ev *event.Event) {
	if e.output.JSON {
		e.con.Emit(ev)
	}
}

func (e *echo) count(n int) {
	e.counts.messages.Add(1)
	e.counts.bytes.Add(int64(n))
}

func (e *echo) summary() {
	c := &e.counts
	e.con.Status("%d clients, %d messages, %d bytes; %d datagrams not answered, %d answers lost; %d refused",
		c.clients.Load(), c.messages.Load(), c.bytes.Load(), c.suppressed.Load(), c.lost.Load(), c.refused.Load())
	e.event(&event.Event{Event: event.Summary, Client: -1, Fields: []event.Data{
		event.Int("clients", c.clients.Load()), event.Int("messages", c.messages.Load()), event.Int("bytes", c.bytes.Load()),
		event.Int("suppressed", c.suppressed.Load()), event.Int("lost", c.lost.Load()),
		event.Int("refused", c.refused.Load()),
	}})
}

// stream is the echo server for TCP: what it serves, and how it stops.
func (e *echo) stream() (serve func(net.Listener) error, stop func(context.Context)) {
	l := &e.listeners.Serving
	switch e.framing {
	case "length":
		s := &linesrv.SocketServer{
			Handle:       e.echoMessages,
			Options:      linesrv.SocketOptions{MaxMessage: int(l.MaxMessage)},
			Log:          e.con.Error,
			OnConnect:    func(s *linesrv.Socket) { e.opened(e.socket(s.ID(), s.RemoteAddr()), nil) },
			OnDisconnect: func(s *linesrv.Socket, err error) { e.closed(e.socket(s.ID(), s.RemoteAddr()), err) },
		}
		return s.Serve, func(ctx context.Context) { s.Shutdown(ctx) }
	default:
		s := newTCPEcho(e)
		return s.serve, s.stop
	}
}

func (e *echo) socket(id uint64, addr net.Addr) *client {
	return &client{proto: "tcp", number: int(id), peer: addr.String()}
}

// Package broadcast sends every message to every client.
//
// A client belongs to a room, in rooms.go: the one of its path with -rooms, else the
// only one. Whatever it sends goes to all members of that room. Those of WebSocket
// are here, those of TCP in lines.go, those of UDP in udp.go. Begin with run.
package broadcast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/wsproto"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "broadcast", Brief: "send every message to every client: WebSocket, and lines of TCP, UDP when asked",
	Aliases: []cli.Alias{{Name: "broadcast_server", Defaults: []string{"-exclude-sender", "-no-announce", "-port", "8008"}}},
	Examples: []string{
		"socketsrv -broadcast -port 9999",
		"socketsrv -broadcast -exclude-sender -no-announce -rooms -slow drop",
		"socketsrv -broadcast -tcp-port 9998 -udp-port 9998",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		b := &broadcast{queue: wsproto.DefaultQueue, slow: "close"}
		b.listeners = listen.AddListeners(fs, "127.0.0.1", "off", "off", "9999")
		fs.Preset([]string{"-ping-interval", "30s"})
		fs.Int(&b.perAddress, "max-conns-per-ip", "N", 0, 1<<24, "Serves at most N WebSocket clients of one address; 0 is no limit.")
		fs.Group("Broadcast")
		fs.Switch(&b.exclude, "exclude-sender", "Sends a message to all but its sender.")
		fs.Switch(&b.silent, "no-announce", "Does not tell the others who comes and goes.")
		fs.Switch(&b.apart, "rooms", "Keeps clients of different paths apart; those of TCP and UDP are in /.")
		fs.SizeFrom(&b.queue, "queue", 1, "Lets SIZE bytes wait for a client that is slow.")
		fs.Choice(&b.slow, "slow", "Drops messages for a client whose queue is full, or closes it with 1013.", "drop", "close")
		fs.Check(func() error {
			b.output.Lossy = !b.output.JSON
			return nil
		})
		b.tls = listen.AddTLS(fs)
		b.ws = listen.AddWebSocket(fs, false)
		b.ws.Writes = true
		b.output = fs.Output()
		return b.run
	},
	Checks: []cli.Check{cli.EchoCheck("to everyone, the sender too", "ws", "ws", "broadcast", "-ws-port", "0", "-no-announce")},
}

const (
	// stall is how long a client may take nothing of what waits for it.
	stall = 10 * time.Second
	// slowSpell without a message missed ends a spell of missing messages.
	slowSpell = 10 * time.Second
)

type broadcast struct {
	listeners  *listen.Listeners
	perAddress int
	exclude    bool
	silent     bool
	apart      bool // a room for each path; else all are in one
	queue      int64
	slow       string
	tls        *listen.TLS
	ws         *listen.WebSocket
	output     *cli.Output

	env      *cli.Env
	con      *cli.Console
	sockets  *listen.Sockets
	rooms    rooms
	streams  accept.Table
	stopping atomic.Bool
	late     chan *member // who began to miss messages, for the log
	counts   struct{ clients, open, messages, bytes, missed, slow, refused, unsent atomic.Int64 }

	perIP struct {
		sync.Mutex
		open map[netip.Addr]int
	}
}

func (b *broadcast) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := b.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	b.env, b.con = env, con
	b.late = make(chan *member, 64)
	b.perIP.open, b.rooms.open = make(map[netip.Addr]int), make(map[string]*room)
	defer b.watch()()
	sockets, err := b.listeners.Open(ctx, env, con, b.tls)
	if err != nil {
		return err
	}
	defer sockets.Close()

	b.sockets = sockets
	var servers []func() error
	stops := []func(context.Context){func(ctx context.Context) { b.streams.Shutdown(ctx) }}
	if sockets.WS != nil {
		s := b.webSocket()
		servers = append(servers, func() error { return s.Serve(sockets.WS) })
		stops = append(stops, func(ctx context.Context) { s.Shutdown(ctx) })
	}
	if sockets.TCP != nil {
		servers = append(servers, func() error { return b.streams.Serve(sockets.TCP, b.serveLines, con.Error) })
	}
	if sockets.UDP != nil {
		s := b.join("/").datagrams // the room stays for good
		servers = append(servers, s.serve)
	}
	err = listen.ServeAll(ctx, &b.listeners.Serving, func(ctx context.Context) {
		b.stopping.Store(true)
		sockets.Close()
		var all sync.WaitGroup
		for _, stop := range stops {
			all.Go(func() { stop(ctx) })
		}
		all.Wait()
	}, servers...)
	b.con.Summary(b.counters()...)
	return err
}

// watch says who is slow, and how things stand when the system's signal asks for
// it. The function it returns ends that.
func (b *broadcast) watch() (stop func()) {
	asked, forget := b.env.Reports()
	over := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case c := <-b.late:
				b.con.Status("%s reads too slowly: it misses messages", c)
			case <-asked:
				b.con.Report(b.counters()...)
			case <-over:
				return
			}
		}
	})
	return func() {
		forget()
		close(over)
		watcher.Wait()
	}
}

// counters say how things stand.
func (b *broadcast) counters() []cli.Count {
	c := &b.counts
	return []cli.Count{
		cli.Counted("clients", c.clients.Load(), "client", ""), cli.Counted("open", c.open.Load(), "", "connected"), cli.Counted("rooms", int64(b.rooms.count()), "room", ""),
		cli.Counted("messages", c.messages.Load(), "message", ""), cli.Counted("bytes", c.bytes.Load(), "byte", ""), cli.Counted("missed", c.missed.Load(), "copy", "missed"),
		cli.Counted("slow", c.slow.Load(), "client", "closed as too slow"), cli.Counted("refused", c.refused.Load(), "", "refused"), cli.Counted("unsent", c.unsent.Load(), "datagram", "not sent"),
	}
}

// A member is a client of WebSocket or TCP.
type member struct {
	id     string
	proto  string
	peer   string
	path   string
	room   *room        // nil: it was not let in
	missed atomic.Int64 // messages
	last   atomic.Int64 // when it missed one, in nanoseconds
}

func newMember(proto string, addr net.Addr) *member {
	return &member{id: newUUID(), proto: proto, peer: accept.Peer(addr)}
}

func (c *member) String() string { return c.id }

// missedSome counts messages that a client did not get because too much waits for
// it. It must not wait: all others do.
func (b *broadcast) missedSome(c *member, messages int) {
	b.counts.missed.Add(int64(messages))
	c.missed.Add(int64(messages))
	now := b.env.Now().UnixNano()
	if last := c.last.Swap(now); last != 0 && time.Duration(now-last) < slowSpell {
		return
	}
	if b.slow == "close" {
		b.counts.slow.Add(1)
	}
	select {
	case b.late <- c:
	default: // the log is behind; it is counted
	}
}

// webSocket is the server for WebSocket.
func (b *broadcast) webSocket() *wsproto.Server {
	proto := b.tls.Proto("ws")
	s := b.ws.Server(&b.listeners.Serving, b.con, b.tls.Enabled(), nil)
	listen.Refusals(b.con, s, proto, &b.counts.refused)
	s.Queue = int(b.queue)
	s.Config.WriteTimeout = stall
	s.OnHandshake = b.handshake
	greet := s.OnConnect
	s.OnConnect = func(u *wsproto.User, req *httpmini.Request) {
		c := newMember(proto, u.RemoteAddr())
		c.path = req.Target
		u.SetData(c)
		greet(u, req)
		if b.ws.Permitted(req) {
			c.room = b.join(req.Path())
			c.room.group.Add(u)
			b.connected(c, req) // who reads that can rely on it
			b.announce(c, " connected")
		}
	}
	s.OnMessage = func(u *wsproto.User, m wsproto.Message) {
		c := u.Data().(*member)
		b.received(c, m.Opcode, m.Data)
		c.room.gather(u, m.Opcode, m.Data)
	}
	s.OnPause = func(u *wsproto.User) {
		if c := u.Data().(*member); c.room != nil {
			c.room.group.Flush()
		}
	}
	s.OnDisconnect = func(u *wsproto.User, err error) {
		c := u.Data().(*member)
		b.leaveAddress(u.RemoteAddr())
		if c.room != nil {
			c.room.group.Remove(u)
			b.disconnected(c, err)
		}
	}
	if b.output.Verbose || b.output.Events() {
		s.OnFrame = b.control
	}
	return s
}

// errPerAddress is why a handshake is answered with 503.
var errPerAddress = errors.New("too many clients from this address")

// handshake counts the clients of each address. OnDisconnect comes for each that
// is let in.
func (b *broadcast) handshake(_ *httpmini.Request, remote net.Addr) error {
	ip := addressOf(remote)
	if b.perAddress == 0 || !ip.IsValid() {
		return nil
	}
	b.perIP.Lock()
	defer b.perIP.Unlock()
	if b.perIP.open[ip] >= b.perAddress {
		return &wsproto.HandshakeError{Status: 503, Err: errPerAddress}
	}
	b.perIP.open[ip]++
	return nil
}

func (b *broadcast) leaveAddress(remote net.Addr) {
	ip := addressOf(remote)
	if b.perAddress == 0 || !ip.IsValid() {
		return
	}
	b.perIP.Lock()
	defer b.perIP.Unlock()
	if b.perIP.open[ip]--; b.perIP.open[ip] <= 0 {
		delete(b.perIP.open, ip)
	}
}

// addressOf returns the IP address of a TCP client.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// announce tells the room of c what it did.
func (b *broadcast) announce(c *member, did string) {
	if !b.silent && !b.stopping.Load() {
		c.room.gather(nil, wsproto.OpText, []byte(c.id+did))
		c.room.group.Flush()
	}
}

func (b *broadcast) connected(c *member, req *httpmini.Request) {
	b.counts.clients.Add(1)
	b.counts.open.Add(1)
	e := event.Event{Event: event.Open, Proto: c.proto, Client: -1, ID: c.id, Peer: c.peer, Path: c.path}
	if req != nil {
		e.Head = cli.ConcealedHead(req.Raw)
		if origin := req.Header.Get("Origin"); origin != "" {
			b.con.Status("[HANDSHAKE] %s origin : %s", c.id, cli.Field(origin))
		}
	}
	b.con.Status("[CONNECTION] %s connected", c.id)
	b.con.Detail("%s is %s %s%s", c.id, c.proto, c.peer, cli.Field(c.path))
	b.con.Event(e)
}

// received counts and shows a message that is about to go to the others.
func (b *broadcast) received(c *member, op wsproto.Opcode, p []byte) {
	b.counts.messages.Add(1)
	b.counts.bytes.Add(int64(len(p)))
	if b.output.Verbose {
		b.con.Detail("[FRAME] from %s to %d clients: %s", c.id, c.room.members(), p)
	}
	b.con.Event(event.OfFrame(c.event(), true, cli.OpcodeName(op), p))
}

// control shows pings and pongs.
func (b *broadcast) control(u *wsproto.User, received bool, h wsproto.Header, p []byte) {
	c, ok := u.Data().(*member)
	if !ok || h.Opcode != wsproto.OpPing && h.Opcode != wsproto.OpPong {
		return
	}
	verb := "received from"
	if !received {
		verb = "sent to"
	}
	b.con.Detail("%v %s %s %s", h.Opcode, verb, c.id, cli.Field(string(p)))
	b.con.Event(event.OfFrame(c.event(), received, h.Opcode.String(), p))
}

// disconnected is for a client that left its room's group.
func (b *broadcast) disconnected(c *member, err error) {
	b.counts.open.Add(-1)
	b.announce(c, " disconnected")
	b.leave(c.room)
	ev, reason := cli.Ended(c.event(), err), ""
	if ev.Err != "" {
		reason = ": " + cli.Field(ev.Err)
	} else if ev.Code != 0 {
		b.con.Detail("%s closed: code %d reason %s", c.id, ev.Code, cli.Field(ev.Reason))
	}
	if n := c.missed.Load(); n > 0 {
		reason += fmt.Sprintf("; it missed %d messages", n)
		ev.Fields = []event.Data{event.Int("missed", n)}
	}
	b.con.Status("[DISCONNECTION] %s disconnected%s", c.id, reason)
	b.con.Event(ev)
}

// event is what every event of c has.
func (c *member) event() event.Event {
	return event.Event{Proto: c.proto, Client: -1, ID: c.id, Peer: c.peer}
}

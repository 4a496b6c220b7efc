// Package dump shows what comes over TCP, UDP and WebSocket, in the lines of
// SocketSrv, and talks back.
//
// Each protocol numbers its clients and keeps them in a protocol: clients.go. TCP is
// in tcp.go, its writing in queue.go; UDP in udp.go; WebSocket in ws.go. Commands
// come from prompt.go and are in commands.go. What goes back by itself is in
// answer.go. A message comes in on one of the three, is shown by show, and is
// answered; a command looks its client up and goes the other way. Begin with run.
package dump

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "dump", Brief: "show what comes over TCP, UDP and WebSocket; talk back at a prompt",
	Examples: []string{
		"socketsrv",
		"socketsrv -dump -tcp-port 4000 -udp-port off -ws-port off -format hex -t",
		"echo 'send tcp all hello' | socketsrv -dump -batch",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		d := &dump{framing: "none", eol: "lf", udpIdle: 5 * time.Minute}
		d.listeners = listen.AddListeners(fs, "", "1234", "1234", "1235")
		fs.Duration(&d.udpIdle, "udp-idle", "Forgets a UDP peer that was silent for D.")
		fs.Group("Talking back")
		fs.Choice(&d.eol, "eol", "Ends what send writes to TCP clients so.", "lf", "crlf", "none")
		fs.Choice(&d.framing, "framing", "Cuts what TCP clients send into messages: lines, or 4 bytes of length before each.", "none", "line", "length")
		d.Answerer.Flags(fs)
		fs.Switch(&d.batch, "batch", "Waits for a first client, runs stdin as commands, lets answers come and ends.")
		d.tls = listen.AddTLS(fs)
		d.ws = listen.AddWebSocket(fs, true)
		d.output = fs.Output()
		return d.run
	},
	Checks: []cli.Check{
		cli.EchoCheck("answers over TCP", "tcp", "tcp", "dump", "-host", "127.0.0.1", "-tcp-port", "0", "-udp-port", "off", "-ws-port", "off", "-reply", "{}"),
		cli.EchoCheck("answers over UDP", "udp", "udp", "dump", "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "0", "-ws-port", "off", "-reply", "{}"),
		cli.EchoCheck("answers over WebSocket", "ws", "ws", "dump", "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "off", "-ws-port", "0", "-reply", "{}"),
	},
}

// dump is what the flags said, and the server they make.
type dump struct {
	listeners *listen.Listeners
	udpIdle   time.Duration
	framing   string
	eol       string
	batch     bool
	tls       *listen.TLS
	ws        *listen.WebSocket
	output    *cli.Output
	answers

	con    *cli.Console
	now    func() time.Time
	prompt *prompt
	shows  bool // events are shown, not only counted

	protocols []*protocol // in the order of help and list_clients
	tcp       *tcpServer
	udp       *udpServer
	web       *wsServer

	met     chan struct{} // closed by the first client
	first   sync.Once
	left    chan struct{} // a client has gone since -batch looked last
	moved   atomic.Uint64 // counts what comes and goes, for -batch
	talking atomic.Bool   // commands may still come
}

// stallTime is what writing to a stdout that takes nothing may add to -grace.
const stallTime = time.Second

func (d *dump) run(ctx context.Context, env *cli.Env, args []string) error {
	prompt, env, err := d.openPrompt(env)
	if err != nil {
		return err
	}
	defer prompt.close()
	con, err := d.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	d.prompt, d.con, d.now = prompt, con, env.Now
	d.shows = d.output.JSON || !d.output.Quiet
	d.met, d.left = make(chan struct{}), make(chan struct{}, 1)
	udp := &protocol{name: "udp", noun: "UDP session"}
	tcp := &protocol{name: "tcp", noun: "TCP connection"}
	web := &protocol{name: "ws", noun: "WebSocket connection"}
	d.protocols = []*protocol{udp, tcp, web}
	d.listeners.Refuse = d.turnAway(tcp, nil)

	ctx, quit := context.WithCancel(ctx)
	defer quit()
	sockets, err := d.listeners.Open(ctx, env, con, d.tls)
	if err != nil {
		return err
	}
	defer sockets.Close()
	var servers []func() error
	if sockets.TCP != nil {
		d.tcp = d.newTCP(ctx, tcp, sockets.TCP)
		servers = append(servers, d.tcp.serve)
	}
	if sockets.UDP != nil {
		d.udp = d.newUDP(ctx, udp, sockets.UDP)
		servers = append(servers, d.udp.serve)
	}
	if sockets.WS != nil {
		d.web = d.newWS(ctx, web, sockets.WS)
		servers = append(servers, d.web.serve)
	}
	d.talking.Store(true)
	var commands sync.WaitGroup
	commands.Go(func() { d.converse(ctx, quit) })
	ended := make(chan error, 1)
	go func() {
		ended <- listen.ServeAll(ctx, &d.listeners.Serving, func(ctx context.Context) { d.stop(ctx, sockets) }, servers...)
		commands.Wait()
		close(ended)
	}()
	return d.wait(ctx, ended)
}

// wait returns when all has ended and the summary is written, or when -grace is
// over and what is still under way waits for stdout.
func (d *dump) wait(ctx context.Context, ended chan error) (err error) {
	var late <-chan time.Time
	for done := ctx.Done(); ; {
		select {
		case e, more := <-ended:
			if !more {
				d.summary()
				return err
			}
			err = e
		case <-done:
			done = nil
			late = time.After(d.listeners.Grace + stallTime)
		case <-late:
			return err
		}
	}
}

// stop makes all servers return, politely as long as ctx lasts.
func (d *dump) stop(ctx context.Context, sockets *listen.Sockets) {
	d.prompt.close() // the terminal is the user's again
	if d.udp != nil {
		d.udp.lookAtDrops()
	}
	sockets.Close()
	var all sync.WaitGroup
	if d.tcp != nil {
		all.Go(func() { d.tcp.stop(ctx) })
	}
	if d.web != nil {
		all.Go(func() { d.web.stop(ctx) })
	}
	all.Wait()
	d.late.Wait()
}

// turnAway returns what counts the connections that are too many, and says so,
// once until the next one is let in. then is what is done with them besides closing;
// nil is nothing.
func (d *dump) turnAway(p *protocol, then func(net.Conn)) func(net.Conn) {
	return func(nc net.Conn) {
		p.refused.Add(1)
		if !p.full.Swap(true) {
			d.con.Error(fmt.Errorf("%s: as many connections as -max-conns allows, more are turned away", p.name))
		}
		if then != nil {
			then(nc)
		}
	}
}

// opened gives a client its number and shows that it came.
func (d *dump) opened(t target) {
	c := t.about()
	c.protocol.opening.Lock()
	defer c.protocol.opening.Unlock()
	c.since = d.now()
	c.protocol.full.Store(false)
	c.number = c.protocol.next()
	if d.shows {
		d.con.Emit(&event.Event{Event: event.Open, Proto: c.proto, Client: c.number, Peer: c.peer, Path: c.path})
	}
	c.protocol.join(t)
	d.moved.Add(1)
	d.first.Do(func() { close(d.met) })
}

// received shows a message; the opcode is "" where messages have no type.
func (d *dump) received(c *client, opcode string, p []byte) {
	if !d.shows {
		return
	}
	d.con.Emit(&event.Event{Event: event.Message, Proto: c.proto, Client: c.number, Peer: c.peer, Dir: event.In, Opcode: opcode, Payload: p})
}

func (d *dump) sent(c *client, opcode string, p []byte) {
	d.moved.Add(1)
	if d.shows {
		d.con.Emit(&event.Event{Event: event.Message, Proto: c.proto, Client: c.number, Peer: c.peer, Dir: event.Out, Opcode: opcode, Payload: p})
	}
}

// closed shows the end of a client: ev says what kind of end.
func (d *dump) closed(c *client, ev event.Event) {
	d.moved.Add(1)
	if d.shows {
		ev.Event, ev.Proto, ev.Client, ev.Peer, ev.Path = event.Close, c.proto, c.number, c.peer, c.path
		d.con.Emit(&ev)
	}
}

// gone takes a client from the list.
func (d *dump) gone(t target) {
	t.about().protocol.leave(t)
	select {
	case d.left <- struct{}{}:
	default:
	}
}

// refuse shows what could not be done: X reason.
func (d *dump) refuse(reason string) {
	if !d.output.JSON && d.con.Style().Format == event.FormatRaw {
		d.con.Line("X " + reason)
		return
	}
	d.con.Emit(&event.Event{Event: event.Error, Client: -1, Err: reason})
}

// say prints the answer to a command: among the events, or on stderr where
// stdout is for programs.
func (d *dump) say(text string) {
	if !d.output.JSON && d.con.Style().Format != event.FormatRaw {
		d.con.Write([]byte(text))
		return
	}
	d.con.Print(text)
}

// summary is what is left to say at the end.
func (d *dump) summary() {
	ev := &event.Event{Event: event.Summary, Client: -1}
	for _, p := range d.protocols {
		if !p.listens {
			continue
		}
		c := p.count()
		if c.ever > 0 {
			d.con.Status("%s", d.statistics(p))
		}
		for _, n := range []struct {
			what  string
			value int64
		}{
			{"clients", int64(c.ever)},
			{"messages_in", c.in.messages.Load()}, {"bytes_in", c.in.bytes.Load()},
			{"messages_out", c.out.messages.Load()}, {"bytes_out", c.out.bytes.Load()},
		} {
			ev.Fields = append(ev.Fields, event.Int(p.name+"_"+n.what, n.value))
		}
	}
	if d.udp != nil {
		u := d.udp
		ev.Fields = append(ev.Fields, event.Int("udp_forgotten", u.forgotten.Load()),
			event.Int("udp_not_answered", u.unanswered.Load()), event.Int("udp_dropped", u.dropped.Load()))
		if n := u.dropped.Load(); n > 0 {
			d.con.Error(droppedError(n))
		}
	}
	d.con.Event(*ev)
}

// plainError is the cause of err alone: who is concerned stands in the line, and
// how it came out matters to nobody.
func plainError(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	text := cli.ErrorText(err)
	return strings.TrimPrefix(text, "wsproto: ")
}

// Package dump shows what comes over TCP, UDP and WebSocket, in the lines of
// SocketSrv, and talks back.
//
// Each protocol numbers its clients and keeps them in a protocol: clients.go. TCP is
// in tcp.go, its writing in queue.go; UDP in udp.go; WebSocket in ws.go. Commands
// come from prompt.go and are in commands.go. What goes back by itself is in
// answer.go, what ends the program well in goal.go. A message comes in on one of the
// three, is shown by received, and is answered; a command looks its client up and goes
// the other way, and is shown as sent once the system has it. Begin with run.
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

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/internal/talk"
	"socketsrv/linesrv"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "dump", Brief: "show what comes over TCP, UDP and WebSocket; talk back at a prompt",
	Examples: []string{
		"socketsrv",
		"socketsrv -dump -tcp-port 4000 -udp-port off -ws-port off -format hex -t",
		"echo 'send tcp all hello' | socketsrv -dump -batch",
	},
	Prompt: promptRows,
	Setup: func(fs *cli.Flags) cli.Func {
		d := &dump{framing: linesrv.Framing{Kind: linesrv.KindNone}, eol: "lf", udpIdle: 5 * time.Minute, stall: cli.WriteStall}
		d.listeners = listen.AddListeners(fs, "", "1234", "1234", "1235")
		fs.Duration(&d.udpIdle, "udp-idle", "Forgets a UDP peer that was silent for D.")
		fs.Switch(&d.longAnswers, "udp-long-answers", "Answers UDP by more than came, too: for a network where nobody forges addresses.")
		fs.Group("Talking back")
		fs.Choice(&d.eol, "eol", "Ends what send writes to TCP clients so.", "lf", "crlf", "none")
		fs.Framing(&d.framing, "Cuts what TCP clients send into messages, and frames what is sent to them.")
		fs.Switch(&d.escapes, "e", `Reads \n \r \t \0 \xHH \u{H} \\ in -greet, -reply and send.`)
		d.Answerer.Flags(fs)
		fs.Switch(&d.batch, "batch", "Waits for a first client, runs stdin as commands, lets answers come and ends.")
		d.goal.flags(fs)
		fs.Func("stall", "D", "Gives up a client that takes nothing of what is sent for D (30s); off: never.", talk.Patience(&d.stall))
		fs.Switch(&d.lenient, "lenient", "Notes faults of WebSocket clients that nothing depends on, and goes on.")
		d.tls = listen.AddTLS(fs)
		d.ws = listen.AddWebSocket(fs, true)
		d.output = fs.Output()
		fs.Check(d.check)
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
	framing   linesrv.Framing
	eol       string
	escapes   bool
	batch     bool
	lenient   bool

	longAnswers bool
	stall       time.Duration // what a client may take nothing for; negative: for ever
	goal        goal
	tls         *listen.TLS
	ws          *listen.WebSocket
	output      *cli.Output
	answers

	con    *cli.Console
	now    func() time.Time
	prompt *prompt
	shows  bool // events are shown, not only counted

	protocols []*protocol // in the order of help and list_clients
	serving   sync.Mutex  // held while the three are set, for cut
	tcp       *tcpServer
	udp       *udpServer
	web       *wsServer

	met     chan struct{} // closed by the first client
	first   sync.Once
	left    chan struct{} // a client has gone since -batch looked last
	moved   atomic.Uint64 // counts what comes and goes, for -batch
	talking atomic.Bool   // commands may still come
	talked  chan struct{} // closed when no more do
	talk    sync.Once     // closes it
	lost    atomic.Int64  // bytes that clients did not get
	refused atomic.Int64  // commands that were not carried out, or not for all
}

// stallTime is what writing to a stdout that takes nothing may add to -grace.
const stallTime = time.Second

func (d *dump) check() error {
	if d.framing.Kind == linesrv.KindLine && d.eol == "none" {
		return cli.Usagef("-framing line ends lines, and -eol none does not")
	}
	if !d.escapes {
		return nil
	}
	greet, err := linesrv.ParseEscapes(d.ws.Greet)
	if err == nil {
		d.ws.Greet = string(greet)
		err = d.Unescape()
	}
	if err != nil {
		return cli.Usagef("-e: %v", err)
	}
	return nil
}

func (d *dump) run(ctx context.Context, env *cli.Env, args []string) (err error) {
	over := make(chan struct{})
	defer close(over)
	env.OnCut(func() {
		d.cut()
		<-over
	})
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
	d.shows = d.output.Events() || !d.output.Quiet
	d.met, d.left, d.talked = make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	d.Program.Warn = func(line string) { con.Detail("%s", line) }
	d.protocols = []*protocol{{name: "udp", noun: "UDP session"}, {name: "tcp", noun: "TCP connection"}, {name: "ws", noun: "WebSocket connection"}}
	for _, p := range d.protocols {
		p.bound.Full = func() {
			con.Error(fmt.Errorf("%s: as many connections as -max-conns allows, more are turned away", p.name))
		}
	}
	d.listeners.Bound = &d.protocols[1].bound
	if d.ws.Writes = d.Program.Given(); d.ws.Writes {
		d.listeners.Spare = answer.Descriptors
	}
	if err = d.serve(ctx, env); err != nil && !cli.As[*cli.UsageError](err) {
		con.Event(event.Event{Event: event.Error, Client: -1, Err: cli.ErrorText(err)})
	}
	return err
}

// serve listens, and serves until a signal, a command or the goal ends it.
func (d *dump) serve(outer context.Context, env *cli.Env) error {
	ctx, quit := context.WithCancelCause(outer)
	defer quit(nil)
	sockets, err := d.listeners.Open(ctx, env, d.con, d.tls)
	if err != nil {
		return err
	}
	defer sockets.Close()
	var servers []func() error
	d.serving.Lock()
	if sockets.TCP != nil {
		d.tcp = d.newTCP(ctx, d.protocols[1], sockets.TCP)
		servers = append(servers, d.tcp.serve)
	}
	if sockets.UDP != nil {
		d.udp = d.newUDP(ctx, d.protocols[0], sockets.UDP)
		servers = append(servers, d.udp.serve)
	}
	if sockets.WS != nil {
		d.web = d.newWS(ctx, d.protocols[2], sockets.WS)
		servers = append(servers, d.web.serve)
	}
	d.serving.Unlock()
	d.talking.Store(true)
	var commands sync.WaitGroup
	commands.Go(func() { d.converse(ctx, quit) })
	commands.Go(func() { d.goal.watch(ctx, d.mayEnd(), quit) })
	ended := make(chan error, 1)
	go func() {
		ended <- listen.ServeAll(ctx, &d.listeners.Serving, func(context.Context) { d.stop(sockets) }, servers...)
		quit(nil) // also where nothing is left to serve
		commands.Wait()
		close(ended)
	}()
	if err = d.wait(outer, ctx, ended); err != nil {
		return err
	}
	return d.verdict(outer, context.Cause(ctx))
}

// verdict is how it went: what was asked for, or else what did not get out. A signal
// cuts nothing that somebody asked for.
func (d *dump) verdict(outer context.Context, cause error) error {
	stopped := outer.Err() != nil
	switch {
	case !stopped && cli.As[*cli.Failure](cause): // the time is up, or stdin cannot be read
		return cause
	case d.goal.given():
		return d.goal.missed()
	case stopped:
		return nil
	case d.lost.Load() > 0:
		return cli.Fail(cli.ExitSend, fmt.Errorf("%s not sent", cli.Plural(d.lost.Load(), "byte")))
	case d.batch && d.refused.Load() > 0:
		return cli.Fail(cli.ExitFailure, fmt.Errorf("%s not done", cli.Plural(d.refused.Load(), "command")))
	}
	return nil
}

// mayEnd is closed when the program may end because the goal is met: with -batch
// after the commands.
func (d *dump) mayEnd() <-chan struct{} {
	if d.batch {
		return d.talked
	}
	now := make(chan struct{})
	close(now)
	return now
}

// wait returns when all has ended and the summary is written, or when nothing moves
// any more for so long that what is still under way waits for stdout. A second signal
// cuts.
func (d *dump) wait(outer, ctx context.Context, ended chan error) (err error) {
	var late <-chan time.Time
	var again <-chan struct{}
	var moved uint64
	var since time.Time
	patience := d.listeners.Grace + stallTime
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
			if outer.Err() == nil { // Ctrl-C at the prompt was no signal, the next one is
				again = outer.Done()
			}
			late, moved, since = time.After(patience), d.moved.Load(), time.Now()
		case <-again:
			again = nil
			go d.cut()
		case <-late:
			limit := patience
			if d.waits() {
				limit += max(d.stall, 0)
			}
			if now := d.moved.Load(); now != moved {
				moved, since = now, time.Now()
			} else if time.Since(since) >= limit && (d.stall > 0 || !d.waits()) {
				return err
			}
			late = time.After(patience)
		}
	}
}

// waits reports whether something is sent that the system has not taken.
func (d *dump) waits() bool {
	for _, p := range d.protocols {
		for _, t := range p.current() {
			if t.about().waits.Load() {
				return true
			}
		}
	}
	return false
}

// stop makes all servers return, once their clients have what was sent to them, as
// long as they take some of it.
func (d *dump) stop(sockets *listen.Sockets) {
	d.prompt.close() // the terminal is the user's again
	if d.udp != nil {
		d.udp.lookAtDrops()
	}
	sockets.Close()
	var all sync.WaitGroup
	if d.tcp != nil {
		all.Go(d.tcp.table.Stop) // serve returns when all are gone
	}
	if d.web != nil {
		all.Go(d.web.stop)
	}
	all.Wait()
	d.late.Wait()
}

// cut ends all clients at once.
func (d *dump) cut() {
	d.serving.Lock()
	defer d.serving.Unlock()
	if d.tcp != nil {
		d.tcp.table.Kill()
	}
	if d.web != nil {
		d.web.cut()
	}
}

// greets reports whether clients are greeted.
func (d *dump) greets() bool { return d.ws.Greet != "" }

// opened gives a client its number and shows that it came.
func (d *dump) opened(t target) {
	c := t.about()
	c.protocol.opening.Lock()
	defer c.protocol.opening.Unlock()
	c.since = d.now()
	c.number = c.protocol.next()
	if d.shows {
		d.con.Show(&event.Event{Event: event.Open, Proto: c.proto, Client: c.number, Peer: c.peer, Path: c.path, Head: c.head})
	}
	c.protocol.join(t)
	d.moved.Add(1)
	d.first.Do(func() { close(d.met) })
}

// received shows a message; the opcode is "" where messages have no type.
func (d *dump) received(c *client, opcode string, p []byte) {
	d.show(c, event.In, opcode, p)
	d.goal.look(c, p)
}

// sent shows what the system has taken.
func (d *dump) sent(c *client, opcode string, p []byte) {
	d.moved.Add(1)
	d.show(c, event.Out, opcode, p)
}

func (d *dump) show(c *client, dir, opcode string, p []byte) {
	if d.shows {
		d.con.Show(&event.Event{Event: event.Message, Proto: c.proto, Client: c.number, Peer: c.peer, Dir: dir, Opcode: opcode, Payload: p})
	}
}

// ended shows that a client ended its side, and notes that we ended ours.
func (d *dump) ended(c *client, dir string) {
	d.moved.Add(1)
	c.protocol.opening.Lock()
	came := !c.since.IsZero()
	c.protocol.opening.Unlock()
	if !came { // the program ends it before it was shown to come
		return
	}
	ev := event.Event{Event: event.End, Proto: c.proto, Client: c.number, Peer: c.peer, Dir: dir}
	if d.shows && dir == event.In {
		d.con.Show(&ev)
	} else {
		d.con.Event(ev)
	}
}

// closed shows the end of a client: ev says what kind of end.
func (d *dump) closed(c *client, ev event.Event) {
	d.moved.Add(1)
	if d.shows {
		ev.Event, ev.Proto, ev.Client, ev.Peer, ev.Path = event.Close, c.proto, c.number, c.peer, c.path
		d.con.Show(&ev)
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

// notSent shows what a client did not get.
func (d *dump) notSent(c *client, left unsent) {
	if left.bytes > 0 {
		d.lost.Add(int64(left.bytes))
		d.fault(c, fmt.Sprintf("not sent: %s of %s", cli.Plural(int64(left.bytes), "byte"), cli.Plural(int64(left.messages), "message")))
	}
}

// fault shows what went wrong with a client.
func (d *dump) fault(c *client, reason string) {
	if !d.output.JSON {
		d.refuse(fmt.Sprintf("%v: %s", c, reason))
		return
	}
	d.con.Event(event.Event{Event: event.Error, Proto: c.proto, Client: c.number, Peer: c.peer, Err: reason})
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

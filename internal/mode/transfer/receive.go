package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/files"
	"socketsrv/wsproto"
)

// Receive takes files from a transfer server into a folder, which it makes if there
// is none.
var Receive = cli.Mode{
	Name: "receive", Args: "URL [DIR]",
	Brief: "receive files through a transfer server, from -send or ws send",
	Examples: []string{
		"socketsrv -receive ws://localhost:8008",
		"socketsrv -receive -keep -max-size 1G ws://localhost:8008 inbox",
		"socketsrv -receive -resume wss://files.example.org:8443 downloads",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		r := &receive{maxSize: 1 << 40, ackDelay: 700 * time.Millisecond}
		fs.Group("Receiving")
		fs.Switch(&r.keep, "keep", "Goes on after the files of one sender.")
		fs.Switch(&r.overwrite, "overwrite", "Replaces files that exist.")
		fs.Switch(&r.resume, "resume", "Keeps the part of a file that did not come whole, and goes on with it the next time.")
		fs.Size(&r.maxSize, "max-size", "Refuses files of more than SIZE bytes.")
		fs.Duration(&r.ackDelay, "ack-delay", "Waits D before an answer to ws send, which misses early ones.")
		fs.Func("delay", "MS", "Pauses so many milliseconds after each message, to receive slowly.", func(s string) error {
			ms, err := strconv.ParseUint(s, 10, 31)
			if r.delay = time.Duration(ms) * time.Millisecond; err != nil {
				return errors.New("want a number of milliseconds")
			}
			return nil
		})
		r.flags(fs)
		return fs.WithPidfile(r.run)
	},
}

// receive is what the flags said.
type receive struct {
	endpoint
	keep, overwrite, resume bool
	maxSize                 int64
	ackDelay, delay         time.Duration
}

func (r *receive) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseWebSocket(args[0])
	if err != nil {
		return err
	}
	dir := "."
	if len(args) > 1 {
		dir = args[1]
		if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
			return cli.Fail(cli.ExitWrite, err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return cli.Fail(cli.ExitWrite, err)
	}
	defer root.Close()
	bar := files.NewProgress(env, r.Output)
	con, err := r.Output.Open(bar.Env)
	if err != nil {
		return err
	}
	defer con.Close()
	defer bar.Clear()
	g := &receiving{receive: r, con: con, bar: bar, root: root, id: newTransferID().String(),
		incoming: make(map[fileID]*incoming), over: make(chan struct{}), quit: make(chan struct{})}
	err = g.connections(ctx, env, t)
	g.close()
	return err
}

// A receiving is a receiving program. Messages are handled by the goroutine that
// reads the connection; the others are the one with the clock, and for a while
// those that read or write a whole file. What they share is guarded by mu.
type receiving struct {
	*receive
	con   *cli.Console
	bar   *files.Progress
	root  *os.Root
	id    string
	over  chan struct{} // closed: it has come to its end
	tasks sync.WaitGroup
	quit  chan struct{} // closed: tasks need not wait any longer

	mu       sync.Mutex
	conn     *wsproto.Conn // nil: not now
	incoming map[fileID]*incoming
	ended    []outcome // the last files, for senders who ask again
	batch    string    // the sender's, whose files we take; "" until then
	got      int       // files
	heard    time.Time // the last time a file was on its way
	last     fileID    // of all files, and that is here
	leaving  time.Time // when it ends, if set
	finished bool      // over is closed
	outcome  error     // the first thing that went wrong
	foreign  bool      // said that there are messages we do not know
	bad      bool      // said that there are broken ones

	wireFiles int // that came in formats of package wire
	wireJobs  int // not yet answered
}

// connections receives over as many connections as it takes.
func (g *receiving) connections(ctx context.Context, env *cli.Env, t dial.Target) error {
	conn, err := g.open(ctx, env, g.con, t)
	for err == nil {
		if err = g.connection(ctx, conn); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-g.over:
			return g.outcome
		default:
		}
		conn, err = g.reopen(ctx, env, g.con, t, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.leaving.IsZero() && ctx.Err() == nil {
		return g.outcome // the server went away, but all is here
	}
	return err
}

// connection receives over one connection until it breaks (a lostError), the
// program has come to its end, or ctx ends.
func (g *receiving) connection(ctx context.Context, conn *wsproto.Conn) error {
	ended := make(chan error, 1)
	g.attach(conn)
	go func() { ended <- g.read(conn) }()
	clock := time.NewTicker(beat)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
			g.tick()
		case err := <-ended:
			g.attach(nil)
			conn.Close(wsproto.StatusNormalClosure, "")
			return lost(err)
		case <-g.over:
			g.leave(conn, ended, wsproto.StatusNormalClosure)
			return g.outcome
		case <-ctx.Done():
			g.leave(conn, ended, wsproto.StatusGoingAway)
			return ctx.Err()
		}
	}
}

func (g *receiving) leave(conn *wsproto.Conn, ended chan error, code wsproto.StatusCode) {
	g.attach(nil)
	conn.CloseWrite(code, "")
	select {
	case <-ended:
	case <-time.After(dial.CutTime):
		conn.NetConn().Close()
		<-ended
	}
	conn.Close(0, "")
}

func (g *receiving) read(conn *wsproto.Conn) error {
	for {
		m, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		g.take(m)
		if g.delay > 0 {
			g.sleep(g.delay)
		}
	}
}

// attach makes conn the connection; senders hear over it what we want.
func (g *receiving) attach(conn *wsproto.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn = conn; conn == nil {
		return
	}
	for _, t := range g.incoming {
		if t.state != incomingReads && t.state != incomingSaves {
			t.heard = g.con.Now()
			g.accept(t)
		}
	}
}

// close ends what did not come to its end.
func (g *receiving) close() {
	close(g.quit)
	g.tasks.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.incoming {
		t.part.Discard(g.resume)
	}
}

// end ends the program; mu is held.
func (g *receiving) end() {
	if !g.finished {
		g.finished = true
		close(g.over)
	}
}

// take handles a message.
func (g *receiving) take(m wsproto.Message) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.finished {
		return
	}
	if c, ok := parseChunk(m.Data); ok && m.Opcode == wsproto.OpBinary {
		g.good.Store(true)
		g.chunk(c)
		return
	}
	c, err := g.code.parse(m.Data)
	switch {
	case err == nil:
		g.good.Store(true)
		g.control(&c)
	case !errors.Is(err, errForeign):
		g.badControl(&c, err)
	case !g.takeWire(m.Data):
		g.unknown()
	}
}

// unknown says once that there is more on this server than files.
func (g *receiving) unknown() {
	if !g.foreign {
		g.foreign = true
		g.con.Status("ignored: messages that are not of a transfer")
	}
}

// badControl answers what was meant as a control message.
func (g *receiving) badControl(c *control, err error) {
	if !g.bad {
		g.bad = true
		g.con.Status("ignored: bad control messages: %v", err)
	}
	if c.id != (fileID{}) {
		g.tell(&control{kind: "refuse", id: c.id, receiver: g.id, reason: "bad offer: " + err.Error()})
	}
}

// tell sends a control message; an error ends the connection, which its reader
// finds out.
func (g *receiving) tell(c *control) {
	if g.conn != nil {
		g.conn.WriteMessage(wsproto.OpText, g.code.append(nil, *c))
	}
}

// saved says that a file stands under its name.
func (g *receiving) saved(name string, size int64, sum string, took time.Duration) {
	g.got++
	g.bar.Clear()
	g.con.Status("received %s: %d bytes in %v, sha256 %s", cli.Field(name), size, files.RoundTime(took), sum)
	if g.Output.JSON {
		g.con.Emit(fileEvent(event.In, name, size, sum))
	}
}

func (g *receiving) failed(name string, err error) error {
	g.bar.Clear()
	err = fmt.Errorf("%s: %w", cli.Field(name), err)
	if g.keep || g.outcome != nil {
		g.con.Error(err)
	}
	return err
}

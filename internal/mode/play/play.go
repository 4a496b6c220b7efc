// Package play plays a conversation that was written down or recorded, as the client or
// as the server of it, and checks what the other one does.
//
// What is played are the steps of package talkfile. A conversation (conversation.go)
// plays them on a wire (wire.go): a stream, cut into messages or not, a WebSocket, or
// datagrams, each over a pipe whose writes can be cut and broken. What comes is read by a
// goroutine of its own into an inbox (inbox.go), where the steps look for it. The client is
// in client.go, the server in server.go; report.go writes down what was met. Begin with
// run here, then conversation.run.
package play

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/talkfile"
	"socketsrv/linesrv"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "play", Args: "FILE [TARGET]",
	Brief: "play a recording or a written conversation, as client or server, and check it",
	Examples: []string{
		"socketsrv -play smtp.talk tcp://localhost:25",
		"socketsrv -play meter.talk -listen tcp://:4000 -framing line",
		"socketsrv -play session.jsonl -pace fast ws://localhost:8008",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		p := &play{client: -1, allowed: 10 * time.Second, framing: linesrv.Framing{Kind: linesrv.KindNone}, rate: 1}
		fs.Group("Playing")
		fs.Choice(&p.side, "side", "Takes this part of a recording; else that of a client to TARGET, of a server with -listen.", "client", "server")
		fs.Func("pace", "real|fast|xN", "Waits as long as the file says (real), not at all (fast), or N times shorter.", p.setPace)
		fs.Int(&p.client, "client", "N", -1, 1<<30, "Plays connection N of a recording; -1 is the first with a message.")
		fs.Duration(&p.allowed, "within", "Gives the peer D for what is expected, where the file does not say how long.")
		fs.Duration(&p.timeout, "timeout", "Gives up a conversation after D and exits with 28.")
		fs.Framing(&p.framing, "Cuts streams into messages.")
		fs.Switch(&p.toTalk, "to-talk", "Prints a recording as a talk file and plays nothing.")
		p.serverFlags(fs)
		fs.Group("Reports")
		fs.String(&p.report.junit, "junit", "FILE", "Writes what was met and what was not into FILE as JUnit does.")
		p.dial.WS = dial.AddWebSocket(fs) // a server has some of them too
		p.dial.TLS = dial.AddTLS(fs)
		p.output = fs.Output()
		fs.Check(func() error {
			p.given = fs.Given
			p.allowed, p.timeout = cmp.Or(p.allowed, never), cmp.Or(p.timeout, never)
			return nil
		})
		return p.run
	},
	Checks: []cli.Check{{Name: "a talk file, and its recording as both sides", Run: check}},
}

const never = 365 * 24 * time.Hour

// check plays a server, records what a client does with it, and plays both sides of that.
func check(ctx context.Context, b *cli.Bench) error {
	dir, err := b.Dir()
	if err != nil {
		return err
	}
	talk, rec := filepath.Join(dir, "t.talk"), filepath.Join(dir, "r.jsonl")
	if err = os.WriteFile(talk, []byte("< hello\n< end\n> héllo\\n\n"), 0o600); err != nil {
		return err
	}
	_, addr, err := b.Start(ctx, "tcp", "play", talk, "-listen", "tcp://127.0.0.1:0")
	if err == nil {
		err = b.Run(ctx, "héllo\n", "connect", "tcp://"+addr, "-m", "hello", "-eol", "none", "-record", rec, "-timeout", "4s")
	}
	if err == nil {
		_, addr, err = b.Start(ctx, "tcp", "play", rec, "-listen", "tcp://127.0.0.1:0", "-pace", "fast")
	}
	if err != nil {
		return err
	}
	want := "TAP version 13\nok 1 - line 4 < héllo\\n\nok 2 - line 5 < end\nok 3 - to its end " + event.Field(rec) + "\n1..3\n"
	return b.Run(ctx, want, "play", rec, "tcp://"+addr, "-pace", "fast", "-timeout", "4s")
}

// play is what the flags said, and the mode at work.
type play struct {
	file             string
	side             string  // "": that of the transport
	rate             float64 // by which waits are divided; 0: there are none
	client           int
	allowed, timeout time.Duration
	framing          linesrv.Framing
	toTalk           bool
	given            func(flag string) bool

	serving serving
	dial    dial.Client
	output  *cli.Output

	env    *cli.Env
	con    *cli.Console
	talk   talkfile.Talk // nil: the file is a recording
	proto  string        // of the connection that is played: as in events
	server bool
	report report
}

func (p *play) setPace(s string) (err error) {
	switch s {
	case "real":
		p.rate = 1
	case "fast":
		p.rate = 0
	default:
		n, ok := strings.CutPrefix(s, "x")
		if p.rate, err = strconv.ParseFloat(n, 64); !ok || err != nil || !(p.rate > 0 && p.rate <= 1e6) {
			return errors.New("want real, fast, or x and a number, such as x10")
		}
	}
	return nil
}

// paced is how long d is.
func (p *play) paced(d time.Duration) time.Duration {
	if p.rate == 0 {
		return 0
	}
	return time.Duration(float64(d) / p.rate)
}

func (p *play) run(ctx context.Context, env *cli.Env, args []string) (err error) {
	listens := p.serving.spec.Scheme != ""
	switch p.file = args[0]; {
	case p.toTalk && (listens || len(args) > 1):
		return cli.Usagef("-to-talk prints FILE, and has no TARGET and no -listen")
	case p.toTalk:
	case listens == (len(args) > 1):
		return cli.Usagef("want either a TARGET to play to, or -listen")
	}
	p.server = listens
	if p.con, err = p.output.Open(env); err != nil {
		return err
	}
	defer p.con.Close()
	p.env = env
	switch {
	case p.toTalk:
		return p.printTalk()
	case p.server:
		err = p.serve(ctx)
	default:
		err = p.connect(ctx, args[1])
	}
	return errors.Join(err, p.report.end(p.con, p.output.JSON))
}

// load reads the file as far as has to be known before the first connection.
func (p *play) load() error {
	f, err := os.Open(p.file)
	if err != nil {
		return cli.Fail(cli.ExitRead, err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head)
	switch {
	case bytes.HasPrefix(head[:n], []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return p.inFile(&talkfile.Error{Line: 1, Err: errors.New("a capture cannot be played: -record FILE without .pcapng keeps what can")})
	case bytes.HasPrefix(bytes.TrimLeft(head[:n], "\ufeff \t\r\n"), []byte{'{'}):
		src, done, err := p.source()
		if err != nil {
			return err
		}
		if src.(*talkfile.Recording).Proto == "line" && !p.given("framing") {
			p.framing = linesrv.Framing{}
		}
		return done()
	}
	if _, err = f.Seek(0, io.SeekStart); err != nil {
		return cli.Fail(cli.ExitRead, err)
	}
	src, err := io.ReadAll(io.LimitReader(f, talkfile.MaxFile+1))
	if err != nil {
		return cli.Fail(cli.ExitRead, err)
	}
	if p.side != "" {
		return cli.Usagef("-side is for recordings: in a talk file > is what we say")
	}
	if p.talk, err = talkfile.Parse(src); err != nil {
		return p.inFile(err)
	}
	return nil
}

// source opens what is to be played; done closes it.
func (p *play) source() (src source, done func() error, err error) {
	if p.talk != nil {
		return p.talk.Cursor(), func() error { return nil }, nil
	}
	f, err := os.Open(p.file)
	if err != nil {
		return nil, nil, cli.Fail(cli.ExitRead, err)
	}
	server := p.side == "server" || p.side == "" && p.server
	src, err = talkfile.NewRecording(f, talkfile.RecordingOptions{Server: server, Client: p.client})
	if err != nil {
		f.Close()
		return nil, nil, p.inFile(err)
	}
	return src, f.Close, nil
}

// inFile says in which file err is.
func (p *play) inFile(err error) error {
	return cli.Fail(cli.ExitRead, fmt.Errorf("%s:%w", cli.Field(p.file), err))
}

// fitAll finds what of a talk file cannot be played on the connection.
func (p *play) fitAll(steps []talkfile.Step) error {
	for i := range steps {
		if err := p.fits(&steps[i]); err != nil {
			return err
		}
		if err := p.fitAll(steps[i].Body); err != nil {
			return err
		}
	}
	return nil
}

// fits says what of s the connection does not have.
func (p *play) fits(s *talkfile.Step) error {
	what := ""
	switch {
	case p.isWebSocket():
		if text := s.Payload.Bytes(nil); s.Kind == talkfile.Text && (s.Verb == talkfile.Send || s.Verb == talkfile.Expect) && !utf8.Valid(text) {
			what = "text on a WebSocket is UTF-8: bytes is a binary message, raw sends anything"
		}
	case s.Kind == talkfile.Ping || s.Kind == talkfile.Pong:
		what = "only a WebSocket has pings and pongs: text before it makes it a word"
	case s.Verb == talkfile.WantClose, s.Verb == talkfile.Close && s.Code != 0:
		what = "only a WebSocket has Close frames: end, < end and close are for other connections"
	case p.datagrams() && (s.Verb == talkfile.WantEnd || s.Verb == talkfile.WantReset || s.Verb == talkfile.Reset || s.Verb == talkfile.Split):
		what = "datagrams are not cut and have no end"
	}
	if what == "" {
		return nil
	}
	return p.inFile(&talkfile.Error{Line: s.Line, Column: s.Column, Err: errors.New(what)})
}

func (p *play) isWebSocket() bool { return p.proto == "ws" || p.proto == "wss" }
func (p *play) datagrams() bool   { return p.proto == "udp" || p.proto == "unixgram" }

// start makes ready for connections of a kind.
func (p *play) start(proto string) error {
	if p.proto = proto; proto == "line" {
		p.framing = linesrv.Framing{}
	}
	if err := p.load(); err != nil {
		return err
	}
	p.report.begin(p.con, p.output.JSON)
	return p.fitAll(p.talk)
}

// begin makes ready for a conversation over nc, which may not be there yet. It ends with
// ctx, and with -timeout.
func (p *play) begin(ctx context.Context, nc net.Conn, who event.Event) *conversation {
	c := &conversation{play: p, who: who, in: newInbox()}
	c.ctx, c.cancel = context.WithTimeout(ctx, p.timeout)
	c.pipe = &pipe{Conn: nc, ctx: c.ctx}
	if who.Client >= 0 {
		c.title = fmt.Sprintf("client %d ", who.Client)
	}
	return c
}

// playOn plays the file once, on w above the pipe.
func (c *conversation) playOn(w wire) error {
	src, done, err := c.source()
	if err != nil {
		return err
	}
	defer done()
	c.wire = w
	return c.run(src)
}

// printTalk prints the file as a talk file, without waits that nobody would write.
func (p *play) printTalk() error {
	if err := p.load(); err != nil {
		return err
	}
	if p.talk != nil {
		_, err := p.con.Write(talkfile.Append(nil, p.talk))
		return err
	}
	src, done, err := p.source()
	if err != nil {
		return err
	}
	defer done()
	var wait time.Duration
	for {
		s, err := src.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return p.inFile(err)
		case s.Verb == talkfile.Wait:
			wait += s.D
			continue
		case isExpectation(s):
			wait = 0
		}
		steps := []talkfile.Step{*s}
		if wait >= 10*time.Millisecond {
			steps = []talkfile.Step{{Verb: talkfile.Wait, D: wait.Round(time.Millisecond)}, *s}
			wait = 0
		}
		if _, err := p.con.Write(talkfile.Append(nil, steps)); err != nil {
			return err
		}
	}
}

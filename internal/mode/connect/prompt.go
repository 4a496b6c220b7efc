package connect

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A prompt is the run of a client with a person in front of it. Three goroutines
// work for it: the typist reads lines and queues them, so that Ctrl-C is heard
// whatever else waits; the speaker sends them; the listener prints what comes, and
// connects again.
type prompt struct {
	*connect
	con    *cli.Console
	out    *printer
	target dial.Target
	editor *term.Editor
	draws  bool // the editor edits lines
	lines  talk.LineQueue

	stop    context.CancelFunc // ends waiting and connecting
	mu      sync.Mutex
	link    dial.Link // nil: not connected
	leaving bool      // closed by us: the end of the connection is the end
}

// prompts says whether the flags and the terminal ask for a prompt.
func (c *connect) prompts(env *cli.Env) bool {
	oneShot := len(c.messages) > 0 && !c.resend || c.count > 0 || c.expect != nil || c.answer.Answers()
	return env.TTYIn != nil && !oneShot
}

func (c *connect) prompt(ctx context.Context, env *cli.Env, t dial.Target) error {
	var history term.History
	historyErr := history.Load(term.HistoryFile("connect"))
	c.Pinged = new(dial.PingWatch)
	p := &prompt{connect: c, target: t}
	editor, err := term.NewEditor(env.TTYIn, talk.PromptFile(env), term.Options{History: &history, Complete: completeCommand})
	if err != nil {
		return err
	}
	defer editor.Close()
	p.editor, p.draws = editor, env.TTYOut != nil && env.Getenv("TERM") != "dumb"
	con, err := c.Output.Open(talk.Besides(env, editor))
	if err != nil {
		return err
	}
	defer con.Close()
	p.con, p.out = con, c.printer(env, con, t)
	p.out.prefix = p.mark()
	if historyErr != nil {
		con.Error(historyErr)
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, errTimeUp)
		defer cancel()
	}
	err = p.run(ctx, env)
	editor.Close()
	if err := history.Save(); err != nil {
		con.Error(err)
	}
	return err
}

// mark stands before a message, to tell it from what was typed.
func (p *prompt) mark() string {
	switch {
	case !p.out.terminal || p.target.Stream():
		return ""
	case p.out.style.Color:
		return "\x1b[36m<\x1b[0m "
	}
	return "< "
}

// setPrompt shows text before the line being typed, where that is edited: else
// the output would not know that it is there.
func (p *prompt) setPrompt(text string) {
	if p.draws {
		p.editor.SetPrompt(text)
	}
}

func (p *prompt) run(ctx context.Context, env *cli.Env) error {
	first, err := p.Dial(ctx, env, p.con, p.target)
	if err != nil {
		return timeUp(ctx, err)
	}
	here, stop := context.WithCancel(ctx)
	defer stop()
	p.stop = stop
	p.lines.More.L = &p.lines.Mu
	p.use(first)
	var helpers sync.WaitGroup
	interrupted := make(chan struct{})
	listened := make(chan error, 1)
	helpers.Go(func() { p.typist(interrupted) })
	helpers.Go(p.speak)
	helpers.Go(func() { listened <- p.listen(here, env, first) })

	select {
	case err = <-listened:
	case <-interrupted:
		err = cli.Fail(cli.ExitSignal+int(syscall.SIGINT), nil)
		p.cut(listened)
	case <-ctx.Done():
		err = timeUp(ctx, ctx.Err())
		p.cut(listened)
	}
	stop()
	if l := p.leave(); l != nil {
		l.Close()
	}
	p.lines.Close(true)
	p.editor.Close()
	talk.WaitFor(&helpers)
	return err
}

// timeUp makes err the end of -timeout where it is.
func timeUp(ctx context.Context, err error) error {
	if context.Cause(ctx) == errTimeUp {
		return cli.Fail(cli.ExitTimeout, errTimeUp)
	}
	return err
}

// cut ends the connection with little patience.
func (p *prompt) cut(listened <-chan error) {
	p.end(wsproto.StatusGoingAway, "")
	select {
	case <-listened:
	case <-time.After(dial.CutTime):
	}
}

// end closes the connection and all with it; listen returns when the peer has
// done his part.
func (p *prompt) end(code wsproto.StatusCode, reason string) {
	if l := p.leave(); l != nil {
		l.Finish(code, reason)
	} else {
		p.stop()
	}
}

// leave says that no connection is wanted any more, and returns the one there is.
func (p *prompt) leave() dial.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
	return p.link
}

// typist queues the lines that are typed, to the end of the input.
func (p *prompt) typist(interrupted chan<- struct{}) {
	for {
		line, err := p.editor.ReadLine()
		switch {
		case err == nil:
			if !p.lines.Put(line) {
				p.con.Error(errors.New("not sent: too much waits to be sent already"))
			}
		case err == term.ErrTooLong:
			p.con.Error(err)
		case err == term.ErrInterrupted:
			close(interrupted)
			return
		default: // io.EOF; os.ErrClosed when all is over
			p.lines.Close(false)
			return
		}
	}
}

// speak sends what was typed, and closes at the end of it.
func (p *prompt) speak() {
	for {
		line, ok := p.lines.Get()
		if !ok {
			break
		}
		if err := p.do(line); err != nil {
			p.con.Error(err)
		}
	}
	if !p.isLeaving() {
		p.end(wsproto.StatusNormalClosure, "")
	}
}

// listen prints what comes on l and on the connections after it.
func (p *prompt) listen(ctx context.Context, env *cli.Env, l dial.Link) error {
	wait := talk.Pauses{Max: p.maxWait}
	for {
		since := time.Now()
		err := p.receive(l)
		if p.isLeaving() {
			return talk.LeavingCode(err)
		}
		if p.once {
			return p.lost(err)
		}
		if p.noteEnd(err); time.Since(since) > p.maxWait {
			wait.Reset()
		}
		if l = p.again(ctx, env, &wait); l == nil {
			return nil
		}
	}
}

// receive uses l until it ends, and says why it did.
func (p *prompt) receive(l dial.Link) error {
	defer l.Close()
	if !p.use(l) {
		return nil
	}
	defer p.use(nil)
	for _, m := range p.messages {
		m := p.dressed(p.target, wsproto.Message{Opcode: m.op, Data: m.data}, m.file == "")
		p.out.sent(m)
		if l.Send(m) != nil {
			break // receive knows why
		}
	}
	for {
		m, err := l.Receive()
		if err != nil {
			return err
		}
		if p.gunzip {
			if m, err = gunzipped(m, p.MaxMessage); err != nil {
				p.con.Error(err)
			}
		}
		p.out.received(m)
	}
}

// use makes l the connection that is spoken on, unless all is over.
func (p *prompt) use(l dial.Link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link = l; l != nil {
		p.setPrompt("> ")
	}
	return !p.leaving
}

func (p *prompt) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// again connects until it succeeds, or ctx ends: then it returns nil.
func (p *prompt) again(ctx context.Context, env *cli.Env, wait *talk.Pauses) dial.Link {
	p.setPrompt("(not connected) > ")
	for {
		pause := wait.Next()
		p.con.Status("connecting again in %v", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		l, err := p.Dial(ctx, env, p.con, p.target)
		if err == nil {
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		p.con.Error(err)
	}
}

// lost is the outcome of an end that was the peer's.
func (p *prompt) lost(err error) error {
	p.noteEnd(err)
	if err == io.EOF && !p.target.WebSocket() || cli.ExitCode(err) == cli.ExitOK {
		return nil
	}
	if err == io.EOF {
		return cli.Fail(cli.ExitReceive, nil)
	}
	return cli.Fail(cli.ExitCode(err), nil) // said by noteEnd
}

// noteEnd says why a connection ended.
func (p *prompt) noteEnd(err error) {
	text := dial.EndText(err, p.target)
	p.con.Status("%s", text)
	p.CloseEvent(p.con, p.target, err)
}

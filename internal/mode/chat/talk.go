package chat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/talk"
	"socketsrv/internal/term"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// A chatTalk is the run of a chat. The speaker sends lines, the listener prints
// what comes, and connects again. A person's lines are read by a third goroutine,
// so that Ctrl-C is heard whatever else waits; lines of a pipe wait where they are,
// also for the next connection.
type chatTalk struct {
	*chat
	con    *cli.Console
	target dial.Target
	user   string

	source talk.LineSource
	editor *term.Editor   // nil: there is no person
	typed  talk.LineQueue // by the person
	heard  chan struct{}
	stop   context.CancelFunc // ends waiting and connecting

	mu      sync.Mutex
	changed sync.Cond // link or leaving did
	link    dial.Link // nil: not connected
	leaving bool      // closed by us: the end of the connection is the end
}

func (t *chatTalk) run(ctx context.Context, env *cli.Env) error {
	here, err := t.open(env)
	if err != nil {
		return err
	}
	defer t.source.Close()
	if t.con, err = t.Output.Open(here); err != nil {
		return err
	}
	defer t.con.Close()
	first, err := t.Dial(ctx, env, t.con, t.target)
	if err != nil {
		return err
	}
	return t.converse(ctx, env, first)
}

// open begins to read lines. What the environment it returns has for streams is
// written above the line being typed.
func (t *chatTalk) open(env *cli.Env) (*cli.Env, error) {
	stdin, isFile := env.Stdin.(*os.File)
	switch {
	case !isFile:
		s := bufio.NewScanner(env.Stdin)
		s.Buffer(nil, term.MaxLine)
		t.source = talk.NewScannedLines(s, env.Stdin)
		return env, nil
	case env.TTYIn == nil:
		lines, err := term.NewEditor(stdin, nil, term.Options{})
		if t.source = lines; err != nil { // there is no stdin
			t.source = talk.NoLines{}
		}
		return env, nil
	}
	editor, err := term.NewEditor(env.TTYIn, talk.PromptFile(env), term.Options{Prompt: t.prompt(), History: new(term.History)})
	if err != nil {
		return nil, err
	}
	t.source, t.editor = editor, editor
	return talk.Besides(env, editor), nil
}

func (t *chatTalk) prompt() string { return t.user + " > " }

// converse speaks and listens until one of them is at its end.
func (t *chatTalk) converse(ctx context.Context, env *cli.Env, first dial.Link) (err error) {
	here, stop := context.WithCancel(ctx)
	defer stop()
	t.stop = stop
	t.changed.L, t.typed.More.L = &t.mu, &t.typed.Mu
	t.heard = make(chan struct{}, 1)
	var helpers sync.WaitGroup
	interrupted, spoken, listened := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	next := t.source.ReadLine
	if t.editor != nil {
		helpers.Go(func() { t.read(interrupted) })
		next = t.takeTyped
	}
	helpers.Go(func() { listened <- t.listen(here, env, first) })
	helpers.Go(func() { spoken <- t.speak(next) })

	select {
	case err = <-listened:
	case err = <-spoken:
		err = t.finish(ctx, err, listened)
	case <-interrupted:
		err = cli.Fail(cli.ExitSignal+int(syscall.SIGINT), nil)
		t.cut(listened)
	case <-ctx.Done():
		err = ctx.Err()
		t.cut(listened)
	}
	stop()
	if l := t.leave(); l != nil {
		l.Close()
	}
	t.typed.Close(true)
	t.source.Close()
	talk.WaitFor(&helpers)
	return err
}

// read queues what a person types, to the end of it.
func (t *chatTalk) read(interrupted chan<- struct{}) {
	for {
		line, err := t.editor.ReadLine()
		switch {
		case err == nil && line == "":
		case err == nil:
			if !t.typed.Put(line) {
				t.con.Error(errors.New("not sent: too much waits to be sent already"))
			}
		case err == term.ErrTooLong:
			t.con.Error(err)
		case err == term.ErrInterrupted:
			close(interrupted)
			return
		default: // io.EOF; os.ErrClosed when all is over
			t.typed.Close(false)
			return
		}
	}
}

func (t *chatTalk) takeTyped() (string, error) {
	if line, ok := t.typed.Get(); ok {
		return line, nil
	}
	return "", io.EOF
}

// speak sends lines until there are no more.
func (t *chatTalk) speak(next func() (string, error)) error {
	for {
		line, err := next()
		switch {
		case errors.Is(err, term.ErrTooLong):
			t.con.Error(err)
		case err == io.EOF || errors.Is(err, os.ErrClosed) || t.isLeaving():
			return nil
		case err != nil:
			return cli.Fail(cli.ExitRead, fmt.Errorf("stdin: %w", err))
		default:
			t.say(line)
		}
	}
}

// say sends a line. What a person says while there is no connection is refused; a
// line of a pipe waits for one.
func (t *chatTalk) say(line string) {
	if !utf8.ValidString(line) {
		t.con.Error(errors.New("not sent: not UTF-8"))
		return
	}
	m := wsproto.Message{Opcode: wsproto.OpBinary, Data: wire.AppendChat(nil, t.format, wire.Chat{User: t.user, Text: line})}
	for l := t.current(nil); ; l = t.current(l) {
		err := talk.ErrNotConnected
		if l != nil {
			t.event(event.Out, m)
			if err = l.Send(m); err == nil {
				return
			}
			l.Close() // the listener notices
		}
		if t.editor != nil {
			t.con.Error(err)
		}
		if t.editor != nil || t.isLeaving() {
			return
		}
	}
}

// current returns the connection there is. For a pipe it waits until there is one
// that is not last; nil: all is over.
func (t *chatTalk) current(last dial.Link) dial.Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.editor == nil && !t.leaving && (t.link == nil || t.link == last) {
		t.changed.Wait()
	}
	return t.link
}

// listen prints what comes on l and on the connections after it.
func (t *chatTalk) listen(ctx context.Context, env *cli.Env, l dial.Link) error {
	wait := talk.Pauses{Max: t.maxWait}
	for {
		since := time.Now()
		err := t.receive(l)
		if t.isLeaving() {
			return talk.LeavingCode(err)
		}
		t.con.Status("%s", dial.EndText(err, t.target))
		t.CloseEvent(t.con, t.target, err)
		switch {
		case !t.once:
		case cli.ExitCode(err) == cli.ExitOK:
			return nil
		case err == io.EOF:
			return cli.Fail(cli.ExitReceive, nil)
		default:
			return cli.Fail(cli.ExitCode(err), nil) // it was said
		}
		if time.Since(since) > t.maxWait {
			wait.Reset()
		}
		if l = t.again(ctx, env, &wait); l == nil {
			return nil
		}
	}
}

// receive uses l until it ends, and says why it did.
func (t *chatTalk) receive(l dial.Link) error {
	defer l.Close()
	if !t.use(l) {
		return nil
	}
	defer t.use(nil)
	style := t.con.Style()
	for {
		m, err := l.Receive()
		if err != nil {
			return err
		}
		if t.event(event.In, m); !t.Output.JSON {
			t.con.Write(appendSaid(nil, m, style))
		}
		select {
		case t.heard <- struct{}{}:
		default:
		}
	}
}

// event is for -json: the message as it is, and what it says.
func (t *chatTalk) event(dir string, m wsproto.Message) {
	if !t.Output.JSON {
		return
	}
	e := &event.Event{Event: event.Message, Proto: t.target.Scheme, Client: -1, Dir: dir, Opcode: m.Opcode.String(), Payload: m.Data}
	if fields, format, err := wire.Parse(m.Data); err == nil {
		if c, ok := fields.Chat(); ok {
			e.Fields = []event.Data{event.Text("wire", format.String()), event.Text("user", c.User), event.Text("says", c.Text)}
		}
	}
	t.con.Emit(e)
}

// again connects until it succeeds, or ctx ends: then it returns nil.
func (t *chatTalk) again(ctx context.Context, env *cli.Env, wait *talk.Pauses) dial.Link {
	if t.editor != nil {
		t.editor.SetPrompt("(not connected) " + t.prompt())
		defer t.editor.SetPrompt(t.prompt())
	}
	for {
		pause := wait.Next()
		t.con.Status("connecting again in %v", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		l, err := t.Dial(ctx, env, t.con, t.target)
		if err == nil {
			return l
		}
		if ctx.Err() != nil {
			return nil
		}
		t.con.Error(err)
	}
}

// use makes l the connection that is spoken on, unless all is over.
func (t *chatTalk) use(l dial.Link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.link = l
	t.changed.Broadcast()
	return !t.leaving
}

func (t *chatTalk) isLeaving() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaving
}

// leave says that no connection is wanted any more, and returns the one there is.
func (t *chatTalk) leave() dial.Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	t.changed.Broadcast()
	return t.link
}

// end closes the connection; listen returns when the peer has done his part.
func (t *chatTalk) end(code wsproto.StatusCode) {
	if l := t.leave(); l != nil {
		l.Finish(code, "")
	} else {
		t.stop()
	}
}

// finish ends a chat whose lines are all said: at once where a person said so, else
// after a silence. The outcome is err, if not nil, or what comes of the end.
func (t *chatTalk) finish(ctx context.Context, err error, listened <-chan error) error {
	silence := time.NewTimer(t.Linger)
	defer silence.Stop()
	if t.editor != nil || err != nil {
		silence.Reset(0)
	}
	for {
		select {
		case <-t.heard:
			silence.Reset(t.Linger)
		case <-silence.C:
			t.end(wsproto.StatusNormalClosure)
		case ended := <-listened:
			if err == nil {
				err = ended
			}
			return err
		case <-ctx.Done():
			t.cut(listened)
			return ctx.Err()
		}
	}
}

// cut ends the connection with little patience.
func (t *chatTalk) cut(listened <-chan error) {
	t.end(wsproto.StatusGoingAway)
	select {
	case <-listened:
	case <-time.After(dial.CutTime):
	}
}

package mode

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

	"socketsrv/internal/event"
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
	con    *Console
	target connectTarget
	user   string

	source dumpLines
	editor *term.Editor // nil: there is no person
	typed  lineQueue    // by the person
	heard  chan struct{}
	stop   context.CancelFunc // ends waiting and connecting

	mu      sync.Mutex
	changed sync.Cond // link or leaving did
	link    link      // nil: not connected
	leaving bool      // closed by us: the end of the connection is the end
}

func (t *chatTalk) run(ctx context.Context, env *Env) error {
	here, err := t.open(env)
	if err != nil {
		return err
	}
	defer t.source.Close()
	if t.con, err = t.output.Open(here); err != nil {
		return err
	}
	defer t.con.Close()
	first, err := t.dial(ctx, env, t.con, t.target)
	if err != nil {
		return err
	}
	return t.converse(ctx, env, first)
}

// open begins to read lines. What the environment it returns has for streams is
// written above the line being typed.
func (t *chatTalk) open(env *Env) (*Env, error) {
	stdin, isFile := env.Stdin.(*os.File)
	switch {
	case !isFile:
		s := bufio.NewScanner(env.Stdin)
		s.Buffer(nil, term.MaxLine)
		t.source = scannedLines{s, env.Stdin}
		return env, nil
	case env.TTYIn == nil:
		lines, err := term.NewEditor(stdin, nil, term.Options{})
		if t.source = lines; err != nil { // there is no stdin
			t.source = noLines{}
		}
		return env, nil
	}
	editor, err := term.NewEditor(env.TTYIn, promptFile(env), term.Options{Prompt: t.prompt(), History: new(term.History)})
	if err != nil {
		return nil, err
	}
	t.source, t.editor = editor, editor
	return besides(env, editor), nil
}

func (t *chatTalk) prompt() string { return t.user + " > " }

// converse speaks and listens until one of them is at its end.
func (t *chatTalk) converse(ctx context.Context, env *Env, first link) (err error) {
	here, stop := context.WithCancel(ctx)
	defer stop()
	t.stop = stop
	t.changed.L, t.typed.more.L = &t.mu, &t.typed.mu
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
		err = &Failure{ExitSignal + int(syscall.SIGINT), nil}
		t.cut(listened)
	case <-ctx.Done():
		err = ctx.Err()
		t.cut(listened)
	}
	stop()
	if l := t.leave(); l != nil {
		l.close()
	}
	t.typed.close(true)
	t.source.Close()
	waitFor(&helpers)
	return err
}

// read queues what a person types, to the end of it.
func (t *chatTalk) read(interrupted chan<- struct{}) {
	for {
		line, err := t.editor.ReadLine()
		switch {
		case err == nil && line == "":
		case err == nil:
			if !t.typed.put(line) {
				t.con.Error(errors.New("not sent: too much waits to be sent already"))
			}
		case err == term.ErrTooLong:
			t.con.Error(err)
		case err == term.ErrInterrupted:
			close(interrupted)
			return
		default: // io.EOF; os.ErrClosed when all is over
			t.typed.close(false)
			return
		}
	}
}

func (t *chatTalk) takeTyped() (string, error) {
	if line, ok := t.typed.get(); ok {
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
			return &Failure{ExitRead, fmt.Errorf("stdin: %w", err)}
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
		err := errNotConnected
		if l != nil {
			t.event(event.Out, m)
			if err = l.send(m); err == nil {
				return
			}
			l.close() // the listener notices
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
func (t *chatTalk) current(last link) link {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.editor == nil && !t.leaving && (t.link == nil || t.link == last) {
		t.changed.Wait()
	}
	return t.link
}

// listen prints what comes on l and on the connections after it.
func (t *chatTalk) listen(ctx context.Context, env *Env, l link) error {
	wait := pauses{max: t.maxWait}
	for {
		since := time.Now()
		err := t.receive(l)
		if t.isLeaving() {
			return leavingCode(err)
		}
		t.con.Status("%s", endText(err, t.target))
		t.closeEvent(t.con, t.target, err)
		switch {
		case !t.once:
		case ExitCode(err) == ExitOK:
			return nil
		case err == io.EOF:
			return &Failure{ExitReceive, nil}
		default:
			return &Failure{ExitCode(err), nil} // it was said
		}
		if time.Since(since) > t.maxWait {
			wait.reset()
		}
		if l = t.again(ctx, env, &wait); l == nil {
			return nil
		}
	}
}

// receive uses l until it ends, and says why it did.
func (t *chatTalk) receive(l link) error {
	defer l.close()
	if !t.use(l) {
		return nil
	}
	defer t.use(nil)
	style := t.con.Style()
	for {
		m, err := l.receive()
		if err != nil {
			return err
		}
		if t.event(event.In, m); !t.output.JSON {
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
	if !t.output.JSON {
		return
	}
	e := &event.Event{Event: event.Message, Proto: t.target.scheme, Client: -1, Dir: dir, Opcode: m.Opcode.String(), Payload: m.Data}
	if fields, format, err := wire.Parse(m.Data); err == nil {
		if c, ok := fields.Chat(); ok {
			e.Fields = []event.Data{event.Text("wire", format.String()), event.Text("user", c.User), event.Text("says", c.Text)}
		}
	}
	t.con.Emit(e)
}

// again connects until it succeeds, or ctx ends: then it returns nil.
func (t *chatTalk) again(ctx context.Context, env *Env, wait *pauses) link {
	if t.editor != nil {
		t.editor.SetPrompt("(not connected) " + t.prompt())
		defer t.editor.SetPrompt(t.prompt())
	}
	for {
		pause := wait.next()
		t.con.Status("connecting again in %v", pause.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		l, err := t.dial(ctx, env, t.con, t.target)
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
func (t *chatTalk) use(l link) bool {
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
func (t *chatTalk) leave() link {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	t.changed.Broadcast()
	return t.link
}

// end closes the connection; listen returns when the peer has done his part.
func (t *chatTalk) end(code wsproto.StatusCode) {
	if l := t.leave(); l != nil {
		l.finish(code, "")
	} else {
		t.stop()
	}
}

// finish ends a chat whose lines are all said: at once where a person said so, else
// after a silence. The outcome is err, if not nil, or what comes of the end.
func (t *chatTalk) finish(ctx context.Context, err error, listened <-chan error) error {
	silence := time.NewTimer(t.linger)
	defer silence.Stop()
	if t.editor != nil || err != nil {
		silence.Reset(0)
	}
	for {
		select {
		case <-t.heard:
			silence.Reset(t.linger)
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
	case <-time.After(cutTime):
	}
}

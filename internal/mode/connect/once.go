package connect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// A once is the run of a one-shot client. Two goroutines work for it, the one that
// receives and the one that sends; what they have to tell comes by channels.
type once struct {
	*connect
	ctx    context.Context
	env    *cli.Env
	con    *cli.Console
	target dial.Target
	link   dial.Link
	out    *printer
	shows  bool // prints what comes

	heard     chan struct{} // something came
	satisfied chan struct{} // closed: what was expected came
	ended     chan error    // why nothing more comes

	received atomic.Int64
	matched  atomic.Bool
	enough   atomic.Bool
}

var errTimeUp = errors.New("time is up")

// oneShot connects, sends, prints what comes, and says by its error how it went.
func (c *connect) oneShot(ctx context.Context, env *cli.Env, t dial.Target) error {
	con, err := c.Output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.timeout, errTimeUp)
		defer cancel()
	}
	o := &once{connect: c, ctx: ctx, env: env, con: con, target: t, out: c.printer(env, con, t),
		shows: !c.answer.Answers() || c.Output.Verbose || c.Output.JSON,
		heard: make(chan struct{}, 1), satisfied: make(chan struct{}), ended: make(chan error, 1)}
	o.link, err = c.Dial(ctx, env, con, t)
	if err != nil {
		return o.inTime(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		err := o.receive()
		c.CloseEvent(con, t, err)
		o.ended <- err
	}()
	err = o.talk()
	o.link.Close()
	select {
	case <-gone:
	case <-time.After(cli.FlushTime): // stdout takes nothing
	}
	return err
}

// expects says whether the end is when something came, not when all is sent.
func (o *once) expects() bool { return o.count > 0 || o.expect != nil || o.answer.Answers() }

// talk sends what there is to send and waits for the end.
func (o *once) talk() error {
	sent := make(chan error, 1)
	go func() { sent <- o.sendAll() }()
	silence := time.NewTimer(o.Linger)
	defer silence.Stop()
	silence.Stop()
	for all := false; ; {
		select {
		case err := <-o.ended:
			return o.verdict(err)
		case <-o.satisfied:
			return o.finish(nil)
		case err := <-sent:
			if err != nil {
				return o.sendFailed(err)
			}
			if all = !o.expects(); all {
				silence.Reset(o.Linger)
			}
		case <-o.heard:
			if all {
				silence.Reset(o.Linger)
			}
		case <-silence.C:
			return o.finish(nil)
		case <-o.ctx.Done():
			return o.cut()
		}
	}
}

// receive takes messages until the connection ends, and says why it did.
func (o *once) receive() error {
	for {
		m, err := o.link.Receive()
		if err != nil {
			return err
		}
		if o.enough.Load() {
			continue // only the end of the connection matters
		}
		if err := o.take(m); err != nil {
			return err
		}
		select {
		case o.heard <- struct{}{}:
		default:
		}
	}
}

// take deals with one message.
func (o *once) take(m wsproto.Message) error {
	if o.gunzip {
		var err error
		if m, err = gunzipped(m, o.MaxMessage); err != nil {
			o.con.Error(err)
		}
	}
	received := o.received.Add(1)
	if o.shows {
		o.out.received(m)
	}
	if o.answer.Answers() {
		if err := o.reply(m); err != nil {
			return err
		}
	}
	if o.expect != nil && o.expect.Match(m.Data) {
		o.matched.Store(true)
	}
	if o.count > 0 && received >= int64(o.count) || o.count == 0 && o.matched.Load() {
		o.enough.Store(true)
		close(o.satisfied)
	}
	return nil
}

func (o *once) reply(m wsproto.Message) error {
	m, err := o.answer.Answer(o.ctx, m, o.MaxMessage)
	if err == answer.ErrNoAnswer {
		return nil
	}
	if err != nil {
		o.con.Error(err)
		return nil
	}
	o.out.sent(m)
	if err := o.link.Reply(m); err != nil && !errors.Is(err, wsproto.ErrCloseSent) {
		return err
	}
	return nil
}

// sendAll sends what the flags say, or else stdin to its end.
func (o *once) sendAll() error {
	for _, m := range o.messages {
		if err := o.send(o.dressed(o.target, wsproto.Message{Opcode: m.op, Data: m.data}, m.file == "")); err != nil {
			return err
		}
	}
	if len(o.messages) > 0 || o.answer.Answers() {
		return nil
	}
	if o.target.Stream() {
		return o.sendBytes()
	}
	return o.sendLines()
}

func (o *once) send(m wsproto.Message) error {
	o.out.sent(m)
	return o.link.Send(m)
}

func (o *once) sendBytes() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := o.env.Stdin.Read(buf)
		if n > 0 {
			if err := o.send(wsproto.Message{Data: buf[:n]}); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return cli.Fail(cli.ExitRead, fmt.Errorf("stdin: %w", err))
		}
	}
}

func (o *once) sendLines() error {
	op := wsproto.OpText
	if o.binary {
		op = wsproto.OpBinary
	}
	lines := bufio.NewReaderSize(o.env.Stdin, 64<<10)
	for n := 1; ; n++ {
		line, err := talk.ReadLine(lines, o.MaxMessage)
		if err == io.EOF {
			return nil
		}
		if err == nil && op == wsproto.OpText && o.target.WebSocket() && !utf8.Valid(line) {
			err = errors.New("it is not UTF-8: -b sends lines as binary messages")
		}
		if err != nil {
			return cli.Fail(cli.ExitRead, fmt.Errorf("stdin, line %d: %w", n, err))
		}
		if err := o.send(o.dressed(o.target, wsproto.Message{Opcode: op, Data: line}, false)); err != nil {
			return err
		}
	}
}

// sendFailed says why the connection is of no more use: what the peer said
// last counts for more than that it did not take what we sent.
func (o *once) sendFailed(err error) error {
	if f, ok := errors.AsType[*cli.Failure](err); ok && f.Code == cli.ExitRead {
		return o.finish(err)
	}
	select {
	case end := <-o.ended:
		if _, ok := errors.AsType[*wsproto.CloseError](end); ok || errors.Is(err, wsproto.ErrCloseSent) {
			return o.verdict(end)
		}
	case <-time.After(dial.EndTime):
	}
	return err
}

// finish ends the connection politely; what still comes is printed. The outcome is
// err, if not nil, or what comes of the end.
func (o *once) finish(err error) error {
	if o.link.Finish(wsproto.StatusNormalClosure, ""); o.enough.Load() && !o.target.WebSocket() {
		o.link.Close() // no end to agree on
	}
	select {
	case end := <-o.ended:
		if err != nil || end == io.EOF {
			return o.met(err)
		}
		return o.verdict(end)
	case <-o.ctx.Done():
		return o.cut()
	}
}

// met is the outcome when all came that was asked for.
func (o *once) met(err error) error {
	if err == nil && o.expect != nil && !o.matched.Load() {
		err = cli.Fail(cli.ExitExpect, fmt.Errorf("none of %d messages matches -expect", o.received.Load()))
	}
	return err
}

// verdict is the outcome of an end that was the peer's.
func (o *once) verdict(end error) error {
	if o.enough.Load() {
		return o.met(nil)
	}
	clean := end == io.EOF && !o.target.WebSocket()
	if ce, ok := errors.AsType[*wsproto.CloseError](end); ok {
		if cli.CloseCode(ce.Code) != cli.ExitOK {
			return cli.Fail(cli.ExitPeerClosed, errors.New(dial.CloseText(ce)))
		}
		o.con.Status("%s", dial.CloseText(ce))
		clean = true
	}
	switch {
	case end == io.EOF && !clean:
		return cli.Fail(cli.ExitReceive, errors.New("connection closed: code 1006, there was no close frame"))
	case !clean:
		return end
	case o.received.Load() < int64(o.count):
		return cli.Fail(cli.ExitExpect, fmt.Errorf("messages received: %d, expected: %d", o.received.Load(), o.count))
	}
	return o.met(nil)
}

// cut ends the connection for want of time, or because of a signal.
func (o *once) cut() error {
	o.link.Finish(wsproto.StatusGoingAway, "")
	select {
	case <-o.ended:
	case <-time.After(dial.CutTime):
		o.link.Close()
	}
	return o.inTime(o.ctx.Err())
}

// inTime makes err the end of -timeout where it is.
func (o *once) inTime(err error) error {
	if context.Cause(o.ctx) != errTimeUp {
		return err
	}
	return cli.Fail(cli.ExitTimeout, fmt.Errorf("%w: %v, messages received: %d", errTimeUp, o.timeout, o.received.Load()))
}

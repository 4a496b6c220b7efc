package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/internal/term"
	"socketsrv/wsproto"
)

// A run is one conversation.
type run struct {
	*connect
	*talk.Session
	env    *cli.Env
	con    *cli.Console
	target dial.Target
	out    *printer
	shows  bool // prints what comes
}

func (c *connect) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseTarget(args[0], c.framing)
	if err != nil {
		return err
	}
	if err := c.load(env.Stdin, t); err != nil {
		return err
	}
	r := &run{connect: c, env: env, target: t, shows: !c.answer.Answers() || c.Output.Verbose || c.Output.JSON}
	r.Session = &talk.Session{Rules: c.end, Target: t, Timeout: c.timeout, For: c.listen, Wait: c.wait, MaxWait: c.maxWait}
	if r.Every = c.every; c.every > 0 {
		r.Pulse = r.outgoing(c.beat).Message
	}
	r.rules()
	if r.prompts() {
		return r.prompt(ctx)
	}
	here := *env
	here.Stdout = r.Progress(env.Stdout)
	return r.converse(ctx, &here)
}

// rules says when it is over.
func (r *run) rules() {
	r.Count, r.Expect = int64(r.count), r.matcher != nil
	switch {
	case r.target.WebSocket():
		r.Kind = talk.Message
	case r.target.Datagrams():
		r.Kind = talk.Datagram
	}
	if !r.given("linger") {
		if r.Linger = time.Second; r.Kind == talk.Stream {
			r.Linger = 5 * time.Second
		}
	}
	expects := r.count > 0 || r.matcher != nil || r.answer.Answers()
	r.Listen = r.noInput || r.resend || len(r.messages) > 0 && expects || r.answer.Answers()
	r.Reconnect = r.reconnect
	r.Hold = r.Listen || r.Reconnect
	if r.resend {
		for _, m := range r.messages {
			r.Opening = append(r.Opening, r.outgoing(m).Message)
		}
	}
}

// prompts says whether the flags and the terminal ask for a prompt.
func (r *run) prompts() bool {
	oneShot := len(r.messages) > 0 && !r.resend || r.noInput || r.count > 0 || r.matcher != nil || r.answer.Answers()
	return r.env.TTYIn != nil && !oneShot
}

func (r *run) prompt(ctx context.Context) error {
	var history term.History
	historyErr := history.Load(term.HistoryFile("connect"))
	r.Pinged = new(dial.PingWatch)
	opt := term.Options{Prompt: "> ", History: &history, Complete: completeCommand}
	editor, here, err := r.Prompt(r.env, opt, func(line string) func(dial.Link) error {
		return func(l dial.Link) error { return r.do(l, line) }
	})
	if err != nil {
		return err
	}
	defer editor.Close()
	r.Listen, r.Reconnect = false, !r.once
	if r.Kind == talk.Message && !r.given("linger") {
		r.Linger = 0 // a person does not wait for a silence
	}
	err = r.converse(ctx, here)
	editor.Close()
	for _, err := range []error{historyErr, history.Save()} {
		if err != nil {
			fmt.Fprintf(r.env.Stderr, "%s: %s\n", cli.Program, cli.ErrorLine(err))
		}
	}
	return err
}

// converse talks to the end. What went wrong is an event as well.
func (r *run) converse(ctx context.Context, env *cli.Env) error {
	con, err := r.Output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	r.con, r.Con, r.out = con, con, r.printer(env, con)
	r.Session.Dial = func(ctx context.Context) (dial.Link, error) { return r.Client.Dial(ctx, env, con, r.target) }
	r.Session.Received = func(m wsproto.Message) (*wsproto.Message, bool) { return r.received(ctx, m) }
	r.Sent = r.out.sent
	r.Ended = func(err error) { r.CloseEvent(con, r.target, err) }
	if r.Next == nil {
		r.Next = r.input(env.Stdin)
	}
	err = r.Run(ctx)
	r.Fault(con, r.target, err)
	return err
}

// received deals with one message.
func (r *run) received(ctx context.Context, m wsproto.Message) (reply *wsproto.Message, match bool) {
	if r.gunzip {
		var err error
		if m, err = unpacked(m, r.MaxMessage); err != nil {
			r.con.Error(err)
		}
	}
	if r.shows {
		r.out.received(m)
	}
	if r.matcher != nil && r.target.Stream() {
		match = r.matcher.Stream(m.Data)
	} else if r.matcher != nil {
		match = r.matcher.Message(m.Data)
	}
	if !r.answer.Answers() {
		return nil, match
	}
	switch m, err := r.answer.Answer(ctx, nil, m, r.MaxMessage); {
	case err == nil:
		return &m, match
	case !errors.Is(err, answer.ErrNoAnswer):
		r.con.Error(err)
	}
	return nil, match
}

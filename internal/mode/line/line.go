// Package line answers commands, a line each, over linesrv.Server.
package line

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"socketsrv/internal/accept"
	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/linesrv"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "line", Brief: "answer commands, a line each: ping, disconnect, shutdown, your own",
	Examples: []string{
		"socketsrv -line -reply 'cmd01=ack'",
		"socketsrv -line -multi -port 5002 -exec 'tr a-z A-Z'",
		"socketsrv -line -host unix:/tmp/line.sock -no-shutdown",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		m := &line{replies: make(map[string][]string), maxLine: linesrv.DefaultMaxLine, unknown: "nak - unknown cmd"}
		m.listener = listen.AddListener(fs, "127.0.0.1", "5001")
		fs.Unlist("max-message", "max-memory", "message-timeout", "ping-interval", "ping-timeout") // of WebSocket
		fs.Group("Commands")
		fs.Func("reply", "CMD=TEXT", `Answers the command CMD by TEXT, \n between several lines; may be repeated.`, m.addReply)
		m.program.Flags(fs, "Answers other commands by what CMD prints; the command is its stdin.")
		fs.String(&m.unknown, "unknown", "TEXT", "Answers every other command by TEXT.")
		fs.Switch(&m.multi, "multi", "Serves all clients at once instead of one after another.")
		fs.Switch(&m.noShutdown, "no-shutdown", "Refuses shutdown from everybody.")
		fs.Switch(&m.allowShutdown, "allow-shutdown", "Obeys shutdown from other machines too; else only from this one.")
		fs.SizeFrom(&m.maxLine, "max-line", 16, "Ends a client that sends a longer line.")
		fs.Switch(&m.keepCR, "keep-cr", "Takes a CR before the LF as part of the command.")
		m.tls = listen.AddTLS(fs)
		m.output = fs.Output()
		fs.Check(m.check)
		return m.run
	},
	Checks: []cli.Check{
		{Name: "commands, one client after another", Run: func(ctx context.Context, b *cli.Bench) error {
			_, addr, err := b.Start(ctx, "line", "line", "-port", "0", "-reply", "cmd01=ack")
			if err != nil {
				return err
			}
			return b.Run(ctx, "pong\nack\n", "connect", "line://"+addr, "-m", "ping", "-m", "cmd01", "-count", "2", "-timeout", "4s")
		}},
		{Name: "message sockets", Run: func(ctx context.Context, b *cli.Bench) error {
			_, err := linesrv.SelfTest(ctx)
			return err
		}},
	},
}

type line struct {
	listener      *listen.Listener
	replies       map[string][]string
	program       answer.Exec
	unknown       string
	multi, keepCR bool
	noShutdown    bool
	allowShutdown bool
	maxLine       int64
	tls           *listen.TLS
	output        *cli.Output

	con                        *cli.Console
	clients, commands, answers atomic.Int64
}

// addReply takes CMD=TEXT with the escapes of event.AppendUnescaped in TEXT.
func (m *line) addReply(s string) error {
	cmd, text, ok := strings.Cut(s, "=")
	if !ok || cmd == "" {
		return errors.New("want COMMAND=RESPONSE")
	}
	switch cmd {
	case "ping", "disconnect", "shutdown":
		return fmt.Errorf("%s is built in", cmd)
	}
	plain, err := event.AppendUnescaped(nil, text)
	if err != nil {
		return err
	}
	m.replies[cmd] = strings.Split(string(plain), "\n")
	return nil
}

func (m *line) check() error {
	switch {
	case m.noShutdown && m.allowShutdown:
		return cli.Usagef("-no-shutdown and -allow-shutdown exclude each other")
	case strings.Contains(m.unknown, "\n"):
		return cli.Usagef("-unknown: want one line")
	}
	return nil
}

func (m *line) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := m.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	m.con = con
	if m.program.Given() {
		m.listener.Spare = answer.Descriptors
	}
	ln, err := m.listener.Open(ctx, env, con, "line", m.tls)
	if err != nil {
		return err
	}
	s := &linesrv.Server{
		Handler:       m.handle,
		OneAtATime:    !m.multi,
		MaxLine:       int(m.maxLine),
		KeepCR:        m.keepCR,
		NoShutdown:    m.noShutdown,
		LocalShutdown: !m.allowShutdown,
		IdleTimeout:   m.listener.IdleTimeout,
		Grace:         m.listener.Grace,
		ErrorLog:      con.Error,
	}
	if m.output.Events() || !m.output.Quiet {
		m.tell(s)
	}
	err = listen.ServeAll(ctx, &m.listener.Serving, func(ctx context.Context) { s.Shutdown(ctx) }, func() error { return s.Serve(ln) })
	con.Summary(cli.Counted("clients", m.clients.Load(), "client", ""), cli.Counted("messages", m.commands.Load(), "command", ""),
		cli.Counted("answers", m.answers.Load(), "answer", ""))
	return err
}

// tell makes s show what happens.
func (m *line) tell(s *linesrv.Server) {
	newEvent := func(c *linesrv.Conn, kind string) *event.Event {
		return &event.Event{Event: kind, Proto: "line", Client: int(c.ID()), Peer: accept.Peer(c.RemoteAddr())}
	}
	s.OnConnect = func(c *linesrv.Conn) {
		m.clients.Add(1)
		m.con.Emit(newEvent(c, event.Open))
	}
	s.OnCommand = func(c *linesrv.Conn, cmd linesrv.Command) {
		m.commands.Add(1)
		e := newEvent(c, event.Message)
		e.Dir, e.Payload = event.In, cmd.Line
		m.con.Emit(e)
	}
	s.OnSend = func(c *linesrv.Conn, packet []byte) {
		m.answers.Add(1)
		e := newEvent(c, event.Message)
		e.Dir, e.Payload = event.Out, packet
		m.con.Emit(e)
	}
	s.OnDisconnect = func(c *linesrv.Conn, reason error) {
		e := newEvent(c, event.Close)
		switch {
		case errors.Is(reason, linesrv.ErrDisconnect), errors.Is(reason, linesrv.ErrShutdown):
			e.Reason = reason.Error()
		default:
			e.Err = cli.EndReason(reason)
		}
		m.con.Emit(e)
		if p, ok := errors.AsType[*linesrv.PanicError](reason); ok {
			m.con.Error(fmt.Errorf("%w\n%s", p, p.Stack))
		}
	}
}

// handle answers a command that is not built in.
func (m *line) handle(c *linesrv.Conn, cmd linesrv.Command) error {
	if cmd.Invalid {
		return c.SendString("invalid")
	}
	if packets, ok := m.replies[string(cmd.Line)]; ok {
		return sendAll(c, packets)
	}
	if !m.program.Given() {
		return c.SendString(m.unknown)
	}
	c.Flush() // a program may take its time; an error shows with the next Send
	env := "SOCKETSRV_COMMAND=" + strings.ReplaceAll(cmd.String(), "\x00", "")
	out, err := m.program.Run(c.Context(), c.NetConn(), append(bytes.Clone(cmd.Line), '\n'), m.listener.MaxMessage, env)
	if err != nil {
		m.con.Error(fmt.Errorf("command %s of line connection #%d: %w", cli.Field(cmd.String()), c.ID(), err))
		return c.SendString("error internal")
	}
	for packet := range bytes.Lines(out) {
		packet = bytes.TrimSuffix(packet, []byte("\n"))
		if err := c.Send(bytes.TrimSuffix(packet, []byte("\r"))); err != nil {
			return err
		}
	}
	return nil
}

func sendAll(c *linesrv.Conn, packets []string) error {
	for _, packet := range packets {
		if err := c.SendString(packet); err != nil {
			return err
		}
	}
	return nil
}

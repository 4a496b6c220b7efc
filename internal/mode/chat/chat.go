package chat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
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

// Mode is group chat as the ws tool has it: each line is a message for all others
// at a broadcast server, together with the name of who says it. How lines come and
// go is package talk's.
var Mode = cli.Mode{
	Name: "chat", Args: "URL USER", Brief: "group chat over a broadcast server, with both generations of ws",
	Examples: []string{
		"socketsrv -chat ws://localhost:8008 alice",
		"socketsrv -chat localhost:9999 bob -wire msgpack",
		"echo 'build done' | socketsrv -chat localhost:8008 builder",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &chat{maxWait: 10 * time.Second, linger: time.Second}
		format := wire.PDU.String()
		c.MaxMessage, c.Judged = 1<<20, true
		c.Keepalive.Interval = 30 * time.Second
		fs.Group("Chat")
		fs.Choice(&format, "wire", "Writes the format of ws since 2026 or that up to 12.0.1, else the one last heard; both are read.", "pdu", "msgpack")
		fs.Switch(&c.once, "d no-reconnect", "Does not connect again.")
		fs.Duration(&c.maxWait, "max-wait", "Pauses at most so long before connecting again.")
		fs.Func("linger", "D", "Closes after so long a silence (1s) at the end of a stdin that is no terminal; off: never.", talk.Patience(&c.linger))
		fs.SizeFrom(&c.MaxMessage, "max-message", 1, "Ends a connection on which a larger message comes.")
		c.Keepalive.Flags(fs)
		fs.Switch(&c.ShowSecrets, "show-secrets", "Shows passwords and cookies in what -v shows.")
		c.WS = dial.AddWebSocket(fs)
		c.TLS = dial.AddTLS(fs)
		c.Output = fs.Output()
		fs.Check(func() (err error) {
			c.WS.NoCompression = true // lines are short, and servers of ws fail at it
			given, err := wire.ParseFormat(format)
			c.format.Store(int32(given))
			c.fixed = fs.Given("wire")
			return err
		})
		return c.run
	},
}

// chat is what the flags said.
type chat struct {
	dial.Client
	format          atomic.Int32 // a wire.Format
	fixed           bool         // by -wire; else it is the one last heard
	linger, maxWait time.Duration
	once            bool
	user            string
}

func (c *chat) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseWebSocket(args[0])
	if err == nil {
		err = checkUser(args[1])
	}
	if err != nil {
		return err
	}
	c.user = args[1]
	s := &talk.Session{Target: t, Reconnect: !c.once, MaxWait: c.maxWait}
	s.Rules = talk.Rules{Kind: talk.Message, Linger: c.linger, Stall: cli.WriteStall}
	here := *env
	here.Stdout = s.Progress(env.Stdout)
	if env.TTYIn == nil {
		s.Next = talk.Lines(env.Stdin, term.MaxLine, func(line []byte) (talk.Outgoing, error) {
			if !utf8.Valid(line) {
				return talk.Outgoing{Do: func(dial.Link) error { return errNotUTF8 }}, nil
			}
			return talk.Outgoing{Message: c.said(string(line))}, nil
		})
		return c.converse(ctx, &here, s)
	}
	s.Linger = 0 // a person does not wait for a silence
	editor, prompt, err := s.Prompt(env, term.Options{Prompt: c.user + " > ", History: new(term.History)}, func(line string) func(dial.Link) error {
		switch {
		case line == "":
			return nil
		case !utf8.ValidString(line):
			return func(dial.Link) error { return errNotUTF8 }
		}
		return func(l dial.Link) error { return s.Send(l, c.said(line)) }
	})
	if err != nil {
		return err
	}
	defer editor.Close()
	return c.converse(ctx, prompt, s)
}

var errNotUTF8 = errors.New("not sent: not UTF-8")

// said makes a message of a line.
func (c *chat) said(line string) wsproto.Message {
	return wsproto.Message{Opcode: wsproto.OpBinary, Data: wire.AppendChat(nil, wire.Format(c.format.Load()), wire.Chat{User: c.user, Text: line})}
}

func (c *chat) converse(ctx context.Context, env *cli.Env, s *talk.Session) error {
	con, err := c.Output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	style := con.Style()
	s.Con = con
	s.Dial = func(ctx context.Context) (dial.Link, error) { return c.Dial(ctx, env, con, s.Target) }
	s.Received = func(m wsproto.Message) (*wsproto.Message, bool) {
		if fields, format, err := wire.Parse(m.Data); err == nil && !c.fixed {
			if _, ok := fields.Chat(); ok {
				c.format.Store(int32(format))
			}
		}
		if c.event(s, event.In, m); !c.Output.JSON {
			con.Write(appendSaid(nil, m, style))
		}
		return nil, false
	}
	s.Sent = func(m wsproto.Message) { c.event(s, event.Out, m) }
	s.Ended = func(err error) { c.CloseEvent(con, s.Target, err) }
	err = s.Run(ctx)
	c.Fault(con, s.Target, err)
	return err
}

// event is for -json: the message as it is, and what it says.
func (c *chat) event(s *talk.Session, dir string, m wsproto.Message) {
	if !c.Output.Events() {
		return
	}
	e := event.Event{Event: event.Message, Proto: s.Target.Scheme, Client: -1, Dir: dir, Opcode: m.Opcode.String(), Payload: m.Data}
	if fields, format, err := wire.Parse(m.Data); err == nil {
		if said, ok := fields.Chat(); ok {
			e.Fields = []event.Data{event.Text("wire", format.String()), event.Text("user", said.User), event.Text("says", said.Text)}
		}
	}
	s.Con.Event(e)
}

// maxUser is the longest name, in characters, that is taken and shown.
const maxUser = 32

// checkUser takes a name that others can read, and cannot mistake.
func checkUser(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case n == 0 || n > maxUser:
		return cli.Usagef("USER: want 1 to %d characters", maxUser)
	case strings.IndexFunc(name, cli.Unprintable) >= 0 || strings.TrimSpace(name) != name:
		return cli.Usagef("USER %q: want printable characters", name)
	case strings.EqualFold(name, "server"):
		return cli.Usagef("USER: nobody is called %s", name)
	}
	return nil
}

// appendSaid appends a line that shows what came: as the ws tool does for a chat
// message, "bob(40 bytes) > hi"; what a server says in plain text behind a star;
// all else as what it is. Of style, Raw, Color and MaxShow count, where a negative
// one shows all.
func appendSaid(dst []byte, m wsproto.Message, style event.Style) []byte {
	fields, _, err := wire.Parse(m.Data)
	said, isChat := fields.Chat()
	text := said.Text
	switch {
	case err == nil && isChat:
		if style.Color {
			dst = append(dst, "\x1b[36m"...)
		}
		dst = appendUser(dst, said.User, style.Raw)
		if style.Color {
			dst = append(dst, "\x1b[0m"...)
		}
		dst = append(strconv.AppendInt(append(dst, '('), int64(len(m.Data)), 10), " bytes) > "...)
	case m.Opcode == wsproto.OpText:
		dst, text = append(dst, "* "...), string(m.Data)
	default:
		dst, text = fmt.Appendf(dst, "? %d bytes that are no chat message: ", len(m.Data)), string(m.Data)
	}
	switch limit := style.MaxShow; {
	case style.Raw:
		dst = append(dst, text...)
	case limit >= 0 && limit < int64(len(text)):
		dst = event.AppendCut(dst, text, int(limit))
	default:
		dst = event.AppendEscaped(dst, []byte(text))
	}
	return append(dst, '\n')
}

// appendUser appends a name that somebody gave himself.
func appendUser(dst []byte, name string, raw bool) []byte {
	n := 0
	for i := range name {
		if n++; n > maxUser {
			return append(appendUser(dst, name[:i], raw), "…"...)
		}
	}
	switch {
	case name == "":
		return append(dst, '?')
	case raw:
		return append(dst, name...)
	}
	return event.AppendEscaped(dst, []byte(name))
}

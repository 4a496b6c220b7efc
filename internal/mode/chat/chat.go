package chat

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/wire"
	"socketsrv/wsproto"
)

// Mode is group chat as the ws tool has it: each line is a message for all others
// at a broadcast server, together with the name of who says it. How lines come and
// go is in chattalk.go.
var Mode = cli.Mode{
	Name: "chat", Args: "URL USER", Brief: "group chat over a broadcast server, with both generations of ws",
	Examples: []string{
		"socketsrv -chat ws://localhost:8008 alice",
		"socketsrv -chat localhost:9999 bob -wire msgpack",
		"echo 'build done' | socketsrv -chat localhost:8008 builder",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &chat{}
		format := c.format.String()
		c.Linger, c.maxWait, c.MaxMessage = time.Second, 10*time.Second, 1<<20
		c.Keepalive.Interval = 30 * time.Second
		fs.Group("Chat")
		fs.Choice(&format, "wire", "format written: of ws since 2026, up to 12.0.1; both are read", "pdu", "msgpack")
		fs.Switch(&c.once, "d no-reconnect", "do not connect again")
		fs.Duration(&c.maxWait, "max-wait", "longest pause before that")
		fs.Duration(&c.Linger, "linger", "at the end of a stdin that is no terminal: silence before closing")
		fs.Size(&c.MaxMessage, "max-message", "largest message taken")
		c.Keepalive.Flags(fs)
		fs.Switch(&c.ShowSecrets, "show-secrets", "passwords and cookies in what -v shows")
		c.WS = dial.AddWebSocket(fs)
		c.TLS = dial.AddTLS(fs)
		c.Output = fs.Output()
		fs.Check(func() (err error) {
			c.WS.NoCompression = true // lines are short, and servers of ws fail at it
			if c.MaxMessage < 1 || c.MaxMessage > 1<<30 {
				return cli.Usagef("-max-message: want 1 to 1G")
			}
			c.format, err = wire.ParseFormat(format)
			return err
		})
		return c.run
	},
}

// chat is what the flags said.
type chat struct {
	dial.Client
	format  wire.Format
	once    bool
	maxWait time.Duration
}

func (c *chat) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseTarget(args[0], "none")
	if err == nil && !t.WebSocket() {
		err = cli.Usagef("want a ws or wss URL, or host:port")
	}
	if err == nil {
		err = checkUser(args[1])
	}
	if err != nil {
		return err
	}
	return (&chatTalk{chat: c, target: t, user: args[1]}).run(ctx, env)
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

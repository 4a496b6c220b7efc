package connect

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// A connectCommand is what a line that begins with a slash does.
type connectCommand struct {
	name, args, help string
	run              func(p *prompt, l dial.Link, args string) error
	offline          bool // needs no connection
}

var connectCommands = []connectCommand{
	{name: "binary", args: "HEX", help: "send a binary message", run: (*prompt).sendHex},
	{name: "close", args: "[CODE [REASON]]", help: "close the connection and end", run: (*prompt).closeLink, offline: true},
	{name: "file", args: "F", help: "send a file as one message: text if it is UTF-8 and no -b, else binary", run: (*prompt).sendFile},
	{name: "help", help: "this list", offline: true},
	{name: "ping", args: "[TEXT]", help: "send a ping; its pong is shown", run: (*prompt).ping},
	{name: "pong", args: "[TEXT]", help: "send a pong that nobody asked for", run: (*prompt).pong},
}

// do sends a line, or does what it says after a slash; two of them send one.
func (p *prompt) do(line string) error {
	text, isCommand := strings.CutPrefix(line, "/")
	if text, isSlash := strings.CutPrefix(text, "/"); isSlash || !isCommand {
		if isCommand {
			line = "/" + text
		}
		return p.say(line)
	}
	name, args, _ := strings.Cut(text, " ")
	for _, c := range connectCommands {
		if c.name != name {
			continue
		}
		l := p.current()
		switch {
		case name == "help":
			return p.help()
		case l == nil && !c.offline:
			return talk.ErrNotConnected
		}
		return c.run(p, l, args)
	}
	return fmt.Errorf("unknown command /%s: /help lists them, // sends a leading slash", name)
}

func (p *prompt) current() dial.Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link
}

// say sends a line as it was typed.
func (p *prompt) say(line string) error {
	l := p.current()
	if l == nil {
		return talk.ErrNotConnected
	}
	m := wsproto.Message{Opcode: wsproto.OpText, Data: []byte(line)}
	if p.binary {
		m.Opcode = wsproto.OpBinary
	} else if p.target.WebSocket() && !utf8.ValidString(line) {
		return errors.New("not sent: not UTF-8; /binary sends hex")
	}
	return p.transmit(l, p.dressed(p.target, m, true))
}

func (p *prompt) transmit(l dial.Link, m wsproto.Message) error {
	p.out.sent(m)
	if err := l.Send(m); err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	return nil
}

func (p *prompt) help() error {
	var r cli.Rows
	for _, c := range connectCommands {
		r = append(r, [2]string{"/" + c.name + cli.Space(c.args), c.help})
	}
	r = append(r, [2]string{"//…", "send a line that begins with a slash"})
	var b strings.Builder
	b.WriteString("Each line is a message. Ctrl-D closes and ends, Ctrl-R searches the history.\n")
	r.Print(&b)
	p.con.Write([]byte(b.String()))
	return nil
}

func (p *prompt) sendHex(l dial.Link, args string) error {
	data, err := parseHex(args)
	if err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	return p.transmit(l, p.dressed(p.target, wsproto.Message{Opcode: wsproto.OpBinary, Data: data}, false))
}

// maxSentFile is the size of the largest file sent as a message.
const maxSentFile = 1 << 30

func (p *prompt) sendFile(l dial.Link, name string) error {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("not sent: %w", err)
	case !st.Mode().IsRegular():
		return errors.New("not sent: no regular file") // a FIFO would block
	case st.Size() > maxSentFile:
		return errors.New("not sent: larger than 1 GiB")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	m := wsproto.Message{Opcode: wsproto.OpText, Data: data}
	if p.binary || !utf8.Valid(data) {
		m.Opcode = wsproto.OpBinary
	}
	return p.transmit(l, p.dressed(p.target, m, false))
}

// closeLink ends the connection, and the program with it.
func (p *prompt) closeLink(_ dial.Link, args string) error {
	code := wsproto.StatusNormalClosure
	number, reason, _ := strings.Cut(strings.TrimSpace(args), " ")
	if number != "" {
		n, err := strconv.ParseUint(number, 10, 16)
		if code = wsproto.StatusCode(n); err != nil || !code.CanSend() {
			return errors.New("want a code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999")
		}
	}
	if len(reason) > wsproto.MaxReason {
		return fmt.Errorf("want a reason of at most %d bytes", wsproto.MaxReason)
	}
	p.end(code, reason)
	p.lines.Close(true)
	return nil
}

var errOnlyWebSocket = errors.New("only WebSocket has that")

func (p *prompt) ping(l dial.Link, args string) error {
	ws, ok := l.(*dial.WSLink)
	if !ok {
		return errOnlyWebSocket
	}
	p.Pinged.Sent(args)
	return ws.Ping([]byte(args))
}

func (p *prompt) pong(l dial.Link, args string) error {
	ws, ok := l.(*dial.WSLink)
	if !ok {
		return errOnlyWebSocket
	}
	return ws.Pong([]byte(args))
}

// completeCommand completes commands, and the name of a file after /file.
func completeCommand(line string, pos int) (start int, candidates []string) {
	typed := line[:pos]
	if path, ok := strings.CutPrefix(typed, "/file "); ok {
		return pos - len(path), talk.CompletePath(path)
	}
	name, ok := strings.CutPrefix(typed, "/")
	if !ok || strings.Contains(name, " ") {
		return pos, nil
	}
	for _, c := range connectCommands {
		if strings.HasPrefix(c.name, name) {
			candidates = append(candidates, "/"+c.name+" ")
		}
	}
	return 0, candidates
}

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
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A connectCommand is what a line that begins with a slash does.
type connectCommand struct {
	name, args, help string
	run              func(r *run, l dial.Link, args string) error
	offline          bool // needs no connection
}

var connectCommands = []connectCommand{
	{name: "binary", args: "BYTES", help: "send a binary message: 0d0a, 02 \"AB\" 03", run: (*run).sendHex},
	{name: "close", args: "[CODE [REASON]]", help: "close the connection and end", run: (*run).closeLink, offline: true},
	{name: "file", args: "F", help: "send a file as one message: text if it is UTF-8 and no -b, else binary", run: (*run).sendFile},
	{name: "help", help: "this list", offline: true},
	{name: "ping", args: "[TEXT]", help: "send a ping; its pong is shown", run: (*run).ping},
	{name: "pong", args: "[TEXT]", help: "send a pong that nobody asked for", run: (*run).pong},
}

// do sends a line, or does what it says after a slash; two of them send one.
func (r *run) do(l dial.Link, line string) error {
	text, isCommand := strings.CutPrefix(line, "/")
	if text, isSlash := strings.CutPrefix(text, "/"); isSlash || !isCommand {
		if isCommand {
			line = "/" + text
		}
		return r.say(l, line)
	}
	name, args, _ := strings.Cut(text, " ")
	for _, c := range connectCommands {
		switch {
		case c.name != name:
			continue
		case name == "help":
			return r.help()
		case l == nil && !c.offline:
			return talk.ErrNotConnected
		}
		return c.run(r, l, args)
	}
	return fmt.Errorf("unknown command /%s: /help lists them, // sends a leading slash", name)
}

// say sends a line as it was typed.
func (r *run) say(l dial.Link, line string) error {
	m := wsproto.Message{Opcode: wsproto.OpText, Data: []byte(line)}
	if r.escapes {
		var err error
		if m.Data, err = linesrv.ParseEscapes(line); err != nil {
			return fmt.Errorf("not sent: %w", err)
		}
	}
	if r.binary {
		m.Opcode = wsproto.OpBinary
	} else if r.target.WebSocket() && !utf8.Valid(m.Data) {
		return errors.New("not sent: not UTF-8; /binary sends bytes")
	}
	return r.Send(l, r.dressed(m, true))
}

// promptRows are the commands and what they do.
func promptRows() (rows [][2]string) {
	for _, c := range connectCommands {
		rows = append(rows, [2]string{"/" + c.name + cli.Space(c.args), c.help})
	}
	return append(rows, [2]string{"//…", "send a line that begins with a slash"})
}

func (r *run) help() error {
	rows := cli.Rows(promptRows())
	var b strings.Builder
	b.WriteString("Each line is a message. Ctrl-D closes and ends, Ctrl-R searches the history.\n")
	rows.Print(&b)
	r.con.Write([]byte(b.String()))
	return nil
}

func (r *run) sendHex(l dial.Link, args string) error {
	data, err := linesrv.ParseBytes(args)
	if err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	return r.Send(l, r.dressed(wsproto.Message{Opcode: wsproto.OpBinary, Data: data}, false))
}

// maxSentFile is the size of the largest file sent as a message.
const maxSentFile = 1 << 30

func (r *run) sendFile(l dial.Link, name string) error {
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
	if r.binary || !utf8.Valid(data) {
		m.Opcode = wsproto.OpBinary
	}
	return r.Send(l, r.dressed(m, false))
}

// closeLink ends the connection, and the program with it.
func (r *run) closeLink(_ dial.Link, args string) error {
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
	r.Leave(code, reason)
	return nil
}

func (r *run) ping(l dial.Link, args string) error {
	r.Pinged.Sent(args)
	return onWebSocket(l, args, (*dial.WSLink).Ping)
}

func (r *run) pong(l dial.Link, args string) error {
	return onWebSocket(l, args, (*dial.WSLink).Pong)
}

func onWebSocket(l dial.Link, args string, send func(*dial.WSLink, []byte) error) error {
	if ws, ok := l.(*dial.WSLink); ok {
		return send(ws, []byte(args))
	}
	return errors.New("only WebSocket has that")
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

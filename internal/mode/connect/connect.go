// Package connect is the mode connect: a client for ws, wss, tcp, tls, udp, unix and
// line, with a prompt for people or one-shot for scripts.
//
// Mode reads the flags, input.go makes of them what is to be sent, run.go holds the
// conversation: a talk.Session over a dial.Link, whatever the prompt or a script
// want. What came goes out through show.go; commands.go is what a person can say
// beside text; what goes back by itself is in package answer. Begin with run.
package connect

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// Mode is the client: one-shot where stdin is no terminal or a flag says what to
// send or what to wait for, else a prompt.
var Mode = cli.Mode{
	Name: "connect", Args: "URL",
	Brief: "client with a prompt, or one-shot: ws wss tcp tls udp unix line; host:port is ws",
	Examples: []string{
		"socketsrv -connect ws://localhost:8008/chat",
		"socketsrv -connect localhost:8008 -m hello -count 1 -timeout 5s",
		"socketsrv -connect line://localhost:5001 -n -ping-text ping -every 5s -for 1m",
	},
	Prompt: promptRows,
	Setup: func(fs *cli.Flags) cli.Func {
		c := &connect{framing: "none", eol: "lf"}
		c.maxWait, c.end.Stall = 10*time.Second, cli.WriteStall
		c.MaxMessage, c.Judged = wsproto.DefaultMaxMessage, true
		fs.Group("One-shot: stdin no terminal, or -m -n -count -expect -reply -exec")
		fs.Func("m", "TEXT|@FILE", "Sends this text, or a file, and no stdin; may be repeated.", c.addText)
		fs.Func("m-binary", "BYTES|@FILE", "Sends these bytes, in hexadecimal, or a file, as a binary message.", c.addBinary)
		fs.Switch(&c.noInput, "n", "Reads no stdin and ends nothing: listens until the peer ends.")
		fs.String(&c.pulse, "ping-text", "TEXT", "Sends this text too, each time that -every has passed.")
		fs.Duration(&c.every, "every", "Sends -ping-text so often, until stdin ends.")
		fs.Func("expect", "REGEX", "Ends well once what came matches; else exits with 10.", func(s string) (err error) {
			c.matcher, err = talk.NewMatcher(s)
			return err
		})
		fs.Int(&c.count, "count", "N", 0, 1<<30, "Ends after N messages, with -expect well if one of them matched.")
		fs.Duration(&c.listen, "for", "Ends after D, and that is no failure.")
		fs.Duration(&c.timeout, "timeout", "Gives up after D and exits with 28.")
		c.answer.Flags(fs)
		fs.Group("The end")
		fs.Func("linger", "D", "Waits for so long a silence before it closes a WebSocket (1s), after it ended its side of a stream (5s); off: for ever.", talk.Patience(&c.end.Linger))
		fs.Func("stall", "D", "Gives up a peer that takes nothing of what is sent for D (30s); off: never.", talk.Patience(&c.end.Stall))
		fs.Switch(&c.end.KeepOpen, "keep-open", "Does not end its side of a stream at the end of stdin, for servers that hang up then.")
		fs.Group("Messages")
		fs.Switch(&c.binary, "b binary", "Sends stdin as bytes, as they come, in binary messages; prints what comes as it is.")
		fs.Switch(&c.escapes, "e", "Reads \\n \\r \\t \\0 \\xHH \\u{H} \\\\ in -m and in typed lines.")
		fs.String(&c.framing, "framing", "KIND", "Tells messages on tcp, tls and unix apart: none, line, delim:BYTES, between:BYTES,BYTES, mllp, length:1|2|4|8[le][+N], decimal, netstring, slip or idle:D.")
		fs.Choice(&c.eol, "eol", "Ends lines of text so: typed, piped and -m.", "lf", "crlf", "none")
		fs.Switch(&c.gunzip, "g gunzip", "Unpacks messages in gzip, zlib or deflate.")
		fs.SizeFrom(&c.MaxMessage, "max-message", 1, "Ends a connection on which a larger message comes.")
		c.Keepalive.Flags(fs)
		fs.Switch(&c.ShowSecrets, "show-secrets", "Shows passwords and cookies in what -v shows.")
		fs.Switch(&c.Lenient, "lenient", "Notes faults that nothing depends on, and goes on.")
		c.WS = dial.AddWebSocket(fs)
		fs.Group("Connecting")
		fs.Duration(&c.wait, "wait", "Tries again for D while nobody listens there yet.")
		fs.Switch(&c.reconnect, "reconnect", "Connects again when the peer ends, as the prompt does anyway.")
		fs.Switch(&c.once, "d no-reconnect", "Does not connect again, with a prompt either.")
		fs.Duration(&c.maxWait, "max-wait", "Pauses at most so long before connecting again.")
		fs.Switch(&c.resend, "resend", "Sends -m at each connection, before what is typed.")
		fs.Func("from", "ADDR:PORT", "Connects from this address and port; either may be left out.", c.WS.SetFrom)
		c.TLS = dial.AddTLS(fs)
		c.Output = fs.Output()
		fs.Check(func() error { return c.check(fs) })
		return fs.WithPidfile(c.run)
	},
}

// connect is what the flags said.
type connect struct {
	dial.Client
	end                            talk.Rules
	timeout, listen, wait, maxWait time.Duration
	every                          time.Duration
	pulse                          string

	messages []outgoing
	beat     outgoing // -ping-text
	noInput  bool
	count    int
	matcher  *talk.Matcher // of -expect; nil: it was not given
	answer   answer.Answerer

	binary, escapes, gunzip bool
	framing, eol            string

	reconnect, once, resend bool

	given func(flag string) bool
}

func (c *connect) check(fs *cli.Flags) error {
	c.given = fs.Given
	switch {
	case c.once && (c.resend || c.reconnect):
		return cli.Usagef("-d excludes -resend and -reconnect")
	case (c.pulse == "") != (c.every == 0):
		return cli.Usagef("-ping-text and -every want each other")
	case c.resend && len(c.messages) == 0:
		return cli.Usagef("-resend needs -m")
	case strings.HasPrefix(c.framing, "line") && c.eol == "none":
		return cli.Usagef("-framing line ends lines, and -eol none does not")
	}
	if c.pulse != "" {
		c.beat = outgoing{op: wsproto.OpText, data: []byte(c.pulse)}
		if err := c.beat.read(c.escapes); err != nil {
			return err
		}
	}
	for i := range c.messages {
		if err := c.messages[i].read(c.escapes); err != nil {
			return err
		}
	}
	return nil
}

// outgoing is a message of -m or -m-binary.
type outgoing struct {
	op   wsproto.Opcode
	data []byte
	file string // where the data is; "-" is stdin
}

func (c *connect) addText(s string) error {
	m := outgoing{op: wsproto.OpText, data: []byte(s)}
	if name, ok := strings.CutPrefix(s, "@"); ok && !strings.HasPrefix(name, "@") {
		m.file = name
	} else if ok {
		m.data = []byte(name) // @@ is one @
	}
	if !utf8.Valid(m.data) {
		return errors.New("want UTF-8; -m-binary takes bytes")
	}
	c.messages = append(c.messages, m)
	return nil
}

// read reads the escapes of text that was typed.
func (m *outgoing) read(escapes bool) (err error) {
	if !escapes || m.file != "" || m.op != wsproto.OpText {
		return nil
	}
	if m.data, err = linesrv.ParseEscapes(string(m.data)); err != nil {
		return cli.Usagef("-m: %v", err)
	}
	return nil
}

func (c *connect) addBinary(s string) error {
	m := outgoing{op: wsproto.OpBinary}
	if name, ok := strings.CutPrefix(s, "@"); ok {
		m.file = name
	} else {
		var err error
		if m.data, err = linesrv.ParseBytes(s); err != nil {
			return err
		}
	}
	c.messages = append(c.messages, m)
	return nil
}

// load reads what @FILE names.
func (c *connect) load(stdin io.Reader, t dial.Target) error {
	for i := range c.messages {
		m := &c.messages[i]
		var err error
		switch m.file {
		case "":
			continue
		case "-":
			m.data, err = io.ReadAll(stdin)
		default:
			m.data, err = os.ReadFile(m.file)
		}
		if err == nil && m.op == wsproto.OpText && t.WebSocket() && !utf8.Valid(m.data) {
			err = errors.New(m.file + " is not UTF-8: -m-binary sends it")
		}
		if err != nil {
			return cli.Fail(cli.ExitRead, err)
		}
	}
	return nil
}

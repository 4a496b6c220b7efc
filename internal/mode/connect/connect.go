package connect

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/answer"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/talk"
	"socketsrv/wsproto"
)

// Mode is the client: one-shot for scripts, a prompt for people.
//
// It is one-shot where stdin is no terminal or a flag says what to send or what
// to wait for: connectonce.go. Else it is a prompt: connectprompt.go. Both see the
// connection, whatever its kind, as messages: connectlink.go. What came goes out
// through connectshow.go, what goes back by itself is in answer.go.
var Mode = cli.Mode{
	Name: "connect", Args: "URL",
	Brief: "client with a prompt, or one-shot: ws wss tcp tls udp unix line; host:port is ws",
	Examples: []string{
		"socketsrv -connect ws://localhost:8008/chat",
		"socketsrv -connect localhost:8008 -m hello -count 1 -timeout 5s",
		"printf 'ping\\n' | socketsrv -connect line://localhost:5001",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &connect{maxWait: 10 * time.Second, framing: "none", eol: "lf"}
		c.Linger, c.MaxMessage = time.Second, wsproto.DefaultMaxMessage
		fs.Group("One-shot: stdin no terminal, or -m -count -expect -reply -exec")
		fs.Func("m", "TEXT|@FILE", "", c.addText)
		fs.Func("m-binary", "HEX|@FILE", "send a message at once; no stdin then", c.addBinary)
		fs.Func("expect", "REGEX", "", c.setExpect)
		fs.Int(&c.count, "count", "N", 0, 1<<30, "end at a match; after N messages, if one matched")
		fs.Duration(&c.timeout, "timeout", "")
		fs.Duration(&c.Linger, "linger", "bound on all; wait after the last answer")
		c.answer.Flags(fs)
		fs.Group("Messages")
		fs.Switch(&c.binary, "b binary", "send lines as binary; print binary raw to pipes")
		fs.Choice(&c.framing, "framing", "of tcp, tls, unix; none: bytes as they are", "none", "line", "length")
		fs.Choice(&c.eol, "eol", "after typed lines and -m, without framing", "lf", "crlf", "none")
		fs.Switch(&c.gunzip, "g gunzip", "gunzip what comes")
		fs.Size(&c.MaxMessage, "max-message", "largest message taken")
		c.Keepalive.Flags(fs)
		fs.Switch(&c.ShowSecrets, "show-secrets", "passwords and cookies in what -v shows")
		fs.Group("Prompt")
		fs.Switch(&c.once, "d no-reconnect", "")
		fs.Duration(&c.maxWait, "max-wait", "no reconnecting; longest pause before it")
		fs.Switch(&c.resend, "resend", "prompt with -m too, sent at each connection")
		c.WS = dial.AddWebSocket(fs)
		c.TLS = dial.AddTLS(fs)
		c.Output = fs.Output()
		fs.Check(func() error { return c.check(fs) })
		return c.run
	},
}

// connect is what the flags said.
type connect struct {
	dial.Client
	messages []outgoing
	count    int
	expect   *regexp.Regexp
	timeout  time.Duration
	answer   answer.Answerer

	binary  bool
	framing string
	eol     string
	gunzip  bool

	once    bool
	maxWait time.Duration
	resend  bool

	cutShow bool // -max-show was given
}

func (c *connect) check(fs *cli.Flags) error {
	c.cutShow = fs.Given("max-show")
	switch {
	case c.MaxMessage < 1 || c.MaxMessage > 1<<30:
		return cli.Usagef("-max-message: want 1 to 1G")
	case c.once && c.resend:
		return cli.Usagef("-d and -resend exclude each other")
	case c.resend && len(c.messages) == 0:
		return cli.Usagef("-resend needs -m")
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
		return errors.New("want UTF-8; -m-binary takes hex")
	}
	c.messages = append(c.messages, m)
	return nil
}

func (c *connect) addBinary(s string) error {
	m := outgoing{op: wsproto.OpBinary}
	if name, ok := strings.CutPrefix(s, "@"); ok {
		m.file = name
	} else {
		var err error
		if m.data, err = parseHex(s); err != nil {
			return err
		}
	}
	c.messages = append(c.messages, m)
	return nil
}

// parseHex reads hex digits with white space between them.
func parseHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, errors.New("want hex digits, two a byte: 00ff41")
	}
	return b, nil
}

func (c *connect) setExpect(s string) (err error) {
	if c.expect, err = regexp.Compile(s); err != nil {
		return errors.New("want a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return nil
}

// load reads what @FILE names.
func (c *connect) load(stdin io.Reader) error {
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
		if err == nil && m.op == wsproto.OpText && !utf8.Valid(m.data) {
			err = errors.New(m.file + " is not UTF-8: -m-binary sends it")
		}
		if err != nil {
			return cli.Fail(cli.ExitRead, err)
		}
	}
	return nil
}

func (c *connect) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := dial.ParseTarget(args[0], c.framing)
	if err != nil {
		return err
	}
	if err := c.load(env.Stdin); err != nil {
		return err
	}
	if c.prompts(env) {
		return c.prompt(ctx, env, t)
	}
	return c.oneShot(ctx, env, t)
}

// dressed makes m what goes to t: messages of a WebSocket alone have types, and
// what was typed gets an end of line where nothing else ends it.
func (c *connect) dressed(t dial.Target, m wsproto.Message, typed bool) wsproto.Message {
	if t.WebSocket() {
		return m
	}
	if typed && m.Opcode == wsproto.OpText && t.Stream() {
		m.Data = append(m.Data[:len(m.Data):len(m.Data)], talk.LineEnds[c.eol]...)
	}
	m.Opcode = 0
	return m
}

package dump

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/talk"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A command is one row of the table that the prompt, help and completion use.
type command struct {
	name  string
	args  string
	brief string
	more  []string   // lines of help COMMAND
	words []wordKind // what its arguments are, for completion
	run   func(l *commandLine) error
}

// wordKind is what a word of a command stands for.
type wordKind int

const (
	aCommand wordKind = iota
	aProtocol
	webSocket // the protocol that has pings
	aClient
	aFormat
	aFile
)

// errQuit ends the program.
var errQuit = errors.New("quit")

// commands is the table.
func (d *dump) commands() []command {
	to := []wordKind{aProtocol, aClient}
	return []command{
		{"help", "[COMMAND]", "shows this, or one command", nil, []wordKind{aCommand}, d.help},
		{"list_clients", "", "lists the clients", []string{
			"Number, address, path, age, bytes received and sent."}, nil, d.listClients},
		{"send", "<protocol> <client-num> <message>", "sends a text", []string{
			"The message is all that follows the blank after the number, as it is",
			"typed; with -e, escapes as \\x02 or \\r in it are read. client-num is a",
			"number, or all. TCP: an end of line is added (-eol), or what -framing",
			"asks for. UDP: one datagram. WebSocket: a text message. It is shown as",
			"sent once the system has it.",
			"A TCP client that ended its side can be sent to for another " + halfOpenTime.String() + "."}, to, d.send},
		{"sendb", "<protocol> <client-num> <bytes>", "sends bytes", []string{
			"Hexadecimal digits in any spelling: 0d0a, 0d 0a, 0x0d,0x0a, \\x0d\\x0a,",
			"$0D$0A, and text in quotes between: 02 \"AB\" 03. Nothing is added, except",
			"by -framing where that is not line. WebSocket: a binary message."}, to, d.sendBytes},
		{"sendf", "<protocol> <client-num> <file>", "sends a file", []string{
			"TCP: of any size, in the background; sendf without a file cancels it. A",
			"-framing other than line makes one message of it.",
			"UDP: one datagram, up to 65507 bytes. WebSocket: one binary message."}, append(to, aFile), d.sendFile},
		{"ping", "ws <client-num> [text]", "sends a WebSocket ping", []string{
			"Up to 125 bytes. The pong is shown when it comes."}, []wordKind{webSocket, aClient}, d.ping},
		{"close", "<protocol> <client-num> [code [reason]]", "closes a connection", []string{
			"Code and reason are for WebSocket: 1000 to 1014, or 3000 to 4999; 1000",
			"if left out. What was sent before goes out as long as the client takes",
			"some of it (-stall).",
			"UDP: the session is forgotten."}, to, d.closeClients},
		{"format", "[auto|text|hex|raw]", "sets how payloads look", []string{
			"auto: text where it is UTF-8, else a hex dump. raw: received bytes and",
			"nothing else."}, []wordKind{aFormat}, d.format},
		{"stats", "", "counts messages and bytes", nil, nil, d.stats},
		{"quit", "", "closes all and ends", []string{
			"What was sent before goes out as long as clients take some of it",
			"(-stall); Ctrl-C cuts it."}, nil, func(*commandLine) error { return errQuit }},
	}
}

// promptRows are the commands and what they do.
func promptRows() (rows [][2]string) {
	for _, c := range new(dump).commands() {
		rows = append(rows, [2]string{c.name + cli.Space(c.args), c.brief})
	}
	return rows
}

// command carries out a line, and reports whether it was quit. What is wrong with
// it is shown, and nothing was sent then.
func (d *dump) command(text string) (quit bool) {
	l := &commandLine{text: text}
	name, at := l.word()
	if name == "" {
		return false
	}
	c, err := d.findCommand(l, name, at)
	if err == nil {
		if next := (&commandLine{text: text, at: l.at}); c.name != "help" && first(next.word()) == "help" && first(next.word()) == "" {
			d.say(c.help())
			return false
		}
		l.usage = c.name + cli.Space(c.args)
		err = c.run(l)
	}
	if err == errQuit {
		return true
	}
	if err != nil {
		d.notDone(err)
	}
	return false
}

// notDone shows why a command was not carried out.
func (d *dump) notDone(err error) {
	d.refused.Add(1)
	d.refuse(cli.ErrorText(err))
}

func first(word string, _ int) string { return word }

// findCommand finds a command by its name or a prefix of it alone.
func (d *dump) findCommand(l *commandLine, name string, at int) (command, error) {
	c, err := pick("command", name, d.commands(), func(c command) string { return c.name })
	if err != nil {
		return c, l.wrong(at, "%v", err)
	}
	return c, nil
}

// pick finds what has a name among others by a prefix that is of one of them alone.
func pick[T any](what, word string, among []T, name func(T) string) (found T, err error) {
	var fits []string
	for _, v := range among {
		switch s := name(v); {
		case s == word:
			return v, nil
		case strings.HasPrefix(s, word):
			fits, found = append(fits, s), v
		}
	}
	switch len(fits) {
	case 0:
		err = fmt.Errorf("unknown %s %s", what, word)
	case 1:
	default:
		err = fmt.Errorf("%s may be %s", word, strings.Join(fits, ", "))
	}
	return found, err
}

// A commandLine is a line and how far it has been read.
type commandLine struct {
	text  string
	at    int
	usage string // of the command
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// word returns the next word, "" at the end, and where it begins.
func (l *commandLine) word() (string, int) {
	for l.at < len(l.text) && isBlank(l.text[l.at]) {
		l.at++
	}
	start := l.at
	for l.at < len(l.text) && !isBlank(l.text[l.at]) {
		l.at++
	}
	return l.text[start:l.at], start
}

// rest returns all that follows the one blank after the last word, and where it
// begins.
func (l *commandLine) rest() (string, int) {
	if l.at < len(l.text) {
		l.at++
	}
	start := l.at
	l.at = len(l.text)
	return l.text[start:], start
}

// end checks that nothing follows.
func (l *commandLine) end() error {
	if word, at := l.word(); word != "" {
		return l.wrong(at, "nothing more is wanted here")
	}
	return nil
}

// wrong is a mistake at byte at: it names the column, in characters from 1.
func (l *commandLine) wrong(at int, format string, args ...any) error {
	return fmt.Errorf("%s (column %d)", fmt.Sprintf(format, args...), utf8.RuneCountInString(l.text[:at])+1)
}

// missing is a word that should stand at byte at.
func (l *commandLine) missing(at int, what string) error {
	return fmt.Errorf("%w: %s", l.wrong(at, "%s is missing", what), l.usage)
}

// protocol reads the name of a protocol.
func (d *dump) protocol(l *commandLine) (*protocol, error) {
	word, at := l.word()
	if word == "" {
		return nil, l.missing(at, "the protocol")
	}
	switch word {
	case "tls", "unix": // as clients of that port are called
		word = "tcp"
	case "wss":
		word = "ws"
	}
	p, err := pick("protocol", word, d.protocols, func(p *protocol) string { return p.name })
	if err != nil {
		return nil, l.wrong(at, "%v", err)
	}
	return p, nil
}

// targets reads a protocol and a client number or all. act is what an unknown
// client cannot be used for.
func (d *dump) targets(l *commandLine, act string) ([]target, error) {
	p, err := d.protocol(l)
	if err != nil {
		return nil, err
	}
	word, at := l.word()
	switch {
	case word == "":
		return nil, l.missing(at, "the client number")
	case !p.listens:
		return nil, fmt.Errorf("%s is off", p.name)
	case word == "all":
		all := p.all()
		if len(all) == 0 {
			return nil, fmt.Errorf("no %s is open", p.noun)
		}
		return all, nil
	}
	number, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return nil, l.wrong(at, "not a client number: %s", word)
	}
	t, err := p.find(int(number))
	if err != nil {
		return nil, fmt.Errorf("%s%w", act, err)
	}
	return []target{t}, nil
}

// each does something with each target; what fails for one is shown, and the
// others have theirs.
func (d *dump) each(targets []target, do func(t target) error) error {
	for _, t := range targets {
		if err := do(t); err != nil {
			d.notDone(err)
		}
	}
	return nil
}

const toWrite = "try to write on "

func (d *dump) send(l *commandLine) error {
	read := func(text string) ([]byte, error) { return []byte(text), nil }
	if d.escapes {
		read = linesrv.ParseEscapes
	}
	return d.sendAs(wsproto.OpText, l, read)
}

func (d *dump) sendBytes(l *commandLine) error {
	return d.sendAs(wsproto.OpBinary, l, linesrv.ParseBytes)
}

// sendAs sends what read makes of the rest of a line.
func (d *dump) sendAs(op wsproto.Opcode, l *commandLine, read func(text string) ([]byte, error)) error {
	targets, err := d.targets(l, toWrite)
	if err != nil {
		return err
	}
	text, at := l.rest()
	p, err := read(text)
	if err != nil {
		return l.wrong(at, "%v", err)
	}
	return d.each(targets, func(t target) error { return t.send(op, p) })
}

func (d *dump) sendFile(l *commandLine) error {
	targets, err := d.targets(l, toWrite)
	if err != nil {
		return err
	}
	name, at := l.rest()
	if name = strings.TrimSpace(name); name == "" {
		return d.cancelFiles(l, at, targets)
	}
	return d.each(targets, func(t target) error {
		f, err := openDumpFile(name)
		if err != nil {
			return err
		}
		c := t.about()
		f.began = time.Now()
		f.progress = func(sent int64) { d.con.Status("%v: %d of %d bytes of %s", c, sent, f.size, name) }
		f.done = func(sent int64, err error) { d.fileSent(c, f, sent, err) }
		return t.sendFile(f)
	})
}

func (d *dump) cancelFiles(l *commandLine, at int, targets []target) error {
	if _, ok := targets[0].(*tcpClient); !ok {
		return l.missing(at, "the file")
	}
	return d.each(targets, func(t target) error {
		c := t.(*tcpClient)
		if err := c.queue.cancelFile(); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		return nil
	})
}

// fileSent shows what became of a file.
func (d *dump) fileSent(c *client, f *fileOut, sent int64, err error) {
	d.moved.Add(1)
	if err != nil {
		d.lost.Add(f.size - sent)
		d.fault(c, fmt.Sprintf("%d of %d bytes of %s sent: %s", sent, f.size, f.name, plainError(err)))
		return
	}
	took := time.Since(f.began)
	switch {
	case d.output.JSON:
		d.con.Emit(&event.Event{Event: event.Message, Proto: c.proto, Client: c.number, Peer: c.peer, Dir: event.Out, Size: sent,
			Fields: []event.Data{event.Text("file", f.name), event.Float("seconds", took.Seconds())}})
	case !d.output.Quiet:
		d.say(fmt.Sprintf("> sent file to %v: %s, %s in %.3f s\n", c, event.Field(f.name), cli.Plural(sent, "byte"), took.Seconds()))
	}
}

func (d *dump) ping(l *commandLine) error {
	ahead := &commandLine{text: l.text, at: l.at}
	word, at := ahead.word()
	if p, err := d.protocol(&commandLine{text: l.text, at: l.at}); err == nil && p.name != "ws" {
		return l.wrong(at, "%s has no pings, ws has", word)
	}
	targets, err := d.targets(l, "")
	if err != nil {
		return err
	}
	text, at := l.rest()
	if len(text) > 125 {
		return l.wrong(at, "a ping has at most 125 bytes, not %d", len(text))
	}
	return d.each(targets, func(t target) error { return t.(*wsClient).ping([]byte(text)) })
}

func (d *dump) closeClients(l *commandLine) error {
	targets, err := d.targets(l, "")
	if err != nil {
		return err
	}
	var code wsproto.StatusCode
	reason := ""
	if word, at := l.word(); word != "" {
		n, err := strconv.ParseUint(word, 10, 16)
		code = wsproto.StatusCode(n)
		if err != nil || !code.CanSend() {
			return l.wrong(at, "not a code that may be sent: %s", word)
		}
		if reason, at = l.rest(); len(reason) > wsproto.MaxReason || !utf8.ValidString(reason) {
			return l.wrong(at, "a reason is UTF-8, at most %d bytes", wsproto.MaxReason)
		}
	}
	return d.each(targets, func(t target) error { return t.end(code, reason) })
}

var formats = []event.Format{event.FormatAuto, event.FormatText, event.FormatHex, event.FormatRaw}

func (d *dump) format(l *commandLine) error {
	style := d.con.Style()
	word, at := l.word()
	if word == "" {
		d.say("format " + style.Format.String() + "\n")
		return nil
	}
	var err error
	if style.Format, err = pick("format", word, formats, event.Format.String); err != nil {
		return l.wrong(at, "%v", err)
	}
	if err = l.end(); err == nil {
		d.con.SetStyle(style)
	}
	return err
}

func (d *dump) listClients(l *commandLine) error {
	if err := l.end(); err != nil {
		return err
	}
	var b strings.Builder
	now := d.now()
	for _, p := range d.protocols {
		b.WriteString(p.name + ":\n")
		all := p.all()
		switch {
		case !p.listens:
			b.WriteString("\tNot listening\n")
		case len(all) == 0:
			b.WriteString("\tNo client\n")
		}
		for _, t := range all {
			b.WriteString("\t" + t.about().describe(now) + "\n")
		}
		if d.udp != nil && p == d.udp.protocol {
			if n := d.udp.forgotten.Load(); n > 0 {
				fmt.Fprintf(&b, "\t%s forgotten, %d are kept at the most\n", cli.Plural(n, "session"), maxSessions)
			}
		}
	}
	d.say(b.String())
	return nil
}

func (d *dump) stats(l *commandLine) error {
	if err := l.end(); err != nil {
		return err
	}
	if d.udp != nil {
		d.udp.lookAtDrops()
	}
	var b strings.Builder
	for _, p := range d.protocols {
		if p.listens {
			b.WriteString(d.statistics(p) + "\n")
		}
	}
	d.say(b.String())
	return nil
}

// help prints the table, or the row of one command.
func (d *dump) help(l *commandLine) error {
	if word, at := l.word(); word != "" {
		c, err := d.findCommand(l, word, at)
		if err == nil {
			d.say(c.help())
		}
		return err
	}
	var b strings.Builder
	b.WriteString("What comes from clients is shown as it comes. Commands send something back;\n" +
		"they may be shortened, Tab completes them, Up recalls the last ones.\n\nHandled protocols:\n")
	for _, p := range d.protocols {
		b.WriteString("\t" + p.name + "\n")
	}
	b.WriteString("\nCommands list:\n")
	for _, row := range promptRows() {
		fmt.Fprintf(&b, "\t%-45s %s\n", row[0], row[1])
	}
	d.say(b.String())
	return nil
}

func (c *command) help() string {
	text := c.name + cli.Space(c.args) + "\n\t" + strings.ToUpper(c.brief[:1]) + c.brief[1:] + ".\n"
	for _, line := range c.more {
		text += "\t" + line + "\n"
	}
	return text
}

// complete is what Tab offers for the word that ends at pos.
func (d *dump) complete(text string, pos int) (start int, candidates []string) {
	start = pos
	for start > 0 && !isBlank(text[start-1]) {
		start--
	}
	typed := text[start:pos]
	l := &commandLine{text: text[:start]}
	name, at := l.word()
	if name == "" {
		return start, d.fitting(aCommand, nil, typed)
	}
	c, err := d.findCommand(l, name, at)
	if err != nil {
		return start, nil
	}
	var proto *protocol
	n := 0
	for {
		before := l.at
		word, at := l.word()
		if word == "" {
			break
		}
		if n++; n > len(c.words) {
			return start, nil
		}
		if kind := c.words[n-1]; kind == aProtocol || kind == webSocket {
			proto, _ = d.protocol(&commandLine{text: text, at: before})
		} else if kind == aFile { // its name has blanks
			return at, d.fitting(aFile, nil, text[at:pos])
		}
	}
	if n == len(c.words) {
		return start, nil
	}
	return start, d.fitting(c.words[n], proto, typed)
}

// fitting returns the words of a kind that begin with what was typed.
func (d *dump) fitting(kind wordKind, proto *protocol, typed string) (words []string) {
	switch kind {
	case aCommand:
		for _, c := range d.commands() {
			words = append(words, c.name)
		}
	case aProtocol:
		for _, p := range d.protocols {
			words = append(words, p.name)
		}
	case webSocket:
		words = []string{"ws"}
	case aFormat:
		for _, f := range formats {
			words = append(words, f.String())
		}
	case aFile:
		return talk.CompletePath(typed)
	case aClient:
		if proto == nil {
			return nil
		}
		words = []string{"all"}
		for _, t := range proto.all() {
			words = append(words, strconv.Itoa(t.about().number))
		}
	}
	return slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, typed) })
}

package talkfile

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

const (
	MaxFile   = 16 << 20 // bytes
	maxDepth  = 8        // of repeats
	maxRepeat = 1e9
	maxRaise  = 64 // of On and Every in a file
)

// A parser reads lines.
type parser struct {
	rest   string // of the file
	line   int
	groups int // that the last match before has; -1: there was none
	depth  int
	raised int
}

// Parse reads a talk file. The error is an *Error; without one the Talk is not nil.
func Parse(src []byte) (Talk, error) {
	if len(src) > MaxFile {
		return nil, &Error{1, 1, fmt.Errorf("a talk file has at most %d bytes", MaxFile)}
	}
	p := &parser{rest: strings.TrimPrefix(string(src), "\ufeff"), groups: -1}
	steps, err := p.steps("")
	return append(Talk{}, steps...), err
}

// A text is a part of a line, and where it begins there.
type text struct {
	string
	line, column int
}

func (t text) fail(format string, args ...any) error {
	return &Error{t.line, t.column, fmt.Errorf(format, args...)}
}

// from is t without its first n bytes.
func (t text) from(n int) text {
	return text{t.string[n:], t.line, t.column + utf8.RuneCountInString(t.string[:n])}
}

// trim is t without blanks before it.
func (t text) trim() text { return t.from(len(t.string) - len(strings.TrimLeft(t.string, " \t"))) }

// word cuts t at the first blank after a word. The rest begins after one blank.
func (t text) word() (word, rest text) {
	i := strings.IndexAny(t.string, " \t")
	if i < 0 {
		return t, t.from(len(t.string))
	}
	return text{t.string[:i], t.line, t.column}, t.from(i + 1)
}

// next is the next line, without blanks before it. ok is false at the end.
func (p *parser) next() (t text, ok bool) {
	if p.rest == "" {
		return text{}, false
	}
	line, rest, _ := strings.Cut(p.rest, "\n")
	p.rest = rest
	p.line++
	return text{strings.TrimRight(line, "\r"), p.line, 1}.trim(), true
}

// steps reads lines up to the one that ends a block: "done" or an empty one, which is
// "block"; "" is the end of the file.
func (p *parser) steps(end string) (steps []Step, err error) {
	for {
		t, ok := p.next()
		switch {
		case !ok && end == "done":
			return nil, errNoDone
		case !ok, end == "block" && t.string == "":
			return steps, nil
		case !utf8.ValidString(t.string):
			return nil, t.from(validLen(t.string)).fail(`not UTF-8: write \xHH, or bytes`)
		case t.string == "", t.string[0] == '#':
			continue
		case end == "done" && strings.TrimRight(t.string, " \t") == end:
			return steps, nil
		}
		s, err := p.step(t, end == "block")
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
}

// validLen is how many bytes of s come before the first that is not UTF-8.
func validLen(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

var errNoDone = errors.New("the file ended") // of a repeat, which says where it began

var errVerb = errors.New("want > < <~ wait within close end reset raw split on every repeat done, or # and a remark")

// step reads a line and what belongs to it.
func (p *parser) step(t text, inBlock bool) (s Step, err error) {
	word, rest := t.word()
	s.Line, s.Column = t.line, t.column
	switch word.string {
	case ">":
		s.Verb = Send
		err = p.payload(&s, rest)
	case "<":
		err = p.want(&s, rest)
	case "<~":
		s.Verb = Match
		err = p.match(&s, rest)
	case "wait":
		s.Verb = Wait
		s.D, err = duration(rest)
	case "within":
		s.Verb = Within
		s.D, err = duration(rest)
	case "close":
		s.Verb = Close
		err = closing(&s, rest, true)
	case "end":
		s.Verb = End
		err = nothing(rest)
	case "reset":
		s.Verb = Reset
		err = nothing(rest)
	case "raw":
		err = p.raw(&s, rest)
	case "split":
		err = p.split(&s, rest)
	case "on":
		err = p.on(&s, rest)
	case "every":
		err = p.every(&s, rest)
	case "repeat":
		err = p.repeat(&s, rest)
	default:
		err = &Error{t.line, t.column, errVerb}
	}
	if err != nil {
		return s, err
	}
	switch s.Verb {
	case Send, Wait, Raw, Close, End, Reset:
	default:
		if inBlock {
			return s, t.fail("a block of on only sends, waits and ends; an empty line ends it")
		}
	}
	return s, nil
}

// want reads what is expected: a message, or one of the ends.
func (p *parser) want(s *Step, t text) error {
	switch word, rest := t.word(); word.string {
	case "close":
		s.Verb = WantClose
		return closing(s, rest, false)
	case "end", "reset":
		s.Verb = WantEnd
		if word.string == "reset" {
			s.Verb = WantReset
		}
		return nothing(rest)
	}
	s.Verb = Expect
	return p.payload(s, t)
}

// payload reads TEXT, or a word that says what it is.
func (p *parser) payload(s *Step, t text) (err error) {
	word, rest := t.word()
	switch word.string {
	case "bytes", "binary":
		s.Kind = Binary
		s.Payload, err = bytesOf(rest)
		return err
	case "ping", "pong":
		s.Kind = Ping
		if word.string == "pong" {
			s.Kind = Pong
		}
		t = rest
	case "text":
		t = rest
	}
	s.Payload, err = p.text(t)
	if n := len(s.Payload.Bytes(nil)); err == nil && s.Kind != Text && n > 125 {
		err = t.fail("%d bytes: a control frame has at most 125 (RFC 6455 5.5)", n)
	}
	return err
}

// text reads TEXT: escapes, $N for what was captured and $$ for a dollar.
func (p *parser) text(t text) (Payload, error) {
	var all Payload
	var b []byte
	for i, s := 0, t.string; i < len(s); {
		n := 1
		switch {
		case s[i] == '\\':
			if n = escapeLen(s[i:]); n == 0 {
				return nil, &Error{t.line, t.from(i).column, event.ErrEscape}
			}
			b, _ = event.AppendUnescaped(b, s[i:i+n])
		case s[i] == '$' && i+1 < len(s) && s[i+1] == '$':
			n, b = 2, append(b, '$')
		case s[i] == '$' && i+1 < len(s) && isDigit(s[i+1]):
			group := int(s[i+1] - '0')
			if n = 2; group > p.groups {
				return nil, t.from(i).fail("no match before has a group %d; $$ is a dollar", group)
			}
			if len(b) > 0 {
				all, b = append(all, Piece{Bytes: b}), nil
			}
			all = append(all, Piece{Group: group})
		default:
			b = append(b, s[i])
		}
		i += n
	}
	if len(b) > 0 {
		all = append(all, Piece{Bytes: b})
	}
	return all, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// escapeLen is how long the escape at the start of s is; 0: it is none.
func escapeLen(s string) int {
	for n := 2; n <= min(len(s), len(`\u{00000000}`)); n++ {
		if _, err := event.AppendUnescaped(nil, s[:n]); err == nil {
			return n
		}
	}
	return 0
}

// bytesOf reads BYTES.
func bytesOf(t text) (Payload, error) {
	b, err := linesrv.ParseBytes(t.string)
	if err != nil {
		var n int
		if _, e := fmt.Sscanf(err.Error(), "character %d:", &n); e == nil {
			_, why, _ := strings.Cut(err.Error(), ": ")
			return nil, &Error{t.line, t.column + n - 1, errors.New(why)}
		}
		return nil, t.fail("%w", err)
	}
	return literal(b), nil
}

func (p *parser) raw(s *Step, t text) (err error) {
	s.Verb = Raw
	if s.Payload, err = bytesOf(t); err == nil && len(s.Payload) == 0 {
		err = t.fail("want bytes")
	}
	return err
}

// match reads an expression, and knows its groups from then on.
func (p *parser) match(s *Step, t text) (err error) {
	if word, rest := t.word(); word.string == "bytes" {
		s.Bytes, t = true, rest
	}
	if t.string == "" {
		return t.fail("want a regular expression (RE2)")
	}
	s.Expr = t.string
	if s.RE, err = regexp.Compile(s.Expr); err != nil {
		if bad, ok := errors.AsType[*syntax.Error](err); ok {
			return t.fail("%s: %q", bad.Code, bad.Expr)
		}
		return t.fail("%w", err)
	}
	s.Lines = regexp.MustCompile("(?m)" + s.Expr) // which compiles by itself; in brackets \Q would not
	p.groups = s.RE.NumSubexp()
	return nil
}

func duration(t text) (time.Duration, error) {
	d, err := cli.ParseDuration(strings.TrimRight(t.string, " \t"))
	if err != nil {
		return 0, t.fail("%w", err)
	}
	return d, nil
}

// closing reads [CODE [REASON]]; only what is sent has a reason, and a code that may be.
func closing(s *Step, t text, sent bool) (err error) {
	word, reason := t.word()
	if word.string == "" {
		return nothing(reason)
	}
	s.Code, err = strconv.Atoi(word.string)
	code := wsproto.StatusCode(s.Code)
	switch {
	case err != nil || s.Code < 1000 || s.Code > 4999:
		return word.fail("want a status code from 1000 to 4999")
	case !sent && reason.string != "":
		return nothing(reason)
	case sent && !code.CanSend():
		return word.fail("%d may not be sent (RFC 6455 7.4); raw can", s.Code)
	case len(reason.string) > wsproto.MaxReason:
		return reason.fail("a reason has at most %d bytes", wsproto.MaxReason)
	}
	s.Reason = reason.string
	return nil
}

func nothing(t text) error {
	if t = t.trim(); t.string != "" {
		return t.fail("nothing may follow here")
	}
	return nil
}

// split reads N [D], or off.
func (p *parser) split(s *Step, t text) (err error) {
	s.Verb = Split
	word, rest := t.trim().word()
	if word.string == "off" {
		return nothing(rest)
	}
	if s.N, err = strconv.Atoi(word.string); err != nil || s.N < 1 || s.N > 1<<30 {
		return word.fail("want a number of bytes, or off")
	}
	if rest = rest.trim(); rest.string != "" {
		s.D, err = duration(rest)
	}
	return err
}

// raise counts what goes on beside the conversation.
func (p *parser) raise(t text) error {
	if p.raised++; p.raised > maxRaise {
		return t.fail("at most %d of on and every", maxRaise)
	}
	if p.depth > 0 {
		return t.fail("on and every hold to the end, and cannot be repeated")
	}
	return nil
}

// on reads "~ RE" and the lines up to an empty one.
func (p *parser) on(s *Step, t text) (err error) {
	word, rest := t.trim().word()
	if word.string != "~" {
		return word.fail("want on ~ and a regular expression")
	}
	if err = p.raise(t); err != nil {
		return err
	}
	groups := p.groups
	defer func() { p.groups = groups }() // those of the block are not ours
	if err = p.match(s, rest); err != nil {
		return err
	}
	s.Verb = On
	if s.Body, err = p.steps("block"); err == nil && len(s.Body) == 0 {
		err = t.fail("want lines of what is to be done, right below")
	}
	return err
}

// every reads D > message.
func (p *parser) every(s *Step, t text) (err error) {
	s.Verb = Every
	word, rest := t.trim().word()
	if s.D, err = duration(word); err != nil {
		return err
	}
	if s.D < time.Millisecond {
		return word.fail("want at least 1ms")
	}
	if err = p.raise(t); err != nil {
		return err
	}
	send, message := rest.trim().word()
	if send.string != ">" {
		return send.fail("want > and what is to be sent")
	}
	groups := p.groups
	p.groups = -1 // which would be another's by then
	defer func() { p.groups = groups }()
	s.Body = []Step{{Line: s.Line, Column: s.Column}}
	return p.payload(&s.Body[0], message)
}

// repeat reads N and the lines up to done.
func (p *parser) repeat(s *Step, t text) (err error) {
	s.Verb = Repeat
	word, rest := t.trim().word()
	if s.N, err = strconv.Atoi(word.string); err != nil || s.N < 1 || s.N > maxRepeat {
		return word.fail("want a number from 1 to %d", int(maxRepeat))
	}
	if err = nothing(rest); err != nil {
		return err
	}
	if p.depth++; p.depth > maxDepth {
		return t.fail("at most %d repeats within each other", maxDepth)
	}
	defer func() { p.depth-- }()
	s.Body, err = p.steps("done")
	switch {
	case err == errNoDone:
		return t.fail("this repeat has no done")
	case err == nil && len(s.Body) == 0:
		return t.fail("want lines to repeat")
	}
	return err
}

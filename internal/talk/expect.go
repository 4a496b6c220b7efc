package talk

import (
	"bytes"
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// A Matcher finds a regular expression (RE2) in messages, or in a stream however
// that was cut while it came. Package regexp wants a text that is whole: looking
// at all that came, again at each read, would cost the square of it. So a stream
// goes through the expression's program one character at a time. What is kept is
// where a match may stand, bounded by the length of the expression; a match may
// begin any number of bytes back.
//
// In a stream ^ and $ are the ends of lines, too, and $ and \b hold where it ends
// for now: who waits for "login: $" waits for a peer that says no more.
type Matcher struct {
	whole  *regexp.Regexp
	prefix []byte // each match begins so
	prog   *syntax.Prog

	before  rune     // the last character looked at, -1: none
	reached []uint32 // instructions that the characters so far lead to
	reads   []uint32 // instructions that wait for the next character
	seen    []uint32 // by instruction: the round in which it was followed
	round   uint32
	rest    []byte // of a character that is not whole
}

// NewMatcher compiles expr.
func NewMatcher(expr string) (*Matcher, error) {
	whole, err := regexp.Compile(expr)
	if err != nil {
		return nil, errors.New("want a regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	// What compiled does so again.
	parsed, _ := syntax.Parse(expr, syntax.Perl&^syntax.OneLine)
	prog, _ := syntax.Compile(parsed.Simplify())
	prefix, _ := prog.Prefix()
	return &Matcher{whole: whole, prefix: []byte(prefix), prog: prog, before: -1, seen: make([]uint32, len(prog.Inst))}, nil
}

// Message tells whether p, a message or line, has a match.
func (m *Matcher) Message(p []byte) bool { return m.whole.Match(p) }

// Stream tells whether there is a match that ends in p, or that the end of p makes
// one. p follows the bytes of the calls before.
func (m *Matcher) Stream(p []byte) bool {
	if len(m.rest) > 0 {
		p = append(m.rest, p...)
	}
	for utf8.FullRune(p) {
		if p = m.skip(p); !utf8.FullRune(p) {
			break
		}
		r, n := utf8.DecodeRune(p)
		if m.follow(r) {
			return true
		}
		m.reached = m.reached[:0]
		for _, pc := range m.reads {
			if i := &m.prog.Inst[pc]; i.MatchRune(r) {
				m.reached = append(m.reached, i.Out)
			}
		}
		m.before, p = r, p[n:]
	}
	m.rest = append(m.rest[:0:0], p...)
	return m.follow(-1)
}

// skip leaves out what cannot be in a match, where none has begun.
func (m *Matcher) skip(p []byte) []byte {
	if len(m.reached) > 0 || len(m.prefix) == 0 {
		return p
	}
	n := bytes.Index(p, m.prefix)
	if n < 0 {
		n = max(len(p)-len(m.prefix)+1, 0) // its beginning may be there
	}
	for n > 0 && n < len(p) && !utf8.RuneStart(p[n]) {
		n--
	}
	if n > 0 {
		m.before, _ = utf8.DecodeLastRune(p[:n])
	}
	return p[n:]
}

// follow goes from what was reached, and from the start, as far as that takes no
// character. next is the one that comes, -1 if there is none. It returns true at a
// match.
func (m *Matcher) follow(next rune) bool {
	m.round++
	m.reads = m.reads[:0]
	here := syntax.EmptyOpContext(m.before, next)
	for _, pc := range m.reached {
		if m.walk(pc, here) {
			return true
		}
	}
	return m.walk(uint32(m.prog.Start), here)
}

func (m *Matcher) walk(pc uint32, here syntax.EmptyOp) bool {
	for m.seen[pc] != m.round {
		m.seen[pc] = m.round
		switch i := &m.prog.Inst[pc]; i.Op {
		case syntax.InstMatch:
			return true
		case syntax.InstAlt, syntax.InstAltMatch:
			if m.walk(i.Out, here) {
				return true
			}
			pc = i.Arg
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(i.Arg)&^here != 0 {
				return false
			}
			pc = i.Out
		case syntax.InstCapture, syntax.InstNop:
			pc = i.Out
		default:
			m.reads = append(m.reads, pc)
			return false
		}
	}
	return false
}

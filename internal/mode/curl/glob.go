package curl

import (
	"errors"
	"net/netip"
	"slices"
	"socketsrv/internal/cli"
	"strconv"
	"strings"
)

// A glob is a URL with {a,b} and [1-3] in it: what it stands for is made one
// at a time, for there may be millions.
type glob struct {
	literals []string // around the patterns: one more than these
	patterns []globPattern
}

// A globPattern is a set of words or a range.
type globPattern struct {
	name            string   // {<name>a,b}; "" is none
	words           []string // nil: a range
	low, step, size int
	width           int  // digits, with zeros in front
	letter          bool // the numbers are bytes
}

func (p *globPattern) at(i int) string {
	if p.words != nil {
		return p.words[i]
	}
	n := p.low + i*p.step
	if p.letter {
		return string(rune(n))
	}
	s := strconv.Itoa(n)
	return strings.Repeat("0", max(p.width-len(s), 0)) + s
}

var (
	errGlobBrace   = errors.New("unmatched brace in the URL (-g takes braces and brackets as they are)")
	errGlobEmpty   = errors.New("nothing in the braces in the URL (-g takes braces and brackets as they are)")
	errGlobName    = errors.New("a bad or a second name of a pattern in the URL (-g takes braces and brackets as they are)")
	errGlobBracket = errors.New("unmatched close bracket in the URL")
	errGlobRange   = errors.New("bad range in the URL (-g takes braces and brackets as they are)")
	errGlobSize    = errors.New("the ranges in the URL stand for too many")
)

// parseGlob reads a URL. Brackets around an IPv6 address are none of a range, and
// a backslash takes what it could mean away from the character after it.
func parseGlob(s string) (*glob, error) {
	g, literal := new(glob), ""
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && strings.IndexByte("{}[]", s[i+1]) >= 0:
			literal += s[i+1 : i+2]
			i += 2
			continue
		case c == '[' && isBracketed(s[i:]), c == '[' && strings.HasPrefix(s[i:], "[]"):
			n := strings.IndexByte(s[i:], ']') + 1
			literal += s[i : i+n]
			i += n
			continue
		case c == '}':
			return nil, errGlobBrace
		case c == ']':
			return nil, errGlobBracket
		case c != '{' && c != '[':
			literal += s[i : i+1]
			i++
			continue
		}
		p, n, err := parsePattern(s[i:])
		if err != nil {
			return nil, err
		}
		if p.name != "" && slices.ContainsFunc(g.patterns, func(q globPattern) bool { return q.name == p.name }) {
			return nil, errGlobName
		}
		g.literals, g.patterns, literal = append(g.literals, literal), append(g.patterns, p), ""
		i += n
	}
	g.literals = append(g.literals, literal)
	if g.size() < 0 {
		return nil, errGlobSize
	}
	return g, nil
}

// isBracketed says whether s begins with an IPv6 address in brackets.
func isBracketed(s string) bool {
	inner, _, ok := strings.Cut(s[1:], "]")
	addr, err := netip.ParseAddr(strings.Replace(inner, "%25", "%", 1))
	return ok && err == nil && addr.Is6()
}

// parsePattern reads the pattern that s, n bytes of it, begins with.
func parsePattern(s string) (p globPattern, n int, err error) {
	if strings.HasPrefix(s[1:], "<") {
		name, rest, ok := strings.Cut(s[2:], ">")
		if !ok || name == "" {
			return p, 0, errGlobName
		}
		p, n, err = parsePattern(s[:1] + rest)
		p.name = name
		return p, n + len(name) + len("<>"), err
	}
	if s[0] == '{' {
		return parseSet(s)
	}
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return p, 0, errGlobRange
	}
	span, stepText, stepped := strings.Cut(s[1:end], ":")
	low, high, ok := strings.Cut(span, "-")
	if p.step = 1; stepped {
		if p.step, err = strconv.Atoi(stepText); err != nil || p.step < 1 {
			return p, 0, errGlobRange
		}
	}
	var last int
	switch {
	case !ok:
		return p, 0, errGlobRange
	case isLetter(low) && isLetter(high):
		p.letter, p.low, last = true, int(low[0]), int(high[0])
	case cli.IsDigits(low) && cli.IsDigits(high):
		p.low, err = strconv.Atoi(low)
		if err == nil {
			last, err = strconv.Atoi(high)
		}
		if strings.HasPrefix(low, "0") {
			p.width = len(low)
		}
	default:
		return p, 0, errGlobRange
	}
	if err != nil || p.low > last || stepped && p.low != last && p.step > last-p.low {
		return p, 0, errGlobRange
	}
	if p.size = (last-p.low)/p.step + 1; p.size <= 0 {
		return p, 0, errGlobSize
	}
	return p, end + 1, nil
}

func isLetter(s string) bool {
	return len(s) == 1 && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z'
}

// parseSet reads {a,b,c}.
func parseSet(s string) (p globPattern, n int, err error) {
	word := ""
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			word += s[i : i+1]
		case c == '{', c == '[', c == ']':
			return p, 0, errGlobBrace
		case c == ',':
			p.words, word = append(p.words, word), ""
		case c == '}' && i == 1:
			return p, 0, errGlobEmpty
		case c == '}':
			p.words = append(p.words, word)
			p.size = len(p.words)
			return p, i + 1, nil
		default:
			word += s[i : i+1]
		}
	}
	return p, 0, errGlobBrace
}

// size is how many URLs there are, -1 where an int does not hold that.
func (g *glob) size() int {
	const most = 1<<31 - 1
	n := 1
	for _, p := range g.patterns {
		if p.size > most/n {
			return -1
		}
		n *= p.size
	}
	return n
}

// at returns URL number i and what its patterns became; the last pattern changes
// fastest.
func (g *glob) at(i int) (url string, values []string) {
	values = make([]string, len(g.patterns))
	for k := len(g.patterns) - 1; k >= 0; k-- {
		p := &g.patterns[k]
		values[k] = p.at(i % p.size)
		i /= p.size
	}
	var b strings.Builder
	for k, value := range values {
		b.WriteString(g.literals[k] + value)
	}
	return b.String() + g.literals[len(values)], values
}

// fill puts values in the place of #1, #2 or #<name> in the name of a file.
func (g *glob) fill(name string, values []string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(name, '#')
		if i < 0 {
			return b.String() + name
		}
		b.WriteString(name[:i])
		name = name[i:]
		end := 1
		for end < len(name) && name[end] >= '0' && name[end] <= '9' {
			end++
		}
		n, _ := strconv.Atoi(name[1:end])
		for k, p := range g.patterns {
			if quoted := "#<" + p.name + ">"; p.name != "" && strings.HasPrefix(name, quoted) {
				n, end = k+1, len(quoted)
			}
		}
		if n >= 1 && n <= len(values) {
			b.WriteString(values[n-1])
		} else {
			b.WriteString(name[:end])
		}
		name = name[end:]
	}
}

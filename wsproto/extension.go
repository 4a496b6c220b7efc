package wsproto

import (
	"errors"
	"fmt"
)

// An Extension is an element of Sec-WebSocket-Extensions (RFC 6455 §9.1): what a
// client offers or a server agrees to.
type Extension struct {
	Name   string // a token
	Params []Param
}

// A Param is a parameter of an extension.
type Param struct {
	Name     string // a token
	Value    string // a token, without the quotes it may have come in
	HasValue bool
}

// ErrExtensionList says that Sec-WebSocket-Extensions does not follow the grammar
// of RFC 6455 §9.1, or lists more than is looked at.
var ErrExtensionList = errors.New("malformed Sec-WebSocket-Extensions")

// What is looked at of a list. Browsers offer one extension.
const (
	maxExtensions = 32
	maxParams     = 16 // of an extension
)

// ParseExtensions reads the values of all lines of Sec-WebSocket-Extensions as
// one list. A quoted value must be a token once the quotes are gone. Elements may
// be empty, but not all of them. The error wraps ErrExtensionList.
func ParseExtensions(lines ...string) ([]Extension, error) {
	var list []Extension
	s := extensionScanner{lines: lines}
	for s.next() {
		list = append(list, Extension{s.e.Name, append([]Param(nil), s.e.Params...)})
	}
	if s.err != nil {
		return nil, s.err
	}
	return list, nil
}

// AppendExtensions appends list as it stands in one field value.
func AppendExtensions(dst []byte, list []Extension) []byte {
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, e.Name...)
		for _, p := range e.Params {
			dst = append(append(dst, "; "...), p.Name...)
			if p.HasValue {
				dst = append(append(dst, '='), p.Value...)
			}
		}
	}
	return dst
}

// An extensionScanner reads a list element by element.
type extensionScanner struct {
	lines []string
	rest  string    // of the line under way
	e     Extension // the last one read; its Params are overwritten by the next
	n     int       // how many were read
	err   error
}

// next reads the next element; false means the end or err.
func (s *extensionScanner) next() bool {
	for s.skipSpace(); ; s.skipSpace() {
		switch {
		case s.take(','):
		case s.rest == "" && len(s.lines) > 0:
			s.rest, s.lines = s.lines[0], s.lines[1:]
		case s.rest == "" && s.n == 0:
			s.err = fmt.Errorf("%w: it is empty", ErrExtensionList)
			return false
		case s.rest == "":
			return false
		case s.n == maxExtensions:
			s.err = fmt.Errorf("%w: more than %d elements", ErrExtensionList, maxExtensions)
			return false
		case !s.extension() || s.rest != "" && s.rest[0] != ',':
			s.err = fmt.Errorf("%w at %.40q", ErrExtensionList, s.rest)
			return false
		default:
			s.n++
			return true
		}
	}
}

// extension = token *( ";" token [ "=" ( token | quoted-string ) ] )
func (s *extensionScanner) extension() (ok bool) {
	s.e.Params = s.e.Params[:0]
	if s.e.Name, ok = s.token(); !ok {
		return false
	}
	for s.skipSpace(); s.take(';'); s.skipSpace() {
		p, ok := s.param()
		if !ok || len(s.e.Params) == maxParams {
			return false
		}
		s.e.Params = append(s.e.Params, p)
	}
	return true
}

func (s *extensionScanner) param() (p Param, ok bool) {
	s.skipSpace()
	if p.Name, ok = s.token(); !ok {
		return p, false
	}
	s.skipSpace()
	if p.HasValue = s.take('='); !p.HasValue {
		return p, true
	}
	s.skipSpace()
	if s.take('"') {
		p.Value, ok = s.quoted()
	} else {
		p.Value, ok = s.token()
	}
	return p, ok
}

// quoted reads what follows the opening quote.
func (s *extensionScanner) quoted() (string, bool) {
	var b []byte
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return string(b), len(b) > 0
		case c == '\\' && i+1 < len(s.rest):
			i++
			fallthrough
		default:
			if b = append(b, s.rest[i]); !isTokenByte(s.rest[i]) {
				return "", false
			}
		}
	}
	return "", false
}

func (s *extensionScanner) token() (string, bool) {
	n := 0
	for n < len(s.rest) && isTokenByte(s.rest[n]) {
		n++
	}
	t := s.rest[:n]
	s.rest = s.rest[n:]
	return t, n > 0
}

func (s *extensionScanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *extensionScanner) skipSpace() {
	for s.rest != "" && (s.rest[0] == ' ' || s.rest[0] == '\t') {
		s.rest = s.rest[1:]
	}
}

// isTokenByte reports whether c may stand in a token (RFC 9110 §5.6.2).
func isTokenByte(c byte) bool { return tokenBytes[c] }

var tokenBytes = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

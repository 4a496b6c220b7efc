package linesrv

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"socketsrv/internal/event"
)

// ParseBytes reads bytes in hexadecimal digits, in any of the ways in which people
// have them: 0d0a, 0d 0a, 0d:0a, 0d-0a, 0x0d,0x0a, \x0d\x0a, $0D$0A, 0dh 0ah,
// {0x0d, 0x0a}, and with text in quotes between, which has the escapes of
// ParseEscapes: 02 "AB\r" 03; a quote in it is \x22. A digit that stands alone is a
// byte. The error says which character is wrong, counted from 1.
func ParseBytes(s string) ([]byte, error) {
	b := []byte{}
	from, end := 0, len(s)
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") && strings.HasSuffix(t, "}") {
		from, end = strings.IndexByte(s, '{')+1, strings.LastIndexByte(s, '}')
	}
	separated := true // so that no mark may stand here
	for i := from; i < end; {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case strings.IndexByte(":-,", c) >= 0:
			if separated {
				return nil, wrongByte(s, i, "no byte before %q")
			}
			separated = true
			i++
		default:
			var n int
			var err error
			if b, n, err = appendPart(b, s[:end], i); err != nil {
				return nil, err
			}
			i += n
			separated = false
		}
	}
	return b, nil
}

// wrongByte is an error about the character at s[i]; it stands in for the %q of what.
func wrongByte(s string, i int, what string) error {
	r, _ := utf8.DecodeRuneInString(s[i:])
	return fmt.Errorf("character %d: "+what, utf8.RuneCountInString(s[:i])+1, r)
}

// appendPart appends what the digits or the quoted text at s[i] stand for, and returns
// how long that is.
func appendPart(b []byte, s string, i int) ([]byte, int, error) {
	rest := s[i:]
	if rest[0] == '"' {
		text, _, ok := strings.Cut(rest[1:], `"`)
		if !ok {
			return nil, 0, fmt.Errorf("no quote after %s", rest)
		}
		b, err := event.AppendUnescaped(b, text)
		return b, len(text) + 2, err
	}
	prefix := 0
	if len(rest) > 1 && (rest[:2] == "0x" || rest[:2] == "0X" || rest[:2] == `\x`) {
		prefix = 2
	} else if rest[0] == '$' {
		prefix = 1
	}
	n := prefix
	for n < len(rest) && isHex(rest[n]) {
		n++
	}
	digits := rest[prefix:n]
	odd := len(digits) != 1 && len(digits)%2 != 0
	switch {
	case digits == "" && n == len(rest):
		return nil, 0, fmt.Errorf("a hexadecimal digit is missing after %q", s)
	case digits == "", odd && n < len(rest) && strings.IndexByte(" \t\r\n:-,\"", rest[n]) < 0:
		return nil, 0, wrongByte(s, i+n, "%q is not a hexadecimal digit")
	case len(digits) == 1:
		digits = "0" + digits
	case odd:
		return nil, 0, fmt.Errorf("a hexadecimal digit is missing: there are %d in %q", len(digits), digits)
	}
	for ; digits != ""; digits = digits[2:] {
		v, _ := strconv.ParseUint(digits[:2], 16, 8)
		b = append(b, byte(v))
	}
	if prefix == 0 && n < len(rest) && (rest[n] == 'h' || rest[n] == 'H') {
		n++
	}
	return b, n, nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// ParseEscapes reads text with the escapes \n \r \t \0 \\, \xHH for a byte, and \u{HEX},
// \uHHHH or \UHHHHHHHH for a character. Everything else stands for itself. The error
// says which byte is a backslash that begins none of them, counted from 1.
func ParseEscapes(s string) ([]byte, error) { return event.AppendUnescaped(nil, s) }

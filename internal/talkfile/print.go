package talkfile

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
)

// Append appends steps as a talk file, which Parse reads as the same.
func Append(dst []byte, steps []Step) []byte { return appendSteps(dst, steps, "") }

func appendSteps(dst []byte, steps []Step, indent string) []byte {
	for i := range steps {
		s := &steps[i]
		dst = append(append(append(dst, indent...), s.Head()...), '\n')
		switch s.Verb {
		case On:
			dst = append(appendSteps(dst, s.Body, indent+"  "), '\n')
		case Repeat:
			dst = append(append(appendSteps(dst, s.Body, indent+"  "), indent...), "done\n"...)
		}
	}
	return dst
}

// Head is the line of s, without those of a block below it. It is printable.
func (s *Step) Head() string {
	switch s.Verb {
	case Send:
		return strings.TrimSuffix("> "+s.message(), " ")
	case Expect:
		return strings.TrimSuffix("< "+s.message(), " ")
	case Match:
		return "<~ " + s.expr()
	case Wait:
		return "wait " + cli.FormatDuration(s.D)
	case Within:
		return "within " + cli.FormatDuration(s.D)
	case Close, WantClose:
		return s.closing()
	case End:
		return "end"
	case WantEnd:
		return "< end"
	case Reset:
		return "reset"
	case WantReset:
		return "< reset"
	case Raw:
		return "raw " + BytesText(s.Payload.Bytes(nil))
	case Split:
		return s.splitting()
	case On:
		return "on ~ " + s.expr()
	case Every:
		return "every " + cli.FormatDuration(s.D) + " " + s.Body[0].Head()
	}
	return "repeat " + strconv.Itoa(s.N)
}

func (s *Step) splitting() string {
	switch {
	case s.N == 0:
		return "split off"
	case s.D == 0:
		return "split " + strconv.Itoa(s.N)
	}
	return "split " + strconv.Itoa(s.N) + " " + cli.FormatDuration(s.D)
}

func (s *Step) closing() string {
	line := "close"
	if s.Verb == WantClose {
		line = "< close"
	}
	if s.Code != 0 {
		line += " " + strconv.Itoa(s.Code)
	}
	if s.Reason != "" {
		line += " " + s.Reason
	}
	return line
}

func (s *Step) expr() string {
	if s.Bytes {
		return "bytes " + s.Expr
	}
	return s.Expr
}

func (s *Step) message() string {
	switch s.Kind {
	case Binary:
		return "bytes " + BytesText(s.Payload.Bytes(nil))
	case Ping:
		return "ping " + s.Payload.text()
	case Pong:
		return "pong " + s.Payload.text()
	}
	t := s.Payload.text()
	switch first, _, _ := strings.Cut(t, " "); first {
	case "bytes", "binary", "ping", "pong", "text", "close", "end", "reset":
		return "text " + t
	}
	return t
}

// text is p as TEXT: what is not printable is escaped, and blanks at the end.
func (p Payload) text() string {
	var b []byte
	for _, piece := range p {
		if piece.Bytes == nil {
			b = append(b, '$', byte('0'+piece.Group))
			continue
		}
		b = appendText(b, piece.Bytes)
	}
	if n := len(b); n > 0 && b[n-1] == ' ' {
		b = append(b[:n-1], `\x20`...)
	}
	return string(b)
}

// appendText appends data with escapes for all that TEXT reads otherwise. One for a
// character that is not printable may be longer than AppendEscaped has it, but says the
// same.
func appendText(dst, data []byte) []byte {
	for len(data) > 0 {
		n := 0
		for n < len(data) && data[n] != '\\' && data[n] != '$' {
			n++
		}
		if dst = event.AppendEscaped(dst, data[:n]); n == len(data) {
			break
		}
		dst = append(dst, data[n], data[n])
		data = data[n+1:]
	}
	return dst
}

// BytesText is data as BYTES: hexadecimal, with printable text of four characters and
// more in quotes.
func BytesText(data []byte) string {
	var b []byte
	for len(data) > 0 {
		n := 0
		for n < len(data) && data[n] >= ' ' && data[n] < 0x7f && data[n] != '"' && data[n] != '\\' {
			n++
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		if n >= 4 {
			b = append(append(append(b, '"'), data[:n]...), '"')
			data = data[n:]
			continue
		}
		n = max(n, 1)
		for i, c := range data[:n] {
			if i > 0 {
				b = append(b, ' ')
			}
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		data = data[n:]
	}
	return string(b)
}

// Shown is data for people who compare: as TEXT where it is UTF-8, else as BYTES, at
// most limit bytes of it.
func Shown(data []byte, limit int) string {
	more := ""
	if n := len(data) - limit; n > 0 {
		data, more = data[:limit], " …(+"+strconv.Itoa(n)+")"
	}
	if utf8.Valid(data) {
		return literal(data).text() + more
	}
	return "bytes " + BytesText(data) + more
}

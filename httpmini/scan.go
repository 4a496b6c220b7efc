package httpmini

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
)

type headKind uint8

const (
	requestHead headKind = iota
	responseHead
	trailerFields
)

// A scanner finds the parts of a head while its bytes come in: whether they come
// at once or one by one, it judges them in the same order. It keeps positions
// only; the strings are cut from one copy of the head when that is whole.
type scanner struct {
	lim    Limits
	kind   headKind
	client bool // what is scanned came from a server
	faults Faults

	head []byte // what is scanned

	start, pos int // of the start line, of the line under way
	seen       int // no LF between pos and here
	checked    int // the start line is plausible up to here
	begun      bool

	a, b, minor, status int // see requestLine and statusLine
	fields              []span
}

// A span is where a field line's name and value stand in the head.
type span struct{ name, nameEnd, value, valueEnd int32 }

var scanners = newPool(func() *scanner { return &scanner{fields: make([]span, 0, 32)} })

func getScanner(kind headKind, lim Limits) *scanner {
	s := scanners.get()
	*s = scanner{lim: lim.orDefault(), kind: kind, client: kind == responseHead, fields: s.fields[:0]}
	return s
}

func (s *scanner) release() {
	s.head = nil
	scanners.put(s)
}

// fail makes the error of a rule that was broken at that byte of the head.
func (s *scanner) fail(status int, err error, at int) error {
	if s.client {
		status = 502
	}
	return &Error{Status: status, Err: err, Offset: at}
}

// forgives notes the fault, or reports that it is none to be forgiven.
func (s *scanner) forgives(fault Faults) bool {
	if s.client && !s.lim.Strict || s.kind == requestHead && s.lim.Lenient && fault == FaultLineEnd {
		s.faults |= fault
		return true
	}
	return false
}

// read takes a head from br, and not a byte more. With an error it returns what
// came.
func (s *scanner) read(br *bufio.Reader) (string, error) {
	var kept []byte // what has no room in br
	for {
		fresh, _ := br.Peek(br.Buffered())
		b := fresh
		if kept != nil {
			kept = append(kept, fresh...)
			b = kept
		}
		n, err := s.scan(b)
		if err != nil {
			return s.came(b), err
		}
		if n > 0 {
			text := string(b[:n])
			br.Discard(n - (len(b) - len(fresh)))
			return text, nil
		}
		if kept != nil || len(fresh) == br.Size() {
			if kept == nil {
				kept = append(make([]byte, 0, 2*len(fresh)), fresh...)
			}
			br.Discard(len(fresh))
			fresh = nil
		}
		if _, err := br.Peek(len(fresh) + 1); err != nil {
			if err == io.EOF && (s.kind == trailerFields || s.begun || s.pos != len(b)) {
				err = io.ErrUnexpectedEOF
			}
			fresh, _ = br.Peek(br.Buffered())
			return s.came(append(kept, fresh...)), err
		}
	}
}

func (s *scanner) came(b []byte) string { return string(b[:min(len(b), s.lim.Head)]) }

// scan goes on where it stopped in b, which is all that has come of the head, and
// returns the head's length once that is known.
func (s *scanner) scan(b []byte) (n int, err error) {
	s.head = b
	for {
		i := bytes.IndexByte(b[s.seen:], '\n')
		if i < 0 {
			s.seen = len(b)
			return 0, s.judge(b[s.pos:], len(b))
		}
		end := s.seen + i + 1
		line := b[s.pos : end-1]
		if err := s.judge(line, end); err != nil {
			return 0, err
		}
		if n := len(line) - 1; n >= 0 && line[n] == '\r' {
			line = line[:n]
		} else if !s.forgives(FaultLineEnd) {
			return 0, s.fail(400, ErrLineEnd, end-1)
		}
		done, err := s.line(line)
		if done || err != nil {
			return end, err
		}
		s.pos, s.seen = end, end
	}
}

// judge says what can be said of a line before its LF has come: whether it is too
// long (total counts the whole head), and whether it can become a start line.
// Its last byte may be the CR before the LF.
func (s *scanner) judge(line []byte, total int) error {
	n := len(line)
	if n > 0 && line[n-1] == '\r' {
		n--
	}
	if !s.begun && s.kind != trailerFields {
		if err := s.plausible(line[:min(n, s.lim.Line)]); err != nil {
			return err
		}
	}
	switch {
	case n > s.lim.Line && !s.begun && s.kind == requestHead:
		return s.fail(414, ErrLineTooLong, s.pos)
	case n > s.lim.Line:
		return s.fail(431, ErrLineTooLong, s.pos)
	case total > s.lim.Head:
		return s.fail(431, ErrHeadTooLarge, s.pos)
	}
	return nil
}

// plausible refuses a start line at its first wrong byte: who speaks another
// protocol may never send a line's end.
func (s *scanner) plausible(line []byte) error {
	from := max(s.checked-s.pos, 0)
	s.checked = s.pos + len(line)
	if s.kind == responseHead {
		const prefix = "HTTP/1."
		if n := min(len(line), len(prefix)); string(line[:n]) != prefix[:n] {
			return s.notHTTP(line)
		}
		return nil
	}
	for i, c := range line[from:] {
		if class[c]&isVisib == 0 && (c != ' ' || from+i == 0) {
			return s.fail(400, ErrRequestLine, s.pos+from+i)
		}
	}
	return nil
}

func (s *scanner) notHTTP(line []byte) error {
	if len(line) >= 5 && string(line[:5]) == "HTTP/" {
		return s.fail(502, ErrVersion, s.pos)
	}
	return s.fail(502, ErrNotHTTP, s.pos)
}

// line takes one line without its end.
func (s *scanner) line(line []byte) (done bool, err error) {
	switch {
	case s.begun || s.kind == trailerFields:
		if len(line) == 0 {
			return true, nil
		}
		return false, s.fieldLine(line)
	case s.kind == responseHead:
		s.begun = true
		return false, s.statusLine(line)
	case len(line) == 0 && s.pos == 0:
		return false, nil // the one empty line that RFC 9112 §2.2 wants ignored
	}
	s.begun = true
	s.start = s.pos
	return false, s.requestLine(line)
}

// requestLine parses method SP request-target SP HTTP-version (RFC 9112 §3):
// a is the end of the method, b that of the target.
func (s *scanner) requestLine(line []byte) error {
	const version = "HTTP/1.1"
	method := bytes.IndexByte(line, ' ')
	if method <= 0 || !all(line[:method], isTchar) {
		return s.fail(400, ErrRequestLine, s.pos)
	}
	target := bytes.IndexByte(line[method+1:], ' ')
	if target <= 0 {
		return s.fail(400, ErrRequestLine, s.pos+method)
	}
	target += method + 1
	v := line[target+1:]
	if len(v) != len(version) || string(v[:5]) != "HTTP/" || !isDigit(v[5]) || v[6] != '.' || !isDigit(v[7]) {
		return s.fail(400, ErrRequestLine, s.pos+target)
	}
	if v[5] != '1' || v[7] > '1' {
		return s.fail(505, ErrVersion, s.pos+target+1)
	}
	s.a, s.b, s.minor = s.pos+method, s.pos+target, int(v[7]-'0')
	return nil
}

// statusLine parses HTTP-version SP status-code [SP reason-phrase]
// (RFC 9112 §4): the reason stands between a and b.
func (s *scanner) statusLine(line []byte) error {
	const prefix = "HTTP/1.x 200"
	if len(line) < len("HTTP/1.x") || !isDigit(line[7]) {
		return s.fail(502, ErrStatusLine, s.pos)
	}
	if line[7] > '1' {
		return s.fail(502, ErrVersion, s.pos)
	}
	if len(line) < len(prefix) || line[8] != ' ' || line[9] == '0' ||
		!isDigit(line[9]) || !isDigit(line[10]) || !isDigit(line[11]) {
		return s.fail(502, ErrStatusLine, s.pos+len("HTTP/1.x"))
	}
	reason := line[len(prefix):]
	if len(reason) > 0 && (reason[0] != ' ' || !all(reason, isText)) {
		return s.fail(502, ErrStatusLine, s.pos+len(prefix))
	}
	if len(reason) == 0 {
		s.forgives(FaultReason) // where it is not, it does no harm either
	}
	s.minor = int(line[7] - '0')
	s.status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	s.a, s.b = s.pos+min(len(prefix)+1, len(line)), s.pos+len(line)
	return nil
}

// fieldLine parses field-name ":" OWS field-value OWS (RFC 9112 §5). White
// space before the name is a folded line.
func (s *scanner) fieldLine(line []byte) error {
	if len(s.fields) == s.lim.Fields {
		return s.fail(431, ErrTooManyFields, s.pos)
	}
	name := 0
	for name < len(line) && class[line[name]]&isTchar != 0 {
		name++
	}
	colon := name
	if name == 0 || name == len(line) || line[name] != ':' || !isText8(line[name+1:]) {
		var err error
		if name, colon, err = s.oddField(line, name); err != nil || colon < 0 {
			return err
		}
	}
	from, to := colon+1, len(line)
	for from < to && isSpace(line[from]) {
		from++
	}
	for from < to && isSpace(line[to-1]) {
		to--
	}
	s.fields = append(s.fields, span{int32(s.pos), int32(s.pos + name), int32(s.pos + from), int32(s.pos + to)})
	return nil
}

// oddField returns where name and colon of a line are that breaks the grammar behind
// its first name bytes, if it can be forgiven; colon is -1 for what was added to the
// field before.
func (s *scanner) oddField(line []byte, name int) (nameEnd, colon int, err error) {
	if name == 0 && isSpace(line[0]) {
		return 0, -1, s.fold(line)
	}
	colon = name
	if name == 0 || name == len(line) || line[name] != ':' {
		if colon = s.oddName(line); colon < 0 {
			return 0, 0, s.fail(400, ErrField, s.pos+name)
		}
		for name = colon; isSpace(line[name-1]); {
			name--
		}
	}
	if i := slices.IndexFunc(line[colon:], func(c byte) bool { return class[c]&isText == 0 }); i >= 0 {
		return 0, 0, s.fail(400, ErrField, s.pos+colon+i)
	}
	return name, colon, nil
}

// oddName returns where the colon stands behind a name that is no token, or has
// blanks behind it, -1 if that is not to be forgiven: where one parser would find a
// length another finds none.
func (s *scanner) oddName(line []byte) (colon int) {
	colon = bytes.IndexByte(line, ':')
	if colon <= 0 || isSpace(line[0]) || !all(line[:colon], isText) || isFraming(trim(string(line[:colon]))) || !s.forgives(FaultName) {
		return -1
	}
	return colon
}

// fold adds a line to the field before it (RFC 9112 §5.2), unless that says where
// the message ends; header puts a blank between them.
func (s *scanner) fold(line []byte) error {
	last := len(s.fields) - 1
	if last < 0 || !all(line, isText) {
		return s.fail(400, ErrField, s.pos)
	}
	f := &s.fields[last]
	if isFraming(string(s.head[f.name:f.nameEnd])) || !s.forgives(FaultFold) {
		return s.fail(400, ErrField, s.pos)
	}
	f.valueEnd = int32(s.pos + len(bytes.TrimRight(line, " \t")))
	return nil
}

// isFraming reports whether a field of that name says where the message ends.
func isFraming(name string) bool {
	return equalFold(name, "Content-Length") || equalFold(name, "Transfer-Encoding")
}

// isText8 reports whether b holds no control characters but tabs, eight bytes at
// a time.
func isText8(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		low := x - 0x20*ones          // borrows where a byte is below 0x20
		del := (x ^ 0x7f*ones) - ones // and where one is 0x7f
		if (low&^x|del&^(x^0x7f*ones))&high != 0 && !all(b[:8], isText) {
			return false
		}
		b = b[8:]
	}
	return all(b, isText)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// header cuts the fields out of the head.
func (s *scanner) header(text string) Header {
	h := make(Header, len(s.fields))
	for i, f := range s.fields {
		h[i] = Field{text[f.name:f.nameEnd], text[f.value:f.valueEnd]}
		if s.faults&FaultFold != 0 {
			h[i].Value = unfold(h[i].Value)
		}
	}
	return h
}

// unfold puts a blank for each line's end with the blanks around it.
func unfold(value string) string {
	lines := strings.Split(value, "\n")
	for i, line := range lines {
		lines[i] = strings.Trim(line, " \t\r")
	}
	return trim(strings.Join(lines, " "))
}

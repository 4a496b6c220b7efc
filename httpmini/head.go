package httpmini

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Limits bound the head of a message and the trailer of its body. A zero field
// has the value given beside it.
type Limits struct {
	Line   int // bytes in a line without its CRLF; 8 KiB
	Fields int // field lines; 100
	Head   int // bytes in all; 32 KiB
}

// ClientLimits are wide enough for what servers answer.
var ClientLimits = Limits{Line: 16 << 10, Fields: 512, Head: 64 << 10}

func (l Limits) orDefault() Limits {
	if l.Line == 0 {
		l.Line = 8 << 10
	}
	if l.Fields == 0 {
		l.Fields = 100
	}
	if l.Head == 0 {
		l.Head = 32 << 10
	}
	return l
}

// A Request is a request as it was read or is to be sent.
type Request struct {
	Method, Target string // Target as it stands in the request line (RFC 9112 §3.2)
	Minor          int    // of the version HTTP/1.x it came with; sent is always 1
	Header         Header
	Body           io.Reader // never nil after ReadRequest; see there
	ContentLength  int64     // in bytes; -1: unknown until the body's end
	Trailer        Header    // the fields after a chunked body, once Body has returned io.EOF
}

// A Response is a response as it was read or is to be sent.
type Response struct {
	Minor         int // of the version HTTP/1.x it came with; sent is always 1
	Status        int
	Reason        string // when sending, "" means StatusText(Status)
	Header        Header
	Body          io.Reader // never nil after ReadResponse
	ContentLength int64     // in bytes; -1: unknown until the body's end
	Trailer       Header    // the fields after a chunked body, once Body has returned io.EOF

	lone bool // nothing can follow it on the connection
}

// ReadRequest reads the head of a request and decides how its body ends
// (RFC 9112 §3, §5, §6.3). One empty line before it is skipped.
//
// It returns io.EOF if the connection ended before anything came,
// io.ErrUnexpectedEOF if it ended within the head, an *Error naming the status to
// answer with if the head breaks a rule or a limit (as soon as that is certain),
// and other errors of br as they are.
//
// Body reads from br what belongs to the request and nothing else. It returns
// io.ErrUnexpectedEOF if the connection ends too early, and an *Error if chunks
// are malformed or the trailer breaks lim.
func ReadRequest(br *bufio.Reader, lim Limits) (*Request, error) {
	s := getScanner(requestHead, lim)
	defer s.release()
	text, err := s.read(br)
	if err != nil {
		return nil, err
	}
	r := &Request{
		Method: text[s.start:s.a],
		Target: text[s.a+1 : s.b],
		Minor:  s.minor,
		Header: s.header(text),
		Body:   noBody{},
	}
	f, err := s.framing(r.Header)
	switch {
	case err != nil:
		return nil, err
	case !validTarget(r.Method, r.Target):
		return nil, &Error{400, ErrTarget}
	case f.hosts > 1, f.hosts == 0 && r.Minor > 0, !validAuthority(f.host, false):
		return nil, &Error{400, ErrHost}
	}
	r.ContentLength = f.length
	if f.length != 0 {
		r.Body = &body{br: br, left: f.length, chunked: f.chunked, lim: lim, trailer: &r.Trailer}
	}
	return r, nil
}

// ReadResponse reads the head of a response to a request with that method and
// decides how its body ends (RFC 9112 §4, §5, §6.3). Interim responses (1xx) are
// returned like others; see ReadFinal.
//
// It returns io.EOF if the connection ended before anything came,
// io.ErrUnexpectedEOF if it ended within the head, an *Error with status 502 if the
// head breaks a rule or a limit, and other errors of br as they are. Body is as
// for ReadRequest; it is empty, whatever the fields say, after HEAD, after a
// successful CONNECT, and for 1xx, 204 and 304.
func ReadResponse(br *bufio.Reader, method string, lim Limits) (*Response, error) {
	s := getScanner(responseHead, lim)
	defer s.release()
	text, err := s.read(br)
	if err != nil {
		return nil, err
	}
	r := &Response{
		Minor:  s.minor,
		Status: s.status,
		Reason: text[s.a:s.b],
		Header: s.header(text),
		Body:   noBody{},
	}
	f, err := s.framing(r.Header)
	if err != nil {
		return nil, err
	}
	r.ContentLength = f.length
	switch {
	case method == "CONNECT" && r.Status/100 == 2, r.Status == 101:
		r.ContentLength, r.lone = 0, true // what follows is another protocol
	case r.Status < 200, r.Status == 204:
		r.ContentLength, r.lone = 0, f.chunked || f.length > 0 // not all servers know that
	case method == "HEAD", r.Status == 304:
		if !f.declared {
			r.ContentLength = -1
		}
	case f.chunked, f.declared:
		if f.length != 0 {
			r.Body = &body{br: br, left: f.length, chunked: f.chunked, client: true, lim: lim, trailer: &r.Trailer}
		}
	default:
		r.ContentLength, r.lone = -1, true
		r.Body = &body{br: br, left: -1, client: true}
	}
	return r, nil
}

// ReadFinal reads responses to a request with that method until one is not an
// interim response, of which it accepts ten. A 101 is final if upgrade says that
// the request asked for it, else an error.
func ReadFinal(br *bufio.Reader, method string, upgrade bool, lim Limits) (*Response, error) {
	for range 11 {
		r, err := ReadResponse(br, method, lim)
		switch {
		case err != nil:
			return nil, err
		case r.Status == 101 && !upgrade:
			return nil, &Error{502, ErrSwitch}
		case r.Status == 101 || r.Status >= 200:
			return r, nil
		}
	}
	return nil, &Error{502, ErrInterim}
}

// AppendHead appends the request line, the fields and the empty line. Control
// characters become spaces and fields with malformed names are left out: use
// Check to be told.
func (r *Request) AppendHead(dst []byte) []byte {
	dst = append(appendClean(dst, r.Method), ' ')
	dst = append(appendClean(dst, r.Target), " HTTP/1.1\r\n"...)
	return append(r.Header.append(dst), '\r', '\n')
}

// Check returns an error if the method, the target or a field cannot be sent as
// it is.
func (r *Request) Check() error {
	switch {
	case !isToken(r.Method):
		return ErrRequestLine
	case r.Target == "" || !all(r.Target, isVisib):
		return ErrTarget
	}
	return r.Header.Check()
}

// AppendHead appends the status line, the fields and the empty line, with the
// same precautions as for a request.
func (r *Response) AppendHead(dst []byte) []byte {
	dst = appendStatusLine(dst, r.Status, r.Reason)
	return append(r.Header.append(dst), '\r', '\n')
}

func appendStatusLine(dst []byte, status int, reason string) []byte {
	if reason == "" {
		reason = StatusText(status)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(strconv.AppendInt(dst, int64(status), 10), ' ')
	return append(appendClean(dst, reason), '\r', '\n')
}

// KeepAlive reports whether the connection can serve another request after this
// one (RFC 9112 §9.3).
func (r *Request) KeepAlive() bool { return keepAlive(r.Minor, r.Header) }

// KeepAlive reports whether the connection can serve another request once the
// body was read to its end (RFC 9112 §9.3).
func (r *Response) KeepAlive() bool { return !r.lone && keepAlive(r.Minor, r.Header) }

func keepAlive(minor int, h Header) bool {
	if h.HasToken("Connection", "close") {
		return false
	}
	return minor > 0 || h.HasToken("Connection", "keep-alive")
}

// Host returns the host, with the port where one is given, that the request is
// for: from the target if that names one, else from the Host field (RFC 9112 §3.3).
func (r *Request) Host() string {
	if r.Method == "CONNECT" {
		return r.Target
	}
	if authority, _, ok := cutAbsolute(r.Target); ok {
		return authority
	}
	return r.Header.Get("Host")
}

// Path returns the path of the target as it came, percent signs and all. It is
// "/" where an absolute target has none, and "" for CONNECT and for OPTIONS *.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.pathAndQuery(), "?")
	return path
}

// Query returns what follows the first question mark of the target.
func (r *Request) Query() string {
	_, query, _ := strings.Cut(r.pathAndQuery(), "?")
	return query
}

func (r *Request) pathAndQuery() string {
	if strings.HasPrefix(r.Target, "/") {
		return r.Target
	}
	_, rest, ok := cutAbsolute(r.Target)
	if ok && !strings.HasPrefix(rest, "/") {
		return "/" + rest
	}
	return rest
}

// cutAbsolute splits a target in absolute form (RFC 9112 §3.2.2) into authority
// and the rest. Other schemes than http and https are none of ours.
func cutAbsolute(target string) (authority, rest string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return "", "", false
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:], true
	}
	return rest, "", true
}

// validTarget accepts the form of request-target that belongs to the method
// (RFC 9112 §3.2).
func validTarget(method, target string) bool {
	if method == "CONNECT" {
		return validAuthority(target, true)
	}
	if target == "*" {
		return method == "OPTIONS"
	}
	path := target
	if target == "" || target[0] != '/' {
		authority, rest, ok := cutAbsolute(target)
		if !ok || authority == "" || !validAuthority(authority, false) {
			return false
		}
		path = rest
	}
	return strings.IndexByte(path, '#') < 0 && validEscapes(path)
}

func validEscapes(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return true
		}
		if len(s) < i+3 || !all(s[i+1:i+3], isHex) {
			return false
		}
		s = s[i+3:]
	}
}

// validAuthority accepts host [":" port] without user information
// (RFC 3986 §3.2). The empty one is valid: a URI without authority has an empty
// Host field (RFC 9112 §3.2).
func validAuthority(s string, needPort bool) bool {
	host, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port, hasPort = s[:i], s[i+1:], true
	}
	if hasPort && (host == "" || !validPort(port)) || needPort && port == "" {
		return false
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		return strings.HasSuffix(host, "]") && err == nil && addr.Is6() && addr.Zone() == ""
	}
	return all(host, isReg) && validEscapes(host)
}

func validPort(s string) bool {
	if s == "" {
		return true
	}
	n, err := strconv.ParseUint(s, 10, 16) // refuses signs
	return err == nil && n <= 65535
}

// framing is what the fields say about the message's end, and the Host.
type framing struct {
	length   int64 // -1: chunked
	declared bool  // by Content-Length
	chunked  bool

	hosts int
	host  string
}

// framing applies RFC 9112 §6.3 and refuses everything that section warns of.
func (s *scanner) framing(h Header) (f framing, err error) {
	codings, lengths := 0, 0
	var coding, length string
	for i := range h {
		switch name := h[i].Name; len(name) {
		case len("Host"):
			if equalFold(name, "Host") {
				f.hosts, f.host = f.hosts+1, h[i].Value
			}
		case len("Content-Length"):
			if equalFold(name, "Content-Length") {
				lengths, length = lengths+1, h[i].Value
			}
		case len("Transfer-Encoding"):
			if equalFold(name, "Transfer-Encoding") {
				codings, coding = codings+1, h[i].Value
			}
		}
	}
	switch {
	case codings > 0 && lengths > 0:
		return f, s.fail(400, ErrTwoLengths)
	case codings > 1, codings == 1 && s.minor == 0:
		return f, s.fail(400, ErrTransferEncoding)
	case codings == 1:
		f.length, f.chunked = -1, true
		return f, s.checkCoding(coding)
	case lengths == 0:
		return f, nil
	}
	f.declared = true
	n, err := strconv.ParseUint(length, 10, 63) // refuses signs, underscores and 0x
	if err != nil || lengths > 1 {
		return f, s.fail(400, ErrContentLength)
	}
	f.length = int64(n)
	return f, nil
}

// checkCoding accepts the one transfer coding that needs no decompression.
// Others are unknown (501), but wrongly placed ones are broken (400).
func (s *scanner) checkCoding(list string) error {
	unknown := false
	for last := false; !last; {
		coding, rest, more := strings.Cut(list, ",")
		coding, list, last = trim(coding), rest, !more
		switch {
		case coding == "", equalFold(coding, "chunked") && !last:
			return s.fail(400, ErrTransferEncoding)
		case !equalFold(coding, "chunked"):
			unknown = true
		}
	}
	if unknown {
		return s.fail(501, ErrCoding)
	}
	return nil
}

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

func (s *scanner) release() { scanners.put(s) }

func (s *scanner) fail(status int, err error) error {
	if s.client {
		status = 502
	}
	return &Error{status, err}
}

// read takes a head from br, and not a byte more.
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
			return "", err
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
			return "", err
		}
	}
}

// scan goes on where it stopped in b, which is all that has come of the head, and
// returns the head's length once that is known.
func (s *scanner) scan(b []byte) (n int, err error) {
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
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return 0, s.fail(400, ErrLineEnd)
		}
		done, err := s.line(line[:len(line)-1])
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
		return s.fail(414, ErrLineTooLong)
	case n > s.lim.Line:
		return s.fail(431, ErrLineTooLong)
	case total > s.lim.Head:
		return s.fail(431, ErrHeadTooLarge)
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
			return s.fail(400, ErrRequestLine)
		}
	}
	return nil
}

func (s *scanner) notHTTP(line []byte) error {
	if len(line) >= 5 && string(line[:5]) == "HTTP/" {
		return s.fail(502, ErrVersion)
	}
	return s.fail(502, ErrNotHTTP)
}

// line takes one line without its CRLF.
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
		return s.fail(400, ErrRequestLine)
	}
	target := bytes.IndexByte(line[method+1:], ' ')
	if target <= 0 {
		return s.fail(400, ErrRequestLine)
	}
	target += method + 1
	v := line[target+1:]
	if len(v) != len(version) || string(v[:5]) != "HTTP/" || !isDigit(v[5]) || v[6] != '.' || !isDigit(v[7]) {
		return s.fail(400, ErrRequestLine)
	}
	if v[5] != '1' || v[7] > '1' {
		return s.fail(505, ErrVersion)
	}
	s.a, s.b, s.minor = s.pos+method, s.pos+target, int(v[7]-'0')
	return nil
}

// statusLine parses HTTP-version SP status-code [SP reason-phrase]
// (RFC 9112 §4): the reason stands between a and b.
func (s *scanner) statusLine(line []byte) error {
	const prefix = "HTTP/1.x 200"
	if len(line) < len("HTTP/1.x") || !isDigit(line[7]) {
		return s.fail(502, ErrStatusLine)
	}
	if line[7] > '1' {
		return s.fail(502, ErrVersion)
	}
	if len(line) < len(prefix) || line[8] != ' ' || line[9] == '0' ||
		!isDigit(line[9]) || !isDigit(line[10]) || !isDigit(line[11]) {
		return s.fail(502, ErrStatusLine)
	}
	reason := line[len(prefix):]
	if len(reason) > 0 && (reason[0] != ' ' || !all(reason, isText)) {
		return s.fail(502, ErrStatusLine)
	}
	s.minor = int(line[7] - '0')
	s.status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	s.a, s.b = s.pos+min(len(prefix)+1, len(line)), s.pos+len(line)
	return nil
}

// fieldLine parses field-name ":" OWS field-value OWS (RFC 9112 §5). White
// space before the name is a folded line, and as wrong as any before the colon.
func (s *scanner) fieldLine(line []byte) error {
	if len(s.fields) == s.lim.Fields {
		return s.fail(431, ErrTooManyFields)
	}
	name := 0
	for name < len(line) && class[line[name]]&isTchar != 0 {
		name++
	}
	if name == 0 || name == len(line) || line[name] != ':' || !isText8(line[name+1:]) {
		return s.fail(400, ErrField)
	}
	from, to := name+1, len(line)
	for from < to && isSpace(line[from]) {
		from++
	}
	for from < to && isSpace(line[to-1]) {
		to--
	}
	s.fields = append(s.fields, span{int32(s.pos), int32(s.pos + name), int32(s.pos + from), int32(s.pos + to)})
	return nil
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
	}
	return h
}

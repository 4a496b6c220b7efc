package httpmini

import (
	"bufio"
	"io"
	"net"
	"strconv"
)

// Limits bound the head of a message and the trailer of its body. A zero field
// has the value given beside it.
type Limits struct {
	Line   int // bytes in a line without its CRLF; 8 KiB
	Fields int // field lines; 100
	Head   int // bytes in all; 32 KiB

	Strict  bool // a response is judged as a request is: nothing becomes one of its Faults
	Lenient bool // of a request FaultLineEnd is one of its Faults
}

// Faults are what a message was forgiven: the rows of the table at the head of this
// package. Those of its body are there when it was read.
type Faults uint8

const (
	FaultLineEnd Faults = 1 << iota // a line of the head or the trailer ends in LF alone
	FaultFold                       // a value goes on in the next line
	FaultName                       // a field's name is no token or has blanks behind it
	FaultReason                     // nothing stands behind the status code, no blank either
	FaultChunk                      // blanks stand behind the size of a chunk
	FaultLength                     // the same Content-Length twice
)

// Errors returns the rules that were broken.
func (f Faults) Errors() (errs []error) {
	for i, err := range [...]error{ErrLineEnd, ErrFold, ErrField, ErrReason, ErrChunkBlanks, ErrContentLength} {
		if f&(1<<i) != 0 {
			errs = append(errs, err)
		}
	}
	return errs
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
	Minor          int    // of the version HTTP/1.x it came with; not looked at in sending
	HTTP10         bool   // is sent as one of HTTP/1.0; wants a body of known length
	NoHost         bool   // a Client adds no Host field, as RFC 9112 §3.2 demands
	Header         Header
	Body           io.Reader // never nil after ReadRequest; see there
	ContentLength  int64     // in bytes; -1: unknown until the body's end
	Trailer        Header    // the fields after a chunked body, once Body has returned io.EOF
	Raw            string    // the head as it was read, to the empty line; not sent
	Faults         Faults    // what it was forgiven; see Limits.Lenient
	Conn           net.Conn  // what a Server read it from, for its addresses; nil where nobody says

	followed int // redirects on the way to it
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
	Raw           string    // the head as it was read, to the empty line; not sent
	RawTrailer    string    // likewise what came after a chunked body
	Faults        Faults    // what it was forgiven

	lone bool // nothing can follow it on the connection
}

// ReadRequest reads the head of a request and decides how its body ends
// (RFC 9112 §3, §5, §6.3). One empty line before it is skipped.
//
// It returns io.EOF if the connection ended before anything came,
// io.ErrUnexpectedEOF if it ended within the head, an *Error naming the status to
// answer with if the head breaks a rule or a limit (as soon as that is certain),
// with what came, and other errors of br as they are.
//
// Body reads from br what belongs to the request and nothing else. It returns
// io.ErrUnexpectedEOF if the connection ends too early, and an *Error if chunks
// are malformed or the trailer breaks lim.
func ReadRequest(br *bufio.Reader, lim Limits) (*Request, error) {
	r, _, err := readRequest(br, lim)
	return r, err
}

// readRequest is ReadRequest; came is the head, or what came of it.
func readRequest(br *bufio.Reader, lim Limits) (r *Request, came string, err error) {
	s := getScanner(requestHead, lim)
	defer s.release()
	if came, err = s.read(br); err == nil {
		r, err = s.request(br, came)
	}
	if e, ok := err.(*Error); ok {
		e.show(came)
	}
	return r, came, err
}

// request makes a request of its head.
func (s *scanner) request(br *bufio.Reader, text string) (*Request, error) {
	r := &Request{
		Method: text[s.start:s.a],
		Target: text[s.a+1 : s.b],
		Minor:  s.minor,
		Header: s.header(text),
		Body:   noBody{},
		Raw:    text,
		Faults: s.faults,
	}
	f, err := s.framing(r.Header)
	switch {
	case err != nil:
		return nil, err
	case !validTarget(r.Method, r.Target):
		return nil, s.fail(400, ErrTarget, s.a+1)
	case f.hosts > 1, f.hosts == 0 && r.Minor > 0, !validAuthority(f.host, false):
		return nil, s.fail(400, ErrHost, f.hostAt)
	}
	r.ContentLength = f.length
	if f.length != 0 {
		r.Body = &body{br: br, left: f.length, chunked: f.chunked, lim: s.lim, trailer: &r.Trailer}
	}
	return r, nil
}

// ReadResponse reads the head of a response to a request with that method and
// decides how its body ends (RFC 9112 §4, §5, §6.3). Interim responses (1xx) are
// returned like others; see ReadFinal. What it forgives stands in Faults, unless
// lim.Strict.
//
// It returns io.EOF if the connection ended before anything came,
// io.ErrUnexpectedEOF if it ended within the head, an *Error with status 502 if the
// head breaks a rule or a limit, with what came, and other errors of br as they are. Body is as
// for ReadRequest; it is empty, whatever the fields say, after HEAD, after a
// successful CONNECT, and for 1xx, 204 and 304.
func ReadResponse(br *bufio.Reader, method string, lim Limits) (*Response, error) {
	r, _, err := readResponse(br, method, lim)
	return r, err
}

// readResponse is ReadResponse; came is the head, or what came of it.
func readResponse(br *bufio.Reader, method string, lim Limits) (r *Response, came string, err error) {
	s := getScanner(responseHead, lim)
	defer s.release()
	if came, err = s.read(br); err == nil {
		r, err = s.response(br, method, came)
	}
	if e, ok := err.(*Error); ok {
		e.show(came)
	}
	return r, came, err
}

// response makes a response of its head.
func (s *scanner) response(br *bufio.Reader, method, text string) (*Response, error) {
	r := &Response{
		Minor:  s.minor,
		Status: s.status,
		Reason: text[s.a:s.b],
		Raw:    text,
		Header: s.header(text),
		Body:   noBody{},
		Faults: s.faults,
	}
	if method == "CONNECT" && r.Status/100 == 2 || r.Status == 101 {
		r.lone = true // what follows is another protocol, whatever the fields say (RFC 9110 §9.3.6)
		return r, nil
	}
	f, err := s.framing(r.Header)
	if err != nil {
		return nil, err
	}
	r.ContentLength, r.Faults = f.length, s.faults
	switch {
	case r.Status < 200, r.Status == 204:
		r.ContentLength, r.lone = 0, f.chunked || f.length > 0 // not all servers know that
	case method == "HEAD", r.Status == 304:
		if !f.declared {
			r.ContentLength = -1
		}
	case f.chunked, f.declared:
		if f.length != 0 {
			r.Body = &body{br: br, left: f.length, chunked: f.chunked, answer: r, lim: s.lim, trailer: &r.Trailer}
		}
	default:
		r.ContentLength, r.lone = -1, true
		r.Body = &body{br: br, left: -1, answer: r}
	}
	return r, nil
}

// ReadFinal reads responses to a request with that method until one is not an
// interim response, of which it accepts ten. A 101 is final if upgrade says that
// the request asked for it, else an error.
func ReadFinal(br *bufio.Reader, method string, upgrade bool, lim Limits) (*Response, error) {
	r, _, err := readFinal(br, method, upgrade, lim, func(*Response) {})
	return r, err
}

// readFinal is ReadFinal; each is told of every head, came is what came of the last one.
func readFinal(br *bufio.Reader, method string, upgrade bool, lim Limits, each func(*Response)) (r *Response, came string, err error) {
	for range 11 {
		if r, came, err = readResponse(br, method, lim); err != nil {
			return nil, came, err
		}
		each(r)
		switch {
		case r.Status == 101 && !upgrade:
			return nil, came, &Error{Status: 502, Err: ErrSwitch, Raw: r.Raw}
		case r.Status == 101 || r.Status >= 200:
			return r, came, nil
		}
	}
	return nil, came, &Error{Status: 502, Err: ErrInterim}
}

// AppendHead appends the request line, the fields and the empty line. Control
// characters become spaces and fields with malformed names are left out: use
// Check to be told.
func (r *Request) AppendHead(dst []byte) []byte {
	dst = append(appendClean(dst, r.Method), ' ')
	version := " HTTP/1.1\r\n"
	if r.HTTP10 {
		version = " HTTP/1.0\r\n"
	}
	dst = append(appendClean(dst, r.Target), version...)
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

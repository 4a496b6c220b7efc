package httpmini

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// feeds are the ways in which the same bytes can come.
var feeds = []struct {
	name string
	br   func(wire string) *bufio.Reader
}{
	{"at once", func(w string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(w), 1<<20) }},
	{"byte by byte", func(w string) *bufio.Reader { return bufio.NewReader(iotest.OneByteReader(strings.NewReader(w))) }},
	{"through 16 bytes", func(w string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(w), 16) }},
	{"EOF with the data", func(w string) *bufio.Reader {
		return bufio.NewReader(iotest.DataErrReader(iotest.HalfReader(strings.NewReader(w))))
	}},
}

// status is what an error asks a server to answer, 0 for others.
func status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

const hostA = "Host: a\r\n\r\n"

// requestVectors are facts about heads and framing. The many bad ones come with
// the server's table.
var requestVectors = []struct {
	name, wire string
	want       Request
	body       string
}{
	{"origin-form (RFC 9112 §3.2.1)", "GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
		Request{Method: "GET", Target: "/where?q=now", Minor: 1, Header: Header{{"Host", "www.example.org"}}}, ""},
	{"absolute-form (RFC 9112 §3.2.2)", "GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\nHost: x\r\n\r\n",
		Request{Method: "GET", Target: "http://www.example.org/pub/WWW/TheProject.html", Minor: 1, Header: Header{{"Host", "x"}}}, ""},
	{"authority-form (RFC 9112 §3.2.3)", "CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
		Request{Method: "CONNECT", Target: "www.example.com:80", Minor: 1, Header: Header{{"Host", "www.example.com"}}}, ""},
	{"asterisk-form (RFC 9112 §3.2.4)", "OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",
		Request{Method: "OPTIONS", Target: "*", Minor: 1, Header: Header{{"Host", "www.example.org:8001"}}}, ""},
	{"HTTP/1.0 needs no Host", "GET / HTTP/1.0\r\n\r\n", Request{Method: "GET", Target: "/", Header: Header{}}, ""},
	{"empty Host (RFC 9112 §3.2)", "GET / HTTP/1.1\r\nHost:\r\n\r\n",
		Request{Method: "GET", Target: "/", Minor: 1, Header: Header{{"Host", ""}}}, ""},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
		Request{Method: "GET", Target: "/", Minor: 1, Header: Header{{"Host", "[::1]:8080"}}}, ""},
	{"escapes", "GET /a%20b%2F HTTP/1.1\r\nHost: a%41%42\r\n\r\n",
		Request{Method: "GET", Target: "/a%20b%2F", Minor: 1, Header: Header{{"Host", "a%41%42"}}}, ""},
	{"a query with percent signs that escape nothing (hw-39)", "GET /?q=100%&b=%zz HTTP/1.1\r\n" + hostA,
		Request{Method: "GET", Target: "/?q=100%&b=%zz", Minor: 1, Header: Header{{"Host", "a"}}}, ""},
	{"empty line before", "\r\nGET / HTTP/1.1\r\n" + hostA, Request{Method: "GET", Target: "/", Minor: 1, Header: Header{{"Host", "a"}}}, ""},
	{"fields in order, case and number kept", "GET / HTTP/1.1\r\nhOST:a\r\nx: \t1 2\t \r\nX:\r\nx:\xff\r\n\r\n",
		Request{Method: "GET", Target: "/", Minor: 1, Header: Header{{"hOST", "a"}, {"x", "1 2"}, {"X", ""}, {"x", "\xff"}}}, ""},
	{"Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		Request{Method: "POST", Target: "/", Minor: 1, Header: Header{{"Host", "a"}, {"Content-Length", "5"}}, ContentLength: 5}, "hello"},
	{"Content-Length: 0", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		Request{Method: "POST", Target: "/", Minor: 1, Header: Header{{"Host", "a"}, {"Content-Length", "0"}}}, ""},
	{"chunks with extensions and a trailer (RFC 9112 §7.1)",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nWiki\r\n7;x;y=\"z \t\xff\"\r\npedia i\r\n00B\r\nn \r\nchunks.\r\n0\r\nX: 1\r\nContent-Length: 3\r\n\r\n",
		Request{Method: "POST", Target: "/", Minor: 1, Header: Header{{"Host", "a"}, {"Transfer-Encoding", "Chunked"}}, ContentLength: -1,
			Trailer: Header{{"X", "1"}, {"Content-Length", "3"}}}, "Wikipedia in \r\nchunks."},
	{"no chunk but the last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000\r\n\r\n",
		Request{Method: "POST", Target: "/", Minor: 1, Header: Header{{"Host", "a"}, {"Transfer-Encoding", "chunked"}}, ContentLength: -1, Trailer: Header{}}, ""},
	{"long head", "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\nA: " + strings.Repeat("b", 8000) + "\r\n" + hostA,
		Request{Method: "GET", Target: "/" + strings.Repeat("a", 8000), Minor: 1, Header: Header{{"A", strings.Repeat("b", 8000)}, {"Host", "a"}}}, ""},
}

func TestReadRequest(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\n"
	for _, tt := range requestVectors {
		for _, feed := range feeds {
			br := feed.br(tt.wire + next)
			r, err := ReadRequest(br, Limits{})
			if err != nil {
				t.Errorf("%s, %s: ReadRequest = %v", tt.name, feed.name, err)
				continue
			}
			body, err := io.ReadAll(r.Body)
			if string(body) != tt.body || err != nil {
				t.Errorf("%s, %s: body %q, %v; want %q", tt.name, feed.name, body, err, tt.body)
			}
			if !strings.HasPrefix(tt.wire, r.Raw) || !strings.HasSuffix(r.Raw, "\r\n\r\n") {
				t.Errorf("%s, %s: head %q", tt.name, feed.name, r.Raw)
			}
			r.Body, r.Raw = nil, ""
			if !reflect.DeepEqual(*r, tt.want) {
				t.Errorf("%s, %s: ReadRequest = %+v, want %+v", tt.name, feed.name, *r, tt.want)
			}
			if rest, _ := io.ReadAll(br); string(rest) != next {
				t.Errorf("%s, %s: left %q, want %q", tt.name, feed.name, rest, next)
			}
		}
	}
}

// Every proper prefix is an end too early, never a message.
func TestReadRequestCut(t *testing.T) {
	for _, tt := range requestVectors {
		if len(tt.wire) > 1000 {
			continue
		}
		for n := range len(tt.wire) {
			r, err := ReadRequest(bufio.NewReader(strings.NewReader(tt.wire[:n])), Limits{})
			if err == nil {
				_, err = io.ReadAll(r.Body)
			}
			want := io.ErrUnexpectedEOF
			if tt.wire[:n] == "" || tt.wire[:n] == "\r\n" { // no request has begun
				want = io.EOF
			}
			if err != want {
				t.Errorf("%s: %q gives %v, want %v", tt.name, tt.wire[:n], err, want)
			}
		}
	}
}

func TestReadRequestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		status     int
		err        error
	}{
		{"no method", " / HTTP/1.1\r\n" + hostA, 400, ErrRequestLine},
		{"method only", "GET\r\n", 400, ErrRequestLine},
		{"two versions", "GET / HTTP/1.1 HTTP/1.1\r\n" + hostA, 400, ErrRequestLine},
		{"version of letters", "GET / HTTP/x.1\r\n" + hostA, 400, ErrRequestLine},
		{"HTTP/3.1", "GET / HTTP/3.1\r\n" + hostA, 505, ErrVersion},
		{"first byte of another protocol", "\x16", 400, ErrRequestLine},
		{"CR that no LF follows", "GET / \r", 0, io.ErrUnexpectedEOF},
		{"CR in the line", "GET / \rx", 400, ErrRequestLine},
		{"two empty lines", "\r\n\r\n", 400, ErrRequestLine},
		{"bare LF before", "\nGET / HTTP/1.1\r\n" + hostA, 400, ErrLineEnd},
		{"OPTIONS of nothing", "OPTIONS http:///x HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"CONNECT without port", "CONNECT a HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"CONNECT without digits", "CONNECT a: HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"CONNECT to a path", "CONNECT /a:80 HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"escape cut short", "GET /%a HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"fragment in absolute form", "GET http://a/#b HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"scheme without host", "GET http:// HTTP/1.1\r\n" + hostA, 400, ErrTarget},
		{"two Hosts, the same", "GET / HTTP/1.0\r\nHost: a\r\n" + hostA, 400, ErrHost},
		{"Host list", "GET / HTTP/1.1\r\nHost: a:1, b\r\n\r\n", 400, ErrHost},
		{"Host of a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400, ErrHost},
		{"Host with sign in its port", "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", 400, ErrHost},
		{"Host with a bad escape", "GET / HTTP/1.1\r\nHost: a%0\r\n\r\n", 400, ErrHost},
		{"Host in UTF-8", "GET / HTTP/1.1\r\nHost: \u00e4\r\n\r\n", 400, ErrHost},
		{"IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", 400, ErrHost},
		{"IPv6 zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", 400, ErrHost},
		{"two brackets", "GET / HTTP/1.1\r\nHost: [::1]]\r\n\r\n", 400, ErrHost},
		{"bytes after the bracket", "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400, ErrHost},
		{"IPv6 without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400, ErrHost},
		{"control character in the eighth byte", "GET / HTTP/1.1\r\nA:1234567\x01234567\r\n" + hostA, 400, ErrField},
		{"DEL in the eighth byte", "GET / HTTP/1.1\r\nA:1234567\x7f1234567\r\n" + hostA, 400, ErrField},
		{"empty coding", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n" + hostA, 400, ErrTransferEncoding},
		{"coding with a parameter", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked;q=1\r\n" + hostA, 501, ErrCoding},
	} {
		for _, feed := range feeds {
			_, err := ReadRequest(feed.br(tt.wire), Limits{})
			if status(err) != tt.status || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s: ReadRequest = %d %v, want %d %v", tt.name, feed.name, status(err), err, tt.status, tt.err)
			}
		}
	}
}

// One more than a limit is too much, the limit itself is not.
func TestLimits(t *testing.T) {
	lim := Limits{Line: 40, Fields: 3, Head: 100}
	for _, tt := range []struct {
		name, wire string
		err        error
		status     int
	}{
		{"line of 40", "GET /" + strings.Repeat("a", 26) + " HTTP/1.1\r\n" + hostA, nil, 0},
		{"line of 41", "GET /" + strings.Repeat("a", 27) + " HTTP/1.1\r\n" + hostA, ErrLineTooLong, 414},
		{"line of 41 without end", "GET /" + strings.Repeat("a", 36), ErrLineTooLong, 414},
		{"bad byte first", "GET /\x00" + strings.Repeat("a", 40), ErrRequestLine, 400},
		{"bad byte behind the limit", "GET /" + strings.Repeat("a", 37) + "\x00", ErrLineTooLong, 414},
		{"field of 40", "GET / HTTP/1.1\r\nA:" + strings.Repeat("b", 38) + "\r\n" + hostA, nil, 0},
		{"field of 41", "GET / HTTP/1.1\r\nA:" + strings.Repeat("b", 39) + "\r\n" + hostA, ErrLineTooLong, 431},
		{"field of 41 without end", "GET / HTTP/1.1\r\nA:" + strings.Repeat("b", 39), ErrLineTooLong, 431},
		{"three fields", "GET / HTTP/1.1\r\nA:\r\nB:\r\n" + hostA, nil, 0},
		{"four fields", "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\n" + hostA, ErrTooManyFields, 431},
		{"head of 100", "GET / HTTP/1.1\r\nA:" + strings.Repeat("b", 36) + "\r\nB:" + strings.Repeat("b", 29) + "\r\n" + hostA, nil, 0},
		{"head of 101", "GET / HTTP/1.1\r\nA:" + strings.Repeat("b", 36) + "\r\nB:" + strings.Repeat("b", 30) + "\r\n" + hostA, ErrHeadTooLarge, 431},
	} {
		for _, feed := range feeds {
			_, err := ReadRequest(feed.br(tt.wire), lim)
			if status(err) != tt.status || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s: ReadRequest = %d %v, want %d %v", tt.name, feed.name, status(err), err, tt.status, tt.err)
			}
		}
	}
}

func TestRequestParts(t *testing.T) {
	for _, tt := range []struct{ method, target, host, path, query string }{
		{"GET", "/a%20b?c?d", "field:1", "/a%20b", "c?d"},
		{"GET", "//x/y", "field:1", "//x/y", ""},
		{"GET", "http://b:80/x?y", "b:80", "/x", "y"},
		{"GET", "HTTPS://b", "b", "/", ""},
		{"GET", "http://b?y/z", "b", "/", "y/z"},
		{"OPTIONS", "*", "field:1", "", ""},
		{"CONNECT", "c:443", "c:443", "", ""},
	} {
		r := Request{Method: tt.method, Target: tt.target, Header: Header{{"host", "field:1"}}}
		if r.Host() != tt.host || r.Path() != tt.path || r.Query() != tt.query {
			t.Errorf("%s %s: host %q, path %q, query %q; want %q, %q, %q", tt.method, tt.target, r.Host(), r.Path(), r.Query(), tt.host, tt.path, tt.query)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for _, tt := range []struct {
		minor int
		value string
		want  bool
	}{
		{1, "", true}, {1, "close", false}, {1, "Upgrade, CLOSE", false}, {1, "keep-alive", true}, {1, "closed", true},
		{0, "", false}, {0, "Keep-Alive", true}, {0, "keep-alive, close", false},
	} {
		h := Header{{"Connection", tt.value}}
		if got := (&Request{Minor: tt.minor, Header: h}).KeepAlive(); got != tt.want {
			t.Errorf("HTTP/1.%d, %q: request keeps alive: %v, want %v", tt.minor, tt.value, got, tt.want)
		}
		if got := (&Response{Minor: tt.minor, Header: h}).KeepAlive(); got != tt.want {
			t.Errorf("HTTP/1.%d, %q: response keeps alive: %v, want %v", tt.minor, tt.value, got, tt.want)
		}
	}
}

// An error of the connection comes out as it is.
func TestReadRequestIO(t *testing.T) {
	broken := errors.New("broken")
	br := bufio.NewReader(io.MultiReader(strings.NewReader("GET / HT"), iotest.ErrReader(broken)))
	if _, err := ReadRequest(br, Limits{}); err != broken {
		t.Errorf("ReadRequest = %v, want %v", err, broken)
	}
}

func TestErrorText(t *testing.T) {
	var err error = &Error{Status: 400, Err: ErrHost}
	if got, want := fmt.Sprint(err), "http: missing, repeated or invalid Host"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestIsText8(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			b := bytes.Repeat([]byte{'a'}, 20)
			b[at] = byte(c)
			if got, want := isText8(b), c == '\t' || c >= 0x20 && c != 0x7f; got != want {
				t.Errorf("isText8 with %#x at %d = %v, want %v", c, at, got, want)
			}
		}
	}
}

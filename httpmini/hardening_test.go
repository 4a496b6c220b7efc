package httpmini

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var rep = strings.Repeat

const (
	get     = "GET / HTTP/1.1\r\nHost: a\r\n"
	post    = "POST / HTTP/1.1\r\nHost: a\r\n"
	chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
)

func numbered(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "a%d: b\r\n", i)
	}
	return s.String()
}

// serverCases are what a client can send, its length, and what must come back:
// the status of each answer; x stands for Connection: close and the end of the
// connection. POST reads the body, except in H116.
var serverCases = []struct {
	id, input, wire string
	length          int
	expect          string
}{
	{"H00", "control: plain GET", get + "\r\n", 27, "200"},
	{"H01", "one CRLF before request line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 29, "200"},
	{"H02", "20 CRLF before request line", rep("\r\n", 20) + get + "\r\n", 67, "400x"},
	{"H03", "trailing space after version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 28, "400x"},
	{"H04", "two spaces between fields", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 28, "400x"},
	{"H05", "TAB as separator", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 27, "400x"},
	{"H06", "HTTP/0.9 simple request", "GET /\r\n", 7, "400x"},
	{"H07", "lower-case protocol name", "GET / http/1.1\r\nHost: a\r\n\r\n", 27, "400x"},
	{"H08", "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 27, "505x"},
	{"H09", "HTTP/2.0 on h1", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 27, "505x"},
	{"H10", "h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, "505x"},
	{"H11", "HTTP/1.1 with extra digit (HTTP/1.10)", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 28, "400x"},
	{"H12", "HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", 28, "400x"},
	{"H13", "NUL in target", "GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n", 30, "400x"},
	{"H14", "raw space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 30, "400x"},
	{"H15", "raw 0xFF in target", "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 28, "400x"},
	{"H16", "bad percent escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 30, "400x"},
	{"H17", "9000-byte target", "GET /" + rep("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", 9027, "414x"},
	{"H18", "1 MiB request line, no CRLF", "GET /" + rep("a", 1<<20), 1048581, "414x"},
	{"H19", "invalid method token (paren)", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "400x"},
	{"H20", "unknown method FOO", "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "501"},
	{"H21", "lower-case method get", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 27, "501"},
	{"H22", "no leading slash target", "GET foo HTTP/1.1\r\nHost: a\r\n\r\n", 29, "400x"},
	{"H23", "GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 27, "400x"},
	{"H24", "absolute-form, Host differs", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 36, "200"},
	{"H25", "absolute-form with userinfo", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 39, "400x"},
	{"H26", "absolute-form, foreign scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 44, "400x"},
	{"H27", "fragment in target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 30, "400x"},
	{"H28", "CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 34, "405x"},
	{"H29", "TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 29, "405"},
	{"H30", "TLS ClientHello on clear port", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + rep("\x00", 160), 171, "400x"},
	{"H31", "missing Host (1.1)", "GET / HTTP/1.1\r\n\r\n", 18, "400x"},
	{"H32", "two Host fields", get + "Host: b\r\n\r\n", 36, "400x"},
	{"H33", "Host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 29, "400x"},
	{"H34", "Host with slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 29, "400x"},
	{"H35", "Host with @", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 29, "400x"},
	{"H36", "Host port out of range", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 33, "400x"},
	{"H37", "Host unclosed bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 30, "400x"},
	{"H38", "space before colon", get + "Foo : bar\r\n\r\n", 38, "400x"},
	{"H39", "leading space on first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 28, "400x"},
	{"H40", "obs-fold", get + "Foo: a\r\n b\r\n\r\n", 39, "400x"},
	{"H41", "header line without colon", get + "Foo\r\n\r\n", 32, "400x"},
	{"H42", "empty header name", get + ": v\r\n\r\n", 32, "400x"},
	{"H43", "NUL in value", get + "Foo: a\x00b\r\n\r\n", 37, "400x"},
	{"H44", "bare CR in value", get + "Foo: a\rb\r\n\r\n", 37, "400x"},
	{"H45", "bare LF ends a header (smuggled TE)", post + "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 66, "400x"},
	{"H46", "all lines end in bare LF", "GET / HTTP/1.1\nHost: a\n\n", 24, "400x"},
	{"H47", "DEL in value", get + "Foo: a\x7fb\r\n\r\n", 37, "400x"},
	{"H48", "ESC in value", get + "Foo: a\x1b[2Jb\r\n\r\n", 40, "400x"},
	{"H49", "obs-text 0xFF in value", get + "Foo: a\xffb\r\n\r\n", 37, "200"},
	{"H50", "0xFF in name", get + "F\xffo: a\r\n\r\n", 35, "400x"},
	{"H51", "underscore/odd token name", get + "X_Y!#$: a\r\n\r\n", 38, "200"},
	{"H52", "header block ends CR CR LF", get + "\r\r\n", 28, "400x"},
	{"H53", "101 header fields", get + numbered(101) + "\r\n", 826, "431x"},
	{"H54", "3000 header fields", get + rep("a: b\r\n", 3000) + "\r\n", 18027, "431x"},
	{"H55", "one 16 KiB header line", get + "a: " + rep("b", 16<<10) + "\r\n\r\n", 16416, "431x"},
	{"H56", "70 KiB of headers", get + rep("a: "+rep("b", 1000)+"\r\n", 70) + "\r\n", 70377, "431x"},
	{"H57", "2 MiB of headers", get + rep("a: "+rep("b", 1000)+"\r\n", 2100) + "\r\n", 2110527, "431x"},
	{"H58", "CL twice, same", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 71, "400x"},
	{"H59", "CL twice, differ", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 72, "400x"},
	{"H60", "CL list 5, 5", post + "Content-Length: 5, 5\r\n\r\nhello", 55, "400x"},
	{"H61", "CL +5", post + "Content-Length: +5\r\n\r\nhello", 53, "400x"},
	{"H62", "CL -1", post + "Content-Length: -1\r\n\r\nhello", 53, "400x"},
	{"H63", "CL 0x5", post + "Content-Length: 0x5\r\n\r\nhello", 54, "400x"},
	{"H64", "CL 5_0", post + "Content-Length: 5_0\r\n\r\nhello", 54, "400x"},
	{"H65", "CL empty", post + "Content-Length: \r\n\r\nhello", 51, "400x"},
	{"H66", "CL 2^64", post + "Content-Length: 18446744073709551616\r\n\r\nhello", 71, "400x"},
	{"H67", "CL 2^63", post + "Content-Length: 9223372036854775808\r\n\r\nhello", 70, "400x"},
	{"H68", "CL 05 (leading zero)", post + "Content-Length: 05\r\n\r\nhello", 53, "200"},
	{"H69", "CL 5 with inner space", post + "Content-Length: 5 0\r\n\r\nhello", 54, "400x"},
	{"H70", "CL 1e1", post + "Content-Length: 1e1\r\n\r\nhello", 54, "400x"},
	{"H71", "CL with VT", post + "Content-Length: \x0b5\r\n\r\nhello", 53, "400x"},
	{"H72", "CL then TE chunked", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 130, "400x"},
	{"H74", "TE twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 89, "400x"},
	{"H75", "TE chunked, chunked", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 70, "400x"},
	{"H76", "TE identity", post + "Transfer-Encoding: identity\r\n\r\n", 57, "501x"},
	{"H77", "TE gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 67, "501x"},
	{"H78", "TE chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 71, "400x"},
	{"H79", "TE ,chunked", post + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 62, "400x"},
	{"H80", "TE \"chunked\"", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 63, "501x"},
	{"H81", "TE VT chunked", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 62, "400x"},
	{"H83", "TE cHuNkEd (case)", post + "Transfer-Encoding: cHuNkEd\r\n\r\n0\r\n\r\n", 61, "200"},
	{"H84", "TE empty + CL", post + "Transfer-Encoding: \r\nContent-Length: 5\r\n\r\nhello", 73, "400x"},
	{"H85", "TE chunked on HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 61, "400x"},
	{"H86", "TE name with space", post + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello", 81, "400x"},
	{"H87", "chunk size 0x5", chunked + "0x5\r\nhello\r\n0\r\n\r\n", 73, "400x"},
	{"H88", "chunk size +5", chunked + "+5\r\nhello\r\n0\r\n\r\n", 72, "400x"},
	{"H89", "chunk size -5", chunked + "-5\r\nhello\r\n0\r\n\r\n", 72, "400x"},
	{"H90", "chunk size leading space", chunked + " 5\r\nhello\r\n0\r\n\r\n", 72, "400x"},
	{"H91", "chunk size trailing space", chunked + "5 \r\nhello\r\n0\r\n\r\n", 72, "400x"},
	{"H92", "chunk size empty", chunked + "\r\nhello\r\n0\r\n\r\n", 70, "400x"},
	{"H94", "chunk size 2^63", chunked + "8000000000000000\r\nhello", 79, "413x"},
	{"H95", "20 leading zeros", chunked + "00000000000000000005\r\nhello\r\n0\r\n\r\n", 90, "400x"},
	{"H96", "chunk size line bare LF", chunked + "5\nhello\r\n0\r\n\r\n", 70, "400x"},
	{"H97", "chunk data bare LF", chunked + "5\r\nhello\n0\r\n\r\n", 70, "400x"},
	{"H98", "chunk data overrun (5 says, 6 sent)", chunked + "5\r\nhello!\r\n0\r\n\r\n", 72, "400x"},
	{"H99", "CR inside chunk-ext", chunked + "5;a\r=b\r\nhello\r\n0\r\n\r\n", 76, "400x"},
	{"H100", "LF inside chunk-ext", chunked + "5;a\n=b\r\nhello\r\n0\r\n\r\n", 76, "400x"},
	{"H101", "plain chunk-ext", chunked + "5;a=b\r\nhello\r\n0\r\n\r\n", 75, "200"},
	{"H102", "5000-byte chunk-ext", chunked + "5;" + rep("a", 5000) + "\r\nhello\r\n0\r\n\r\n", 5072, "400x"},
	{"H105", "trailer with bad name", chunked + "0\r\nA B: c\r\n\r\n", 69, "400x"},
	{"H106", "trailer Content-Length", chunked + "0\r\nContent-Length: 99\r\n\r\n", 81, "200"},
	{"H107", "70 KiB of trailers", chunked + "0\r\n" + rep("a: "+rep("b", 1000)+"\r\n", 70) + "\r\n", 70411, "431x"},
	{"H108", "Expect: 100-continue, body never sent (status line only)", post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 69, "100"},
	{"H109", "Expect: banana", post + "Content-Length: 5\r\nExpect: banana\r\n\r\nhello", 68, "417x"},
	{"H110", "GET with body then next request", get + "Content-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 101, "200+200x"}, // the second request says close
	{"H111", "valid GET then garbage", get + "\r\n\x00\x01garbage\r\n\r\n", 40, "200+400x"},
	{"H112", "3 pipelined GETs", get + "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 104, "200+200+200x"},
	{"H113", "Connection: close then another request", get + "Connection: close\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 96, "200x"},
	{"H114", "Connection: Content-Length (hop abuse)", post + "Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", 80, "200"},
	{"H115", "Upgrade: h2c", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 112, "200"},
	{"H116", "unread body: POST 10 MiB to GET-only handler", post + "Content-Length: 10485760\r\n\r\n" + rep("z", 64<<10), 65590, "405x"},
}

// caseHandler answers as the cases imply.
func caseHandler(x *Exchange) {
	switch x.Request.Method {
	case "GET", "HEAD":
		x.Respond(200, nil, []byte("ok"))
	case "POST":
		if x.Request.ContentLength > 1<<20 {
			x.Respond(405, nil, nil)
			return
		}
		if body, err := io.ReadAll(x.Request.Body); err == nil {
			x.Respond(200, nil, body)
		}
	case "TRACE", "CONNECT":
		x.Respond(405, nil, nil)
	default:
		x.Respond(501, nil, nil)
	}
}

// statuses reads answers until the end and writes them as the cases do.
func statuses(r io.Reader) string {
	br := bufio.NewReader(r)
	var all []string
	for {
		resp, err := http.ReadResponse(br, nil)
		if err == io.EOF || err == io.ErrUnexpectedEOF || err == io.ErrClosedPipe {
			return strings.Join(all, "+")
		}
		if err != nil {
			return strings.Join(append(all, err.Error()), "+")
		}
		status := fmt.Sprint(resp.StatusCode)
		if resp.Close {
			status += "x"
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			status += " " + err.Error()
		}
		all = append(all, status)
	}
}

func TestServerCasesAreWhole(t *testing.T) {
	if len(serverCases) != 112 {
		t.Errorf("%d cases, want 112", len(serverCases))
	}
	for _, tt := range serverCases {
		if len(tt.wire) != tt.length {
			t.Errorf("%s: %d bytes, want %d", tt.id, len(tt.wire), tt.length)
		}
	}
}

func TestServerCases(t *testing.T) {
	for _, tt := range serverCases {
		for _, step := range []int{1 << 30, 1, 7} {
			if !talk(t, tt.wire, step, tt.expect) {
				t.Errorf("%s (%s), %d bytes at a time", tt.id, tt.input, step)
			}
		}
	}
}

// talk sends wire in steps over a pipe and checks the answers. A connection that
// stays open must do so until the client closes it.
func talk(t *testing.T, wire string, step int, expect string) (ok bool) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		logged := 0
		s := &Server{Handler: caseHandler, ErrorLog: func(error) { logged++ }}
		var all sync.WaitGroup
		ended := false
		all.Go(func() { s.ServeConn(server); ended = true })
		all.Go(func() {
			for rest := wire; rest != ""; {
				n := min(step, len(rest))
				if _, err := io.WriteString(client, rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		})
		var got string
		all.Go(func() { got = statuses(client) })
		synctest.Wait()
		closed := ended
		client.Close()
		all.Wait()
		ok = got == expect && closed == strings.HasSuffix(expect, "x") && logged <= 1
		if !ok {
			t.Errorf("answers %q, want %q; closed: %v; logged %d times", got, expect, closed, logged)
		}
	})
	return ok
}

// Over real sockets the last answer must not be lost to a reset.
func TestServerCasesOverTCP(t *testing.T) {
	addr := serve(t, &Server{Handler: caseHandler})
	for _, tt := range serverCases {
		t.Run(tt.id, func(t *testing.T) {
			t.Parallel()
			c := dial(t, addr)
			var sender sync.WaitGroup
			sender.Go(func() {
				io.WriteString(c, tt.wire) // fails where the server ended first
				if !strings.HasSuffix(tt.expect, "x") {
					c.CloseWrite()
				}
			})
			if got := statuses(c); got != tt.expect {
				t.Errorf("%s: answers %q, want %q", tt.input, got, tt.expect)
			}
			c.Close()
			sender.Wait()
		})
	}
}

// serve runs s on a loopback port until the test ends.
func serve(t testing.TB, s *Server) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, s, ln)
}

func serveOn(t testing.TB, s *Server, ln net.Listener) (addr string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ln.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return ln.Addr().String()
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

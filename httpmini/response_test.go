package httpmini

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// responseVectors are answers that a client must take, to the last byte.
var responseVectors = []struct {
	name, method, wire string
	want               Response
	body               string
	alive              bool
}{
	{"Content-Length (RFC 9112 §2.1)", "GET",
		"HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 5\r\n\r\nhello",
		Response{Minor: 1, Status: 200, Reason: "OK", Header: Header{{"Server", "Apache"}, {"Content-Length", "5"}}, ContentLength: 5}, "hello", true},
	{"no reason (HC15)", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		Response{Minor: 1, Status: 200, Header: Header{{"Content-Length", "0"}}, Faults: FaultReason}, "", true},
	{"HD1: no byte of the head changes", "GET", "HTTP/1.1 200\r\nX-A:b\r\nX-B:   c  \r\nContent-Length: 2\r\n\r\nok",
		Response{Minor: 1, Status: 200, Header: Header{{"X-A", "b"}, {"X-B", "c"}, {"Content-Length", "2"}}, ContentLength: 2, Faults: FaultReason}, "ok", true},
	{"empty reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
		Response{Minor: 1, Status: 200, Header: Header{{"Content-Length", "0"}}}, "", true},
	{"reason of words and bytes", "GET", "HTTP/1.1 599 a\tb \xff \r\nContent-Length: 0\r\n\r\n",
		Response{Minor: 1, Status: 599, Reason: "a\tb \xff ", Header: Header{{"Content-Length", "0"}}}, "", true},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
		Response{Status: 200, Reason: "OK", Header: Header{{"Content-Length", "1"}}, ContentLength: 1}, "x", false},
	{"chunks, and a trailer that is none of the header (HC40, GR)", "GET",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 99\r\nSet-Cookie: a=b\r\n\r\n",
		Response{Minor: 1, Status: 200, Reason: "OK", Header: Header{{"Transfer-Encoding", "chunked"}}, ContentLength: -1,
			Trailer: Header{{"Content-Length", "99"}, {"Set-Cookie", "a=b"}}, RawTrailer: "Content-Length: 99\r\nSet-Cookie: a=b\r\n\r\n"}, "hello", true},
	{"HEAD (HC20)", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		Response{Minor: 1, Status: 200, Reason: "OK", Header: Header{{"Content-Length", "5"}}, ContentLength: 5}, "", true},
	{"HEAD of unknown length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n",
		Response{Minor: 1, Status: 200, Reason: "OK", Header: Header{}, ContentLength: -1}, "", true},
	{"304 (HC20)", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		Response{Minor: 1, Status: 304, Reason: "Not Modified", Header: Header{{"Content-Length", "5"}}, ContentLength: 5}, "", true},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", Response{Minor: 1, Status: 204, Reason: "No Content", Header: Header{}}, "", true},
	{"100", "GET", "HTTP/1.1 100 Continue\r\n\r\n", Response{Minor: 1, Status: 100, Reason: "Continue", Header: Header{}}, "", true},
	{"204 with a body (HC20)", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
		Response{Minor: 1, Status: 204, Reason: "No Content", Header: Header{{"Content-Length", "5"}}}, "", false},
	{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		Response{Minor: 1, Status: 101, Reason: "Switching Protocols", Header: Header{{"Upgrade", "x"}}}, "", false},
	{"tunnel (RFC 9112 §6.3)", "CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		Response{Minor: 1, Status: 200, Reason: "OK", Header: Header{{"Content-Length", "5"}}}, "", false},
	{"proxy that refuses", "CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello",
		Response{Minor: 1, Status: 407, Reason: "No", Header: Header{{"Content-Length", "5"}}, ContentLength: 5}, "hello", true},
}

func TestReadResponse(t *testing.T) {
	const next = "HTTP/1.1 200 next\r\n"
	for _, tt := range responseVectors {
		for _, feed := range feeds { // HC42
			br := feed.br(tt.wire + next)
			r, err := ReadResponse(br, tt.method, ClientLimits)
			if err != nil {
				t.Errorf("%s, %s: ReadResponse = %v", tt.name, feed.name, err)
				continue
			}
			body, err := io.ReadAll(r.Body)
			if string(body) != tt.body || err != nil {
				t.Errorf("%s, %s: body %q, %v; want %q", tt.name, feed.name, body, err, tt.body)
			}
			if r.KeepAlive() != tt.alive {
				t.Errorf("%s, %s: KeepAlive = %v, want %v", tt.name, feed.name, r.KeepAlive(), tt.alive)
			}
			if !strings.HasPrefix(tt.wire, r.Raw) || !strings.HasSuffix(r.Raw, "\r\n\r\n") {
				t.Errorf("%s, %s: head %q", tt.name, feed.name, r.Raw)
			}
			r.Body, r.Raw, r.lone = nil, "", false
			if !reflect.DeepEqual(*r, tt.want) {
				t.Errorf("%s, %s: ReadResponse = %+v, want %+v", tt.name, feed.name, *r, tt.want)
			}
			if rest, _ := io.ReadAll(br); string(rest) != next {
				t.Errorf("%s, %s: left %q, want %q", tt.name, feed.name, rest, next)
			}
		}
	}
}

// HC10, HC13, HC19: no proper prefix of an answer is an answer.
func TestReadResponseCut(t *testing.T) {
	for _, tt := range responseVectors {
		for n := range len(tt.wire) {
			for _, feed := range feeds {
				r, err := ReadResponse(feed.br(tt.wire[:n]), tt.method, ClientLimits)
				if err == nil {
					_, err = io.ReadAll(r.Body)
				}
				want := io.ErrUnexpectedEOF
				if n == 0 {
					want = io.EOF
				}
				if err != want {
					t.Errorf("%s, %s: %q gives %v, want %v", tt.name, feed.name, tt.wire[:n], err, want)
				}
			}
		}
	}
}

// Without any length the end of the connection is the end of the body.
func TestUntilClose(t *testing.T) {
	for _, feed := range feeds {
		r, err := ReadResponse(feed.br("HTTP/1.1 200 OK\r\n\r\nhello\r\n"), "GET", ClientLimits)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if string(body) != "hello\r\n" || err != nil || r.ContentLength != -1 || r.KeepAlive() {
			t.Errorf("%s: body %q, %v, length %d, keep alive %v", feed.name, body, err, r.ContentLength, r.KeepAlive())
		}
		if _, err := r.Body.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: read behind the end: %v, want EOF", feed.name, err)
		}
	}
}

func TestReadResponseErrors(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, wire string
		err        error
	}{
		{"length and chunks (HC11)", ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", ErrTwoLengths},
		{"two lengths (HC12)", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", ErrContentLength},
		{"negative length (HC12)", ok + "Content-Length: -3\r\n\r\n", ErrContentLength},
		{"list of lengths (HC12)", ok + "Content-Length: 3, 3\r\n\r\n", ErrContentLength},
		{"length of 64 bits", ok + "Content-Length: 9223372036854775808\r\n\r\n", ErrContentLength},
		{"chunk size of letters (HC13)", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", ErrChunk},
		{"chunk size of 64 bits", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", ErrChunkSize},
		{"LF after the size missing", ok + "Transfer-Encoding: chunked\r\n\r\n1\rx\r\n", ErrChunk},
		{"LF after the chunk missing", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\rx", ErrChunk},
		{"extensions without end", ok + "Transfer-Encoding: chunked\r\n\r\n" + rep("1;"+rep("a", 4000)+"\r\nx\r\n", 5), ErrChunkOverhead},
		{"broken trailer", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA\r\n\r\n", ErrField},
		{"long trailer", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + rep("A: "+rep("b", 10000)+"\r\n", 7), ErrHeadTooLarge},
		{"HTTP/0.9 (HC14)", "<html>hello</html>", ErrNotHTTP},
		{"another protocol", "SSH-2.0-OpenSSH_9.2p1\r\n", ErrNotHTTP},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", ErrVersion},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", ErrVersion},
		{"HTTP/1.x", "HTTP/1.x 200 OK\r\n\r\n", ErrStatusLine},
		{"no status", "HTTP/1.1\r\n\r\n", ErrStatusLine},
		{"no version", "HTTP/1.\r\n\r\n", ErrStatusLine},
		{"2xx (HC14)", "HTTP/1.1 2xx OK\r\n\r\n", ErrStatusLine},
		{"99 (HC14)", "HTTP/1.1 99\r\n\r\n", ErrStatusLine},
		{"099", "HTTP/1.1 099 x\r\n\r\n", ErrStatusLine},
		{"1000 (HC14)", "HTTP/1.1 1000\r\n\r\n", ErrStatusLine},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", ErrStatusLine},
		{"tab before the reason", "HTTP/1.1 200\tOK\r\n\r\n", ErrStatusLine},
		{"escape in the reason", "HTTP/1.1 200 \x1b[2J\r\n\r\n", ErrStatusLine},
		{"empty line before", "\r\n" + ok + "\r\n", ErrStatusLine},
		{"gzip as transfer coding", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ErrCoding},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrTransferEncoding},
		{"head of 400 KiB (HC18)", ok + rep("A: "+rep("b", 4096)+"\r\n", 100) + "\r\n", ErrHeadTooLarge},
		{"6000 fields (HC18)", ok + rep("A: b\r\n", 6000) + "\r\n", ErrTooManyFields},
		{"line of 100 KiB (HC18)", ok + "A: " + rep("b", 100<<10) + "\r\n\r\n", ErrLineTooLong},
		{"status line of 100 KiB", "HTTP/1.1 200 " + rep("b", 100<<10) + "\r\n\r\n", ErrLineTooLong},
		{"Location with CR (HC30)", "HTTP/1.1 302 Found\r\nLocation: /a\rb\r\n\r\n", ErrField},
		{"Location with LF (HC30)", "HTTP/1.1 302 Found\r\nLocation: /a\nb\r\n\r\n", ErrField},
		{"Location with NUL (HC30)", "HTTP/1.1 302 Found\r\nLocation: /a\x00b\r\n\r\n", ErrField},
	} {
		for _, feed := range feeds {
			r, err := ReadResponse(feed.br(tt.wire), "GET", ClientLimits)
			if err == nil {
				_, err = io.ReadAll(r.Body)
			}
			if status(err) != 502 || !errors.Is(err, tt.err) {
				t.Errorf("%s, %s: %v, want %v with status 502", tt.name, feed.name, err, tt.err)
			}
		}
	}
}

// A field that is only odd is kept for who knows what to do with it (HC30).
func TestLocationKept(t *testing.T) {
	for _, location := range []string{"/a b", "", "http://u:p@h/"} {
		r, err := ReadResponse(bufio.NewReader(strings.NewReader("HTTP/1.1 302 Found\r\nLocation: "+location+"\r\n\r\n")), "GET", ClientLimits)
		if err != nil || r.Header.Get("Location") != location {
			t.Errorf("Location %q: %v, %v", location, r, err)
		}
	}
}

func TestReadFinal(t *testing.T) {
	const interim, switching, final = "HTTP/1.1 103 Early\r\nA: b\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n"
	for _, tt := range []struct {
		name, wire string
		upgrade    bool
		status     int
		err        error
	}{
		{"at once", final, false, 204, nil},
		{"after ten", rep(interim, 10) + final, false, 204, nil},
		{"after eleven (HC16)", rep(interim, 11) + final, false, 0, ErrInterim},
		{"101 unasked (HC17)", switching, false, 0, ErrSwitch},
		{"101 asked for", interim + switching, true, 101, nil},
		{"never", interim, false, 0, io.EOF},
	} {
		r, err := ReadFinal(bufio.NewReader(strings.NewReader(tt.wire)), "GET", tt.upgrade, ClientLimits)
		if !errors.Is(err, tt.err) || err == nil && r.Status != tt.status {
			t.Errorf("%s: ReadFinal = %+v, %v; want %d, %v", tt.name, r, err, tt.status, tt.err)
		}
	}
}

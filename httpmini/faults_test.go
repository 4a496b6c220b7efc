package httpmini

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const headOK, chunkedOK = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

// forgiven are the rows of the table at the head of the package: what a client takes,
// with what it makes of it, and what a strict one and a server say of the same.
var forgiven = []struct {
	name, wire string
	faults     Faults
	header     Header
	body       string
	err        error  // of a strict reader
	request    string // the same fault in a request
}{
	{"LF1: a head with LF alone (§2.2)", "HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello", FaultLineEnd,
		Header{{"Content-Type", "text/plain"}}, "hello", ErrLineEnd, "GET / HTTP/1.1\nHost: a\n\n"},
	{"LF1: LF beside CRLF", headOK + "A: b\nContent-Length: 2\r\n\nok", FaultLineEnd,
		Header{{"A", "b"}, {"Content-Length", "2"}}, "ok", ErrLineEnd, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
	{"a trailer with LF alone", chunkedOK + "2\r\nok\r\n0\r\nX: y\n\n", FaultLineEnd,
		Header{{"Transfer-Encoding", "chunked"}}, "ok", ErrLineEnd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n"},
	{"OF1: a folded field (§5.2)", headOK + "X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", FaultFold,
		Header{{"X", "a b"}, {"Content-Length", "2"}}, "ok", ErrField, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"},
	{"folds with nothing in them", headOK + "X:\r\n\ta \r\n \t\r\n  b\r\nY: \t\r\n \r\nContent-Length: 0\r\n\r\n", FaultFold,
		Header{{"X", "a  b"}, {"Y", ""}, {"Content-Length", "0"}}, "", ErrField, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n \r\n\r\n"},
	{"a blank before the colon (§5.1)", headOK + "Server \t: x\r\nContent-Length: 0\r\n\r\n", FaultName,
		Header{{"Server", "x"}, {"Content-Length", "0"}}, "", ErrField, "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"},
	{"names that are no tokens", headOK + "Set Cookie: a\r\nX/Y(\xff): b\r\nContent-Length: 0\r\n\r\n", FaultName,
		Header{{"Set Cookie", "a"}, {"X/Y(\xff)", "b"}, {"Content-Length", "0"}}, "", ErrField, "GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n"},
	{"CH1: blanks behind the sizes of chunks (§7.1)", chunkedOK + "2   \r\nok\r\n0 \t \r\n\r\n", FaultChunk,
		Header{{"Transfer-Encoding", "chunked"}}, "ok", ErrChunk, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n"},
	{"CH3: a blank before an extension (§7.1.1)", chunkedOK + "2 ;a=b\r\nok\r\n0\r\n\r\n", FaultChunk,
		Header{{"Transfer-Encoding", "chunked"}}, "ok", ErrChunk, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a\r\n"},
	{"the same length twice (§6.3)", headOK + "Content-Length: 2\r\ncontent-length: 2\r\n\r\nok", FaultLength,
		Header{{"Content-Length", "2"}, {"content-length", "2"}}, "ok", ErrContentLength, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
}

func TestForgiven(t *testing.T) {
	for _, tt := range forgiven {
		for _, feed := range feeds {
			r, err := ReadResponse(feed.br(tt.wire), "GET", ClientLimits)
			if err != nil {
				t.Errorf("%s, %s: %v", tt.name, feed.name, err)
				continue
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != tt.body || !reflect.DeepEqual(r.Header, tt.header) || r.Faults != tt.faults {
				t.Errorf("%s, %s: %q, body %q, faults %v, %v; want %q, %q, %v", tt.name, feed.name, r.Header, body, r.Faults.Errors(), err, tt.header, tt.body, tt.faults.Errors())
			}
			if !strings.HasPrefix(tt.wire, r.Raw) || r.Faults&FaultFold != 0 && !strings.Contains(r.Raw, "\n ") {
				t.Errorf("%s, %s: the head came out as %q", tt.name, feed.name, r.Raw)
			}
		}
		strict := ClientLimits
		strict.Strict = true
		r, err := ReadResponse(bufio.NewReader(strings.NewReader(tt.wire)), "GET", strict)
		if err == nil {
			_, err = io.ReadAll(r.Body)
		}
		if status(err) != 502 || !errors.Is(err, tt.err) {
			t.Errorf("%s, strict: %v, want %v", tt.name, err, tt.err)
		}
		q, err := ReadRequest(bufio.NewReader(strings.NewReader(tt.request)), Limits{})
		if err == nil {
			_, err = io.ReadAll(q.Body)
		}
		if status(err) != 400 || !errors.Is(err, tt.err) {
			t.Errorf("%s: the request gives %v, want %v", tt.name, err, tt.err)
		}
	}
}

// What two parsers would see another end in is forgiven to nobody.
func TestNotForgiven(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		err        error
		bytes      string
	}{
		{"a folded length", headOK + "Content-Length: 1\r\n 2\r\n\r\n", ErrField, " 2\r\n"},
		{"a length behind a fold", headOK + "Content-Length:\r\n 2\r\n\r\nok", ErrField, " 2\r\n"},
		{"a folded coding", headOK + "transfer-encoding:\n chunked\r\n\r\n", ErrField, " chunked\r\n"},
		{"a length with a blank before the colon", headOK + "Content-Length : 2\r\n\r\nok", ErrField, " : 2\r\n"},
		{"a coding likewise", headOK + "Transfer-Encoding\t: chunked\r\n\r\n", ErrField, "\t: chunked\r\n"},
		{"a fold of nothing (§2.2)", headOK + " X: y\r\n\r\n", ErrField, " X: y\r\n"},
		{"no colon", headOK + "Server\r\n\r\n", ErrField, "\r\n"},
		{"no name", headOK + ": x\r\n\r\n", ErrField, ": x\r\n"},
		{"a control character in a fold", headOK + "A: b\r\n c\x00\r\n\r\n", ErrField, " c\x00\r\n"},
		{"CR alone", headOK + "A: b\rContent-Length: 2\r\n\r\n", ErrField, "\rContent-Length: 2\r\n"},
		{"CR CR LF", headOK + "A: b\r\n\r\r\n", ErrField, "\r\r\n"},
		{"two lengths", headOK + "Content-Length: 2\r\nContent-Length: 3\n\n", ErrContentLength, "Content-Length: 3\n"},
		{"one length in two ways", headOK + "Content-Length: 2\r\nContent-Length: 02\n\n", ErrContentLength, "Content-Length: 02\n"},
		{"a chunk's line with LF alone", chunkedOK + "2\nok\r\n0\r\n\r\n", ErrChunk, "\n"},
		{"chunk data with LF alone", chunkedOK + "2\r\nok\n0\r\n\r\n", ErrChunk, "\n"},
		{"a blank before a chunk's size", chunkedOK + " 2\r\nok\r\n", ErrChunk, " 2\r\n"},
		{"a blank in a chunk's size", chunkedOK + "2 2\r\nok\r\n", ErrChunk, "2\r\n"},
		{"blanks without end", chunkedOK + "2" + strings.Repeat(" ", 5000) + "\r\nok\r\n0\r\n\r\n", ErrChunk, strings.Repeat(" ", 64)},
	} {
		r, err := ReadResponse(bufio.NewReader(strings.NewReader(tt.wire)), "GET", ClientLimits)
		if err == nil {
			_, err = io.ReadAll(r.Body)
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, tt.err) || e.Bytes != tt.bytes {
			t.Errorf("%s: %v, %+v; want %v because of %q", tt.name, err, e, tt.err, tt.bytes)
		}
	}
}

// What stands in the answer that makes a connection another's says nothing of a body
// (RFC 9110 §9.3.6), whatever it is.
func TestFramingOfTunnels(t *testing.T) {
	const fields = "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		method, wire string
	}{
		{"CONNECT", headOK + fields},
		{"GET", "HTTP/1.1 101 Switching Protocols\r\n" + fields},
	} {
		r, err := ReadResponse(bufio.NewReader(strings.NewReader(tt.wire)), tt.method, ClientLimits)
		if err != nil || r.ContentLength != 0 || r.Body != (noBody{}) || r.KeepAlive() {
			t.Errorf("%s, %q: %+v, %v; want no body", tt.method, tt.wire, r, err)
		}
	}
}

// D5, GV: what cannot be read comes out as it came, with the bytes that are wrong.
func TestEvidence(t *testing.T) {
	long := "GET /" + strings.Repeat("a", 9000)
	for _, tt := range []struct {
		wire   string
		offset int
		bytes  string
		err    error
	}{
		{"POST /h HTTP/1.1\nHost: localhost\nContent-Length: 1\n\na", 16, "\n", ErrLineEnd},
		{"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 6, " b HTTP/1.1\r\n", ErrRequestLine},
		{"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 27, " colon\r\n", ErrField},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", 28, "\x1b[2J\r\n", ErrField},
		{"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 4, "/%zz HTTP/1.1\r\n", ErrTarget},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nHost: b\r\n\r\n", 31, "Host: b\r\n", ErrHost},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 45, "Transfer-Encoding: chunked\r\n", ErrTwoLengths},
		{"GET / HTTP/3.0\r\n", 6, "HTTP/3.0\r\n", ErrVersion},
		{"\x16\x03\x01\x02\x00\x01\n\x00", 0, "\x16\x03\x01\x02\x00\x01\n", ErrRequestLine},
		{long, 0, long[:64], ErrLineTooLong},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("A: "+strings.Repeat("b", 5000)+"\r\n", 8), 0, "", ErrHeadTooLarge},
	} {
		for _, size := range []int{16, 1 << 20} {
			_, err := ReadRequest(bufio.NewReaderSize(strings.NewReader(tt.wire), size), Limits{})
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Err != tt.err || !strings.HasPrefix(tt.wire, e.Raw) || len(e.Raw) > 32<<10 {
				t.Fatalf("%.40q: %v, %d bytes came", tt.wire, err, len(e.Raw))
			}
			if size > 16 && e.Raw != tt.wire[:min(len(tt.wire), 32<<10)] {
				t.Errorf("%.40q came as %.100q", tt.wire, e.Raw)
			}
			if size > 16 && tt.bytes != "" && (e.Offset != tt.offset || e.Bytes != tt.bytes) {
				t.Errorf("%.40q: wrong is %q at %d; want %q at %d", tt.wire, e.Bytes, e.Offset, tt.bytes, tt.offset)
			}
			if !strings.HasPrefix(e.Raw[e.Offset:], e.Bytes) || len(e.Bytes) > 64 {
				t.Errorf("%.40q: %q is not at %d", tt.wire, e.Bytes, e.Offset)
			}
		}
	}
}

// D5: the server hands out every request that no handler gets to see, once.
func TestOnBadRequest(t *testing.T) {
	type bad struct {
		raw string
		err error
	}
	for _, tt := range []struct {
		name, wire string
		end        bool // of the connection
		want       []bad
	}{
		{"good", "GET / HTTP/1.1\r\n" + hostA, false, nil},
		{"LF alone", "POST /h HTTP/1.1\nHost: a\n\nx", false, []bad{{"POST /h HTTP/1.1\nHost: a\n\nx", ErrLineEnd}}},
		{"behind a good one", "GET / HTTP/1.1\r\n" + hostA + "x\r\n", false, []bad{{"x\r\n", ErrRequestLine}}},
		{"another expectation", "GET / HTTP/1.1\r\nExpect: x\r\n" + hostA, false, []bad{{"GET / HTTP/1.1\r\nExpect: x\r\n" + hostA, ErrExpect}}},
		{"half a head", "GET / HTTP/1.1\r\nHo", true, []bad{{"GET / HTTP/1.1\r\nHo", io.ErrUnexpectedEOF}}},
		{"no more of it", "GET / HTTP/1.1\r\nHo", false, []bad{{"GET / HTTP/1.1\r\nHo", os.ErrDeadlineExceeded}}},
		{"nothing", "", true, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []bad
			s := &Server{OnBadRequest: func(peer net.Addr, raw string, err error) {
				if peer == nil {
					t.Errorf("%s: no peer", tt.name)
				}
				got = append(got, bad{raw, err})
			}}
			client, server := net.Pipe()
			go io.Copy(io.Discard, client)
			go s.ServeConn(server)
			client.Write([]byte(tt.wire))
			if tt.end {
				client.Close()
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if !slices.EqualFunc(got, tt.want, func(a, b bad) bool { return a.raw == b.raw && errors.Is(a.err, b.err) }) {
				t.Errorf("%s: told of %+v, want %+v", tt.name, got, tt.want)
			}
			client.Close()
		})
	}
}

// GV: a client hands out what came of a head, also where that is no head or none yet.
func TestHeadOfNoAnswer(t *testing.T) {
	for _, tt := range []struct {
		wire, raw string
		err       error
	}{
		{headOK + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", headOK + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", ErrContentLength},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n", ErrNotHTTP},
		{"\x15\x03\x01\x00\x02\x02\x46", "\x15\x03\x01\x00\x02\x02\x46", ErrSpeaksTLS},
		{headOK + "Half: a h", headOK + "Half: a h", io.ErrUnexpectedEOF},
		{"HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", ErrSwitch},
	} {
		perform(t, func(s *stage) {
			_, err := s.c.Do(context.Background(), "http://a/", &Request{})
			raw := ""
			if e, ok := errors.AsType[*Error](err); ok {
				raw = e.Raw
			} else if e, ok := errors.AsType[*OpError](err); ok {
				raw = e.Raw
			}
			if !errors.Is(err, tt.err) || raw != tt.raw {
				t.Errorf("%q: %v with %q, want %v with %q", tt.wire, err, raw, tt.err, tt.raw)
			}
		}, func(p *part) {
			p.request()
			p.send(tt.wire)
		})
	}
}

package httpmini

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// A conversation is a client's end of a served pipe, under a fake clock.
type conversation struct {
	t      *testing.T
	client net.Conn
	conn   *pipeConn

	mu     sync.Mutex
	got    bytes.Buffer
	closed bool // by the server
	logged []error
}

// pipeConn is the server's end. It notes what a socket would be told.
type pipeConn struct {
	net.Conn
	writes, lingers int
}

func (p *pipeConn) Write(b []byte) (int, error) { p.writes++; return p.Conn.Write(b) }
func (p *pipeConn) SetLinger(sec int) error     { p.lingers++; return nil }

// converse runs talk against s. All that was started has ended when it returns.
func converse(t *testing.T, s *Server, talk func(k *conversation)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		k := &conversation{t: t, client: client, conn: &pipeConn{Conn: server}}
		s.ErrorLog = func(err error) { k.logged = append(k.logged, err) }
		var all sync.WaitGroup
		all.Go(func() { s.ServeConn(k.conn) })
		all.Go(k.receive)
		talk(k)
		client.Close()
		all.Wait()
	})
}

func (k *conversation) receive() {
	b := make([]byte, 4096)
	for {
		n, err := k.client.Read(b)
		k.mu.Lock()
		k.got.Write(b[:n])
		k.closed = err != nil
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (k *conversation) send(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k.client, s); err != nil {
		k.t.Errorf("send %.40q: %v", s, err)
	}
}

// want compares all that came since the last call, when nothing moves any more.
func (k *conversation) want(s string) {
	k.t.Helper()
	synctest.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := k.got.String(); got != s {
		k.t.Errorf("got %q, want %q", got, s)
	}
	k.got.Reset()
}

func (k *conversation) wantIdle() {
	k.t.Helper()
	k.want("")
	if k.isClosed() {
		k.t.Error("the connection is closed, want it open")
	}
}

func (k *conversation) wantClosed() {
	k.t.Helper()
	k.want("")
	if !k.isClosed() {
		k.t.Error("the connection is open, want it closed")
	}
}

func (k *conversation) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// wantLog checks that there was one report, about err; none if err is nil.
func (k *conversation) wantLog(err error) {
	k.t.Helper()
	synctest.Wait()
	switch {
	case err == nil && len(k.logged) > 0:
		k.t.Errorf("logged %v, want nothing", k.logged)
	case err != nil && (len(k.logged) != 1 || !errors.Is(k.logged[0], err)):
		k.t.Errorf("logged %v, want one %v", k.logged, err)
	}
}

const (
	getEmpty  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	ok2       = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	ok2Close  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	timeout   = "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 29\r\nConnection: close\r\n\r\nRequest Timeout: i/o timeout\n"
	noContent = "HTTP/1.1 204 No Content\r\n\r\n"
)

func ok(x *Exchange) { x.Respond(200, nil, []byte("ok")) }

// send makes a handler of a response made anew for each request.
func send(r func() *Response) Handler { return func(x *Exchange) { x.Send(r()) } }

// HT01: the whole head has 10 s, however its bytes drip.
func TestSlowHead(t *testing.T) {
	converse(t, &Server{}, func(k *conversation) {
		k.send("GET / HTTP/1.1\r\nX: ")
		for range 9 {
			time.Sleep(time.Second)
			k.send("a")
		}
		time.Sleep(time.Second - 1)
		k.wantIdle()
		time.Sleep(time.Nanosecond)
		k.want(timeout)
		k.wantClosed()
		k.wantLog(os.ErrDeadlineExceeded)
	})
}

// HT03, HT06, and the head of a request that is not the first.
func TestIdle(t *testing.T) {
	converse(t, &Server{}, func(k *conversation) {
		time.Sleep(10*time.Second - 1)
		k.wantIdle()
		time.Sleep(time.Nanosecond)
		k.wantClosed()
		k.wantLog(nil)
	})
	converse(t, &Server{Handler: ok}, func(k *conversation) {
		k.send(getEmpty)
		k.want(ok2)
		time.Sleep(60*time.Second - 1)
		k.wantIdle()
		time.Sleep(time.Nanosecond)
		k.wantClosed()
		k.wantLog(nil)
	})
	converse(t, &Server{Handler: ok}, func(k *conversation) {
		k.send(getEmpty)
		k.want(ok2)
		time.Sleep(59 * time.Second)
		k.send("GET")
		time.Sleep(10*time.Second - 1)
		k.wantIdle()
		time.Sleep(time.Nanosecond)
		k.want(timeout)
		k.wantClosed()
	})
	converse(t, &Server{Handler: ok, HeadTimeout: time.Hour, IdleTimeout: 2 * time.Hour}, func(k *conversation) {
		k.send(getEmpty + "G") // the next head has begun
		k.want(ok2)
		time.Sleep(time.Hour)
		k.want(timeout)
		k.wantClosed()
	})
}

// A deadline that was good for one request is not left to strike the next.
func TestShortTimeouts(t *testing.T) {
	const ms = time.Millisecond
	s := &Server{Handler: caseHandler, HeadTimeout: 20 * ms, IdleTimeout: 500 * ms, BodyTimeout: 20 * ms, WriteTimeout: 20 * ms}
	converse(t, s, func(k *conversation) {
		for range 5 {
			k.send("GET / HTTP/1.1\r\n")
			time.Sleep(15 * ms)
			k.send("Host: a\r\n\r\n")
			k.want(ok2)
			time.Sleep(400 * ms)
			k.send(post + "Content-Length: 2\r\n\r\no")
			time.Sleep(15 * ms)
			k.send("k")
			k.want(ok2)
			time.Sleep(400 * ms)
		}
		k.wantIdle()
	})
}

// HT04: the handler sees an error, never a short body.
func TestSlowBody(t *testing.T) {
	var seen error
	s := &Server{Handler: func(x *Exchange) { _, seen = io.ReadAll(x.Request.Body) }}
	converse(t, s, func(k *conversation) {
		k.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx")
		time.Sleep(29 * time.Second)
		k.send("y") // 30 s from here
		time.Sleep(30*time.Second - 1)
		k.wantIdle()
		time.Sleep(time.Nanosecond)
		k.want(timeout)
		k.wantClosed()
		k.wantLog(os.ErrDeadlineExceeded)
	})
	if status(seen) != 408 || !errors.Is(seen, os.ErrDeadlineExceeded) {
		t.Errorf("the handler's body ended with %v, want status 408", seen)
	}
}

// A handler that answers an error of the body itself has the last word.
func TestBodyErrorAnswered(t *testing.T) {
	s := &Server{Handler: func(x *Exchange) {
		io.ReadAll(x.Request.Body)
		x.Respond(422, nil, nil)
	}}
	converse(t, s, func(k *conversation) {
		k.send(chunked + "z\r\n")
		k.want("HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		k.wantClosed()
		k.wantLog(ErrChunk)
	})
}

// A client that leaves while its unread body is skipped has not been polite.
func TestGoneWhileDraining(t *testing.T) {
	converse(t, &Server{Handler: ok}, func(k *conversation) {
		k.send(post + "Content-Length: 3\r\n\r\na")
		k.want(ok2)
		k.client.Close()
		k.wantLog(io.ErrUnexpectedEOF)
	})
}

// stall is a client that sends and never reads. It returns how much the server
// took and when it gave up.
func stall(t *testing.T, s *Server, wire string) (took int, after time.Duration, conn *pipeConn, logged []error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		conn = &pipeConn{Conn: server}
		s.ErrorLog = func(err error) { logged = append(logged, err) }
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() { took, _ = io.WriteString(client, wire) })
		s.ServeConn(conn)
		after = time.Since(start)
		all.Wait()
	})
	return took, after, conn, logged
}

// HT05, HT07: who does not read is cut off with a reset, and not read from.
func TestStalledClient(t *testing.T) {
	pipelined := strings.Repeat(getEmpty, 10000)
	big := make([]byte, 100<<20)
	for _, tt := range []struct {
		name    string
		handler Handler
		wire    string
	}{
		{"body in memory", func(x *Exchange) { x.Respond(200, nil, big) }, getEmpty},
		{"body of a reader", send(func() *Response { return &Response{Status: 200, Body: bytes.NewReader(big), ContentLength: 100 << 20} }), getEmpty},
		{"chunks", send(func() *Response { return &Response{Status: 200, Body: bytes.NewReader(big)} }), getEmpty},
		{"pipelined requests", ok, pipelined},
	} {
		took, after, conn, logged := stall(t, &Server{Handler: tt.handler}, tt.wire)
		if after != 30*time.Second || conn.lingers != 1 {
			t.Errorf("%s: gave up after %v with %d resets, want 30s and one", tt.name, after, conn.lingers)
		}
		if took > 128<<10 {
			t.Errorf("%s: took %d bytes of requests, want at most 128 KiB", tt.name, took)
		}
		if len(logged) != 1 || !errors.Is(logged[0], os.ErrDeadlineExceeded) {
			t.Errorf("%s: logged %v, want one timeout", tt.name, logged)
		}
	}
}

// A client that reads slowly, but does, gets everything: the deadline is for
// each piece.
func TestSlowReader(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	for _, h := range []Handler{
		func(x *Exchange) { x.Respond(200, Header{{"Connection", "close"}}, body) },
		send(func() *Response {
			return &Response{Status: 200, Header: Header{{"Connection", "close"}}, Body: bytes.NewReader(body), ContentLength: 1 << 20}
		}),
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			var all sync.WaitGroup
			all.Go(func() { (&Server{Handler: h}).ServeConn(server) })
			io.WriteString(client, getEmpty)
			n := 0
			for b := make([]byte, 16<<10); ; time.Sleep(time.Second) { // 64 s in all
				m, err := client.Read(b)
				n += m
				if err != nil {
					break
				}
			}
			if n < 1<<20 {
				t.Errorf("a slow reader got %d bytes, want all", n)
			}
			all.Wait()
		})
	}
}

// HT13
func TestPanic(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler Handler
		want    string
		reset   bool
	}{
		{"before the answer", func(x *Exchange) { panic("boom") },
			"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 33\r\nConnection: close\r\n\r\nInternal Server Error: no answer\n", false},
		{"after the answer", func(x *Exchange) { ok(x); panic("boom") }, ok2, false},
		{"within the answer", send(func() *Response {
			return &Response{Status: 200, Body: io.MultiReader(strings.NewReader("begun"), panicking{})}
		}), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n", true},
		{"second answer", func(x *Exchange) { ok(x); ok(x) }, ok2, false},
		{"wrong length", func(x *Exchange) { x.Send(&Response{Status: 200, Header: Header{{"Content-Length", "-1"}}}) },
			"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 33\r\nConnection: close\r\n\r\nInternal Server Error: no answer\n", false},
		{"no status", send(func() *Response { return &Response{Body: strings.NewReader("forgotten")} }),
			"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 33\r\nConnection: close\r\n\r\nInternal Server Error: no answer\n", false},
		{"after Hijack", func(x *Exchange) { x.Hijack(); panic("boom") }, "", false},
		{"after Takeover", func(x *Exchange) { x.Takeover(nil); panic("boom") }, "", false},
		{"in Takeover", func(x *Exchange) { x.Takeover(func(net.Conn, []byte) { panic("boom") }) }, "", false},
		{"answer after Hijack", func(x *Exchange) { x.Hijack(); ok(x) }, "", false},
		{"two Hijacks", func(x *Exchange) { x.Hijack(); x.Hijack() }, "", false},
	} {
		converse(t, &Server{Handler: tt.handler}, func(k *conversation) {
			k.send(getEmpty)
			k.want(tt.want)
			k.wantClosed()
			if (k.conn.lingers > 0) != tt.reset {
				t.Errorf("%s: %d resets, want some: %v", tt.name, k.conn.lingers, tt.reset)
			}
			if len(k.logged) != 1 {
				t.Fatalf("%s: logged %v, want one report", tt.name, k.logged)
			}
			p, ok := errors.AsType[*PanicError](k.logged[0])
			if !ok || !bytes.Contains(p.Stack, []byte("server_test.go")) || !strings.HasPrefix(k.logged[0].Error(), "pipe: handler panicked: ") {
				t.Errorf("%s: logged %v, want a panic with its stack", tt.name, k.logged[0])
			}
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("boom") }

var answered = []struct {
	name    string
	request string
	handler Handler
	want    string
	closed  bool
}{
	{"nil handler", getEmpty, nil, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
	{"no answer", getEmpty, func(x *Exchange) {},
		"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 33\r\nConnection: close\r\n\r\nInternal Server Error: no answer\n", true},
	{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", ok, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false},
	{"HEAD of a known length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		func(x *Exchange) { x.Respond(200, Header{{"Content-Length", "77"}}, nil) }, "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", false},
	{"HEAD of a stream", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		send(func() *Response { return &Response{Status: 200, Body: io.MultiReader(strings.NewReader("x"))} }), "HTTP/1.1 200 OK\r\n\r\n", false},
	{"HEAD gone wrong", "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: banana\r\n\r\n", ok,
		"HTTP/1.1 417 Expectation Failed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 56\r\nConnection: close\r\n\r\n", true},
	{"204", getEmpty, func(x *Exchange) { x.Respond(204, nil, []byte("never")) }, noContent, false},
	{"304", getEmpty, func(x *Exchange) { x.Respond(304, Header{{"ETag", `"a"`}}, nil) }, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false},
	{"304 with a length", getEmpty, func(x *Exchange) { x.Respond(304, Header{{"Content-Length", "77"}}, nil) }, "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", false},
	{"fields kept, framing ours", getEmpty,
		func(x *Exchange) {
			x.Respond(200, Header{{"x-A", "1"}, {"content-length", "99"}, {"Transfer-Encoding", "gzip"}, {"X-a", "2\r\n3"}, {"B\n", ""}}, []byte("ok"))
		}, "HTTP/1.1 200 OK\r\nx-A: 1\r\nX-a: 2  3\r\nContent-Length: 2\r\n\r\nok", false},
	{"close asked by the client", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ok, ok2Close, true},
	{"close asked by the handler", getEmpty, func(x *Exchange) { x.Respond(200, Header{{"connection", "a, Close"}}, nil) },
		"HTTP/1.1 200 OK\r\nconnection: a, Close\r\nContent-Length: 0\r\n\r\n", true},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", ok, ok2Close, true},
	{"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ok,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", false},
	{"HTTP/1.0 stream", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		send(func() *Response { return &Response{Status: 200, Body: io.MultiReader(strings.NewReader("ok"))} }),
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", true},
	{"a second expectation", "HEAD / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: banana\r\n\r\n", ok,
		"HTTP/1.1 417 Expectation Failed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 56\r\nConnection: close\r\n\r\n", true},
	{"HTTP/1.0 has no Expect", "GET / HTTP/1.0\r\nExpect: banana\r\n\r\n", ok, ok2Close, true},
	{"stream in chunks, with a trailer", getEmpty, send(func() *Response {
		return &Response{Status: 200, Reason: "Fine", Header: Header{{"Trailer", "X"}}, Body: iotest.OneByteReader(strings.NewReader("ok")), Trailer: Header{{"X", "y"}}}
	}), "HTTP/1.1 200 Fine\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n", false},
	{"EOF with the data", getEmpty, send(func() *Response {
		return &Response{Status: 200, Body: iotest.DataErrReader(strings.NewReader("ok"))}
	}), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
	{"empty stream", getEmpty, send(func() *Response { return &Response{Status: 200, Body: io.MultiReader()} }),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
	{"length in the header", getEmpty, send(func() *Response {
		return &Response{Status: 200, Header: Header{{"Content-Length", "2"}}, Body: strings.NewReader("okay")}
	}), ok2, false},
	{"no body", getEmpty, send(func() *Response { return &Response{Status: 404} }), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
	{"as it was read", getEmpty, send(func() *Response { return &Response{Status: 404, Body: noBody{}} }), "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
	{"body too short", getEmpty, send(func() *Response { return &Response{Status: 200, Body: strings.NewReader("o"), ContentLength: 2} }), "", true},
	{"body empty", getEmpty, send(func() *Response { return &Response{Status: 200, Body: strings.NewReader(""), ContentLength: 2} }), "", true},
	{"long body too short", getEmpty, send(func() *Response {
		return &Response{Status: 200, Body: strings.NewReader("o"), ContentLength: 20000}
	}), "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\no", true},
	{"body breaks", getEmpty, send(func() *Response {
		return &Response{Status: 200, Body: io.MultiReader(strings.NewReader("o"), iotest.ErrReader(errors.New("broken")))}
	}), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", true},
	{"long body", getEmpty, func(x *Exchange) { x.Respond(200, nil, bytes.Repeat([]byte("x"), 20000)) },
		"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000), false},
	{"long head", getEmpty, send(func() *Response {
		return &Response{Status: 200, Header: Header{{"A", strings.Repeat("a", 40000)}}, Body: io.MultiReader(strings.NewReader("ok"))}
	}), "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 40000) + "\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
	{"101 and nothing", getEmpty, func(x *Exchange) { x.Respond(101, Header{{"Upgrade", "x"}, {"Connection", "upgrade"}}, nil) },
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", true},
	{"unread body that is short", post + "Content-Length: 3\r\n\r\nabc", ok, ok2, false},
	{"unread body that is long", post + "Content-Length: 65537\r\n\r\n", ok, ok2Close, true},
	{"unread chunks", chunked + "0\r\n\r\n", ok, ok2Close, true},
	{"expected body that is not asked for", post + "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n", ok, ok2Close, true},
	{"expectation without a body", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", ok, ok2, false},
	{"body read after the answer", post + "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc", func(x *Exchange) {
		ok(x)
		io.ReadAll(x.Request.Body)
	}, ok2Close, true},
	{"not HTTP", "\x16\x03", ok, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 36\r\nConnection: close\r\n\r\nBad Request: malformed request line\n", true},
}

// One exchange after another: what is sent and what comes back.
func TestAnswers(t *testing.T) {
	for _, tt := range answered {
		t.Run(tt.name, func(t *testing.T) {
			converse(t, &Server{Handler: tt.handler}, func(k *conversation) {
				k.send(tt.request)
				k.want(tt.want)
				if tt.closed {
					k.wantClosed()
				} else {
					k.wantIdle()
				}
			})
		})
	}
}

// Over a pipe there is no sendfile.
func TestAnswerFile(t *testing.T) {
	file := tempFile(t, 20000)
	converse(t, &Server{Handler: send(func() *Response { return &Response{Status: 200, Body: file, ContentLength: 20000} })}, func(k *conversation) {
		k.send(getEmpty)
		k.want("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + content(20000))
		k.wantIdle()
	})
}

func TestExpectContinue(t *testing.T) {
	converse(t, &Server{Handler: caseHandler}, func(k *conversation) {
		k.send(post + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		k.want("HTTP/1.1 100 Continue\r\n\r\n")
		k.send("he")
		k.wantIdle()
		k.send("llo" + getEmpty)
		k.want("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + ok2)
		k.wantIdle()
		k.wantLog(nil)
	})
}

// Answers to requests that came together leave together; one that shall leave
// before its handler returns is flushed.
func TestGather(t *testing.T) {
	converse(t, &Server{Handler: ok}, func(k *conversation) {
		k.send(strings.Repeat(getEmpty, 20))
		k.want(strings.Repeat(ok2, 20))
		if k.conn.writes != 1 {
			t.Errorf("20 answers in %d writes, want one", k.conn.writes)
		}
		k.wantIdle()
	})
	s := &Server{Handler: func(x *Exchange) {
		ok(x)
		if err := x.Flush(); err != nil {
			t.Errorf("Flush = %v", err)
		}
		time.Sleep(time.Hour)
	}}
	converse(t, s, func(k *conversation) {
		k.send(getEmpty)
		k.want(ok2)
	})
	big := bytes.Repeat([]byte("x"), 6000)
	converse(t, &Server{Handler: func(x *Exchange) { x.Respond(200, nil, big) }}, func(k *conversation) {
		k.send(strings.Repeat(getEmpty, 20))
		k.want(strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n"+string(big), 20))
	})
	converse(t, &Server{Handler: func(x *Exchange) { x.Respond(304, Header{{"A", string(big)}}, nil) }}, func(k *conversation) {
		k.send(strings.Repeat(getEmpty, 7))
		k.want(strings.Repeat("HTTP/1.1 304 Not Modified\r\nA: "+string(big)+"\r\n\r\n", 7))
		if k.conn.writes != 3 { // of 18 KB, 18 KB, 6 KB
			t.Errorf("7 heads of 6 KB in %d writes, want 3", k.conn.writes)
		}
	})
}

// Once the client is gone every answer fails, and none is begun after.
func TestAnswersToNobody(t *testing.T) {
	big := make([]byte, 1<<20)
	for _, answer := range []func(x *Exchange) error{
		func(x *Exchange) error { return x.Respond(200, nil, big) },
		func(x *Exchange) error { return x.Send(&Response{Status: 200, Body: bytes.NewReader(big)}) },
		func(x *Exchange) error {
			return x.Send(&Response{Status: 200, Body: bytes.NewReader(big), ContentLength: 1 << 20})
		},
		func(x *Exchange) error { return x.Respond(200, nil, nil) },
		(*Exchange).Flush,
	} {
		served := 0
		s := &Server{Handler: func(x *Exchange) {
			if served++; served == 1 {
				ok(x)
				return
			}
			time.Sleep(time.Second)
			if err := x.Flush(); err == nil {
				t.Error("Flush to nobody = nil")
			}
			if err := answer(x); err == nil {
				t.Error("answer to nobody = nil")
			}
		}}
		converse(t, s, func(k *conversation) {
			k.send(getEmpty + getEmpty + getEmpty)
			k.client.Close()
		})
		if served != 2 {
			t.Errorf("%d requests served, want 2", served)
		}
	}
}

// What came behind the request belongs to who takes the connection, and its
// deadlines are off.
func TestHijack(t *testing.T) {
	for _, handler := range []Handler{
		func(x *Exchange) {
			x.Respond(101, nil, nil)
			c, br := x.Hijack()
			io.CopyN(c, br, 10) // more than what was buffered
			io.WriteString(c, x.Request.Path()+" "+x.RemoteAddr().String())
			c.Close()
		},
		func(x *Exchange) {
			x.Respond(101, nil, nil)
			x.Takeover(func(c net.Conn, buffered []byte) {
				c.Write(buffered)
				io.CopyN(c, c, 10-int64(len(buffered)))
				io.WriteString(c, "/p pipe")
				c.Close()
			})
		},
	} {
		for _, first := range []string{"", "frame"} {
			converse(t, &Server{Handler: handler}, func(k *conversation) {
				k.send("GET /p HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + first)
				k.want("HTTP/1.1 101 Switching Protocols\r\n\r\n" + first)
				time.Sleep(time.Hour)
				k.wantIdle()
				k.send("and ten more"[:10-len(first)])
				k.want("and ten more"[:10-len(first)] + "/p pipe")
				k.wantClosed()
				k.wantLog(nil)
			})
		}
	}
}

func TestExchangeFigures(t *testing.T) {
	type figures struct {
		status int
		sent   int64
	}
	file := tempFile(t, 300<<10)
	for _, tt := range []struct {
		name   string
		answer Handler
		want   figures
	}{
		{"none", func(x *Exchange) {}, figures{}},
		{"whole", func(x *Exchange) { x.Respond(404, nil, []byte("abc")) }, figures{404, 3}},
		{"chunks", send(func() *Response { return &Response{Status: 200, Body: io.MultiReader(strings.NewReader("abcd"))} }), figures{200, 4}},
		{"length", send(func() *Response { return &Response{Status: 200, Body: strings.NewReader("abcd"), ContentLength: 3} }), figures{200, 3}},
		{"file", send(func() *Response { return &Response{Status: 206, Body: file, ContentLength: 300 << 10} }), figures{206, 300 << 10}},
	} {
		figure := make(chan figures, 1)
		addr := serve(t, &Server{Handler: func(x *Exchange) {
			tt.answer(x)
			figure <- figures{x.Status(), x.Sent()}
		}})
		c := dial(t, addr)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		io.ReadAll(c)
		if got := next(t, figure); got != tt.want {
			t.Errorf("%s: status and bytes %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Shutdown closes the listeners, and then Serve returns nil; one that comes late says
// that it does.
func TestShutdownOfServe(t *testing.T) {
	s := &Server{Handler: ok}
	served := make(chan error, 2)
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { served <- s.Serve(ln) }()
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	for range 2 {
		if err := <-served; err != nil && err != ErrServerClosed {
			t.Errorf("Serve = %v", err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(ln); err != ErrServerClosed {
		t.Errorf("Serve of a stopped server = %v, want %v", err, ErrServerClosed)
	}
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all sync.WaitGroup
		s := &Server{Handler: func(x *Exchange) {
			switch x.Request.Path() {
			case "/slow":
				time.Sleep(time.Second)
			case "/stuck":
				time.Sleep(time.Hour)
			case "/taken":
				c, _ := x.Hijack()
				io.Copy(io.Discard, c)
				c.Close()
				return
			}
			ok(x)
		}}
		connect := func(request string) net.Conn {
			client, server := net.Pipe()
			all.Go(func() { s.ServeConn(server) })
			io.WriteString(client, request) // of nothing is a read of nothing at the other end
			synctest.Wait()
			return client
		}
		fresh, takenOver := connect(""), connect("GET /taken HTTP/1.1\r\nHost: a\r\n\r\n")
		slow := connect("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := s.Shutdown(canceled()); err != context.Canceled {
			t.Errorf("Shutdown with a slow handler = %v, want %v", err, context.Canceled)
		}
		if got, err := io.ReadAll(fresh); len(got) != 0 || err != nil {
			t.Errorf("the waiting client read %q, %v; want the end", got, err)
		}
		if got, err := io.ReadAll(slow); len(got) != 0 || err != nil {
			t.Errorf("the client closed by force read %q, %v; want the end", got, err)
		}
		if got, err := io.ReadAll(connect("")); len(got) != 0 || err != nil {
			t.Errorf("a new client read %q, %v; want the end", got, err)
		}
		synctest.Wait()
		if _, err := io.WriteString(takenOver, "still there"); err != nil {
			t.Errorf("the connection that was taken: %v", err)
		}
		takenOver.Close()
		all.Wait()
	})
}

func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: func(x *Exchange) { time.Sleep(time.Second); ok(x) }}
		client, server := net.Pipe()
		var all sync.WaitGroup
		all.Go(func() { s.ServeConn(server) })
		io.WriteString(client, getEmpty)
		var got []byte
		all.Go(func() { got, _ = io.ReadAll(client) })
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		all.Wait()
		if want := ok2; string(got) != want && string(got) != ok2Close {
			t.Errorf("the busy client got %q, want its answer", got)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("second Shutdown = %v", err)
		}
	})
	if err := new(Server).Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown of nothing = %v", err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// content is text in which every place looks different.
func content(n int) string {
	var s strings.Builder
	for i := 0; s.Len() < n; i++ {
		s.WriteString(time.Duration(i).String())
	}
	return s.String()[:n]
}

func tempFile(t *testing.T, n int) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(content(n)); err != nil {
		t.Fatal(err)
	}
	f.Seek(0, io.SeekStart)
	return f
}

// An answer may be the request's body, as it comes: one head, the body's, and a
// 100 (Continue) before it where that is due.
func TestEcho(t *testing.T) {
	echo := func(x *Exchange) {
		x.Send(&Response{Status: 200, Body: x.Request.Body, ContentLength: x.Request.ContentLength})
	}
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	for _, tt := range []struct{ name, fields, body, before, after string }{
		{"length", "Content-Length: 3\r\n", "tea", "", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntea"},
		{"chunks", "Transfer-Encoding: chunked\r\n", "3\r\ntea\r\n0\r\n\r\n", "",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\ntea\r\n0\r\n\r\n"},
		{"length, expected", "Content-Length: 3\r\nExpect: 100-continue\r\n", "tea", goOn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntea"},
		{"chunks, expected", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n", "3\r\ntea\r\n0\r\n\r\n", goOn,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\ntea\r\n0\r\n\r\n"},
	} {
		converse(t, &Server{Handler: echo}, func(k *conversation) {
			k.send(getEmpty + post + tt.fields + "\r\n")
			synctest.Wait()
			k.mu.Lock()
			before := k.got.String()
			k.mu.Unlock()
			if want := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + tt.before; !strings.HasPrefix(before, want) {
				t.Errorf("%s: before the body %q, want %q", tt.name, before, want)
			}
			k.send(tt.body)
			k.want("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + tt.before + tt.after)
		})
	}
}

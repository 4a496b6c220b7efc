package httpmini

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

const (
	okHead    = "HTTP/1.1 200 OK\r\n"
	okChunked = okHead + "Transfer-Encoding: chunked\r\n\r\n"
)

// clientCases are what a server can answer, and what a client makes of it. The
// connection is closed behind it.
var clientCases = []struct {
	id, input, method, wire string
	want                    string
	err                     error
}{
	{"HC10", "body shorter than Content-Length", "GET", okHead + "Content-Length: 5\r\n\r\nhell", "200", io.ErrUnexpectedEOF},
	{"HC11", "Content-Length and Transfer-Encoding", "GET", okHead + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", ErrTwoLengths},
	{"HC12", "two Content-Lengths", "GET", okHead + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "", ErrContentLength},
	{"HC12", "Content-Length -3", "GET", okHead + "Content-Length: -3\r\n\r\nabc", "", ErrContentLength},
	{"HC12", "Content-Length 3, 3", "GET", okHead + "Content-Length: 3, 3\r\n\r\nabc", "", ErrContentLength},
	{"HC13", "chunk size zz", "GET", okChunked + "zz\r\n", "200", ErrChunk},
	{"HC13", "end inside a chunk", "GET", okChunked + "5\r\nhel", "200", io.ErrUnexpectedEOF},
	{"HC13", "no last chunk", "GET", okChunked + "5\r\nhello\r\n", "200", io.ErrUnexpectedEOF},
	{"HC14", "HTTP/0.9", "GET", "<html>hello", "", ErrNotHTTP},
	{"HC14", "status 2xx", "GET", "HTTP/1.1 2xx OK\r\n\r\n", "", ErrStatusLine},
	{"HC14", "status 99", "GET", "HTTP/1.1 99\r\n\r\n", "", ErrStatusLine},
	{"HC14", "status 1000", "GET", "HTTP/1.1 1000\r\n\r\n", "", ErrStatusLine},
	{"HC15", "no reason phrase", "GET", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "200 ok", nil},
	{"HC16", "1000 times 100", "GET", rep("HTTP/1.1 100 Continue\r\n\r\n", 1000) + ok2, "", ErrInterim},
	{"HC16", "ten times 103", "GET", rep("HTTP/1.1 103 Early\r\nA: b\r\n\r\n", 10) + ok2, "200 ok", nil},
	{"HC17", "101 not asked for", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", ErrSwitch},
	{"HC18", "head of 400 KiB", "GET", okHead + rep("A: "+rep("b", 4096)+"\r\n", 100) + "\r\n", "", ErrHeadTooLarge},
	{"HC18", "6000 fields", "GET", okHead + rep("A: b\r\n", 6000) + "\r\n", "", ErrTooManyFields},
	{"HC18", "line of 100 KiB", "GET", okHead + "A: " + rep("b", 100<<10) + "\r\n\r\n", "", ErrLineTooLong},
	{"HC18", "512 fields", "GET", okHead + rep("A: b\r\n", 511) + "Content-Length: 2\r\n\r\nok", "200 ok", nil},
	{"HC19", "nothing", "GET", "", "", ErrNoAnswer},
	{"HC19", "half a head", "GET", okHead + "A: b\r\n", "", io.ErrUnexpectedEOF},
	{"HC19", "nothing after an interim head", "GET", "HTTP/1.1 100 Continue\r\n\r\n", "", ErrNoAnswer},
	{"HC20", "204 with a body", "GET", "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", "204 ", nil},
	{"HC20", "304 with a body", "GET", "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nok", "304 ", nil},
	{"HC20", "HEAD with a body", "HEAD", ok2, "200 ", nil},
	{"HC30", "Location with CR", "GET", "HTTP/1.1 302 Found\r\nLocation: /a\rb\r\n\r\n", "", ErrField},
	{"HC30", "Location of 70 KiB", "GET", "HTTP/1.1 302 Found\r\nLocation: /" + rep("a", 70<<10) + "\r\n\r\n", "", ErrLineTooLong},
	{"HC40", "trailer with Content-Length and Set-Cookie", "GET", okChunked + "2\r\nok\r\n0\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n", "200 ok", nil},
	{"HC41", "10,000 Set-Cookies", "GET", okHead + rep("Set-Cookie: a=b\r\n", 10000) + "\r\n", "", ErrTooManyFields},
	{"", "until the end", "GET", okHead + "\r\nhello", "200 hello", nil},
	{"", "HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\n\r\nhello", "200 hello", nil},
	{"", "HTTP/2 settings", "GET", "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80", "", ErrHTTP2},
	{"", "HTTP/2 goodbye", "GET", "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "", ErrHTTP2},
	{"", "TLS alert", "GET", "\x15\x03\x01\x00\x02\x02\x46", "", ErrSpeaksTLS},
	{"", "zeros", "GET", rep("\x00", 20), "", ErrNotHTTP},
	{"", "SSH", "GET", "SSH-2.0-OpenSSH_9.2p1\r\n", "", ErrNotHTTP},
	{"", "bare LF", "GET", "HTTP/1.1 200 OK\n\nok", "200 ok", nil},
	{"", "gzip as transfer coding", "GET", okHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "", ErrCoding},
}

func TestClientCases(t *testing.T) {
	for _, tt := range clientCases {
		for _, step := range []int{1 << 30, 7, 1} { // HC42
			if step < 10 && len(tt.wire) > 20000 {
				continue
			}
			want := tt.err
			if step == 1 && (want == ErrSpeaksTLS || want == ErrHTTP2) {
				want = ErrNotHTTP // the first byte said enough
			}
			perform(t, func(s *stage) {
				got, err := s.do(&Request{Method: tt.method})
				if got != tt.want || !errors.Is(err, want) {
					t.Errorf("%s %s, %d bytes at a time: got %q, %v; want %q, %v", tt.id, tt.input, step, got, err, tt.want, want)
				}
				if len(s.c.idle) != 0 && tt.want != "200 ok" && tt.input != "204 with a body" && !strings.HasPrefix(tt.id, "HC20") {
					t.Errorf("%s %s: the connection is kept", tt.id, tt.input)
				}
			}, func(p *part) {
				p.request()
				for rest := tt.wire; rest != ""; {
					n := min(step, len(rest))
					if !p.send(rest[:n]) {
						return
					}
					rest = rest[n:]
				}
			})
		}
	}
}

// What an answer leaves on a connection, and which connections are kept.
func TestClientReuse(t *testing.T) {
	get, head := &Request{}, &Request{Method: "HEAD"}
	for _, tt := range []struct {
		name string
		r    *Request
		wire string
		kept bool
	}{
		{"length", get, ok2, true},
		{"chunks", get, okChunked + "2\r\nok\r\n0\r\n\r\n", true},
		{"no body", get, noContent, true},
		{"HEAD", head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", true},
		{"304", get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", true},
		{"after an interim head", get, "HTTP/1.1 103 Early\r\n\r\n" + ok2, true},
		{"HTTP/1.0 that keeps", get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", true},
		{"HTTP/1.0", get, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"Connection: close", get, ok2Close, false},
		{"request with Connection: close", &Request{Header: Header{{"Connection", "close"}}}, ok2, false},
		{"HEAD with a body (HC20)", head, ok2, false},
		{"204 with a body (HC20)", get, "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok", false},
		{"304 with a body (HC20)", get, "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nok", false},
		{"more than the length", get, ok2 + "x", false},
		{"POST", &Request{Method: "POST", Body: strings.NewReader("tea"), ContentLength: 3}, ok2, true},
	} {
		perform(t, func(s *stage) {
			if _, err := s.do(tt.r); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if kept := len(s.c.idle) == 1; kept != tt.kept {
				t.Errorf("%s: kept %v, want %v", tt.name, kept, tt.kept)
			}
			var again Connection
			s.c.Trace.Connected = func(c Connection) { again = c }
			s.want(get, "200 second", nil)
			if again.Reused != tt.kept {
				t.Errorf("%s: reused %v, want %v", tt.name, again.Reused, tt.kept)
			}
		}, staying(tt.wire, second), staying(second))
	}
}

const second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"

// A body that is not read is read by Close if it is short and comes at once.
func TestClientClose(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		wait       bool // the rest does not come
		kept       bool
		took       time.Duration
	}{
		{"short", ok2, false, true, 0},
		{"64 KiB", okHead + "Content-Length: 65536\r\n\r\n" + rep("x", 65536), false, true, 0},
		{"longer", okHead + "Content-Length: 65537\r\n\r\n" + rep("x", 65537), false, false, 0},
		{"chunks", okChunked + "2\r\nok\r\n0\r\n\r\n", false, true, 0},
		{"many chunks", okChunked + rep("400\r\n"+rep("x", 1024)+"\r\n", 65), false, false, 0},
		{"until the end", okHead + "\r\nok", false, false, 0},
		{"late", okHead + "Content-Length: 3\r\n\r\nok", true, false, drainTime},
		{"cut", okHead + "Content-Length: 3\r\n\r\nok", false, false, 0},
		{"broken chunks", okChunked + "2\r\nok\r\nx\r\n", false, false, 0},
	} {
		perform(t, func(s *stage) {
			a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
			if err != nil {
				t.Fatal(err)
			}
			if took := lasting(func() { a.Close() }); took != tt.took {
				t.Errorf("%s: Close took %v, want %v", tt.name, took, tt.took)
			}
			a.Close()
			if kept := len(s.c.idle) == 1; kept != tt.kept {
				t.Errorf("%s: kept %v, want %v", tt.name, kept, tt.kept)
			}
			if n, err := a.Body.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("%s: Read after Close: %d, %v", tt.name, n, err)
			}
		}, func(p *part) {
			p.request()
			if p.send(tt.wire) && (tt.wait || tt.kept) {
				p.stay()
			}
		})
	}
}

// A kept connection that is dead is replaced, once and where nothing can happen
// twice.
func TestClientStale(t *testing.T) {
	dies := func(p *part) { answers(ok2)(p); p.request() }
	seeker := func() io.Reader { return strings.NewReader("tea") }
	stream := func() io.Reader { return iotest.OneByteReader(strings.NewReader("tea")) }
	for _, tt := range []struct {
		name, method string
		body         func() io.Reader
		then         func(p *part)
		want         string
		err          error
	}{
		{"GET", "GET", nil, answers(ok2), "200 ok", nil},
		{"HEAD", "HEAD", nil, answers(noContent), "204 ", nil},
		{"PUT", "PUT", seeker, answers(ok2), "200 ok", nil},
		{"PUT of a stream", "PUT", stream, answers(ok2), "", ErrNoAnswer},
		{"POST", "POST", nil, answers(ok2), "", ErrNoAnswer},
		{"POST, Resend", "POST", seeker, answers(ok2), "200 ok", nil},
		{"POST of a stream, Resend", "POST", stream, answers(ok2), "", ErrNoAnswer},
		{"twice", "GET", nil, answers(""), "", ErrNoAnswer},
		{"half an answer", "GET", nil, nil, "", io.ErrUnexpectedEOF},
	} {
		first := dies
		if tt.then == nil {
			first = answers(ok2, "HTTP/1.1 2")
		}
		perform(t, func(s *stage) {
			s.c.Resend = strings.HasSuffix(tt.name, "Resend")
			s.want(&Request{}, "200 ok", nil)
			r := &Request{Method: tt.method}
			if tt.body != nil {
				r.Body, r.ContentLength = tt.body(), 3
			}
			got, err := s.do(r)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s: got %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
			}
			if body := "tea"; err == nil && tt.body != nil && !strings.HasSuffix(s.heads[len(s.heads)-1], body) {
				t.Errorf("%s: sent again: %q", tt.name, s.heads)
			}
		}, first, tt.then)
	}
}

// A request of HTTP/1.0 is one in its request line, has no chunks, and its connection
// is not kept, whatever the answer says.
func TestClientHTTP10(t *testing.T) {
	answer := func(p *part) {
		if r := p.request(); r == nil || r.Minor != 0 || r.Target != "/x" {
			t.Errorf("sent %+v", r)
		}
		io.WriteString(p.nc, ok2)
		p.br.ReadByte() // until the end
	}
	perform(t, func(s *stage) {
		for range 2 {
			r := &Request{HTTP10: true}
			a, err := s.c.Do(s.t.Context(), "http://a/x", r)
			if err != nil {
				t.Fatal(err)
			}
			if a.Conn.Reused {
				t.Error("the connection was kept")
			}
			a.Close()
			a.Status, a.Header = 302, Header{{"Location", "/y"}}
			if _, next, err := (Redirects{}).Follow(a, r); err != nil || !next.HTTP10 {
				t.Errorf("after a redirect: %+v, %v", next, err)
			}
		}
		_, err := s.c.Do(s.t.Context(), "http://a/", &Request{HTTP10: true, Method: "PUT", Body: strings.NewReader("a"), ContentLength: -1})
		if !errors.Is(err, ErrBodyLength) {
			t.Errorf("a body of unknown length: %v", err)
		}
	}, answer, answer)
}

// Kept connections are bounded in number and in time.
func TestClientIdle(t *testing.T) {
	perform(t, func(s *stage) {
		s.c.MaxIdle = 2
		var open []*Answer
		for range 3 {
			a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, a)
		}
		for _, a := range open {
			a.Close()
		}
		if len(s.c.idle) != 2 {
			t.Errorf("%d kept, want 2", len(s.c.idle))
		}
		time.Sleep(60 * time.Second)
		a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Conn.Reused || len(s.c.idle) != 0 {
			t.Errorf("reused %v, %d kept", a.Conn.Reused, len(s.c.idle))
		}
		s.c.MaxIdle = -1
		a.Close()
		if len(s.c.idle) != 0 {
			t.Errorf("%d kept, want none", len(s.c.idle))
		}
	}, staying(ok2), staying(ok2), staying(ok2), staying(ok2))
}

// Other hosts, ports and schemes have other connections.
func TestClientRoutes(t *testing.T) {
	perform(t, func(s *stage) {
		for _, tt := range []struct {
			url    string
			reused bool
		}{
			{"http://a/", false}, {"http://a:80/x", true}, {"http://A", true}, {"http://a:81/", false}, {"http://b/", false}, {"http://a/", true}, {"http://b:80/", true},
		} {
			a, err := s.c.Do(s.t.Context(), tt.url, &Request{})
			if err != nil {
				t.Fatal(err)
			}
			a.Close()
			if a.Conn.Reused != tt.reused {
				t.Errorf("%s: reused %v, want %v", tt.url, a.Conn.Reused, tt.reused)
			}
		}
	}, staying(ok2, ok2, ok2, ok2), staying(ok2), staying(ok2, ok2))
}

// Nobody is waited for for ever.
func TestClientTimeouts(t *testing.T) {
	silent := func(p *part) { p.request(); p.stay() }
	drip := func(wire string) func(p *part) { // a byte in 20 s (HC35)
		return func(p *part) {
			p.request()
			for i := range len(wire) {
				time.Sleep(20 * time.Second)
				if !p.send(wire[i : i+1]) {
					return
				}
			}
			p.stay()
		}
	}
	for _, tt := range []struct {
		name   string
		c      *Client
		script func(p *part)
		want   string
		op     string
		took   time.Duration
	}{
		{"no head", &Client{}, silent, "", "receive", 60 * time.Second},
		{"no head, told", &Client{HeadTimeout: 5 * time.Second}, silent, "", "receive", 5 * time.Second},
		{"slow head", &Client{}, drip(ok2), "", "receive", 60 * time.Second},
		{"interim heads without end", &Client{HeadTimeout: 30 * time.Second}, drip(rep("HTTP/1.1 100 Continue\r\n\r\n", 9)), "", "receive", 30 * time.Second},
		{"no body", &Client{}, staying(okHead + "Content-Length: 5\r\n\r\nhell"), "200", "receive", 60 * time.Second},
		{"no body, told", &Client{StallTimeout: 7 * time.Second}, staying(okHead + "Content-Length: 5\r\n\r\nhell"), "200", "receive", 7 * time.Second},
		{"no chunk", &Client{}, staying(okChunked + "2\r\nok\r\n"), "200", "receive", 60 * time.Second},
		{"slow body", &Client{HeadTimeout: -1}, drip(ok2), "200 ok", "", time.Duration(len(ok2)) * 20 * time.Second},
	} {
		perform(t, func(s *stage) {
			tt.c.Dial = s.dial
			var got string
			var err error
			took := lasting(func() { got, err = fetch(s.t.Context(), tt.c, "http://a/", &Request{}) })
			e, _ := errors.AsType[*OpError](err)
			if got != tt.want || took.Truncate(time.Second) != tt.took || (tt.op == "") != (err == nil) ||
				err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || e == nil || e.Op != tt.op) {
				t.Errorf("%s: got %q, %v after %v; want %q, time-out in %q after %v", tt.name, got, err, took, tt.want, tt.op, tt.took)
			}
			tt.c.CloseIdle()
		}, tt.script)
	}
}

// HC36: the time to connect has a bound, whatever takes it.
func TestClientConnectTimeout(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, tt := range []struct {
		name, op string
		c        *Client
		took     time.Duration
	}{
		{"black hole", "connect", &Client{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, hangs(ctx) }}, 10 * time.Second},
		{"no TLS comes", "tls", &Client{
			TLS: func(ctx context.Context, _ net.Conn, _ string) (net.Conn, error) { return nil, hangs(ctx) }, ConnectTimeout: 3 * time.Second}, 3 * time.Second},
		{"silent proxy", "receive", &Client{Tunnel: true, Proxy: proxyTo("http://p:1/")}, 10 * time.Second},
		{"proxy that does not read", "proxy", &Client{Tunnel: true, Proxy: proxyTo("http://q:1/")}, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			if tt.op == "receive" {
				go io.Copy(io.Discard, server)
			}
			if tt.c.Dial == nil {
				tt.c.Dial = func(context.Context, string, string) (net.Conn, error) { return client, nil }
			}
			var err error
			took := lasting(func() { _, err = tt.c.Do(t.Context(), "https://a/", &Request{}) })
			e, _ := errors.AsType[*OpError](err)
			if took != tt.took || e == nil || e.Op != tt.op || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v after %v; want a time-out in %q after %v", tt.name, err, took, tt.op, tt.took)
			}
			server.Close()
		})
	}
}

// The context ends whatever is under way, and is the error.
func TestClientCanceled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		r      Request
		script func(p *part)
		want   string
	}{
		{"the server does not read", Request{}, func(p *part) { time.Sleep(time.Hour) }, ""},
		{"the server does not read the body", Request{Method: "PUT", Body: strings.NewReader(rep("x", 1<<20)), ContentLength: 1 << 20},
			func(p *part) { p.br.Peek(10); time.Sleep(time.Hour) }, ""},
		{"the server does not answer", Request{}, func(p *part) { p.request(); p.stay() }, ""},
		{"the body does not come", Request{}, staying(okChunked + "2\r\nok\r\n"), "200"},
		{"our body does not come", Request{Method: "PUT", ContentLength: -1}, func(p *part) { p.stay() }, ""},
		{"nobody says Continue", Request{Method: "PUT", Body: strings.NewReader("x"), ContentLength: 1, Header: Header{{"Expect", "100-continue"}}},
			func(p *part) { p.stay() }, ""},
	} {
		perform(t, func(s *stage) {
			s.c.ExpectWait = time.Hour
			ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
			defer cancel()
			if tt.r.ContentLength < 0 {
				body, _ := net.Pipe()
				defer body.Close()
				tt.r.Body = body
			}
			var got string
			var err error
			took := lasting(func() { got, err = fetch(ctx, &s.c, "http://a/", &tt.r) })
			if got != tt.want || !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
				t.Errorf("%s: got %q, %v after %v; want %q, %v after 1 s", tt.name, got, err, took, tt.want, context.DeadlineExceeded)
			}
		}, tt.script)
	}
	if _, err := new(Client).Do(canceled(), "http://a/", &Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v", err)
	}
}

// A context that ended after the answer was read does not leave its connection to
// the next request.
func TestClientCanceledLate(t *testing.T) {
	perform(t, func(s *stage) {
		ctx, cancel := context.WithCancel(s.t.Context())
		a, err := s.c.Do(ctx, "http://a/", &Request{})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		cancel()
		synctest.Wait()
		a.Close()
		if len(s.c.idle) > 0 {
			t.Error("the connection is kept")
		}
	}, staying(ok2))
}

// What the hooks are told, in its order, and the times.
func TestClientTrace(t *testing.T) {
	perform(t, func(s *stage) {
		s.c.Proxy, s.c.Tunnel = proxyTo("http://p/"), true
		var seen []string
		var last Connection
		s.c.Trace = Trace{
			Connected: func(c Connection) { last = c; seen = append(seen, "connected") },
			Sent:      func(r *Request) { seen = append(seen, r.Method) },
			Received:  func(r *Response) { seen = append(seen, strings.TrimSuffix(r.Raw, "\r\n\r\n")) },
			Progress:  func(sent, received int64) { seen = append(seen, fmt.Sprint(sent, " ", received)) },
		}
		a, err := s.c.Do(s.t.Context(), "http://a/", &Request{})
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, a.Body)
		a.Close()
		want := []string{"CONNECT", "HTTP/1.0 200", "connected", "GET", "HTTP/1.1 103 Early", "HTTP/1.1 200 OK\r\nContent-Length: 2", "0 2"}
		if !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		for i, later := range []time.Duration{a.Conn.Connected.Sub(a.Conn.Started), a.Conn.Tunneled.Sub(a.Conn.Connected), a.Sending.Sub(a.Conn.Tunneled), a.First.Sub(a.Sending)} {
			if want := []time.Duration{0, time.Second, 0, time.Second}[i]; later != want {
				t.Errorf("step %d took %v, want %v", i, later, want)
			}
		}
		if last.NetConn == nil || last.Remote == nil || last.Local == nil || last.Proxy.Host != "p" || a.URL.Host != "a" || a.Started.IsZero() {
			t.Errorf("%+v", last)
		}
	}, func(p *part) {
		ReadRequest(p.br, Limits{})
		time.Sleep(time.Second)
		p.send("HTTP/1.0 200\r\n\r\n")
		p.request()
		time.Sleep(time.Second)
		p.send("HTTP/1.1 103 Early\r\n\r\n" + ok2)
		p.stay()
	})
}

// A 101 that was asked for: the rest of the connection is its body.
func TestClientUpgrade(t *testing.T) {
	perform(t, func(s *stage) {
		got, err := s.do(&Request{Header: Header{{"Connection", "Upgrade"}, {"Upgrade", "x"}}})
		if got != "101 and so on" || err != nil || len(s.c.idle) > 0 {
			t.Errorf("%q, %v, %d kept", got, err, len(s.c.idle))
		}
	}, answers("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nand so on"))
}

// A negative time-out is none.
func TestClientPatience(t *testing.T) {
	perform(t, func(s *stage) {
		s.c = Client{Dial: s.dial, ConnectTimeout: -1, HeadTimeout: -1, StallTimeout: -1, IdleTimeout: -1}
		got, err := fetch(context.Background(), &s.c, "http://a/", put(strings.NewReader("tea"), 3))
		if got != "200 ok" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		time.Sleep(1000 * time.Hour)
		s.want(&Request{}, "200 ok", nil)
		s.wantRequests("PUT / ", "GET / ")
	}, func(p *part) {
		p.request()
		time.Sleep(1000 * time.Hour)
		p.send(ok2[:len(ok2)-1])
		time.Sleep(1000 * time.Hour)
		p.send("k")
		p.request()
		p.send(ok2)
		p.stay()
	})
}

func TestClientNobody(t *testing.T) {
	perform(t, func(s *stage) { s.want(&Request{}, "", errNoScript) })
	ctx, cancel := context.WithCancel(t.Context())
	c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) { cancel(); return nil, errNoScript }}
	_, err := c.Do(ctx, "http://a/", &Request{})
	if !errors.Is(err, context.Canceled) || err.Error() != "http: connect: context canceled" {
		t.Errorf("canceled while dialing: %v", err)
	}
}

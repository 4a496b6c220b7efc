package wsproto

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/httpmini"
)

// A step plays the server on one connection, whose request it is given. The
// connection is closed when it returns.
type step func(nc net.Conn, br *bufio.Reader, req *http.Request)

// answer writes a response in which {accept} stands for the right value.
func answer(response string) step {
	return func(nc net.Conn, br *bufio.Reader, req *http.Request) {
		io.WriteString(nc, strings.ReplaceAll(response, "{accept}", AcceptKey(req.Header.Get("Sec-Websocket-Key"))))
	}
}

// good is the response that opens a connection, with more fields.
func good(fields string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n" + fields + "\r\n"
}

// A script is what Dial finds when it connects: a step for each connection.
type script struct {
	t     *testing.T
	steps []step
	addrs []string        // dialed
	reqs  []*http.Request // as net/http reads them
	wg    sync.WaitGroup
}

func (s *script) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	s.addrs = append(s.addrs, addr)
	if len(s.addrs) > len(s.steps) {
		return nil, errors.New("no such server")
	}
	client, server := net.Pipe()
	play := s.steps[len(s.addrs)-1]
	s.wg.Go(func() {
		defer server.Close()
		br := bufio.NewReader(server)
		req, err := http.ReadRequest(br)
		if err != nil {
			s.t.Errorf("net/http reads our request: %v", err)
			return
		}
		s.reqs = append(s.reqs, req)
		play(server, br, req)
	})
	return client, nil
}

// run dials and waits until the servers are done, the connection being closed.
func (s *script) run(rawURL string, opt DialOptions) (*httpmini.Response, error) {
	opt.NetDial = s.dial
	c, res, err := Dial(s.t.Context(), rawURL, opt)
	if (c == nil) != (err != nil) {
		s.t.Errorf("Dial(%s) = %v, %v", rawURL, c, err)
	}
	if c != nil {
		c.NetConn().Close()
	}
	s.wg.Wait()
	return res, err
}

// responses are what a server may say, and what becomes of it.
var responses = []struct {
	name, response string
	opt            DialOptions
	err            error // nil: connected
}{
	{"as it should be", good(""), DialOptions{}, nil},
	{"tokens in another case, and lists", strings.NewReplacer("Upgrade: websocket", "UPGRADE: h2c,\tWebSocket", "Connection: Upgrade", "connection: keep-alive\r\nConnection: upgrade").
		Replace(good("")), DialOptions{}, nil},
	{"an interim response before", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + good(""), DialOptions{}, nil},
	{"a body of no bytes", good("Content-Length: 0\r\n"), DialOptions{}, nil},
	{"WC01 wrong accept", strings.Replace(good(""), "{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 1), DialOptions{}, ErrAccept},
	{"WC01 more than the accept", strings.Replace(good(""), "{accept}", "{accept}, {accept}", 1), DialOptions{}, ErrAccept},
	{"WC02 no Upgrade", strings.Replace(good(""), "Upgrade: websocket\r\n", "", 1), DialOptions{}, ErrUpgrade},
	{"WC02 no Connection", strings.Replace(good(""), "Connection: Upgrade\r\n", "", 1), DialOptions{}, ErrUpgrade},
	{"WC02 no accept", strings.Replace(good(""), "Sec-WebSocket-Accept: {accept}\r\n", "", 1), DialOptions{}, ErrAccept},
	{"WC02 accept twice", good("Sec-WebSocket-Accept: {accept}\r\n"), DialOptions{}, ErrAccept},
	{"another Upgrade", strings.Replace(good(""), "websocket", "xwebsocket", 1), DialOptions{}, ErrUpgrade},
	{"WC03 an unknown extension", good("Sec-WebSocket-Extensions: x-y\r\n"), DialOptions{}, ErrExtension},
	{"WC03 one not offered", good("Sec-WebSocket-Extensions: permessage-deflate\r\n"), DialOptions{NoCompression: true}, ErrExtension},
	{"WC03 twice", good("Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"), DialOptions{}, ErrExtension},
	{"WC03 a bad parameter", good("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), DialOptions{}, ErrDeflateParams},
	{"compression", good("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n"), DialOptions{}, nil},
	{"a list that is none", good("Sec-WebSocket-Extensions: ;\r\n"), DialOptions{}, ErrExtensionList},
	{"WC04 a subprotocol not offered", good("Sec-WebSocket-Protocol: chat\r\n"), DialOptions{}, ErrSubprotocol},
	{"WC04 another one", good("Sec-WebSocket-Protocol: Chat\r\n"), DialOptions{Subprotocols: []string{"chat"}}, ErrSubprotocol},
	{"WC04 two", good("Sec-WebSocket-Protocol: a, b\r\n"), DialOptions{Subprotocols: []string{"a", "b"}}, ErrSubprotocol},
	{"WC04 two lines", good("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"), DialOptions{Subprotocols: []string{"a", "b"}}, ErrSubprotocol},
	{"a subprotocol", good("Sec-WebSocket-Protocol: b\r\n"), DialOptions{Subprotocols: []string{"a", "b"}}, nil},
	{"no subprotocol", good(""), DialOptions{Subprotocols: []string{"a", "b"}}, nil},
	{"WC05 200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", DialOptions{}, ErrStatus},
	{"WC05 401", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nhi", DialOptions{}, ErrStatus},
	{"WC05 426", "HTTP/1.1 426 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", DialOptions{}, ErrStatus},
	{"WC05 503", "HTTP/1.1 503 Service Unavailable\r\n\r\nhi", DialOptions{}, ErrStatus},
	{"WC06 302", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nhi", DialOptions{}, ErrStatus},
	{"HTTP/1.0", strings.Replace(good(""), "HTTP/1.1", "HTTP/1.0", 1), DialOptions{}, ErrHTTPVersion},
	{"WC09, hw-19 a length: no 101 has a body (RFC 9112 §6.3)", good("Content-Length: 2147483647\r\n"), DialOptions{}, nil},
	{"WC09 chunks", good("Transfer-Encoding: chunked\r\n"), DialOptions{}, nil},
	{"a head with LF alone", strings.ReplaceAll(good(""), "\r\n", "\n"), DialOptions{}, httpmini.ErrLineEnd},
	{"the same, forgiven", strings.ReplaceAll(good(""), "\r\n", "\n"), DialOptions{Config: Config{Lenient: func(error) {}}}, nil},
	{"no HTTP at all", "220 mail.example ESMTP\r\n\r\n", DialOptions{}, httpmini.ErrNotHTTP},
	{"nothing", "", DialOptions{}, io.EOF},
	{"cut", "HTTP/1.1 101 Swi", DialOptions{}, io.ErrUnexpectedEOF},
}

func TestDialResponses(t *testing.T) {
	for _, tt := range responses {
		synctest.Test(t, func(t *testing.T) {
			s := &script{t: t, steps: []step{func(nc net.Conn, br *bufio.Reader, req *http.Request) {
				answer(tt.response)(nc, br, req)
				if strings.Contains(tt.response, "\r\n\r\nhi") && !strings.Contains(tt.response, "Content-Length") {
					nc.Close()
				}
				if b, _ := io.ReadAll(br); len(b) > 0 {
					t.Errorf("%s: after its request the client sent %x", tt.name, b)
				}
			}}}
			if tt.err == io.EOF || tt.err == io.ErrUnexpectedEOF {
				s.steps[0] = answer(tt.response)
			}
			res, err := s.run("ws://box/", tt.opt)
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: Dial: %v; want %v", tt.name, err, tt.err)
				return
			}
			he, refused := errors.AsType[*HandshakeError](err)
			switch {
			case tt.err == nil && res.Status != 101, tt.err == io.EOF && refused:
				t.Errorf("%s: Dial = %v, %v", tt.name, res, err)
			case refused && he.Response != res, tt.err == ErrStatus && (!refused || he.Status != res.Status):
				t.Errorf("%s: Dial = %v, %#v", tt.name, res, he)
			case tt.err == ErrStatus && (string(he.Body) != "hi" || !strings.Contains(err.Error(), fmt.Sprint("protocols: ", res.Status, " ", httpmini.StatusText(res.Status)))):
				t.Errorf("%s: Dial: %v, body %q", tt.name, err, he.Body)
			}
			if refused {
				came := strings.ReplaceAll(tt.response, "{accept}", AcceptKey(s.reqs[0].Header.Get("Sec-Websocket-Key")))
				if head, _, _ := strings.Cut(he.Head, "\r\n\r\n"); head == "" || !strings.HasPrefix(came, head) {
					t.Errorf("%s: the head is %q; want %q", tt.name, he.Head, came)
				}
			}
			if tt.err == ErrStatus {
				if b, _ := io.ReadAll(res.Body); string(b) != "hi" {
					t.Errorf("%s: the response's body is %q", tt.name, b)
				}
			}
		})
	}
}

// What Dial sends, byte for byte but for the key.
func TestDialRequest(t *testing.T) {
	for _, tt := range []struct {
		url  string
		opt  DialOptions
		want string
	}{
		{"ws://box", DialOptions{NoCompression: true}, "GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"},
		{"ws://ann:s%20e@box:8080/a?b", DialOptions{Origin: "http://x", Subprotocols: []string{"c", "d"}, Header: httpmini.Header{{Name: "User-Agent", Value: "me"}, {Name: "X", Value: "1"}, {Name: "X", Value: "2"}}},
			"GET /a?b HTTP/1.1\r\nHost: box:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nOrigin: http://x\r\n" +
				"Sec-WebSocket-Protocol: c, d\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; client_max_window_bits\r\n" +
				"Authorization: Basic YW5uOnMgZQ==\r\nUser-Agent: me\r\nX: 1\r\nX: 2\r\n\r\n"},
		{"ws://ann@box", DialOptions{ContextTakeover: true, Host: "other", Header: httpmini.Header{{Name: "authorization", Value: "Bearer x"}}},
			"GET / HTTP/1.1\r\nHost: other\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nauthorization: Bearer x\r\n\r\n"},
		{"ws://tok@box", DialOptions{NoCompression: true}, // hw-03
			"GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Basic dG9rOg==\r\n\r\n"},
		{"ws://tok@box", DialOptions{NoCompression: true, Header: httpmini.Header{{Name: "Authorization", Value: "a"}, {Name: "authorization", Value: "b"}}},
			"GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: a\r\n\r\n"},
		{"ws://box", DialOptions{OwnHandshake: true, Origin: "http://x", Subprotocols: []string{"a"}, Header: httpmini.Header{ // hw-16, hw-18
			{Name: "Connection", Value: "keep-alive, Upgrade"}, {Name: "upgrade", Value: "WebSocket"}, {Name: "Sec-WebSocket-Key", Value: "SGVsbG8sIHdvcmxkIQ=="},
			{Name: "Sec-WebSocket-Version", Value: "8"}, {Name: "Origin", Value: "null"}, {Name: "Sec-WebSocket-Protocol", Value: "b"}, {Name: "Sec-WebSocket-Protocol", Value: "c"}}},
			"GET / HTTP/1.1\r\nHost: box\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; client_max_window_bits\r\nConnection: keep-alive, Upgrade\r\n" +
				"upgrade: WebSocket\r\nSec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==\r\nSec-WebSocket-Version: 8\r\nOrigin: null\r\nSec-WebSocket-Protocol: b\r\nSec-WebSocket-Protocol: c\r\n\r\n"},
	} {
		u, err := parseURL(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		tt.opt.Jar = new(httpmini.Jar)
		if got := tt.opt.request(u, "{key}").AppendHead(nil); string(got) != tt.want {
			t.Errorf("%s: the request is %q; want %q", tt.url, got, tt.want)
		}
	}
}

// Each connection has a key of its own, and goes to where the URL says.
func TestDialKeys(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		s := &script{t: t, steps: []step{answer(good(""))}}
		if _, err := s.run("ws://box:99/", DialOptions{}); err != nil {
			t.Fatal(err)
		}
		key := s.reqs[0].Header.Get("Sec-Websocket-Key")
		if seen[key] || !isKey(key) || s.addrs[0] != "box:99" {
			t.Errorf("dialed %v with key %q", s.addrs, key)
		}
		seen[key] = true
	}
}

// WC08: the response byte by byte, and a frame in its last segment.
func TestDialSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{func(nc net.Conn, br *bufio.Reader, req *http.Request) {
			head := strings.ReplaceAll(good(""), "{accept}", AcceptKey(req.Header.Get("Sec-Websocket-Key")))
			for i := range len(head) - 1 {
				io.WriteString(nc, head[i:i+1])
				time.Sleep(time.Millisecond)
			}
			io.WriteString(nc, head[len(head)-1:]+"\x81\x02hi")
			io.WriteString(nc, "\x81\x01!")
			io.ReadAll(br)
		}}}
		c, _, err := Dial(t.Context(), "ws://box/", DialOptions{NetDial: s.dial})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"hi", "!"} {
			if m, err := c.ReadMessage(); string(m.Data) != want || err != nil {
				t.Errorf("ReadMessage = %q, %v; want %q", m.Data, err, want)
			}
		}
		c.NetConn().Close()
		s.wg.Wait()
	})
}

// WC07: a head without end, and a body longer than anybody wants.
func TestDialTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		s := &script{t: t, steps: []step{func(nc net.Conn, br *bufio.Reader, req *http.Request) {
			io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\n")
			for ; sent < 1<<20; sent += 1000 {
				if _, err := io.WriteString(nc, "X: "+strings.Repeat("y", 995)+"\r\n"); err != nil {
					return
				}
			}
		}}}
		_, err := s.run("ws://box/", DialOptions{})
		if he, ok := errors.AsType[*HandshakeError](err); !ok || !errors.Is(he, httpmini.ErrHeadTooLarge) || sent > 80<<10 {
			t.Errorf("a head of 1 MiB: %v after %d bytes", err, sent)
		}
		s = &script{t: t, steps: []step{answer("HTTP/1.1 404 Not Found\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat("x", 3000000))}}
		_, err = s.run("ws://box/", DialOptions{})
		if he, ok := errors.AsType[*HandshakeError](err); !ok || len(he.Body) != maxRefusal {
			t.Errorf("a body of 3 MB: %v", err)
		}
	})
}

// Nobody waits for ever, and for the body of a refusal not even long.
func TestDialTime(t *testing.T) {
	silent := func(response string) step {
		return func(nc net.Conn, br *bufio.Reader, req *http.Request) {
			answer(response)(nc, br, req)
			io.ReadAll(br)
		}
	}
	for _, tt := range []struct {
		name   string
		play   step
		opt    DialOptions
		cancel time.Duration // after which ctx is cancelled, 0 for never
		want   time.Duration
		err    error
	}{
		{"no response", silent(""), DialOptions{}, 0, 10 * time.Second, context.DeadlineExceeded},
		{"no response, in the caller's time", silent("HTTP/1.1 1"), DialOptions{Timeout: time.Second}, 0, time.Second, context.DeadlineExceeded},
		{"the caller gives up", silent(""), DialOptions{}, 3 * time.Second, 3 * time.Second, context.Canceled},
		{"the body stops", silent("HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nhi"), DialOptions{}, 0, 2 * time.Second, ErrStatus},
		{"a body in chunks stops", silent("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"), DialOptions{}, 0, 2 * time.Second, ErrStatus},
		{"the end of the connection does not come", silent("HTTP/1.1 401 Unauthorized\r\n\r\nhi"), DialOptions{}, 0, 500 * time.Millisecond, ErrStatus},
		{"the body stops, the caller gives up", silent("HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nhi"), DialOptions{}, time.Second, time.Second, ErrStatus},
		{"the body stops late", silent("HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nhi"), DialOptions{Timeout: time.Second}, 0, time.Second, ErrStatus},
		{"the body is whole", silent("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nhi"), DialOptions{}, 0, 0, ErrStatus},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.cancel > 0 {
				time.AfterFunc(tt.cancel, cancel)
			}
			s := &script{t: t, steps: []step{tt.play}}
			tt.opt.NetDial = s.dial
			start := time.Now()
			_, _, err := Dial(ctx, "ws://box/", tt.opt)
			if took := time.Since(start); took != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s: Dial: %v after %v; want %v after %v", tt.name, err, took, tt.err, tt.want)
			}
			if he, ok := errors.AsType[*HandshakeError](err); ok && string(he.Body) != "hi" && he.Head != "HTTP/1.1 1" {
				t.Errorf("%s: the body is %q; want what came", tt.name, he.Body)
			}
			s.wg.Wait()
		})
	}
}

// Where no connection came in time, that is the error, and not the opening handshake's.
func TestDialNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := func(ctx context.Context, network, addr string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
		_, _, err := Dial(t.Context(), "ws://box/", DialOptions{NetDial: none})
		if want := "dial tcp: context deadline exceeded"; err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial: %v; want %s", err, want)
		}
	})
}

// A context that ends when all is done still ends the dialing.
func TestDialCancelledLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		go func() {
			br := bufio.NewReader(server)
			req, _ := http.ReadRequest(br)
			answer(good(""))(server, br, req)
			io.ReadAll(br)
		}()
		c, _, err := Dial(ctx, "ws://box/", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) {
			return &cancelling{client, cancel}, nil
		}})
		if c != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("Dial = %v, %v; want %v", c, err, context.Canceled)
		}
		synctest.Wait()
	})
}

// cancelling ends a context when it has been read.
type cancelling struct {
	net.Conn
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.cancel()
	return n, err
}

func TestDialFails(t *testing.T) {
	refused := errors.New("connection refused")
	broken, peer := net.Pipe()
	peer.Close()
	for _, tt := range []struct {
		name string
		opt  DialOptions
		want error
	}{
		{"dialing", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}, refused},
		{"sending", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return broken, nil }}, io.ErrClosedPipe},
	} {
		if c, res, err := Dial(t.Context(), "ws://box/", tt.opt); c != nil || res != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: Dial = %v, %v, %v; want %v", tt.name, c, res, err, tt.want)
		}
	}
}

// WC22 and the like: nothing is sent.
func TestDialCheck(t *testing.T) {
	field := func(name, value string) DialOptions {
		return DialOptions{Header: httpmini.Header{{Name: "Ok", Value: "x"}, {Name: name, Value: value}}}
	}
	for _, opt := range []DialOptions{
		field("X", "a\r\nY: b"), field("X", "a\nb"), field("X", "a\x00b"), field("X\r\nY", "a"), field("", "a"), field("X Y", "a"), field("X:", "a"),
		field("Host", "x"), field("host", ""), field("Sec-WebSocket-Key", "x"), field("sec-websocket-version", "13"), field("Sec-Websocket-Extensions", "x"),
		field("Sec-WebSocket-Protocol", "x"), field("Upgrade", "h2c"), field("Connection", "close"), field("Content-Length", "0"), field("Transfer-Encoding", "chunked"),
		{Origin: "http://x", Header: httpmini.Header{{Name: "origin", Value: "http://y"}}},
		{Origin: "http://x\r\n"}, {Host: "x\r\ny"},
		{Subprotocols: []string{"a b"}}, {Subprotocols: []string{""}}, {Subprotocols: []string{"a", "b", "a"}}, {Subprotocols: []string{"a,b"}},
	} {
		opt.NetDial = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%+v: dialed", opt)
			return nil, errors.New("dialed")
		}
		if _, _, err := Dial(t.Context(), "ws://box/", opt); !errors.Is(err, ErrField) {
			t.Errorf("header %q, origin %q, host %q, subprotocols %q: %v; want %v", opt.Header, opt.Origin, opt.Host, opt.Subprotocols, err, ErrField)
		}
	}
	s := &script{t: t, steps: []step{answer(good(""))}}
	if _, err := s.run("ws://box/", field("Origin", "http://x")); err != nil || s.reqs[0].Header.Get("Origin") != "http://x" {
		t.Errorf("an Origin among the fields: %v", err)
	}
}

func moved(location string) step {
	return answer("HTTP/1.1 302 Found\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n")
}

var opens = answer(good(""))

var redirects = []struct {
	name  string
	url   string
	max   int
	opt   DialOptions
	steps []step
	want  []string // address, Host, target and how many fields of secrets
	err   error
}{
	{"WC06 not asked for", "ws://a/x", 0, DialOptions{}, []step{moved("/y")}, []string{"a:80 a /x 8"}, ErrStatus},
	{"on the same server", "ws://a/x/y?q", 1, DialOptions{}, []step{moved("z?r"), opens}, []string{"a:80 a /x/y?q 8", "a:80 a /x/z?r 8"}, nil},
	{"an http URL, its port said", "ws://a/", 1, DialOptions{}, []step{moved("http://A:80/y#f"), opens}, []string{"a:80 a / 8", "a:80 a /y 8"}, nil},
	{"on another port", "ws://a/", 1, DialOptions{}, []step{moved("ws://a:81/"), opens}, []string{"a:80 a / 8", "a:81 a:81 / 1"}, nil},
	{"on another host", "ws://a/", 1, DialOptions{Host: "virtual"}, []step{moved("//b/"), opens}, []string{"a:80 virtual / 8", "b:80 b / 1"}, nil},
	{"and back again", "ws://a/", 5, DialOptions{}, []step{moved("//b/"), moved("//a/"), opens}, []string{"a:80 a / 8", "b:80 b / 1", "a:80 a / 1"}, nil},
	{"on another host, trusted", "ws://a/", 1, DialOptions{TrustRedirects: true}, []step{moved("//b/"), opens}, []string{"a:80 a / 8", "b:80 b / 8"}, nil},
	{"with a stronger scheme", "ws://a/", 1, DialOptions{}, []step{moved("https://a/"), opens}, []string{"a:80 a / 8", "a:443 a / 1"}, nil},
	{"to a Unix socket", "ws://a/", 1, DialOptions{}, []step{moved("ws+unix:///run/e.sock")}, []string{"a:80 a / 8"}, ErrRedirect},
	{"to another Unix socket", "ws+unix:/s", 1, DialOptions{}, []step{moved("ws+unix:///t")}, []string{"/s localhost / 8"}, ErrRedirect},
	{"with a backslash, which to some is a slash", "ws://a/", 1, DialOptions{}, []step{moved(`//a\\@b/`)}, []string{"a:80 a / 8"}, ErrRedirect},
	{"with percent signs", "ws://a/5?%", 2, DialOptions{}, []step{moved("?6%"), moved("/7?8%zz"), opens}, []string{"a:80 a /5?% 8", "a:80 a /5?6% 8", "a:80 a /7?8%zz 8"}, nil},
	{"through a Unix socket", "ws+unix:/s:/x", 2, DialOptions{}, []step{moved("y"), moved("ws://b/"), opens}, []string{"/s localhost /x 8", "/s localhost /y 8", "b:80 b / 1"}, nil},
	{"with a weaker scheme", "wss://a/", 1, DialOptions{}, []step{moved("http://a/"), opens}, []string{"a:443 a / 8"}, ErrRedirect},
	{"without end", "ws://a/", 3, DialOptions{}, []step{moved("/"), moved("/"), moved("/"), moved("/"), opens}, []string{"a:80 a / 8", "a:80 a / 8", "a:80 a / 8", "a:80 a / 8"}, ErrRedirect},
	{"to a file", "ws://a/", 1, DialOptions{}, []step{moved("file:///etc/passwd")}, []string{"a:80 a / 8"}, ErrRedirect},
	{"to nothing", "ws://a/", 1, DialOptions{}, []step{moved("ws://")}, []string{"a:80 a / 8"}, ErrRedirect},
	{"to what is no URL", "ws://a/", 1, DialOptions{}, []step{moved("http://[::1")}, []string{"a:80 a / 8"}, ErrRedirect},
	{"not a redirect", "ws://a/", 1, DialOptions{}, []step{answer("HTTP/1.1 304 Not Modified\r\nLocation: /y\r\n\r\n")}, []string{"a:80 a / 8"}, ErrStatus},
	{"without a Location", "ws://a/", 1, DialOptions{}, []step{answer("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")}, []string{"a:80 a / 8"}, ErrStatus},
}

func TestDialRedirects(t *testing.T) {
	secrets := httpmini.Header{{Name: "Authorization", Value: "a"}, {Name: "Cookie", Value: "b"}, {Name: "Proxy-Authorization", Value: "c"}, {Name: "X-Api-Key", Value: "d"},
		{Name: "X-Auth", Value: "e"}, {Name: "My-Token", Value: "f"}, {Name: "secretly", Value: "g"}, {Name: "Accept-Language", Value: "en"}}
	for _, tt := range redirects {
		s := &script{t: t, steps: tt.steps}
		tt.opt.Header, tt.opt.MaxRedirects = secrets, tt.max
		tt.opt.TLS = func(_ context.Context, c net.Conn, name string) (net.Conn, error) { return c, nil }
		at := tt.url
		tt.opt.OnRequest = func(req *httpmini.Request) { at += " " + req.Target }
		tt.opt.OnRedirect = func(res *httpmini.Response, url string) { at += fmt.Sprint(" ", res.Status, " ", url) }
		if _, err := s.run(tt.url, tt.opt); !errors.Is(err, tt.err) {
			t.Errorf("%s: Dial: %v; want %v", tt.name, err, tt.err)
		}
		if tt.name == "through a Unix socket" && at != "ws+unix:/s:/x /x 302 ws+unix:/s:/y /y 302 ws://b/ /" {
			t.Errorf("%s: was told of %s", tt.name, at)
		}
		var got []string
		for i, req := range s.reqs {
			n := 0
			for _, f := range secrets {
				n += len(req.Header.Values(f.Name))
			}
			got = append(got, fmt.Sprint(s.addrs[i], " ", req.Host, " ", req.RequestURI, " ", n))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: went to %q; want %q", tt.name, got, tt.want)
		}
		if len(tt.opt.Header) != 8 {
			t.Errorf("%s: the caller's header was changed to %q", tt.name, tt.opt.Header)
		}
	}
}

// hw-14: cookies that a redirect sets go where it leads, if that may have them.
func TestDialCookies(t *testing.T) {
	to := func(location, fields string) step {
		return answer("HTTP/1.1 302 Found\r\nLocation: " + location + "\r\n" + fields + "Content-Length: 0\r\n\r\n")
	}
	for _, tt := range []struct{ location, fields, given, want string }{
		{"/b", "Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/b\r\n", "", "b=2; a=1"},
		{"/b", "Set-Cookie: a=1\r\n", "c=3", "c=3; a=1"},
		{"/b", "Set-Cookie: a=1; Secure\r\nSet-Cookie: b=2; Domain=other\r\n", "c=3", "c=3"},
		{"//other/", "Set-Cookie: a=1\r\n", "c=3", ""},
	} {
		var jar httpmini.Jar
		s := &script{t: t, steps: []step{to(tt.location, tt.fields), answer(good("Set-Cookie: last=1\r\n"))}}
		opt := DialOptions{MaxRedirects: 1, Jar: &jar}
		if tt.given != "" {
			opt.Header = httpmini.Header{{Name: "Cookie", Value: tt.given}}
		}
		if _, err := s.run("ws://box/", opt); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.reqs[1].Header["Cookie"], " and "); got != tt.want {
			t.Errorf("redirected to %s with %q: cookies %q; want %q", tt.location, tt.fields, got, tt.want)
		}
		if all := jar.All(); all[len(all)-1].Name != "last" {
			t.Errorf("the jar has %v; want what the 101 set as well", all)
		}
	}
	s := &script{t: t, steps: []step{to("/b", "Set-Cookie: a=1\r\n"), answer(good(""))}}
	if _, err := s.run("ws://box/", DialOptions{MaxRedirects: 1}); err != nil || s.reqs[1].Header.Get("Cookie") != "a=1" {
		t.Errorf("without a jar: %v, cookies %q", err, s.reqs[1].Header["Cookie"])
	}
}

// The user of the URL stays with its server.
func TestDialRedirectUser(t *testing.T) {
	to := func(location string) step {
		return answer("HTTP/1.1 307 x\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n")
	}
	for _, tt := range []struct {
		location string
		trust    bool
		want     string
	}{{"/y", false, "ann:s"}, {"//b/", false, ":"}, {"//b/", true, "ann:s"}, {"//bob:t@b/", false, ":"}, {"//bob:t@a/", false, "ann:s"}} {
		s := &script{t: t, steps: []step{to(tt.location), answer(good(""))}}
		if _, err := s.run("ws://ann:s@a/", DialOptions{MaxRedirects: 1, TrustRedirects: tt.trust}); err != nil {
			t.Fatal(err)
		}
		if user, password, _ := s.reqs[1].BasicAuth(); user+":"+password != tt.want {
			t.Errorf("redirected to %s, trust %v: user %s:%s; want %s", tt.location, tt.trust, user, password, tt.want)
		}
	}
}

// A target is a httpmini.Where in short.
type target struct {
	secure                         bool
	user, host, port, path, socket string
}

func short(w httpmini.Where) target {
	t := target{w.Secure(), w.Credentials(), w.Host, w.DialPort(), w.Target(), ""}
	if w.Network() == "unix" {
		t.host, t.socket = "", w.Host
	}
	if w.Scheme == "" {
		return target{}
	}
	return t
}

// urls are what parseURL makes of URLs; host "" is a refusal.
var urls = []struct {
	url  string
	want target
	host string // the Host field
}{
	{"ws://box", target{false, "", "box", "80", "/", ""}, "box"},
	{"wss://box", target{true, "", "box", "443", "/", ""}, "box"},
	{"WS://Box.Example:80/A", target{false, "", "box.example", "80", "/A", ""}, "box.example"},
	{"wss://box:80/", target{true, "", "box", "80", "/", ""}, "box:80"},
	{"ws://box:443", target{false, "", "box", "443", "/", ""}, "box:443"},
	{"ws://box:08080/", target{false, "", "box", "8080", "/", ""}, "box:8080"},
	{"ws://box:/", target{false, "", "box", "80", "/", ""}, "box"},
	{"ws://box./", target{false, "", "box.", "80", "/", ""}, "box."},
	{"ws://box?q=/", target{false, "", "box", "80", "/?q=/", ""}, "box"},
	{"ws://box/a/../b?c=d%20e&f=[g]", target{false, "", "box", "80", "/a/../b?c=d%20e&f=[g]", ""}, "box"},
	{"ws://box/ü{x}\"", target{false, "", "box", "80", "/%C3%BC{x}\"", ""}, "box"},
	{"ws://a_b-c.9d/", target{false, "", "a_b-c.9d", "80", "/", ""}, "a_b-c.9d"},
	{"ws://192.0.2.1:1/", target{false, "", "192.0.2.1", "1", "/", ""}, "192.0.2.1:1"},
	{"ws://[::1]/", target{false, "", "::1", "80", "/", ""}, "[::1]"},
	{"ws://[2001:DB8::0:1]:65535/", target{false, "", "2001:db8::1", "65535", "/", ""}, "[2001:db8::1]:65535"},
	{"ws://[fe80::1%25lo]/", target{false, "", "fe80::1%lo", "80", "/", ""}, "[fe80::1]"},
	{"ws://[fe80::1%lo]:81/", target{false, "", "fe80::1%lo", "81", "/", ""}, "[fe80::1]:81"},
	{"ws://ann@box/", target{false, "ann:", "box", "80", "/", ""}, "box"},
	{"ws://ann:p%40%3a@box/", target{false, "ann:p@:", "box", "80", "/", ""}, "box"},
	{"ws://ann%zz@box/", target{false, "ann%zz:", "box", "80", "/", ""}, "box"},
	{"ws://:pw@box/", target{false, ":pw", "box", "80", "/", ""}, "box"},
	{"ws://@box/", target{false, "", "box", "80", "/", ""}, "box"},
	{"ws://box/50%?q=100%&b=%zz&c=%4", target{false, "", "box", "80", "/50%?q=100%&b=%zz&c=%4", ""}, "box"}, // hw-39
	{"ws+unix:/run/e.sock", target{false, "", "", "", "/", "/run/e.sock"}, "localhost"},                     // hw-32
	{"WS+unix:/run/e.sock:/a/b?c:d", target{false, "", "", "", "/a/b?c:d", "/run/e.sock"}, "localhost"},
	{"wss+unix:e.sock:?q", target{}, ""},
	{"ws+unix:///run/e.sock:/", target{false, "", "", "", "/", "/run/e.sock"}, "localhost"},
	{"ws://box/a+unix:b", target{false, "", "box", "80", "/a+unix:b", ""}, "box"},
	{"ws://box/a@b:c", target{false, "", "box", "80", "/a@b:c", ""}, "box"},

	{"", target{}, ""},
	{"box", target{}, ""},
	{"box:80", target{}, ""},
	{"ws:box", target{}, ""},
	{"ws:/box", target{}, ""},
	{"//box", target{}, ""},
	{"http://box", target{}, ""},
	{" ws://box", target{}, ""},
	{"ws://", target{}, ""},
	{"ws:///path", target{}, ""},
	{"ws://:80/", target{}, ""},
	{"ws://box/#x", target{}, ""}, // RFC 6455 §3
	{"ws://box#x", target{}, ""},
	{"ws://bo x/", target{}, ""}, // HC33
	{"ws://box/a b", target{}, ""},
	{"ws://box/a\r\nX: y", target{}, ""},
	{"ws://box/\x00", target{}, ""},
	{"ws://box/\x7f", target{}, ""},
	{"ws://box\\@evil/", target{}, ""},
	{"ws://a@b@c/", target{}, ""},
	{"ws://h:99999/", target{}, ""},
	{"ws://h:0/", target{}, ""},
	{"ws://h:-1/", target{}, ""},
	{"ws://h:+1/", target{}, ""},
	{"ws://h:80x/", target{}, ""},
	{"ws://h:80:90/", target{}, ""},
	{"ws://[::1", target{}, ""},
	{"ws://[::1/", target{}, ""},
	{"ws://::1/", target{}, ""},
	{"ws://[::1]x/", target{}, ""},
	{"ws://x[::1]/", target{}, ""},
	{"ws://[127.0.0.1]/", target{}, ""},
	{"ws://[box]/", target{}, ""},
	{"ws://[]/", target{}, ""},
	{"ws://[fe80::1%25]/", target{}, ""},
	{"ws://[fe80::1%25a%25b]/", target{}, ""},
	{"ws://127.1/", target{}, ""}, // HC34
	{"ws://0x7f.1/", target{}, ""},
	{"ws://2130706433/", target{}, ""},
	{"ws://0x7f000001/", target{}, ""},
	{"ws://127.0.0.0x1/", target{}, ""},
	{"ws://127.0.0.01/", target{}, ""},
	{"ws://127.0.0.1.1/", target{}, ""},
	{"ws://256.0.0.1/", target{}, ""},
	{"ws://127.0.0.1./", target{}, ""},
	{"ws://bücher.example/", target{}, ""},
	{"ws://a..b/", target{}, ""},
	{"ws://.a/", target{}, ""},
	{"ws://a%41/", target{}, ""},
	{"ws://a,b/", target{}, ""},
	{"ws://" + strings.Repeat("a", 64) + "/", target{}, ""},
	{"ws://" + strings.Repeat("a.", 127) + "/", target{}, ""},
	{"ws+unix:", target{}, ""},
	{"ws+unix://", target{}, ""},
	{"ws+unix::/x", target{}, ""},
	{"ws+unix:/s:/x#y", target{}, ""},
	{"http+unix:/s", target{}, ""},
}

func TestParseURL(t *testing.T) {
	for _, tt := range urls {
		got, err := parseURL(tt.url)
		if short(got) != tt.want || (err == nil) != (tt.host != "") || err != nil && !errors.Is(err, ErrURL) {
			t.Errorf("parseURL(%q) = %+v, %v; want %+v", tt.url, got, err, tt.want)
		} else if err == nil && got.Authority() != tt.host {
			t.Errorf("the Host of %q is %q; want %q", tt.url, got.Authority(), tt.host)
		}
	}
	if _, _, err := Dial(t.Context(), "ws://ann:geheim@b@x/", DialOptions{}); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "geheim") {
		t.Errorf("Dial of a bad URL: %v", err)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, tt := range urls {
		f.Add(tt.url)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			return
		}
		again, err := parseURL(u.String())
		if again.Target() != u.Target() || again.Address() != u.Address() || again.Secure() != u.Secure() || err != nil {
			t.Errorf("parseURL(%q) = %+v, and that again %+v, %v", raw, u, again, err)
		}
		if line := (&httpmini.Request{Method: "GET", Target: u.Target()}).AppendHead(nil); strings.Count(string(line), " ") != 2 || u.Target()[0] != '/' {
			t.Errorf("parseURL(%q) = %+v, whose request is %q", raw, u, line)
		}
	})
}

// FuzzJudge looks for responses that should not open a connection.
func FuzzJudge(f *testing.F) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for _, tt := range responses {
		f.Add([]byte(strings.ReplaceAll(tt.response, "{accept}", AcceptKey(key))), byte(len(tt.opt.Subprotocols)))
	}
	f.Fuzz(func(t *testing.T, wire []byte, kind byte) {
		opt := DialOptions{Jar: new(httpmini.Jar), NoCompression: kind&1 != 0, Subprotocols: []string{"a", "b"}[:kind>>1&1]}
		res, err := httpmini.ReadFinal(bufio.NewReader(bytes.NewReader(wire)), "GET", true, httpmini.ClientLimits)
		if err != nil {
			return
		}
		ag, err := opt.judge(res, opt.request(httpmini.Where{}, key))
		if err != nil {
			return
		}
		if res.Faults&httpmini.FaultName != 0 {
			return // net/http refuses such a field, or takes it for another one
		}
		at := bytes.Index(wire, []byte("HTTP/1.1 101")) // after interim ones
		std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire[max(at, 0):])), nil)
		if err != nil || std.StatusCode != 101 || std.Header.Get("Sec-Websocket-Accept") != AcceptKey(key) || len(std.Header["Sec-Websocket-Accept"]) != 1 {
			t.Fatalf("%q is accepted; net/http: %v, %v", wire, std, err)
		}
		if !strings.Contains(strings.ToLower(strings.Join(std.Header["Upgrade"], ",")), "websocket") || !strings.Contains(strings.ToLower(strings.Join(std.Header["Connection"], ",")), "upgrade") {
			t.Fatalf("%q is accepted without an upgrade", wire)
		}
		if got := std.Header["Sec-Websocket-Protocol"]; len(got) > 1 || len(got) == 1 && (got[0] != ag.Subprotocol || !slices.Contains(opt.Subprotocols, got[0])) {
			t.Fatalf("%q is accepted with subprotocol %q", wire, got)
		}
		if std.Header["Sec-Websocket-Extensions"] != nil != (ag.Deflate != nil) || ag.Deflate != nil && opt.NoCompression {
			t.Fatalf("%q is accepted with %v", wire, ag.Deflate)
		}
	})
}

// Both of our sides over TCP, with every combination of what they agree on.
func TestDialAccept(t *testing.T) {
	for _, tt := range []struct {
		opt  DialOptions
		acc  AcceptOptions
		want Agreement
	}{
		{DialOptions{}, AcceptOptions{}, Agreement{"", &DeflateParams{true, true, 0, 0}}},
		{DialOptions{ContextTakeover: true}, AcceptOptions{ContextTakeover: true}, Agreement{"", &DeflateParams{}}},
		{DialOptions{}, AcceptOptions{ContextTakeover: true}, Agreement{"", &DeflateParams{false, true, 0, 0}}},
		{DialOptions{NoCompression: true}, AcceptOptions{}, Agreement{}},
		{DialOptions{Subprotocols: []string{"a", "b"}}, AcceptOptions{NoCompression: true, Subprotocols: []string{"b", "a"}}, Agreement{"b", nil}},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &httpmini.Server{Handler: func(x *httpmini.Exchange) {
			c, err := AcceptExchange(x, tt.acc, Config{})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(0, "")
			for {
				m, err := c.ReadMessage()
				if err != nil {
					return
				}
				c.WriteMessage(m.Opcode, m.Data)
			}
		}}
		var wg sync.WaitGroup
		wg.Go(func() {
			if nc, err := ln.Accept(); err == nil {
				s.ServeConn(nc)
			}
		})
		c, res, err := Dial(t.Context(), "ws://"+ln.Addr().String()+"/x", tt.opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Agreement(); !reflect.DeepEqual(got, tt.want) || res.Status != 101 {
			t.Errorf("agreed on %v %v; want %v %v", got.Subprotocol, got.Deflate, tt.want.Subprotocol, tt.want.Deflate)
		}
		for _, m := range messages() {
			if err := c.WriteMessage(OpBinary, m); err != nil {
				t.Fatal(err)
			}
			if got, err := c.ReadMessage(); err != nil || !bytes.Equal(got.Data, m) {
				t.Fatalf("%v: %d bytes come back as %d, %v", tt.want.Deflate, len(m), len(got.Data), err)
			}
		}
		if err := c.Close(StatusNormalClosure, ""); err != nil {
			t.Errorf("Close: %v", err)
		}
		ln.Close()
		wg.Wait()
	}
}

func ExampleDial() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &Server{OnMessage: func(u *User, m Message) { u.Reply(m.Opcode, m.Data) }}
	go server.Serve(ln)
	defer server.Shutdown(context.Background())

	c, _, err := Dial(context.Background(), "ws://"+ln.Addr().String()+"/echo", DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(StatusNormalClosure, "")
	c.WriteMessage(OpText, []byte("hello"))
	m, err := c.ReadMessage()
	fmt.Printf("%v %s %v\n", m.Opcode, m.Data, err)
	// Output: text hello <nil>
}

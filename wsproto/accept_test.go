package wsproto

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A middleware is what net/http programs put around a ResponseWriter.
type middleware struct{ http.ResponseWriter }

func (m middleware) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// acceptServer is a server of net/http that echoes; what Accept returned comes out.
func acceptServer(t *testing.T, opt AcceptOptions) (*httptest.Server, <-chan error) {
	ended := make(chan error, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(http.NewResponseController(middleware{w}), r, opt, Config{})
		ended <- err
		if err != nil {
			return
		}
		defer c.Close(StatusNormalClosure, "")
		for {
			m, err := c.ReadMessage()
			if err != nil || c.Reply(m.Opcode, m.Data) != nil {
				return
			}
		}
	}))
	s.Config.ReadTimeout = time.Hour
	t.Cleanup(s.Close)
	return s, ended
}

// acceptances are requests to a server of net/http and how the answers begin and end.
var acceptances = []struct {
	name, request string
	starts, ends  string
	err           error
}{
	{"a handshake, and a frame with it", goodHandshake + string(frame(RoleServer, 0x81, "hi")) + string(frame(RoleServer, 0x88, "\x03\xe8")),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "\x81\x02hi\x88\x02\x03\xe8", nil},
	{"a page of another origin", strings.Replace(goodHandshake, plus, more("Origin: http://evil.example"), 1), "HTTP/1.1 403 ", ErrOrigin.Error() + "\n", ErrOrigin},
	{"no upgrade", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 426 ", ErrUpgrade.Error() + "\n", ErrUpgrade},
	{"HTTP/1.0", strings.Replace(goodHandshake, "HTTP/1.1", "HTTP/1.0", 1), "HTTP/1.1 400 ", ErrHTTPVersion.Error() + "\n", ErrHTTPVersion},
	{"a body that does not come", strings.Replace(goodHandshake, plus, more("Content-Length: 5"), 1), "HTTP/1.1 400 ", ErrBody.Error() + "\n", ErrBody},
	{"a body in chunks that do not come", strings.Replace(goodHandshake, plus, more("Transfer-Encoding: chunked"), 1), "HTTP/1.1 400 ", ErrBody.Error() + "\n", ErrBody},
	{"two keys", strings.Replace(goodHandshake, keyLine, keyLine+keyLine, 1), "HTTP/1.1 400 ", ErrKey.Error() + "\n", ErrKey},
}

func TestAcceptNetHTTP(t *testing.T) {
	for _, tt := range acceptances {
		s, ended := acceptServer(t, AcceptOptions{})
		s.Start()
		nc, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, tt.request); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(nc)
		if !strings.HasPrefix(string(got), tt.starts) || !strings.HasSuffix(string(got), tt.ends) || err != nil {
			t.Errorf("%s: got %q, %v; want %q … %q", tt.name, got, err, tt.starts, tt.ends)
		}
		nc.Close()
		err = <-ended
		if _, ok := errors.AsType[*HandshakeError](err); !errors.Is(err, tt.err) || ok != (tt.err != nil) {
			t.Errorf("%s: Accept: %v; want %v", tt.name, err, tt.err)
		}
	}
}

// TestAcceptNetHTTPDial: our client comes in with all that can be agreed on, through
// TLS as well, where the page of the server itself is https.
func TestAcceptNetHTTPDial(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s, _ := acceptServer(t, AcceptOptions{Subprotocols: []string{"*"}, ContextTakeover: true})
		url, start := "ws://", s.Start
		if secure {
			url, start = "wss://", s.StartTLS
		}
		start()
		opt := DialOptions{Subprotocols: []string{"a", "b"}, ContextTakeover: true, Origin: s.URL}
		opt.TLS = func(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
			return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), nil
		}
		c, _, err := Dial(t.Context(), url+s.Listener.Addr().String()+"/path?query", opt)
		if err != nil {
			t.Fatalf("TLS %v: %v", secure, err)
		}
		if ag := c.Agreement(); ag.Subprotocol != "a" || ag.Deflate == nil || *ag.Deflate != (DeflateParams{}) {
			t.Errorf("TLS %v: agreed on %+v", secure, ag)
		}
		want := strings.Repeat("again and ", 1000)
		c.WriteMessage(OpText, []byte(want))
		if m, err := c.ReadMessage(); string(m.Data) != want || err != nil {
			t.Errorf("TLS %v: %d bytes came back, %v", secure, len(m.Data), err)
		}
		if err := c.Close(StatusNormalClosure, ""); err != nil {
			t.Errorf("TLS %v: Close: %v", secure, err)
		}
	}
}

// noHijacker is what net/http gives for HTTP/2.
type noHijacker struct{}

func (noHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, http.ErrNotSupported
}

func TestAcceptNoHijack(t *testing.T) {
	c, err := Accept(noHijacker{}, httptest.NewRequest("GET", "/", nil), AcceptOptions{}, Config{})
	if _, refused := errors.AsType[*HandshakeError](err); c != nil || !errors.Is(err, http.ErrNotSupported) || refused {
		t.Errorf("Accept = %v, %v; want what Hijack said", c, err)
	}
}

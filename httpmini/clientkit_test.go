package httpmini

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A stage is the other side of a client under a fake clock: a script for each
// connection that it dials, in their order.
type stage struct {
	t       *testing.T
	scripts []func(p *part)
	c       Client

	mu    sync.Mutex
	heads []string // of the requests that came, with the bodies that were read
	all   sync.WaitGroup
}

// A part is one end of a connection that a script plays.
type part struct {
	s  *stage
	nc net.Conn
	br *bufio.Reader

	body io.Reader // of the request
}

var errNoScript = errors.New("nobody there")

// perform runs talk with a client whose connections the scripts play. All that was
// started has ended when it returns, or synctest says what did not.
func perform(t *testing.T, talk func(s *stage), scripts ...func(p *part)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, scripts: scripts}
		s.c.Dial = s.dial
		talk(s)
		s.c.CloseIdle()
		s.all.Wait()
	})
}

func (s *stage) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.scripts) == 0 {
		return nil, errNoScript
	}
	script := s.scripts[0]
	s.scripts = s.scripts[1:]
	client, server := net.Pipe()
	s.all.Go(func() {
		p := &part{s: s, nc: server, br: bufio.NewReader(server)}
		script(p)
		server.Close()
	})
	return client, nil
}

// request reads a request with its body.
func (p *part) request() *Request {
	r, err := ReadRequest(p.br, Limits{})
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.s.heads = append(p.s.heads, string(r.AppendHead(nil))+string(body))
	if err != nil {
		return nil
	}
	return r
}

// send sends wire, and reports whether it was taken.
func (p *part) send(wire string) bool {
	_, err := io.WriteString(p.nc, wire)
	return err == nil
}

// stay reads until the client goes.
func (p *part) stay() { io.Copy(io.Discard, p.br) }

// rest reads the request's body.
func (p *part) rest() string {
	b, err := io.ReadAll(p.body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// answers makes a script: each of wires answers a request; then the connection is
// closed.
func answers(wires ...string) func(p *part) {
	return func(p *part) {
		for _, wire := range wires {
			if p.request() == nil || !p.send(wire) {
				return
			}
		}
	}
}

// staying is answers for a server that does not close.
func staying(wires ...string) func(p *part) {
	return func(p *part) {
		answers(wires...)(p)
		p.stay()
	}
}

// do sends r and reads the whole answer: its status and body, or the error.
func (s *stage) do(r *Request) (string, error) {
	return fetch(s.t.Context(), &s.c, "http://a/", r)
}

func fetch(ctx context.Context, c *Client, rawURL string, r *Request) (string, error) {
	a, err := c.Do(ctx, rawURL, r)
	if err != nil {
		return "", err
	}
	defer a.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return fmt.Sprint(a.Status), err
	}
	return fmt.Sprintf("%d %s", a.Status, body), nil
}

// want checks what do returns.
func (s *stage) want(r *Request, answer string, want error) {
	s.t.Helper()
	got, err := s.do(r)
	if got != answer || !errors.Is(err, want) {
		s.t.Errorf("%s: got %q, %v; want %q, %v", r.Method, got, err, answer, want)
	}
}

// wantRequests checks what the scripts read: how each request begins.
func (s *stage) wantRequests(begins ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) != len(begins) || !slices.EqualFunc(s.heads, begins, strings.HasPrefix) {
		s.t.Errorf("requests %q, want %q", s.heads, begins)
	}
	s.heads = nil
}

// lasting returns how long f took.
func lasting(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

package httpmini

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

func proxyTo(rawURL string) func(*url.URL) (*url.URL, error) {
	return func(*url.URL) (*url.URL, error) { return url.Parse(rawURL) }
}

// proxyFails is a choice of proxies that fails for one host.
func proxyFails(host string) func(*url.URL) (*url.URL, error) {
	return func(u *url.URL) (*url.URL, error) {
		if u.Host == host {
			return nil, errNoScript
		}
		return nil, nil
	}
}

// A testProxy is a proxy made of net/http. It notes what it is asked for.
type testProxy struct {
	mu   sync.Mutex
	seen []string
}

func (p *testProxy) note(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Proxy-Authorization"), " ", r.Header.Get("X-P")))
}

func (p *testProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.note(r)
	if r.Method != "CONNECT" {
		r.RequestURI = ""
		r.Header.Del("Proxy-Authorization")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	up, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, _, _ := w.(http.Hijacker).Hijack()
	defer down.Close()
	io.WriteString(down, "HTTP/1.1 200 Connected\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { io.Copy(up, down); up.(*net.TCPConn).CloseWrite() })
	both.Go(func() { io.Copy(down, up) })
	both.Wait()
}

// Proxies: absolute-form for http, a tunnel for https; who we are is for the proxy
// alone.
func TestClientProxies(t *testing.T) {
	var leaks []string
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			leaks = append(leaks, r.URL.Path)
		}
		fmt.Fprint(w, r.URL.Path)
	})
	plain, secure := httptest.NewServer(echo), httptest.NewUnstartedServer(echo)
	defer plain.Close()
	defer secure.Close()
	p := &testProxy{}
	ps := httptest.NewServer(p)
	defer ps.Close()
	proxyURL := strings.Replace(ps.URL, "http://", "http://u:p@", 1)
	const auth = "Basic dTpw"
	for _, tt := range []struct {
		name, want string
		c          *Client
		r          *Request
		server     *httptest.Server
	}{
		{"http", "GET " + plain.URL + "/x " + auth + " ", &Client{}, &Request{}, plain},
		{"http, tunnel", "CONNECT " + plain.Listener.Addr().String() + " " + auth + " y", &Client{Tunnel: true, ProxyHeader: Header{{"X-P", "y"}}}, &Request{}, plain},
		{"field of the request", "CONNECT " + plain.Listener.Addr().String() + " " + auth + " ", &Client{Tunnel: true}, &Request{Header: Header{{"Proxy-Authorization", "zzz"}}}, plain},
		{"field for the proxy", "CONNECT " + plain.Listener.Addr().String() + " zzz ", &Client{Tunnel: true, ProxyHeader: Header{{"Proxy-Authorization", "zzz"}}}, &Request{}, plain},
		{"field wins", "GET " + plain.URL + "/x zzz ", &Client{}, &Request{Header: Header{{"Proxy-Authorization", "zzz"}}}, plain},
	} {
		p.seen = nil
		tt.c.Proxy = proxyTo(proxyURL)
		for i := range 2 {
			a, err := tt.c.Do(t.Context(), tt.server.URL+"/x", tt.r)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				break
			}
			body, err := io.ReadAll(a.Body)
			if a.Status != 200 || string(body) != "/x" || err != nil || a.Conn.Reused != (i > 0) || a.Conn.Proxy == nil {
				t.Errorf("%s: %d %q, %v, %+v", tt.name, a.Status, body, err, a.Conn)
			}
			a.Close()
		}
		tt.c.CloseIdle()
		want := []string{tt.want, tt.want}
		if tt.c.Tunnel {
			want = want[:1]
		}
		if !slices.Equal(p.seen, want) {
			t.Errorf("%s: the proxy saw %q, want %q", tt.name, p.seen, want)
		}
	}
	if len(leaks) > 0 {
		t.Errorf("the server saw Proxy-Authorization: %q", leaks)
	}
}

// What a proxy can answer to CONNECT other than a tunnel.
func TestClientTunnelRefused(t *testing.T) {
	for _, tt := range []struct {
		name, wire string
		status     int
		op         string
		err        error
	}{
		{"407", "HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", 407, "", ErrProxy},
		{"interim, 503", "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 503, "", ErrProxy},
		{"nothing", "", 0, "receive", ErrNoAnswer},
		{"half", "HTTP/1.1 200 OK\r\n", 0, "receive", io.ErrUnexpectedEOF},
		{"SSH", "SSH-2.0-x\r\n", 0, "", ErrNotHTTP},
		{"TLS", "\x15\x03\x01\x00\x02\x02\x46", 0, "", ErrSpeaksTLS},
		{"somebody speaks first", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", 0, "proxy", ErrNotHTTP},
	} {
		perform(t, func(s *stage) {
			s.c.Proxy = proxyTo("http://p:3128")
			var seen []int
			s.c.Trace.Received = func(r *Response) { seen = append(seen, r.Status) }
			_, err := fetch(s.t.Context(), &s.c, "https://a/", &Request{})
			if e, ok := errors.AsType[*OpError](err); !errors.Is(err, tt.err) || ok && e.Op != tt.op {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
			}
			if e, ok := errors.AsType[*ProxyError](err); (tt.status > 0) != ok {
				t.Errorf("%s: %v", tt.name, err)
			} else if ok {
				body, err := io.ReadAll(e.Response.Body)
				if e.Response.Status != tt.status || len(body) > 0 || err != nil || !slices.Contains(seen, tt.status) {
					t.Errorf("%s: %d %q, %v; seen %v", tt.name, e.Response.Status, body, err, seen)
				}
				if !strings.HasPrefix(e.Error(), "http: the proxy refused the tunnel: ") {
					t.Error(e)
				}
			}
			s.wantRequests("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
		}, answers(tt.wire))
	}
	c := &Client{Proxy: proxyTo("http://p:1"), ProxyHeader: Header{{"A\n", ""}}, Dial: func(context.Context, string, string) (net.Conn, error) { c, _ := net.Pipe(); return c, nil }}
	if _, err := c.Do(t.Context(), "https://a/", &Request{}); !errors.Is(err, ErrField) {
		t.Errorf("broken field for the proxy: %v", err)
	}
}

// A proxy that is none of ours.
func TestClientProxyURL(t *testing.T) {
	for proxy, want := range map[string]error{"socks5://p:1080": ErrScheme, "http://": ErrURL, "http:///x": ErrURL, "p:3128": ErrScheme} {
		c := &Client{Proxy: proxyTo(proxy)}
		if _, err := c.Do(t.Context(), "http://a/", &Request{}); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", proxy, err, want)
		}
	}
}

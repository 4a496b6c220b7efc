package dial

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
)

// A network is what a fake Dial and Lookup reach: names, and addresses that
// answer after a time. An address that is missing is a black hole.
type network struct {
	names map[string][]string
	peers map[string]peer

	start  time.Time
	mu     sync.Mutex
	dialed []string // and when: "1.2.3.4:80 250ms"
	open   int      // connections not closed yet
}

type peer struct {
	after time.Duration
	err   error
	serve func(c net.Conn) // runs with the other end
}

func (n *network) env(getenv map[string]string) *cli.Env {
	n.start = time.Now()
	env := kit.Env(io.Discard, io.Discard)
	env.Getenv = func(name string) string { return getenv[name] }
	env.Lookup = func(ctx context.Context, host string) (addrs []netip.Addr, err error) {
		if n.names[host] == nil {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		for _, s := range n.names[host] {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		return addrs, nil
	}
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		n.mu.Lock()
		n.dialed = append(n.dialed, fmt.Sprint(address, " ", time.Since(n.start)))
		n.mu.Unlock()
		p, ok := n.peers[address]
		if !ok {
			p.after = time.Hour
		}
		select {
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		case <-time.After(p.after):
		}
		if p.err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: p.err}
		}
		ours, theirs := net.Pipe()
		n.count(1)
		if p.serve != nil {
			go p.serve(theirs)
		}
		return &countedConn{ours, n}, nil
	}
	return env
}

func (n *network) count(change int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open += change
}

type countedConn struct {
	net.Conn
	n *network
}

func (c *countedConn) Close() error {
	c.n.count(-1)
	return c.Conn.Close()
}

// dial sets flags of a Dialer and dials address for a URL of that scheme.
func dial(t *testing.T, env *cli.Env, scheme, network, address string, flags ...string) (net.Conn, error) {
	t.Helper()
	var fs cli.Flags
	d := AddDialer(&fs)
	if _, err := fs.Parse(flags); err != nil {
		return nil, err
	}
	ctx, cancel := d.Timeout(t.Context())
	defer cancel()
	return d.For(env, scheme)(ctx, network, address)
}

// TestLookupLoopback: nobody is asked about localhost and what is below it.
func TestLookupLoopback(t *testing.T) {
	for _, host := range []string{"localhost", "LocalHost.", "echo.localhost", "a.b.localhost"} {
		addrs, err := cli.Lookup(t.Context(), host)
		if err != nil || len(addrs) != 2 || !addrs[0].IsLoopback() || !addrs[1].IsLoopback() {
			t.Errorf("lookup(%q) = %v, %v; want both loopback addresses", host, addrs, err)
		}
	}
}

var refused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// TestRace: who is dialed, and when (WC21).
func TestRace(t *testing.T) {
	soon := peer{after: 10 * time.Millisecond}
	tests := []struct {
		name   string
		addrs  []string
		peers  map[string]peer
		dialed []string
		took   time.Duration
		code   int
	}{
		{"one", []string{"10.0.0.1"}, map[string]peer{"10.0.0.1:80": soon},
			[]string{"10.0.0.1:80 0s"}, 10 * time.Millisecond, 0},
		{"the first is a black hole", []string{"10.0.0.1", "10.0.0.2"}, map[string]peer{"10.0.0.2:80": soon},
			[]string{"10.0.0.1:80 0s", "10.0.0.2:80 250ms"}, 260 * time.Millisecond, 0},
		{"the first refuses", []string{"10.0.0.1", "10.0.0.2"}, map[string]peer{"10.0.0.1:80": {err: refused}, "10.0.0.2:80": soon},
			[]string{"10.0.0.1:80 0s", "10.0.0.2:80 0s"}, 10 * time.Millisecond, 0},
		{"families take turns", []string{"fd00::1", "fd00::2", "10.0.0.1"}, map[string]peer{"10.0.0.1:80": soon},
			[]string{"[fd00::1]:80 0s", "10.0.0.1:80 250ms"}, 260 * time.Millisecond, 0},
		{"both answer, the other is closed", []string{"10.0.0.1", "10.0.0.2"},
			map[string]peer{"10.0.0.1:80": {after: 260 * time.Millisecond}, "10.0.0.2:80": soon},
			[]string{"10.0.0.1:80 0s", "10.0.0.2:80 250ms"}, 260 * time.Millisecond, 0},
		{"all refuse", []string{"10.0.0.1", "10.0.0.2"}, map[string]peer{"10.0.0.1:80": {err: refused}, "10.0.0.2:80": {err: refused}},
			[]string{"10.0.0.1:80 0s", "10.0.0.2:80 0s"}, 0, cli.ExitConnect},
		{"nobody answers", []string{"10.0.0.1"}, nil, []string{"10.0.0.1:80 0s"}, 30 * time.Second, cli.ExitTimeout},
		{"unmapped", []string{"::ffff:10.0.0.1"}, map[string]peer{"10.0.0.1:80": soon},
			[]string{"10.0.0.1:80 0s"}, 10 * time.Millisecond, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{names: map[string][]string{"h": tt.addrs}, peers: tt.peers}
				conn, err := dial(t, n.env(nil), "ws", "tcp", "h:80")
				took := time.Since(n.start)
				if !slices.Equal(n.dialed, tt.dialed) || took != tt.took || cli.ExitCode(err) != tt.code {
					t.Errorf("dialed %q in %v: %v; want %q in %v", n.dialed, took, err, tt.dialed, tt.took)
				}
				if conn != nil {
					conn.Close()
				}
				if n.open != 0 {
					t.Errorf("%d connections are left open", n.open)
				}
			})
		})
	}
}

func TestDialTargets(t *testing.T) {
	ok := peer{}
	tests := []struct {
		network, address string
		flags            string
		dialed           string
		code             int
	}{
		{"tcp", "h:80", "", "10.0.0.1:80 0s", 0},
		{"tcp4", "h:80", "", "10.0.0.1:80 0s", 0},
		{"tcp6", "h:80", "", "[fd00::1]:80 0s", 0},
		{"tcp6", "4only:80", "", "", cli.ExitName},
		{"tcp", "nowhere:80", "", "", cli.ExitName},
		{"tcp", "[fd00::1]:80", "", "[fd00::1]:80 0s", 0},
		{"udp", "h:80", "-proxy http://p", "10.0.0.1:80 0s", 0}, // datagrams know no proxy
		{"tcp", "H:80", "-resolve h:80:10.9.9.9", "10.9.9.9:80 0s", 0},
		{"tcp", "h:80", "-resolve h:81:10.9.9.9", "10.0.0.1:80 0s", 0},
		{"tcp", "h:80", "-resolve *:80:10.9.9.9", "10.9.9.9:80 0s", 0},
		{"tcp", "h:80", "-resolve +h:80:[fd00::9]", "[fd00::9]:80 0s", 0},
		{"tcp", "h:80", "-resolve h:80:10.9.9.9,10.0.0.1", "10.9.9.9:80 0s", 0},
		{"unix", "/no/such", "", "/no/such 0s", cli.ExitConnect},
	}
	for _, tt := range tests {
		t.Run(tt.network+" "+tt.address+" "+tt.flags, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{
					names: map[string][]string{"h": {"10.0.0.1", "fd00::1"}, "4only": {"10.0.0.1"}},
					peers: map[string]peer{"10.0.0.1:80": ok, "[fd00::1]:80": ok, "10.9.9.9:80": ok, "[fd00::9]:80": ok,
						"/no/such": {err: syscall.ENOENT}},
				}
				conn, err := dial(t, n.env(nil), "tcp", tt.network, tt.address, strings.Fields(tt.flags)...)
				if got := strings.Join(n.dialed, ","); got != tt.dialed || cli.ExitCode(err) != tt.code {
					t.Errorf("dialed %q, %v; want %q", got, err, tt.dialed)
				}
				if conn != nil {
					conn.Close()
				}
			})
		})
	}
}

func TestProxyFor(t *testing.T) {
	env := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			m[k] = v
		}
		return m
	}
	tests := []struct {
		env    map[string]string
		flags  string
		scheme string
		want   string // host:port of the proxy; "" for none
	}{
		{env(), "", "ws", ""},
		{env("http_proxy=http://p:3128"), "", "ws", "p:3128"},
		{env("http_proxy=http://p:3128"), "", "http", "p:3128"},
		{env("http_proxy=http://p:3128"), "", "wss", ""},
		{env("http_proxy=http://p:3128"), "", "tcp", ""},
		{env("HTTPS_PROXY=p:3128"), "", "wss", "p:3128"},
		{env("https_proxy=http://lower", "HTTPS_PROXY=http://upper"), "", "https", "lower:1080"},
		{env("ws_proxy=http://w", "http_proxy=http://h"), "", "ws", "w:1080"},
		{env("ALL_PROXY=socks5://s"), "", "ws", "s:1080"},
		{env("all_proxy=socks5h://s"), "", "tcp", "s:1080"},
		{env("HTTP_PROXY=http://evil"), "", "http", ""}, // a field of a CGI request
		{env("http_proxy=http://p"), "-proxy http://flag:1", "http", "flag:1"},
		{env("http_proxy=http://p", "no_proxy=example.com"), "", "http", ""},
		{env("http_proxy=http://p", "NO_PROXY=*"), "", "http", ""},
		{env("no_proxy=*"), "-proxy http://flag:1", "http", ""},
	}
	for _, tt := range tests {
		var fs cli.Flags
		d := AddDialer(&fs)
		if _, err := fs.Parse(strings.Fields(tt.flags)); err != nil {
			t.Fatal(err)
		}
		p, err := d.ProxyFor((&network{}).env(tt.env), tt.scheme, "www.example.com", "80")
		got := ""
		if p != nil {
			got = net.JoinHostPort(p.Host, p.Port)
		}
		if got != tt.want || err != nil {
			t.Errorf("%v %s, %s: %q, %v; want %q", tt.env, tt.flags, tt.scheme, got, err, tt.want)
		}
	}
	_, err := new(Dialer).ProxyFor((&network{}).env(env("http_proxy=ftp://me:secret@h")), "ws", "h", "80")
	if cli.ExitCode(err) != cli.ExitUsage || strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad value: %v", err)
	}
}

func TestParseProxy(t *testing.T) {
	for in, want := range map[string]Proxy{
		"http://p:3128":     {Host: "p", Port: "3128"},
		"http://p:3128/x":   {Host: "p", Port: "3128"},
		"p:3128":            {Host: "p", Port: "3128"},
		"p":                 {Host: "p", Port: "1080"},
		"https://p":         {TLS: true, Host: "p", Port: "443"},
		"socks4a://p":       {Socks: true, Version4: true, Host: "p", Port: "1080"},
		"socks5://[::1]:99": {Socks: true, Host: "::1", Port: "99"},
		"SOCKS5H://p":       {Socks: true, Host: "p", Port: "1080"},
	} {
		if got, err := ParseProxy(in); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("parseProxy(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ftp://p", "http://", "http://p:99999", "http://p:0x1", "socks5://" + strings.Repeat("u", 256) + "@p", "http://a b"} {
		if got, err := ParseProxy(in); err == nil {
			t.Errorf("parseProxy(%q) = %+v; want an error", in, got)
		}
	}
}

func TestBypassed(t *testing.T) {
	for _, tt := range []struct {
		list, host, port string
		want             bool
	}{
		{"", "h", "80", false},
		{"*", "h", "80", true},
		{"example.com", "example.com", "80", true},
		{"example.com", "EXAMPLE.com.", "80", true},
		{"example.com", "www.example.com", "80", true},
		{".example.com", "www.example.com", "80", true},
		{"*.example.com", "www.example.com", "80", true},
		{"example.com", "badexample.com", "80", false},
		{"a, example.com ,b", "example.com", "80", true},
		{"a example.com", "example.com", "80", true},
		{"example.com:8080", "example.com", "8080", true},
		{"example.com:8080", "example.com", "80", false},
		{"10.0.0.1", "10.0.0.1", "80", true},
		{"10.0.0.1", "10.0.0.10", "80", false},
		{"10.0.0.0/8", "10.1.2.3", "80", true},
		{"10.0.0.0/8", "11.1.2.3", "80", false},
		{"10.0.0.0/8", "example.com", "80", false},
		{"::1", "::1", "80", true},
		{"[::1]", "::1", "80", true},
		{"[::1]:80", "::1", "80", true},
		{"::1", "::2", "80", false},
		{",,", "h", "80", false},
		{".", "h", "80", false},
	} {
		if got := bypassed(tt.list, tt.host, tt.port); got != tt.want {
			t.Errorf("bypassed(%q, %s:%s) = %v", tt.list, tt.host, tt.port, got)
		}
	}
}

// say is a conversation from the proxy's side: what stands behind > in hex is
// wanted from us, what stands behind < is sent. At the end what comes is echoed;
// after "silence" it is dropped, after "close" the connection is closed.
func say(t *testing.T, lines ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		for _, line := range lines {
			b, _ := hex.DecodeString(strings.ReplaceAll(line[1:], " ", ""))
			switch {
			case line == "close":
				return
			case line == "silence":
				io.Copy(io.Discard, c)
				return
			case line[0] == '<':
				c.Write(b)
				continue
			}
			got := make([]byte, len(b))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, b) {
				t.Errorf("the proxy got %x, %v; want %x", got, err, b)
				return
			}
		}
		io.Copy(c, c)
	}
}

// text is a line for say, of text.
func text(direction, s string) string { return direction + hex.EncodeToString([]byte(s)) }

const banner = "220 hello"

const connectHead = "CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n"

const exampleName = "0b 6578616d706c652e636f6d 0050" // example.com, 80

var proxied = []struct {
	name   string
	proxy  string
	target string
	talk   []string
	code   int
	err    string
}{
	{"http", "http://p", "example.com:80",
		[]string{text(">", connectHead+"\r\n"), text("<", "HTTP/1.1 200 Connection established\r\n\r\n")}, 0, ""},
	{"http, the peer speaks first", "http://p", "example.com:80",
		[]string{text(">", connectHead+"\r\n"), text("<", "HTTP/1.1 200 OK\r\nX: y\r\n\r\n"+banner)}, 0, ""},
	{"http with a user", "http://me:a%40b@p", "example.com:80",
		[]string{text(">", connectHead+"Proxy-Authorization: Basic bWU6YUBi\r\n\r\n"), text("<", "HTTP/1.0 200 OK\r\n\r\n")}, 0, ""},
	{"http, IPv6", "http://p", "[fd00::9]:80",
		[]string{text(">", "CONNECT [fd00::9]:80 HTTP/1.1\r\nHost: [fd00::9]:80\r\n\r\n"), text("<", "HTTP/1.1 200 OK\r\n\r\n")}, 0, ""},
	{"http refused", "http://me:secret@p", "example.com:80",
		[]string{text(">", connectHead+"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"), text("<", "HTTP/1.1 407 No\r\n\r\n")},
		cli.ExitReceive, "proxy p:1080: refused the connection: 407 No"},
	{"http 403", "http://p", "example.com:80",
		[]string{text(">", connectHead+"\r\n"), text("<", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")},
		cli.ExitReceive, "proxy p:1080: refused the connection: 403 Forbidden"},
	{"http closes", "http://p", "example.com:80",
		[]string{text(">", connectHead+"\r\n"), "close"}, cli.ExitReceive, "proxy p:1080: closed the connection without an answer"},
	{"http speaks no HTTP", "http://p", "example.com:80",
		[]string{text(">", connectHead+"\r\n"), text("<", "SSH-2.0-OpenSSH_9\r\n\r\n")}, cli.ExitProtocol, ""},
	{"socks5", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<05 00 00 01 7f000001 0050"}, 0, ""},
	{"socks5, answers with a name", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<05 00 00 03" + exampleName}, 0, ""},
	{"socks5, IPv4", "socks5://p", "10.1.2.3:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 01 0a010203 0050", "<05 00 00 01 7f000001 0050"}, 0, ""},
	{"socks5, IPv6", "socks5://p", "[fd00::9]:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 04 fd000000000000000000000000000009 0050", "<05 00 00 04 fd000000000000000000000000000009 0050"}, 0, ""},
	{"socks5 with a user (RFC 1929)", "socks5://me:pw@p", "example.com:80",
		[]string{">05 02 00 02", "<05 02", ">01 02 6d65 02 7077", "<01 00", ">05 01 00 03" + exampleName, "<05 00 00 01 7f000001 0050"}, 0, ""},
	{"socks5, user not needed", "socks5://me:pw@p", "example.com:80",
		[]string{">05 02 00 02", "<05 00", ">05 01 00 03" + exampleName, "<05 00 00 01 7f000001 0050"}, 0, ""},
	{"socks5, user refused", "socks5://me:pw@p", "example.com:80",
		[]string{">05 02 00 02", "<05 02", ">01 02 6d65 02 7077", "<01 01"}, cli.ExitConnect, "proxy p:1080: refuses the user or the password"},
	{"socks5, no method", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 ff"}, cli.ExitConnect, "proxy p:1080: wants another way to log in"},
	{"socks5 wants a password, there is none", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 02"}, cli.ExitConnect, "proxy p:1080: wants another way to log in"},
	{"socks5, connection refused", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<05 05 00 01"}, cli.ExitConnect, "proxy p:1080: connection refused"},
	{"socks5, error unheard of", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<05 63 00 01"}, cli.ExitConnect, "proxy p:1080: error 99"},
	{"socks5, address unheard of", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<05 00 00 07"}, cli.ExitFailure, "proxy p:1080: does not answer as SOCKS5 does"},
	{"not socks", "socks5://p", "example.com:80", []string{">05 01 00", text("<", "HT")}, cli.ExitFailure, "proxy p:1080: does not answer as SOCKS5 does"},
	{"socks4", "socks5://p", "example.com:80",
		[]string{">05 01 00", "<05 00", ">05 01 00 03" + exampleName, "<04 00 00 01"}, cli.ExitFailure, "proxy p:1080: does not answer as SOCKS5 does"},
	{"socks5, name too long", "socks5://p", strings.Repeat("a", 256) + ":80",
		[]string{">05 01 00", "<05 00"}, cli.ExitFailure, "proxy p:1080: the name of the host is longer than 255 bytes"},
	{"silence", "socks5://p", "example.com:80", []string{">05 01 00", "silence"}, cli.ExitTimeout, "proxy p:1080: context deadline exceeded"},
	{"silence", "http://p", "example.com:80", []string{text(">", connectHead+"\r\n"), "silence"}, cli.ExitTimeout, "proxy p:1080: context deadline exceeded"},
}

func TestThroughProxy(t *testing.T) {
	for _, tt := range proxied {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { throughProxy(t, tt.proxy, tt.target, tt.talk, tt.code, tt.err) })
		})
	}
}

func throughProxy(t *testing.T, proxy, target string, talk []string, code int, want string) {
	n := &network{names: map[string][]string{"p": {"10.0.0.8"}}, peers: map[string]peer{"10.0.0.8:1080": {serve: say(t, talk...)}}}
	conn, err := dial(t, n.env(nil), "ws", "tcp", target, "-proxy", proxy, "-connect-timeout", "5s")
	if cli.ExitCode(err) != code || want != "" && (err == nil || err.Error() != want) {
		t.Errorf("exit code %d, %v; want %d, %s", cli.ExitCode(err), err, code, want)
	}
	if err != nil {
		if n.open != 0 {
			t.Error("the connection to the proxy is left open")
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password stands in %q", err)
		}
		return
	}
	defer conn.Close()
	want = "ping"
	if strings.HasSuffix(talk[len(talk)-1], hex.EncodeToString([]byte(banner))) {
		want = banner + want
	}
	got := make([]byte, len(want))
	go conn.Write([]byte("ping")) // a pipe holds nothing: both sides may be writing
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("the tunnel gave %q, %v; want %q", got, err, want)
	}
}

// TestProxyInterrupted: a signal does not wait for a proxy.
func TestProxyInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{peers: map[string]peer{"10.0.0.8:1080": {serve: func(c net.Conn) { io.Copy(io.Discard, c) }}}}
		var fs cli.Flags
		d := AddDialer(&fs)
		if _, err := fs.Parse([]string{"-proxy", "10.0.0.8"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := d.For(n.env(nil), "ws")(ctx, "tcp", "example.com:80")
		if !errors.Is(err, context.Canceled) || time.Since(n.start) != time.Second || n.open != 0 {
			t.Errorf("after %v: %v", time.Since(n.start), err)
		}
	})
}

package dial

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
)

// A Proxy carries connections to others: by the method CONNECT of HTTP
// (RFC 9110 §9.3.6), or by SOCKS5 (RFC 1928) or SOCKS4.
type Proxy struct {
	Socks      bool
	Version4   bool // SOCKS4, which knows IPv4 and, as 4a, names
	TLS        bool // it is spoken to over TLS, which Through makes with the system's trust
	Host, Port string
	User       *url.Userinfo // nil: none
}

var errProxy = errors.New("want http://HOST:PORT or socks5://HOST:PORT")

// ErrProxyScheme is what ParseProxy returns for another scheme.
var ErrProxyScheme = errors.New("want a proxy of http, https, socks4, socks4a, socks5 or socks5h")

// ParseProxy takes http://, https://, socks4://, socks4a://, socks5:// or socks5h://
// with user:password@ if need be, or HOST:PORT, which is http. The port is 1080 where
// there is none, 443 for https, as for curl; a path is ignored, as it does.
func ParseProxy(s string) (*Proxy, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return nil, errProxy
	}
	usual := "1080"
	if u.Scheme == "https" {
		usual = "443"
	}
	port, err := cli.ParsePort(cmp.Or(u.Port(), usual))
	if err != nil {
		return nil, errProxy
	}
	p := &Proxy{Host: u.Hostname(), Port: port, User: u.User}
	switch u.Scheme {
	case "http":
	case "https":
		p.TLS = true
	case "socks4", "socks4a":
		p.Socks, p.Version4 = true, true
	case "socks5", "socks5h":
		p.Socks = true
		if password, _ := u.User.Password(); len(u.User.Username()) > 255 || len(password) > 255 {
			return nil, errors.New("want a user and a password of at most 255 bytes")
		}
	default:
		return nil, ErrProxyScheme
	}
	return p, nil
}

// ProxyFor returns the proxy for connections to host, nil for none. The flag wins;
// else it is the variable SCHEME_proxy, of http and https for ws and wss too, or
// all_proxy. Upper case counts as well, but not of http_proxy: in a CGI program
// HTTP_PROXY is a field of the request (CVE-2016-5385).
func (d *Dialer) ProxyFor(env *cli.Env, scheme, host, port string) (*Proxy, error) {
	getenv := func(name string) string {
		if name == "http_proxy" {
			return env.Getenv(name)
		}
		return cmp.Or(env.Getenv(name), env.Getenv(strings.ToUpper(name)))
	}
	if bypassed(cmp.Or(d.NoProxy, getenv("no_proxy")), host, port) {
		return nil, nil
	}
	if d.Proxy != nil {
		return d.Proxy, nil
	}
	names := []string{scheme + "_proxy", "all_proxy"}
	switch scheme {
	case "ws":
		names = []string{"ws_proxy", "http_proxy", "all_proxy"}
	case "wss":
		names = []string{"wss_proxy", "https_proxy", "all_proxy"}
	}
	for _, name := range names {
		if value := getenv(name); value != "" {
			p, err := ParseProxy(value)
			if err != nil {
				return nil, cli.Usagef("%s in the environment: %w", name, err) // the value may hold a password
			}
			return p, nil
		}
	}
	return nil, nil
}

// bypassed says whether list, as no_proxy has it, names host: itself or a domain
// above it, an address or a network, with or without a port; * names all.
func bypassed(list, host, port string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	addr, _ := netip.ParseAddr(host)
	for word := range strings.FieldsFuncSeq(strings.ToLower(list), func(r rune) bool { return r == ',' || r == ' ' }) {
		if word == "*" {
			return true
		}
		if network, err := netip.ParsePrefix(word); err == nil {
			if network.Contains(addr) {
				return true
			}
			continue
		}
		if h, p, err := net.SplitHostPort(word); err == nil {
			if p != port {
				continue
			}
			word = h
		}
		if same, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil {
			if same == addr {
				return true
			}
			continue
		}
		word = strings.TrimPrefix(strings.TrimPrefix(word, "*"), ".")
		if word != "" && (host == word || strings.HasSuffix(host, "."+word)) {
			return true
		}
	}
	return false
}

// Through asks the proxy that conn leads to for a connection to host, and closes
// conn if there is none.
func (p *Proxy) Through(ctx context.Context, conn net.Conn, host, port string) (net.Conn, error) {
	ask := p.connect
	if p.Version4 {
		ask = p.socks4
	} else if p.Socks {
		ask = p.socks5
	}
	raw, err := conn, error(nil)
	if p.TLS {
		var config *tlsconf.Config
		if config, err = tlsconf.Client(tlsconf.Options{}); err == nil {
			conn, err = config.Client(ctx, raw, p.Host)
		}
	}
	if err == nil {
		err = Within(ctx, conn, func() error { return ask(conn, host, port) })
	}
	if err == nil {
		return conn, nil
	}
	raw.Close()
	return nil, fmt.Errorf("proxy %s: %w", net.JoinHostPort(p.Host, p.Port), err)
}

// Within runs f, whose reads and writes on conn are interrupted when ctx ends.
func Within(ctx context.Context, conn net.Conn, f func() error) error {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := f()
	if !stop() {
		return ctx.Err()
	}
	return err
}

// connect opens a tunnel by HTTP.
func (p *Proxy) connect(conn net.Conn, host, port string) error {
	target := net.JoinHostPort(host, port)
	req := httpmini.Request{Method: "CONNECT", Target: target, Header: httpmini.Header{{Name: "Host", Value: target}}}
	if p.User != nil {
		req.Header.Add("Proxy-Authorization", p.Authorization())
	}
	if err := req.Check(); err != nil {
		return err
	}
	if _, err := conn.Write(req.AppendHead(nil)); err != nil {
		return err
	}
	// Byte by byte, so that nothing of what follows the head is taken.
	resp, err := httpmini.ReadFinal(bufio.NewReader(oneByte{conn}), "CONNECT", false, httpmini.ClientLimits)
	switch {
	case err == io.EOF:
		return cli.Fail(cli.ExitReceive, errors.New("closed the connection without an answer"))
	case err != nil:
		return err
	case resp.Status/100 != 2:
		return cli.Fail(cli.ExitReceive, &refusal{resp}) // curl's code
	}
	return nil
}

// A refusal is what a proxy answers in place of a tunnel.
type refusal struct{ *httpmini.Response }

func (r *refusal) Error() string {
	return fmt.Sprintf("refused the connection: %d %s", r.Status, event.Field(r.Reason))
}

// Authorization is the value of Proxy-Authorization (RFC 7617 §2) for a proxy with a
// user.
func (p *Proxy) Authorization() string {
	password, _ := p.User.Password()
	return httpmini.Basic(p.User.Username() + ":" + password)
}

// oneByte reads a byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// socksReplies are what a proxy can answer to a request (RFC 1928 §6).
var socksReplies = []string{
	1: "general failure",
	2: "not allowed by the rules",
	3: "network unreachable",
	4: "host unreachable",
	5: "connection refused",
	6: "time to live expired",
	7: "command not supported",
	8: "address type not supported",
}

var errSocks = errors.New("does not answer as SOCKS5 does")

// socks5 opens a tunnel by SOCKS5. Names go to the proxy as they are.
func (p *Proxy) socks5(conn net.Conn, host, port string) error {
	if err := p.socksMethod(conn); err != nil {
		return err
	}
	request, err := socksRequest(host, port)
	if err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var reply [4]byte // version, reply, reserved, type of the address
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return err
	}
	switch code := int(reply[1]); {
	case reply[0] != 5:
		return errSocks
	case code > 0 && code < len(socksReplies):
		return cli.Fail(cli.ExitConnect, errors.New(socksReplies[code]))
	case code > 0:
		return cli.Fail(cli.ExitConnect, fmt.Errorf("error %d", code))
	}
	return skipAddress(conn, reply[3])
}

// skipAddress reads the address of the given type and the port of a reply.
func skipAddress(conn net.Conn, kind byte) error {
	var rest [255 + 2]byte
	n := 0
	switch kind {
	case 1:
		n = 4
	case 4:
		n = 16
	case 3:
		if _, err := io.ReadFull(conn, rest[:1]); err != nil {
			return err
		}
		n = int(rest[0])
	default:
		return errSocks
	}
	_, err := io.ReadFull(conn, rest[:n+2])
	return err
}

// socksRequest is CONNECT to host and port (RFC 1928 §4).
func socksRequest(host, port string) ([]byte, error) {
	b := []byte{5, 1, 0}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && addr.Unmap().Is4():
		b = append(append(b, 1), addr.Unmap().AsSlice()...)
	case err == nil:
		b = append(append(b, 4), addr.AsSlice()...)
	case len(host) > 255:
		return nil, errors.New("the name of the host is longer than 255 bytes")
	default:
		b = append(append(b, 3, byte(len(host))), host...)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return append(b, byte(n>>8), byte(n)), err
}

// socks4 opens a tunnel by SOCKS4, or by 4a where host is a name.
func (p *Proxy) socks4(conn net.Conn, host, port string) error {
	const granted = 90
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		addr = netip.AddrFrom4([4]byte{3: 1}) // 0.0.0.1: the name stands at the end
	case !addr.Unmap().Is4():
		return cli.Fail(cli.ExitConnect, errors.New("SOCKS4 knows IPv4 only"))
	default:
		host = ""
	}
	request := append([]byte{4, 1, byte(n >> 8), byte(n)}, addr.Unmap().AsSlice()...)
	request = append(append(request, p.User.Username()...), 0)
	if host != "" {
		request = append(append(request, host...), 0)
	}
	var reply [8]byte
	if _, err := conn.Write(request); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, reply[:]); err != nil {
		return err
	}
	if reply[0] != 0 {
		return errSocks
	}
	if reply[1] != granted {
		return cli.Fail(cli.ExitConnect, fmt.Errorf("refused the connection: error %d", reply[1]))
	}
	return nil
}

// socksMethod agrees on who we are: nobody, or a user with a password (RFC 1929).
func (p *Proxy) socksMethod(conn net.Conn) error {
	const none, password = 0, 2
	greeting := []byte{5, 1, none}
	if p.User != nil {
		greeting = []byte{5, 2, none, password}
	}
	var answer [2]byte
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != 5:
		return errSocks
	case answer[1] == none:
		return nil
	case answer[1] != password || p.User == nil:
		return cli.Fail(cli.ExitConnect, errors.New("wants another way to log in"))
	}
	secret, _ := p.User.Password()
	login := append([]byte{1, byte(len(p.User.Username()))}, p.User.Username()...)
	login = append(append(login, byte(len(secret))), secret...)
	if _, err := conn.Write(login); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[1] != 0 {
		return cli.Fail(cli.ExitConnect, errors.New("refuses the user or the password"))
	}
	return nil
}

package curl

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
	"strings"
	"syscall"
	"time"
)

// proxyURL says which HTTP proxy a request goes to; SOCKS is dial's.
func (s *session) proxyURL(u *url.URL) (*url.URL, error) {
	p, err := s.proxyOf(u.Scheme, u.Hostname(), u.Port())
	if s.proxy = p; err != nil || p == nil || p.Socks {
		return nil, err
	}
	scheme := "http"
	if p.TLS {
		scheme = "https"
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(p.Host, p.Port)}, nil
}

func (s *session) proxyOf(scheme, host, port string) (*dial.Proxy, error) {
	if s.unixSocket != "" {
		return nil, nil
	}
	if port == "" {
		port = httpmini.Where{Scheme: scheme}.DialPort()
	}
	p, err := s.dialer.ProxyFor(s.env, scheme, host, port)
	if p != nil && s.proxyUser != "" {
		own := *p
		name, password, _ := strings.Cut(s.proxyUser, ":")
		own.User = url.UserPassword(name, password)
		p = &own
	}
	return p, err
}

// proxied is the HTTP proxy that the request goes to as it is, nil if there is none.
func (t *transfer) proxied() *dial.Proxy {
	p, err := t.proxyOf(t.at.Scheme, t.at.Host, t.at.Port)
	if err != nil || p == nil || p.Socks || t.tunnel || t.at.Scheme != "http" || t.connectAddress(t.at.Address()) != t.at.Address() {
		return nil
	}
	return p
}

// tunnelHeader are the fields for CONNECT.
func (t *transfer) tunnelHeader() (h httpmini.Header) {
	target := t.at.Address()
	if p, err := t.proxyOf(t.at.Scheme, t.at.Host, t.at.Port); err == nil && p != nil {
		if auth := t.proxyLogin.field(credentialsOf(p.User), "CONNECT", target); auth != "" {
			h.Add("Proxy-Authorization", auth)
		}
	}
	if t.o.agent != "" && given(t.proxyHeaders, "User-Agent") == nil {
		h.Add("User-Agent", t.o.agent)
	}
	h.Add("Proxy-Connection", "Keep-Alive")
	t.addProxyHeaders(&h)
	return h
}

// addProxyHeaders puts the fields of --proxy-header in the place of ours.
func (w *way) addProxyHeaders(h *httpmini.Header) {
	for _, f := range w.proxyHeaders {
		if h.Del(f.name); !f.remove {
			h.Add(f.name, f.value)
		}
	}
}

// dial connects to a server or to the proxy that proxyURL named.
func (s *session) dial(ctx context.Context, _, address string) (nc net.Conn, err error) {
	s.toProxy = s.proxy != nil && !s.proxy.Socks
	if s.unixSocket != "" {
		nc, err = s.env.Dial(ctx, "unix", s.unixSocket)
	} else {
		nc, err = s.dialTCP(ctx, address)
	}
	if err != nil {
		return nil, err
	}
	if (s.haproxy || s.haproxyIP != "") && !s.toProxy {
		if _, err := nc.Write(s.proxyLine(nc)); err != nil {
			return nil, err
		}
	}
	if s.now.at.Scheme == "http" {
		nc = s.tapped(nc)
	}
	return nc, nil
}

// proxyLine is the first line of the PROXY protocol, version 1.
func (s *session) proxyLine(nc net.Conn) []byte {
	h := accept.HeaderOf(nc.LocalAddr(), nc.RemoteAddr())
	if ip, err := netip.ParseAddr(s.haproxyIP); err == nil && h.From.IsValid() {
		h.From, h.To = netip.AddrPortFrom(ip, h.From.Port()), netip.AddrPortFrom(ip, h.To.Port())
	}
	return h.AppendLine(nil)
}

func (s *session) dialTCP(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	env := *s.env
	env.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		addrs, err := s.env.Lookup(ctx, host)
		s.now.lookedUp = time.Now()
		return addrs, err
	}
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.now.info("  Trying %s...", address)
		return s.dialFrom(ctx, network, address)
	}
	s.now.lookedUp = time.Now()
	p := s.proxy
	if p == nil || !p.Socks {
		return s.dialer.Direct(ctx, &env, s.now.o.network, host, port)
	}
	var conn net.Conn
	if s.proxySocket != "" {
		conn, err = s.env.Dial(ctx, "unix", s.proxySocket)
	} else {
		conn, err = s.dialer.Direct(ctx, &env, s.now.o.network, p.Host, p.Port)
	}
	if err != nil {
		return nil, err
	}
	if conn, err = p.Through(ctx, conn, host, port); err != nil && ctx.Err() == nil {
		err = failf(exitProxy, "%v", err)
	}
	return conn, err
}

// dialFrom connects from where --interface and --local-port say.
func (s *session) dialFrom(ctx context.Context, network, address string) (net.Conn, error) {
	if s.source == "" && s.firstPort == 0 {
		return s.env.Dial(ctx, network, address)
	}
	from := &net.TCPAddr{}
	if s.source != "" {
		if from.IP = sourceOf(s.source, !strings.HasPrefix(address, "[")); from.IP == nil {
			return nil, failf(exitInterface, "Could not bind to interface '%s'", s.source)
		}
	}
	for from.Port = s.firstPort; ; from.Port++ {
		nc, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, address)
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return nc, err
		}
		if from.Port >= s.lastPort {
			return nil, failf(exitInterface, "bind failed: %v", reasonOf(err))
		}
	}
}

// sourceOf is an address, or that of an interface or of a host, nil if there is none:
// if! and host! say which.
func sourceOf(name string, v4 bool) net.IP {
	device, isDevice := strings.CutPrefix(name, "if!")
	host, isHost := strings.CutPrefix(name, "host!")
	var ips []net.IP
	if i, err := net.InterfaceByName(device); err == nil && !isHost {
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ips = append(ips, n.IP)
			}
		}
	} else if !isDevice {
		ips, _ = net.LookupIP(host)
	}
	for _, ip := range ips {
		if (ip.To4() != nil) == v4 {
			return ip
		}
	}
	return nil
}

// connectAddress applies --connect-to.
func (s *session) connectAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, c := range s.connectTo {
		h, p := cutHostPort(c[0])
		if (h == "" || h == host) && (p == "" || p == port) {
			toHost, toPort := cutHostPort(c[1])
			return net.JoinHostPort(cmp.Or(toHost, host), cmp.Or(toPort, port))
		}
	}
	return address
}

// cutHostPort splits at the last colon, and takes brackets off.
func cutHostPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	return strings.Trim(s[:max(i, 0)], "[]"), s[i+1:]
}

// secure makes TLS of a connection, to a proxy first where that wants it. What that
// needs is made with the first one.
func (s *session) secure(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
	if s.toProxy && s.proxy.TLS {
		s.toProxy = false
		config, err := tlsconf.Client(s.proxyTLS)
		if err == nil {
			nc, err = config.Client(ctx, nc, host)
		}
		return nc, err
	}
	if err := s.makeConfig(); err != nil {
		return nil, err
	}
	tc, err := s.config.Client(ctx, nc, host)
	if err != nil {
		return nil, err
	}
	state := tlsconf.State(tc)
	if s.tlsMin13 && !strings.HasPrefix(state, "TLS 1.3") {
		tc.Close()
		return nil, failf(cli.ExitTLS, "TLS connect error: the server speaks no TLS 1.3")
	}
	s.now.info("TLS: %s", state)
	return s.tapped(tc), nil
}

func (s *session) makeConfig() (err error) {
	if s.config != nil {
		return nil
	}
	if !tlsconf.Available {
		return failf(exitUnsupported, "Protocol \"https\" not supported: this build leaves TLS out")
	}
	if s.config, err = tlsconf.Client(s.tls); err == nil {
		return nil
	}
	code, what := exitLocalCert, "could not load the client certificate or its key"
	if s.tls.CA != "" {
		if _, rerr := tlsconf.Client(tlsconf.Options{CA: s.tls.CA}); rerr != nil {
			code, what = exitCAFile, "error setting certificate verify locations"
		}
	}
	return failf(code, "%s: %v", what, cli.ErrorText(err))
}

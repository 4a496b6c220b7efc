package curl

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"strings"
	"time"
)

// A session is one command line: its transfers share connections and cookies.
type session struct {
	*command
	env    *cli.Env
	client httpmini.Client
	jar    *httpmini.Jar   // nil: no -b, no -c
	config *tlsconf.Config // nil until it is needed

	now      *transfer   // the one under way, for what the client has to tell
	viaProxy bool        // what is dialed next
	through  *dial.Proxy // to dial through: SOCKS, and -p
	proxies  map[string]*url.URL

	done int // transfers
}

func newSession(c *command, env *cli.Env) *session {
	r := &session{command: c, env: env, proxies: map[string]*url.URL{}}
	r.client = httpmini.Client{
		Dial: r.dial, TLS: r.secure, Proxy: r.proxyURL,
		ProxyHeader:    httpmini.Header{{Name: "User-Agent", Value: userAgent}, {Name: "Proxy-Connection", Value: "Keep-Alive"}},
		Resend:         true,
		ConnectTimeout: cmp.Or(c.dialer.ConnectTimeout, -1), HeadTimeout: cmp.Or(c.stall, -1), StallTimeout: cmp.Or(c.stall, -1),
	}
	if c.proxyUser != "" && c.dialer.Proxy != nil {
		name, password, _ := strings.Cut(c.proxyUser, ":")
		c.dialer.Proxy.User = url.UserPassword(name, password)
	}
	if p := c.dialer.Proxy; p != nil && p.User != nil {
		r.client.ProxyHeader = slices.Insert(r.client.ProxyHeader, 0, httpmini.Field{Name: "Proxy-Authorization", Value: p.Authorization()})
	}
	r.client.Trace = httpmini.Trace{
		Connected: func(way httpmini.Connection) { r.now.connected(way) },
		Sent:      func(q *httpmini.Request) { r.now.sent(q) },
		Received:  func(a *httpmini.Response) { r.now.received(a) },
	}
	if r.watches() {
		r.client.Trace.Progress = func(sent, received int64) { r.now.progress(sent, received) }
	}
	if slices.ContainsFunc(c.ops, func(o options) bool { return o.cookieJar != "" || slices.ContainsFunc(o.cookies, namesFile) }) {
		r.jar = new(httpmini.Jar)
	}
	return r
}

// all does the transfers one after the other. The last one's error is that of the
// run.
func (r *session) all(ctx context.Context) error {
	var last error
	for i := range r.ops {
		o := &r.ops[i]
		err := r.option(ctx, o)
		last = err
		if o.cookieJar != "" {
			if werr := r.writeCookies(o); werr != nil {
				r.warn("failed to save cookies in %s: %v", o.cookieJar, werr)
			}
		}
		if ctx.Err() != nil || err != nil && r.failEarly {
			return err
		}
	}
	return last
}

// option does the transfers of one option set.
func (r *session) option(ctx context.Context, o *options) (last error) {
	given, came := r.readCookies(o)
	content, err := o.content(r.env.Stdin)
	if err != nil {
		return r.fatal(cli.ExitRead, "Failed to open/read local data from file/application: %v", cli.ErrorText(err))
	}
	if len(o.outputs) > len(o.urls) && !o.remoteAll {
		r.warn("got more output options than URLs")
	}
	for i, raw := range o.urls {
		glob := &glob{literals: []string{raw}}
		if !o.noGlob {
			if glob, err = parseGlob(raw); err != nil {
				return r.fatal(exitBadURL, "%v", err)
			}
		}
		for k := range glob.size() {
			t := &transfer{session: r, o: o, content: content, given: given, came: came, number: r.done}
			var values []string
			t.raw, values = glob.at(k)
			t.target = o.targetOf(i, values)
			if i < len(o.uploads) {
				t.upload = o.uploads[i]
			}
			last = t.run(ctx)
			r.done++
			if ctx.Err() != nil || last != nil && r.failEarly {
				return last
			}
		}
	}
	return last
}

// targetOf is where the body of URL number i goes.
func (o *options) targetOf(i int, values []string) target {
	t := target{name: "", remote: o.remoteAll}
	if i < len(o.outputs) {
		t = o.outputs[i]
	}
	if len(values) > 0 {
		t.name = globName(t.name, values)
	}
	if o.outputDir != "" && t.name != "" && t.name != "-" {
		t.name = filepath.Join(o.outputDir, t.name)
	}
	return t
}

// readCookies fills the jar from the files of -b. It returns what was given there as
// it is, and the Set-Cookie fields of heads that were saved.
func (r *session) readCookies(o *options) (given []string, came httpmini.Header) {
	for _, s := range o.cookies {
		switch {
		case !namesFile(s):
			given = append(given, strings.TrimSpace(s))
		case s != "":
			fields, err := readCookies(r.jar, s, r.env.Stdin, !o.junkSession)
			if err != nil {
				r.warn("failed to read cookies from %s: %v", s, err)
			}
			came = append(came, fields...)
		}
	}
	return given, came
}

// namesFile says whether -b names a file: only that starts the cookie engine, as "" does.
func namesFile(s string) bool { return !strings.Contains(s, "=") }

// fatal is an error before there is a transfer.
func (r *session) fatal(code int, format string, args ...any) error {
	r.say(code, fmt.Sprintf(format, args...))
	return cli.Fail(code, nil)
}

// say prints an error as curl does.
func (r *session) say(code int, text string) {
	if text != "" && (!r.silent || r.showError) {
		fmt.Fprintf(r.env.Stderr, "curl: (%d) %s\n", code, event.AppendCut(nil, text, cli.MaxErrorLine))
	}
}

func (r *session) warn(format string, args ...any) {
	if !r.silent {
		fmt.Fprintf(r.env.Stderr, "Warning: %s\n", event.AppendCut(nil, fmt.Sprintf(format, args...), cli.MaxErrorLine))
	}
}

// proxyURL says which HTTP proxy a request goes to; SOCKS, and tunnels for plain
// http (-p), are dial's.
func (r *session) proxyURL(u *url.URL) (*url.URL, error) {
	r.through = nil
	r.viaProxy = false
	p, err := r.proxyOf(u.Scheme, u.Hostname(), u.Port())
	if err != nil || p == nil {
		return nil, err
	}
	r.viaProxy = true
	if p.Socks || r.tunnel && u.Scheme == "http" {
		r.through = p
		return nil, nil
	}
	key := fmt.Sprint(p.Host, " ", p.Port, " ", p.User)
	if r.proxies[key] == nil {
		r.proxies[key] = &url.URL{Scheme: "http", Host: net.JoinHostPort(p.Host, p.Port), User: p.User}
	}
	return r.proxies[key], nil
}

func (r *session) proxyOf(scheme, host, port string) (*dial.Proxy, error) {
	if r.unixSocket != "" {
		return nil, nil
	}
	if port == "" {
		port = (&location{scheme: scheme}).realPort()
	}
	return r.dialer.ProxyFor(r.env, scheme, host, port)
}

// dial connects to a server or to the proxy that proxyURL named.
func (r *session) dial(ctx context.Context, _, address string) (net.Conn, error) {
	if r.unixSocket != "" {
		return r.env.Dial(ctx, "unix", r.unixSocket)
	}
	if !r.viaProxy || r.through != nil {
		address = r.connectAddress(address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	env := *r.env
	env.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		addrs, err := r.env.Lookup(ctx, host)
		r.now.lookedUp = time.Now()
		return addrs, err
	}
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		r.now.info("  Trying %s...", address)
		return r.env.Dial(ctx, network, address)
	}
	r.now.lookedUp = time.Now()
	if p := r.through; p != nil {
		conn, err := r.dialer.Direct(ctx, &env, r.now.o.network, p.Host, p.Port)
		if err != nil {
			return nil, err
		}
		return p.Through(ctx, conn, host, port)
	}
	return r.dialer.Direct(ctx, &env, r.now.o.network, host, port)
}

// connectAddress applies --connect-to.
func (r *session) connectAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, c := range r.connectTo {
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

// secure makes TLS of a connection. What that needs is made with the first one.
func (r *session) secure(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
	if err := r.makeConfig(); err != nil {
		return nil, err
	}
	tc, err := r.config.Client(ctx, nc, host)
	if err != nil {
		return nil, err
	}
	state := tlsconf.State(tc)
	if r.tlsMin13 && !strings.HasPrefix(state, "TLS 1.3") {
		tc.Close()
		return nil, failf(cli.ExitTLS, "TLS connect error: the server speaks no TLS 1.3")
	}
	r.now.info("TLS: %s", state)
	return tc, nil
}

func (r *session) makeConfig() (err error) {
	if r.config != nil {
		return nil
	}
	if !tlsconf.Available {
		return failf(exitUnsupported, "Protocol \"https\" not supported: this build leaves TLS out")
	}
	options := &r.tls.Options
	if r.config, err = tlsconf.Client(*options); err == nil {
		return nil
	}
	code, what := exitLocalCert, "could not load the client certificate or its key"
	if options.CA != "" {
		if _, rerr := tlsconf.Client(tlsconf.Options{CA: options.CA}); rerr != nil {
			code, what = exitCAFile, "error setting certificate verify locations"
		}
	}
	return failf(code, "%s: %v", what, cli.ErrorText(err))
}

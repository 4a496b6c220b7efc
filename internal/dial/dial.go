// Package dial is the way from a URL to a connection: names, proxies, TLS, opening
// handshakes, and the flags of all that.
//
// A Dialer (this file) makes plain connections, through a proxy (proxy.go) where one
// is wanted. A Client (link.go) makes a Link of whatever a URL names: messages over a
// WebSocket (wslink.go), over lines, over bytes, over datagrams.
package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"socketsrv/internal/cli"
)

// A Dialer is what the flags of outgoing connections said.
type Dialer struct {
	ConnectTimeout time.Duration // for name, connection, proxy and handshakes together; 0: no limit
	NoProxy        string        // hosts that are reached directly, in place of those of no_proxy

	Proxy    *Proxy // nil: what the environment says
	resolved map[string][]netip.Addr
	from     *netip.AddrPort // nil: the system chooses
}

// SetFrom takes the source of connections: ADDR:PORT, ADDR or :PORT.
func (d *Dialer) SetFrom(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "0"
	}
	var addr netip.Addr
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return errors.New("want ADDR:PORT, ADDR or :PORT")
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	from := netip.AddrPortFrom(addr, uint16(n))
	d.from = &from
	return err
}

// connect dials an address from the source that was asked for.
func (d *Dialer) connect(ctx context.Context, env *cli.Env, network string, addr netip.Addr, port string) (net.Conn, error) {
	address := net.JoinHostPort(addr.String(), port)
	switch {
	case strings.HasPrefix(network, "udp") && isGroup(addr):
		return d.dialGroup(ctx, env, address)
	case d.from == nil:
		return env.Dial(ctx, network, address)
	case strings.HasPrefix(network, "udp"):
		return (&net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(*d.from)}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(*d.from)}).DialContext(ctx, network, address)
}

// AddDialer adds the flags of outgoing connections.
func AddDialer(fs *cli.Flags) *Dialer {
	d := &Dialer{ConnectTimeout: 30 * time.Second}
	fs.Group("Connecting")
	fs.Duration(&d.ConnectTimeout, "connect-timeout", "Gives up connecting after D, name and handshakes included.")
	fs.Func("proxy", "URL", "Connects through this proxy, http://HOST:PORT or socks5://HOST:PORT; else http_proxy, https_proxy, all_proxy name one.", func(s string) (err error) {
		d.Proxy, err = ParseProxy(s)
		return err
	})
	fs.Hide("proxy")
	fs.Func("resolve", "H:P:ADDR", "Uses ADDR as the address of host H at port P.", d.AddResolve)
	return d
}

// AddResolve takes curl's HOST:PORT:ADDRESS[,ADDRESS]; * is any host.
func (d *Dialer) AddResolve(s string) error {
	want := errors.New("want HOST:PORT:ADDRESS[,ADDRESS]")
	host, rest, _ := strings.Cut(strings.TrimPrefix(s, "+"), ":")
	port, list, _ := strings.Cut(rest, ":")
	port, err := cli.ParsePort(port)
	if host == "" || err != nil {
		return want
	}
	var addrs []netip.Addr
	for word := range strings.SplitSeq(list, ",") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(word, "["), "]"))
		if err != nil {
			return want
		}
		addrs = append(addrs, addr)
	}
	if d.resolved == nil {
		d.resolved = make(map[string][]netip.Addr)
	}
	d.resolved[strings.ToLower(host)+":"+port] = addrs
	return nil
}

// Timeout bounds ctx by ConnectTimeout: for dialing and the handshakes after it.
func (d *Dialer) Timeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.ConnectTimeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.ConnectTimeout)
}

// For returns the dial function of connections for a URL's scheme, on which it
// depends whether there is a proxy. The context bounds it: see Timeout.
func (d *Dialer) For(env *cli.Env, scheme string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(network, "unix") {
			return env.Dial(ctx, network, address)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(network, "udp") {
			return d.Direct(ctx, env, network, host, port)
		}
		p, err := d.ProxyFor(env, scheme, host, port)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return d.Direct(ctx, env, network, host, port)
		}
		conn, err := d.Direct(ctx, env, network, p.Host, p.Port)
		if err != nil {
			return nil, err
		}
		return p.Through(ctx, conn, host, port)
	}
}

// Direct dials host without a proxy.
func (d *Dialer) Direct(ctx context.Context, env *cli.Env, network, host, port string) (net.Conn, error) {
	addrs, err := d.lookup(ctx, env, network, host, port)
	if err != nil {
		return nil, err
	}
	return race(ctx, addrs, func(ctx context.Context, addr netip.Addr) (net.Conn, error) {
		return d.connect(ctx, env, network, addr, port)
	})
}

// lookup returns the addresses of host that network can take, at least one.
func (d *Dialer) lookup(ctx context.Context, env *cli.Env, network, host, port string) ([]netip.Addr, error) {
	addrs, ok := d.resolved[strings.ToLower(host)+":"+port]
	if !ok {
		addrs, ok = d.resolved["*:"+port]
	}
	if literal, err := netip.ParseAddr(host); !ok && err == nil {
		addrs, ok = []netip.Addr{literal}, true
	}
	if !ok {
		var err error
		if addrs, err = env.Lookup(ctx, host); err != nil {
			return nil, err
		}
	}
	addrs = mix(addrs, network)
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no suitable address", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// mix keeps the addresses of the family that network names, if it names one, and
// lets the families take turns, the first one's first (RFC 8305 §4).
func mix(addrs []netip.Addr, network string) []netip.Addr {
	var first, second []netip.Addr
	for _, addr := range addrs {
		addr = addr.Unmap()
		switch {
		case strings.HasSuffix(network, "4") && !addr.Is4(), strings.HasSuffix(network, "6") && addr.Is4():
		case len(first) == 0 || addr.Is4() == first[0].Is4():
			first = append(first, addr)
		default:
			second = append(second, addr)
		}
	}
	var mixed []netip.Addr
	for i := range max(len(first), len(second)) {
		mixed = append(mixed, first[min(i, len(first)):min(i+1, len(first))]...)
		mixed = append(mixed, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return mixed
}

// headStart is what an address has before the next is tried too (RFC 8305 §5).
const headStart = 250 * time.Millisecond

// race dials addrs one after another, each with a head start, and returns the
// first connection, or the error of the first address. Package net does so with
// one address of each family only: the second of the same family would wait for
// the time-out of a first that is a black hole.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	running := 0
	launch := func() {
		addr := addrs[0]
		addrs = addrs[1:]
		running++
		go func() {
			conn, err := dial(ctx, addr)
			results <- result{conn, err}
		}()
	}
	launch()
	ticker := time.NewTicker(headStart)
	defer ticker.Stop()
	var winner result
	for running > 0 {
		select {
		case <-ticker.C:
		case r := <-results:
			running--
			switch {
			case r.err == nil && winner.conn != nil:
				r.conn.Close()
			case r.err == nil:
				winner = r
				cancel() // the others end soon, and are waited for
			case winner.err == nil:
				winner.err = r.err
			}
			ticker.Reset(headStart)
		}
		if len(addrs) > 0 && ctx.Err() == nil {
			launch()
		}
	}
	if winner.conn != nil {
		return winner.conn, nil
	}
	return nil, winner.err
}

const (
	CutTime = 500 * time.Millisecond // what the peer has to end when we have no time left
	EndTime = 2 * time.Second        // for a connection that broke to say why; hanging up takes one
)

package httpmini

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/rawio"
)

// A route is what a connection leads to; requests with the same route can share
// one.
type route struct {
	scheme, addr string   // addr: host:port
	host         string   // for TLS
	proxy        *url.URL // nil: none
	tunnel       bool     // through it
}

func (r route) equal(s route) bool {
	if r.scheme != s.scheme || r.addr != s.addr || r.tunnel != s.tunnel {
		return false
	}
	return r.proxy == s.proxy || r.proxy != nil && s.proxy != nil && r.proxy.String() == s.proxy.String()
}

// A link is a connection of a Client. One goroutine reads, and one may write
// meanwhile.
type link struct {
	c    *Client
	to   route
	nc   net.Conn // what HTTP is spoken on
	raw  net.Conn // what Dial returned; closing it ends every read and write
	br   *bufio.Reader
	info Connection

	ctx  context.Context // of the exchange
	stop func() bool     // no longer close with ctx
	up   *upload

	body     *body        // of the answer, nil if it has none
	got      atomic.Int64 // bytes of it
	first    time.Time    // when the first byte of the exchange came; zero before
	readBy   time.Time    // the deadline for the next bytes of the body
	hurried  bool         // it is not to be changed
	idleFrom time.Time

	mu      sync.Mutex
	heading bool  // the head is being waited for
	cause   error // why we closed the connection
}

// connect returns a connection to r, a kept one unless fresh.
func (c *Client) connect(ctx context.Context, r route, fresh bool) (*link, error) {
	if !fresh {
		if l := c.take(r); l != nil {
			l.begin(ctx)
			return l, nil
		}
	}
	timeout, cancel := ctx, context.CancelFunc(func() {})
	if d := cmp.Or(c.ConnectTimeout, 10*time.Second); d > 0 {
		timeout, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	l, err := c.open(timeout, r)
	if e, ok := errors.AsType[*OpError](err); ok && ctx.Err() != nil {
		e.Err = ctx.Err()
	} else if ok && timeout.Err() != nil {
		e.Err = os.ErrDeadlineExceeded
	}
	if err != nil {
		return nil, err
	}
	l.begin(ctx)
	return l, nil
}

// open makes a new connection.
func (c *Client) open(ctx context.Context, r route) (l *link, err error) {
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	addr := r.addr
	if r.proxy != nil {
		addr = address(r.proxy)
	}
	l = &link{c: c, to: r, info: Connection{Proxy: r.proxy, Started: time.Now()}}
	l.nc, err = dial(ctx, "tcp", addr)
	if err != nil {
		return nil, &OpError{Op: "connect", Err: err}
	}
	l.raw = l.nc
	l.info.Connected = time.Now()
	if r.proxy != nil && r.proxy.Scheme == "https" {
		err = l.secure(ctx, r.proxy.Hostname())
	}
	if err == nil && r.tunnel {
		err = l.tunnel(ctx)
	}
	if err == nil && r.scheme == "https" {
		err = l.secure(ctx, r.host)
		l.info.Secured = time.Now()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	l.nc.SetDeadline(time.Time{}) // whatever TLS and Dial left
	l.info.Local, l.info.Remote, l.info.NetConn = l.raw.LocalAddr(), l.raw.RemoteAddr(), l.nc
	return l, nil
}

func (l *link) secure(ctx context.Context, serverName string) error {
	secure := l.c.TLS
	if secure == nil {
		secure = startTLS
	}
	nc, err := secure(ctx, l.nc, serverName)
	if err != nil {
		return &OpError{Op: "tls", Err: err}
	}
	l.nc = nc
	return nil
}

// tunnel asks the proxy for a connection to the server (RFC 9110 §9.3.6).
func (l *link) tunnel(ctx context.Context) error {
	r := &Request{Method: "CONNECT", Target: l.to.addr, Minor: 1, HTTP10: l.c.Proxy10, Header: Header{{"Host", l.to.addr}}}
	r.Header = append(r.Header, l.c.ProxyHeader...)
	if auth := basic(l.to.proxy.User); auth != "" && !r.Header.Has("Proxy-Authorization") {
		r.Header.Add("Proxy-Authorization", auth)
	}
	if err := r.Check(); err != nil {
		return err
	}
	l.begin(ctx)
	defer l.stop()
	l.acquire()
	defer l.release()
	l.c.sent(r)
	l.awaitHead(cmp.Or(l.c.HeadTimeout, 60*time.Second))
	if _, err := l.nc.Write(r.AppendHead(nil)); err != nil {
		return l.fault("proxy", err)
	}
	p, err := l.readFinal("CONNECT", false, nil)
	if err == nil {
		p.Body = noBody{}
	}
	switch {
	case err != nil:
		return err
	case p.Status/100 != 2:
		return &ProxyError{p}
	case l.br.Buffered() > 0: // we are the first to speak in a tunnel
		return &OpError{Op: "proxy", Err: ErrNotHTTP}
	}
	l.nc.SetDeadline(time.Time{})
	l.info.Tunneled = time.Now()
	return nil
}

// Basic returns the value of an Authorization or Proxy-Authorization field for
// "user:password" (RFC 7617 §2).
func Basic(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

// basic is Basic for u, "" for nobody.
func basic(u *url.Userinfo) string {
	if u == nil {
		return ""
	}
	password, _ := u.Password()
	return Basic(u.Username() + ":" + password)
}

// begin starts an exchange, which ctx can end.
func (l *link) begin(ctx context.Context) {
	l.ctx, l.first, l.readBy, l.hurried = ctx, time.Time{}, time.Time{}, false
	l.body = nil
	l.got.Store(0)
	l.heading = true
	l.stop = func() bool { return true }
	if ctx.Done() != nil {
		l.stop = context.AfterFunc(ctx, func() { l.raw.Close() })
	}
}

// Answers can have much in small chunks: a read is to take several.
var wideReaders = newPool(func() *bufio.Reader { return bufio.NewReaderSize(nil, 16<<10) })

func (l *link) acquire() {
	l.br = wideReaders.get()
	l.br.Reset(l)
}

func (l *link) release() {
	if l.br != nil {
		l.br.Reset(nil)
		wideReaders.put(l.br)
		l.br = nil
	}
}

func (l *link) close() {
	if l.stop != nil {
		l.stop()
	}
	if l.up != nil && !l.up.whole() {
		l.raw.Close() // first: to say goodbye in TLS would wait for what does not leave
	}
	l.nc.Close()
	l.raw.Close()
	l.release()
}

// abort closes the connection because of err.
func (l *link) abort(err error) {
	l.mu.Lock()
	l.cause = err
	l.mu.Unlock()
	l.raw.Close()
}

// fault makes err say what was being done, unless it only follows from our own
// closing the connection.
func (l *link) fault(op string, err error) error {
	if ended := l.ctx.Err(); ended != nil {
		return &OpError{Op: op, Err: ended}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return l.cause
	}
	return &OpError{Op: op, Err: err}
}

// Read is where the bytes of answers come from.
func (l *link) Read(p []byte) (int, error) {
	if !l.heading && !l.hurried {
		l.setReadDeadline()
	}
	n, err := l.nc.Read(p)
	if n > 0 && l.first.IsZero() {
		l.first = time.Now()
	}
	if err != nil && err != io.EOF {
		err = l.fault("receive", err)
	}
	return n, err
}

// setReadDeadline gives the peer StallTimeout for its next bytes.
func (l *link) setReadDeadline() {
	timeout := cmp.Or(l.c.StallTimeout, 60*time.Second)
	if timeout < 0 {
		return
	}
	if by := time.Now().Add(timeout); by.Sub(l.readBy) > timeout/slack {
		l.readBy = by
		l.nc.SetReadDeadline(by)
	}
}

// hurry gives the peer that much time for all the rest of the body.
func (l *link) hurry(d time.Duration) {
	l.hurried = true
	l.nc.SetReadDeadline(time.Now().Add(d))
}

// count notes that n bytes of the body came.
func (l *link) count(n int64) {
	got := l.got.Add(n)
	if f := l.c.Trace.Progress; f != nil && n > 0 {
		f(l.up.sent.Load(), got)
	}
}

// awaitHead gives the peer time for the rest of its head, from now on. It may be
// called from the goroutine that sends.
func (l *link) awaitHead(timeout time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heading && timeout >= 0 {
		l.nc.SetReadDeadline(time.Now().Add(timeout))
	}
}

// headed says that the final head is there.
func (l *link) headed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heading = false
	l.nc.SetReadDeadline(time.Time{})
}

// readFinal reads heads until the final one, as ReadFinal does. interim is told of
// those before.
func (l *link) readFinal(method string, upgrade bool, interim func(status int)) (*Response, error) {
	lim := l.c.Limits
	if lim == (Limits{}) {
		lim = ClientLimits
	}
	r, came, err := readFinal(l.br, method, upgrade, lim, func(r *Response) {
		l.c.received(r)
		if r.Status < 200 && interim != nil {
			interim(r.Status)
		}
	})
	if err != nil {
		return nil, l.judge(err, came)
	}
	l.headed()
	return r, nil
}

// judge names what came instead of a head.
func (l *link) judge(err error, came string) error {
	if e, ok := err.(*Error); ok && e.Err == ErrNotHTTP {
		switch {
		case len(came) >= 2 && (came[0] == 0x15 || came[0] == 0x16) && came[1] == 3: // alert, handshake
			e.Err = ErrSpeaksTLS
		case len(came) >= 4 && came[0] == 0 && (came[3] == 4 || came[3] == 7): // SETTINGS, GOAWAY
			e.Err = ErrHTTP2
		}
	}
	if err == io.EOF {
		err = l.fault("receive", ErrNoAnswer)
	} else if err == io.ErrUnexpectedEOF {
		err = l.fault("receive", err)
	}
	if op, ok := err.(*OpError); ok {
		op.Raw = came
	}
	return err
}

// stale reports whether err on a kept connection only says that the peer had
// given it up.
func (l *link) stale(err error) bool {
	e, ok := errors.AsType[*OpError](err)
	if !ok || !l.info.Reused || !l.first.IsZero() || l.ctx.Err() != nil || e.Op == "body" {
		return false
	}
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// take returns a kept connection to r that is still alive, or nil.
func (c *Client) take(r route) *link {
	for {
		l := c.pop(r)
		if l == nil || l.alive() && !c.expired(l) {
			return l
		}
		l.close()
	}
}

func (c *Client) pop(r route) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.idle) - 1; i >= 0; i-- {
		if l := c.idle[i]; l.to.equal(r) {
			c.idle = slices.Delete(c.idle, i, i+1)
			l.info.Reused = true
			return l
		}
	}
	return nil
}

func (c *Client) expired(l *link) bool {
	timeout := cmp.Or(c.IdleTimeout, 60*time.Second)
	return timeout >= 0 && time.Since(l.idleFrom) >= timeout
}

// keep takes a connection back, and closes what is too old or too much.
func (c *Client) keep(l *link) {
	l.release()
	l.up, l.body, l.ctx, l.stop = nil, nil, nil, nil // all that the exchange held
	l.nc.SetDeadline(time.Time{})
	l.idleFrom = time.Now()
	max := c.MaxIdle
	if max == 0 {
		max = 8
	}
	c.mu.Lock()
	c.idle = append(c.idle, l)
	var old []*link
	for len(c.idle) > 0 && (len(c.idle) > max || c.expired(c.idle[0])) {
		old = append(old, c.idle[0])
		c.idle = slices.Delete(c.idle, 0, 1)
	}
	c.mu.Unlock()
	for _, l := range old {
		l.close()
	}
}

// CloseIdle closes the connections that are kept and not in use.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}

// alive reports whether there is neither an end nor anything else to read on a
// kept connection, where that can be told without waiting.
func (l *link) alive() bool {
	raw := rawio.Socket(l.raw)
	if raw == nil {
		return true
	}
	var found error
	err := raw.Read(func(fd uintptr) bool {
		_, found = rawio.Read(fd, make([]byte, 1))
		return true
	})
	return err == nil && found == rawio.ErrAgain
}

package httpmini

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Client sends requests over connections that it keeps for the next ones. Its
// zero value works; its fields are set before the first use and not changed
// later. Methods may be called from several goroutines.
//
// A timeout of 0 has the value given beside it, a negative one is none.
type Client struct {
	// Dial connects to host:port; nil is net.Dialer. Other ways, by a Unix socket
	// or SOCKS, are its business. A *net.TCPConn lets the kernel copy bodies.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS makes nc a TLS connection to serverName; nil is crypto/tls with the
	// system's trust.
	TLS func(ctx context.Context, nc net.Conn, serverName string) (net.Conn, error)
	// Proxy returns the URL of the HTTP proxy (http or https) for requests to u, nil
	// for none; nil is none for all. Requests for http go to it in absolute form,
	// https goes through a tunnel (CONNECT). User information in its URL becomes
	// Proxy-Authorization, which no other server gets to see.
	Proxy       func(u *url.URL) (*url.URL, error)
	ProxyHeader Header // is added to CONNECT requests
	Tunnel      bool   // http goes through a tunnel, too
	// ConnectTo returns where the connection for a server at host:port is to lead; nil
	// is there. What a proxy is to take elsewhere goes through a tunnel.
	ConnectTo func(addr string) string
	Proxy10   bool // CONNECT is a request of HTTP/1.0

	Limits       Limits // of the heads of answers; zero means ClientLimits
	IgnoreLength bool   // an answer with a Content-Length ends with the connection
	Resend       bool   // requests of every method are sent again where Do says so, as curl does

	ConnectTimeout time.Duration // for name, connection, tunnel and TLS together; 0 means 10 s
	HeadTimeout    time.Duration // from the end of the request to that of the final head; 0 means 60 s
	StallTimeout   time.Duration // without a byte of a body in either direction (an eighth longer where the kernel copies); 0 means 60 s
	ExpectWait     time.Duration // for a 100 (Continue) that the request expects; 0 means 1 s
	IdleTimeout    time.Duration // for which a connection is kept for another request; 0 means 60 s
	MaxIdle        int           // connections kept at once, beyond which the oldest is closed; 0 means 8, negative none

	Trace Trace

	mu   sync.Mutex
	idle []*link // the one used last is the last
}

// Trace holds functions that are told what happens, as it does, on the goroutine
// of Do. Each may be nil.
type Trace struct {
	Connected func(Connection)  // a connection is used, new or kept
	Sent      func(r *Request)  // its head goes out now, as it is there; CONNECT too
	Received  func(r *Response) // a head came: interim (1xx), to CONNECT, final

	// Progress is told how much of the bodies went out and came in so far, after
	// every piece, or four times a second where the kernel copies slowly. Where both
	// go at once it is called from two goroutines at a time. What it takes slows the
	// transfer down.
	Progress func(sent, received int64)
}

// A Connection says how a request got to its server. Times are zero for steps
// that were not needed.
type Connection struct {
	Local, Remote net.Addr
	Reused        bool
	NetConn       net.Conn  // as Dial or TLS returned it; not to be read or written
	Proxy         *url.URL  // nil if there is none
	Started       time.Time // when Dial was called
	Connected     time.Time // when it returned
	Tunneled      time.Time // when the proxy had answered CONNECT
	Secured       time.Time // when TLS was ready
}

// Do sends r to rawURL (http or https, see ParseWhere) and reads answers until the
// head of the final one (RFC 9110 §15.2). It follows no redirects and knows no
// cookies. The context governs the exchange until Answer.Close.
//
// r is not changed. An empty Method is GET. An empty Target is taken from the URL.
// Host, Content-Length and Transfer-Encoding are added; where r.Header has the one of
// these last that is right, it stands there with the right value, others are not sent. So is Authorization if the URL names a user and
// r.Header has none. A body of ContentLength bytes or, with -1, of any length, in
// chunks, is read from Body while it goes out; 0 is what a *bytes.Reader,
// *bytes.Buffer or *strings.Reader has left, and an ErrBodyLength where another Body
// has bytes. nil is none, and then -1 leaves Content-Length out where it
// would be 0. A file of known length goes to a TCP
// connection by the kernel. Answers may come before the body is through: what is
// left of it after one with a status of 300 or more is not sent.
//
// With Expect: 100-continue in r.Header the body waits for a 100 (Continue), for
// ExpectWait at the most. With Upgrade in it, a 101 is final, and the rest of the
// connection is its body.
//
// A kept connection that turns out dead before a byte of the answer came is
// replaced by a new one, once, if the method is idempotent (RFC 9110 §9.2.2) or
// Resend is set, and the body, if any, is an io.Seeker. The server may have acted
// on the request all the same.
//
// Errors wrap ErrURL or ErrScheme, a *ProxyError, an *Error (the answer is not
// HTTP/1.1 or breaks Limits), or an *OpError around the error of Dial, TLS, Body
// or the connection: ErrNoAnswer, io.ErrUnexpectedEOF in the middle of a head,
// os.ErrDeadlineExceeded or that of the context. What cannot be sent is an
// ErrRequestLine, ErrTarget, ErrField or ErrHost, before anything is.
func (c *Client) Do(ctx context.Context, rawURL string, r *Request) (*Answer, error) {
	a := &Answer{Started: time.Now()}
	if err := c.prepare(ctx, &a.x, rawURL, r); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		l, err := c.connect(ctx, a.x.route, again)
		if err != nil {
			return nil, err
		}
		if err = c.try(l, a); err == nil {
			return a, nil
		}
		l.close()
		if !l.stale(err) || !a.x.again(c.Resend) {
			return nil, err
		}
	}
}

// Get fetches rawURL for a program: it follows redirects as the zero Redirects
// does, asks for gzip, and undoes it; then ContentLength is -1. Any status is an
// answer. Body gives at most 64 MiB, and ErrTooLarge behind them: see Decoded and
// Do, the two together with Redirects are all there is to Get.
func (c *Client) Get(ctx context.Context, rawURL string) (*Answer, error) {
	r := &Request{Method: "GET", Header: Header{{"Accept", "*/*"}, {"Accept-Encoding", "gzip, deflate"}}}
	for {
		a, err := c.Do(ctx, rawURL, r)
		if err != nil {
			return nil, err
		}
		next, nr, err := Redirects{}.Follow(a, r)
		if err == nil && nr == nil {
			var body io.Reader
			if body, err = a.Decoded(0); err == nil {
				if a.Body = body; a.Header.Has("Content-Encoding") {
					a.ContentLength = -1
				}
				return a, nil
			}
		}
		a.Close()
		if err != nil {
			return nil, err
		}
		rawURL, r = next, nr
	}
}

// A prepared is a request as it goes out.
type prepared struct {
	where Where
	url   *url.URL
	route route
	r     Request
	body  io.Reader // nil: none
	start int64     // where a body that can seek began, else -1
}

// prepare checks r and makes what is sent of it.
func (c *Client) prepare(ctx context.Context, x *prepared, rawURL string, r *Request) error {
	if err := ctx.Err(); err != nil {
		return &OpError{Op: "connect", Err: err}
	}
	w, err := ParseWhere(rawURL, "")
	if err == nil && w.Scheme != "http" && w.Scheme != "https" {
		err = ErrScheme
	}
	if err != nil {
		return err
	}
	x.where, x.url, x.body, x.start = w, w.URL(), r.Body, -1
	x.route = route{scheme: w.Scheme, addr: w.Address(), host: w.Host}
	if c.ConnectTo != nil {
		x.route.addr = c.ConnectTo(x.route.addr)
	}
	if err := c.chooseProxy(x); err != nil {
		return &OpError{Op: "proxy", Err: err}
	}
	x.r = Request{Method: cmp.Or(r.Method, "GET"), Target: r.Target, Minor: 1, HTTP10: r.HTTP10, NoHost: r.NoHost, ContentLength: r.ContentLength, Trailer: r.Trailer}
	if n, ok := heldLength(r.Body); ok && r.ContentLength == 0 && len(r.Trailer) == 0 {
		x.r.ContentLength = n
	}
	if r.HTTP10 {
		x.r.Minor = 0 // the connection is not kept
	}
	if x.r.Target == "" {
		x.r.Target = w.Target()
		if x.route.proxy != nil && !x.route.tunnel {
			x.r.Target = w.Scheme + "://" + w.Authority() + x.r.Target
		}
	}
	x.header(r.Header)
	if err := cmp.Or(x.r.Check(), x.r.Trailer.Check()); err != nil {
		return err
	}
	if x.r.Header.Count("Host") > 1 {
		return ErrHost
	}
	return x.checkBody()
}

// chooseProxy makes the route one by a proxy, if there is one for the URL.
func (c *Client) chooseProxy(x *prepared) error {
	if c.Proxy == nil {
		return nil
	}
	p, err := c.Proxy(x.url)
	switch {
	case err != nil || p == nil:
		return err
	case p.Scheme != "http" && p.Scheme != "https":
		return ErrScheme
	case p.Hostname() == "":
		return ErrURL
	}
	x.route.proxy, x.route.tunnel = p, c.Tunnel || x.where.Secure() || x.route.addr != x.where.Address()
	if !x.route.tunnel {
		x.route.addr = "" // the same connection leads to all of them
	}
	return nil
}

// header makes the fields that are sent of h.
func (x *prepared) header(h Header) {
	out := make(Header, 0, len(h)+3)
	if !h.Has("Host") && !x.r.NoHost {
		out.Add("Host", x.where.Authority())
	}
	framing := x.framing()
	for _, f := range h {
		switch {
		case framing.Name != "" && equalFold(f.Name, framing.Name):
			out, framing = append(out, Field{f.Name, framing.Value}), Field{}
		case isFraming(f.Name), x.route.tunnel && equalFold(f.Name, "Proxy-Authorization"):
		default:
			out = append(out, f)
		}
	}
	if x.where.HasUser && !h.Has("Authorization") {
		out.Add("Authorization", Basic(x.where.Credentials()))
	}
	if p := x.route.proxy; p != nil && !x.route.tunnel && p.User != nil && !h.Has("Proxy-Authorization") {
		out.Add("Proxy-Authorization", basic(p.User))
	}
	if framing.Name != "" {
		out = append(out, framing)
	}
	x.r.Header = out
}

// framing is the field that says where the body ends, none if there is nothing to
// say.
func (x *prepared) framing() Field {
	switch length := x.r.ContentLength; {
	case x.body != nil && length < 0:
		return Field{"Transfer-Encoding", "chunked"}
	case x.body != nil:
		return Field{"Content-Length", strconv.FormatInt(length, 10)}
	case length == 0 && slices.Contains([]string{"POST", "PUT", "PATCH"}, x.r.Method): // RFC 9110 §8.6
		return Field{"Content-Length", "0"}
	}
	return Field{}
}

// checkBody finds out whether the body can be sent again, and that there is none
// where its length is 0.
func (x *prepared) checkBody() error {
	if x.body == nil {
		return nil
	}
	if x.r.HTTP10 && x.r.ContentLength < 0 {
		return &OpError{Op: "body", Err: ErrBodyLength}
	}
	if s, ok := x.body.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			x.start = at
		}
	}
	if x.r.ContentLength == 0 {
		var b [1]byte
		if n, _ := io.ReadFull(x.body, b[:]); n > 0 {
			return &OpError{Op: "body", Err: ErrBodyLength}
		}
		x.body = nil
	}
	return nil
}

// again makes ready to send the request once more, if it may be.
func (x *prepared) again(always bool) bool {
	idempotent := slices.Contains([]string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}, x.r.Method)
	return (idempotent || always) && x.rewind() == nil
}

// rewind takes the body back to its start.
func (x *prepared) rewind() error {
	if x.body == nil {
		return nil
	}
	if x.start < 0 {
		return ErrBodyLength
	}
	_, err := x.body.(io.Seeker).Seek(x.start, io.SeekStart)
	return err
}

// try sends the request of a on l and reads the head of the answer.
func (c *Client) try(l *link, a *Answer) error {
	l.acquire()
	if c.Trace.Connected != nil {
		c.Trace.Connected(l.info)
	}
	c.sent(&a.x.r)
	a.Where, a.URL, a.Conn, a.l, a.Sending = a.x.where, a.x.url, l.info, l, time.Now()
	a.up = upload{l: l, x: &a.x}
	l.up = &a.up
	a.up.start()
	r, err := l.readFinal(a.x.r.Method, a.x.r.Header.Has("Upgrade"), a.up.interim)
	if err != nil {
		return a.up.failed(err)
	}
	a.up.final(r.Status)
	if r.Status == 101 {
		r.ContentLength, r.Body = -1, &body{br: l.br, left: -1, answer: r}
	}
	if l.body, _ = r.Body.(*body); l.body != nil {
		l.body.link = l
		if c.IgnoreLength && !l.body.chunked {
			l.body.left, r.ContentLength, r.lone = -1, -1, true
		}
	}
	a.Response, a.First = r, l.first
	return nil
}

func (c *Client) sent(r *Request) {
	if c.Trace.Sent != nil {
		c.Trace.Sent(r)
	}
}

func (c *Client) received(r *Response) {
	if c.Trace.Received != nil {
		c.Trace.Received(r)
	}
}

package wsproto

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"socketsrv/httpmini"
)

// What can be wrong on the client's side of an opening handshake, and with the
// response to it (RFC 6455 §4.1).
var (
	ErrURL         = errors.New("not a WebSocket URL")                                      // §3
	ErrField       = errors.New("header field that cannot be sent in an opening handshake") // §4.1
	ErrStatus      = errors.New("the server did not switch protocols")
	ErrAccept      = errors.New("Sec-WebSocket-Accept does not answer our key, once")
	ErrSubprotocol = errors.New("the server chose a subprotocol that was not offered, or several")
	ErrRedirect    = errors.New("redirect not followed")
	ErrRedirects   = fmt.Errorf("%w: too many", ErrRedirect)
	ErrNoTLS       = errors.New("this program was built without TLS")
)

// DialOptions says how a client opens a connection. The zero value works.
type DialOptions struct {
	Header          httpmini.Header // added to the request; see OwnHandshake
	Host            string          // the Host field; "" takes it from the URL
	Origin          string          // the Origin field; "" sends none
	Subprotocols    []string        // offered, the preferred first
	NoCompression   bool            // do not offer permessage-deflate
	ContextTakeover bool            // let our messages refer to earlier ones: smaller ones, for 1.3 MiB
	Config          Config
	Timeout         time.Duration // for all of Dial; 0 means 10 s

	// OwnHandshake allows fields of the handshake itself in Header: Connection, Upgrade,
	// and Sec-WebSocket-Key, -Version, -Protocol and -Extensions. They take the place of
	// ours, and the answer is judged by them. Otherwise they are an error.
	OwnHandshake bool

	// MaxRedirects is how many redirects are followed; 0 makes the first one a
	// refusal. None is followed from wss to ws. On another scheme, host or port the user
	// of the URL and the fields that may be secret are not sent (those whose names
	// contain auth, token, key, secret or cookie), unless TrustRedirects.
	MaxRedirects   int
	TrustRedirects bool

	// Jar is given the cookies of all answers, and its own are sent, ws being read as
	// http. nil keeps what redirects set for this Dial alone.
	Jar *httpmini.Jar

	// OnRequest, if not nil, is shown each request before it is sent, and OnRedirect
	// each answer that is followed, with the URL that it leads to, without user.
	OnRequest  func(req *httpmini.Request)
	OnRedirect func(res *httpmini.Response, url string)

	// NetDial connects to host:port, of network tcp, or to a path, of network unix; nil
	// is net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS makes c a TLS connection to serverName; nil is crypto/tls with the
	// system's trust.
	TLS func(ctx context.Context, c net.Conn, serverName string) (net.Conn, error)
}

// What is read of a refusal, and how long it is waited for.
const (
	maxRefusal  = 1 << 20 // bytes
	refusalTime = 2 * time.Second
	endlessTime = 500 * time.Millisecond // where only the end of the connection ends it
)

// Dial opens a WebSocket connection to a ws or wss URL (RFC 6455 §3, §4.1), or
// through a Unix socket to ws+unix:/path[:/target]. The response is the one to the
// handshake and is returned with refusals too. Frames that come with it are not lost.
//
// Errors wrap ErrURL or ErrField before anything is sent, a *HandshakeError if
// the server answered with something else than a 101 as agreed, what NetDial and
// TLS return, or ctx's error, which is context.DeadlineExceeded after Timeout too.
func Dial(ctx context.Context, rawURL string, opt DialOptions) (*Conn, *httpmini.Response, error) {
	u, err := parseURL(rawURL)
	if err == nil {
		err = opt.check()
	}
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(opt.Timeout, 10*time.Second))
	defer cancel()
	if opt.Jar == nil {
		opt.Jar = new(httpmini.Jar)
	}
	for followed := 0; ; followed++ {
		c, res, err := dialOnce(ctx, u, &opt)
		if res != nil {
			opt.Jar.Store(cookieURL(u), res.Header, time.Now())
		}
		he, refused := errors.AsType[*HandshakeError](err)
		if !refused || opt.MaxRedirects == 0 || !isRedirect(he.Response) {
			return c, res, err
		}
		if followed == opt.MaxRedirects {
			he.Err = fmt.Errorf("%w: more than %d", ErrRedirects, followed)
			return nil, res, he
		}
		next, err := follow(u, res.Header.Get("Location"))
		if err != nil {
			he.Err = err
			return nil, res, he
		}
		if next.SameOrigin(u) || opt.TrustRedirects {
			next.User, next.Password, next.HasUser = u.User, u.Password, u.HasUser
		}
		if !next.SameOrigin(u) {
			opt.leave()
		}
		if opt.OnRedirect != nil {
			opt.OnRedirect(res, next.String())
		}
		u = next
	}
}

// cookieURL returns u as a Jar wants it.
func cookieURL(u httpmini.Where) *url.URL {
	v := u.URL()
	v.Host = u.Authority()
	if v.Scheme = "http"; u.Secure() {
		v.Scheme = "https"
	}
	return v
}

// dialOnce opens one connection and does the handshake on it.
func dialOnce(ctx context.Context, u httpmini.Where, opt *DialOptions) (*Conn, *httpmini.Response, error) {
	nc, err := opt.connect(ctx, u)
	if err != nil {
		return nil, nil, inTime(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(longAgo) })
	came := &headReader{Conn: nc}
	br := bufio.NewReader(came)
	res, ag, err := opt.handshake(came, br, u)
	if he, ok := errors.AsType[*HandshakeError](err); ok && res != nil && res.Status != 101 {
		he.Body = readRefusal(ctx, nc, res)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, res, inTime(ctx, err)
	}
	nc.SetDeadline(time.Time{})
	buffered, _ := br.Peek(br.Buffered())
	return NewConn(nc, buffered, RoleClient, ag, opt.Config), res, nil
}

// A headReader keeps what is read first.
type headReader struct {
	net.Conn
	came []byte
}

func (r *headReader) Read(p []byte) (n int, err error) {
	n, err = r.Conn.Read(p)
	r.came = append(r.came, p[:min(n, httpmini.ClientLimits.Head-len(r.came))]...)
	return n, err
}

// inTime makes err that of ctx where that has ended and nothing was answered. What
// wraps ctx's error already says more: where it came to no connection, that.
func inTime(ctx context.Context, err error) error {
	he, ok := errors.AsType[*HandshakeError](err)
	wraps := err != ctx.Err() && errors.Is(err, ctx.Err())
	if ctx.Err() == nil || wraps || ok && he.Response != nil {
		return err
	}
	err = fmt.Errorf("wsproto: opening handshake: %w", ctx.Err())
	if ok {
		he.Err = err
		return he
	}
	return err
}

func (opt *DialOptions) connect(ctx context.Context, u httpmini.Where) (net.Conn, error) {
	dial := opt.NetDial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, u.Network(), u.Address())
	if err != nil || !u.Secure() {
		return nc, err
	}
	secure := opt.TLS
	if secure == nil {
		secure = startTLS
	}
	name, _, _ := strings.Cut(u.Host, "%") // a zone is ours alone
	tc, err := secure(ctx, nc, name)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return tc, nil
}

// handshake sends the request and judges the response.
func (opt *DialOptions) handshake(nc *headReader, br *bufio.Reader, u httpmini.Where) (*httpmini.Response, Agreement, error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req := opt.request(u, key)
	if opt.OnRequest != nil {
		opt.OnRequest(req)
	}
	if _, err := nc.Write(req.AppendHead(nil)); err != nil {
		return nil, Agreement{}, fmt.Errorf("wsproto: sending the opening handshake: %w", err)
	}
	limits := httpmini.ClientLimits
	limits.Strict = opt.Config.Lenient == nil
	res, err := httpmini.ReadFinal(br, "GET", true, limits)
	if err != nil {
		if _, ok := errors.AsType[*httpmini.Error](err); !ok {
			err = fmt.Errorf("wsproto: reading the response to the opening handshake: %w", err)
		}
		if len(nc.came) > 0 {
			err = &HandshakeError{Head: string(nc.came), Err: err}
		}
		return nil, Agreement{}, err
	}
	for _, fault := range res.Faults.Errors() {
		opt.Config.Lenient(&HandshakeError{Status: res.Status, Response: res, Head: res.Raw, Err: fault})
	}
	ag, err := opt.judge(res, req)
	if err != nil {
		return res, Agreement{}, &HandshakeError{Status: res.Status, Response: res, Head: res.Raw, Err: err}
	}
	return res, ag, nil
}

// request makes the request of RFC 6455 §4.1.
func (opt *DialOptions) request(u httpmini.Where, key string) *httpmini.Request {
	req := &httpmini.Request{Method: "GET", Target: u.Target(), Minor: 1}
	h := &req.Header
	h.Add("Host", cmp.Or(opt.Host, u.Authority()))
	h.Add("Upgrade", "websocket")
	h.Add("Connection", "Upgrade")
	h.Add("Sec-WebSocket-Key", key)
	h.Add("Sec-WebSocket-Version", "13")
	if opt.Origin != "" {
		h.Add("Origin", opt.Origin)
	}
	if len(opt.Subprotocols) > 0 {
		h.Add("Sec-WebSocket-Protocol", strings.Join(opt.Subprotocols, ", "))
	}
	if !opt.NoCompression {
		h.Add("Sec-WebSocket-Extensions", offerDeflate(opt.ContextTakeover))
	}
	if u.HasUser {
		h.Add("Authorization", httpmini.Basic(u.Credentials()))
	}
	for _, f := range opt.Header {
		h.Del(f.Name) // only OwnHandshake lets it be one of ours
	}
	for _, f := range opt.Header {
		if !strings.EqualFold(f.Name, "Authorization") || !h.Has(f.Name) { // there may be one (RFC 9110 §11.6.2)
			*h = append(*h, f)
		}
	}
	if cookies := opt.Jar.Header(cookieURL(u), time.Now()); cookies != "" { // one field in all (RFC 6265 §5.4)
		if given := strings.Join(h.Values("Cookie"), "; "); given != "" {
			cookies = given + "; " + cookies
		}
		h.Del("Cookie")
		h.Add("Cookie", cookies)
	}
	return req
}

// judge says whether res answers req and opens a connection, and what was agreed
// (RFC 6455 §4.1).
func (opt *DialOptions) judge(res *httpmini.Response, req *httpmini.Request) (ag Agreement, err error) {
	h := res.Header
	switch {
	case res.Status != 101:
		reason := strconv.Quote(cmp.Or(res.Reason, httpmini.StatusText(res.Status)))
		return ag, fmt.Errorf("%w: %d %.100s", ErrStatus, res.Status, strings.Trim(reason, `"`))
	case res.Minor < 1:
		return ag, ErrHTTPVersion
	case !h.HasToken("Upgrade", "websocket"):
		return ag, fmt.Errorf("%w: no Upgrade", ErrUpgrade)
	case !h.HasToken("Connection", "Upgrade"):
		return ag, fmt.Errorf("%w: no Connection", ErrUpgrade)
	case h.Count("Sec-WebSocket-Accept") != 1 || h.Get("Sec-WebSocket-Accept") != AcceptKey(req.Header.Get("Sec-WebSocket-Key")):
		return ag, ErrAccept
	}
	chosen := h.Values("Sec-WebSocket-Protocol")
	if len(chosen) > 1 || len(chosen) == 1 && !slices.Contains(req.Header.List("Sec-WebSocket-Protocol"), chosen[0]) {
		err := fmt.Errorf("%w: %.200q", ErrSubprotocol, chosen)
		if opt.Config.Lenient == nil {
			return ag, err
		}
		opt.Config.Lenient(&HandshakeError{Status: res.Status, Response: res, Head: res.Raw, Err: err})
	}
	if len(chosen) > 0 {
		ag.Subprotocol = chosen[0]
	}
	offers, _ := ParseExtensions(req.Header.Values("Sec-WebSocket-Extensions")...)
	offered := slices.ContainsFunc(offers, func(e Extension) bool { return e.Name == permessageDeflate })
	ag.Deflate, err = agreeDeflate(h.Values("Sec-WebSocket-Extensions"), offered, opt.ContextTakeover)
	return ag, err
}

// readRefusal reads what came instead of a connection, and gives res its own copy
// of it.
func readRefusal(ctx context.Context, nc net.Conn, res *httpmini.Response) []byte {
	wait := refusalTime
	if res.ContentLength < 0 && !res.Header.Has("Transfer-Encoding") {
		wait = endlessTime
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(ctx, func() { nc.SetReadDeadline(longAgo) })()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	res.Body = bytes.NewReader(body)
	return body
}

// reserved are the fields that would change what the request means, and ownFields
// those that Dial itself makes.
var (
	reserved  = []string{"host", "sec-websocket-accept", "content-length", "transfer-encoding", "te", "trailer", "expect"}
	ownFields = []string{"upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions"}
)

// check judges what the caller wants to send.
func (opt *DialOptions) check() error {
	all := append(slices.Clone(opt.Header), httpmini.Field{Name: "Origin", Value: opt.Origin}, httpmini.Field{Name: "Host", Value: opt.Host})
	if err := all.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrField, err)
	}
	for _, f := range opt.Header {
		name := strings.ToLower(f.Name)
		own := slices.Contains(ownFields, name) || name == "origin" && opt.Origin != ""
		if slices.Contains(reserved, name) || own && !opt.OwnHandshake {
			return fmt.Errorf("%w: %s is made by the handshake itself", ErrField, f.Name)
		}
	}
	for i, s := range opt.Subprotocols {
		if !isToken(s) || slices.Contains(opt.Subprotocols[:i], s) {
			return fmt.Errorf("%w: subprotocol %q is no token or there twice", ErrField, s)
		}
	}
	return nil
}

// leave forgets what was meant for the server that is left by a redirect.
func (opt *DialOptions) leave() {
	opt.Host = ""
	if !opt.TrustRedirects {
		opt.Header = slices.DeleteFunc(slices.Clone(opt.Header), func(f httpmini.Field) bool { return httpmini.IsSecret(f.Name) })
	}
}

func isRedirect(res *httpmini.Response) bool {
	return res != nil && slices.Contains([]int{301, 302, 303, 307, 308}, res.Status) && res.Header.Has("Location")
}

// parseURL reads the URL of a WebSocket (RFC 6455 §3). The error wraps ErrURL and does
// not repeat the URL, which may hold a password.
func parseURL(raw string) (httpmini.Where, error) {
	u, err := httpmini.ParseWhere(raw, "")
	switch {
	case strings.Contains(raw, `\`): // to some it is a slash
		err = errors.New("it has a backslash")
	case err == httpmini.ErrScheme, err == nil && !isWebSocket(u.Scheme):
		err = errors.New("it does not begin with ws:// or wss://")
	case err == nil && u.Fragment != "":
		err = errors.New("it has a fragment")
	}
	if err != nil {
		return httpmini.Where{}, fmt.Errorf("%w: %s", ErrURL, strings.TrimPrefix(err.Error(), httpmini.ErrURL.Error()+": "))
	}
	return u, nil
}

func isWebSocket(scheme string) bool {
	return scheme == "ws" || scheme == "wss" || scheme == "ws+unix"
}

// follow returns where a Location leads from u. Servers name http and https.
func follow(u httpmini.Where, location string) (httpmini.Where, error) {
	next, err := u.Resolve(location)
	if strings.Contains(location, `\`) {
		err = errors.New("a backslash in it")
	}
	switch next.Scheme {
	case "http":
		next.Scheme = "ws"
	case "https":
		next.Scheme = "wss"
	}
	next.Fragment = ""
	switch {
	case err != nil:
		return next, fmt.Errorf("%w: %w", ErrRedirect, err)
	case !isWebSocket(next.Scheme), next.Network() == "unix" && !next.SameOrigin(u): // nobody else opens our sockets
		return next, fmt.Errorf("%w: not to a WebSocket", ErrRedirect)
	case u.Secure() && !next.Secure():
		return next, fmt.Errorf("%w: from wss to ws", ErrRedirect)
	}
	return next, nil
}

package wsproto

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"socketsrv/httpmini"
)

// The rules of the opening handshake by name. A *HandshakeError wraps the one
// that was broken; the sections are RFC 6455's.
var (
	ErrMethod       = errors.New("the method of an opening handshake is GET")             // §4.1
	ErrHTTPVersion  = errors.New("an opening handshake is made with HTTP/1.1")            // §4.1
	ErrBody         = errors.New("an opening handshake has no body")                      // §4.2.1
	ErrHost         = errors.New("missing, empty or repeated Host")                       // §4.2.1
	ErrUpgrade      = errors.New("no upgrade of the connection to websocket")             // §4.1, §4.2.1
	ErrVersion      = errors.New("missing, malformed or repeated Sec-WebSocket-Version")  // §4.2.1
	ErrOtherVersion = errors.New("the version of the protocol is 13")                     // §4.4
	ErrKey          = errors.New("Sec-WebSocket-Key is not the base64 of 16 bytes, once") // §4.2.1
	ErrSubprotocols = errors.New("malformed Sec-WebSocket-Protocol")                      // §4.2.1
	ErrAllowHost    = errors.New("this server is not known by that name")                 // see AcceptOptions.AllowHost
	ErrOrigin       = errors.New("pages of that origin may not connect")                  // §10.2
	ErrAuthorize    = errors.New("not authorized")                                        // see AcceptOptions.Authorize
)

// AcceptOptions says which opening handshakes a server accepts. The zero value is
// safe on a network where every name is ours.
type AcceptOptions struct {
	// Origins are those whose pages may connect. nil: the origin that the request
	// is for itself, and loopback origins that are as secure as this server. Otherwise
	// those listed, and no others: "http://example.com:8080" (scheme, host and port are
	// compared), "example.com" (with any scheme), "null", "*" for all. What comes
	// without an Origin is no page and always may. ws is read as http and wss as https: no
	// page has such an origin, but programs send it.
	Origins []string

	// AllowHost is asked whether the server goes by the host that the request is
	// for, in lower case, without port, brackets and final dot; nil allows all. On a
	// loopback listener it should be LocalHost(…), see there.
	AllowHost func(host string) bool

	// AllowHostAt says of a connection's own address whether AllowHost is asked there;
	// nil means everywhere. The address is nil where it is not known: see
	// httpmini.Request.Conn.
	AllowHostAt func(local net.Addr) bool

	// Secure says that clients reach this server by wss: their origins' scheme is https.
	// Where the request's connection is TLS it is implied.
	Secure bool

	// Authorize is asked last, before 101. A status other than 0 refuses, with
	// the fields added to the response.
	Authorize func(req *httpmini.Request) (status int, fields httpmini.Header)

	Subprotocols    []string        // what we speak, the preferred first; "*" is the first one offered
	NoCompression   bool            // decline permessage-deflate
	ContextTakeover bool            // let messages refer to earlier ones: smaller ones, for 1.3 MiB a connection
	Header          httpmini.Header // added to every response

	// Lenient, if not nil, is told of a Sec-WebSocket-Protocol that is malformed, which
	// is then passed over. Accept and AcceptExchange take that of their Config where this is
	// nil.
	Lenient func(err error)

	// Hint says what would allow what err forbids, as far as the one who gets the
	// refusal may know: it ends its body. nil and "" add nothing.
	Hint func(err error) string
}

// An Agreement is what the opening handshake settled.
type Agreement struct {
	Subprotocol string         // "" for none
	Deflate     *DeflateParams // nil: no permessage-deflate
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AcceptKey returns the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key
// (RFC 6455 §4.2.2).
func AcceptKey(key string) string {
	var room [64]byte
	sum := sha1.Sum(append(append(room[:0], key...), acceptGUID...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Answer judges an opening handshake (RFC 6455 §4.2) and makes the whole response
// to it. Where the error, a *HandshakeError, is not nil, that is the refusal:
// with status 400, 401, 403, 405 or 426 or the one Authorize chose, a line of text
// that says why, and Connection: close. It does no I/O.
func Answer(req *httpmini.Request, opt AcceptOptions) (*httpmini.Response, Agreement, error) {
	var ag Agreement
	var extra httpmini.Header
	err := checkRequest(req)
	if err == nil {
		ag, err = negotiate(req, &opt)
	}
	if err == nil {
		extra, err = opt.admit(req)
	}
	if err != nil {
		if he, ok := errors.AsType[*HandshakeError](err); ok {
			he.Head = req.Raw
		}
		return opt.refuse(err, extra), Agreement{}, err
	}
	h := make(httpmini.Header, 0, 5+len(opt.Header))
	h = append(h,
		httpmini.Field{Name: "Upgrade", Value: "websocket"},
		httpmini.Field{Name: "Connection", Value: "Upgrade"},
		httpmini.Field{Name: "Sec-WebSocket-Accept", Value: AcceptKey(req.Header.Get("Sec-WebSocket-Key"))})
	if ag.Subprotocol != "" {
		h.Add("Sec-WebSocket-Protocol", ag.Subprotocol)
	}
	if ag.Deflate != nil {
		h.Add("Sec-WebSocket-Extensions", ag.Deflate.String())
	}
	return &httpmini.Response{Minor: 1, Status: 101, Header: append(h, opt.Header...)}, ag, nil
}

// checkRequest applies RFC 6455 §4.2.1 to all but the lists to negotiate about.
func checkRequest(req *httpmini.Request) error {
	h := req.Header
	switch {
	case req.Method != "GET":
		return &HandshakeError{Status: 405, Err: ErrMethod}
	case req.Minor < 1:
		return &HandshakeError{Status: 400, Err: ErrHTTPVersion}
	case req.ContentLength != 0 || h.Has("Transfer-Encoding"):
		return &HandshakeError{Status: 400, Err: ErrBody}
	case h.Count("Host") != 1 || req.Host() == "":
		return &HandshakeError{Status: 400, Err: ErrHost}
	case !h.HasToken("Upgrade", "websocket") || !h.HasToken("Connection", "Upgrade"):
		return &HandshakeError{Status: 426, Err: ErrUpgrade}
	case h.Count("Sec-WebSocket-Version") != 1 || !isVersion(h.Get("Sec-WebSocket-Version")):
		return &HandshakeError{Status: 400, Err: ErrVersion}
	case h.Get("Sec-WebSocket-Version") != "13":
		return &HandshakeError{Status: 426, Err: ErrOtherVersion}
	case h.Count("Sec-WebSocket-Key") != 1 || !isKey(h.Get("Sec-WebSocket-Key")):
		return &HandshakeError{Status: 400, Err: ErrKey}
	case h.Count("Origin") > 1:
		return &HandshakeError{Status: 400, Err: fmt.Errorf("%w: more than one Origin", ErrOrigin)}
	}
	return nil
}

// isVersion accepts 0 to 255 without leading zeros (RFC 6455 §4.3).
func isVersion(s string) bool {
	n, err := strconv.ParseUint(s, 10, 8)
	return err == nil && (s[0] != '0' || n == 0 && len(s) == 1)
}

// isKey accepts what encodes 16 bytes in the one canonical way.
func isKey(s string) bool {
	var room [18]byte
	if len(s) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Strict().Decode(room[:], []byte(s))
	return err == nil && n == 16 && !strings.ContainsAny(s, "\r\n") // which the decoder skips
}

// negotiate settles subprotocol and compression (RFC 6455 §4.2.2).
func negotiate(req *httpmini.Request, opt *AcceptOptions) (ag Agreement, err error) {
	if req.Header.Has("Sec-WebSocket-Protocol") {
		offered := req.Header.List("Sec-WebSocket-Protocol")
		for _, s := range offered {
			if !isToken(s) {
				offered = nil
				break
			}
		}
		if len(offered) == 0 {
			err := &HandshakeError{Status: 400, Err: ErrSubprotocols}
			if opt.Lenient == nil {
				return ag, err
			}
			opt.Lenient(err)
		}
		ag.Subprotocol = choose(opt.Subprotocols, offered)
	}
	if req.Header.Has("Sec-WebSocket-Extensions") {
		deflate, err := acceptDeflate(req.Header.Values("Sec-WebSocket-Extensions"), opt.ContextTakeover)
		if err != nil {
			return ag, &HandshakeError{Status: 400, Err: err}
		}
		if !opt.NoCompression {
			ag.Deflate = deflate
		}
	}
	return ag, nil
}

// choose returns the first of preferred that is offered; "*" is the first offered.
func choose(preferred, offered []string) string {
	for _, p := range preferred {
		if p == "*" {
			return offered[0]
		}
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// Admit applies AllowHost, Origins and Authorize to a request that is no
// handshake, such as that for a page which is to connect, and returns the refusal;
// nil lets it in.
func (opt *AcceptOptions) Admit(req *httpmini.Request) *httpmini.Response {
	fields, err := opt.admit(req)
	if err == nil {
		return nil
	}
	return opt.refuse(err, fields)
}

// admit applies the server's own policy to a good handshake.
func (opt *AcceptOptions) admit(req *httpmini.Request) (fields httpmini.Header, err error) {
	host, port := splitHost(req.Host())
	if opt.AllowHost != nil && !opt.AllowHost(host) && opt.looksAtHost(req) {
		return nil, &HandshakeError{Status: 403, Err: ErrAllowHost}
	}
	if req.Header.Has("Origin") && !opt.allowsOrigin(req.Header.Get("Origin"), host, port, req.Conn) {
		return nil, &HandshakeError{Status: 403, Err: ErrOrigin}
	}
	if opt.Authorize != nil {
		if status, fields := opt.Authorize(req); status != 0 {
			return fields, &HandshakeError{Status: status, Err: ErrAuthorize}
		}
	}
	return nil, nil
}

// looksAtHost applies AllowHostAt.
func (opt *AcceptOptions) looksAtHost(req *httpmini.Request) bool {
	var local net.Addr
	if req.Conn != nil {
		local = req.Conn.LocalAddr()
	}
	return opt.AllowHostAt == nil || opt.AllowHostAt(local)
}

// allowsOrigin applies Origins; host and port are what the request is for, by nc.
func (opt *AcceptOptions) allowsOrigin(value, host, port string, nc net.Conn) bool {
	o, ok := parseOrigin(value)
	if opt.Origins == nil {
		scheme := "http"
		if _, tls := nc.(interface{ HandshakeContext(context.Context) error }); tls || opt.Secure {
			scheme = "https"
		}
		self := origin{scheme, host, cmp.Or(port, defaultPort(scheme))}
		return ok && o.scheme == scheme && (o == self || isLoopback(o.host))
	}
	for _, s := range opt.Origins {
		if s == "*" || s == value {
			return true
		}
		allowed, full := parseOrigin(s)
		if !full {
			allowed, _ = parseOrigin(o.scheme + "://" + s)
		}
		if ok && o == allowed {
			return true
		}
	}
	return false
}

// An origin is what RFC 6454 §4 calls the triple.
type origin struct{ scheme, host, port string }

// parseOrigin reads an origin with a host, such as browsers send (RFC 6454 §6.2).
func parseOrigin(s string) (o origin, ok bool) {
	scheme, authority, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || authority == "" || strings.ContainsAny(authority, "/?#@ ,") {
		return o, false
	}
	switch o.scheme = strings.ToLower(scheme); o.scheme {
	case "ws":
		o.scheme = "http"
	case "wss":
		o.scheme = "https"
	}
	o.host, o.port = splitHost(authority)
	o.port = cmp.Or(o.port, defaultPort(o.scheme))
	return o, o.host != ""
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// splitHost splits host [":" port]. The host loses its brackets and a final dot
// and becomes lower case; the port is "" if there is none.
func splitHost(authority string) (host, port string) {
	host = authority
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}

// isLoopback reports whether a name can only mean the machine it is used on
// (RFC 6761 §6.3).
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// LocalHost returns an AcceptOptions.AllowHost for a listener on a loopback
// address: it takes IP addresses, localhost and names below it, this machine's name
// and those given. Any other name that leads here may be one of a web page that
// had its own name resolved to us to get past the check of its origin.
func LocalHost(names ...string) func(host string) bool {
	known := map[string]bool{}
	if own, err := os.Hostname(); err == nil {
		names = append([]string{own}, names...)
	}
	for _, name := range names {
		host, _ := splitHost(name)
		known[host] = true
	}
	return func(host string) bool {
		_, err := netip.ParseAddr(host)
		return err == nil || isLoopback(host) || known[host]
	}
}

// refuse makes the response to a handshake refused with err.
func (opt *AcceptOptions) refuse(err error, fields httpmini.Header) *httpmini.Response {
	he, _ := errors.AsType[*HandshakeError](err)
	body := he.Err.Error() + "\n"
	if opt.Hint != nil {
		if hint := opt.Hint(err); hint != "" {
			body += hint + "\n"
		}
	}
	res := refuse(he.Status, body)
	for _, f := range opt.Header {
		res.Header.Del(f.Name)
	}
	res.Header = append(append(res.Header, fields...), opt.Header...)
	return res
}

// refuse makes a response that says why there is no WebSocket, with what the
// status demands.
func refuse(status int, body string) *httpmini.Response {
	res := &httpmini.Response{Minor: 1, Status: status, Body: strings.NewReader(body), ContentLength: int64(len(body))}
	h := &res.Header
	switch status {
	case 405:
		h.Add("Allow", "GET")
	case 426: // RFC 9110 §15.5.22, RFC 6455 §4.4
		h.Add("Upgrade", "websocket")
		h.Add("Sec-WebSocket-Version", "13")
		h.Add("Connection", "Upgrade, close")
	}
	if status != 426 {
		h.Add("Connection", "close")
	}
	h.Add("Content-Type", "text/plain; charset=utf-8")
	h.Add("Content-Length", strconv.Itoa(len(body)))
	return res
}

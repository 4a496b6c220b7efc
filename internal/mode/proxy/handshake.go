package proxy

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// An upstream is a connection to a target, ready for frames or bytes.
type upstream struct {
	nc       net.Conn
	buffered []byte          // what came with the response
	fields   httpmini.Header // of the response, for the client
	deflate  bool            // permessage-deflate was agreed on
	other    end             // in place of all that where the target speaks no WebSocket
}

// handshake answers x, and where target and client agree, makes a session of it. The
// error is why not; the client has been told.
func (p *proxy) handshake(x *httpmini.Exchange) error {
	req := x.Request
	res, _, err := wsproto.Answer(req, p.accept)
	if err != nil {
		x.Send(res)
		return err
	}
	fields, err := p.forwarded(req, x.RemoteAddr())
	target := p.routes.find(req.Host())
	switch {
	case err != nil:
		return p.refuse(x, 400, err.Error(), err)
	case strings.Contains(strings.Join(req.Header.Values("Via"), ","), p.name): // RFC 9110 §7.6.3
		return p.refuse(x, 508, errLoop.Error(), errLoop)
	case target == nil:
		return p.refuse(x, 421, errNoTarget.Error(), fmt.Errorf("%w: %q", errNoTarget, cli.Clip(req.Host(), cli.MaxShown)))
	case target.Path != "" && leaves(req.Path()):
		return p.refuse(x, 400, errLeaves.Error(), errLeaves)
	}
	up, refusal, err := p.connect(target, req, fields, accept.HeaderOf(x.RemoteAddr(), x.LocalAddr()))
	switch {
	case refusal != nil:
		x.Respond(refusal.Status, refusal.Header, refusal.body)
		return err
	case err != nil:
		return p.refuse(x, gatewayStatus(err), "the target: "+trouble(err), fmt.Errorf("%v: %w", target, err))
	}
	var ag wsproto.Agreement // with the client, by us: where the target speaks no WebSocket
	if up.other != nil {
		res, ag, _ = wsproto.Answer(req, p.joinOptions())
	}
	res.Header = append(res.Header, up.fields...)
	s := p.newSession(p.tls.Proto("ws"), accept.Peer(x.RemoteAddr()), target)
	x.Send(res)
	x.Takeover(func(nc net.Conn, buffered []byte) {
		p.opened(s, req.Target, cli.ConcealedHead(req.Raw))
		if up.other == nil {
			p.relay(s, nc, buffered, up)
			return
		}
		client := wsproto.NewConn(nc, buffered, wsproto.RoleServer, ag, p.wsConfig())
		p.link(s, &webSocket{Conn: client, other: "backend", gone: wsproto.StatusBadGateway}, up.other)
	})
	return nil
}

// joinOptions are those for a target that speaks no WebSocket: what there is to agree
// on we agree on ourselves.
func (p *proxy) joinOptions() wsproto.AcceptOptions {
	opt := p.accept
	opt.NoCompression = p.ws.NoCompression
	if opt.Subprotocols = p.ws.Subprotocols; len(opt.Subprotocols) == 0 {
		opt.Subprotocols = []string{"*"} // many clients insist on one
	}
	return opt
}

// wsConfig is that of a WebSocket whose frames do not pass as they are.
func (p *proxy) wsConfig() wsproto.Config {
	return wsproto.Config{MaxMessage: p.listener.MaxMessage, PingInterval: p.listener.PingInterval, PongTimeout: p.listener.PingTimeout}
}

// refuse answers with a status and a text that is for everybody, and returns err,
// which is for the log.
func (p *proxy) refuse(x *httpmini.Exchange, status int, text string, err error) error {
	text = fmt.Sprintf("%d %s: %s\n", status, httpmini.StatusText(status), text)
	x.Respond(status, httpmini.Header{{Name: "Content-Type", Value: "text/plain; charset=utf-8"}, {Name: "Connection", Value: "close"}}, []byte(text))
	return err
}

// trouble is what a client may know of an error with a target: not which one it is,
// nor what else the system says.
func trouble(err error) string {
	switch code := cli.ExitCode(err); {
	case code == cli.ExitTimeout:
		return "no answer in time"
	case code == cli.ExitName, code == cli.ExitConnect:
		return "cannot be reached"
	case code == cli.ExitCertificate, code == cli.ExitTLS:
		return "TLS failed"
	}
	return "no WebSocket handshake"
}

var (
	errNoTarget = errors.New("no target for that host")
	errLoop     = errors.New("the request has been here before")
	errLeaves   = errors.New("the path leads out of what is passed on")
)

// leaves reports whether path climbs above where it begins, as a target may read it:
// after decoding, with a backslash for a slash, without parameters of a segment.
func leaves(path string) bool {
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	depth := 0
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		switch segment, _, _ = strings.Cut(segment, ";"); segment {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// gatewayStatus is the status for an error with a target (RFC 9110 §15.6.3, §15.6.5).
func gatewayStatus(err error) int {
	if cli.IsTimeout(err) {
		return 504
	}
	return 502
}

// hopByHop are the fields that are for one connection only (RFC 9110 §7.6.1), and
// those of the handshake that each side has of its own.
var hopByHop = []string{
	"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
	"transfer-encoding", "content-length", "upgrade", "host", "expect",
	"sec-websocket-key", "sec-websocket-version", "sec-websocket-accept",
}

// forwardedBy are the fields in which proxies tell of the client (RFC 7239 and
// before).
var forwardedBy = []string{"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"}

var errConnectionField = errors.New("a field that is not for Connection to name")

// endToEnd returns the fields of h that pass through a proxy.
func endToEnd(h httpmini.Header) (httpmini.Header, error) {
	var named []string
	for _, name := range h.List("Connection") {
		switch name = strings.ToLower(name); name {
		case "host", "content-length", "transfer-encoding":
			return nil, fmt.Errorf("%w: %s", errConnectionField, name)
		}
		named = append(named, name)
	}
	var out httpmini.Header
	for _, f := range h {
		if name := readAs(f.Name); !slices.Contains(hopByHop, name) && !slices.Contains(named, name) {
			out = append(out, f)
		}
	}
	return out, nil
}

// readAs is the name that a field may have for a target: many make the same variable
// of a dash and an underscore (RFC 3875 §4.1.18).
func readAs(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// forwarded returns the client's fields as the target gets them.
func (p *proxy) forwarded(req *httpmini.Request, from net.Addr) (httpmini.Header, error) {
	h, err := endToEnd(req.Header)
	if err != nil {
		return nil, err
	}
	h = slices.DeleteFunc(h, func(f httpmini.Field) bool {
		name := readAs(f.Name)
		ours := name == "authorization" && (p.ws.User != "" || p.ws.Token != "") // it was for us
		disguised := strings.Contains(f.Name, "_") && strings.HasPrefix(name, "sec-websocket-")
		trusted := p.trust && !strings.Contains(f.Name, "_")
		return ours || disguised || name == "sec-websocket-extensions" || !trusted && slices.Contains(forwardedBy, name)
	})
	h.Add("Via", "1.1 "+p.name)
	if offer := p.offer(req); offer != "" {
		h.Add("Sec-WebSocket-Extensions", offer)
	}
	if tcp, ok := from.(*net.TCPAddr); ok {
		addr := tcp.AddrPort().Addr().Unmap().WithZone("").String()
		h.Set("X-Forwarded-For", strings.Join(append(h.List("X-Forwarded-For"), addr), ", "))
	}
	proto := "http"
	if p.tls.Enabled() {
		proto = "https"
	}
	for _, f := range []httpmini.Field{{Name: "X-Forwarded-Proto", Value: proto}, {Name: "X-Forwarded-Host", Value: req.Host()}} {
		if !h.Has(f.Name) {
			h = append(h, f)
		}
	}
	return h, nil
}

// offer is what of the client's extensions the target hears of: those whose frames
// we can tell from broken ones.
func (p *proxy) offer(req *httpmini.Request) string {
	if p.ws.NoCompression || !req.Header.Has("Sec-WebSocket-Extensions") || req.Header.HasToken("Connection", "Sec-WebSocket-Extensions") {
		return ""
	}
	list, _ := wsproto.ParseExtensions(req.Header.Values("Sec-WebSocket-Extensions")...) // Answer has looked at it
	list = slices.DeleteFunc(list, func(e wsproto.Extension) bool { return e.Name != "permessage-deflate" })
	return string(wsproto.AppendExtensions(nil, list))
}

// A refusal is what a target answered that is no 101.
type refusal struct {
	*httpmini.Response
	body []byte
}

// connect opens the connection to the target, handshake included.
func (p *proxy) connect(t *target, req *httpmini.Request, fields httpmini.Header, from accept.Header) (*upstream, *refusal, error) {
	if !t.webSocket() {
		other, err := p.open(t, from)
		return &upstream{other: other}, nil, err
	}
	ctx, cancel := p.handshakeTime()
	defer cancel()
	nc, err := p.dial(ctx, t, from)
	if err != nil {
		return nil, nil, inTime(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	up, refusal, err := p.upgrade(nc, t, req, fields)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, refusal, inTime(ctx, err)
	}
	return up, nil, nil
}

// inTime makes err that of ctx where that has ended.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// dial connects to the target and, for wss and tls, does the handshake of TLS.
func (p *proxy) dial(ctx context.Context, t *target, from accept.Header) (net.Conn, error) {
	nc, err := p.dialPlain(ctx, t, from)
	if err != nil || !t.Secure() {
		return nc, err
	}
	return p.startTLS(ctx, nc, t.Host)
}

// dialPlain connects to the target, and tells it whom that is for if it is to know.
func (p *proxy) dialPlain(ctx context.Context, t *target, from accept.Header) (net.Conn, error) {
	network, address := t.Network(), t.Address()
	nc, err := p.dialer.For(p.env, t.Scheme)(ctx, network, address)
	if err != nil || p.sendProxy == "" {
		return nc, err
	}
	header := from.AppendBinary(nil)
	if p.sendProxy == "v1" {
		header = from.AppendLine(nil)
	}
	if _, err := nc.Write(header); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// startTLS makes nc a TLS connection to host, or closes it.
func (p *proxy) startTLS(ctx context.Context, nc net.Conn, host string) (net.Conn, error) {
	tc, err := p.secure.Client(ctx, nc, host)
	if err == nil {
		p.con.Detail("TLS to %s: %s", host, tlsconf.State(tc))
	}
	return tc, err
}

// upgrade does the opening handshake with the target (RFC 6455 §4.1).
func (p *proxy) upgrade(nc net.Conn, t *target, req *httpmini.Request, fields httpmini.Header) (*upstream, *refusal, error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	out := &httpmini.Request{Method: "GET", Target: t.Path + originForm(req), Header: httpmini.Header{
		{Name: "Host", Value: t.Authority()}, {Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "Upgrade"},
		{Name: "Sec-WebSocket-Key", Value: key}, {Name: "Sec-WebSocket-Version", Value: "13"},
	}}
	out.Header = append(out.Header, fields...)
	if _, err := nc.Write(out.AppendHead(nil)); err != nil {
		return nil, nil, err
	}
	br := bufio.NewReader(nc)
	res, err := httpmini.ReadFinal(br, "GET", true, httpmini.ClientLimits)
	if err != nil {
		return nil, nil, err
	}
	if res.Status != 101 {
		refusal, err := readRefusal(res)
		return nil, refusal, err
	}
	deflate, err := judge(res, key, fields)
	if err != nil {
		return nil, nil, err
	}
	up := &upstream{nc: nc, deflate: deflate}
	if up.fields, err = endToEnd(res.Header); err != nil {
		return nil, nil, err
	}
	if n := br.Buffered(); n > 0 {
		b, _ := br.Peek(n)
		up.buffered = b
	}
	return up, nil, nil
}

// originForm is the target of the request in origin form (RFC 9112 §3.2.1), byte for byte.
func originForm(req *httpmini.Request) string {
	path := req.Path()
	if i := strings.IndexByte(req.Target, '?'); i >= 0 {
		path += req.Target[i:]
	}
	return path
}

var errAnswer = errors.New("the answer to the handshake breaks the rules") // RFC 6455 §4.1

// judge says whether res is a 101 that agrees to what was offered in fields.
func judge(res *httpmini.Response, key string, fields httpmini.Header) (deflate bool, err error) {
	h := res.Header
	chosen := h.Values("Sec-WebSocket-Protocol")
	switch {
	case res.Minor < 1, !h.HasToken("Upgrade", "websocket"), !h.HasToken("Connection", "Upgrade"):
		return false, fmt.Errorf("%w: no upgrade to websocket", errAnswer)
	case h.Count("Sec-WebSocket-Accept") != 1, h.Get("Sec-WebSocket-Accept") != wsproto.AcceptKey(key):
		return false, fmt.Errorf("%w: Sec-WebSocket-Accept", errAnswer)
	case len(chosen) > 1, len(chosen) == 1 && !slices.Contains(fields.List("Sec-WebSocket-Protocol"), chosen[0]):
		return false, fmt.Errorf("%w: Sec-WebSocket-Protocol", errAnswer)
	}
	deflate, err = wsproto.CheckDeflate(fields.Values("Sec-WebSocket-Extensions"), h.Values("Sec-WebSocket-Extensions"))
	if err != nil {
		return false, fmt.Errorf("%w: %w", errAnswer, err)
	}
	return deflate, nil
}

// maxRefusal bounds the body of a refusal that is passed on.
const maxRefusal = 64 << 10

// readRefusal reads what a target answered in place of 101, to be passed on.
func readRefusal(res *httpmini.Response) (*refusal, error) {
	status := fmt.Errorf("the target answered %d %s", res.Status, cli.Clip(res.Reason, cli.MaxShown))
	body, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w, and then: %w", status, err)
	case len(body) > maxRefusal:
		return nil, fmt.Errorf("%w with more than %d bytes", status, maxRefusal)
	}
	h, err := endToEnd(res.Header)
	if err != nil {
		return nil, err
	}
	if res.Status == 426 { // RFC 9110 §15.5.22
		h.Add("Upgrade", "websocket")
		h.Add("Connection", "Upgrade, close")
	} else {
		h.Add("Connection", "close")
	}
	if v := res.Header.Get("Sec-WebSocket-Version"); v != "" {
		h.Add("Sec-WebSocket-Version", v)
	}
	return &refusal{&httpmini.Response{Status: res.Status, Header: h}, body}, status
}

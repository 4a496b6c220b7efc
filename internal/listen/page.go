package listen

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strconv"
	"strings"

	"socketsrv/httpmini"
	"socketsrv/wsproto"
)

// The page for people, in its three parts: a client for the WebSocket at the same
// path.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// A webPage answers the requests to a WebSocket port that ask for no WebSocket: a
// browser's with the page, all others with the refusal of wsproto.Answer.
type webPage struct {
	accept wsproto.AcceptOptions
	html   []byte
	policy string // Content-Security-Policy up to the sources that depend on the request
}

// newWebPage makes the page of a server that takes messages of up to maxMessage
// bytes.
func newWebPage(accept wsproto.AcceptOptions, maxMessage int64) *webPage {
	parts := strings.NewReplacer("{style}", pageStyle, "{script}", pageScript, "{max-message}", strconv.FormatInt(maxMessage, 10))
	return &webPage{
		accept: accept,
		html:   []byte(parts.Replace(pageHTML)),
		policy: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src data:; " +
			"require-trusted-types-for 'script'; trusted-types 'none'; " +
			"style-src " + hashSource(pageStyle) + "; script-src " + hashSource(pageScript) + "; connect-src 'self'",
	}
}

// hashSource is the Content Security Policy source that allows s alone.
func hashSource(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p *webPage) serve(x *httpmini.Exchange) {
	req := x.Request
	if !WantsPage(req) {
		res, _, _ := wsproto.Answer(req, p.accept)
		x.Send(res)
		return
	}
	if res := p.refusal(req); res != nil {
		x.Send(res)
		return
	}
	x.Respond(200, httpmini.Header{
		{Name: "Content-Type", Value: "text/html; charset=utf-8"},
		{Name: "Content-Security-Policy", Value: p.policy + p.ownSource(req.Host())},
		{Name: "Cross-Origin-Resource-Policy", Value: "same-origin"},
		{Name: "Referrer-Policy", Value: "no-referrer"},
		{Name: "X-Content-Type-Options", Value: "nosniff"},
		{Name: "Cache-Control", Value: "no-store"},
		{Name: "Vary", Value: "Accept"},
	}, p.html)
}

// WantsPage says whether a person asks: programs do not name HTML.
func WantsPage(req *httpmini.Request) bool {
	if req.Method != "GET" && req.Method != "HEAD" {
		return false
	}
	for _, accepted := range req.Header.List("Accept") {
		if kind, _, _ := strings.Cut(accepted, ";"); strings.EqualFold(strings.TrimSpace(kind), "text/html") {
			return true
		}
	}
	return false
}

// refusal is the answer to who may not connect: the page would be of no use, and
// what asks for a password does so here, because browsers do not for a WebSocket.
func (p *webPage) refusal(req *httpmini.Request) *httpmini.Response {
	own := *req
	own.Header = append(httpmini.Header(nil), req.Header...)
	own.Header.Set("Origin", p.scheme("http")+"://"+req.Host())
	return p.accept.Admit(&own)
}

// scheme adds the s of TLS.
func (p *webPage) scheme(plain string) string {
	if p.accept.Secure {
		return plain + "s"
	}
	return plain
}

// ownSource names the WebSocket of the page's own host for browsers in which 'self'
// does not cover it. Addresses of IPv6 have no form in a policy.
func (p *webPage) ownSource(host string) string {
	for _, c := range []byte(host) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != ':' {
			return ""
		}
	}
	return " " + p.scheme("ws") + "://" + host
}

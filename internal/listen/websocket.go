package listen

import (
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

// WebSocket is what the flags of a WebSocket server said.
type WebSocket struct {
	Origins       []string // allowed ones; none: see WebSocket of Flags
	AllowHosts    []string // names in Host that are this machine's, too
	Subprotocols  []string
	NoCompression bool
	Authorization string // see Permitted; "" is none
	Greet         string // first message to every client; "" is none
	NoPong        bool   // pings stay unanswered

	// Writes says that what a client sends changes something, here or for others: then
	// pages of other origins, and names that lead here, have to be listed. Not set by
	// flags.
	Writes bool

	anyOrigin   bool
	User, Token string
}

// AddWebSocket adds the flags of a WebSocket server. Without -origin it takes clients
// that send no Origin, and where anyOrigin those of all; else those of the same
// host and of loopback.
func AddWebSocket(fs *cli.Flags, anyOrigin bool) *WebSocket {
	origins := SomeOrigins
	if anyOrigin {
		origins = "Takes clients of these origins only; else of all, but where programs answer: then of this host and of loopback."
	}
	w := AddHandshake(fs, origins, "Chooses among these subprotocols, the best first; * answers whatever the client offers first.")
	w.anyOrigin = anyOrigin
	fs.String(&w.Authorization, "http-authorization-header", "V", "Closes with 4001 whoever does not send this Authorization field; it is ws's check, after the handshake.")
	fs.Hide("http-authorization-header")
	fs.String(&w.Greet, "greet", "TEXT", "Sends this as the first message to every WebSocket client, in dump to those of TCP too.")
	fs.Switch(&w.NoPong, "no-pong", "Leaves pings unanswered.")
	return w
}

// SomeOrigins is what -origin does where not all may come.
const SomeOrigins = "Takes clients of these origins; * takes all. Else those of the same host and of loopback."

// AddHandshake adds the flags of AddWebSocket that concern the handshake alone, of which
// two are told in the mode's own words.
func AddHandshake(fs *cli.Flags, origins, subprotocols string) *WebSocket {
	w := new(WebSocket)
	fs.Group("WebSocket")
	fs.List(&w.Origins, "origin", "LIST", origins)
	fs.List(&w.AllowHosts, "allow-host", "LIST", "Takes these names in Host too, beside addresses and the names of this machine; * takes any.")
	fs.List(&w.Subprotocols, "subprotocol", "LIST", subprotocols)
	fs.Switch(&w.NoCompression, "x", "Refuses compression (permessage-deflate).")
	fs.Func("auth", "USER:PASS", "Answers 401 without this user and password.", cli.SetUser(&w.User))
	fs.String(&w.Token, "token", "T", "Answers 401 without this bearer token, or this password of any user.")
	fs.Hide("auth", "token")
	return w
}

// AcceptOptions are those of a server; secure says that TLS is below. A page whose own
// name was made to lead to us has that name in Host: it is looked at where only pages
// on this machine could mean us, on loopback, and on all addresses where w.Writes.
func (w *WebSocket) AcceptOptions(secure bool) wsproto.AcceptOptions {
	opt := wsproto.AcceptOptions{
		AllowHostAt: func(local net.Addr) bool {
			tcp, ok := local.(*net.TCPAddr)
			return local == nil || ok && (w.Writes || tcp.IP.IsLoopback())
		},
		Origins:       w.Origins,
		Secure:        secure,
		Authorize:     w.authorize,
		Subprotocols:  w.Subprotocols,
		NoCompression: w.NoCompression,
		Hint:          flagHint,
	}
	if w.anyOrigin && len(w.Origins) == 0 && !w.Writes {
		opt.Origins = []string{"*"}
	}
	if !slices.Contains(w.AllowHosts, "*") {
		opt.AllowHost = wsproto.LocalHost(w.AllowHosts...)
	}
	return opt
}

// flagHint names the flag that would allow what err forbids.
func flagHint(err error) string {
	switch {
	case errors.Is(err, wsproto.ErrOrigin):
		return "-origin lists those that are"
	case errors.Is(err, wsproto.ErrAllowHost):
		return "-allow-host lists other names"
	}
	return ""
}

// authorize refuses with 401 who does not send the user or the token.
func (w *WebSocket) authorize(req *httpmini.Request) (status int, fields httpmini.Header) {
	if w.authorized(req.Header.Get("Authorization")) {
		return 0, nil
	}
	fields.Add("WWW-Authenticate", `Basic realm="socketsrv"`)
	if w.Token != "" {
		fields.Add("WWW-Authenticate", `Bearer realm="socketsrv"`)
	}
	return 401, fields
}

func (w *WebSocket) authorized(field string) bool {
	if w.User == "" && w.Token == "" {
		return true
	}
	scheme, value, _ := strings.Cut(field, " ")
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "basic":
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return false
		}
		// Browsers have no other place for a token than the password's.
		_, password, _ := strings.Cut(string(plain), ":")
		return w.User != "" && cli.EqualSecret(string(plain), w.User) || w.Token != "" && cli.EqualSecret(password, w.Token)
	case "bearer":
		return w.Token != "" && cli.EqualSecret(value, w.Token)
	}
	return false
}

// Permitted says whether the request has the Authorization that
// -http-authorization-header asks for. If not, the connection is closed with 4001
// after the handshake.
func (w *WebSocket) Permitted(req *httpmini.Request) bool {
	return w.Authorization == "" || cli.EqualSecret(req.Header.Get("Authorization"), w.Authorization)
}

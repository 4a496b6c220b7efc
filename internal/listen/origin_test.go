package listen

import (
	"encoding/base64"
	"net"
	"strings"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

var basic = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw"))

var whoMay = []struct {
	flags  string
	any    bool
	local  net.Addr // of the connection
	host   string
	fields string
	status int
	body   string
}{
	{"", false, loopback, "127.0.0.1:8008", "", 101, ""},
	{"", false, loopback, "127.0.0.1:8008", "Origin: http://127.0.0.1:8008", 101, ""},
	{"", false, loopback, "127.0.0.1:8008", "Origin: http://localhost:3000", 101, ""},
	{"", false, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 403, "-origin"},
	{"", false, loopback, "127.0.0.1:8008", "Origin: null", 403, "-origin"},
	{"", false, loopback, "127.0.0.1:8008", "Origin: https://127.0.0.1:8008", 403, "-origin"},
	{"", true, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 101, ""},
	{"-origin http://good.example", true, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 403, "-origin"},
	{"-origin http://good.example", false, loopback, "127.0.0.1:8008", "Origin: http://good.example", 101, ""},
	{"-origin *", false, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 101, ""},
	{"-origin a,good.example", false, loopback, "127.0.0.1:8008", "Origin: http://good.example", 101, ""},
	{"", true, loopback, "evil.example", "", 403, "-allow-host"},
	{"", true, loopback, "localhost:8008", "", 101, ""},
	{"", true, loopback, "[::1]:8008", "", 101, ""},
	{"", true, loopback, "dev.localhost", "", 101, ""},
	{"-allow-host my.example", true, loopback, "my.example:8008", "", 101, ""},
	{"-allow-host *", true, loopback, "evil.example", "", 101, ""},
	{"", true, network, "evil.example", "", 101, ""},
	{"", true, &net.UnixAddr{Name: "/s", Net: "unix"}, "evil.example", "", 101, ""},
	{"-auth me:pw", true, loopback, "localhost", "", 401, ""},
	{"-auth me:pw", true, loopback, "localhost", basic, 101, ""},
	{"-auth me:other", true, loopback, "localhost", basic, 401, ""},
	{"-auth me:pw", true, loopback, "localhost", "Authorization: Basic !!!", 401, ""},
	{"-auth me:pw", true, loopback, "localhost", "Authorization: Bearer me:pw", 401, ""},
	{"-token t0k", true, loopback, "localhost", "Authorization: Bearer t0k", 101, ""},
	{"-token t0k", true, loopback, "localhost", "Authorization: bearer  t0k", 101, ""},
	{"-token t0k", true, loopback, "localhost", "Authorization: Bearer t0", 401, ""},
	{"-token pw", true, loopback, "localhost", basic, 101, ""}, // the only way of a browser
	{"-token pw2", true, loopback, "localhost", basic, 401, ""},
	{"-token me", true, loopback, "localhost", basic, 401, ""},
	{"-token t0k -auth me:pw", true, loopback, "localhost", basic, 101, ""},
	{"-token t0k -auth me:pw", true, loopback, "localhost", "Authorization: Bearer t0k", 101, ""},
	{"writes", false, network, "evil.example", "", 403, "-allow-host"},
	{"writes", false, network, "192.0.2.1:8008", "", 101, ""},
	{"writes", false, network, "evil.example", "Origin: http://evil.example", 403, "-allow-host"},
	{"writes -allow-host lab.example", false, network, "lab.example:8008", "Origin: http://lab.example:8008", 101, ""},
	{"writes", false, &net.UnixAddr{Name: "/s", Net: "unix"}, "evil.example", "", 101, ""},
	{"writes", true, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 403, "-origin"},
	{"writes", true, loopback, "127.0.0.1:8008", "Origin: http://localhost:3000", 101, ""},
	{"writes -origin *", true, loopback, "127.0.0.1:8008", "Origin: http://evil.example", 101, ""},
	{"-http-authorization-header x", true, loopback, "localhost", "", 101, ""}, // closed later
}

// TestWhoMayConnect has the policy of origins, hosts and passwords, as the answers
// to handshakes (S16, S17, S22, BC09).
func TestWhoMayConnect(t *testing.T) {
	for _, tt := range whoMay {
		flags, writes := strings.CutPrefix(tt.flags, "writes")
		w := serverWS(t, tt.any, strings.Fields(flags)...)
		w.Writes = writes
		req := &httpmini.Request{Method: "GET", Target: "/", Minor: 1, Header: httpmini.Header{
			{Name: "Host", Value: tt.host}, {Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "Upgrade"},
			{Name: "Sec-WebSocket-Version", Value: "13"}, {Name: "Sec-WebSocket-Key", Value: "dGhlIHNhbXBsZSBub25jZQ=="},
		}}
		if name, value, ok := strings.Cut(tt.fields, ": "); ok {
			req.Header.Add(name, value)
		}
		req.Conn = addressed{local: tt.local}
		res, _, err := wsproto.Answer(req, w.AcceptOptions(false))
		if res.Status != tt.status || (err == nil) != (tt.status == 101) {
			t.Errorf("%s; Host %s, %s: %d, %v; want %d", tt.flags, tt.host, tt.fields, res.Status, err, tt.status)
		}
		schemes := 1 // Basic
		if strings.Contains(tt.flags, "-token") {
			schemes++
		}
		if res.Status == 401 && len(res.Header.Values("WWW-Authenticate")) != schemes {
			t.Errorf("%s: 401 with %q", tt.flags, res.Header)
		}
		if got := err != nil && strings.Contains(flagHint(err), tt.body); tt.body != "" && !got {
			t.Errorf("%s; Host %s, %s: the hint is not %s", tt.flags, tt.host, tt.fields, tt.body)
		}
	}
}

// serverWS makes a WebSocket of flags.
func serverWS(t *testing.T, anyOrigin bool, flags ...string) *WebSocket {
	t.Helper()
	var fs cli.Flags
	w := AddWebSocket(&fs, anyOrigin)
	if _, err := fs.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return w
}

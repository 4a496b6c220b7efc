package mode

import (
	"encoding/base64"
	"net"
	"reflect"
	"strings"
	"testing"

	"socketsrv/httpmini"
	"socketsrv/wsproto"
)

// serverWS makes a ServerWS of flags.
func serverWS(t *testing.T, anyOrigin bool, flags ...string) *ServerWS {
	t.Helper()
	var fs Flags
	w := fs.ServerWS(anyOrigin)
	if _, err := fs.parse(flags); err != nil {
		t.Fatal(err)
	}
	return w
}

var (
	loopback  = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8008}
	everybody = &net.TCPAddr{IP: net.IPv6unspecified, Port: 8008}
)

// TestWhoMayConnect has the policy of origins, hosts and passwords, as the answers
// to handshakes (S16, S17, S22, BC09).
func TestWhoMayConnect(t *testing.T) {
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw"))
	tests := []struct {
		flags  string
		any    bool
		addr   net.Addr
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
		{"", true, everybody, "evil.example", "", 101, ""},
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
		{"-http-authorization-header x", true, loopback, "localhost", "", 101, ""}, // closed later
	}
	for _, tt := range tests {
		w := serverWS(t, tt.any, strings.Fields(tt.flags)...)
		req := &httpmini.Request{Method: "GET", Target: "/", Minor: 1, Header: httpmini.Header{
			{Name: "Host", Value: tt.host}, {Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "Upgrade"},
			{Name: "Sec-WebSocket-Version", Value: "13"}, {Name: "Sec-WebSocket-Key", Value: "dGhlIHNhbXBsZSBub25jZQ=="},
		}}
		if name, value, ok := strings.Cut(tt.fields, ": "); ok {
			req.Header.Add(name, value)
		}
		res, _, err := wsproto.Answer(req, w.AcceptOptions(tt.addr, false))
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

func TestPermitted(t *testing.T) {
	for _, tt := range []struct {
		flag, field string
		want        bool
	}{
		{"", "", true},
		{"secret", "secret", true},
		{"secret", "Secret", false},
		{"secret", "", false},
	} {
		w := serverWS(t, true, "--http_authorization_header="+tt.flag)
		req := &httpmini.Request{Header: httpmini.Header{{Name: "authorization", Value: tt.field}}}
		if got := w.Permitted(req); got != tt.want {
			t.Errorf("flag %q, field %q: %v", tt.flag, tt.field, got)
		}
	}
}

func TestClientWS(t *testing.T) {
	var fs Flags
	w := fs.ClientWS()
	_, err := fs.parse([]string{"-HHost: v.example", "-H", "X-Empty;", "-H", "Cookie:a=b", "-subprotocol", "a,b", "-u", "me:pw:x", "-origin", "http://o", "-xL"})
	want := httpmini.Header{
		{Name: "Host", Value: "v.example"}, {Name: "X-Empty"}, {Name: "Cookie", Value: "a=b"},
		{Name: "Authorization", Value: "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw:x"))},
	}
	if err != nil || !reflect.DeepEqual(w.Header, want) || !reflect.DeepEqual(w.Subprotocols, []string{"a", "b"}) ||
		w.Origin != "http://o" || !w.NoCompression || !w.Follow || w.Dialer == nil {
		t.Errorf("%+v, %v", w, err)
	}
}

// TestSecretsAreNotShown: what was given to prove who one is is not shown, by client
// or server, however much they say (RL15).
func TestSecretsAreNotShown(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("me:s3cr3t"))
	server := background(t, Echo, "-port", "0", "-v", "-auth", "me:s3cr3t")
	dump := background(t, Dump, "-host", "127.0.0.1", "-tcp-port", "off", "-udp-port", "off", "-ws-port", "0", "-v", "-reply", "{}", "-token", "s3cr3t")
	for _, tt := range []struct {
		mode Mode
		line string
		exit int
	}{
		{Connect, "-v -m x -count 1 -u me:s3cr3t ws://ECHO/", 0},
		{Connect, "-v -m x -count 1 ws://me:s3cr3t@ECHO/", 0},
		{Connect, "-v -json -m x -count 1 -H Authorization:Basic_" + basic + " ws://ECHO/", 0},
		{Connect, "-v -m x -u me:s3cr3tXs3cr3t ws://ECHO/", 22},
		{Connect, "-v -m x -count 1 -H Authorization:Bearer_s3cr3t ws://DUMP/", 0},
		{Connect, "-v -m x -H Cookie:a=s3cr3t ws://127.0.0.1:1/", 7},
		{Connect, "-v -m x ws://me:s3cr3t@127.0.0.1:1/", 7},
		{Connect, "-v -m x -proxy http://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{Connect, "-v -m x -proxy socks5://me:s3cr3t@127.0.0.1:1 ws://ECHO/", 7},
		{Ping, "-v -c 1 -u me:s3cr3t ws://ECHO/", 0},
		{Ping, "-v -c 1 ws://me:s3cr3t@127.0.0.1:1/", 7},
		{Send, "-v -u me:s3cr3t ws://127.0.0.1:1/ websocket_test.go", 7},
		{Receive, "-v -reconnect 1 -u me:s3cr3t ws://127.0.0.1:1/ " + t.TempDir(), 7},
	} {
		line := strings.NewReplacer("ECHO", server.addr("ws"), "DUMP", dump.addr("ws")).Replace(tt.line)
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.NewReplacer("Basic_", "Basic ", "Bearer_", "Bearer ").Replace(args[i])
		}
		r := background(t, tt.mode, args...)
		code := r.wait()
		said := r.stdout.String() + r.stderr.String()
		if code != tt.exit {
			t.Errorf("%s %s: exit %d, want %d: %s", tt.mode.Name, line, code, tt.exit, said)
		}
		if strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("%s %s says %s", tt.mode.Name, line, said)
		}
	}
	for _, r := range []*run{server, dump} {
		r.stop()
		if said := r.stdout.String() + r.stderr.String(); strings.Contains(said, "s3cr3t") || strings.Contains(said, basic) {
			t.Errorf("the server says %s", said)
		}
	}
}

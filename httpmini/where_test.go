package httpmini

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// HC33, HC34: what two programs might read in two ways.
func TestParseWhereRefuses(t *testing.T) {
	for raw, want := range map[string]error{
		"http://a/b c":             ErrURL,
		"http://a/\r\nX: y":        ErrURL,
		"http://a/\x00":            ErrURL,
		"http://a@b@c/":            ErrURL,
		"http://h:99999/":          ErrURL,
		"http://h:0/":              ErrURL,
		"http://h:-1/":             ErrURL,
		"http://[::1":              ErrURL,
		"http://h:80:90/":          ErrURL,
		"http://127.1/":            ErrURL,
		"http://0x7f.1/":           ErrURL,
		"http://2130706433/":       ErrURL,
		"http://0177.0.0.1/":       ErrURL,
		"http://1.2.3.4.5/":        ErrURL,
		"http://[127.0.0.1]/":      ErrURL,
		"http://[::1]x/":           ErrURL,
		"http://::1/":              ErrURL,
		"http://[fe80::1%25a%5d]/": ErrURL,
		"http:///x":                ErrURL,
		"http://:80/":              ErrURL,
		"http://a..b/":             ErrURL,
		"http://" + strings.Repeat("a", 64) + "/":   ErrURL,
		"http://" + strings.Repeat("a.", 127) + "/": ErrURL,
		"http://ü/":          ErrURL,
		"http://a%41/":       ErrURL,
		"http://a\\b/":       ErrURL,
		"http://a/\x7f":      ErrURL,
		"http:a":             ErrURL,
		"a":                  ErrURL,
		"":                   ErrURL,
		"ftp://a/":           ErrScheme,
		"file:///etc/passwd": ErrScheme,
		"://a/":              ErrScheme,
	} {
		if w, err := ParseWhere(raw, ""); !errors.Is(err, want) {
			t.Errorf("ParseWhere(%q) = %+v, %v; want %v", raw, w, err, want)
		}
	}
}

var wheres = []struct {
	raw, scheme                     string
	network, address, host, request string // what is dialed, Host and target
	credentials                     string
	err                             error
}{
	{"http://a", "", "tcp", "a:80", "a", "/", "", nil},
	{"WSS://A:443/x?y#z", "", "tcp", "a:443", "a", "/x?y", "", nil},
	{"ws://a:443", "", "tcp", "a:443", "a:443", "/", "", nil},
	{"a:8080", "ws", "tcp", "a:8080", "a:8080", "/", "", nil},
	{"a", "http", "tcp", "a:80", "a", "/", "", nil},
	{"a/x?u=http://b/", "http", "tcp", "a:80", "a", "/x?u=http://b/", "", nil},
	{"a:80/x?u=http://b/", "http", "tcp", "a:80", "a", "/x?u=http://b/", "", nil},
	{"http://[fe80::1%eth0]:81/", "", "tcp", "[fe80::1%eth0]:81", "[fe80::1]:81", "/", "", nil},
	{"http://[FE80::1%25eth0]/", "", "tcp", "[fe80::1%eth0]:80", "[fe80::1]", "/", "", nil},
	{"http://u@a/", "", "tcp", "a:80", "a", "/", "u:", nil},
	{"http://u:p:q%40%zz@a/", "", "tcp", "a:80", "a", "/", "u:p:q@%zz", nil},
	{"http://@a/", "", "tcp", "a:80", "a", "/", "", nil},
	{"http://:p@a/", "", "tcp", "a:80", "a", "/", ":p", nil},
	{"http://a/100%?%&%2", "", "tcp", "a:80", "a", "/100%?%&%2", "", nil},
	{"http://a/?filter={}|^`\"<>[]", "", "tcp", "a:80", "a", "/?filter={}|^`\"<>[]", "", nil},
	{`http://a/b\c?d\e`, "", "tcp", "a:80", "a", "/b%5Cc?d%5Ce", "", nil}, // GB
	{"http://a/é?q=é", "", "tcp", "a:80", "a", "/%C3%A9?q=%C3%A9", "", nil},
	{"http://a?q", "", "tcp", "a:80", "a", "/?q", "", nil},
	{"http://a.1/", "", "tcp", "a.1:80", "a.1", "/", "", nil}, // no form of an address
	{"HTTP://EXAMPLE.com:0080/A", "", "tcp", "example.com:80", "example.com", "/A", "", nil},
	{"http://a:65535/", "", "tcp", "a:65535", "a:65535", "/", "", nil},
	{"http://a:/", "", "tcp", "a:80", "a", "/", "", nil},
	{"http://[0:0:0:0:0:0:0:1]/", "", "tcp", "[::1]:80", "[::1]", "/", "", nil},
	{"http://a_b-c.example./", "", "tcp", "a_b-c.example.:80", "a_b-c.example.", "/", "", nil},
	{"http://a/.././b", "", "tcp", "a:80", "a", "/.././b", "", nil},
	{"tcp://a:1", "", "tcp", "a:1", "a:1", "", "", nil},
	{"tcp:[::1]:1/", "", "tcp", "[::1]:1", "[::1]:1", "", "", nil},
	{"tls:a:1", "ws", "tcp", "a:1", "a:1", "", "", nil},
	{"udp:127.0.0.1:53", "ws", "udp", "127.0.0.1:53", "127.0.0.1:53", "", "", nil},
	{"line://a:7", "", "tcp", "a:7", "a:7", "", "", nil},
	{"unix:/run/a b.sock", "ws", "unix", "/run/a b.sock", "localhost", "", "", nil},
	{"unix:///run/x", "", "unix", "/run/x", "localhost", "", "", nil},
	{"unixgram:x", "", "unixgram", "x", "localhost", "", "", nil},
	{"ws+unix:/run/x", "", "unix", "/run/x", "localhost", "/", "", nil},
	{"ws+unix:/run/x:/chat?y", "", "unix", "/run/x", "localhost", "/chat?y", "", nil},
	{"socks5h://u:p@a", "", "tcp", "a:1080", "a", "/", "u:p", nil},

	{"a:8080", "", "", "", "", "", "", ErrURL},
	{"http:a", "", "", "", "", "", "", ErrURL},
	{"tcp://a", "", "", "", "", "", "", ErrURL},
	{"tcp://a:0", "", "", "", "", "", "", ErrURL},
	{"tcp://a:1/x", "", "", "", "", "", "", ErrURL},
	{"udp://u@a:1", "", "", "", "", "", "", ErrURL},
	{"unix:", "", "", "", "", "", "", ErrURL},
	{"unix:/a\x00b", "", "", "", "", "", "", ErrURL},
	{"ws+unix:/a:/b\nc", "", "", "", "", "", "", ErrURL},
	{`http://a\b/`, "", "", "", "", "", "", ErrURL},
	{"http://a\u212a/", "", "", "", "", "", "", ErrURL},
	{"http://u%0a@a/", "", "", "", "", "", "", ErrURL},
	{"http://a/b c", "http", "", "", "", "", "", ErrURL},
	{"ftp://a/", "http", "", "", "", "", "", ErrScheme},
}

// The one reader of all that is dialed.
func TestParseWhere(t *testing.T) {
	for _, tt := range wheres {
		w, err := ParseWhere(tt.raw, tt.scheme)
		if !errors.Is(err, tt.err) {
			t.Errorf("ParseWhere(%q, %q): %v, want %v", tt.raw, tt.scheme, err, tt.err)
		}
		if err != nil {
			continue
		}
		if got := [...]string{w.Network(), w.Address(), w.Authority(), w.Target(), w.Credentials()}; got != [...]string{tt.network, tt.address, tt.host, tt.request, tt.credentials} {
			t.Errorf("ParseWhere(%q, %q) = %+v: %q", tt.raw, tt.scheme, w, got)
		}
	}
}

// What is read comes out so that it is read again, and can be sent; references mean
// what they mean to net/url, as far as that takes them.
func FuzzParseWhere(f *testing.F) {
	for _, s := range []string{"http://u:p@EXAMPLE.com:80/a%2fb?c#d", "wss://[::1%25x]:8443/%", "tcp:a:1", "ws+unix:/a:/b?c", "unix:/a", "unix:////a", "ws+unix:////:/b", "http://a/\\{}?\\ü", "a:1"} {
		for _, ref := range []string{"", "b/../c", "?q", "//h:1/x", "https://h", "/ü%zz d", "#f", "./", "..", "x:y"} {
			f.Add(s, ref)
		}
	}
	f.Fuzz(func(t *testing.T, raw, ref string) {
		w, err := ParseWhere(raw, "ws")
		if err != nil {
			return
		}
		again, err := ParseWhere(w.String(), "")
		if err != nil || again.String() != w.String() || again.Address() != w.Address() || again.Target() != w.Target() {
			t.Errorf("ParseWhere(%q) = %+v, whose String %q is read as %+v, %v", raw, w, w, again, err)
		}
		r := Request{Method: "GET", Target: w.Target(), Header: Header{{"Host", w.Authority()}}}
		if err := r.Check(); err != nil && w.Path != "" || !validAuthority(w.Authority(), false) {
			t.Errorf("%q gives the request %q: %v", raw, r.AppendHead(nil), err)
		}
		if std, err := url.Parse(raw); err == nil && std.Host != "" && w.Network() == "tcp" && strings.HasPrefix(raw, w.Scheme+"://") {
			if !strings.Contains(w.Host, ":") && !strings.EqualFold(std.Hostname(), w.Host) || std.Path != unescapeAny(w.Path) && w.Path != "/" || std.User.Username() != w.User {
				t.Errorf("ParseWhere(%q) = %+v; net/url: %+v", raw, w, std)
			}
		}
		to, err := w.Resolve(ref)
		if err != nil || to.Network() != "tcp" || to.Path == "" || w.Network() != "tcp" {
			return
		}
		base, err := url.Parse(w.String())
		if err != nil || strings.Contains(strings.ToLower(w.Path), "%2") { // an escaped slash or dot, which net/url decodes beside a quote
			return
		}
		std, err := base.Parse(strings.NewReplacer(`\`, "%5C", " ", "%20", "\t", "%09").Replace(ref))
		if err != nil || std.Opaque != "" || std.Host == "" || strings.Contains(to.Path, "//") { // net/url drops an empty segment where RFC 3986 §5.2.4 keeps it
			return
		}
		want := (&url.URL{Path: std.Path, RawPath: std.RawPath, RawQuery: std.RawQuery, ForceQuery: std.ForceQuery}).RequestURI()
		got := to.Target()
		if u, err := url.ParseRequestURI(got); err != nil || u.Path != cmp.Or(std.Path, "/") || u.RawQuery != escapeRest(std.RawQuery) || !strings.EqualFold(std.Hostname(), to.Host) && !strings.Contains(to.Host, ":") {
			t.Errorf("%s and %q lead to %+v; net/url: %v (%s)", w, ref, to, std, want)
		}
	})
}

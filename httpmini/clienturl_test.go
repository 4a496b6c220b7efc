package httpmini

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		raw, want string
		err       error
	}{
		{"http://a", "http://a", nil},
		{"HTTP://EXAMPLE.com:80/A?B#c", "http://example.com/A?B#c", nil},
		{"https://a:443/", "https://a/", nil},
		{"https://a:80/", "https://a:80/", nil},
		{"http://a:/", "http://a/", nil},
		{"http://a:0080/", "http://a/", nil},
		{"http://a:65535/", "http://a:65535/", nil},
		{"http://u:p%40@a/", "http://u:p%40@a/", nil},
		{"http://[::1]:8080/x", "http://[::1]:8080/x", nil},
		{"http://[0:0:0:0:0:0:0:1]/", "http://[::1]/", nil},
		{"http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/", nil},
		{"http://127.0.0.1/", "http://127.0.0.1/", nil},
		{"http://a_b-c.example./", "http://a_b-c.example./", nil},
		{"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/", nil},
		{"http://a/%zz?%zz", "", ErrURL},
		{"http://a/b c", "", ErrURL},             // HC33
		{"http://a/\r\nX: y", "", ErrURL},        // HC33
		{"http://a/\x00", "", ErrURL},            // HC33
		{"http://a@b@c/", "", ErrURL},            // HC33
		{"http://h:99999/", "", ErrURL},          // HC33
		{"http://h:0/", "", ErrURL},              // HC33
		{"http://h:-1/", "", ErrURL},             // HC33
		{"http://[::1", "", ErrURL},              // HC33
		{"http://h:80:90/", "", ErrURL},          // HC33
		{"http://127.1/", "", ErrURL},            // HC34
		{"http://0x7f.1/", "", ErrURL},           // HC34
		{"http://2130706433/", "", ErrURL},       // HC34
		{"http://0177.0.0.1/", "", ErrURL},       // HC34
		{"http://1.2.3.4.5/", "", ErrURL},        // HC34
		{"http://[127.0.0.1]/", "", ErrURL},      // HC34
		{"http://[::1]x/", "", ErrURL},           //
		{"http://::1/", "", ErrURL},              //
		{"http://[fe80::1%25a%5d]/", "", ErrURL}, //
		{"http:///x", "", ErrURL},
		{"http://:80/", "", ErrURL},
		{"http://a..b/", "", ErrURL},
		{"http://" + strings.Repeat("a", 64) + "/", "", ErrURL},
		{"http://" + strings.Repeat("a.", 127) + "/", "", ErrURL},
		{"http://ü/", "", ErrURL},
		{"http://a%41/", "", ErrURL},
		{"http://a\\b/", "", ErrURL},
		{"http://a/\x7f", "", ErrURL},
		{"http:a", "", ErrURL},
		{"a", "", ErrURL},
		{"", "", ErrURL},
		{"ftp://a/", "", ErrScheme},
		{"file:///etc/passwd", "", ErrScheme},
		{"://a/", "", ErrScheme},
	} {
		u, err := ParseURL(tt.raw)
		if !errors.Is(err, tt.err) || err == nil && u.String() != tt.want {
			t.Errorf("ParseURL(%q) = %v, %v; want %q, %v", tt.raw, u, err, tt.want, tt.err)
		}
	}
}

// What we accept, net/url reads in the same way, and a request can be made of it.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"http://u:p@EXAMPLE.com:80/a%2fb?c#d", "https://[::1%25x]:8443", "http://127.0.0.1?", "http://a/ü{}|^\"<>`", "http://1.2.3.4.:1/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := ParseURL(raw)
		if err != nil {
			if u != nil || !errors.Is(err, ErrURL) && err != ErrScheme {
				t.Errorf("ParseURL(%q) = %v, %v", raw, u, err)
			}
			return
		}
		std, err := url.Parse(raw)
		if err != nil || !strings.EqualFold(std.Scheme, u.Scheme) || std.EscapedPath() != u.EscapedPath() || std.RawQuery != u.RawQuery || std.User.String() != u.User.String() {
			t.Errorf("ParseURL(%q) = %v; net/url: %v, %v", raw, u, std, err)
		}
		if !strings.Contains(u.Host, ":") && !strings.EqualFold(std.Hostname(), u.Hostname()) {
			t.Errorf("ParseURL(%q): host %q; net/url: %q", raw, u.Host, std.Host)
		}
		if again, err := ParseURL(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("ParseURL(%q) = %v, which is parsed as %v, %v", raw, u, again, err)
		}
		r := Request{Method: "GET", Target: originForm(u), Header: Header{{"Host", hostField(u)}}}
		if err := r.Check(); err != nil || !validTarget("GET", r.Target) && validEscapes(r.Target) || !validAuthority(r.Header[0].Value, false) {
			t.Errorf("%q gives the request %q: %v", raw, r.AppendHead(nil), err)
		}
	})
}

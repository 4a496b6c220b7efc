package curl

import (
	"errors"
	"slices"
	"socketsrv/httpmini"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want string // separated by blanks
		err  error
	}{
		{"http://h/a", "http://h/a", nil},
		{"http://h/{a,b}", "http://h/a http://h/b", nil},
		{"h/{a,b}/[1-3]", "h/a/1 h/a/2 h/a/3 h/b/1 h/b/2 h/b/3", nil},
		{"h/[08-10]", "h/08 h/09 h/10", nil},
		{"h/[a-c]", "h/a h/b h/c", nil},
		{"h/[1-9:4]", "h/1 h/5 h/9", nil},
		{"h/[a-g:3]x", "h/ax h/dx h/gx", nil},
		{"h/{one}", "h/one", nil},
		{"h/{,x}", "h/ h/x", nil},
		{`h/\{a\}`, "h/{a}", nil},
		{`h/{a\,b,c}`, "h/a,b h/c", nil},
		{"http://[::1]:80/[1-2]", "http://[::1]:80/1 http://[::1]:80/2", nil},
		{"h/[]", "h/[]", nil},
		{"h/{a", "", errGlobBrace},
		{"h/a}", "", errGlobBrace},
		{"h/a]", "", errGlobBracket},
		{"h/[3-1]", "", errGlobRange},
		{"h/[1-x]", "", errGlobRange},
		{"h/[1-3:0]", "", errGlobRange},
		{"h/[1-", "", errGlobRange},
		{"h/[12]", "", errGlobRange},
		{"h/[1-99999][1-99999]", "", errGlobSize},
		{"h/[1-99999999999999999999]", "", errGlobRange},
	} {
		g, err := parseGlob(tt.url)
		if err != tt.err {
			t.Errorf("parseGlob(%q): %v; want %v", tt.url, err, tt.err)
			continue
		}
		var got []string
		for i := 0; err == nil && i < g.size(); i++ {
			url, _ := g.at(i)
			got = append(got, url)
		}
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%q stands for %q; want %q", tt.url, got, tt.want)
		}
	}
	for name, want := range map[string]string{"f#1.txt": "fA.txt", "#2#1": "BA", "#3": "#3", "#": "#", "a#12": "a#12", "#0": "#0"} {
		if got := new(glob).fill(name, []string{"A", "B"}); got != want {
			t.Errorf("new(glob).fill(%q) = %q; want %q", name, got, want)
		}
	}
}

func TestURL(t *testing.T) {
	for _, tt := range []struct{ raw, url, host, user string }{
		{"example.com", "http://example.com/", "example.com", ""},
		{"HTTP://EXAMPLE.com:80", "http://example.com:80/", "example.com", ""},
		{"https://example.com:443/a", "https://example.com:443/a", "example.com", ""},
		{"https://example.com:80/a", "https://example.com:80/a", "example.com:80", ""},
		{"localhost:8080/x", "http://localhost:8080/x", "localhost:8080", ""},
		{"u:p%40@h/", "http://h/", "h", "u:p@"},
		{"u@h/", "http://h/", "h", "u:"},
		{"h?q", "http://h/?q", "h", ""},
		{"h/?", "http://h/?", "h", ""},
		{"h/a?x=http://b/c@d", "http://h/a?x=http://b/c@d", "h", ""},
		{"h/a#frag?x", "http://h/a", "h", ""},
		{"h/a/../b/./c/..", "http://h/b/", "h", ""},
		{"h/../../etc", "http://h/etc", "h", ""},
		{"h/a//b/", "http://h/a//b/", "h", ""},
		{"h/.", "http://h/", "h", ""},
		{"h/..a/.b/", "http://h/..a/.b/", "h", ""},
		{"h/%2e%2e/x", "http://h/%2e%2e/x", "h", ""},
		{"h/ü?ü", "http://h/%C3%BC?%C3%BC", "h", ""},
		{"[::1]:8080/", "http://[::1]:8080/", "[::1]:8080", ""},
		{"http://[fe80::1%25lo]/", "http://[fe80::1%25lo]/", "[fe80::1]", ""},
		{"http://[fe80::1%lo]/", "http://[fe80::1%25lo]/", "[fe80::1]", ""},
		{"ws://h:80/", "ws://h:80/", "h", ""},
		{"wss://h", "wss://h/", "h", ""},
	} {
		u, err := parseURL(tt.raw, "", false)
		if err != nil {
			t.Errorf("%q: %v", tt.raw, err)
			continue
		}
		if u.String() != tt.url || u.Authority() != tt.host || u.Credentials() != tt.user {
			t.Errorf("%q: %s, Host %s, user %q; want %s, %s, %q", tt.raw, u, u.Authority(), u.Credentials(), tt.url, tt.host, tt.user)
		}
	}
	for raw, want := range map[string]error{
		"": httpmini.ErrURL, "http://": httpmini.ErrURL, "http:///x": httpmini.ErrURL, "h:99999/": httpmini.ErrURL, "h:x/": httpmini.ErrURL, "h:-1": httpmini.ErrURL,
		"http://h/a b": httpmini.ErrURL, "h/\r\nX": httpmini.ErrURL, "h/\x00": httpmini.ErrURL, "http://a@b@c/": httpmini.ErrURL,
		"http://[::1": httpmini.ErrURL, "http://h:80:90/": httpmini.ErrURL, "http://127.1/": httpmini.ErrURL, "http://0x7f.1/": httpmini.ErrURL,
		"http://2130706433/": httpmini.ErrURL, "http://256.1.1.1/": httpmini.ErrURL, "http://a..b/": httpmini.ErrURL, "h%41": httpmini.ErrURL,
		"ftp://h/": httpmini.ErrScheme, "file:///etc/passwd": httpmini.ErrScheme, "ftp.h.org": httpmini.ErrScheme, "javascript://x": httpmini.ErrScheme,
		"http://%0a@h/": httpmini.ErrURL,
	} {
		if _, err := parseURL(raw, "", false); !errors.Is(err, want) {
			t.Errorf("%q: %v; want %v", raw, err, want)
		}
	}
	if u, err := parseURL("h/a/../b", "https", true); err != nil || u.String() != "https://h/a/../b" {
		t.Errorf("as it is: %v %v", u, err)
	}
}

// FuzzURL: what is taken as a URL is one in its own words, too, and leads to the
// same place; a glob without patterns is what it was.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"example.com", "http://u:p@h:80/a/../b?c#d", "h/{a,b}/[1-3]", "http://[::1]:8080/[01-10:3]", "https://h/%zz?\xff", `h/\{a\}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if g, err := parseGlob(raw); err == nil {
			last, values := g.at(g.size() - 1)
			if len(values) == 0 && !strings.Contains(raw, `\`) && last != raw {
				t.Errorf("%q without patterns became %q", raw, last)
			}
			if len(values) == 0 && new(glob).fill(raw, values) != raw {
				t.Errorf("the name %q became %q", raw, new(glob).fill(raw, values))
			}
		}
		u, err := parseURL(raw, "", false)
		if err != nil {
			return
		}
		again, err := parseURL(u.String(), "", false)
		if err != nil || again.String() != u.String() || again.Authority() != u.Authority() {
			t.Errorf("%q is %q, which is %v (%v)", raw, u, again, err)
		}
		if strings.ContainsFunc(u.String(), func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("%q leaves %q", raw, u)
		}
	})
}

// FuzzForm: a part either is refused or makes a body whose pieces are as long as
// they say, between boundaries.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"b", "<x;type=text/plain; charset=utf-8;filename=y", `"b;c\"";filename="q\\"`, "", ";type="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseFormPart(s)
		if p.name = "n"; err != nil || p.from != 0 || p.group || p.encoder != "" || p.headers != nil {
			return
		}
		pieces, kind, err := (&formPart{parts: []*formPart{p}}).pieces("multipart/form-data", "form-data", nil, new(options).escapeName)
		body := &body{pieces: pieces}
		text, rerr := joinPieces(pieces)
		boundary := strings.TrimPrefix(kind, "multipart/form-data; boundary=")
		if err != nil || rerr != nil || int64(len(text)) != body.size() || strings.Count(text, boundary) != 2 {
			t.Errorf("%q makes %q (%v, %v)", s, text, err, rerr)
		}
		head, _, _ := strings.Cut(text, "\r\n\r\n")
		if lines := strings.Count(head, "\n"); lines > 2 {
			t.Errorf("%q makes a head of %d lines: %q", s, lines, head)
		}
	})
}

package httpmini

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

var cookieNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

const cartURL = "https://www.example.com/shop/cart"

var jars = []struct {
	name, from, set string // fields apart by |
	to, want        string
}{
	{"RFC 6265 §3.1", cartURL, "SID=31d4d96e407aad42", cartURL, "SID=31d4d96e407aad42"},
	{"path and domain (§3.1)", cartURL, "SID=31d4; Path=/; Domain=example.com", "http://x.example.com/", "SID=31d4"},
	{"two (§3.1)", cartURL, "SID=31d4; Path=/; Secure; HttpOnly|lang=en-US; Path=/; Domain=example.com", cartURL, "SID=31d4; lang=en-US"},
	{"removed (§3.1)", cartURL, "lang=en-US|lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT", cartURL, ""},
	{"host only", cartURL, "a=b; Path=/", "https://x.www.example.com/", ""},
	{"host only, above", cartURL, "a=b; Path=/", "https://example.com/", ""},
	{"domain with a dot", cartURL, "a=b; Path=/; Domain=.EXAMPLE.com", "https://example.com/", "a=b"},
	{"domain is the host", cartURL, "a=b; Path=/; Domain=www.example.com", "https://x.www.example.com/", "a=b"},
	{"domain below", cartURL, "a=b; Domain=x.www.example.com", "https://x.www.example.com/", ""},
	{"another domain", cartURL, "a=b; Domain=ample.com", cartURL, ""},
	{"one label", cartURL, "a=b; Domain=com", cartURL, ""},
	{"one label and a dot", "https://a.com./", "a=b; Domain=com.", "https://b.com./", ""},
	{"one label, the host's own", "http://box/", "a=b; Domain=box", "http://x.box/", ""},
	{"one label, the host's own, there", "http://box/", "a=b; Domain=box", "http://box/", "a=b"},
	{"empty domain", cartURL, "a=b; Path=/; Domain=", "https://www.example.com/", "a=b"},
	{"address", "http://127.0.0.1/", "a=b; Domain=127.0.0.1", "http://127.0.0.1:81/", "a=b"},
	{"part of an address", "http://127.0.0.1/", "a=b; Domain=0.0.1", "http://127.0.0.1/", ""},
	{"IPv6", "http://[::1]/", "a=b", "http://[::1]/", "a=b"},
	{"default path", cartURL, "a=b", "https://www.example.com/shop", "a=b"},
	{"default path, below", cartURL, "a=b", "https://www.example.com/shop/x/y", "a=b"},
	{"default path, above", cartURL, "a=b", "https://www.example.com/", ""},
	{"default path, beside", cartURL, "a=b", "https://www.example.com/shopping", ""},
	{"path with a slash", cartURL, "a=b; Path=/x/", "https://www.example.com/x/y", "a=b"},
	{"path in quotes", cartURL, `a=b; Path="/x"`, "https://www.example.com/y", ""},
	{"path in quotes, there", cartURL, `a=b; Path="/x"`, "https://www.example.com/x/y", "a=b"},
	{"path with a slash, without", cartURL, "a=b; Path=/x/", "https://www.example.com/x", ""},
	{"relative path", cartURL, "a=b; Path=x", "https://www.example.com/shop/", "a=b"},
	{"no path in the URL", "http://a.b", "a=b", "http://a.b", "a=b"},
	{"secure", cartURL, "a=b; Secure; Path=/", "http://www.example.com/", ""},
	{"secure, this machine", "http://localhost/", "a=b; Secure", "http://localhost/", "a=b"},
	{"secure, a WebSocket", "wss://a.b/", "a=b; Secure", "wss://a.b/", "a=b"},
	{"secure from http", "http://a.b/", "a=b; Secure", "https://a.b/", ""},
	{"longer paths first", cartURL, "a=1; Path=/|b=2; Path=/shop|c=3; Path=/", cartURL, "b=2; a=1; c=3"},
	{"replaced", cartURL, "a=1|b=2|a=3", cartURL, "a=3; b=2"},
	{"value with =", cartURL, "a=b=c==", cartURL, "a=b=c=="},
	{"quotes stay", cartURL, `a="b c"`, cartURL, `a="b c"`},
	{"white space", cartURL, " a \t=\t b ; path = / ", cartURL, "a=b"},
	{"control character", cartURL, "a\r=b|c=\x7f|d=e\x00", cartURL, ""},
	{"tab", cartURL, "a=b\tc|d\te=f|g=h; Path=/shop\tx|i=j; Path=/\t", cartURL, "i=j"},
	{"no =", cartURL, "a", cartURL, ""},
	{"no name", cartURL, "=b", cartURL, ""},
	{"no value", cartURL, "a=", cartURL, "a="},
	{"empty", cartURL, "", cartURL, ""},
	{"Max-Age", cartURL, "a=b; Max-Age=1", cartURL, "a=b"},
	{"Max-Age 0", cartURL, "a=b; Max-Age=0", cartURL, ""},
	{"Max-Age below 0", cartURL, "a=b; Max-Age=-1", cartURL, ""},
	{"Max-Age wins", cartURL, "a=b; Max-Age=9; Expires=Sun, 06 Nov 1994 08:49:37 GMT", cartURL, "a=b"},
	{"Max-Age wins, behind", cartURL, "a=b; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=9", cartURL, "a=b"},
	{"Max-Age without end", cartURL, "a=b; Max-Age=99999999999999999999", cartURL, "a=b"},
	{"Max-Age of words", cartURL, "a=b; Max-Age=soon|c=d; Max-Age=|e=f; Max-Age=+0", cartURL, "a=b; c=d; e=f"},
	{"Expires later", cartURL, "a=b; Expires=Wed, 09 Jun 2027 10:18:14 GMT", cartURL, "a=b"},
	{"Expires of words", cartURL, "a=b; Expires=never", cartURL, "a=b"},
	{"__Secure-", cartURL, "__Secure-a=b|__SECURE-c=d; Secure", cartURL, "__SECURE-c=d"},
	{"__Host-", cartURL, "__Host-a=b; Secure; Path=/|__Host-c=d; Secure|__Host-e=f; Secure; Path=/; Domain=example.com", cartURL, "__Host-a=b"},
	{"too large", cartURL, "a=" + rep("b", 4096), cartURL, ""},
	{"as large as can be", cartURL, "a=" + rep("b", 4095), cartURL, "a=" + rep("b", 4095)},
}

// What a server sets, and what a URL gets.
func TestJar(t *testing.T) {
	for _, tt := range jars {
		var j Jar
		var h Header
		for field := range strings.SplitSeq(tt.set, "|") {
			h.Add("set-cookie", field)
			h.Add("Cookie", "not=this")
		}
		j.Store(mustURL(t, tt.from), h, cookieNow)
		if got := j.Header(mustURL(t, tt.to), cookieNow); got != tt.want {
			t.Errorf("%s: %q from %s gives %s %.80q, want %.80q", tt.name, tt.set, tt.from, tt.to, got, tt.want)
		}
	}
}

func TestJarTime(t *testing.T) {
	var j Jar
	u := mustURL(t, "http://a.b/")
	j.Store(u, Header{{"Set-Cookie", "a=b; Max-Age=10"}, {"Set-Cookie", "c=d"}}, cookieNow)
	for after, want := range map[time.Duration]string{9 * time.Second: "a=b; c=d", 10 * time.Second: "c=d"} {
		if got := j.Header(u, cookieNow.Add(after)); got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	if n := len(j.All()); n != 2 {
		t.Errorf("%d cookies, want 2", n)
	}
	j.Store(u, Header{{"Set-Cookie", "e=f"}}, cookieNow.Add(time.Minute))
	if n := len(j.All()); n != 2 {
		t.Errorf("%d cookies after one expired, want 2", n)
	}
}

// A cookie that came by https is not to be replaced, or hidden, by http.
func TestJarShadow(t *testing.T) {
	var j Jar
	j.Store(mustURL(t, "https://a.b/x/y"), Header{{"Set-Cookie", "a=secure; Secure; Path=/x"}}, cookieNow)
	j.Store(mustURL(t, "http://c.a.b/x/y"), Header{{"Set-Cookie", "a=1; Domain=a.b; Path=/x/y"}}, cookieNow)
	j.Store(mustURL(t, "http://a.b/x/y"), Header{{"Set-Cookie", "a=2; Path=/x"}, {"Set-Cookie", "a=3; Path=/z"}, {"Set-Cookie", "b=4; Path=/x"}}, cookieNow)
	if got, want := j.Header(mustURL(t, "https://a.b/x/y"), cookieNow), "a=secure; b=4"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJarSet(t *testing.T) {
	var j Jar
	c := Cookie{Name: "a", Value: "b", Domain: ".Example.com", Path: "/", Expires: cookieNow}
	j.Set(c)
	c.Domain = "example.com"
	if all := j.All(); len(all) != 1 || !reflect.DeepEqual(all[0], c) {
		t.Errorf("All = %+v, want %+v", all, c)
	}
	c.Value, c.Expires = "c", time.Time{}
	j.Set(c)
	if got := j.Header(mustURL(t, "http://x.example.com/"), cookieNow); got != "a=c" {
		t.Errorf("%q, want a=c", got)
	}
}

// HC41: a server cannot fill more than its share.
func TestJarBounds(t *testing.T) {
	var j Jar
	var h Header
	for i := range 10000 {
		h.Add("Set-Cookie", fmt.Sprintf("a%d=%s", i, rep("x", 1000)))
	}
	u := mustURL(t, "http://a.b/")
	j.Store(u, h, cookieNow)
	if n := len(j.All()); n != maxCookieDomain {
		t.Errorf("%d cookies of a domain, want %d", n, maxCookieDomain)
	}
	if got := j.Header(u, cookieNow); len(got) > maxCookieField || !strings.HasPrefix(got, "a9950=") {
		t.Errorf("%d bytes, %.10q", len(got), got)
	}
	for i := range maxCookies + 10 {
		j.Set(Cookie{Name: "a", Domain: fmt.Sprint(i, ".example"), Path: "/"})
	}
	if n := len(j.All()); n != maxCookies {
		t.Errorf("%d cookies in all, want %d", n, maxCookies)
	}
}

// Dates as RFC 6265 §5.1.1 reads them.
func TestCookieDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", // RFC 9110 §5.6.7
		"6 november 94 8:49:37", "1994 nov 6 8:49:37", "Nov-6-1994;08:49:37 x", "08:49:37x 6th Nov 1994y", "Sun, 06-Nov-1994 08:49:37 +0200",
	} {
		if got, ok := parseCookieDate(s); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for year, want := range map[string]int{"00": 2000, "69": 2069, "70": 1970, "99": 1999, "1601": 1601, "9999": 9999} {
		if got, ok := parseCookieDate("1 Jan " + year + " 0:0:0"); !ok || got.Year() != want {
			t.Errorf("year %s: %v, %v; want %d", year, got, ok, want)
		}
	}
	for _, s := range []string{"", "x", "Sun, 06 Nov 1994", "06 Nov 08:49:37", "Nov 1994 08:49:37", "06 1994 08:49:37", "06 Nov 1600 08:49:37", "00 Nov 1994 08:49:37",
		"32 Nov 1994 08:49:37", "31 Nov 1994 08:49:37", "06 Nov 1994 24:00:00", "06 Nov 1994 08:60:00", "06 Nov 1994 08:49:60", "06 Nov 1994 08:49", "06 Nov 1994 08:49:",
		"06 Nov 1994 8:4:377", "06 Nov 19945 08:49:37", "06 anf 1994 08:49:37", "06 no 1994 08:49:37"} {
		if got, ok := parseCookieDate(s); ok {
			t.Errorf("%q: %v, want none", s, got)
		}
	}
}

// Against net/http's jar: what it gives back of cookies that both take is the same.
func FuzzJar(f *testing.F) {
	f.Add("a=b; Path=/; Domain=example.com", "c=d; Max-Age=5; Secure", "/x/y", true)
	f.Add("a=b; Expires=Wed, 09 Jun 2027 10:18:14 GMT", "__Host-c=d", "/", false)
	f.Fuzz(func(t *testing.T, first, second, path string, secure bool) {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		u := &url.URL{Scheme: scheme, Host: "www.example.com", Path: "/" + path}
		var j Jar
		j.Store(u, Header{{"Set-Cookie", first}, {"Set-Cookie", second}}, time.Now())
		for _, c := range j.All() {
			if c.Domain != "www.example.com" && (c.Domain != "example.com" || c.HostOnly) || !strings.HasPrefix(c.Path, "/") || c.Name == "" ||
				!secure && c.Secure || len(c.Name)+len(c.Value) > maxCookie {
				t.Errorf("%q, %q from %s: %+v", first, second, u, c)
			}
		}
		for _, other := range []string{scheme + "://example.org/" + path, scheme + "://com/", scheme + "://xexample.com/"} {
			o, err := url.Parse(other)
			if err != nil {
				continue
			}
			if got := j.Header(o, time.Now()); got != "" {
				t.Errorf("%q, %q from %s go to %s: %q", first, second, u, other, got)
			}
		}
		c, err := http.ParseSetCookie(first)
		if err != nil || c.Quoted || c.Secure || c.Value != trim(c.Value) || !isValue(first) || len(first) > maxCookie || strings.Contains(strings.ToLower(first), "domain") {
			return // net/http trims other things, knows no control characters, and takes what has a malformed Domain
		}
		std, _ := cookiejar.New(nil)
		std.SetCookies(u, []*http.Cookie{c})
		var alone Jar
		alone.Store(u, Header{{"Set-Cookie", first}}, time.Now())
		if got := alone.Header(u, time.Now()); len(std.Cookies(u)) > 0 && got != c.Name+"="+c.Value && !strings.HasPrefix(c.Name, "__") {
			t.Errorf("%q from %s: %q; net/http's jar has %v", first, u, got, std.Cookies(u))
		}
	})
}

package curl

import (
	"slices"
	"socketsrv/httpmini"
	"strings"
	"testing"
)

// TestDigest: the examples of RFC 7616 §3.9.1 and RFC 2617 §3.5.
func TestDigest(t *testing.T) {
	for _, tt := range []struct{ challenge, cnonce, password, response string }{
		{`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="x"`,
			"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec"},
		{`Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="x"`,
			"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "Circle of Life", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		{`Digest realm="testrealm@host.com", qop="auth", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`,
			"0a4f113b", "Circle Of Life", "6629fae49393a05397450978507c4ef1"},
	} {
		l := login{way: "digest"}
		if !l.waits() || !l.take(httpmini.Header{{Name: "WWW-Authenticate", Value: "Negotiate, " + tt.challenge + `, Basic realm="b"`}}, "WWW-Authenticate") {
			t.Errorf("%s: not taken", tt.challenge)
			continue
		}
		l.digest.cnonce = tt.cnonce
		target := "/dir/index.html"
		if got := l.field("Mufasa:"+tt.password, "GET", target); !strings.Contains(got, `response="`+tt.response+`"`) || !strings.Contains(got, "nc=00000001") {
			t.Errorf("%s is answered by %s; want %s", tt.challenge, got, tt.response)
		}
		if again := l.field("Mufasa:"+tt.password, "GET", target); !strings.Contains(again, "nc=00000002") {
			t.Errorf("the second answer is %s", again)
		}
		if l.take(httpmini.Header{{Name: "WWW-Authenticate", Value: tt.challenge}}, "WWW-Authenticate") {
			t.Error("a refusal is taken for a challenge")
		}
	}
}

func TestSplitChallenges(t *testing.T) {
	for in, want := range map[string][]string{
		`Basic realm="a, b"`:                          {`Basic realm="a, b"`},
		`Digest realm="a",nonce="b", Basic realm="c"`: {`Digest realm="a",nonce="b"`, ` Basic realm="c"`},
		`Negotiate, Basic realm=x, charset="UTF-8"`:   {"Negotiate", ` Basic realm=x, charset="UTF-8"`},
	} {
		if got := splitChallenges(in); !slices.Equal(got, want) {
			t.Errorf("%q is %q; want %q", in, got, want)
		}
	}
}

func TestNetrc(t *testing.T) {
	const text = `# a comment
machine one login a password "b c\"d"
machine two
	login first password 1
machine two login second password 2
macdef init
machine three login no password no

machine half login only
machine half login only password x
default login any password body`
	for _, tt := range []struct{ host, user, want string }{
		{"one", "", `a:b c"d`}, {"ONE", "", `a:b c"d`}, {"two", "", "first:1"}, {"two", "second", "second:2"}, {"half", "", "only:x"},
		{"three", "", "any:body"}, {"two", "nobody", ""},
	} {
		if got, ok, err := netrcUser(text, tt.host, tt.user); got != tt.want || ok != (tt.want != "") || err != nil {
			t.Errorf("%s at %s: %q, %v, %v; want %q", tt.user, tt.host, got, ok, err, tt.want)
		}
	}
	const half = `machine one login a password b
machine two login c password "d e\"`
	if got, ok, err := netrcUser(half, "one", ""); got != "a:b" || !ok || err != nil {
		t.Errorf("before a quote without its end: %q, %v, %v; want a:b", got, ok, err)
	}
	for _, host := range []string{"two", "three"} {
		if got, ok, err := netrcUser(half, host, ""); ok || err != errQuote {
			t.Errorf("%s, with a quote without its end: %q, %v, %v; want %v", host, got, ok, err, errQuote)
		}
	}
}

func TestDate(t *testing.T) {
	for in, want := range map[string]string{
		"Sun, 06 Nov 1994 08:49:37 GMT": "1994-11-06T08:49:37Z", "Sunday, 06-Nov-94 08:49:37 GMT": "1994-11-06T08:49:37Z",
		"Sun Nov  6 08:49:37 1994": "1994-11-06T08:49:37Z", "06 Nov 1994 08:49:37 +0200": "1994-11-06T06:49:37Z",
		"Nov 6 1994 08:49:37 EST": "1994-11-06T13:49:37Z", "20040911 +0200": "2004-09-10T22:00:00Z", "dec 12 12:00:00 1999 GMT": "1999-12-12T12:00:00Z",
		"2004-09-12 10:11": "2004-09-12T10:11:00Z", "12 Sep 04": "2004-09-12T00:00:00Z", "Wed 01 Sep 2021 12:18:00": "2021-09-01T12:18:00Z",
		"94 6 Nov 08:49:37": "1994-11-06T08:49:37Z", "1994.Nov.6": "1994-11-06T00:00:00Z", "Sun/November/6/94/GMT": "1994-11-06T00:00:00Z",
		"nonsense": "", "32 Nov 1994": "", "31 Feb 2020": "", "": "", "12:00": "", "1 Jan": "",
	} {
		at, ok := parseDate(in)
		if got := at.UTC().Format("2006-01-02T15:04:05Z"); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %s, %v; want %q", in, got, ok, want)
		}
	}
}

// FuzzWords: whatever stands in a challenge, a .netrc, a date or a -F, nothing panics, and
// what is sent of a challenge is one line.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{`Digest realm="a\"b", nonce=x, qop="auth", algorithm=MD5-sess, userhash=true`, "machine a login \"b\\", "1 Jan 2020 12:00 +0100", "@a;type=b/c,\"d;headers=\"X: y\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := login{way: "any"}
		if l.take(httpmini.Header{{Name: "WWW-Authenticate", Value: s}}, "WWW-Authenticate") {
			if got := l.field("u:p", "GET", "/"); got == "" || !strings.ContainsAny(s, "\r\n") && strings.ContainsAny(got, "\r\n") {
				t.Errorf("%q is answered by %q", s, got)
			}
		}
		netrcUser(s, "a", "")
		parseDate(s)
		new(command).addForm("n="+s, false)
	})
}

package httpmini

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// redirect makes the answer to r from rawURL.
func redirect(t *testing.T, rawURL string, status int, locations ...string) *Answer {
	t.Helper()
	w, err := ParseWhere(rawURL, "")
	if err != nil {
		t.Fatal(err)
	}
	a := &Answer{Response: &Response{Status: status}, Where: w, x: prepared{start: -1}}
	for _, l := range locations {
		a.Header.Add("Location", l)
	}
	return a
}

// Where a Location leads.
func TestFollowURL(t *testing.T) {
	const base = "http://u:p@a/x/y?z"
	for _, tt := range []struct {
		base, location, want string
		err                  error
	}{
		{base, "/t", "http://a/t", nil},
		{base, "t", "http://a/x/t", nil},
		{base, "../t", "http://a/t", nil},
		{base, "?q", "http://a/x/y?q", nil},
		{base, "//b/t", "http://b/t", nil},
		{base, "http://b", "http://b/", nil},
		{base, "HTTPS://B:443/", "https://b/", nil},
		{base, "/a b", "http://a/a%20b", nil},          // HC30
		{base, "/b?q=a b", "http://a/b?q=a%20b", nil},  // L1
		{base, "/100%", "http://a/100%", nil},          // L3
		{base, "/%zz?%", "http://a/%zz?%", nil},        // L3
		{base, `\\b\c`, "http://a/x/%5C%5Cb%5Cc", nil}, //
		{base, "/\xfc", "http://a/%FC", nil},           //
		{base, "http:t", "", ErrURL},                   //
		{base, "/t#f", "http://a/t", nil},              //
		{base, "http://v:q@a/t", "http://a/t", nil},    // HC30
		{base, "http://v:q@b/t", "http://b/t", nil},    // HC30
		{base, "", "", nil},                            // HC30
		{base, "http://[::1", "", ErrURL},              // HC30
		{base, "http://127.1/", "", ErrURL},            //
		{base, "http:///t", "", ErrURL},                //
		{base, "http://b:0/", "", ErrURL},              //
		{base, "file:///etc/passwd", "", ErrScheme},    // HC27
		{base, "ftp://a/", "", ErrScheme},              // HC27
		{base, "gopher://a/", "", ErrScheme},           // HC27
		{base, "ws://a/", "", ErrScheme},               // HC27
		{base, "javascript:alert(1)", "", ErrScheme},   // HC27
		{base, "data:text/plain,x", "", ErrScheme},     // HC27
		{"https://a/", "http://a/", "", ErrDowngrade},  // HC28
		{"https://a/", "//b/", "https://b/", nil},
	} {
		next, r, err := Redirects{}.Follow(redirect(t, tt.base, 302, tt.location), &Request{Method: "GET"})
		if next != tt.want || (r != nil) != (next != "") || !errors.Is(err, tt.err) {
			t.Errorf("%s to %q: %q, %v, %v; want %q, %v", tt.base, tt.location, next, r, err, tt.want, tt.err)
		}
	}
	for _, status := range []int{200, 201, 300, 304, 305, 306, 404} {
		if next, r, err := (Redirects{}).Follow(redirect(t, base, status, "/t"), &Request{}); next != "" || r != nil || err != nil {
			t.Errorf("%d: %q, %v, %v", status, next, r, err)
		}
	}
	if _, _, err := (Redirects{}).Follow(redirect(t, base, 301, "/t", "/s"), &Request{}); !errors.Is(err, ErrRedirect) {
		t.Errorf("two Locations: %v", err)
	}
	if next, _, err := (Redirects{Downgrade: true}).Follow(redirect(t, "https://a/", 301, "http://a/"), &Request{}); next != "http://a/" || err != nil {
		t.Errorf("allowed: %q, %v", next, err)
	}
}

var followed = []struct {
	status           int
	method           string
	p                Redirects
	want             string
	location, body   string
	trusted, refused bool
}{
	{status: 301, method: "POST", want: "GET"},
	{status: 302, method: "POST", want: "GET"},
	{status: 303, method: "POST", want: "GET"},
	{status: 303, method: "PUT", want: "GET"},
	{status: 303, method: "HEAD", want: "HEAD", body: "tea"},
	{status: 301, method: "PUT", want: "PUT", body: "tea"},
	{status: 302, method: "DELETE", want: "DELETE", body: "tea"},
	{status: 307, method: "POST", want: "POST", body: "tea"},
	{status: 308, method: "POST", want: "POST", body: "tea"},
	{status: 301, method: "POST", p: Redirects{Keep301: true}, want: "POST", body: "tea"},
	{status: 302, method: "POST", p: Redirects{Keep302: true}, want: "POST", body: "tea"},
	{status: 303, method: "POST", p: Redirects{Keep303: true}, want: "POST", body: "tea"},
	{status: 303, method: "POST", location: "http://b/", want: "GET"},
	{status: 307, method: "POST", location: "http://b/", refused: true},
	{status: 307, method: "POST", location: "https://a/", refused: true},
	{status: 308, method: "POST", location: "http://a:81/", refused: true},
	{status: 307, method: "POST", p: Redirects{Trusted: true}, location: "http://b/", want: "POST", body: "tea"},
}

// What becomes of method and body (HC31, RFC 9110 §15.4).
func TestFollowMethod(t *testing.T) {
	for _, tt := range followed {
		body := strings.NewReader("tea")
		r := &Request{Method: tt.method, Body: body, ContentLength: 3,
			Header: Header{{"Content-Type", "text/plain"}, {"Expect", "100-continue"}, {"Content-MD5", "x"}, {"A", "b"}}}
		location := tt.location
		if location == "" {
			location = "/t"
		}
		a := redirect(t, "http://a/", tt.status, location)
		a.x = prepared{body: body, start: 0}
		io.Copy(io.Discard, body)
		_, nr, err := tt.p.Follow(a, r)
		if tt.refused {
			if !errors.Is(err, ErrRedirect) {
				t.Errorf("%d %s to %s: %v, want %v", tt.status, tt.method, location, err, ErrRedirect)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d %s: %v", tt.status, tt.method, err)
			continue
		}
		sent, fields := "", 1
		if tt.body != "" {
			b, _ := io.ReadAll(nr.Body)
			sent, fields = string(b), 4
		}
		if nr.Method != tt.want || sent != tt.body || (nr.Body == nil) != (tt.body == "") || int(nr.ContentLength) != len(tt.body) || len(nr.Header) != fields || len(r.Header) != 4 {
			t.Errorf("%d %s: %+v with %q; want %s with %q", tt.status, tt.method, nr, sent, tt.want, tt.body)
		}
	}
	a := redirect(t, "http://a/", 307, "/t")
	stream := iotest.HalfReader(strings.NewReader("tea"))
	a.x.body = stream
	if _, _, err := (Redirects{}).Follow(a, put(stream, 3)); !errors.Is(err, ErrRedirect) {
		t.Errorf("a body that cannot be sent again: %v", err)
	}
}

var secrets = Header{{"Authorization", "secret"}, {"Cookie", "secret"}, {"Proxy-Authorization", "secret"}, {"X-Auth", "secret"}, {"x-api-KEY", "secret"},
	{"X-Token-Id", "secret"}, {"Client-Secret", "secret"}, {"cookie2", "secret"}}

// Fields that may be secret stay where they were given, and do not come back.
func TestFollowSecrets(t *testing.T) {
	for _, tt := range []struct {
		location string
		p        Redirects
		secrets  bool
		host     bool
	}{
		{"/t", Redirects{}, true, true},
		{"http://A:80/t", Redirects{}, true, true},
		{"http://b/", Redirects{}, false, false},
		{"http://a:81/", Redirects{}, false, false},
		{"https://a/", Redirects{}, false, false},
		{"http://a.b/", Redirects{}, false, false},
		{"http://b/", Redirects{Trusted: true}, true, false},
	} {
		r := &Request{Method: "GET", Header: append(Header{{"Host", "a.example"}, {"Accept", "x"}}, secrets...)}
		_, nr, err := tt.p.Follow(redirect(t, "http://a/", 302, tt.location), r)
		if err != nil {
			t.Fatal(err)
		}
		want := Header{{"Accept", "x"}}
		if tt.host {
			want = Header{{"Host", "a.example"}, {"Accept", "x"}}
		}
		if tt.secrets {
			want = append(want, secrets...)
		}
		if !slices.Equal(nr.Header, want) {
			t.Errorf("to %s: %q, want %q", tt.location, nr.Header, want)
		}
		_, nr, _ = tt.p.Follow(redirect(t, "http://u:p@a/", 302, tt.location), &Request{})
		if got := nr.Header.Get("Authorization") == "Basic dTpw"; got != tt.secrets {
			t.Errorf("to %s: the URL's user goes along: %v, want %v", tt.location, got, tt.secrets)
		}
	}
}

// HC29
func TestFollowMax(t *testing.T) {
	for _, tt := range []struct{ max, want int }{{0, 10}, {3, 3}, {-1, 0}} {
		r, n := &Request{}, 0
		for {
			_, nr, err := Redirects{Max: tt.max}.Follow(redirect(t, "http://a/", 302, "/"), r)
			if err != nil {
				if err != ErrTooManyRedirects || n != tt.want {
					t.Errorf("Max %d: %v after %d, want %d", tt.max, err, n, tt.want)
				}
				break
			}
			r = nr
			n++
		}
	}
}

// Wherever a chain of redirects leads, no secret reaches an origin other than
// the first, nor the first again from another.
func FuzzFollow(f *testing.F) {
	f.Add("http://b/\nhttp://a/", "X-Token", 302)
	f.Add("//a:80/\n//a.:80\nhttp://A", "Cookie", 307)
	f.Add("https://a/\nhttp://a@b/\n\\\\b\n/\\b", "my-key", 301)
	f.Fuzz(func(t *testing.T, locations, name string, status int) {
		const base = "http://user:secret@a/"
		r := &Request{Method: "GET", Header: append(Header{{name, "public"}}, secrets...)}
		from, left := base, false
		for location := range strings.SplitSeq(locations, "\n") {
			next, nr, err := Redirects{Downgrade: true}.Follow(redirect(t, from, status, location), r)
			if err != nil || nr == nil {
				return
			}
			u, err := ParseWhere(next, "")
			if err != nil || u.HasUser {
				t.Fatalf("%q leads to %q, %v", location, next, err)
			}
			left = left || u.Address() != "a:80" || u.Secure()
			for _, f := range nr.Header {
				if left && (f.Value == "secret" || f.Name == "Authorization" || f.Name == "Host") {
					t.Fatalf("%q: %q goes to %s", locations, f, next)
				}
			}
			from, r = next, nr
		}
	})
}

// The whole way, with Get: redirects, gzip, reuse.
func TestClientGet(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, gzipped(r.Header.Get("Accept-Encoding")))
		case "/broken":
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "x")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "gopher://a/", http.StatusFound)
		case "/gone":
			http.Error(w, "gone", http.StatusGone)
		default:
			http.Redirect(w, r, "/gzip", http.StatusFound)
		}
	}))
	defer s.Close()
	c := &Client{}
	defer c.CloseIdle()
	for _, tt := range []struct {
		path, want string
		status     int
		err        error
	}{
		{"/", "gzip, deflate", 200, nil},
		{"/gone", "gone\n", 410, nil},
		{"/broken", "", 0, ErrContentCoding},
		{"/loop", "", 0, ErrTooManyRedirects},
		{"/away", "", 0, ErrScheme},
		{"\n", "", 0, ErrURL},
	} {
		a, err := c.Get(t.Context(), s.URL+tt.path)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.path, err, tt.err)
		}
		if err != nil {
			continue
		}
		var b strings.Builder
		n, err := a.WriteTo(&b)
		if b.String() != tt.want || int(n) != len(tt.want) || err != nil || a.Status != tt.status || tt.path == "/" && (a.ContentLength != -1 || a.URL.Path != "/gzip") {
			t.Errorf("%s: %d %q, %v, length %d", tt.path, a.Status, b.String(), err, a.ContentLength)
		}
		a.Close()
	}
	if len(c.idle) != 1 {
		t.Errorf("%d connections, want 1", len(c.idle))
	}
}

// A body goes again where a redirect asks for it.
func TestClientRedirectBody(t *testing.T) {
	perform(t, func(s *stage) {
		file := tempFile(t, 300<<10)
		file.Seek(100, io.SeekStart)
		r := put(file, 300<<10-100)
		a, err := s.c.Do(s.t.Context(), "http://a/", r)
		if err != nil {
			t.Fatal(err)
		}
		next, nr, err := Redirects{}.Follow(a, r)
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		if got, err := fetch(s.t.Context(), &s.c, next, nr); got != "200 ok" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		synctest.Wait()
		if len(s.heads) != 1 || !strings.HasSuffix(s.heads[0], "\r\n\r\n"+content(300 << 10)[100:]) {
			t.Errorf("%d requests, or not the whole body", len(s.heads))
		}
	}, func(p *part) {
		p.br.Peek(10)
		p.send("HTTP/1.1 307 X\r\nLocation: /t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		p.stay()
	}, staying(ok2))
}

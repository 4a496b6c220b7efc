package httpd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"socketsrv/wsproto"
)

// A webReply is an answer that was read.
type webReply struct {
	*http.Response
	body string
}

// webAsk sends a request, fields as "Name: value", and follows no redirect.
func webAsk(t testing.TB, method, url, body string, fields ...string) webReply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		req.Header.Add(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: transport, Timeout: kit.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return webReply{res, string(b)}
}

var httpdFiles = []struct {
	flags, method, target string
	fields                []string
	status                int
	body, field           string // part of it, and a field that must be there
}{
	{"", "GET", "/a.txt", nil, 200, "0123456789", "Content-Type: text/plain; charset=utf-8"},
	{"", "GET", "/a.txt?x", nil, 200, "0123456789", "X-Content-Type-Options: nosniff"},
	{"", "HEAD", "/a.txt", nil, 200, "", "Accept-Ranges: bytes"},
	{"", "GET", "/a.txt", []string{"Range: bytes=2-4"}, 206, "234", "Content-Range: bytes 2-4/10"},
	{"", "GET", "/sub", nil, 301, "", "Location: /sub/"},
	{"", "GET", "/sub/", nil, 200, "<p>index", "Content-Type: text/html; charset=utf-8"},
	{"", "GET", "/", nil, 200, `href="./a.txt"`, "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"", "GET", "/../a.txt", nil, 400, "", ""},
	{"", "GET", "/.env", nil, 404, "", ""},
	{"", "PUT", "/new", nil, 405, "", "Allow: GET, HEAD, OPTIONS"},
	{"", "POST", "/", nil, 405, "", "Allow: GET, HEAD, OPTIONS"},
	{"", "BREW", "/", nil, 501, "", ""},
	{"", "OPTIONS", "/", nil, 204, "", "Allow: GET, HEAD, OPTIONS"},
	{"", "GET", "/big.txt", []string{"Accept-Encoding: gzip"}, 200, "\x1f\x8b", "Content-Encoding: gzip"},
	{"-no-gzip", "GET", "/big.txt", []string{"Accept-Encoding: gzip"}, 200, "text\n", "Content-Length: 10000"},
	{"-no-list", "GET", "/", nil, 403, "", ""},
	{"-no-list", "GET", "/sub/", nil, 200, "<p>index", ""},
	{"-dotfiles", "GET", "/.env", nil, 200, "hidden", ""},
	{"-header X-A:b -header Cache-Control:no-store", "GET", "/missing", nil, 404, "", "Cache-Control: no-store"},
	{"-header X-A:b -header Cache-Control:no-store", "GET", "/a.txt", nil, 200, "", "X-A: b"},
	{"-upload", "OPTIONS", "/", nil, 204, "", "Allow: GET, HEAD, OPTIONS, PUT, POST"},
	{"-upload", "DELETE", "/a.txt", nil, 405, "", "Allow: GET, HEAD, OPTIONS, PUT, POST"},
	{"-cors", "GET", "/a.txt", []string{"Origin: http://a.example"}, 200, "0123456789", "Access-Control-Allow-Origin: *"},
	{"-cors", "GET", "/missing", nil, 404, "", "Access-Control-Allow-Origin: *"},
	{"-cors", "OPTIONS", "/", nil, 204, "", "Allow: GET, HEAD, OPTIONS"},
	{"-cors -auth me:pw", "OPTIONS", "/", []string{"Origin: http://a", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-a"}, 204, "", "Access-Control-Allow-Headers: x-a"},
	{"-cors -auth me:pw", "OPTIONS", "/", nil, 401, "", "Access-Control-Allow-Origin: *"},
	{"-cors -auth me:pw", "OPTIONS", "/", []string{"Host: evil.example", "Origin: http://a", "Access-Control-Request-Method: GET"}, 403, "", ""},
	{"-auth me:pw", "GET", "/a.txt", nil, 401, "", `WWW-Authenticate: Basic realm="socketsrv"`},
	{"-auth me:pw", "GET", "/a.txt", []string{"Authorization: Basic bWU6cHc="}, 200, "0123456789", ""},
	{"-auth me:pw", "GET", "/a.txt", []string{"Authorization: Basic bWU6cFc="}, 401, "", ""},
	{"-auth me:pw", "GET", "/a.txt", []string{"Authorization: Bearer pw"}, 401, "", ""},
	{"-token tk", "GET", "/a.txt", []string{"Authorization: Bearer tk"}, 200, "0123456789", ""},
	{"", "GET", "/a.txt", []string{"Host: evil.example"}, 403, "-allow-host", ""},
	{"", "GET", "/a.txt", []string{"Host: localhost:1"}, 200, "0123456789", ""},
	{"", "GET", "/a.txt", []string{"Host: "}, 200, "0123456789", ""},
	{"-header Content-Type:a/b", "GET", "/a.txt", nil, 200, "0123456789", "Content-Type: a/b"},
	{"-header Content-Type:a/b -auth me:pw", "GET", "/a.txt", nil, 401, "", "Content-Type: a/b"},
	{"-header Content-Type:a/b -D", "GET", "/a.txt", nil, 200, "OK", "Content-Type: a/b"},
	{"-allow-host lab.example", "GET", "/a.txt", []string{"Host: lab.example"}, 200, "0123456789", ""},
	{"-origin http://good.example", "GET", "/a.txt", []string{"Origin: http://bad.example"}, 403, "-origin", ""},
	{"-redirect_url http://x.example/y", "GET", "/any", nil, 301, "", "Location: http://x.example/y"},
	{"-L -redirect_url ws://x.example/", "GET", "/", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, 301, "", "Location: ws://x.example/"},
	{"-D", "GET", "/", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, 200, "OK", ""},
	{"", "GET", "/", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 12"}, 426, "", "Upgrade: websocket"},
	{"-L -redirect_url /y", "POST", "/any", nil, 301, "", "Location: /y"},
}

func TestHttpdFiles(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789", "sub/index.html": "<p>index", "sub2/x": "x", ".env": "hidden", "big.txt": strings.Repeat("text\n", 2000)})
	for _, tt := range httpdFiles {
		p := kit.Background(t, Mode, append(strings.Fields(tt.flags), "-port", "0", dir)...)
		base := "http://" + p.Addr("http")
		r := webAskPath(t, tt.method, base, tt.target, tt.fields...)
		name, value, _ := strings.Cut(tt.field, ": ")
		if r.StatusCode != tt.status || !strings.Contains(r.body, tt.body) || tt.field != "" && r.Header.Get(name) != value {
			t.Errorf("%s: %s %s %q: %d %q %q\nwant %d %q %q", tt.flags, tt.method, tt.target, tt.fields, r.StatusCode, r.Header, r.body, tt.status, tt.body, tt.field)
		}
		if types := r.Header.Values("Content-Type"); len(types) > 1 {
			t.Errorf("%s: %s %s: Content-Type %q", tt.flags, tt.method, tt.target, types)
		}
		if r.Header.Get("Date") == "" {
			t.Errorf("%s %s: no Date", tt.method, tt.target)
		}
		if code := p.Stop(); code != 0 {
			t.Errorf("exit %d", code)
		}
	}
}

// webAskPath is webAsk for a target that net/http would clean.
func webAskPath(t *testing.T, method, base, target string, fields ...string) webReply {
	t.Helper()
	nc := kit.DialTCP(t, strings.TrimPrefix(base, "http://"))
	head := method + " " + target + " HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n"
	if !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "Host: ") }) {
		head += "Host: localhost\r\n"
	}
	for _, f := range fields {
		head += f + "\r\n"
	}
	io.WriteString(nc, head+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
	return webReply{res, string(b)}
}

func TestHttpdUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"-L"}, 2, "-redirect_url"},
		{[]string{"-redirect_url", "a\nb"}, 2, "control"},
		{[]string{"-D", "-upload"}, 2, "exclude"},
		{[]string{"-L", "-redirect_url", "/x", "-D"}, 2, "exclude"},
		{[]string{"-redirect_url", "/x", "-upload"}, 2, "exclude"},
		{[]string{"-overwrite"}, 2, "-upload"},
		{[]string{"-header", "no colon"}, 2, "want"},
		{[]string{"-header", "A: b\r\nC: d"}, 2, "control"},
		{[]string{"-header", "content-length: 5"}, 2, "own"},
		{[]string{"-header", "Transfer-Encoding: x"}, 2, "own"},
		{[]string{"a", "b"}, 2, "unexpected"},
		{[]string{"-port", "0", "/does/not/exist"}, cli.ExitRead, "no such file"},
	} {
		code, _, stderr := kit.Command(cli.Table{Mode}, append([]string{"httpd"}, tt.args...)...)
		if code != tt.exit || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit %d, %q; want %d, %q", tt.args, code, stderr, tt.exit, tt.want)
		}
	}
}

// TestHttpdLog: the access log, in which nothing a client sends shows as it is.
func TestHttpdLog(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789"})
	p := kit.Background(t, Mode, "-port", "0", "-auth", "me:pw", "-cors", dir)
	base := "http://" + p.Addr("http")
	const forged = "Authorization: Basic YWRtaW46eA==" // admin:x
	webAskPath(t, "OPTIONS", base, "/a", forged, "Origin: http://a", "Access-Control-Request-Method: GET")
	webAskPath(t, "GET", base, "/b", forged, "Host: evil.example")
	webAskPath(t, "GET", base, `/a.txt?"\`, "Authorization: Basic bWU6cHc=")
	webAskPath(t, "HEAD", base, "/a.txt", "Authorization: Basic bWU6cHc=")
	webAskPath(t, "GET", base, "/a.txt", "Authorization: Basic bWU6eHg=")
	const clf = `^127\.0\.0\.1 - - \[.*\] "OPTIONS /a HTTP/1\.1" 204 -
127\.0\.0\.1 - - \[.*\] "GET /b HTTP/1\.1" 403 \d+
127\.0\.0\.1 - me \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\.txt\?\\x22\\ HTTP/1\.1" 200 10
127\.0\.0\.1 - me \[.*\] "HEAD /a\.txt HTTP/1\.1" 200 -
127\.0\.0\.1 - - \[.*\] "GET /a\.txt HTTP/1\.1" 401 \d+
$`
	p.Stdout.WaitFor(t, clf)
	p.Stop()
	p.Stderr.WaitFor(t, `(?m)^5 requests, \d+ bytes sent, 0 files taken$`)

	p = kit.Background(t, Mode, "-port", "0", "-v", dir)
	webAskPath(t, "GET", "http://"+p.Addr("http"), "/a.txt", "User-Agent: a\"\xff\t\u202eb", "Referer: http://r/")
	p.Stdout.WaitFor(t, `"GET /a\.txt HTTP/1\.1" 200 10 "http://r/" "a\\x22\\xff\\t\\u202eb"\n$`)
	p.Stop()

	sock := filepath.Join(t.TempDir(), "s")
	p = kit.Background(t, Mode, "-host", "unix:"+sock, "-q", dir)
	var nc net.Conn
	var err error
	for deadline := time.Now().Add(kit.Patience); nc == nil; runtime.Gosched() {
		if nc, err = net.Dial("unix", sock); err != nil && time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	io.WriteString(nc, "GET /a.txt HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(nc); !strings.HasSuffix(string(b), "0123456789") {
		t.Errorf("-q: %q, %v", b, err)
	}
	p.Stop()
	if p.Stdout.String() != "" || p.Stderr.String() != "" {
		t.Errorf("-q: %q, %q", p.Stdout, p.Stderr)
	}
}

// TestHttpdErrorEvents: what is wrong with a request is an event, once, with the bytes.
func TestHttpdErrorEvents(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-json", "-upload", t.TempDir())
	for send, want := range map[string]string{
		"PUT /cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nhello":          `"path":"/cut","error":"unexpected EOF"`,
		"PUT /odd HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": `"path":"/odd","size":4,"text":"zz\\r\\n","error":"http: malformed chunk"`,
		"GET / HTT": `"size":9,"text":"GET / HTT","error":"unexpected EOF"`,
	} {
		nc := kit.DialTCP(t, p.Addr("http"))
		io.WriteString(nc, send)
		nc.CloseWrite()
		io.Copy(io.Discard, nc)
		p.Stdout.WaitFor(t, `"event":"error","proto":"http","peer":"[^"]*",`+want)
	}
	p.Stop()
	if n := strings.Count(p.Stdout.String(), `"event":"error"`); n != 3 {
		t.Errorf("%d error events in %s, want 3", n, p.Stdout)
	}
}

func TestHttpdEvents(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-json", kit.WebRoot(t, map[string]string{"a.txt": "0123456789"}))
	webAskPath(t, "GET", "http://"+p.Addr("http"), "/a.txt?x", "User-Agent: a\xffb", "Range: bytes=0-3")
	p.Stop()
	var events []map[string]any
	for line := range strings.Lines(p.Stdout.String()) {
		e := map[string]any{}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		events = append(events, e)
	}
	if len(events) != 3 {
		t.Fatalf("%d events: %s", len(events), p.Stdout)
	}
	want := map[string]any{"event": "request", "proto": "http", "path": "/a.txt?x", "code": 206.0, "method": "GET", "version": "1.1", "sent": 4.0, "agent": "a\ufffdb"}
	for key, value := range want {
		if events[1][key] != value {
			t.Errorf("event %v: %s is %v, want %v", events[1], key, events[1][key], value)
		}
	}
	if events[2]["event"] != "summary" || events[2]["requests"] != 1.0 {
		t.Errorf("the last event: %v", events[2])
	}
}

// TestHttpdNotRead: a stdout and stderr that nobody reads hold neither who asks nor
// the end, and what is dropped is counted.
func TestHttpdNotRead(t *testing.T) {
	t.Parallel()
	stdout, ours := io.Pipe()
	defer stdout.Close()
	stderr := cli.NewRecord()
	env := cli.System()
	env.Stdout, env.Stderr = ours, stderr
	signals := make(chan os.Signal, 1)
	env.Signals = signals
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Table{Mode}.Run(context.Background(), []string{cli.Program, "-httpd", "-port", "0", kit.WebRoot(t, map[string]string{"a": "0123456789"})}, env)
	}()
	nc := kit.DialTCP(t, kit.Written{Record: stderr}.WaitFor(t, `listening on http (\S+)`)[1])
	nc.SetDeadline(time.Now().Add(kit.Patience))
	br := bufio.NewReader(nc)
	const requests = 100
	for i := range requests {
		io.WriteString(nc, "GET /a?"+strings.Repeat("x", 7000)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		io.Copy(io.Discard, res.Body)
	}
	signals <- syscall.SIGTERM
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	case <-time.After(kit.Patience):
		t.Fatal("it does not end")
	}
	for _, want := range []string{`(?m)^socketsrv: stdout is not read: what has no room is dropped until it is$`, `(?m)^socketsrv: stdout was not read: \d\d lines dropped$`, `(?m)^100 requests, `} {
		if !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("stderr %q lacks %s", stderr, want)
		}
	}
}

// TestHttpdDebug: -D shows every request and answers 200.
func TestHttpdDebug(t *testing.T) {
	p := kit.Background(t, Mode, "-D", "-port", "0")
	base := "http://" + p.Addr("http")
	if r := webAsk(t, "PATCH", base+"/hook?a=b", "hello\x1b[2J", "X-Test: \u202ex", "Authorization: Bearer s3cret", "User-Agent: t"); r.StatusCode != 200 || r.body != "OK\n" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
	p.Stdout.WaitFor(t, `(?s)^< request #0: 127\.0\.0\.1:\d+\nPATCH /hook\?a=b HTTP/1\.1\nHost: [^\n]*\n.*Authorization: \*\*\*\n.*X-Test: \\u202ex\n.*: hello\\x1b\[2J\n\n$`)
	if strings.Contains(p.Stdout.String(), "s3cret") {
		t.Errorf("the secret is shown: %s", p.Stdout)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "inflated")
	z.Close()
	webAsk(t, "POST", base+"/", packed.String(), "Content-Encoding: gzip")
	p.Stdout.WaitFor(t, `: inflated\n`)
	webAsk(t, "POST", base+"/", "not gzip at all", "Content-Encoding: gzip")
	p.Stdout.WaitFor(t, `: not gzip at all\n`)
	p.Stop()

	p = kit.Background(t, Mode, "-D", "-port", "0", "-show-secrets", "-json", "-max-message", "4")
	webAsk(t, "POST", "http://"+p.Addr("http")+"/x", "0123456789", "Authorization: Bearer s3cret")
	p.Stop()
	line := regexp.MustCompile(`(?m)^.*"event":"request".*$`).FindString(p.Stdout.String())
	var e struct {
		Path, Method, Text, Head string
		Size, Cut, Code          int
	}
	if err := json.Unmarshal([]byte(line), &e); err != nil || e.Path != "/x" || e.Method != "POST" || e.Text != "0123" || e.Size != 10 || e.Cut != 6 || e.Code != 200 || !strings.Contains(e.Head, "Authorization: Bearer s3cret\n") {
		t.Errorf("%s: %v", p.Stdout, err)
	}
}

// TestHttpdDebugAll: -D shows what it refuses, what is cut and what cannot be read, too.
func TestHttpdDebugAll(t *testing.T) {
	p := kit.Background(t, Mode, "-D", "-port", "0", "-cors", "-token", "tk")
	for _, tt := range []struct{ id, send, answer, shown string }{
		{"D1, another Host", "POST /x HTTP/1.1\r\nHost: hook.example\r\nAuthorization: Bearer tk\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 ", `POST /x HTTP/1\.1\nHost: hook\.example\n`},
		{"no password", "GET /y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 401 ", `\(answered 401\)\nGET /y HTTP/1\.1\n`},
		{"D3, a body that is cut", "POST /h HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer tk\r\nContent-Length: 20\r\n\r\n{\"t\":1}", "", `(?s)POST /h HTTP/1\.1\n.*: \{"t":1\}\nX [^\n]*EOF\n`},
		{"D5, no CR", "POST /h HTTP/1.1\nHost: localhost\nContent-Length: 1\n\na", "HTTP/1.1 400 ", `(?s)X [^\n]*CRLF\nPOST /h HTTP/1\.1`},
		{"D7, a preflight", "OPTIONS /h HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n", "Access-Control-Allow-Methods: POST\r\n", `\(answered 204\)\nOPTIONS /h HTTP/1\.1\n`},
	} {
		nc := kit.DialTCP(t, p.Addr("http"))
		io.WriteString(nc, tt.send)
		nc.CloseWrite()
		answer, _ := io.ReadAll(nc)
		if !strings.Contains(string(answer), tt.answer) {
			t.Errorf("%s: the answer is %q", tt.id, answer)
		}
		p.Stdout.WaitFor(t, tt.shown)
	}
	p.Stop()
}

// TestHttpdDebugFlow: -D shows the head as it came, and what there is of the body before
// the rest comes.
func TestHttpdDebugFlow(t *testing.T) {
	p := kit.Background(t, Mode, "-D", "-port", "0")
	nc := kit.DialTCP(t, p.Addr("http"))
	io.WriteString(nc, "POST /h HTTP/1.1\r\nHost:  localhost \r\nCOOKIE:a=s3cret\r\nX:y\r\nContent-Length: 8\r\n\r\n")
	p.Stdout.WaitFor(t, `(?m)^Host:  localhost $\n^COOKIE: \*\*\*$\n^X:y$\n`)
	io.WriteString(nc, "hello")
	p.Stdout.WaitFor(t, `connection #0: hello\n$`)
	io.WriteString(nc, "you")
	p.Stdout.WaitFor(t, `connection #0: you\n\n$`)
	p.Stop()
}

// TestHttpdAddresses: what to type is told where it listens on all interfaces.
func TestHttpdAddresses(t *testing.T) {
	p := kit.Background(t, Mode, "-port", "0", "-host", "0.0.0.0", t.TempDir())
	_, port, _ := net.SplitHostPort(p.Addr("http"))
	p.Stderr.WaitFor(t, `(?m)^http://127\.0\.0\.1:`+port+`/$`)
	p.Stop()
}

// TestHttpdOneFile is S6: a file as argument is served, and nothing beside it.
func TestHttpdOneFile(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "hello", "b.txt": "secret"})
	p := kit.Background(t, Mode, "-port", "0", filepath.Join(dir, "a.txt"))
	base := "http://" + p.Addr("http")
	for target, want := range map[string]string{"/": "hello", "/a.txt": "hello"} {
		if r := webAsk(t, "GET", base+target, ""); r.StatusCode != 200 || r.body != want {
			t.Errorf("%s: %d %q", target, r.StatusCode, r.body)
		}
	}
	if r := webAsk(t, "GET", base+"/b.txt", ""); r.StatusCode != 404 {
		t.Errorf("another file: %d %q", r.StatusCode, r.body)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "a.txt"), link); err != nil {
		t.Skip(err)
	}
	p = kit.Background(t, Mode, "-port", "0", link)
	if r := webAsk(t, "GET", "http://"+p.Addr("http")+"/", ""); r.body != "hello" {
		t.Errorf("a link as argument: %d %q", r.StatusCode, r.body)
	}
}

// TestHttpdColon is S4: names with a time are taken, and 201 says where they are.
func TestHttpdColon(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a colon begins a stream there")
	}
	dir := t.TempDir()
	p := kit.Background(t, Mode, "-port", "0", "-upload", dir)
	const target = "/2026-11-28T10:00:00.log"
	if r := webAsk(t, "PUT", "http://"+p.Addr("http")+target, "x"); r.StatusCode != 201 || r.Header.Get("Location") != target {
		t.Errorf("%d %q, Location %q", r.StatusCode, r.body, r.Header.Get("Location"))
	}
	if r := webAsk(t, "GET", "http://"+p.Addr("http")+target, ""); r.body != "x" {
		t.Errorf("back comes %d %q", r.StatusCode, r.body)
	}
}

// TestHttpdWebSocket: an echo on the port of the files, by the rules of both.
func TestHttpdWebSocket(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789"})
	p := kit.Background(t, Mode, "-port", "0", "-token", "tk", dir)
	addr := p.Addr("http")
	if _, _, err := wsproto.Dial(t.Context(), "ws://"+addr+"/", wsproto.DialOptions{}); err == nil {
		t.Error("no token, and it is let in")
	}
	c, _, err := wsproto.Dial(t.Context(), "ws://"+addr+"/any", wsproto.DialOptions{Header: httpmini.Header{{Name: "Authorization", Value: "Bearer tk"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []wsproto.Opcode{wsproto.OpText, wsproto.OpBinary} {
		c.WriteMessage(op, []byte("héllo"))
		if m, err := c.ReadMessage(); err != nil || m.Opcode != op || string(m.Data) != "héllo" {
			t.Errorf("%v: %v %q, %v", op, m.Opcode, m.Data, err)
		}
	}
	if r := webAsk(t, "GET", "http://"+addr+"/a.txt", "", "Authorization: Bearer tk"); r.body != "0123456789" {
		t.Errorf("beside it: %d %q", r.StatusCode, r.body)
	}
	p.Stdout.WaitFor(t, `"GET /any HTTP/1\.1" 101 -`)
	go p.Stop()
	_, err = c.ReadMessage()
	if e, ok := errors.AsType[*wsproto.CloseError](err); !ok || e.Code != wsproto.StatusGoingAway {
		t.Errorf("at the end: %v, want 1001", err)
	}
	p.Wait()
}

// TestHttpdTLS: the same over TLS.
func TestHttpdTLS(t *testing.T) {
	if !tlsconf.Available {
		t.Skip("this build leaves TLS out")
	}
	dir := kit.WebRoot(t, map[string]string{"big.bin": strings.Repeat("0123456789", 100_000)})
	p := kit.Background(t, Mode, "-port", "0", "-tls", dir)
	base := "https://" + p.Addr("https")
	if r := webAsk(t, "GET", base+"/big.bin", ""); len(r.body) != 1_000_000 {
		t.Errorf("%d, %d bytes", r.StatusCode, len(r.body))
	}
	if r := webAsk(t, "GET", base+"/big.bin", "", "Range: bytes=999990-"); r.StatusCode != 206 || r.body != "0123456789" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
}

// TestHttpdUnix: over a Unix socket, where clients have no address.
func TestHttpdUnix(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789", "big.bin": strings.Repeat("x", 1<<20)})
	sock, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sock) })
	sock = filepath.Join(sock, "h")
	p := kit.Background(t, Mode, "-host", "unix:"+sock, dir)
	p.Addr("http")
	client := &http.Client{Timeout: kit.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", sock) }}}
	for name, size := range map[string]int{"a.txt": 10, "big.bin": 1 << 20} {
		res, err := client.Get("http://any.example/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if len(b) != size || err != nil {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	p.Stdout.WaitFor(t, `(?m)^\S+ - - \[.*\] "GET /a\.txt HTTP/1\.1" 200 10$`)
}

// TestHttpdFull: HT10: a client too many is told so, the others stay.
func TestHttpdFull(t *testing.T) {
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789"})
	p := kit.Background(t, Mode, "-port", "0", "-max-conns", "4", dir)
	addr := p.Addr("http")
	const get = "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
	var readers []*bufio.Reader
	var conns []net.Conn
	again := func(i int) {
		io.WriteString(conns[i], get)
		res, err := http.ReadResponse(readers[i], nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("client %d: %v, %v", i, res, err)
		}
		io.Copy(io.Discard, res.Body)
	}
	for i := range 4 {
		conns = append(conns, kit.DialTCP(t, addr))
		readers = append(readers, bufio.NewReader(conns[i]))
		again(i)
	}
	fifth := kit.DialTCP(t, addr)
	res, err := http.ReadResponse(bufio.NewReader(fifth), nil)
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || !res.Close {
		t.Errorf("the fifth: %v, %v; want 503", res, err)
	}
	for i := range 4 {
		again(i)
	}
}

// TestHttpdSlow: HT02 in small: those who never finish a head are gone when their
// time is over; an honest client does not notice them.
func TestHttpdSlow(t *testing.T) {
	const slow = 200
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789"})
	p := kit.Background(t, Mode, "-port", "0", "-q=false", "-handshake-timeout", "1s", dir)
	addr := p.Addr("http")
	before := runtime.NumGoroutine()
	var conns []*net.TCPConn
	for range slow {
		nc := kit.DialTCP(t, addr)
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
		conns = append(conns, nc)
	}
	var all sync.WaitGroup
	for i, nc := range conns {
		all.Go(func() {
			b, err := io.ReadAll(nc)
			if !strings.HasPrefix(string(b), "HTTP/1.1 408 ") || err != nil {
				t.Errorf("slow client %d: %.40q, %v; want 408", i, b, err)
			}
			nc.Close()
		})
	}
	gone := make(chan struct{})
	go func() {
		all.Wait()
		close(gone)
	}()
	for done := false; !done; {
		if r := webAsk(t, "GET", "http://"+addr+"/a.txt", ""); r.body != "0123456789" {
			t.Fatalf("the honest client: %d %q", r.StatusCode, r.body)
		}
		select {
		case <-gone:
			done = true
		default:
		}
	}
	for deadline := time.Now().Add(kit.Patience); runtime.NumGoroutine() > before+10; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestHttpdStop: what is under way when the server stops comes to its end, if that
// is soon; an upload that is cut leaves nothing.
func TestHttpdStop(t *testing.T) {
	const size = 32 << 20
	dir := kit.WebRoot(t, map[string]string{"big.bin": ""})
	if err := os.Truncate(filepath.Join(dir, "big.bin"), size); err != nil {
		t.Fatal(err)
	}
	p := kit.Background(t, Mode, "-port", "0", "-upload", "-grace", "1m", dir)
	addr := p.Addr("http")
	nc := kit.DialTCP(t, addr)
	io.WriteString(nc, "GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
	br := bufio.NewReader(nc)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	idle := kit.DialTCP(t, addr)
	kit.Swap(t, idle, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\n") // one that says nothing may not be accepted yet
	p.Running.Stop()
	io.ReadAll(idle) // ends at once
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("the transfer: %d bytes, %v; want %d", n, err, size)
	}
	nc.Close()
	if code := p.Wait(); code != 0 {
		t.Errorf("exit %d", code)
	}

	p = kit.Background(t, Mode, "-port", "0", "-upload", "-grace", "100ms", dir)
	nc = kit.DialTCP(t, p.Addr("http"))
	io.WriteString(nc, "PUT /new HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(nc).ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(nc, "some")
	if code := p.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	if names := namesIn(t, dir); !slices.Equal(names, []string{"big.bin"}) {
		t.Errorf("an upload that was cut left %q", names)
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestHttpdPeers: curl and wget get, resume, mirror and put.
func TestHttpdPeers(t *testing.T) {
	big := strings.Repeat("all work and no play\n", 20_000)
	dir := kit.WebRoot(t, map[string]string{"a.txt": "0123456789", "big.txt": big, "sub/b c.txt": "see", "sub/deep/d.txt": "deep"})
	here := t.TempDir()
	p := kit.Background(t, Mode, "-port", "0", "-upload", dir)
	base := "http://" + p.Addr("http")
	command := func(want string, name string, args ...string) {
		t.Helper()
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = here
		cmd.Env = append(os.Environ(), "no_proxy=*", "http_proxy=")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || string(out) != want {
			t.Errorf("%s %q: %v, %.200q, %s; want %.200q", name, args, err, out, stderr.String(), want)
		}
	}
	file := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(filepath.Join(here, name)); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(b), err, len(want))
		}
	}
	part := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(here, name), []byte(big[:n]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("curl", func(t *testing.T) {
		command("0123456789", "curl", "-sS", base+"/a.txt")
		command("0123456789see", "curl", "-sS", base+"/a.txt", base+"/sub/b%20c.txt")
		command("234", "curl", "-sS", "-r", "2-4", base+"/a.txt")
		command(big, "curl", "-sS", "--compressed", base+"/big.txt")
		command("200 0", "curl", "-sS", "-o", "/dev/null", "-I", "-w", "%{http_code} %{num_redirects}", base+"/a.txt")
		command("200 1", "curl", "-sSL", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", base+"/sub")
		command("404", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", base+"/missing")
		part("part.txt", 1000)
		command("", "curl", "-sS", "-C", "-", "-o", "part.txt", base+"/big.txt")
		file("part.txt", big)
		command("200", "curl", "-sS", "-R", "-o", "timed", "-w", "%{http_code}", base+"/a.txt")
		command("304", "curl", "-sS", "-z", "timed", "-o", "/dev/null", "-w", "%{http_code}", base+"/a.txt")
		command("304", "curl", "-sS", "--etag-save", "tag", "-o", "/dev/null", "-w", "", base+"/a.txt", "--next", "-sS", "--etag-compare", "tag", "-o", "/dev/null", "-w", "%{http_code}", base+"/a.txt")
		command("201", "curl", "-sS", "-T", "part.txt", "-o", "/dev/null", "-w", "%{http_code}", base+"/put.txt")
		command(big, "curl", "-sS", base+"/put.txt")
		command("409", "curl", "-sS", "-T", "part.txt", "-o", "/dev/null", "-w", "%{http_code}", base+"/put.txt")
		command("201", "curl", "-sS", "-F", "x=y", "-F", "f=@part.txt;filename=form.txt", "-F", "g=@timed", "-o", "/dev/null", "-w", "%{http_code}", base+"/sub/")
		command("0123456789", "curl", "-sS", base+"/sub/timed")
		command(big, "curl", "-sS", base+"/sub/form.txt")
		command("206 3", "curl", "-sS", "--path-as-is", "-r", "0-0,-1", "-o", "/dev/null", "-w", "%{http_code} 3", base+"/a.txt")
		command("400", "curl", "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", base+"/../../etc/hostname")
	})
	t.Run("wget", func(t *testing.T) {
		command("0123456789", "wget", "-q", "-O", "-", base+"/a.txt")
		part("big.txt", 1000)
		command("", "wget", "-q", "-c", base+"/big.txt")
		file("big.txt", big)
		command("", "wget", "-q", "-N", base+"/a.txt")
		command("", "wget", "-q", "-N", base+"/a.txt")
		file("a.txt", "0123456789")
		command("", "wget", "-q", "-r", "-np", "-nH", "-P", "mirror", "-R", "index.html*", base+"/sub/")
		file("mirror/sub/b c.txt", "see")
		file("mirror/sub/deep/d.txt", "deep")
		p.Stdout.WaitFor(t, `"HEAD /a\.txt HTTP/1\.1" 200|"GET /a\.txt HTTP/1\.1" 304`)
	})
}

package httpmini

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A tree is what a test serves: names below a directory, links as "-> target",
// directories with a slash at their end. Beside it lies a file called secret.
type tree map[string]string

const secret = "the secret of the folder above"

var (
	longText = strings.Repeat("all work and no play makes jack a dull boy\n", 4000) // 172 KB
	noise    = func() []byte {                                                      // what gzip makes no shorter
		b, x := make([]byte, 300_000), uint32(1)
		for i := range b {
			x = x*1664525 + 1013904223
			b[i] = byte(x >> 24)
		}
		return b
	}()
	old = time.Date(2024, 2, 29, 12, 34, 56, 789_000_000, time.UTC)
)

const oldDate = "Thu, 29 Feb 2024 12:34:56 GMT"

// plant makes a tree and returns its root. All files were changed at old.
func plant(t testing.TB, files tree) *os.Root {
	t.Helper()
	above := t.TempDir()
	dir := filepath.Join(above, "served")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(above, "secret"), []byte(secret), 0o644))
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(target, path))
			continue
		}
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.WriteFile(path, []byte(content), 0o644))
		must(t, os.Chtimes(path, old, old))
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

// warmAndCold runs test with files that are never kept in memory, and with files
// that are at once.
func warmAndCold(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for name, d := range map[string]time.Duration{"cold": 1 << 62, "warm": -1 << 62} {
		t.Run(name, func(t *testing.T) {
			was := settling
			settling = d
			t.Cleanup(func() { settling = was }) // when what the test serves has ended
			test(t)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A reply is an answer that was read to its end.
type reply struct {
	*Response
	body string
	err  error // of the body
}

// ask sends a request, "GET /path" with fields after it, and reads the answer.
func ask(t testing.TB, addr, start string, fields ...string) reply {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	if !strings.Contains(start, " HTTP/1.") {
		start += " HTTP/1.1"
	}
	fields = append([]string{start, "Host: a"}, fields...)
	io.WriteString(c, strings.Join(fields, "\r\n")+"\r\n\r\n")
	method, _, _ := strings.Cut(start, " ")
	r, err := ReadResponse(bufio.NewReader(c), method, ClientLimits)
	if err != nil {
		t.Fatalf("%q: %v", start, err)
	}
	body, err := io.ReadAll(r.Body)
	return reply{r, string(body), err}
}

// serveFiles serves f on loopback, and reports what ends connections.
func serveFiles(t testing.TB, f *Files, log func(error)) (addr string) {
	return serve(t, &Server{Handler: f.Serve, ErrorLog: log, Date: true})
}

var paths = tree{
	"a.txt": "content of a", "dir/x.txt": "content of x", "dir/sub/deep.txt": "deep", ".env": "hidden", ".git/config": "hidden",
	"dir/.hidden": "hidden", "%2e%2e/secret": "literal", "a b+c&d.txt": "odd name", "ümläut.txt": "umlaut", "\xff.bin": "no UTF-8",
	"x:y.txt": "colon", "a..b": "dots within", "...": "three dots", "empty/": "", "with/index.html": "<p>index", "line\nfeed": "feed",
	"ok": "-> a.txt", "dir/up": "-> ../a.txt", "link": "-> ../secret", "rootlink": "-> /", "loop": "-> loop", "dangling": "-> nothing",
	"linkdir": "-> dir", "aux.txt": "device", "semi;colon": "semi", "con": "device", "end.": "dot", "blank ": "blank", "s.txt:$DATA": "stream",
	".well-known/acme-challenge/tok": "token", ".well-known/.hidden": "hidden", "dir/.well-known/x": "hidden",
}

var pathsOfFiles = []struct {
	target string
	status int
	want   string // the body, or the Location of a 301
}{
	{"/a.txt", 200, "content of a"},
	{"/a.txt?query=1", 200, "content of a"},
	{"http://a/a.txt", 200, "content of a"},
	{"/%61%2etxt", 200, "content of a"},
	{"/dir/x.txt", 200, "content of x"},
	{"/dir//x.txt", 200, "content of x"},
	{"//a.txt", 200, "content of a"}, // S1
	{"///dir//x.txt", 200, "content of x"},
	{"//evil.example/../with/", 200, "<p>index"},
	{"http://a//a.txt", 200, "content of a"},
	{"/.well-known/acme-challenge/tok", 200, "token"}, // S5
	{"/dir/../.well-known/acme-challenge/tok", 200, "token"},
	{"/con", 200, "device"},
	{"/aux.txt", 200, "device"},
	{"/s.txt:$DATA", 200, "stream"},
	{"/end.", 200, "dot"},
	{"/blank%20", 200, "blank"},
	{"/dir/./x.txt", 200, "content of x"},
	{"/dir/../a.txt", 200, "content of a"},
	{"/dir/%2e%2e/a.txt", 200, "content of a"},
	{"/dir/sub/../../a.txt", 200, "content of a"},
	{"/a%20b+c&d.txt", 200, "odd name"},
	{"/%C3%BCml%C3%A4ut.txt", 200, "umlaut"},
	{"/%ff.bin", 200, "no UTF-8"},
	{"/x:y.txt", 200, "colon"},
	{"/a..b", 200, "dots within"},
	{"/line%0Afeed", 200, "feed"},
	{"/semi;colon", 200, "semi"},
	{"/ok", 200, "content of a"},
	{"/dir/up", 200, "content of a"},
	{"/linkdir/x.txt", 200, "content of x"},
	{"/with/", 200, "<p>index"},
	{"/with/.", 200, "<p>index"},
	{"/with/sub/..", 200, "<p>index"},

	{"/dir", 301, "/dir/"},
	{"/dir?sort=size", 301, "/dir/?sort=size"},
	{`/dir?a\b`, 301, "/dir/?a%5Cb"},
	{"/dir/sub", 301, "/dir/sub/"},
	{"/dir//sub", 301, "/dir/sub/"},
	{"//dir", 301, "/dir/"}, // S1
	{"/linkdir", 301, "/linkdir/"},
	{"/%64ir", 301, "/dir/"},

	{"/..", 400, ""},
	{"/../secret", 400, ""},
	{"/../../../../etc/hostname", 400, ""},
	{"/%2e%2e/secret", 400, ""},
	{"/.%2E/secret", 400, ""},
	{"/dir/../../secret", 400, ""},
	{"/dir/..%2f..%2fsecret", 400, ""},
	{"/..;/secret", 400, ""},
	{"/dir/..;a=b/a.txt", 400, ""},
	{"/.;/a.txt", 400, ""},
	{"/%2e%2e%3b/secret", 400, ""},
	{"/..%5csecret", 400, ""},
	{"/a%5cb", 400, ""},
	{`/..\secret`, 400, ""},
	{`/\evil.example`, 400, ""},
	{"/dir%2fx.txt", 400, ""},
	{"/dir%2Fx.txt", 400, ""},
	{"/a.txt%00.html", 400, ""},
	{"/%00", 400, ""},
	{"//evil.example/../..", 400, ""},
	{"/%2e%2e/%2e%2e/", 400, ""},
	{"http://a/../secret", 400, ""},
	{"http://a//etc/hostname", 404, ""},
	{"/%zz", 400, ""},

	{"/%252e%252e/secret", 200, "literal"}, // a file literally named %2e%2e
	{"/%25252e%25252e/secret", 404, ""},
	{"/%c0%ae%c0%ae/secret", 404, ""},
	{"/%e0%80%ae%e0%80%ae/secret", 404, ""},
	{"/%u002e%u002e/secret", 400, ""},
	{"/link", 404, ""},
	{"/rootlink", 404, ""},
	{"/rootlink/etc/hostname", 404, ""},
	{"/loop", 404, ""},
	{"/loop/x", 404, ""},
	{"/dangling", 404, ""},
	{"/dir/nothing", 404, ""},
	{"/a.txt/", 404, ""},
	{"/a.txt/.", 404, ""},
	{"/a.txt/x", 404, ""},
	{"/" + strings.Repeat("n", 5000), 404, ""},
	{"/" + strings.Repeat("d/", 3000), 404, ""},

	{"/.env", 404, ""},
	{"/%2eenv", 404, ""},
	{"/.git/config", 404, ""},
	{"/dir/.hidden", 404, ""},
	{"/dir/../.env", 404, ""},
	{"/...", 404, ""},
	{"/.well-known/.hidden", 404, ""},
	{"/dir/.well-known/x", 404, ""},

	{"/CON", 404, ""},
	{"/nul.txt", 404, ""},
	{"/com1.log", 404, ""},
	{"/LPT%C2%B9", 404, ""},
	{"/a.txt::$DATA", 404, ""},
	{"/a.txt.", 404, ""},
	{"/a.txt%20", 404, ""},
	{"/PROGRA~1/", 404, ""},
}

// TestFilesPaths: SF01 to SF18, SF26, SF29 and their kind.
func TestFilesPaths(t *testing.T) {
	root := plant(t, paths)
	open, all := serveFiles(t, &Files{Root: root}, nil), serveFiles(t, &Files{Root: root, Dotfiles: true}, nil)
	for _, tt := range pathsOfFiles {
		r := ask(t, open, "GET "+tt.target)
		got := r.body
		if r.Status == 301 {
			got = r.Header.Get("Location")
		}
		if r.Status != tt.status || r.Status < 400 && got != tt.want {
			t.Errorf("GET %.60s: %d %.80q, want %d %q", tt.target, r.Status, got, tt.status, tt.want)
		}
		whole := fmt.Sprint(r.Header, r.body)
		if strings.Contains(whole, secret) || strings.Contains(whole, "hidden") && tt.status != 404 {
			t.Errorf("GET %s: the secret got out: %s", tt.target, whole)
		}
		if r.Status >= 400 && r.body != StatusText(r.Status)+"\n" && tt.target != "/%zz" && tt.target != "/%u002e%u002e/secret" {
			t.Errorf("GET %s: says %q", tt.target, r.body)
		}
	}
	for target, status := range map[string]int{"/.env": 200, "/.git/config": 200, "/dir/.hidden": 200, "/...": 200, "/..": 400, "/../secret": 400} {
		if r := ask(t, all, "GET "+target); r.Status != status {
			t.Errorf("with Dotfiles, GET %s: %d, want %d", target, r.Status, status)
		}
	}
	if r := ask(t, serveFiles(t, new(Files), nil), "GET /a"); r.Status != 404 {
		t.Errorf("zero Files: %d, want 404", r.Status)
	}
}

// TestServableOnWindows: what only Windows has.
func TestServableOnWindows(t *testing.T) {
	defer func(was bool) { onWindows = was }(onWindows)
	for _, on := range []bool{false, true} {
		onWindows = on
		for _, name := range []string{"a:b", "GIT~1", "nul.txt", "end.", "blank ", "s:$DATA"} {
			if got := servable(name, true); got == on {
				t.Errorf("on Windows %v: servable(%q) = %v", on, name, got)
			}
		}
	}
	for name, want := range map[string]bool{
		"comma": true, "com": true, "com10": true, "conx": true, "lpt": true, "nul1": true, "COM¹": false, "com9.txt": false, "PRN .x": false,
		"conin$": false, "CONOUT$.log": false, "clock$": false, "a.con": true, "lpt\xff": true, "con:x": false,
	} {
		if got := servable(name, true); got != want {
			t.Errorf("servable(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestFilesMethods: SF20, H20, H21, H28, H29, H116.
func TestFilesMethods(t *testing.T) {
	root := plant(t, tree{"a.txt": "content"})
	addr := serveFiles(t, &Files{Root: root, Header: Header{{"X-Own", "1"}, {"Allow", "own"}}}, nil)
	for method, status := range map[string]int{
		"OPTIONS": 204, "POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405, "PROPFIND": 405, "TRACE": 405, "FOO": 501, "get": 501,
	} {
		r := ask(t, addr, method+" /a.txt")
		if r.Status != status || r.Header.Get("X-Own") != "1" || status == 405 && r.Header.Get("Allow") != "own" {
			t.Errorf("%s: %d %v, want %d", method, r.Status, r.Header, status)
		}
	}
	addr = serveFiles(t, &Files{Root: root}, nil)
	for _, start := range []string{"OPTIONS /a.txt", "OPTIONS *", "POST /a.txt"} {
		if r := ask(t, addr, start); r.Header.Get("Allow") != "GET, HEAD, OPTIONS" || r.Status/100 == 4 && r.Status != 405 {
			t.Errorf("%s: %d, Allow: %q", start, r.Status, r.Header.Get("Allow"))
		}
	}
	if r := ask(t, addr, "CONNECT a:80"); r.Status != 405 || r.Header.Get("Connection") != "close" {
		t.Errorf("CONNECT: %d, Connection: %q", r.Status, r.Header.Get("Connection"))
	}
	if r := ask(t, addr, "POST /a.txt", "Content-Length: 10485760"); r.Status != 405 || r.Header.Get("Connection") != "close" {
		t.Errorf("POST of 10 MiB: %d, Connection: %q", r.Status, r.Header.Get("Connection"))
	}
	if b, err := root.ReadFile("a.txt"); err != nil || string(b) != "content" {
		t.Errorf("afterwards the file is %q, %v", b, err)
	}
}

// TestFilesFields: what comes with a file, the same for HEAD.
func TestFilesFields(t *testing.T) { warmAndCold(t, testFilesFields) }

func testFilesFields(t *testing.T) {
	root := plant(t, tree{"a.txt": "content", "big.txt": longText, "noise.bin": string(noise), "empty": "", "p.png": string(noise[:5000])})
	addr := serveFiles(t, &Files{Root: root, Header: Header{{"Cache-Control", "no-store"}, {"ETag", `"own"`}}}, nil)
	for _, method := range []string{"GET", "HEAD"} {
		r := ask(t, addr, method+" /a.txt")
		want := map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "Content-Length": "7", "Last-Modified": oldDate, "ETag": `"own"`, "Accept-Ranges": "bytes",
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Vary": "", "Connection": "", "Transfer-Encoding": "",
		}
		for name, value := range want {
			if r.Header.Get(name) != value || r.Header.Count(name) > 1 {
				t.Errorf("%s: %s: %q, want %q", method, name, r.Header.Get(name), value)
			}
		}
		if d, ok := parseDate(r.Header.Get("Date")); !ok || time.Since(d).Abs() > time.Minute {
			t.Errorf("%s: Date: %q", method, r.Header.Get("Date"))
		}
	}
	addr = serveFiles(t, &Files{Root: root}, nil)
	for _, tt := range []struct{ target, body, vary string }{
		{"/a.txt", "content", ""}, {"/big.txt", longText, "Accept-Encoding"}, {"/noise.bin", string(noise), ""}, {"/empty", "", ""}, {"/p.png", string(noise[:5000]), ""},
	} {
		get, head := ask(t, addr, "GET "+tt.target), ask(t, addr, "HEAD "+tt.target)
		if get.body != tt.body || get.err != nil || get.Status != 200 || get.Header.Get("Vary") != tt.vary {
			t.Errorf("GET %s: %d, %d bytes, %v, Vary %q", tt.target, get.Status, len(get.body), get.err, get.Header.Get("Vary"))
		}
		get.Header.Del("Date")
		head.Header.Del("Date")
		if !slices.Equal(get.Header, head.Header) {
			t.Errorf("%s: GET %v, HEAD %v", tt.target, get.Header, head.Header)
		}
		if info, err := root.Stat(tt.target[1:]); err != nil || get.Header.Get("ETag") != fmt.Sprintf(`"%x-%x"`, old.UnixNano(), info.Size()) {
			t.Errorf("%s: ETag %s", tt.target, get.Header.Get("ETag"))
		}
	}
}

func gunzip(t *testing.T, s string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(s))
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return string(b)
}

// TestFilesGzip: who gets what compressed.
func TestFilesGzip(t *testing.T) { warmAndCold(t, testFilesGzip) }

var codings = []struct {
	start, accept string
	coded         bool
}{
	{"GET /big.txt", "gzip", true},
	{"GET /big.txt", "deflate, GZIP;q=0.5, br", true},
	{"GET /big.txt", "x-gzip", true},
	{"GET /big.txt", "*", true},
	{"GET /big.txt", "identity, gzip;q=1.0", true},
	{"GET /big.txt", "gzip ; Q = 0.001", true},
	{"GET /mid.html", "gzip", true},
	{"GET /x.svg", "gzip", true},
	{"HEAD /big.txt", "gzip", true},
	{"GET /big.txt", "", false},
	{"GET /big.txt", "gzip;q=0", false},
	{"GET /big.txt", "gzip;q=0.000, *", false},
	{"GET /big.txt", "*;q=0", false},
	{"GET /big.txt", "identity;q=1, gzip;q=0.5", false},
	{"GET /big.txt", "gzip;q=nan", false},
	{"GET /big.txt", "gzip;q=2", false},
	{"GET /big.txt", "gzip;q=0x1p-1", false},
	{"GET /big.txt", "gzip;q=1e-1", false},
	{"GET /big.txt", "gzip;level=9", false},
	{"GET /big.txt", "br, deflate", false},
	{"GET /big.txt HTTP/1.0", "gzip", false},
	{"GET /small.css", "gzip", false},
	{"GET /noise.bin", "gzip", false},
}

func testFilesGzip(t *testing.T) {
	root := plant(t, tree{"big.txt": longText, "mid.html": longText[:3000], "small.css": longText[:1399], "noise.bin": string(noise), "x.svg": longText[:1400]})
	addr := serveFiles(t, &Files{Root: root}, nil)
	for _, tt := range codings {
		r := ask(t, addr, tt.start, "Accept-Encoding: "+tt.accept)
		name, _, _ := strings.Cut(strings.Fields(tt.start)[1][1:], " ")
		want, err := root.ReadFile(name)
		must(t, err)
		coded := r.Header.Get("Content-Encoding") == "gzip"
		if coded != tt.coded || coded != strings.HasPrefix(r.Header.Get("ETag"), `W/"`) || coded == r.Header.Has("Content-Length") || coded == r.Header.Has("Accept-Ranges") {
			t.Errorf("%s, Accept-Encoding %q: %v, want coded %v", tt.start, tt.accept, r.Header, tt.coded)
			continue
		}
		if strings.HasPrefix(tt.start, "HEAD") {
			continue
		}
		if coded {
			if len(r.body) >= len(want) || r.Header.Get("Transfer-Encoding") != "chunked" {
				t.Errorf("%s: %d bytes of %d, %v", tt.start, len(r.body), len(want), r.Header)
			}
			r.body = gunzip(t, r.body)
		}
		if r.body != string(want) || r.err != nil {
			t.Errorf("%s, Accept-Encoding %q: %d bytes, %v; want %d", tt.start, tt.accept, len(r.body), r.err, len(want))
		}
	}
	off := serveFiles(t, &Files{Root: root, NoGzip: true}, nil)
	if r := ask(t, off, "GET /big.txt", "Accept-Encoding: gzip"); r.body != longText || r.Header.Has("Vary") {
		t.Errorf("NoGzip: %v", r.Header)
	}
	// A range is of the file as it is, and the coded one's tag does not stand for it.
	coded := ask(t, addr, "HEAD /big.txt", "Accept-Encoding: gzip").Header.Get("ETag")
	if r := ask(t, addr, "GET /big.txt", "Accept-Encoding: gzip", "Range: bytes=0-9"); r.Status != 206 || r.body != longText[:10] || r.Header.Has("Content-Encoding") {
		t.Errorf("range: %d %q", r.Status, r.body)
	}
	if r := ask(t, addr, "GET /big.txt", "Accept-Encoding: gzip", "Range: bytes=0-9", "If-Range: "+coded); r.Status != 200 || gunzip(t, r.body) != longText {
		t.Errorf("If-Range with the weak tag: %d", r.Status)
	}
	if r := ask(t, addr, "GET /big.txt", "Accept-Encoding: gzip", "If-None-Match: "+coded); r.Status != 304 || r.Header.Get("ETag") != coded || r.Header.Has("Content-Encoding") {
		t.Errorf("If-None-Match with the weak tag: %d %v", r.Status, r.Header)
	}
	// Where too many are compressed at once it goes out as it is.
	gzips.Add(maxGzips)
	if r := ask(t, addr, "GET /big.txt", "Accept-Encoding: gzip"); r.body != longText || r.Header.Has("Content-Encoding") {
		t.Errorf("too many: %v", r.Header)
	}
	if gzips.Add(-maxGzips) != 0 {
		t.Error("answers that were compressed are still counted")
	}
}

// TestFilesSpecial: SF15, SF27: what is no file is not opened, and nothing waits.
func TestFilesSpecial(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no FIFOs")
	}
	root := plant(t, tree{"dir/a.txt": "a", "kept.txt": "kept"})
	dir := root.Name()
	must(t, mkfifo(filepath.Join(dir, "fifo")))
	must(t, mkfifo(filepath.Join(dir, "dir", "index.html")))
	ln, err := net.Listen("unix", filepath.Join(dir, "sock"))
	must(t, err)
	defer ln.Close()
	addr := serveFiles(t, &Files{Root: root}, nil)
	for target, status := range map[string]int{"/fifo": 403, "/sock": 403, "/fifo/": 404, "/dir/index.html": 403, "/dir/": 200} {
		if r := ask(t, addr, "GET "+target); r.Status != status {
			t.Errorf("GET %s: %d, want %d", target, r.Status, status)
		}
	}
	if list := ask(t, addr, "GET /").body; strings.Contains(list, "fifo") || strings.Contains(list, "sock") {
		t.Errorf("the list shows what cannot be had: %s", list)
	}
	must(t, os.Rename(dir, dir+"-moved"))
	if r := ask(t, addr, "GET /dir/a.txt"); r.body != "a" {
		t.Errorf("after the directory was renamed: %d %q", r.Status, r.body)
	}
	must(t, os.RemoveAll(dir+"-moved"))
	for _, target := range []string{"/dir/a.txt", "/kept.txt"} {
		if r := ask(t, addr, "GET "+target); r.Status != 404 {
			t.Errorf("GET %s after the directory was removed: %d, want 404", target, r.Status)
		}
	}
}

// TestStatusOf: SF26.
func TestStatusOf(t *testing.T) {
	for err, want := range map[error]int{
		syscall.EACCES: 403, syscall.EPERM: 403, syscall.EMFILE: 503, syscall.ENFILE: 503, syscall.ENOMEM: 503, syscall.ENOENT: 404,
		syscall.ENOTDIR: 404, syscall.ELOOP: 404, syscall.ENAMETOOLONG: 404, syscall.EIO: 500, errors.New("path escapes from parent"): 404,
	} {
		if got := statusOf(&fs.PathError{Op: "open", Path: "x", Err: err}); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	converse(t, &Server{Handler: func(x *Exchange) { new(Files).Refuse(x, 503) }}, func(k *conversation) {
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n" +
			"Retry-After: 1\r\nContent-Length: 20\r\n\r\nService Unavailable\n")
	})
}

// TestFilesChange: SF24, SF25: a file changes while it is sent.
func TestFilesChange(t *testing.T) {
	const size = 64 << 20 // more than sockets hold
	root := plant(t, tree{"shrinks.bin": "", "grows.bin": "", "goes.bin": "", "shrinks.txt": ""})
	logged := make(chan error, 8)
	addr := serveFiles(t, &Files{Root: root}, func(err error) { logged <- err })
	for _, tt := range []struct {
		name, accept string
		change       func(path string) error
		whole        bool
	}{
		{"shrinks.bin", "", func(path string) error { return os.Truncate(path, 1<<20) }, false},
		{"shrinks.txt", "gzip", func(path string) error { return os.Truncate(path, 1<<20) }, false},
		{"grows.bin", "", func(path string) error { return os.Truncate(path, size+1000) }, true},
		{"goes.bin", "", os.Remove, true},
	} {
		path := filepath.Join(root.Name(), tt.name)
		must(t, os.Truncate(path, size)) // a hole: no disk is written
		if tt.accept != "" {             // zeros would be one packet
			must(t, os.WriteFile(path, bytes.Repeat(noise, 100), 0o644))
		}
		c := dial(t, addr)
		c.SetReadBuffer(64 << 10)
		io.WriteString(c, "GET /"+tt.name+" HTTP/1.1\r\nHost: a\r\nAccept-Encoding: "+tt.accept+"\r\n\r\n")
		r, err := ReadResponse(bufio.NewReader(c), "GET", ClientLimits)
		must(t, err)
		must(t, tt.change(path))
		n, err := io.Copy(io.Discard, r.Body)
		if tt.whole && (n != size || err != nil) {
			t.Errorf("%s: %d bytes, %v; want %d", tt.name, n, err, size)
		}
		if !tt.whole {
			if err == nil || n >= size {
				t.Errorf("%s: %d bytes and no error", tt.name, n)
			}
			if err := next(t, logged); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: logged %v", tt.name, err)
			}
		}
		c.Close()
	}
	if len(logged) > 0 {
		t.Errorf("logged as well: %v", <-logged)
	}
}

// TestFilesFresh: whatever is done to a small file shows in the next answer.
func TestFilesFresh(t *testing.T) {
	f := &Files{Root: plant(t, tree{"a.txt": "one", "b/c.txt": "see", "d/c.txt": "sea", "link": "-> a.txt"})}
	addr := serveFiles(t, f, nil)
	path := func(name string) string { return filepath.Join(f.Root.Name(), name) }
	for _, name := range []string{"a.txt", "b/c.txt", "link"} { // as if all were old
		info, err := f.Root.Stat(name)
		must(t, err)
		if mark, ok := stampOf(info); ok {
			file, err := f.Root.Open(name)
			must(t, err)
			f.remember(represent(name, info), mark, file)
			file.Close()
		}
	}
	want := func(after, name, body string, status int) {
		t.Helper()
		for range 2 {
			if r := ask(t, addr, "GET /"+name); r.Status != status || status == 200 && r.body != body {
				t.Errorf("%s: %s is %d %q, want %d %q", after, name, r.Status, r.body, status, body)
			}
		}
	}
	want("at first", "a.txt", "one", 200)
	want("at first", "link", "one", 200)
	must(t, os.WriteFile(path("a.txt"), []byte("two"), 0o644))
	must(t, os.Chtimes(path("a.txt"), old, old))
	want("after the same size and time", "a.txt", "two", 200)
	want("after the same size and time", "link", "two", 200)
	must(t, os.WriteFile(path("new"), []byte("3.."), 0o644))
	must(t, os.Chtimes(path("new"), old, old))
	must(t, os.Rename(path("new"), path("a.txt")))
	want("after a rename over it", "a.txt", "3..", 200)
	must(t, os.Rename(path("b"), path("e")))
	must(t, os.Rename(path("d"), path("b")))
	want("after its directory was another", "b/c.txt", "sea", 200)
	must(t, os.Remove(path("a.txt")))
	want("after it was removed", "a.txt", "", 404)
	want("after it was removed", "link", "", 404)
	must(t, os.Symlink("../secret", path("a.txt")))
	want("after it was a link to the outside", "a.txt", "", 404)
	must(t, os.Remove(path("link")))
	must(t, os.Mkdir(path("link"), 0o755))
	want("after it was a directory", "link", "", 301)
}

// TestFileCache: what is kept, and how much of it.
func TestFileCache(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		written, changed time.Duration // ago
		want             bool
	}{
		{time.Hour, time.Hour, true}, {time.Hour, time.Second, false}, {time.Second, time.Hour, false}, {-time.Hour, time.Hour, false}, {3 * time.Second, 3 * time.Second, true},
	} {
		s := stamp{written: now.Add(-tt.written).UnixNano(), changed: now.Add(-tt.changed).UnixNano()}
		if got := s.settled(now); got != tt.want {
			t.Errorf("written %v, changed %v ago: settled = %v, want %v", tt.written, tt.changed, got, tt.want)
		}
	}
	var c fileCache
	if c.get("a", stamp{}) != nil {
		t.Error("the empty cache has something")
	}
	for i := range 3 * cacheFiles {
		c.put(&representation{name: strconv.Itoa(i)}, stamp{inode: uint64(i)})
		if got := c.get(strconv.Itoa(i), stamp{inode: uint64(i)}); got == nil || got.name != strconv.Itoa(i) {
			t.Fatalf("%d is not kept", i)
		}
		if c.get(strconv.Itoa(i), stamp{inode: uint64(i), size: 1}) != nil {
			t.Fatal("another stamp is no matter")
		}
	}
	if len(c.files) != cacheFiles {
		t.Errorf("%d files are kept, want %d", len(c.files), cacheFiles)
	}
	// A file that gets shorter before it was read is not kept.
	f := &Files{Root: plant(t, tree{"a": "abc"})}
	file, err := f.Root.Open("a")
	must(t, err)
	defer file.Close()
	if f.remember(&representation{name: "a", size: 4}, stamp{}, file); len(f.cache.files) != 0 {
		t.Error("a file that is too short is kept")
	}
}

// TestFilesRace: many ask while a name changes between file, link to the outside,
// FIFO and nothing; nobody gets the secret, or an answer that is not one of these.
func TestFilesRace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no FIFOs")
	}
	f := &Files{Root: plant(t, tree{"d/x": "inside", "keep": "inside"})}
	addr := serveFiles(t, f, nil)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		path := filepath.Join(f.Root.Name(), "d")
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			os.Rename(path, path+"-")
			os.Symlink("../..", path)
			os.Remove(path)
			os.Rename(path+"-", path)
			x := filepath.Join(path, "x")
			os.Rename(x, x+"-")
			switch i % 3 {
			case 0:
				os.Symlink("../../secret", x)
			case 1:
				mkfifo(x)
			}
			os.Remove(x)
			os.Rename(x+"-", x)
		}
	})
	for range 300 {
		for _, target := range []string{"/d/x", "/d/secret", "/d/"} {
			r := ask(t, addr, "GET "+target)
			if strings.Contains(r.body, secret) || r.Status == 200 && target == "/d/x" && r.body != "inside" || !slices.Contains([]int{200, 403, 404}, r.Status) {
				t.Fatalf("GET %s: %d %q", target, r.Status, r.body)
			}
		}
	}
	close(stop)
	all.Wait()
}

// FuzzFileName: what a path stands for lies inside, has no dot name unless asked
// for, and is what an escaped form of it stands for again.
func FuzzFileName(f *testing.F) {
	for name := range paths {
		f.Add("/" + name)
		f.Add(string(appendEscapedPath([]byte("/"), name)))
	}
	for _, path := range []string{"/..", "/%2e%2e/a", "/a/../..", "/..;/", "//", "/a/", "/%5c", "/%00", "/con", "/a%2fb", "/%252e", "", "a", "/./", "/%"} {
		f.Add(path)
	}
	root := plant(f, paths)
	f.Fuzz(func(t *testing.T, path string) {
		if name, _, err := FileName(path, false); err == nil {
			if b, err := root.ReadFile(name); err == nil && (string(b) == secret || string(b) == "hidden") {
				t.Fatalf("%q, as %q, leads to %q", path, name, b)
			}
		}
		for _, dotfiles := range []bool{false, true} {
			name, dir, err := FileName(path, dotfiles)
			if err != nil {
				if e, ok := errors.AsType[*Error](err); !ok || e.Status != 400 && e.Status != 404 {
					t.Fatalf("FileName(%q): %v", path, err)
				}
				continue
			}
			if !fs.ValidPath(name) && strings.ToValidUTF8(name, "") == name || strings.ContainsAny(name, "\\\x00") {
				t.Fatalf("FileName(%q) = %q", path, name)
			}
			for element := range strings.SplitSeq(name, "/") {
				if element == "" || element == ".." || element[0] == '.' && name != "." && !dotfiles && element != ".well-known" {
					t.Fatalf("FileName(%q, %v) = %q", path, dotfiles, name)
				}
			}
			if name == "." {
				continue
			}
			escaped := string(appendEscapedPath([]byte("/"), name))
			if dir {
				escaped += "/"
			}
			again, dirAgain, err := FileName(escaped, dotfiles)
			if again != name || dirAgain != dir || err != nil {
				t.Fatalf("FileName(%q) = %q, %v; FileName(%q) = %q, %v, %v", path, name, dir, escaped, again, dirAgain, err)
			}
			if !validTarget("GET", escaped) || strings.HasPrefix(escaped, "//") {
				t.Fatalf("%q is no target", escaped)
			}
		}
	})
}

func TestContentType(t *testing.T) {
	for name, want := range map[string]string{
		"a.html": "text/html; charset=utf-8", "A.HTM": "text/html; charset=utf-8", "a.js": "text/javascript; charset=utf-8", "a.json": "application/json",
		"x/y.z/README": plain, "Makefile": plain, "a.tar.gz": "application/gzip", "a.png": "image/png", "a": octets, "a.": octets, "a.unknown": octets,
		"a.b c": octets, "a.htm shtml": octets, "favicon.ico": "image/x-icon", "a.wasm": "application/wasm", "a.go": plain, "x.svg": "image/svg+xml",
	} {
		if got, _ := contentType(name); got != want {
			t.Errorf("contentType(%q) = %q, want %q", name, got, want)
		}
	}
	seen := map[string]string{}
	for _, tt := range contentTypes {
		if !strings.HasPrefix(tt.extensions, " ") || !strings.HasSuffix(tt.extensions, " ") {
			t.Errorf("%s: %q", tt.contentType, tt.extensions)
		}
		for ext := range strings.FieldsSeq(tt.extensions) {
			if seen[ext] != "" || ext != strings.ToLower(ext) {
				t.Errorf("%s is %s and %s", ext, seen[ext], tt.contentType)
			}
			seen[ext] = tt.contentType
		}
	}
}

// A reluctant client takes bytes of a file at a steady pace from some time on and
// until another.
type reluctant struct {
	net.Conn
	pace        int64 // bytes in a second
	from, until time.Duration
	start, by   time.Time
}

func (c *reluctant) SetWriteDeadline(t time.Time) error { c.by = t; return nil }

func (c *reluctant) ReadFrom(r io.Reader) (n int64, err error) {
	for err == nil {
		if at := time.Since(c.start); c.from <= at && at < c.until {
			var m int64
			m, err = io.CopyN(io.Discard, r, c.pace/10)
			n += m
			if err == io.EOF {
				return n, nil
			}
		}
		if time.Sleep(min(100*time.Millisecond, time.Until(c.by))); !time.Now().Before(c.by) {
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, err
}

// TestSlowFile: who takes writePiece in WriteTimeout gets a large file whole; who
// stalls is left soon after that.
func TestSlowFile(t *testing.T) {
	const size = 300_000
	root := plant(t, tree{"a": string(noise[:size])})
	for _, tt := range []struct {
		name        string
		pace        int64
		from, until time.Duration
		ends, late  time.Duration // after so long, or up to so much later
		whole       bool
	}{
		{"fast", 10_000_000, 0, time.Hour, 0, time.Second, true},
		{"as slow as may be", 9_000, 0, time.Hour, 32 * time.Second, 2 * time.Second, true},
		{"too slow", 5_000, 0, time.Hour, 30 * time.Second, 0, false},
		{"never", 1, time.Hour, time.Hour, 30 * time.Second, 0, false},
		{"after a pause", 100_000, 25 * time.Second, time.Hour, 27 * time.Second, time.Second + time.Second/2, true},
		{"after too long a pause", 100_000, 31 * time.Second, time.Hour, 30 * time.Second, 0, false},
		{"until it stalls", 270_000, 0, time.Second, 31 * time.Second, 4 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			file, err := root.Open("a")
			must(t, err)
			defer file.Close()
			end, other := net.Pipe()
			defer end.Close()
			defer other.Close()
			c := newConn(new(Server), &reluctant{Conn: end, pace: tt.pace, from: tt.from, until: tt.until, start: time.Now()})
			start := time.Now()
			sent, err := c.copyFile(file, size)
			took := time.Since(start)
			if (sent == size && err == nil) != tt.whole || !tt.whole && !errors.Is(err, os.ErrDeadlineExceeded) || took < tt.ends || took > tt.ends+tt.late {
				t.Errorf("%s: %d bytes, %v, after %v; want whole: %v, after %v", tt.name, sent, err, took, tt.whole, tt.ends)
			}
		})
	}
}

package curl

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"socketsrv/internal/mode/echo"
	"socketsrv/internal/tlsconf"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testEnv is an Env whose streams are buffers.
func testEnv() (env *cli.Env, stdout, stderr *bytes.Buffer) {
	env = cli.System()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	env.Stdin, env.Stdout, env.Stderr = strings.NewReader(""), stdout, stderr
	env.TTYIn, env.TTYOut, env.TTYErr = nil, nil, nil
	env.Getenv = func(string) string { return "" }
	return env, stdout, stderr
}

func do(t *testing.T, env *cli.Env, args ...string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	return cli.Table{Mode}.Run(ctx, append([]string{"curl"}, args...), env)
}

var misuses = []struct{ line, want string }{
	{"", "no URL"},
	{"-s", "no URL"},
	{"--nosuch u", `unknown flag "--nosuch"`},
	{"--compresed u", "did you mean -compressed"},
	{"--ntlm u", `"--ntlm" is a flag of curl's that is not supported here`},
	{"-sSl u", `"-l" (--list-only) is a flag of curl's that is not supported here`},
	{"-sS^ u", `unknown flag "-sS^"`},
	{"--variable u", "not supported"},
	{"-o", "-o needs a value"},
	{"-X", "needs a value"},
	{"-m x u", "want a duration"},
	{"-m -1 u", "want a duration"},
	{"--retry x u", "want a number"},
	{"--retry -1 u", "want a number"},
	{"--max-redirs -2 u", "want a number"},
	{"-r x u", "want bytes"},
	{"-C x u", "want a number of bytes"},
	{"-u user u", "want USER:PASSWORD"},
	{"-I -d x u", "only one kind of request"},
	{"-F a=b -T f u", "only one kind of request"},
	{"-C 1 -r 0-1 u", "-C and -r exclude each other"},
	{"-F x u", "want NAME=VALUE"},
	{"-F x=y;z u", "want ;type=, ;filename=, ;headers= or ;encoder="},
	{"-F 'f=x;type=a\nb' u", "no control characters in the type and the headers"},
	{"-H 'A: b\r\nX: y' u", "want 'Name: value', without control characters"},
	{"-H 'A\n: b' u", "without control characters"},
	{"-H 'a b: c' u", "want 'Name: value'"},
	{"-H @missing u", "no such file"},
	{"-X 'GET /x HTTP/1.1\r\n' u", "want a word"},
	{"-A 'a\nb' u", "no control characters"},
	{"-e 'a\r\nb' u", "no control characters"},
	{"-b 'a=b\n' u", "no control characters"},
	{"-u 'a:b\n' u", "no control characters"},
	{"--oauth2-bearer 'a\n' u", "no control characters"},
	{"--request-target 'a b' u", "invalid request-target"},
	{"--limit-rate x u", "want a size"},
	{"--max-filesize -1 u", "want a size"},
	{"--tls-max 9 u", "want 1.2, 1.3"},
	{"--key k u", "-key needs -cert"},
	{"--pin x u", "want sha256:"},
}

// TestMisuse: one line that says what was wrong, nothing sent, nothing on
// stdout.
func TestMisuse(t *testing.T) {
	for _, tt := range misuses {
		if !tlsconf.Available && (strings.Contains(tt.line, "--key") || strings.Contains(tt.line, "--pin")) {
			continue
		}
		env, stdout, stderr := testEnv()
		env.Dial = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("curl %q dials", tt.line)
			return nil, errors.New("no")
		}
		exit := do(t, env, shellWords(tt.line)...)
		lines := strings.Count(stderr.String(), "\n")
		if exit != 2 || !strings.Contains(stderr.String(), tt.want) || lines != 2 || stdout.Len() > 0 || stderr.Len() > 1<<10 {
			t.Errorf("curl %q: exit %d, stdout %q, stderr %q; want 2, %q and where help is", tt.line, exit, stdout, stderr, tt.want)
		}
	}
}

// TestCompressRequest: the data goes out in gzip, of stdin too, and says so.
func TestCompressRequest(t *testing.T) {
	var got []byte
	var kind string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind = r.Header.Get("Content-Encoding")
		got = nil
		if z, err := gzip.NewReader(r.Body); err == nil {
			got, _ = io.ReadAll(z)
		}
	}))
	defer server.Close()
	for _, tt := range []struct{ flags, want string }{
		{"-d a=b -d c", "a=b&c"}, {"--data-binary @-", "from stdin"}, {`--json '{"a":1}'`, `{"a":1}`},
	} {
		env, _, stderr := testEnv()
		env.Stdin = strings.NewReader("from stdin")
		exit := do(t, env, append(shellWords(tt.flags), "-sS", "--compress_request", server.URL)...)
		if exit != 0 || kind != "gzip" || string(got) != tt.want {
			t.Errorf("%s: exit %d, %s, got %q of kind %q; want %q", tt.flags, exit, stderr, got, kind, tt.want)
		}
	}
}

var hardening = []struct {
	id, line string
	exit     int
	out      string
}{
	{"HC08", "-s -o out $U/short", 18, ""},
	{"HC10", "-s $U/short", 18, "half\n"},
	{"HC11", "-s $U/both", 8, ""},
	{"HC12 two", "-s $U/two-lengths", 8, ""},
	{"HC12 negative", "-s $U/negative", 8, ""},
	{"HC13 size", "-s $U/bad-chunk", 56, ""},
	{"HC13 inside", "-s $U/short-chunk", 18, "half\n"},
	{"HC13 last", "-s $U/no-last", 18, "half\n"},
	{"HC14 0.9", "-s $U/http09", 1, ""},
	{"HC14 2xx", "-s $U/bad-version", 8, ""},
	{"HC14 99", "-s $U/status-99", 8, ""},
	{"HC14 1000", "-s $U/status-1000", 8, ""},
	{"HC15", "-s $U/no-reason", 0, "ok\n"},
	{"HC16", "-s $U/many-continue", 8, ""},
	{"HC17", "-s $U/switch", 8, ""},
	{"HC18 wide", "-s $U/wide", 56, ""},
	{"HC18 many", "-s $U/many", 56, ""},
	{"HC19", "-s $U/nothing", 52, ""},
	{"HC20 204", "-s $U/empty $U/ok", 0, "ok\n"},
	{"HC20 HEAD", "-s -I $U/body-of-head", 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
	{"HC21", "-s --compressed $U/bad-gzip", 61, ""},
	{"HC23", "-s --compressed $U/two-types", 61, ""},
	{"HC24", "-s --compressed --max-filesize 1000000 $U/bomb -o out", 63, ""},
	{"HC27 file", "-sL $U/to-file", 1, ""},
	{"HC27 ftp", "-sL $U/to-ftp", 1, ""},
	{"HC27 gopher", "-sL $U/location/?gopher://127.0.0.1/x", 1, ""},
	{"HC27 ws", "-sL $U/location/?ws://127.0.0.1/x", 1, ""},
	{"HC27 script", "-sL $U/location/?javascript:x", 1, ""},
	{"HC29", "-sL $U/loop", 47, ""},
	{"HC30 blank", "-sL '$U/location/?/a%20b'", 0, "page /a b\n"},
	{"HC30 missing", "-sL $U/nowhere", 0, "no location\n"},
	{"HC30 user", "-sL $U/location/?http://u:p@$A/auth", 0, "who?\n"},
	{"HC30 bad", "-sL $U/location/?http://[::1", 3, ""},
	{"HC31 301", "-sL -d x $U/redirect/301", 0, "ok\n"},
	{"HC31 away", "-sL -d x $U/away/307", 1, ""},
	{"HC31 trusted", "-sL --location-trusted -d x $U/away/307", 0, "ok\n"},
	{"HC33 blank", "-s 'http://h/a b'", 3, ""},
	{"HC33 CRLF", "-s 'http://h/\r\nX: y'", 3, ""},
	{"HC33 users", "-s http://a@b@c/", 3, ""},
	{"HC33 port", "-s http://h:99999/", 3, ""},
	{"HC33 bracket", "-s http://[::1", 3, ""},
	{"HC33 ports", "-s http://h:80:90/", 3, ""},
	{"HC34 short", "-s http://127.1/", 3, ""},
	{"HC34 hex", "-s http://0x7f.1/", 3, ""},
	{"HC34 number", "-s http://2130706433/", 3, ""},
	{"HC36 refused", "-s http://127.0.0.1:1/", 7, ""},
	{"HC40", "-s $U/chunked", 0, "abcdef\n"},
	{"HC43", "-s -f --data-binary @big-file $U/no-body", 22, ""},
	{"HC44", "-s --data-binary @big-file --expect100-timeout 0.05 $U/deaf", 0, "deaf\n"},
}

// TestHardening: what servers do to a client, from hardening-cases; exit is
// what must come of it, out what of the body may be seen.
func TestHardening(t *testing.T) {
	s := newLabServer(t)
	for _, tt := range hardening {
		r := runLine(t, s, tt.line, "")
		if r.exit != tt.exit || r.stdout != tt.out || len(r.files) > 0 {
			t.Errorf("%s: curl %s: exit %d, %q, files %q; want %d, %q, none; %q", tt.id, tt.line, r.exit, r.stdout, r.files, tt.exit, tt.out, r.stderr)
		}
	}
}

// TestSecrets: what is meant for one server goes to no other, and is not shown.
func TestSecrets(t *testing.T) {
	s := newLabServer(t)
	for _, tt := range []struct {
		line  string
		leaks bool
	}{
		{"-sL -u u:p $U/away/302", false},
		{"-sL -H 'Authorization: s3cret' $U/away/302", false},
		{"-sL -H 'Cookie: s3cret=1' $U/away/302", false},
		{"-sL -b s3cret=1 $U/away/302", false},
		{"-sL -H 'X-Api-Key: s3cret' $U/away/302", false},
		{"-sL -H 'X-Vault-Token: s3cret' $U/away/302", false},
		{"-sL -H 'X-My-Secret: s3cret' $U/away/302", false},
		{"-sL --oauth2-bearer s3cret $U/away/302", false},
		{"-sL -H 'X-Other: s3cret' $U/away/302", true},
		{"-sL --location-trusted -H 'X-Api-Key: s3cret' $U/away/302", true},
		{"-sL --location-trusted -b s3cret=1 $U/away/302", true},
		{"-sL -H 'X-Api-Key: s3cret' $U/redirect/302", true},
	} {
		r := runLine(t, s, tt.line, "")
		last := r.requests[len(r.requests)-1]
		leaks := strings.Contains(last, "s3cret") || strings.Contains(last, "dTpw")
		if len(r.requests) != 2 || leaks != tt.leaks {
			t.Errorf("curl %s: %q; want the secret there: %v", tt.line, r.requests, tt.leaks)
		}
	}
	line := "-v -u s3cret:p -b s3cret=2 -H 'X-Token: s3cret' $U/cookies"
	if r := runLine(t, s, line, ""); strings.Contains(r.stderr, "s3cret") || strings.Contains(r.stderr, "czNjcmV0") || strings.Contains(r.stderr, "a=1") ||
		!strings.Contains(r.stderr, "> Authorization: ***\n") || !strings.Contains(r.stderr, "< Set-Cookie: ***\n") {
		t.Errorf("curl %s shows %s", line, r.stderr)
	}
	if r := runLine(t, s, "--show-secrets "+line, ""); !strings.Contains(r.stderr, "> X-Token: s3cret\n") || !strings.Contains(r.stderr, "< Set-Cookie: a=1; Path=/\n") {
		t.Errorf("curl --show-secrets %s shows %s", line, r.stderr)
	}
}

func TestVerbose(t *testing.T) {
	s := newLabServer(t)
	r := runLine(t, s, "-v -d ab $U/ok", "")
	want := "*   Trying http...\n* Connected to 127.0.0.1 (127.0.0.1) port PORT\n> POST /ok HTTP/1.1\n> Host: http\n> User-Agent: socketsrv-curl/1\n> Accept: */*\n" +
		"> Content-Length: 2\n> Content-Type: application/x-www-form-urlencoded\n> \n< HTTP/1.1 200 OK\n< Content-Length: 3\n< \n" +
		"Upload size: 2\nDownload size: 3\nStatus: 200\n"
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.http, "http://"))
	if got := strings.Replace(r.stderr, "port "+port, "port PORT", 1); got != want {
		t.Errorf("-v shows\n%s\nwant\n%s", got, want)
	}
}

// TestNames: -J writes under no other name than a plain one, and over nothing.
func TestNames(t *testing.T) {
	for _, tt := range []struct{ field, name string }{
		{`attachment; filename="../../evil1"`, "evil1"},
		{`attachment; filename=/tmp/evil2`, "evil2"},
		{`attachment; filename="..\\..\\evil3"`, "evil3"},
		{`attachment; filename="a;b.txt"`, "a;b.txt"},
		{`attachment; filename="a\"b"`, `a"b`},
		{`attachment; filename=plain.txt; size=3`, "plain.txt"},
		{`attachment; filename="x.txt"; filename*=UTF-8''%c3%bc.txt`, "ü.txt"},
		{`attachment; filename*=UTF-8''%2e%2e%2fevil`, "evil"},
		{`attachment; filename*=KOI8-R''x; filename=y`, "y"},
		{`attachment; FileName = "z"`, "z"},
		{`inline`, ""},
		{``, ""},
		{`attachment; filename=".bashrc"`, "!"},
		{`attachment; filename="-rf"`, "!"},
		{`attachment; filename=".."`, "!"},
		{`attachment; filename=""`, "!"},
		{`attachment; filename="a/"`, "!"},
		{`attachment; filename="f:foo"`, "!"},
		{`attachment; filename="CON"`, "!"},
		{`attachment; filename="a.txt:ads"`, "!"},
		{`attachment; filename*=UTF-8''a%00b`, "!"},
		{`attachment; filename*=UTF-8''a%e2%80%aeb`, "!"},
		{`attachment; filename="` + strings.Repeat("x", 300) + `"`, "!"},
	} {
		name, err := serverFileName(httpmini.Header{{Name: "Content-Disposition", Value: tt.field}})
		if err != nil {
			name = "!"
		}
		if name != tt.name {
			t.Errorf("%s: %q (%v); want %q", tt.field, name, err, tt.name)
		}
	}
	s := newLabServer(t)
	labPages["/to-data"] = labText("200 OK", `Content-Disposition: attachment; filename="data"`, "other")
	defer delete(labPages, "/to-data")
	r := runLine(t, s, "-OJ $U/to-data", "")
	if r.exit != cli.ExitWrite || len(r.files) != 0 || !strings.Contains(r.stderr, "curl: (23)") {
		t.Errorf("-OJ over a file: exit %d, files %q, %q", r.exit, r.files, r.stderr)
	}
	if r := runLine(t, s, "-s --path-as-is -O $U/..", ""); r.exit != cli.ExitWrite || len(r.files) != 0 {
		t.Errorf("-O of ..: exit %d, files %q", r.exit, r.files)
	}
}

// TestFiles: what was there stays until all of the new is there, and is not
// taken for something else.
func TestFiles(t *testing.T) {
	s := newLabServer(t)
	dir := t.TempDir()
	curl := func(args ...string) int {
		t.Helper()
		env, _, _ := testEnv()
		return do(t, env, append([]string{"-s"}, args...)...)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("before"), 0o640); err != nil {
		t.Fatal(err)
	}
	if exit := curl("-o", old, s.http+"/short"); exit != cli.ExitPartial || read("old") != "before" {
		t.Errorf("cut short: exit %d, %q", exit, read("old"))
	}
	if exit := curl("-o", old, s.http+"/ok"); exit != 0 || read("old") != "ok\n" {
		t.Errorf("whole: exit %d, %q", exit, read("old"))
	}
	if info, err := os.Stat(old); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the mode became %v", info.Mode())
	}
	if runtime.GOOS != "windows" {
		link := filepath.Join(dir, "link")
		os.Symlink("old", link)
		exit := curl("-o", link, s.http+"/n/2")
		if to, _ := os.Readlink(link); exit != 0 || to != "old" || read("old") != "n=2\n" {
			t.Errorf("through a link: exit %d, link to %q, %q", exit, to, read("old"))
		}
		if exit := curl("-o", os.DevNull, s.http+"/ok"); exit != 0 {
			t.Errorf("to %s: exit %d", os.DevNull, exit)
		}
	}
	timed := filepath.Join(dir, "timed")
	curl("-R", "-o", timed, s.http+"/modified")
	if info, err := os.Stat(timed); err != nil || info.ModTime().UTC().Format(httpDate) != "Thu, 01 Jan 2015 00:00:00 GMT" {
		t.Errorf("-R: %v, %v", info, err)
	}
	if exit := curl("-C", "-", "-o", filepath.Join(dir, "part"), s.http+"/short"); exit != cli.ExitPartial || read("part") != "half\n" {
		t.Errorf("-C leaves no part to go on from: exit %d, %q", exit, read("part"))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestNowhere: names are looked up in a fake, for there may be no network.
func TestNowhere(t *testing.T) {
	env, _, stderr := testEnv()
	env.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for _, tt := range []struct {
		args string
		exit int
		want string
	}{
		{"http://nowhere.example/", 6, "curl: (6) Could not resolve host: nowhere.example\n"},
		{"-s http://nowhere.example/", 6, ""},
		{"-sS http://nowhere.example/", 6, "curl: (6) Could not resolve host: nowhere.example\n"},
		{"-x nowhere.example:1 http://h.example/", 5, "curl: (5) Could not resolve proxy: nowhere.example\n"},
		{"--socks5 nowhere.example:1 http://h.example/", 5, "curl: (5) Could not resolve proxy: nowhere.example\n"},
	} {
		stderr.Reset()
		if exit := do(t, env, strings.Fields(tt.args)...); exit != tt.exit || stderr.String() != tt.want {
			t.Errorf("curl %s: exit %d, %q; want %d, %q", tt.args, exit, stderr, tt.exit, tt.want)
		}
	}
}

// TestCut: a signal ends it with 130, and leaves nothing.
func TestCut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	env, _, stderr := testEnv()
	signals := make(chan os.Signal, 1)
	env.Signals = signals
	env.Exit = func(int) {}
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		io.ReadFull(nc, make([]byte, 16))
		fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 300_000))
		signals <- syscall.SIGINT
		io.Copy(io.Discard, nc)
	}()
	exit := do(t, env, "-o", filepath.Join(dir, "out"), "http://"+ln.Addr().String()+"/")
	left, _ := os.ReadDir(dir)
	if exit != 130 || len(left) > 0 || strings.Contains(stderr.String(), "curl:") {
		t.Errorf("exit %d, left %v, says %q; want 130 and nothing", exit, left, stderr)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestClosedStdout(t *testing.T) {
	s := newLabServer(t)
	env, _, stderr := testEnv()
	env.Stdout = closedPipe{}
	if exit := do(t, env, s.http+"/ok"); exit != cli.ExitWrite || strings.Contains(stderr.String(), "curl:") {
		t.Errorf("exit %d, %q; want 23 and no second word about it", exit, stderr)
	}
}

// TestTerminal: what could move a cursor is shown, not sent.
func TestTerminal(t *testing.T) {
	s := newLabServer(t)
	labPages["/esc"] = labText("200 OK", "", "a\x1b[2Jb\tc\r\nü\\n\u202e\u0085\xff\n")
	defer delete(labPages, "/esc")
	labPages["/esc-head"] = labText("200 OK", "X: \u009b2J\u202e", "ok\n")
	defer delete(labPages, "/esc-head")
	labPages["/esc-cookie"] = labText("200 OK", "Set-Cookie: a=\u009b2J", "ok\n")
	defer delete(labPages, "/esc-cookie")
	for _, tt := range []struct {
		args []string
		exit int
		out  string
	}{
		{[]string{"-s", s.http + "/esc"}, 0, "a\\x1b[2Jb\tc\r\nü\\n\\u202e\\u0085\\xff\n"},
		{[]string{"-s", "--raw", s.http + "/esc"}, 0, "a\x1b[2Jb\tc\r\nü\\n\u202e\u0085\xff\n"},
		{[]string{"-s", "-o", "/dev/stdout", s.http + "/ok"}, 0, "ok\n"},
		{[]string{"-s", "-D", "/dev/stdout", "-o", os.DevNull, s.http + "/ok"}, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
		{[]string{"-s", "-o", "-", s.http + "/esc"}, 0, "a\x1b[2Jb\tc\r\nü\\n\u202e\u0085\xff\n"},
		{[]string{"-s", "-D-", "-o", os.DevNull, s.http + "/esc-head"}, 0, "HTTP/1.1 200 OK\r\nX: \\u009b2J\\u202e\r\nContent-Length: 3\r\n\r\n"},
		{[]string{"-s", "-o", os.DevNull, "-w", "\u009b%header{x}", s.http + "/esc-head"}, 0, "\u009b\\u009b2J\\u202e"},
		{[]string{"-s", "-o", os.DevNull, "-w", "%{header_json}", s.http + "/esc-head"}, 0, `{"x":["\u009b2J\u202e"],` + "\n" + `"content-length":["3"]` + "\n}"},
		{[]string{"-s", "-o", os.DevNull, "-c-", s.http + "/esc-cookie"}, 0, "# Netscape HTTP Cookie File\n# written by socketsrv\n\n127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t\\u009b2J\n"},
		{[]string{"-s", s.http + "/binary"}, 23, ""},
		{[]string{"-s", "-o", "-", s.http + "/binary"}, 0, "a\x00\x01\xff\r\nb"},
	} {
		env, stdout, _ := testEnv()
		env.TTYOut = os.Stdout
		if exit := do(t, env, tt.args...); exit != tt.exit || stdout.String() != tt.out {
			t.Errorf("curl %q: exit %d, %q; want %d, %q", tt.args, exit, stdout, tt.exit, tt.out)
		}
	}
	var b bytes.Buffer
	w := &ttyWriter{w: &b}
	for _, c := range []byte("ü€😀\xe2\x82") {
		w.Write([]byte{c})
	}
	w.flush()
	if b.String() != "ü€😀\\xe2\\x82" {
		t.Errorf("byte by byte: %q", b.String())
	}
}

// TestResend: a kept connection that the server gave up without a word is no
// failure, whatever the method.
func TestResend(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	requests := make(chan string, 10)
	serve := func(answers int) {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		br := bufio.NewReader(nc)
		for i := range answers + 1 {
			r, err := httpmini.ReadRequest(br, httpmini.Limits{})
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			requests <- r.Target + string(body)
			if i < answers {
				io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	}
	go func() {
		serve(1)
		serve(2)
	}()
	env, stdout, stderr := testEnv()
	u := "http://" + ln.Addr().String()
	if exit := do(t, env, "-sS", "-d", "tea", u+"/1", u+"/2"); exit != 0 || stdout.String() != "okok" {
		t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
	}
	close(requests)
	var got []string
	for r := range requests {
		got = append(got, r)
	}
	if want := []string{"/1tea", "/2tea", "/2tea"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0": 0, "-1": 0, "x": 0, "Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0, "99999999999": 0, "2147483000": 6 * time.Hour,
	} {
		if got := retryAfter(field, now); got != want {
			t.Errorf("Retry-After %q: %v; want %v", field, got, want)
		}
	}
	for _, tt := range []struct {
		flags  options
		exit   int
		status int
		want   string
	}{
		{options{}, 28, 0, ""},
		{options{retries: 1}, 28, 0, "timeout"},
		{options{retries: 1}, 6, 0, "timeout"},
		{options{retries: 1}, 0, 200, ""},
		{options{retries: 1}, 0, 404, ""},
		{options{retries: 1}, 0, 408, "HTTP error"},
		{options{retries: 1}, 0, 429, "HTTP error"},
		{options{retries: 1}, 22, 500, "HTTP error"},
		{options{retries: 1}, 22, 501, ""},
		{options{retries: 1}, 0, 504, "HTTP error"},
		{options{retries: 1}, 56, 0, ""},
		{options{retries: 1, retryAll: true}, 56, 0, "(retrying all errors)"},
		{options{retries: 1, retryAll: true}, 22, 404, "(retrying all errors)"},
	} {
		tr := &transfer{session: &session{env: cli.System()}, o: &tt.flags}
		var why *failure
		if tt.exit != 0 {
			why = &failure{code: tt.exit}
		}
		if tt.status != 0 {
			tr.response = &httpmini.Response{Status: tt.status}
		}
		if _, reason := tr.retryAfter(why, time.Second); reason != tt.want {
			t.Errorf("exit %d, status %d: %q; want %q", tt.exit, tt.status, reason, tt.want)
		}
	}
}

// TestRetries: what is repeated begins anew, and nothing that cannot be.
func TestRetries(t *testing.T) {
	s := newLabServer(t)
	for _, tt := range []struct {
		line  string
		exit  int
		out   string
		files string
		asked int
	}{
		{"$U/unsure/503/1", 0, "again\nat last\n", "", 2},
		{"-f $U/unsure/503/2", 0, "at last\n", "", 3},
		{"-f $U/unsure/503/9", 22, "", "", 3},
		{"-o out $U/unsure/503/1", 0, "", "out: at last\n", 2},
		{"-o out $U/unsure/503/9", 0, "", "out: again\n", 3},
		{"-T - $U/unsure/503/1", 0, "again\n", "", 1},
		{"-F f=@- $U/unsure/503/1", 0, "again\nat last\n", "", 2},
		{"-d a=b $U/unsure/429/1", 0, "again\nat last\n", "", 2},
		{"-T data $U/unsure/500/1", 0, "again\nat last\n", "", 2},
		{"$U/unsure/501/1", 0, "again\n", "", 1},
		{"$U/cut/", 18, "01234567", "", 1},
		{"--retry-all-errors -o out $U/cut/", 0, "", "out: 0123456789", 2},
		{"--retry-all-errors -C - -o part $U/cut/", 0, "", "part: 0123456789", 2},
		{"--retry-max-time 1ms $U/unsure/503/1", 0, "again\n", "", 1},
	} {
		r := runLine(t, s, "-s --retry 2 --retry-delay 10ms "+tt.line, "")
		if r.exit != tt.exit || r.stdout != tt.out || strings.Join(r.files, "|") != tt.files || len(r.requests) != tt.asked {
			t.Errorf("curl %s: exit %d, %q, files %q, %d requests; want %d, %q, %q, %d", tt.line, r.exit, r.stdout, r.files, len(r.requests), tt.exit, tt.out, tt.files, tt.asked)
		}
	}
	r := runLine(t, s, "--retry 1 --retry-delay 10ms -o out $U/unsure/503/1", "")
	if want := "Warning: Problem: HTTP error. Will retry in 10ms. 1 left.\n"; r.stderr != want {
		t.Errorf("says %q; want %q", r.stderr, want)
	}
}

func TestWriteOutJSON(t *testing.T) {
	s := newLabServer(t)
	env, stdout, _ := testEnv()
	do(t, env, "-s", "-o", os.DevNull, "-w", `%{json}\n%{header_json}`, s.http+"/type")
	decoder := json.NewDecoder(stdout)
	var all map[string]any
	var fields map[string][]string
	if err := errors.Join(decoder.Decode(&all), decoder.Decode(&fields)); err != nil {
		t.Fatal(err)
	}
	if all["response_code"] != 200.0 || all["content_type"] != "text/html; charset=utf-8" || all["errormsg"] != nil || len(all) < 30 {
		t.Errorf("%v", all)
	}
	if len(fields["x-two"]) != 2 || fields["server"][0] != "lab" {
		t.Errorf("%v", fields)
	}
	if got := toJSON("a\"\\\n\x7f\xffü"); got != "\"a\\\"\\\\\\n\x7f\\ufffdü\"" {
		t.Errorf("quoted: %s", got)
	}
}

// TestWebSocket talks to echo.
func TestWebSocket(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	table := cli.Table{echo.Mode}
	server := cli.StartInside(ctx, table, "-echo", "-port", "0", "-greet", "welcome")
	defer server.Stop()
	addr, err := server.Addr(ctx, "ws")
	if err != nil {
		t.Fatal(err)
	}
	client := cli.StartInside(ctx, cli.Table{Mode}, "-curl", "-s", "-d", "hello", "ws://"+addr+"/x")
	if _, err := client.Stdout.WaitFor(ctx, "^welcome\nhello\n$"); err != nil {
		t.Error(err)
	}
	// hw-16: a command line as browsers copy it; hw-51: standard input, a line a message.
	env, stdout, stderr := testEnv()
	env.Stdin = strings.NewReader("line one\nline two\n")
	exit := do(t, env, "-s", "-N", "-T.", "-G", "-d", "q=1", "ws://"+addr+"/x", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
		"-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "-H", "Sec-WebSocket-Version: 13")
	if want := "welcome\nline one\nline two\n"; exit != 0 || stdout.String() != want {
		t.Errorf("-T.: exit %d, %q, %q; want %q", exit, stdout, stderr, want)
	}
	server.Stop()
	if exit, err := client.Wait(ctx); exit != 0 || err != nil {
		t.Errorf("the server closes: exit %d, %v, %s", exit, err, client.Stderr)
	}
	server.Wait(ctx) // to stop it again before would cut it short
	s := newLabServer(t)
	env, stdout, stderr = testEnv()
	if exit := do(t, env, "ws"+strings.TrimPrefix(s.http, "http")+"/404"); exit != cli.ExitRefused || stderr.String() != "curl: (22) Refused WebSockets upgrade: 404\n" {
		t.Errorf("refused: exit %d, %q %q", exit, stdout, stderr)
	}
}

// TestSocks: a name goes to the proxy as it is.
func TestSocks(t *testing.T) {
	s := newLabServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asked := make(chan string, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		request := make([]byte, len("\x05\x01\x00\x03\x0bexample.org\x00\x50"))
		io.ReadFull(nc, request[:3])
		io.WriteString(nc, "\x05\x00")
		io.ReadFull(nc, request)
		asked <- string(request)
		io.WriteString(nc, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
		to, err := net.Dial("tcp", strings.TrimPrefix(s.http, "http://"))
		if err != nil {
			return
		}
		defer to.Close()
		go io.Copy(to, nc)
		io.Copy(nc, to)
	}()
	env, stdout, stderr := testEnv()
	exit := do(t, env, "-s", "--socks5-hostname", ln.Addr().String(), "http://example.org/ok")
	if got, want := <-asked, "\x05\x01\x00\x03\x0bexample.org\x00\x50"; exit != 0 || stdout.String() != "ok\n" || got != want {
		t.Errorf("exit %d, %q, %q; the proxy was asked %q; want %q", exit, stdout, stderr, got, want)
	}
}

// TestProxyVariables: the environment names proxies, -x "" none.
func TestProxyVariables(t *testing.T) {
	s := newLabServer(t)
	env, _, stderr := testEnv()
	env.Getenv = func(string) string { return "ftp://u:p@h" }
	want := "curl: (7) http_proxy in the environment: want a proxy of http, https, socks4, socks4a, socks5 or socks5h\n"
	if exit := do(t, env, "http://example.org/"); exit != cli.ExitConnect || stderr.String() != want {
		t.Errorf("exit %d, %q; want 7, %q", exit, stderr, want)
	}
	for _, tt := range []struct {
		args     []string
		variable string
		want     string
	}{
		{nil, "http_proxy", "GET http://example.org/ok HTTP/1.1\nHost: example.org\nUser-Agent: curl\nAccept: */*\nProxy-Connection: Keep-Alive\n\n"},
		{nil, "all_proxy", "GET http://example.org/ok HTTP/1.1\nHost: example.org\nUser-Agent: curl\nAccept: */*\nProxy-Connection: Keep-Alive\n\n"},
		{[]string{"-x", ""}, "http_proxy", "GET /ok HTTP/1.1\nHost: example.org\nUser-Agent: curl\nAccept: */*\n\n"},
		{[]string{"--noproxy", "example.org"}, "http_proxy", "GET /ok HTTP/1.1\nHost: example.org\nUser-Agent: curl\nAccept: */*\n\n"},
	} {
		env, _, stderr := testEnv()
		env.Getenv = func(name string) string {
			if name == tt.variable {
				return s.http
			}
			return ""
		}
		addr := strings.TrimPrefix(s.http, "http://")
		s.take()
		args := append(tt.args, "-s", "http://example.org/ok")
		if tt.args != nil { // without a proxy
			args = append(args, "--connect-to", "example.org:80:"+addr)
		}
		exit := do(t, env, args...)
		if got := s.take(); exit != 0 || len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s, %q: exit %d, %q, %q; want %q", tt.variable, tt.args, exit, got, stderr, tt.want)
		}
	}
}

// TestStandsStill: a body that does not come ends by -y and -Y, or by the time
// that it may stand still, and the meter is told of it all.
func TestStandsStill(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
		}
	}()
	for _, tt := range []struct{ flags, want string }{
		{"-Y 1000 -y 0.3", "Operation too slow. Less than 1000 bytes/sec transferred the last 0 seconds"},
		{"--stall-timeout 0.2", "bytes received"},
	} {
		env, stdout, stderr := testEnv()
		env.TTYErr = os.Stderr
		args := append(strings.Fields(tt.flags), "-o", filepath.Join(t.TempDir(), "out"), "http://"+ln.Addr().String()+"/")
		exit := do(t, env, args...)
		if exit != cli.ExitTimeout || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("curl %s: exit %d, %q, %q; want 28, %q", tt.flags, exit, stdout, stderr, tt.want)
		}
	}
}

func TestMeter(t *testing.T) {
	bar := &meter{t: &transfer{}}
	bar.t.toCome.Store(4)
	bar.t.got.Store(1)
	if got := bar.barLine(); !strings.HasPrefix(got, "\r##") || !strings.HasSuffix(got, "  25%") {
		t.Errorf("the bar: %q", got)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tr := &transfer{o: &options{speedLimit: 1000, speedTime: 2 * time.Second}}
	tr.toCome.Store(4 << 20)
	tr.got.Store(1 << 20)
	m := &meter{t: tr, begun: now}
	if got, want := m.line(now.Add(2*time.Second)), "\r 25  4.0M   25  1.0M    0     0 512.0k      0  0:00:08  0:00:02  0:00:06      0"; got != want {
		t.Errorf("%q\n%q", got, want)
	}
	m.draw(now)
	for i, slow := range []bool{false, false, true} {
		at := now.Add(time.Duration(i+1) * time.Second)
		m.draw(at)
		if m.tooSlow(at) != slow {
			t.Errorf("after %d s without a byte too slow: %v", i+1, !slow)
		}
	}
}

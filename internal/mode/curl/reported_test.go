package curl

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A script is a server that gives each request the next of its answers, the last one
// again and again, and remembers the requests.
type script struct {
	addr     string
	mu       sync.Mutex
	answers  []string
	requests []string
}

func newScript(t *testing.T, answers ...string) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{addr: ln.Addr().String(), answers: answers}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	return s
}

var contentLength = regexp.MustCompile(`(?i)\r\nContent-Length: (\d+)\r\n`)

// serve answers one request and closes.
func (s *script) serve(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReader(nc)
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		b.WriteString(line)
	}
	if m := contentLength.FindStringSubmatch(b.String()); m != nil {
		n, _ := strconv.Atoi(m[1])
		io.CopyN(&b, br, int64(n))
	}
	s.mu.Lock()
	s.requests = append(s.requests, strings.ReplaceAll(b.String(), s.addr, "SRV"))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	io.WriteString(nc, strings.ReplaceAll(answer, "SRV", s.addr))
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// found is a redirect to there.
func found(location string) string {
	return "HTTP/1.1 302 Found\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n"
}

const restOfIt = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789"

// reported is what users reported. Requests are what all that went out must hold, in this
// order; "!" before a text says that it must not.
var reported = []struct {
	id, line string
	files    string // name=content, with ; between
	answers  []string
	exit     int
	stdout   string
	requests []string
	after    string // files, as above
}{
	{"F1", `-s -H 'Content-Type: multipart/form-data' -F a=b SRV`, "", nil, 0, "ok", []string{"Content-Type: multipart/form-data; boundary=------------------------"}, ""},
	{"F4", `-s -F 'f=@n;type=text/x,p;type=a/b' SRV`, "n=N;p=P", nil, 0, "ok", []string{"multipart/mixed", "text/x\r\n\r\nN\r\n", "a/b\r\n\r\nP\r\n"}, ""},
	{"comma", `-s -F f=@a,b SRV`, "a=A;b=B", nil, 0, "ok", []string{`filename="a"`, `filename="b"`}, ""},
	{"GF", `-s -F 'f=@n;headers="X-A: b"' SRV`, "n=N", nil, 0, "ok", []string{"X-A: b\r\n\r\nN"}, ""},
	{"GF nested", `-s -F 'm=(;type=multipart/alternative' -F '=a;encoder=base64' -F '=)' SRV`, "", nil, 0, "ok", []string{"multipart/alternative; boundary=", "Content-Transfer-Encoding: base64\r\n\r\nYQ=="}, ""},
	{"GF quoted", `-s -F 'f=<n;encoder=quoted-printable' SRV`, "n=a=é\nb\r\nc", nil, 0, "ok", []string{"\r\n\r\na=3D=C3=A9=0Ab\r\nc\r\n--"}, ""},
	{"GF2", `-s -F 'f=hello;filename=x.txt' SRV`, "", nil, 0, "ok", []string{"Content-Type: text/plain\r\n\r\nhello"}, ""},
	{"C0", `-s -C 0 -o f SRV`, "f=0123", []string{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"}, 0, "", []string{"!Range"}, "f=0123456789"},
	{"C1", `-s -C - -o f SRV`, "f=0123", []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0123"}, 0, "", []string{"Range: bytes=4-"}, "f=0123"},
	{"GM", `-s --retry 3 --retry-all-errors --retry-delay 1ms -C - -o f SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", restOfIt}, 0, "", []string{"GET", "Range: bytes=4-"}, "f=0123456789"},
	{"GM no ranges", `-s --retry 3 --retry-all-errors --retry-delay 1ms -C - -o f SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n01", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"}, 0, "", nil, "f=abcd"},
	{"LF1", `-s SRV`, "", []string{"HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello\n"}, 0, "hello\n", nil, ""},
	{"CH1", `-s SRV`, "", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2   \r\nok\r\n0   \r\n\r\n"}, 0, "ok", nil, ""},
	{"CH3", `-s SRV`, "", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a=b\r\nok\r\n0\r\n\r\n"}, 0, "ok", nil, ""},
	{"OF1", `-s SRV`, "", []string{"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"}, 0, "ok", nil, ""},
	{"L1", `-sL SRV/a`, "", []string{found("/b?q=a b"), okAnswer}, 0, "ok", []string{"GET /a", "GET /b?q=a%20b HTTP"}, ""},
	{"L3", `-sL SRV/a`, "", []string{found("/100%"), okAnswer}, 0, "ok", []string{"GET /100% HTTP"}, ""},
	{"HD1", `-si SRV`, "", []string{"HTTP/1.1 200\r\nX-A:b\r\nX-B:   c  \r\nContent-Length: 2\r\n\r\nok"}, 0, "HTTP/1.1 200\r\nX-A:b\r\nX-B:   c  \r\nContent-Length: 2\r\n\r\nok", nil, ""},
	{"GV", `-si SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"}, 8, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", nil, ""},
	{"GR", `-si SRV`, "", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"}, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nokX-Sum: 1\r\n", nil, ""},
	{"T1", `-s -T empty SRV/d/`, "empty=", nil, 0, "ok", []string{"PUT /d/empty", "Content-Length: 0", "!Expect"}, ""},
	{"GG", `-s -T '{a,b}' SRV/d/`, "a=A;b=B", nil, 0, "okok", []string{"PUT /d/a", "PUT /d/b"}, ""},
	{"GG query", `-s -T a SRV/d/?x=1`, "a=A", nil, 0, "ok", []string{"PUT /d/a?x=1"}, ""},
	{"Z1", `-s -z 'Wed 01 Sep 2021 12:18:00' SRV`, "", nil, 0, "ok", []string{"If-Modified-Since: Wed, 01 Sep 2021 12:18:00 GMT"}, ""},
	{"K1", `-s -b jar -H 'Host: app.test' SRV`, "jar=app.test\tFALSE\t/\tFALSE\t0\ta\t1\n127.0.0.1\tFALSE\t/\tFALSE\t0\tb\t2\n", nil, 0, "ok", []string{"Cookie: a=1\r\n"}, ""},
	{"K3", `-sL -b x=1 SRV/a`, "", []string{strings.Replace(found("/b"), "Content", "Set-Cookie: y=2\r\nContent", 1), okAnswer}, 0, "ok", []string{"GET /b", "Cookie: x=1\r\n"}, ""},
	{"K5", `-s -b h SRV`, "h=Set-Cookie: sid=1/ Domain=127.0.0.1/ Path=/", nil, 0, "ok", []string{"Cookie: sid=1\r\n"}, ""},
	{"W1", `-s -o o -w @fmt SRV`, `fmt=a: %{http_code}\n` + "\n" + `b: %{size_download}\n` + "\n", nil, 0, "a: 200\nb: 2\n", nil, "o=ok"},
	{"W3", `-sL --max-redirs 0 -o /dev/null -w '%{http_code} %{redirect_url}' SRV/a`, "", []string{found("/b")}, 47, "302 http://SRV/b", nil, ""},
	{"N1", `-s -K a -K b`, "a=next\nurl=SRV/1\n;b=next\nurl=SRV/2\n", nil, 0, "okok", []string{"GET /1", "GET /2"}, ""},
	{"GK", `-s -K -`, "stdin=url=SRV/k\n", nil, 0, "ok", []string{"GET /k"}, ""},
	{"GK nothing", `-K -`, "", nil, 2, "", nil, ""},
	{"P1", `NO_PROXY=127.0.0.1 -s -x http://127.0.0.1:1 SRV`, "", nil, 0, "ok", []string{"GET / HTTP"}, ""},
	{"P1 httpoxy", `HTTP_PROXY=http://127.0.0.1:1 -s SRV`, "", nil, 0, "ok", []string{"GET / HTTP"}, ""},
	{"U1", `-s -G -d q=é SRV/p`, "", nil, 0, "ok", []string{"GET /p?q=%C3%A9 HTTP"}, ""},
	{"U3", `-s SRV/a{}b`, "", nil, 3, "", []string{"!GET"}, ""},
	{"U3 query", `-s 'SRV/?filter={}'`, "", nil, 3, "", []string{"!GET"}, ""},
	{"O1", `-sO SRV/d/é.txt`, "", nil, 0, "", nil, "é.txt=ok"},
	{"H1", `-s -H Host: SRV`, "", nil, 0, "ok", []string{"!Host:"}, ""},
	{"J1", `-sOJ SRV/x`, "", []string{"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=\"name.txt\r\nContent-Length: 2\r\n\r\nok"}, 0, "", nil, "name.txt=ok"},
	{"J1 single", `-sOJ SRV/x`, "", []string{"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename='name.txt'\r\nContent-Length: 2\r\n\r\nok"}, 0, "", nil, "name.txt=ok"},
	{"G1", `-s --compressed SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + commented(gzipped("content"))}, 0, "content", nil, ""},
	{"GZ", `-s --compressed SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped("one") + "\x00\x00\x00"}, 0, "one", nil, ""},
	{"GB", `-s 'SRV/a\b'`, "", nil, 0, "ok", []string{"GET /a%5Cb HTTP"}, ""},
	{"GN", `-s --netrc-file rc SRV`, `rc=machine 127.0.0.1 login me password "a b"`, nil, 0, "ok", []string{"Authorization: Basic bWU6YSBi\r\n"}, ""},
	{"GE", `-s --etag-save e SRV`, "", []string{"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 2\r\n\r\nok"}, 0, "ok", nil, "e=\"x\"\n"},
	{"GE nowhere", `-s --etag-save no/e SRV`, "", nil, 26, "", []string{"!GET"}, ""},
	{"GN config", `-s -K a SRV`, "a=-gfume:pw\n", nil, 0, "ok", []string{"Authorization: Basic bWU6cHc=\r\n"}, ""},
	{"GN quote", `-s --netrc-file rc SRV`, `rc=machine 127.0.0.1 login me password "a b`, nil, 26, "", []string{"!GET"}, ""},
	{"K6", `-s -b jar SRV`, "jar=127.0.0.1\tFALSE\t/\tFALSE\t0\ta\tb\x07\n127.0.0.1\tFALSE\t/\tFALSE\t0\tb\t2\n", nil, 0, "ok", []string{"Cookie: b=2\r\n"}, ""},
	{"GE compare", `-s --etag-compare e -o f SRV`, "e=\"x\"\n;f=old", []string{"HTTP/1.1 304 Not Modified\r\n\r\n"}, 0, "", []string{`If-None-Match: "x"`}, "f=old"},
	{"GI", `-s --interface 127.0.0.1 SRV`, "", nil, 0, "ok", nil, ""},
	{"GI port", `-s --local-port 40000-49999 -o /dev/null -w '%{local_ip}' SRV`, "", nil, 0, "127.0.0.1", nil, ""},
	{"GI none", `-s --interface if!none SRV`, "", nil, 45, "", []string{"!GET"}, ""},
	{"GT", `-s --raw SRV`, "", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}, 0, "2\r\nok\r\n0\r\n\r\n", nil, ""},
	{"GT trace", `-s --trace-ascii t -o o -A '' -H Accept: -H Host: SRV`, "", nil, 0, "", nil, "t=== Info, 27 bytes (0x1b)\n0000:   Trying"},
	{"GX", `-s --no-clobber -o f SRV`, "f=old", nil, 0, "", nil, "f=old;f.1=ok"},
	{"GX length", `-s --ignore-content-length SRV`, "", []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok"}, 0, "ok", nil, ""},
	{"GX old", `-s --http0.9 SRV`, "", []string{"no head\n"}, 0, "no head\n", nil, ""},
	{"GX stderr", `--stderr e -sS ftp://h`, "", nil, 1, "", nil, "e=curl: (1) Protocol \"ftp\" not supported or disabled\n"},
	{"haproxy", `-s --haproxy-clientip 192.0.2.1 SRV`, "", nil, 0, "ok", []string{"PROXY TCP4 192.0.2.1 192.0.2.1 ", "\r\nGET / HTTP/1.1\r\n"}, ""},
	{"digest", `-s --digest -u me:pw -d a=b SRV/x`, "", []string{"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"r\", Digest realm=\"r\", nonce=\"n\", opaque=\"o\"\r\nContent-Length: 0\r\n\r\n", okAnswer}, 0, "ok",
		[]string{"Content-Length: 0", `Authorization: Digest username="me", realm="r", nonce="n", uri="/x", response="ec0c649ddda2bd7b7881845e9c7997d9", opaque="o"`, "\r\n\r\na=b"}, ""},
	{"digest, not asked for", `-s --digest -u me:pw -d a=b SRV/x SRV/y`, "", nil, 0, "okok", []string{"Content-Length: 0", "POST /x", "\r\n\r\na=b", "!Authorization"}, ""},
	{"anyauth", `-s --anyauth -u me:pw SRV`, "", []string{"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n", okAnswer}, 0, "ok", []string{"GET", "GET", "Authorization: Basic bWU6cHc="}, ""},
	{"HD folded", `-s -o /dev/null -w '%header{x}|%header{x:all:-}|%{num_retries}|%{url.path}' SRV/p`, "", []string{"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n"}, 0, "1|1-2|0|/p", nil, ""},
	{"proto", `-sL --proto -all SRV`, "", nil, 1, "", []string{"!GET"}, ""},
	{"proto-redir", `-sL --proto-redir =https SRV/a`, "", []string{found("/b"), okAnswer}, 1, "", []string{"!GET /b"}, ""},
	{"proto-redir without", `-sL --proto-redir -all,https,http SRV/a`, "", []string{found("/b"), okAnswer}, 0, "ok", []string{"GET /b"}, ""},
	{"proto in redirects", `-sL --proto =http SRV/a`, "", []string{found("https://SRV/b")}, 1, "", []string{"!GET /b"}, ""},
	{"no proxy", `-s -x ftp://h SRV`, "", nil, 7, "", []string{"!GET"}, ""},
	{"no proxy, environment", `http_proxy=ftp://h -s SRV`, "", nil, 7, "", []string{"!GET"}, ""},
	{"no address", `-s --resolve h:80:x SRV`, "", nil, 49, "", []string{"!GET"}, ""},
	{"no host", `-s --connect-to ::h:99999 SRV`, "", nil, 49, "", []string{"!GET"}, ""},
	{"glued", `-s -F=x SRV`, "", nil, 0, "ok", []string{"Content-Disposition: form-data\r\n\r\nx\r\n"}, ""},
	{"glued data", `-s -d=x SRV`, "", nil, 0, "ok", []string{"\r\n\r\n=x"}, ""},
	{"proxy user", `http_proxy=SRV -s -U a:b http://h/`, "", nil, 0, "ok", []string{"GET http://h/ HTTP", "Proxy-Authorization: Basic YTpi"}, ""},
	{"HTTP/1.0", `-sL SRV/a`, "", []string{strings.Replace(found("/b"), "1.1", "1.0", 1), okAnswer}, 0, "ok", []string{"GET /a HTTP/1.1", "GET /b HTTP/1.0"}, ""},
	{"no remote name", `-s --remote-name-all SRV/a --no-remote-name`, "", nil, 0, "ok", nil, ""},
	{"remote name after none", `-s --no-remote-name SRV/a -O SRV/b`, "", nil, 0, "ok", nil, "b=ok"},
	{"same length twice", `-s SRV/a`, "", []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"}, 0, "ok", nil, ""},
	{"size delivered", `-s -i -o f -w %{size_delivered} SRV`, "", nil, 0, "2", nil, ""},
	{"head of a GET", `-sI -X GET SRV`, "", nil, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", []string{"GET /"}, ""},
	{"named", `-s -o 'o#<n>' 'SRV/{<n>a,b}'`, "", nil, 0, "", []string{"GET /a", "GET /b"}, "oa=ok;ob=ok"},
}

func TestReported(t *testing.T) {
	for _, tt := range reported {
		t.Run(tt.id, func(t *testing.T) {
			answers := tt.answers
			if answers == nil {
				answers = []string{okAnswer}
			}
			s := newScript(t, answers...)
			dir := t.TempDir()
			t.Chdir(dir)
			for name, content := range fileList(tt.files) {
				content = strings.ReplaceAll(strings.ReplaceAll(content, "SRV", "http://"+s.addr), "/ ", "; ")
				if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			env, stdout, stderr := testEnv()
			words := shellWords(strings.ReplaceAll(tt.line, "SRV", "http://"+s.addr))
			if name, value, ok := strings.Cut(words[0], "="); ok {
				words = words[1:]
				env.Getenv = func(s string) string { return map[string]string{name: value}[s] }
			}
			if f, err := os.Open("stdin"); err == nil {
				defer func(was *os.File) { os.Stdin = was; f.Close() }(os.Stdin)
				os.Stdin = f
			}
			exit := do(t, env, words...)
			if got := strings.ReplaceAll(stdout.String(), s.addr, "SRV"); exit != tt.exit || got != tt.stdout {
				t.Errorf("exit %d, %q; want %d, %q; stderr %q", exit, got, tt.exit, tt.stdout, stderr)
			}
			s.check(t, tt.requests)
			for name, want := range fileList(tt.after) {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(got), want) {
					t.Errorf("%s is %q, %v; want %q", name, got, err, want)
				}
			}
		})
	}
}

// TestFaultsShown: -v tells which rules an answer broke, each once.
func TestFaultsShown(t *testing.T) {
	s := newScript(t, "HTTP/1.1 200\nX : a\n b\nTransfer-Encoding: chunked\n\n2  \r\nok\r\n0 \r\n\r\n")
	env, stdout, stderr := testEnv()
	if exit := do(t, env, "-sv", "http://"+s.addr); exit != 0 || stdout.String() != "ok" {
		t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
	}
	for _, want := range []string{"line does not end in CRLF", "folded field line", "malformed field line", "no blank behind the status code", "blanks behind the size of a chunk"} {
		if n := strings.Count(stderr.String(), "* The server breaks a rule, which is forgiven: "+want+"\n"); n != 1 {
			t.Errorf("%q is told %d times in %q", want, n, stderr)
		}
	}
}

// check looks for texts in the requests, one behind the other.
func (s *script) check(t *testing.T, want []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.requests, "")
	left := all
	for _, w := range want {
		if not, ok := strings.CutPrefix(w, "!"); ok {
			if not != "" && strings.Contains(all, not) {
				t.Errorf("%q was sent, in %q", not, all)
			}
			continue
		}
		_, after, ok := strings.Cut(left, w)
		if !ok {
			t.Errorf("%q was not sent, or not in its place, in %q", w, all)
			continue
		}
		left = after
	}
}

// fileList reads name=content;name=content.
func fileList(s string) map[string]string {
	files := map[string]string{}
	for part := range strings.SplitSeq(s, ";") {
		if name, content, ok := strings.Cut(part, "="); ok {
			files[name] = content
		}
	}
	return files
}

// commented is gzip's head with a comment of 2 KB (RFC 1952 §2.3.1).
func commented(gz string) string {
	b := []byte(gz)
	b[3] |= 1 << 4
	return string(b[:10]) + strings.Repeat("c", 2048) + "\x00" + string(b[10:])
}

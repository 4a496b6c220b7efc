package curl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
	"strings"
	"testing"
)

// A testLine is a command line with what the real curl (7.88.1) does with it: its
// exit code and its stdout. Where ours is to differ, differs says why, and exit and
// out are ours.
type testLine struct {
	line    string
	exit    int
	out     string
	differs string
}

// folder is what command lines are run in.
var folder = map[string]string{
	"data":      "one\r\ntwo\x00\n",
	"big-file":  strings.Repeat("0123456789abcdef", 70_000),
	"page.html": "<p>",
	"pic.PNG":   "png",
	"a file":    "a",
	"part":      "0123",
	"whole":     "0123456789",
	"config":    "# a comment\nurl = \"$U/echo\"\n-s\ndata \"a=\\\"b\\\"\"\nheader=\"X-A: b\"\nuser-agent: me\n--get # why not\n",
	"fields":    "X-From: file\nX-Too: file\r\n",
	"format":    "%{http_code}!\\n",
	"sub/x":     "x",
	"jar": "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\ts\n127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tlong\tl\n" +
		"other.org\tFALSE\t/\tFALSE\t4102444800\tother\to\n127.0.0.1\tFALSE\t/\tTRUE\t0\tsecure\tx\n",
}

const testStdin = "from\nstdin\n"

// expand puts the places of s into a command line.
func (s *labServer) expand(line string) []string {
	addr := strings.TrimPrefix(s.http, "http://")
	_, port, _ := net.SplitHostPort(addr)
	secure := strings.TrimPrefix(s.https, "https://")
	args := shellWords(line)
	for i, arg := range args {
		args[i] = strings.NewReplacer("$PORT", port, "$SA", secure, "$U", s.http, "$V", "http://u:p@"+addr, "$A", addr,
			"$S", s.https, "$C", s.caFile, "$X", s.unix, "$H", s.hang).Replace(arg)
	}
	return args
}

// A result is what there is to see of a run.
type result struct {
	exit           int
	stdout, stderr string
	files          []string
	requests       []string
}

// runLine runs a command line in a folder of its own, with the real curl or ours.
func runLine(t *testing.T, s *labServer, line, program string) result {
	t.Helper()
	dir := t.TempDir()
	for name, content := range folder {
		if top, _, _ := strings.Cut(name, "/"); !strings.Contains(line, top) {
			continue // there are many lines
		}
		path := filepath.Join(dir, name)
		content = strings.ReplaceAll(content, "$U", s.http)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	var r result
	var stdout, stderr bytes.Buffer
	args := s.expand(line)
	s.take()
	if program != "" {
		cmd := exec.Command(program, append([]string{"-q"}, args...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(testStdin), &stdout, &stderr
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		err := cmd.Run()
		if _, ok := err.(*exec.ExitError); err != nil && !ok {
			t.Fatal(err)
		}
		r.exit = cmd.ProcessState.ExitCode()
	} else {
		env := cli.System()
		env.Stdin, env.Stdout, env.Stderr = strings.NewReader(testStdin), &stdout, &stderr
		env.TTYIn, env.TTYOut, env.TTYErr = nil, nil, nil
		env.Getenv = func(string) string { return "" }
		ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
		defer cancel()
		r.exit = cli.Table{Mode}.Run(ctx, append([]string{"curl"}, args...), env)
	}
	r.stdout, r.stderr = s.neutral(stdout.String()), s.neutral(stderr.String())
	for _, f := range filesBelow(t, dir) {
		name, content, _ := strings.Cut(f, ": ")
		if strings.ReplaceAll(folder[name], "$U", s.http) != content {
			r.files = append(r.files, s.neutral(f))
		}
	}
	r.requests = s.take()
	for i := range r.requests {
		r.requests[i] = s.neutral(r.requests[i])
	}
	return r
}

// neutral takes out what differs from run to run.
func (s *labServer) neutral(text string) string {
	for _, base := range []struct{ url, name string }{{s.http, "http"}, {s.other, "other"}, {s.https, "https"}} {
		if _, addr, _ := strings.Cut(base.url, "//"); addr != "" {
			text = strings.ReplaceAll(text, addr, base.name)
			text = strings.ReplaceAll(text, addr[strings.IndexByte(addr, ':'):], ":PORT")
		}
	}
	text = labBoundary.ReplaceAllString(text, "BOUNDARY")
	text = strings.Replace(text, "# Netscape", "\n# Netscape", 1)
	if strings.Contains(text, "# Netscape") {
		lines := strings.Split(regexp.MustCompile(`(?m)#( .*)?\n|^\n`).ReplaceAllString(text, ""), "\n")
		slices.Sort(lines)
		text = strings.Join(lines, "\n")
	}
	if len(text) > 2000 {
		text = fmt.Sprintf("%s… (%d bytes)", text[:20], len(text))
	}
	return text
}

func TestLines(t *testing.T) {
	s := newLabServer(t)
	real, err := exec.LookPath("curl")
	if err != nil {
		t.Log("no curl here: only what is written down is compared")
	} else if version, _ := exec.Command(real, "-V").Output(); !strings.HasPrefix(string(version), "curl 7.88.") {
		t.Logf("%.20q: not the curl that the table was written with: only what is written down is compared", version)
		real = ""
	}
	for _, tt := range testLines {
		if s.https == "" && regexp.MustCompile(`\$S|\$C|https:|-k |--insecure|--cert `).MatchString(tt.line) {
			continue
		}
		ours := runLine(t, s, tt.line, "")
		if ours.exit != tt.exit || ours.stdout != tt.out {
			t.Errorf("curl %s: exit %d, stdout %q; want %d, %q; stderr %q", tt.line, ours.exit, ours.stdout, tt.exit, tt.out, ours.stderr)
		}
		if strings.Contains(tt.line, "-s ") && !strings.Contains(tt.line, "-sS") && !strings.Contains(tt.line, "stderr") && !strings.Contains(tt.line, "nosuch") && ours.stderr != "" && ours.exit != 2 {
			t.Errorf("curl %s: silent, but says %q", tt.line, ours.stderr)
		}
		if real == "" || tt.differs != "" {
			continue
		}
		theirs := runLine(t, s, tt.line, real)
		compareReal(t, tt.line, ours, theirs)
	}
}

func compareReal(t *testing.T, line string, ours, theirs result) {
	t.Helper()
	if ours.exit != theirs.exit {
		t.Errorf("curl %s: exit %d, curl's %d; stderr %q, curl's %q", line, ours.exit, theirs.exit, ours.stderr, theirs.stderr)
	}
	if ours.stdout != theirs.stdout {
		t.Errorf("curl %s:\nstdout %q\ncurl's %q", line, ours.stdout, theirs.stdout)
	}
	if !slices.Equal(ours.files, theirs.files) {
		t.Errorf("curl %s:\nfiles  %q\ncurl's %q", line, ours.files, theirs.files)
	}
	if !slices.Equal(ours.requests, theirs.requests) {
		t.Errorf("curl %s:\nrequests %q\ncurl's   %q", line, ours.requests, theirs.requests)
	}
	number := regexp.MustCompile(`curl: \(\d+\)`)
	if a, b := number.FindString(ours.stderr), number.FindString(theirs.stderr); a != b {
		t.Errorf("curl %s: says %q, curl %q", line, ours.stderr, theirs.stderr)
	}
}

// What the real curl does was written down by running it.
var testLines = []testLine{
	// from documentation people paste
	{`-L -H "Accept: application/vnd.github+json" -H "Authorization: Bearer TOKEN" -H "X-GitHub-Api-Version: 2022-11-28" $U/repos/o/r/issues`, 0, "page /repos/o/r/issues\n", ""},
	{`-L -X POST -H "Accept: application/vnd.github+json" -H "Authorization: Bearer TOKEN" $U/repos/o/r/issues -d '{"title":"Found a bug","body":"x","labels":["bug"]}'`, 0, "page /repos/o/r/issues\n", ""},
	{`-i -u username:token $U/user`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\npage /user\n", ""},
	{`-fsSL $U/install.sh -o get-docker.sh`, 0, "", ""},
	{`--proto '=http,https' --tlsv1.2 -sSf $U/rustup.sh`, 0, "page /rustup.sh\n", ""},
	{`-sSL $U/key.gpg`, 0, "page /key.gpg\n", ""},
	{`-X PUT "$A/my-index-000001?pretty" -H 'Content-Type: application/json' -d'{"settings":{"number_of_shards":3}}'`, 0, "page /my-index-000001\n", ""},
	{`-X GET "$A/_cat/indices?v&s=index"`, 0, "page /_cat/indices\n", ""},
	{`-XGET "$U/_search?pretty" -H "Content-Type: application/json" -d '{"query":{"match_all":{}}}'`, 0, "page /_search\n", ""},
	{`-s -H "Content-Type: application/x-ndjson" -XPOST $A/_bulk --data-binary "@data"`, 0, "page /_bulk\n", ""},
	{`-u elastic:pw -k $U/_cluster/health`, 0, "page /_cluster/health\n", ""},
	{`-XDELETE $A/my-index`, 0, "page /my-index\n", ""},
	{`-sI $U/v2/library/alpine/manifests/latest -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n", ""},
	{`--silent "$U/token?service=registry.docker.io&scope=repository:library/alpine:pull"`, 0, "page /token\n", ""},
	{`-H "Authorization: Bearer abc" $U/v2/_catalog`, 0, "page /v2/_catalog\n", ""},
	{`--header "X-Vault-Token: s.abc" --request POST --data @data $U/v1/secret/data/my-secret`, 0, "page /v1/secret/data/my-secret\n", ""},
	{`--header "X-Vault-Token: s.abc" --request LIST $U/v1/secret/metadata`, 0, "page /v1/secret/metadata\n", ""},
	{`--request POST --data '{"type":"approle"}' $U/v1/sys/auth/approle`, 0, "page /v1/sys/auth/approle\n", ""},
	{`-X POST -H 'Content-type: application/json' --data '{"text":"Hello, World!"}' $U/services/T00/B00/XXX`, 0, "page /services/T00/B00/XXX\n", ""},
	{`-F file=@data -F "initial_comment=Hello" -F channels=C0 -H "Authorization: Bearer xoxb" $U/api/files.upload`, 0, "page /api/files.upload\n", ""},
	{`$U/v1/charges -u sk_test: -d amount=2000 -d currency=usd -d source=tok -d "metadata[key]=value"`, 0, "page /v1/charges\n", ""},
	{`-X POST $U/Messages.json --data-urlencode "Body=Hi there" --data-urlencode "From=+15017122661" -u AC:token`, 0, "page /Messages.json\n", ""},
	{`-s -o /dev/null -w "%{http_code}" $U/health`, 0, "200", ""},
	{`-Ss --retry 3 --retry-delay 5 --max-time 10 $U/ping`, 0, "page /ping\n", ""},
	{`-G $U/api/v1/query --data-urlencode 'query=up{job="x"}' -g`, 0, "page /api/v1/query\n", ""},
	{`-g "$U/api/v1/series?match[]=up"`, 0, "page /api/v1/series\n", ""},
	{`-d 'entry={"a":1}' --compressed -A 'Mozilla/5.0 (X11)' -e $U/ $U/form`, 0, "page /form\n", ""},
	{`-b cookies.txt -c cookies.txt -L -d 'user=a&pass=b' $U/cookies`, 0, "cookies\n", ""},
	{`-T data -u user:pass $U/webdav/`, 0, "page /webdav/data\n", ""},
	{`-X PATCH -H 'Content-Type: application/merge-patch+json' --data '{"a":null}' -w '\n%{http_code}\n' $U/items/1`, 0, "page /items/1\n\n200\n", ""},
	{`-k -v -H 'Host: example.com' $U/`, 0, "page /\n", ""},
	{`--cert missing.pem --key k.pem $U/`, 0, "page /\n", ""},
	{`-vso /dev/null $U/ok`, 0, "", ""},
	{`-X POST "$U/upload?name=a b" -F "x=@data"`, 3, "", ""},
	{`'http://$A/path' -H 'accept: */*' -H 'accept-language: en-US,en;q=0.9' -H 'cache-control: no-cache' -H 'cookie: a=b; c=d' --data-raw '{"x":"y"}' --compressed --insecure`, 0, "page /path\n", ""},
	{`-fL# -o out $U/ok`, 0, "", ""},
	{`-LO $U/file.tar.gz`, 0, "", ""},
	{`-sSLf --create-dirs -o bin/tool $U/tool`, 0, "", ""},
	{`-s --user-agent "bot" --connect-timeout 5 --max-time 20 -XHEAD -I $U/ok`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`--request GET --url '$U/api' --header 'accept: application/json' --header 'content-type: application/json'`, 0, "page /api\n", ""},
	{`-N -H 'Accept: text/event-stream' $U/events`, 0, "page /events\n", ""},
	{`-s $U/ok`, 0, "ok\n", ""},

	// what comes
	{`-s $U/ok`, 0, "ok\n", ""},
	{`$U/ok $U/chunked`, 0, "ok\nabcdef\n", ""},
	{`-s $U/chunked`, 0, "abcdef\n", ""},
	{`-s $U/close`, 0, "until the end\n", ""},
	{`-s $U/http10`, 0, "old\n", ""},
	{`-s $U/no-reason`, 0, "ok\n", ""},
	{`-s $U/empty -w '%{http_code}'`, 0, "204", ""},
	{`-s $U/zero`, 0, "", ""},
	{`-s $U/binary`, 0, "a\x00\x01\xff\r\nb", ""},
	{`-s $U/continue`, 0, "went on\n", ""},
	{`-s $U/hundred`, 0, "after hints\n", ""},
	{`-i $U/hundred`, 0, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nafter hints\n", ""},
	{`-s $U/big/300000 -w '%{size_download}' -o big`, 0, "300000", ""},
	{`-I $U/ok`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`-I $U/type`, 0, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\nServer: lab\r\nContent-Length: 4\r\n\r\n", ""},
	{`-i $U/type`, 0, "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\nServer: lab\r\nContent-Length: 4\r\n\r\n<p>\n", ""},
	{`-I $U/404`, 0, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", ""},
	{`--head $U/ok`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`-I -L $U/redirect/302`, 0, "HTTP/1.1 302 Moved\r\nLocation: /ok\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`-s -D heads $U/type`, 0, "<p>\n", ""},
	{`-s -D - $U/ok`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", ""},
	{`-s -D heads -o /dev/null $U/ok $U/type`, 0, "<p>\n", ""},
	{`-i $U/ok $U/empty`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", ""},
	{`-iL $U/redirect/301`, 0, "HTTP/1.1 301 Moved\r\nLocation: /ok\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", ""},
	{`-s -0 $U/ok`, 0, "ok\n", ""},
	{`-s -0 $U/ok $U/ok`, 0, "ok\nok\n", ""},
	{`-s -0 -L $U/redirect/302`, 0, "ok\n", ""},
	{`-s -0 -d a=b $U/echo`, 0, "POST /echo\na=b\n", ""},
	{`-s -0 -T - $U/echo`, 25, "", ""},
	{`-sN $U/ok`, 0, "ok\n", ""},
	{`-s $U/a/../b/./c`, 0, "page /b/c\n", ""},
	{`-s --path-as-is $U/a/../b`, 0, "page /a/../b\n", ""},
	{`-s $U/100%`, 0, "page /100%\n", ""},
	{`-s $U/a%zz%41?100%`, 0, "page /a%zz%41?100%\n", ""},
	{`-K config`, 0, "GET /echo?a=\"b\"\n\n", ""},
	{`-K missing $U/ok`, 26, "", ""},
	{`-K config -X PUT $U/ok -o two`, 0, "ok\n", ""},
	{`-s "$U/q?a=b&c=d"`, 0, "page /q\n", ""},
	{`-s "$U/q?"`, 0, "page /q\n", ""},
	{`-s $U/q#frag`, 0, "page /q\n", ""},
	{`-s $A/ok`, 0, "ok\n", ""},
	{`-s --url $U/ok`, 0, "ok\n", ""},
	{`-s HTTP://$A/ok`, 0, "ok\n", ""},
	{`-s --request-target /other $U/ok`, 0, "page /other\n", ""},
	{`-s $U`, 0, "page /\n", ""},
	{`-s $U?x=1`, 0, "page /\n", ""},
	// several
	{`-s $U/n/{1,2,3}`, 0, "n=1\nn=2\nn=3\n", ""},
	{`-s $U/n/[1-3]`, 0, "n=1\nn=2\nn=3\n", ""},
	{`-s $U/n/[01-05:2]`, 0, "n=01\nn=03\nn=05\n", ""},
	{`-s $U/n/[a-c] -o 'f_#1.txt'`, 0, "", ""},
	{`-s $U/{n,m}/[1-2] -o '#1-#2'`, 0, "", ""},
	{`-s -g $U/n/[1]`, 0, "n=[1]\n", ""},
	{`-s $U/n/{a`, 3, "", ""},
	{`-s $U/n/[2-1]`, 3, "", ""},
	{`-s -o one -o two $U/n/1 $U/n/2`, 0, "", ""},
	{`-s -O $U/n/1 -o two $U/n/2`, 0, "", ""},
	{`-s --remote-name-all $U/n/1 $U/n/2`, 0, "", ""},
	{`-s $U/404 $U/ok -f`, 0, "ok\n", ""},
	{`-s $U/ok $U/404 -f`, 22, "ok\n", ""},
	{`-s -f --fail-early $U/404 $U/ok`, 22, "", ""},
	{`-s $U/ok --next -d x $U/ok`, 0, "ok\nok\n", ""},
	{`-s -d a $U/echo --next -s $U/echo`, 0, "POST /echo\na\nGET /echo\n\n", ""},
	// data
	{`-s -d a=1 $U/echo`, 0, "POST /echo\na=1\n", ""},
	{`-s -d a=1 -d b=2 $U/echo`, 0, "POST /echo\na=1&b=2\n", ""},
	{`-s -d 'a=1&b=2' -X PUT $U/echo`, 0, "PUT /echo\na=1&b=2\n", ""},
	{`-s --data 'x y' $U/echo`, 0, "POST /echo\nx y\n", ""},
	{`-s -d '' $U/echo`, 0, "POST /echo\n\n", ""},
	{`-s -d @data $U/echo`, 0, "POST /echo\nonetwo\n", ""},
	{`-s --data-ascii @data $U/echo`, 0, "POST /echo\nonetwo\n", ""},
	{`-s --data-binary @data $U/echo`, 0, "POST /echo\none\r\ntwo\x00\n\n", ""},
	{`-s --data-raw @data $U/echo`, 0, "POST /echo\n@data\n", ""},
	{`-s --data-binary @- $U/echo`, 0, "POST /echo\nfrom\nstdin\n\n", ""},
	{`-s -d @- $U/echo`, 0, "POST /echo\nfromstdin\n", ""},
	{`-s --data-urlencode 'a b&c' $U/echo`, 0, "POST /echo\na+b%26c\n", ""},
	{`-s --data-urlencode '=a b' $U/echo`, 0, "POST /echo\na+b\n", ""},
	{`-s --data-urlencode 'n=a b/ü' $U/echo`, 0, "POST /echo\nn=a+b%2F%C3%BC\n", ""},
	{`-s --data-urlencode @data $U/echo`, 0, "POST /echo\none%0D%0Atwo%00%0A\n", ""},
	{`-s --data-urlencode n@data $U/echo`, 0, "POST /echo\nn=one%0D%0Atwo%00%0A\n", ""},
	{`-s -d a --data-urlencode 'b=c d' --data-binary @data $U/echo`, 0, "POST /echo\na&b=c+d&one\r\ntwo\x00\n\n", ""},
	{`-s -G -d a=1 -d 'b=2' $U/echo`, 0, "GET /echo?a=1&b=2\n\n", ""},
	{`-s -G --data-urlencode 'q=a b' "$U/echo?z=1"`, 0, "GET /echo?z=1&q=a+b\n\n", ""},
	{`-sG $U/echo -d x -I`, 0, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n", ""},
	{`-s -X POST $U/echo`, 0, "POST /echo\n\n", ""},
	{`-s -X DELETE $U/echo`, 0, "DELETE /echo\n\n", ""},
	{`-s -X PATCH -d '{}' -H 'Content-Type: application/json' $U/echo`, 0, "PATCH /echo\n{}\n", ""},
	{`--json '{"a":1}' -s $U/echo`, 0, "POST /echo\n{\"a\":1}\n", ""},
	{`--json '{"a":1' --json ',"b":2}' -s $U/echo`, 0, "POST /echo\n{\"a\":1,\"b\":2}\n", ""},
	{`--json @data -s -H 'Accept: text/plain' $U/echo`, 0, "POST /echo\none\r\ntwo\x00\n\n", ""},
	{`--json '{}' -s -H 'Content-Type: application/x' $U/echo`, 0, "POST /echo\n{}\n", ""},
	{`-s -d a -H 'Content-Type:' $U/echo`, 0, "POST /echo\na\n", ""},
	{`-s -d a -H 'Content-Type: text/plain' $U/echo`, 0, "POST /echo\na\n", ""},
	{`-s -d abc -H 'Transfer-Encoding: chunked' $U/echo`, 0, "POST /echo\nabc\n", ""},
	{`-s --url-query a=1 --url-query 'b=c d' $U/echo`, 0, "GET /echo?a=1&b=c+d\n\n", ""},
	{`-s --url-query '+x=y%20z' -d body $U/echo`, 0, "POST /echo?x=y%20z\nbody\n", ""},
	{`-s -d a -I $U/echo`, 2, "", ""},
	{`-s -F a=b -d c $U/echo`, 2, "", ""},
	{`-s --data-binary @big-file $U/ok`, 0, "ok\n", ""},
	{`-s -d a=1 $U/413`, 0, "big\n", ""},
	{`-s -f --data-binary @big-file $U/no-body`, 22, "", ""},
	{`-s --data-binary @big-file $U/417 -H 'Expect: 100-continue'`, 0, "without\n", "curl repeats the Expect that -H gives; we go on without"},
	// forms
	{`-s -F a=b $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F a=b -F c=d $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\nd\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F f=@data $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"data\"\r\nContent-Type: application/octet-stream\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=@data;type=text/plain' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"data\"\r\nContent-Type: text/plain\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=@data;type=text/plain;filename=other' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"other\"\r\nContent-Type: text/plain\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=@data;filename="a;b\"c"' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a;b%22c\"\r\nContent-Type: application/octet-stream\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=<data' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=<data;type=text/x' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Type: text/x\r\n\r\none\r\ntwo\x00\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'a="b;c"' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb;c\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'a=b;type=text/html; charset=utf-8' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: text/html; charset=utf-8\r\n\r\nb\r\n--BOUNDARY--\r\n\n", ""},
	{`-s --form-string 'a=@b;type=c' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n@b;type=c\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=@page.html' -F 'g=@pic.PNG' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"page.html\"\r\nContent-Type: text/html\r\n\r\n<p>\r\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"g\"; filename=\"pic.PNG\"\r\nContent-Type: image/png\r\n\r\npng\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'f=@missing' $U/echo`, 26, "", ""},
	{`-s -F f=@- $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"f\"; filename=\"-\"\r\n\r\nfrom\nstdin\n\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F 'na"me=x' $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"na%22me\"\r\n\r\nx\r\n--BOUNDARY--\r\n\n", ""},
	{`-s -F nothing $U/echo`, 2, "", ""},
	{`-s -X PUT -F a=b $U/echo`, 0, "PUT /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--BOUNDARY--\r\n\n", ""},
	// uploads
	{`-s -T data $U/echo`, 0, "PUT /echo\none\r\ntwo\x00\n\n", ""},
	{`-s -T data $U/dir/`, 0, "page /dir/data\n", ""},
	{`-s -T data $U`, 0, "page /data\n", ""},
	{`-s -T - $U/echo`, 0, "PUT /echo\nfrom\nstdin\n\n", ""},
	{`-s -T . $U/echo`, 0, "PUT /echo\nfrom\nstdin\n\n", ""},
	{`-s -T 'a file' $U/dir/`, 0, "page /dir/a file\n", ""},
	{`-s -T missing $U/echo`, 26, "", ""},
	{`-s -T data -X POST $U/echo`, 0, "POST /echo\none\r\ntwo\x00\n\n", ""},
	{`-s -T data $U/echo1 -T page.html $U/echo2`, 0, "page /echo1\npage /echo2\n", ""},
	{`-s -T data -H 'Content-Type: text/plain' $U/echo`, 0, "PUT /echo\none\r\ntwo\x00\n\n", ""},
	{`-s -T big-file $U/ok`, 0, "ok\n", ""},
	{`-s -T data -C 3 $U/echo`, 0, "PUT /echo\n\r\ntwo\x00\n\n", ""},
	// fields
	{`-so- $U/ok`, 0, "ok\n", ""},
	{`-sLo out $U/ok`, 0, "", ""},
	{`-sXPOST -da=b $U/echo`, 0, "POST /echo\na=b\n", ""},
	{`-sH'X-A: b=c' $U/ok`, 0, "ok\n", ""},
	{`-sm5 $U/ok`, 0, "ok\n", ""},
	{`-suu:p $U/auth`, 0, "welcome\n", ""},
	{`-sw%{http_code} $U/ok`, 0, "ok\n200", ""},
	{`-#so out $U/ok`, 0, "", ""},
	{`-s4LfS $U/ok`, 0, "ok\n", ""},
	{`-sFa=b $U/echo`, 0, "POST /echo\n--BOUNDARY\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--BOUNDARY--\r\n\n", ""},
	{`-s --no-progress-meter --no-buffer --no-keepalive --no-sessionid --no-alpn --no-location $U/redirect/302`, 0, "moved\n", ""},
	{`-s -L --no-location $U/redirect/302`, 0, "moved\n", ""},
	{`-s -f --no-fail $U/404`, 0, "none\n", ""},
	{`-s -- $U/ok`, 0, "ok\n", ""},
	{`-s -H 'X-A: b' -H 'x-c:d' $U/ok`, 0, "ok\n", ""},
	{`-s -H 'Accept:' -H 'User-Agent:' $U/ok`, 0, "ok\n", ""},
	{`-s -H 'X-Empty;' $U/ok`, 0, "ok\n", ""},
	{`-s -H 'Host: example.org' $U/ok`, 0, "ok\n", ""},
	{`-s -H 'Accept: text/html' -H 'User-Agent: me' $U/ok`, 0, "ok\n", ""},
	{`-s -H @fields $U/ok`, 0, "ok\n", ""},
	{`-s -A agent $U/ok`, 0, "ok\n", ""},
	{`-s -A '' $U/ok`, 0, "ok\n", ""},
	{`-s -e http://ref/ $U/ok`, 0, "ok\n", ""},
	{`-s -e 'http://ref/;auto' -L $U/redirect/302`, 0, "ok\n", ""},
	{`-s -e ';auto' -L $U/redirect/302`, 0, "ok\n", ""},
	{`-s -u u:p $U/auth`, 0, "welcome\n", ""},
	{`-s -u u:wrong $U/auth -w '%{http_code}'`, 0, "who?\n401", ""},
	{`-s -u u: $U/ok`, 0, "ok\n", ""},
	{`-s $V/auth`, 0, "welcome\n", ""},
	{`-s -u x:y $V/ok`, 0, "ok\n", ""},
	{`-s --oauth2-bearer tok $U/ok`, 0, "ok\n", ""},
	{`-s -H 'Authorization: token x' -u u:p $U/ok`, 0, "ok\n", ""},
	{`-s -u u:p --basic $U/auth`, 0, "welcome\n", ""},
	{`-s -r 0-3 $U/range`, 0, "0123", ""},
	{`-s -r 5- $U/range`, 0, "56789", ""},
	{`-s -r -2 $U/range`, 0, "89", ""},
	{`-s -r 20-30 $U/range -w '%{http_code}'`, 0, "no such range\n416", ""},
	{`-s -r 2 $U/range`, 0, "23456789", ""},
	{`-s -r 0-1,4-5 $U/ok`, 0, "ok\n", ""},
	{`-s --compressed $U/gzip`, 0, "zipped\n", ""},
	{`-s --compressed $U/deflate`, 0, "deflated\n", ""},
	{`-s --compressed $U/raw-deflate`, 0, "deflated\n", ""},
	{`-s --compressed $U/identity`, 0, "plain\n", ""},
	{`-s --compressed $U/ok`, 0, "ok\n", ""},
	{`-s $U/gzip -o gz`, 0, "", ""},
	{`-s --compressed $U/bad-gzip`, 61, "", ""},
	{`-s --compressed $U/cut-gzip`, 61, "zipped\nzipped\nzipped\nzipped\nzipped\nzipped\nzipped\nzipped\nzipped\n", "a stream that is cut short is no whole answer"},
	{`-s -z 'Fri, 01 Jan 2016 00:00:00 GMT' $U/modified -w '%{http_code}'`, 0, "304", ""},
	{`-s -z 2014-01-01 $U/modified`, 0, "modified\n", "curl cannot read that date"},
	{`-s -z '-Fri, 01 Jan 2016 00:00:00 GMT' $U/modified`, 0, "modified\n", ""},
	{`-s -z data $U/ok -o /dev/null`, 0, "", ""},
	{`-s -z nonsense $U/ok`, 0, "ok\n", ""},
	// cookies
	{`-s -b a=b $U/ok`, 0, "ok\n", ""},
	{`-s -b 'a=b; c=d' -b e=f $U/ok`, 0, "ok\n", ""},
	{`-s -b jar $U/ok`, 0, "ok\n", "secure cookies go over https only, on loopback too"},
	{`-s -b jar -b x=y $U/ok`, 0, "ok\n", "likewise"},
	{`-s -c jar-out $U/cookies`, 0, "cookies\n", ""},
	{`-s -c - $U/cookies`, 0, "\n#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tb\t2\n127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n127.0.0.1\tFALSE\t/elsewhere\tFALSE\t0\tc\t3\ncookies", ""},
	{`-s -b '' $U/cookies $U/ok`, 0, "cookies\nok\n", ""},
	{`-s -b '' -L $U/cookie-away`, 0, "ok\n", ""},
	{`-s -c out -L $U/cookie-away`, 0, "ok\n", ""},
	{`-s -b jar -j $U/ok`, 0, "ok\n", ""},
	{`-s -b missing $U/ok`, 0, "ok\n", ""},
	{`-s -b a=b -L $U/redirect/302`, 0, "ok\n", ""},
	// redirects
	{`-s $U/redirect/302`, 0, "moved\n", ""},
	{`-s -L $U/redirect/301`, 0, "ok\n", ""},
	{`-s -L $U/redirect/307`, 0, "ok\n", ""},
	{`-sL $U/hop/3 -w ' %{num_redirects} %{url_effective}'`, 0, "there\n 3 http://http/hop/0", ""},
	{`-sL --max-redirs 2 $U/hop/3`, 47, "", ""},
	{`-sL --max-redirs 0 $U/hop/1`, 47, "", ""},
	{`-sL --max-redirs 5 $U/loop`, 47, "", ""},
	{`-sL --max-redirs -1 $U/hop/12`, 0, "there\n", ""},
	{`-sL $U/nowhere`, 0, "no location\n", ""},
	{`-sL $U/to-dots`, 0, "ok\n", ""},
	{`-s $U/to-dots -w '%{redirect_url}'`, 0, "http://http/ok?x=1", "a fragment is for nobody but a browser"},
	{`-sL $U/300 -w '%{http_code}'`, 0, "choose\n300", "RFC 9110 §15.4.1 leaves that choice to people"},
	{`-sL -d a=b $U/redirect/301`, 0, "ok\n", ""},
	{`-sL -d a=b $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -d a=b $U/redirect/303`, 0, "ok\n", ""},
	{`-sL -d a=b $U/redirect/307`, 0, "ok\n", ""},
	{`-sL -d a=b $U/redirect/308`, 0, "ok\n", ""},
	{`-sL -d a=b --post301 $U/redirect/301`, 0, "ok\n", ""},
	{`-sL -d a=b --post302 $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -d a=b --post303 $U/redirect/303`, 0, "ok\n", ""},
	{`-sL -X POST -d a=b $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -X PUT $U/redirect/303`, 0, "ok\n", ""},
	{`-sL -T data $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -T data $U/redirect/303`, 0, "ok\n", ""},
	{`-sL -T data $U/redirect/307`, 0, "ok\n", ""},
	{`-sL -F a=b $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -I $U/redirect/303`, 0, "HTTP/1.1 303 Moved\r\nLocation: /ok\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`-sL -u u:p $U/redirect/302`, 0, "ok\n", ""},
	{`-sL -u u:p $U/away/302`, 0, "ok\n", ""},
	{`-sL --location-trusted -u u:p $U/away/302`, 0, "ok\n", ""},
	{`-sL -H 'Authorization: x' $U/away/302`, 0, "ok\n", ""},
	{`-sL -H 'Cookie: a=b' $U/away/302`, 0, "ok\n", ""},
	{`-sL -d a=b $U/away/302`, 0, "ok\n", ""},
	{`-sL --location-trusted -d a=b $U/away/307`, 0, "ok\n", ""},
	{`-sL $U/to-file`, 1, "", ""},
	{`-sL $U/to-ftp`, 1, "", "http and https only"},
	{`-s $U/to-file`, 0, "", ""},
	{`-L -s -o out $U/redirect/302`, 0, "", ""},
	// failures
	{`-f $U/404`, 22, "", ""},
	{`-sf $U/404`, 22, "", ""},
	{`-sSf $U/404`, 22, "", ""},
	{`-f -i $U/404`, 22, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", ""},
	{`-f -o out $U/404`, 22, "", ""},
	{`-s -f $U/402 -w '%{http_code} %{exitcode}'`, 22, "402 22", ""},
	{`--fail-with-body -s $U/404`, 22, "none\n", ""},
	{`--fail-with-body -s $U/404 -o out`, 22, "", ""},
	{`-s $U/404`, 0, "none\n", ""},
	{`-s $U/304 -w '%{http_code}'`, 0, "304", ""},
	{`-f $U/redirect/302`, 0, "moved\n", ""},
	{`-s http://127.0.0.1:1/`, 7, "", ""},
	{`-s --connect-timeout 5 http://127.0.0.1:1/`, 7, "", ""},
	{`-s $U/nothing`, 52, "", ""},
	{`-s $U/short`, 18, "half\n", ""},
	{`-s $U/short -o out`, 18, "", "part of a file is not taken for a whole one"},
	{`-s $U/short-chunk`, 18, "half\n", ""},
	{`-s $U/no-last`, 18, "half\n", ""},
	{`-s $U/bad-chunk`, 56, "", ""},
	{`-s $U/http09`, 1, "", ""},
	{`-s $U/cut-head`, 56, "", "curl takes half a head for a whole one"},
	{`-s ftp://127.0.0.1/x`, 1, "", "http and https only"},
	{`-s file:///etc/hostname`, 1, "", "http and https only"},
	{`-s foo://x`, 1, "", ""},
	{`-s http://`, 3, "", ""},
	{`-s "http://h/a b"`, 3, "", ""},
	{`-s http://[::1`, 3, "", ""},
	{`-s http://h:99999/`, 3, "", ""},
	{`-s -m 0.3 --retry 0 $H`, 28, "", ""},
	{`-s --max-filesize 2 $U/ok`, 63, "", ""},
	{`-s --max-filesize 3 $U/ok`, 0, "ok\n", ""},
	{`-s -o nodir/out $U/ok`, 23, "", ""},
	{`-s --create-dirs -o new/dir/out $U/ok`, 0, "", ""},
	{`-s -o . $U/ok`, 23, "", ""},
	{`-s --unknown $U/ok`, 2, "", ""},
	{`-s`, 2, "", ""},
	{`--proto =https $U/ok`, 1, "", ""},
	{`--proto -all,http -s $U/ok`, 0, "ok\n", ""},
	// files
	{`-s -o out $U/ok`, 0, "", ""},
	{`-s -o out $U/n/1 $U/n/2`, 0, "n=2\n", ""},
	{`-s -o data $U/ok`, 0, "", ""},
	{`-s -O $U/name.txt`, 0, "", ""},
	{`-s -O $U/dir/`, 0, "", "curl before 8.8 has no name for it"},
	{`-s -O "$U/n/5?x=y/z"`, 0, "", ""},
	{`-s -O $U/name%20x`, 0, "", ""},
	{`-s --output-dir sub -O $U/n/5`, 0, "", ""},
	{`-s --output-dir fresh --create-dirs -O $U/n/5`, 0, "", ""},
	{`-s -OJ $U/disposition`, 0, "", ""},
	{`-s -OJ $U/bare-name`, 0, "", ""},
	{`-s -OJ $U/up-name`, 0, "", ""},
	{`-s -OJ $U/n/7`, 0, "", ""},
	{`-s -O $U/disposition`, 0, "", ""},
	{`-s -C 4 $U/range -o out`, 0, "", ""},
	{`-s -C - $U/range -o part`, 0, "", ""},
	{`-s -C - $U/range -o whole`, 0, "", ""},
	{`-s -C - $U/range -o fresh-file`, 0, "", ""},
	{`-s -C 4 $U/range`, 0, "456789", ""},
	{`-s -C - $U/ok -o part`, 33, "", ""},
	{`-s -C 20 $U/range`, 22, "", "a file that is longer than the server's is not the same file"},
	{`-s -o /dev/null -w '%{http_code}\n' $U/ok`, 0, "200\n", ""},
	{`-s -o - $U/ok`, 0, "ok\n", ""},
	{`-s -R -o out $U/modified`, 0, "", ""},
	{`-s --limit-rate 1M $U/ok`, 0, "ok\n", ""},
	{`-s --limit-rate 100 -m 0.3 --data-binary @big-file $U/ok`, 28, "", ""},
	// after
	{`-s -o /dev/null -w '%{http_code} %{response_code} %{content_type} %{method} %{scheme} %{http_version}\n' $U/type`, 0, "200 200 text/html; charset=utf-8 GET HTTP 1.1\n", ""},
	{`-s -o /dev/null -w '%{size_download} %{size_upload} %{size_header} %{num_connects} %{num_redirects} %{num_headers}' -d abc $U/echo`, 0, "15 3 65 1 0 2", ""},
	{`-s -o /dev/null -w '%{url}|%{url_effective}|%{urlnum}\t%{filename_effective}\n' $U/ok $U/n/2`, 0, "http://http/ok|http://http/ok|0\t/dev/null\nn=2\nhttp://http/n/2|http://http/n/2|1\t\n", ""},
	{`-s -o /dev/null -w '%{remote_ip} %{exitcode} [%{errormsg}] [%{redirect_url}]' $U/redirect/302`, 0, "127.0.0.1 0 [] [http://http/ok]", ""},
	{`-s -o /dev/null -w '%header{x-one} %header{X-Two} %header{none}|%{header_json}' $U/type`, 0, "1 a |{\"content-type\":[\"text/html; charset=utf-8\"],\n\"x-one\":[\"1\"],\n\"x-two\":[\"a\",\"b\"],\n\"server\":[\"lab\"],\n\"content-length\":[\"4\"]\n}", ""},
	{`-s -w '%{stderr}gone%{stdout}here' $U/ok`, 0, "ok\nhere", ""},
	{`-s -w '%{onerror}bad %{exitcode}' $U/ok $U/nothing`, 52, "ok\nbad 52", ""},
	{`-s -w '%%{x} \q \\ %z 100%' $U/ok`, 0, "ok\n%{x} \\q \\\\ %z 100%", ""},
	{`-s -w @format $U/ok`, 0, "ok\n200!\n", ""},
	{`-s -w '%{nosuch}x' $U/ok`, 0, "ok\nx", ""},
	{`-s -w '%{num_connects}' $U/ok $U/ok`, 0, "ok\n1ok\n0", ""},
	{`-s -w '%{size_download} %{size_upload}' -T data $U/echo -o /dev/null`, 0, "21 10", ""},
	{`-sL -w '%{size_download} %{num_redirects} %{num_connects}' $U/redirect/302`, 0, "ok\n3 1 1", ""},
	{`-s -o /dev/null -w '%{referer}' -e x $U/ok`, 0, "x", ""},
	// again
	{`-s --retry 1 $U/flaky/503/1`, 0, "again\nat last\n", ""},
	{`-s --retry 1 $U/404`, 0, "none\n", ""},
	{`-s --retry 1 --retry-connrefused http://127.0.0.1:1/`, 7, "", ""},
	// proxies
	{`-s -x $U http://example.org/ok`, 0, "ok\n", ""},
	{`-s -x $U http://example.org:8080/echo?q -d x`, 0, "POST http://example.org:8080/echo?q\nx\n", ""},
	{`-s -x u:p@$A http://example.org/ok`, 0, "ok\n", ""},
	{`-s -x $U -U u:p http://example.org/ok`, 0, "ok\n", ""},
	{`-s -x $U --noproxy example.org,127.0.0.1 $U/ok`, 0, "ok\n", ""},
	{`-s -p -x $U http://example.org/ok`, 0, "ok\n", ""},
	{`-s -i -p -x $U http://example.org/ok`, 0, "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", ""},
	{`-s -x bogus://h $U/ok`, 7, "", ""},
	{`-s -x http://h:bad $U/ok`, 5, "", ""},
	{`-s -x $U --connect-to ::other.org:80 http://example.org/echo`, 0, "GET /echo\n\n", ""},
	{`-s -x $U http://example.org/echo --next -s $U/echo`, 0, "GET http://example.org/echo\n\nGET /echo\n\n", ""},
	{`-s -k $S/ok --next -s $S/ok`, 60, "ok\n", ""},
	{`-s -o /dev/null $U/ok --next -s -o /dev/null -w %{num_connects} --resolve h:1:127.0.0.1 --connect-to h:1:i:2 $U/ok --next -s -o /dev/null -w %{num_connects} -x $U $U/ok`, 0, "01", ""},
	{`-s -G -F a=b -o /dev/null -w %{method} $U/echo`, 0, "POST", ""},
	{`-s -I -X GET $U/ok`, 0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ""},
	{`-s -p -x $U http://forbidden.org/ok`, 56, "", ""},
	{`-s -x http://127.0.0.1:1 http://example.org/`, 7, "", ""},
	{`-s -x $U -u a:b http://example.org/ok`, 0, "ok\n", ""},
	{`-s -x $U -k $S/ok`, 0, "ok\n", ""},
	{`-s -x $U -U u:p -k $S/ok -w ' %{http_connect}'`, 0, "ok\n 200", ""},
	{`-s --resolve example.org:$PORT:127.0.0.1 http://example.org:$PORT/ok`, 0, "ok\n", ""},
	{`-s --connect-to example.org:80:127.0.0.1:$PORT http://example.org/ok`, 0, "ok\n", ""},
	{`-s --connect-to ::127.0.0.1:$PORT http://example.org/ok`, 0, "ok\n", ""},
	{`-s --unix-socket $X http://localhost/ok`, 0, "ok\n", ""},
	{`-s -4 $U/ok`, 0, "ok\n", ""},
	// tls
	{`-s -k $S/ok`, 0, "ok\n", ""},
	{`-s --cacert $C $S/ok`, 0, "ok\n", ""},
	{`-s $S/ok`, 60, "", ""},
	{`-s --cacert missing $S/ok`, 77, "", ""},
	{`-s --cacert data $S/ok`, 77, "", ""},
	{`-s -k --cert missing $S/ok`, 58, "", ""},
	{`-s --proto =https --tlsv1.2 -k -sSf $S/ok`, 0, "ok\n", ""},
	{`-s -k --tls-max 1.2 $S/ok`, 0, "ok\n", ""},
	{`-s -kL $S/down`, 1, "", "from https to http with --allow-downgrade only"},
	{`-s https://$A/ok`, 35, "", ""},
	{`-s http://$SA/ok`, 0, "client sent an HTTP request to an HTTPS server\n", ""},
}

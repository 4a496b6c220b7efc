package curl

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"socketsrv/internal/kit"
	"socketsrv/internal/tlsconf"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A labServer answers by path, byte for byte as its table says, and keeps what it
// was asked. It reads requests in its own simple way, so that it is no oracle of
// ourselves.
type labServer struct {
	t      *testing.T
	http   string // http://127.0.0.1:PORT
	other  string // the same server on another port
	https  string // "" where there is no TLS
	caFile string
	unix   string // the path of a Unix socket
	hang   string // a URL that nobody answers

	mu      sync.Mutex
	records []string
	tries   map[string]int
	conns   int
}

func newLabServer(t *testing.T) *labServer {
	s := &labServer{t: t, tries: map[string]int{}}
	s.http = "http://" + s.listen(nil)
	s.other = "http://" + s.listen(nil)
	s.unix = filepath.Join(t.TempDir(), "s")
	s.accept("unix", s.unix, nil)
	quiet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quiet.Close() })
	s.hang = "http://" + quiet.Addr().String() + "/"
	if tlsconf.Available {
		dir := t.TempDir()
		config, err := tlsconf.Server(tlsconf.Options{SaveDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s.https = "https://" + strings.Replace(s.listen(config), "127.0.0.1", "localhost", 1)
		s.caFile = filepath.Join(dir, "cert.pem")
	}
	return s
}

func (s *labServer) listen(config *tlsconf.Config) string {
	return s.accept("tcp", "127.0.0.1:0", config)
}

func (s *labServer) accept(network, address string, config *tlsconf.Config) string {
	ln, err := net.Listen(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	addr := ln.Addr().String()
	if config != nil {
		ln = config.Listen(ln)
	}
	s.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(nc)
		}
	}()
	return addr
}

// take returns what was asked since the last time.
func (s *labServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := s.records
	s.records, s.tries, s.conns = nil, map[string]int{}, 0
	return records
}

type labRequest struct {
	method, target, version string
	fields                  []string
	body                    string
	try                     int // how often that path was asked for, from 1
}

func (r *labRequest) field(name string) string {
	for _, f := range r.fields {
		if n, v, _ := strings.Cut(f, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (s *labServer) serve(nc net.Conn) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(kit.Patience))
	br := bufio.NewReader(nc)
	if first, err := br.Peek(1); err != nil || first[0] == 0x16 { // TLS, where there is none
		io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
		return
	}
	for {
		r, err := s.read(br, nc)
		if err != nil {
			return
		}
		if r.method == "CONNECT" {
			s.tunnel(nc, br, r)
			return
		}
		if !s.answer(nc, r) {
			return
		}
	}
}

func (s *labServer) read(br *bufio.Reader, nc net.Conn) (*labRequest, error) {
	line, err := br.ReadString('\n')
	if err != nil {
		return nil, err
	}
	r := &labRequest{}
	words := strings.Fields(line)
	if len(words) != 3 {
		return nil, io.ErrUnexpectedEOF
	}
	r.method, r.target, r.version = words[0], words[1], words[2]
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			break
		}
		r.fields = append(r.fields, line)
	}
	s.mu.Lock()
	path := r.path()
	s.tries[path]++
	r.try = s.tries[path]
	s.mu.Unlock()
	if err := r.readBody(br, nc); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.records = append(s.records, r.String())
	s.mu.Unlock()
	return r, nil
}

func (r *labRequest) path() string {
	u, err := url.Parse(r.target)
	if err != nil {
		return r.target
	}
	return u.Path
}

func (r *labRequest) readBody(br *bufio.Reader, nc net.Conn) error {
	if r.field("Expect") != "" {
		if r.path() == "/no-body" || r.path() == "/417" && r.try == 1 {
			return nil
		}
		if r.path() != "/deaf" {
			io.WriteString(nc, "HTTP/1.1 100 Continue\r\n\r\n")
		}
	}
	var b strings.Builder
	if strings.EqualFold(r.field("Transfer-Encoding"), "chunked") {
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return err
			}
			size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
			if err != nil {
				return err
			}
			if _, err := io.CopyN(&b, br, size); err != nil {
				return err
			}
			br.ReadString('\n')
			if size == 0 {
				r.body = b.String()
				return nil
			}
		}
	}
	n, _ := strconv.ParseInt(r.field("Content-Length"), 10, 64)
	_, err := io.CopyN(&b, br, n)
	r.body = b.String()
	return err
}

var (
	labBoundary = regexp.MustCompile(`-{24}[0-9a-zA-Z]{16,22}`)
	labPercent  = regexp.MustCompile(`%[0-9a-f]{2}`) // curl writes %7b with -G, %7B without
	labAgent    = regexp.MustCompile(`(?m)^User-Agent: (curl/\S+|socketsrv-curl/1)$`)
)

// String is the request in a form that both curls have in common: those of our
// fields that frame the body go last, and the usual User-Agent, what can be decoded
// and Expect are left to each.
func (r *labRequest) String() string {
	var fields, framing []string
	for _, f := range r.fields {
		name, value, _ := strings.Cut(f, ":")
		value = strings.TrimSpace(value)
		f = strings.TrimSpace(name + ": " + value)
		switch strings.ToLower(name) {
		case "cookie": // their order is that of RFC 6265 for us, another for curl
			cookies := strings.Split(strings.ReplaceAll(value, "; ", ";"), ";")
			slices.Sort(cookies)
			fields = append(fields, name+": "+strings.Join(cookies, "; "))
		case "content-length", "transfer-encoding":
			framing = append(framing, f)
		case "accept-encoding":
			fields = append(fields, strings.Replace(f, ", br, zstd", "", 1))
		case "expect":
		default:
			fields = append(fields, f)
		}
	}
	body := r.body
	if len(body) > 2000 {
		body = fmt.Sprintf("(%d bytes)", len(body))
	}
	target := labPercent.ReplaceAllStringFunc(r.target, strings.ToUpper)
	text := r.method + " " + target + " " + r.version + "\n" + strings.Join(append(fields, framing...), "\n") + "\n\n" + body
	text = labBoundary.ReplaceAllString(text, "BOUNDARY")
	text = regexp.MustCompile(`(?m)^Content-Length: \d+(\n\n--BOUNDARY)`).ReplaceAllString(text, "Content-Length: N$1")
	return labAgent.ReplaceAllString(text, "User-Agent: curl")
}

// tunnel serves CONNECT, wherever it should lead, by ourselves or by TLS.
func (s *labServer) tunnel(nc net.Conn, br *bufio.Reader, r *labRequest) {
	if strings.HasPrefix(r.target, "forbidden.") {
		io.WriteString(nc, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	io.WriteString(nc, "HTTP/1.1 200 Connection established\r\n\r\n")
	if _, port, _ := net.SplitHostPort(r.target); s.https != "" && strings.HasSuffix(s.https, ":"+port) {
		to, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return
		}
		defer to.Close()
		go io.Copy(to, br)
		io.Copy(nc, to)
		return
	}
	for {
		r, err := s.read(br, nc)
		if err != nil || !s.answer(nc, r) {
			return
		}
	}
}

func labText(status string, fields string, body string) string {
	if fields != "" {
		fields += "\r\n"
	}
	return fmt.Sprintf("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, fields, len(body), body)
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func deflated(s string, raw bool) string {
	var b bytes.Buffer
	var w io.WriteCloser = zlib.NewWriter(&b)
	if raw {
		w, _ = flate.NewWriter(&b, 1)
	}
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

const labDigits = "0123456789"

// labPages answer byte for byte; answers that end with the connection are in labEnds.
var labPages = map[string]string{
	"/ok":            labText("200 OK", "", "ok\n"),
	"/type":          labText("200 OK", "Content-Type: text/html; charset=utf-8\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\nServer: lab", "<p>\n"),
	"/empty":         "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
	"/zero":          labText("200 OK", "", ""),
	"/chunked":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndef\n\r\n0\r\nX-Trailer: t\r\n\r\n",
	"/gzip":          labText("200 OK", "Content-Encoding: gzip", gzipped("zipped\n")),
	"/deflate":       labText("200 OK", "Content-Encoding: deflate", deflated("deflated\n", false)),
	"/raw-deflate":   labText("200 OK", "Content-Encoding: deflate", deflated("deflated\n", true)),
	"/bad-gzip":      labText("200 OK", "Content-Encoding: gzip", "this is no gzip"),
	"/cut-gzip":      labText("200 OK", "Content-Encoding: gzip", gzipped(strings.Repeat("zipped\n", 9))[:20]),
	"/identity":      labText("200 OK", "Content-Encoding: identity", "plain\n"),
	"/hundred":       "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + labText("200 OK", "", "after hints\n"),
	"/cookies":       labText("200 OK", "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2; HttpOnly\r\nSet-Cookie: c=3; Path=/elsewhere\r\nSet-Cookie: d=4; Max-Age=0", "cookies\n"),
	"/cookie-away":   labText("302 Found", "Set-Cookie: r=1; Path=/\r\nLocation: /ok", "moved\n"),
	"/loop":          labText("302 Found", "Location: /loop", "loop\n"),
	"/nowhere":       labText("302 Found", "", "no location\n"),
	"/to-file":       labText("302 Found", "Location: file:///etc/passwd", ""),
	"/to-ftp":        labText("302 Found", "Location: ftp://127.0.0.1/x", ""),
	"/to-dots":       labText("302 Found", "Location: a/../ok?x=1#frag", ""),
	"/disposition":   labText("200 OK", `Content-Disposition: attachment; filename="named.txt"`, "named\n"),
	"/bare-name":     labText("200 OK", `Content-Disposition: attachment; filename=bare.txt`, "bare\n"),
	"/up-name":       labText("200 OK", `Content-Disposition: attachment; filename="../../up.txt"`, "up\n"),
	"/modified":      labText("200 OK", "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT", "modified\n"),
	"/402":           labText("402 Payment Required", "", "pay\n"),
	"/404":           labText("404 Not Found", "", "none\n"),
	"/500":           labText("500 Internal Server Error", "", "broken\n"),
	"/413":           "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n",
	"/no-body":       "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n",
	"/300":           labText("300 Multiple Choices", "Location: /ok", "choose\n"),
	"/304":           "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
	"/dir/":          labText("200 OK", "", "dir\n"),
	"/name%20x":      labText("200 OK", "", "blank\n"),
	"/binary":        labText("200 OK", "", "a\x00\x01\xff\r\nb"),
	"/continue":      "HTTP/1.1 100 Continue\r\n\r\n" + labText("200 OK", "", "went on\n"),
	"/no-reason":     "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nok\n",
	"/deaf":          labText("200 OK", "", "deaf\n"),
	"/created":       labText("201 Created", "Location: /ok", "created\n"),
	"/many-continue": strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000) + labText("200 OK", "", "ok\n"),
	"/switch":        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
	"/two-types":     labText("200 OK", "Content-Encoding: gzip, gzip", gzipped(gzipped("twice\n"))),
}

// labEnds are sent, and then the connection ends.
var labEnds = map[string]string{
	"/close":        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end\n",
	"/http10":       "HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nold\n",
	"/nothing":      "",
	"/short":        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf\n",
	"/short-chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf\n",
	"/no-last":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf\n\r\n",
	"/bad-chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\n",
	"/http09":       "no HTTP here\n",
	"/two-lengths":  "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
	"/both":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"/negative":     "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
	"/bad-version":  "HTTP/1.1 2xx OK\r\n\r\nabc",
	"/status-99":    "HTTP/1.1 99 Low\r\nContent-Length: 3\r\n\r\nabc",
	"/status-1000":  "HTTP/1.1 1000 High\r\nContent-Length: 3\r\n\r\nabc",
	"/wide":         "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 400<<10) + "\r\nContent-Length: 3\r\n\r\nabc",
	"/many":         "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 6000) + "Content-Length: 3\r\n\r\nabc",
	"/cut-head":     "HTTP/1.1 200 OK\r\nContent-Le",
	"/body-of-head": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
}

// answer says whether the connection goes on.
func (s *labServer) answer(nc net.Conn, r *labRequest) bool {
	path := r.path()
	if end, ok := labEnds[path]; ok {
		io.WriteString(nc, end)
		return false
	}
	text, ok := labPages[path]
	if !ok {
		text = s.made(path, r)
	}
	if r.method == "HEAD" {
		if head, _, ok := strings.Cut(text, "\r\n\r\n"); ok && !strings.HasPrefix(text, "HTTP/1.1 1") {
			text = head + "\r\n\r\n"
		}
	}
	_, err := io.WriteString(nc, text)
	return err == nil && !strings.Contains(text, "Connection: close") && r.version == "HTTP/1.1"
}

// made is an answer that depends on the request.
func (s *labServer) made(path string, r *labRequest) string {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch kind {
	case "echo":
		return labText("200 OK", "Content-Type: text/plain", r.method+" "+r.target+"\n"+r.body+"\n")
	case "redirect": // STATUS
		return labText(rest+" Moved", "Location: /ok", "moved\n")
	case "away": // STATUS
		return labText(rest+" Moved", "Location: "+s.other+"/ok", "moved\n")
	case "down": // to http
		return labText("302 Found", "Location: "+s.http+"/ok", "moved\n")
	case "hop": // N
		n, _ := strconv.Atoi(rest)
		if n > 0 {
			return labText("302 Found", fmt.Sprintf("Location: /hop/%d", n-1), "hop\n")
		}
		return labText("200 OK", "", "there\n")
	case "location": // as it is in the query
		to, _ := url.QueryUnescape(r.target[strings.IndexByte(r.target, '?')+1:])
		return labText("302 Found", "Location: "+to, "")
	case "flaky": // STATUS, TIMES
		status, times, _ := strings.Cut(rest, "/")
		if n, _ := strconv.Atoi(times); r.try <= n {
			return labText(status+" Again", "Retry-After: 1", "again\n")
		}
		return labText("200 OK", "", "at last\n")
	case "unsure": // STATUS, TIMES: flaky, without a word about when
		status, times, _ := strings.Cut(rest, "/")
		if n, _ := strconv.Atoi(times); r.try <= n {
			return labText(status+" Again", "", "again\n")
		}
		return labText("200 OK", "", "at last\n")
	case "cut": // short the first time
		answer := labRange(r)
		if r.try == 1 {
			return strings.Replace(answer[:len(answer)-2], "\r\n", "\r\nConnection: close\r\n", 1)
		}
		return answer
	case "auth":
		if r.field("Authorization") == "Basic dTpw" {
			return labText("200 OK", "", "welcome\n")
		}
		return labText("401 Unauthorized", `WWW-Authenticate: Basic realm="lab"`, "who?\n")
	case "417":
		if r.field("Expect") != "" {
			return labText("417 Expectation Failed", "", "")
		}
		return labText("200 OK", "", "without\n")
	case "range":
		return labRange(r)
	case "big":
		n, _ := strconv.Atoi(rest)
		return labText("200 OK", "", strings.Repeat("x", n))
	case "n":
		return labText("200 OK", "", "n="+rest+"\n")
	case "bomb":
		return labText("200 OK", "Content-Encoding: gzip", gzipped(strings.Repeat("\x00", 8<<20)))
	}
	return labText("200 OK", "", "page "+path+"\n")
}

// labRange serves part of ten digits.
func labRange(r *labRequest) string {
	spec, ok := strings.CutPrefix(r.field("Range"), "bytes=")
	if !ok {
		return labText("200 OK", "Accept-Ranges: bytes", labDigits)
	}
	from, to, _ := strings.Cut(spec, "-")
	first, err := strconv.Atoi(from)
	last, err2 := strconv.Atoi(to)
	if err != nil { // -N
		first, last = 10-last, 9
	} else if err2 != nil {
		last = 9
	}
	if first > 9 {
		return labText("416 Range Not Satisfiable", "Content-Range: bytes */10", "no such range\n")
	}
	return labText("206 Partial Content", fmt.Sprintf("Content-Range: bytes %d-%d/10", first, last), labDigits[first:last+1])
}

// shellWords splits a command line as a shell does, as far as these tests need it.
func shellWords(line string) (words []string) {
	var b strings.Builder
	inWord := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\n':
			if inWord {
				words = append(words, b.String())
				b.Reset()
				inWord = false
			}
		case '\'', '"':
			inWord = true
			end := i + 1
			for end < len(line) && line[end] != c {
				if c == '"' && line[end] == '\\' && strings.IndexByte("\"\\$`", line[end+1]) >= 0 {
					end++
				}
				b.WriteByte(line[end])
				end++
			}
			i = end
		case '\\':
			if i++; line[i] != '\n' {
				b.WriteByte(line[i])
				inWord = true
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, b.String())
	}
	return words
}

// files are the names and contents below dir, but for those that were there.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all = append(all, name+": "+string(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

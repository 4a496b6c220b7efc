package httpd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime/multipart"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/files"
	"socketsrv/internal/kit"
)

const form = "Content-Type: multipart/form-data; boundary=B"

var uploaded = []struct {
	flags, method, target, body string
	fields                      []string
	status                      int
	changed                     map[string]string // beside start
}{
	{"", "PUT", "/new.txt", "content", nil, 201, map[string]string{"new.txt": "content"}},
	{"", "PUT", "/empty", "", nil, 201, map[string]string{"empty": ""}},
	{"", "POST", "/new.txt", "content", nil, 201, map[string]string{"new.txt": "content"}},
	{"", "POST", "/new.txt", "a=b", []string{"Content-Type: application/x-www-form-urlencoded"}, 201, map[string]string{"new.txt": "a=b"}},
	{"", "PUT", "/sub/new%20name.txt?x", "content", nil, 201, map[string]string{"sub/new name.txt": "content"}},
	{"", "PUT", "/sub/../new.txt", "content", nil, 201, map[string]string{"new.txt": "content"}},
	{"", "PUT", "/d%C3%A9j%C3%A0.txt", "content", nil, 201, map[string]string{"déjà.txt": "content"}},
	{"-max-upload 7", "PUT", "/new.txt", "content", nil, 201, map[string]string{"new.txt": "content"}},
	{"-max-upload 6", "PUT", "/new.txt", "content", nil, 413, nil},
	{"-max-upload 6", "PUT", "/new.txt", "7\r\ncontent\r\n0\r\n\r\n", []string{"Transfer-Encoding: chunked"}, 413, nil},
	{"-max-upload 7", "PUT", "/new.txt", "7\r\ncontent\r\n0\r\n\r\n", []string{"Transfer-Encoding: chunked"}, 201, map[string]string{"new.txt": "content"}},

	{"-max-upload 9223372036854775807", "PUT", "/new.txt", "content", nil, 201, map[string]string{"new.txt": "content"}},
	{"-max-upload 0", "PUT", "/new.txt", "", nil, 201, map[string]string{"new.txt": ""}},
	{"-max-upload 0", "PUT", "/new.txt", "x", nil, 413, nil},

	{"", "PUT", "/old.txt", "content", nil, 409, nil},
	{"-overwrite", "PUT", "/old.txt", "content", nil, 200, map[string]string{"old.txt": "content"}},
	{"-overwrite", "PUT", "/old.txt", "content", []string{"If-None-Match: *"}, 412, nil},
	{"-overwrite", "PUT", "/old.txt", "content", []string{`If-Match: "x"`}, 412, nil},
	{"-overwrite", "PUT", "/old.txt", "content", []string{"If-Match: *"}, 200, map[string]string{"old.txt": "content"}},
	{"-overwrite", "PUT", "/new.txt", "content", []string{"If-Match: *"}, 412, nil},
	{"", "PUT", "/new.txt", "content", []string{"If-None-Match: *"}, 201, map[string]string{"new.txt": "content"}},
	{"", "PUT", "/sub", "content", nil, 409, nil},
	{"-overwrite", "PUT", "/sub", "content", nil, 409, nil},
	{"", "PUT", "/sub/", "content", nil, 409, nil},
	{"", "PUT", "/", "content", nil, 409, nil},
	{"", "PUT", "/missing/new.txt", "content", nil, 409, nil},
	{"", "PUT", "/old.txt/new.txt", "content", nil, 409, nil},
	{"", "POST", "/sub/", "content", nil, 400, nil},
	{"", "PUT", "/new.txt", "content", []string{"Content-Range: bytes 0-6/7"}, 400, nil},
	{"", "PUT", "/new.txt", "content", []string{"Content-Encoding: gzip"}, 415, nil},
	{"", "PUT", "/new.txt", "content", []string{"Content-Encoding: identity"}, 201, map[string]string{"new.txt": "content"}},

	{"", "PUT", "/new.txt", "content", []string{"Content-Encoding: Identity"}, 201, map[string]string{"new.txt": "content"}},
	{"", "PUT", "/new.txt", "content", []string{"Content-Encoding: identity", "Content-Encoding: gzip"}, 415, nil},

	{"", "PUT", "/../evil", "content", nil, 400, nil},
	{"", "PUT", "/%2e%2e/evil", "content", nil, 400, nil},
	{"", "PUT", "/out/evil", "content", nil, 409, nil}, // a link to the folder above
	{"", "PUT", "/outfile", "content", nil, 409, nil},
	{"-overwrite", "PUT", "/outfile", "content", nil, 200, map[string]string{"outfile": "content"}}, // the link is replaced, not followed
	{"", "PUT", "/a%2fb", "content", nil, 400, nil},
	{"", "PUT", "/a%5cb", "content", nil, 400, nil},
	{"", "PUT", "/a%00b", "content", nil, 400, nil},
	{"", "PUT", "/a%0ab", "content", nil, 400, nil},
	{"", "PUT", "/a%ffb", "content", nil, 400, nil},
	{"", "PUT", "/a%E2%80%AEb", "content", nil, 400, nil},
	{"", "PUT", "/a:b", "content", nil, 201, map[string]string{"a:b": "content"}},
	{"", "PUT", "/-rf", "content", nil, 400, nil},
	{"", "PUT", "/.profile", "content", nil, 404, nil},
	{"-dotfiles", "PUT", "/.profile", "content", nil, 400, nil},
	{"", "PUT", "/con", "content", nil, 400, nil},
	{"", "PUT", "/dot.", "content", nil, 400, nil},
	{"", "PUT", "/" + strings.Repeat("n", 256), "content", nil, 400, nil},
	{"", "PUT", "/" + strings.Repeat("n", 255), "content", nil, 201, map[string]string{strings.Repeat("n", 255): "content"}},

	{"-auth me:pw", "PUT", "/new.txt", "content", nil, 401, nil},
	{"-auth me:pw", "PUT", "/new.txt", "content", []string{"Authorization: Basic bWU6cHc="}, 201, map[string]string{"new.txt": "content"}},
	{"", "PUT", "/new.txt", "content", []string{"Host: evil.example"}, 403, nil},
	{"", "POST", "/new.txt", "content", []string{"Origin: http://evil.example"}, 403, nil},
	{"-cors", "POST", "/new.txt", "content", []string{"Origin: http://evil.example"}, 403, nil},
	{"", "POST", "/new.txt", "content", []string{"Origin: http://localhost:1"}, 201, map[string]string{"new.txt": "content"}},
	{"-origin http://good.example", "POST", "/new.txt", "content", []string{"Origin: http://good.example"}, 201, map[string]string{"new.txt": "content"}},
	{"-no-upload", "PUT", "/new.txt", "content", nil, 405, nil},

	{"", "POST", "/sub/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\ncontent\r\n--B--\r\n", []string{form}, 201, map[string]string{"sub/a.txt": "content"}},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=f; filename=b.txt\r\n\r\ntwo\r\n--B--", []string{form}, 201, map[string]string{"a.txt": "one", "b.txt": "two"}},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B--", []string{form, "Accept: text/html"}, 303, map[string]string{"a.txt": "one"}},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=f; filename=old.txt\r\n\r\ntwo\r\n--B--", []string{form}, 409, nil},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=f; filename=../b\r\n\r\ntwo\r\n--B--", []string{form}, 400, nil},
	{"", "POST", "/", strings.Repeat("--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n", 2) + "--B--", []string{form}, 400, nil},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none", []string{form}, 400, nil},
	{"", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f\r\n\r\nno file\r\n--B--", []string{form}, 400, nil},
	{"", "POST", "/new.txt", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B--", []string{form}, 400, nil},
	{"", "POST", "/", "--B--", []string{"Content-Type: multipart/form-data"}, 400, nil},
	{"-max-upload 90", "POST", "/", "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\none\r\n--B--\r\n" + strings.Repeat(" ", 100), []string{form}, 413, nil},
}

// TestHttpdUpload: what is taken, what is refused, and what is there afterwards.
func TestHttpdUpload(t *testing.T) {
	start := map[string]string{"old.txt": "old", "sub/x": "x"}
	for _, tt := range uploaded {
		dir := kit.WebRoot(t, start)
		above := filepath.Dir(dir)
		if err := errors.Join(os.Symlink("..", filepath.Join(dir, "out")), os.Symlink("../evil", filepath.Join(dir, "outfile"))); err != nil {
			t.Fatal(err)
		}
		flags := append([]string{"-upload"}, strings.Fields(tt.flags)...)
		if tt.flags == "-no-upload" {
			flags = nil
		}
		p := kit.Background(t, Mode, append(flags, "-port", "0", dir)...)
		status, answer := rawUpload(t, p.Addr("http"), tt.method, tt.target, tt.body, tt.fields)
		want := maps.Clone(start)
		maps.Copy(want, tt.changed)
		if got := kit.Contents(t, dir); status != tt.status || !maps.Equal(got, want) {
			t.Errorf("%s %s %.60s %q: %d %q, then %q\nwant %d, %q", tt.flags, tt.method, tt.target, tt.fields, status, answer, got, tt.status, want)
		}
		if names := namesIn(t, above); slices.Contains(names, "evil") {
			t.Errorf("%s %s: outside there are %q", tt.method, tt.target, names)
		}
		if strings.Contains(answer, above) {
			t.Errorf("%s %s: says where we are: %s", tt.method, tt.target, answer)
		}
		if status/100 == 2 && len(tt.changed) == 1 {
			for _, content := range tt.changed {
				if sum := fmt.Sprintf("%x ", sha256.Sum256([]byte(content))); !strings.HasPrefix(answer, sum) {
					t.Errorf("%s %s: the answer is %q, want the hash", tt.method, tt.target, answer)
				}
			}
		}
		p.Stop()
	}
}

// TestHttpdUploadBetween: of a form whose second file appears meanwhile the answer,
// the log and the count have the first one.
func TestHttpdUploadBetween(t *testing.T) {
	dir := t.TempDir()
	p := kit.Background(t, Mode, "-upload", "-port", "0", dir)
	nc := kit.DialTCP(t, p.Addr("http"))
	nc.SetDeadline(time.Now().Add(kit.Patience))
	body := part(`form-data; filename="a"`, "one") + part(`form-data; filename="b"`, "two")
	fmt.Fprintf(nc, "POST / HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", form, len(body)+len("--B--"), body)
	for end := time.Now().Add(kit.Patience); len(namesIn(t, dir)) < 2; runtime.Gosched() { // both have begun
		if time.Now().After(end) {
			t.Fatalf("there are %q", namesIn(t, dir))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "b"), []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	io.WriteString(nc, "--B--")
	answer, err := io.ReadAll(nc)
	p.Stop()
	if want := fmt.Sprintf("-overwrite lets it be replaced\ntaken before that:\n%x a 3\n", sha256.Sum256([]byte("one"))); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 409 ") || !strings.HasSuffix(string(answer), want) {
		t.Errorf("the answer is %q, %v; want 409 and %q", answer, err, want)
	}
	p.Stderr.WaitFor(t, `(?s)took /a, 3 bytes\n.*, 1 file taken\n`)
	if got := kit.Contents(t, dir); !maps.Equal(got, map[string]string{"a": "one", "b": "first"}) {
		t.Errorf("there is %q", got)
	}
}

// TestHttpdUploadState: of two who want to be the first, and overlap, one is.
func TestHttpdUploadState(t *testing.T) {
	dir := t.TempDir()
	p := kit.Background(t, Mode, "-upload", "-overwrite", "-port", "0", dir)
	var conns []net.Conn
	for range 2 {
		nc := kit.DialTCP(t, p.Addr("http"))
		nc.SetDeadline(time.Now().Add(kit.Patience))
		fmt.Fprint(nc, "PUT /a HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\nContent-Length: 3\r\nConnection: close\r\n\r\nab")
		conns = append(conns, nc)
	}
	for end := time.Now().Add(kit.Patience); len(namesIn(t, dir)) < 2; runtime.Gosched() { // both have begun
		if time.Now().After(end) {
			t.Fatalf("there are %q", namesIn(t, dir))
		}
	}
	for i, want := range []string{"HTTP/1.1 201 ", "HTTP/1.1 412 "} {
		io.WriteString(conns[i], "12"[i:i+1])
		if answer, err := io.ReadAll(conns[i]); err != nil || !strings.HasPrefix(string(answer), want) {
			t.Errorf("number %d: %q, %v; want %q", i, answer, err, want)
		}
	}
	p.Stop()
	if got := kit.Contents(t, dir); !maps.Equal(got, map[string]string{"a": "ab1"}) {
		t.Errorf("there is %q", got)
	}
}

// rawUpload sends a request as it is, with the length of body unless a field says
// otherwise, and returns the answer.
func rawUpload(t *testing.T, addr, method, target, body string, fields []string) (status int, answer string) {
	t.Helper()
	if !slices.Contains(fields, "Transfer-Encoding: chunked") {
		fields = append(slices.Clone(fields), fmt.Sprintf("Content-Length: %d", len(body)))
	}
	nc := kit.DialTCP(t, addr)
	defer nc.Close()
	host := "Host: localhost"
	for i, field := range fields {
		if strings.HasPrefix(field, "Host: ") {
			host = field
			fields = slices.Delete(slices.Clone(fields), i, i+1)
			break
		}
	}
	io.WriteString(nc, method+" "+target+" HTTP/1.1\r\nConnection: close\r\n"+strings.Join(append([]string{host}, fields...), "\r\n")+"\r\n\r\n"+body)
	b, err := io.ReadAll(nc)
	if _, err := fmt.Sscanf(string(b), "HTTP/1.1 %d ", &status); err != nil {
		t.Fatalf("%s %s: %q, %v", method, target, b, err)
	}
	if err != nil {
		t.Errorf("%s %s: %v", method, target, err)
	}
	_, answer, _ = strings.Cut(string(b), "\r\n\r\n")
	return status, answer
}

// TestHttpdUploadCut: an upload that ends too early, at whatever byte, leaves
// nothing; one that is refused is not asked for.
func TestHttpdUploadCut(t *testing.T) {
	dir := kit.WebRoot(t, nil)
	p := kit.Background(t, Mode, "-upload", "-port", "0", dir)
	addr := p.Addr("http")
	whole := "--B\r\nContent-Disposition: form-data; name=f; filename=a.txt\r\n\r\ncontent\r\n--B--\r\n"
	chunked := "7\r\ncontent\r\n0\r\n\r\n"
	for _, tt := range []struct{ head, body string }{
		{"PUT /new HTTP/1.1\r\nContent-Length: 7\r\n", "content"},
		{"PUT /new HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", chunked},
		{"POST / HTTP/1.1\r\n" + form + fmt.Sprintf("\r\nContent-Length: %d\r\n", len(whole)), whole},
	} {
		for n := range len(tt.body) {
			nc := kit.DialTCP(t, addr)
			io.WriteString(nc, tt.head+"Host: localhost\r\n\r\n"+tt.body[:n])
			nc.CloseWrite()
			b, _ := io.ReadAll(nc)
			if strings.HasPrefix(string(b), "HTTP/1.1 2") {
				t.Errorf("%.40q after %d bytes: %q", tt.head, n, b)
			}
			nc.Close()
		}
	}
	for _, head := range []string{"PUT /-b HTTP/1.1", "PUT /x/y HTTP/1.1", "POST / HTTP/1.1"} {
		nc := kit.DialTCP(t, addr)
		io.WriteString(nc, head+"\r\nHost: localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n")
		if b, err := io.ReadAll(nc); !strings.HasPrefix(string(b), "HTTP/1.1 4") || err != nil {
			t.Errorf("%s: %q, %v; want a refusal", head, b, err)
		}
		nc.Close()
	}
	p.Stop()
	if got := kit.Contents(t, dir); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

// TestUploadStatus: what the client is told of our troubles.
func TestUploadStatus(t *testing.T) {
	for err, want := range map[error]int{
		syscall.ENOSPC: 507, syscall.EACCES: 403, syscall.EROFS: 403, syscall.EIO: 500, errTooMuch: 413, files.ErrFileExists: 409, files.NameError("the name is a device on Windows"): 400,
		&httpmini.Error{Status: 404, Err: httpmini.ErrFileName}: 404,
	} {
		if got := uploadStatus(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

// TestHttpdUploadTrouble: what goes wrong on our side is said to us, not to clients,
// and leaves nothing.
func TestHttpdUploadTrouble(t *testing.T) {
	defer func(was func(*files.Part, bool) error) { publishPart = was }(publishPart)
	publishPart = func(*files.Part, bool) error {
		return &fs.PathError{Op: "link", Path: "our own disk", Err: syscall.EIO}
	}
	dir := kit.WebRoot(t, nil)
	p := kit.Background(t, Mode, "-upload", "-port", "0", dir)
	status, answer := rawUpload(t, p.Addr("http"), "PUT", "/new", "content", nil)
	if status != 500 || answer != "Internal Server Error\n" {
		t.Errorf("%d %q", status, answer)
	}
	p.Stderr.WaitFor(t, "our own disk")
	p.Stop()
	if got := kit.Contents(t, dir); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

// takeForm runs a form through the parser, into a folder of its own.
func takeForm(t testing.TB, root *os.Root, body io.Reader, boundary string) (files map[string]string, err error) {
	t.Helper()
	files = map[string]string{}
	taking := &taking{root: root}
	err = taking.form(body, boundary)
	for _, p := range taking.parts {
		b, rerr := os.ReadFile(filepath.Join(root.Name(), p.Temp))
		if rerr != nil {
			t.Fatal(rerr)
		}
		files[p.Name] = string(b)
		p.Discard(false)
	}
	return files, err
}

// formRoot is a folder for takeForm.
func formRoot(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func part(disposition, content string) string {
	return "--B\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n"
}

var forms = []struct {
	name, body string
	want       map[string]string // nil: an error
}{
	{"one file", part(`form-data; name="f"; filename="a.txt"`, "content") + "--B--\r\n", map[string]string{"a.txt": "content"}},
	{"no line end at the end", part(`form-data; name="f"; filename="a.txt"`, "content") + "--B--", map[string]string{"a.txt": "content"}},
	{"before and behind", "for old programs\r\n" + part(`form-data; name="f"; filename="a"`, "x") + "--B--\r\nand\r\n--B\r\nmore", map[string]string{"a": "x"}},
	{"an empty file", part(`form-data; name="f"; filename="a"`, "") + "--B--", map[string]string{"a": ""}},
	{"fields are skipped", part(`form-data; name="x"`, "y") + part(`form-data; name="f"; filename="a"`, "x") + part(`form-data; name="filename=b"`, "y") + "--B--", map[string]string{"a": "x"}},
	{"no file chosen", part(`form-data; name="x"; filename=""`, "") + part(`form-data; name="f"; filename="a"`, "x") + "--B--", map[string]string{"a": "x"}},
	{"content like delimiters", part(`form-data; name="f"; filename="a"`, "\r\n--C\r\n--\r\n--A--\r\n-\r\n") + "--B--", map[string]string{"a": "\r\n--C\r\n--\r\n--A--\r\n-\r\n"}},
	{"blanks behind the boundary", "--B \t\r\nContent-Disposition: form-data; filename=a\r\n\r\nx\r\n--B--", map[string]string{"a": "x"}},
	{"other fields of a part", "--B\r\nContent-Type: text/plain\r\ncontent-disposition:form-data;filename=a\r\nX: y\r\n\r\nx\r\n--B--", map[string]string{"a": "x"}},
	{"a quote in the name", part(`form-data; filename="a\"b"; name="f"`, "x") + "--B--", map[string]string{`a"b`: "x"}},
	{"semicolons in quotes", part(`form-data; name="a; filename=no"; filename="b;c"`, "x") + "--B--", map[string]string{"b;c": "x"}},
	{"percent stays percent", part(`form-data; filename="a%22b"`, "x") + "--B--", map[string]string{"a%22b": "x"}},
	{"UTF-8", part(`form-data; filename="日本.txt"`, "x") + "--B--", map[string]string{"日本.txt": "x"}},
	{"a path", part(`form-data; filename="../a"`, "x") + "--B--", nil},
	{"a path of Windows", part(`form-data; filename="C:\dir\a"`, "x") + "--B--", nil},
	{"a hidden name", part(`form-data; filename=".a"`, "x") + "--B--", nil},
	{"no disposition", "--B\r\n\r\nx\r\n--B--", nil},
	{"another disposition", part(`attachment; filename="a"`, "x") + "--B--", nil},
	{"bare line feeds", "--B\nContent-Disposition: form-data; filename=a\n\nx\n--B--", nil},
	{"text behind the boundary", "--Bx\r\nContent-Disposition: form-data; filename=a\r\n\r\nx\r\n--B--", nil},
	{"a head without end", "--B\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\nx\r\n--B--", nil},
	{"a long line", "--B\r\nA: " + strings.Repeat("b", 5000) + "\r\nContent-Disposition: form-data; filename=a\r\n\r\nx\r\n--B--", nil},
	{"a line without end", "--B\r\nA: " + strings.Repeat("b", 50000) + "\r\nContent-Disposition: form-data; filename=a\r\n\r\nx\r\n--B--", nil},
	{"nothing", "", nil},
	{"only the end", "--B--", nil},
	{"no boundary in it", "some text", nil},
	{"too many files", manyFiles(maxFormFiles+1) + "--B--", nil},
	{"too many parts", strings.Repeat(part(`form-data; name="a"`, "x"), maxFormParts+1) + "--B--", nil},
}

func manyFiles(n int) (body string) {
	for i := range n {
		body += part(`form-data; filename="a`+strconv.Itoa(i)+`"`, "x")
	}
	return body
}

// TestForms: each form whole, byte by byte, and cut anywhere.
func TestForms(t *testing.T) {
	root := formRoot(t)
	for _, tt := range forms {
		for _, read := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
			files, err := takeForm(t, root, read(strings.NewReader(tt.body)), "B")
			if (err == nil) != (tt.want != nil) || err == nil && !maps.Equal(files, tt.want) {
				t.Errorf("%s: %q, %v; want %q", tt.name, files, err, tt.want)
			}
			if err != nil && uploadStatus(err)/100 != 4 {
				t.Errorf("%s: %v has status %d", tt.name, err, uploadStatus(err))
			}
			if strings.HasPrefix(tt.name, "too many") && err != errManyParts {
				t.Errorf("%s: %v, want %v", tt.name, err, errManyParts)
			}
		}
		end := strings.Index(tt.body, "--B--")
		if tt.want == nil || len(tt.body) > 1000 {
			continue
		}
		for n := range end + len("--B--") {
			if files, err := takeForm(t, root, strings.NewReader(tt.body[:n]), "B"); err == nil {
				t.Errorf("%s, cut after %d bytes: %q and no error", tt.name, n, files)
			}
		}
	}
	boom := errors.New("boom")
	if _, err := takeForm(t, root, io.MultiReader(strings.NewReader(forms[0].body), iotest.ErrReader(boom)), "B"); !errors.Is(err, boom) {
		t.Errorf("an error behind the form: %v", err)
	}
	for _, boundary := range []string{"", strings.Repeat("b", 71)} {
		if _, err := takeForm(t, root, strings.NewReader("--"+boundary+"--"), boundary); !errors.Is(err, errForm) {
			t.Errorf("boundary %q: %v", boundary, err)
		}
	}
	if names := namesIn(t, root.Name()); len(names) > 0 {
		t.Errorf("left over: %q", names)
	}
}

func TestUploadBoundary(t *testing.T) {
	for _, tt := range []struct {
		method, ctype, want string
		form                bool
	}{
		{"POST", "multipart/form-data; boundary=abc", "abc", true},
		{"POST", `Multipart/Form-Data ; charset=utf-8; BOUNDARY="a b"`, "a b", true},
		{"POST", "multipart/form-data;boundary=abc ; x=y", "abc", true},
		{"POST", "multipart/form-data", "", true},
		{"POST", `multipart/form-data; boundary="abc`, "abc", true},
		{"POST", "multipart/form-data; boundary", "", true},
		{"PUT", "multipart/form-data; boundary=abc", "", false},
		{"POST", "multipart/mixed; boundary=abc", "", false},
		{"POST", "", "", false},
	} {
		boundary, form := uploadBoundary(&httpmini.Request{Method: tt.method, Header: httpmini.Header{{Name: "Content-Type", Value: tt.ctype}}})
		if boundary != tt.want || form != tt.form {
			t.Errorf("%s %s: %q, %v; want %q, %v", tt.method, tt.ctype, boundary, form, tt.want, tt.form)
		}
	}
}

// FuzzForm: contents come back that mime/multipart packs, whatever they are, and
// what it reads otherwise, we do not take for whole.
func FuzzForm(f *testing.F) {
	for _, tt := range forms {
		f.Add([]byte(tt.body), 1)
	}
	f.Add([]byte("\r\n--B\r\n--B--"), 40000)
	root := formRoot(f)
	f.Fuzz(func(t *testing.T, content []byte, times int) {
		content = bytes.Repeat(content, min(max(times, 1), 1+70_000/(len(content)+1)))
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, name := range []string{"a", "b"} {
			part, err := w.CreateFormFile("f", name)
			if err != nil {
				t.Fatal(err)
			}
			part.Write(content)
		}
		w.Close()
		files, err := takeForm(t, root, &body, w.Boundary())
		if err != nil || files["a"] != string(content) || files["b"] != string(content) {
			t.Fatalf("%d bytes packed: %d and %d, %v", len(content), len(files["a"]), len(files["b"]), err)
		}
		files, err = takeForm(t, root, bytes.NewReader(content), "B")
		if err != nil {
			return
		}
		theirs, err := multipart.NewReader(bytes.NewReader(content), "B").ReadForm(1 << 20)
		if err != nil {
			t.Skip("mime/multipart is stricter about the heads of parts")
		}
		defer theirs.RemoveAll()
		n := 0
		for _, list := range theirs.File {
			for _, h := range list {
				n++
				file, err := h.Open()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(file)
				file.Close()
				if got, ok := files[h.Filename]; err != nil || ok && got != string(b) && len(files) == n {
					t.Fatalf("%q: %q here, %q there", h.Filename, got, b)
				}
			}
		}
	})
}

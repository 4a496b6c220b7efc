package httpmini

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rangeFields are Range fields for a file of ten bytes: what comes of them, as
// first-last of the parts, "whole" or "none".
var rangeFields = []struct{ field, want string }{
	{"bytes=0-0", "0-0"},
	{"bytes=0-9", "0-9"},
	{"bytes=2-4", "2-4"},
	{"bytes=9-", "9-9"},
	{"bytes=0-", "0-9"},
	{"bytes=5-100", "5-9"},
	{"bytes=5-9223372036854775807", "5-9"},
	{"bytes=-1", "9-9"},
	{"bytes=-10", "0-9"},
	{"bytes=-11", "0-9"},
	{"bytes=-9223372036854775807", "0-9"},
	{"BYTES=1-2", "1-2"},
	{"bytes= 1-2", "1-2"},
	{"bytes=1-2 , 4-5", "1-2 4-5"},
	{"bytes=0-0,-1", "0-0 9-9"},
	{"bytes=4-5,1-2", "4-5 1-2"},
	{"bytes=0-0,0-0", "0-0 0-0"},
	{"bytes=,1-2,,", "1-2"},
	{"bytes=1-2,20-30", "1-2"},
	{"bytes=0-4,5-9", "0-4 5-9"},
	{"bytes=0-4,4-9", "whole"}, // more than there is
	{"bytes=0-,0-", "whole"},
	{"bytes=10-", "none"},
	{"bytes=10-20", "none"},
	{"bytes=-0", "none"},
	{"bytes=10-,-0", "none"},
	{"bytes=9223372036854775807-", "none"},
	{"bytes=5-2", "whole"}, // and the rest are malformed: SF22
	{"bytes=1-2,5-2", "whole"},
	{"bytes=-", "whole"},
	{"bytes=a-b", "whole"},
	{"bytes=1", "whole"},
	{"bytes=", "whole"},
	{"bytes=,", "whole"},
	{"bytes", "whole"},
	{"", "whole"},
	{"items=0-1", "whole"},
	{"bytes=+1-2", "whole"},
	{"bytes=1-+2", "whole"},
	{"bytes=0x1-2", "whole"},
	{"bytes=1_0-", "whole"},
	{"bytes=--1", "whole"},
	{"bytes=1-2-3", "whole"},
	{"bytes=1 2-3", "whole"},
	{"bytes=18446744073709551616-", "whole"},
	{"bytes=9223372036854775808-", "whole"},
	{"bytes=-18446744073709551616", "whole"},
	{"bytes=" + strings.Repeat("0-0,", 10), "0-0 0-0 0-0 0-0 0-0 0-0 0-0 0-0 0-0 0-0"},
	{"bytes=" + strings.Repeat("0-0,", 11), "whole"},
	{"bytes=" + strings.Repeat("10-,", 1000), "none"},
}

func showRanges(ranges []byteRange, outcome rangeOutcome) string {
	switch outcome {
	case wholeFile:
		return "whole"
	case unsatisfiable:
		return "none"
	}
	var s []string
	for _, r := range ranges {
		s = append(s, fmt.Sprintf("%d-%d", r.start, r.start+r.length-1))
	}
	return strings.Join(s, " ")
}

func TestParseRanges(t *testing.T) {
	for _, tt := range rangeFields {
		if got := showRanges(parseRanges(tt.field, 10)); got != tt.want {
			t.Errorf("%.60q: %s, want %s", tt.field, got, tt.want)
		}
	}
	if got := showRanges(parseRanges("bytes=0-", 0)); got != "whole" {
		t.Errorf("of an empty file: %s, want whole", got)
	}
	if got := showRanges(parseRanges("bytes=-5", 3)); got != "0-2" { // SF23
		t.Errorf("bytes=-5 of three: %s, want 0-2", got)
	}
	const big = 1<<62 + 5
	if got := showRanges(parseRanges("bytes=4611686018427387904-", big)); got != "4611686018427387904-4611686018427387908" {
		t.Errorf("the end of 4 EiB: %s", got)
	}
	many := "bytes=" // SF21
	for i := range 1000 {
		many += fmt.Sprintf("%d-%d,", i, i)
	}
	if got := showRanges(parseRanges(many, 1<<20)); got != "whole" {
		t.Errorf("1000 ranges: %s, want whole", got)
	}
}

// FuzzParseRanges: what comes out lies in the file, is no more than it and no more
// than maxRanges; and alone, each is itself again.
func FuzzParseRanges(f *testing.F) {
	for _, tt := range rangeFields {
		f.Add(tt.field, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size = max(size, 0)
		ranges, outcome := parseRanges(field, size)
		if (outcome == someRanges) != (len(ranges) > 0) || len(ranges) > maxRanges {
			t.Fatalf("%q of %d: %v, %v", field, size, ranges, outcome)
		}
		left := size
		for _, r := range ranges {
			if r.start < 0 || r.length <= 0 || r.start > size-r.length || r.length > left {
				t.Fatalf("%q of %d: %v", field, size, ranges)
			}
			left -= r.length
			one := "bytes=" + strings.TrimPrefix(strings.TrimSuffix(r.contentRange(size), fmt.Sprintf("/%d", size)), "bytes ")
			if got, _ := parseRanges(one, size); !slices.Equal(got, []byteRange{r}) {
				t.Fatalf("%q of %d: %v, of %q: %v", field, size, r, one, got)
			}
		}
	})
}

// The conditions of RFC 9110 §13, with the file's own values in braces. nginx says
// what nginx answers where that is something else, and why.
var conditions = []struct {
	fields []string
	want   int
	nginx  int
}{
	{fields: nil, want: 200},
	{fields: []string{"If-None-Match: {etag}"}, want: 304},
	{fields: []string{"If-None-Match: W/{etag}"}, want: 304},
	{fields: []string{`If-None-Match: "x", {etag}`}, want: 304},
	{fields: []string{`If-None-Match: "x"`}, want: 200},
	{fields: []string{"If-None-Match: *"}, want: 304},
	{fields: []string{"If-None-Match:"}, want: 200},
	{fields: []string{"If-None-Match: garbage"}, want: 200},
	{fields: []string{`If-None-Match: "x"`, "If-None-Match: {etag}"}, want: 304, nginx: 200}, // nginx looks at one line
	{fields: []string{`If-None-Match: "a,b", {etag}`}, want: 304},
	{fields: []string{"If-Match: {etag}"}, want: 200},
	{fields: []string{"If-Match: *"}, want: 200},
	{fields: []string{`If-Match: "x"`}, want: 412},
	{fields: []string{"If-Match: W/{etag}"}, want: 412},
	{fields: []string{`If-Match: "x", {etag}`}, want: 200},
	{fields: []string{"If-Modified-Since: {date}"}, want: 304},
	{fields: []string{"If-Modified-Since: {later}"}, want: 304, nginx: 200}, // nginx compares for equality
	{fields: []string{"If-Modified-Since: {earlier}"}, want: 200},
	{fields: []string{"If-Modified-Since: garbage"}, want: 200},                                         // SF28
	{fields: []string{"If-Modified-Since: {date}", "If-Modified-Since: {date}"}, want: 200, nginx: 400}, // two are none; nginx takes no second line
	{fields: []string{"If-Modified-Since: {rfc850}"}, want: 304},
	{fields: []string{"If-Modified-Since: {asctime}"}, want: 304},
	{fields: []string{"If-Unmodified-Since: {date}"}, want: 200},
	{fields: []string{"If-Unmodified-Since: {later}"}, want: 200},
	{fields: []string{"If-Unmodified-Since: {earlier}"}, want: 412},
	{fields: []string{"If-Unmodified-Since: garbage"}, want: 200, nginx: 412}, // nginx takes it for 1970
	// The order of §13.2.2.
	{fields: []string{"If-Match: {etag}", "If-Unmodified-Since: {earlier}"}, want: 200, nginx: 412}, // nginx asks both
	{fields: []string{`If-Match: "x"`, "If-None-Match: {etag}"}, want: 412},
	{fields: []string{"If-Match: {etag}", "If-None-Match: {etag}"}, want: 304},
	{fields: []string{`If-None-Match: "x"`, "If-Modified-Since: {date}"}, want: 200},
	{fields: []string{"If-None-Match: {etag}", "If-Modified-Since: {earlier}"}, want: 304, nginx: 200}, // likewise
	{fields: []string{"If-Unmodified-Since: {earlier}", "If-Modified-Since: {date}"}, want: 412},
	// Ranges, which come last.
	{fields: []string{"Range: bytes=2-4"}, want: 206},
	{fields: []string{"Range: bytes=2-4", "If-None-Match: {etag}"}, want: 304},
	{fields: []string{"Range: bytes=2-4", `If-Match: "x"`}, want: 412},
	{fields: []string{"Range: bytes=2-4", "If-Range: {etag}"}, want: 206},
	{fields: []string{"Range: bytes=2-4", "If-Range: W/{etag}"}, want: 200},
	{fields: []string{"Range: bytes=2-4", `If-Range: "x"`}, want: 200},
	{fields: []string{"Range: bytes=2-4", "If-Range: {date}"}, want: 206},
	{fields: []string{"Range: bytes=2-4", "If-Range: {earlier}"}, want: 200},
	{fields: []string{"Range: bytes=2-4", "If-Range: {later}"}, want: 200},
	{fields: []string{"Range: bytes=2-4", "If-Range: garbage"}, want: 200},
	{fields: []string{"Range: bytes=20-", `If-Range: "x"`}, want: 200},
	{fields: []string{"Range: bytes=20-", "If-Range: {etag}"}, want: 416},
	{fields: []string{"Range: bytes=2-4", "If-Range: {etag}", "If-Range: {etag}"}, want: 200, nginx: 400}, // nginx takes no second line
}

// conditional is the request line and the fields of a test, for a file with those
// values.
func conditional(fields []string, etag string, modified time.Time) []string {
	utc := modified.UTC()
	values := strings.NewReplacer("{etag}", etag, "{date}", formatDate(modified), "{later}", formatDate(modified.Add(time.Hour)),
		"{earlier}", formatDate(modified.Add(-time.Hour)), "{rfc850}", utc.Format("Monday, 02-Jan-06 15:04:05 GMT"), "{asctime}", utc.Format(time.ANSIC))
	out := make([]string, len(fields))
	for i, field := range fields {
		out[i] = values.Replace(field)
	}
	return out
}

func TestConditions(t *testing.T) { warmAndCold(t, testConditions) }

func testConditions(t *testing.T) {
	root := plant(t, tree{"ten.txt": "0123456789", "big.bin": string(noise)})
	addr := serveFiles(t, &Files{Root: root}, nil)
	for _, name := range []string{"/ten.txt", "/big.bin"} {
		etag := ask(t, addr, "HEAD "+name).Header.Get("ETag")
		for _, tt := range conditions {
			fields := conditional(tt.fields, etag, old)
			if name == "/big.bin" && slices.Contains(fields, "Range: bytes=20-") {
				continue
			}
			r := ask(t, addr, "GET "+name, fields...)
			if r.Status != tt.want || r.err != nil {
				t.Errorf("%s, %q: %d, %v; want %d", name, fields, r.Status, r.err, tt.want)
			}
			switch {
			case r.Status == 304 && (r.body != "" || r.Header.Get("ETag") != etag || r.Header.Get("Last-Modified") != oldDate || r.Header.Has("Content-Type") || r.Header.Has("Content-Length")):
				t.Errorf("304: %v %q", r.Header, r.body)
			case r.Status == 206 && (r.body != string(noise[2:5]) && r.body != "234" || !strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 2-4/") || r.Header.Get("ETag") != etag):
				t.Errorf("206: %v %q", r.Header, r.body)
			case r.Status == 416 && r.Header.Get("Content-Range") != "bytes */10":
				t.Errorf("416: %v", r.Header)
			}
			want := tt.want
			if want == 206 || want == 416 {
				want = 200 // Range is for GET alone
			}
			if r := ask(t, addr, "HEAD "+name, fields...); r.Status != want {
				t.Errorf("HEAD %s, %q: %d, want %d", name, fields, r.Status, want)
			}
		}
	}
	now := time.Now()
	for _, tt := range []struct {
		value    string
		modified time.Time
		want     bool
	}{{formatDate(now), now, false}, {formatDate(now.Add(-3 * time.Second)), now.Add(-3 * time.Second), true}} {
		if got := ifRange(Header{{"If-Range", tt.value}}, `"x"`, tt.modified, now); got != tt.want {
			t.Errorf("If-Range with the date of a change %v ago: %v, want %v", now.Sub(tt.modified), got, tt.want)
		}
	}
}

// A file whose time lies ahead has no Last-Modified beyond Date (RFC 9110 §8.8.2.1).
func TestFilesOfTomorrow(t *testing.T) {
	root := plant(t, tree{"a": "a"})
	ahead := time.Now().Add(24 * time.Hour)
	must(t, os.Chtimes(filepath.Join(root.Name(), "a"), ahead, ahead))
	r := ask(t, serveFiles(t, &Files{Root: root}, nil), "GET /a")
	if d, ok := parseDate(r.Header.Get("Last-Modified")); !ok || d.After(time.Now()) {
		t.Errorf("Last-Modified: %s", r.Header.Get("Last-Modified"))
	}
}

func TestPrecondition(t *testing.T) {
	f := &Files{Root: plant(t, tree{"a": "a", "dir/": ""})}
	info, err := f.Root.Stat("a")
	must(t, err)
	etag := represent("a", info).etag
	for _, tt := range []struct {
		name, field, value string
		want               int
	}{
		{"a", "If-Match", etag, 0}, {"a", "If-Match", "*", 0}, {"a", "If-Match", `"x"`, 412}, {"new", "If-Match", "*", 412}, {"dir", "If-Match", "*", 412},
		{"new", "If-None-Match", "*", 0}, {"a", "If-None-Match", "*", 412}, {"a", "If-None-Match", etag, 412}, {"a", "If-None-Match", `"x"`, 0},
		{"a", "If-Modified-Since", formatDate(old), 0}, {"a", "If-Unmodified-Since", formatDate(old), 0},
		{"a", "If-Unmodified-Since", formatDate(old.Add(-time.Hour)), 412}, {"a", "X", "", 0},
	} {
		if got := f.Precondition(&Request{Header: Header{{tt.field, tt.value}}}, tt.name); got != tt.want {
			t.Errorf("%s: %s: %s: %d, want %d", tt.name, tt.field, tt.value, got, tt.want)
		}
	}
}

// Requests for several ranges, also for ones that a peer must answer the same.
var multiRanges = []string{
	"bytes=0-0,-1", "bytes=0-0,5-6,100-199", "bytes=-5,0-1", "bytes=1-2,299990-", "bytes=0-99999,100000-199999,200000-299999", "bytes=0-0,400000-",
	"bytes=7-7,7-7", "bytes=0-9 , 20-29",
}

// TestMultipartRanges reads what comes with mime/multipart's rules, by net/http's
// own client side.
func TestMultipartRanges(t *testing.T) { warmAndCold(t, testMultipartRanges) }

func testMultipartRanges(t *testing.T) {
	root := plant(t, tree{"big.bin": string(noise), "ten.txt": "0123456789"})
	addr := serveFiles(t, &Files{Root: root}, nil)
	for _, field := range multiRanges {
		ranges, _ := parseRanges(field, int64(len(noise)))
		r := ask(t, addr, "GET /big.bin", "Range: "+field)
		if len(ranges) == 1 {
			if r.body != string(noise[ranges[0].start:ranges[0].start+ranges[0].length]) {
				t.Errorf("%s: another part", field)
			}
			continue
		}
		boundary, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "multipart/byteranges; boundary=")
		if r.Status != 206 || !ok || len(boundary) != 20 || r.err != nil || r.Header.Has("Content-Range") {
			t.Errorf("%s: %d %v, %v", field, r.Status, r.Header, r.err)
			continue
		}
		want := ""
		for _, part := range ranges {
			want += "\r\n--" + boundary + "\r\nContent-Type: application/octet-stream\r\nContent-Range: " + part.contentRange(int64(len(noise))) + "\r\n\r\n" +
				string(noise[part.start:part.start+part.length])
		}
		if want += "\r\n--" + boundary + "--\r\n"; r.body != want {
			t.Errorf("%s: %d bytes, want %d", field, len(r.body), len(want))
		}
	}
	// Two lines are one list.
	if r := ask(t, addr, "GET /ten.txt", "Range: bytes=0-1", "Range: 3-4"); r.Status != 206 || !strings.Contains(r.body, "bytes 3-4/10") {
		t.Errorf("two lines: %d %q", r.Status, r.body)
	}
}

// A comparison is a request that ours and another server must answer alike. what
// says why they do not, where they do not.
type comparison struct {
	method string
	file   string
	fields []string
	skip   string
}

func comparisons(theirs string) (list []comparison) {
	add := func(skip string, file string, fields ...string) {
		list = append(list, comparison{"GET", file, fields, skip})
	}
	for _, tt := range rangeFields {
		skip := ""
		switch ranges, outcome := parseRanges(tt.field, 10); {
		case outcome == wholeFile && len(ranges) == 0 && tt.field != "" && !strings.HasPrefix(tt.field, "bytes=0-"):
			skip = "what is malformed is ignored here, refused there"
		case theirs == "nginx" && strings.HasPrefix(tt.field, "BYTES"):
			skip = ""
		case strings.Contains(tt.field, ",,"), strings.HasSuffix(tt.field, ","), strings.HasPrefix(tt.field, "bytes=,"):
			skip = "an empty element of the list is ignored here, refused there"
		case theirs == "net/http" && (strings.HasPrefix(tt.field, "BYTES") || tt.field == "bytes=-0" || tt.field == "bytes=10-,-0" || tt.field == "bytes=0-0,0-0"):
			skip = "net/http wants bytes in lower case, answers -0 with no bytes"
		}
		add(skip, "/ten.bin", "Range: "+tt.field)
	}
	for _, field := range multiRanges {
		add("", "/big.bin", "Range: "+field)
	}
	for _, tt := range conditions {
		skip := ""
		if tt.nginx != 0 && theirs == "nginx" {
			skip = fmt.Sprintf("%d here, %d there", tt.want, tt.nginx)
		}
		if theirs == "net/http" && slices.ContainsFunc(tt.fields, func(field string) bool {
			name, _, _ := strings.Cut(field, ":")
			return 1 < len(slices.DeleteFunc(slices.Clone(tt.fields), func(s string) bool { return !strings.HasPrefix(s, name+":") }))
		}) {
			skip = "net/http looks at one line"
		}
		add(skip, "/ten.bin", tt.fields...)
	}
	list = append(list, comparison{"HEAD", "/ten.bin", nil, ""}, comparison{"HEAD", "/big.bin", []string{"If-None-Match: {etag}"}, ""},
		comparison{"HEAD", "/big.bin", []string{"Range: bytes=0-0"}, "Range is for GET alone (RFC 9110 §14.2)"},
		comparison{"GET", "/big.bin", nil, ""}, comparison{"GET", "/empty.bin", nil, ""}, comparison{"GET", "/empty.bin", []string{"Range: bytes=0-"}, ""},
		comparison{"GET", "/missing", []string{"If-Match: *"}, ""}, comparison{"GET", "/missing", []string{"Range: bytes=0-1"}, ""},
		comparison{"GET", "/%74en.bin", []string{"Range: bytes=0-1"}, ""})
	return list
}

var (
	boundaryInType = regexp.MustCompile(`boundary=(\w+)`)
	comparedFiles  = tree{"ten.bin": "0123456789", "big.bin": string(noise), "empty.bin": ""}
)

// sum is a body in a failed test: itself where it is short.
func sum(body string) string {
	if len(body) > 50 {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	}
	return strconv.Quote(body)
}

// compare asks both servers the same, each with its own validators.
func compare(t *testing.T, theirs, ours, other string) {
	t.Helper()
	compared := 0
	for _, tt := range comparisons(theirs) {
		var answers [2]string
		for i, addr := range []string{ours, other} {
			etag := ask(t, addr, "HEAD "+tt.file).Header.Get("ETag")
			r := ask(t, addr, tt.method+" "+tt.file, conditional(tt.fields, etag, old)...)
			body, ctype := r.body, r.Header.Get("Content-Type")
			if b := boundaryInType.FindStringSubmatch(ctype); b != nil {
				body = strings.ReplaceAll(body, b[1], "BOUNDARY")
			}
			length := r.Header.Get("Content-Length")
			if r.Status >= 400 {
				body, length = "", ""
			}
			if theirs == "net/http" && r.Status == 206 && strings.HasPrefix(ctype, "multipart/") {
				body, length = fmt.Sprint(strings.Count(body, "Content-Range: bytes")), "" // other boundaries, and no CRLF in front
			}
			if r.Status != 200 && r.Status != 206 {
				length = ""
			}
			answers[i] = fmt.Sprintf("%d, Content-Range %q, Content-Length %q, %d bytes %s, %v", r.Status, r.Header.Get("Content-Range"), length, len(body), sum(body), r.err)
		}
		if tt.skip != "" {
			continue
		}
		compared++
		if answers[0] != answers[1] {
			t.Errorf("%s %s, %.80q:\nhere  %s\nthere %s", tt.method, tt.file, tt.fields, answers[0], answers[1])
		}
	}
	if compared < 40 {
		t.Errorf("only %d requests compared, want 40", compared)
	}
	t.Logf("%d requests compared, %d left out for a reason", compared, len(comparisons(theirs))-compared)
}

// TestFilesAgainstNginx: the same answers to the same requests.
func TestFilesAgainstNginx(t *testing.T) { warmAndCold(t, testFilesAgainstNginx) }

func testFilesAgainstNginx(t *testing.T) {
	root := plant(t, comparedFiles)
	for d := root.Name(); len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		os.Chmod(d, 0o755) // its worker is another user
	}
	compare(t, "nginx", serveFiles(t, &Files{Root: root}, nil), bridge(t, startNginx(t, "sendfile on; root "+root.Name()+";")))
}

// bridge makes a Unix socket reachable at a TCP address.
func bridge(t *testing.T, sock string) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("unix", sock)
				if err != nil {
					return
				}
				defer out.Close()
				go io.Copy(out, in)
				io.Copy(in, out)
			}()
		}
	}()
	return ln.Addr().String()
}

// TestFilesAgainstNetHTTP: likewise, where net/http is of our mind.
func TestFilesAgainstNetHTTP(t *testing.T) { warmAndCold(t, testFilesAgainstNetHTTP) }

func testFilesAgainstNetHTTP(t *testing.T) {
	root := plant(t, comparedFiles)
	etags := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := root.Open(strings.TrimPrefix(r.URL.Path, "/"))
		if errors.Is(err, os.ErrNotExist) {
			http.NotFound(w, r)
			return
		}
		must(t, err)
		defer file.Close()
		w.Header().Set("ETag", `"its-own"`)
		http.ServeContent(w, r, r.URL.Path, old, file)
	})
	s := httptest.NewServer(etags)
	t.Cleanup(s.Close)
	compare(t, "net/http", serveFiles(t, &Files{Root: root}, nil), s.Listener.Addr().String())
}

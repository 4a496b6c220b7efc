package httpmini

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// outcome is all that a parser makes of some bytes.
type outcome struct {
	err     string // "" if the message and its body are whole
	first   string // method and target, or the status
	header  string
	body    string
	trailer string
	rest    string // what the next message begins with
}

func finish(o *outcome, body io.Reader, br *bufio.Reader) error {
	b, err := io.ReadAll(body)
	o.body = string(b)
	if err != nil {
		return err
	}
	rest, _ := io.ReadAll(br)
	o.rest = string(rest)
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func ours(wire []byte, method string, feed func(io.Reader) *bufio.Reader) (o outcome, r *Request, resp *Response, err error) {
	br := feed(bytes.NewReader(wire))
	if method == "" {
		if r, err = ReadRequest(br, Limits{}); err == nil {
			o.first = r.Method + " " + r.Target
			o.header = canonical(r.Header)
			err = finish(&o, r.Body, br)
			o.trailer = canonical(r.Trailer)
		}
	} else if resp, err = ReadResponse(br, method, Limits{}); err == nil {
		o.first = string(rune(resp.Status))
		o.header = canonical(resp.Header)
		err = finish(&o, resp.Body, br)
		o.trailer = canonical(resp.Trailer)
	}
	o.err = text(err)
	return o, r, resp, err
}

func whole(r io.Reader) *bufio.Reader    { return bufio.NewReaderSize(r, 1<<16) }
func byteWise(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(iotest.OneByteReader(r), 16) }

// canonical sorts fields as net/http's map makes us, without those it treats
// on its own.
func canonical(h Header) string {
	var all []string
	for _, f := range h {
		all = append(all, http.CanonicalHeaderKey(f.Name)+": "+f.Value)
	}
	return sorted(all)
}

func theirs(h http.Header) string {
	var all []string
	for name, values := range h {
		for _, v := range values {
			all = append(all, name+": "+v)
		}
	}
	return sorted(all)
}

func sorted(fields []string) string {
	fields = slices.DeleteFunc(fields, func(f string) bool {
		name, _, _ := strings.Cut(f, ":")
		return slices.Contains([]string{"Host", "Trailer", "Transfer-Encoding", "Cache-Control", "Connection", "Content-Length"}, name)
	})
	slices.Sort(fields)
	return strings.Join(fields, "\n")
}

// differences are what we accept and net/http does not, each with an example.
var differences = []struct {
	reason, example string
	holds           func(wire string, h, trailer Header) bool
}{
	{"RFC 9112 §2.2 wants one empty line before a request ignored; net/http refuses it",
		"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		func(wire string, _, _ Header) bool { return strings.HasPrefix(wire, "\r\n") }},
	{"net/http refuses some Trailer fields; to us they announce and nothing more",
		"POST / HTTP/1.1\r\nHost: a\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		func(_ string, h, _ Header) bool { return h.Has("Trailer") }},
	{"RFC 3986 §3.2.2 allows percent-encoding in a host; net/url does not",
		"GET http://a%41/ HTTP/1.1\r\nHost: a\r\n\r\n",
		func(wire string, _, _ Header) bool {
			line, _, _ := strings.Cut(wire, "\r\n")
			_, target, _ := strings.Cut(line, " ")
			authority, _, absolute := cutAbsolute(target)
			return absolute && strings.Contains(authority, "%") || strings.HasPrefix(line, "CONNECT ") && strings.Contains(target, "%")
		}},
	{"net/http refuses trailers that its buffer of 4 KiB cannot hold",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("b", 5000) + "\r\n\r\n",
		func(wire string, _, trailer Header) bool { return len(trailer) > 0 && len(wire) > 4000 }},
}

func differs(wire []byte, h, trailer Header) bool {
	for _, d := range differences {
		if d.holds(string(wire), h, trailer) {
			return true
		}
	}
	return false
}

func TestDifferences(t *testing.T) {
	for _, d := range differences {
		_, r, _, err := ours([]byte(d.example), "", whole)
		if err != nil || !d.holds(d.example, r.Header, r.Trailer) {
			t.Errorf("%s: %.80q gives us %v", d.reason, d.example, err)
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(d.example)))
		if err == nil {
			_, err = io.ReadAll(req.Body)
		}
		if err == nil {
			t.Errorf("%s: no longer so", d.reason)
		}
	}
}

// requestSeeds are what FuzzReadRequest begins with.
func requestSeeds() (seeds [][]byte) {
	for _, tt := range requestVectors {
		seeds = append(seeds, []byte(tt.wire+"GET /next"))
	}
	for _, tt := range serverCases {
		if len(tt.wire) < 10000 {
			seeds = append(seeds, []byte(tt.wire))
		}
	}
	seeds = append(seeds, []byte("CONNECT [::1]:80 HTTP/1.1\r\nHost: a\r\n\r\n"))
	for _, d := range differences {
		seeds = append(seeds, []byte(d.example))
	}
	return seeds
}

func FuzzReadRequest(f *testing.F) {
	for _, seed := range requestSeeds() {
		f.Add(seed)
	}
	f.Fuzz(compareRequest)
}

func compareRequest(t *testing.T, wire []byte) {
	got, r, _, err := ours(wire, "", whole)
	if again, _, _, _ := ours(wire, "", byteWise); again != got {
		t.Errorf("%q\nbyte by byte: %+v\nat once:      %+v", wire, again, got)
	}
	if err != nil {
		return
	}
	if h := r.Header; !differs(wire, h, r.Trailer) {
		br := whole(bytes.NewReader(wire))
		req, err := http.ReadRequest(br)
		var want outcome
		if err == nil {
			want = outcome{first: req.Method + " " + req.RequestURI, header: theirs(req.Header)}
			err = finish(&want, req.Body, br)
			want.trailer = theirs(req.Trailer)
		}
		if want.err = text(err); got != want {
			t.Errorf("%q\nwe read:       %+v\nnet/http reads: %+v", wire, got, want)
		}
		if err == nil && req.ContentLength != r.ContentLength {
			t.Errorf("%q: length %d, net/http's %d", wire, r.ContentLength, req.ContentLength)
		}
	}
	if r.Minor == 1 { // written as 1.1, where Host is required
		checkAgain(t, wire, r.AppendHead(nil), got, "")
	}
}

func FuzzReadResponse(f *testing.F) {
	for _, tt := range responseVectors {
		f.Add([]byte(tt.wire+"HTTP/1.1 200"), tt.method == "HEAD")
	}
	for _, tt := range forgiven {
		f.Add([]byte(tt.wire+"HTTP/1.1 200"), false)
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nuntil close"), false)
	f.Add([]byte("HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"), true)
	f.Fuzz(compareResponse)
}

func compareResponse(t *testing.T, wire []byte, head bool) {
	method := "GET"
	if head {
		method = "HEAD"
	}
	got, _, r, err := ours(wire, method, whole)
	if again, _, _, _ := ours(wire, method, byteWise); again != got {
		t.Errorf("%q\nbyte by byte: %+v\nat once:      %+v", wire, again, got)
	}
	if err != nil {
		return
	}
	// net/http refuses odd names, a blank before a chunk's extension and LF alone in a trailer.
	more := r.Faults&(FaultName|FaultChunk) != 0 || r.Faults&FaultLineEnd != 0 && r.RawTrailer != ""
	if !more && !differs(wire, r.Header, r.Trailer) {
		br := whole(bytes.NewReader(wire))
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		var want outcome
		if err == nil {
			want = outcome{first: string(rune(resp.StatusCode)), header: theirs(resp.Header)}
			err = finish(&want, resp.Body, br)
			want.trailer = theirs(resp.Trailer)
		}
		if r.Faults&FaultFold != 0 {
			want.header, want.trailer = got.header, got.trailer // as many blanks as one likes
		}
		if want.err = text(err); got != want {
			t.Errorf("%q\nwe read:       %+v\nnet/http reads: %+v", wire, got, want)
		}
	}
	if r.Faults&FaultName == 0 { // nobody sends those
		checkAgain(t, wire, r.AppendHead(nil), got, method)
	}
}

// checkAgain reads a head that was made of a message that was read.
func checkAgain(t *testing.T, wire, head []byte, want outcome, method string) {
	if len(head) > 8<<10 {
		return // normal spaces may have made it larger than what is read
	}
	_, r, resp, err := ours(head, method, whole)
	if r == nil && resp == nil {
		t.Errorf("%q\nwritten as %q\nread: %v", wire, head, err)
		return
	}
	var first string
	var h Header
	if r != nil {
		first, h = r.Method+" "+r.Target, r.Header
	} else {
		first, h = string(rune(resp.Status)), resp.Header
	}
	if first != want.first || canonical(h) != want.header {
		t.Errorf("%q\nwritten as %q\nread as %s %q, want %s %q", wire, head, first, canonical(h), want.first, want.header)
	}
}

// What sendBody writes in chunks, a body reads, whatever pieces it came in.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("hello"), uint16(1), "X", "y")
	f.Add([]byte(strings.Repeat("x", 300)), uint16(100), "", "\r\n")
	f.Add([]byte{}, uint16(0), "A", "\xff")
	f.Fuzz(func(t *testing.T, data []byte, step uint16, name, value string) {
		var wire []byte
		write := func(p []byte) error { wire = append(wire, p...); return nil }
		sent, err := sendBody(write, []byte("head"), &stepReader{data, int(step)}, true)
		if sent != int64(len(data)) || err != nil {
			t.Fatalf("sendBody = %d, %v; want %d", sent, err, len(data))
		}
		trailer := Header{{name, value}}
		wire = appendLastChunk(wire, trailer)
		wire = append(wire, "next"...)
		var got Header
		br := bufio.NewReaderSize(bytes.NewReader(bytes.TrimPrefix(wire, []byte("head"))), 16)
		b := &body{br: br, left: -1, chunked: true, lim: Limits{Line: 1 << 30, Head: 1 << 30}, trailer: &got}
		again, err := io.ReadAll(b)
		if !bytes.Equal(again, data) || err != nil {
			t.Fatalf("read back %d bytes, %v; want %d", len(again), err, len(data))
		}
		if rest, _ := io.ReadAll(br); string(rest) != "next" {
			t.Errorf("left %q, want %q", rest, "next")
		}
		if trailer.Check() == nil && (len(got) != 1 || got[0] != Field{name, trim(value)}) {
			t.Errorf("trailer %q, want %q", got, trailer)
		}
	})
}

// stepReader gives at most step bytes at a time.
type stepReader struct {
	data []byte
	step int
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.step+1)], r.data)
	r.data = r.data[n:]
	return n, nil
}

package httpmini

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// commented is gzipped, with so many bytes of comment and extra field.
func commented(s string, comment, extra int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Extra = make([]byte, extra)
	io.WriteString(w, s)
	w.Close()
	// compress/gzip writes what it would not read.
	wire := b.Bytes()
	wire[3] |= 16
	at := 10 + 2 + extra
	return string(wire[:at]) + rep("c", comment) + "\x00" + string(wire[at:])
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// decode reads an answer with that coding and that body.
func decode(coding string, body io.Reader, max int64) (string, error) {
	a := &Answer{Response: &Response{Header: Header{{"Content-Encoding", coding}}, Body: body}}
	r, err := a.Decoded(max)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if _, again := r.Read(make([]byte, 1)); again != err && !(err == nil && again == io.EOF) {
		return "", fmt.Errorf("another error after %w: %v", err, again)
	}
	return string(b), err
}

func TestDecoded(t *testing.T) {
	long := content(100000)
	for _, tt := range []struct {
		name, coding, body string
		max                int64
		want               string
		err                error
	}{
		{"none", "", "tea", 0, "tea", nil},
		{"identity", "identity", "tea", 0, "tea", nil},
		{"gzip", "gzip", gzipped(long), 0, long, nil},
		{"gzip in capitals", "GZIP", gzipped("tea"), 0, "tea", nil},
		{"x-gzip", "x-gzip", gzipped("tea"), 0, "tea", nil},
		{"identity, gzip", "identity, gzip", gzipped("tea"), 0, "tea", nil},
		{"gzip of nothing", "gzip", gzipped(""), 0, "", nil},
		{"two members (RFC 1952 §2.2)", "gzip", gzipped("tea") + gzipped("time"), 0, "teatime", nil},
		{"deflate", "deflate", zlibbed(long), 0, long, nil},
		{"deflate without zlib", "deflate", deflated(long), 0, long, nil},
		{"no byte", "gzip", "", 0, "", nil},
		{"no byte of deflate", "deflate", "", 0, "", nil},
		{"at the limit", "gzip", gzipped("tea"), 3, "tea", nil},
		{"beyond the limit", "gzip", gzipped("teatime"), 3, "tea", ErrTooLarge},
		{"beyond the limit, plain", "", "teatime", 3, "tea", ErrTooLarge},
		{"no limit", "gzip", gzipped(long), -1, long, nil},
		{"no gzip (HC21)", "gzip", "<html>hello</html>", 0, "", ErrContentCoding},
		{"no deflate", "deflate", "<html>hello</html>", 0, "", ErrContentCoding},
		{"one byte of deflate", "deflate", "\x78", 0, "", ErrContentCoding},
		{"twice (HC23)", "gzip, gzip", gzipped(gzipped("tea")), 0, "", ErrContentCoding},
		{"unknown", "br", "tea", 0, "", ErrContentCoding},
		{"cut", "gzip", gzipped("tea")[:20], 0, "tea", io.ErrUnexpectedEOF},
		{"cut in the header", "gzip", gzipped("tea")[:5], 0, "", ErrContentCoding},
		{"checksum", "gzip", flip(gzipped("tea"), -6), 0, "tea", ErrContentCoding},
		{"checksum of zlib", "deflate", flip(zlibbed("tea"), -1), 0, "tea", ErrContentCoding},
		{"dictionary", "deflate", "\x78\xbb\x00\x00\x00\x02\x03\x00\x00\x00\x00\x01", 0, "", ErrContentCoding},
		{"G1: a long comment and extra field (RFC 1952 §2.3.1)", "gzip", commented("tea", 2000, 3000), 0, "tea", nil},
		{"G1: both, in the second member", "gzip", gzipped("tea") + commented("time", 1, 0xffff), 0, "teatime", nil},
		{"cut in the comment", "gzip", commented("tea", 600, 0)[:500], 0, "", io.ErrUnexpectedEOF},
		{"GZ: eight zeros behind", "gzip", gzipped("one") + rep("\x00", 8), 0, "one", nil},
		{"many zeros behind", "gzip", gzipped("one") + gzipped("two") + rep("\x00", 10240), 0, "onetwo", nil},
		{"zeros and more behind", "gzip", gzipped("one") + "\x00\x00x", 0, "one", ErrContentCoding},
		{"zeros and a member behind", "gzip", gzipped("one") + "\x00" + gzipped("two"), 0, "one", ErrContentCoding},
		{"half a member behind", "gzip", gzipped("one") + gzipped("two")[:5], 0, "one", io.ErrUnexpectedEOF},
		{"zeros alone", "gzip", rep("\x00", 20), 0, "", ErrContentCoding},
		{"reserved flag (RFC 1952 §2.3.1.2)", "gzip", "\x1f\x8b\x08\x20" + gzipped("tea")[4:], 0, "", ErrContentCoding},
		{"more behind gzip", "gzip", gzipped("tea") + "x", 0, "tea", ErrContentCoding},
		{"more behind deflate", "deflate", zlibbed("tea") + "x", 0, "tea", ErrContentCoding},
		{"more behind deflate without zlib", "deflate", deflated("tea") + "x", 0, "tea", ErrContentCoding},
	} {
		for _, body := range []io.Reader{strings.NewReader(tt.body), iotest.OneByteReader(strings.NewReader(tt.body)), iotest.DataErrReader(strings.NewReader(tt.body))} {
			got, err := decode(tt.coding, body, tt.max)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s: %.20q, %v; want %.20q, %v", tt.name, got, err, tt.want, tt.err)
			}
		}
	}
}

func flip(s string, at int) string {
	b := []byte(s)
	b[len(b)+at] ^= 1
	return string(b)
}

// Every proper prefix is an error, but for the empty one; the body's own error
// comes through.
func TestDecodedCut(t *testing.T) {
	for coding, body := range map[string]string{"gzip": gzipped("tea time"), "deflate": zlibbed("tea time"), "Deflate": deflated("tea time")} {
		for n := 1; n < len(body); n++ {
			if _, err := decode(coding, strings.NewReader(body[:n]), 0); !errors.Is(err, ErrContentCoding) {
				t.Errorf("%s, %d bytes of %d: %v", coding, n, len(body), err)
			}
			boom := errors.New("boom")
			if _, err := decode(coding, io.MultiReader(strings.NewReader(body[:n]), iotest.ErrReader(boom)), 0); err != boom {
				t.Errorf("%s, error after %d bytes of %d: %v", coding, n, len(body), err)
			}
		}
	}
}

// HC24: a bomb does not come out, nor is there memory for it.
func TestDecodedBomb(t *testing.T) {
	bomb := rep(gzipped(rep("\x00", 1<<20)), 200)
	a := &Answer{Response: &Response{Header: Header{{"Content-Encoding", "gzip"}}, Body: strings.NewReader(bomb)}}
	r, err := a.Decoded(1000000)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != 1000000 || err != ErrTooLarge {
		t.Errorf("%d bytes, %v; want 1000000, %v", n, err, ErrTooLarge)
	}
	a.Body = strings.NewReader(bomb)
	r, _ = a.Decoded(0)
	if n, err := io.Copy(io.Discard, r); n != maxDecoded || err != ErrTooLarge {
		t.Errorf("by default %d bytes, %v; want %d, %v", n, err, maxDecoded, ErrTooLarge)
	}
}

// Whatever comes, Decoded gives what compress/gzip does, or an error.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte(gzipped("tea")), true)
	f.Add([]byte(zlibbed("tea")), false)
	f.Add([]byte(deflated("tea")), false)
	f.Add([]byte(gzipped("tea")+gzipped("")), true)
	f.Fuzz(func(t *testing.T, wire []byte, gz bool) {
		const max = 1 << 20
		coding := "deflate"
		if gz {
			coding = "gzip"
		}
		got, err := decode(coding, bytes.NewReader(wire), max)
		again, err2 := decode(coding, iotest.OneByteReader(bytes.NewReader(wire)), max)
		if got != again || text(err) != text(err2) {
			t.Errorf("%q: %q, %v; byte by byte %q, %v", wire, got, err, again, err2)
		}
		if len(got) > max {
			t.Errorf("%q: %d bytes came out", wire, len(got))
		}
		if !gz || len(wire) == 0 {
			return
		}
		var want []byte
		zr, err3 := gzip.NewReader(bytes.NewReader(wire))
		if err3 == nil {
			want, err3 = io.ReadAll(io.LimitReader(zr, max+1))
		}
		if err == nil && (err3 == gzip.ErrHeader || wire[len(wire)-1] == 0) && strings.HasPrefix(got, string(want)) {
			return // a long comment, a checksum of a head, zeros behind the end
		}
		if err == nil && (err3 != nil || string(want) != got) || err3 == nil && len(want) <= max && err != nil {
			t.Errorf("%q: %q, %v; compress/gzip %q, %v", wire, got, err, want, err3)
		}
	})
}

// Where there is no body, its coding does not matter.
func TestDecodedNothing(t *testing.T) {
	perform(t, func(s *stage) {
		a, err := s.c.Do(s.t.Context(), "http://a/", &Request{Method: "HEAD"})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		r, err := a.Decoded(0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
	}, staying("HTTP/1.1 200 OK\r\nContent-Encoding: zstd, br\r\nContent-Length: 5\r\n\r\n"))
	a := &Answer{Response: &Response{Header: Header{{"Content-Encoding", "gzip"}}, Body: strings.NewReader(gzipped("tea"))}}
	r, _ := a.Decoded(0)
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("Read of nothing: %d, %v", n, err)
	}
}

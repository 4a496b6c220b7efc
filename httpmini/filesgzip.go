package httpmini

import (
	"compress/gzip"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	minGzip  = 1400 // bytes: what is shorter fits into one packet anyway
	maxGzips = 64   // answers compressed at once, which hold 1 MiB each; more go out as they are
)

// acceptsGzip says whether a client would rather have gzip than the bytes as they
// are (RFC 9110 §12.5.3).
func acceptsGzip(h Header) bool {
	coded, identity, any := -1.0, 0.0, -1.0
	for _, element := range h.List("Accept-Encoding") {
		name, params, _ := strings.Cut(element, ";")
		q := weight(params)
		switch name = trim(name); {
		case equalFold(name, "gzip"), equalFold(name, "x-gzip"):
			coded = max(coded, q)
		case equalFold(name, "identity"):
			identity = q
		case name == "*":
			any = q
		}
	}
	if coded < 0 {
		coded = any
	}
	return coded > 0 && coded >= identity
}

// weight reads ;q=0.5 (RFC 9110 §12.4.2); what is malformed counts as 0.
func weight(params string) float64 {
	name, value, ok := strings.Cut(params, "=")
	if trim(params) == "" {
		return 1
	}
	value = trim(value)
	q, err := strconv.ParseFloat(value, 64)
	if !ok || !equalFold(trim(name), "q") || err != nil || q > 1 || strings.Trim(value, "0123456789.") != "" {
		return 0
	}
	return q
}

var (
	gzipWriters = newPool(func() *gzip.Writer {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		return w
	})
	gzips atomic.Int32
)

// A gzipBody reads src compressed. It is closed when it is not used any more.
type gzipBody struct {
	src io.Reader
	w   *gzip.Writer
	in  *[32 << 10]byte
	out []byte // not read yet
	buf []byte // what out is part of
	err error
}

// newGzipBody returns nil where too many are at work.
func newGzipBody(src io.Reader) *gzipBody {
	if gzips.Add(1) > maxGzips {
		gzips.Add(-1)
		return nil
	}
	g := &gzipBody{src: src, w: gzipWriters.get(), in: streams.get()}
	g.w.Reset(g)
	return g
}

func (g *gzipBody) close() {
	g.w.Reset(nil)
	gzipWriters.put(g.w)
	streams.put(g.in)
	gzips.Add(-1)
}

// Write takes what the compressor makes.
func (g *gzipBody) Write(p []byte) (int, error) {
	g.buf = append(g.buf, p...)
	return len(p), nil
}

func (g *gzipBody) Read(p []byte) (int, error) {
	for len(g.out) == 0 && g.err == nil {
		g.buf = g.buf[:0]
		var n int
		n, g.err = g.src.Read(g.in[:])
		g.w.Write(g.in[:n])
		if g.err == io.EOF {
			g.w.Close()
		}
		g.out = g.buf
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	if n > 0 {
		return n, nil
	}
	return 0, g.err
}

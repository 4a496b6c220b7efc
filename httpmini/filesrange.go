package httpmini

import (
	"crypto/rand"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A byteRange is part of a file.
type byteRange struct{ start, length int64 }

const maxRanges = 32 // beyond that a request gets the whole

// What parseRanges finds other than ranges.
type rangeOutcome uint8

const (
	someRanges    rangeOutcome = iota
	wholeFile                  // the field is to be ignored
	unsatisfiable              // 416
)

// parseRanges reads a Range field (RFC 9110 §14.1.2, §14.2) for a file of that
// size. One that is malformed, in other units, asks for more than the file holds
// (ranges that overlap) or for more than maxRanges is ignored, as §14.2 allows.
func parseRanges(field string, size int64) (ranges []byteRange, outcome rangeOutcome) {
	unit, list, ok := strings.Cut(field, "=")
	if !ok || !equalFold(trim(unit), "bytes") || size == 0 {
		return nil, wholeFile
	}
	some, total := false, int64(0)
	for more := true; more; {
		var spec string
		spec, list, more = strings.Cut(list, ",")
		if spec = trim(spec); spec == "" {
			continue
		}
		some = true
		r, ok := parseRange(spec, size)
		if !ok {
			return nil, wholeFile
		}
		if r.length == 0 {
			continue
		}
		total += r.length
		if total > size || len(ranges) == maxRanges {
			return nil, wholeFile
		}
		ranges = append(ranges, r)
	}
	switch {
	case !some:
		return nil, wholeFile
	case len(ranges) == 0:
		return nil, unsatisfiable
	}
	return ranges, someRanges
}

// parseRange reads first-last, first- or -suffix. A range that is not in the file
// comes back empty.
func parseRange(spec string, size int64) (r byteRange, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return r, false
	}
	first, last = trim(first), trim(last)
	if first == "" {
		n, ok := parseDecimal(last)
		n = min(n, size)
		return byteRange{size - n, n}, ok
	}
	start, ok := parseDecimal(first)
	end := size - 1
	if last != "" && ok {
		end, ok = parseDecimal(last)
		ok = ok && end >= start
	}
	if !ok || start >= size {
		return r, ok
	}
	return byteRange{start, min(end, size-1) - start + 1}, true
}

// parseDecimal reads digits and nothing else, up to 63 bits.
func parseDecimal(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63) // refuses signs and underscores
	return int64(n), err == nil
}

// contentRange is the value of that field (RFC 9110 §14.4).
func (r byteRange) contentRange(size int64) string {
	b := strconv.AppendInt([]byte("bytes "), r.start, 10)
	b = strconv.AppendInt(append(b, '-'), r.start+r.length-1, 10)
	return string(strconv.AppendInt(append(b, '/'), size, 10))
}

// multipart makes the body of an answer with several ranges (RFC 9110 §14.6).
func multipart(file io.ReaderAt, ranges []byteRange, size int64, contentType string) (body io.Reader, length int64, boundary string) {
	boundary = rand.Text()[:20]
	var parts []io.Reader
	text := func(s string) {
		parts = append(parts, strings.NewReader(s))
		length += int64(len(s))
	}
	for _, r := range ranges {
		text("\r\n--" + boundary + "\r\nContent-Type: " + contentType + "\r\nContent-Range: " + r.contentRange(size) + "\r\n\r\n")
		parts = append(parts, io.NewSectionReader(file, r.start, r.length))
		length += r.length
	}
	text("\r\n--" + boundary + "--\r\n")
	return io.MultiReader(parts...), length, boundary
}

// evaluate applies the preconditions of a GET or HEAD in the order of RFC 9110
// §13.2.2. It returns 412, 304, or 0: go on. An etag of "" is that of no file.
func evaluate(h Header, etag string, modified time.Time) (status int) {
	modified = modified.Truncate(time.Second)
	switch {
	case h.Has("If-Match"):
		if !matches(h, "If-Match", etag, false) {
			return 412
		}
	case h.Has("If-Unmodified-Since"):
		if t, ok := onlyDate(h, "If-Unmodified-Since"); ok && modified.After(t) {
			return 412
		}
	}
	switch {
	case h.Has("If-None-Match"):
		if matches(h, "If-None-Match", etag, true) {
			return 304
		}
	case h.Has("If-Modified-Since"):
		if t, ok := onlyDate(h, "If-Modified-Since"); ok && !modified.After(t) {
			return 304
		}
	}
	return 0
}

// matches says whether a list of entity tags holds etag, which is strong, or *.
// Weak ones count only if weak.
func matches(h Header, field, etag string, weak bool) bool {
	for _, tag := range h.List(field) {
		if weak {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if (tag == etag || tag == "*") && etag != "" {
			return true
		}
	}
	return false
}

// ifRange says whether a Range field counts (RFC 9110 §13.1.5): if the client's
// validator is strong and of this very file. A date is strong once a second has
// passed since.
func ifRange(h Header, etag string, modified, now time.Time) bool {
	value := h.Get("If-Range")
	switch {
	case !h.Has("If-Range"):
		return true
	case h.Count("If-Range") > 1:
		return false
	case strings.HasPrefix(value, `"`):
		return value == etag
	}
	t, ok := parseDate(value)
	return ok && t.Equal(modified.Truncate(time.Second)) && now.Sub(t) > time.Second
}

func onlyDate(h Header, name string) (time.Time, bool) {
	if h.Count(name) != 1 {
		return time.Time{}, false
	}
	return parseDate(h.Get(name))
}

const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// parseDate takes the three forms of HTTP-date (RFC 9110 §5.6.7).
func parseDate(s string) (time.Time, bool) {
	for _, layout := range [...]string{dateLayout, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func formatDate(t time.Time) string { return t.UTC().Format(dateLayout) }

// today is the time in seconds since 1970, and as an HTTP-date.
var today atomic.Pointer[struct {
	second int64
	text   string
}]

// appendDate appends the time, which is formatted once in a second.
func appendDate(dst []byte) []byte {
	now := time.Now()
	d := today.Load()
	if d == nil || d.second != now.Unix() {
		d = &struct {
			second int64
			text   string
		}{now.Unix(), formatDate(now)}
		today.Store(d)
	}
	return append(dst, d.text...)
}

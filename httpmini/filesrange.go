package httpmini

import (
	"crypto/rand"
	"io"
	"strconv"
	"strings"
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

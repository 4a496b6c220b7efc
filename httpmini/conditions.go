package httpmini

import (
	"strings"
	"sync/atomic"
	"time"
)

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

// A moment is a time in seconds since 1970, and as an HTTP-date.
type moment struct {
	unix int64
	date string
}

// lately is the last one that appendDate was called at.
var lately atomic.Pointer[moment]

// appendDate appends the time, which is formatted once in a second.
func appendDate(dst []byte) []byte {
	now := time.Now()
	m := lately.Load()
	if m == nil || m.unix != now.Unix() {
		m = &moment{now.Unix(), formatDate(now)}
		lately.Store(m)
	}
	return append(dst, m.date...)
}

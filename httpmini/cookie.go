package httpmini

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Cookie is one of a Jar (RFC 6265 §5.3).
type Cookie struct {
	Name, Value string
	Domain      string // lower case, without a dot before it
	Path        string
	HostOnly    bool      // goes to Domain alone, not to hosts below it
	Secure      bool      // goes over TLS alone, or to this machine
	HTTPOnly    bool      // is not for scripts; nothing to us
	Expires     time.Time // zero: never during this run
	Created     time.Time
}

// A Jar keeps cookies for a run and gives them back as RFC 6265 says. Its zero
// value is empty. Methods may be called from several goroutines.
//
// It keeps 50 cookies a domain and 3000 in all, the newest ones, of 4 KiB each at
// the most. There is no list of public suffixes: a server can set cookies for all
// of co.uk, though not for uk or any other domain of one label. Cookies that are
// Secure come over TLS or from this machine only, as of curl, and the prefixes __Secure- and __Host- of names are
// held to what they say.
type Jar struct {
	mu      sync.Mutex
	cookies []Cookie // the oldest first
}

// Bounds of a Jar, and of what it gives to one request.
const (
	maxCookie       = 4 << 10 // bytes, name and value
	maxCookieDomain = 50
	maxCookies      = 3000
	maxCookieField  = 8190 // bytes
)

// Header returns the value of the Cookie field for a request to u (RFC 6265
// §5.4), "" for none: cookies with longer paths first, then longer domains and
// names, as curl has it, then older ones; at most
// 8190 bytes.
func (j *Jar) Header(u *url.URL, now time.Time) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	host, path := cookieHost(u), cookiePath(u)
	var found []*Cookie
	for i := range j.cookies {
		c := &j.cookies[i]
		if !c.expired(now) && c.goesTo(host) && pathMatches(path, c.Path) && (!c.Secure || confidential(u)) {
			found = append(found, c)
		}
	}
	slices.SortStableFunc(found, func(a, b *Cookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(len(b.Domain), len(a.Domain)),
			cmp.Compare(len(b.Name), len(a.Name)), a.Created.Compare(b.Created))
	})
	var b strings.Builder
	for _, c := range found {
		if b.Len()+len("; =")+len(c.Name)+len(c.Value) > maxCookieField {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.Name + "=" + c.Value)
	}
	return b.String()
}

// confidential reports whether nobody reads along on the way to u.
func confidential(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "wss" || slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// Store takes the Set-Cookie fields in the header h of an answer from u (RFC 6265
// §5.2, §5.3). What is malformed, or not for u to set, is dropped.
func (j *Jar) Store(u *url.URL, h Header, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range h {
		if !equalFold(f.Name, "Set-Cookie") {
			continue
		}
		if c, ok := parseCookie(f.Value, u, now); ok && !j.shadows(&c, u) {
			j.put(c, now)
		}
	}
}

// All returns the cookies, those that have expired since the last Store included.
func (j *Jar) All() []Cookie {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.cookies)
}

// Set adds c, or replaces the cookie of the same name, domain and path. Nothing
// is checked but the bounds.
func (j *Jar) Set(c Cookie) {
	c.Domain = strings.TrimPrefix(strings.ToLower(c.Domain), ".")
	j.mu.Lock()
	defer j.mu.Unlock()
	j.put(c, time.Time{})
}

// put adds or replaces c, removes it where it has expired, and then what is too
// much.
func (j *Jar) put(c Cookie, now time.Time) {
	if i := slices.IndexFunc(j.cookies, func(o Cookie) bool {
		return o.Name == c.Name && o.Domain == c.Domain && o.Path == c.Path && o.HostOnly == c.HostOnly
	}); i >= 0 {
		if c.Created.IsZero() || !j.cookies[i].Created.IsZero() {
			c.Created = j.cookies[i].Created
		}
		j.cookies[i] = c
	} else {
		j.cookies = append(j.cookies, c)
	}
	j.cookies = slices.DeleteFunc(j.cookies, func(c Cookie) bool { return c.expired(now) })
	n, first := 0, -1
	for i := range j.cookies {
		if j.cookies[i].Domain == c.Domain {
			if n++; first < 0 {
				first = i
			}
		}
	}
	switch {
	case n > maxCookieDomain:
		j.cookies = slices.Delete(j.cookies, first, first+1)
	case len(j.cookies) > maxCookies:
		j.cookies = slices.Delete(j.cookies, 0, 1)
	}
}

// shadows reports whether c, which came without TLS, would hide or replace a cookie
// that is Secure.
func (j *Jar) shadows(c *Cookie, u *url.URL) bool {
	return !confidential(u) && slices.ContainsFunc(j.cookies, func(o Cookie) bool {
		return o.Secure && o.Name == c.Name && (domainMatches(o.Domain, c.Domain) || domainMatches(c.Domain, o.Domain)) && pathMatches(c.Path, o.Path)
	})
}

func (c *Cookie) expired(now time.Time) bool { return !c.Expires.IsZero() && !c.Expires.After(now) }

func (c *Cookie) goesTo(host string) bool {
	return host == c.Domain || !c.HostOnly && domainMatches(host, c.Domain)
}

func cookieHost(u *url.URL) string { return strings.ToLower(u.Hostname()) }

func cookiePath(u *url.URL) string {
	if path := u.EscapedPath(); strings.HasPrefix(path, "/") {
		return path
	}
	return "/"
}

// domainMatches is RFC 6265 §5.1.3.
func domainMatches(host, domain string) bool {
	if host == domain {
		return true
	}
	_, err := netip.ParseAddr(host)
	return strings.HasSuffix(host, "."+domain) && err != nil
}

// pathMatches is RFC 6265 §5.1.4.
func pathMatches(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix) && (strings.HasSuffix(prefix, "/") || path[len(prefix)] == '/')
}

// defaultPath is RFC 6265 §5.1.4 too: path without what follows its last slash.
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// parseCookie reads the value of a Set-Cookie field from u and reports whether it
// is to be kept.
func parseCookie(s string, u *url.URL, now time.Time) (c Cookie, ok bool) {
	pair, attributes, _ := strings.Cut(s, ";")
	name, value, found := strings.Cut(pair, "=")
	c = Cookie{Name: trim(name), Value: trim(value), Created: now, Domain: cookieHost(u), HostOnly: true, Path: defaultPath(cookiePath(u))}
	if !found || c.Name == "" || len(c.Name)+len(c.Value) > maxCookie || !isValue(s) {
		return c, false
	}
	domain, maxAge := "", false
	for attributes != "" {
		var attribute string
		attribute, attributes, _ = strings.Cut(attributes, ";")
		name, value, _ := strings.Cut(attribute, "=")
		switch name, value = strings.ToLower(trim(name)), trim(value); name {
		case "expires":
			if t, ok := parseCookieDate(value); ok && !maxAge {
				c.Expires = t
			}
		case "max-age":
			if t, ok := parseMaxAge(value, now); ok {
				c.Expires, maxAge = t, true
			}
		case "domain":
			domain = strings.TrimPrefix(strings.ToLower(value), ".")
		case "path":
			if c.Path = strings.Trim(value, `"`); !strings.HasPrefix(c.Path, "/") { // some write quotes, which curl takes off
				c.Path = defaultPath(cookiePath(u))
			}
		case "secure":
			c.Secure = true
		case "httponly":
			c.HTTPOnly = true
		}
	}
	if strings.IndexByte(c.Name+c.Value+c.Path, '\t') >= 0 { // which separates in files of cookies
		return c, false
	}
	return c, c.setDomain(domain) && len(c.Path) <= maxCookie && (!c.Secure || confidential(u)) && c.keepsPrefix()
}

// setDomain applies the Domain attribute and reports whether the host may set it.
func (c *Cookie) setDomain(domain string) bool {
	if domain == "" || domain == c.Domain {
		_, err := netip.ParseAddr(c.Domain)
		c.HostOnly = domain == "" || err == nil || !strings.Contains(domain, ".")
		return true
	}
	if !domainMatches(c.Domain, domain) || !strings.Contains(strings.TrimSuffix(domain, "."), ".") {
		return false
	}
	c.Domain, c.HostOnly = domain, false
	return true
}

// keepsPrefix reports whether c is what the prefix of its name promises.
func (c *Cookie) keepsPrefix() bool {
	switch {
	case hasPrefixFold(c.Name, "__Secure-"):
		return c.Secure
	case hasPrefixFold(c.Name, "__Host-"):
		return c.Secure && c.HostOnly && c.Path == "/"
	}
	return true
}

// parseMaxAge reads delta-seconds (RFC 6265 §5.2.2).
func parseMaxAge(s string, now time.Time) (time.Time, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, false
	}
	const longest = 100 * 365 * 24 * 3600
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case s != digits, err == nil && n == 0:
		return time.Unix(1, 0), true
	case err != nil || n > longest:
		n = longest
	}
	return now.Add(time.Duration(n) * time.Second), true
}

// parseCookieDate reads a date in one of the many ways that servers write it
// (RFC 6265 §5.1.1).
func parseCookieDate(s string) (time.Time, bool) {
	var clock []int
	year, month, day := -1, 0, 0
	for token := range strings.FieldsFuncSeq(s, isDateDelimiter) {
		n, rest := leadingNumber(token)
		switch digits := len(token) - len(rest); {
		case clock == nil && digits >= 1 && digits <= 2 && strings.HasPrefix(rest, ":"):
			clock = parseClock(token)
		case day == 0 && digits >= 1 && digits <= 2:
			day = n
		case month == 0 && monthNumber(token) > 0:
			month = monthNumber(token)
		case year < 0 && (digits == 2 || digits == 4):
			year = n
		}
	}
	switch {
	case year >= 0 && year < 70:
		year += 2000
	case year >= 70 && year < 100:
		year += 1900
	}
	if clock == nil || month == 0 || day < 1 || day > 31 || year < 1601 || clock[0] > 23 || clock[1] > 59 || clock[2] > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, clock[0], clock[1], clock[2], 0, time.UTC)
	return t, t.Day() == day
}

func isDateDelimiter(r rune) bool {
	return r == '\t' || r >= 0x20 && r <= 0x2f || r >= 0x3b && r <= 0x40 || r >= 0x5b && r <= 0x60 || r >= 0x7b && r <= 0x7e
}

// leadingNumber returns the number that s begins with, and what follows it.
func leadingNumber(s string) (n int, rest string) {
	for rest = s; rest != "" && isDigit(rest[0]) && len(s)-len(rest) < 5; rest = rest[1:] {
		n = n*10 + int(rest[0]-'0')
	}
	return n, rest
}

// parseClock reads hh:mm:ss, or returns nil.
func parseClock(s string) []int {
	clock := make([]int, 3)
	for i := range clock {
		n, rest := leadingNumber(s)
		if digits := len(s) - len(rest); digits < 1 || digits > 2 || i < 2 && !strings.HasPrefix(rest, ":") {
			return nil
		}
		clock[i] = n
		s = strings.TrimPrefix(rest, ":")
	}
	return clock
}

func monthNumber(s string) int {
	if len(s) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return i/3 + 1
}

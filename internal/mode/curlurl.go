package mode

import (
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// A curlURL is a URL as curl reads one: the scheme may be missing, and what is in
// the path goes to the server as it was typed.
type curlURL struct {
	scheme   string // in lower case
	user     string // name[:password], decoded
	hasUser  bool
	host     string // as urlHost returns it
	port     string // as typed; "" is the scheme's
	path     string // begins with "/"
	query    string // with its question mark; "" is none
	fragment string // with its #
}

// What is wrong with a URL; curl's number for all but the last is 3.
var (
	errURLChars  = errors.New("blank or control character")
	errURLHost   = errors.New("no host, or one that is neither a name nor an address in its usual form")
	errURLPort   = errors.New("the port is not between 0 and 65535")
	errURLUser   = errors.New("malformed user")
	errURLScheme = errors.New("protocol not supported")
)

// parseCurlURL reads raw; scheme is for what names none ("" guesses). asIs leaves
// /./ and /../ in the path.
func parseCurlURL(raw, scheme string, asIs bool) (*curlURL, error) {
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] == 0x7f {
			return nil, errURLChars
		}
	}
	u := &curlURL{scheme: scheme}
	before, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsAny(before, "/?#@[") {
		rest = raw
		if u.scheme == "" {
			u.scheme = guessScheme(raw)
		}
	} else {
		u.scheme = strings.ToLower(before)
	}
	if !isOneOf(u.scheme, "http", "https", "ws", "wss") {
		return u, errURLScheme
	}
	rest, u.fragment = cutBefore(rest, '#')
	end := strings.IndexAny(rest+"/", "/?")
	authority, rest := rest[:end], rest[end:]
	if err := u.parseAuthority(authority); err != nil {
		return nil, err
	}
	u.path, u.query = cutBefore(rest, '?')
	if u.path == "" {
		u.path = "/"
	}
	if !asIs {
		u.path = withoutDots(u.path)
	}
	u.path, u.query = onlyASCII(u.path), onlyASCII(u.query)
	return u, nil
}

// guessScheme looks at the name of the host, as curl does.
func guessScheme(raw string) string {
	for _, scheme := range []string{"ftp", "dict", "ldap", "imap", "smtp", "pop3"} {
		if len(raw) > len(scheme) && strings.EqualFold(raw[:len(scheme)+1], scheme+".") {
			return scheme
		}
	}
	return "http"
}

func isOneOf(s string, words ...string) bool {
	for _, word := range words {
		if s == word {
			return true
		}
	}
	return false
}

func (u *curlURL) parseAuthority(s string) error {
	if user, after, ok := strings.Cut(s, "@"); ok {
		var err error
		if u.user, err = url.PathUnescape(user); err != nil || strings.ContainsFunc(u.user, isControl) {
			return errURLUser
		}
		u.hasUser, s = true, after
	}
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		port := s[i+1:]
		s = s[:i]
		if port != "" {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				return errURLPort
			}
			u.port = strconv.FormatUint(n, 10)
		}
	}
	if u.host = urlHost(s); u.host == "" {
		return errURLHost
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// urlHost returns a host as net.Dial takes it, "" if it is not valid. An IPv6
// address stands in brackets, with or without a zone.
func urlHost(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(strings.Replace(inner, "%25", "%", 1))
		if !ok || err != nil || !addr.Is6() || strings.ContainsAny(addr.Zone(), "%[]") {
			return ""
		}
		return addr.String()
	}
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is4() {
		return s
	}
	labels := strings.Split(strings.TrimSuffix(strings.ToLower(s), "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
	}
	// 127.1, 0x7f.1 and 2130706433 are addresses to some (WHATWG URL §3.5).
	last := labels[len(labels)-1]
	if isDigits(last) || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" || len(s) > 253 {
		return ""
	}
	return strings.ToLower(s)
}

// withoutDots removes dot segments (RFC 3986 §5.2.4), and nothing else: empty
// segments stay.
func withoutDots(p string) string {
	if !strings.Contains(p, "/.") {
		return p
	}
	var kept []string
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch {
		case s == "..":
			kept = kept[:max(len(kept)-1, 0)]
		case s != ".":
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// onlyASCII percent-encodes what a request line cannot hold.
func onlyASCII(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			var b strings.Builder
			for k := range len(s) {
				if s[k] < 0x80 {
					b.WriteByte(s[k])
				} else {
					b.WriteString(percent(s[k]))
				}
			}
			return b.String()
		}
	}
	return s
}

// addQuery appends to the query, which may be empty.
func (u *curlURL) addQuery(s string) {
	switch {
	case s == "":
	case u.query == "" || u.query == "?":
		u.query = "?" + s
	default:
		u.query += "&" + s
	}
}

// target is what stands in the request line.
func (u *curlURL) target() string { return u.path + u.query }

// realPort is the port, never empty.
func (u *curlURL) realPort() string {
	switch {
	case u.port != "":
		return u.port
	case u.secure():
		return "443"
	}
	return "80"
}

func (u *curlURL) secure() bool { return u.scheme == "https" || u.scheme == "wss" }

// authority is the Host field: with a port where it is not the scheme's own, and
// without a zone (RFC 6874 §1).
func (u *curlURL) authority() string {
	host, _, _ := strings.Cut(u.host, "%")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if usual := (&curlURL{scheme: u.scheme}).realPort(); u.port == "" || u.port == usual {
		return host
	}
	return host + ":" + u.port
}

// String is the whole URL without its user.
func (u *curlURL) String() string {
	host := u.host
	if strings.Contains(host, ":") {
		host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
	}
	if u.port != "" {
		host += ":" + u.port
	}
	return u.scheme + "://" + host + u.target()
}

// remoteName is the last segment of the path: what -O calls the file.
func (u *curlURL) remoteName() string {
	if strings.HasSuffix(u.path, "/") {
		return ""
	}
	return path.Base(u.path)
}

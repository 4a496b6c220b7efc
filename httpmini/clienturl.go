package httpmini

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL parses a URL with an authority as Client takes them, strictly: what
// two programs might read in two ways is refused, such as white space,
// backslashes, control characters, a second @, and addresses that are not in their
// usual form (127.1, 0x7f.1). The host comes out in lower case, a port that is the
// scheme's own or empty is dropped.
//
// The error wraps ErrURL and does not repeat the URL, which may hold a password;
// for schemes other than http and https it is ErrScheme.
func ParseURL(raw string) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) { return nil, fmt.Errorf("%w: %s", ErrURL, why) }
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] == 0x7f || raw[i] == '\\' {
			return bad("it has a space, a control character or a backslash")
		}
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return bad("it does not begin with http:// or https://")
	}
	if !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return nil, ErrScheme
	}
	authority := rest[:strings.IndexAny(rest+"/", "/?#")]
	if strings.Count(authority, "@") > 1 {
		return bad("it has a second @")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return bad("it is malformed")
	}
	host, port := u.Hostname(), u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return bad("the port is not between 1 and 65535")
	} else if port != "" {
		port = strconv.FormatUint(n, 10)
	}
	if host = parseHost(host, strings.Contains(u.Host, "[")); host == "" {
		return bad("the host is neither a name nor an address in its usual form")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != defaultPort(u.Scheme) {
		host += ":" + port
	}
	u.Host = host
	return u, nil
}

// parseHost returns a host as net.Dial takes it, "" if it is not valid.
func parseHost(s string, bracketed bool) string {
	if bracketed {
		addr, err := netip.ParseAddr(s)
		if err != nil || !addr.Is6() || strings.ContainsAny(addr.Zone(), "%[]/") {
			return ""
		}
		return addr.String()
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Is4() {
			return s
		}
		return ""
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
	}
	// 127.1, 0x7f.1 and 2130706433 are addresses to some (WHATWG URL §3.5).
	last := strings.ToLower(labels[len(labels)-1])
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		return ""
	}
	if len(s) > 253 {
		return ""
	}
	return strings.ToLower(s)
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// address returns host:port to dial.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// hostField returns the Host field for u, without a zone, which is ours alone
// (RFC 6874 §1).
func hostField(u *url.URL) string {
	if i := strings.IndexByte(u.Host, '%'); i >= 0 {
		return u.Host[:i] + u.Host[strings.IndexByte(u.Host, ']'):]
	}
	return u.Host
}

// originForm returns path and query of u as a request line has them.
func originForm(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.ForceQuery || u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	if all(path, isVisib) {
		return path
	}
	var b []byte
	for i := range len(path) {
		if c := path[i]; class[c]&isVisib != 0 {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return string(b)
}

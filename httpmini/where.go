package httpmini

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Where says where a URL leads: what is dialed, what a request to it says, and
// what a reference in an answer means there. ParseWhere reads it as people type it
// and curl takes it: a percent sign that escapes nothing goes out as it is, what
// cannot stand in a request line is escaped then. Two Wheres can be compared.
type Where struct {
	Scheme   string // in lower case: http https ws wss, tcp tls udp line, unix unixgram ws+unix, socks5 socks5h
	User     string // decoded; see Credentials
	Password string
	HasUser  bool
	Host     string // a name in lower case, or an address, its zone behind a %; of a Unix socket the path
	Port     string // 1 to 65535, "" where the URL has none: see Address
	Path     string // begins with a slash; "" where a scheme has none
	Query    string // with its question mark; "" is none
	Fragment string // with its #
}

// schemes are those that a Where can have. Without a port of their own they are an
// address and nothing else, with or without the two slashes.
var schemes = map[string]struct {
	network, port string
	secure        bool
}{
	"http": {"tcp", "80", false}, "https": {"tcp", "443", true}, "ws": {"tcp", "80", false}, "wss": {"tcp", "443", true},
	"socks5": {"tcp", "1080", false}, "socks5h": {"tcp", "1080", false},
	"tcp": {"tcp", "", false}, "tls": {"tcp", "", true}, "udp": {"udp", "", false}, "line": {"tcp", "", false},
	"unix": {"unix", "", false}, "unixgram": {"unixgram", "", false}, "ws+unix": {"unix", "", false},
}

func badURL(why string) error { return fmt.Errorf("%w: %s", ErrURL, why) }

// ParseWhere reads a URL, or what stands behind scheme:// where raw has no scheme;
// without such a default that is an error. What two programs might read in two ways
// is refused: blanks and control characters, a second @, a backslash before the path,
// ports beyond 16 bits, addresses that are not in their usual form (127.1, 0x7f.1).
//
// The error wraps ErrURL and does not repeat the URL, which may hold a password; it
// is ErrScheme for a scheme that is none of ours.
func ParseWhere(raw, scheme string) (w Where, err error) {
	before, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsAny(before, "/?#@[:") {
		if before, rest, ok = strings.Cut(raw, ":"); !ok || schemes[strings.ToLower(before)].network == "" || schemes[strings.ToLower(before)].port != "" {
			before, rest = scheme, raw
		}
	}
	if before == "" && !strings.HasPrefix(raw, "://") {
		return w, badURL("it has no scheme, such as http://")
	}
	w.Scheme = strings.ToLower(before)
	s, ok := schemes[w.Scheme]
	if !ok {
		return w, ErrScheme
	}
	if strings.HasPrefix(s.network, "unix") {
		return w.unix(rest)
	}
	if i := strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }); i >= 0 {
		return w, badURL("it has a blank or a control character")
	}
	rest, w.Fragment = cutBefore(rest, '#')
	end := strings.IndexAny(rest+"/", "/?")
	if err := w.authority(rest[:end]); err != nil {
		return w, err
	}
	w.Path, w.Query = cutBefore(rest[end:], '?')
	if s.port != "" {
		w.Path = cmp.Or(w.Path, "/")
	} else if w.Path = strings.TrimSuffix(w.Path, "/"); w.Path+w.Query+w.Fragment != "" || w.HasUser || w.Port == "" {
		return w, badURL("want host:port and nothing else")
	}
	return w, nil
}

// unix reads the path of a socket, and of ws+unix the target behind its colon.
func (w Where) unix(rest string) (Where, error) {
	w.Host = rest
	if w.Scheme == "ws+unix" {
		if i := strings.Index(rest, ":/"); i >= 0 {
			w.Host, rest = rest[:i], rest[i+1:]
			rest, w.Fragment = cutBefore(rest, '#')
			w.Path, w.Query = cutBefore(rest, '?')
		}
		w.Path = cmp.Or(w.Path, "/")
	}
	if w.Host == "" || strings.IndexByte(w.Host, 0) >= 0 || !all(w.Path+w.Query, isText) {
		return w, badURL("want the path of a socket")
	}
	return w, nil
}

// authority reads [userinfo "@"] host [":" port] (RFC 3986 §3.2).
func (w *Where) authority(s string) error {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if strings.IndexByte(s[:i], '@') >= 0 {
			return badURL("it has a second @")
		}
		user, password, _ := strings.Cut(s[:i], ":")
		w.User, w.Password, w.HasUser = unescapeAny(user), unescapeAny(password), i > 0
		if !all(w.User+w.Password, isText) {
			return badURL("the user has a control character")
		}
		s = s[i+1:]
	}
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port = s[:i], s[i+1:]
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16) // refuses signs
		if err != nil || n == 0 {
			return badURL("the port is not between 1 and 65535")
		}
		w.Port = strconv.FormatUint(n, 10)
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); !bracketed {
			return badURL("a bracket is not closed")
		}
		inner = strings.Replace(inner, "%25", "%", 1) // a zone may be escaped or not (RFC 6874)
	}
	if w.Host = parseHost(inner, bracketed); w.Host == "" {
		return badURL("the host is neither a name nor an address in its usual form")
	}
	return nil
}

// cutBefore splits s before the first c; rest begins with it.
func cutBefore(s string, c byte) (before, rest string) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// Network returns what package net calls it: tcp, udp, unix or unixgram.
func (w Where) Network() string { return schemes[w.Scheme].network }

// Secure reports whether the scheme is spoken over TLS.
func (w Where) Secure() bool { return schemes[w.Scheme].secure }

// Address returns what is dialed: host:port, with the scheme's own port where there
// is no other, or the path of a socket.
func (w Where) Address() string {
	if strings.HasPrefix(w.Network(), "unix") {
		return w.Host
	}
	return net.JoinHostPort(w.Host, w.DialPort())
}

// DialPort returns the port, never empty but for Unix sockets.
func (w Where) DialPort() string { return cmp.Or(w.Port, schemes[w.Scheme].port) }

// Authority returns the Host field (RFC 9110 §7.2): with a port that is not the
// scheme's own, and without a zone, which is ours alone (RFC 6874 §1).
func (w Where) Authority() string {
	if strings.HasPrefix(w.Network(), "unix") {
		return "localhost"
	}
	host, _, _ := strings.Cut(w.Host, "%")
	return joinPort(host, w.Port, schemes[w.Scheme].port)
}

func joinPort(host, port, usual string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || port == usual {
		return host
	}
	return host + ":" + port
}

// Target returns path and query as a request line has them (RFC 9112 §3.2.1).
func (w Where) Target() string { return escapeRest(w.Path + w.Query) }

// Credentials returns "user:password" as Basic wants it, "" if the URL has no user.
func (w Where) Credentials() string {
	if !w.HasUser {
		return ""
	}
	return w.User + ":" + w.Password
}

// SameOrigin reports whether scheme, host and port are the same (RFC 6454 §5).
func (w Where) SameOrigin(v Where) bool {
	return w.Scheme == v.Scheme && w.Host == v.Host && w.DialPort() == v.DialPort()
}

// String returns the URL without user and fragment; ParseWhere reads it as w.
func (w Where) String() string {
	if strings.HasPrefix(w.Network(), "unix") {
		s := w.Scheme + ":"
		if strings.HasPrefix(w.Host, "//") { // of which ParseWhere would take two slashes off
			s += "//"
		}
		if s += w.Host; w.Path != "" {
			s += ":" + w.Target()
		}
		return s
	}
	return w.Scheme + "://" + joinPort(strings.Replace(w.Host, "%", "%25", 1), w.Port, "") + w.Target()
}

// URL returns w as net/url has it, where a percent sign that escapes nothing cannot
// stand in a path: for those who want its parts, not to send it.
func (w Where) URL() *url.URL {
	u := &url.URL{Scheme: w.Scheme, Host: joinPort(w.Host, w.Port, schemes[w.Scheme].port), Path: unescapeAny(w.Path), RawPath: escapeRest(w.Path),
		RawQuery: escapeRest(strings.TrimPrefix(w.Query, "?")), ForceQuery: w.Query == "?", Fragment: strings.TrimPrefix(w.Fragment, "#")}
	if w.HasUser {
		u.User = url.UserPassword(w.User, w.Password)
	}
	return u
}

// Resolve returns where a reference leads that stands in what came from w (RFC 3986
// §5.2), as browsers read it: blanks in it are escaped. The user is not kept, nor a
// port that is the scheme's own.
func (w Where) Resolve(ref string) (Where, error) {
	if !all(ref, isText) {
		return Where{}, badURL("it has a control character")
	}
	ref = strings.NewReplacer(" ", "%20", "\t", "%09").Replace(ref)
	scheme, rest, _ := strings.Cut(ref, ":")
	switch {
	case w.Path == "", strings.HasPrefix(ref, "//") && schemes[w.Scheme].port == "":
		return Where{}, ErrScheme
	case strings.HasPrefix(ref, "//"):
		ref = w.Scheme + ":" + ref
	case rest == "" && !strings.HasSuffix(ref, ":"), strings.ContainsAny(scheme, "/?#") || scheme == "":
		return w.relative(ref), nil
	case !strings.HasPrefix(rest, "//") && schemes[strings.ToLower(scheme)].network != "":
		return Where{}, badURL("it has a scheme and no host")
	case !strings.HasPrefix(rest, "//"):
		return Where{}, ErrScheme
	}
	to, err := ParseWhere(ref, "")
	if to.Port == schemes[to.Scheme].port {
		to.Port = ""
	}
	to.User, to.Password, to.HasUser = "", "", false
	to.RemoveDots()
	return to, err
}

// relative resolves a reference without scheme and authority.
func (w Where) relative(ref string) Where {
	w.User, w.Password, w.HasUser = "", "", false
	ref, w.Fragment = cutBefore(ref, '#')
	path, query := cutBefore(ref, '?')
	if path == "" && query == "" {
		return w
	}
	if w.Query = query; path == "" {
		return w
	}
	if path[0] != '/' {
		path = w.Path[:strings.LastIndexByte(w.Path, '/')+1] + path
	}
	w.Path = path
	w.RemoveDots()
	return w
}

// RemoveDots takes dot segments out of the path (RFC 3986 §5.2.4), and nothing else:
// empty segments stay.
func (w *Where) RemoveDots() {
	if !strings.Contains(w.Path, "/.") {
		return
	}
	var kept []string
	segments := strings.Split(w.Path[1:], "/")
	for i, s := range segments {
		switch s {
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		case ".":
		default:
			kept = append(kept, s)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	w.Path = "/" + strings.Join(kept, "/")
}

// escapeRest escapes what a request line cannot hold, and the backslash, which some
// take for a slash.
func escapeRest(s string) string {
	if all(s, isVisib) && strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b []byte
	for i := range len(s) {
		if c := s[i]; class[c]&isVisib != 0 && c != '\\' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "%%%02X", c)
		}
	}
	return string(b)
}

// parseHost returns a host as net.Dial takes it, "" if it is not valid.
func parseHost(s string, bracketed bool) string {
	if bracketed {
		addr, err := netip.ParseAddr(s)
		if err != nil || !addr.Is6() || strings.ContainsAny(addr.Zone(), "%[]/\\") {
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
	if !all(s, isReg) {
		return "" // before a Kelvin sign becomes a k
	}
	s = strings.ToLower(s)
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	if len(s) > 253 || slices.ContainsFunc(labels, func(label string) bool {
		return label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != ""
	}) {
		return ""
	}
	// 127.1, 0x7f.1 and 2130706433 are addresses to some, a.1 to nobody (WHATWG URL §3.5).
	if !slices.ContainsFunc(labels, func(label string) bool {
		return strings.Trim(label, "0123456789") != "" && (!strings.HasPrefix(label, "0x") || strings.Trim(label[2:], "0123456789abcdef") != "")
	}) {
		return ""
	}
	return s
}

// address returns host:port to dial for a proxy.
func address(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), schemes[u.Scheme].port))
}

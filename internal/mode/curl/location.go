package curl

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"strings"
)

// A location is a URL as curl reads one: the scheme may be missing, and what is in
// the path goes to the server as it was typed.
type location struct {
	scheme   string // in lower case
	user     string // name:password, decoded
	hasUser  bool
	host     string // as httpmini.ParseURL has it
	port     string // as typed; "" is the scheme's
	path     string // begins with "/"
	typed    string // path before it was made fit for a request line
	query    string // with its question mark; "" is none
	fragment string // with its #
}

var schemes = []string{"http", "https", "ws", "wss"}

// What is wrong with a URL; curl's number for the first is 3, for the other 1.
var (
	errURL       = errors.New("not a URL that can be fetched")
	errURLScheme = errors.New("protocol not supported")
)

// parseURL reads raw; scheme is for what names none ("" guesses). asIs leaves
// /./ and /../ in the path.
func parseURL(raw, scheme string, asIs bool) (*location, error) {
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] == 0x7f {
			return nil, errURL
		}
	}
	u := &location{scheme: scheme}
	before, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsAny(before, "/?#@[") {
		rest = raw
		if u.scheme == "" {
			u.scheme = guessScheme(raw)
		}
	} else {
		u.scheme = strings.ToLower(before)
	}
	if !slices.Contains(schemes, u.scheme) {
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
	u.typed = u.path
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

func (u *location) parseAuthority(s string) error {
	scheme := "http"
	if u.secure() {
		scheme = "https"
	}
	if i := strings.IndexByte(s, '['); i >= 0 && !strings.Contains(s[i:], "%25") {
		s = s[:i] + strings.Replace(s[i:], "%", "%25", 1) // a zone as people write it (RFC 6874 §3)
	}
	parsed, err := httpmini.ParseURL(scheme + "://" + s + "/")
	if err != nil {
		return errURL
	}
	if parsed.User != nil {
		password, _ := parsed.User.Password()
		u.user, u.hasUser = parsed.User.Username()+":"+password, true
		if strings.ContainsFunc(u.user, isControl) {
			return errURL
		}
	}
	u.host, u.port = parsed.Hostname(), parsed.Port()
	if _, port := cutHostPort(s); u.port == "" && cli.IsDigits(port) && !strings.HasSuffix(s, "]") && strings.Contains(s, ":") {
		u.port = (&location{scheme: u.scheme}).realPort() // as it was typed
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

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
func (u *location) addQuery(s string) {
	switch {
	case s == "":
	case u.query == "" || u.query == "?":
		u.query = "?" + s
	default:
		u.query += "&" + s
	}
}

// target is what stands in the request line.
func (u *location) target() string { return u.path + u.query }

// realPort is the port, never empty.
func (u *location) realPort() string {
	switch {
	case u.port != "":
		return u.port
	case u.secure():
		return "443"
	}
	return "80"
}

func (u *location) secure() bool { return u.scheme == "https" || u.scheme == "wss" }

// authority is the Host field: with a port where it is not the scheme's own, and
// without a zone (RFC 6874 §1).
func (u *location) authority() string {
	host, _, _ := strings.Cut(u.host, "%")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if usual := (&location{scheme: u.scheme}).realPort(); u.port == "" || u.port == usual {
		return host
	}
	return host + ":" + u.port
}

// String is the whole URL without its user.
func (u *location) String() string {
	host := u.host
	if strings.Contains(host, ":") {
		host = "[" + strings.Replace(host, "%", "%25", 1) + "]"
	}
	if u.port != "" {
		host += ":" + u.port
	}
	return u.scheme + "://" + host + u.target()
}

// parseable is String with the backslashes, and the percent signs that escape
// nothing, escaped themselves; servers get to see them as they are.
func (u *location) parseable() string {
	escaped := *u
	for i := len(u.path) - 1; i >= 0; i-- {
		if _, err := url.PathUnescape(u.path[i:min(i+3, len(u.path))]); u.path[i] == '%' && err != nil {
			escaped.path = escaped.path[:i] + "%25" + escaped.path[i+1:]
		}
	}
	return strings.ReplaceAll(escaped.String(), `\`, "%5C")
}

// parsed is what those want that know URLs of the standard library only.
func (u *location) parsed() *url.URL {
	return &url.URL{Scheme: u.scheme, Host: u.authority(), Path: u.path}
}

// origin is the scheme, host and port: who else is there is somebody else.
func (u *location) origin() string { return u.scheme + "://" + u.host + ":" + u.realPort() }

// resolve reads the reference in a Location (RFC 3986 §5.2) as curl does: a blank
// and what is not ASCII are escaped, all else stays as it came.
func (u *location) resolve(ref string) (*location, error) {
	ref, fragment := cutBefore(strings.TrimSpace(ref), '#')
	before, query := cutBefore(ref, '?')
	ref = strings.ReplaceAll(before, " ", "%20") + strings.ReplaceAll(query, " ", "+")
	to := location{scheme: u.scheme, host: u.host, port: u.port}
	name, rest, absolute := strings.Cut(ref, ":")
	switch {
	case strings.HasPrefix(ref, "//"):
		return parseURL(u.scheme+":"+ref, "", false)
	case absolute && name != "" && !strings.ContainsAny(name, "/?") && !strings.HasPrefix(rest, "//"):
		return nil, errURLScheme // mailto:, or one that lacks its host
	case absolute && !strings.ContainsAny(name, "/?"):
		return parseURL(ref, "", false)
	case ref == "":
		to.path, to.query = u.path, u.query
	case ref[0] == '?':
		to.path, to.query = u.path, ref
	case ref[0] == '/':
		to.path, to.query = cutBefore(ref, '?')
	default:
		to.path, to.query = cutBefore(u.path[:strings.LastIndexByte(u.path, '/')+1]+ref, '?')
	}
	to.typed = withoutDots(to.path)
	to.path, to.query, to.fragment = onlyASCII(to.typed), onlyASCII(to.query), fragment
	return &to, to.checkTarget()
}

// remoteName is the last segment of the path, as it was typed: what -O calls the file.
func (u *location) remoteName() string {
	name := path.Base(strings.TrimRight(u.typed, "/"))
	if name == "." {
		return "curl_response" // as of curl
	}
	return name
}

// checkTarget refuses what cannot stand in a request line.
func (u *location) checkTarget() error {
	if (&httpmini.Request{Method: "GET", Target: u.target()}).Check() != nil {
		return failf(exitBadURL, "URL using bad/illegal format or missing URL")
	}
	return nil
}

// shown is the whole URL as the user has it.
func (u *location) shown() string { return u.String() + u.fragment }

// part is one of %{url.…}.
func (u *location) part(name string) (value any, ok bool) {
	if u == nil {
		return nil, true
	}
	user, password, _ := strings.Cut(u.user, ":")
	value, ok = map[string]any{
		"scheme": u.scheme, "host": u.host, "path": u.path, "user": user, "password": password,
		"query": strings.TrimPrefix(u.query, "?"), "fragment": strings.TrimPrefix(u.fragment, "#"), "zoneid": "", "options": "",
	}[name]
	if name == "port" {
		return u.realPort(), true
	}
	return value, ok
}

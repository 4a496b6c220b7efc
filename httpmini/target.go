package httpmini

import (
	"net/netip"
	"strconv"
	"strings"
)

// Host returns the host, with the port where one is given, that the request is
// for: from the target if that names one, else from the Host field (RFC 9112 §3.3).
func (r *Request) Host() string {
	if r.Method == "CONNECT" {
		return r.Target
	}
	if authority, _, ok := cutAbsolute(r.Target); ok {
		return authority
	}
	return r.Header.Get("Host")
}

// Path returns the path of the target as it came, percent signs and all. It is
// "/" where an absolute target has none, and "" for CONNECT and for OPTIONS *.
func (r *Request) Path() string {
	path, _, _ := strings.Cut(r.pathAndQuery(), "?")
	return path
}

// Query returns what follows the first question mark of the target.
func (r *Request) Query() string {
	_, query, _ := strings.Cut(r.pathAndQuery(), "?")
	return query
}

func (r *Request) pathAndQuery() string {
	if strings.HasPrefix(r.Target, "/") {
		return r.Target
	}
	_, rest, ok := cutAbsolute(r.Target)
	if ok && !strings.HasPrefix(rest, "/") {
		return "/" + rest
	}
	return rest
}

// cutAbsolute splits a target in absolute form (RFC 9112 §3.2.2) into authority
// and the rest. Other schemes than http and https are none of ours.
func cutAbsolute(target string) (authority, rest string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return "", "", false
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:], true
	}
	return rest, "", true
}

// validTarget accepts the form of request-target that belongs to the method
// (RFC 9112 §3.2). A percent sign in the query may escape nothing, as clients send it.
func validTarget(method, target string) bool {
	if method == "CONNECT" {
		return validAuthority(target, true)
	}
	if target == "*" {
		return method == "OPTIONS"
	}
	path := target
	if target == "" || target[0] != '/' {
		authority, rest, ok := cutAbsolute(target)
		if !ok || authority == "" || !validAuthority(authority, false) {
			return false
		}
		path = rest
	}
	if strings.IndexByte(path, '#') >= 0 {
		return false
	}
	path, _, _ = strings.Cut(path, "?")
	return validEscapes(path)
}

func validEscapes(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return true
		}
		if len(s) < i+3 || !all(s[i+1:i+3], isHex) {
			return false
		}
		s = s[i+3:]
	}
}

// validAuthority accepts host [":" port] without user information
// (RFC 3986 §3.2). The empty one is valid: a URI without authority has an empty
// Host field (RFC 9112 §3.2).
func validAuthority(s string, needPort bool) bool {
	host, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, port, hasPort = s[:i], s[i+1:], true
	}
	if hasPort && (host == "" || !validPort(port)) || needPort && port == "" {
		return false
	}
	if strings.HasPrefix(host, "[") {
		addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		return strings.HasSuffix(host, "]") && err == nil && addr.Is6() && addr.Zone() == ""
	}
	return all(host, isReg) && validEscapes(host)
}

func validPort(s string) bool {
	if s == "" {
		return true
	}
	n, err := strconv.ParseUint(s, 10, 16) // refuses signs
	return err == nil && n <= 65535
}

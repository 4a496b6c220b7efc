package httpmini

import (
	"errors"
	"runtime"
	"strings"
	"unicode/utf8"
)

// What is wrong with the path of a request; FileName says which.
var (
	ErrPath     = errors.New("the path leads outside or can be read in two ways") // status 400
	ErrFileName = errors.New("no file is served by such a name")                  // status 404
)

// FileName decodes the path of a request, once, and returns the name of the file
// below a root that it stands for: elements with slashes between, "." for the root
// itself. dir says that the path ends in a slash. Dot segments are resolved, empty
// ones dropped, also at the start: scripts join BASE/ and /name.
//
// The error is an *Error. Its status is 400 for paths that leave the root or hold a
// backslash, a NUL, an encoded slash or dot segments with parameters ("..;"); 404 on
// Windows for elements that it takes for something else (devices, streams, names
// that end in a dot or a blank), and, unless dotfiles, for those that begin with a
// dot, but for /.well-known (RFC 8615). It does not check UTF-8: a name is the bytes
// that it has.
func FileName(path string, dotfiles bool) (name string, dir bool, err error) {
	if path == "" || path[0] != '/' {
		return "", false, &Error{Status: 400, Err: ErrPath}
	}
	var room [32]string // so that short paths need no other
	elements, plain := room[:0], true
	for rest, more := path[1:], true; more; {
		var raw string
		raw, rest, more = strings.Cut(rest, "/")
		element, ok := unescape(raw)
		if !ok || strings.ContainsAny(element, "/\\\x00") {
			return "", false, &Error{Status: 400, Err: ErrPath}
		}
		stem, _, params := strings.Cut(element, ";")
		dots := stem == "." || stem == ".."
		dir = !more && (element == "" || dots)
		plain = plain && len(raw) == len(element) && !dots && (element != "" || dir)
		switch {
		case dots && params:
			return "", false, &Error{Status: 400, Err: ErrPath}
		case element == "", element == ".":
		case element != "..":
			elements = append(elements, element)
		case len(elements) == 0:
			return "", false, &Error{Status: 400, Err: ErrPath}
		default:
			elements = elements[:len(elements)-1]
		}
	}
	for i, element := range elements {
		if !servable(element, dotfiles || i == 0 && element == ".well-known") {
			return "", dir, &Error{Status: 404, Err: ErrFileName}
		}
	}
	switch {
	case len(elements) == 0:
		return ".", true, nil
	case plain && dir:
		return path[1 : len(path)-1], dir, nil
	case plain:
		return path[1:], dir, nil
	}
	return strings.Join(elements, "/"), dir, nil
}

// unescape decodes percent-encoding. Where there is none it does not allocate.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	return unescapeAny(s), validEscapes(s)
}

// unescapeAny leaves percent signs that escape nothing as they are.
func unescapeAny(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && all(s[i+1:i+3], isHex) {
			c = byte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
			i += 2
		}
		b = append(b, c)
	}
	return string(b)
}

// onWindows is a variable for tests.
var onWindows = runtime.GOOS == "windows"

// servable says whether a file of that name, one element, is served and listed.
func servable(name string, dotfiles bool) bool {
	if name[0] == '.' && !dotfiles || strings.IndexByte(name, '\\') >= 0 {
		return false
	}
	// A colon begins a stream of a file; GIT~1 is the short name of .git.
	return !onWindows || !strings.ContainsAny(name, ":~") && !strings.ContainsAny(name[len(name)-1:], ". ") && !isDevice(name)
}

// isDevice holds for CON, nul.txt, COM1 and their like.
func isDevice(name string) bool {
	stem := name
	if i := strings.IndexAny(name, ".:"); i >= 0 {
		stem = name[:i]
	}
	for stem != "" && stem[len(stem)-1] == ' ' {
		stem = stem[:len(stem)-1]
	}
	if len(stem) < 3 || len(stem) > 7 {
		return false
	}
	for _, device := range [...]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} {
		if equalFold(stem, device) {
			return true
		}
	}
	if !equalFold(stem[:3], "COM") && !equalFold(stem[:3], "LPT") {
		return false
	}
	port, n := utf8.DecodeRuneInString(stem[3:])
	return n > 0 && n == len(stem)-3 && strings.ContainsRune("0123456789¹²³", port)
}

// FilePath returns the path of a URL that FileName makes the name of a file of: what
// stands in the Location of a 201 (RFC 9110 §10.2.2).
func FilePath(name string) string { return string(appendEscapedPath([]byte("/"), name)) }

// appendEscapedPath appends name so that it can stand in a URL's path.
func appendEscapedPath(dst []byte, name string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(name) {
		c := name[i]
		if c == '/' || class[c]&isReg != 0 && strings.IndexByte("%;'()!*&", c) < 0 {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}

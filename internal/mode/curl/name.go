package curl

import (
	"cmp"
	"errors"
	"net/url"
	"os"
	"runtime"
	"socketsrv/httpmini"
	"socketsrv/internal/files"
	"strconv"
	"strings"
)

// urlFileName is the name of -O. The user chose the URL, so that only what is no
// name at all is refused.
func urlFileName(w httpmini.Where) (string, error) {
	name := remoteName(w)
	switch err := files.CheckName(name); {
	case name == "":
		return "", errNoRemoteName
	case name == "." || name == "..", err != nil && runtime.GOOS == "windows", strings.Contains(name, `\`):
		return "", cmp.Or(err, errNoRemoteName)
	}
	return name, nil
}

// unusedName is the first of name.1, name.2 and so on that is no file's.
func unusedName(name string) string {
	for i := 1; i < 100; i++ {
		free := name + "." + strconv.Itoa(i)
		if _, err := os.Lstat(free); err != nil {
			return free
		}
	}
	return name
}

var errNoRemoteName = errors.New("remote file name has no length")

// serverFileName is the name in Content-Disposition (RFC 6266), "" if there is
// none: its last element, which must pass for the name of a file.
func serverFileName(h httpmini.Header) (string, error) {
	value, plain := h.Get("Content-Disposition"), ""
	name, found := "", false
	for _, part := range splitQuoted(value, ';') {
		key, v, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		v = strings.TrimSpace(v)
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "filename":
			plain, found = unquote(v), true
		case "filename*":
			if decoded, ok := decodeExtended(v); ok {
				name, found = decoded, true
			}
		}
	}
	if !found {
		return "", nil
	}
	name = cmp.Or(name, plain)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	return name, files.CheckName(name)
}

// splitQuoted splits at separators that are not in quotes.
func splitQuoted(s string, sep byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:])
}

// unquote takes quotes off, single ones too and one that is not closed; a backslash stays, as for browsers, unless it stands
// before a quote.
func unquote(s string) string {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return s
	}
	quote := s[:1]
	return strings.ReplaceAll(strings.TrimSuffix(s[1:], quote), `\`+quote, quote)
}

// decodeExtended reads UTF-8”a%20b (RFC 8187 §3.2.1).
func decodeExtended(s string) (string, bool) {
	charset, rest, _ := strings.Cut(s, "'")
	_, encoded, ok := strings.Cut(rest, "'")
	name, err := url.PathUnescape(encoded)
	return name, ok && err == nil && strings.EqualFold(charset, "UTF-8")
}

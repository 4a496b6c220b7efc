package curl

import (
	"path"
	"slices"
	"socketsrv/httpmini"
	"strings"
)

var schemes = []string{"http", "https", "ws", "wss"}

// parseURL reads raw; scheme is for what names none ("" guesses). asIs leaves /./ and
// /../ in the path.
func parseURL(raw, scheme string, asIs bool) (httpmini.Where, error) {
	if scheme == "" {
		scheme = guessScheme(raw)
	}
	w, err := httpmini.ParseWhere(raw, scheme)
	if err == nil && !slices.Contains(schemes, w.Scheme) {
		err = httpmini.ErrScheme
	}
	if err == nil && !asIs {
		w.RemoveDots()
	}
	return w, err
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

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// addQuery appends to the query, which may be empty.
func addQuery(w *httpmini.Where, s string) {
	switch {
	case s == "":
	case w.Query == "" || w.Query == "?":
		w.Query = "?" + s
	default:
		w.Query += "&" + s
	}
}

// remoteName is the last segment of the path, as it was typed: what -O calls the file.
func remoteName(w httpmini.Where) string {
	name := path.Base(strings.TrimRight(w.Path, "/"))
	if name == "." {
		return "curl_response" // as of curl
	}
	return name
}

// part is one of %{url.…}.
func part(w httpmini.Where, name string) (value any, ok bool) {
	value, ok = map[string]any{
		"scheme": w.Scheme, "host": w.Host, "port": w.DialPort(), "path": w.Path, "user": w.User, "password": w.Password,
		"query": strings.TrimPrefix(w.Query, "?"), "fragment": strings.TrimPrefix(w.Fragment, "#"), "zoneid": "", "options": "",
	}[name]
	return value, ok
}

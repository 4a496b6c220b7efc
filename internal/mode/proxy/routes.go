package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
)

// A target is where connections are passed on to; its Path comes before the client's
// own and has no slash at its end.
type target struct{ httpmini.Where }

var errTarget = errors.New("want ws://HOST[:PORT][/PATH], wss://…, ws+unix:/PATH, tcp://HOST:PORT, tls://…, udp://… or unix:/PATH")

// parseTarget reads the URL of a target; HOST:PORT is one of ws.
func parseTarget(s string) (*target, error) {
	w, err := httpmini.ParseWhere(s, "ws")
	if err != nil || w.HasUser || w.Query+w.Fragment != "" || strings.ContainsFunc(w.Host, unicode.IsControl) {
		return nil, errTarget
	}
	switch w.Scheme {
	case "ws", "wss", "ws+unix", "tcp", "tls", "udp", "unix":
		w.Path = strings.TrimRight(w.Target(), "/")
		return &target{w}, nil
	}
	return nil, errTarget
}

// webSocket says whether a WebSocket is at the target.
func (t *target) webSocket() bool { return strings.HasPrefix(t.Scheme, "ws") }

// proto is what events call its protocol.
func (t *target) proto() string { return strings.TrimSuffix(t.Scheme, "+unix") }

// routes say which target a Host field leads to.
type routes struct {
	exact map[string]*target // by name, or by name:port
	named map[string]*target // by the name of an entry with a port; nil where there are several
	other *target            // for all others; nil: none
}

// find returns the target for a host with or without port, nil if there is none.
// An entry with that very port comes first, then one without; at last the only
// one with another.
func (r *routes) find(host string) *target {
	name, port := splitHost(host)
	for _, t := range []*target{r.exact[joinHost(name, port)], r.exact[name], r.named[name]} {
		if t != nil {
			return t
		}
	}
	return r.other
}

func (r *routes) any(is func(*target) bool) bool {
	for _, t := range r.exact {
		if is(t) {
			return true
		}
	}
	return r.other != nil && is(r.other)
}

// names are those that have targets of their own.
func (r *routes) names() (names []string) {
	for host := range r.exact {
		names = append(names, host)
	}
	return names
}

// splitHost splits host[:port]; the name loses its final dot and becomes
// lower case.
func splitHost(s string) (name, port string) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name, port = s[:i], s[i+1:]
	}
	return strings.ToLower(strings.TrimSuffix(name, ".")), port
}

func joinHost(name, port string) string {
	if port == "" {
		return name
	}
	return name + ":" + port
}

// What a file of routes may hold.
const (
	maxConfig = 4 << 20 // bytes
	maxLines  = 10000
)

// readRoutes reads the file of -config_path. The error is a UsageError that
// names file and line.
func readRoutes(name string, other *target) (*routes, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Usagef("-config_path: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, cli.Usagef("-config_path: %v", err)
	}
	r, line, err := parseRoutes(text)
	if err != nil {
		return nil, cli.Usagef("%s:%d: %v", name, line, err)
	}
	r.other = other
	return r, nil
}

// parseRoutes reads lines HOST=URL with # comments, or the JSON of ws: an
// object of hosts and URLs, or one with that as its remote_urls. The line is where
// the error is.
func parseRoutes(text []byte) (r *routes, line int, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	r = &routes{exact: make(map[string]*target), named: make(map[string]*target)}
	switch i := bytes.IndexByte(text, 0); {
	case len(text) > maxConfig:
		return nil, 1, fmt.Errorf("more than %d bytes", maxConfig)
	case i >= 0:
		return nil, lineOf(text, i), errors.New("a NUL byte")
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")):
		line, err = r.parseJSON(text)
	default:
		line, err = r.parseLines(string(text))
	}
	if err == nil && len(r.exact) == 0 {
		line, err = 1, errors.New("no line HOST=URL")
	}
	return r, line, err
}

func lineOf(text []byte, offset int) int { return 1 + bytes.Count(text[:offset], []byte("\n")) }

func (r *routes) parseLines(text string) (n int, err error) {
	for line := range strings.Lines(text) {
		if n++; n > maxLines {
			return n, fmt.Errorf("more than %d lines", maxLines)
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		host, target, ok := strings.Cut(line, "=")
		if !ok {
			return n, errors.New("want HOST=URL")
		}
		target, _, _ = strings.Cut(target, " #")
		if err := r.add(strings.TrimSpace(host), strings.TrimSpace(target)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// parseJSON goes token by token: a map would hide a host that is there twice.
func (r *routes) parseJSON(text []byte) (line int, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	at := func() int { return lineOf(text, int(dec.InputOffset())) }
	dec.Token() // the brace
	for depth := 1; depth > 0; {
		token, err := dec.Token()
		if err != nil {
			return at(), fmt.Errorf("no valid JSON: %v", err)
		}
		host, ok := token.(string)
		if !ok { // a brace that closes: anything else is no key
			depth--
			continue
		}
		token, err = dec.Token()
		if err != nil {
			return at(), fmt.Errorf("no valid JSON: %v", err)
		}
		target, ok := token.(string)
		switch {
		case ok:
			err = r.add(host, target)
		case depth == 1 && host == "remote_urls" && token == json.Delim('{'):
			depth++
		default:
			err = errors.New("want hosts and URLs, as strings")
		}
		if err == nil && len(r.exact) > maxLines {
			err = fmt.Errorf("more than %d hosts", maxLines)
		}
		if err != nil {
			return at(), err
		}
	}
	if _, err := dec.Token(); err != io.EOF {
		return at(), errors.New("no valid JSON: more after its end")
	}
	return 0, nil
}

// add takes in that host leads to target.
func (r *routes) add(host, target string) error {
	name, port := splitHost(host)
	if w, err := httpmini.ParseWhere("ws://"+host, ""); err != nil || w.HasUser || w.Path != "/" || w.Query+w.Fragment != "" || strings.Contains(host, "/") {
		return fmt.Errorf("want a host, or host:port, before the URL, not %q", cli.Clip(host, cli.MaxShown))
	}
	t, err := parseTarget(target)
	if err != nil {
		return fmt.Errorf("%v, not %q", err, cli.Clip(target, cli.MaxShown))
	}
	key := joinHost(name, port)
	if r.exact[key] != nil {
		return fmt.Errorf("%q is there twice", cli.Clip(key, cli.MaxShown))
	}
	r.exact[key] = t
	if _, several := r.named[name]; several {
		t = nil
	}
	if port != "" {
		r.named[name] = t
	}
	return nil
}

package curl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"socketsrv/httpmini"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"strconv"
	"strings"
	"time"
)

// A variable is a name in %{…} and what it stands for; nil where there is none of it.
type variable struct {
	name  string
	value func(t *transfer) any
}

// variables are those of curl's that mean something here, in the order of %{json}.
var variables = []variable{
	{"certs", func(t *transfer) any { return tlsconf.Certificates(t.conn.NetConn) }},
	{"content_type", func(t *transfer) any { return orNil(t.response.Header.Get("Content-Type")) }},
	{"errormsg", func(t *transfer) any { return orNil(t.message) }},
	{"exitcode", func(t *transfer) any { return t.exit }},
	{"filename_effective", func(t *transfer) any { return orNil(cmp.Or(t.out, &output{}).name) }},
	{"http_code", func(t *transfer) any { return threeDigits(t.response.Status) }},
	{"http_connect", func(t *transfer) any { return threeDigits(t.connectStatus) }},
	{"http_version", func(t *transfer) any { return t.version() }},
	{"local_ip", func(t *transfer) any { return ipOf(t.conn.Local) }},
	{"local_port", func(t *transfer) any { return portOf(t.conn.Local) }},
	{"method", func(t *transfer) any { return t.method }},
	{"num_connects", func(t *transfer) any { return t.connects }},
	{"num_headers", func(t *transfer) any { return t.fields }},
	{"num_redirects", func(t *transfer) any { return t.redirects }},
	{"num_retries", func(t *transfer) any { return t.retried }},
	{"proxy_ssl_verify_result", func(t *transfer) any { return 0 }},
	{"proxy_used", func(t *transfer) any { return btoi(t.conn.Proxy != nil) }},
	{"redirect_url", func(t *transfer) any { return orNil(t.redirectURL) }},
	{"referer", func(t *transfer) any { return orNil(t.sentReferer) }},
	{"remote_ip", func(t *transfer) any { return ipOf(t.conn.Remote) }},
	{"remote_port", func(t *transfer) any { return portOf(t.conn.Remote) }},
	{"response_code", func(t *transfer) any { return threeDigits(t.response.Status) }},
	{"scheme", func(t *transfer) any { return strings.ToUpper(t.at.Scheme) }},
	{"size_delivered", func(t *transfer) any { return max(cmp.Or(t.out, &output{}).written-t.headShown, 0) }},
	{"size_download", func(t *transfer) any { return t.down }},
	{"size_header", func(t *transfer) any { return t.headerSize }},
	{"size_request", func(t *transfer) any { return t.requestSize }},
	{"size_upload", func(t *transfer) any { return t.up }},
	{"speed_download", func(t *transfer) any { return perSecond(t.down, t.took) }},
	{"speed_upload", func(t *transfer) any { return perSecond(t.up, t.took) }},
	{"ssl_verify_result", func(t *transfer) any { return 0 }},
	{"time_appconnect", func(t *transfer) any { return t.since(t.conn.Secured) }},
	{"time_connect", func(t *transfer) any { return t.since(t.conn.Connected) }},
	{"time_namelookup", func(t *transfer) any { return t.since(t.lookedUp) }},
	{"time_pretransfer", func(t *transfer) any { return t.moment(func(a *httpmini.Answer) time.Time { return a.Sending }) }},
	{"time_redirect", func(t *transfer) any { return t.redirectTime }},
	{"time_starttransfer", func(t *transfer) any { return t.moment(func(a *httpmini.Answer) time.Time { return a.First }) }},
	{"time_total", func(t *transfer) any { return t.took }},
	{"url", func(t *transfer) any { return t.raw }},
	{"url_effective", func(t *transfer) any { return t.effective() }},
	{"urlnum", func(t *transfer) any { return t.number }},
	{"xfer_id", func(t *transfer) any { return t.number }},
}

// valueOf is what a name stands for; parts of a URL are url.host, urle.path and so on.
func (t *transfer) valueOf(name string) (value any, ok bool) {
	switch of, rest, dotted := strings.Cut(name, "."); {
	case dotted && of == "url":
		return part(t.url, rest)
	case dotted && of == "urle":
		return part(t.at, rest)
	}
	for _, v := range variables {
		if v.name == name {
			return v.value(t), true
		}
	}
	return nil, false
}

// moment is when something happened to the last answer, since the beginning.
func (t *transfer) moment(of func(*httpmini.Answer) time.Time) time.Duration {
	if t.answer == nil {
		return 0
	}
	return t.since(of(t.answer))
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// threeDigits is a status, printed with zeros in front.
type threeDigits int

func ipOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

func portOf(a net.Addr) int {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

func perSecond(n int64, took time.Duration) any {
	if took <= 0 {
		return int64(0)
	}
	return int64(float64(n) / took.Seconds())
}

// writeText is the value of a variable in a format, writeJSON in %{json}.
func writeText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case threeDigits:
		return fmt.Sprintf("%03d", int(v))
	case time.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', 6, 64)
	}
	return fmt.Sprint(v)
}

func writeJSON(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return toJSON(v)
	case threeDigits:
		return strconv.Itoa(int(v))
	}
	return writeText(v)
}

// toJSON is a text or a list of texts; what is not UTF-8 is lost (RFC 8259 §7).
func toJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n")
}

// writeAfter writes the format of -w.
func (t *transfer) writeAfter() {
	format := t.o.writeOut
	if name, ok := strings.CutPrefix(format, "@"); ok {
		text, err := readText(name, t.env.Stdin)
		if err != nil {
			t.warn("cannot read the format: %v", err)
			return
		}
		format = strings.NewReplacer("\r", "", "\n", "").Replace(text) // the file's own line ends, as of curl
	}
	w := &writeTarget{t: t, w: t.env.Stdout, tty: t.env.TTYOut}
	for format != "" && !w.muted {
		i := strings.IndexAny(format, `%\`)
		if i < 0 {
			i = len(format)
		}
		w.text(format[:i])
		if format = format[i:]; format != "" {
			format = w.special(format)
		}
	}
	w.flush()
}

// A writeTarget is where the format goes on to: %{stderr} changes that.
type writeTarget struct {
	t     *transfer
	w     io.Writer
	tty   *os.File // nil: it is no terminal
	b     strings.Builder
	muted bool // after %{onerror}, where there was none
}

func (w *writeTarget) text(s string) { w.b.WriteString(s) }

// value writes what may be the server's choice.
func (w *writeTarget) value(s string) { w.b.Write(w.t.o.forTTY(w.tty, []byte(s))) }

func (w *writeTarget) flush() {
	io.WriteString(w.w, w.b.String())
	w.b.Reset()
}

// special writes what s begins with, an escape or a variable, and returns the rest.
func (w *writeTarget) special(s string) string {
	if s[0] == '\\' {
		n := min(2, len(s))
		w.text(strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t").Replace(s[:n]))
		return s[n:]
	}
	for prefix, write := range map[string]func(string){"%header{": w.header, "%output{": w.output, "%{": w.variable} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			if name, rest, ok := cutBrace(rest); ok {
				write(name)
				return rest
			}
		}
	}
	w.text("%")
	return strings.TrimPrefix(s[1:], "%")
}

// cutBrace splits at the first brace that no backslash stands before.
func cutBrace(s string) (before, after string, ok bool) {
	for i := range len(s) {
		if s[i] == '}' && (i == 0 || s[i-1] != '\\') {
			return strings.ReplaceAll(s[:i], `\}`, "}"), s[i+1:], true
		}
	}
	return "", "", false
}

// header writes a field of the last answer; NAME:all:SEPARATOR all of that name, in all
// answers.
func (w *writeTarget) header(name string) {
	name, separator, all := strings.Cut(name, ":all:")
	if all {
		w.value(strings.Join(w.t.heads.Values(name), separator))
	} else {
		w.value(w.t.response.Header.Get(name))
	}
}

// output goes on in a file, at its end where >> stands before the name.
func (w *writeTarget) output(name string) {
	w.flush()
	name, more := strings.CutPrefix(name, ">>")
	if err := w.t.writeBeside(name, more, nil); err != nil {
		w.t.warn("cannot write to %s: %v", name, err)
		return
	}
	w.w, w.tty = beside{w.t, name}, nil
}

// beside is the end of a file of %output{}.
type beside struct {
	t    *transfer
	name string
}

func (b beside) Write(p []byte) (int, error) { return len(p), b.t.writeBeside(b.name, true, p) }

func (w *writeTarget) variable(name string) {
	switch name {
	case "stdout", "stderr":
		w.flush()
		w.w, w.tty = w.t.env.Stdout, w.t.env.TTYOut
		if name == "stderr" {
			w.w, w.tty = w.t.env.Stderr, w.t.env.TTYErr
		}
	case "onerror":
		w.muted = w.t.exit == 0
	case "json":
		w.value(w.t.allJSON())
	case "header_json":
		w.value(w.t.headerJSON())
	case "":
	default:
		value, ok := w.t.valueOf(name)
		if !ok {
			fmt.Fprintf(w.t.env.Stderr, "curl: unknown --write-out variable: '%s'\n", event.Field(name))
			return
		}
		w.value(writeText(value))
	}
}

// allJSON is every variable, in the order of their names.
func (t *transfer) allJSON() string {
	var all []string
	for _, v := range variables {
		all = append(all, toJSON(v.name)+":"+writeJSON(v.value(t)))
	}
	return "{" + strings.Join(all, ",") + `,"curl_version":` + toJSON(userAgent) + "}"
}

// headerJSON is the fields of the last answer, each name once, in lower case, with
// all its values.
func (t *transfer) headerJSON() string {
	if t.response.Status == 0 {
		return "{}"
	}
	var all []string
	seen := map[string]bool{}
	for _, f := range t.response.Header {
		if name := strings.ToLower(f.Name); !seen[name] {
			seen[name] = true
			all = append(all, toJSON(name)+":"+toJSON(t.response.Header.Values(f.Name)))
		}
	}
	return "{" + strings.Join(all, ",\n") + "\n}"
}

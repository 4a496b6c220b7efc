package curl

import (
	"fmt"
	"io"
	"net"
	"os"
	"socketsrv/httpmini"
	"socketsrv/internal/event"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// writeNames are the names in %{…}, in the order of %{json}.
const writeNames = `content_type errormsg exitcode filename_effective http_code http_connect http_version local_ip
local_port method num_connects num_headers num_redirects proxy_ssl_verify_result proxy_used
redirect_url referer remote_ip remote_port response_code scheme size_download size_header
size_request size_upload speed_download speed_upload ssl_verify_result time_appconnect time_connect
time_namelookup time_pretransfer time_redirect time_starttransfer time_total url url_effective
urlnum`

// variable is what a name in %{…} stands for; nil where there is none of it.
func (t *transfer) variable(name string) (value any, ok bool) {
	switch name {
	case "content_type":
		value = t.field("Content-Type")
	case "errormsg":
		value = orNil(t.message)
	case "exitcode":
		value = t.exit
	case "filename_effective":
		value = orNil(t.fileName())
	case "http_code", "response_code":
		value = threeDigits(t.status())
	case "http_connect":
		value = threeDigits(t.connectStatus)
	case "http_version":
		value = t.version()
	case "local_ip":
		value = ipOf(t.way.Local)
	case "local_port":
		value = portOf(t.way.Local)
	case "method":
		value = t.method
	case "num_connects":
		value = t.connects
	case "num_headers":
		value = t.fields
	case "num_redirects":
		value = t.redirects
	case "proxy_ssl_verify_result", "ssl_verify_result":
		value = 0
	case "proxy_used":
		value = btoi(t.way.Proxy != nil)
	case "redirect_url":
		value = orNil(t.redirectURL)
	case "referer":
		value = orNil(t.sentReferer)
	case "remote_ip":
		value = ipOf(t.way.Remote)
	case "remote_port":
		value = portOf(t.way.Remote)
	case "scheme":
		value = strings.ToUpper(t.at.scheme)
	case "size_download":
		value = t.down
	case "size_header":
		value = t.headerSize
	case "size_request":
		value = t.requestSize
	case "size_upload":
		value = t.up
	case "speed_download":
		value = perSecond(t.down, t.took)
	case "speed_upload":
		value = perSecond(t.up, t.took)
	case "time_appconnect":
		value = t.since(t.way.Secured)
	case "time_connect":
		value = t.since(t.way.Connected)
	case "time_namelookup":
		value = t.since(t.lookedUp)
	case "time_pretransfer":
		value = t.moment(func(a *httpmini.Answer) time.Time { return a.Sending })
	case "time_redirect":
		value = t.redirectTime
	case "time_starttransfer":
		value = t.moment(func(a *httpmini.Answer) time.Time { return a.First })
	case "time_total":
		value = t.took
	case "url":
		value = t.raw
	case "url_effective":
		value = t.effective()
	case "urlnum":
		value = t.number
	default:
		return nil, false
	}
	return value, true
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

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// threeDigits is a status, printed with zeros in front.
type threeDigits int

func ipOf(a net.Addr) any {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	return ""
}

func portOf(a net.Addr) any {
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
		return jsonString(v)
	case threeDigits:
		return strconv.Itoa(int(v))
	}
	return writeText(v)
}

// jsonString quotes s; what is not UTF-8 is lost (RFC 8259 §7).
func jsonString(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = fmt.Appendf(b, "\\u%04x", r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
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
		if len(s) > 1 {
			if i := strings.IndexByte("rnt", s[1]); i >= 0 {
				w.text("\r\n\t"[i : i+1])
				return s[2:]
			}
			w.text(s[:2])
			return s[2:]
		}
		w.text(s)
		return ""
	}
	switch {
	case strings.HasPrefix(s, "%%"):
		w.text("%")
		return s[2:]
	case strings.HasPrefix(s, "%header{"):
		if name, rest, ok := strings.Cut(s[len("%header{"):], "}"); ok {
			if w.t.response != nil {
				w.value(w.t.response.Header.Get(name))
			}
			return rest
		}
	case strings.HasPrefix(s, "%{"):
		if name, rest, ok := strings.Cut(s[2:], "}"); ok {
			w.variable(name)
			return rest
		}
	}
	w.text("%")
	return s[1:]
}

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
		value, ok := w.t.variable(name)
		if !ok {
			fmt.Fprintf(w.t.env.Stderr, "curl: unknown --write-out variable: '%s'\n", event.Field(name))
			return
		}
		w.value(writeText(value))
	}
}

// allJSON is every variable, in the order of their names.
func (t *transfer) allJSON() string {
	var b strings.Builder
	for name := range strings.FieldsSeq(writeNames) {
		value, _ := t.variable(name)
		b.WriteString("{,"[min(b.Len(), 1):][:1] + jsonString(name) + ":" + writeJSON(value))
	}
	return b.String() + `,"curl_version":` + jsonString(userAgent) + "}"
}

// headerJSON is the fields of the last answer, each name once, in lower case, with
// all its values.
func (t *transfer) headerJSON() string {
	if t.response == nil {
		return "{}"
	}
	var b strings.Builder
	seen := map[string]bool{}
	for _, f := range t.response.Header {
		name := strings.ToLower(f.Name)
		if seen[name] {
			continue
		}
		seen[name] = true
		b.WriteString("{,"[min(b.Len(), 1):][:1])
		if len(seen) > 1 {
			b.WriteByte('\n')
		}
		b.WriteString(jsonString(name) + ":[")
		for i, value := range t.response.Header.Values(f.Name) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(writeJSON(value))
		}
		b.WriteByte(']')
	}
	if len(seen) == 0 {
		b.WriteByte('{')
	}
	return b.String() + "\n}"
}

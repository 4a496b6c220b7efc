package httpd

import (
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
)

// logged counts the requests that handler answers, and writes the access log.
func (h *httpd) logged(handler httpmini.Handler) httpmini.Handler {
	count := func(x *httpmini.Exchange) {
		h.counts.requests.Add(1)
		h.counts.bytes.Add(x.Sent())
	}
	if h.output.Quiet && !h.output.Events() || h.debug {
		return func(x *httpmini.Exchange) {
			handler(x)
			count(x)
		}
	}
	return func(x *httpmini.Exchange) {
		began := h.now()
		defer func() { // after a panic, too
			count(x)
			h.log(x, began)
		}()
		handler(x)
	}
}

// log writes a line of the access log: in Common Log Format, with -v Combined.
func (h *httpd) log(x *httpmini.Exchange, began time.Time) {
	req := x.Request
	if h.output.Events() {
		h.con.Event(*h.event(x, began))
	}
	if h.output.JSON || h.output.Quiet {
		return
	}
	b := event.AppendField(make([]byte, 0, 256), hostOf(x.RemoteAddr()))
	b = append(b, " - "...)
	b = appendLogged(b, h.user(x), "-")
	b = began.AppendFormat(append(b, ' '), "[02/Jan/2006:15:04:05 -0700]")
	b = append(b, ` "`...)
	b = appendLogged(b, req.Method+" "+req.Target+" HTTP/1."+strconv.Itoa(req.Minor), "")
	b = strconv.AppendInt(append(b, `" `...), int64(x.Status()), 10)
	if b = append(b, ' '); x.Sent() > 0 {
		b = strconv.AppendInt(b, x.Sent(), 10)
	} else {
		b = append(b, '-')
	}
	if h.output.Verbose {
		b = appendLogged(append(b, ` "`...), req.Header.Get("Referer"), "-")
		b = appendLogged(append(b, `" "`...), req.Header.Get("User-Agent"), "-")
		b = append(b, '"')
	}
	h.con.Write(append(b, '\n'))
}

// appendLogged appends s, escaped, also within double quotes; none if s is "".
func appendLogged(dst []byte, s, none string) []byte {
	if s == "" {
		return append(dst, none...)
	}
	from := len(dst)
	dst = event.AppendCut(dst, s, cli.MaxStatusLine)
	if bytes.IndexByte(dst[from:], '"') >= 0 {
		dst = append(dst[:from], bytes.ReplaceAll(dst[from:], []byte{'"'}, []byte(`\x22`))...)
	}
	return dst
}

func (h *httpd) event(x *httpmini.Exchange, began time.Time) *event.Event {
	req := x.Request
	e := &event.Event{Event: "request", Proto: h.proto, Client: -1, Peer: x.RemoteAddr().String(), Path: req.Target, Code: x.Status()}
	e.Fields = []event.Data{
		event.Text("method", req.Method), event.Text("version", "1."+strconv.Itoa(req.Minor)), event.Int("sent", x.Sent()),
		event.Float("ms", float64(h.now().Sub(began).Microseconds())/1000),
	}
	for _, field := range [...]struct{ key, value string }{
		{"user", h.user(x)}, {"referer", req.Header.Get("Referer")}, {"agent", req.Header.Get("User-Agent")},
	} {
		if field.value != "" {
			e.Fields = append(e.Fields, event.Text(field.key, field.value))
		}
	}
	return e
}

// user is who gave the password, "" if nobody did: what is only claimed, in a
// request that is answered without a look at it, is not for a log.
func (h *httpd) user(x *httpmini.Exchange) string {
	scheme, value, _ := strings.Cut(x.Request.Header.Get("Authorization"), " ")
	if h.ws.User == "" || !strings.EqualFold(scheme, "basic") {
		return ""
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil || !cli.EqualSecret(string(plain), h.ws.User) {
		return ""
	}
	name, _, _ := strings.Cut(h.ws.User, ":")
	return name
}

// hostOf is an address without its port, - for one that has none.
func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil || host == "" {
		return "-"
	}
	return host
}

// reveal shows the request on stdout, its body without gzip or deflate, and
// answers 200.
func (h *httpd) reveal(x *httpmini.Exchange) {
	req := x.Request
	body, size, err := h.readBody(req)
	if err != nil {
		return // the server answers what is wrong with the body
	}
	n := h.counts.shown.Add(1) - 1
	e := &event.Event{Event: event.Message, Proto: h.proto, Client: int(n), Peer: x.RemoteAddr().String(), Payload: body, Size: size}
	head := make([]byte, 0, 512)
	for _, f := range req.Header {
		if !h.showSecrets {
			f.Value = cli.Concealed(f)
		}
		head = append(head, f.Name+": "+f.Value+"\n"...)
	}
	if h.output.JSON {
		e.Event, e.Path, e.Code = "request", req.Target, 200
		e.Fields = []event.Data{event.Text("method", req.Method), event.Text("version", "1."+strconv.Itoa(req.Minor)), event.Text("head", string(head))}
		h.con.Emit(e)
	} else {
		lines := "< request #" + strconv.FormatInt(n, 10) + ": " + e.Peer + "\n" + req.Method + " " + req.Target + " HTTP/1." + strconv.Itoa(req.Minor) + "\n" + string(head)
		var b []byte
		for line := range strings.Lines(lines) {
			b = append(event.AppendCut(b, strings.TrimSuffix(line, "\n"), cli.MaxStatusLine), '\n')
		}
		if size > 0 {
			style := h.con.Style()
			b = event.AppendText(b, e, &style)
		}
		h.con.Write(append(b, '\n'))
	}
	h.text(x, 200, "OK")
}

// readBody reads a request's body; what is beyond -max-message is counted and not
// kept. One that cannot be inflated comes as it is.
func (h *httpd) readBody(req *httpmini.Request) (body []byte, size int64, err error) {
	body, err = io.ReadAll(io.LimitReader(req.Body, h.listener.MaxMessage))
	if err != nil {
		return nil, 0, err
	}
	rest, err := io.Copy(io.Discard, req.Body)
	if err != nil {
		return nil, 0, err
	}
	size = int64(len(body)) + rest
	if rest > 0 || !req.Header.Has("Content-Encoding") {
		return body, size, nil
	}
	coded := httpmini.Answer{Response: &httpmini.Response{Header: req.Header, Body: bytes.NewReader(body)}}
	r, err := coded.Decoded(h.listener.MaxMessage)
	if err == nil {
		var plain []byte
		if plain, err = io.ReadAll(r); err == nil {
			return plain, int64(len(plain)), nil
		}
	}
	return body, size, nil
}

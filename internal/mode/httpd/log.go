package httpd

import (
	"bytes"
	"encoding/base64"
	"fmt"
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
	show := h.show(x, 200, x.Request.Body)
	body, size, err := h.readBody(x.Request)
	show(body, size, err)
	if err == nil { // else the server answers what is wrong with the body
		h.text(x, 200, "OK")
	}
}

// show shows the head of a request at once, and what follows it with the function it
// returns; body is nil where nothing will.
func (h *httpd) show(x *httpmini.Exchange, status int, body io.Reader) (rest func(body []byte, size int64, err error)) {
	req := x.Request
	n := h.counts.shown.Add(1) - 1
	line := req.Method + " " + req.Target + " HTTP/1." + strconv.Itoa(req.Minor)
	head := make([]byte, 0, 512)
	for _, f := range req.Header {
		if !h.showSecrets {
			f.Value = cli.Concealed(f)
		}
		head = append(head, f.Name+": "+f.Value+"\n"...)
	}
	e := event.Event{Event: "request", Proto: h.proto, Client: int(n), Peer: x.RemoteAddr().String(), Path: req.Target, Code: status, Head: line + "\n" + string(head)}
	e.Fields = []event.Data{event.Text("method", req.Method), event.Text("version", "1."+strconv.Itoa(req.Minor))}
	note := ""
	if status != 200 {
		note = fmt.Sprintf(" (answered %d)", status)
	}
	if !h.output.JSON {
		h.con.Write(event.AppendHead([]byte("< request #"+strconv.FormatInt(n, 10)+": "+e.Peer+note+"\n"), "", e.Head))
	}
	if body == nil {
		h.con.Event(e)
	}
	return func(body []byte, size int64, err error) {
		e.Payload, e.Size = body, size
		if err != nil {
			e.Err = cli.ErrorText(err)
		}
		h.con.Event(e)
		if h.output.JSON {
			return
		}
		var b []byte
		if size > 0 {
			style := h.con.Style()
			e.Event, e.Err = event.Message, ""
			b = event.AppendText(b, &e, &style)
		}
		if err != nil {
			b = append(event.AppendField(append(b, "X "...), cli.ErrorText(err)), '\n')
		}
		h.con.Write(append(b, '\n'))
	}
}

// unreadable shows what came in place of a request.
func (h *httpd) unreadable(peer net.Addr, raw string, err error) {
	if !h.debug && !h.output.Verbose && !h.output.Events() {
		return
	}
	who := event.Event{Proto: h.proto, Client: -1, Peer: peer.String()}
	h.con.Event(event.OfError(who, 0, cli.ErrorText(err), []byte(raw), 0))
	if !h.output.JSON && (h.debug || h.output.Verbose) {
		h.con.Write(append(event.AppendHead([]byte("X "+event.Field(who.Peer+": "+cli.ErrorText(err))+"\n"), "", raw), '\n'))
	}
}

// readBody reads a request's body; what is beyond -max-message is counted and not
// kept. One that cannot be inflated comes as it is.
func (h *httpd) readBody(req *httpmini.Request) (body []byte, size int64, err error) {
	body, err = io.ReadAll(io.LimitReader(req.Body, h.listener.MaxMessage))
	if err != nil {
		return body, int64(len(body)), err
	}
	rest, err := io.Copy(io.Discard, req.Body)
	size = int64(len(body)) + rest
	if err != nil {
		return body, size, err
	}
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

package httpd

import (
	"bytes"
	"encoding/base64"
	"errors"
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
		h.failed(x)
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

// failed makes an event of what was wrong with the body of a request, or its answer.
func (h *httpd) failed(x *httpmini.Exchange) {
	err := x.Err()
	if err == nil {
		return
	}
	var bytes string
	if bad, ok := errors.AsType[*httpmini.Error](err); ok {
		bytes = bad.Bytes
	}
	who := event.Event{Proto: h.proto, Client: -1, Peer: x.RemoteAddr().String(), Path: x.Request.Target}
	h.con.Event(event.OfError(who, 0, cli.ErrorText(err), []byte(bytes), 0))
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
	shown := h.show(x, 200)
	body, size, err := h.readBody(x.Request, shown.payload)
	shown.end(body, size, err)
	if err == nil { // else the server answers what is wrong with the body
		h.text(x, 200, "OK")
	}
}

// A shown is a request that -D shows.
type shown struct {
	h *httpd
	e event.Event
}

// show shows the head of a request at once, as it came.
func (h *httpd) show(x *httpmini.Exchange, status int) *shown {
	req := x.Request
	n := h.counts.shown.Add(1) - 1
	var head strings.Builder
	for line := range strings.Lines(strings.TrimRight(req.Raw, "\r\n")) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if value = strings.Trim(value, " \t"); ok && !h.showSecrets && head.Len() > 0 && cli.Concealed(httpmini.Field{Name: name, Value: value}) != value {
			line = name + ": ***"
		}
		head.WriteString(strings.TrimRight(line, "\r\n") + "\n")
	}
	s := &shown{h, event.Event{Event: "request", Proto: h.proto, Client: int(n), Peer: x.RemoteAddr().String(), Path: req.Target, Code: status, Head: head.String()}}
	s.e.Fields = []event.Data{event.Text("method", req.Method), event.Text("version", "1."+strconv.Itoa(req.Minor))}
	note := ""
	if status != 200 {
		note = fmt.Sprintf(" (answered %d)", status)
	}
	if !h.output.JSON {
		h.con.Write(event.AppendHead([]byte("< request #"+strconv.FormatInt(n, 10)+": "+s.e.Peer+note+"\n"), "", s.e.Head))
	}
	return s
}

// payload shows what has come of the body.
func (s *shown) payload(p []byte, size int64) {
	if s.h.output.JSON || size == 0 {
		return
	}
	e, style := s.e, s.h.con.Style()
	e.Event, e.Payload, e.Size = event.Message, p, size
	s.h.con.Write(event.AppendText(nil, &e, &style))
}

// end is called when all of the body has come, or what came of it.
func (s *shown) end(body []byte, size int64, err error) {
	s.e.Payload, s.e.Size = body, size
	var b []byte
	if err != nil {
		s.e.Err = cli.ErrorText(err)
		b = append(event.AppendField([]byte("X "), s.e.Err), '\n')
	}
	s.h.con.Event(s.e)
	if !s.h.output.JSON {
		s.h.con.Write(append(b, '\n'))
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

// readBody reads a request's body and shows it: what has come when nothing more does
// for a while, and the rest. What is beyond -max-message is counted and not kept. One
// that is coded is shown as a whole, as it comes where it cannot be inflated.
func (h *httpd) readBody(req *httpmini.Request, show func(p []byte, size int64)) (body []byte, size int64, err error) {
	const while = 200 * time.Millisecond
	pieces := make(chan []byte)
	go func() {
		defer close(pieces)
		for err == nil {
			buf, n := make([]byte, 32<<10), 0
			if n, err = req.Body.Read(buf); n > 0 {
				pieces <- buf[:n]
			}
		}
	}()
	coded := req.Header.Has("Content-Encoding")
	pause := time.NewTimer(while)
	defer pause.Stop()
	from, seen := 0, int64(0) // of body, of size: what is shown
	for open := true; open; {
		var p []byte
		select {
		case p, open = <-pieces:
			body = append(body, p[:min(int64(len(p)), h.listener.MaxMessage-int64(len(body)))]...)
			size += int64(len(p))
			pause.Reset(while)
		case <-pause.C:
			if !coded {
				show(body[from:], size-seen)
				from, seen = len(body), size
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	if coded && err == nil && size == int64(len(body)) {
		body, size = h.inflated(req, body)
	}
	show(body[from:], size-seen)
	return body, size, err
}

// inflated is a body without its coding, as it is where that is not to be.
func (h *httpd) inflated(req *httpmini.Request, body []byte) ([]byte, int64) {
	coded := httpmini.Answer{Response: &httpmini.Response{Header: req.Header, Body: bytes.NewReader(body)}}
	if r, err := coded.Decoded(h.listener.MaxMessage); err == nil {
		if plain, err := io.ReadAll(r); err == nil {
			body = plain
		}
	}
	return body, int64(len(body))
}

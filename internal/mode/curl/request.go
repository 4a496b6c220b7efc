package curl

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"socketsrv/httpmini"
	"strconv"
	"strings"
	"time"
)

// A content is what the data of an option set comes to, made once for all its
// URLs.
type content struct {
	pieces []piece
	kind   string // Content-Type
	query  string // of -G and --url-query
}

// content reads what -d and -F name.
func (o *options) content(stdin io.Reader) (c content, err error) {
	if o.form != nil {
		c.pieces, c.kind, err = o.form.pieces("multipart/form-data", o.disposition(), stdin, o.escapeName)
	} else if c.pieces, err = dataPieces(o.data, stdin); len(o.data) > 0 {
		c.kind = "application/x-www-form-urlencoded"
	}
	if err != nil {
		return c, &errInput{err}
	}
	if o.get && o.form == nil {
		c.query, err = joinPieces(c.pieces)
		c.pieces, c.kind = nil, ""
	}
	if err == nil && o.gzip && len(c.pieces) > 0 {
		c.pieces, err = inGzip(&body{pieces: c.pieces, stdin: stdin})
	}
	if err == nil && len(o.urlQuery) > 0 {
		var query []piece
		if query, err = dataPieces(o.urlQuery, stdin); err == nil {
			var more string
			more, err = joinPieces(query)
			c.query = strings.Trim(more+"&"+c.query, "&")
		}
	}
	if err != nil {
		err = &errInput{err}
	}
	return c, err
}

// disposition is what the parts of a form are, unless -H makes it something else.
func (o *options) disposition() string {
	if kind := o.field("Content-Type"); kind != "" && !strings.HasPrefix(strings.ToLower(kind), "multipart/form-data") {
		return "attachment"
	}
	return "form-data"
}

// inGzip is a body in gzip, as one piece.
func inGzip(b *body) ([]piece, error) {
	var text strings.Builder
	w := gzip.NewWriter(&text)
	_, err := io.Copy(w, b)
	err = errors.Join(err, w.Close())
	return []piece{textPiece(text.String())}, err
}

func joinPieces(pieces []piece) (string, error) {
	text, err := io.ReadAll(&body{pieces: pieces})
	return string(text), err
}

// prepare makes the request for t.url, and the body that goes with it.
func (t *transfer) prepare() (*httpmini.Request, error) {
	o := t.o
	addQuery(&t.url, t.content.query)
	t.at = t.url
	r := &httpmini.Request{Method: "GET", Target: o.requestTarget, HTTP10: o.http10}
	switch {
	case t.upload != "":
		r.Method = "PUT"
		if err := t.prepareUpload(); err != nil {
			return nil, err
		}
	case t.hasContent():
		r.Method = "POST"
		t.body = &body{pieces: t.content.pieces, stdin: t.env.Stdin}
	}
	if o.head {
		r.Method = "HEAD"
	}
	if t.body != nil {
		r.Body, r.ContentLength = t.body, t.body.size()
		if n, err := strconv.ParseUint(o.field("Content-Length"), 10, 63); err == nil && r.ContentLength < 0 {
			r.ContentLength = int64(n)
		}
		t.toGo.Store(r.ContentLength)
	}
	if strings.EqualFold(o.field("Transfer-Encoding"), "chunked") {
		r.ContentLength = -1
	}
	r.Header = t.header(r)
	r.NoHost = o.replaces("Host") && !r.Header.Has("Host")
	return r, nil
}

// hasContent says whether there is a body of -d or -F, which may be empty.
func (t *transfer) hasContent() bool {
	return !t.o.get && len(t.o.data) > 0 || t.o.form != nil
}

// prepareUpload is for -T. A path that ends in a slash gets the name of the file.
func (t *transfer) prepareUpload() error {
	name := t.upload
	if isStdin(name) {
		name = "-"
	}
	p, err := wholeFile(name)
	if err != nil {
		return &errInput{err}
	}
	if name != "-" && strings.HasSuffix(t.url.Path, "/") {
		t.url.Path += pathEscape(filepath.Base(name))
		t.at = t.url
	}
	if t.resumeAt > 0 && p.size >= t.resumeAt {
		p.from, p.size = t.resumeAt, p.size-t.resumeAt
	}
	t.body = &body{pieces: []piece{p}, stdin: t.env.Stdin}
	return nil
}

// pathEscape encodes a path segment.
func pathEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// header makes the fields of r in curl's order; those of -H replace ours. What may be
// secret is not for where redirects have led, and what speaks of a body that they took
// away is left out.
func (t *transfer) header(r *httpmini.Request) httpmini.Header {
	o := t.o
	var h httpmini.Header
	add := func(name, value string) {
		if value != "" && !o.replaces(name) {
			h.Add(name, value)
		}
	}
	if host := given(o.headers, "Host"); host != nil && !host.remove && t.at.SameOrigin(t.url) {
		h.Set("Host", host.value)
	}
	proxied, json := t.proxied() != nil, slices.ContainsFunc(o.data, func(d datum) bool { return d.kind == dataJSON })
	t.addRange(add, r)
	add("User-Agent", o.agent)
	if !json {
		add("Accept", "*/*")
	}
	if o.compressed {
		add("Accept-Encoding", "deflate, gzip")
	}
	add("Referer", t.referer)
	if proxied {
		add("Proxy-Connection", "Keep-Alive")
	}
	if r.Body != nil && r.ContentLength < 0 {
		add("Transfer-Encoding", "chunked")
	}
	add("Cookie", t.cookieField())
	t.addCondition(add)
	if t.etag != "" {
		h.Add("If-None-Match", t.etag)
	}
	t.addGiven(&h, func(f field) bool { return !strings.EqualFold(f.name, "Connection") })
	if proxied {
		t.addProxyHeaders(&h)
	}
	if json {
		add("Content-Type", "application/json")
		add("Accept", "application/json")
	}
	if r.Body != nil && r.ContentLength >= 0 {
		add("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	if t.upload == "" && t.body != nil && o.gzip {
		add("Content-Encoding", "gzip")
	}
	if t.upload == "" && !json && r.Method != "HEAD" {
		t.addContentType(&h, add)
	}
	if t.expects(r) {
		add("Expect", "100-continue")
	}
	t.addGiven(&h, func(f field) bool { return strings.EqualFold(f.name, "Connection") })
	if t.body != nil && r.Body == nil {
		h = slices.DeleteFunc(h, func(f httpmini.Field) bool { return httpmini.IsOfBody(f.Name) })
	}
	return h
}

// addGiven adds those fields of -H that match.
func (t *transfer) addGiven(h *httpmini.Header, match func(f field) bool) {
	for _, f := range t.o.headers {
		late := strings.EqualFold(f.name, "Content-Type") && t.o.form != nil
		if !f.remove && !late && (t.atHome || !httpmini.IsSecret(f.name)) && !strings.EqualFold(f.name, "Host") && match(f) {
			h.Add(f.name, f.value)
		}
	}
}

// addContentType adds that of -d or -F: the type that -H gives a form lacks the
// boundary that only we know.
func (t *transfer) addContentType(h *httpmini.Header, add func(name, value string)) {
	if given := t.o.field("Content-Type"); given != "" && t.o.form != nil {
		_, boundary, _ := strings.Cut(t.content.kind, ";")
		h.Add("Content-Type", given+";"+boundary)
		return
	}
	add("Content-Type", t.content.kind)
}

// expects says whether the body waits for a 100 (Continue): only one that is long
// enough for the wait to pay.
func (t *transfer) expects(r *httpmini.Request) bool {
	const worth = 1 << 20
	return r.Body != nil && (t.body.size() > worth || t.body.size() < 0) && t.o.expectWait > 0
}

// addRange adds what -r and -C ask for; with a body it says what that is.
func (t *transfer) addRange(add func(name, value string), r *httpmini.Request) {
	size := int64(-1)
	if t.body != nil {
		size = t.body.size()
	}
	switch {
	case t.resumeAt > 0 && t.body == nil:
		add("Range", fmt.Sprintf("bytes=%d-", t.resumeAt))
	case t.o.resume == "-" && size > 0:
		add("Content-Range", fmt.Sprintf("bytes 0-%d/%d", size-1, size)) // curl does not ask the server how much it has
	case t.resumeAt > 0 && size >= 0:
		whole := t.resumeAt + size
		add("Content-Range", fmt.Sprintf("bytes %d-%d/%d", t.resumeAt, whole-1, whole))
	case t.o.byteRange != "" && t.body == nil:
		add("Range", "bytes="+t.o.byteRange)
	case t.o.byteRange != "" && size >= 0:
		add("Content-Range", "bytes "+t.o.byteRange+"/"+strconv.FormatInt(size, 10))
	}
}

// addCondition adds what -z asks for: a date, or the time of a file.
func (t *transfer) addCondition(add func(name, value string)) {
	if t.condition.IsZero() {
		return
	}
	name := "If-Modified-Since"
	if strings.HasPrefix(t.o.timeCond, "-") {
		name = "If-Unmodified-Since"
	}
	add(name, t.condition.UTC().Format(httpDate))
}

// parseCondition reads -z: a date, else the name of a file. ok is false where it is
// neither: then there is no condition.
func parseCondition(s string) (at time.Time, ok bool) {
	s = strings.TrimLeft(s, "+-=")
	if at, ok := parseDate(s); ok {
		return at, true
	}
	if info, err := os.Stat(s); err == nil {
		return info.ModTime(), true
	}
	return time.Time{}, false
}

// cookieURL is the URL that cookies are for: curl goes by a Host that -H gives.
func (t *transfer) cookieURL() *url.URL {
	u := t.at.URL()
	for _, f := range t.o.headers {
		if strings.EqualFold(f.name, "Host") && !f.remove && t.at.SameOrigin(t.url) {
			u.Host = f.value
		}
	}
	return u
}

// cookieField is what the jar has for the URL, and what -b says.
func (t *transfer) cookieField() string {
	var all []string
	if t.jar != nil {
		all = append(all, t.jar.Header(t.cookieURL(), t.env.Now()))
	}
	if t.atHome {
		all = append(all, t.given...)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	return strings.Join(all, "; ")
}

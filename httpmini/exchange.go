package httpmini

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
)

// An Exchange is one request and its answer. It is used by one goroutine.
type Exchange struct {
	Request *Request

	c        *conn
	body     *body // of the request, nil if it has none
	expect   bool  // 100 Continue is due before the body is read
	answered bool
	held     bool // the head waits for the body's first bytes
	whole    bool // the answer is sent or gathered to its end
	close    bool // no other request follows
	status   int
	sent     int64
	fields   []byte // field lines that come before all others of the answer

	takeover func(net.Conn, []byte)
	buffered []byte
}

// RemoteAddr returns the address of the peer.
func (x *Exchange) RemoteAddr() net.Addr { return x.c.nc.RemoteAddr() }

// LocalAddr returns the address that the peer connected to.
func (x *Exchange) LocalAddr() net.Addr { return x.c.nc.LocalAddr() }

// Status returns the status that was answered, 0 before.
func (x *Exchange) Status() int { return x.status }

// Sent returns how many bytes of the answer's body were sent or gathered for
// sending, without the framing.
func (x *Exchange) Sent() int64 { return x.sent }

// Respond answers with a whole body. It adds Content-Length, and Connection where
// the connection ends; fields of h that say otherwise about the framing are left
// out, except that after HEAD and for 304, where no body is sent, a Content-Length
// in h is kept. A Connection: close in h ends the connection after the answer.
// body is not used after the return. Small answers leave when the handler has
// returned and no further request is there, or with Flush: an error of the
// connection may come late.
func (x *Exchange) Respond(status int, h Header, body []byte) error {
	if x.bodiless(status) {
		length := int64(len(body))
		if body == nil && h.Has("Content-Length") {
			length = asGiven
		}
		x.writeHead(status, "", h, length)
		return x.gathered()
	}
	x.writeHead(status, "", h, int64(len(body)))
	x.sent = int64(len(body))
	if c := x.c; len(c.out.b)+len(body) <= gatherLimit {
		c.out.b = append(c.out.b, body...)
	} else {
		c.writeAfterHead(body)
	}
	return x.gathered()
}

// Send answers with r, whose Body is sent as it comes; nil means none. Its length
// is that of the Content-Length in r.Header or else r.ContentLength; if that is 0
// though Body is not nil, it is what a *bytes.Reader, *bytes.Buffer or *strings.Reader
// has left, unless there is a Trailer. Of any other Body, or with -1, it is unknown, and chunks (for HTTP/1.0 the
// end of the connection) say where it ends. Other fields are as for Respond. An *os.File, or an
// io.LimitedReader over one, goes to a TCP connection by the kernel. Send closes
// nothing.
//
// The error is that of Body, io.ErrUnexpectedEOF if Body is shorter than its
// length, or that of the connection, which ends in all three cases.
func (x *Exchange) Send(r *Response) error {
	length := sendLength(r)
	if x.bodiless(r.Status) {
		if length < 0 {
			length = asGiven
		}
		x.writeHead(r.Status, r.Reason, r.Header, length)
		return x.gathered()
	}
	if x.body != nil {
		x.c.flush() // this answer may wait for the request's body; those before it do not
	}
	chunked := length < 0 && x.Request.Minor > 0
	if length < 0 && !chunked {
		x.close = true
	}
	x.writeHead(r.Status, r.Reason, r.Header, length)
	var err error
	switch {
	case length < 0:
		err = x.stream(r.Body, chunked)
		if err == nil && chunked {
			x.c.out.b = appendLastChunk(x.c.out.b, r.Trailer)
		}
	case length > 0:
		err = x.copy(r.Body, length)
	}
	if err != nil && x.c.broken == nil {
		x.c.broken = err // what was promised cannot be kept
	}
	if err != nil {
		return err
	}
	return x.gathered()
}

// Flush sends what was gathered of this and earlier answers.
func (x *Exchange) Flush() error { return x.c.flush() }

// Hijack gives the connection away: what was answered before is sent, deadlines
// are cleared, and the server does not touch it again. The reader may hold bytes
// that came after the request's head; a body is no longer told from what follows.
// ServeConn returns when the handler does.
func (x *Exchange) Hijack() (net.Conn, *bufio.Reader) {
	c := x.c
	x.take()
	br := c.br
	c.br = nil
	c.release()
	return c.nc, br
}

// Takeover is Hijack for those who stay long: when the handler has returned and
// the server has let go of all that the exchange used, ServeConn calls f, with the
// bytes that came after the request's head, if any.
func (x *Exchange) Takeover(f func(nc net.Conn, buffered []byte)) {
	c := x.c
	x.take()
	if n := c.br.Buffered(); n > 0 {
		b, _ := c.br.Peek(n)
		x.buffered = append([]byte(nil), b...)
	}
	x.takeover = f
	c.release()
}

func (x *Exchange) take() {
	c := x.c
	if c.phase == taken {
		panic("httpmini: connection taken twice")
	}
	c.flush()
	c.phase = taken
	c.nc.SetDeadline(time.Time{})
	c.s.table.Remove((*member)(c))
	x.answered = true
}

// failure is what a handler that did not answer left us with.
func (x *Exchange) failure() error {
	return cmp.Or(x.bodyError(), error(&Error{Status: 500, Err: errNoAnswer}))
}

// Err returns why the connection ends other than politely, as far as that is known: the
// request's body is not what was promised, or the answer could not be sent.
func (x *Exchange) Err() error { return cmp.Or(x.c.broken, x.bodyError()) }

// bodyError returns what kept the handler from reading the request's body.
func (x *Exchange) bodyError() error {
	if x.body == nil {
		return nil
	}
	return unlessEOF(x.body.err)
}

var errNoAnswer = errors.New("no answer")

// bodiless reports whether an answer with that status to this request has no
// body, whatever its fields say (RFC 9112 §6.3).
func (x *Exchange) bodiless(status int) bool {
	return status < 200 || status == 204 || status == 304 || x.Request != nil && x.Request.Method == "HEAD"
}

// sendLength returns the length of r's body.
func sendLength(r *Response) int64 {
	if r.Header.Has("Content-Length") {
		if n, err := strconv.ParseUint(r.Header.Get("Content-Length"), 10, 63); err == nil {
			return int64(n)
		}
		panic("httpmini: invalid Content-Length in an answer")
	}
	if r.ContentLength == 0 && r.Body != nil && r.Body != io.Reader(noBody{}) {
		if n, ok := heldLength(r.Body); ok && len(r.Trailer) == 0 {
			return n
		}
		return unknown
	}
	return r.ContentLength
}

// Lengths that are none.
const (
	unknown = -1
	asGiven = -2 // in the header of the answer, or not at all
)

// writeHead gathers the head of the answer, with what it must say about framing
// (RFC 9112 §6.1, §6.2, §9.6).
func (x *Exchange) writeHead(status int, reason string, h Header, length int64) {
	if x.answered || x.c.phase == taken {
		panic("httpmini: second answer")
	}
	if status < 100 || status > 999 {
		panic("httpmini: status " + strconv.Itoa(status))
	}
	x.answered, x.status = true, status
	x.close = x.close || !x.canDrain() || status < 200
	x.c.begin()
	b := appendStatusLine(x.c.out.b, status, reason)
	if x.c.s.Date && status >= 200 {
		b = append(appendDate(append(b, "Date: "...)), "\r\n"...)
	}
	b = append(b, x.fields...)
	connection := false
	for _, f := range h {
		switch {
		case equalFold(f.Name, "Transfer-Encoding"), length != asGiven && equalFold(f.Name, "Content-Length"):
			continue
		case equalFold(f.Name, "Connection"):
			connection = true
			x.close = x.close || h.HasToken("Connection", "close")
		}
		b = appendField(b, f.Name, f.Value)
	}
	switch {
	case status < 200, status == 204, status == 304 && length <= 0:
	case length >= 0:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, length, 10), "\r\n"...)
	case length == unknown && x.Request.Minor > 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case status < 200:
	case x.close && !h.HasToken("Connection", "close"):
		b = append(b, "Connection: close\r\n"...)
	case !x.close && !connection && x.Request.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	x.c.out.b = append(b, '\r', '\n')
}

// canDrain reports whether what is left of the request's body is short enough to
// read on behind it. Nobody knows that of chunks, nor whether a body comes at
// all that was not asked for.
func (x *Exchange) canDrain() bool {
	b := x.body
	return b == nil || b.err == io.EOF || b.err == nil && !b.chunked && !x.expect && b.left <= drainLimit
}

// gathered leaves a small answer for the next read to send.
func (x *Exchange) gathered() error {
	x.whole = true
	if len(x.c.out.b) >= gatherLimit {
		return x.c.flush()
	}
	return x.c.broken
}

// writeAfterHead sends what was gathered and p, in one system call where p is
// small enough.
func (c *conn) writeAfterHead(p []byte) {
	if c.broken != nil {
		return
	}
	n := min(len(p), writePiece)
	c.setWriteDeadline()
	_, c.broken = (&net.Buffers{c.out.b, p[:n]}).WriteTo(c.nc)
	c.out.b = c.out.b[:0]
	c.write(p[n:])
}

// copy sends length bytes of body after the head.
func (x *Exchange) copy(body io.Reader, length int64) error {
	c := x.c
	if int64(len(c.out.b))+length <= gatherLimit && !x.expect {
		buf := streams.get()
		defer streams.put(buf)
		n, err := io.ReadFull(body, buf[:length]) // it may read from this connection, and flush
		c.out.b = append(c.out.b, buf[:n]...)
		x.sent = int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	limited, ok := body.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: body, N: length}
	}
	if _, ok := c.nc.(io.ReaderFrom); ok {
		if file, ok := limited.R.(*os.File); ok {
			all := min(length, limited.N)
			n := c.lead(file, all)
			m, err := c.copyFile(file, all-n)
			n += m
			limited.N -= n
			x.sent = n
			if err == nil && n < length {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	err := x.stream(&io.LimitedReader{R: body, N: length}, false)
	if err == nil && x.sent < length {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// lead puts the first of n bytes of file behind the head, and returns how many. The
// head takes a packet anyway; and what the kernel then sends does not begin at a
// page, which a receiver on the same machine copies faster by half.
func (c *conn) lead(file *os.File, n int64) int64 {
	const most = 512
	had := len(c.out.b)
	c.out.b = slices.Grow(c.out.b, most)
	m, _ := file.Read(c.out.b[had : had+int(min(n, most))]) // an error comes again
	c.out.b = c.out.b[:had+max(m, 0)]
	return int64(max(m, 0))
}

// copyFile lets the kernel send n bytes of file, in as few calls as it can. Since
// that may take longer than WriteTimeout, the deadline comes sooner, and whoever
// took writePiece within WriteTimeout goes on behind it.
func (c *conn) copyFile(file *os.File, n int64) (sent int64, err error) {
	timeout := cmp.Or(c.s.WriteTimeout, 30*time.Second)
	by, taken := time.Time{}, int64(writePiece) // until by, and since it was set
	for err = c.flush(); err == nil && sent < n; {
		now := time.Now()
		if taken >= writePiece {
			by, taken = now.Add(timeout), 0
		}
		c.writeBy = now.Add(min(by.Sub(now), timeout/8))
		c.nc.SetWriteDeadline(c.writeBy)
		var m int64
		m, err = io.Copy(c.nc, &io.LimitedReader{R: file, N: n - sent})
		sent += m
		taken += m
		switch {
		case err == nil && m == 0:
			err = io.ErrUnexpectedEOF
		case errors.Is(err, os.ErrDeadlineExceeded) && (taken >= writePiece || time.Now().Before(by)):
			err = nil
		}
	}
	return sent, err
}

// stream sends body as it comes, the head with its first bytes.
func (x *Exchange) stream(body io.Reader, chunked bool) (err error) {
	c := x.c
	if len(c.out.b) > gatherLimit {
		c.flush()
	}
	if c.broken != nil {
		return c.broken
	}
	head := c.out.b // copied before body is read, which may read from this connection, and flush
	c.out.b = c.out.b[:0]
	x.held = true
	write := func(p []byte) error { x.held = false; return c.write(p) }
	x.sent, err = sendBody(write, head, body, chunked)
	return err
}

package httpmini

import (
	"cmp"
	"io"
	"net/url"
	"strconv"
	"time"
)

// An Answer is the final response to a request. Its Body, never nil, returns
// io.ErrUnexpectedEOF where it is shorter than promised, an *Error where chunks are
// malformed, and an *OpError where the connection fails. It is used by one goroutine.
type Answer struct {
	*Response
	URL  *url.URL // what was asked for
	Conn Connection

	Started time.Time // when Do was called
	Sending time.Time // when the request began to go out
	First   time.Time // when the first byte of an answer came

	l      *link
	x      *prepared
	up     *upload
	closed bool
}

// Close ends the exchange; it is always to be called. The connection is kept for
// another request if this one was sent and its answer read to the end, of which
// Close reads a short rest. An upload that is still going is stopped. Where the
// request's body cannot seek, a Read of it may still be under way afterwards.
func (a *Answer) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	whole := a.up.ended() && a.finish()
	a.up.halt()
	if !a.l.stop() || !whole || !a.reusable() {
		a.l.close()
		return nil
	}
	a.l.c.keep(a.l)
	return nil
}

// finish reads the rest of the body if that is short and comes soon.
func (a *Answer) finish() bool {
	b, ok := a.Body.(*body)
	if !ok {
		return true
	}
	if b.err == nil && (b.chunked || b.left >= 0 && b.left <= drainLimit) {
		io.CopyN(io.Discard, b, drainLimit+1)
	}
	return b.err == io.EOF
}

func (a *Answer) reusable() bool {
	return a.KeepAlive() && a.x.r.KeepAlive() && a.Status != 101 && a.l.br.Buffered() == 0
}

// WriteTo writes the whole body to w.
func (a *Answer) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{a.Body})
}

// statusLine returns status and reason for people.
func statusLine(r *Response) string {
	return strconv.Itoa(r.Status) + " " + cmp.Or(r.Reason, StatusText(r.Status))
}

package httpmini

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// An Answer is the final response to a request. Its Body, never nil, returns
// io.ErrUnexpectedEOF where it is shorter than promised, an *Error where chunks are
// malformed, and an *OpError where the connection fails or stalls. An Answer is
// used by one goroutine.
type Answer struct {
	*Response
	Where Where    // what was asked for
	URL   *url.URL // likewise
	Conn  Connection

	Started time.Time // when Do was called
	Sending time.Time // when the request began to go out
	First   time.Time // when the first byte of an answer came

	l      *link
	x      prepared
	up     upload
	closed bool
}

// Sent returns how many bytes of the request's body went out so far.
func (a *Answer) Sent() int64 { return a.up.sent.Load() }

// Received returns how many bytes of Body were read so far.
func (a *Answer) Received() int64 { return a.l.got.Load() }

// Wait waits until the request's body went out, and returns the error that ended
// that before. An answer may be whole before. It is no error where the answer
// ended the upload, see Do, or Close did: Sent says how much went out.
func (a *Answer) Wait() error {
	if a.up.done != nil {
		<-a.up.done
	}
	if a.up.err == errHalted {
		return nil
	}
	return a.up.err
}

// Close ends the exchange; it is always to be called. The connection is kept for
// another request if this one was sent and its answer read to the end, of which
// Close reads a short rest. An upload that is still going is stopped; where the
// request's body cannot seek, a Read of it may still be under way afterwards. The
// error is always nil.
func (a *Answer) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	a.up.halt()
	whole := a.up.whole() && a.finish()
	if b := a.l.body; b != nil && b.err == nil {
		b.err = os.ErrClosed // what it would read is no longer ours
	}
	if !a.l.stop() || !whole || !a.reusable() {
		a.l.close()
		return nil
	}
	a.l.c.keep(a.l)
	return nil
}

// finish reads the rest of the body if that is short and comes at once.
func (a *Answer) finish() bool {
	b := a.l.body
	if b == nil || b.err != nil {
		return b == nil || b.err == io.EOF
	}
	if !b.chunked && (b.left < 0 || b.left > drainLimit) {
		return false
	}
	a.l.hurry(drainTime)
	io.CopyN(io.Discard, b, drainLimit+1)
	return b.err == io.EOF
}

// drainTime is what Close waits for the rest of a body: a new connection does not
// take longer.
const drainTime = 200 * time.Millisecond

func (a *Answer) reusable() bool {
	return a.KeepAlive() && a.x.r.KeepAlive() && a.l.br.Buffered() == 0
}

// WriteTo writes the whole body to w. What comes by plain TCP goes to a regular
// file by the kernel, where that knows how. Errors of w are returned as they are.
func (a *Answer) WriteTo(w io.Writer) (n int64, err error) {
	if file, ok := w.(*os.File); ok && a.Body == io.Reader(a.l.body) && a.l.body != nil {
		if n, err = a.l.toFile(file); err != nil {
			return n, unlessEOF(err)
		}
	}
	pooled := streams.get()
	defer streams.put(pooled)
	buf := pooled[:]
	for {
		if n > spliceWorth && len(buf) < wideBuffer {
			buf = make([]byte, wideBuffer) // a long body is worth it: a quarter of the calls
		}
		m, err := a.Body.Read(buf)
		for err == nil && m < len(buf) && a.plenty() {
			var more int
			more, err = a.Body.Read(buf[m:])
			m += more
		}
		if m > 0 {
			m, werr := w.Write(buf[:m])
			n += int64(m)
			if werr != nil {
				return n, werr
			}
		}
		if err != nil {
			return n, unlessEOF(err)
		}
	}
}

// plenty reports whether so much of a chunked body was read ahead that there is
// more than the line of a chunk: a Read does not wait.
func (a *Answer) plenty() bool {
	b := a.l.body
	return b != nil && b.chunked && a.Body == io.Reader(b) && a.l.br.Buffered() > len("\r\n")+maxChunkLine+len("\r\n")
}

// spliceWorth is how many bytes of a body pay for the preparations, or for a buffer of
// wideBuffer bytes.
const spliceWorth, wideBuffer = 256 << 10, 128 << 10

// toFile writes the body to file as long as the kernel can do that; the error is
// nil if it cannot, else io.EOF at the body's end.
func (l *link) toFile(file *os.File) (n int64, err error) {
	b := l.body
	if b.err != nil || b.chunked || b.left >= 0 && b.left < spliceWorth || !canSplice(l.nc, file) {
		return 0, nil
	}
	// What was read ahead goes first, all of it, and shows whether the file takes part.
	buf := streams.get()
	defer streams.put(buf)
	m, err := b.Read(buf[:1])
	if ahead := l.br.Buffered(); err == nil && ahead > 0 {
		var more int
		more, err = b.Read(buf[1 : 1+ahead])
		m += more
	}
	spliced := m > 0 && spliceByte(file, buf[0])
	if spliced {
		n = 1
	}
	k, werr := file.Write(buf[n:m])
	n += int64(k)
	if err = cmp.Or(werr, err); err != nil || !spliced {
		return n, err
	}
	m64, err := l.splice(file)
	return n + m64, err
}

// splice lets the kernel copy the rest of the body to file.
func (l *link) splice(file *os.File) (n int64, err error) {
	b, p := l.body, newPace(l.c)
	for b.err == nil {
		l.nc.SetReadDeadline(p.deadline())
		want := int64(sendPiece)
		if b.left >= 0 {
			want = min(want, b.left)
		}
		m, err := io.Copy(file, &io.LimitedReader{R: l.nc, N: want})
		n += m
		if b.left >= 0 {
			b.left -= m
		}
		l.count(m)
		switch {
		case p.goesOn(m, err):
		case err != nil && !l.broken(err):
			return n, err
		case err != nil:
			if path, ok := errors.AsType[*os.PathError](err); ok {
				err = path.Err // the file has no part in it
			}
			b.err = l.fault("receive", err)
		case b.left == 0, m < want && b.left < 0:
			b.err = io.EOF
		case m < want:
			b.err = io.ErrUnexpectedEOF
		}
	}
	return n, b.err
}

// A pace is what the kernel is asked to do at once where it copies: so much that
// there is something to report four times a second, and that a stall is noticed.
type pace struct {
	stall, tick time.Duration // negative: none
	last        time.Time     // when something moved
}

func newPace(c *Client) *pace {
	p := &pace{stall: cmp.Or(c.StallTimeout, 60*time.Second), last: time.Now()}
	if p.tick = p.stall / 8; c.Trace.Progress != nil && (p.stall < 0 || p.tick > time.Second/4) {
		p.tick = time.Second / 4
	}
	return p
}

// deadline returns that of the next piece, zero for none.
func (p *pace) deadline() time.Time {
	if p.tick < 0 {
		return time.Time{}
	}
	return time.Now().Add(p.tick)
}

// goesOn reports whether err, of a piece of which n bytes moved, is no more than
// its deadline.
func (p *pace) goesOn(n int64, err error) bool {
	if n > 0 {
		p.last = time.Now()
	}
	return errors.Is(err, os.ErrDeadlineExceeded) && (p.stall < 0 || time.Since(p.last) < p.stall)
}

// broken reports whether err, of a copy to a file, is the connection's.
func (l *link) broken(err error) bool {
	if l.ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return true
	}
	for _, errno := range []error{syscall.ECONNRESET, syscall.ECONNABORTED, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// statusLine returns status and reason for people.
func statusLine(r *Response) string {
	return strconv.Itoa(r.Status) + " " + cmp.Or(r.Reason, StatusText(r.Status))
}

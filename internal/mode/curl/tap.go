package curl

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
)

// A tap is a connection that somebody listens to: --trace, which shows all that goes
// and comes, --raw, which wants a body as it is on the wire, and --http0.9, which
// puts a head before an answer that has none.
type tap struct {
	net.Conn
	s *session

	heads   int    // bytes of a request's head that are still to go
	heading bool   // a head is still to come
	begun   bool   // something has come
	made    string // what is to be read before what comes
	came    []byte // of the body, for --raw; or before the head is known
}

const madeHead = "HTTP/1.0 200 OK\r\n\r\n" // before an answer of HTTP/0.9

// tapped puts a tap on a connection where one is wanted.
func (s *session) tapped(nc net.Conn) net.Conn {
	if s.tracing == nil && !s.now.o.raw && !s.http09 {
		return nc
	}
	return &tap{Conn: nc, s: s}
}

func (t *transfer) tap() *tap {
	c, _ := t.conn.NetConn.(*tap)
	return c
}

// NetConn is what there is a tap on.
func (c *tap) NetConn() net.Conn { return c.Conn }

func (c *tap) Read(p []byte) (n int, err error) {
	if c.made != "" {
		n = copy(p, c.made)
		c.made = c.made[n:]
		return n, nil
	}
	n, err = c.Conn.Read(p)
	if c.s.http09 && !c.begun && n > 0 && !strings.HasPrefix("HTTP/", string(p[:min(n, len("HTTP/"))])) {
		c.made = madeHead + string(p[:n])
		c.begun = true
		return c.Read(p)
	}
	c.begun = c.begun || n > 0
	if c.heading || c.s.now.o.raw {
		c.came = append(c.came, p[:n]...)
	}
	if !c.heading && n > 0 {
		c.s.traced("<= Recv data", p[:n])
	}
	return n, err
}

func (c *tap) Write(p []byte) (n int, err error) {
	n, err = c.Conn.Write(p)
	k := min(n, c.heads)
	c.s.traced("=> Send header", p[:k])
	c.s.traced("=> Send data", p[k:n])
	c.heads -= k
	return n, err
}

// headCame tells that this was a head: what came behind it is of the body.
func (c *tap) headCame(head string, final bool) {
	for line := range strings.Lines(head) {
		c.s.traced("<= Recv header", []byte(line))
	}
	c.came, c.heading = c.came[min(len(head), len(c.came)):], !final
	if final {
		c.s.traced("<= Recv data", c.came)
	}
}

// A rawWriter is written a body as it is without its coding, and passes on what came
// by the wire meanwhile.
type rawWriter struct {
	c *tap
	w io.Writer
}

func (r rawWriter) Write(p []byte) (int, error) {
	_, err := r.w.Write(r.c.came)
	r.c.came = r.c.came[:0]
	return len(p), err
}

// traced writes an entry of --trace: 16 bytes a line in hex and as text, or with
// --trace-ascii the lines of a text, 64 bytes of each at once.
func (s *session) traced(what string, p []byte) {
	if s.tracing == nil || len(p) == 0 {
		return
	}
	if s.traceTime {
		what = s.env.Now().Format("15:04:05.000000 ") + what
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %d bytes (0x%x)\n", what, len(p), len(p))
	width := 16
	if s.traceText {
		width = 64
	}
	for at := 0; at < len(p); {
		line, next := p[at:min(at+width, len(p))], at+width
		if i := bytes.Index(line, []byte("\r\n")); s.traceText && i >= 0 {
			line, next = line[:i], at+i+2
		}
		fmt.Fprintf(&b, "%04x: ", at)
		if !s.traceText {
			fmt.Fprintf(&b, "%-48s", fmt.Sprintf("% x", line))
		}
		for _, c := range line {
			if c < ' ' || c >= 0x7f {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteByte('\n')
		at = next
	}
	s.tracing.Write(b.Bytes())
}

package wsproto

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"socketsrv/httpmini"
)

// Opening handshakes that a server of HTTP has read are answered here, and their
// connections taken over.

// AcceptExchange answers the opening handshake that x is and takes the connection over.
// A refusal is answered too; the error is then a *HandshakeError.
func AcceptExchange(x *httpmini.Exchange, opt AcceptOptions, cfg Config) (*Conn, error) {
	if opt.Lenient == nil {
		opt.Lenient = cfg.Lenient
	}
	res, ag, err := Answer(x.Request, opt)
	x.Send(res)
	if err != nil {
		return nil, err
	}
	nc, br := x.Hijack() // sends it
	buffered, _ := br.Peek(br.Buffered())
	return NewConn(nc, buffered, RoleServer, ag, cfg), nil
}

// A Hijacker hands over the connection of a request. For a handler of net/http that is
// http.NewResponseController(w).
type Hijacker interface {
	Hijack() (net.Conn, *bufio.ReadWriter, error)
}

// An HTTPRequest is a request that another server of HTTP has read: the *http.Request
// of net/http.
type HTTPRequest interface {
	Write(w io.Writer) error // as it would be sent
	ProtoAtLeast(major, minor int) bool
}

// Accept answers the opening handshake that a handler of net/http is given, and takes
// the connection over:
//
//	conn, err := wsproto.Accept(http.NewResponseController(w), r, wsproto.AcceptOptions{}, wsproto.Config{})
//
// A refusal is answered too, and the connection closed; the error is then a
// *HandshakeError. With any other error, such as that of Hijack for HTTP/2, nothing was
// answered. Deadlines of the server do not hold any more.
func Accept(h Hijacker, r HTTPRequest, opt AcceptOptions, cfg Config) (*Conn, error) {
	nc, rw, err := h.Hijack()
	if err != nil {
		return nil, err
	}
	if opt.Lenient == nil {
		opt.Lenient = cfg.Lenient
	}
	nc.SetReadDeadline(longAgo) // net/http reads over a body that was not read
	req, err := readForeign(r)
	if err == nil {
		req.Conn = nc
	}
	nc.SetDeadline(time.Now().Add(cfg.writeTimeout()))
	var res *httpmini.Response
	var ag Agreement
	if err == nil {
		res, ag, err = Answer(req, opt)
	} else {
		res = opt.refuse(err, nil)
	}
	b := res.AppendHead(nil)
	if res.Body != nil {
		body, _ := io.ReadAll(res.Body) // it is a string
		b = append(b, body...)
	}
	if _, werr := nc.Write(b); err == nil {
		err = werr
	}
	if err != nil {
		lingerOver(nc)
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	buffered, _ := rw.Reader.Peek(rw.Reader.Buffered())
	return NewConn(nc, buffered, RoleServer, ag, cfg), nil
}

// lingerOver closes nc once the peer has read the refusal of its handshake.
func lingerOver(nc net.Conn) {
	endWriting(nc)
	nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, io.LimitReader(nc, maxRefusal))
	nc.Close()
}

// readForeign reads r again, as it would be sent: its fields are not to be had
// without net/http.
func readForeign(r HTTPRequest) (*httpmini.Request, error) {
	var w headWriter
	if err := r.Write(&w); err != nil && err != errHead {
		return nil, &HandshakeError{Status: 400, Err: err}
	}
	req, err := httpmini.ReadRequest(bufio.NewReader(&w.head), httpmini.ClientLimits)
	if he, ok := errors.AsType[*httpmini.Error](err); ok {
		return nil, &HandshakeError{Status: he.Status, Head: he.Raw, Err: err}
	} else if err != nil {
		return nil, &HandshakeError{Status: 400, Err: err}
	}
	if !r.ProtoAtLeast(1, 1) {
		req.Minor = 0
	}
	return req, nil
}

// A headWriter keeps what is written up to the empty line and refuses what follows: a
// body would have to come from the client first.
type headWriter struct{ head bytes.Buffer }

var errHead = errors.New("the head is whole")

func (w *headWriter) Write(p []byte) (int, error) {
	w.head.Write(p)
	if bytes.HasSuffix(w.head.Bytes(), []byte("\r\n\r\n")) {
		return len(p), errHead
	}
	return len(p), nil
}

// WriteByte is there for net/http, which else writes through a buffer.
func (w *headWriter) WriteByte(c byte) error {
	_, err := w.Write([]byte{c})
	return err
}

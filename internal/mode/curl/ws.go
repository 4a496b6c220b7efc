package curl

import (
	"context"
	"errors"
	"net"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
	"unicode/utf8"
)

// webSocket sends the data as one message and passes on what comes, text messages
// with a line end behind them, until the server closes.
func (t *transfer) webSocket(ctx context.Context) error {
	opt := wsproto.DialOptions{
		Timeout: t.dialer.ConnectTimeout,
		NetDial: t.dialer.For(t.env, t.url.Scheme),
		TLS:     t.secure,
	}
	if t.unixSocket != "" {
		opt.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) { return t.env.Dial(ctx, "unix", t.unixSocket) }
	}
	if t.o.follow {
		opt.MaxRedirects, opt.TrustRedirects = max(t.o.maxRedirects, 0), t.o.redirects.Trusted
	}
	q := &httpmini.Request{Method: "GET"}
	q.Header = t.header(q)
	if err := t.setLogin(q); err != nil {
		return err
	}
	for _, f := range q.Header {
		switch {
		case f.Name == "Host":
			opt.Host = f.Value
		case f.Name != "Content-Type" && f.Name != "Proxy-Connection":
			opt.Header = append(opt.Header, f)
		}
	}
	t.sent(&httpmini.Request{Method: "GET", Target: t.url.Target(), Header: opt.Header})
	message, err := joinPieces(t.content.pieces)
	if err != nil {
		return &errInput{err}
	}
	conn, res, err := wsproto.Dial(ctx, t.url.String(), opt)
	if res != nil {
		t.response = res
		t.received(res)
	}
	if refused, ok := errors.AsType[*wsproto.HandshakeError](err); ok && refused.Response != nil && refused.Response.Status != 101 {
		return failf(cli.ExitRefused, "Refused WebSockets upgrade: %d", refused.Response.Status)
	}
	if err != nil {
		return err
	}
	defer conn.NetConn().Close()
	stop := context.AfterFunc(ctx, func() { conn.NetConn().Close() })
	defer stop()
	return t.converse(ctx, conn, message)
}

func (t *transfer) converse(ctx context.Context, conn *wsproto.Conn, message string) error {
	if len(t.o.data) > 0 {
		op := wsproto.OpText
		if !utf8.ValidString(message) {
			op = wsproto.OpBinary
		}
		if err := conn.WriteMessage(op, []byte(message)); err != nil {
			return err
		}
		t.up = int64(len(message))
	}
	for {
		m, err := conn.ReadMessage()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			conn.Close(wsproto.StatusNormalClosure, "")
			if cli.ExitCode(err) == cli.ExitOK {
				return nil
			}
			return err
		}
		t.down += int64(len(m.Data))
		_, err = t.out.Write(m.Data)
		if err == nil && m.Opcode == wsproto.OpText {
			_, err = t.out.Write([]byte{'\n'})
		}
		if err != nil {
			return err
		}
	}
}

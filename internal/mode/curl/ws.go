package curl

import (
	"bufio"
	"context"
	"errors"
	"net"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// webSocket sends the data as one message, or with -T a file as one and standard
// input as one a line, and passes on what comes, text messages with a line end behind
// them, until the server closes; of standard input's end it is told after a second in
// which nothing came.
func (t *transfer) webSocket(ctx context.Context) error {
	addQuery(&t.url, t.content.query)
	t.at = t.url
	opt := wsproto.DialOptions{
		Timeout: t.dialer.ConnectTimeout, OwnHandshake: true,
		NetDial: t.dialer.For(t.env, t.url.Scheme),
		TLS:     t.secure,
	}
	opt.OnRequest = t.sent
	opt.OnRedirect = func(a *httpmini.Response, _ string) { t.received(a) }
	if t.unixSocket != "" {
		opt.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) { return t.env.Dial(ctx, "unix", t.unixSocket) }
	}
	if t.o.follow {
		opt.MaxRedirects, opt.TrustRedirects = max(t.o.maxRedirects, 0), t.o.redirects.Trusted
	}
	q := &httpmini.Request{Method: "GET"}
	q.Header = t.header(q)
	if _, err := t.setLogin(q); err != nil {
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
	message, err := joinPieces(t.content.pieces)
	if err == nil && t.upload != "" && !isStdin(t.upload) {
		message, err = readText(t.upload, nil)
	}
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

const quietTime = time.Second // after the end of standard input, before we close

func (t *transfer) converse(ctx context.Context, conn *wsproto.Conn, message string) error {
	closing := time.AfterFunc(time.Hour, func() { conn.CloseWrite(wsproto.StatusNormalClosure, "") })
	closing.Stop()
	var ended atomic.Bool // standard input has
	if isStdin(t.upload) {
		go func() {
			lines := bufio.NewScanner(t.env.Stdin)
			for lines.Buffer(nil, maxText); lines.Scan(); {
				if t.sendMessage(conn, lines.Text()) != nil {
					return
				}
			}
			ended.Store(true)
			closing.Reset(quietTime)
		}()
	} else if t.upload != "" || len(t.o.data) > 0 && !t.o.get {
		if err := t.sendMessage(conn, message); err != nil {
			return err
		}
	}
	for {
		m, err := conn.ReadMessage()
		if ended.Load() {
			closing.Reset(quietTime)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			closing.Stop()
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

// sendMessage sends a text, or bytes where it is none.
func (t *transfer) sendMessage(conn *wsproto.Conn, message string) error {
	op := wsproto.OpText
	if !utf8.ValidString(message) {
		op = wsproto.OpBinary
	}
	t.gone.Add(int64(len(message)))
	return conn.WriteMessage(op, []byte(message))
}

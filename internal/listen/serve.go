package listen

import (
	"context"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/wsproto"
)

// Server is the WebSocket server that the flags describe; secure says that TLS is
// below. Its OnConnect greets, and closes with 4001 who
// lacks the Authorization that is asked for; connected, if not nil, is called for
// the others. Browsers that ask for no WebSocket get the page for people. Panics
// and trouble with accepting go to con.
func (w *WebSocket) Server(l *Serving, con *cli.Console, secure bool, connected func(*wsproto.User, *httpmini.Request)) *wsproto.Server {
	accept := w.AcceptOptions(secure)
	return &wsproto.Server{
		Accept:           accept,
		HTTP:             newWebPage(accept, l.MaxMessage).serve,
		MaxConns:         l.MaxConns,
		HandshakeTimeout: l.HandshakeTimeout,
		Config: wsproto.Config{
			MaxMessage:     l.MaxMessage,
			Memory:         l.Memory(),
			MessageTimeout: l.MessageTimeout,
			IdleTimeout:    l.IdleTimeout,
			PingInterval:   l.PingInterval,
			PongTimeout:    l.PingTimeout,
			NoPong:         w.NoPong,
		},
		ErrorLog: con.Error,
		OnConnect: func(u *wsproto.User, req *httpmini.Request) {
			if connected != nil {
				connected(u, req)
			}
			if !w.Permitted(req) {
				u.Close(4001, "Permission denied")
				return
			}
			if w.Greet != "" {
				u.Reply(wsproto.OpText, []byte(w.Greet))
			}
		},
	}
}

// ServeAll runs the given servers until one breaks or ctx ends; then stop, which
// has the time of -grace, makes all of them return. The error is the first one's.
func ServeAll(ctx context.Context, l *Serving, stop func(ctx context.Context), servers ...func() error) error {
	ended := make(chan error, len(servers))
	for _, serve := range servers {
		go func() { ended <- serve() }()
	}
	var first error
	running := len(servers)
	select {
	case <-ctx.Done():
	case first = <-ended:
		running--
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.Grace)
	defer cancel()
	stop(grace)
	for ; running > 0; running-- {
		if err := <-ended; first == nil && ctx.Err() == nil {
			first = err // else it is of the end, such as that of a server which had not begun
		}
	}
	return first
}

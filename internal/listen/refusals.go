package listen

import (
	"errors"
	"sync/atomic"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// Refusals has con say which requests s refuses, and why; n counts them.
func Refusals(con *cli.Console, s *wsproto.Server, proto string, n *atomic.Int64) {
	s.OnRefuse = func(x *httpmini.Exchange, err error) {
		n.Add(1)
		if refusal, ok := errors.AsType[*wsproto.HandshakeError](err); ok {
			err = refusal.Err
		}
		req, peer, reason := x.Request, accept.Peer(x.RemoteAddr()), cli.ErrorText(err)
		con.Status("handshake of %s refused with %d: %s (%s %s)", peer, x.Status(), reason, req.Method, cli.Field(req.Target))
		con.Event(event.Event{Event: event.Error, Proto: proto, Client: -1, Peer: peer, Path: req.Target, Code: x.Status(), Err: reason})
	}
	page := s.HTTP
	s.HTTP = func(x *httpmini.Exchange) {
		if page(x); x.Status() != 200 {
			_, _, err := wsproto.Answer(x.Request, s.Accept)
			s.OnRefuse(x, err)
		}
	}
}

package wsproto_test

import (
	"context"
	"net"
	"testing"
	"time"

	"socketsrv/wsproto"
)

// The endpoints of this package that the conformance suite plays against: an echo
// server and an echo client.

// startEchoServer returns the address of a server that echoes every message.
func startEchoServer(t *testing.T, takeover bool) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &wsproto.Server{
		OnMessage: func(u *wsproto.User, m wsproto.Message) { _ = u.Reply(m.Opcode, m.Data) },
		Accept:    wsproto.AcceptOptions{ContextTakeover: takeover},
		Config:    wsproto.Config{MaxMessage: 16 << 20},
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("the echo server's connections do not end: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// echoClient connects to url, echoes every message and returns when the
// connection has ended.
func echoClient(ctx context.Context, url string) error {
	c, _, err := wsproto.Dial(ctx, url, wsproto.DialOptions{Config: wsproto.Config{MaxMessage: 16 << 20}})
	if err != nil {
		return err
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := c.Reply(m.Opcode, m.Data); err != nil {
			return err
		}
	}
}

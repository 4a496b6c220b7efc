//go:build !notls

package tlsconf

import (
	"io"
	"net"
	"testing"
)

// A stream ended by close_notify is whole, one ended below TLS is cut; either goes
// on in the other direction.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *conn) error
		cut  bool
	}{
		{"close_notify and FIN", (*conn).CloseWrite, false},
		{"close_notify alone", func(c *conn) error { return c.Conn.CloseWrite() }, false},
		{"FIN alone", func(c *conn) error { return c.NetConn().(*net.TCPConn).CloseWrite() }, true},
	} {
		client, server := tlsPair(t)
		server.Write([]byte("half an ans"))
		if err := tt.end(server); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if string(got) != "half an ans" || err != nil || Cut(wrapped{client}) != tt.cut {
			t.Errorf("%s: %q, %v, cut %v; want all of it, cut %v", tt.name, got, err, Cut(client), tt.cut)
		}
		client.Write([]byte("the rest"))
		client.CloseWrite()
		if got, err = io.ReadAll(server); string(got) != "the rest" || err != nil || Cut(server) {
			t.Errorf("%s: back comes %q, %v, cut %v", tt.name, got, err, Cut(server))
		}
	}
	if plain, _ := tcpPair(t); Cut(plain) {
		t.Error("a stream without TLS is cut")
	}
}

// tlsPair is a connection with TLS, after the handshake.
func tlsPair(t *testing.T) (client, server *conn) {
	t.Helper()
	serverConfig, err := Server(Options{Hosts: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	clientConfig, err := Client(Options{Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	a, b := tcpPair(t)
	served := make(chan error, 1)
	go func() {
		nc, err := serverConfig.Handshake(t.Context(), b)
		if err == nil {
			server = nc.(*conn)
		}
		served <- err
	}()
	nc, err := clientConfig.Client(t.Context(), a, "localhost")
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*conn), server
}

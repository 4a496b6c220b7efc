//go:build notls

package tlsconf

import (
	"errors"
	"net"
	"testing"
)

func TestUnavailable(t *testing.T) {
	if Available {
		t.Error("Available is true")
	}
	const want = "this build has no TLS (built with -tags notls)"
	if _, err := Server(Options{}); !errors.Is(err, ErrUnavailable) || err.Error() != want {
		t.Errorf("Server: %v, want %s", err, want)
	}
	if _, err := Client(Options{}); !errors.Is(err, ErrUnavailable) || err.Error() != want {
		t.Errorf("Client: %v, want %s", err, want)
	}
	var c Config
	for name, use := range map[string]func(net.Conn) (net.Conn, error){
		"Handshake": func(nc net.Conn) (net.Conn, error) { return c.Handshake(t.Context(), nc) },
		"Client":    func(nc net.Conn) (net.Conn, error) { return c.Client(t.Context(), nc, "h") },
	} {
		nc, peer := net.Pipe()
		if got, err := use(nc); got != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := peer.Write([]byte("x")); err == nil {
			t.Errorf("%s left the connection open", name)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Listen(ln).Accept(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Accept: %v", err)
	}
	if nc, _ := net.Pipe(); State(nc) != "" || c.Fingerprint() != "" || c.SelfSigned() || c.Notes() != nil {
		t.Error("something is known of TLS")
	}
}

//go:build notls

package tlsconf

import (
	"context"
	"io"
	"net"
)

// Available tells whether this build has TLS.
const Available = false

// Config stands for TLS, which this build has not: nothing makes one.
type Config struct{}

// Server returns ErrUnavailable.
func Server(Options) (*Config, error) { return nil, ErrUnavailable }

// Client returns ErrUnavailable.
func Client(Options) (*Config, error) { return nil, ErrUnavailable }

// ParseCiphers knows none.
func ParseCiphers(string) ([]uint16, error) { return nil, ErrUnavailable }

// Fingerprint returns nothing.
func (*Config) Fingerprint() string { return "" }

// SelfSigned returns false.
func (*Config) SelfSigned() bool { return false }

// Notes returns nothing.
func (*Config) Notes() []string { return nil }

// AddKeyLog does nothing.
func (*Config) AddKeyLog(io.Writer) {}

// Listen closes ln; Accept then returns ErrUnavailable.
func (*Config) Listen(ln net.Listener) net.Listener {
	ln.Close()
	return listener{ln}
}

type listener struct{ net.Listener }

func (listener) Accept() (net.Conn, error) { return nil, ErrUnavailable }

// Handshake closes conn and returns ErrUnavailable.
func (*Config) Handshake(_ context.Context, conn net.Conn) (net.Conn, error) {
	conn.Close()
	return nil, ErrUnavailable
}

// Client closes conn and returns ErrUnavailable.
func (*Config) Client(_ context.Context, conn net.Conn, _ string) (net.Conn, error) {
	conn.Close()
	return nil, ErrUnavailable
}

// State returns nothing.
func State(net.Conn) string { return "" }

// Cut returns false.
func Cut(net.Conn) bool { return false }

// Certificates returns "".
func Certificates(net.Conn) string { return "" }

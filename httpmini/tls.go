//go:build !notls

package httpmini

import (
	"context"
	"crypto/tls"
	"net"
)

// startTLS does the TLS handshake for https with the settings of crypto/tls and
// the system's trusted certificates.
func startTLS(ctx context.Context, nc net.Conn, serverName string) (net.Conn, error) {
	t := tls.Client(nc, &tls.Config{ServerName: serverName, NextProtos: []string{"http/1.1"}})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

//go:build !notls

package wsproto

import (
	"context"
	"crypto/tls"
	"net"
)

// startTLS does the TLS handshake for wss with the settings of crypto/tls and the
// system's trusted certificates.
func startTLS(ctx context.Context, c net.Conn, serverName string) (net.Conn, error) {
	t := tls.Client(c, &tls.Config{ServerName: serverName, NextProtos: []string{"http/1.1"}})
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

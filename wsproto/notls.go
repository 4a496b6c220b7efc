//go:build notls

package wsproto

import (
	"context"
	"net"
)

// startTLS says that wss needs DialOptions.TLS here.
func startTLS(context.Context, net.Conn, string) (net.Conn, error) { return nil, ErrNoTLS }

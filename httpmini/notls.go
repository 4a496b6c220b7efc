//go:build notls

package httpmini

import (
	"context"
	"net"
)

// startTLS says that https needs Client.TLS here.
func startTLS(context.Context, net.Conn, string) (net.Conn, error) { return nil, ErrNoTLS }

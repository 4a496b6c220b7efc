//go:build !linux

package accept

import "net"

// Deferred does nothing here.
func Deferred(net.Listener) {}

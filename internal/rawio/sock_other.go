//go:build !linux

package rawio

import "net"

// Early returns ln.
func Early(ln net.Listener) net.Listener { return ln }

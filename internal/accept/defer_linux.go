package accept

import (
	"net"
	"syscall"
)

// Deferred has ln, if it is of TCP, accept connections when their first bytes are there,
// or a second later (TCP_DEFER_ACCEPT of tcp(7)): where the client speaks first, nobody
// has to wait for them.
func Deferred(ln net.Listener) {
	if tcp, ok := ln.(*net.TCPListener); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, 1) })
		}
	}
}

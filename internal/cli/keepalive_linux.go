package cli

import (
	"net"
	"strings"
	"syscall"
)

// keepAlive makes listeners of lc hand package net's usual keep-alive on to what they
// accept, as Linux does with the options of a socket. Package net would set it on each
// connection: four system calls that a short one feels.
func keepAlive(lc *net.ListenConfig) {
	lc.KeepAlive = -1
	lc.Control = func(network, _ string, raw syscall.RawConn) (err error) {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		set := func(fd uintptr) {
			for _, o := range [...]struct{ level, option, value int }{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
			} {
				if err == nil {
					err = syscall.SetsockoptInt(int(fd), o.level, o.option, o.value)
				}
			}
		}
		if cerr := raw.Control(set); cerr != nil {
			return cerr
		}
		return err
	}
}

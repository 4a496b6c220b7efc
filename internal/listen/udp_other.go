//go:build !linux

package listen

import (
	"errors"
	"net"
	"net/netip"
)

func askDestination(*net.UDPConn) error { return errors.ErrUnsupported }

func sentTo([]byte) (to, local netip.Addr, many bool) { return to, local, false }

func leaveFrom(netip.Addr) []byte { return nil }

func growBuffer(conn *net.UDPConn) { conn.SetReadBuffer(4 << 20) }

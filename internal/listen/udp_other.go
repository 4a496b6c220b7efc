//go:build !linux

package listen

import (
	"errors"
	"net"
)

func askDestination(*net.UDPConn) error { return errors.ErrUnsupported }

func sentToMany([]byte) bool { return false }

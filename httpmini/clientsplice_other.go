//go:build !linux

package httpmini

import (
	"net"
	"os"
)

func canSplice(net.Conn, *os.File) bool { return false }

func spliceByte(*os.File, byte) bool { return false }

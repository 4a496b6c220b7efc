//go:build !unix

package dump

import (
	"net"
	"syscall"
)

func rawConn(net.Conn) syscall.RawConn { return nil }

func (c *tcpClient) readRaw() error { return c.readHeld() }

func tryWrite(syscall.RawConn, []byte) (int, error) { return 0, nil }

func isLost(syscall.RawConn) bool { return false }

//go:build !unix

package wsproto

import (
	"errors"
	"net"
	"syscall"
)

// On these systems a read holds its buffer while it waits, and a write blocks.

var errWouldBlock = errors.New("wsproto: would block")

func waitable(net.Conn) syscall.RawConn { return nil }

func readFD(uintptr, []byte) (int, error) { return 0, errWouldBlock }

func (c *Conn) tryWrite([]byte) (int, error) { return 0, nil }

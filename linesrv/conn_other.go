//go:build !unix

package linesrv

import "net"

// On these systems a connection waits with a buffer, in Read.
type rawIO struct{}

func (rawIO) open(*Conn) bool       { return false }
func (rawIO) tryWrite([]byte) int   { return 0 }
func (c *Conn) runRaw() error       { panic("linesrv: not reached") }
func lostFunc(net.Conn) func() bool { return nil }

//go:build !linux

package wsproto

import "net"

// On these systems there are no loops: every connection has a goroutine.

type (
	loops  struct{}
	loop   struct{}
	inLoop struct{ loop *loop }
)

func (*loops) close()           {}
func (*loops) adopt(*User) bool { return false }
func (*loop) yield(*Conn)       {}

func (s *Server) listen(ln net.Listener) net.Listener { return ln }

func (s *Server) serve(ln net.Listener) error { return s.serveConns(ln) }
func (s *Server) refuseHeads()                {}
func (u *User) serveInLoop()                  {}

func (c *Conn) stop()                            {}
func (c *Conn) pump() error                      { return nil }
func (c *Conn) writeNow([]byte) (int, error)     { return 0, nil }
func (c *Conn) sendInPlace(Header, []byte) error { return nil }
func (c *Conn) cut(error)                        {}

//go:build !unix

package wsproto

import "time"

type serving struct{}

const keeperPeriod = time.Hour

func (s *Server) look() {}
func (u *User) serve()  { u.servePlain() }

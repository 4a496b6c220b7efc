//go:build !linux

package wsproto

// A lot is nothing here: every connection keeps a goroutine.
type lot struct{}

func (l *lot) open(*User) bool { return false }
func (l *lot) park(*User) bool { return false }
func (l *lot) close()          {}

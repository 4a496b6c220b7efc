//go:build unix

package wsproto

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// A user's connection is served in one of two ways.
//
// Hot: a goroutine waits in RawConn.Read, whose callback does everything.
// Because it all happens inside one call, a read that did not fill its buffer may
// be trusted to have emptied the socket: what comes later wakes that call up, while
// between two calls it would be lost. That saves the read that finds nothing, a
// third of all system calls where messages come one at a time. The end of the stream
// can come together with the last bytes though, and then gives no event of its own;
// so the keeper pokes whoever trusted a read and has heard nothing for a while, and
// a poked user reads until there is nothing.
//
// Cold: no goroutine; the parking lot has the descriptor and starts one when
// there is something to read. Where there is no parking lot everybody is hot.
type serving struct {
	fd       int
	known    bool          // the lot has seen fd
	hot      bool          // stay with the connection while it waits
	probe    bool          // trust no read
	trusting atomic.Bool   // waits after a read that was trusted
	seen     atomic.Uint32 // conn.heard when the keeper last looked
}

// hotReads between two looks of the keeper make a user hot.
const hotReads = 8

const keeperPeriod = time.Second

// look is the keeper's round.
func (s *Server) look() {
	for _, u := range s.Users() {
		if heard := u.conn.heard.Load(); heard != u.seen.Load() {
			u.seen.Store(heard)
		} else if u.trusting.Load() {
			u.conn.nc.SetReadDeadline(longAgo)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.keeper.Reset(keeperPeriod)
	}
}

// serve serves u until its connection ends or it is parked.
func (u *User) serve() {
	if u.turn() {
		u.leave()
	}
}

// turn reports whether the connection ended; if not, u is parked and no more this
// goroutine's.
func (u *User) turn() (ended bool) {
	ended = true // also after a panic
	defer u.server.recover(u)
	c := &u.conn
	if c.step == nil {
		c.step = u.step
	}
	for c.ended == nil {
		err := c.raw.Read(c.step)
		switch {
		case c.ended != nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.nc.SetReadDeadline(time.Time{}) // before the look at dead: abort sets dead first
			if dead := c.dead.Load(); dead != nil {
				c.fail(*dead)
			}
			u.hot, u.probe = false, true // the keeper poked
		case err != nil:
			c.fail(err)
		case u.server.lot.park(u):
			return false
		default:
			u.hot = true
		}
	}
	return true
}

// step runs when there may be something to read; true ends RawConn.Read.
func (u *User) step(fd uintptr) bool {
	c := &u.conn
	for {
		short, err := c.tryRead(fd)
		switch {
		case err == errWouldBlock:
			u.probe = false
			return u.rest(false)
		case err != nil:
			c.fail(err)
			return true
		case !u.deliver():
			return true
		case short && !u.probe:
			return u.rest(true)
		}
	}
}

// rest is what there is to do before a wait; true asks to be parked.
func (u *User) rest(trust bool) bool {
	c := &u.conn
	c.flushAndRelease()
	if !u.hot && c.heard.Load()-u.seen.Load() < hotReads && u.known {
		return true
	}
	u.hot = true
	if u.trusting.Load() != trust {
		u.trusting.Store(trust)
	}
	return false
}

package wsproto

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/accept"
	"socketsrv/internal/rawio"
)

// How a Server uses its loops. A connection of TCP alone is in a loop from accept on:
// its first turn is the opening handshake, if the head came whole and is accepted.
// Whatever else it may be is package httpmini's.

// The phases of a User.
const (
	open      = iota
	opening   // its opening handshake is to come
	leaving   // what waits is sent
	lingering // the peer's end is waited for
)

// listen returns ln, or what accepts its connections for loops.
func (s *Server) listen(ln net.Listener) net.Listener {
	if _, tcp := ln.(*net.TCPListener); !tcp || s.loops.pick() == nil {
		return ln
	}
	return rawio.Early(ln)
}

// serve accepts connections of ln.
func (s *Server) serve(ln net.Listener) error {
	l, ok := ln.(*rawio.Listener)
	if !ok {
		return s.serveConns(ln)
	}
	defer l.Opening.Wait()
	defer l.Close()
	return accept.Each(accept.Limit(l, s.MaxConns, httpmini.Refuse), s.admit, s.ErrorLog)
}

// admit puts an accepted connection into a loop.
func (s *Server) admit(nc net.Conn) {
	l := s.loops.pick()
	if l == nil || !s.hold() {
		nc.Close()
		return
	}
	u := &User{server: s, since: time.Now().UnixNano()}
	u.phase.Store(opening)
	c, sk := &u.conn, sockOf(nc)
	c.nc, c.cfg = nc, &s.Config
	c.inLoop = inLoop{loop: l, fd: sk.FD(), owner: u}
	c.out.stall = time.AfterFunc(s.handshakeTimeout(), func() { c.abort(os.ErrDeadlineExceeded) })
	sk.Listener.Opening.Add(1)
	if !l.add(c) {
		nc.Close()
		c.close()
	}
}

// adopt puts an open connection into a loop, with its turn the caller's; false if
// that cannot be.
func (ls *loops) adopt(u *User) bool {
	c := &u.conn
	if _, tcp := c.nc.LocalAddr().(*net.TCPAddr); !tcp || c.raw == nil {
		return false
	}
	l := ls.pick()
	if l == nil {
		return false
	}
	c.inLoop = inLoop{loop: l, owner: u, away: true}
	c.raw.Control(func(fd uintptr) { c.fd = int(fd) })
	if !l.add(c) {
		c.loop = nil
		return false
	}
	return true
}

// serveInLoop begins to serve a connection that was adopted.
func (u *User) serveInLoop() {
	c := &u.conn
	if len(c.p) > 0 {
		u.hear(nil, 0)
	}
	goesOn := u.settle()
	if u.due {
		u.pause()
	}
	if goesOn {
		c.loop.giveBack(c)
	} else {
		c.close()
	}
}

// refuseHeads ends the connections whose opening handshake is to come.
func (s *Server) refuseHeads() {
	s.loops.each(func(c *Conn) {
		if u, ok := c.owner.(*User); ok && u.phase.Load() == opening {
			c.abort(ErrServerClosed)
		}
	})
}

func (u *User) turn(r *runner, events uint32) (goesOn, pause bool) {
	defer func() {
		if u.server.panicked(recover()) { // handlers do not get this far: a fault of ours, and still only this user's end
			goesOn, pause = false, false
			if u.phase.Swap(leaving) == open {
				u.conn.ended = cmp.Or(u.conn.ended, errHandler)
				u.depart()
			}
		}
	}()
	if events&^epollIn != 0 {
		u.conn.unblock()
	}
	switch u.phase.Load() {
	case opening:
		if goesOn = u.open(r); !goesOn || u.phase.Load() == opening {
			return goesOn, false
		}
	case open:
		u.conn.borrow()
		u.hear(r, events)
	case lingering:
		return u.drop(r), false
	}
	goesOn = u.settle()
	return goesOn, u.due
}

func (u *User) pause() {
	u.due = false
	defer u.server.recover(u)
	u.server.OnPause(u)
}

// open does the opening handshake; false if there is none.
func (u *User) open(r *runner) bool {
	s, c := u.server, &u.conn
	b := r.buf.b[:cap(r.buf.b)]
	n, err := rawio.Read(uintptr(c.fd), b)
	if err != nil {
		return err == rawio.ErrAgain
	}
	req, rest := r.head.read(b[:n])
	if req == nil || s.HTTP != nil && !req.Header.HasToken("Upgrade", "websocket") {
		return u.pass(b[:n], s.http)
	}
	req.Conn = c.nc
	res, ag, err := s.judgeSafely(req)
	if err != nil {
		refuse := func(x *httpmini.Exchange) { s.refuse(x, res, err) }
		return u.pass(b[:n], &httpmini.Server{Handler: refuse, HeadTimeout: s.HandshakeTimeout, ErrorLog: s.ErrorLog})
	}
	c.out.stall.Stop()
	c.out.stall = nil
	u.init(c.nc, nil, ag)
	c.p = rest
	c.out.buf = c.out.buf.grow(512)
	c.out.buf.b = res.AppendHead(c.out.buf.b)
	u.phase.Store(open)
	sockOf(c.nc).Listener.Opening.Done()
	u.begin(req)
	u.hear(nil, 0)
	return true
}

// judgeSafely is judge; a panic becomes an error that refuse panics with.
func (s *Server) judgeSafely(req *httpmini.Request) (res *httpmini.Response, ag Agreement, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v\n%s", v, debug.Stack())
		}
	}()
	return s.judge(req, req.Conn.RemoteAddr)
}

// pass gives the connection, of which head was read, to h.
func (u *User) pass(head []byte, h *httpmini.Server) bool {
	c, sk := &u.conn, sockOf(u.conn.nc)
	c.loop.remove(c)
	syscall.EpollCtl(c.loop.ep, syscall.EPOLL_CTL_DEL, c.fd, new(syscall.EpollEvent))
	nc := &lateConn{sk, c.nc, bytes.Clone(head), time.Unix(0, u.since).Add(u.server.handshakeTimeout())}
	sk.Listener.Opening.Go(func() { h.ServeConn(nc) })
	return false
}

// hear handles what is there of the input, and reads if events say so.
func (u *User) hear(r *runner, events uint32) {
	defer u.server.recover(u)
	c := &u.conn
	if c.ended != nil || c.out.full.Load() {
		return
	}
	if c.stopped || r == nil {
		c.stopped = false
		c.out.mu.Lock()
		c.arm() // giveBack may have asked for this turn
		c.out.mu.Unlock()
		if !u.deliver() || c.out.full.Load() {
			return
		}
	}
	if events&^epollOut == 0 {
		return
	}
	for range maxReads {
		filled, err := c.receive(r.buf)
		switch {
		case err == rawio.ErrAgain:
			return
		case err != nil:
			c.fail(err)
			return
		case !u.deliver() || !filled || c.out.full.Load():
			return
		}
	}
}

// maxReads is how often a turn reads while there is more than it has room for.
const maxReads = 8

// settle is the end of a turn: what was gathered goes out, what is left of the input
// is kept; false if the connection is to be closed.
func (u *User) settle() bool {
	c := &u.conn
	o := &c.out
	o.mu.Lock()
	c.pump()
	o.mu.Unlock()
	if dead := c.dead.Load(); dead != nil && c.ended == nil {
		c.fail(*dead)
	}
	if c.ended == nil {
		c.keep()
		return true
	}
	if u.phase.Load() == open {
		if u.due {
			u.pause()
		}
		u.depart()
		u.lingers = c.lingers()
		u.phase.Store(leaving)
		c.stopped = false
		c.keep()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deaf = true
	switch {
	case o.err != nil || c.dead.Load() != nil:
		return false
	case o.len() > 0:
		if !u.cutting {
			u.cutting = true
			time.AfterFunc(c.cfg.closeTimeout(), func() { c.abort(ErrCloseTimeout) })
		}
	case u.lingers:
		u.phase.Store(lingering)
		o.deaf = false
		syscall.Shutdown(c.fd, syscall.SHUT_WR)
		time.AfterFunc(lingerTime, func() { c.abort(ErrClosed) })
	default:
		return false
	}
	c.arm()
	return true
}

// drop reads what nobody wants; false at the end.
func (u *User) drop(r *runner) bool {
	_, err := rawio.Read(uintptr(u.conn.fd), r.buf.b[:cap(r.buf.b)])
	return err == nil || err == rawio.ErrAgain
}

// gone comes when the connection is closed.
func (u *User) gone() {
	if u.phase.Load() == opening {
		sockOf(u.conn.nc).Listener.Opening.Done()
	}
	u.server.active.Done()
}

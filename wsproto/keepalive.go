package wsproto

import (
	"sync"
	"time"
)

// A keepalive watches over a connection by timers: it pings a silent peer and
// ends the connection of one that stays silent, or idle for too long. Nothing
// waits meanwhile.
type keepalive struct {
	mu     sync.Mutex
	ping   *time.Timer
	idle   *time.Timer
	heard  uint32 // Conn.heard when last looked at
	pinged bool   // a ping went out then
	count  uint32 // Conn.messages when last looked at
	quiet  int    // looks since that changed
	over   bool
}

// idleLooks is how often in an idle timeout is looked whether a message came.
const idleLooks = 4

func (c *Conn) startKeepalive() {
	if c.cfg.PingInterval <= 0 && c.cfg.IdleTimeout <= 0 {
		return
	}
	k := &keepalive{heard: c.heard.Load()}
	c.alive = k
	k.mu.Lock() // the first tick finds the timers set
	defer k.mu.Unlock()
	if d := c.cfg.PingInterval; d > 0 {
		k.ping = time.AfterFunc(d, c.pingTick)
	}
	if d := c.cfg.IdleTimeout; d > 0 {
		k.idle = time.AfterFunc(d/idleLooks, c.idleTick)
	}
}

// stopTimers comes when the connection is to be closed.
func (c *Conn) stopTimers() {
	if c.slow != nil {
		c.slow.Stop()
	}
	k := c.alive
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	for _, t := range []*time.Timer{k.ping, k.idle} {
		if t != nil {
			t.Stop()
		}
	}
}

// closeWith sends a Close frame, unless one was sent, and does not wait.
func (c *Conn) closeWith(code StatusCode, reason string) {
	c.queueClose(AppendClose(nil, code, closeReason(reason)))
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.flush(false)
}

func (c *Conn) pingTick() {
	k := c.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	heard := c.heard.Load()
	silent := heard == k.heard
	k.heard = heard
	switch {
	case k.over:
	case !silent:
		k.pinged = false
		k.ping.Reset(c.cfg.PingInterval)
	case k.pinged:
		c.abort(ErrPongTimeout)
	default:
		c.post(OpPing, nil, maxBatch) // an error ends the reader too
		k.pinged = true
		k.ping.Reset(c.cfg.pongTimeout())
	}
}

func (c *Conn) idleTick() {
	k := c.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := c.messages.Load(); n != k.count {
		k.count, k.quiet = n, 0
	} else {
		k.quiet++
	}
	switch {
	case k.over:
	case k.quiet < idleLooks:
		k.idle.Reset(c.cfg.IdleTimeout / idleLooks)
	case k.quiet == idleLooks:
		c.closeWith(StatusGoingAway, "idle timeout")
		k.idle.Reset(c.cfg.closeTimeout())
	default:
		c.abort(ErrIdleTimeout)
	}
}

package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/rawio"
	"socketsrv/wsproto"
)

// A link passes what one end brings to the other, both ways, until both have ended.
type link struct {
	p     *proxy
	s     *session
	moved atomic.Int64 // pieces, for the idle

	mu       sync.Mutex
	byTarget bool
	why      error        // how it ended; nil while it goes on
	over     map[end]bool // brings no more
}

// link connects client and target, and returns how that ended.
func (p *proxy) link(s *session, client, target end) error {
	l := &link{p: p, s: s, over: make(map[end]bool)}
	s.close = func() {
		l.because(false, wsproto.ErrServerClosed)
		client.stop()
		target.stop()
	}
	s.abort = func(err error) {
		l.because(false, err)
		client.abort()
		target.abort()
	}
	p.enter(s)
	if d := p.idle(client, target); d > 0 {
		defer l.watch(d)()
	}
	var back sync.WaitGroup
	pass := func(from, to end, fromTarget bool) {
		if err := accept.Guard(func() error { l.pass(from, to, fromTarget); return nil }); err != nil {
			s.abort(err)
		}
	}
	back.Go(func() { pass(target, client, true) })
	pass(client, target, false)
	back.Wait()
	client.close()
	target.close()
	p.sessions.Remove(s)
	p.closed(s, l.byTarget, l.why)
	return l.why
}

// idle is how long nothing may pass between two ends; 0: for ever.
func (p *proxy) idle(ends ...end) time.Duration {
	for _, e := range ends {
		if _, ok := e.(*packets); ok && p.listener.IdleTimeout == 0 {
			return p.udpIdle
		}
	}
	return p.listener.IdleTimeout
}

// watch ends the link when nothing passed for d.
func (l *link) watch(d time.Duration) (stop func()) {
	seen := int64(-1)
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(d, func() {
		<-ready
		if now := l.moved.Load(); now != seen {
			seen = now
			timer.Reset(d)
			return
		}
		l.s.abort(cli.ErrIdle)
	})
	close(ready)
	return func() { timer.Stop() }
}

// because notes how the link ends, if it is the first to know.
func (l *link) because(byTarget bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.byTarget, l.why = byTarget, err
	}
}

// pass passes on what from brings, until it ends.
func (l *link) pass(from, to end, fromTarget bool) {
	v := l.p.view(l.s, from, fromTarget)
	src, dst := plain(from), plain(to)
	if v == nil && src != nil && dst != nil && l.p.idle(from, to) == 0 {
		l.splice(from, to, src, dst, fromTarget)
		return
	}
	for deaf := false; ; {
		op, p, err := from.read()
		if err != nil {
			v.end()
			l.ended(from, to, fromTarget, err)
			return
		}
		l.moved.Add(1)
		l.p.counts.messages.Add(1)
		l.p.counts.bytes.Add(int64(len(p)))
		v.add(op, p)
		if deaf {
			continue
		}
		if err := to.write(op, p); err != nil {
			deaf = true
			l.refused(from, to, fromTarget, err)
		}
	}
}

// patience is how long a peer may take nothing of what the system moves to it: as long
// as keep-alive waits for one that is silent.
const patience = 150 * time.Second

// splice is pass for two sockets, between which the system may move the bytes itself.
// It is one write for all of them, for which no deadline is right.
func (l *link) splice(from, to end, src, dst net.Conn, fromTarget bool) {
	rawio.GiveUp(dst, patience)
	n, err := io.Copy(dst, src)
	l.p.counts.bytes.Add(n)
	if err != nil && !orderly(err) && l.isOver(to) { // it takes no more; what it sent is still to arrive
		from.linger()
		_, err = io.Copy(io.Discard, src)
	}
	if err == nil {
		err = io.EOF
	}
	l.ended(from, to, fromTarget, err)
}

// ended passes on that from ended.
func (l *link) ended(from, to end, fromTarget bool, err error) {
	l.because(fromTarget, err)
	l.mu.Lock()
	l.over[from] = true
	l.mu.Unlock()
	why := err
	if orderly(err) {
		why = io.EOF
	}
	client, dir := from, event.In
	if fromTarget {
		client, dir = to, event.Out
	}
	if _, ok := client.(*stream); ok && why == io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
		e := l.s.event()
		e.Event, e.Dir = event.End, dir
		l.p.con.Gather(&e, l.p.show)
		l.p.con.Release()
	}
	to.finish(why)
	if err != io.EOF { // nothing can be sent there any more
		to.linger()
	}
}

func (l *link) isOver(e end) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over[e]
}

// refused passes on that to takes no more. Where it has ended its own side in good
// order, all of that is still to arrive.
func (l *link) refused(from, to end, fromTarget bool, err error) {
	if _, ok := to.(*webSocket); ok || l.isOver(to) {
		from.linger() // its reader knows more
		return
	}
	l.because(!fromTarget, err)
	from.finish(err)
	to.finish(err)
}

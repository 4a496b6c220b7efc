package proxy

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/listen"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A teller is told of what passes, which Console.Release shows. Without a payload it is
// too long to be shown.
type teller func(fromTarget bool, op wsproto.Opcode, size int64, payload []byte)

// teller shows the messages of s; nil if nobody asks.
func (p *proxy) teller(s *session) teller {
	if !p.show && !p.output.Events() {
		return nil
	}
	return func(fromTarget bool, op wsproto.Opcode, size int64, payload []byte) {
		if op == wsproto.OpClose {
			return // closed says it
		}
		e := event.OfFrame(s.event(), !fromTarget, cli.OpcodeName(op), payload)
		if payload == nil {
			e.Size = size
		}
		p.con.Gather(&e, p.show && (e.Event == event.Message || p.output.Verbose))
	}
}

// A view shows what passes one way of a link: a stream as -framing cuts it. A nil one
// shows nothing.
type view struct {
	p          *proxy
	s          *session
	tell       teller
	fromTarget bool

	mu     sync.Mutex
	cutter *listen.Cutter // nil: it is shown as it comes
	quiet  *time.Timer    // ends a message of -framing idle; nil: there was none
}

func (p *proxy) view(s *session, from end, fromTarget bool) *view {
	v := &view{p: p, s: s, tell: p.teller(s), fromTarget: fromTarget}
	if v.tell == nil {
		return nil
	}
	if _, ok := from.(*stream); ok && p.framing.Kind != linesrv.KindNone {
		v.cutter = p.listener.Cutter(p.framing)
	}
	return v
}

// add shows p, or what of it and of what came before is whole.
func (v *view) add(op wsproto.Opcode, p []byte) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.p.con.Release()
	for v.cutter != nil {
		message, rest, ok, err := v.cutter.Next(p)
		switch {
		case err != nil:
			v.p.con.Error(fmt.Errorf("client %d: -framing %v: %w: from here on shown as it comes", v.s.number, v.p.framing, err))
			if begun := v.cutter.Pending(); len(begun) > 0 {
				v.tell(v.fromTarget, op, 0, begun)
			}
			v.cutter.Release()
			v.cutter = nil
			if errors.Is(err, wsproto.ErrMemory) {
				return // p was the end of that
			}
		case ok:
			v.tell(v.fromTarget, op, 0, message)
			p = rest
		default:
			v.wait()
			return
		}
	}
	v.tell(v.fromTarget, op, 0, p)
}

// wait shows what is pending after the silence that ends it.
func (v *view) wait() {
	switch {
	case v.p.framing.Kind != linesrv.KindIdle:
	case v.quiet == nil:
		v.quiet = time.AfterFunc(v.p.framing.Silence, v.finish)
	default:
		v.quiet.Reset(v.p.framing.Silence)
	}
}

func (v *view) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cutter == nil {
		return
	}
	if message, cut := v.cutter.Finish(); message != nil {
		v.tell(v.fromTarget, 0, 0, message)
		v.p.con.Release()
		if cut {
			v.p.con.Status("client %d: the stream ended inside this message (-framing %v)", v.s.number, v.p.framing)
		}
	}
}

// end shows what is left.
func (v *view) end() {
	if v == nil {
		return
	}
	v.finish()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cutter != nil {
		v.cutter.Release()
	}
	if v.quiet != nil {
		v.quiet.Stop()
	}
}

package judge

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// This file is the vocabulary of the cases: what the prober does (do…) and what
// the judged endpoint must do then (must…).

// step is one act of a conversation; an error ends it.
type step func(*prober) error

// play takes steps one after another.
func (p *prober) play(steps []step) error {
	for _, st := range steps {
		if err := st(p); err != nil {
			return err
		}
	}
	return nil
}

// plainDeflate asks for permessage-deflate and nothing more.
var plainDeflate = []pmd{{}}

// doSend sends frames in one piece.
func doSend(frames ...wireFrame) step {
	return func(p *prober) error { p.sendAll(frames); return nil }
}

// doFrames sends frames by a write each.
func doFrames(frames ...wireFrame) step {
	return func(p *prober) error {
		for _, f := range frames {
			p.sendAll([]wireFrame{f})
		}
		return nil
	}
}

// doChops sends frames in pieces of n bytes.
func doChops(n int, frames ...wireFrame) step {
	return func(p *prober) error {
		p.noteClose(frames)
		b := p.encode(frames)
		for piece := range slices.Chunk(b, n) {
			p.write(piece)
		}
		return nil
	}
}

// doBegin sends the header of a frame and n bytes of its payload; the rest is
// left for doMore.
func doBegin(f wireFrame, n int) step {
	return func(p *prober) error {
		b := p.append(nil, f)
		n := len(b) - len(f.payload) + n
		p.write(b[:n])
		p.rest = b[n:]
		return nil
	}
}

// doMore sends n more bytes of a frame begun, by a write each.
func doMore(n int) step {
	return func(p *prober) error {
		for _, c := range p.rest[:n] {
			p.write([]byte{c})
		}
		p.rest = p.rest[n:]
		return nil
	}
}

func doRest(p *prober) error {
	p.write(p.rest)
	p.rest = nil
	return nil
}

// doCut sends the bytes of frames in two pieces with a gap between them.
func doCut(at int, frames ...wireFrame) step {
	return func(p *prober) error {
		p.noteClose(frames)
		b := p.encode(frames)
		p.write(b[:at])
		p.flush()
		time.Sleep(time.Millisecond) // a gap on the wire; nothing depends on its length
		p.write(b[at:])
		return nil
	}
}

// doDrop sends the first n bytes of frames and ends the stream there.
func doDrop(n int, frames ...wireFrame) step {
	return func(p *prober) error {
		p.write(p.encode(frames)[:n])
		p.halfClose()
		return nil
	}
}

// mustGet waits for these events, in this order and nothing between.
func mustGet(events ...rxEvent) step {
	return func(p *prober) error {
		for i, want := range events {
			e, err := p.next()
			if err != nil {
				return err
			}
			if !e.same(want) {
				return failed("event %d is %v, want %v", i+1, e, want)
			}
		}
		return nil
	}
}

// mustBeIdle checks by a ping that the connection is open and nothing else came.
func mustBeIdle(p *prober) error {
	p.sendAll([]wireFrame{txPing("still there?")})
	return mustGet(rxPong("still there?"))(p)
}

// mustStaySilent watches for a short while where no ping may be sent.
func mustStaySilent(p *prober) error {
	p.flush()
	wait := p.patience(20 * time.Millisecond)
	e, err := p.next()
	p.patience(wait)
	if err == nil && e.kind != "silence" {
		return failed("%v, want silence: nothing is wrong yet", e)
	}
	return err
}

// mustEnd waits for the events, closes with 1000 and wants the closing handshake
// completed (§7.1.2).
func mustEnd(events ...rxEvent) step {
	return func(p *prober) error {
		if err := mustGet(events...)(p); err != nil {
			return err
		}
		p.sendAll([]wireFrame{txClose(1000, "")})
		return mustAnswer([]int{1000, 0})(p)
	}
}

// mustAnswer, after a Close of ours, wants the events and then a Close with one
// of the codes (0: without), and the end of the stream.
func mustAnswer(codes []int, events ...rxEvent) step {
	return func(p *prober) error {
		if err := mustGet(events...)(p); err != nil {
			return err
		}
		e, err := p.next()
		switch {
		case err != nil:
			return err
		case e.kind == "end" || e.kind == "silence":
			return graded(OK, Unclean, "%v, want a Close frame (§5.5.1)", e)
		case e.kind != "close":
			return failed("%v, want a Close frame (§5.5.1)", e)
		}
		ended := p.finish()
		if !slices.Contains(codes, e.code) && e.code != 0 {
			return graded(OK, WrongCode, "%v, want one of the codes %v (§5.5.1)", e, codes)
		}
		return ended
	}
}

// mustFail wants the events, then a Close frame from the endpoint with one of the
// codes, and the end of the stream (§7.1.7). All codes but the first are only
// remarked on.
func mustFail(code int, events ...rxEvent) step { return mustFailBy([]int{code}, events...) }

func mustFailBy(codes []int, events ...rxEvent) step {
	return func(p *prober) error {
		for got := 0; ; got++ {
			e, err := p.next()
			switch {
			case err != nil:
				return err
			case e.kind == "silence":
				f := graded(Failed, Failed, "does not fail the connection, want the code %v", codes)
				f.silence = true
				return f
			case e.kind == "close" || e.kind == "end":
				if got < len(events) {
					return nonStrict("%v before %v", e, events[got])
				}
				return p.failedWith(e, codes)
			case got >= len(events) || !e.same(events[got]):
				return failed("%v before it failed the connection, want %v and the code %v", e, events[min(got, len(events)):], codes)
			}
		}
	}
}

// failedWith judges how the endpoint failed the connection. Autobahn accepts an end
// without a Close frame; the RFC says that it should be there.
func (p *prober) failedWith(e rxEvent, codes []int) error {
	switch {
	case e.kind == "end" && p.catalogue:
		return remark("no Close frame before the %v; want the code %v", e, codes)
	case e.kind == "end":
		return nonStrict("no Close frame before the %v; want the code %v (§7.1.7)", e, codes)
	}
	ended := p.finish()
	switch {
	case !slices.Contains(codes, e.code) && e.code != 0:
		return graded(OK, WrongCode, "%v, want the code %v", e, codes)
	case e.code != codes[0] && p.catalogue:
		return remark("%v, want the code %v", e, codes[0])
	case e.code != codes[0]:
		return graded(Informational, OK, "%v, want the code %v", e, codes[0])
	}
	return ended
}

// mustFailFast wants the failure now; if it does not come within a fifth of the
// wait, what is still to be sent is sent, and the failure after that is not strict.
func mustFailFast(code int, then ...step) step {
	return func(p *prober) error {
		wait := p.patience(0)
		p.patience(wait / 5)
		early := mustFail(code)(p)
		p.patience(wait)
		if f, ok := early.(*finding); !ok || !f.silence {
			return early
		}
		if err := p.play(then); err != nil {
			return err
		}
		if f, ok := mustFail(code)(p).(*finding); ok && f.grade > NonStrict {
			return f
		}
		return nonStrict("failed the connection at the end of the message, not at the first bad byte")
	}
}

// finish is the part of a closing handshake after the endpoint's Close frame:
// ours if it is missing, then the TCP connection, which the server closes first
// (§7.1.1).
func (p *prober) finish() error {
	if !p.sentClose {
		p.sendAll([]wireFrame{txClose(1000, "")})
	}
	if p.side == ClientSide {
		p.halfClose()
	}
	p.patience(p.patience(0) / 2)
	e, err := p.next()
	switch {
	case err != nil:
		return err
	case e.kind == "silence" && p.side == ClientSide:
		return remark("the client does not close the TCP connection that the server has ended")
	case e.kind == "silence":
		return graded(OK, FailedByClient, "the TCP connection is not closed (§7.1.1)")
	case e.kind != "end":
		return failed("%v after its Close frame (§5.5.1)", e)
	}
	return nil
}

// mustDropQuietly wants these events and then the end of the stream, with or
// without a Close frame: the prober's half of it has ended.
func mustDropQuietly(events ...rxEvent) step {
	return func(p *prober) error {
		for got := 0; ; got++ {
			e, err := p.next()
			if err == nil && e.kind == "close" {
				e, err = p.next()
			}
			switch {
			case err != nil:
				return err
			case e.kind == "end" && got < len(events):
				return graded(Informational, OK, "%v before %v", e, events[got])
			case e.kind == "end":
				return nil
			case got >= len(events) || !e.same(events[got]):
				return failed("%v after the stream ended in the middle of a message", e)
			}
		}
	}
}

// mustEcho wants our Close answered with its own code (0: none), as §5.5.1 says
// an endpoint typically does.
func mustEcho(code int, events ...rxEvent) step {
	return func(p *prober) error {
		err := mustAnswer([]int{code, 1000, 0}, events...)(p)
		if err == nil && p.closedBy != code {
			return graded(Informational, OK, "close %d, want the code %d echoed (§5.5.1)", p.closedBy, code)
		}
		return err
	}
}

// mustHangUp wants the client to refuse the handshake: it ends the connection and
// sends nothing (§4.1).
func mustHangUp(p *prober) error {
	e, err := p.next()
	switch {
	case err != nil:
		return err
	case e.kind == "close":
		return nonStrict("%v on a connection that was not to be established (§4.1)", e)
	case e.kind != "end":
		return failed("%v, want the handshake refused (§4.1)", e)
	}
	return nil
}

// ifWindow ends the case where the endpoint does not let the prober refer to
// earlier messages.
func ifWindow(p *prober) error {
	if p.out == nil || !p.out.keep {
		return graded(Informational, OK, "the endpoint wants no context takeover, so there is no window to refer to")
	}
	return nil
}

// doMessage sends a message, compressed if that was agreed, in frames of at most
// size bytes of wire payload (0: one frame).
func (p *prober) doMessage(op byte, data []byte, size int) {
	var rsv byte
	if p.out != nil {
		data, rsv = p.out.message(data), 4
	}
	p.sendAll(fragments(op, rsv, data, size))
}

func fragments(op, rsv byte, data []byte, size int) []wireFrame {
	if size == 0 || len(data) <= size {
		return []wireFrame{tx(op, data).bits(rsv)}
	}
	var all []wireFrame
	for part := range slices.Chunk(data, size) {
		all = append(all, tx(0, part).part())
	}
	all[0].op, all[0].rsv = op, rsv
	all[len(all)-1].fin = true
	return all
}

// doEchoes sends messages one after another, each when the one before it has
// come back, and compares.
func doEchoes(op byte, size, count int, message func(i int) []byte) step {
	return func(p *prober) error {
		kind := map[byte]string{1: "text", 2: "binary"}[op]
		for i := range count {
			want := message(i)
			p.doMessage(op, want, size)
			e, err := p.next()
			if err != nil {
				return fmt.Errorf("message %d of %d: %w", i+1, count, err)
			}
			if e.kind != kind || !bytes.Equal(e.data, want) {
				return failed("message %d of %d: sent %s of %d bytes, got %v", i+1, count, kind, len(want), e)
			}
		}
		return nil
	}
}

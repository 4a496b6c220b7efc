package play

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/rawio"
	"socketsrv/internal/talkfile"
	"socketsrv/wsproto"
)

// A source hands out steps until io.EOF.
type source interface {
	Next() (*talkfile.Step, error)
}

// A conversation is one connection on which the steps of a source are played. All of it
// runs on one goroutine, but for the one that reads.
type conversation struct {
	*play
	ctx    context.Context
	cancel context.CancelFunc
	who    event.Event // Proto, Client, Peer
	title  string      // before its lines in reports
	wire   wire
	pipe   *pipe
	in     *inbox
	loose  bool // a stream without framing: what comes has no ends

	began time.Time
	due   time.Time // what is done next is to be done then
	said  bool      // our end

	head item // what came first and is not expected yet: a message, or all of a loose stream
	have bool // there is a head

	by       time.Time // what is expected has to come until then
	within   time.Duration
	captured [][]byte
	ons      []*talkfile.Step // what goes on beside the lines
	beats    []beat
	mute     bool // the peer hears nothing of what goes on beside; what it sent still is for that
}

// A beat is a message that is sent again and again.
type beat struct {
	*talkfile.Step
	next time.Time
}

const (
	// slack is how late something may be and count as on time, so that what a connection
	// takes does not add up.
	slack    = 300 * time.Microsecond
	tick     = time.Millisecond // a timer may be late by as much
	endTime  = time.Second      // what the peer has to end when all was said
	takeTime = 5 * time.Second  // without progress, to take what was sent
)

// run plays src to its end or to what goes wrong. The connection is closed after it.
func (c *conversation) run(src source) error {
	c.began = time.Now()
	c.due = c.began
	var reader sync.WaitGroup
	reader.Go(c.read)
	defer reader.Wait()
	defer func() { c.wire.hangUp(c.in.ended() != nil) }()
	defer c.in.stop()
	defer c.over()
	defer context.AfterFunc(c.ctx, func() { time.AfterFunc(takeTime, func() { c.pipe.Close() }) })() // a write may wait
	for {
		s, err := src.Next()
		if err == io.EOF {
			if err = c.finish(); c.ctx.Err() != nil {
				return c.ctx.Err()
			}
			c.report(nil, c.began, err)
			return err
		}
		if err != nil {
			return c.inFile(err)
		}
		began := time.Now()
		if err = c.fits(s); err == nil {
			err = c.step(s)
		}
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if isExpectation(s) || err != nil {
			c.report(s, began, err)
		}
		if err != nil {
			return c.failure(s, err)
		}
	}
}

// read takes all that comes to the inbox.
func (c *conversation) read() {
	for {
		it, err := c.wire.read()
		if err != nil {
			if err == io.EOF {
				c.ended(event.In)
			}
			c.in.end(err)
			return
		}
		c.came(it)
		c.in.put(it)
	}
}

// over says how the connection ended, and politely to the peer where we were stopped.
func (c *conversation) over() {
	if c.ctx.Err() != nil && !c.said {
		c.pipe.split(0, 0)
		c.wire.close(int(wsproto.StatusGoingAway), "")
		c.hangUp()
	}
	why := c.in.ended()
	if why == errHungUp {
		why = nil
	}
	c.con.Event(cli.Ended(c.who, why))
}

// step does a step.
func (c *conversation) step(s *talkfile.Step) error {
	switch s.Verb {
	case talkfile.Wait:
		c.due = c.due.Add(c.paced(s.D))
		return nil
	case talkfile.Within:
		c.within = s.D
		return nil
	case talkfile.On:
		c.ons = append(c.ons, s)
		return nil
	case talkfile.Every:
		c.beats = append(c.beats, beat{s, c.due.Add(s.D)})
		return nil
	}
	if isExpectation(s) {
		return c.expect(s)
	}
	if err := c.pause(c.due, false); err != nil {
		return err
	}
	began := time.Now()
	err := c.do(s, c.captured)
	// In a talk file a wait is after what was sent, however slowly. A recording says when each
	// message went: one that is late is no reason for the next to be.
	if took := time.Since(began); took > slack && c.talk != nil {
		c.late(began.Add(took))
	}
	return err
}

// late moves what follows when something happened at t, later than it was due.
func (c *conversation) late(t time.Time) {
	if t.Sub(c.due) > slack {
		c.due = t
	}
}

// do sends, ends, or in a block waits.
func (c *conversation) do(s *talkfile.Step, captured [][]byte) (err error) {
	p := s.Payload.Bytes(captured)
	switch s.Verb {
	case talkfile.Send:
		c.went(s, p) // told before it is done, so that no answer is told first
		err = c.wire.send(s.Kind, p)
	case talkfile.Raw:
		c.went(s, p)
		_, err = c.pipe.Write(p)
	case talkfile.Wait:
		return sleep(c.ctx, c.paced(s.D))
	case talkfile.Split:
		c.pipe.split(s.N, s.D)
	case talkfile.Close:
		c.said = true
		return c.wire.close(s.Code, s.Reason)
	case talkfile.End:
		c.said = true
		c.ended(event.Out)
		return c.wire.end()
	case talkfile.Reset:
		c.said = true
		rawio.Reset(c.pipe)
	}
	return err
}

// pause lets time pass until then. With wake it returns when something comes, else that is
// looked at for what goes on beside.
func (c *conversation) pause(until time.Time, wake bool) error {
	for {
		if err := c.beat(); err != nil {
			return err
		}
		if !wake {
			if err := c.answer(until); err != nil {
				return err
			}
		}
		now, next := time.Now(), until
		if !now.Before(until) {
			return c.ctx.Err()
		}
		for _, b := range c.beats {
			if b.next.Before(next) {
				next = b.next
			}
		}
		left := next.Sub(now)
		if !wake && left <= 2*tick {
			rawio.Sleep(left)
			continue
		}
		if !wake {
			left -= tick
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
		case <-c.in.ready:
			if wake {
				until = now
			}
		}
		if timer.Stop(); c.ctx.Err() != nil {
			return c.ctx.Err()
		}
	}
}

// beat sends what is to be sent again and again, where it is time.
func (c *conversation) beat() error {
	for i := range c.beats {
		b, now := &c.beats[i], time.Now()
		if now.Before(b.next) {
			continue
		}
		for !now.Before(b.next) { // none is made up for
			b.next = b.next.Add(b.D)
		}
		if err := c.beside(b.Step, nil); err != nil {
			return err
		}
	}
	return nil
}

// answer does what is to be done beside with what came, while nothing is expected.
func (c *conversation) answer(until time.Time) error {
	for len(c.ons) > 0 && time.Now().Before(until) {
		c.more(maxPart)
		if done, err := c.answerHead(); !done || err != nil {
			return err
		}
	}
	return nil
}

// answerHead does what is to be done with the head; done says that there is something, and
// the head, or the beginning of it, is gone.
func (c *conversation) answerHead() (done bool, err error) {
	if !c.have || c.head.isControl() {
		return false, nil
	}
	for _, s := range c.ons {
		if captured, n := find(s, c.head.data, c.loose, true); n > 0 || captured != nil && !c.loose {
			c.drop(n)
			return true, c.beside(s, captured)
		}
	}
	return false, nil
}

// beside does the lines of a block. That the peer does not want to hear them is not their
// failure: whoever expects something of it will know.
func (c *conversation) beside(s *talkfile.Step, captured [][]byte) error {
	for i := 0; i < len(s.Body) && !c.mute; i++ {
		err := c.do(&s.Body[i], captured)
		if errors.Is(err, wsproto.ErrCloseSent) || errors.Is(err, net.ErrClosed) || isReset(err) {
			c.mute, c.beats = true, nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finish is what follows the last line. Where something goes on beside, that lasts until
// the peer ends.
func (c *conversation) finish() error {
	if err := c.pause(c.due, false); err != nil {
		return err
	}
	for len(c.ons)+len(c.beats) > 0 && !c.said {
		if !c.more(maxPart) && !c.have {
			over := c.in.ended()
			if cli.As[*wsproto.ProtocolError](over) {
				return over
			}
			if over != nil {
				break
			}
			if err := c.pause(time.Now().Add(time.Minute), true); err != nil {
				return err
			}
		}
		done, err := c.answerHead()
		if err == nil {
			err = c.beat()
		}
		switch {
		case err != nil:
			return err
		case done:
		case !c.loose:
			c.have = false // nobody will expect it
		case len(c.head.data) >= maxPart:
			return &unmet{what: "expected what on ~ matches", came: c.instead()}
		case c.have:
			if err := c.pause(time.Now().Add(endTime), true); err != nil {
				return err
			}
			c.have = len(c.head.data) > 0 && c.in.ended() == nil
		}
	}
	if !c.said {
		last := talkfile.Step{Verb: talkfile.End}
		if c.isWebSocket() {
			last = talkfile.Step{Verb: talkfile.Close, Code: int(wsproto.StatusNormalClosure)}
		}
		c.do(&last, nil)
	}
	c.hangUp()
	return nil
}

// hangUp waits for the peer's end, and as long as it goes on to take what was sent.
func (c *conversation) hangUp() {
	c.in.stop()
	until := time.Now().Add(endTime)
	left, stuck := c.pipe.queued(), until.Add(takeTime)
	for c.in.ended() == nil && !c.datagrams() {
		now, queued := time.Now(), c.pipe.queued()
		if queued < left {
			left, stuck = queued, now.Add(takeTime)
		}
		if now.After(until) && (queued == 0 || now.After(stuck)) {
			return
		}
		timer := time.NewTimer(endTime / 10)
		select {
		case <-timer.C:
		case <-c.in.ready:
		}
		timer.Stop()
	}
}

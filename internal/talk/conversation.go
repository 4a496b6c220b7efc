// Package talk is a conversation with one peer: what is typed or piped goes to it,
// what it says comes back, and at some time both are done.
//
// conversation.go is the one rule for the end, as a value: it is told what happened
// and answers what is to be done. It knows no socket and no clock. Begin reading
// there. session.go is the shell around it: it holds a conversation over a dial.Link,
// and over those after it, for clients one-shot and with a prompt. lines.go has where
// lines come from, expect.go finds what -expect looks for.
package talk

import (
	"fmt"
	"socketsrv/internal/cli"
	"strings"
	"time"
)

// The rule, in three sentences. A conversation is done when all we had to send was
// sent, our end was said, and the peer's end was seen. Whatever moves, in either
// direction, keeps it alive; we give up only when nothing has moved for too long.
// What was not delivered, or was cut while coming, is never a success.

// A Kind is what an end looks like on the wire.
type Kind uint8

const (
	Stream   Kind = iota // each side has an end of its own: FIN, close_notify
	Message              // WebSocket: after a Close nothing more is sent, by either
	Datagram             // UDP: there is no end
)

// Forever as Rules.Linger or Rules.Stall never gives up.
const Forever time.Duration = -1

const (
	CloseTime = 5 * time.Second        // what a WebSocket peer has to answer our Close, from the last thing that moved
	MetTime   = time.Second            // what is left for the end after -count, -expect or -for, whatever moves
	CutTime   = 500 * time.Millisecond // what is left when we are told to stop
	FailTime  = 2 * time.Second        // what a peer that takes nothing more has to say why
)

// Rules are what the flags say about the end. The zero value is a stream that is
// given up as soon as nothing moves after our end.
type Rules struct {
	Kind     Kind
	Linger   time.Duration // stream: without progress after our end, 0: it need not end; else: of silence before we end
	Stall    time.Duration // without progress while the peer owes us taking something, or stdout does
	Hold     bool          // our end waits for the peer's: there is no input whose end could be said
	KeepOpen bool          // our end is not said: the connection is closed after Linger
	Count    int64         // messages that are enough; 0: any number
	Expect   bool          // a match is wanted: without Count it is enough
}

// A What is what an Event tells.
type What uint8

const (
	Begun      What = iota // the connection is there: the first event
	Enough                 // the time of -for is over: Text says so
	Queued                 // N bytes are to be sent: from the input, or an answer
	InputEnded             // no more comes to be sent
	Taken                  // the socket took N of the bytes queued
	Held                   // of those, N lie with the system now: the peer has not got them
	Read                   // a message of N bytes came, or as many bytes of a stream
	Shown                  // stdout took what was made of it
	Moved                  // something did, at At, which no other event tells: a part of a message
	Matched                // what is Read, and to be Shown, matches -expect
	SendFailed             // nothing more can be sent: Text says why
	Said                   // our end went out
	PeerEnded              // the peer's end was seen; after it, nothing is read
	Cut                    // we are told to stop: Exit and Text say why
	Tick                   // time passed
)

// An Event is a thing that happened.
type Event struct {
	What What
	N    int64
	At   time.Time // Moved: zero: now
	Gone bool      // PeerEnded: it takes nothing more either
	Torn bool      // PeerEnded: what came may be cut
	Exit int       // PeerEnded, Cut: the code for it, 0: what the rule says
	Text string    // why
}

// A Step is what is to be done now.
type Step struct {
	Say   bool      // say our end: FIN, close_notify; a Close with code 1000
	Away  bool      // with Say: because we are cut short, code 1001
	Over  bool      // close the connection: Outcome tells how it went
	Watch bool      // look at what the system holds before long, and tell
	Wake  time.Time // tell a Tick then; zero: there is nothing to wait for
}

// A Conversation is how far one has come. Its methods are for one goroutine at a
// time.
type Conversation struct {
	Rules

	moved         time.Time // the last progress
	enoughSince   time.Time // when -count, -expect or -for were met
	enoughWhy     string
	cutSince      time.Time
	queued, taken int64
	held          int64 // of taken
	read, shown   int64
	messages      int64
	inputEnded    bool
	said          bool
	matched       bool
	met           bool // -count or -expect were: a success whatever follows
	over          bool
	peer, cut     *Event // nil: has not happened
	sendFailed    string
	gaveUp        time.Duration // for how long nothing had moved; 0: we did not
}

// Tell tells what happened at now, which never goes back, and returns what is to
// be done. After Over it returns the same for ever.
func (c *Conversation) Tell(now time.Time, ev Event) Step {
	if !c.over || ev.What == Queued || ev.What == Taken { // what was under way may have arrived
		c.note(now, ev)
	}
	s := Step{Over: c.over}
	for !s.Over && c.decide(now, &s) {
	}
	c.over = s.Over
	return s
}

func (c *Conversation) note(now time.Time, ev Event) {
	progress := true
	switch ev.What {
	case Enough:
		progress = false
		c.enough(now, ev.Text)
	case Queued:
		c.queued += ev.N
	case InputEnded:
		c.inputEnded = true
	case Taken:
		c.taken += ev.N
	case Held:
		progress = ev.N < c.held
		c.held = ev.N
	case Read:
		c.read += ev.N
	case Shown:
		c.shown += ev.N
		c.messages++
		if !c.met && (c.Count > 0 && c.messages >= c.Count || c.Count == 0 && c.matched) {
			c.met = true
			c.enough(now, "")
		}
	case Moved:
		if progress = ev.At.IsZero(); ev.At.After(c.moved) {
			c.moved = ev.At
		}
	case Matched:
		c.matched = true
	case SendFailed:
		c.sendFailed = ev.Text
	case Said:
		c.said = true
	case PeerEnded:
		if c.peer == nil || ev.Gone && !c.peer.Gone { // after its end it may still break off
			ev.Torn = ev.Torn || c.peer != nil && c.peer.Torn
			c.peer = &ev
		}
	case Cut:
		progress = false
		if c.cut == nil && !c.met {
			c.cut, c.cutSince = &ev, now
		}
	case Tick:
		progress = false
	}
	if progress {
		c.moved = now
	}
}

func (c *Conversation) enough(now time.Time, why string) {
	if c.enoughSince.IsZero() {
		c.enoughSince, c.enoughWhy = now, why
	}
}

// wants says whether something was asked for that has not come.
func (c *Conversation) wants() bool { return !c.met && (c.Count > 0 || c.Expect) }

// owed is what the peer has not got of what we had to send.
func (c *Conversation) owed() int64 { return c.queued - c.taken + min(c.held, c.taken) }

// sentAll says whether nothing is left to be given to the system.
func (c *Conversation) sentAll() bool {
	return c.queued == c.taken && (c.inputEnded || c.Hold && c.peer != nil)
}

// decide adds to s what is to be done at now. It returns true when it found that
// time had changed something, and is to be asked again.
func (c *Conversation) decide(now time.Time, s *Step) (again bool) {
	switch {
	case c.peer != nil && c.peer.Gone:
		s.Over = true
	case c.cut != nil:
		c.leave(now, s, c.cutSince.Add(CutTime))
		s.Away = s.Say
	case !c.enoughSince.IsZero():
		c.leave(now, s, c.enoughSince.Add(MetTime))
		s.Over = s.Over || c.Kind != Message && c.owed() == 0
	case c.sendFailed != "":
		s.Over = c.peer != nil || c.expired(now, s, FailTime)
	case c.peer != nil && c.sentAll() && (c.said || c.KeepOpen):
		s.Watch = c.held > 0
		s.Over = !s.Watch || c.expired(now, s, c.Stall)
	case c.peer != nil && !c.sentAll() && c.queued == c.taken:
		// It has ended, our input goes on and brings nothing: nc would wait for ever.
		if c.inputEnded = c.expired(now, s, c.Stall); c.inputEnded {
			c.gaveUp = 0
			return true
		}
	case c.said, c.sentAll():
		c.tail(now, s)
	case c.queued > c.taken:
		s.Over = c.expired(now, s, c.Stall)
	}
	return false
}

// leave ends what must not last beyond until. Of a WebSocket that is at once: what
// still waits to be sent would hold up the Close.
func (c *Conversation) leave(now time.Time, s *Step, until time.Time) {
	sent := c.queued == c.taken
	s.Say = !c.said && (c.Kind == Message || c.Kind == Stream && sent && !c.KeepOpen)
	s.Over = !now.Before(until) || c.Kind == Datagram || c.peer != nil && c.owed() == 0
	s.Watch = c.held > 0
	s.wake(until)
}

// tail is what follows when all is sent: our end, and then the peer's.
func (c *Conversation) tail(now time.Time, s *Step) {
	if s.Say = !c.said && c.Kind == Stream && !c.KeepOpen; s.Say {
		return
	}
	s.Watch = c.held > 0
	limit, waits := c.Linger, c.shown < c.read || s.Watch && (c.said || c.Kind != Message) // a Close can wait behind the rest
	switch {
	case waits:
		limit = c.Stall // a printer pauses, a page is read: that is no silence of the peer's
	case c.wants():
		limit = Forever
	case c.said && c.Kind == Message:
		limit = CloseTime
	}
	if c.expired(now, s, limit) {
		s.Over = waits || c.said || c.Kind == Datagram || c.KeepOpen
		s.Say = !s.Over
	}
}

// expired says whether nothing has moved for so long, and else has s wait for it.
func (c *Conversation) expired(now time.Time, s *Step, limit time.Duration) bool {
	if limit == Forever {
		return false
	}
	if now.Before(c.moved.Add(limit)) {
		s.wake(c.moved.Add(limit))
		return false
	}
	c.gaveUp = limit
	return true
}

func (s *Step) wake(at time.Time) {
	if s.Wake.IsZero() || at.Before(s.Wake) {
		s.Wake = at
	}
}

// An Outcome is how a conversation went: an exit code, and the line for it.
type Outcome struct {
	Exit int
	Text string
}

// Outcome tells how it went, once it is over.
func (c *Conversation) Outcome() Outcome {
	lost := c.owed()
	switch {
	case c.met:
		return c.wanted()
	case c.cut != nil:
		return Outcome{c.cut.Exit, c.line(c.cut.Text, fmt.Sprintf("messages received: %d", c.messages))}
	case c.peer != nil && c.peer.Exit != 0:
		return Outcome{c.peer.Exit, c.line(c.peer.Text)}
	case lost > 0:
		return Outcome{cli.ExitSend, c.line(c.why("the peer took nothing"))}
	case c.sendFailed != "":
		return Outcome{cli.ExitSend, fmt.Sprintf("%s: bytes sent: %d, and it may not have got them all", c.sendFailed, c.taken)}
	case c.shown < c.read:
		return Outcome{cli.ExitReceive, c.line(c.why("stdout took nothing"))}
	case c.peer != nil && c.peer.Torn:
		return Outcome{cli.ExitReceive, c.line(c.peer.Text, fmt.Sprintf("bytes received: %d", c.read))}
	case c.wants():
		return c.wanted()
	case c.peer == nil && c.said && c.gaveUp > 0:
		what := "the peer did not end"
		if c.Kind == Message {
			what = "the close frame was not answered"
		}
		return Outcome{cli.ExitTimeout, fmt.Sprintf("%s: nothing came for %v, bytes sent: %d, received: %d", what, c.gaveUp, c.taken, c.read)}
	}
	return Outcome{}
}

// wanted is the outcome for -count and -expect.
func (c *Conversation) wanted() Outcome {
	switch {
	case c.messages < c.Count:
		return Outcome{cli.ExitExpect, fmt.Sprintf("messages received: %d, expected: %d", c.messages, c.Count)}
	case c.Expect && !c.matched:
		return Outcome{cli.ExitExpect, fmt.Sprintf("none of %d messages matches -expect", c.messages)}
	}
	return Outcome{}
}

// why is what ended it: the peer, an error, or that nothing moved.
func (c *Conversation) why(stalled string) string {
	switch {
	case c.sendFailed != "":
		return c.sendFailed
	case c.gaveUp > 0:
		return fmt.Sprintf("%s for %v", stalled, c.gaveUp)
	case c.enoughWhy != "":
		return c.enoughWhy
	case c.peer != nil && c.peer.Text != "":
		return c.peer.Text
	}
	return "the connection ended"
}

// line joins what there is to say, with the bytes that are lost.
func (c *Conversation) line(parts ...string) string {
	if lost := c.owed(); lost > 0 {
		more := ""
		if !c.inputEnded && !c.Hold {
			more = " and the rest of the input"
		}
		parts = append(parts, fmt.Sprintf("not delivered: %d of %d bytes%s", lost, c.queued, more))
	}
	if lost := c.read - c.shown; lost > 0 {
		parts = append(parts, fmt.Sprintf("not written: %d of %d bytes received", lost, c.read))
	}
	return strings.Join(parts, ", ")
}

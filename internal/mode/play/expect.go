package play

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/talkfile"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// What is expected is looked for in the head: the message that came first, or all of a
// loose stream that came and was not expected before.

const (
	maxPart  = 1 << 20 // bytes of a loose stream that are held for an expression
	maxShown = 200     // bytes of a payload in a report
)

func isExpectation(s *talkfile.Step) bool {
	return isEnd(s) || s.Verb == talkfile.Expect || s.Verb == talkfile.Match
}

// isEnd reports whether s expects one of the ends.
func isEnd(s *talkfile.Step) bool {
	return s.Verb == talkfile.WantClose || s.Verb == talkfile.WantEnd || s.Verb == talkfile.WantReset
}

// more makes the next message the head, unless there is one, or adds to a loose stream,
// up to limit bytes. It reports whether something came.
func (c *conversation) more(limit int) (grew bool) {
	for !c.have || c.loose && len(c.head.data) < limit {
		it, ok := c.in.take()
		if !ok {
			break
		}
		if c.loose && c.have {
			it.data = append(c.head.data, it.data...)
		}
		it.data = c.line(it.data)
		c.head, c.have, grew = it, true, true
	}
	return grew
}

// line is p without the CR that does not belong to a line.
func (c *conversation) line(p []byte) []byte {
	if c.framing.Kind == linesrv.KindLine && !c.framing.KeepCR {
		return bytes.TrimSuffix(p, []byte{'\r'})
	}
	return p
}

// drop takes the message out of the head, or n bytes of a loose stream.
func (c *conversation) drop(n int) {
	if c.loose && n < len(c.head.data) {
		c.head.data = c.head.data[n:]
		return
	}
	c.head, c.have = item{}, false
}

// find returns what the groups of s captured in data, and how much of data ends with the
// match; nil: there is none. In a loose stream ^ and $ are ends of lines, too, and where it
// is to begin the match has to.
func find(s *talkfile.Step, data []byte, loose, begin bool) (captured [][]byte, n int) {
	re, chars := s.RE, s.Chars(data)
	if loose {
		re = s.Lines
	}
	at := re.FindSubmatchIndex(chars)
	if at == nil || loose && begin && at[0] > 0 {
		return nil, 0
	}
	for i := 0; i < len(at); i += 2 {
		var group []byte
		if at[i] >= 0 {
			group = bytes.Clone(s.FromChars(chars[at[i]:at[i+1]]))
		}
		captured = append(captured, group)
	}
	return captured, len(s.FromChars(chars[:at[1]]))
}

// An unmet is an expectation that was not.
type unmet struct {
	what string
	came string
	err  error // why no more comes; nil: it might
}

func (u *unmet) Error() string { return u.what + ", but " + u.came }
func (u *unmet) Unwrap() error { return u.err }

// expect waits until s is met, as long as it may take.
func (c *conversation) expect(s *talkfile.Step) error {
	allowed := c.allowed
	if c.within > 0 {
		allowed = c.within
	}
	c.within, c.by = 0, time.Now().Add(allowed)
	if by := c.due.Add(allowed); by.After(c.by) {
		c.by = by
	}
	for {
		met, err := c.look(s)
		switch {
		case met:
			return nil
		case err != nil:
			return err
		case !time.Now().Before(c.by):
			return &unmet{what: "expected " + short(s) + " within " + cli.FormatDuration(allowed), came: c.instead()}
		}
		if err := c.pause(c.by, true); err != nil {
			return err
		}
	}
}

// How the head fits what is expected.
const (
	no      = iota
	perhaps // it may be the beginning of it
	yes
)

// look looks at what came, until it is what s expects, or something else that is not for
// what goes on beside, or nothing more is there.
func (c *conversation) look(s *talkfile.Step) (met bool, err error) {
	want := s.Payload.Bytes(c.captured)
	for first := true; time.Now().Before(c.by); {
		grew := c.more(max(maxPart, len(want)))
		switch {
		case !c.have:
			return c.atEnd(s)
		case c.head.isControl() && c.head.kind != s.Kind:
			c.have = false
			continue
		case !grew && !first:
			return c.atEnd(s)
		}
		first = false
		how, n := c.fit(s, want)
		if how == yes {
			c.late(c.head.at)
			c.drop(n)
			return true, nil
		}
		switch done, err := c.answerHead(); {
		case err != nil:
			return false, err
		case done:
			first = true
		case how == perhaps, c.loose && len(c.ons) > 0 && len(c.head.data) < maxPart:
		default:
			return false, &unmet{what: "expected " + short(s), came: c.instead() + c.difference(s, want)}
		}
	}
	return false, nil
}

// fit tells how the head fits s, and how much of a loose stream does.
func (c *conversation) fit(s *talkfile.Step, want []byte) (how, n int) {
	data := c.head.data
	switch {
	case isEnd(s):
		return no, 0
	case s.Verb == talkfile.Match:
		captured, n := find(s, data, c.loose, false)
		switch {
		case captured != nil:
			c.captured = captured
			return yes, n
		case c.loose && len(data) >= maxPart:
			c.drop(maxPart / 2)
		}
		if c.loose {
			return perhaps, 0
		}
	case c.loose && bytes.HasPrefix(data, want):
		return yes, len(want)
	case c.loose && bytes.HasPrefix(want, data):
		return perhaps, 0
	case !c.loose && bytes.Equal(data, c.line(want)) && (c.head.kind == s.Kind || !c.isWebSocket()):
		return yes, 0
	}
	return no, 0
}

// atEnd looks whether the connection is over: that is expected, or nothing else can come.
func (c *conversation) atEnd(s *talkfile.Step) (met bool, err error) {
	over := c.in.ended()
	if over == nil {
		return false, nil
	}
	if c.more(len(c.head.data) + 1) {
		return c.look(s) // it came meanwhile
	}
	closed, isClose := errors.AsType[*wsproto.CloseError](over)
	switch {
	case c.have:
	case s.Verb == talkfile.WantEnd && (over == io.EOF || isClose),
		s.Verb == talkfile.WantReset && isReset(over),
		s.Verb == talkfile.WantClose && isClose && (s.Code == 0 || s.Code == int(closed.Code)):
		c.late(time.Now())
		return true, nil
	}
	u := &unmet{what: "expected " + short(s), came: endWords(over), err: over}
	if c.have {
		u.came += "; " + c.instead()
	}
	return false, u
}

// short is the line of s, without what is too much of it.
func short(s *talkfile.Step) string { return event.Field(s.Head()) }

// instead says what came.
func (c *conversation) instead() string {
	if !c.have {
		return "nothing came"
	}
	kind := ""
	if c.isWebSocket() {
		kind = [...]string{"text ", "binary ", "ping ", "pong "}[c.head.kind]
	}
	return "there came " + kind + talkfile.Shown(c.head.data, maxShown)
}

// difference says where the head begins to be something else than want.
func (c *conversation) difference(s *talkfile.Step, want []byte) string {
	data := c.head.data
	if s.Verb != talkfile.Expect || c.isWebSocket() && c.head.kind != s.Kind {
		return ""
	}
	n := 0
	for n < len(data) && n < len(want) && data[n] == want[n] {
		n++
	}
	return fmt.Sprintf(", different from byte %d on", n+1)
}

// endWords says how a connection ended.
func endWords(err error) string {
	closed, ok := errors.AsType[*wsproto.CloseError](err)
	switch {
	case ok && closed.Code == wsproto.StatusNoStatusReceived:
		return "the peer closed without a code"
	case ok:
		return fmt.Sprintf("the peer closed with %d %s", closed.Code, closed.Reason)
	case err == io.EOF:
		return "the peer ended its side"
	case isReset(err):
		return "the peer cut the connection"
	}
	return cli.ErrorText(err)
}

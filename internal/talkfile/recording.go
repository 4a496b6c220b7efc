package talkfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// RecordingOptions say what is taken of a recording.
type RecordingOptions struct {
	Server bool // the side of the one that was connected to
	Client int  // number of the connection; negative: the first one that has a message
}

// maxLine is the longest line of a recording: a message of 64 MiB in base64.
const maxLine = 96 << 20

// A Recording is one connection of a file that -record wrote, as steps. It reads as it
// goes, and holds a line at a time.
type Recording struct {
	Proto string // of the connection, as in its events

	r      *bufio.Reader
	opt    RecordingOptions
	line   int
	server bool // the recorder was the server
	key    connection
	opened map[connection]time.Time
	last   time.Time // of the event before
	ended  [2]bool   // the other side is over, and ours
	steps  []Step    // read and not handed out
	given  int
	err    error
}

// A connection is what tells the events of one from those of others.
type connection struct {
	proto  string
	client int
	peer   string // of datagrams that have no number
}

// NewRecording reads up to the first message of the connection. The error is an *Error
// where the file is none that can be played.
func NewRecording(r io.Reader, opt RecordingOptions) (*Recording, error) {
	rec := &Recording{r: bufio.NewReaderSize(r, 64<<10), opt: opt, opened: map[connection]time.Time{}}
	for rec.Proto == "" && rec.err == nil {
		rec.read()
	}
	if rec.err == io.EOF && rec.Proto == "" {
		what := "no connection with a message"
		if opt.Client >= 0 {
			what = fmt.Sprintf("no connection %d with a message", opt.Client)
		}
		return nil, &Error{max(rec.line, 1), 0, errors.New(what)}
	}
	if rec.Proto == "" {
		return nil, rec.err
	}
	return rec, nil
}

// Next returns the next step, valid until the next call, or io.EOF.
func (r *Recording) Next() (*Step, error) {
	for r.given == len(r.steps) {
		if r.err != nil {
			return nil, r.err
		}
		r.steps, r.given = r.steps[:0], 0
		r.read()
	}
	r.given++
	return &r.steps[r.given-1], nil
}

// read reads a line and adds the steps it makes.
func (r *Recording) read() {
	line, err := r.readLine()
	if len(bytes.TrimSpace(line)) == 0 {
		r.err = err
		return
	}
	e, perr := event.Parse(line)
	switch {
	case perr != nil && err == io.EOF && r.line > 1: // whoever wrote it was stopped in the middle
		r.err = io.EOF
	case perr != nil:
		r.err = &Error{r.line, 0, perr}
	default:
		if r.err = err; r.mine(&e) {
			r.add(&e)
		}
	}
}

func (r *Recording) readLine() (line []byte, err error) {
	r.line++
	for {
		part, err := r.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, &Error{r.line, 0, fmt.Errorf("more than %d bytes", maxLine)}
		case err != bufio.ErrBufferFull:
			return line, err
		}
	}
}

// mine reports whether e is of the connection that is taken, which the first message
// chooses where no number does.
func (r *Recording) mine(e *event.Event) bool {
	key := connection{proto: e.Proto, client: e.Client}
	switch e.Event {
	case event.Listening:
		r.server = true
		return false
	case event.Open:
		r.server = r.server || e.Dir != event.Out
		if len(r.opened) < 1<<16 {
			r.opened[key] = e.Time
		}
		return false
	case event.Message, event.Ping:
		if e.Client < 0 && r.server {
			key.peer = e.Peer
		}
		if r.Proto == "" && (r.opt.Client < 0 || r.opt.Client == e.Client) {
			r.Proto, r.key, r.last = e.Proto, key, e.Time
			if at, ok := r.opened[key]; ok {
				r.last = at
			}
			r.opened = nil
		}
		return r.Proto != "" && key == r.key
	case event.End, event.Close:
		return r.Proto != "" && key == r.key
	}
	return false
}

// isOurs reports whether the side that is taken did e.
func (r *Recording) isOurs(e *event.Event) bool {
	return (e.Dir == event.Out) == (r.opt.Server == r.server)
}

// add adds the steps of e.
func (r *Recording) add(e *event.Event) {
	if gap := e.Time.Sub(r.last); gap > 0 && !e.Time.IsZero() {
		r.steps = append(r.steps, Step{Line: r.line, Verb: Wait, D: gap})
		r.last = e.Time
	}
	ours := r.isOurs(e)
	step := Step{Line: r.line, Verb: Expect, Payload: literal(e.Payload)}
	if ours {
		step.Verb = Send
	}
	switch {
	case e.Event == event.Close:
		r.end(e)
		r.err = io.EOF
		return
	case e.Event == event.End && ours:
		r.ended[1] = true
		step = Step{Line: r.line, Verb: End}
	case e.Event == event.End:
		r.ended[0] = true
		step = Step{Line: r.line, Verb: WantEnd}
	case e.Size > int64(len(e.Payload)):
		r.err = &Error{r.line, 0, fmt.Errorf("only %d of %d bytes of this message were kept", len(e.Payload), e.Size)}
		return
	case e.Event == event.Ping && !ours:
		return // it comes when it comes, and is answered
	case e.Event == event.Ping:
		step.Kind = Ping
	case e.Opcode == "binary" || e.Opcode == "" && !event.IsPrintable(e.Payload):
		step.Kind = Binary
	}
	r.steps = append(r.steps, step)
}

// end adds how the connection ended. Where it is not known who began, both say their
// end and want the other's, which fits with whatever a peer does.
func (r *Recording) end(e *event.Event) {
	of := func(steps ...Step) {
		for _, s := range steps {
			s.Line = r.line
			r.steps = append(r.steps, s)
		}
	}
	code, reset := wsproto.StatusCode(e.Code), strings.Contains(e.Err, "reset by peer")
	switch {
	case reset && r.isOurs(e):
		of(Step{Verb: Reset})
	case reset:
		of(Step{Verb: WantReset})
	case e.Proto == "udp":
	case e.Code != 0 && e.Err == "" && code.CanSend():
		of(Step{Verb: Close, Code: e.Code, Reason: e.Reason}, Step{Verb: WantClose, Code: e.Code})
	case code == wsproto.StatusNoStatusReceived:
		of(Step{Verb: Close}, Step{Verb: WantClose})
	default:
		if !r.ended[1] {
			of(Step{Verb: End})
		}
		if !r.ended[0] {
			of(Step{Verb: WantEnd})
		}
	}
}

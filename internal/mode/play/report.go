package play

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
	"socketsrv/internal/judge"
	"socketsrv/internal/talkfile"
	"socketsrv/wsproto"
)

// A report is what was met and what was not: a line of TAP for each, and JUnit at the
// end.
type report struct {
	junit string // file; "": none

	mu      sync.Mutex
	begun   bool
	n       int
	failed  int
	results []judge.Result
}

const maxResults = 100000 // that JUnit gets

// begin is the first line.
func (r *report) begin(con *cli.Console, json bool) {
	if r.begun = true; !json {
		con.Write([]byte("TAP version 13\n"))
	}
}

// end is the last line, and the file of JUnit.
func (r *report) end(con *cli.Console, json bool) error {
	if !r.begun {
		return nil
	}
	if !json {
		con.Write(fmt.Appendf(nil, "1..%d\n", r.n))
	}
	if r.junit == "" {
		return nil
	}
	f, err := os.Create(r.junit)
	if err == nil {
		err = errors.Join(judge.WriteJUnit(f, r.results), f.Close())
	}
	if err != nil {
		return cli.Fail(cli.ExitWrite, err)
	}
	return nil
}

// report notes how a step came out, or with none the conversation.
func (c *conversation) report(s *talkfile.Step, began time.Time, err error) {
	res := judge.Result{Case: judge.Case{ID: c.title + "to its end", Title: event.Field(c.file)}, Agent: filepath.Base(c.file),
		Duration: time.Since(began)}
	if s != nil {
		res.ID, res.Title = fmt.Sprintf("%sline %d", c.title, s.Line), short(s)
	}
	at := time.Since(c.began)
	if err != nil {
		res.Behavior = judge.Failed
		res.Finding = fmt.Sprintf("%s, %.1f ms after the beginning", event.Cut(cli.ErrorText(err), 4*maxShown), float64(at.Microseconds())/1000)
	}
	r := &c.play.report
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n++; err != nil {
		r.failed++
	}
	if r.junit != "" && len(r.results) < maxResults {
		r.results = append(r.results, res)
	}
	if !c.output.JSON {
		c.con.Write(res.AppendTAP(nil, r.n))
		return
	}
	c.con.Event(event.Event{Event: "check", Proto: c.proto, Client: c.who.Client, Err: res.Finding,
		Fields: []event.Data{event.Text("name", res.ID+": "+res.Title), event.Float("ms", float64(at.Microseconds())/1000)}})
}

// failure is err with what the program exits with, and where in the file it came up.
func (c *conversation) failure(s *talkfile.Step, err error) error {
	code := cli.ExitCode(err)
	u, ok := errors.AsType[*unmet](err)
	switch {
	case ok && !cli.As[*wsproto.ProtocolError](u.err):
		code = cli.ExitExpect
	case ok:
		code = cli.ExitProtocol
	}
	return cli.Fail(code, fmt.Errorf("%s:%d: %w", cli.Field(c.file), s.Line, err))
}

// came makes an event of what came, went of what was sent.
func (c *conversation) came(it item) {
	e := event.OfFrame(c.who, true, c.opcode(it.kind), it.data)
	c.con.Event(e)
	if c.output.Verbose {
		c.con.Detail("%s< %s", c.title, talkfile.Shown(it.data, maxShown))
	}
}

func (c *conversation) went(s *talkfile.Step, p []byte) {
	if s.Kind == talkfile.Ping || s.Kind == talkfile.Pong {
		return // Tap saw it
	}
	kind := s.Kind
	if s.Verb == talkfile.Raw {
		kind = talkfile.Binary
	}
	c.con.Event(event.OfFrame(c.who, false, c.opcode(kind), p))
	if c.output.Verbose {
		c.con.Detail("%s> %s", c.title, talkfile.Shown(p, maxShown))
	}
}

// ended makes an event of one side's end, where a connection has sides.
func (c *conversation) ended(dir string) {
	if _, ok := c.wire.(*stream); !ok {
		return
	}
	e := c.who
	e.Event, e.Dir = event.End, dir
	c.con.Event(e)
	c.con.Detail("%s%c end", c.title, map[string]rune{event.In: '<', event.Out: '>'}[dir])
}

// opcode is the type of a message in an event.
func (c *conversation) opcode(kind talkfile.Kind) string {
	switch {
	case !c.isWebSocket():
		return ""
	case kind == talkfile.Binary:
		return "binary"
	}
	return "text"
}

// Package talkfile is conversations written down: the language of talk files, and
// recordings as the same steps. It does no I/O but reading the recording it is given.
//
// Parse (parse.go) makes a Talk of a file, Append (print.go) a file of steps; parsed and
// printed again it is the same. A Cursor hands out the steps of a Talk one after another,
// repeats unrolled; a Recording (recording.go) hands out those of a file of -record, for
// either side of it. Begin reading with Step. What the steps mean to somebody who writes
// them is in doc/formats.md.
package talkfile

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"time"
)

// A Verb is what is done in a step.
type Verb uint8

const (
	Send      Verb = iota // > a message, of Kind
	Expect                // < a message, of Kind
	Match                 // <~ a message that Expr matches
	Wait                  // D
	Within                // D, for the next expectation
	Close                 // a WebSocket by Code and Reason; 0: by none. Anything else: hang up
	WantClose             // < a Close frame; Code 0: with any code
	End                   // say the end of our side
	WantEnd               // < the end of the peer's side
	Reset
	WantReset
	Raw    // Payload goes out below the framing
	Split  // what follows goes out in pieces of N bytes, D between two; N 0: whole
	On     // from here on: Body after each message that Expr matches
	Every  // from here on: Body every D
	Repeat // Body, N times
)

// A Kind is the type of a message.
type Kind uint8

const (
	Text   Kind = iota
	Binary      // written as BYTES
	Ping
	Pong
)

// A Step is a line of a conversation, or a block of lines. Those of its fields that a
// Verb does not name are zero.
type Step struct {
	Line, Column int // in the file, from 1; the column of a recording is 0
	Verb         Verb

	Kind    Kind
	Payload Payload
	Expr    string // RE2
	Bytes   bool   // Expr looks at bytes, each one a character
	Code    int
	Reason  string
	N       int
	D       time.Duration
	Body    []Step

	RE, Lines *regexp.Regexp // of Expr, for messages, and for streams: ^ and $ at each end of a line
}

// A Payload is what is sent or expected: bytes, and places for what was captured.
type Payload []Piece

// A Piece is Bytes, or where those are nil what group Group of the last match captured.
type Piece struct {
	Bytes []byte
	Group int
}

// Bytes is p with captures in their places.
func (p Payload) Bytes(captured [][]byte) []byte {
	if len(p) == 1 && p[0].Bytes != nil {
		return p[0].Bytes
	}
	b := []byte{}
	for _, piece := range p {
		switch {
		case piece.Bytes != nil:
			b = append(b, piece.Bytes...)
		case piece.Group < len(captured):
			b = append(b, captured[piece.Group]...)
		}
	}
	return b
}

// literal is a Payload without captures.
func literal(b []byte) Payload {
	if len(b) == 0 {
		return nil
	}
	return Payload{{Bytes: b}}
}

// Chars is data as an expression sees it: each byte a character where it is one over
// bytes.
func (s *Step) Chars(data []byte) []byte {
	if !s.Bytes {
		return data
	}
	chars := make([]byte, 0, len(data)+len(data)/2)
	for _, c := range data {
		chars = append(chars, string(rune(c))...)
	}
	return chars
}

// FromChars is what Chars made chars of.
func (s *Step) FromChars(chars []byte) []byte {
	if !s.Bytes {
		return chars
	}
	data := []byte{}
	for _, r := range string(chars) {
		data = append(data, byte(r))
	}
	return data
}

// An Error is a mistake in a file, or what cannot be played of it.
type Error struct {
	Line, Column int // from 1, the column in characters; 0: all of the line
	Err          error
}

func (e *Error) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%d: %v", e.Line, e.Err)
	}
	return strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column) + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// A Talk is a whole file.
type Talk []Step

// A Cursor goes through a Talk.
type Cursor struct{ stack []frame }

type frame struct {
	steps []Step
	next  int
	left  int // times that steps are to come after this one
}

// Cursor begins at the first step.
func (t Talk) Cursor() *Cursor { return &Cursor{[]frame{{steps: t}}} }

// Next returns the next step, which is no Repeat, or io.EOF.
func (c *Cursor) Next() (*Step, error) {
	for len(c.stack) > 0 {
		f := &c.stack[len(c.stack)-1]
		switch {
		case f.next == len(f.steps) && f.left > 0:
			f.next, f.left = 0, f.left-1
		case f.next == len(f.steps):
			c.stack = c.stack[:len(c.stack)-1]
		default:
			s := &f.steps[f.next]
			if f.next++; s.Verb != Repeat {
				return s, nil
			}
			c.stack = append(c.stack, frame{steps: s.Body, left: s.N - 1})
		}
	}
	return nil, io.EOF
}

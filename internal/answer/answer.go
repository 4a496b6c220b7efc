// Package answer makes what goes back by itself: a text (-reply), or what a program
// prints (-exec, -sh-exec). It is the only package that starts programs.
package answer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"unicode/utf8"

	"socketsrv/internal/cli"
	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// An Answerer makes the answers of -reply and -exec.
type Answerer struct {
	text    string
	Fixed   bool // -reply was given
	Program Exec
}

func (a *Answerer) Flags(fs *cli.Flags) {
	fs.Func("reply", "TEXT", "Answers each message by TEXT, in which {} is the message.", func(s string) error {
		if !utf8.ValidString(s) {
			return errors.New("want UTF-8")
		}
		a.text, a.Fixed = s, true
		return nil
	})
	a.Program.Flags(fs, "Answers each message by what CMD prints; the message is its stdin.")
	fs.Check(func() error {
		if a.Fixed && a.Program.Given() {
			return cli.Usagef("-reply and -exec exclude each other")
		}
		return nil
	})
}

func (a *Answerer) Answers() bool { return a.Fixed || a.Program.Given() }

// ErrNoAnswer says that a program printed nothing.
var ErrNoAnswer = errors.New("no answer")

// Unescape reads the escapes in the text of -reply.
func (a *Answerer) Unescape() error {
	text, err := linesrv.ParseEscapes(a.text)
	a.text = string(text)
	return err
}

// Answer returns the answer to m, of the same type if it can be, at most limit
// bytes of what a program prints. env is for the program, nc the client's connection,
// nil where there is none: see Exec.Run.
func (a *Answerer) Answer(ctx context.Context, nc net.Conn, m wsproto.Message, limit int64, env ...string) (wsproto.Message, error) {
	if a.text == "{}" {
		return m, nil
	}
	out := []byte(nil)
	if a.Fixed {
		out = bytes.ReplaceAll([]byte(a.text), []byte("{}"), m.Data)
	} else {
		var err error
		out, err = a.Program.Run(ctx, nc, m.Data, limit, append(env, "SOCKETSRV_OPCODE="+cli.OpcodeName(m.Opcode))...)
		switch {
		case err == errGone:
			return m, ErrNoAnswer
		case err != nil:
			return m, fmt.Errorf("not answered: %w", err)
		case len(out) == 0:
			return m, ErrNoAnswer
		}
	}
	if m.Opcode == wsproto.OpText && !utf8.Valid(out) {
		m.Opcode = wsproto.OpBinary
	}
	m.Data = out
	return m, nil
}

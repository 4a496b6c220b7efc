package mode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"socketsrv/wsproto"
)

// An answerer makes the answers of -reply and -exec.
type answerer struct {
	text    string
	fixed   bool // -reply was given
	program answerProgram
}

func (a *answerer) flags(fs *Flags) {
	fs.Func("reply", "TEXT", "answer each message so; {} is the message", func(s string) error {
		if !utf8.ValidString(s) {
			return errors.New("want UTF-8")
		}
		a.text, a.fixed = s, true
		return nil
	})
	a.program.flags(fs, "answer each by what CMD makes of it")
	fs.Check(func() error {
		if a.fixed && a.program.given() {
			return Usagef("-reply and -exec exclude each other")
		}
		return nil
	})
}

func (a *answerer) answers() bool { return a.fixed || a.program.given() }

// errNoAnswer says that a program printed nothing.
var errNoAnswer = errors.New("no answer")

// answer returns the answer to m, of the same type if it can be, at most limit
// bytes of what a program prints. env is for the program.
func (a *answerer) answer(ctx context.Context, m wsproto.Message, limit int64, env ...string) (wsproto.Message, error) {
	switch {
	case a.text == "{}":
		return m, nil
	case a.fixed:
		m.Data = bytes.ReplaceAll([]byte(a.text), []byte("{}"), m.Data)
		return m, nil
	}
	out, err := a.program.run(ctx, m.Data, limit, append(env, "SOCKETSRV_OPCODE="+opcodeName(m.Opcode))...)
	switch {
	case err != nil:
		return m, fmt.Errorf("not answered: %w", err)
	case len(out) == 0:
		return m, errNoAnswer
	case m.Opcode == wsproto.OpText && !utf8.Valid(out):
		m.Opcode = wsproto.OpBinary
	}
	m.Data = out
	return m, nil
}

// A boundedBuffer takes limit bytes. It has no ReadFrom, as a bytes.Buffer has,
// that would take more.
type boundedBuffer struct {
	b      []byte
	limit  int64
	beyond bool // there was more
}

func (b *boundedBuffer) Bytes() []byte { return b.b }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if int64(len(b.b)+len(p)) > b.limit {
		b.beyond = true
		return 0, errors.New("too much")
	}
	b.b = append(b.b, p...)
	return len(p), nil
}

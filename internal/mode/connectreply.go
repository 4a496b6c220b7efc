package mode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
	"unicode/utf8"

	"socketsrv/wsproto"
)

// An answerer makes the answers of -reply and -exec.
type answerer struct {
	text    string
	fixed   bool // -reply was given
	command string
}

func (a *answerer) flags(fs *Flags) {
	fs.Func("reply", "TEXT", "answer each message so; {} is the message", func(s string) error {
		if !utf8.ValidString(s) {
			return errors.New("want UTF-8")
		}
		a.text, a.fixed = s, true
		return nil
	})
	fs.String(&a.command, "exec", "CMD", "answer each by what CMD, run without a shell, makes of it")
}

func (a *answerer) check() error {
	if a.fixed && a.command != "" {
		return Usagef("-reply and -exec exclude each other")
	}
	if a.command != "" {
		if _, err := splitWords(a.command); err != nil {
			return Usagef("-exec: %v", err)
		}
	}
	return nil
}

func (a *answerer) answers() bool { return a.fixed || a.command != "" }

// errNoAnswer says that a program printed nothing.
var errNoAnswer = errors.New("no answer")

// answer returns the answer to m, of the same type if it can be. A program prints
// its errors to stderr.
func (a *answerer) answer(ctx context.Context, m wsproto.Message, limit int64, stderr io.Writer) (wsproto.Message, error) {
	switch {
	case a.text == "{}":
		return m, nil
	case a.fixed:
		m.Data = bytes.ReplaceAll([]byte(a.text), []byte("{}"), m.Data)
		return m, nil
	}
	out, err := runProgram(ctx, a.command, m, limit, stderr)
	switch {
	case err != nil:
		return m, fmt.Errorf("-exec: %w", err)
	case len(out) == 0:
		return m, errNoAnswer
	case m.Opcode == wsproto.OpText && !utf8.Valid(out):
		m.Opcode = wsproto.OpBinary
	}
	m.Data = out
	return m, nil
}

// programTime is what a program may take for one message.
const programTime = 30 * time.Second

// runProgram runs command with m on its stdin and m's type in SOCKETSRV_OPCODE,
// and returns what it prints, limit bytes at most. What it has started ends with
// it.
func runProgram(ctx context.Context, command string, m wsproto.Message, limit int64, stderr io.Writer) ([]byte, error) {
	words, err := splitWords(command)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	out := &boundedBuffer{limit: limit}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "SOCKETSRV_OPCODE="+opcodeName(m.Opcode))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(m.Data), out, stderr
	cmd.WaitDelay = time.Second // for what it left behind with its stdout
	endGroup := ownGroup(cmd)
	err = cmd.Run()
	endGroup()
	switch {
	case out.beyond:
		err = fmt.Errorf("it printed more than %d bytes", limit)
	case ctx.Err() != nil:
		err = fmt.Errorf("it took too long: %w", ctx.Err())
	case err != nil && cmd.ProcessState != nil && cmd.ProcessState.Success():
		err = nil // it did not read all, or something else has its stdout
	}
	return out.Bytes(), err
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

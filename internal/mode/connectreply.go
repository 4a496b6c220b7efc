package mode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
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
	fs.String(&a.command, "exec", "CMD", "answer each by what CMD prints, the message on its stdin")
}

func (a *answerer) check() error {
	if a.fixed && a.command != "" {
		return Usagef("-reply and -exec exclude each other")
	}
	return nil
}

func (a *answerer) answers() bool { return a.fixed || a.command != "" }

// answer returns the answer to m, of the same type.
func (a *answerer) answer(ctx context.Context, m wsproto.Message, limit int64, stderr io.Writer) (wsproto.Message, error) {
	switch {
	case a.text == "{}":
		return m, nil
	case a.fixed:
		m.Data = bytes.ReplaceAll([]byte(a.text), []byte("{}"), m.Data)
		return m, nil
	}
	out, err := runCommand(ctx, a.command, m, limit, stderr)
	if err == nil && m.Opcode == wsproto.OpText && !utf8.Valid(out) {
		err = errors.New("what it printed is not UTF-8, as a text message must be")
	}
	if err != nil {
		return m, fmt.Errorf("-exec: %w", err)
	}
	m.Data = out
	return m, nil
}

// commandTime is what a command may take for one message.
const commandTime = 30 * time.Second

// runCommand runs command by the shell with m on its stdin and m's type in
// SOCKETSRV_OPCODE, and returns what it prints, limit bytes at most.
func runCommand(ctx context.Context, command string, m wsproto.Message, limit int64, stderr io.Writer) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	shell := []string{"/bin/sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	out := &boundedBuffer{limit: limit}
	cmd := exec.CommandContext(ctx, shell[0], append(shell[1:], command)...)
	cmd.Env = append(os.Environ(), "SOCKETSRV_OPCODE="+opcodeName(m.Opcode))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(m.Data), out, stderr
	cmd.WaitDelay = time.Second // for a grandchild that keeps stdout
	err := cmd.Run()
	if err != nil && strings.Contains(err.Error(), "broken pipe") && cmd.ProcessState.Success() {
		err = nil // it did not want to read all
	}
	if out.beyond {
		err = fmt.Errorf("it printed more than %d bytes", limit)
	} else if ctx.Err() != nil {
		err = fmt.Errorf("it took too long: %w", ctx.Err())
	}
	return out.Bytes(), err
}

// A boundedBuffer takes limit bytes.
type boundedBuffer struct {
	bytes.Buffer
	limit  int64
	beyond bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if int64(b.Len()+len(p)) > b.limit {
		b.beyond = true
		return 0, errors.New("too much")
	}
	return b.Buffer.Write(p)
}

package mode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"socketsrv/wsproto"
)

const (
	maxPrograms  = 16      // of -exec at once
	maxExecError = 4 << 10 // bytes of a program's stderr that are looked at
)

// dumpAnswers makes the answers of -reply and -exec.
type dumpAnswers struct {
	answer      answerer
	execTimeout time.Duration
	argv        []string       // of -exec
	places      chan struct{}  // holds one element for each program that runs
	asked       atomic.Int64   // messages that wait for their answer
	late        sync.WaitGroup // those that nobody reads for
}

func (a *dumpAnswers) checkAnswers() (err error) {
	a.places = make(chan struct{}, maxPrograms)
	if a.answer.command != "" {
		if a.argv, err = splitWords(a.answer.command); err != nil {
			return Usagef("-exec: %v", err)
		}
	}
	if a.execTimeout <= 0 {
		return Usagef("-exec-timeout: want more than 0")
	}
	return a.answer.check()
}

func (a *dumpAnswers) answers() bool { return a.answer.answers() }

// waitForAnswers waits for programs that are being ended.
func (a *dumpAnswers) waitForAnswers() { a.late.Wait() }

// answerTo returns the answer to m, of the same type if it can be, at most limit
// bytes. What fails is shown. It waits for its turn where many programs run.
func (d *dump) answerTo(ctx context.Context, c *dumpClient, m wsproto.Message, limit int64) (wsproto.Message, bool) {
	a := &d.dumpAnswers
	if a.answer.fixed {
		back, err := a.answer.answer(ctx, m, limit, nil)
		return back, err == nil
	}
	a.asked.Add(1)
	defer a.asked.Add(-1)
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	case <-ctx.Done():
		return m, false
	}
	out, err := a.runProgram(ctx, c, m, limit)
	if err != nil {
		if ctx.Err() == nil {
			d.refuse(fmt.Sprintf("%v: not answered: %s: %s", c, a.argv[0], errorText(err)))
		}
		return m, false
	}
	if m.Opcode == wsproto.OpText && !utf8.Valid(out) {
		m.Opcode = wsproto.OpBinary
	}
	m.Data = out
	return m, len(out) > 0
}

// runProgram runs the program of -exec with m on its stdin and returns what it
// prints. It ends in time, and all that it started with it.
func (a *dumpAnswers) runProgram(ctx context.Context, c *dumpClient, m wsproto.Message, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, a.execTimeout)
	defer cancel()
	out, stderr := &programOutput{limit: limit, end: cancel}, &firstBytes{}
	cmd := exec.CommandContext(ctx, a.argv[0], a.argv[1:]...)
	cmd.Env = append(os.Environ(), "SOCKETSRV_OPCODE="+opcodeName(m.Opcode), "SOCKETSRV_PROTO="+c.proto,
		"SOCKETSRV_CLIENT="+strconv.Itoa(c.number), "SOCKETSRV_PEER="+c.peer)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(m.Data), out, stderr
	cmd.WaitDelay = time.Second // for the output of what it left behind
	endGroup := ownGroup(cmd)
	err := cmd.Run()
	endGroup()
	switch {
	case out.beyond:
		return nil, fmt.Errorf("it printed more than %d bytes", limit)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("ended after %v", a.execTimeout)
	case errors.Is(err, exec.ErrWaitDelay), err != nil && cmd.ProcessState != nil && cmd.ProcessState.Success():
		err = nil // it did not read all, or something else has its stdout
	case err != nil && len(stderr.b) > 0:
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.b))
	}
	return out.b, err
}

// programOutput keeps what a program prints, and ends one that prints too much. It
// has no ReadFrom, which would be taken in place of Write.
type programOutput struct {
	b      []byte
	limit  int64
	beyond bool
	end    func()
}

func (o *programOutput) Write(p []byte) (int, error) {
	if int64(len(o.b)+len(p)) > o.limit {
		o.beyond = true
		o.end()
		return 0, errMessageTooLong
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct{ b []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), maxExecError-len(f.b))]...)
	return len(p), nil
}

var errQuote = errors.New("a quote is not closed")

// splitWords splits a command at white space, as a shell would but without its
// expansions: 'a b' and "a b" are one word each, and a backslash makes the next
// character an ordinary one, except between single quotes.
func splitWords(s string) (words []string, err error) {
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case strings.ContainsRune(" \t\n", r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errQuote
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("want a program")
	}
	return words, nil
}

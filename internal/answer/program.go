package answer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/rawio"
)

const (
	MaxPrograms  = 16               // at once
	Descriptors  = MaxPrograms * 10 // that they need: three pipes each, and while they start some more
	maxExecError = 4 << 10          // bytes of a program's stderr that are looked at
)

// An Exec is what -exec or -sh-exec starts to make answers.
type Exec struct {
	Command, shell string
	Timeout        time.Duration

	// Warn, unless nil, is given the lines that a program which succeeded wrote to its
	// stderr, and what else there is to say of it.
	Warn func(line string)

	argv  []string
	turns turns
}

// Flags adds those of a program; what says what it gets and makes.
func (p *Exec) Flags(fs *cli.Flags, what string) {
	p.Timeout = 10 * time.Second
	fs.String(&p.Command, "exec", "CMD", what)
	fs.String(&p.shell, "sh-exec", "CMD", "Starts CMD by the shell instead.")
	fs.Duration(&p.Timeout, "exec-timeout", "Ends CMD and its children after D.")
	fs.Check(func() error {
		switch {
		case fs.Given("exec") && strings.TrimSpace(p.Command) == "":
			return cli.Usagef("-exec: want a command")
		case fs.Given("sh-exec") && strings.TrimSpace(p.shell) == "":
			return cli.Usagef("-sh-exec: want a command")
		}
		return p.Check()
	})
}

func (p *Exec) Check() (err error) {
	switch {
	case p.Command != "" && p.shell != "":
		return cli.Usagef("-exec and -sh-exec exclude each other")
	case p.Timeout <= 0:
		return cli.Usagef("-exec-timeout: want more than 0")
	case p.shell != "" && runtime.GOOS == "windows":
		p.argv = []string{"cmd", "/C", p.shell}
	case p.shell != "":
		p.argv = []string{"/bin/sh", "-c", p.shell}
	case p.Command != "":
		if p.argv, err = SplitWords(p.Command); err != nil {
			return cli.Usagef("-exec: %v", err)
		}
	}
	return nil
}

// Given reports whether there is one.
func (p *Exec) Given() bool { return len(p.argv) > 0 }

// Run runs the program for the client of nc, nil where there is none, with stdin and
// more environment, and returns what it prints, at most limit bytes. It waits for its
// turn where many run, and ends the program in time, with all that it started. A client
// that has ended its side by its turn waits until programs have run for all others; for
// one that is gone none runs.
func (p *Exec) Run(ctx context.Context, nc net.Conn, stdin []byte, limit int64, env ...string) ([]byte, error) {
	var peer func() rawio.Peer
	if nc != nil {
		peer = func() rawio.Peer { return rawio.PeerOf(nc) }
	}
	if err := p.turns.wait(ctx, peer); err != nil {
		return nil, err
	}
	defer p.turns.pass()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	out, err := newOutput(limit)
	if err != nil {
		return nil, err
	}
	stderr := &firstBytes{}
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), out.writer, stderr
	cmd.WaitDelay = leftTime
	endGroup := ownGroup(cmd)
	go out.read()
	err = runChild(cmd)
	worked := cmd.ProcessState != nil && cmd.ProcessState.Success()
	open := !out.finish(worked && !errors.Is(err, exec.ErrWaitDelay), endGroup)
	switch {
	case out.beyond:
		err = fmt.Errorf("it printed more than %d bytes", limit)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("ended after %v", p.Timeout)
	case err != nil && worked:
		err = nil // it did not read all, or something else has its stderr
	case err != nil && len(stderr.b) > 0:
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.b))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.argv[0], err)
	}
	if p.Warn != nil {
		for line := range strings.Lines(string(stderr.b)) {
			p.Warn(p.argv[0] + ": " + strings.TrimSuffix(line, "\n"))
		}
		if open {
			p.Warn(p.argv[0] + ": its output was not at its end a second after it had ended: what had come is taken")
		}
	}
	return out.b, nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct{ b []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), maxExecError-len(f.b))]...)
	return len(p), nil
}

var errQuote = errors.New("a quote is not closed")

// SplitWords splits a command at white space, as a shell would but without its
// expansions: 'a b' and "a b" are one word each, and a backslash makes the next
// character an ordinary one, except between single quotes.
func SplitWords(s string) (words []string, err error) {
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

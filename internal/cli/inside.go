package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

// An inner is a mode that runs inside the program, for -selftest and for tests:
// with streams of its own, and the network of this machine.
type Running struct {
	Stdin          *io.PipeWriter
	Stdout, Stderr *Record
	signals        chan os.Signal
	Done           chan struct{} // closed when it has ended
	exit           int           // then
}

// StartInside runs a command line of t in the background.
func StartInside(ctx context.Context, t Table, args ...string) *Running {
	stdin, ours := io.Pipe()
	in := &Running{Stdin: ours, Stdout: NewRecord(), Stderr: NewRecord(), signals: make(chan os.Signal, 2), Done: make(chan struct{})}
	env := System()
	env.Stdin, env.Stdout, env.Stderr = stdin, in.Stdout, in.Stderr
	env.TTYIn, env.TTYOut = nil, nil
	env.Getenv = func(string) string { return "" }
	env.Signals = in.signals
	go func() {
		defer close(in.Done)
		in.exit = t.Run(ctx, append([]string{Program}, args...), env)
		stdin.Close()
	}()
	return in
}

// Addr waits until it listens for proto and returns the address.
func (in *Running) Addr(ctx context.Context, proto string) (string, error) {
	match, err := in.Stderr.WaitFor(ctx, `(?m)^listening on `+proto+` (\S+)$`)
	if err != nil {
		return "", err
	}
	return match[1], nil
}

// Stop sends SIGTERM if it still runs.
func (in *Running) Stop() {
	select {
	case in.signals <- syscall.SIGTERM:
	case <-in.Done:
	}
}

// Wait waits for the end and returns the exit code.
func (in *Running) Wait(ctx context.Context) (int, error) {
	select {
	case <-in.Done:
		return in.exit, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("it does not end: %w; stderr: %q", context.Cause(ctx), in.Stderr)
	}
}

// A Record is a stream that is written, to be read at any time.
type Record struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed with the next write
}

func NewRecord() *Record { return &Record{news: make(chan struct{})} }

func (r *Record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
	return r.text.Write(p)
}

// Reset forgets what was written.
func (r *Record) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = bytes.Buffer{} // its memory too
}

func (r *Record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// WaitFor waits until what was written matches pattern and returns the match with
// its groups.
func (r *Record) WaitFor(ctx context.Context, pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	for {
		r.mu.Lock()
		match, news := re.FindStringSubmatch(r.text.String()), r.news
		r.mu.Unlock()
		if match != nil {
			return match, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s does not come: %w; there is %q", pattern, context.Cause(ctx), strings.TrimSpace(r.String()))
		}
	}
}

package mode

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
type inner struct {
	stdin          *io.PipeWriter
	stdout, stderr *record
	signals        chan os.Signal
	done           chan struct{} // closed when it has ended
	exit           int           // then
}

// startInside runs a command line of t in the background.
func startInside(ctx context.Context, t Table, args ...string) *inner {
	stdin, ours := io.Pipe()
	in := &inner{stdin: ours, stdout: newRecord(), stderr: newRecord(), signals: make(chan os.Signal, 2), done: make(chan struct{})}
	env := System()
	env.Stdin, env.Stdout, env.Stderr = stdin, in.stdout, in.stderr
	env.TTYIn, env.TTYOut = nil, nil
	env.Getenv = func(string) string { return "" }
	env.Signals = in.signals
	go func() {
		defer close(in.done)
		in.exit = t.Run(ctx, append([]string{program}, args...), env)
		stdin.Close()
	}()
	return in
}

// addr waits until it listens for proto and returns the address.
func (in *inner) addr(ctx context.Context, proto string) (string, error) {
	match, err := in.stderr.waitFor(ctx, `(?m)^listening on `+proto+` (\S+)$`)
	if err != nil {
		return "", err
	}
	return match[1], nil
}

// stop sends SIGTERM if it still runs.
func (in *inner) stop() {
	select {
	case in.signals <- syscall.SIGTERM:
	case <-in.done:
	}
}

// wait waits for the end and returns the exit code.
func (in *inner) wait(ctx context.Context) (int, error) {
	select {
	case <-in.done:
		return in.exit, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("it does not end: %w; stderr: %q", context.Cause(ctx), in.stderr)
	}
}

// A record is a stream that is written, to be read at any time.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed with the next write
}

func newRecord() *record { return &record{news: make(chan struct{})} }

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
	return r.text.Write(p)
}

// reset forgets what was written.
func (r *record) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Reset()
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// waitFor waits until what was written matches pattern and returns the match with
// its groups.
func (r *record) waitFor(ctx context.Context, pattern string) ([]string, error) {
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

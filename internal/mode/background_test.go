package mode

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is what anything may take before it counts as hanging.
const patience = 20 * time.Second

// A run is a mode that runs inside the test.
type run struct {
	t              *testing.T
	stdin          *io.PipeWriter
	stdout, stderr *written
	signals        chan os.Signal
	done           chan struct{} // closed when it has ended
	exit           int
}

// background runs m with the given command line, until it ends or the test does.
func background(t *testing.T, m Mode, args ...string) *run {
	t.Helper()
	stdin, ours := io.Pipe()
	r := &run{t: t, stdin: ours, stdout: newWritten(), stderr: newWritten(), signals: make(chan os.Signal, 2), done: make(chan struct{})}
	env := System()
	env.Stdin, env.Stdout, env.Stderr = stdin, r.stdout, r.stderr
	env.TTYIn, env.TTYOut = nil, nil
	env.Getenv = func(string) string { return "" }
	env.Signals = r.signals
	go func() {
		defer close(r.done)
		r.exit = Table{m}.Run(context.Background(), append([]string{"socketsrv", m.Name}, args...), env)
		stdin.Close()
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// addr waits until the mode listens for proto and returns the address.
func (r *run) addr(proto string) string {
	r.t.Helper()
	return r.stderr.waitFor(r.t, `(?m)^listening on `+proto+` (\S+)$`)[1]
}

// stop sends SIGTERM, if it still runs, and returns the exit code.
func (r *run) stop() int {
	r.t.Helper()
	select {
	case r.signals <- syscall.SIGTERM:
	case <-r.done:
	}
	return r.wait()
}

// wait waits for the end and returns the exit code.
func (r *run) wait() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Fatalf("the mode does not end\nstdout: %q\nstderr: %q", r.stdout, r.stderr)
	}
	return r.exit
}

// A written is a stream that was written, to be read at any time.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed with the next write
}

func newWritten() *written { return &written{news: make(chan struct{})} }

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.news)
	w.news = make(chan struct{})
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// waitFor waits until what was written matches pattern and returns the match with
// its groups.
func (w *written) waitFor(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(patience)
	for {
		w.mu.Lock()
		match, news := re.FindStringSubmatch(w.text.String()), w.news
		w.mu.Unlock()
		if match != nil {
			return match
		}
		select {
		case <-news:
		case <-late:
			t.Fatalf("%s does not come; there is %q", pattern, strings.TrimSpace(w.String()))
		}
	}
}

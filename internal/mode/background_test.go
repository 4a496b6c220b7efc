package mode

import (
	"context"
	"testing"
	"time"
)

// patience is what anything may take before it counts as hanging.
const patience = 20 * time.Second

// A run is a mode that runs inside a test.
type run struct {
	*inner
	t              *testing.T
	stdout, stderr written
}

// background runs m with the given command line, until it ends or the test does.
func background(t *testing.T, m Mode, args ...string) *run {
	t.Helper()
	in := startInside(context.Background(), Table{m}, append([]string{m.Name}, args...)...)
	r := &run{in, t, written{in.stdout}, written{in.stderr}}
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
	r.inner.stop()
	return r.wait()
}

// wait waits for the end and returns the exit code.
func (r *run) wait() int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	code, err := r.inner.wait(ctx)
	if err != nil {
		r.t.Fatalf("%v\nstdout: %q", err, r.stdout)
	}
	return code
}

// A written is a record whose waitFor fails the test.
type written struct{ *record }

func (w written) waitFor(t *testing.T, pattern string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	match, err := w.record.waitFor(ctx, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return match
}

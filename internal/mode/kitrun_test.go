package mode

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
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

// jsonAddr is the address in the first event.
func (r *run) jsonAddr() string {
	r.t.Helper()
	return r.stdout.waitFor(r.t, `"event":"listening".*"addr":"([^"]+)"`)[1]
}

// wantEnd checks how a mode ends and, by a pattern, what it said.
func (r *run) wantEnd(exit int, pattern string) {
	r.t.Helper()
	if got := r.wait(); got != exit {
		r.t.Errorf("exit %d, want %d; stderr: %s", got, exit, r.stderr)
	}
	r.stderr.waitFor(r.t, pattern)
}

// A ran is what came of a command line.
type ran struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

func kitEnv(stdout, stderr io.Writer) *Env {
	return &Env{
		Stdin: new(bytes.Buffer), Stdout: stdout, Stderr: stderr,
		Now: time.Now, Getenv: func(string) string { return "" },
		Exit: func(code int) { panic(fmt.Sprintf("exit %d", code)) },
	}
}

// pipeEnv is an Env whose connections lead to serve.
func pipeEnv(serve func(nc net.Conn), stdin io.Reader, stdout, stderr io.Writer) *Env {
	env := kitEnv(stdout, stderr)
	if stdin != nil {
		env.Stdin = stdin
	}
	env.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host == "nowhere" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	env.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if serve == nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			serve(theirs)
		}()
		return ours, nil
	}
	return env
}

// webRoot makes a directory with files.
func webRoot(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command runs a command line over t.
func command(t Table, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = t.Run(context.Background(), append([]string{"/usr/bin/socketsrv"}, args...), kitEnv(&out, &err))
	return code, out.String(), err.String()
}

// blanks splits a command line at blanks; _ stands for a blank in a word.
func blanks(line string) (w []string) {
	for word := range strings.FieldsSeq(line) {
		w = append(w, strings.ReplaceAll(word, "_", " "))
	}
	return w
}

// isTLS finds the flags that a build without TLS refuses.
var isTLS = regexp.MustCompile(`-(tls|cert|key|pin|k)\b`)

// contents are the files below dir, hidden ones too.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

type failingWriter struct{ err error }

func (w failingWriter) Write(p []byte) (int, error) { return 0, w.err }

// listenEnv is an Env that listens and dials for real.
func listenEnv(stdout, stderr io.Writer) *Env {
	env := kitEnv(stdout, stderr)
	env.Listen = new(net.ListenConfig).Listen
	env.ListenPacket = new(net.ListenConfig).ListenPacket
	env.Dial = new(net.Dialer).DialContext
	return env
}

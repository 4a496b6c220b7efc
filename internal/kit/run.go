// Package kit is what the tests of modes share: a mode that runs in the background, a
// connection that leads to a function, peers that say what they are told, terminals,
// processes. Only tests import it.
package kit

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"socketsrv/internal/cli"
)

// Patience is what anything may take before it counts as hanging: also with the race
// detector, beside sixteen other tests, on a machine that has other things to do.
const Patience = time.Minute

// Race says that the race detector watches, which makes all slow.
var Race = func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}()

// Main is the TestMain of a package whose parallel tests mostly wait: unless -parallel
// says otherwise, there are more of them at once than processors. Under the name that
// Program gives it, the test's executable is the program with these modes.
func Main(m *testing.M, modes ...cli.Mode) int {
	if filepath.Base(os.Args[0]) == cli.Program {
		os.Setenv("GOCOVERDIR", filepath.Dir(os.Args[0])) // where -cover writes what nobody asks for
		cli.Main(modes)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", "16")
	}
	return m.Run()
}

// Program is the path of the program, to be run in a process of its own: a link to the
// test's executable, which has the modes that the package's TestMain gives to Main.
func Program(t *testing.T) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), cli.Program)
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, link)
	}
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// A Run is a mode that runs inside a test.
type Run struct {
	*cli.Running
	t              *testing.T
	json           bool
	Stdout, Stderr Written
}

// Background runs m with the given command line, until it ends or the test does.
func Background(t *testing.T, m cli.Mode, args ...string) *Run {
	t.Helper()
	in := cli.StartInside(context.Background(), cli.Table{m}, append([]string{m.Name}, args...)...)
	r := &Run{in, t, slices.Contains(args, "-json"), Written{in.Stdout}, Written{in.Stderr}}
	t.Cleanup(func() { r.Stop() })
	return r
}

// Addr waits until the mode listens for proto and returns the address.
func (r *Run) Addr(proto string) string {
	r.t.Helper()
	if r.json {
		return r.Stdout.WaitFor(r.t, `"event":"listening","proto":"(?:`+proto+`)","addr":"([^"]+)"`)[1]
	}
	return r.Stderr.WaitFor(r.t, `(?m)^listening on (?:`+proto+`) (\S+)$`)[1]
}

// Stop sends SIGTERM, if it still runs, and returns the exit code.
func (r *Run) Stop() int {
	r.t.Helper()
	r.Running.Stop()
	return r.Wait()
}

// Wait waits for the end and returns the exit code.
func (r *Run) Wait() int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	code, err := r.Running.Wait(ctx)
	if err != nil {
		r.t.Fatalf("%v\nstdout: %q", err, r.Stdout)
	}
	return code
}

// A Written is a record whose waitFor fails the test.
type Written struct{ *cli.Record }

func (w Written) WaitFor(t *testing.T, pattern string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	match, err := w.Record.WaitFor(ctx, pattern)
	if err != nil {
		t.Fatal(err)
	}
	return match
}

// WantEnd checks how a mode ends and, by a pattern, what it said.
func (r *Run) WantEnd(exit int, pattern string) {
	r.t.Helper()
	if got := r.Wait(); got != exit {
		r.t.Errorf("exit %d, want %d; stderr: %s", got, exit, r.Stderr)
	}
	r.Stderr.WaitFor(r.t, pattern)
}

// A Ran is what came of a command line.
type Ran struct {
	Code           int
	Stdout, Stderr string
	Took           time.Duration
}

func Env(stdout, stderr io.Writer) *cli.Env {
	return &cli.Env{
		Stdin: new(bytes.Buffer), Stdout: stdout, Stderr: stderr,
		Now: time.Now, Getenv: func(string) string { return "" },
		Exit: func(code int) { panic(fmt.Sprintf("exit %d", code)) },
	}
}

// PipeEnv is an Env whose connections lead to serve.
func PipeEnv(serve func(nc net.Conn), stdin io.Reader, stdout, stderr io.Writer) *cli.Env {
	env := Env(stdout, stderr)
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

// WebRoot makes a directory with files.
func WebRoot(t testing.TB, files map[string]string) (dir string) {
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

// Command runs a command line over t.
func Command(t cli.Table, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = t.Run(context.Background(), append([]string{"/usr/bin/socketsrv"}, args...), Env(&out, &err))
	return code, out.String(), err.String()
}

// Words splits a command line at blanks; _ stands for a blank in a word.
func Words(line string) (w []string) {
	for word := range strings.FieldsSeq(line) {
		w = append(w, strings.ReplaceAll(word, "_", " "))
	}
	return w
}

// IsTLS finds the flags that a build without TLS refuses.
var IsTLS = regexp.MustCompile(`-(tls|cert|key|pin|k)\b`)

// Contents are the files below dir, hidden ones too.
func Contents(t testing.TB, dir string) map[string]string {
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

type FailingWriter struct{ Err error }

func (w FailingWriter) Write(p []byte) (int, error) { return 0, w.Err }

// ListenEnv is an Env that listens and dials for real.
func ListenEnv(stdout, stderr io.Writer) *cli.Env {
	env := Env(stdout, stderr)
	env.Listen = new(net.ListenConfig).Listen
	env.ListenPacket = new(net.ListenConfig).ListenPacket
	env.Dial = new(net.Dialer).DialContext
	return env
}

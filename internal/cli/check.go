package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"socketsrv/internal/tlsconf"
)

// A Check is one thing that a mode must be able to do on any box: it starts modes
// of b and drives them, and returns what was wrong.
type Check struct {
	Name string
	Run  func(ctx context.Context, b *Bench) error
}

// checkTime bounds a check.
const checkTime = 5 * time.Second

// Try runs a check and ends all that it started.
func Try(ctx context.Context, modes Table, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	b := &Bench{Modes: modes}
	defer b.clean()
	err := check.Run(ctx, b)
	for _, in := range b.running {
		in.Stop()
	}
	for _, in := range b.running {
		if _, werr := in.Wait(ctx); err == nil {
			err = werr
		}
	}
	return err
}

// A Bench runs modes for a Check.
type Bench struct {
	Modes   Table
	running []*Running
	dirs    []string
}

// Dir makes a folder that is there until the end of the check: where temporary files
// are, or where we are on a box that has no such place.
func (b *Bench) Dir() (dir string, err error) {
	for _, parent := range []string{"", "."} {
		if dir, err = os.MkdirTemp(parent, "socketsrv-"); err == nil {
			b.dirs = append(b.dirs, dir)
			return filepath.Abs(dir)
		}
	}
	return "", err
}

func (b *Bench) clean() {
	for _, dir := range b.dirs {
		os.RemoveAll(dir)
	}
}

// Start runs a command line in the background, to the end of the check, and waits
// until it listens for proto; then it returns the address.
func (b *Bench) Start(ctx context.Context, proto string, args ...string) (in *Running, addr string, err error) {
	in = StartInside(ctx, b.Modes, args...)
	b.running = append(b.running, in)
	addr, err = in.Addr(ctx, proto)
	return in, addr, err
}

// Run runs a command line with nothing to read and wants it to print just want.
func (b *Bench) Run(ctx context.Context, want string, args ...string) error {
	in := StartInside(ctx, b.Modes, args...)
	in.Stdin.Close()
	code, err := in.Wait(ctx)
	if err != nil {
		return fmt.Errorf("socketsrv %s: %w", strings.Join(args, " "), err)
	}
	if got := in.Stdout.String(); code != 0 || got != want {
		return fmt.Errorf("socketsrv %s: exit %d, %q; want 0, %q; %s", strings.Join(args, " "), code, got, want, in.Stderr)
	}
	return nil
}

// EchoCheck starts a mode with the given command line and wants what connect sends
// it to come back.
func EchoCheck(name, proto, scheme string, server ...string) Check {
	return Check{name, func(ctx context.Context, b *Bench) error {
		if scheme == "wss" && !tlsconf.Available {
			return nil
		}
		_, addr, err := b.Start(ctx, proto, server...)
		if err != nil {
			return err
		}
		client := []string{"connect", scheme + "://" + addr, "-m", "héllo", "-count", "1", "-timeout", "4s"}
		if scheme == "wss" {
			client = append(client, "-k")
		}
		return b.Run(ctx, "héllo\n", client...)
	}}
}

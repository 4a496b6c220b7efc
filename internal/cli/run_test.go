package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"socketsrv/wsproto"
)

// oneMode is a table with f as its only mode.
func oneMode(f Func) Table {
	return Table{{Name: "only", Args: "[ARG...]", Brief: "b", Setup: func(*Flags) Func { return f }}}
}

// server runs until it is stopped.
func server(ctx context.Context, env *Env, args []string) error {
	<-ctx.Done()
	return nil
}

// closing does the same, and the peer ends it cleanly.
func closing(ctx context.Context, env *Env, args []string) error {
	<-ctx.Done()
	return &wsproto.CloseError{Code: wsproto.StatusNormalClosure}
}

// client does the same and fails.
func client(ctx context.Context, env *Env, args []string) error {
	<-ctx.Done()
	return fmt.Errorf("receive: %w", ctx.Err())
}

func TestFirstSignal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		f      Func
		signal os.Signal
		code   int
	}{
		{"server, SIGTERM", server, syscall.SIGTERM, 0},
		{"server, SIGINT", server, syscall.SIGINT, 0},
		{"client, SIGTERM", client, syscall.SIGTERM, 143},
		{"client, SIGINT", client, syscall.SIGINT, 130},
		{"client that closes, SIGINT", closing, syscall.SIGINT, 130},
	} {
		var stdout, stderr bytes.Buffer
		env := testEnv(&stdout, &stderr)
		signals := make(chan os.Signal, 1)
		signals <- tt.signal
		env.Signals = signals
		if code := oneMode(tt.f).Run(t.Context(), []string{"socketsrv"}, env); code != tt.code || stderr.String() != "" {
			t.Errorf("%s: exit %d, %q; want %d", tt.name, code, stderr.String(), tt.code)
		}
	}
}

// TestSecondSignal has a mode that takes its time to stop (RL03).
func TestSecondSignal(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		env := testEnv(io.Discard, io.Discard)
		signals := make(chan os.Signal)
		env.Signals = signals
		exit := make(chan int, 1)
		env.Exit = func(code int) { exit <- code }
		got := 0
		oneMode(func(ctx context.Context, env *Env, args []string) error {
			signals <- syscall.SIGINT
			<-ctx.Done()
			signals <- sig
			got = <-exit
			return nil
		}).Run(t.Context(), []string{"socketsrv"}, env)
		if got != want {
			t.Errorf("the second signal %v ends with %d; want %d", sig, got, want)
		}
	}
}

// TestSameSignal: what timeout(1) sends twice at once does not end a server at once.
func TestSameSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := testEnv(io.Discard, io.Discard)
		signals := make(chan os.Signal)
		env.Signals, env.SameSignal = signals, time.Second
		exits := 0
		env.Exit = func(int) { exits++ }
		code := oneMode(func(ctx context.Context, env *Env, args []string) error {
			for i, want := range []int{0, 0, 1} {
				time.Sleep(time.Duration(i) * time.Second / 2)
				signals <- syscall.SIGTERM
				if synctest.Wait(); exits != want {
					t.Errorf("%d exits after signal %d; want %d", exits, i+1, want)
				}
			}
			return nil
		}).Run(t.Context(), []string{"socketsrv"}, env)
		if code != 0 {
			t.Errorf("exit %d; want 0", code)
		}
	})
}

// TestStdoutFails has TL16 and RL13: what each kind of mode does about it, and that
// it is said once.
func TestStdoutFails(t *testing.T) {
	closed := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	full := &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	careless := func(ctx context.Context, env *Env, args []string) error {
		for range 3 {
			fmt.Fprintln(env.Stdout, "hello")
		}
		return nil
	}
	careful := func(ctx context.Context, env *Env, args []string) error {
		if _, err := fmt.Fprintln(env.Stdout, "hello"); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	serving := func(ctx context.Context, env *Env, args []string) error {
		fmt.Fprintln(env.Stdout, "hello")
		return server(ctx, env, args)
	}
	waiting := func(ctx context.Context, env *Env, args []string) error {
		fmt.Fprintln(env.Stdout, "hello")
		return client(ctx, env, args)
	}
	const noSpace = "socketsrv: write /dev/stdout: no space left on device\n"
	const gone = "socketsrv: stdout is closed\n"
	for _, tt := range []struct {
		name   string
		f      Func
		err    error
		signal bool
		code   int
		stderr string
	}{
		{"server, reader gone", serving, closed, false, 1, gone},
		{"server, disk full, stopped later", serving, full, true, 23, noSpace},
		{"one-shot, reader gone", careful, closed, false, 23, gone},
		{"one-shot, disk full", careful, full, false, 23, noSpace},
		{"one-shot that does not look, disk full", careless, full, false, 23, noSpace},
		{"client that waits, reader gone", waiting, io.ErrClosedPipe, false, 23, gone},
	} {
		var stderr bytes.Buffer
		env := testEnv(brokenWriter{tt.err}, &stderr)
		signals := make(chan os.Signal, 1)
		env.Signals = signals
		f := func(ctx context.Context, env *Env, args []string) error {
			if tt.signal {
				fmt.Fprintln(env.Stdout, "first") // fails before the signal comes
				signals <- syscall.SIGTERM
			}
			return tt.f(ctx, env, args)
		}
		if code := oneMode(f).Run(t.Context(), []string{"socketsrv"}, env); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%s: exit %d, %q; want %d, %q", tt.name, code, stderr.String(), tt.code, tt.stderr)
		}
	}
}

// TestNobodyReads: a stdout or stderr that takes nothing does not hold a program that
// is to end, also while it ends.
func TestNobodyReads(t *testing.T) {
	for name, speak := range map[string]func(env *Env) (io.Writer, *io.Writer){
		"stdout": func(env *Env) (io.Writer, *io.Writer) { return env.Stdout, &env.Stdout },
		"stderr": func(env *Env) (io.Writer, *io.Writer) { return env.Stderr, &env.Stderr },
	} {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			env := testEnv(io.Discard, io.Discard)
			_, place := speak(env)
			*place = w
			signals := make(chan os.Signal, 1)
			env.Signals = signals
			wrote := 0
			began := time.Now()
			code := oneMode(func(ctx context.Context, env *Env, args []string) error {
				signals <- syscall.SIGTERM
				for range 3 {
					out, _ := speak(env)
					if n, err := io.WriteString(out, "hello\n"); n > 0 || err == nil {
						wrote++
					}
				}
				return server(ctx, env, args)
			}).Run(t.Context(), []string{"socketsrv"}, env)
			if code != 0 || wrote != 0 || time.Since(began) > 2*FlushTime {
				t.Errorf("%s: exit %d after %v, %d writes", name, code, time.Since(began), wrote)
			}
			r.Close() // for the goroutine that was left behind
		})
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	for _, tt := range []struct {
		err    error
		code   int
		stderr string
	}{
		{errors.New("a\nb"), 1, "socketsrv: a\\nb\n"},
		{&Failure{ExitPeerClosed, nil}, 9, ""},
		{&wsproto.CloseError{Code: wsproto.StatusGoingAway}, 0, ""},
		{&Failure{ExitRead, errors.New("read stdin: bad")}, 26, "socketsrv: read stdin: bad\n"},
		{Usagef("bad %q", "\n"), 2, "socketsrv: bad \"\\n\"\ntry: socketsrv -only -h\n"},
	} {
		var stderr bytes.Buffer
		code := oneMode(func(context.Context, *Env, []string) error { return tt.err }).
			Run(t.Context(), []string{"socketsrv"}, testEnv(io.Discard, &stderr))
		if code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%v: exit %d, %q; want %d, %q", tt.err, code, stderr.String(), tt.code, tt.stderr)
		}
	}
}

func TestPanicIsNotHidden(t *testing.T) {
	defer func() {
		if r := recover(); r != "a mistake of ours" {
			t.Errorf("recovered %v", r)
		}
	}()
	env := testEnv(io.Discard, io.Discard)
	env.Signals = make(chan os.Signal)
	oneMode(func(context.Context, *Env, []string) error { panic("a mistake of ours") }).
		Run(t.Context(), []string{"socketsrv"}, env)
}

// TestHelpToFullDisk: help is output too.
func TestHelpToFullDisk(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"-V"}, {"-man"}, {"-completion", "zsh"}, {"-help", "exit-codes"}, {"echo", "-h"}} {
		var stderr bytes.Buffer
		env := testEnv(brokenWriter{syscall.ENOSPC}, &stderr)
		code := testTable(new(spoken)).Run(t.Context(), append([]string{"socketsrv"}, args...), env)
		if code != ExitWrite || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, %q", args, code, stderr.String())
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write(p []byte) (int, error) { return 0, w.err }

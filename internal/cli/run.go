package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"socketsrv/internal/event"
)

// Main is the program with the modes of t: it runs the command line of the process
// and ends it. The topics are what -help has beside modes.
func Main(t Table, topics ...Topic) {
	env := System()
	env.Signals, env.SameSignal, env.Topics = Signals(), 100*time.Millisecond, topics
	os.Exit(t.Run(context.Background(), os.Args, env))
}

// Run runs a whole command line, the program's name first, and returns the exit
// code. Errors end as one line on env.Stderr.
func (t Table) Run(ctx context.Context, argv []string, env *Env) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	here := *env
	opt := event.StreamOptions{Context: ctx, Patience: FlushTime}
	stderr := event.NewStream(env.Stderr, opt)
	defer stderr.Flush(FlushTime)
	opt.OnError = func(err error) { lostStdout(stderr, err, cancel) }
	stdout := event.NewStream(env.Stdout, opt)
	here.Stdout, here.Stderr, here.Modes, here.opened, here.ended = stdout, stderr, t, new(*Console), ctx.Done()

	defer here.watchSignals(cancel)()
	err := t.run(ctx, argv, &here)
	lost := stdout.Flush(FlushTime)
	if lost != stdout.Err() {
		lostStdout(stderr, lost, cancel) // nobody reads
	}
	return here.report(err, context.Cause(ctx), lost)
}

// lostStdout says why nothing more is written there. That the reader of a pipe went
// away also ends the context, and with it the program.
func lostStdout(stderr io.Writer, err error, cancel context.CancelCauseFunc) {
	if IsClosedPipe(err) {
		err = errStdoutClosed
		defer cancel(err)
	}
	fmt.Fprintf(stderr, "%s: %s\n", Program, ErrorLine(err))
}

var errStdoutClosed = errors.New("stdout is closed")

func (t Table) run(ctx context.Context, argv []string, env *Env) error {
	self, args := splitName(argv)
	m, defaults, linked := t.find(self)
	if !linked {
		if done, err := t.ask(env, args); done {
			return hint(err, Program)
		}
		var err error
		if m, defaults, args, err = t.pick(args); err != nil {
			return hint(err, Program)
		}
	}
	fs, f := m.prepare(defaults)
	if !linked && len(args) == len(argv)-1 {
		fs.modes = t.names() // -ecko may be a flag or a mode
	}
	args, err := fs.Parse(args)
	switch err {
	case errHelp:
		return t.writeHelp(env.Stdout, m, fs)
	case errVersion:
		return writeVersion(env.Stdout)
	case nil:
		err = m.checkArgs(args)
	}
	if err == nil {
		if fs.Inetd {
			env.onStdin()
		}
		err = f(ctx, env, args)
		if con := *env.opened; con != nil {
			err = con.finish(err)
		}
	}
	return hint(err, Program+" -"+m.Name)
}

// hint adds to a UsageError where help is.
func hint(err error, command string) error {
	if usage, ok := errors.AsType[*UsageError](err); ok {
		return &UsageError{usage.Text, command + " -h", usage.err}
	}
	return err
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (e *interrupted) Error() string { return "cut short by signal: " + e.signal.String() }

// watchSignals cancels at the first signal and ends the process at the second.
// The function it returns stops it and waits until it has.
func (env *Env) watchSignals(cancel context.CancelCauseFunc) (stop func()) {
	var last atomic.Pointer[func()]
	env.OnCut = func(do func()) { last.Store(&do) }
	if env.Signals == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		var came time.Time // the first one
		for first := true; ; first = false {
			select {
			case <-quit:
				return
			case s := <-env.Signals:
				sig, _ := s.(syscall.Signal)
				if !first && time.Since(came) < env.SameSignal {
					continue
				}
				if !first {
					if do := last.Load(); do != nil {
						hurry(*do)
					}
					env.Exit(ExitSignal + int(sig))
				}
				came = time.Now()
				cancel(&interrupted{sig})
			}
		}
	})
	return func() {
		close(quit)
		watcher.Wait()
	}
}

// cutTime is what may be said between the second signal and the end.
const cutTime = 500 * time.Millisecond

// hurry calls do and returns when that is done, or is not in time.
func hurry(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(cutTime):
	}
}

// saidAnyway are the codes that a signal does not replace: a server that checks says
// what it found, and a recording that was lost is lost.
var saidAnyway = []int{ExitUsage, ExitExpect, ExitWrite}

// report prints what is left to say about err and returns the exit code. That stdout
// was lost is said already.
func (env *Env) report(err, cause, lost error) int {
	var cut *interrupted
	stopped := errors.As(cause, &cut)
	switch {
	case err == nil && stopped && (lost == nil || lost == event.ErrNotRead):
		return ExitOK
	case err == nil && cause == errStdoutClosed:
		return ExitFailure // a server that stopped for want of a reader
	case err == nil && lost != nil:
		return ExitWrite
	case err != nil && stopped && !slices.Contains(saidAnyway, ExitCode(err)):
		return ExitSignal + int(cut.signal)
	case ExitCode(err) == ExitOK: // a clean end by the peer, too
		return ExitOK
	case lost != nil && (cause == errStdoutClosed || errors.Is(err, lost)):
		return ExitWrite
	}
	if f, ok := errors.AsType[*Failure](err); !ok || f.Err != nil {
		fmt.Fprintf(env.Stderr, "%s: %s\n", Program, ErrorLine(err))
	}
	if usage, ok := errors.AsType[*UsageError](err); ok {
		fmt.Fprintf(env.Stderr, "try: %s\n", usage.help)
	}
	return ExitCode(err)
}

func IsClosedPipe(err error) bool {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
		return true
	}
	no, ok := errors.AsType[syscall.Errno](err)
	return ok && runtime.GOOS == "windows" && (no == 109 || no == 232) // ERROR_BROKEN_PIPE, ERROR_NO_DATA
}

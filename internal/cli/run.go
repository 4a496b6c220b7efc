package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Run runs a whole command line, the program's name first, and returns the exit
// code. Errors end as one line on env.Stderr.
func (t Table) Run(ctx context.Context, argv []string, env *Env) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	here := *env
	here.Stderr = &lockedWriter{stream: newStream(ctx, env.Stderr)}
	out := &Stdout{stream: newStream(ctx, env.Stdout), stderr: here.Stderr, closed: cancel}
	here.Stdout = out
	here.Modes = t

	defer here.watchSignals(cancel)()
	err := t.run(ctx, argv, &here)
	return here.report(err, context.Cause(ctx), out)
}

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
		err = f(ctx, env, args)
	}
	return hint(err, Program+" -"+m.Name)
}

// hint adds to a UsageError where help is.
func hint(err error, command string) error {
	if usage, ok := errors.AsType[*UsageError](err); ok {
		return &UsageError{usage.Text, command + " -h"}
	}
	return err
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (e *interrupted) Error() string { return "cut short by signal: " + e.signal.String() }

// watchSignals cancels at the first signal and ends the process at the second.
// The function it returns stops it and waits until it has.
func (env *Env) watchSignals(cancel context.CancelCauseFunc) (stop func()) {
	if env.Signals == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for first := true; ; first = false {
			select {
			case <-quit:
				return
			case s := <-env.Signals:
				sig, _ := s.(syscall.Signal)
				if !first {
					env.Exit(ExitSignal + int(sig))
				}
				cancel(&interrupted{sig})
			}
		}
	})
	return func() {
		close(quit)
		watcher.Wait()
	}
}

// report prints what is left to say about err and returns the exit code.
func (env *Env) report(err, cause error, out *Stdout) int {
	var cut *interrupted
	stopped := errors.As(cause, &cut)
	lost := out.Failure() // said when it happened
	switch {
	case err == nil && stopped:
		return ExitOK
	case err == nil && cause == errStdoutClosed:
		return ExitFailure // a server that stopped for want of a reader
	case err == nil && lost != nil:
		return ExitWrite
	case err != nil && stopped && ExitCode(err) != ExitUsage:
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

// A stream is stdout or stderr. Who writes waits for its reader, but once the
// program is to end not longer than FlushTime: then a goroutine that still writes
// is left behind, and nothing more is written.
type stream struct {
	ctx     context.Context // of the program
	W       io.Writer
	waits   bool // w may: it is no file on a disk
	buf     []byte
	stalled bool
}

var errNotRead = errors.New("nobody reads what is written")

func newStream(ctx context.Context, w io.Writer) stream {
	s := stream{ctx: ctx, W: w, waits: true}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		s.waits = err != nil || !info.Mode().IsRegular()
	}
	return s
}

// write is not for several goroutines at once.
func (s *stream) write(p []byte) (int, error) {
	switch {
	case s.stalled:
		return 0, errNotRead
	case !s.waits:
		return s.W.Write(p)
	}
	b := append(s.buf[:0], p...) // p is the caller's again when we give up
	n, err := s.Do(func() (int64, error) {
		n, err := s.W.Write(b)
		return int64(n), err
	})
	if err == errNotRead {
		s.stalled, s.buf = true, nil
	} else if s.buf = b; cap(b) > MaxQueue {
		s.buf = nil
	}
	return int(n), err
}

// Do waits for what writes to w as write does for Write.
func (s *stream) Do(write func() (int64, error)) (int64, error) {
	var n int64
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = write()
	}()
	select {
	case <-done:
		return n, err
	case <-s.ctx.Done():
	}
	select {
	case <-done:
		return n, err
	case <-time.After(FlushTime):
		return 0, errNotRead
	}
}

// lockedWriter is stderr, on which several may have something to say.
type lockedWriter struct {
	mu sync.Mutex
	stream
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(p)
}

// Stdout is stdout. The first write that fails is the last: it is said once on
// stderr, and later writes return the same error. That the reader of a pipe went
// away also ends the context, and with it the program.
type Stdout struct {
	stream
	stderr io.Writer
	closed context.CancelCauseFunc

	mu     sync.Mutex            // held while writing
	failed atomic.Pointer[error] // not below mu: a write may take for ever
}

var errStdoutClosed = errors.New("stdout is closed")

func (o *Stdout) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.Failure(); err != nil {
		return 0, err
	}
	n, err := o.write(p)
	if err == nil {
		return n, nil
	}
	closed := IsClosedPipe(err)
	if closed {
		err = errStdoutClosed
	}
	err = &Failure{ExitWrite, err}
	o.failed.Store(&err)
	fmt.Fprintf(o.stderr, "%s: %s\n", Program, ErrorLine(err))
	if closed {
		o.closed(errStdoutClosed)
	}
	return n, err
}

// Failure is the error of the first write that failed.
func (o *Stdout) Failure() error {
	if err := o.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func IsClosedPipe(err error) bool {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
		return true
	}
	no, ok := errors.AsType[syscall.Errno](err)
	return ok && runtime.GOOS == "windows" && (no == 109 || no == 232) // ERROR_BROKEN_PIPE, ERROR_NO_DATA
}

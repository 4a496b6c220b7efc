package mode

import (
	"context"
	"fmt"
	"strings"
	"time"

	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
)

// Selftest tries the modes on each other.
var Selftest = Mode{
	Name: "selftest", Brief: "try every mode against its partner on loopback, in under 3 s",
	Examples: []string{
		"socketsrv -selftest",
		"socketsrv -selftest -run echo",
		"socketsrv -selftest -json",
	},
	Setup: func(fs *Flags) Func {
		s := new(selftest)
		fs.Group("Checks")
		fs.String(&s.only, "run", "TEXT", "only checks with TEXT in their names")
		s.output = fs.Output()
		return s.run
	},
}

// A Check is one thing that a mode must be able to do on any box: it starts modes
// of b and drives them, and returns what was wrong.
type Check struct {
	Name string
	Run  func(ctx context.Context, b *Bench) error
}

// checkTime bounds a check.
const checkTime = 5 * time.Second

type selftest struct {
	only   string
	output *Output
}

func (s *selftest) run(ctx context.Context, env *Env, args []string) error {
	con, err := s.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	passed, failed := 0, 0
	for _, m := range env.modes {
		for _, check := range m.Checks {
			name := m.Name + ": " + check.Name
			if !strings.Contains(name, s.only) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			began := env.Now()
			err := try(ctx, env.modes, check)
			if err == nil {
				passed++
			} else {
				failed++
			}
			s.tell(con, name, env.Now().Sub(began), err)
		}
	}
	if passed+failed == 0 {
		return Usagef("-run %q: no check has that in its name", clip(s.only, maxShown))
	}
	if s.output.JSON {
		con.Emit(&event.Event{Event: event.Summary, Client: -1, Fields: []event.Data{event.Int("passed", int64(passed)), event.Int("failed", int64(failed))}})
	} else {
		fmt.Fprintf(con, "%d passed, %d failed\n", passed, failed)
	}
	if failed > 0 {
		return &Failure{ExitFailure, fmt.Errorf("%d of %d checks failed", failed, passed+failed)}
	}
	return nil
}

// tell prints the outcome of a check.
func (s *selftest) tell(con *Console, name string, took time.Duration, err error) {
	if s.output.JSON {
		e := &event.Event{Event: "check", Client: -1, Fields: []event.Data{event.Text("name", name), event.Float("ms", float64(took.Microseconds())/1000)}}
		if err != nil {
			e.Err = errorText(err)
		}
		con.Emit(e)
		return
	}
	if err != nil {
		fmt.Fprintf(con, "FAIL  %s: %s\n", name, event.Field(errorText(err)))
		return
	}
	fmt.Fprintf(con, "ok    %s (%d ms)\n", name, took.Milliseconds())
}

// try runs a check and ends all that it started.
func try(ctx context.Context, modes Table, check Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	b := &Bench{modes: modes}
	err := check.Run(ctx, b)
	for _, in := range b.running {
		in.stop()
	}
	for _, in := range b.running {
		if _, werr := in.wait(ctx); err == nil {
			err = werr
		}
	}
	return err
}

// A Bench runs modes for a Check.
type Bench struct {
	modes   Table
	running []*inner
}

// start runs a command line in the background, to the end of the check, and waits
// until it listens for proto; then it returns the address.
func (b *Bench) start(ctx context.Context, proto string, args ...string) (in *inner, addr string, err error) {
	in = startInside(ctx, b.modes, args...)
	b.running = append(b.running, in)
	addr, err = in.addr(ctx, proto)
	return in, addr, err
}

// run runs a command line with nothing to read and wants it to print just want.
func (b *Bench) run(ctx context.Context, want string, args ...string) error {
	in := startInside(ctx, b.modes, args...)
	in.stdin.Close()
	code, err := in.wait(ctx)
	if err != nil {
		return fmt.Errorf("socketsrv %s: %w", strings.Join(args, " "), err)
	}
	if got := in.stdout.String(); code != 0 || got != want {
		return fmt.Errorf("socketsrv %s: exit %d, %q; want 0, %q; %s", strings.Join(args, " "), code, got, want, in.stderr)
	}
	return nil
}

// echoCheck starts a mode with the given command line and wants what connect sends
// it to come back.
func echoCheck(name, proto, scheme string, server ...string) Check {
	return Check{name, func(ctx context.Context, b *Bench) error {
		if scheme == "wss" && !tlsconf.Available {
			return nil
		}
		_, addr, err := b.start(ctx, proto, server...)
		if err != nil {
			return err
		}
		client := []string{"connect", scheme + "://" + addr, "-m", "héllo", "-count", "1", "-timeout", "4s"}
		if scheme == "wss" {
			client = append(client, "-k")
		}
		return b.run(ctx, "héllo\n", client...)
	}}
}

package mode

import (
	"context"
	"fmt"
	"strings"
	"time"

	"socketsrv/internal/event"
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

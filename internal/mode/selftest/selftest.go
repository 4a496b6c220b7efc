// Package selftest tries the modes on each other: it runs the Checks of all modes
// of the program it is in.
package selftest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/event"
)

// Mode is its row in the table of the program.
var Mode = cli.Mode{
	Name: "selftest", Brief: "try every mode against its partner on loopback, in under 3 s",
	Examples: []string{
		"socketsrv -selftest",
		"socketsrv -selftest -run echo",
		"socketsrv -selftest -json",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		s := new(selftest)
		fs.Group("Checks")
		fs.String(&s.only, "run", "TEXT", "Runs only the checks with TEXT in their names.")
		s.output = fs.Output()
		return s.run
	},
}

type selftest struct {
	only   string
	output *cli.Output
}

func (s *selftest) run(ctx context.Context, env *cli.Env, args []string) error {
	con, err := s.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	passed, failed := 0, 0
	for _, m := range env.Modes {
		for _, check := range m.Checks {
			name := m.Name + ": " + check.Name
			if !strings.Contains(name, s.only) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			began := env.Now()
			err := cli.Try(ctx, env.Modes, check)
			if err == nil {
				passed++
			} else {
				failed++
			}
			s.tell(con, name, env.Now().Sub(began), err)
		}
	}
	if passed+failed == 0 {
		return cli.Usagef("-run %q: no check has that in its name", cli.Clip(s.only, cli.MaxShown))
	}
	if s.output.JSON {
		con.Emit(&event.Event{Event: event.Summary, Client: -1, Fields: []event.Data{event.Int("passed", int64(passed)), event.Int("failed", int64(failed))}})
	} else {
		fmt.Fprintf(con, "%d passed, %d failed\n", passed, failed)
	}
	if failed > 0 {
		return cli.Fail(cli.ExitFailure, fmt.Errorf("%d of %d checks failed", failed, passed+failed))
	}
	return nil
}

// tell prints the outcome of a check.
func (s *selftest) tell(con *cli.Console, name string, took time.Duration, err error) {
	if s.output.JSON {
		e := &event.Event{Event: "check", Client: -1, Fields: []event.Data{event.Text("name", name), event.Float("ms", float64(took.Microseconds())/1000)}}
		if err != nil {
			e.Err = cli.ErrorText(err)
		}
		con.Emit(e)
		return
	}
	if err != nil {
		fmt.Fprintf(con, "FAIL  %s: %s\n", name, event.Field(cli.ErrorText(err)))
		return
	}
	fmt.Fprintf(con, "ok    %s (%d ms)\n", name, took.Milliseconds())
}

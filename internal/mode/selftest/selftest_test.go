package selftest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"socketsrv/internal/cli"
)

func TestSelftest(t *testing.T) {
	broken := cli.Mode{Name: "broken", Setup: func(fs *cli.Flags) cli.Func {
		return func(context.Context, *cli.Env, []string) error { return nil }
	}, Checks: []cli.Check{
		{Name: "works", Run: func(context.Context, *cli.Bench) error { return nil }},
		{Name: "does not", Run: func(context.Context, *cli.Bench) error { return errors.New("no\x1b[2J") }},
		{Name: "says the wrong thing", Run: func(ctx context.Context, b *cli.Bench) error { return b.Run(ctx, "something", "broken") }},
		{Name: "never listens", Run: func(ctx context.Context, b *cli.Bench) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, _, err := b.Start(ctx, "tcp", "broken")
			return err
		}},
	}}
	in := cli.StartInside(t.Context(), cli.Table{broken, Mode}, "selftest")
	if code, err := in.Wait(t.Context()); code != cli.ExitFailure || err != nil {
		t.Errorf("exit %d, %v; want %d", code, err, cli.ExitFailure)
	}
	out := in.Stdout.String()
	for _, want := range []string{"ok    broken: works (", "FAIL  broken: does not: no\\x1b[2J\n", "FAIL  broken: says the wrong thing: socketsrv broken: exit 0, \"\"; want", "FAIL  broken: never listens: ", "\n1 passed, 3 failed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("stdout has no %q: %s", want, out)
		}
	}
	in = cli.StartInside(t.Context(), cli.Table{broken, Mode}, "selftest", "-run", "wroks")
	if code, err := in.Wait(t.Context()); code != cli.ExitUsage || err != nil {
		t.Errorf("no check of that name: exit %d, %v; want %d", code, err, cli.ExitUsage)
	}
	in = cli.StartInside(t.Context(), cli.Table{broken, Mode}, "selftest", "-run", "works", "-json")
	if code, err := in.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit %d, %v; want 0", code, err)
	}
	if out := in.Stdout.String(); !strings.Contains(out, `"event":"check","name":"broken: works"`) || !strings.Contains(out, `"passed":1,"failed":0`) {
		t.Errorf("events: %s", out)
	}
}

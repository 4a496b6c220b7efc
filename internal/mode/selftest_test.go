package mode

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestSelftest(t *testing.T) {
	broken := Mode{Name: "broken", Setup: func(fs *Flags) Func {
		return func(context.Context, *Env, []string) error { return nil }
	}, Checks: []Check{
		{"works", func(context.Context, *Bench) error { return nil }},
		{"does not", func(context.Context, *Bench) error { return errors.New("no\x1b[2J") }},
		{"says the wrong thing", func(ctx context.Context, b *Bench) error { return b.run(ctx, "something", "broken") }},
		{"never listens", func(ctx context.Context, b *Bench) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, _, err := b.start(ctx, "tcp", "broken")
			return err
		}},
	}}
	in := startInside(t.Context(), Table{broken, Selftest}, "selftest")
	if code, err := in.wait(t.Context()); code != ExitFailure || err != nil {
		t.Errorf("exit %d, %v; want %d", code, err, ExitFailure)
	}
	out := in.stdout.String()
	for _, want := range []string{"ok    broken: works (", "FAIL  broken: does not: no\\x1b[2J\n", "FAIL  broken: says the wrong thing: socketsrv broken: exit 0, \"\"; want", "FAIL  broken: never listens: ", "\n1 passed, 3 failed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("stdout has no %q: %s", want, out)
		}
	}
	in = startInside(t.Context(), Table{broken, Selftest}, "selftest", "-run", "wroks")
	if code, err := in.wait(t.Context()); code != ExitUsage || err != nil {
		t.Errorf("no check of that name: exit %d, %v; want %d", code, err, ExitUsage)
	}
	in = startInside(t.Context(), Table{broken, Selftest}, "selftest", "-run", "works", "-json")
	if code, err := in.wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit %d, %v; want 0", code, err)
	}
	if out := in.stdout.String(); !strings.Contains(out, `"event":"check","name":"broken: works"`) || !strings.Contains(out, `"passed":1,"failed":0`) {
		t.Errorf("events: %s", out)
	}
}

package dump

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"socketsrv/internal/cli"
	"socketsrv/internal/talk"
)

// A goal is what -count, -expect and -timeout ask for.
type goal struct {
	count   int
	expect  string
	timeout time.Duration

	mu      sync.Mutex
	came    int
	whole   *talk.Matcher // looks at messages
	matched bool
	met     chan struct{} // closed when all has come
}

func (g *goal) flags(fs *cli.Flags) {
	g.met = make(chan struct{})
	fs.Int(&g.count, "count", "N", 0, 1<<30, "Ends well after N messages of clients have come; exits with 10 if it ends before.")
	fs.Func("expect", "REGEX", "Ends well once what clients send matches; exits with 10 if it ends before.", func(s string) (err error) {
		g.expect = s
		g.whole, err = talk.NewMatcher(s)
		return err
	})
	fs.Duration(&g.timeout, "timeout", "Gives up after D and exits with 28.")
}

func (g *goal) given() bool { return g.count > 0 || g.expect != "" }

// stream returns what looks for the match in the bytes of one stream.
func (g *goal) stream() *talk.Matcher {
	if g.expect == "" {
		return nil
	}
	m, _ := talk.NewMatcher(g.expect) // it could be compiled before
	return m
}

// look is told of each message, in the order of each client.
func (g *goal) look(c *client, p []byte) {
	if !g.given() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.isMet()
	g.came++
	if c.stream != nil {
		g.matched = c.stream.Stream(p) || g.matched
	} else if g.whole != nil {
		g.matched = g.whole.Message(p) || g.matched
	}
	if !before && g.isMet() {
		close(g.met)
	}
}

func (g *goal) isMet() bool { return g.came >= g.count && (g.matched || g.expect == "") }

// watch ends the program when the goal is met and what is to be sent before that,
// until talked is closed, was sent; or when the time is up.
func (g *goal) watch(ctx context.Context, talked <-chan struct{}, quit context.CancelCauseFunc) {
	var late <-chan time.Time
	if g.timeout > 0 {
		timer := time.NewTimer(g.timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ctx.Done():
		return
	case <-late:
		quit(cli.Fail(cli.ExitTimeout, fmt.Errorf("gave up after %s", cli.FormatDuration(g.timeout))))
		return
	case <-g.met:
	}
	select {
	case <-talked:
	case <-late:
	case <-ctx.Done():
	}
	quit(nil)
}

// missed says what did not come; nil: nothing.
func (g *goal) missed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.given() || g.isMet():
		return nil
	case g.came < g.count:
		return cli.Fail(cli.ExitExpect, fmt.Errorf("%d of %s came", g.came, cli.Plural(int64(g.count), "message")))
	}
	return cli.Fail(cli.ExitExpect, errors.New("nothing that came matches -expect"))
}

package judge

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"socketsrv/internal/accept"
)

// ErrGone is wrapped by the error for a server that cannot be connected to any more.
var ErrGone = errors.New("the server is gone")

// Server judges an echo server; dial connects to it, TLS included, once for each case,
// and host and target are what the requests have as such. The results come in the order
// of the cases, of those that were played. The error is that of a server that cannot be
// reached, or of ctx.
func Server(ctx context.Context, dial func(context.Context) (net.Conn, error), host, target string, o Options) ([]Result, error) {
	nc, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	nc.Close()
	o = o.withDefaults()
	var once sync.Once
	agent := o.Agent
	here, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	cases := slices.DeleteFunc(Select(ServerSide, o), func(c Case) bool { return o.excepted(o.Agent, c.ID) })
	all := o.all(ctx, cases, func(ctx context.Context, c Case) Result {
		if here.Err() != nil {
			return Result{}
		}
		r := Result{Case: c, Side: ServerSide, Started: time.Now()}
		server, err := o.playServer(ctx, dial, host, target, &r)
		if errors.Is(err, ErrGone) {
			gone(err)
			return Result{}
		} else if ctx.Err() != nil {
			return Result{}
		}
		once.Do(func() { agent = cmp.Or(agent, server, "UnknownServer") })
		r.Agent = agent
		r.Duration = time.Since(r.Started)
		r.judged(err, o.Limit > 0)
		return r
	})
	return slices.DeleteFunc(all, Result.unplayed), context.Cause(here)
}

// playServer plays a case with a server; it returns what the server calls itself.
func (o Options) playServer(ctx context.Context, dial func(context.Context) (net.Conn, error), host, target string, r *Result) (string, error) {
	nc, err := dial(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrGone, err)
	}
	t := newTap(nc, o.Wait, o.Wait)
	p := newProber(t, bufio.NewReader(t), ServerSide, r.Case, o)
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	defer p.close()
	server, refused, err := p.openAsClient(host, target, o.Fields, r.Case)
	if err == nil && !refused {
		err = cmp.Or(p.play(r.steps), p.doubt)
	} else {
		err = p.leave(err)
	}
	p.close() // now nobody writes
	r.Turns, r.RemoteCode = p.turns, p.closedBy
	return server, err
}

// leave ends a conversation that cannot go on as the case wants it, but in good form.
func (p *prober) leave(judged error) error {
	var f *finding
	if errors.As(judged, &f) && f.grade == Unimplemented {
		if err := mustEnd()(p); err != nil {
			return graded(Unimplemented, Unclean, "%v; then %v", judged, err)
		}
	}
	return judged
}

// driven is the clients that drive themselves through the cases.
type driven struct {
	Options
	cases    []Case
	onReport func(agent string, results []Result) (last bool)
	stop     context.CancelFunc

	mu      sync.Mutex
	changed *sync.Cond
	results map[string]map[string]Result // by agent and case
	running map[string]int               // cases by agent
}

// Client judges the echo clients that connect to ln, as many at once as it accepts,
// until ctx is done or ln is closed. A client asks /getCaseCount, connects to /runCase?case=N&agent=A for each
// N from 1, may ask /getCaseStatus?case=N&agent=A and /getCaseInfo?case=N, and ends
// with /updateReports?agent=A: then onReport gets its results, in the order of the
// cases, and tells whether that client was the last one; Client then returns nil.
// These are the URLs of wstest.
func Client(ctx context.Context, ln net.Listener, o Options, onReport func(agent string, results []Result) (last bool)) error {
	outer := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d := &driven{Options: o.withDefaults(), cases: Select(ClientSide, o), onReport: onReport, stop: stop,
		results: map[string]map[string]Result{}, running: map[string]int{}}
	d.changed = sync.NewCond(&d.mu)
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	large := make(chan struct{}, 2)
	err := accept.Serve(ln, func(nc net.Conn) {
		defer context.AfterFunc(ctx, func() { nc.Close() })()
		d.serve(ctx, nc, large)
	}, nil)
	return cmp.Or(err, outer.Err())
}

func (d *driven) serve(ctx context.Context, nc net.Conn, large chan struct{}) {
	t := newTap(nc, d.Wait, d.Wait)
	br := bufio.NewReader(t)
	start, f, err := readHead(br)
	u, query := &url.URL{}, url.Values{}
	if err == nil {
		u, query = targetOf(start)
	}
	agent := query.Get("agent")
	n, _ := strconv.Atoi(query.Get("case"))
	known := n >= 1 && n <= len(d.cases)
	switch {
	case err != nil:
		nc.Close()
	case u.Path == "/runCase" && known && agent != "":
		c := d.cases[n-1]
		if c.heavy {
			large <- struct{}{}
			defer func() { <-large }()
		}
		d.run(ctx, newProber(t, br, ClientSide, c, d.Options), start, f, c, agent)
	default:
		d.tell(newProber(t, br, ClientSide, newCase("0", ""), d.Options), start, f, u.Path, agent, n, known)
	}
}

func targetOf(start string) (*url.URL, url.Values) {
	var method, target string
	_, _ = fmt.Sscanf(start, "%s %s", &method, &target)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{}
	}
	return u, u.Query()
}

// run plays a case with a client whose request has been read.
func (d *driven) run(ctx context.Context, p *prober, start string, f map[string]string, c Case, agent string) {
	if !d.admit(agent) {
		p.close()
		return
	}
	r := Result{Case: c, Agent: agent, Side: ClientSide, Started: p.start}
	d.count(agent, 1)
	defer d.count(agent, -1)
	var err error
	if !d.excepted(agent, c.ID) {
		if err = p.openAsServer(start, f, c); err == nil {
			err = p.play(c.steps)
		} else {
			err = p.leave(err)
		}
	}
	p.flush()
	p.close()
	r.Turns, r.RemoteCode, r.Duration = p.turns, p.closedBy, time.Since(r.Started)
	r.judged(err, d.Limit > 0)
	if d.excepted(agent, c.ID) || ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results[agent][c.ID] = r
	if d.OnResult != nil {
		d.OnResult(r)
	}
}

// maxAgents is how many clients a run has results of.
const maxAgents = 100

// admit makes room for the results of a client.
func (d *driven) admit(agent string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.results[agent] == nil && len(d.results) < maxAgents {
		d.results[agent] = map[string]Result{}
	}
	return d.results[agent] != nil
}

func (d *driven) count(agent string, n int) {
	d.mu.Lock()
	d.running[agent] += n
	d.mu.Unlock()
	d.changed.Broadcast()
}

// tell serves the URLs that are no case.
func (d *driven) tell(p *prober, start string, f map[string]string, path, agent string, n int, known bool) {
	last := false
	defer func() {
		p.close()
		if last {
			d.stop()
		}
	}()
	if p.openAsServer(start, f, Case{}) != nil {
		return
	}
	answer := func(v any) {
		b, _ := json.Marshal(v)
		p.sendAll([]wireFrame{tx(1, b)})
	}
	switch {
	case path == "/getCaseCount":
		answer(len(d.cases))
	case path == "/getCaseInfo" && known:
		answer(map[string]string{"id": d.cases[n-1].ID, "description": d.cases[n-1].Title})
	case path == "/getCaseStatus" && known:
		if r, ok := d.finished(agent)[d.cases[n-1].ID]; ok {
			answer(map[string]string{"behavior": r.Behavior.String()})
		}
	case path == "/updateReports":
		last = d.report(agent)
	}
	_ = mustEnd()(p)
}

// finished is the results of an agent, when none of its cases is still running.
func (d *driven) finished(agent string) map[string]Result {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running[agent] > 0 {
		d.changed.Wait()
	}
	return maps.Clone(d.results[agent])
}

func (d *driven) report(agent string) (last bool) {
	results := d.finished(agent)
	var all []Result
	for _, c := range d.cases {
		if r, ok := results[c.ID]; ok {
			all = append(all, r)
		}
	}
	return d.onReport(agent, all)
}

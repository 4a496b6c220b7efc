package ping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/wsproto"
)

// Mode measures how long a peer takes to answer, as ping(8) does.
//
// What can be asked while an earlier question is open, ping frames, is in
// pingws.go; what is asked one after another (connections, HEAD, lines) in
// pingprobe.go. Both report to the pinger, which prints and counts.
var Mode = cli.Mode{
	Name: "ping", Args: "URL",
	Brief: "round-trip times: ping frames of ws wss; tcp tls connecting; http(s) HEAD; line",
	Examples: []string{
		"socketsrv -ping ws://localhost:8008",
		"socketsrv -ping -c 10 -i 200ms tcp://localhost:1234",
		"socketsrv -ping -c 1000 -f -q localhost:8008",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		p := &ping{interval: time.Second, wait: 5 * time.Second, size: 56}
		fs.Group("Ping")
		fs.Int(&p.count, "c count", "N", 0, 1<<30, "Ends after N pings; 0: at Ctrl-C.")
		fs.Duration(&p.interval, "i interval", "Waits so long between two.")
		fs.Size(&p.size, "s size", "Sends so many bytes of payload, 125 at most; ws and wss.")
		fs.Duration(&p.wait, "W wait", "Waits so long for an answer.")
		fs.Switch(&p.flood, "f flood", "Sends the next at the answer, or after 10 ms; ws and wss.")
		fs.Switch(&p.stdin, "stdin", "Sends each line of stdin as a payload; ws and wss.")
		p.ws = dial.AddWebSocket(fs)
		p.tls = dial.AddTLS(fs)
		p.output = fs.Output()
		fs.Check(p.check)
		return p.run
	},
}

// ping is what the flags said.
type ping struct {
	count          int
	interval, wait time.Duration
	size           int64
	flood, stdin   bool

	ws     *dial.WebSocket
	tls    *dial.TLS
	output *cli.Output
}

func (p *ping) check() error {
	switch {
	case p.size > maxPingPayload:
		return cli.Usagef("-s: want at most %d bytes", maxPingPayload)
	case p.stdin && p.flood:
		return cli.Usagef("-stdin and -f exclude each other")
	case p.wait == 0:
		return cli.Usagef("-W: want more than 0")
	case p.interval == 0:
		p.flood = true
	}
	return nil
}

// maxPingPayload is what fits into a control frame (RFC 6455 §5.5).
const maxPingPayload = 125

func (p *ping) run(ctx context.Context, env *cli.Env, args []string) error {
	t, err := parsePingTarget(args[0])
	if err != nil {
		return err
	}
	if (p.flood || p.stdin) && !t.WebSocket() {
		return cli.Usagef("-f and -stdin are for ws and wss")
	}
	con, err := p.output.Open(env)
	if err != nil {
		return err
	}
	defer con.Close()
	run := &pinger{ping: p, con: con, env: env, target: t, start: time.Now(),
		dots: p.flood && env.TTYOut != nil && !p.output.Quiet && !p.output.JSON}
	run.client = &dial.Client{WS: p.ws, TLS: p.tls, Output: p.output, MaxMessage: wsproto.DefaultMaxMessage}
	if t.WebSocket() {
		err = run.frames(ctx)
	} else {
		err = run.probes(ctx)
	}
	if run.sent == 0 {
		return cmp.Or(err, ctx.Err())
	}
	run.summary()
	return run.outcome(ctx, err)
}

// parsePingTarget reads what connect takes, and URLs of http.
func parsePingTarget(arg string) (dial.Target, error) {
	if scheme, _, _ := strings.Cut(strings.ToLower(arg), "://"); scheme == "http" || scheme == "https" {
		w, err := httpmini.ParseWhere(arg, "")
		if err != nil {
			return dial.Target{}, cli.Usagef("want %s://host[:port][/path]: %v", scheme, err)
		}
		return dial.Target{Scheme: w.Scheme, Address: w.Address(), Shown: w.String(), Where: w}, nil
	}
	t, err := dial.ParseTarget(arg, "none")
	if err == nil && t.Scheme == "udp" {
		err = cli.Usagef("want a URL of ws wss tcp tls unix line http https, or host:port")
	}
	return t, err
}

// A pinger is one run of ping: it numbers the pings, knows those that are open,
// prints and counts. Its methods may be called from any goroutine.
type pinger struct {
	*ping
	client *dial.Client
	con    *cli.Console
	env    *cli.Env
	target dial.Target
	start  time.Time
	dots   bool // a dot for each ping, taken back by its answer

	mu         sync.Mutex
	sent       int
	open       []openPing // the oldest first, maxOpenPings at most
	times      roundTrips
	duplicates int
	unasked    int
	failure    error // the last one
}

// An openPing waits for its answer.
type openPing struct {
	seq     int
	payload string
	at      time.Time
	noted   bool // that it takes too long
}

const (
	maxOpenPings = 4096
	floodPause   = 10 * time.Millisecond // as ping(8) has it
)

// print prints a line, unless only the summary is wanted.
func (p *pinger) print(format string, args ...any) {
	if p.output.Quiet || p.output.JSON || p.flood && !p.output.Verbose {
		return
	}
	line := fmt.Sprintf(format, args...)
	if p.output.Style.Time {
		line = p.con.Now().Format(event.TimeLayout) + line
	}
	p.con.Write(append(event.AppendCut(nil, line, cli.MaxStatusLine), '\n'))
}

// title is the first line.
func (p *pinger) title(peer string) {
	size := ""
	if p.target.WebSocket() && !p.stdin {
		size = fmt.Sprintf(", %d bytes", p.size)
	}
	if !p.output.Quiet && !p.output.JSON {
		fmt.Fprintf(p.con, "PING %s (%s)%s\n", event.Field(p.target.Shown), peer, size)
	}
}

// begin notes a ping before it goes out, and returns its number. The payload is
// made from that.
func (p *pinger) begin(payload func(seq int) string) openPing {
	p.mu.Lock()
	defer p.mu.Unlock()
	ping := openPing{seq: p.sent, payload: payload(p.sent), at: time.Now()}
	p.sent++
	if len(p.open) == maxOpenPings {
		p.open = p.open[1:] // it stays lost
	}
	p.open = append(p.open, ping)
	if p.dots {
		p.con.Write([]byte{'.'})
	}
	return ping
}

// answered notes an answer; of says to which pings, !ok that nobody asked for it.
// detail ends its line.
func (p *pinger) answered(at time.Time, of func(openPing) bool, payload []byte, detail string) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, ping := range p.open {
		if !of(ping) {
			continue
		}
		p.open = append(p.open[:i:i], p.open[i+1:]...)
		took := at.Sub(ping.at)
		p.times.add(took)
		if p.dots {
			p.con.Write([]byte("\b \b"))
		}
		late := ""
		if ping.noted {
			late = ", late"
		}
		size := ""
		if p.target.WebSocket() {
			size = fmt.Sprintf(" size=%d", len(payload))
		}
		p.print("%s: seq=%d%s time=%s ms%s", p.answerName(), ping.seq, size, number(took), detail+late)
		p.event(p.answerName(), payload, event.Int("seq", int64(ping.seq)), event.Float("ms", inMilliseconds(took)))
		return true
	}
	return false
}

func (p *pinger) answerName() string {
	switch p.target.Scheme {
	case "tcp", "tls", "unix":
		return "connected"
	case "http", "https":
		return "answer"
	}
	return event.Pong
}

// lost notes that a ping, the oldest that is open, will not be answered.
func (p *pinger) lost(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ping := p.open[0]
	p.open, p.failure = p.open[1:], err
	p.print("no answer: seq=%d: %s", ping.seq, cli.ErrorText(err))
	p.lostEvent(int64(ping.seq), cli.ErrorText(err))
}

// overdue says which pings are open for longer than they should.
func (p *pinger) overdue(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.open {
		ping := &p.open[i]
		if now.Sub(ping.at) < p.wait {
			return
		}
		if !ping.noted {
			ping.noted = true
			p.print("no answer: seq=%d after %v", ping.seq, p.wait)
			p.lostEvent(int64(ping.seq), "no answer in time")
		}
	}
}

// event is for -json.
func (p *pinger) event(kind string, payload []byte, fields ...event.Data) {
	p.con.Event(event.Event{Event: kind, Proto: p.target.Scheme, Client: -1, Dir: event.In, Payload: payload, Fields: fields})
}

func (p *pinger) lostEvent(seq int64, why string) {
	p.con.Event(event.Event{Event: "lost", Proto: p.target.Scheme, Client: -1, Dir: event.In, Err: why, Fields: []event.Data{event.Int("seq", seq)}})
}

// summary prints what came of it all.
func (p *pinger) summary() {
	p.mu.Lock()
	defer p.mu.Unlock()
	received, t := p.times.n, &p.times
	loss := 100 * float64(p.sent-received) / float64(p.sent)
	low, average, high, p99 := t.low, t.average(), t.high, t.quantile(0.99)
	p.con.Event(event.Event{Event: event.Summary, Proto: p.target.Scheme, Client: -1, Fields: []event.Data{
		event.Int("sent", int64(p.sent)), event.Int("received", int64(received)), event.Float("loss_percent", loss),
		event.Int("duplicates", int64(p.duplicates)), event.Int("unasked", int64(p.unasked)),
		event.Float("min_ms", inMilliseconds(low)), event.Float("avg_ms", inMilliseconds(average)),
		event.Float("max_ms", inMilliseconds(high)), event.Float("p99_ms", inMilliseconds(p99)),
	}})
	if p.output.JSON {
		return
	}
	var b strings.Builder
	if p.dots || !p.output.Quiet {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "--- %s ---\n%d sent, %d received, %.4g%% lost in %v\n", event.Field(p.target.Shown),
		p.sent, received, loss, time.Since(p.start).Round(time.Millisecond))
	if p.duplicates+p.unasked > 0 {
		fmt.Fprintf(&b, "%d duplicate, %d that nobody asked for\n", p.duplicates, p.unasked)
	}
	if received > 0 {
		fmt.Fprintf(&b, "min/avg/max/p99 = %s/%s/%s/%s ms\n", number(low), number(average), number(high), number(p99))
	}
	p.con.Write([]byte(b.String()))
}

// outcome is what the run ends with: err is why it ended before its time.
func (p *pinger) outcome(ctx context.Context, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case p.times.n > 0:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case p.failure != nil && cli.ExitCode(p.failure) != cli.ExitTimeout:
		return cli.Fail(cli.ExitCode(p.failure), nil) // it was printed
	}
	return cli.Fail(cli.ExitExpect, errors.New("nothing came back"))
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func number(d time.Duration) string { return fmt.Sprintf("%.3f", inMilliseconds(d)) }

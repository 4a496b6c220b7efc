// Package conform judges WebSocket servers and clients by the cases of package
// judge: it reads what is wanted from the command line or from a file of wstest,
// connects or listens, and writes the results down. Begin reading with run.
package conform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/judge"
	"socketsrv/internal/listen"
)

// Mode judges.
var Mode = cli.Mode{
	Name: "conform", Args: "[URL...]", Brief: "judge WebSocket echo servers and clients: Autobahn's 517 cases, and ours",
	Aliases: []cli.Alias{{Name: "wstest"}},
	Examples: []string{
		"socketsrv -conform ws://localhost:8008",
		"socketsrv -conform -cases '7.*,x.close.*' -out reports ws://localhost:8008",
		"socketsrv -conform -port 9001 -once -junit junit.xml",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &conform{jobs: 8, options: judge.Options{Wait: 5 * time.Second}}
		fs.Group("Judging")
		fs.List(&c.options.Cases, "cases", "LIST", "Plays these cases only; * stands for anything: 1.*,x.close.*")
		fs.List(&c.options.Exclude, "exclude-cases", "LIST", "Leaves these cases out.")
		fs.String(&c.spec, "spec s", "FILE", "Reads servers, cases and the folder for reports from fuzzingclient.json or fuzzingserver.json of wstest.")
		fs.Choice(&c.mode, "m mode", "Is for those who come from wstest: reads fuzzingclient.json or fuzzingserver.json if -spec names no file.", fuzzingClient, fuzzingServer)
		fs.Int(&c.jobs, "j", "N", 1, 256, "Plays N cases at once.")
		fs.Duration(&c.options.Wait, "wait", "Gives the peer D for its next act.")
		fs.Switch(&c.full, "full", "Sends all 1,000 messages in each case of sections 12 and 13, which takes minutes; else as many as fit into 1 MiB.")
		fs.String(&c.options.Agent, "agent", "NAME", "Calls the server NAME in reports, in place of what it calls itself.")
		fs.Func("H header", "'N: V'", "Adds a field to the handshakes with a server.", c.addField)
		fs.Hide("header")
		fs.Group("Reports")
		fs.String(&c.out, "out", "DIR", "Writes index.json as Autobahn does, index.html and a file for each case into DIR.")
		fs.String(&c.junit, "junit", "FILE", "Writes the results into FILE as JUnit does.")
		fs.Switch(&c.tap, "tap", "Prints the results in the Test Anything Protocol.")
		fs.Switch(&c.once, "once", "Ends when the first client has asked for its reports.")
		c.listener = listen.AddListener(fs, "127.0.0.1", "9001")
		fs.Unlist("idle-timeout", "handshake-timeout", "message-timeout", "max-memory", "ping-interval", "ping-timeout", "grace")
		fs.ByName["max-message"].Usage = "Is the largest message that the peer accepts; not given, its limit is unknown and cannot fail a case."
		c.serverTLS = listen.AddTLS(fs)
		c.clientTLS = new(dial.TLS)
		fs.Group("TLS to wss:// servers")
		fs.Switch(&c.clientTLS.Options.Insecure, "k insecure", "Trusts any certificate of a server.")
		fs.String(&c.clientTLS.Options.CA, "server-cacert", "FILE", "Trusts the certificates in this PEM file only.")
		c.dialer = dial.AddDialer(fs)
		c.output = fs.Output()
		fs.ByName["quiet"].Usage = "Prints what failed, and the table."
		fs.Unlist("format", "raw", "max-show")
		fs.Check(c.check(fs))
		return c.run
	},
	Checks: []cli.Check{{Name: "an echo server", Run: func(ctx context.Context, b *cli.Bench) error {
		_, addr, err := b.Start(ctx, "ws", "echo", "-port", "0")
		if err != nil {
			return err
		}
		return b.Run(ctx, "TAP version 13\nok 1 - 2.2 a ping is answered with its payload\n1..1\n", "conform", "-tap", "-cases", "2.2", "ws://"+addr)
	}}},
}

// What wstest calls judging servers, and judging clients.
const fuzzingClient, fuzzingServer = "fuzzingclient", "fuzzingserver"

// conform is what the flags said, and the judge at work.
type conform struct {
	options    judge.Options
	mode, spec string
	jobs       int
	full, tap  bool
	once       bool
	placed     bool // the command line says where to listen
	out, junit string
	listener   *listen.Listener
	serverTLS  *listen.TLS
	clientTLS  *dial.TLS
	dialer     *dial.Dialer
	output     *cli.Output

	con     *cli.Console
	mu      sync.Mutex
	shown   int
	results []judge.Result
}

func (c *conform) addField(s string) error {
	f, err := cli.ParseField(s)
	if err == nil {
		err = cli.CheckHandshakeField(f)
	}
	c.options.Fields += f.Name + ": " + f.Value + "\r\n"
	return err
}

func (c *conform) check(fs *cli.Flags) func() error {
	return func() error {
		if c.tap && c.output.JSON {
			return cli.Usagef("-tap and -json exclude each other")
		}
		if fs.Given("max-message") {
			c.options.Limit = c.listener.MaxMessage
		}
		c.options.Jobs = c.jobs
		c.placed = fs.Given("host") || fs.Given("port")
		if c.full {
			c.options.Volume = judge.Full
		}
		c.options.OnResult = c.show
		return nil
	}
}

func (c *conform) run(ctx context.Context, env *cli.Env, args []string) error {
	servers, err := c.readSpec(args)
	if err != nil {
		return err
	}
	if c.out != "" { // now, not after all the work
		if err := os.MkdirAll(c.out, 0o777); err != nil {
			return cli.Fail(cli.ExitWrite, err)
		}
	}
	if c.con, err = c.output.Open(env); err != nil {
		return err
	}
	defer c.con.Close()
	if c.tap {
		fmt.Fprintln(c.con, "TAP version 13")
	}
	for i := 0; i < len(servers) && err == nil; i++ {
		if err = c.server(ctx, env, servers[i]); err != nil && len(servers) > 1 {
			err = fmt.Errorf("server %d: %w", i+1, err)
		}
	}
	if len(servers) == 0 {
		err = c.clients(ctx, env)
	}
	return cmp.Or(c.finish(), err, c.verdict())
}

// readSpec adds what a file of wstest says to the command line, which goes first;
// it returns the servers to judge, none if clients are.
func (c *conform) readSpec(args []string) ([]server, error) {
	var all []server
	for _, arg := range args {
		all = append(all, server{arg, c.options.Agent})
	}
	if c.spec == "" && c.mode != "" && len(args) == 0 {
		c.assumeSpec(c.mode + ".json")
	}
	if c.spec == "" {
		return all, nil
	}
	f, err := os.Open(c.spec)
	if err != nil {
		return nil, cli.Fail(cli.ExitRead, err)
	}
	defer f.Close()
	spec, err := judge.ReadSpec(f)
	if err != nil {
		return nil, cli.Fail(cli.ExitRead, fmt.Errorf("%s: %w", c.spec, err))
	}
	c.out = cmp.Or(c.out, spec.Outdir)
	if len(c.options.Cases) == 0 {
		c.options.Cases = spec.Cases
	}
	c.options.Exclude = append(c.options.Exclude, spec.Exclude...)
	c.options.Except = spec.Except
	if len(args) > 0 {
		return all, nil
	}
	for _, s := range spec.Servers {
		all = append(all, server{s.URL, cmp.Or(c.options.Agent, s.Agent)})
	}
	u, err := url.Parse(spec.URL)
	if err == nil && !c.placed && u.Port() != "" {
		c.listener.Listen(u.Hostname(), u.Port())
	}
	if err == nil && u.Scheme == "wss" {
		c.serverTLS.Enable()
	}
	return all, nil
}

// assumeSpec takes the file that wstest looks for, or for clients what wstest writes
// into one.
func (c *conform) assumeSpec(name string) {
	if _, err := os.Stat(name); err == nil || c.mode == fuzzingClient {
		c.spec = name
		return
	}
	c.out = cmp.Or(c.out, "reports/clients")
	if len(c.options.Cases) == 0 {
		c.options.Cases = []string{"*"}
	}
}

// server is one to judge.
type server struct{ url, agent string }

func (c *conform) server(ctx context.Context, env *cli.Env, s server) error {
	t, err := dial.ParseWebSocket(s.url)
	if err != nil {
		return err
	}
	w, err := httpmini.ParseWhere(t.Address, "")
	if err != nil {
		return cli.Usagef("%v", err)
	}
	client := &dial.Client{WS: &dial.WebSocket{Dialer: c.dialer}, TLS: c.clientTLS, Output: c.output}
	connect := func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := c.dialer.Timeout(ctx)
		defer cancel()
		nc, err := c.dialer.For(env, w.Scheme)(ctx, w.Network(), w.Address())
		if err == nil && w.Secure() {
			nc, err = client.StartTLS(ctx, c.con, nc, w.Address())
		}
		return nc, err
	}
	o := c.options
	o.Agent = s.agent
	_, err = judge.Server(ctx, connect, w.Authority(), w.Target(), o)
	if errors.Is(err, judge.ErrGone) {
		return cli.Fail(cli.ExitExpect, err)
	}
	return err
}

// clients judges those that connect, until the program is to end, or with -once
// until one has asked for its reports.
func (c *conform) clients(ctx context.Context, env *cli.Env) error {
	c.listener.Refuse = httpmini.Refuse
	ln, err := c.listener.Open(ctx, env, c.con, "ws", c.serverTLS)
	if err != nil {
		return err
	}
	defer ln.Close()
	c.con.Status("%s", cli.Plural(int64(len(judge.Select(judge.ClientSide, c.options))), "case"))
	err = judge.Client(ctx, ln, c.options, func(agent string, results []judge.Result) bool {
		c.con.Status("reports for %s", agent)
		if err := c.write(); err != nil {
			c.con.Error(err)
		}
		return c.once
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// show prints a result.
func (c *conform) show(r judge.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Agent = event.Escape(cli.Clip(r.Agent, 100)) // which a client chose: for the terminal, and for names of files
	again := slices.IndexFunc(c.results, func(old judge.Result) bool { return old.Agent == r.Agent && old.ID == r.ID })
	if again >= 0 { // a client that comes again
		c.results = slices.Delete(c.results, again, again+1)
	}
	c.results = append(c.results, r)
	c.shown++
	switch {
	case c.output.JSON:
		c.con.Emit(&event.Event{Event: "case", Client: -1, ID: r.ID, Peer: r.Agent, Code: r.RemoteCode, Fields: []event.Data{
			event.Text("judged", r.Side.String()), event.Text("behavior", r.Behavior.String()), event.Text("behaviorClose", r.Close.String()),
			event.Text("section", r.Section), event.Text("title", r.Title), event.Text("finding", r.Finding), event.Float("ms", float64(r.Duration.Microseconds())/1000)}})
	case c.tap:
		fmt.Fprintf(c.con, "%s", r.AppendTAP(nil, c.shown))
	case !c.output.Quiet || r.Worst() == judge.Failed:
		fmt.Fprintf(c.con, "%s", r.AppendText(nil, c.output.Verbose))
	}
}

// write writes the reports of all results so far.
func (c *conform) write() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out != "" {
		err = judge.WriteDir(c.out, c.results)
	}
	if c.junit != "" && err == nil {
		var f *os.File
		if f, err = os.Create(c.junit); err == nil {
			err = errors.Join(judge.WriteJUnit(f, c.results), f.Close())
		}
	}
	if err != nil {
		return cli.Fail(cli.ExitWrite, err)
	}
	return nil
}

// finish writes the reports and ends the list.
func (c *conform) finish() error {
	switch {
	case c.output.JSON:
	case c.tap:
		fmt.Fprintf(c.con, "1..%d\n", c.shown)
	case c.shown > 0:
		fmt.Fprintf(c.con, "%s", judge.AppendSummary(nil, c.results))
	}
	return c.write()
}

func (c *conform) verdict() error {
	failed := 0
	for _, r := range c.results {
		if !r.Passed() {
			failed++
		}
	}
	if failed > 0 {
		return cli.Fail(cli.ExitExpect, fmt.Errorf("%d of %d cases failed", failed, len(c.results)))
	}
	return nil
}

// Package curl is the mode -curl: an HTTP client with the command line of curl. What it
// does otherwise, and what it leaves out, stands in doc/curl.md.
//
// A command line becomes a command (options.go): option sets, one for each --next, and
// what holds for the whole run. flags.go is its table, values.go and config.go read what
// stands behind a flag, missing.go names the flags of curl's that are not there; a URL
// is a Where of httpmini (location.go) and may stand for many (glob.go), data.go, form.go
// and body.go are what is sent.
//
// A session (session.go) connects as the command says (way.go), with a tap on the
// connection where somebody listens (tap.go). Each URL becomes a transfer of it (run.go),
// which transfer.go takes through tries, redirects and logins (auth.go, netrc.go):
// request.go makes the request, show.go tells what goes and comes (-v, -i, -D) and
// meter.go how far it is, deliver.go judges the answer and passes its body on to an output
// (output.go), retry.go says what comes after an error, for which errors.go has curl's
// numbers and words, writeout.go is -w, cookies.go the files of cookies. ws.go is what a
// WebSocket does in place of an exchange.
//
// Begin reading at transfer.run.
package curl

import (
	"context"
	"io"
	"os"
	"socketsrv/internal/cli"
	"socketsrv/internal/tlsconf"
)

// Mode is an HTTP client with the command line of curl.
var Mode = cli.Mode{
	Name: "curl", Exits: exits, Args: "[URL...]",
	Brief: "HTTP client with curl's command line",
	Examples: []string{
		"socketsrv -curl -fsSL -o page.html http://localhost:8008/",
		"socketsrv -curl -I http://localhost:8008/",
		"socketsrv -curl -s -o page -w '%{http_code} %{time_total}\\n' localhost:8008",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &command{}
		c.flags(fs)
		return c.run
	},
	Checks: []cli.Check{
		formCheck("a form", "http"),
		formCheck("a form over TLS", "https", "-k"),
	},
}

// formCheck sends a form to httpd, which answers OK.
func formCheck(name, scheme string, flags ...string) cli.Check {
	return cli.Check{Name: name, Run: func(ctx context.Context, b *cli.Bench) error {
		server := []string{"httpd", "-D", "-port", "0"}
		if scheme == "https" {
			if !tlsconf.Available {
				return nil
			}
			server = append(server, "-tls")
		}
		_, addr, err := b.Start(ctx, scheme, server...)
		if err != nil {
			return err
		}
		line := append([]string{"curl", "-s", "-m", "4", "-F", "a=b", "-w", "%{http_code} %{method}"}, flags...)
		return b.Run(ctx, "OK\n200 POST", append(line, scheme+"://"+addr+"/")...)
	}}
}

func (c *command) run(ctx context.Context, env *cli.Env, _ []string) error {
	if err := c.check(); err != nil {
		return err
	}
	own := *env
	if c.stderr == "-" {
		own.TTYErr = env.TTYOut
	} else if c.stderr != "" {
		own.TTYErr = nil
	}
	r := newSession(c, &own)
	defer r.client.CloseIdle()
	for _, to := range []struct {
		name string
		w    *io.Writer
	}{{c.stderr, &own.Stderr}, {c.trace, &r.tracing}} {
		switch to.name {
		case "":
		case "-":
			*to.w = own.Stdout
		case "%":
			*to.w = own.Stderr
		default:
			f, err := os.Create(to.name)
			if err != nil {
				return cli.Fail(cli.ExitWrite, err)
			}
			defer f.Close()
			*to.w = f
		}
	}
	if c.bad != nil {
		return r.fatal(c.bad.code, "%s", c.bad.text)
	}
	return r.all(ctx)
}

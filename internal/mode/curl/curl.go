// Package curl is the mode -curl: an HTTP client with the command line of curl.
//
// A command line becomes a command (curl.go): option sets, one for each --next,
// and what holds for the whole run. flags.go and its neighbours read it,
// missing.go names the flags of curl's that are not there. A session (session.go)
// goes through the URLs, which location.go and glob.go read; each becomes a
// transfer (transfer.go): its request is made by request.go, with data.go, form.go
// and body.go for what is sent, and tried until it went well or --retry is used
// up; deliver.go judges the answer and passes its body on to an output
// (output.go). show.go is -v, -i and -D, meter.go the meter, writeout.go is -w,
// cookies.go the files of cookies, errors.go curl's numbers and words, ws.go what
// a WebSocket does in place of an exchange.
//
// Begin reading at transfer.run.
package curl

import (
	"context"
	"os"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
	"time"
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
		formCheck("a form over TLS", "https", "-tls"),
	},
}

// formCheck sends a form to httpd, which answers OK.
func formCheck(name, scheme string, server ...string) cli.Check {
	return cli.Check{Name: name, Run: func(ctx context.Context, b *cli.Bench) error {
		if scheme == "https" && !tlsconf.Available {
			return nil
		}
		_, addr, err := b.Start(ctx, scheme, append([]string{"httpd", "-D", "-port", "0"}, server...)...)
		if err != nil {
			return err
		}
		return b.Run(ctx, "OK\n200 POST", "curl", "-s", "-k", "-m", "4", "-F", "a=b", "-w", "%{http_code} %{method}", scheme+"://"+addr+"/")
	}}
}

// A command is what the flags said.
type command struct {
	ops     []options // those before each --next
	configs int       // files of -K
	options           // those after the last

	// Of the whole run.
	tls                  *dial.TLS
	proxyTLS             tlsconf.Options
	pinned               bool // by --pinnedpubkey
	resolves             []string
	proxySocket          string // the Unix socket of a SOCKS proxy
	proxy10              bool
	proxyAuth            string
	proxyHeaders         []field
	source               string // --interface
	firstPort, lastPort  int
	haproxy              bool
	haproxyIP            string
	stderr               string
	trace                string // the file of --trace
	traceText, traceTime bool
	http09, ignoreLength bool
	noURLUser            bool
	dialer               *dial.Dialer
	unixSocket           string
	connectTo            [][2]string
	tunnel               bool // -p
	stall                time.Duration
	proxyUser            string
	tlsMin13             bool
	silent               bool
	showError            bool
	verbose              bool
	showSecrets          bool
	bar                  bool // -#
	meter                bool
	failEarly            bool
}

// options are the flags that --next sets back.
type options struct {
	urls    []string
	outputs []target // the first one is for the first URL, and so on
	uploads []string // likewise

	method                string
	head, get             bool
	data                  []datum
	form                  *formPart
	open                  []*formPart // those of =( that are not closed, form first
	formEscape            bool
	headers               []field
	user, bearer          string
	hasUser               bool
	auth                  string // "digest", "any", or "" for Basic
	netrc, netrcOptional  bool
	netrcFile             string
	etagSave, etagCompare string
	agent                 string
	referer               string
	cookies               []string
	cookieJar             string
	junkSession           bool
	compressed            bool
	byteRange             string
	resume                string // -C: a number, "-", or ""
	timeCond              string
	urlQuery              []datum
	requestTarget         string
	protoDefault          string
	protocols             []string // allowed ones; nil: all
	maxRedirects          int      // -1: no limit
	obey                  bool     // --follow: a redirect may change the method of -X
	http10                bool
	asIs                  bool // --path-as-is
	noGlob                bool
	network               string // tcp, tcp4, tcp6

	follow    bool
	redirects httpmini.Redirects

	fail, failBody                   bool
	include                          bool
	dumpHeader                       string
	dumps                            int // heads written there
	raw                              bool
	suppressConnect                  bool // --suppress-connect-headers
	remoteAll                        bool
	remoteHeader                     bool
	remoteTime                       bool
	createDirs                       bool
	clobber, noClobber, skipExisting bool
	outputDir                        string
	writeOut                         string
	maxFile                          int64
	limitRate                        int64
	speedLimit                       int
	speedTime                        time.Duration
	maxTime                          time.Duration
	expectWait                       time.Duration

	retries      int
	retryDelay   time.Duration
	retryMax     time.Duration
	retryAll     bool
	retryRefused bool
}

// A target is where -o or -O sends a body.
type target struct {
	name   string // "-" is stdout
	remote bool   // -O: named after the URL
	null   bool   // --out-null
}

// A field is one -H.
type field struct {
	name, value string
	remove      bool // "Name:": the field that would be sent is not
}

func (c *command) run(ctx context.Context, env *cli.Env, _ []string) error {
	if err := c.check(); err != nil {
		return err
	}
	own := *env
	if c.stderr == "-" {
		own.Stderr, own.TTYErr = env.Stdout, env.TTYOut
	} else if c.stderr != "" {
		f, err := os.Create(c.stderr)
		if err != nil {
			return cli.Fail(cli.ExitWrite, err)
		}
		defer f.Close()
		own.Stderr, own.TTYErr = f, nil
	}
	r := newSession(c, &own)
	defer r.client.CloseIdle()
	switch c.trace {
	case "":
	case "-":
		r.tracing = own.Stdout
	case "%":
		r.tracing = own.Stderr
	default:
		f, err := os.Create(c.trace)
		if err != nil {
			return cli.Fail(cli.ExitWrite, err)
		}
		defer f.Close()
		r.tracing = f
	}
	return r.all(ctx)
}

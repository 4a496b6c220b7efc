package curl

import (
	"context"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
	"time"
)

// Mode is an HTTP client with the command line of curl.
//
// curlflags.go is that command line, curlurl.go and curlglob.go the URLs on it,
// curldata.go, curlform.go and curlbody.go what is sent, curlrequest.go the fields
// around that. curlrun.go goes through the URLs, curltransfer.go does one with its
// redirects and retries, curlws.go one of ws or wss. What comes goes to a place of
// curloutput.go; curlshow.go is -v, -i and the meter, curlwriteout.go is -w,
// curlcookies.go files of cookies, curlconfig.go -K, curlerrors.go curl's numbers and words.
var Mode = cli.Mode{
	Name: "curl", Exits: curlExits, Args: "[URL...]",
	Brief: "HTTP client with curl's command line",
	Examples: []string{
		"socketsrv -curl -fsSL -o page.html http://localhost:8008/",
		"socketsrv -curl -I http://localhost:8008/",
		"socketsrv -curl -s -o page -w '%{http_code} %{time_total}\\n' localhost:8008",
	},
	Setup: func(fs *cli.Flags) cli.Func {
		c := &curl{}
		c.flags(fs)
		return c.run
	},
	Checks: []cli.Check{
		curlCheck("a form", "http"),
		curlCheck("a form over TLS", "https", "-tls"),
	},
}

// curlCheck sends a form to httpd, which answers OK.
func curlCheck(name, scheme string, server ...string) cli.Check {
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

// curl is what the flags said.
type curl struct {
	ops         []curlOptions // those before each --next
	configs     int           // files of -K
	curlOptions               // those after the last

	// Of the whole run.
	tls         *dial.TLS
	dialer      *dial.Dialer
	unixSocket  string
	connectTo   [][2]string
	tunnel      bool // -p
	stall       time.Duration
	proxyUser   string
	tlsMin13    bool
	silent      bool
	showError   bool
	verbose     bool
	showSecrets bool
	bar         bool // -#
	meter       bool
	failEarly   bool
}

// curlOptions are the flags that --next sets back.
type curlOptions struct {
	urls    []string
	outputs []curlTarget // the first one is for the first URL, and so on
	uploads []string     // likewise

	method        string
	head, get     bool
	data          []datum
	form          []formPart
	headers       []curlField
	user, bearer  string
	hasUser       bool
	agent         string
	referer       string
	cookies       []string
	cookieJar     string
	junkSession   bool
	compressed    bool
	byteRange     string
	resume        string // -C: a number, "-", or ""
	timeCond      string
	urlQuery      []datum
	requestTarget string
	protoDefault  string
	protocols     []string // allowed ones; nil: all
	maxRedirects  int      // -1: no limit
	http10        bool
	asIs          bool // --path-as-is
	noGlob        bool
	network       string // tcp, tcp4, tcp6

	follow    bool
	redirects httpmini.Redirects

	fail, failBody bool
	include        bool
	dumpHeader     string
	dumps          int // heads written there
	raw            bool
	remoteAll      bool
	remoteHeader   bool
	remoteTime     bool
	createDirs     bool
	outputDir      string
	writeOut       string
	maxFile        int64
	limitRate      int64
	speedLimit     int
	speedTime      time.Duration
	maxTime        time.Duration
	expectWait     time.Duration

	retries      int
	retryDelay   time.Duration
	retryMax     time.Duration
	retryAll     bool
	retryRefused bool
}

// A curlTarget is where -o or -O sends a body.
type curlTarget struct {
	name   string // "-" is stdout
	remote bool   // -O: named after the URL
}

// A curlField is one -H.
type curlField struct {
	name, value string
	remove      bool // "Name:": the field that would be sent is not
}

func (c *curl) run(ctx context.Context, env *cli.Env, _ []string) error {
	if err := c.check(); err != nil {
		return err
	}
	r := newCurlRun(c, env)
	defer r.client.CloseIdle()
	return r.all(ctx)
}

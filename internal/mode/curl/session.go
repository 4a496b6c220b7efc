package curl

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/event"
	"socketsrv/internal/tlsconf"
	"strconv"
	"sync/atomic"
	"time"
)

// A session is one command line: its transfers share connections and cookies.
type session struct {
	*command
	env *cli.Env
	jar *httpmini.Jar // nil: no -b, no -c

	*way     // of the part under way, with its addresses, and what goes by it:
	wayGiven way
	client   httpmini.Client
	config   *tlsconf.Config // nil until it is needed

	now     *transfer   // the one under way, for what the client has to tell
	proxy   *dial.Proxy // of what is dialed next; nil is none
	toProxy bool        // what was dialed last is a proxy that the client knows

	logins     map[string]*login // by origin
	proxyLogin login
	tracing    io.Writer // of --trace; nil without it

	done int // transfers
}

func newSession(c *command, env *cli.Env) *session {
	s := &session{command: c, env: env, logins: map[string]*login{}}
	if slices.ContainsFunc(c.ops, func(o options) bool { return o.cookieJar != "" || slices.ContainsFunc(o.cookies, namesFile) }) {
		s.jar = new(httpmini.Jar)
	}
	return s
}

// goBy makes o's way that of the session, by another client where it is another one.
func (s *session) goBy(o *options) {
	own, given := o.way, o.way
	given.connectTo = nil // where that leads, the client keeps apart
	same := s.way != nil && reflect.DeepEqual(s.wayGiven, given)
	s.way, s.wayGiven = &own, given
	for _, entry := range o.resolves {
		s.dialer.AddResolve(entry)
	}
	if same {
		return
	}
	s.client.CloseIdle()
	s.config, s.proxyLogin = nil, login{way: o.proxyAuth}
	s.client = httpmini.Client{
		Dial: s.dial, TLS: s.secure, Proxy: s.proxyURL, Tunnel: s.tunnel, Proxy10: s.proxy10, IgnoreLength: s.ignoreLength,
		Resend: true, ConnectTo: s.connectAddress,
		ConnectTimeout: cmp.Or(s.dialer.ConnectTimeout, -1), HeadTimeout: cmp.Or(s.stall, -1), StallTimeout: cmp.Or(s.stall, -1),
		Trace: httpmini.Trace{
			Connected: func(way httpmini.Connection) { s.now.connected(way) },
			Sent:      func(q *httpmini.Request) { s.now.sent(q) },
			Received:  func(a *httpmini.Response) { s.now.received(a) },
		},
	}
	if s.watches() {
		s.client.Trace.Progress = func(sent, received int64) { s.now.progress(sent, received) }
	}
}

// say prints an error as curl does.
func (s *session) say(code int, text string) {
	if text != "" && (!s.silent || s.showError) {
		fmt.Fprintf(s.env.Stderr, "curl: (%d) %s\n", code, event.AppendCut(nil, text, cli.MaxErrorLine))
	}
}

func (s *session) warn(format string, args ...any) { s.tell("Warning", format, args...) }

func (s *session) tell(what, format string, args ...any) {
	if !s.silent {
		fmt.Fprintf(s.env.Stderr, "%s: %s\n", what, event.AppendCut(nil, fmt.Sprintf(format, args...), cli.MaxErrorLine))
	}
}

// A transfer is one URL with its redirects and retries.
type transfer struct {
	*session
	o       *options
	raw     string // the URL as it was typed, after {} and []
	number  int
	target  target
	upload  string // a file; "" is none
	content content
	given   []string        // cookies of -b
	came    httpmini.Header // Set-Cookie fields in a file of -b, for the host of the URL
	out     *output
	retried int   // how often it was tried again
	kept    int64 // bytes of earlier tries in a file that began empty

	attempt
}

// A attempt is what can be told of the last try of a transfer.
type attempt struct {
	url       httpmini.Where // what was asked for
	at        httpmini.Where // where the redirects have led
	atHome    bool           // that is still the same scheme, host and port
	body      *body
	resumeAt  int64
	condition time.Time // of -z

	begun    time.Time
	took     time.Duration
	conn     httpmini.Connection
	refused  bool // nobody listens there
	lookedUp time.Time

	held                []byte // heads that wait for the name of their file
	asking              bool   // what is sent is only a question for a challenge
	etag                string // of --etag-compare
	asked               string // the method of the last request, CONNECT too
	method, sentReferer string
	referer             string             // to be sent: with ;auto, where a redirect came from
	answer              *httpmini.Answer   // the last one
	heads               httpmini.Header    // the fields of all answers
	response            *httpmini.Response // the last final one, or what -z makes of it; none has the status 0
	connectStatus       int
	connects, fields    int
	redirects           int
	old                 bool // a server answered by HTTP/1.0: it is spoken from then on
	obeyed              bool // a redirect made another method of that of -X
	redirectTime        time.Duration
	redirectURL         string // that was not followed
	headerSize          int64
	headShown           int64 // of that with the body
	requestSize         int64
	down, up            int64
	headErr             error           // of writing a head
	faults              httpmini.Faults // that were shown

	// For the meter, which looks on from its own goroutine: bytes of bodies so far,
	// and in all where that is known.
	gone, got, toGo, toCome atomic.Int64

	exit    int
	message string
}

func (t *transfer) version() string {
	if t.response.Status == 0 {
		return "0"
	}
	return "1." + strconv.Itoa(t.response.Minor)
}

// since is how long after the beginning something happened.
func (t *transfer) since(at time.Time) time.Duration {
	if at.Before(t.begun) {
		return 0
	}
	return at.Sub(t.begun)
}

// effective is where the redirects have led.
func (t *transfer) effective() string {
	if t.redirects == 0 {
		return t.url.String() + t.url.Fragment
	}
	return t.at.String()
}

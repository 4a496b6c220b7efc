package curl

import (
	"socketsrv/httpmini"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
	"strings"
	"time"
)

// A command is what the flags said.
type command struct {
	ops     []options // those before each --next
	configs int       // files of -K
	bad     *failure  // a value that nothing can begin with
	options           // those after the last

	// Of the whole run.
	flagTLS              *dial.TLS // what goes to way.tls with the next --next
	stderr               string
	trace                string // the file of --trace
	traceText, traceTime bool
	silent               bool
	showError            bool
	verbose              bool
	showSecrets          bool
	bar                  bool // -#
	meter                bool
	failEarly            bool
}

// A way is what says how a server is reached: parts of a command line that have the same
// one share connections.
type way struct {
	tls, proxyTLS        tlsconf.Options
	pinned               bool // by --pinnedpubkey
	tlsMin13             bool
	dialer               dial.Dialer
	unixSocket           string
	connectTo            [][2]string
	source               string // --interface
	firstPort, lastPort  int
	haproxy              bool
	haproxyIP            string
	proxyUser, proxyAuth string
	proxyHeaders         []field
	proxySocket          string // the Unix socket of a SOCKS proxy
	proxy10              bool
	tunnel               bool // -p
	http09, ignoreLength bool
	stall                time.Duration
}

// options are the flags that --next sets back.
type options struct {
	way
	resolves  []string // which --next keeps
	noURLUser bool

	urls    []string
	outputs []target // the first one is for the first URL, and so on
	uploads []string // likewise

	method                string
	head, get             bool
	data                  []datum
	form                  *formPart
	open                  []*formPart // those of =( that are not closed, form first
	formEscape, gzip      bool
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
	redirProtocols        []string // likewise, in redirects
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

// given is what a list of -H says of a field, nil if it does not.
func given(list []field, name string) *field {
	for i := range list {
		if strings.EqualFold(list[i].name, name) {
			return &list[i]
		}
	}
	return nil
}

// field is what -H gives that field, "" if it does not.
func (o *options) field(name string) string {
	if f := given(o.headers, name); f != nil {
		return f.value
	}
	return ""
}

// replaces says whether -H speaks of that field.
func (o *options) replaces(name string) bool { return given(o.headers, name) != nil }

// userAgent is the User-Agent. Some servers have plain text for who has curl in it.
const userAgent = "socketsrv-curl/1"

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

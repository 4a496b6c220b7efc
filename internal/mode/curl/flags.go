package curl

import (
	"fmt"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"strconv"
	"strings"
	"time"
)

// Where curl itself has no limit, or a wide one.
const (
	connectTime   = time.Minute
	stallTime     = 5 * time.Minute
	mostRedirects = 10
)

// defaults are the flags at the start and after --next.
func defaults() options {
	return options{
		way:     way{stall: stallTime, dialer: dial.Dialer{ConnectTimeout: connectTime}},
		network: "tcp", agent: userAgent, maxRedirects: mostRedirects, expectWait: time.Second,
	}
}

// A flag is one of the command line: to is what it sets, by its type, or a function
// that does.
type flag struct {
	names, arg, usage string
	to                any
}

// flags adds the command line. What few will look for is not listed in help; what
// means nothing here is taken by ignored.
func (c *command) flags(fs *cli.Flags) {
	c.options = defaults()
	c.meter = true
	fs.Curl, fs.Foreign = true, func(word string) error { return foreign(fs, word) }
	fs.Each = func(word string) { c.urls = append(c.urls, word) }
	for _, group := range []struct {
		title string
		flags []flag
	}{
		{"Request", c.requestFlags(fs)}, {"Fields", c.fieldFlags()}, {"Answer", c.answerFlags()},
		{"Output", c.outputFlags()}, {"Way", c.wayFlags()},
	} {
		fs.Group(group.title)
		addFlags(fs, group.flags)
	}
	c.flagTLS = dial.AddTLS(fs)
	addFlags(fs, []flag{
		{"tlsv1.3", "", "Speaks TLS 1.3 or nothing.", &c.tlsMin13},
		{"E", "FILE", "Is -cert.", fs.ByName["cert"].Set},
		{"capath", "DIR", "Is -cacert.", fs.ByName["cacert"].Set},
		{"cert-type", "PEM", "Has no effect.", onlyPEM},
		{"key-type", "PEM", "Has no effect.", onlyPEM},
		{"pinnedpubkey", "PIN", "Trusts only a server with that key: sha256//BASE64, or a file with it.", c.setPin},
		{"proxy-insecure", "", "Trusts any certificate of a proxy.", &c.proxyTLS.Insecure},
		{"proxy-cacert", "FILE", "Trusts those certificates of a proxy only.", &c.proxyTLS.CA},
		{"proxy-cert", "FILE", "Is our own certificate for a proxy.", &c.proxyTLS.Cert},
		{"proxy-key", "FILE", "Is the key of that.", &c.proxyTLS.Key},
	})
	fs.Group("Again")
	addFlags(fs, []flag{
		{"retry", "N", "Tries again after time-outs, 408, 429, 500, 502, 503 and 504; with -C - goes on where it broke off.", &c.retries},
		{"retry-delay", "D", "Pauses so long before each try (1s, doubling, if it is not given).", &c.retryDelay},
		{"retry-max-time", "D", "Begins no try after so long.", &c.retryMax},
		{"retry-connrefused", "", "Tries again when nobody listens, too.", &c.retryRefused},
		{"retry-all-errors", "", "Tries again after any error.", &c.retryAll},
	})
	ignored(fs)
	fs.Hide("H", "u", "oauth2-bearer", "b", "e", "x", "U", "proxy-header")
	fs.Unlist("E", "capath", "cert-type", "key-type", "pinnedpubkey", "tlsv1.3", "proxy-insecure", "proxy-cacert", "proxy-cert", "proxy-key",
		"compress-request", "url-query", "request-target", "form-string", "form-escape", "http1.0", "http0.9", "path-as-is", "junk-session-cookies", "etag-save", "etag-compare",
		"anyauth", "proxy-digest", "proxy-anyauth", "proxy-basic", "basic", "netrc-optional", "netrc-file", "proxy-header", "disallow-username-in-url",
		"max-filesize", "post301", "post302", "post303", "fail-early", "allow-downgrade", "follow", "ignore-content-length",
		"progress-meter", "clobber", "skip-existing", "out-null", "stderr", "trace-time", "suppress-connect-headers",
		"socks4", "socks4a", "socks5", "socks5-hostname", "proxy1.0", "haproxy-protocol", "haproxy-clientip", "interface", "local-port",
		"expect100-timeout", "proto", "proto-redir", "proto-default", "speed-limit", "speed-time", "limit-rate")
	for alias, name := range map[string]string{
		"data-ascii": "data", "compress": "compressed", "max-redirects": "max-redirs", "transfer-timeout": "max-time", "show-headers": "include", "logfile": "stderr",
	} {
		fs.Alias(name, alias)
	}
}

func addFlags(fs *cli.Flags, flags []flag) {
	for _, f := range flags {
		switch to := f.to.(type) {
		case *bool:
			fs.Switch(to, f.names, f.usage)
		case *string:
			fs.String(to, f.names, f.arg, f.usage)
		case *[]string:
			fs.Strings(to, f.names, f.arg, f.usage)
		case *int:
			fs.Func(f.names, f.arg, f.usage, count(to))
		case *time.Duration:
			fs.Duration(to, f.names, f.usage)
		case *int64:
			fs.Size(to, f.names, f.usage)
		case func(bool):
			fs.Add(f.names, &cli.Flag{Usage: f.usage, Repeated: true, Set: func(s string) error {
				to(s == "true")
				return nil
			}})
		case func(string) error:
			fs.Func(f.names, f.arg, f.usage, to)
		}
	}
}

func (c *command) requestFlags(fs *cli.Flags) []flag {
	return []flag{
		{"url", "URL", "Fetches one more URL; @FILE has one a line.", c.addURL},
		{"X request", "METHOD", "Sends that method.", c.setMethod},
		{"I head", "", "Asks for the head only.", &c.head},
		{"G get", "", "Puts the data of -d into the URL, and sends GET.", &c.get},
		{"d data", "DATA", "Posts a form; several are joined by &; @FILE is a file without its line ends.", c.addData(dataPlain)},
		{"data-raw", "DATA", "Posts data in which @ means nothing.", c.addData(dataRaw)},
		{"data-binary", "DATA", "Posts data; @FILE is a file as it is.", c.addData(dataBinary)},
		{"data-urlencode", "DATA", "Posts [NAME=]DATA or [NAME]@FILE, percent-encoded.", c.addData(dataEncode)},
		{"json", "DATA", "Posts JSON, and accepts it; @FILE is a file.", c.addData(dataJSON)},
		{"F form", "N=V", "Posts a part of a form: N=@FILE,FILE uploads, N=<FILE is text; ;type= ;filename= ;headers= ;encoder=", func(s string) error { return c.addForm(s, false) }},
		{"form-string", "N=V", "Posts a part of a form, V as it is.", func(s string) error { return c.addForm(s, true) }},
		{"form-escape", "", "Escapes names in forms by backslashes.", &c.formEscape},
		{"T upload-file", "FILE", "Uploads a file by PUT; - is stdin, {a,b} are two.", &c.uploads},
		{"compress-request", "", "Sends the data of -d and -F in gzip.", &c.gzip},
		{"url-query", "DATA", "Adds to the query, encoded as by --data-urlencode; +DATA as it is.", c.addQuery},
		{"request-target", "PATH", "Sends that target in place of the URL's.", c.setTarget},
		{"path-as-is", "", "Leaves /../ in the URL.", &c.asIs},
		{"g globoff", "", "Takes {} and [] in URLs as they are.", &c.noGlob},
		{"disallow-username-in-url", "", "Refuses URLs with a user.", &c.noURLUser},
		{"K config", "FILE", "Reads flags, one a line; - is stdin.", func(s string) error { return c.readConfig(fs, s) }},
		{"0 http1.0", "", "Speaks HTTP/1.0.", &c.http10},
		{"http0.9", "", "Takes an answer without a head for one.", &c.http09},
		{"next :", "", "Begins with other flags for the URLs from here on.", c.next},
	}
}

func (c *command) fieldFlags() []flag {
	return []flag{
		{"H header", "'N: V'", "Sends a field; 'N:' sends none, 'N;' an empty one; @FILE has one a line.", func(s string) error { return addHeader(&c.headers, s) }},
		{"u user", "USER:PASS", "Logs in.", c.setUser},
		{"basic", "", "Logs in by Basic, at once.", setAuth(&c.auth, "")},
		{"digest", "", "Logs in by Digest.", setAuth(&c.auth, "digest")},
		{"anyauth", "", "Logs in as the server wants it: by Digest, else by Basic.", setAuth(&c.auth, "any")},
		{"oauth2-bearer", "TOKEN", "Logs in by a bearer token.", fieldText(&c.bearer)},
		{"n netrc", "", "Takes user and password from ~/.netrc.", &c.netrc},
		{"netrc-optional", "", "Takes them from ~/.netrc unless they are given.", &c.netrcOptional},
		{"netrc-file", "FILE", "Takes them from that file.", &c.netrcFile},
		{"A user-agent", "NAME", "Sends that User-Agent.", fieldText(&c.agent)},
		{"e referer", "URL", "Sends that Referer; ;auto behind it sends where a redirect came from.", fieldText(&c.referer)},
		{"b cookie", "N=V|FILE", "Sends cookies, or those of a file.", c.addCookie},
		{"c cookie-jar", "FILE", "Writes the cookies to a file afterwards.", &c.cookieJar},
		{"j junk-session-cookies", "", "Leaves out the cookies of a session in a file.", &c.junkSession},
		{"r range", "N-M", "Asks for a part.", c.setRange},
		{"C continue-at", "N", "Goes on at byte N, or where the file ends (-).", c.setResume},
		{"compressed", "", "Accepts gzip and deflate.", &c.compressed},
		{"z time-cond", "DATE", "Fetches only what is newer than the date, or a file; -DATE: older.", fieldText(&c.timeCond)},
		{"etag-save", "FILE", "Writes the ETag to a file.", &c.etagSave},
		{"etag-compare", "FILE", "Fetches only what has another ETag than the one in a file.", &c.etagCompare},
		{"proxy-header", "'N: V'", "Sends a field to the proxy only.", func(s string) error { return addHeader(&c.proxyHeaders, s) }},
	}
}

func (c *command) answerFlags() []flag {
	return []flag{
		{"L location", "", "Follows redirects.", &c.follow},
		{"location-trusted", "", "Follows redirects, and sends user and secrets there, too.", func(on bool) { c.follow, c.redirects.Trusted = on, on }},
		{"follow", "", "Follows redirects, which may change the method of -X.", func(on bool) { c.follow, c.obey = on, on }},
		{"max-redirs", "N", fmt.Sprintf("Follows so many redirects at most; -1: no limit (%d).", mostRedirects), c.setMaxRedirects},
		{"post301", "", "Leaves POST what it is after 301.", &c.redirects.Keep301},
		{"post302", "", "Leaves POST what it is after 302.", &c.redirects.Keep302},
		{"post303", "", "Leaves POST what it is after 303.", &c.redirects.Keep303},
		{"allow-downgrade", "", "Follows redirects from https to http, too.", &c.redirects.Downgrade},
		{"f fail", "", "Ends with 22 at a status of 400 and up, without the body.", &c.fail},
		{"fail-with-body", "", "Ends with 22 at a status of 400 and up, with the body.", &c.failBody},
		{"fail-early", "", "Stops at the first error.", &c.failEarly},
		{"max-filesize", "", "Refuses what is longer (exit 63).", &c.maxFile},
		{"ignore-content-length", "", "Reads until the connection ends, whatever Content-Length says.", &c.ignoreLength},
		{"raw", "", "Passes chunks and codings on as they come, and the body unescaped to a terminal.", &c.raw},
	}
}

func (c *command) outputFlags() []flag {
	to := func(t target) func(bool) {
		return func(on bool) {
			if on {
				c.outputs = append(c.outputs, t)
			} else {
				c.outputs = append(c.outputs, target{name: "-"})
			}
		}
	}
	return []flag{
		{"o output", "FILE", "Writes the body to a file; #1 is what a {} or [] became.", func(s string) error {
			c.outputs = append(c.outputs, target{name: s})
			return nil
		}},
		{"O remote-name", "", "Writes the body to a file that is called as in the URL.", to(target{remote: true})},
		{"out-null", "", "Drops the body.", to(target{null: true})},
		{"J remote-header-name", "", "Lets the server name the file of -O.", &c.remoteHeader},
		{"remote-name-all", "", "Does -O for all URLs.", &c.remoteAll},
		{"create-dirs", "", "Makes the folders of files.", &c.createDirs},
		{"output-dir", "DIR", "Puts the files of -o and -O there.", &c.outputDir},
		{"clobber", "", "Overwrites files; --no-clobber writes name.1, name.2 and so on.", func(on bool) { c.clobber, c.noClobber = on, !on }},
		{"skip-existing", "", "Fetches nothing whose file is there.", &c.skipExisting},
		{"R remote-time", "", "Gives the file the server's time.", &c.remoteTime},
		{"i include", "", "Writes the head before the body.", &c.include},
		{"D dump-header", "FILE", "Writes the heads to a file; - is stdout, % stderr.", &c.dumpHeader},
		{"w write-out", "FORMAT", "Writes afterwards: %{http_code}, %{json} and so on; @FILE.", &c.writeOut},
		{"s silent", "", "Shows no meter and no errors.", &c.silent},
		{"S show-error", "", "Shows errors in spite of -s.", &c.showError},
		{"v verbose", "", "Shows what goes and comes.", &c.verbose},
		{"trace", "FILE", "Writes all that goes and comes to a file, in hex.", c.setTrace(false)},
		{"trace-ascii", "FILE", "Writes all that goes and comes to a file, as text.", c.setTrace(true)},
		{"trace-time", "", "Writes the time to each entry of it.", &c.traceTime},
		{"stderr", "FILE", "Writes to a file what goes to stderr; - is stdout.", &c.stderr},
		{"show-secrets", "", "Shows passwords and cookies with -v.", &c.showSecrets},
		{"# progress-bar", "", "Shows a bar.", &c.bar},
		{"progress-meter", "", "Shows a meter on a terminal.", &c.meter},
		{"suppress-connect-headers", "", "Leaves out what a proxy answers to CONNECT.", &c.suppressConnect},
	}
}

func (c *command) wayFlags() []flag {
	network := func(name string) func(bool) { return func(bool) { c.network = name } }
	return []flag{
		{"x proxy", "URL", "Goes through a proxy: http://, https://, socks5:// or socks4://.", c.setProxy("")},
		{"U proxy-user", "USER:PASS", "Logs in at the proxy.", fieldText(&c.proxyUser)},
		{"proxy-basic", "", "Logs in there by Basic, at once.", setAuth(&c.proxyAuth, "")},
		{"proxy-digest", "", "Logs in there by Digest.", setAuth(&c.proxyAuth, "digest")},
		{"proxy-anyauth", "", "Logs in there as the proxy wants it.", setAuth(&c.proxyAuth, "any")},
		{"noproxy", "LIST", "Goes to those hosts directly.", c.setNoProxy},
		{"p proxytunnel", "", "Uses CONNECT for http, too.", &c.tunnel},
		{"proxy1.0", "H:P", "Goes through a proxy of HTTP/1.0.", c.setProxy("http10")},
		{"socks4", "H:P", "Goes through a proxy of SOCKS4.", c.setProxy("socks4")},
		{"socks4a", "H:P", "Goes through a proxy of SOCKS4a.", c.setProxy("socks4a")},
		{"socks5", "H:P", "Goes through a proxy of SOCKS5.", c.setProxy("socks5")},
		{"socks5-hostname", "H:P", "Goes through a proxy of SOCKS5.", c.setProxy("socks5h")},
		{"resolve", "H:P:ADDR", "Takes that address for a host.", c.orEnd(badOption, "--resolve", c.addResolve)},
		{"connect-to", "H:P:H:P", "Connects to another host.", c.orEnd(badOption, "--connect-to", c.addConnectTo)},
		{"unix-socket", "PATH", "Connects to a Unix socket.", &c.unixSocket},
		{"interface", "NAME", "Connects from that address or interface.", &c.source},
		{"local-port", "N[-M]", "Connects from a port of those.", c.setLocalPort},
		{"haproxy-protocol", "", "Tells the server who connects by the PROXY protocol, version 1.", &c.haproxy},
		{"haproxy-clientip", "ADDR", "Tells it that address.", &c.haproxyIP},
		{"4 ipv4", "", "Uses IPv4 only.", network("tcp4")},
		{"6 ipv6", "", "Uses IPv6 only.", network("tcp6")},
		{"connect-timeout", "", "Gives a connection so long.", &c.dialer.ConnectTimeout},
		{"m max-time", "", "Gives each transfer so long in all.", &c.maxTime},
		{"stall-timeout", "", "Waits so long for an answer, and between two bytes.", &c.stall},
		{"limit-rate", "", "Sends and reads so many bytes a second.", &c.limitRate},
		{"speed-limit Y", "N", "Ends when slower than N bytes a second.", &c.speedLimit},
		{"speed-time y", "", "Ends when too slow for so long.", &c.speedTime},
		{"expect100-timeout", "", "Waits so long for 100 (Continue).", &c.expectWait},
		{"proto", "LIST", "Allows those protocols.", setProtocols(&c.protocols, schemes)},
		{"proto-redir", "LIST", "Allows those protocols in redirects.", setProtocols(&c.redirProtocols, schemes[:2])},
		{"proto-default", "NAME", "Is the protocol where the URL has none.", &c.protoDefault},
	}
}

// ignored takes what changes nothing here; --no-buffer and its like as the
// negation of a switch.
func ignored(fs *cli.Flags) {
	var none bool
	for _, names := range []string{
		"N no-buffer", "q disable", "http1.1", "http2", "1 tlsv1", "tlsv1.0", "tlsv1.1",
		"tlsv1.2", "tcp-nodelay", "tcp-fastopen", "keepalive", "buffer", "alpn", "npn", "sessionid", "styled-output", "Z parallel",
		"parallel-immediate", "remove-on-error", "ssl-no-revoke", "ssl-revoke-best-effort", "ca-native", "trace-ids", "mptcp",
		"ssl", "ssl-reqd", "false-start", "ssl-allow-beast", "ssl-auto-client-cert", "compressed-ssh",
	} {
		fs.Switch(&none, names, "Has no effect.")
		fs.Unlist(strings.Fields(names)[0])
	}
	for _, name := range []string{"keepalive-time", "keepalive-cnt", "happy-eyeballs-timeout-ms", "parallel-max", "trace-config"} {
		fs.Func(name, "X", "Has no effect.", func(string) error { return nil })
		fs.Unlist(name)
	}
}

func count(p *int) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseInt(s, 10, 31)
		if err != nil || n < 0 {
			return errCount
		}
		*p = int(n)
		return nil
	}
}

// check looks at the flags of each part.
func (c *command) check() error {
	c.endPart()
	for i := range c.ops {
		o := &c.ops[i]
		kinds := btoi(o.head) + btoi(len(o.data) > 0 && !o.get) + btoi(o.form != nil) + btoi(len(o.uploads) > 0)
		switch {
		case len(o.urls) == 0:
			return cli.Usagef("no URL")
		case kinds > 1:
			return cli.Usagef("only one kind of request: -I, -d, -F or -T")
		case o.resume != "" && o.byteRange != "":
			return cli.Usagef("-C and -r exclude each other")
		case o.resume != "" && len(o.data) > 0 && !o.get:
			return cli.Usagef("-C and -d exclude each other")
		case o.etagSave+o.etagCompare != "" && len(o.urls) > 1:
			return cli.Usagef("the etag options only work on a single URL")
		case o.resume != "" && o.noClobber:
			return cli.Usagef("-C and --no-clobber exclude each other")
		}
		if o.speedLimit > 0 && o.speedTime == 0 {
			o.speedTime = 30 * time.Second
		}
		if o.speedTime > 0 && o.speedLimit == 0 {
			o.speedLimit = 1
		}
	}
	return nil
}

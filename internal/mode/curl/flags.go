package curl

import (
	"errors"
	"fmt"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
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
	return options{network: "tcp", agent: userAgent, maxRedirects: mostRedirects, expectWait: time.Second}
}

// flags adds the command line. What few will look for is not listed in help; what
// means nothing here is taken by ignored.
func (c *command) flags(fs *cli.Flags) {
	c.options = defaults()
	c.meter, c.stall = true, stallTime
	fs.Negated, fs.Foreign = true, func(word string) error { return foreign(fs, word) }
	fs.Each = func(word string) { c.urls = append(c.urls, word) }
	c.requestFlags(fs)
	c.fieldFlags(fs)
	c.answerFlags(fs)
	c.outputFlags(fs)
	c.wayFlags(fs)
	c.retryFlags(fs)
	ignoredFlags(fs)
	for alias, name := range map[string]string{"data-ascii": "data", "compress": "compressed", "max-redirects": "max-redirs", "transfer-timeout": "max-time"} {
		fs.Alias(name, alias)
	}
}

func (c *command) requestFlags(fs *cli.Flags) {
	add := func(kind dataKind) func(string) error {
		return func(s string) error {
			c.data = append(c.data, datum{kind, s})
			return nil
		}
	}
	fs.Group("Request")
	fs.Func("url", "URL", "", func(s string) error {
		c.urls = append(c.urls, s)
		return nil
	})
	fs.Func("X request", "METHOD", "a URL more; the method", c.setMethod)
	fs.Switch(&c.head, "I head", "")
	fs.Switch(&c.get, "G get", "HEAD; GET with the data in the URL")
	fs.Func("d data", "DATA", "POST; several are joined by &; @FILE", add(dataPlain))
	fs.Func("data-raw", "DATA", "", add(dataRaw))
	fs.Func("data-binary", "DATA", "without @; with files as they are", add(dataBinary))
	fs.Func("data-urlencode", "DATA", "", add(dataEncode))
	fs.Func("json", "DATA", "encoded: [NAME][=|@]DATA; as JSON", add(dataJSON))
	fs.Func("F form", "N=V", "multipart; N=@FILE, N=<FILE, ;type= ;filename=", c.addForm(false))
	fs.Func("form-string", "N=V", "multipart, V as it is", c.addForm(true))
	fs.Func("T upload-file", "FILE", "PUT; - is stdin", func(s string) error {
		c.uploads = append(c.uploads, s)
		return nil
	})
	fs.Func("url-query", "DATA", "added to the query", func(s string) error {
		kind := dataEncode
		if rest, ok := strings.CutPrefix(s, "+"); ok {
			s, kind = rest, dataRaw
		}
		c.urlQuery = append(c.urlQuery, datum{kind, s})
		return nil
	})
	fs.Func("request-target", "PATH", "target of the request", func(s string) error {
		c.requestTarget = s
		return (&httpmini.Request{Method: "GET", Target: s}).Check()
	})
	fs.Switch(&c.asIs, "path-as-is", "leave /../ in the URL")
	fs.Switch(&c.noGlob, "g globoff", "")
	fs.Func("K config", "FILE", "flags, one a line", func(s string) error { return c.readConfig(fs, s) })
	fs.Switch(&c.http10, "0 http1.0", "HTTP/1.0")
	fs.Unlist("url-query", "request-target", "form-string", "http1.0", "path-as-is", "config")
	fs.Add("next :", &cli.Flag{Usage: "no {a,b} [1-3] in URLs; other flags from here on", Set: func(string) error {
		if len(c.urls) > 0 { // else it is the first word of a file of -K
			c.ops, c.options = append(c.ops, c.options), defaults()
		}
		return nil
	}})
}

func (c *command) fieldFlags(fs *cli.Flags) {
	fs.Group("Fields")
	fs.Func("H header", "'N: V'", "'N:' sends none, 'N;' an empty one; @FILE", c.addHeader)
	fs.Func("u user", "USER:PASS", "", func(s string) error {
		if !strings.Contains(s, ":") {
			return errors.New("want USER:PASSWORD; nobody is asked for a password here")
		}
		c.user, c.hasUser = s, true
		return noControl(s)
	})
	fs.Func("oauth2-bearer", "TOKEN", "Authorization: Basic; Bearer", fieldText(&c.bearer))
	fs.Func("A user-agent", "NAME", "", fieldText(&c.agent))
	fs.Func("e referer", "URL", "URL;auto: where it was", fieldText(&c.referer))
	fs.Func("b cookie", "N=V|FILE", "", func(s string) error {
		c.cookies = append(c.cookies, s)
		return noControl(s)
	})
	fs.String(&c.cookieJar, "c cookie-jar", "FILE", "to send; to write")
	fs.Switch(&c.junkSession, "j junk-session-cookies", "leave out those of a session")
	fs.Func("r range", "N-M", "", c.setRange)
	fs.Func("C continue-at", "N", "a part; from N, or the file's end (-)", c.setResume)
	fs.Switch(&c.compressed, "compressed", "")
	fs.Func("z time-cond", "DATE", "gzip, deflate; if newer (-: older)", fieldText(&c.timeCond))
	fs.Hide("H", "u", "oauth2-bearer", "b", "e")
	fs.Unlist("junk-session-cookies")
}

func (c *command) answerFlags(fs *cli.Flags) {
	fs.Group("Answer")
	fs.Switch(&c.follow, "L location", "")
	fs.Add("location-trusted", &cli.Flag{Usage: "follow redirects; with user and secrets", Set: func(s string) error {
		c.follow, c.redirects.Trusted = s == "true", s == "true"
		return nil
	}})
	fs.Func("max-redirs", "N", fmt.Sprintf("at most; -1: no limit (%d)", mostRedirects), c.setMaxRedirects)
	fs.Switch(&c.redirects.Keep301, "post301", "a POST stays one")
	fs.Switch(&c.redirects.Keep302, "post302", "a POST stays one")
	fs.Switch(&c.redirects.Keep303, "post303", "a POST stays one")
	fs.Switch(&c.redirects.Downgrade, "allow-downgrade", "follow from https to http too")
	fs.Switch(&c.fail, "f fail", "")
	fs.Switch(&c.failBody, "fail-with-body", "exit 22 after 400 and up, no body; with it")
	fs.Switch(&c.failEarly, "fail-early", "stop at the first error")
	fs.Size(&c.maxFile, "max-filesize", "refuse more (exit 63)")
	fs.Unlist("max-filesize", "post301", "post302", "post303", "fail-early", "allow-downgrade")
}

func (c *command) outputFlags(fs *cli.Flags) {
	fs.Group("Output")
	fs.Func("o output", "FILE", "", func(s string) error {
		c.outputs = append(c.outputs, target{name: s})
		return nil
	})
	fs.Add("O remote-name", &cli.Flag{Usage: "FILE (#1: of {}); as the URL calls it", Repeated: true, Set: func(string) error {
		c.outputs = append(c.outputs, target{remote: true})
		return nil
	}})
	fs.Switch(&c.remoteHeader, "J remote-header-name", "-O, as the server calls it")
	fs.Switch(&c.remoteAll, "remote-name-all", "")
	fs.Switch(&c.createDirs, "create-dirs", "-O for all; make folders")
	fs.String(&c.outputDir, "output-dir", "DIR", "")
	fs.Switch(&c.remoteTime, "R remote-time", "for -o, -O; with the server's time")
	fs.Switch(&c.include, "i include", "")
	fs.String(&c.dumpHeader, "D dump-header", "FILE", "heads before the body; there")
	fs.String(&c.writeOut, "w write-out", "FORMAT", "afterwards: %{http_code} %{json} …; @FILE")
	fs.Switch(&c.silent, "s silent", "")
	fs.Switch(&c.showError, "S show-error", "no meter, no errors; errors all the same")
	fs.Switch(&c.verbose, "v verbose", "")
	fs.Switch(&c.showSecrets, "show-secrets", "what goes and comes; secrets too")
	fs.Switch(&c.bar, "# progress-bar", "")
	fs.Switch(&c.raw, "raw", "a bar; body unescaped on a terminal")
	fs.Add("progress-meter", &cli.Flag{Usage: "shown on a terminal", Set: func(s string) error {
		c.meter = s == "true"
		return nil
	}})
	fs.Unlist("progress-meter")
}

func (c *command) wayFlags(fs *cli.Flags) {
	c.dialer = &dial.Dialer{ConnectTimeout: connectTime}
	fs.Group("Way")
	fs.Func("x proxy", "URL", "", c.setProxy(""))
	fs.Func("U proxy-user", "USER:PASS", "http, socks5; its user", fieldText(&c.proxyUser))
	fs.String(&c.dialer.NoProxy, "noproxy", "LIST", "")
	fs.Switch(&c.tunnel, "p proxytunnel", "direct; CONNECT for http too")
	fs.Func("socks5", "H:P", "", c.setProxy("socks5"))
	fs.Func("socks5-hostname", "H:P", "proxies", c.setProxy("socks5h"))
	fs.Func("resolve", "H:P:ADDR", "", c.dialer.AddResolve)
	fs.Func("connect-to", "H:P:H:P", "address of a host; another host", c.addConnectTo)
	fs.String(&c.unixSocket, "unix-socket", "PATH", "")
	network := func(name string) func(string) error {
		return func(string) error {
			c.network = name
			return nil
		}
	}
	fs.Add("4 ipv4", &cli.Flag{Set: network("tcp4")})
	fs.Add("6 ipv6", &cli.Flag{Usage: "connect there; IPv4 only; IPv6 only", Set: network("tcp6")})
	fs.Duration(&c.dialer.ConnectTimeout, "connect-timeout", "")
	fs.Duration(&c.maxTime, "m max-time", "in all")
	fs.Duration(&c.stall, "stall-timeout", "for an answer, and between two bytes")
	fs.Size(&c.limitRate, "limit-rate", "bytes/s")
	fs.Func("speed-limit Y", "N", "", count(&c.speedLimit))
	fs.Duration(&c.speedTime, "speed-time y", "end when slower than N bytes/s for so long")
	fs.Duration(&c.expectWait, "expect100-timeout", "for 100 (Continue)")
	fs.Func("proto", "LIST", "protocols allowed", c.setProtocols)
	fs.String(&c.protoDefault, "proto-default", "NAME", "where the URL has none")
	fs.Hide("x", "U")
	fs.Unlist("socks5", "socks5-hostname", "expect100-timeout", "proto", "proto-default", "speed-limit", "speed-time", "limit-rate")
	c.tls = dial.AddTLS(fs)
	fs.Func("E", "FILE", "as -cert", fs.ByName["cert"].Set)
	fs.Func("pinnedpubkey", "PIN", "as -pin", fs.ByName["pin"].Set)
	fs.Switch(&c.tlsMin13, "tlsv1.3", "TLS 1.3 or nothing")
	fs.Unlist("E", "pinnedpubkey", "tlsv1.3")
}

func (c *command) retryFlags(fs *cli.Flags) {
	fs.Group("Again")
	fs.Func("retry", "N", "after time-outs, 408, 429, 500, 502, 503 and 504", count(&c.retries))
	fs.Duration(&c.retryDelay, "retry-delay", "")
	fs.Duration(&c.retryMax, "retry-max-time", "pause (1s, doubling); in all")
	fs.Switch(&c.retryRefused, "retry-connrefused", "")
	fs.Switch(&c.retryAll, "retry-all-errors", "when nobody listens; after any error")
}

// ignoredFlags takes what changes nothing here; --no-buffer and its like as the
// negation of a switch.
func ignoredFlags(fs *cli.Flags) {
	var none bool
	for _, names := range []string{
		"N no-buffer", "q disable", "http1.1", "http2", "basic", "proxy-basic", "anyauth", "1 tlsv1", "tlsv1.0", "tlsv1.1",
		"tlsv1.2", "tcp-nodelay", "tcp-fastopen", "keepalive", "buffer", "alpn", "npn", "sessionid", "styled-output", "Z parallel",
		"parallel-immediate", "remove-on-error", "suppress-connect-headers", "ssl-no-revoke", "ca-native",
	} {
		fs.Switch(&none, names, "no effect")
		fs.Unlist(strings.Fields(names)[0])
	}
	for _, name := range []string{"keepalive-time", "happy-eyeballs-timeout-ms", "parallel-max", "proto-redir"} {
		fs.Func(name, "X", "no effect", func(string) error { return nil })
		fs.Unlist(name)
	}
}

// check looks at the flags of each part.
func (c *command) check() error {
	c.ops = append(c.ops, c.options)
	for i := range c.ops {
		o := &c.ops[i]
		kinds := 0
		for _, used := range []bool{o.head, len(o.data) > 0 && !o.get, len(o.form) > 0, len(o.uploads) > 0} {
			if used {
				kinds++
			}
		}
		switch {
		case len(o.urls) == 0:
			return cli.Usagef("no URL")
		case kinds > 1:
			return cli.Usagef("only one kind of request: -I, -d, -F or -T")
		case o.include && o.remoteHeader:
			return cli.Usagef("-i and -J exclude each other")
		case o.resume != "" && o.byteRange != "":
			return cli.Usagef("-C and -r exclude each other")
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

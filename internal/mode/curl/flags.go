package curl

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"strconv"
	"strings"
	"time"
)

// Where curl itself has no limit, or a wide one.
const (
	curlConnectTime = time.Minute
	curlStallTime   = 5 * time.Minute
	curlRedirects   = 10
)

// defaultCurl are the flags at the start and after --next.
func defaultCurl() curlOptions {
	return curlOptions{network: "tcp", agent: curlAgent, maxRedirects: curlRedirects, expectWait: time.Second}
}

// flags adds the command line. What few will look for is not listed in help; what
// means nothing here is taken by ignored.
func (c *curl) flags(fs *cli.Flags) {
	c.curlOptions = defaultCurl()
	c.meter, c.stall = true, curlStallTime
	fs.Negated, fs.Foreign = true, func(word string) error { return foreignToCurl(fs, word) }
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

func (c *curl) requestFlags(fs *cli.Flags) {
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
		c.ops = append(c.ops, c.curlOptions)
		c.curlOptions = defaultCurl()
		return nil
	}})
}

func (c *curl) fieldFlags(fs *cli.Flags) {
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

func (c *curl) answerFlags(fs *cli.Flags) {
	fs.Group("Answer")
	fs.Switch(&c.follow, "L location", "")
	fs.Add("location-trusted", &cli.Flag{Usage: "follow redirects; with user and secrets", Set: func(s string) error {
		c.follow, c.redirects.Trusted = s == "true", s == "true"
		return nil
	}})
	fs.Func("max-redirs", "N", fmt.Sprintf("at most; -1: no limit (%d)", curlRedirects), c.setMaxRedirects)
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

func (c *curl) outputFlags(fs *cli.Flags) {
	fs.Group("Output")
	fs.Func("o output", "FILE", "", func(s string) error {
		c.outputs = append(c.outputs, curlTarget{name: s})
		return nil
	})
	fs.Add("O remote-name", &cli.Flag{Usage: "FILE (#1: of {}); as the URL calls it", Repeated: true, Set: func(string) error {
		c.outputs = append(c.outputs, curlTarget{remote: true})
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

func (c *curl) wayFlags(fs *cli.Flags) {
	c.dialer = &dial.Dialer{ConnectTimeout: curlConnectTime}
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

func (c *curl) retryFlags(fs *cli.Flags) {
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

// fieldText is the setter of a value that becomes part of a field.
func fieldText(p *string) func(string) error {
	return func(s string) error {
		*p = s
		return noControl(s)
	}
}

func noControl(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return isControl(r) && r != '\t' }) {
		return errors.New("want no control characters")
	}
	return nil
}

func count(p *int) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseInt(s, 10, 31)
		if err != nil || n < 0 {
			return errors.New("want a number from 0 on")
		}
		*p = int(n)
		return nil
	}
}

func (c *curl) setMethod(s string) error {
	c.method = s
	if (&httpmini.Request{Method: s, Target: "/"}).Check() != nil {
		return errors.New("want a word such as PUT")
	}
	return nil
}

func (c *curl) addForm(literal bool) func(string) error {
	return func(s string) error {
		p, err := parseFormPart(s, literal)
		c.form = append(c.form, p)
		return err
	}
}

func (c *curl) setMaxRedirects(s string) error {
	n, err := strconv.ParseInt(s, 10, 31)
	if err != nil || n < -1 {
		return errors.New("want a number from -1 on")
	}
	c.maxRedirects = int(n)
	return nil
}

// setRange takes the ranges of RFC 9110 §14.1.2, and a number alone as curl does.
func (c *curl) setRange(s string) error {
	if strings.Trim(s, "0123456789-,") != "" {
		return errors.New("want bytes such as 0-99, 100- or -100")
	}
	if cli.IsDigits(s) {
		s += "-"
	}
	c.byteRange = s
	return nil
}

func (c *curl) setResume(s string) error {
	if _, err := strconv.ParseUint(s, 10, 63); err != nil && s != "-" {
		return errors.New("want a number of bytes, or -")
	}
	c.resume = s
	return nil
}

// setProxy takes a proxy of that scheme; none, not even that of the environment,
// where it is "".
func (c *curl) setProxy(scheme string) func(string) error {
	return func(s string) (err error) {
		if s == "" {
			c.dialer.Proxy, c.dialer.NoProxy = nil, "*"
			return nil
		}
		if scheme != "" {
			s = scheme + "://" + s
		}
		c.dialer.Proxy, err = dial.ParseProxy(s)
		return err
	}
}

// addConnectTo takes HOST1:PORT1:HOST2:PORT2; what is left out is any, or stays.
func (c *curl) addConnectTo(s string) error {
	from, to, ok := cutColons(s)
	if !ok {
		return errors.New("want HOST:PORT:HOST:PORT")
	}
	c.connectTo = append(c.connectTo, [2]string{strings.ToLower(from), to})
	return nil
}

// cutColons splits at the second colon that is not in brackets.
func cutColons(s string) (before, after string, ok bool) {
	seen, depth := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if seen++; depth == 0 && seen == 2 {
				return s[:i], s[i+1:], strings.Contains(s[i+1:], ":")
			}
			if depth > 0 {
				seen--
			}
		}
	}
	return "", "", false
}

// setProtocols takes curl's list: =https,http and +, - before names.
func (c *curl) setProtocols(s string) error {
	allowed := curlSchemes
	for i, word := range strings.Split(s, ",") {
		name := strings.ToLower(strings.TrimLeft(word, "=+-"))
		set := []string{name}
		if name == "all" {
			set = curlSchemes
		}
		switch {
		case strings.HasPrefix(word, "-"):
			allowed = slices.DeleteFunc(slices.Clone(allowed), func(p string) bool { return slices.Contains(set, p) })
		case strings.HasPrefix(word, "=") || i == 0 && !strings.HasPrefix(word, "+"):
			allowed = set
		default:
			allowed = append(slices.Clone(allowed), set...)
		}
	}
	c.protocols = allowed
	return nil
}

// addHeader takes 'Name: value', 'Name:', 'Name;' or the name of a file of those.
func (c *curl) addHeader(s string) error {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		list, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(list)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" && err == nil {
				err = c.addHeader(line)
			}
		}
		return err
	}
	if s == "" {
		return nil // an unset variable of a script
	}
	name, _, _ := strings.Cut(s, ":")
	if value, ok := strings.CutPrefix(s, name+":"); ok && strings.Trim(value, " \t") == "" {
		c.headers = append(c.headers, curlField{name: name, remove: true})
		return (httpmini.Header{{Name: name}}).Check()
	}
	f, err := cli.ParseField(s)
	c.headers = append(c.headers, curlField{name: f.Name, value: f.Value})
	return err
}

// check looks at the flags of each part.
func (c *curl) check() error {
	c.ops = append(c.ops, c.curlOptions)
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

// foreignToCurl knows the flags of curl that are not taken here.
func foreignToCurl(fs *cli.Flags, word string) error {
	name, _ := cli.Undash(word)
	letter := ""
	for i := 0; i < len(name) && !strings.HasPrefix(word, "--"); i++ {
		if fs.IsSwitch(name[i : i+1]) {
			continue // one of a bundle
		}
		letter = name[i : i+1]
		break
	}
	for flag := range strings.FieldsSeq(curlFlags) {
		switch short, long, _ := strings.Cut(flag, "/"); {
		case name == long:
			return cli.Usagef("%q is a flag of curl's that is not supported here", word)
		case letter != "" && letter == short:
			return cli.Usagef("\"-%s\" (--%s) is a flag of curl's that is not supported here", letter, long)
		}
	}
	return nil
}

// curlFlags are those of curl that are missing here, with their letters.
const curlFlags = `/abstract-unix-socket /alt-svc a/append /aws-sigv4 /capath /cert-status /cert-type /ciphers /compressed-ssh 
/create-file-mode /crlf /crlfile /curves /delegation /digest /disable-eprt /disable-epsv /disallow-username-in-url /dns-interface
/dns-ipv4-addr /dns-ipv6-addr /dns-servers /doh-cert-status /doh-insecure /doh-url /egd-file /engine /etag-compare /etag-save
/false-start /form-escape /ftp-account /ftp-create-dirs /ftp-method /ftp-pasv P/ftp-port /ftp-pret /ftp-skip-pasv-ip /ftp-ssl-ccc
/haproxy-protocol /hostpubmd5 /hostpubsha256 /hsts /http0.9 /http2-prior-knowledge /http3 /http3-only /ignore-content-length
/interface /ipfs-gateway /key-type /krb /libcurl l/list-only /local-port /login-options /mail-auth /mail-from /mail-rcpt M/manual
/metalink /negotiate n/netrc /netrc-file /netrc-optional /no-clobber /ntlm /ntlm-wb /pass /preproxy /proxy-anyauth /proxy-cacert
/proxy-capath /proxy-cert /proxy-ciphers /proxy-digest /proxy-header /proxy-insecure /proxy-key /proxy-negotiate /proxy-ntlm
/proxy-pass /proxy-pinnedpubkey /proxy-tls13-ciphers /proxy-tlsv1 /proxy1.0 /pubkey Q/quote /random-file /rate /sasl-authzid
/sasl-ir /service-name /socks4 /socks4a /socks5-basic /socks5-gssapi /ssl /ssl-reqd 2/sslv2 3/sslv3 /stderr /tcp-nodelay
t/telnet-option /tftp-blksize /tftp-no-options /tls13-ciphers /tlspassword /tlsuser /tr-encoding /trace /trace-ascii /trace-ids
/trace-time B/use-ascii /variable /expand-data /expand-url /vlan-priority /ip-tos /xattr /skip-existing /0.9`

package curl

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
	"socketsrv/internal/tlsconf"
	"strconv"
	"strings"
)

// fieldText is the setter of a value that becomes part of a field.
func fieldText(p *string) func(string) error {
	return func(s string) error {
		*p = s
		return noControl(s)
	}
}

var errCount = errors.New("want a number from 0 on")

// orEnd is set where curl itself takes any value, and each transfer that this keeps from
// beginning ends with a number of its own.
func (c *command) orEnd(code func(error) int, flag string, set func(string) error) func(string) error {
	return func(s string) error {
		if err := set(s); err != nil {
			c.bad = &failure{code(err), flag + ": " + err.Error()} // the value may hold a password
		}
		return nil
	}
}

func badOption(error) int { return exitOption }

// proxyExit is what a proxy ends with that cannot be asked.
func proxyExit(err error) int {
	if errors.Is(err, dial.ErrProxyScheme) {
		return cli.ExitConnect
	}
	return exitNoProxy
}

func (c *command) setMethod(s string) error {
	c.method = s
	if (&httpmini.Request{Method: s, Target: "/"}).Check() != nil {
		return errors.New("want a word such as PUT")
	}
	return nil
}

func (c *command) setMaxRedirects(s string) error {
	n, err := strconv.ParseInt(s, 10, 31)
	if err != nil || n < -1 {
		return errors.New("want a number from -1 on")
	}
	c.maxRedirects = int(n)
	return nil
}

// setRange takes the ranges of RFC 9110 §14.1.2, and a number alone as curl does.
func (c *command) setRange(s string) error {
	if strings.Trim(s, "0123456789-,") != "" {
		return errors.New("want bytes such as 0-99, 100- or -100")
	}
	if cli.IsDigits(s) {
		s += "-"
	}
	c.byteRange = s
	return nil
}

func (c *command) setResume(s string) error {
	if _, err := strconv.ParseUint(s, 10, 63); err != nil && s != "-" {
		return errors.New("want a number of bytes, or -")
	}
	c.resume = s
	return nil
}

// setProxy takes a proxy of that scheme, http10 being HTTP/1.0; none, not even that of
// the environment, where it is "".
func (c *command) setProxy(scheme string) func(string) error {
	return c.orEnd(proxyExit, "--proxy", func(s string) (err error) {
		if s == "" {
			c.dialer.Proxy, c.dialer.NoProxy = nil, "*"
			return nil
		}
		c.proxy10 = scheme == "http10"
		if scheme != "" && !strings.Contains(s, "://") {
			s = strings.TrimSuffix(scheme, "10") + "://" + s
		}
		if rest, ok := strings.CutPrefix(s, "socks5h://localhost/"); ok { // a Unix socket
			c.proxySocket, s = "/"+rest, "socks5h://localhost"
		} else if rest, ok := strings.CutPrefix(s, "socks5://localhost/"); ok {
			c.proxySocket, s = "/"+rest, "socks5://localhost"
		}
		c.dialer.Proxy, err = dial.ParseProxy(s)
		return err
	})
}

// addConnectTo takes HOST1:PORT1:HOST2:PORT2; what is left out is any, or stays.
func (c *command) addConnectTo(s string) error {
	from, to, ok := cutColons(s)
	if !ok {
		return errors.New("want HOST:PORT:HOST:PORT")
	}
	c.connectTo = append(c.connectTo, [2]string{strings.ToLower(from), to})
	if _, port := cutHostPort(to); port != "" {
		_, err := cli.ParsePort(port)
		return err
	}
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

// setProtocols takes curl's list: =https,http and +, - before names, which add to the
// usual ones or take from them.
func setProtocols(to *[]string, usual []string) func(string) error {
	return func(s string) error {
		allowed := slices.Clone(usual)
		for i, word := range strings.Split(s, ",") {
			name := strings.ToLower(strings.TrimLeft(word, "=+-"))
			set := []string{name}
			if name == "all" {
				set = schemes
			}
			if strings.HasPrefix(word, "=") || i == 0 && !strings.HasPrefix(word, "+") && !strings.HasPrefix(word, "-") {
				allowed = allowed[:0]
			}
			if strings.HasPrefix(word, "-") {
				allowed = slices.DeleteFunc(allowed, func(p string) bool { return slices.Contains(set, p) })
			} else {
				allowed = append(allowed, set...)
			}
		}
		*to = allowed
		return nil
	}
}

// onlyPEM takes the one form of certificates and keys that there is here.
func onlyPEM(s string) error {
	if !strings.EqualFold(s, "PEM") {
		return errors.New("want PEM")
	}
	return nil
}

// addHeader takes 'Name: value', 'Name:', 'Name;' or the name of a file of those. What
// is none of these is skipped, as curl does.
func addHeader(to *[]field, s string) error {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		list, err := readText(name, nil)
		for _, line := range fieldLines(list) {
			if err == nil {
				err = addHeader(to, line)
			}
		}
		return err
	}
	name, rest, colon := strings.Cut(s, ":")
	if !colon && !strings.HasSuffix(s, ";") {
		return nil
	}
	if name = strings.TrimRight(name, " \t"); colon && strings.Trim(rest, " \t") == "" {
		*to = append(*to, field{name: name, remove: true})
		return (httpmini.Header{{Name: name}}).Check()
	}
	f, err := cli.ParseField(s)
	*to = append(*to, field{name: f.Name, value: f.Value})
	return err
}

// addURL takes a URL, or @FILE with one a line.
func (c *command) addURL(s string) error {
	name, ok := strings.CutPrefix(s, "@")
	if !ok {
		c.urls = append(c.urls, s)
		return nil
	}
	text, err := readText(name, nil)
	for _, line := range fieldLines(text) {
		c.urls = append(c.urls, line)
		c.outputs = append(c.outputs, make([]target, len(c.urls)-len(c.outputs))...)
		c.outputs[len(c.urls)-1] = target{remote: true}
	}
	return err
}

func (c *command) addData(kind dataKind) func(string) error {
	return func(s string) error {
		c.data = append(c.data, datum{kind, s})
		return nil
	}
}

func (c *command) addQuery(s string) error {
	kind := dataEncode
	if rest, ok := strings.CutPrefix(s, "+"); ok {
		s, kind = rest, dataRaw
	}
	c.urlQuery = append(c.urlQuery, datum{kind, s})
	return nil
}

func (c *command) setTarget(s string) error {
	c.requestTarget = s
	return (&httpmini.Request{Method: "GET", Target: s}).Check()
}

func (c *command) addCookie(s string) error {
	c.cookies = append(c.cookies, s)
	return noControl(s)
}

func (c *command) setUser(s string) error {
	if !strings.Contains(s, ":") {
		return errors.New("want USER:PASSWORD; nobody is asked for a password here")
	}
	c.user, c.hasUser = s, true
	return noControl(s)
}

func setAuth(p *string, way string) func(bool) {
	return func(on bool) {
		if *p = ""; on {
			*p = way
		}
	}
}

// next begins another option set. Where nothing was asked for it does nothing: it may be
// the first word of a file of -K.
func (c *command) next(bool) {
	if len(c.urls) > 0 {
		c.endPart()
		resolves := slices.Clone(c.resolves)
		c.options = defaults()
		c.resolves = resolves
	}
}

// endPart keeps the options up to here.
func (c *command) endPart() {
	c.tls, c.flagTLS.Options = c.flagTLS.Options, tlsconf.Options{}
	c.ops = append(c.ops, c.options)
}

// setTrace names the file of --trace; % is stderr.
func (c *command) setTrace(text bool) func(string) error {
	return func(s string) error {
		c.trace, c.traceText = s, text
		return nil
	}
}

// setNoProxy takes a list, which may name nobody: no_proxy does not count then.
func (c *command) setNoProxy(s string) error {
	c.dialer.NoProxy = s + ","
	return nil
}

// addResolve takes [+]HOST:PORT:ADDR; -HOST:PORT forgets an earlier one.
func (c *command) addResolve(s string) error {
	if name, ok := strings.CutPrefix(s, "-"); ok {
		c.resolves = slices.DeleteFunc(c.resolves, func(r string) bool { return strings.HasPrefix(r, name+":") })
		return nil
	}
	c.resolves = append(c.resolves, strings.TrimPrefix(s, "+"))
	return new(dial.Dialer).AddResolve(strings.TrimPrefix(s, "+"))
}

// setLocalPort takes a port or a range of ports.
func (c *command) setLocalPort(s string) (err error) {
	from, to, ok := strings.Cut(s, "-")
	if c.firstPort, err = strconv.Atoi(from); err == nil && ok {
		c.lastPort, err = strconv.Atoi(to)
	}
	c.lastPort = max(c.firstPort, c.lastPort)
	if err != nil || c.firstPort < 1 || c.lastPort > 65535 {
		return errors.New("want a port, or two with a dash between")
	}
	return nil
}

// setPin takes sha256// with base64, or a file that holds a public key.
func (c *command) setPin(s string) error {
	if !strings.HasPrefix(s, "sha256//") {
		key, err := os.ReadFile(s)
		if err != nil {
			return err
		}
		if block, _ := pem.Decode(key); block != nil {
			key = block.Bytes
		}
		sum := sha256.Sum256(key)
		s = "sha256//" + base64.StdEncoding.EncodeToString(sum[:])
	}
	c.flagTLS.Options.Pin, c.pinned = s, true
	if _, err := tlsconf.Client(tlsconf.Options{Pin: s}); err != nil && tlsconf.Available {
		return errors.New("want sha256// and base64 of 32 bytes, or a file with a public key")
	}
	return nil
}

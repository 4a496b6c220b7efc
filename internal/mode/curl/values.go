package curl

import (
	"errors"
	"os"
	"slices"
	"socketsrv/httpmini"
	"socketsrv/internal/cli"
	"socketsrv/internal/dial"
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

func (c *command) setMethod(s string) error {
	c.method = s
	if (&httpmini.Request{Method: s, Target: "/"}).Check() != nil {
		return errors.New("want a word such as PUT")
	}
	return nil
}

func (c *command) addForm(literal bool) func(string) error {
	return func(s string) error {
		p, err := parseFormPart(s, literal)
		c.form = append(c.form, p)
		return err
	}
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

// setProxy takes a proxy of that scheme; none, not even that of the environment,
// where it is "".
func (c *command) setProxy(scheme string) func(string) error {
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
func (c *command) addConnectTo(s string) error {
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
func (c *command) setProtocols(s string) error {
	allowed := schemes
	for i, word := range strings.Split(s, ",") {
		name := strings.ToLower(strings.TrimLeft(word, "=+-"))
		set := []string{name}
		if name == "all" {
			set = schemes
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
func (c *command) addHeader(s string) error {
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
		c.headers = append(c.headers, field{name: name, remove: true})
		return (httpmini.Header{{Name: name}}).Check()
	}
	f, err := cli.ParseField(s)
	c.headers = append(c.headers, field{name: f.Name, value: f.Value})
	return err
}

package curl

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// netrcUser looks for host in the text of a .netrc, and there for user unless that is
// "". What it finds is user:password; an entry without a password is only the second
// best. The error is a quote without its end, before that.
func netrcUser(text, host, user string) (found string, ok bool, err error) {
	var login, password string
	here := false // the entry is for host
	done := func() bool {
		if !here || login+password == "" || user != "" && login != "" && login != user {
			return false
		}
		found, ok = cmp.Or(login, user)+":"+password, true
		return password != ""
	}
	next := func() string {
		word, rest, whole := netrcWord(text)
		if text = rest; !whole {
			err = errQuote
		}
		return word
	}
	for word := next(); word != "" && err == nil; word = next() {
		switch strings.ToLower(word) {
		case "machine", "default":
			if done() {
				return found, true, nil
			}
			login, password = "", ""
			here = strings.EqualFold(word, "default") || strings.EqualFold(next(), host)
		case "login":
			login = next()
		case "password":
			password = next()
		case "account":
			next()
		case "macdef": // up to an empty line
			_, text, _ = strings.Cut(strings.ReplaceAll(text, "\r", ""), "\n\n")
		}
	}
	if err == nil {
		done()
	}
	return found, ok, err
}

var errQuote = errors.New("a quote without its end")

// netrcWord cuts off the first word; one in quotes may have blanks and backslashes, and
// is not whole without the second quote.
func netrcWord(s string) (word, rest string, whole bool) {
	s = strings.TrimLeft(s, " \t\r\n")
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s+" ", " \t\r\n")
		return s[:end], s[end:], true
	}
	return quoted(s[1:], "nrt")
}

// wantsNetrc says whether one of the flags that read a .netrc was given.
func (o *options) wantsNetrc() bool { return o.netrc || o.netrcOptional || o.netrcFile != "" }

// readNetrc returns the text of the file; none is only an error where --netrc wants one.
func (t *transfer) readNetrc() (string, error) {
	name := cmp.Or(t.o.netrcFile, t.env.Getenv("NETRC"))
	if name == "" {
		home := t.env.Getenv("HOME")
		if home == "" {
			home, _ = os.UserHomeDir()
		}
		name = filepath.Join(home, ".netrc")
	}
	text, err := readText(name, t.env.Stdin)
	if err != nil && t.o.netrcOptional {
		err = nil
	}
	return text, err
}

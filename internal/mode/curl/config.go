package curl

import (
	"errors"
	"fmt"
	"socketsrv/internal/cli"
	"strings"
)

var errConfig = errors.New("want lines such as: header = \"A: b\"")

// readConfig takes the flags of a file: one a line, the dashes optional, with a
// colon, an equals sign or blanks before the value, which may stand in quotes.
func (c *command) readConfig(fs *cli.Flags, name string) error {
	if c.configs++; c.configs > 10 {
		return errors.New("want no file that names itself")
	}
	text, err := readText(name, nil)
	if err != nil {
		return cli.Fail(cli.ExitRead, fmt.Errorf("-K: %w", err))
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words, err := configWords(line)
		if err != nil {
			return err
		}
		if _, err := fs.Parse(words); err != nil {
			return err
		}
	}
	return nil
}

// configWords makes a line one or two words of a command line.
func configWords(line string) ([]string, error) {
	seps := " \t:="
	if len(line) > 1 && line[0] == '-' && line[1] != '-' {
		seps = " \t" // -uname:password
	}
	end := strings.IndexAny(line, seps)
	if end < 0 {
		end = len(line)
	}
	flag, rest := line[:end], strings.TrimLeft(line[end:], " \t")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t")
	}
	if !strings.HasPrefix(flag, "-") {
		flag = "--" + flag
	}
	switch {
	case rest == "" || rest[0] == '#':
		return []string{flag}, nil
	case rest[0] != '"':
		value, _, _ := strings.Cut(rest, " ")
		return []string{flag, value}, nil
	}
	value, _, whole := quoted(rest[1:], "nrtv")
	if !whole {
		return nil, errConfig
	}
	return []string{flag, value}, nil
}

// quoted reads s up to a quote. A backslash stands before what is meant as it is, or,
// before one of letters, for what C makes of the two. Without the quote s is not whole.
func quoted(s, letters string) (text, rest string, whole bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '"' {
			return b.String(), s[i+1:], true
		}
		if c == '\\' && i+1 < len(s) {
			i++
			if c = s[i]; strings.IndexByte(letters, c) >= 0 {
				c = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}[c]
			}
		}
		b.WriteByte(c)
	}
	return b.String(), "", false
}

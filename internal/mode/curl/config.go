package curl

import (
	"errors"
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
		return err
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
	var value strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			return []string{flag, value.String()}, nil
		case c == '\\' && i+1 < len(rest):
			i++
			c = rest[i]
			if k := strings.IndexByte("tnrv", c); k >= 0 {
				c = "\t\n\r\v"[k]
			}
			value.WriteByte(c)
		default:
			value.WriteByte(c)
		}
	}
	return nil, errConfig
}

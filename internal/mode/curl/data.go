package curl

import (
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
)

// The flags that carry data.
type dataKind uint8

const (
	dataPlain  dataKind = iota // -d: @ is a file, without its line ends
	dataRaw                    // --data-raw: as it is
	dataBinary                 // --data-binary: @ is a file, as it is
	dataEncode                 // --data-urlencode
	dataJSON                   // --json: as binary, nothing put between
)

// A datum is one such flag with its value.
type datum struct {
	kind  dataKind
	value string
}

// dataPieces joins data, with an & between them.
func dataPieces(data []datum, stdin io.Reader) ([]piece, error) {
	var pieces []piece
	for i, d := range data {
		if i > 0 && d.kind != dataJSON {
			pieces = append(pieces, textPiece("&"))
		}
		p, err := d.piece(stdin)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, p)
	}
	return pieces, nil
}

func (d datum) piece(stdin io.Reader) (piece, error) {
	if d.kind == dataEncode {
		text, err := urlEncoded(d.value, stdin)
		return textPiece(text), err
	}
	name, isFile := strings.CutPrefix(d.value, "@")
	if !isFile || d.kind == dataRaw {
		return textPiece(d.value), nil
	}
	if d.kind != dataPlain && name != "-" {
		if p, err := wholeFile(name); err != nil || p.size >= 0 {
			return p, err
		}
	}
	text, err := readText(name, stdin)
	if d.kind == dataPlain {
		text = strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
	}
	return textPiece(text), err
}

// maxText bounds what of a file becomes part of a command line.
const maxText = 1 << 30

var errTextTooLong = errors.New("longer than 1 GiB: -T sends files of any size")

// readText reads a file, "-" being standard input, for which nil is that of the
// process.
func readText(name string, stdin io.Reader) (string, error) {
	if stdin == nil {
		stdin = os.Stdin
	}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		stdin = f
	}
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(stdin, maxText+1))
	if err == nil && n > maxText {
		err = errTextTooLong
	}
	return b.String(), err
}

// urlEncoded reads the five forms: content, =content, name=content, @file,
// name@file.
func urlEncoded(s string, stdin io.Reader) (string, error) {
	i := strings.IndexByte(s, '=')
	if i < 0 {
		i = strings.IndexByte(s, '@')
	}
	if i < 0 {
		return url.QueryEscape(s), nil
	}
	name, content := s[:i], s[i+1:]
	if s[i] == '@' {
		var err error
		if content, err = readText(content, stdin); err != nil {
			return "", err
		}
	}
	if name != "" {
		name += "="
	}
	return name + url.QueryEscape(content), nil
}

// isStdin says whether -T names standard input.
func isStdin(name string) bool { return name == "-" || name == "." }

func noControl(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return isControl(r) && r != '\t' }) {
		return errors.New("want no control characters")
	}
	return nil
}

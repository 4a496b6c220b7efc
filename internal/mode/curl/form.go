package curl

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"path/filepath"
	"slices"
	"socketsrv/internal/cli"
	"strings"
)

// A formPart is one -F or --form-string, or one file of several there.
type formPart struct {
	name     string
	value    string
	from     byte // '@': a file to upload, '<': a file as text, 0: value itself
	filename string
	kind     string // Content-Type; "" is the usual
	named    bool   // filename was given
	encoder  string
	headers  []string
	parts    []*formPart // of a part that is made of others
	group    bool        // it is such a one
}

var errForm = errors.New("want NAME=VALUE, NAME=@FILE or NAME=<FILE")

// addForm adds a part; =( and =) are the ends of one that is made of those between.
func (c *command) addForm(s string, literal bool) error {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return errForm
	}
	if len(c.open) == 0 {
		c.form = &formPart{group: true}
		c.open = []*formPart{c.form}
	}
	in := c.open[len(c.open)-1]
	switch {
	case literal:
		in.parts = append(in.parts, &formPart{name: name, value: rest})
		return nil
	case name == "" && rest == ")" && len(c.open) > 1:
		c.open = c.open[:len(c.open)-1]
		return nil
	}
	p, err := parseFormPart(rest)
	p.name = name
	in.parts = append(in.parts, p)
	if p.group && p.parts == nil {
		c.open = append(c.open, p)
	}
	return err
}

// parseFormPart reads value, @file,file or <file, each with ;type=, ;filename=,
// ;headers= and ;encoder= behind it. Values in quotes may hold semicolons.
func parseFormPart(s string) (p *formPart, err error) {
	p = &formPart{}
	stop := ";"
	if s != "" && (s[0] == '@' || s[0] == '<') {
		p.from, s = s[0], s[1:]
	}
	if p.from == '@' {
		stop = ";,"
	} else if rest, ok := strings.CutPrefix(s, "("); ok && p.from == 0 {
		p.group, s = true, rest
	}
	if s, err = p.read(s, stop); err != nil || s == "" {
		return p, err
	}
	all := &formPart{group: true, parts: []*formPart{p}}
	for s != "" { // files behind commas
		next := &formPart{from: '@'}
		if s, err = next.read(s[1:], stop); err != nil {
			return all, err
		}
		all.parts = append(all.parts, next)
	}
	return all, nil
}

// read takes a value and its options, up to a comma where stop has one.
func (p *formPart) read(s, stop string) (rest string, err error) {
	if p.value, s = formWord(s, stop); p.group && p.value != "" {
		return "", errors.New("want nothing behind =( but options")
	}
	for strings.HasPrefix(s, ";") {
		key, value, _ := strings.Cut(strings.TrimLeft(s[1:], " \t"), "=")
		switch strings.ToLower(key) {
		case "type":
			p.kind, s = formType(value, stop)
		case "filename":
			p.filename, s = formWord(value, stop)
			p.named = true
		case "encoder":
			p.encoder, s = formWord(value, stop)
			if p.encoder = strings.TrimSpace(p.encoder); !slices.Contains([]string{"binary", "8bit", "7bit", "base64", "quoted-printable"}, p.encoder) {
				return "", errors.New("want encoder=base64, quoted-printable, 7bit, 8bit or binary")
			}
		case "headers":
			var lines string
			if lines, s = formWord(value, stop); strings.HasPrefix(lines, "@") && !strings.HasPrefix(value, `"`) {
				if lines, err = readText(lines[1:], nil); err != nil {
					return "", err
				}
			}
			p.headers = append(p.headers, fieldLines(lines)...)
		default:
			return "", errors.New("want ;type=, ;filename=, ;headers= or ;encoder= in place of " + cli.Clip(key, cli.MaxShown))
		}
	}
	if noControl(p.kind+strings.Join(p.headers, "")) != nil {
		return "", errors.New("want no control characters in the type and the headers")
	}
	return s, nil
}

// formWord reads up to a byte of stop, which begins rest; in quotes a backslash
// takes the quote or backslash after it as it is. Blanks in front are skipped.
func formWord(s, stop string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
				i++
				b.WriteByte(s[i])
			case c == '"':
				_, rest := cutBeforeAny(s[i+1:], stop)
				return b.String(), rest
			default:
				b.WriteByte(c)
			}
		}
	}
	return cutBeforeAny(s, stop)
}

// formType reads a media type with its parameters: what follows a semicolon is one
// unless it is an option of the part.
func formType(s, stop string) (kind, rest string) {
	for i := range len(s) {
		after := strings.TrimLeft(s[i+1:], " \t")
		option := slices.ContainsFunc([]string{"filename=", "type=", "headers=", "encoder="}, func(o string) bool { return strings.HasPrefix(after, o) })
		if s[i] == ';' && option || s[i] != ';' && strings.IndexByte(stop, s[i]) >= 0 {
			return strings.TrimSpace(s[:i]), s[i:]
		}
	}
	return strings.TrimSpace(s), ""
}

// cutBeforeAny splits s in front of the first character of any.
func cutBeforeAny(s, any string) (before, from string) {
	if i := strings.IndexAny(s, any); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// fieldLines are the fields in a text: comments are left out, folded lines joined.
func fieldLines(text string) (fields []string) {
	folds := false // there is a line that may go on
	for line := range strings.Lines(text) {
		begins := strings.TrimLeft(line, " \t") == line
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			folds = false
			continue
		}
		if n := len(fields); !begins && folds {
			fields[n-1] += " " + line
		} else {
			fields = append(fields, line)
		}
		folds = true
	}
	return fields
}

// pieces makes a body of the parts of p (RFC 7578, RFC 2046), and its Content-Type.
func (p *formPart) pieces(kind, disposition string, stdin io.Reader, escape func(string) string) (pieces []piece, contentType string, err error) {
	boundary := strings.Repeat("-", 24) + rand.Text()[:22] // as long as curl's
	for _, part := range p.parts {
		content, usual, err := part.content(stdin, escape)
		if err != nil {
			return nil, "", err
		}
		head := "--" + boundary + "\r\n"
		if disposition != "attachment" || part.name != "" || part.named {
			head += "Content-Disposition: " + disposition
			if part.name != "" {
				head += `; name="` + escape(part.name) + `"`
			}
			if part.named {
				head += `; filename="` + escape(part.filename) + `"`
			}
			head += "\r\n"
		}
		if usual != "" {
			head += "Content-Type: " + usual + "\r\n"
		}
		if part.encoder != "" {
			head += "Content-Transfer-Encoding: " + part.encoder + "\r\n"
		}
		for _, line := range part.headers {
			head += line + "\r\n"
		}
		pieces = append(append(append(pieces, textPiece(head+"\r\n")), content...), textPiece("\r\n"))
	}
	pieces = append(pieces, textPiece("--"+boundary+"--\r\n"))
	return pieces, kind + "; boundary=" + boundary, nil
}

// content is what is in a part, and its type.
func (p *formPart) content(stdin io.Reader, escape func(string) string) (content []piece, kind string, err error) {
	one := textPiece(p.value)
	switch {
	case p.group:
		kind = p.kind
		if kind == "" {
			kind = "multipart/mixed"
		}
		return p.pieces(kind, "attachment", stdin, escape)
	case p.from == '@':
		if !p.named {
			p.filename, p.named = filepath.Base(p.value), true
		}
		if p.value == "-" {
			one, err = textFrom("-", stdin) // for the sake of its length
		} else {
			one, err = wholeFile(p.value)
		}
		if kind = cmp.Or(typeOf(p.filename), typeOf(p.value)); kind == "" && p.value != "-" {
			kind = "application/octet-stream"
		}
	case p.from == '<':
		one, err = textFrom(p.value, stdin)
		fallthrough
	default:
		kind = typeOf(p.filename)
	}
	if p.kind != "" {
		kind = p.kind
	}
	if err == nil && (p.encoder == "base64" || p.encoder == "quoted-printable") {
		one, err = encoded(one, p.encoder, stdin)
	}
	return []piece{one}, kind, err
}

// encoded is a piece in a transfer encoding (RFC 2045 §6).
func encoded(p piece, encoder string, stdin io.Reader) (piece, error) {
	text, err := io.ReadAll(&body{pieces: []piece{p}, stdin: stdin})
	if err != nil {
		return p, err
	}
	if encoder == "quoted-printable" {
		var b bytes.Buffer
		for i, line := range bytes.Split(text, []byte("\r\n")) { // other line ends are data, as for curl
			if i > 0 {
				b.WriteString("\r\n")
			}
			w := quotedprintable.NewWriter(&b)
			w.Binary = true
			w.Write(line)
			w.Close()
		}
		return textPiece(b.String()), nil
	}
	const line = 76
	all := slices.Collect(slices.Chunk([]byte(base64.StdEncoding.EncodeToString(text)), line))
	return textPiece(string(bytes.Join(all, []byte("\r\n")))), nil
}

func textFrom(name string, stdin io.Reader) (piece, error) {
	text, err := readText(name, stdin)
	return textPiece(text), err
}

// escapeName is what browsers do to names (WHATWG HTML, multipart/form-data
// encoding algorithm); with --form-escape it is what curl did before it did so.
func (o *options) escapeName(s string) string {
	if o.formEscape {
		return strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s)
	}
	return strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(s)
}

// typeOf guesses as curl does, and no further.
func typeOf(name string) string {
	return map[string]string{
		".gif": "image/gif", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain",
		".htm": "text/html", ".html": "text/html", ".pdf": "application/pdf", ".xml": "application/xml",
	}[strings.ToLower(filepath.Ext(name))]
}

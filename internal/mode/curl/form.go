package curl

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"path/filepath"
	"socketsrv/internal/cli"
	"strings"
)

// A formPart is one -F or --form-string.
type formPart struct {
	name     string
	value    string
	from     byte // '@': a file to upload, '<': a file as text, 0: value itself
	filename string
	kind     string // Content-Type; "" is the usual
	named    bool   // filename was given
}

// parseFormPart reads name=value, name=@file, name=<file, each with ;type= and
// ;filename= behind it. Values in quotes may hold semicolons.
func parseFormPart(s string, literal bool) (formPart, error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return formPart{}, cli.Usagef("-F %q: want NAME=VALUE, NAME=@FILE or NAME=<FILE", cli.Clip(s, cli.MaxShown))
	}
	p := formPart{name: name, value: rest}
	if literal {
		return p, nil
	}
	if rest != "" && (rest[0] == '@' || rest[0] == '<') {
		p.from, rest = rest[0], rest[1:]
	}
	if p.from == 0 && strings.HasPrefix(rest, "(") {
		return p, cli.Usagef("-F %q: forms within forms are not supported", cli.Clip(s, cli.MaxShown))
	}
	p.value, rest = formWord(rest)
	for rest != "" {
		option := strings.TrimLeft(rest[1:], " \t")
		switch key, value, _ := strings.Cut(option, "="); strings.ToLower(key) {
		case "type":
			p.kind, rest = formType(value)
		case "filename":
			p.filename, rest = formWord(value)
			p.named = true
		default:
			return p, cli.Usagef("-F %q: want ;type= or ;filename= in place of %q", cli.Clip(s, cli.MaxShown), cli.Clip(option, cli.MaxShown))
		}
	}
	if noControl(p.kind) != nil {
		return p, cli.Usagef("-F %q: want no control characters in the type", cli.Clip(s, cli.MaxShown))
	}
	if p.from == '@' && strings.Contains(p.value, ",") && !strings.HasPrefix(s[len(name)+2:], `"`) {
		return p, cli.Usagef("-F %q: several files in one part are not supported; quote a name with a comma", cli.Clip(s, cli.MaxShown))
	}
	return p, nil
}

// formWord reads up to a semicolon, which begins rest; in quotes a backslash takes
// the quote or backslash after it as it is.
func formWord(s string) (word, rest string) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
				i++
				b.WriteByte(s[i])
			case c == '"':
				_, rest := cutBefore(s[i+1:], ';')
				return b.String(), rest
			default:
				b.WriteByte(c)
			}
		}
	}
	return cutBefore(s, ';')
}

// formType reads a media type with its parameters: what follows a semicolon is one
// unless it is an option of the part.
func formType(s string) (kind, rest string) {
	for i := range len(s) {
		if s[i] != ';' {
			continue
		}
		after := strings.TrimLeft(s[i+1:], " \t")
		if strings.HasPrefix(after, "filename=") || strings.HasPrefix(after, "type=") {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// cutBefore splits s in front of the first c.
func cutBefore(s string, c byte) (before, from string) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// formPieces makes a body of parts (RFC 7578), and its Content-Type.
func formPieces(parts []formPart, stdin io.Reader) (pieces []piece, contentType string, err error) {
	boundary := formBoundary()
	for _, part := range parts {
		head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + formEscape(part.name) + `"`
		content := textPiece(part.value)
		switch part.from {
		case '@':
			if !part.named {
				part.filename, part.named = filepath.Base(part.value), true
			}
			if part.value == "-" {
				content, err = textFrom("-", stdin) // for the sake of its length
				break
			}
			content, err = wholeFile(part.value)
			if part.kind == "" {
				part.kind = formTypeOf(part.filename)
			}
		case '<':
			content, err = textFrom(part.value, stdin)
		}
		if err != nil {
			return nil, "", err
		}
		if part.named {
			head += `; filename="` + formEscape(part.filename) + `"`
		}
		if part.kind != "" {
			head += "\r\nContent-Type: " + part.kind
		}
		pieces = append(pieces, textPiece(head+"\r\n\r\n"), content, textPiece("\r\n"))
	}
	pieces = append(pieces, textPiece("--"+boundary+"--\r\n"))
	return pieces, "multipart/form-data; boundary=" + boundary, nil
}

func textFrom(name string, stdin io.Reader) (piece, error) {
	text, err := readText(name, stdin)
	return textPiece(text), err
}

func formBoundary() string {
	var random [8]byte
	rand.Read(random[:])
	return strings.Repeat("-", 24) + hex.EncodeToString(random[:])
}

// formEscape is what browsers do to names (WHATWG HTML, multipart/form-data
// encoding algorithm).
func formEscape(s string) string {
	return strings.NewReplacer(`"`, "%22", "\r", "%0D", "\n", "%0A").Replace(s)
}

// formTypeOf guesses as curl does, and no further.
func formTypeOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".gif":
		return "image/gif"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain"
	case ".htm", ".html":
		return "text/html"
	case ".pdf":
		return "application/pdf"
	case ".xml":
		return "application/xml"
	}
	return "application/octet-stream"
}

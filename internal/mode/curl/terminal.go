package curl

import (
	"bytes"
	"errors"
	"io"
	"os"
	"socketsrv/internal/event"
	"strings"
)

// A ttyWriter shows a body on a terminal: what is not printable is escaped, and
// binary refused as curl does.
type ttyWriter struct {
	w    io.Writer
	some bool
	rest []byte // the beginning of a character whose end has not come
}

var errBinary = errors.New("binary output")

func (t *ttyWriter) Write(p []byte) (int, error) {
	if !t.some && strings.IndexByte(string(p[:min(len(p), 2000)]), 0) >= 0 {
		return 0, errBinary
	}
	t.some = true
	b := append(t.rest, p...)
	t.rest = bytes.Clone(event.Partial(b))
	_, err := t.w.Write(appendPrintable(nil, b[:len(b)-len(t.rest)]))
	return len(p), err
}

// flush shows what cannot be completed any more.
func (t *ttyWriter) flush() error {
	if len(t.rest) == 0 {
		return nil
	}
	_, err := t.w.Write(appendPrintable(nil, t.rest))
	t.rest = nil
	return err
}

// forTTY is p as it may go to a terminal; tty is nil where there is none.
func (o *options) forTTY(tty *os.File, p []byte) []byte {
	if tty == nil || o.raw {
		return p
	}
	return appendPrintable(nil, p)
}

// appendPrintable escapes all but line ends and tabs.
func appendPrintable(dst, p []byte) []byte {
	for line := range bytes.Lines(p) {
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if !bytes.HasSuffix(line, []byte("\n")) {
			text = line
		}
		for i, cell := range bytes.Split(text, []byte("\t")) {
			if i > 0 {
				dst = append(dst, '\t')
			}
			dst = event.AppendEscaped(dst, cell)
		}
		dst = append(dst, line[len(text):]...)
	}
	return dst
}

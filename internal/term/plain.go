package term

import (
	"bytes"
	"io"
	"os"
)

// lineReader cuts what read gives into lines.
type lineReader struct {
	read func(p []byte) (int, error)
	buf  []byte
	r, w int   // buf[r:w] is read and not yet taken
	skip bool  // the rest of a line that was too long is still to come
	err  error // what read ended with, once buf is empty
}

const maxHeld = MaxLine + 2 // a line with CR and LF

// next returns the next line without LF or CR LF. A last line without LF is one.
// The error is ErrTooLong for a line that is, else what read ended with.
func (l *lineReader) next() (string, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(l.buf[l.r+seen:l.w], '\n'); i >= 0 {
			line := l.buf[l.r : l.r+seen+i]
			l.r += seen + i + 1
			seen = 0
			if l.skip {
				l.skip = false
				continue
			}
			line = bytes.TrimSuffix(line, []byte{'\r'})
			if len(line) > MaxLine {
				return "", ErrTooLong
			}
			return string(line), nil
		}
		seen = l.w - l.r
		if l.skip || seen >= maxHeld {
			tooLong := !l.skip
			l.r, l.w, l.skip, seen = 0, 0, true, 0
			if tooLong {
				return "", ErrTooLong
			}
		}
		if l.err != nil {
			return l.last()
		}
		l.fill()
	}
}

// last returns what comes after the last LF.
func (l *lineReader) last() (string, error) {
	line := l.buf[l.r:l.w]
	l.r, l.w = 0, 0
	switch {
	case len(line) == 0:
		return "", l.err
	case len(line) > MaxLine:
		return "", ErrTooLong
	}
	return string(line), nil
}

// fill reads once, or learns why not.
func (l *lineReader) fill() {
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	if l.w == len(l.buf) {
		grown := make([]byte, min(max(2*len(l.buf), 64<<10), maxHeld))
		copy(grown, l.buf[:l.w])
		l.buf = grown
	}
	n, err := l.read(l.buf[l.w:])
	l.w += n
	l.err = err
}

// readPlain is ReadLine where there is no terminal, or one that cannot do more.
func (e *Editor) readPlain() (string, error) {
	if e.closed() {
		return "", os.ErrClosed
	}
	if e.prompts && e.lines.err == nil {
		e.mu.Lock()
		io.WriteString(e.out, e.prompt)
		e.mu.Unlock()
	}
	line, err := e.lines.next()
	if e.closed() {
		return "", os.ErrClosed
	}
	return line, err
}

// readInput reads for lines, and ends with os.ErrClosed when Close was called.
func (e *Editor) readInput(p []byte) (int, error) {
	for {
		n, err := e.input.read(p, forever)
		if err != errWoken {
			return n, err
		}
		if e.closed() {
			return 0, os.ErrClosed
		}
	}
}

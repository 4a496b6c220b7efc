package term

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// view is what is to be seen: the cursor stands before text[pos].
type view struct {
	prompt string // may hold SGR sequences (ESC [ … m)
	text   []byte
	pos    int
}

// place is a row and column counted from where the prompt begins. A row that is
// full to its last column ends at column 0 of the next one.
type place struct{ row, col int }

// frame is a view laid out for a screen: all of it, or the rows around the
// cursor where it is taller than the screen.
type frame struct {
	prompt string
	body   []byte // what stands on the screen: valid UTF-8, SGR the only escapes
	cursor int    // index in body
	top    int    // rows left out above
	cols   int
}

// screen is the bottom of the terminal: the line being typed, and an unfinished
// line of output above it, if there is one. Its methods append to dst what makes
// the terminal show what they say, and remember it. They do no I/O.
type screen struct {
	rigid bool // lines do not flow anew when the window's width changes

	shown bool // the view is on the screen
	view  view
	frame frame

	open bool   // output ended without LF
	tail []byte // that output, from its last LF on; nil: cannot be continued
}

const (
	eraseBelow  = "\x1b[J"
	clearScreen = "\x1b[H\x1b[2J"
	pasteOn     = "\x1b[?2004h"
	pasteOff    = "\x1b[?2004l"
	maxTail     = 4096 // bytes
)

// show draws v in place of what is shown: what changed of it where it can.
func (s *screen) show(dst []byte, v view, sz size) []byte {
	old, wasShown := s.frame, s.shown
	s.view = view{v.prompt, append(s.view.text[:0], v.text...), v.pos}
	s.frame = layout(s.view, sz, old.top)
	s.shown = true
	switch f := s.frame; {
	case !wasShown:
		if s.open {
			dst = append(dst, '\r', '\n')
			s.open = false
		}
		return f.draw(dst, 0, place{})
	case old.cols == f.cols && old.top == f.top && old.prompt == f.prompt:
		return f.change(dst, &old)
	default:
		dst = moveTo(dst, old.seen(s.colsNow(old.cols, sz)), place{})
		dst = append(dst, eraseBelow...)
		return f.draw(dst, 0, place{})
	}
}

// print writes p above the view, which is drawn again after it.
func (s *screen) print(dst, p []byte, sz size) []byte {
	if !s.shown {
		s.note(p, sz)
		return append(dst, p...)
	}
	dst = s.goAbove(dst, sz)
	dst = append(dst, s.tail...)
	dst = append(dst, p...)
	s.note(p, sz)
	if s.open {
		dst = append(dst, '\r', '\n')
		s.open = false
	}
	s.frame = layout(s.view, sz, s.frame.top)
	return s.frame.draw(dst, 0, place{})
}

// finish draws v for the last time, after its text for instance "^C", and goes
// to the line below it.
func (s *screen) finish(dst []byte, v view, after string, sz size) []byte {
	v.text = append(slices.Clip(v.text), after...)
	v.pos = len(v.text)
	dst = s.show(dst, v, sz)
	if at := s.frame.at(s.frame.cols); at.row == 0 || at.col > 0 {
		dst = append(dst, '\r', '\n')
	}
	s.forget()
	return dst
}

// forget says that nothing is on the screen that could be drawn over.
func (s *screen) forget() { s.shown, s.open, s.tail, s.frame.top = false, false, nil, 0 }

// goAbove goes to where the view began, or the unfinished output above it, and
// erases from there.
func (s *screen) goAbove(dst []byte, sz size) []byte {
	cols := s.colsNow(s.frame.cols, sz)
	at := s.frame.seen(cols)
	at.row += rowsOf(s.tail, cols)
	return append(moveTo(dst, at, place{}), eraseBelow...)
}

// colsNow returns the columns after which rows drawn with cols of them break now.
func (s *screen) colsNow(cols int, sz size) int {
	if s.rigid {
		return cols
	}
	return sz.cols
}

// note remembers what p leaves unfinished, as far as its rows can be told.
func (s *screen) note(p []byte, sz size) {
	if len(p) == 0 {
		return
	}
	i := bytes.LastIndexByte(p, '\n')
	switch {
	case i >= 0:
		s.tail = slices.Clone(p[i+1:])
	case s.tail != nil || !s.open:
		s.tail = append(s.tail, p...)
	}
	s.open = i < len(p)-1
	if len(s.tail) == 0 || len(s.tail) > maxTail || !measurable(s.tail) || rowsOf(s.tail, sz.cols) > sz.rows/2 {
		s.tail = nil
	}
}

// measurable reports whether b is printable but for SGR sequences.
func measurable(b []byte) bool {
	for i := 0; i < len(b); {
		if n := sgrLen(b[i:]); n > 0 {
			i += n
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if !isShown(r) || r == utf8.RuneError && n == 1 || isSilent(r) {
			return false
		}
		i += n
	}
	return true
}

// layout lays v out for sz. top is what was left out above last time: it stays
// so as long as the cursor can be seen.
func layout(v view, sz size, top int) frame {
	body := make([]byte, 0, len(v.prompt)+len(v.text)+16)
	body, _ = appendShown(body, []byte(v.prompt), 0, true)
	body, cursor := appendShown(body, v.text, v.pos, false)
	f := frame{prompt: v.prompt, body: body, cursor: cursor, cols: sz.cols}

	rows, limit := rowsOf(body, sz.cols), max(sz.rows-1, 1)
	if rows <= limit {
		return f
	}
	row := min(f.at(sz.cols).row, rows-1)
	f.top = min(max(top, row-limit+1), row, rows-limit)
	from := rowStart(body, f.top, sz.cols)
	to := rowStart(body, f.top+limit, sz.cols)
	f.body, f.cursor = body[from:to], max(cursor-from, 0)
	return f
}

// at returns the place of the cursor if rows break after cols columns.
func (f *frame) at(cols int) place {
	p := advance(place{}, f.body[:f.cursor], cols)
	if _, w := glyph(f.body[f.cursor:]); p.col+w > cols {
		return place{p.row + 1, 0}
	}
	return p
}

// seen returns the place of the cursor after the window got cols columns. At the
// end of a row that has come to be full, without a blank after it as draw would
// have sent, it waits in the last column.
func (f *frame) seen(cols int) place {
	p := f.at(cols)
	if cols != f.cols && f.cursor == len(f.body) && p.col == 0 && p.row > 0 && f.at(f.cols).col > 0 {
		return place{p.row - 1, cols - 1}
	}
	return p
}

// draw sends the body from index i on, the terminal's cursor being there, and
// ends at the frame's own cursor.
func (f *frame) draw(dst []byte, i int, here place) []byte {
	end := advance(here, f.body[i:], f.cols)
	dst = append(dst, f.body[i:]...)
	if end.col == 0 && end.row > 0 && i < len(f.body) {
		// The terminal waits in the last column for what comes next: a blank
		// makes it go on to the next row, as part of the same line.
		dst = append(dst, ' ', '\r')
	}
	return moveTo(dst, end, f.at(f.cols))
}

// change sends what differs from old, which is on the screen.
func (f *frame) change(dst []byte, old *frame) []byte {
	i := samePrefix(old.body, f.body)
	here := old.at(old.cols)
	if i == len(old.body) && i == len(f.body) {
		return moveTo(dst, here, f.at(f.cols))
	}
	start := advance(place{}, f.body[:i], f.cols)
	dst = moveTo(dst, here, start)
	if i < len(old.body) {
		dst = append(dst, eraseBelow...)
	}
	return f.draw(dst, i, start)
}

// samePrefix returns how much a and b begin with alike, in whole characters:
// a letter is not the same when it bears another mark.
func samePrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	if n == len(a) && n == len(b) {
		return n
	}
	for n > 0 && (joinsLeft(a[n:]) || joinsLeft(b[n:])) {
		n--
	}
	return n
}

// joinsLeft reports whether b begins within a character.
func joinsLeft(b []byte) bool {
	if len(b) == 0 || b[0] < utf8.RuneSelf {
		return false
	}
	r, _ := utf8.DecodeRune(b)
	return !utf8.RuneStart(b[0]) || isMark(r)
}

// moveTo moves the cursor between two places that are both on the screen.
func moveTo(dst []byte, from, to place) []byte {
	if from == to {
		return dst
	}
	switch {
	case to.row < from.row:
		dst = fmt.Appendf(dst, "\x1b[%dA", from.row-to.row)
	case to.row > from.row:
		dst = fmt.Appendf(dst, "\x1b[%dB", to.row-from.row)
	}
	dst = append(dst, '\r')
	if to.col > 0 {
		dst = fmt.Appendf(dst, "\x1b[%dC", to.col)
	}
	return dst
}

// glyph returns the length and the columns of what b, shown text, begins with.
func glyph(b []byte) (n, w int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] == esc:
		return sgrLen(b), 0
	case b[0] < utf8.RuneSelf:
		return 1, 1
	}
	r, n := utf8.DecodeRune(b)
	return n, runeWidth(r)
}

// advance returns where the cursor is after b, which begins at p.
func advance(p place, b []byte, cols int) place {
	for i := 0; i < len(b); {
		if run := indexOdd(b[i:]); run > 0 {
			p.col += run
			p.row += p.col / cols
			p.col %= cols
			i += run
			continue
		}
		n, w := glyph(b[i:])
		p = p.after(w, cols)
		i += n
	}
	return p
}

func (p place) after(w, cols int) place {
	w = min(w, cols)
	if p.col+w > cols { // a wide rune does not fit into the last column
		p = place{p.row + 1, 0}
	}
	if p.col += w; p.col == cols {
		p = place{p.row + 1, 0}
	}
	return p
}

// rowsOf returns the rows that b takes, 0 for nothing.
func rowsOf(b []byte, cols int) int {
	if len(b) == 0 {
		return 0
	}
	p := advance(place{}, b, cols)
	if p.col > 0 || p.row == 0 {
		p.row++
	}
	return p.row
}

// rowStart returns the index in b of what is first in a row.
func rowStart(b []byte, row, cols int) int {
	p := place{}
	for i := 0; i < len(b); {
		if run := indexOdd(b[i:]); run > 0 {
			until := (row-p.row)*cols - p.col
			if run > until {
				return i + max(until, 0)
			}
			p = advance(p, b[i:i+run], cols)
			i += run
			continue
		}
		n, w := glyph(b[i:])
		q := p.after(w, cols)
		if w > 0 && (p.row >= row || p.col+w > cols && p.row+1 >= row) {
			return i
		}
		p = q
		i += n
	}
	return len(b)
}

// sgrLen returns the length of the SGR sequence that b begins with, 0 if none.
func sgrLen(b []byte) int {
	if !bytes.HasPrefix(b, []byte("\x1b[")) {
		return 0
	}
	for i := 2; i < len(b) && i < maxSequence; i++ {
		switch c := b[i]; {
		case c == 'm':
			return i + 1
		case c < '0' || c > ';':
			return 0
		}
	}
	return 0
}

// appendShown appends text as it is shown: controls as ^X, bytes that are no
// UTF-8 as \xff, runes that do not print, or marks with nothing to stand on, as
// \u200b. It returns the index in dst that belongs to text[pos]. With sgr set,
// SGR sequences are kept.
func appendShown(dst, text []byte, pos int, sgr bool) (shown []byte, cursor int) {
	cursor = -1
	bears := false // what is before can bear a mark
	for i := 0; i < len(text); {
		if i >= pos && cursor < 0 {
			cursor = len(dst)
		}
		if run := indexOdd(text[i:]); run > 0 {
			if cursor < 0 && i+run > pos {
				cursor = len(dst) + pos - i
			}
			dst = append(dst, text[i:i+run]...)
			bears = true
			i += run
			continue
		}
		if n := sgrLen(text[i:]); sgr && n > 0 {
			dst = append(dst, text[i:i+n]...)
			i += n
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		dst, bears = appendRune(dst, r, text[i:i+n], bears)
		i += n
	}
	if cursor < 0 {
		cursor = len(dst)
	}
	return dst, cursor
}

// indexOdd returns how many bytes of b are printable ASCII.
func indexOdd(b []byte) int {
	for i, c := range b {
		if c < ' ' || c >= 0x7f {
			return i
		}
	}
	return len(b)
}

func appendRune(dst []byte, r rune, raw []byte, bears bool) ([]byte, bool) {
	switch {
	case r < ' ' || r == 0x7f:
		return append(dst, '^', byte(r)^0x40), false
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Appendf(dst, `\x%02x`, raw[0]), false
	case isSilent(r) && bears:
		return dst, true
	case isMark(r) && !bears || !isShown(r):
		q := strconv.AppendQuoteRuneToASCII(nil, r)
		return append(dst, q[1:len(q)-1]...), false
	}
	return append(dst, raw...), true
}

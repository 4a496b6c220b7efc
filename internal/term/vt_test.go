package term

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// vt is a terminal as small as the sequences the editor sends. It refuses all
// others.
type vt struct {
	t          *testing.T
	cols, rows int
	grid       []vtRow
	gone       []string // rows scrolled off the top
	row, col   int
	full       bool // the last column is taken, the cursor waits there
	paste      bool
	bells      int
	erased     int // ESC [ J
	part       string
}

type vtRow struct {
	cells   []string // "" is blank, or the second half of a wide one
	flowing bool     // goes on in the next row
}

func newVT(t *testing.T, cols, rows int) *vt {
	v := &vt{t: t, cols: cols, rows: rows}
	for range rows {
		v.grid = append(v.grid, v.blank())
	}
	return v
}

func (v *vt) blank() vtRow { return vtRow{cells: make([]string, v.cols)} }

func (v *vt) Write(p []byte) (int, error) {
	s := v.part + string(p)
	for len(s) > 0 {
		n := v.step(s)
		if n == 0 {
			break
		}
		s = s[n:]
	}
	v.part = s
	return len(p), nil
}

// step takes one character or sequence; 0: it is not all there.
func (v *vt) step(s string) int {
	switch c := s[0]; {
	case c == '\r':
		v.col, v.full = 0, false
	case c == '\n': // as the tty's ONLCR makes it
		v.col, v.full = 0, false
		v.down()
	case c == '\a':
		v.bells++
	case c == esc:
		return v.sequence(s)
	case c < ' ' || c == 0x7f:
		v.t.Errorf("control character %q sent", c)
	default:
		if !utf8.FullRuneInString(s) {
			return 0
		}
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			v.t.Errorf("invalid UTF-8 sent: %q", s[:1])
		}
		v.put(string(r), runeWidth(r))
		return n
	}
	return 1
}

func (v *vt) sequence(s string) int {
	end := strings.IndexFunc(s[1:], func(r rune) bool { return r != '[' && (r >= '@' && r <= '~') })
	if end < 0 {
		return 0
	}
	end += 2
	seq := s[:end]
	n, _ := strconv.Atoi(strings.Trim(seq[2:end-1], "?"))
	switch {
	case seq == "\x1b[J":
		v.erased++
		v.erase(v.row, v.col)
	case seq == "\x1b[H":
		v.row, v.col = 0, 0
	case seq == "\x1b[2J":
		v.erase(0, 0)
	case seq == pasteOn, seq == pasteOff:
		v.paste = seq == pasteOn
	case strings.HasSuffix(seq, "m"):
	case n < 1:
		v.t.Errorf("sequence %q sent", seq)
	case strings.HasSuffix(seq, "A"):
		v.row = max(v.row-n, 0)
	case strings.HasSuffix(seq, "B"):
		v.row = min(v.row+n, v.rows-1)
	case strings.HasSuffix(seq, "C"):
		v.col = min(v.col+n, v.cols-1)
	default:
		v.t.Errorf("sequence %q sent", seq)
	}
	v.full = v.full && strings.HasSuffix(seq, "m")
	return end
}

func (v *vt) erase(row, col int) {
	for r := row; r < v.rows; r++ {
		if r > row || col == 0 {
			v.grid[r] = v.blank()
			continue
		}
		clear(v.grid[r].cells[col:])
		v.grid[r].flowing = false
	}
}

func (v *vt) down() {
	if v.row < v.rows-1 {
		v.row++
		return
	}
	v.gone = append(v.gone, v.grid[0].String())
	v.grid = append(v.grid[1:], v.blank())
}

func (v *vt) put(s string, w int) {
	if w == 0 {
		v.join(s)
		return
	}
	if v.full || v.col+w > v.cols {
		v.grid[v.row].flowing = true
		v.down()
		v.col, v.full = 0, false
	}
	cells := v.grid[v.row].cells
	if v.col > 0 && cells[v.col] == "" && runeWidth(first(cells[v.col-1])) == 2 {
		cells[v.col-1] = "" // its right half is overwritten
	}
	cells[v.col] = s
	if w == 2 && v.cols > 1 {
		cells[v.col+1] = ""
	}
	if v.col += w; v.col >= v.cols {
		v.col, v.full = v.cols-1, true
	}
}

// join puts a mark on the character before the cursor.
func (v *vt) join(s string) {
	c := v.col - 1
	if v.full {
		c = v.col
	}
	cells := v.grid[v.row].cells
	for ; c >= 0; c-- {
		if cells[c] != "" {
			cells[c] += s
			return
		}
	}
	if v.row > 0 && v.grid[v.row-1].flowing { // it was brought to the next row by a blank
		return
	}
	v.t.Errorf("mark %q with nothing to stand on", s)
}

func first(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	if s == "" {
		return ' '
	}
	return r
}

func (r vtRow) String() string {
	var b strings.Builder
	for i := 0; i < len(r.cells); i++ {
		if r.cells[i] == "" {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(r.cells[i])
		if runeWidth(first(r.cells[i])) == 2 {
			i++
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// String is the screen, rows joined by LF, blank ones at the end left out.
func (v *vt) String() string {
	var rows []string
	for _, r := range v.grid {
		rows = append(rows, r.String())
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}

// all is what was ever on the screen: what scrolled off, and what is there.
func (v *vt) all() string {
	return strings.TrimLeft(strings.Join(v.gone, "\n")+"\n"+v.String(), "\n")
}

// at is where the cursor is seen: one that waits in the last column is there.
func (v *vt) at() place { return place{v.row, v.col} }

// resize gives the window cols columns. Rows that flow on do so anew; in a rigid
// terminal all are cut.
func (v *vt) resize(cols int, rigid bool) {
	var lines [][]string
	var line []string
	cursorLine, cursorAt := 0, 0
	for i, r := range v.grid {
		if i == v.row {
			cursorLine, cursorAt = len(lines), len(line)+len(r.glyphs(v.col))
			if v.full {
				cursorAt++
			}
			if rigid {
				cursorAt = min(cursorAt, cols-1)
			}
		}
		if i > v.row && r.String() == "" && len(line) == 0 {
			continue
		}
		glyphs := r.glyphs(r.used())
		if rigid {
			glyphs = vtRow{cells: r.cells[:min(cols, len(r.cells))]}.glyphs(min(cols, r.used()))
		}
		line = append(line, glyphs...)
		if rigid || !r.flowing {
			lines, line = append(lines, line), nil
		}
	}

	n := newVT(v.t, cols, v.rows)
	n.gone, n.paste, n.bells, n.erased = v.gone, v.paste, v.bells, v.erased
	row, col := 0, 0
	for i, line := range lines {
		for j := 0; j <= len(line) || i == cursorLine && j <= cursorAt; j++ {
			here := i == cursorLine && j == cursorAt
			if here {
				row, col = len(n.gone)+n.row, n.col
			}
			switch {
			case j < len(line):
				wraps := n.full || n.col+runeWidth(first(line[j])) > cols
				n.put(line[j], runeWidth(first(line[j])))
				if here && wraps { // the cursor stays on what it was on
					row, col = len(n.gone)+n.row, 0
				}
			case i == cursorLine && j < cursorAt:
				n.put(" ", 1)
			}
		}
		if i < len(lines)-1 {
			n.down()
			n.col, n.full = 0, false
		}
	}
	n.row, n.col, n.full = max(row-len(n.gone), 0), col, false
	*v = *n
}

// used is the columns up to the last that is not blank.
func (r vtRow) used() int {
	n := 0
	for i, c := range r.cells {
		if c != "" {
			n = min(i+runeWidth(first(c)), len(r.cells))
		}
	}
	return n
}

// glyphs are what stands in the first n columns.
func (r vtRow) glyphs(n int) []string {
	var out []string
	for i := 0; i < n; i++ {
		c := r.cells[i]
		if c == "" {
			c = " "
		}
		out = append(out, c)
		i += runeWidth(first(c)) - 1
	}
	return out
}

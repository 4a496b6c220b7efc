package term

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// drawAt is what a screen shows of the prompt and line, | for the cursor in it.
func viewOf(prompt, line string) view {
	i := strings.IndexByte(line, '|')
	return view{prompt, []byte(line[:i] + line[i+1:]), i}
}

func TestShow(t *testing.T) {
	tests := []struct {
		name         string
		cols, rows   int
		prompt, line string
		want         string
		at           place
	}{
		{"empty", 20, 5, "> ", "|", ">", place{0, 2}},
		{"no prompt", 20, 5, "", "|", "", place{0, 0}},
		{"text", 20, 5, "> ", "hello|", "> hello", place{0, 7}},
		{"cursor inside", 20, 5, "> ", "he|llo", "> hello", place{0, 4}},
		{"a row full", 8, 5, "> ", "123456|", "> 123456", place{1, 0}},
		{"cursor on the last column", 8, 5, "> ", "12345|6", "> 123456", place{0, 7}},
		{"wrapped", 8, 5, "> ", "1234567890|", "> 123456\n7890", place{1, 4}},
		{"two rows full", 4, 5, "> ", "123456|", "> 12\n3456", place{2, 0}},
		{"wide at the edge", 7, 5, "> ", "1234日|", "> 1234\n日", place{1, 2}},
		{"cursor before wide at the edge", 7, 5, "> ", "1234|日", "> 1234\n日", place{1, 0}},
		{"wide fills the row", 8, 5, "> ", "1234日|", "> 1234日", place{1, 0}},
		{"wide only", 5, 5, "", "日本語|", "日本\n語", place{1, 2}},
		{"marks", 20, 5, "> ", "e\u0301|x", "> e\u0301x", place{0, 3}},
		{"mark at the edge", 4, 5, "> ", "ae\u0301|x", "> ae\u0301\nx", place{1, 0}},
		{"controls", 20, 5, "> ", "a\x03\t\x7f|b", "> a^C^I^?b", place{0, 9}},
		{"escape in the line", 20, 5, "> ", "\x1b[2J|", "> ^[[2J", place{0, 7}},
		{"invalid UTF-8", 20, 5, "> ", "\xff|\xc3", `> \xff\xc3`, place{0, 6}},
		{"C1, bidi, zero width", 40, 5, "> ", "\u009b\u202e\u200b|", `> \u009b\u202e\u200b`, place{0, 20}},
		{"beyond the first plane", 40, 5, "> ", "\U000e0041|", `> \U000e0041`, place{0, 12}},
		{"mark with nothing before", 20, 5, "> ", "\u0301|", `> \u0301`, place{0, 8}},
		{"mark after a control", 20, 5, "> ", "\x01\u0301|", `> ^A\u0301`, place{0, 10}},
		{"emoji with variation and tone", 20, 5, "> ", "❤\ufe0f👍🏽|x", "> ❤👍x", place{0, 5}},
		{"tone alone", 20, 5, "> ", "\x01🏽|", `> ^A🏽`, place{0, 6}},
		{"ideographic space", 20, 5, "> ", "a\u3000|b", "> a\u3000b", place{0, 5}},
		{"no-break space", 20, 5, "> ", "\u00a0|", `> \u00a0`, place{0, 8}},
		{"coloured prompt", 20, 5, "\x1b[1;32m> \x1b[0m", "x|", "> x", place{0, 3}},
		{"prompt with another escape", 20, 5, "\x1b[2J> ", "x|", "^[[2J> x", place{0, 8}},
		{"cursor within a rune", 20, 5, "", "\xc3|\xa9x", "éx", place{0, 1}},
		{"one column", 1, 4, "", "ab|", "a\nb", place{2, 0}},
		{"taller than the screen, at the end", 4, 4, "> ", "1234567890abcdefgh|", "7890\nabcd\nefgh", place{3, 0}},
		{"taller than the screen, at the start", 4, 4, "> ", "|1234567890abcdefgh", "> 12\n3456\n7890", place{0, 2}},
		{"a screen of one row", 10, 1, "> ", "ab|", "> ab", place{0, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sz := size{tt.cols, tt.rows}
			s, v := &screen{}, newVT(t, tt.cols, tt.rows)
			v.Write(s.show(nil, viewOf(tt.prompt, tt.line), sz))
			if v.String() != tt.want || v.at() != tt.at {
				t.Errorf("shows %q, cursor at %v; want %q, %v", v, v.at(), tt.want, tt.at)
			}
			if again := s.show(nil, viewOf(tt.prompt, tt.line), sz); len(again) > 0 {
				t.Errorf("the same again sends %q", again)
			}
		})
	}
}

// What a key sends is small: no more than changes.
func TestShowSendsChanges(t *testing.T) {
	tests := []struct{ from, to, want string }{
		{"hello|", "hello!|", "!"},
		{"hello|", "hell|o", "\r\x1b[6C"},
		{"|hello", "hello|", "\r\x1b[7C"},
		{"hello|", "hell|", "\r\x1b[6C\x1b[J"},
		{"hel|lo", "helX|lo", "\x1b[JXlo\r\x1b[6C"},
		{"e|", "e\u0301|", "\r\x1b[2C\x1b[Je\u0301"},
		{"e\u0301x|", "ex|", "\r\x1b[2C\x1b[Jex"},
		{"1234567|", "12345678|", "8 \r"},
		{"12345678|", "123456789|", "9"},
		{"12345678|", "1234567|", "\x1b[1A\r\x1b[9C\x1b[J"},
		{"123456789|", "|123456789", "\x1b[1A\r\x1b[2C"},
		{"|123456789", "123456789|", "\x1b[1B\r\x1b[1C"},
	}
	for _, tt := range tests {
		s, sz := &screen{}, size{10, 5}
		s.show(nil, viewOf("> ", tt.from), sz)
		if got := string(s.show(nil, viewOf("> ", tt.to), sz)); got != tt.want {
			t.Errorf("from %q to %q sends %q; want %q", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestFinish(t *testing.T) {
	tests := []struct {
		name, line, after, want string
		at                      place
	}{
		{"at the end", "hello|", "", "> hello", place{1, 0}},
		{"from the start", "|hello", "", "> hello", place{1, 0}},
		{"empty", "|", "", ">", place{1, 0}},
		{"Ctrl-C", "ab|", "^C", "> ab^C", place{1, 0}},
		{"a full row needs no line of its own", "12345678|", "", "> 12345678", place{1, 0}},
		{"wrapped", "|1234567890", "", "> 12345678\n90", place{2, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, v, sz := &screen{}, newVT(t, 10, 5), size{10, 5}
			v.Write(s.show(nil, viewOf("> ", tt.line), sz))
			v.Write(s.finish(nil, viewOf("> ", tt.line), tt.after, sz))
			if v.String() != tt.want || v.at() != tt.at || s.shown {
				t.Errorf("shows %q, cursor at %v, shown %v; want %q, %v, false", v, v.at(), s.shown, tt.want, tt.at)
			}
		})
	}
}

// Output is printed above the line, which stays as it is.
func TestPrint(t *testing.T) {
	tests := []struct {
		name, line string
		out        []string
		want       string
		at         place
	}{
		{"a line", "hel|lo", []string{"out\n"}, "out\n> hello", place{1, 5}},
		{"lines", "hello|", []string{"one\ntwo\n", "three\n"}, "one\ntwo\nthree\n> hello", place{3, 7}},
		{"above a wrapped line", "1234567890|", []string{"out\n"}, "out\n> 12345678\n90", place{2, 2}},
		{"in the middle of a wrapped line", "12|34567890", []string{"out\n"}, "out\n> 12345678\n90", place{1, 4}},
		{"above a full row", "12345678|", []string{"out\n"}, "out\n> 12345678", place{2, 0}},
		{"a line as long as the screen is wide", "x|", []string{"0123456789\n"}, "0123456789\n> x", place{1, 3}},
		{"a line in pieces", "x|", []string{"one ", "two ", "three\n"}, "one two th\nree\n> x", place{2, 3}},
		{"a piece, not finished", "x|", []string{"one ", "two"}, "one two\n> x", place{1, 3}},
		{"a piece after a line", "x|", []string{"a\nb", "c", "d\ne"}, "a\nbcd\ne\n> x", place{3, 3}},
		{"a piece that fills a row", "x|", []string{"0123456789", "ab\n"}, "0123456789\nab\n> x", place{2, 3}},
		{"wide pieces", "x|", []string{"日本語", "日本語\n"}, "日本語日本\n語\n> x", place{2, 3}},
		{"coloured pieces", "x|", []string{"\x1b[31mred", " more\x1b[0m\n"}, "red more\n> x", place{1, 3}},
		{"nothing", "x|", []string{""}, "> x", place{0, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, v, sz := &screen{}, newVT(t, 10, 8), size{10, 8}
			v.Write(s.show(nil, viewOf("> ", tt.line), sz))
			for _, out := range tt.out {
				v.Write(s.print(nil, []byte(out), sz))
			}
			if v.String() != tt.want || v.at() != tt.at {
				t.Errorf("shows %q, cursor at %v; want %q, %v", v, v.at(), tt.want, tt.at)
			}
		})
	}
}

// What cannot be gone back to is left as it is, on a line of its own.
func TestPrintUnmeasurable(t *testing.T) {
	for _, out := range []string{"a\tb", "a\x1b[Kb", "\xff", strings.Repeat("x", 10*5), "👍🏽"} {
		s, sz := &screen{}, size{10, 8}
		s.show(nil, viewOf("> ", "x|"), sz)
		if s.print(nil, []byte(out), sz); s.tail != nil {
			t.Errorf("after %q, the tail is %q; want none", out, s.tail)
		}
		if got := string(s.print(nil, []byte("c\n"), sz)); got != "\r\x1b[Jc\n> x" {
			t.Errorf("after %q, the next line sends %q", out, got)
		}
	}
}

// Output before the first prompt, or between two, that has no LF at its end.
func TestPrintThenShow(t *testing.T) {
	s, v, sz := &screen{}, newVT(t, 10, 8), size{10, 8}
	v.Write(s.print(nil, []byte("one"), sz))
	v.Write(s.show(nil, viewOf("> ", "x|"), sz))
	v.Write(s.print(nil, []byte("two\n"), sz))
	if want := "onetwo\n> x"; v.String() != want {
		t.Errorf("shows %q; want %q", v, want)
	}
	v.Write(s.finish(nil, viewOf("> ", "x|"), "", sz))
	v.Write(s.print(nil, []byte("tab\t"[:3]), sz))
	v.Write(s.print(nil, []byte("three\n"), sz))
	v.Write(s.show(nil, viewOf("> ", "|"), sz))
	if want := "onetwo\n> x\ntabthree\n>"; v.String() != want {
		t.Errorf("shows %q; want %q", v, want)
	}
}

// A window that changes its width: whether rows flow or are cut, what stands
// above is left alone and nothing of the old line stays.
func TestResize(t *testing.T) {
	text := strings.Repeat("0123456789", 5)
	for _, rigid := range []bool{false, true} {
		for _, at := range []int{0, 7, 18, 25, 38, len(text)} {
			for _, cols := range []int{5, 13, 19, 20, 21, 26, 52, 53, 80} {
				s, v := &screen{rigid: rigid}, newVT(t, 20, 24)
				v.Write([]byte("above\n"))
				now := view{"> ", []byte(text), at}
				v.Write(s.show(nil, now, size{20, 24}))
				v.resize(cols, rigid)
				v.Write(s.show(nil, now, size{cols, 24}))

				want, fresh := newVT(t, cols, 24), &screen{}
				want.Write([]byte("above\n"))
				want.Write(fresh.show(nil, now, size{cols, 24}))
				if v.String() != want.String() || v.at() != want.at() {
					t.Errorf("rigid %v, from 20 to %d columns, cursor in %d: shows\n%v\n%v; want\n%v\n%v", rigid, cols, at, v, v.at(), want, want.at())
				}
				v.resize(30, rigid)
				v.Write(s.print(nil, []byte("more\n"), size{30, 24}))
				if got := v.String(); !strings.HasPrefix(got, "above\nmore\n> 0123") || strings.Count(got, "> ") != 1 {
					t.Errorf("rigid %v, from 20 to %d to 30 columns, cursor in %d: output gives\n%v", rigid, cols, at, got)
				}
			}
		}
	}
}

// steps is a line, its screen and a terminal, and what was typed so far.
type steps struct {
	t     *testing.T
	sz    size
	l     *line
	d     *decoder
	s     *screen
	v     *vt
	typed []string
}

func newSteps(t *testing.T, sz size) *steps {
	return &steps{t, sz, newLine(past), &decoder{}, &screen{}, newVT(t, sz.cols, sz.rows), nil}
}

// typeIn applies keys and fails unless what is sent for them shows what the line
// drawn at once, on a terminal that is empty, would.
func (st *steps) typeIn(keys string) {
	st.typed = append(st.typed, keys)
	typeIn(st.l, st.d, keys)
	st.v.Write(st.s.show(nil, st.l.view("> "), st.sz))
	st.check()
}

func (st *steps) print(out string) {
	st.typed = append(st.typed, "output "+out)
	st.v.Write(st.s.print(nil, []byte(out), st.sz))
	st.check()
}

func (st *steps) check() {
	st.t.Helper()
	want := newVT(st.t, st.sz.cols, st.sz.rows)
	want.Write(st.s.frame.draw(nil, 0, place{}))
	rows := strings.Split(st.v.String()+strings.Repeat("\n", st.sz.rows), "\n")
	above := max(st.v.row-want.row, 0)
	if got := strings.TrimRight(strings.Join(rows[above:], "\n"), "\n"); got != want.String() || st.v.at().col != want.at().col {
		st.t.Fatalf("%v, typed %q:\n%s\n%v; drawn at once\n%s\n%v", st.sz, st.typed, got, st.v.at(), want, want.at())
	}
}

func TestShowInSteps(t *testing.T) {
	pieces := []string{"a", "bc", "日", "é", "e\u0301", "\u0301", "👍", "\ufe0f", "\x16\x01", "\xff", " ", "\u200b", "0123456789",
		left, left, right, ctrlA, ctrlE, ctrlK, ctrlU, ctrlW, ctrlY, ctrlT, ctrlH, del, up, down, ctrlR + "se", ctrlR, ctrlG, altB, altF}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		st := newSteps(t, size{2 + rnd.IntN(30), 2 + rnd.IntN(8)})
		for range 60 {
			st.typeIn(pieces[rnd.IntN(len(pieces))])
			if rnd.IntN(10) == 0 {
				st.print("out\n")
			}
		}
	}
}

// A line of any length sends no more than a screenful.
func TestShowLong(t *testing.T) {
	sz := size{80, 24}
	s, text := &screen{}, bytes.Repeat([]byte("x"), MaxLine)
	for _, pos := range []int{MaxLine, 0, MaxLine / 2, MaxLine/2 + 80*30, MaxLine} {
		if n := len(s.show(nil, view{"> ", text, pos}, sz)); n > 80*24+100 {
			t.Errorf("cursor at %d of %d: %d bytes sent", pos, MaxLine, n)
		}
	}
	if n := len(s.print(nil, []byte("out\n"), sz)); n > 80*24+100 {
		t.Errorf("output above a long line: %d bytes sent", n)
	}
	more := append(slices.Clone(text[:MaxLine-1]), 'y')
	if n := len(s.show(nil, view{"> ", more, MaxLine}, sz)); n > 100 {
		t.Errorf("one character changed at the end: %d bytes sent", n)
	}
}

func TestRuneWidth(t *testing.T) {
	tests := []struct {
		r    rune
		want int
	}{
		{'a', 1}, {'é', 1}, {'ß', 1}, {'λ', 1}, {'я', 1}, {'א', 1}, {'\u0301', 0}, {'\u20dd', 0}, {'ก', 1}, {'\u0e31', 0},
		{'\u1100', 2}, {'\u1161', 0}, {'\u11a8', 0}, {'한', 2}, {'日', 2}, {'あ', 2}, {'ア', 2}, {'ｱ', 1}, {'Ａ', 2}, {'\u3000', 2},
		{'。', 2}, {'€', 1}, {'①', 1}, {'─', 1}, {'█', 1}, {'→', 1}, {'❤', 1}, {'⌚', 2}, {'✅', 2}, {'☀', 1}, {'😀', 2}, {'🇩', 1},
		{'🏽', 2}, {'🧑', 2}, {'🪿', 2}, {'𝔸', 1}, {'\U00020000', 2}, {'\U0002ffff', 2}, {'\U00010300', 1}, {'�', 1},
	}
	for _, tt := range tests {
		if got := runeWidth(tt.r); got != tt.want {
			t.Errorf("runeWidth(%U) = %d; want %d", tt.r, got, tt.want)
		}
	}
	if !slices.IsSortedFunc(wide, func(a, b [2]rune) int { return int(a[1] - b[0]) }) {
		t.Error("the table of wide runes is not in order")
	}
}

func TestIsRigid(t *testing.T) {
	tests := []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"TERM": "xterm-256color"}, false},
		{map[string]string{"TERM": "xterm", "XTERM_VERSION": "XTerm(379)"}, true},
		{map[string]string{"TERM": "screen", "STY": "1.pts"}, true},
		{map[string]string{"TERM": "linux"}, true},
		{map[string]string{"TERM": "screen", "TMUX": "/tmp/x", "XTERM_VERSION": "XTerm(379)"}, false},
		{nil, false},
	}
	for _, tt := range tests {
		if got := isRigid(func(k string) string { return tt.env[k] }); got != tt.want {
			t.Errorf("isRigid(%v) = %v", tt.env, got)
		}
	}
}

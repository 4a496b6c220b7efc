package term

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var past = []string{"send tcp 0 one", "help", "send tcp 0 two", "stats", "send tcp 0 two"}

func newLine(history []string) *line {
	return &line{recall: func() []string { return history }}
}

// typeIn applies what in decodes to and returns the actions asked for.
func typeIn(l *line, d *decoder, in string) []action {
	var acts []action
	for b := []byte(in); ; {
		k, n := d.next(b, true)
		if n == 0 {
			return acts
		}
		if act := l.apply(k); act != actNone {
			acts = append(acts, act)
		}
		b = b[n:]
	}
}

// marked is the line with | where the cursor is.
func marked(l *line) string {
	return string(l.buf[:l.pos]) + "|" + string(l.buf[l.pos:])
}

const (
	ctrlA, ctrlB, ctrlC, ctrlD, ctrlE, ctrlF = "\x01", "\x02", "\x03", "\x04", "\x05", "\x06"
	ctrlG, ctrlH, ctrlK, ctrlL, ctrlN, ctrlP = "\x07", "\x08", "\x0b", "\x0c", "\x0e", "\x10"
	ctrlR, ctrlT, ctrlU, ctrlW, ctrlY, ctrlZ = "\x12", "\x14", "\x15", "\x17", "\x19", "\x1a"
	up, down, right, left, del               = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[3~"
	altB, altF, altD, altDel, quote, enter   = "\x1bb", "\x1bf", "\x1bd", "\x1b\x7f", "\x16", "\r"
)

var lineTests = []struct {
	name, in, want string
	acts           []action
}{
	{"typing", "hello", "hello|", nil},
	{"in the middle", "hllo" + ctrlA + right + "e", "he|llo", nil},
	{"Home, End", "ab" + ctrlA + "x" + ctrlE + "y", "xaby|", nil},
	{"left of the first", "a" + left + left + left, "|a", nil},
	{"right of the last", "a" + right + ctrlF, "a|", nil},
	{"Ctrl-B, Ctrl-F", "abc" + ctrlB + ctrlB + ctrlF, "ab|c", nil},
	{"backspace", "abc" + ctrlH + "\x7f", "a|", nil},
	{"backspace at the start", "a" + ctrlA + ctrlH, "|a", nil},
	{"Delete", "abc" + ctrlA + del, "|bc", nil},
	{"Delete at the end", "abc" + del, "abc|", nil},
	{"Ctrl-D deletes", "abc" + ctrlA + ctrlD, "|bc", nil},
	{"Ctrl-D at the end of a line", "abc" + ctrlD, "abc|", nil},
	{"Ctrl-D on an empty line", ctrlD, "|", []action{actEOF}},
	{"Ctrl-C", "abc" + ctrlC, "abc|", []action{actInterrupt}},
	{"Enter", "abc" + enter, "abc|", []action{actEnter}},
	{"Tab", "a\t", "a|", []action{actComplete}},
	{"Ctrl-L, Ctrl-Z", "a" + ctrlL + ctrlZ, "a|", []action{actClear, actSuspend}},
	{"Escape", "a\x1b", "a|", nil},

	{"Ctrl-K, Ctrl-Y", "one two" + left + left + ctrlK + ctrlA + ctrlY, "wo|one t", nil},
	{"Ctrl-U", "one two" + left + ctrlU, "|o", nil},
	{"Ctrl-W to the blank", "a /path/name.txt" + ctrlW, "a |", nil},
	{"Ctrl-W over blanks", "one two   " + ctrlW, "one |", nil},
	{"Ctrl-W twice, Ctrl-Y", "one two three" + ctrlW + ctrlW + "x" + ctrlY, "one xtwo three|", nil},
	{"kills both ways add up", "one two" + altB + ctrlK + ctrlU + ctrlY, "one two|", nil},
	{"a key between ends the addition", "one two" + ctrlW + left + ctrlU + ctrlY, "one| ", nil},
	{"yank twice", "ab" + ctrlU + ctrlY + ctrlY, "abab|", nil},
	{"nothing to yank", ctrlY, "|", nil},
	{"Alt-B, Alt-F", "one, two.three" + altB + altB + altF, "one, two|.three", nil},
	{"Alt-B to the start", "  one" + altB + altB, "|  one", nil},
	{"Alt-D", "one, two" + ctrlA + altD + altD, "|", nil},
	{"Alt-Backspace", "one /two" + altDel, "one /|", nil},
	{"words of letters of any kind", "größe 日本" + altB + altB + "x", "x|größe 日本", nil},

	{"Ctrl-T at the end", "ab" + ctrlT, "ba|", nil},
	{"Ctrl-T in the middle", "abcd" + left + left + ctrlT, "acb|d", nil},
	{"Ctrl-T at the start", "ab" + ctrlA + ctrlT, "|ab", nil},
	{"Ctrl-T with one", "a" + ctrlT, "a|", nil},
	{"Ctrl-T with marks", "ae\u0301" + ctrlT, "e\u0301a|", nil},

	{"left over a mark", "ae\u0301b" + left + left, "a|e\u0301b", nil},
	{"right over marks", "e\u0323\u0302x" + ctrlA + right, "e\u0323\u0302|x", nil},
	{"backspace takes the marks along", "ae\u0301" + ctrlH, "a|", nil},
	{"backspace takes an emoji's variation along", "a❤\ufe0f" + ctrlH, "a|", nil},
	{"backspace takes a skin tone along", "a👍🏽" + ctrlH, "a|", nil},
	{"mark alone", "\u0301" + left, "|\u0301", nil},
	{"wide", "日本語" + left + "x", "日本x|語", nil},
	{"invalid bytes, one at a time", "a\xff\xfeb" + left + left + ctrlH, "a|\xfeb", nil},
	{"Ctrl-V", quote + "\x03" + quote + "\t", "\x03\t|", nil},
	{"CR LF", "a\r\nb", "ab|", []action{actEnter}},
	{"tabs of a paste", "\x1b[200~a\tb\x1b[201~", "a\tb|", nil},

	{"Up", up, "send tcp 0 two|", nil},
	{"Up, Up", up + up, "stats|", nil},
	{"Up beyond the first", strings.Repeat(up, 9), "send tcp 0 one|", nil},
	{"Ctrl-P, Ctrl-N", ctrlP + ctrlP + ctrlP + ctrlN, "stats|", nil},
	{"the line in progress is kept", "typing" + up + up + down + down, "typing|", nil},
	{"Down without Up", "typing" + down, "typing|", nil},
	{"a recalled line is edited", up + up + "x", "statsx|", nil},

	{"Ctrl-R", ctrlR + "tcp", "send |tcp 0 two", nil},
	{"Ctrl-R again passes what is the same", ctrlR + "tcp" + ctrlR, "send |tcp 0 one", nil},
	{"Ctrl-R narrows", ctrlR + "s" + "ta", "|stats", nil},
	{"Ctrl-R not found", ctrlR + "helz", "|help", nil},
	{"Ctrl-R and backspace", ctrlR + "helz" + ctrlH + "p", "|help", nil},
	{"Ctrl-R and backspace to nothing", "x" + ctrlR + "h" + ctrlH, "x|", nil},
	{"Ctrl-R with nothing to look for", "x" + ctrlR + ctrlR, "x|", nil},
	{"Ctrl-R, Ctrl-G", "x" + ctrlR + "help" + ctrlG, "x|", nil},
	{"Ctrl-R, Escape", "xy" + left + ctrlR + "help\x1b", "x|y", nil},
	{"Ctrl-R, Enter", ctrlR + "hel" + enter, "|help", []action{actEnter}},
	{"Ctrl-R, arrow", ctrlR + "hel" + right + "x", "hx|elp", nil},
	{"Ctrl-R, Up goes on from there", ctrlR + "stat" + up, "send tcp 0 two|", nil},
	{"Ctrl-R, then down to the line in progress", "typing" + ctrlR + "stat" + down + down, "typing|", nil},
	{"Ctrl-R, Ctrl-C", ctrlR + "hel" + ctrlC, "|help", []action{actInterrupt}},
	{"Ctrl-R, kill", ctrlR + "lp" + ctrlK + ctrlA + ctrlY, "lp|he", nil},
}

func TestLine(t *testing.T) {
	for _, tt := range lineTests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLine(past)
			acts := typeIn(l, &decoder{}, tt.in)
			if got := marked(l); got != tt.want || !slices.Equal(acts, tt.acts) {
				t.Errorf("%q gives %q, actions %v; want %q, %v", tt.in, got, acts, tt.want, tt.acts)
			}
		})
	}
}

// Beyond MaxLine the bell rings, and what fits is kept.
func TestLineFull(t *testing.T) {
	l := newLine(nil)
	l.insert(bytes.Repeat([]byte{'x'}, MaxLine-1))
	if l.bell {
		t.Fatal("the bell rings within MaxLine")
	}
	l.insert([]byte("éaé"))
	if len(l.buf) != MaxLine || l.buf[MaxLine-1] != 'a' || !l.bell {
		t.Errorf("%d bytes, the last %q, bell %v; want %d, a, true", len(l.buf), l.buf[MaxLine-1], l.bell, MaxLine)
	}
	l.bell = false
	typeIn(l, &decoder{}, "b"+left+"b")
	if len(l.buf) != MaxLine || !l.bell || l.pos != MaxLine-1 {
		t.Errorf("%d bytes, cursor %d, bell %v; want %d, %d, true", len(l.buf), l.pos, l.bell, MaxLine, MaxLine-1)
	}
	l.bell = false
	if l.complete(MaxLine-1, []string{"xx"}); !l.bell || len(l.buf) != MaxLine {
		t.Errorf("completed to %d bytes, bell %v", len(l.buf), l.bell)
	}
}

// What was killed outlives the line; nothing else does.
func TestLineReset(t *testing.T) {
	l := newLine(past)
	typeIn(l, &decoder{}, "one two"+ctrlW+up+ctrlR+"he")
	l.reset()
	if typeIn(l, &decoder{}, ctrlY+"!"); marked(l) != "two!|" {
		t.Errorf("after reset, Ctrl-Y ! gives %q; want two!|", marked(l))
	}
	if typeIn(l, &decoder{}, up); marked(l) != past[len(past)-1]+"|" {
		t.Errorf("after reset, Up gives %q; want the newest", marked(l))
	}
}

func TestComplete(t *testing.T) {
	tests := []struct {
		name, in   string
		start      int
		candidates []string
		want       string
		shown      []string
		bell       bool
	}{
		{"the only one", "he", 0, []string{"help"}, "help |", nil, false},
		{"the only one, further along", "send t", 5, []string{"tcp"}, "send tcp |", nil, false},
		{"in the middle", "he tcp" + altB + left, 0, []string{"help"}, "help | tcp", nil, false},
		{"a directory", "/et", 0, []string{"/etc/"}, "/etc/|", nil, false},
		{"an option", "-f", 0, []string{"-format="}, "-format=|", nil, false},
		{"with a blank of its own", "he", 0, []string{"help "}, "help |", nil, false},
		{"what they have in common", "s", 0, []string{"send", "sendb", "sendf"}, "send|", nil, false},
		{"nothing in common: a list", "send", 0, []string{"send", "sendb", "sendf"}, "send|", []string{"send", "sendb", "sendf"}, false},
		{"less in common than typed", "SEN", 0, []string{"SEND", "send"}, "SEN|", []string{"SEND", "send"}, false},
		{"in common up to a rune", "x", 0, []string{"x日", "x旧"}, "x|", []string{"x日", "x旧"}, false},
		{"none", "zz", 0, nil, "zz|", nil, true},
		{"start beyond the cursor", "ab", 3, []string{"abc"}, "ab|", nil, true},
		{"start before the line", "ab", -1, []string{"abc"}, "ab|", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLine(nil)
			typeIn(l, &decoder{}, tt.in)
			shown := l.complete(tt.start, tt.candidates)
			if marked(l) != tt.want || !reflect.DeepEqual(shown, tt.shown) || l.bell != tt.bell {
				t.Errorf("%q, %q, %v; want %q, %q, %v", marked(l), shown, l.bell, tt.want, tt.shown, tt.bell)
			}
		})
	}
}

func TestColumns(t *testing.T) {
	tests := []struct {
		words []string
		cols  int
		want  string
	}{
		{[]string{"a"}, 80, "a\n"},
		{[]string{"send", "sendb", "x"}, 80, "send   sendb  x\n"},
		{[]string{"send", "sendb", "x"}, 13, "send   sendb\nx\n"},
		{[]string{"send", "sendb", "x"}, 3, "send\nsendb\nx\n"},
		{[]string{"日本", "x"}, 80, "日本  x\n"},
		{[]string{"\x1b[2J", "y"}, 80, "^[[2J  y\n"},
	}
	for _, tt := range tests {
		if got := string(columns(tt.words, tt.cols)); got != tt.want {
			t.Errorf("columns(%q, %d) = %q; want %q", tt.words, tt.cols, got, tt.want)
		}
	}
	many := slices.Repeat([]string{"word"}, maxShown+5)
	if got := string(columns(many, 10)); strings.Count(got, "word") != maxShown || !strings.HasSuffix(got, "and 5 more\n") {
		t.Errorf("%d of %d words shown, ending %q", strings.Count(got, "word"), len(many), got[len(got)-12:])
	}
}

package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// escapes are bytes and what is shown of them (TL01 to TL09).
var escapes = []struct{ name, in, want string }{
	{"empty", "", ""},
	{"printable", "hello, wörld ✓ 😀", "hello, wörld ✓ 😀"},
	{"title (OSC 0)", "\x1b]0;pwned\x07", `\x1b]0;pwned\x07`},
	{"clear screen, home", "\x1b[2J\x1b[1;1H", `\x1b[2J\x1b[1;1H`},
	{"reset", "\x1bc", `\x1bc`},
	{"clipboard (OSC 52)", "\x1b]52;c;Y3VybA==\x07", `\x1b]52;c;Y3VybA==\x07`},
	{"C1 as a byte", "\x9b2J", `\x9b2J`},
	{"C1 in UTF-8", "\xc2\x9b2J", `\u009b2J`},
	{"bidi and zero width", "\u202e\u2066\u2067\u2068\u2069\u200b\ufeff\u2028\U000e0041",
		`\u202e\u2066\u2067\u2068\u2069\u200b\ufeff\u2028\U000e0041`},
	{"a line that hides another", "safe\rEVIL\b\b\x7f\t", `safe\rEVIL\x08\x08\x7f\t`},
	{"not UTF-8, NUL", "\xff\xfe\x00", `\xff\xfe\x00`},
	{"a log line within a line", "/x\n[info] fake", `/x\n[info] fake`},
	{"backslash", `C:\new\x41`, `C:\new\x41`},
	{"JSON", `{"a":"x\"y","b":"line\nbreak"}`, `{"a":"x\"y","b":"line\nbreak"}`},
	{"shown once already", `safe\rEVIL\x08\u202e\xff`, `safe\rEVIL\x08\u202e\xff`},
	{"tags", "a\U000e0061\U000e007f\U000e0100", `a\U000e0061\U000e007f\U000e0100`},
	{"fillers and blanks", "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u180b\U0001d159", `\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u180b\U0001d159`},
	{"selectors, of which emoji have one", "❤\ufe0f ⚠\ufe0e a\ufe00", "❤\ufe0f ⚠\ufe0e a\\ufe00"},
	{"no-break space, soft hyphen", "\u00a0\u00ad", `\u00a0\u00ad`},
	{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	{"overlong", "\xc0\xaf\xe0\x80\xaf", `\xc0\xaf\xe0\x80\xaf`},
	{"cut short", "abcdefgh\xe2\x9c", `abcdefgh\xe2\x9c`},
	{"replacement character, a real one", "\ufffd", "\ufffd"},
	{"private, unassigned, beyond Unicode", "\ue000\u0378\U000f0000\xf4\x90\x80\x80",
		`\ue000\u0378\U000f0000\xf4\x90\x80\x80`},
	{"quotes", `'"`, `'"`},
}

// checkShown fails t unless shown consists of printable characters only, would be
// shown as it is, and stands for in, if there was no backslash in that.
func checkShown(t *testing.T, in, shown []byte) {
	t.Helper()
	for s := shown; len(s) > 0; {
		r, n := utf8.DecodeRune(s)
		if n == 1 && r == utf8.RuneError || !IsPrint(r) {
			t.Errorf("AppendEscaped(%q) = %q, which holds %U", in, shown, r)
			return
		}
		s = s[n:]
	}
	if again := AppendEscaped(nil, shown); !bytes.Equal(again, shown) {
		t.Errorf("AppendEscaped(%q) = %q", shown, again)
	}
	if bytes.IndexByte(in, '\\') >= 0 {
		return
	}
	back, err := AppendUnescaped(nil, string(shown))
	if err != nil || !bytes.Equal(back, in) {
		t.Errorf("AppendUnescaped(%q) = %q, %v; want %q", shown, back, err, in)
	}
}

func TestAppendEscaped(t *testing.T) {
	for _, tt := range escapes {
		got := AppendEscaped([]byte("> "), []byte(tt.in))
		if string(got) != "> "+tt.want {
			t.Errorf("%s: AppendEscaped(%q) = %q, want %q", tt.name, tt.in, got[2:], tt.want)
		}
		if got := Escape(tt.in); got != tt.want {
			t.Errorf("%s: Escape(%q) = %q, want %q", tt.name, tt.in, got, tt.want)
		}
		// Words of eight bytes must not matter.
		for pad := range 9 {
			in := strings.Repeat("a", pad) + tt.in + strings.Repeat("b", pad)
			checkShown(t, []byte(in), AppendEscaped(nil, []byte(in)))
		}
		for cut := range len(tt.in) {
			checkShown(t, []byte(tt.in[:cut]), AppendEscaped(nil, []byte(tt.in[:cut])))
		}
	}
}

// hidden tells of every character whether it must not be shown as it is: what is
// not printable, and what Unicode has programs ignore where they do not know it.
func hidden(r rune) bool {
	ignored := unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
	return !strconv.IsPrint(r) || ignored && r != 0xfe0e && r != 0xfe0f || strings.ContainsRune("\u2800\U00013441\U00013442\U00016fe4\U0001d159", r)
}

// TestEveryCharacter shows each character there is and each byte, the latter
// also at every place of a word.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if got := string(AppendEscaped(nil, utf8.AppendRune(nil, r))); !hidden(r) {
			if got != string(r) {
				t.Errorf("%U is shown as %q", r, got)
			}
		} else if utf8.ValidRune(r) && (len(got) < 2 || got[0] != '\\') {
			t.Errorf("%U is shown as %q", r, got)
		}
	}
	for c := range 256 {
		for at := range 24 {
			in := bytes.Repeat([]byte("x"), 24)
			in[at] = byte(c)
			checkShown(t, in, AppendEscaped(nil, in))
		}
	}
}

// TestEscapeRandom: what is shown is printable and lossless (TL10).
func TestEscapeRandom(t *testing.T) {
	n := 50_000
	if testing.Short() {
		n = 5_000
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var shown []byte
	for range n {
		in := randomText(rnd)
		shown = AppendEscaped(shown[:0], in)
		checkShown(t, in, shown)
		if t.Failed() {
			return
		}
	}
}

// randomText makes a string of pieces that are likely to make trouble.
func randomText(rnd *rand.Rand) []byte {
	var p []byte
	for range rnd.IntN(12) {
		switch rnd.IntN(5) {
		case 0:
			p = append(p, byte(rnd.UintN(256)))
		case 1:
			p = utf8.AppendRune(p, rune(rnd.IntN(0x3000)))
		case 2:
			p = utf8.AppendRune(p, rune(rnd.IntN(utf8.MaxRune+1)))
		case 3:
			p = append(p, escapes[rnd.IntN(len(escapes))].in...)
		default:
			p = append(p, "plain text \\x41 "[:rnd.IntN(16)]...)
		}
	}
	return p
}

func TestEscapeLong(t *testing.T) { // across the blocks in which room is made
	for _, unit := range []string{"a", "\x00", "é", "✓", "\u202e", "ab\n", "😀"} {
		for n := 1000; n < 1050; n++ {
			in := []byte(strings.Repeat("x", n) + strings.Repeat(unit, 1100))
			checkShown(t, in, AppendEscaped(nil, in))
		}
	}
}

func TestAppendUnescaped(t *testing.T) {
	bad := []struct{ in, byte string }{
		{`\`, "byte 1:"}, {`abc\`, "byte 4:"}, {`\q`, "byte 1:"}, {`\x4`, "byte 1:"}, {`\x4g`, "byte 1:"},
		{`\x+1`, "byte 1:"}, {`\x_1`, "byte 1:"}, {`\u123`, "byte 1:"}, {`\ud800`, "byte 1:"},
		{`\U00110000`, "byte 1:"}, {`\u{}`, "byte 1:"}, {`\u{41`, "byte 1:"}, {`\u{110000}`, "byte 1:"}, {`\u{000000041}`, "byte 1:"}, {`\u`, "byte 1:"}, {`\Uffffffff`, "byte 1:"}, {`ok\n\X41`, "byte 5:"}, {"\\é", "byte 1:"},
	}
	for _, tt := range bad {
		got, err := AppendUnescaped([]byte("kept"), tt.in)
		if !errors.Is(err, ErrEscape) || !strings.HasPrefix(err.Error(), tt.byte) || string(got) != "kept" {
			t.Errorf("AppendUnescaped(%q) = %q, %v; want %q and ErrEscape at %s", tt.in, got, err, "kept", tt.byte)
		}
	}
	if got, err := AppendUnescaped(nil, `\x4A\u00E9é`+"\n"+`\0\\\u{e9}\u{0001F600}}`); string(got) != "Jéé\n\x00\\é😀}" || err != nil {
		t.Errorf("AppendUnescaped = %q, %v", got, err)
	}
}

func TestAppendCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		max  int
		want string
	}{
		{"short", 256, "short"},
		{strings.Repeat("U", 8192), 256, strings.Repeat("U", 256) + "…(+7936)"},
		{"12345", 5, "12345"},
		{"123456", 5, "12345…(+1)"},
		{"ab✓d", 3, "ab…(+4)"},
		{"ab✓d", 5, "ab✓…(+1)"},
		{"ab\xff\xff\xff\xff", 4, `ab\xff\xff…(+2)`},
		{"😀😀", 7, "😀…(+4)"},
		{"x", 0, "…(+1)"},
	} {
		if got := string(AppendCut(nil, tt.in, tt.max)); got != tt.want {
			t.Errorf("AppendCut(%q, %d) = %q, want %q", tt.in, tt.max, got, tt.want)
		}
	}
	long := strings.Repeat("\x1b", 300)
	if got, want := Field(long), strings.Repeat(`\x1b`, 256)+"…(+44)"; got != want {
		t.Errorf("Field = %q, want %q", got, want)
	}
	if got := Field("a\nb"); got != `a\nb` {
		t.Errorf("Field = %q", got)
	}
}

// TestJSONString has encoding/json read what appendJSONString writes.
func TestJSONString(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 20_000 {
		in := randomText(rnd)
		if i < len(escapes) {
			in = []byte(escapes[i].in)
		}
		got := appendJSONString(nil, in)
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("appendJSONString(%q) = %s: %v", in, got, err)
		}
		if want := strings.ToValidUTF8(string(in), ""); strings.ReplaceAll(back, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("appendJSONString(%q) = %s, which is %q", in, got, back)
		}
		if i := strings.IndexFunc(string(got), func(r rune) bool { return !strconv.IsPrint(r) }); i >= 0 {
			t.Fatalf("appendJSONString(%q) = %q, not printable at %d", in, got, i)
		}
	}
}

func TestNothingAllocated(t *testing.T) {
	dst := make([]byte, 0, 1<<20)
	in := []byte(strings.Repeat("text\n\x00é✓\u202e\xff", 500))
	long := string(in)
	e := &Event{Event: Message, Proto: "ws", Peer: long[:200], Path: long, Opcode: "text", Payload: in, Err: long}
	st := Style{Time: true, Color: true}
	for name, f := range map[string]func(){
		"AppendEscaped": func() { AppendEscaped(dst, in) },
		"AppendField":   func() { AppendField(dst, long) },
		"Escape":        func() { Escape("nothing to do") },
		"AppendHexDump": func() { AppendHexDump(dst, in) },
		"AppendText":    func() { AppendText(dst, e, &st) },
		"AppendJSON":    func() { AppendJSON(dst, e) },
	} {
		if n := testing.AllocsPerRun(20, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, tt := range escapes {
		f.Add([]byte(tt.in))
		f.Add([]byte(tt.want))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		checkShown(t, in, AppendEscaped(nil, in))
		// What unescapes at all can be shown.
		if raw, err := AppendUnescaped(nil, string(in)); err == nil {
			checkShown(t, raw, AppendEscaped(nil, raw))
		}
	})
}

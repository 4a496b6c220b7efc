package talk

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

var matches = []struct {
	expr, text string
	want       bool
}{
	{"READY", "REA|DY\r\n", true},
	{"READY", "REA\r\n|DY", false},
	{"READY", "xxRE|READ|Y", true},
	{"^220 ", "220 here", true},
	{"^220 ", "hello\n2|20 here", true},
	{"^220 ", "hello 220 here", false},
	{`\A220`, "hello\n220", false},
	{"login: $", "Linux\nlog|in: ", true},
	{"end$", "endless|", false},
	{"end$", "the end\r|\n", false},
	{"end\r?$", "the end\r|\n", true},
	{`\bcat\b`, "con|cat|enate", false},
	{`\bcat\b`, "the c|at sat", true},
	{"(?s)BEGIN.*END", "BEGIN|" + strings.Repeat("x\n", 1<<20) + "|END", true},
	{"(a|ab)(c|bcd)", "a|b|c|d", true},
	{"é+", "caf\xc3|\xa9", true},
	{"é", "caf\xc3|x\xa9", false},
	{"(?i)ok", "not O|K", true},
	{"[0-9]{3}x", "12|3|4x", true},
	{"x*", "", true},
	{"a|", "b", true},
	{"日本", "\xe6\x97|\xa5\xe6\x9c|\xac", true},
	{"aab", "aaa|aab", true},
	{"[^\x00-\U0010FFFF]", "none such", false},
	{`\z`, "x", true},
	{"x*?", "b", true},
	{"(a*)*b", "aa|c", false},
	{"(|a)*c", "aab", false},
}

func TestMatcher(t *testing.T) {
	for _, tt := range matches {
		parts := strings.Split(tt.text, "|")
		if got := streamed(t, tt.expr, parts); got != tt.want {
			t.Errorf("%q in the pieces %.60q: %v; want %v", tt.expr, parts, got, tt.want)
		}
		whole := strings.ReplaceAll(tt.text, "|", "")
		m, err := NewMatcher(tt.expr)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Message([]byte(whole)), regexp.MustCompile(tt.expr).MatchString(whole); got != want {
			t.Errorf("%q in the message %.60q: %v; want %v", tt.expr, whole, got, want)
		}
	}
	for _, expr := range []string{"(", "a{2000}", `\8`} {
		if _, err := NewMatcher(expr); err == nil {
			t.Errorf("%q compiles", expr)
		}
	}
}

func streamed(t *testing.T, expr string, parts []string) bool {
	m, err := NewMatcher(expr)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if m.Stream([]byte(p)) {
			return true
		}
	}
	return false
}

// FuzzMatcher: a stream in one piece has a match where package regexp finds one,
// and a byte at a time finds at least as much.
func FuzzMatcher(f *testing.F) {
	for _, tt := range matches {
		if len(tt.text) < 100 {
			f.Add(tt.expr, []byte(tt.text))
		}
	}
	f.Fuzz(func(t *testing.T, expr string, text []byte) {
		if len(expr) > 100 || len(text) > 1000 {
			return
		}
		m, err := NewMatcher(expr)
		if err != nil {
			return
		}
		whole, err := regexp.Compile("(?m)" + expr)
		if err != nil {
			return
		}
		for !bytes.HasSuffix(text, []byte(".")) {
			text = append(bytes.Clone(text), '.') // no character is left half, and some text is there
		}
		want := whole.Match(text)
		if got := m.Stream(text); got != want {
			t.Errorf("%q in %q: %v; regexp says %v", expr, text, got, want)
		}
		m, _ = NewMatcher(expr)
		got := false
		for i := range text {
			got = got || m.Stream(text[i:i+1])
		}
		if want && !got {
			t.Errorf("%q in %q, a byte at a time: none; regexp finds it", expr, text)
		}
	})
}

func BenchmarkMatcher(b *testing.B) {
	p := bytes.Repeat([]byte("a line of a log that goes on and on 0123456789\n"), 1400)
	for _, expr := range []string{"READY", "[0-9]+x", "^(ERROR|FATAL) .*$"} {
		b.Run(expr, func(b *testing.B) {
			m, err := NewMatcher(expr)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if m.Stream(p) {
					b.Fatal("matches")
				}
			}
		})
	}
}

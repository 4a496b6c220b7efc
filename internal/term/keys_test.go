package term

import (
	"fmt"
	"strings"
	"testing"
)

// String makes keys comparable: text runs that touch are one.
func spell(keys []key) string {
	names := [...]string{"", "", "enter", "tab", "backspace", "delete", "eof", "left", "right", "word-left",
		"word-right", "home", "end", "up", "down", "kill-end", "kill-start", "kill-blank", "kill-word",
		"kill-word-back", "yank", "transpose", "clear", "search", "cancel", "interrupt", "suspend"}
	var out []string
	var text []byte
	flush := func() {
		if text != nil {
			out = append(out, fmt.Sprintf("%q", text))
		}
		text = nil
	}
	for _, k := range keys {
		switch k.code {
		case keyNone:
		case keyText:
			text = append(text, k.text...)
		default:
			flush()
			out = append(out, names[k.code])
		}
	}
	flush()
	return strings.Join(out, " ")
}

// decodeIn decodes the pieces as they come; final as of the last one.
func decodeIn(pieces ...string) (keys []key, rest string) {
	d := &decoder{}
	var b []byte
	for i, p := range pieces {
		b = append(b, p...)
		for {
			k, n := d.next(b, i == len(pieces)-1)
			if n == 0 {
				break
			}
			k.text = append([]byte(nil), k.text...)
			keys = append(keys, k)
			b = b[n:]
		}
	}
	return keys, string(b)
}

var keyTests = []struct {
	name, in, want string
}{
	{"text", "hello", `"hello"`},
	{"UTF-8", "grüße 日本", `"grüße 日本"`},
	{"invalid UTF-8 is kept", "a\xffb\xc3(", `"a\xffb\xc3("`},
	{"a rune cut off by a control", "\xe4\xb8\r", `"\xe4\xb8" enter`},
	{"CR", "a\rb\r", `"a" enter "b" enter`},
	{"LF", "a\nb\n", `"a" enter "b" enter`},
	{"CR LF is one", "a\r\nb\r\n", `"a" enter "b" enter`},
	{"LF CR is two", "\n\r", `enter enter`},
	{"CR LF LF is two", "\r\n\n", `enter enter`},
	{"controls", "\x01\x02\x03\x04\x05\x06\x07\x08\t\x0b\x0c\x0e\x10\x12\x14\x15\x17\x19\x1a",
		"home left interrupt eof end right cancel backspace tab kill-end clear down up search transpose kill-start kill-blank yank suspend"},
	{"DEL", "\x7f", "backspace"},
	{"controls of no use", "\x00\x0f\x11\x13\x18\x1c\x1d\x1e\x1f", ""},
	{"arrows", "\x1b[A\x1b[B\x1b[C\x1b[D\x1b[H\x1b[F", "up down right left home end"},
	{"arrows in application mode", "\x1bOA\x1bOB\x1bOC\x1bOD\x1bOH\x1bOF", "up down right left home end"},
	{"Home, End, Delete", "\x1b[1~\x1b[7~\x1b[4~\x1b[8~\x1b[3~", "home home end end delete"},
	{"with Ctrl and Alt", "\x1b[1;5C\x1b[1;5D\x1b[1;3C\x1b[1;3D\x1b[3;5~", "word-right word-left word-right word-left kill-word"},
	{"Alt", "\x1bb\x1bf\x1bd\x1bB\x1bF\x1bD\x1b\x7f\x1b\b", "word-left word-right kill-word word-left word-right kill-word kill-word-back kill-word-back"},
	{"Alt of no use", "\x1bx\x1b1a", `"a"`},
	{"keypad Enter", "\x1bOM", "enter"},
	{"F1 in three terminals", "\x1bOPa\x1b[11~b\x1b[[Ac", `"abc"`},
	{"unknown sequences", "\x1b[?1;2c\x1b[5;5~\x1b[1;2 qx", `"x"`},
	{"a sequence broken by a key", "\x1b[12\x1b[A\x1b[1\rx", `up enter "x"`},
	{"a sequence broken by UTF-8", "\x1b[é\x1bOé", `"éé"`},
	{"a sequence without end", "\x1b[" + strings.Repeat("1", 40), `"` + strings.Repeat("1", 10) + `"`},
	{"Escape before another key", "\x1b\x1b[A\x1b\rx\x1bé", `cancel up cancel enter "x" cancel "é"`},
	{"Escape at the end", "a\x1b", `"a" cancel`},
	{"Alt-[ at the end", "a\x1b[", `"a"`},
	{"Alt-O at the end", "a\x1bO", `"a"`},
	{"Ctrl-V", "\x16\x03\x16\x1b[\x16\r\n\x16\x16\x16é", `"\x03\x1b[\r" enter "\x16é"`},
	{"paste", "\x1b[200~one\r\ttwo\x03\r\nthree\n\x1b[201~\r", `"one" enter "\ttwo\x03" enter "three" enter enter`},
	{"paste with an escape", "\x1b[200~\x1b[A\x1b\x1b[201~\x1b[A", `"\x1b[A\x1b" up`},
	{"paste ends at CR, LF after it", "\x1b[200~x\r\x1b[201~\n", `"x" enter enter`},
	{"end of a paste without one", "\x1b[201~x", `"x"`},
}

func TestKeys(t *testing.T) {
	for _, tt := range keyTests {
		t.Run(tt.name, func(t *testing.T) {
			keys, rest := decodeIn(tt.in)
			if got := spell(keys); got != tt.want || rest != "" {
				t.Errorf("%q = %s, left %q; want %s", tt.in, got, rest, tt.want)
			}
			for i := range len(tt.in) {
				if keys, _ := decodeIn(tt.in[:i], tt.in[i:]); spell(keys) != tt.want {
					t.Errorf("%q + %q = %s; want %s", tt.in[:i], tt.in[i:], spell(keys), tt.want)
				}
			}
			if keys, _ := decodeIn(bytewise(tt.in)...); spell(keys) != tt.want {
				t.Errorf("%q byte by byte = %s; want %s", tt.in, spell(keys), tt.want)
			}
		})
	}
}

func bytewise(s string) []string {
	var out []string
	for i := range len(s) {
		out = append(out, s[i:i+1])
	}
	return out
}

// What is only part of a key waits for the rest of it.
func TestKeysPartial(t *testing.T) {
	for _, in := range []string{"\x1b", "\x1b[", "\x1bO", "\x1b[1", "\x1b[1;5", "\x1b[200", "\x1b[[", "\xe6", "\xe6\x97", "\xf0\x9f\x91"} {
		d := &decoder{}
		if k, n := d.next([]byte(in), false); n != 0 {
			t.Errorf("next(%q) = %v, %d; want to wait", in, k, n)
		}
	}
	d := &decoder{paste: true}
	for i := 1; i < len(pasteEnd); i++ {
		if k, n := d.next([]byte(pasteEnd[:i]), true); n != 0 {
			t.Errorf("in a paste, next(%q) = %v, %d; want to wait", pasteEnd[:i], k, n)
		}
	}
}

// With Options.Whole the line ends of a paste are LF in the line, and only Enter ends it.
func TestWholePaste(t *testing.T) {
	d, b, text := &decoder{whole: true}, []byte("\x1b[200~a\r\nb\rc\n\x1b[201~\r"), ""
	for len(b) > 0 {
		k, n := d.next(b, true)
		if k.code == keyEnter {
			text += "|"
		}
		text += string(k.text)
		b = b[n:]
	}
	if text != "a\nb\nc\n|" {
		t.Errorf("%q; want the lines and one Enter", text)
	}
}

package term

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// typed is all that a line has to say about what was typed into it.
func typed(t *testing.T, pieces ...string) string {
	l, d := newLine(past), &decoder{}
	var said []string
	var b []byte
	for i, p := range append(pieces, "") {
		b = append(b, p...)
		for {
			k, n := d.next(b, i == len(pieces))
			if n == 0 {
				break
			}
			if k.code == keyText && len(k.text) == 0 || n > len(b) || len(k.text) > n {
				t.Fatalf("next(%q) = %d bytes of %q", b, n, k.text)
			}
			act := l.apply(k)
			b = b[n:]
			if l.pos < 0 || l.pos > len(l.buf) {
				t.Fatalf("after %q the cursor is at %d of %d", k.text, l.pos, len(l.buf))
			}
			switch act {
			case actNone:
			case actComplete:
				start := bytes.LastIndexByte(l.buf[:l.pos], ' ') + 1
				said = append(said, fmt.Sprintf("offers %q", l.complete(start, []string{"send", "sendb", "stats"})))
			default:
				said = append(said, fmt.Sprint(act, marked(l)))
				l.reset()
			}
		}
		if len(b) > maxSequence && !d.paste {
			t.Fatalf("%d bytes wait for more: %q", len(b), b)
		}
	}
	return fmt.Sprintf("%q %q left %q", said, marked(l), b)
}

// Typed at once or byte by byte, the outcome is the same.
func FuzzKeys(f *testing.F) {
	for _, tt := range keyTests {
		f.Add(tt.in)
	}
	for _, tt := range lineTests {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 200 { // yanking doubles a line each time
			return
		}
		whole := typed(t, in)
		if got := typed(t, bytewise(in)...); got != whole {
			t.Errorf("%q at once: %s; byte by byte: %s", in, whole, got)
		}
		if half := len(in) / 2; typed(t, in[:half], in[half:]) != whole {
			t.Errorf("%q in halves: %s; at once: %s", in, typed(t, in[:half], in[half:]), whole)
		}
	})
}

// What keys change on the screen is what drawing all would show, whatever the
// size; nothing is sent but what the package says.
func FuzzScreen(f *testing.F) {
	for i, tt := range lineTests {
		f.Add(tt.in, uint8(3+i%30), uint8(2+i%6), "out\n")
	}
	f.Add("日本語"+ctrlA+"e\u0301", uint8(5), uint8(4), "pie")
	f.Fuzz(func(t *testing.T, in string, cols, rows uint8, out string) {
		if len(in) > 200 || len(out) > 100 || cols < 2 || rows < 2 {
			return
		}
		if !printable(out) { // what is printed is the caller's affair
			out = "out\n"
		}
		st := newSteps(t, size{int(cols), int(rows)})
		for i, b := range bytewise(in) {
			st.typeIn(b)
			if i%7 == 3 {
				st.print(out)
			}
		}
	})
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r != '\n' && !isShown(r) || isMark(r) || isSilent(r)
	}) < 0
}

// Lines come out as they would by cutting the whole input, however it is read.
func FuzzPlain(f *testing.F) {
	for _, in := range []string{"", "\n", "one\r\ntwo", "\r", "a\n\r\n\n", "\xff\x00\n"} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var want []string
		for line := range strings.Lines(in) {
			if cut, ok := strings.CutSuffix(line, "\n"); ok {
				line = strings.TrimSuffix(cut, "\r")
			}
			want = append(want, line)
		}
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			if got, err := readAll(r); !slices.Equal(got, want) || err != io.EOF {
				t.Errorf("%q: %q, %v; want %q, EOF", in, got, err, want)
			}
		}
	})
}

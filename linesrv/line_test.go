package linesrv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const tooLong = "<too long>"

// cutterTests: what a Cutter of at most 8 bytes makes of the input. The last line
// is what is pending, or tooLong.
var cutterTests = []struct {
	name   string
	keepCR bool
	in     string
	want   []string
}{
	{"nothing", false, "", []string{""}},
	{"one line", false, "ping\n", []string{"ping", ""}},
	{"CR before LF is dropped (SPEC, line)", false, "ping\r\n", []string{"ping", ""}},
	{"CR before LF is kept", true, "ping\r\n", []string{"ping\r", ""}},
	{"one CR of two is dropped", false, "ping\r\r\n", []string{"ping\r", ""}},
	{"CR elsewhere is kept", false, "\rpi\rng\n", []string{"\rpi\rng", ""}},
	{"CR alone", false, "\r\n", []string{"", ""}},
	{"CR before LF of its own line only", false, "a\r", []string{"a\r"}},
	{"empty lines", false, "\n\n", []string{"", "", ""}},
	{"two lines and a part", false, "a\nb\nc", []string{"a", "b", "c"}},
	{"NUL, 8-bit, TAB, spaces (LS03)", false, "\x00\xff\t \n", []string{"\x00\xff\t ", ""}},
	{"exactly the limit", false, "12345678\n", []string{"12345678", ""}},
	{"the limit without LF", false, "12345678", []string{"12345678"}},
	{"one more with LF", false, "123456789\n", []string{tooLong}},
	{"one more without LF (LS04)", false, "123456789", []string{tooLong}},
	{"a CR counts", false, "12345678\r\n", []string{tooLong}},
	{"too long after a good one", false, "ok\n123456789", []string{"ok", tooLong}},
}

// cutPieces cuts what the pieces make up, as cutterTests show it.
func cutPieces(k *Cutter, pieces ...[]byte) (lines []string) {
	for _, p := range pieces {
		for {
			line, rest, ok, err := k.Next(p)
			if err != nil {
				return append(lines, tooLong)
			}
			if !ok {
				break
			}
			lines = append(lines, string(line))
			p = rest
		}
	}
	return append(lines, string(k.Pending()))
}

func single(b []byte) (pieces [][]byte) {
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

func TestCutter(t *testing.T) {
	for _, tt := range cutterTests {
		in := []byte(tt.in)
		check := func(how string, pieces ...[]byte) {
			t.Helper()
			got := cutPieces(&Cutter{Framing: Framing{KeepCR: tt.keepCR}, Max: 8}, pieces...)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %q cut into %q, want %q", tt.name, how, tt.in, got, tt.want)
			}
		}
		for i := range in {
			check(fmt.Sprintf("cut at %d", i), in[:i], in[i:])
		}
		check("whole", in)
		check("byte by byte", single(in)...)
	}
}

func TestCutterDefaultLimit(t *testing.T) {
	line := bytes.Repeat([]byte("x"), 64<<10)
	var k Cutter
	for _, b := range single(line) {
		if _, _, _, err := k.Next(b); err != nil {
			t.Fatalf("within 64 KiB: %v", err)
		}
	}
	if cap(k.part) > 64<<10 {
		t.Errorf("%d bytes are stored for a line of 64 KiB", cap(k.part))
	}
	got, _, ok, err := k.Next([]byte("\n"))
	if !ok || err != nil || !bytes.Equal(got, line) {
		t.Errorf("64 KiB and LF: a line of %d bytes, %v, %v", len(got), ok, err)
	}
	if cap(k.part) > keepPart {
		t.Errorf("%d bytes are kept after a long line", cap(k.part))
	}
	k.Next(line)
	if _, _, _, err := k.Next([]byte("x")); !errors.Is(err, ErrLineTooLong) {
		t.Errorf("64 KiB and a byte without LF (LS04): %v", err)
	}
}

// FuzzCutter: whole and byte by byte agree, and with a cutter made of strings.
func FuzzCutter(f *testing.F) {
	for _, tt := range cutterTests {
		f.Add([]byte(tt.in), 8, tt.keepCR)
	}
	f.Fuzz(func(t *testing.T, in []byte, max int, keepCR bool) {
		if max = max % 100; max < 1 {
			max = 1
		}
		whole := cutPieces(&Cutter{Framing: Framing{KeepCR: keepCR}, Max: max}, in)
		bytewise := cutPieces(&Cutter{Framing: Framing{KeepCR: keepCR}, Max: max}, single(in)...)
		if !slices.Equal(whole, bytewise) {
			t.Errorf("limit %d, keep CR %v: %q whole is %q, byte by byte %q", max, keepCR, in, whole, bytewise)
		}
		if want := cutStrings(string(in), max, keepCR); !slices.Equal(whole, want) {
			t.Errorf("limit %d, keep CR %v: %q cut into %q, want %q", max, keepCR, in, whole, want)
		}
	})
}

func cutStrings(in string, max int, keepCR bool) (lines []string) {
	parts := strings.Split(in, "\n")
	for i, p := range parts {
		if len(p) > max {
			return append(lines, tooLong)
		}
		if i < len(parts)-1 && !keepCR {
			p = strings.TrimSuffix(p, "\r")
		}
		lines = append(lines, p)
	}
	return lines
}

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		line    string
		invalid bool
	}{
		{"", false},
		{"cmd01", false},
		{"invalid", false}, // the word is an ordinary command
		{"héllo", false},
		{"a\x00b\t", false},
		{"ab\xedcd", true},
		{"\xff\xfe", true},
	} {
		line := []byte(tt.line)
		cmd := newCommand(line)
		if cmd.Invalid != tt.invalid {
			t.Errorf("%q: Invalid is %v", tt.line, cmd.Invalid)
		}
		s := cmd.String()
		clear(line)
		if s != tt.line {
			t.Errorf("String of %q changed to %q with the buffer", tt.line, s)
		}
	}
}

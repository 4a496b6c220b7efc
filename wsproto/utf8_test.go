package wsproto

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var utf8Vectors = []struct {
	text string
	bad  int // offset of the first byte no valid text goes on with; -1 if none
}{
	{"", -1},
	{"Hello", -1},
	{"κόσμε", -1},
	{"\x00\x7f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", -1},
	{"\ud7ff\ue000\ufffd", -1},
	{"日本語、テキスト。", -1},
	{"12345678\u00e9", -1},
	{"\x80", 0},
	{"abc\xbf", 3},
	{"\xc0\xaf", 0}, // overlong
	{"\xc1\xbf", 0},
	{"\xe0\x80\xaf", 1}, // overlong, seen with the second byte
	{"\xe0\x9f\xbf", 1},
	{"\xf0\x80\x80\xaf", 1},
	{"\xf0\x8f\xbf\xbf", 1},
	{"\xed\xa0\x80", 1}, // surrogates
	{"\xed\xbf\xbf", 1},
	{"\xf4\x90\x80\x80", 1}, // above U+10FFFF
	{"\xf5\x80\x80\x80", 0},
	{"\xfe", 0},
	{"\xff", 0},
	{"\xc3(", 1},
	{"\xe2\x28\xa1", 1},
	{"\xe2\x82(", 2},
	{"\xf0\x90\x8c(", 3},
	{"0123456789abcdef0123456789abcde\xff", 31},
	{"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\xc3\xc3", 17},
}

func TestUTF8(t *testing.T) {
	for _, tt := range utf8Vectors {
		p := []byte(tt.text)
		for cut := range len(p) + 1 { // in two pieces, at every place
			s := utf8Start.next(p[:cut])
			if bad := tt.bad >= 0 && tt.bad < cut; (s == utf8Bad) != bad {
				t.Errorf("%q: after %d bytes bad is %t, want %t", tt.text, cut, s == utf8Bad, bad)
			}
			s = s.next(p[cut:])
			if (s == utf8Start) != utf8.Valid(p) {
				t.Errorf("%q cut at %d: valid is %t, want %t", tt.text, cut, s == utf8Start, utf8.Valid(p))
			}
		}
	}
}

func FuzzUTF8(f *testing.F) {
	for _, tt := range utf8Vectors {
		f.Add([]byte(tt.text), 3)
	}
	f.Fuzz(func(t *testing.T, p []byte, cut int) {
		whole := utf8Start.next(p)
		if (whole == utf8Start) != utf8.Valid(p) {
			t.Errorf("%q: valid is %t, want %t", p, whole == utf8Start, utf8.Valid(p))
		}
		cut = min(max(cut, 0), len(p))
		if parts := utf8Start.next(p[:cut]).next(p[cut:]); parts != whole {
			t.Errorf("%q cut at %d gives state %d, whole %d", p, cut, parts, whole)
		}
		// Bad exactly where no continuation makes it valid: every other prefix can
		// be completed, by the shortest tail its state asks for.
		if whole != utf8Bad && whole != utf8Start {
			tails := []string{"\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"}
			ok := false
			for _, tail := range tails {
				ok = ok || utf8.ValidString(string(p)+tail)
			}
			if !ok {
				t.Errorf("%q is held for a beginning of valid text", p)
			}
		}
	})
}

func BenchmarkUTF8(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	mixed := make([]rune, 0, 600)
	for range 600 {
		mixed = append(mixed, []rune{'a', 'é', '日', '本', 'ж'}[r.IntN(5)])
	}
	for name, text := range map[string]string{"ascii": strings.Repeat("plain text ", 100), "mixed": string(mixed)} {
		p := []byte(text)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if utf8Start.next(p) != utf8Start {
					b.Fatal("not valid")
				}
			}
		})
		b.Run(name+"/unicode-utf8", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if !utf8.Valid(p) {
					b.Fatal("not valid")
				}
			}
		})
	}
}

package term

import (
	"bytes"
	"testing"
)

// One key at the end of a line of that length, drawn.
func BenchmarkKey(b *testing.B) {
	for name, n := range map[string]int{"60": 60, "64KiB": 64 << 10, "1MiB": MaxLine - 10} {
		b.Run(name, func(b *testing.B) {
			l, d, s, sz := newLine(nil), &decoder{}, &screen{}, size{80, 24}
			l.insert(bytes.Repeat([]byte("x"), n))
			s.show(nil, l.view("> "), sz)
			b.ReportAllocs()
			for b.Loop() {
				typeIn(l, d, "y")
				s.show(nil, l.view("> "), sz)
				typeIn(l, d, "\x7f")
			}
		})
	}
}

// Output above a line being typed.
func BenchmarkPrint(b *testing.B) {
	s, sz, out := &screen{}, size{80, 24}, []byte("< received payload on TCP connection #0: hello\\n\n")
	s.show(nil, viewOf("> ", "send tcp 0 hello|"), sz)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = s.print(buf[:0], out, sz)
	}
}

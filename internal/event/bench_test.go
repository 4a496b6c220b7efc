package event

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// payloads are what the benchmarks show, each some 32 KiB but for the short one.
var payloads = []struct {
	name string
	p    []byte
}{
	{"short", []byte("hello\n")},
	{"ascii", bytes.Repeat([]byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 22)+"\n"), 33)},
	{"lines", bytes.Repeat([]byte("GET /index.html HTTP/1.1\r\n"), 1260)},
	{"json", bytes.Repeat([]byte(`{"id":17,"name":"sensor","path":"C:\\x","v":[1,2,3]},`), 618)},
	{"cyrillic", []byte(strings.Repeat("Съешь же ещё этих мягких булок ", 590))},
	{"cjk", []byte(strings.Repeat("天地玄黃宇宙洪荒日月盈昃", 910))},
	{"random", randomBytes(32 << 10)},
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

func BenchmarkAppendEscaped(b *testing.B) {
	for _, tt := range payloads {
		b.Run(tt.name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(tt.p)))
			for b.Loop() {
				dst = AppendEscaped(dst[:0], tt.p)
			}
		})
	}
}

func BenchmarkAppendHexDump(b *testing.B) {
	p := randomBytes(32 << 10)
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		dst = AppendHexDump(dst[:0], p)
	}
}

func event(p []byte) *Event {
	return &Event{Time: time.Unix(1763640000, 0), Event: Message, Proto: "tcp", Client: 3,
		Peer: "127.0.0.1:4567", Dir: In, Payload: p}
}

func BenchmarkAppendText(b *testing.B) {
	for _, tt := range payloads {
		b.Run(tt.name, func(b *testing.B) {
			var dst []byte
			e, st := event(tt.p), Style{Time: true}
			b.ReportAllocs()
			b.SetBytes(int64(len(tt.p)))
			for b.Loop() {
				dst = AppendText(dst[:0], e, &st)
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, tt := range payloads {
		b.Run(tt.name, func(b *testing.B) {
			var dst []byte
			e := event(tt.p)
			b.ReportAllocs()
			b.SetBytes(int64(len(tt.p)))
			for b.Loop() {
				dst = AppendJSON(dst[:0], e)
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{16, 1000, 32000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			w := NewWriter(io.Discard, Options{})
			e := event(payloads[1].p[:size])
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				w.Emit(e)
			}
		})
	}
}

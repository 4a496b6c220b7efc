package judge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Sections 9, 12 and 13 of the catalogue: size, number and compression.

func repeated(pattern string, n int) []byte {
	return bytes.Repeat([]byte(pattern), n/len(pattern)+1)[:n]
}

// limits is section 9.
func limits(v Volume) cases {
	var all cases
	for sub, op := range []byte{1, 2} {
		pattern, kind := "BAsd7&jh23", "text"
		if op == 2 {
			pattern, kind = "\x00\xfe\x23\xfa\xf0", "binary"
		}
		add := func(group, i int, n int, about string, send func(b []byte) step) {
			c := all.add("9.%d.%d a %s message of %d bytes %s comes back (§5.2, §5.4)", group, i+1, kind, n, about).begin(func(p *prober) error {
				body := repeated(pattern, n)
				if err := send(body)(p); err != nil {
					return err
				}
				return mustEnd(rxEvent{kind: kind, data: body})(p)
			})
			c.total, c.heavy = 1000*time.Second, n > 1<<20
		}
		for i, kib := range []int{64, 256, 1024, 4096, 8192, 16384} {
			if v == Quick && !(op == 2 && i == 5) {
				kib = min(kib, 1024)
			}
			add(1+sub, i, kib<<10, "in one frame", func(b []byte) step { return doSend(tx(op, b)) })
		}
		for i := range 9 {
			n, size := 4<<20, 64<<(2*i)
			if v == Quick && !(op == 2 && i == 0) {
				n = 1 << 20
			}
			add(3+sub, i, n, fmt.Sprintf("in fragments of %d", size), func(b []byte) step { return doSend(closedBy(fragments(op, 0, b, size))...) })
		}
		for i := range 6 {
			n, size := 1<<20, 64<<i
			if v == Quick {
				n = 64 << 10
			}
			add(5+sub, i, n, fmt.Sprintf("in pieces of %d", size), func(b []byte) step { return doChops(size, tx(op, b)) })
		}
		for i, n := range []int{0, 16, 64, 256, 1024, 4096} {
			body, count := bytes.Repeat([]byte{[]byte("*\xfe")[sub]}, n), 1000
			if v == Quick {
				count = 20
			}
			all.add("9.%d.%d %d %s messages of %d bytes, one at a time (§5.6) | end", 7+sub, i+1, count, kind, n).
				begin(doEchoes(op, 0, count, func(int) []byte { return body })).total = 480 * time.Second
		}
	}
	return all
}

// closedBy ends a message by an empty fragment, as Autobahn does where the length is a
// multiple of the fragment's: an endpoint that counts fragments has one more.
func closedBy(all []wireFrame) []wireFrame {
	all[len(all)-1].fin = false
	return append(all, txMore(""))
}

// count is how many compressed messages of size bytes a case sends: all of the
// catalogue's, or as many as have room, but always enough to see a window carried on.
func (v Volume) count(size int) int {
	room := map[Volume]int{Quick: 64 << 10, Normal: 1 << 20, Full: 1 << 30}[v]
	return min(1000, max(3, room/(size+3<<10)))
}

// sampleText is a test file of the catalogue's kind; cut takes n characters (bytes
// if it is binary) from where the last cut ended.
type sampleText struct {
	about string
	op    byte
	bytes []byte
	runes []rune
}

// cutter returns what successive messages of n characters hold.
func (d *sampleText) cutter(n int) func(int) []byte {
	at := 0
	return func(int) []byte {
		var b []byte
		from := at
		if d.op == 2 {
			at = (at + n) % len(d.bytes)
			if at > from {
				return d.bytes[from:at]
			}
			return append(append(b, d.bytes[from:]...), d.bytes[:at]...)
		}
		at = (at + n) % len(d.runes)
		if at > from {
			return []byte(string(d.runes[from:at]))
		}
		return []byte(string(d.runes[from:]) + string(d.runes[:at]))
	}
}

// sampleTexts are made up to compress like the catalogue's five files: JSON, a
// bitmap, a play, HTML and a PDF, which is nearly random.
var sampleTexts = sync.OnceValue(func() []*sampleText {
	r := rand.New(rand.NewPCG(12, 13))
	words := strings.Fields("der die das und nicht ich was ein Geist Faust Mephistopheles schön Wörter größer Mühe Welt doch wenn so wie auf Erden Licht Nacht naß")
	var json, play, html strings.Builder
	for i := 0; json.Len() < 194000; i++ {
		fmt.Fprintf(&json, `{"id": %d, "name": "%s %s", "score": %d.%02d, "tags": ["%s", "München"], "ok": %t},`+"\n",
			i, words[r.IntN(len(words))], words[r.IntN(len(words))], r.IntN(1000), r.IntN(100), words[r.IntN(len(words))], i%3 == 0)
	}
	for play.Len() < 222000 {
		play.WriteString(words[r.IntN(len(words))])
		play.WriteByte(" \n"[r.IntN(6)/5])
	}
	for i := 0; html.Len() < 263000; i++ {
		fmt.Fprintf(&html, "<tr class=\"row-%d\"><td>%s</td><td>%x</td><td>€ %d</td></tr>\n", i%2, words[r.IntN(len(words))], r.Uint32(), r.IntN(9999))
	}
	bitmap, pdf := make([]byte, 263224), make([]byte, 266000)
	for i := range bitmap {
		bitmap[i] = byte(i%512/4+i/512/3) + byte(r.IntN(4))
	}
	for i := range pdf {
		pdf[i] = byte(r.Uint32())
	}
	text := func(about, s string) *sampleText { return &sampleText{about, 1, nil, []rune(s)} }
	data := func(about string, b []byte) *sampleText { return &sampleText{about, 2, b, nil} }
	return []*sampleText{text("JSON", json.String()), data("a bitmap", bitmap), data("a German play", []byte(play.String())),
		text("HTML", html.String()), data("a PDF", pdf)}
})

// deflateSizes is the catalogue's: bytes in a message, and in a fragment.
var deflateSizes = [18][2]int{{16, 0}, {64, 0}, {256, 0}, {1024, 0}, {4096, 0}, {8192, 0}, {16384, 0}, {32768, 0}, {65536, 0}, {131072, 0},
	{8192, 256}, {16384, 256}, {32768, 256}, {65536, 256}, {131072, 256}, {131072, 1024}, {131072, 4096}, {131072, 32768}}

// deflateWishes is the catalogue's section 13: what is asked of the endpoint.
var deflateWishes = [7]struct {
	about string
	ext   []pmd
}{{"as it likes", plainDeflate}, {"without context takeover", []pmd{{noContext: true}}}, {"in a window of 9 bits", []pmd{{bits: 9}}}, {"in a window of 15 bits", []pmd{{bits: 15}}},
	{"in a window of 9 bits, without context takeover", []pmd{{noContext: true, bits: 9}}}, {"in a window of 15 bits, without context takeover", []pmd{{noContext: true, bits: 15}}},
	{"in a window of 9 bits if it can, without context takeover if it can", []pmd{{noContext: true, bits: 9}, {noContext: true}, {}}}}

// compression is sections 12 and 13.
func compression(v Volume) cases {
	var all cases
	add := func(section string, i int, about string, ext []pmd, d *sampleText) {
		n, size := deflateSizes[i][0], deflateSizes[i][1]
		count, cut := v.count(n), ""
		if size > 0 {
			cut = fmt.Sprintf(" in fragments of %d", size)
		}
		c := all.add("%s.%d %d compressed messages of %d bytes of %s%s; the endpoint compresses %s (RFC 7692 §7) | end", section, i+1, count, n, d.about, cut, about).
			begin(func(p *prober) error { return doEchoes(d.op, size, count, d.cutter(n))(p) })
		c.ext, c.total = ext, 480*time.Second
	}
	for j, d := range sampleTexts() {
		for i := range deflateSizes {
			add(fmt.Sprintf("12.%d", j+1), i, deflateWishes[0].about, plainDeflate, d)
		}
	}
	for j, wish := range deflateWishes {
		for i := range deflateSizes {
			add(fmt.Sprintf("13.%d", j+1), i, wish.about, wish.ext, sampleTexts()[0])
		}
	}
	return all
}

package judge

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Group x.extension: permessage-deflate beyond the catalogue (RFC 7692 and RFC 1951).

// deflated builds a payload symbol by symbol.
func deflated(build func(w *bitWriter)) string {
	w := &bitWriter{}
	build(w)
	return string(w.message())
}

const helloZ = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1

func deflateCases() cases {
	all := append(deflateExamples(), deflateFaults()...)
	all = append(all, deflateWindows()...)
	all = append(all, deflateFrames()...)
	for i := range all {
		if all[i].ext == nil {
			all[i].ext = []pmd{{bare: true}}
		}
	}
	return all
}

func deflateExamples() cases {
	all := fixed("x.extension.*")
	for i, sizes := range [][]int{{0}, {1}, {65535}, {3, 0, 3}, {65535, 65535, 1}, {0, 0, 0, 0}} {
		n := 0
		payload := deflated(func(w *bitWriter) {
			for _, size := range sizes {
				w.stored(0, strings.Repeat("s", size))
				n += size
			}
		})
		all.add(`x.extension.stored.%d stored blocks of %v bytes (RFC 1951 §3.2.4) | send binary(rsv=4)%q; end binary"s"*%d`, i, sizes, payload, n)
	}
	blocks := deflated(func(w *bitWriter) {
		for range 1000 {
			w.open(0)
			w.literals("b")
			w.shut()
		}
	})
	all.add(`x.extension.blocks 1,000 blocks in a message (RFC 1951 §3.2.3) | send text(rsv=4)%q; end text"b"*1000`, blocks)
	for _, n := range []int{3, 10, 11, 17, 18, 114, 257, 258} {
		payload := deflated(func(w *bitWriter) {
			w.open(0)
			w.literals("ab")
			w.match(n, 2)
			w.shut()
		})
		all.add("x.extension.match.%d a match of %d bytes (RFC 1951 §3.2.5) | send text(rsv=4)%q; end text%q", n, n, payload, "ab"+string(repeated("ab", n)))
	}
	return all
}

// deflateFaults is data that does not inflate: the connection fails with 1007, and
// never does a part of the message come back.
func deflateFaults() cases {
	var all cases
	for _, bad := range [][2]string{
		{"type3", "\x06"},                                                 // a block of type 3
		{"garbage", strings.Repeat("\xff", 40)},                           // the same
		{"lengths", "\x00\x05\x00\xfa\xfeHello\x00"},                      // LEN and NLEN that do not fit
		{"stored", "\x00\x10\x00\xef\xffHello"},                           // a stored block that is longer
		{"distance", "20426153\xb7\xb0\x042\x01\x00"},                     // 11 back, after 10 bytes
		{"first", "\x02\x02\x00\x00"},                                     // a match with nothing before it
		{"symbol", "J\x1c\x03\x00\x00"},                                   // the length symbol 286
		{"symbol2", "J\x1c\a\x00\x00"},                                    // and 287
		{"dist30", "JLLL\x04>\x00\x00"},                                   // the distance symbol 30
		{"tables", "\xfc\xff\x01"},                                        // a dynamic block without its codes
		{"over", "\x04\x00\x92\x04\x00\x00\x00\x00"},                      // more codes than there are
		{"after", "\xcb\xcf\x06\x00\x06"}, {"after2", "\xca\xcf\x06\x18"}, // a block of type 3 after good ones, the last with BFINAL or not
	} {
		name, payload := bad[0], bad[1]
		all.add("x.extension.bad.%s %x does not inflate (RFC 1951, RFC 7692 §7.2.2) | send binary(rsv=4)%q; fail 1007,1002", name, payload, payload)
		all.add("x.extension.worse.%s %x does not inflate, after a message that does (RFC 7692 §7.2.2) | "+
			`send binary(rsv=4)"\x00" text(rsv=4)"\x00\x00\x00\xff\xff\x00" binary(rsv=4)%q; fail 1007,1002 binary"" text""`, name, payload, payload)
	}
	whole := deflated(func(w *bitWriter) {
		w.open(0)
		w.literals("a message ")
		w.match(9, 10)
		w.literals("cut short")
		w.shut()
	})
	for n := 1; n < len(whole); n++ {
		end := "fail 1007,1002"
		if out, err := (&inflater{window: 32768}).message([]byte(whole[:n])); err == nil {
			end = fmt.Sprintf("end binary%q", out)
		}
		all.add("x.extension.short.%d a compressed message cut to %d of %d bytes is no shorter message (RFC 7692 §7.2.2) | send binary(rsv=4)%q; %s",
			n, n, len(whole), whole[:n], end)
	}
	return all
}

// deflateWindows is what the window holds, and how far it reaches.
func deflateWindows() cases {
	r := rand.New(rand.NewPCG(7692, 7))
	noise := make([]byte, 40000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	store := func(op, s string) string {
		return fmt.Sprintf("%s(rsv=4)%q", op, deflated(func(w *bitWriter) { w.stored(0, s) }))
	}
	copyBack := func(op string, n, dist int) string {
		return fmt.Sprintf("%s(rsv=4)%q", op, deflated(func(w *bitWriter) { w.open(0); w.match(n, dist); w.shut() }))
	}
	var all cases
	storedNoise, echoedNoise := store("binary", string(noise)), fmt.Sprintf("binary%q", noise)
	for _, dist := range []int{3, 257, 4096, 32767, 32768} {
		all.add("x.extension.window.%d a match %d bytes back, in the message before (RFC 7692 §7.2.3.2) | window; send %s %s; end %s binary%q",
			dist, dist, storedNoise, copyBack("binary", 3, dist), echoedNoise, noise[40000-dist:][:3])
	}
	const small = "nothing but noise! "
	kept, again := store("binary", small), copyBack("binary", 7, len(small))
	all.add("x.extension.window.many a match that reaches back over three messages (RFC 7692 §7.2.3.2) | "+
		`window; send %s %s %s %s; end binary%q binary"two" binary"three" binary"nothing"`, kept, store("binary", "two"), store("binary", "three"), copyBack("binary", 7, len(small)+8), small)
	all.add(`x.extension.window.plain an uncompressed message leaves the window alone (RFC 7692 §7.2) | `+
		`window; send %s binary"uncompressed" %s; end binary%q binary"uncompressed" binary"nothing"`, kept, again, small)
	all.add(`x.extension.window.control pings and pongs leave the window alone (RFC 7692 §5) | `+
		`window; send %s ping"ping" pong"pong" %s; end binary%q pong"ping" binary"nothing"`, kept, again, small)
	all.add(`x.extension.window.text text and binary share the window (RFC 7692 §7.2) | `+
		`window; send %s %s %s; end text%q binary"nothing" text"not"`, store("text", small), again, copyBack("text", 3, 7), small)
	all.add(`x.extension.window.far a match further back than there was ever anything (RFC 1951 §3.2.5) | send %s %s; fail 1007 binary%q`,
		kept, copyBack("binary", 3, len(small)+1), small)
	for bits := 8; bits <= 15; bits++ {
		for _, none := range []bool{false, true} {
			all.add("x.extension.bits.%d.%t the endpoint compresses with a window of %d bits, no context takeover %t (RFC 7692 §7.1) | end", bits, none, bits, none).
				begin(doEchoes(2, 0, 4, func(int) []byte { return farRepeats(1<<bits + 100) })).ext = []pmd{{noContext: none, bits: bits}}
		}
	}
	return all
}

// farRepeats tempts a compressor: its matches are all at the distance given, and
// a few near by.
func farRepeats(dist int) []byte {
	r := rand.New(rand.NewPCG(uint64(dist), 1951))
	b := make([]byte, 0, 3*dist)
	for range dist {
		b = append(b, byte('a'+r.IntN(26)))
	}
	b = append(b, b...)
	return append(b, strings.Repeat("near by ", 20)...)
}

// deflateFrames is RSV1 and fragments with compression agreed (RFC 7692 §6).
func deflateFrames() cases {
	var all cases
	for _, op := range knownOpcodes {
		for _, fin := range []bool{true, false} {
			for rsv := range byte(8) {
				f, then := frameOf(op, fin, rsv), legalFrame(op, fin, rsv, false, "")
				if rsv == 4 && (op == 1 || op == 2) {
					f = fmt.Sprintf("op%d(rsv=4)%q", op, helloZ)
					then = fmt.Sprintf(`end %s"Hello"`, messageKind(op))
					if !fin {
						f, then = f+"+", `idle; send more""; `+then
					}
				}
				all.add("x.extension.rsv.%d.%t.%d opcode %d, FIN %t, RSV %03b with permessage-deflate (RFC 7692 §6) | send %s; %s", op, fin, rsv, op, fin, rsv, f, then)
			}
			if op == 1 || op == 2 {
				continue
			}
			all.add("x.extension.inside.%d.%t RSV1 on opcode %d, FIN %t, inside a compressed message (RFC 7692 §6.1) | send text(rsv=4)%q+ %s; fail 1002",
				op, fin, op, fin, helloZ[:3], frameOf(op, fin, 4))
		}
	}
	for at := range len(helloZ) + 1 {
		all.add("x.extension.split.%d a compressed message in two fragments, a ping and a pong between (RFC 7692 §6.1) | "+
			`window; send text(rsv=4)%q+ ping"p" pong"q" more%q text(rsv=4)"\xf2\x00\x11\x00\x00"; end pong"p" text"Hello" text"Hello"`, at, helloZ[:at], helloZ[at:])
	}
	all.add("x.extension.mixed 200 messages, every third plain, in one conversation (RFC 7692 §6) | end").begin(doMixed(200))
	return all
}

func doMixed(n int) step {
	return func(p *prober) error {
		for i := range n {
			want := []byte(strings.Repeat(fmt.Sprintf("message %d of the conversation. ", i), i%9))
			if i%3 == 0 {
				p.sendAll([]wireFrame{tx(1, want)})
			} else {
				p.doMessage(1, want, 20*(i%2))
			}
			if err := mustGet(rxText(string(want)))(p); err != nil {
				return err
			}
		}
		return nil
	}
}

package judge

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Group x.extension: permessage-deflate beyond the catalogue (RFC 7692 and RFC 1951).

// zTx is a compressed message whose payload is given.
func zTx(op byte, payload string) wireFrame { return tx(op, []byte(payload)).bits(4) }

// deflated builds a payload symbol by symbol.
func deflated(build func(w *bitWriter)) string {
	w := &bitWriter{}
	build(w)
	return string(w.message())
}

const helloZ = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1

func deflateCases() []Case {
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

func deflateExamples() []Case {
	hello := rxText("Hello")
	final := func(a, b string) string {
		return deflated(func(w *bitWriter) {
			w.open(1)
			w.literals(a)
			w.shut()
			w.align()
			w.open(0)
			w.literals(b)
			w.shut()
		})
	}
	all := []Case{
		newCase("x.extension.example.1", "a compressed message (RFC 7692 §7.2.3.1)", doSend(zTx(1, helloZ)), mustEnd(hello)),
		newCase("x.extension.example.1a", "the same in two fragments (RFC 7692 §7.2.3.1)", doSend(zTx(1, helloZ[:3]).part(), txMore(helloZ[3:])), mustEnd(hello)),
		newCase("x.extension.example.2", "the second message is a reference to the first (RFC 7692 §7.2.3.2)", ifWindow, doSend(zTx(1, helloZ), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello, hello)),
		newCase("x.extension.example.3", "a block without compression (RFC 7692 §7.2.3.3)", doSend(zTx(1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")), mustEnd(hello)),
		newCase("x.extension.example.4", "a block with BFINAL (RFC 7692 §7.2.3.4)", doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), mustEnd(hello)),
		newCase("x.extension.example.5", "two blocks (RFC 7692 §7.2.3.5)", doSend(zTx(1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")), mustEnd(hello)),
		newCase("x.extension.example.6", "an empty message (RFC 7692 §7.2.3.6)", doSend(zTx(1, "\x00"), zTx(2, "\x00"), zTx(1, helloZ)), mustEnd(rxText(""), rxBinary(""), hello)),
		newCase("x.extension.empty", "a compressed message without payload (RFC 7692 §7.2.2)", doSend(zTx(1, ""), zTx(1, helloZ)), mustEnd(rxText(""), hello)),
		newCase("x.extension.final.twice", "messages after one with BFINAL (RFC 7692 §7.2.3.4)", doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), zTx(1, helloZ), zTx(2, helloZ)), mustEnd(hello, hello, rxBinary("Hello"))),
		newCase("x.extension.final.window", "BFINAL does not end the window (RFC 7692 §7.2.3.4)", ifWindow, doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello, hello)),
		newCase("x.extension.final.middle", "blocks after one with BFINAL, in the same message (RFC 7692 §7.2.1)", doSend(zTx(1, final("Hel", "lo")), zTx(1, helloZ)), mustEnd(hello, hello)),
		newCase("x.extension.final.empty", "an empty BFINAL block before the data (RFC 7692 §7.2.1)", doSend(zTx(1, final("", "Hello"))), mustEnd(hello)),
	}
	for i, sizes := range [][]int{{0}, {1}, {65535}, {3, 0, 3}, {65535, 65535, 1}, {0, 0, 0, 0}} {
		text := ""
		payload := deflated(func(w *bitWriter) {
			for _, n := range sizes {
				w.stored(0, strings.Repeat("s", n))
				text += strings.Repeat("s", n)
			}
		})
		all = append(all, newCase(fmt.Sprintf("x.extension.stored.%d", i), fmt.Sprintf("stored blocks of %v bytes (RFC 1951 §3.2.4)", sizes), doSend(zTx(2, payload)), mustEnd(rxBinary(text))))
	}
	all = append(all, newCase("x.extension.blocks", "1,000 blocks in a message (RFC 1951 §3.2.3)", doSend(zTx(1, deflated(func(w *bitWriter) {
		for range 1000 {
			w.open(0)
			w.literals("b")
			w.shut()
		}
	}))), mustEnd(rxText(strings.Repeat("b", 1000)))))
	for _, n := range []int{3, 10, 11, 17, 18, 114, 257, 258} {
		all = append(all, newCase(fmt.Sprintf("x.extension.match.%d", n), fmt.Sprintf("a match of %d bytes (RFC 1951 §3.2.5)", n), doSend(zTx(1, deflated(func(w *bitWriter) {
			w.open(0)
			w.literals("ab")
			w.match(n, 2)
			w.shut()
		}))), mustEnd(rxText("ab"+string(repeated("ab", n))))))
	}
	return all
}

// deflateFaults is data that does not inflate: the connection fails with 1007, and
// never does a part of the message come back.
func deflateFaults() []Case {
	bad := map[string]string{
		"type3":    "\x06",
		"garbage":  strings.Repeat("\xff", 40),
		"lengths":  "\x00\x05\x00\xfa\xfeHello\x00",
		"stored":   "\x00\x10\x00\xef\xffHello",
		"distance": deflated(func(w *bitWriter) { w.open(0); w.literals("0123456789"); w.match(3, 11); w.shut() }),
		"first":    deflated(func(w *bitWriter) { w.open(0); w.match(3, 1); w.shut() }),
		"symbol":   deflated(func(w *bitWriter) { w.open(0); w.literals("a"); w.symbol(286); w.code(0, 5); w.shut() }),
		"symbol2":  deflated(func(w *bitWriter) { w.open(0); w.literals("a"); w.symbol(287); w.code(0, 5); w.shut() }),
		"dist30":   deflated(func(w *bitWriter) { w.open(0); w.literals("aaaa"); w.symbol(257); w.code(30, 5); w.shut() }),
		"tables":   deflated(func(w *bitWriter) { w.put(2<<1, 3); w.put(31, 5); w.put(31, 5); w.put(15, 4) }),
		"over":     deflated(func(w *bitWriter) { w.put(2<<1, 3); w.put(0, 14); w.put(0x249, 12); w.put(0, 30) }),
		"after":    deflated(func(w *bitWriter) { w.open(1); w.literals("ok"); w.shut(); w.align(); w.put(3<<1, 3) }),
		"after2":   deflated(func(w *bitWriter) { w.open(0); w.literals("ok"); w.shut(); w.put(3<<1, 3) }),
	}
	garbage := mustFailBy([]int{1007, 1002})
	var all []Case
	for name, payload := range bad {
		all = append(all,
			newCase("x.extension.bad."+name, fmt.Sprintf("%x does not inflate (RFC 1951, RFC 7692 §7.2.2)", payload), doSend(zTx(2, payload)), garbage),
			newCase("x.extension.worse."+name, fmt.Sprintf("%x does not inflate, after a message that does (RFC 7692 §7.2.2)", payload), doSend(zTx(2, "\x00"), zTx(1, deflated(func(w *bitWriter) { w.stored(0, "") })), zTx(2, payload)), mustFailBy([]int{1007, 1002}, rxBinary(""), rxText(""))))
	}
	whole := deflated(func(w *bitWriter) {
		w.open(0)
		w.literals("a message ")
		w.match(9, 10)
		w.literals("cut short")
		w.shut()
	})
	for n := 1; n < len(whole); n++ {
		end := garbage
		if out, err := (&inflater{window: 32768}).message([]byte(whole[:n])); err == nil {
			end = mustEnd(rxBinary(string(out)))
		}
		all = append(all, newCase(fmt.Sprintf("x.extension.short.%d", n), fmt.Sprintf("a compressed message cut to %d of %d bytes is no shorter message (RFC 7692 §7.2.2)", n, len(whole)), doSend(zTx(2, whole[:n])), end))
	}
	return append(all, newCase("x.extension.utf8", "a character cut after inflating (§8.1)", doSend(zTx(1, deflated(func(w *bitWriter) { w.open(0); w.literals("a\xe2\x82"); w.shut() }))), garbage),
		newCase("x.extension.utf8.middle", "a bad byte after inflating, in the first of two fragments (§8.1)", doSend(zTx(1, deflated(func(w *bitWriter) { w.stored(0, "a\xff") })).part(), txMore("")), garbage))
}

// deflateWindows is what the window holds, and how far it reaches.
func deflateWindows() []Case {
	r := rand.New(rand.NewPCG(7692, 7))
	noise := make([]byte, 40000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	store := func(b []byte) string { return deflated(func(w *bitWriter) { w.stored(0, string(b)) }) }
	copyBack := func(n, dist int) string {
		return deflated(func(w *bitWriter) { w.open(0); w.match(n, dist); w.shut() })
	}
	var all []Case
	for _, dist := range []int{3, 257, 4096, 32767, 32768} {
		all = append(all, newCase(fmt.Sprintf("x.extension.window.%d", dist), fmt.Sprintf("a match %d bytes back, in the message before (RFC 7692 §7.2.3.2)", dist), ifWindow, doSend(zTx(2, store(noise)), zTx(2, copyBack(3, dist))), mustEnd(rxBinary(string(noise)), rxBinary(string(noise[40000-dist:][:3])))))
	}
	small := []byte("nothing but noise! ")
	echo := func(b []byte) rxEvent { return rxBinary(string(b)) }
	all = append(all,
		newCase("x.extension.window.many", "a match that reaches back over three messages (RFC 7692 §7.2.3.2)", ifWindow, doSend(zTx(2, store(small)), zTx(2, store([]byte("two"))), zTx(2, store([]byte("three"))), zTx(2, copyBack(7, len(small)+8))), mustEnd(echo(small), rxBinary("two"), rxBinary("three"), echo(small[:7]))),
		newCase("x.extension.window.plain", "an uncompressed message leaves the window alone (RFC 7692 §7.2)", ifWindow, doSend(zTx(2, store(small)), txBinary("uncompressed"), zTx(2, copyBack(7, len(small)))), mustEnd(echo(small), rxBinary("uncompressed"), echo(small[:7]))),
		newCase("x.extension.window.control", "pings and pongs leave the window alone (RFC 7692 §5)", ifWindow, doSend(zTx(2, store(small)), txPing("ping"), txPong("pong"), zTx(2, copyBack(7, len(small)))), mustEnd(echo(small), rxPong("ping"), echo(small[:7]))),
		newCase("x.extension.window.text", "text and binary share the window (RFC 7692 §7.2)", ifWindow, doSend(zTx(1, store(small)), zTx(2, copyBack(7, len(small))), zTx(1, copyBack(3, 7))), mustEnd(rxText(string(small)), echo(small[:7]), rxText("not"))),
		newCase("x.extension.window.far", "a match further back than there was ever anything (RFC 1951 §3.2.5)", doSend(zTx(2, store(small)), zTx(2, copyBack(3, len(small)+1))), mustFail(1007, echo(small))))
	for bits := 8; bits <= 15; bits++ {
		for _, none := range []bool{false, true} {
			all = append(all, newCase(fmt.Sprintf("x.extension.bits.%d.%t", bits, none),
				fmt.Sprintf("the endpoint compresses with a window of %d bits, no context takeover %t (RFC 7692 §7.1)", bits, none),
				doEchoes(2, 0, 4, func(int) []byte { return farRepeats(1<<bits + 100) }), mustEnd()).asking(pmd{noContext: none, bits: bits}))
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
func deflateFrames() []Case {
	var all []Case
	hello := func(op byte) rxEvent { return rxMessage(op, "Hello") }
	for _, op := range knownOpcodes {
		for _, fin := range []bool{true, false} {
			for rsv := range byte(8) {
				f := frameOf(op, fin, rsv)
				steps := legalFrame(f, false, "")
				if rsv == 4 && (op == 1 || op == 2) {
					f.payload = []byte(helloZ)
					if steps = []step{mustEnd(hello(op))}; !fin {
						steps = []step{mustBeIdle, doSend(txMore("")), mustEnd(hello(op))}
					}
				}
				all = append(all, newCase(fmt.Sprintf("x.extension.rsv.%d.%t.%d", op, fin, rsv), fmt.Sprintf("opcode %d, FIN %t, RSV %03b with permessage-deflate (RFC 7692 §6)", op, fin, rsv), slices.Concat([]step{doSend(f)}, steps)...))
			}
			if op == 1 || op == 2 {
				continue
			}
			all = append(all, newCase(fmt.Sprintf("x.extension.inside.%d.%t", op, fin), fmt.Sprintf("RSV1 on opcode %d, FIN %t, inside a compressed message (RFC 7692 §6.1)", op, fin), doSend(zTx(1, helloZ[:3]).part(), frameOf(op, fin, 4)), mustFail(1002)))
		}
	}
	for at := range len(helloZ) + 1 {
		all = append(all, newCase(fmt.Sprintf("x.extension.split.%d", at), "a compressed message in two fragments, a ping and a pong between (RFC 7692 §6.1)", ifWindow, doSend(zTx(1, helloZ[:at]).part(), txPing("p"), txPong("q"), txMore(helloZ[at:]), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(rxPong("p"), hello(1), hello(1))))
	}
	octets := octetFragments(helloZ + "?")[:len(helloZ)]
	octets[0].rsv = 4
	return append(all,
		newCase("x.extension.octets", "a compressed message in fragments of a byte, empty ones among them (RFC 7692 §6.1)", doFrames(append(octets, txMore("").part(), txMore(""))...), mustEnd(hello(1))),
		newCase("x.extension.chops", "compressed and plain messages byte by byte (RFC 7692 §6)", doChops(1, zTx(1, helloZ), txText("plain"), zTx(2, helloZ), txPing("p"), zTx(1, helloZ[:2]).part(), txMore(helloZ[2:])), mustEnd(hello(1), rxText("plain"), hello(2), rxPong("p"), hello(1))),
		newCase("x.extension.close", "close in the middle of a compressed message (§5.4)", doSend(zTx(1, helloZ[:3]).part(), txClose(1000, "")), mustEcho(1000)),
		newCase("x.extension.plain.fragments", "an uncompressed fragmented message between compressed ones (RFC 7692 §6)", ifWindow, doSend(zTx(1, helloZ), txText("pl").part(), txMore("ain"), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello(1), rxText("plain"), hello(1))),
		newCase("x.extension.mixed", "200 messages, every third plain, in one conversation (RFC 7692 §6)", doMixed(200), mustEnd()))
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

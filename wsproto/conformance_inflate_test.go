package wsproto_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// Group D: permessage-deflate beyond the catalogue (RFC 7692 and RFC 1951).

// zTx is a compressed message whose payload is given.
func zTx(op byte, payload string) wireFrame { return tx(op, []byte(payload)).bits(4) }

// deflated builds a payload symbol by symbol.
func deflated(build func(w *bitWriter)) string {
	w := &bitWriter{}
	build(w)
	return string(w.message())
}

const helloZ = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1

func deflateProbes() []probe {
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

func deflateExamples() []probe {
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
	stored := func(sizes ...int) (payload, text string) {
		return deflated(func(w *bitWriter) {
				for _, n := range sizes {
					w.stored(0, strings.Repeat("s", n))
				}
			}), strings.Repeat("s", func() (n int) {
				for _, s := range sizes {
					n += s
				}
				return n
			}())
	}
	all := []probe{
		{id: "D.example.1", about: "a compressed message (RFC 7692 §7.2.3.1)", steps: []step{doSend(zTx(1, helloZ)), mustEnd(hello)}},
		{id: "D.example.1a", about: "the same in two fragments (RFC 7692 §7.2.3.1)", steps: []step{doSend(zTx(1, helloZ[:3]).part(), txMore(helloZ[3:])), mustEnd(hello)}},
		{id: "D.example.2", about: "the second message is a reference to the first (RFC 7692 §7.2.3.2)", steps: []step{ifWindow, doSend(zTx(1, helloZ), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello, hello)}},
		{id: "D.example.3", about: "a block without compression (RFC 7692 §7.2.3.3)", steps: []step{doSend(zTx(1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")), mustEnd(hello)}},
		{id: "D.example.4", about: "a block with BFINAL (RFC 7692 §7.2.3.4)", steps: []step{doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")), mustEnd(hello)}},
		{id: "D.example.5", about: "two blocks (RFC 7692 §7.2.3.5)", steps: []step{doSend(zTx(1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")), mustEnd(hello)}},
		{id: "D.example.6", about: "an empty message (RFC 7692 §7.2.3.6)", steps: []step{doSend(zTx(1, "\x00"), zTx(2, "\x00"), zTx(1, helloZ)), mustEnd(rxText(""), rxBinary(""), hello)}},
		{id: "D.final.twice", about: "messages after one with BFINAL (RFC 7692 §7.2.3.4)", steps: []step{doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), zTx(1, helloZ), zTx(2, helloZ)), mustEnd(hello, hello, rxBinary("Hello"))}},
		{id: "D.final.window", about: "BFINAL does not end the window (RFC 7692 §7.2.3.4)", steps: []step{ifWindow, doSend(zTx(1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello, hello)}},
		{id: "D.final.middle", about: "blocks after one with BFINAL, in the same message (RFC 7692 §7.2.1)", steps: []step{doSend(zTx(1, final("Hel", "lo")), zTx(1, helloZ)), mustEnd(hello, hello)}},
		{id: "D.final.empty", about: "an empty BFINAL block before the data (RFC 7692 §7.2.1)", steps: []step{doSend(zTx(1, final("", "Hello"))), mustEnd(hello)}},
	}
	for i, sizes := range [][]int{{0}, {1}, {65535}, {3, 0, 3}, {65535, 65535, 1}, {0, 0, 0, 0}} {
		payload, text := stored(sizes...)
		all = append(all, probe{id: fmt.Sprintf("D.stored.%d", i), about: fmt.Sprintf("stored blocks of %v bytes (RFC 1951 §3.2.4)", sizes), steps: []step{doSend(zTx(2, payload)), mustEnd(rxBinary(text))}})
	}
	all = append(all, probe{id: "D.blocks", about: "1,000 blocks in a message (RFC 1951 §3.2.3)", steps: []step{doSend(zTx(1, deflated(func(w *bitWriter) {
		for range 1000 {
			w.open(0)
			w.literals("b")
			w.shut()
		}
	}))), mustEnd(rxText(strings.Repeat("b", 1000)))}})
	for _, n := range []int{3, 10, 11, 17, 18, 114, 257, 258} {
		all = append(all, probe{id: fmt.Sprintf("D.match.%d", n), about: fmt.Sprintf("a match of %d bytes (RFC 1951 §3.2.5)", n), steps: []step{doSend(zTx(1, deflated(func(w *bitWriter) {
			w.open(0)
			w.literals("ab")
			w.match(n, 2)
			w.shut()
		}))), mustEnd(rxText("ab" + string(repeated("ab", n))))}})
	}
	return all
}

// deflateFaults is data that does not inflate: the connection fails with 1007, and
// never does a part of the message come back.
func deflateFaults() []probe {
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
	var all []probe
	for name, payload := range bad {
		all = append(all,
			probe{id: "D.bad." + name, about: fmt.Sprintf("%x does not inflate (RFC 1951, RFC 7692 §7.2.2)", payload), steps: []step{doSend(zTx(2, payload)), mustFail(1007)}},
			probe{id: "D.worse." + name, about: fmt.Sprintf("%x does not inflate, after a message that does (RFC 7692 §7.2.2)", payload),
				steps: []step{doSend(zTx(2, "\x00"), zTx(1, deflated(func(w *bitWriter) { w.stored(0, "") })), zTx(2, payload)), mustFail(1007, rxBinary(""), rxText(""))}})
	}
	whole := deflated(func(w *bitWriter) {
		w.open(0)
		w.literals("a message ")
		w.match(9, 10)
		w.literals("cut short")
		w.shut()
	})
	for n := 1; n < len(whole); n++ {
		end := mustFail(1007)
		if out, err := (&probeInflater{window: 32768}).message([]byte(whole[:n])); err == nil {
			end = mustEnd(rxBinary(string(out)))
		}
		all = append(all, probe{id: fmt.Sprintf("D.short.%d", n), about: fmt.Sprintf("a compressed message cut to %d of %d bytes is no shorter message (RFC 7692 §7.2.2)", n, len(whole)),
			steps: []step{doSend(zTx(2, whole[:n])), end}})
	}
	return append(all, probe{id: "D.utf8", about: "a character cut after inflating (§8.1)", steps: []step{doSend(zTx(1, deflated(func(w *bitWriter) { w.open(0); w.literals("a\xe2\x82"); w.shut() }))), mustFail(1007)}},
		probe{id: "D.utf8.middle", about: "a bad byte after inflating, in the first of two fragments (§8.1)",
			steps: []step{doSend(zTx(1, deflated(func(w *bitWriter) { w.stored(0, "a\xff") })).part(), txMore("\x00")), mustFail(1007)}})
}

// deflateWindows is what the window holds, and how far it reaches.
func deflateWindows() []probe {
	r := rand.New(rand.NewPCG(7692, 7))
	noise := make([]byte, 40000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	store := func(b []byte) string { return deflated(func(w *bitWriter) { w.stored(0, string(b)) }) }
	copyBack := func(n, dist int) string {
		return deflated(func(w *bitWriter) { w.open(0); w.match(n, dist); w.shut() })
	}
	var all []probe
	for _, dist := range []int{3, 257, 4096, 32767, 32768} {
		all = append(all, probe{id: fmt.Sprintf("D.window.%d", dist), about: fmt.Sprintf("a match %d bytes back, in the message before (RFC 7692 §7.2.3.2)", dist),
			steps: []step{ifWindow, doSend(zTx(2, store(noise)), zTx(2, copyBack(3, dist))), mustEnd(rxBinary(string(noise)), rxBinary(string(noise[40000-dist:][:3])))}})
	}
	small := []byte("nothing but noise! ")
	echo := func(b []byte) rxEvent { return rxBinary(string(b)) }
	all = append(all,
		probe{id: "D.window.many", about: "a match that reaches back over three messages (RFC 7692 §7.2.3.2)",
			steps: []step{ifWindow, doSend(zTx(2, store(small)), zTx(2, store([]byte("two"))), zTx(2, store([]byte("three"))), zTx(2, copyBack(7, len(small)+8))), mustEnd(echo(small), rxBinary("two"), rxBinary("three"), echo(small[:7]))}},
		probe{id: "D.window.plain", about: "an uncompressed message leaves the window alone (RFC 7692 §7.2)",
			steps: []step{ifWindow, doSend(zTx(2, store(small)), txBinary("uncompressed"), zTx(2, copyBack(7, len(small)))), mustEnd(echo(small), rxBinary("uncompressed"), echo(small[:7]))}},
		probe{id: "D.window.control", about: "pings and pongs leave the window alone (RFC 7692 §5)",
			steps: []step{ifWindow, doSend(zTx(2, store(small)), txPing("ping"), txPong("pong"), zTx(2, copyBack(7, len(small)))), mustEnd(echo(small), rxPong("ping"), echo(small[:7]))}},
		probe{id: "D.window.text", about: "text and binary share the window (RFC 7692 §7.2)",
			steps: []step{ifWindow, doSend(zTx(1, store(small)), zTx(2, copyBack(7, len(small))), zTx(1, copyBack(3, 7))), mustEnd(rxText(string(small)), echo(small[:7]), rxText("not"))}},
		probe{id: "D.window.far", about: "a match further back than there was ever anything (RFC 1951 §3.2.5)",
			steps: []step{doSend(zTx(2, store(small)), zTx(2, copyBack(3, len(small)+1))), mustFail(1007, echo(small))}},
		probe{id: "D.over", about: "one byte more than the limit, after inflating (§10.4)", wait: 30 * time.Second, steps: []step{doOverLimit, mustFail(1009)}})
	for bits := 8; bits <= 15; bits++ {
		for _, none := range []bool{false, true} {
			all = append(all, probe{id: fmt.Sprintf("D.bits.%d.%t", bits, none), ext: []pmd{{noContext: none, bits: bits}},
				about: fmt.Sprintf("the endpoint compresses with a window of %d bits, no context takeover %t (RFC 7692 §7.1)", bits, none),
				steps: []step{doEchoes(2, 0, 4, func(int) []byte { return farRepeats(1<<bits + 100) }), mustEnd()}})
		}
	}
	return all
}

func doOverLimit(p *prober) error {
	w := &bitWriter{}
	w.open(0)
	w.symbol(0)
	n := int64(1)
	for ; n+258 <= p.limit+1; n += 258 {
		w.match(258, 1)
	}
	for ; n < p.limit+1; n++ {
		w.symbol(0)
	}
	w.shut()
	p.sendAll([]wireFrame{tx(2, w.message()).bits(4)})
	return nil
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
func deflateFrames() []probe {
	var all []probe
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
				all = append(all, probe{id: fmt.Sprintf("D.rsv.%d.%t.%d", op, fin, rsv), about: fmt.Sprintf("opcode %d, FIN %t, RSV %03b with permessage-deflate (RFC 7692 §6)", op, fin, rsv),
					steps: slices.Concat([]step{doSend(f)}, steps)})
			}
			if op == 1 || op == 2 {
				continue
			}
			all = append(all, probe{id: fmt.Sprintf("D.inside.%d.%t", op, fin), about: fmt.Sprintf("RSV1 on opcode %d, FIN %t, inside a compressed message (RFC 7692 §6.1)", op, fin),
				steps: []step{doSend(zTx(1, helloZ[:3]).part(), frameOf(op, fin, 4)), mustFail(1002)}})
		}
	}
	for at := range len(helloZ) + 1 {
		all = append(all, probe{id: fmt.Sprintf("D.split.%d", at), about: "a compressed message in two fragments, a ping and a pong between (RFC 7692 §6.1)",
			steps: []step{ifWindow, doSend(zTx(1, helloZ[:at]).part(), txPing("p"), txPong("q"), txMore(helloZ[at:]), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(rxPong("p"), hello(1), hello(1))}})
	}
	octets := unended(helloZ)
	octets[0].rsv = 4
	return append(all,
		probe{id: "D.octets", about: "a compressed message in fragments of a byte, empty ones among them (RFC 7692 §6.1)",
			steps: []step{doFrames(append(octets, txMore("").part(), txMore(""))...), mustEnd(hello(1))}},
		probe{id: "D.chops", about: "compressed and plain messages byte by byte (RFC 7692 §6)",
			steps: []step{doChops(1, zTx(1, helloZ), txText("plain"), zTx(2, helloZ), txPing("p"), zTx(1, helloZ[:2]).part(), txMore(helloZ[2:])), mustEnd(hello(1), rxText("plain"), hello(2), rxPong("p"), hello(1))}},
		probe{id: "D.close", about: "close in the middle of a compressed message (§5.4)", steps: []step{doSend(zTx(1, helloZ[:3]).part(), txClose(1000, "")), mustEcho(1000)}},
		probe{id: "D.plain.fragments", about: "an uncompressed fragmented message between compressed ones (RFC 7692 §6)",
			steps: []step{ifWindow, doSend(zTx(1, helloZ), txText("pl").part(), txMore("ain"), zTx(1, "\xf2\x00\x11\x00\x00")), mustEnd(hello(1), rxText("plain"), hello(1))}},
		probe{id: "D.mixed", about: "200 messages, every third plain, in one conversation (RFC 7692 §6)", steps: []step{doMixed(200), mustEnd()}})
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

// TestProbeDeflate holds the suite's own deflate against compress/flate.
func TestProbeDeflate(t *testing.T) {
	for _, d := range probeTexts() {
		for _, window := range []int{256, 1024, 32768} {
			for _, keep := range []bool{false, true} {
				out, in := &probeDeflater{window: window, keep: keep}, &probeInflater{window: window, keep: keep}
				next := d.cutter(3000)
				for i := range 5 {
					want := next(i)
					got, err := in.message(out.message(want))
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s, window %d, takeover %t, message %d: %v", d.about, window, keep, i, err)
					}
				}
			}
		}
	}
	var b bytes.Buffer
	for level := range 10 {
		b.Reset()
		w, _ := flate.NewWriter(&b, level)
		_, _ = w.Write(probeTexts()[0].cutter(60000)(0))
		_ = w.Flush()
		whole := b.Bytes()[:b.Len()-4]
		if got, err := (&probeInflater{window: 32768}).message(whole); err != nil || !bytes.Equal(got, probeTexts()[0].cutter(60000)(0)) {
			t.Errorf("level %d: %v", level, err)
		}
		if _, err := (&probeInflater{window: 256}).message(whole); level > 0 && err == nil {
			t.Errorf("level %d: a window of 32,768 went through as one of 256", level)
		}
	}
}

// TestProbeFrames holds the suite's frames against the examples of RFC 6455 §5.7.
func TestProbeFrames(t *testing.T) {
	server, client := &prober{side: probedServer}, &prober{side: probedClient}
	for _, c := range []struct {
		p    *prober
		f    wireFrame
		want string
	}{
		{client, txText("Hello"), "810548656c6c6f"},
		{server, txText("Hello").keyed(listKey), "818537fa213d7f9f4d5158"},
		{client, txText("Hel").part(), "010348656c"},
		{client, txMore("lo"), "80026c6f"},
		{client, txPing("Hello"), "890548656c6c6f"},
		{server, txPong("Hello").keyed(listKey), "8a8537fa213d7f9f4d5158"},
	} {
		if got := fmt.Sprintf("%x", c.p.append(nil, c.f)); got != c.want {
			t.Errorf("frame %+v is %s, want %s", c.f, got, c.want)
		}
	}
	if got := fmt.Sprintf("%x", client.append(nil, tx(2, make([]byte, 256)))[:4]); got != "827e0100" {
		t.Errorf("256 bytes begin %s, want 827e0100", got)
	}
	if got := fmt.Sprintf("%x", client.append(nil, tx(2, make([]byte, 65536)))[:10]); got != "827f0000000000010000" {
		t.Errorf("64 KiB begin %s, want 827f0000000000010000", got)
	}
}

package wsproto_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// The probes below are products of the rules of RFC 6455 §5 and §7: each opcode
// with each bit at each place, each close code with each kind of reason, each cut.

var knownOpcodes = []byte{0, 1, 2, 8, 9, 10}

func known(op byte) bool { return op <= 2 || op >= 8 && op <= 10 }

// frameOf is a frame of an opcode with a payload that suits it.
func frameOf(op byte, fin bool, rsv byte) wireFrame {
	f := tx(op, []byte("body")).bits(rsv)
	if op == 8 {
		f.payload = []byte("\x03\xe8")
	}
	f.fin = fin
	return f
}

// legalFrame is what must follow a frame sent at the start of a message, or
// inside one that began with the text begun.
func legalFrame(f wireFrame, inside bool, begun string) []step {
	whole := mustEnd(rxMessage(f.op, begun+"body"))
	rest := []step{mustBeIdle, doSend(txMore("!")), mustEnd(rxMessage(f.op, begun+"body!"))}
	unfinished := []step{doSend(txMore("!")), mustEnd(rxText(begun + "!"))}
	bad := f.rsv != 0 || !known(f.op) || f.op >= 8 && !f.fin || f.op < 8 && inside != (f.op == 0)
	switch {
	case bad:
		return []step{mustFail(1002)}
	case f.op < 8 && f.fin:
		return []step{whole}
	case f.op < 8:
		return rest
	case f.op == 8:
		return []step{mustEcho(1000)}
	case f.op == 9:
		return slices.Concat([]step{mustGet(rxPong("body"))}, endOf(inside, unfinished))
	default:
		return slices.Concat([]step{mustBeIdle}, endOf(inside, unfinished))
	}
}

func endOf(inside bool, unfinished []step) []step {
	if inside {
		return unfinished
	}
	return []step{mustEnd()}
}

// frameProbes is group F: opcodes, bits, masks and lengths at every place.
func frameProbes() []probe {
	var all []probe
	for op := range byte(16) {
		for _, fin := range []bool{true, false} {
			for rsv := range byte(8) {
				f := frameOf(op, fin, rsv)
				all = append(all, probe{id: fmt.Sprintf("F.start.%d.%t.%d", op, fin, rsv),
					about: fmt.Sprintf("opcode %d, FIN %t, RSV %03b as the first frame (§5.2, §5.4, §5.5)", op, fin, rsv),
					steps: slices.Concat([]step{doSend(f)}, legalFrame(f, false, ""))})
			}
			f := frameOf(op, fin, 0)
			about := fmt.Sprintf("opcode %d, FIN %t ", op, fin)
			id := func(place string) string { return fmt.Sprintf("F.%s.%d.%t", place, op, fin) }
			all = append(all,
				probe{id: id("inside"), about: about + "inside a fragmented message (§5.4)",
					steps: slices.Concat([]step{doSend(txText("begun ").part(), f)}, legalFrame(f, true, "begun "))},
				probe{id: id("deep"), about: about + "after two fragments and a ping (§5.4)",
					steps: slices.Concat([]step{doSend(txText("beg").part(), txMore("un ").part(), txPing("p"), f), mustGet(rxPong("p"))}, legalFrame(f, true, "begun "))},
				probe{id: id("next"), about: about + "after a whole message (§5.4)",
					steps: slices.Concat([]step{doSend(txText("a").part(), txMore("b"), f), mustGet(rxText("ab"))}, legalFrame(f, false, ""))},
				probe{id: id("closed"), about: about + "after a Close frame is ignored (§5.5.1)",
					steps: []step{doSend(txClose(1000, ""), f), mustEcho(1000)}})
		}
	}
	all = append(all, maskProbes()...)
	return append(all, lengthProbes()...)
}

func maskProbes() []probe {
	var all []probe
	for _, op := range knownOpcodes {
		for _, size := range []int{0, 4, 200, 70000} {
			if op >= 8 && size > 125 {
				continue
			}
			f := tx(op, repeated("m", size)).wrongMask()
			if op == 8 && size > 0 {
				f.payload = []byte("\x03\xe8ok")
			}
			before := doSend()
			if op == 0 {
				before = doSend(txText("begun ").part())
			}
			all = append(all, probe{id: fmt.Sprintf("F.mask.%d.%d", op, size), about: fmt.Sprintf("opcode %d of %d bytes, masked as the other side masks (§5.1)", op, size),
				steps: []step{before, doSend(f), mustFail(1002)}})
		}
	}
	for i, key := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x01", "\x80\x00\x00\x00"} {
		body := strings.Repeat("key", 33)
		all = append(all, probe{id: fmt.Sprintf("F.key.%d", i), about: fmt.Sprintf("the masking key %x (§5.3)", key), only: &onServers,
			steps: []step{doSend(txText(body).keyed(key)), mustEnd(rxText(body))}})
	}
	for n := range 17 {
		body := strings.Repeat("0123456789abcdefg", 2)[:n] + "-" + strings.Repeat("x", n)
		all = append(all, probe{id: fmt.Sprintf("F.align.%d", n), about: "frames of growing size in one piece: the masking key begins anew with each (§5.3)",
			steps: []step{doSend(txText(body).part(), txMore(body[:n]).part(), txPing(body[:n/2]), txMore(body)), mustEnd(rxPong(body[:n/2]), rxText(body+body[:n]+body))}})
	}
	return all
}

func lengthProbes() []probe {
	var all []probe
	for _, op := range knownOpcodes {
		for _, c := range []struct {
			form int
			n    int
			ok   bool
		}{
			{7, 0, true}, {7, 2, true}, {7, 125, true}, {16, 0, false}, {16, 2, false}, {16, 125, false}, {16, 126, true}, {16, 65535, true},
			{64, 0, false}, {64, 125, false}, {64, 126, false}, {64, 65535, false}, {64, 65536, true},
		} {
			body := repeated("n", c.n)
			if op == 8 && c.n >= 2 {
				copy(body, "\x03\xe8")
			}
			f := tx(op, body).inForm(c.form)
			var steps []step
			switch {
			case op == 0:
				steps = []step{doSend(txText("").part(), f), mustEnd(rxText(string(body)))}
			case op < 8:
				steps = []step{doSend(f), mustEnd(rxMessage(op, string(body)))}
			case op == 8 && c.n == 0:
				steps = []step{doSend(f), mustEcho(0)}
			case op == 8:
				steps = []step{doSend(f), mustEcho(1000)}
			case op == 9:
				steps = []step{doSend(f), mustEnd(rxPong(string(body)))}
			default:
				steps = []step{doSend(f), mustEnd()}
			}
			if !c.ok || op >= 8 && c.n > 125 {
				steps[len(steps)-1] = mustFail(1002)
			}
			all = append(all, probe{id: fmt.Sprintf("F.length.%d.%d.%d", op, c.form, c.n),
				about: fmt.Sprintf("opcode %d with %d bytes announced in %d bits (§5.2, §5.5)", op, c.n, c.form), steps: steps})
		}
		for i, n := range []uint64{1 << 63, 1<<64 - 1, 1<<63 | 5, 1<<63 - 1, 1 << 62, 1 << 32, 1<<32 + 5} {
			end := mustFail(1009)
			if n >= 1<<63 && op < 8 {
				end = mustFailOr(1002, 1009)
			} else if op >= 8 {
				end = mustFail(1002)
			}
			before := doSend()
			if op == 0 {
				before = doSend(txText("").part())
			}
			all = append(all, probe{id: fmt.Sprintf("F.claim.%d.%d", op, i), about: fmt.Sprintf("opcode %d announces %d bytes: refused by the header (§5.2, §10.4)", op, n),
				steps: []step{before, doSend(tx(op, nil).inForm(64).announcing(n)), end}})
		}
	}
	return all
}

// closeProbes is group C: status codes and reasons (§5.5.1, §7.4).
func closeProbes() []probe {
	reasons := []struct {
		name, text string
		code       int // 0: the close is good
	}{
		{"none", "", 0}, {"ascii", "going away", 0}, {"utf8", "größer als € und 𝄞", 0}, {"cut", "gr\xc3", 1007}, {"bad", "a\xffb", 1007},
		{"123", strings.Repeat("r", 123), 0}, {"123utf8", strings.Repeat("€", 41), 0}, {"123cut", strings.Repeat("r", 121) + "\xe2\x82", 1007}, {"124", strings.Repeat("r", 124), 1002},
	}
	var all []probe
	add := func(code int, name, about string, steps ...step) {
		all = append(all, probe{id: fmt.Sprintf("C.%d.%s", code, name), about: fmt.Sprintf("close with the code %d and %s", code, about), steps: steps})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4998, 4999} {
		for _, r := range reasons {
			end := mustEcho(code)
			if r.code != 0 {
				end = mustFail(r.code)
			}
			add(code, r.name, fmt.Sprintf("the reason %q (§5.5.1, §7.4)", r.text), doSend(txClose(code, r.text)), end)
		}
	}
	for _, code := range []int{0, 1, 2, 10, 100, 125, 126, 127, 128, 255, 256, 500, 998, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 1500, 1999, 2000, 2001,
		2500, 2998, 2999, 5000, 5001, 9999, 10000, 32767, 32768, 65534, 65535} {
		for _, r := range reasons[:2] {
			add(code, r.name, fmt.Sprintf("the reason %q (§7.4)", r.text), doSend(txClose(code, r.text)), mustFail(1002))
		}
		add(code, "later", "a fragment before it (§5.4, §7.4)", doSend(txText("fragment").part(), txClose(code, "")), mustFail(1002))
	}
	for _, b := range []byte{0, 3, 0x81, 0xff} {
		all = append(all, probe{id: fmt.Sprintf("C.byte.%d", b), about: fmt.Sprintf("a Close frame of the one byte %02x (§5.5.1)", b),
			steps: []step{doSend(tx(8, []byte{b})), mustFail(1002)}})
	}
	return append(all,
		probe{id: "C.pending", about: "a ping and a Close frame at once: the pong, then the Close (§5.5.2)", steps: []step{doSend(txPing("p"), txClose(1000, "")), mustEcho(1000, rxPong("p"))}},
		probe{id: "C.echoes", about: "three messages and a Close frame at once (§5.5.1)",
			steps: []step{doSend(txText("a"), txBinary("b"), txText("c"), txClose(1001, "")), mustEcho(1001, rxText("a"), rxBinary("b"), rxText("c"))}},
		probe{id: "C.octets", about: "a Close frame byte by byte (§5.5.1)", steps: []step{doChops(1, txClose(3000, "reason")), mustEcho(3000)}},
		probe{id: "C.silent", about: "the stream ends without a Close frame (§7.1.5)", steps: []step{doSend(txText("a")), mustGet(rxText("a")), doDrop(0), mustDropQuietly()}})
}

// streamProbes is group S: where the bytes of a conversation are cut, and where
// it ends.
func streamProbes() []probe {
	var all []probe
	for _, n := range []int{0, 5, 126, 1000, 65536} {
		f, back := tx(2, repeated("cut", n)), rxBinary(string(repeated("cut", n)))
		for at := 1; at <= 14 && at <= n+2; at++ {
			all = append(all, probe{id: fmt.Sprintf("S.cut.%d.%d", n, at), about: fmt.Sprintf("a message of %d bytes whose frame arrives in two pieces, the first of %d bytes (§5.2)", n, at),
				steps: []step{doCut(at, f), mustEnd(back)}})
		}
	}
	for at := 1; at < 6; at++ {
		all = append(all, probe{id: fmt.Sprintf("S.cut.more.%d", at), about: "a fragment's frame in two pieces, with a ping before it (§5.4)",
			steps: []step{doSend(txText("one ").part(), txPing("p")), doCut(at, txMore("two three")), mustEnd(rxPong("p"), rxText("one two three"))}})
	}
	all = append(all, dropProbes()...)
	many, back := []wireFrame{}, []rxEvent{}
	for i := range 100 {
		s := strings.Repeat(fmt.Sprint(i), i)
		many, back = append(many, txText(s)), append(back, rxText(s))
	}
	r := rand.New(rand.NewPCG(6455, 5))
	var odd []wireFrame
	var oddBack []rxEvent
	for range 40 {
		s := string(repeated("odd", r.IntN(300)))
		at := r.IntN(len(s) + 1)
		odd = append(odd, txText(s[:at]).part(), txPong("?"), txPing(s[:min(at, 125)]), txMore(s[at:]))
		oddBack = append(oddBack, rxPong(s[:min(at, 125)]), rxText(s))
	}
	all = append(all,
		probe{id: "S.many", about: "100 messages in one piece (§6.2)", steps: []step{doSend(many...), mustEnd(back...)}},
		probe{id: "S.odd", about: "40 fragmented messages with pings in one piece (§5.4)", steps: []step{doSend(odd...), mustEnd(oddBack...)}})
	for _, n := range []int{1, 2, 3, 7, 13, 97, 4096} {
		all = append(all, probe{id: fmt.Sprintf("S.chops.%d", n), about: fmt.Sprintf("the same in pieces of %d bytes (§5.4)", n), steps: []step{doChops(n, odd...), mustEnd(oddBack...)}})
	}
	return append(all,
		probe{id: "S.early", about: "a frame in the same segment as the opening handshake (§4.2.2)", early: []wireFrame{txText("early")}, steps: []step{mustEnd(rxText("early"))}},
		probe{id: "S.early.more", about: "a conversation in the same segment as the opening handshake (§4.2.2)", early: odd, steps: []step{mustEnd(oddBack...)}})
}

// dropProbes ends the stream after each byte of a conversation: what was whole is
// answered, the rest is not.
func dropProbes() []probe {
	var all []probe
	parts := []wireFrame{txText("frag").part(), txPing("p"), txMore("ment")}
	deflated := []wireFrame{tx(1, []byte("\xf2\x48\xcd")).bits(4).part(), txPing("p"), tx(0, []byte("\xc9\xc9\x07\x00"))}
	for _, side := range []*probeSide{&onServers, &onClients} {
		mask := 4
		if *side == probedClient {
			mask = 0
		}
		for kind, frames := range map[string][]wireFrame{"plain": parts, "deflated": deflated} {
			whole, total := 0, 0
			for i, f := range frames {
				total += 2 + mask + len(f.payload)
				if i < 2 {
					whole = total
				}
			}
			for n := 1; n < total; n++ {
				var ext []pmd
				if kind == "deflated" {
					ext = plainDeflate
				}
				end := mustDropQuietly()
				if n >= whole {
					end = mustDropQuietly(rxPong("p"))
				}
				all = append(all, probe{id: fmt.Sprintf("S.drop.%s.%d.%d", kind, *side, n), only: side, ext: ext,
					about: fmt.Sprintf("the stream ends after %d of %d bytes of a fragmented message with a ping: no half message comes back (§7.1.5)", n, total),
					steps: []step{doDrop(n, frames...), end}})
			}
		}
	}
	return all
}

// textProbes is group U: UTF-8 as it arrives (§8.1).
func textProbes() []probe {
	var all []probe
	bad := []struct{ good, bad string }{ // the last byte of bad cannot stand there
		{"", "\x80"}, {"", "\xc0"}, {"", "\xc1"}, {"", "\xf5"}, {"", "\xff"}, {"abc", "\xfe"}, {"a", "\xc3("}, {"a", "\xe0\x9f"}, {"a", "\xe2("}, {"a", "\xe2\x82("},
		{"a", "\xed\xa0"}, {"a", "\xf0\x8f"}, {"a", "\xf0\x9d("}, {"a", "\xf0\x9d\x84("}, {"a", "\xf4\x90"}, {"€𝄞", "\xbf"}, {"a", "\xc3\xc3"}, {"a", "\xef\xbf\xc0"},
	}
	for i, c := range bad {
		text := c.good + c.bad
		about := fmt.Sprintf("text %x fails at its last byte ", text)
		all = append(all,
			probe{id: fmt.Sprintf("U.fragment.%d", i), about: about + "in a first fragment (§8.1)", steps: []step{doSend(txText(text).part()), mustFail(1007)}},
			probe{id: fmt.Sprintf("U.frame.%d", i), about: about + "in a frame that has more to come (§8.1)", steps: []step{doBegin(txText(text+"more"), len(text)), mustFail(1007)}},
			probe{id: fmt.Sprintf("U.octets.%d", i), about: about + "in a frame sent byte by byte (§8.1)",
				steps: []step{doBegin(txText(text+"more"), 0), doMore(len(text) - 1), mustStaySilent, doMore(1), mustFail(1007)}},
			probe{id: fmt.Sprintf("U.split.%d", i), about: about + "in fragments of a byte (§8.1)",
				steps: []step{doFrames(unended(text[:len(text)-1])...), mustBeIdle, doSend(continuing(text)), mustFail(1007)}})
	}
	const good = "aé€𝄞z\x00\uffff"
	for at := range len(good) {
		all = append(all,
			probe{id: fmt.Sprintf("U.cut.%d", at), about: "UTF-8 in two fragments with a ping between (§5.6)",
				steps: []step{doSend(txText(good[:at]).part(), txPing(""), txMore(good[at:])), mustEnd(rxPong(""), rxText(good))}},
			probe{id: fmt.Sprintf("U.pieces.%d", at), about: "UTF-8 in two pieces of a frame (§5.6)", steps: []step{doBegin(txText(good), at), mustStaySilent, doRest, mustEnd(rxText(good))}})
	}
	for i, s := range []string{"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9d", "\xf0\x9d\x84", "ascii \xe2\x82"} {
		all = append(all,
			probe{id: fmt.Sprintf("U.end.%d", i), about: "text that ends inside a character (§8.1)", steps: []step{doSend(txText(s)), mustFail(1007)}},
			probe{id: fmt.Sprintf("U.late.%d", i), about: "a fragment may end inside a character, the message may not (§5.6, §8.1)",
				steps: []step{doSend(txText(s).part()), mustBeIdle, doSend(txMore("")), mustFail(1007)}})
	}
	for _, at := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 65535, 65536} {
		text := strings.Repeat("x", at)
		all = append(all,
			probe{id: fmt.Sprintf("U.after.%d", at), about: fmt.Sprintf("a bad byte after %d of ASCII (§8.1)", at), steps: []step{doSend(txText(text + "\xc0" + strings.Repeat("y", 20))), mustFail(1007)}},
			probe{id: fmt.Sprintf("U.good.%d", at), about: fmt.Sprintf("a character of four bytes after %d of ASCII (§5.6)", at), steps: []step{doSend(txText(text + "𝄞" + text)), mustEnd(rxText(text + "𝄞" + text))}})
	}
	return append(all,
		probe{id: "U.binary", about: "binary data is not text (§5.6)", steps: []step{doSend(txBinary("\xff\xc0\x80").part(), txMore("\xfe")), mustEnd(rxBinary("\xff\xc0\x80\xfe"))}},
		probe{id: "U.ping", about: "a ping inside text is not text (§5.5.2)", steps: []step{doSend(txText("é\xc3").part(), txPing("\xff"), txMore("\xa9")), mustEnd(rxPong("\xff"), rxText("éé"))}},
		probe{id: "U.fresh", about: "a message begins without what the last one was about (§5.6)", steps: []step{doSend(txBinary("\xe2\x82"), txText("ok"), txBinary("\xe2"), txText("€")),
			mustEnd(rxBinary("\xe2\x82"), rxText("ok"), rxBinary("\xe2"), rxText("€"))}})
}

// unended is a text message in fragments of a byte whose last is still to come.
func unended(s string) []wireFrame {
	var all []wireFrame
	for i := range len(s) {
		f := txMore(s[i : i+1]).part()
		if i == 0 {
			f.op = 1
		}
		all = append(all, f)
	}
	return all
}

// continuing is the frame with the last byte of a text message in such fragments.
func continuing(s string) wireFrame {
	all := unended(s)
	return all[len(all)-1]
}

// controlProbes is group P: pings and pongs (§5.5.2, §5.5.3).
func controlProbes() []probe {
	var all []probe
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 63, 64, 124, 125} {
		s := string(repeated("\x00\xffping", n))
		all = append(all,
			probe{id: fmt.Sprintf("P.ping.%d", n), about: fmt.Sprintf("a ping of %d bytes (§5.5.2)", n), steps: []step{doSend(txPing(s)), mustEnd(rxPong(s))}},
			probe{id: fmt.Sprintf("P.pong.%d", n), about: fmt.Sprintf("a pong of %d bytes nobody asked for (§5.5.3)", n), steps: []step{doSend(txPong(s)), mustBeIdle, mustEnd()}})
	}
	var sixteen, train []wireFrame
	var pongs, trainBack []rxEvent
	whole := ""
	for i := range 16 {
		s := fmt.Sprintf("ping %d", i)
		sixteen, pongs = append(sixteen, txPing(s)), append(pongs, rxPong(s))
		train, trainBack, whole = append(train, txMore(s).part(), txPong("x"), txPing(s)), append(trainBack, rxPong(s)), whole+s
	}
	train[0].op = 1
	train = append(train, txMore("."))
	all = append(all,
		probe{id: "P.sixteen", about: "16 pings at once, 16 pongs in order (§5.5.3)", steps: []step{doSend(sixteen...), mustEnd(pongs...)}},
		probe{id: "P.train", about: "pings and pongs after each of 16 fragments (§5.4)", steps: []step{doSend(train...), mustEnd(append(trainBack, rxText(whole+"."))...)}},
		probe{id: "P.newest", about: "3,000 different pings to a peer that does not read for now: pongs in order, the newest among them (§5.5.3)",
			steps: []step{doManyPings(3000), doNotRead, mustPongInOrder(3000), mustBeIdle, mustEnd()}},
		probe{id: "P.unread", about: "large messages and pings to a peer that does not read for now: every echo comes (§5.5.3)",
			steps: []step{doLargeAndPings(40), doNotRead, mustGetLarge(40), mustEnd()}})
	return all
}

func doManyPings(n int) step {
	return func(p *prober) error {
		var b []byte
		for i := range n {
			b = p.append(b, txPing(fmt.Sprintf("%0120d", i)))
		}
		p.write(b)
		return nil
	}
}

// mustPongInOrder wants pongs with growing numbers, of which the last is n-1.
func mustPongInOrder(n int) step {
	return func(p *prober) error {
		last := -1
		for last < n-1 {
			e, err := p.next()
			if err != nil {
				return err
			}
			var i int
			if _, err := fmt.Sscanf(string(e.data), "%d", &i); e.kind != "pong" || err != nil || i <= last {
				return failed("%v after the pong %d", e, last)
			}
			last = i
		}
		return nil
	}
}

func doLargeAndPings(n int) step {
	return func(p *prober) error {
		for i := range n {
			p.sendAll([]wireFrame{tx(2, repeated(string([]byte{byte(i)}), 100000)), txPing(fmt.Sprint(i))})
		}
		return nil
	}
}

func mustGetLarge(n int) step {
	return func(p *prober) error {
		for i := 0; i < n; {
			e, err := p.next()
			switch {
			case err != nil:
				return err
			case e.kind == "pong":
			case !e.same(rxBinary(string(repeated(string([]byte{byte(i)}), 100000)))):
				return failed("%v, want message %d", e, i)
			default:
				i++
			}
		}
		p.sendAll([]wireFrame{txText("last")})
		for { // pongs may still be under way
			e, err := p.next()
			switch {
			case err != nil:
				return err
			case e.same(rxText("last")):
				return nil
			case e.kind != "pong":
				return failed("%v, want the last echo", e)
			}
		}
	}
}

package judge

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
	bad := f.rsv != 0 || !known(f.op) || f.op >= 8 && !f.fin || f.op < 8 && inside != (f.op == 0)
	unfinished := []step{mustBeIdle, doSend(txMore("!")), mustEnd(rxText(begun + "!"))}
	switch {
	case bad:
	case f.op < 8 && !f.fin:
		return []step{mustBeIdle, doSend(txMore("!")), mustEnd(rxMessage(f.op, begun+"body!"))}
	case f.op < 8:
		return []step{mustEnd(rxMessage(f.op, begun+"body"))}
	case f.op == 9 && inside:
		return append([]step{mustGet(rxPong("body"))}, unfinished...)
	case f.op == 10 && inside:
		return unfinished
	}
	return []step{frameEnd(f.op, "body", bad)}
}

// frameCases is groups x.frame, x.mask and x.length: opcodes, bits, masks and lengths at every place.
func frameCases() []Case {
	var all []Case
	for op := range byte(16) {
		for _, fin := range []bool{true, false} {
			for rsv := range byte(8) {
				f := frameOf(op, fin, rsv)
				all = append(all, newCase(fmt.Sprintf("x.frame.start.%d.%t.%d", op, fin, rsv), fmt.Sprintf("opcode %d, FIN %t, RSV %03b as the first frame (§5.2, §5.4, §5.5)", op, fin, rsv), slices.Concat([]step{doSend(f)}, legalFrame(f, false, ""))...))
			}
			f := frameOf(op, fin, 0)
			about := fmt.Sprintf("opcode %d, FIN %t ", op, fin)
			id := func(place string) string { return fmt.Sprintf("x.frame.%s.%d.%t", place, op, fin) }
			all = append(all,
				newCase(id("inside"), about+"inside a fragmented message (§5.4)", slices.Concat([]step{doSend(txText("begun ").part(), f)}, legalFrame(f, true, "begun "))...),
				newCase(id("deep"), about+"after two fragments and a ping (§5.4)", slices.Concat([]step{doSend(txText("beg").part(), txMore("un ").part(), txPing("p"), f), mustGet(rxPong("p"))}, legalFrame(f, true, "begun "))...),
				newCase(id("next"), about+"after a whole message (§5.4)", slices.Concat([]step{doSend(txText("a").part(), txMore("b"), f), mustGet(rxText("ab"))}, legalFrame(f, false, ""))...),
				newCase(id("closed"), about+"after a Close frame is ignored (§5.5.1)", doSend(txClose(1000, ""), f), mustEcho(1000)))
		}
	}
	all = append(all, maskCases()...)
	return append(all, lengthCases()...)
}

func maskCases() []Case {
	var all []Case
	for _, op := range knownOpcodes {
		for _, size := range []int{0, 4, 200, 70000} {
			if op >= 8 && size > 125 {
				continue
			}
			f := tx(op, repeated("m", size)).wrongMask()
			if op == 8 && size > 0 {
				f.payload = []byte("\x03\xe8ok")
			}
			all = append(all, newCase(fmt.Sprintf("x.mask.wrong.%d.%d", op, size), fmt.Sprintf("opcode %d of %d bytes, masked as the other side masks (§5.1)", op, size), before(op), doSend(f), mustFail(1002)))
		}
	}
	for i, key := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x01", "\x80\x00\x00\x00"} {
		body := strings.Repeat("key", 33)
		all = append(all, newCase(fmt.Sprintf("x.mask.key.%d", i), fmt.Sprintf("the masking key %x (§5.3)", key),
			doSend(txText(body).keyed(key)), mustEnd(rxText(body))).of(ServerSide))
	}
	for n := range 17 {
		body := strings.Repeat("0123456789abcdefg", 2)[:n] + "-" + strings.Repeat("x", n)
		all = append(all, newCase(fmt.Sprintf("x.mask.align.%d", n), "frames of growing size in one piece: the masking key begins anew with each (§5.3)", doSend(txText(body).part(), txMore(body[:n]).part(), txPing(body[:n/2]), txMore(body)), mustEnd(rxPong(body[:n/2]), rxText(body+body[:n]+body))))
	}
	return all
}

func lengthCases() []Case {
	var all []Case
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
			bad := !c.ok || op >= 8 && c.n > 125
			all = append(all, newCase(fmt.Sprintf("x.length.form.%d.%d.%d", op, c.form, c.n), fmt.Sprintf("opcode %d with %d bytes announced in %d bits (§5.2, §5.5)", op, c.n, c.form),
				before(op), doSend(f), frameEnd(op, string(body), bad)).openIf(!c.ok && (op < 8 || c.n <= 125)))
		}
		for i, n := range []uint64{1 << 63, 1<<64 - 1, 1<<63 | 5, 1<<63 - 1, 1 << 62, 1 << 32, 1<<32 + 5} {
			end := mustFail(1009)
			if n >= 1<<63 && op < 8 {
				end = mustFailBy([]int{1002, 1009})
			} else if op >= 8 {
				end = mustFail(1002)
			}
			all = append(all, newCase(fmt.Sprintf("x.length.claim.%d.%d", op, i), fmt.Sprintf("opcode %d announces %d bytes: refused by the header (§5.2, §10.4)", op, n), before(op), doSend(tx(op, nil).inForm(64).announcing(n)), end).openIf(op < 8 && n < 1<<63))
		}
	}
	return all
}

// before begins an empty text where a continuation is to follow.
func before(op byte) step {
	if op == 0 {
		return doSend(txText("").part())
	}
	return doSend()
}

// frameEnd is what must follow a frame with this body.
func frameEnd(op byte, body string, bad bool) step {
	switch {
	case bad:
		return mustFail(1002)
	case op < 8:
		return mustEnd(rxMessage(op, body))
	case op == 8 && body == "":
		return mustEcho(0)
	case op == 8:
		return mustEcho(1000)
	case op == 9:
		return mustEnd(rxPong(body))
	}
	return mustEnd()
}

// closeCases is group x.close: status codes and reasons (§5.5.1, §7.4).
func closeCases() []Case {
	reasons := []struct {
		name, text string
		code       int // 0: the close is good
	}{
		{"none", "", 0}, {"ascii", "going away", 0}, {"utf8", "größer als € und 𝄞", 0}, {"cut", "gr\xc3", 1007}, {"bad", "a\xffb", 1007},
		{"123", strings.Repeat("r", 123), 0}, {"123utf8", strings.Repeat("€", 41), 0}, {"123cut", strings.Repeat("r", 121) + "\xe2\x82", 1007}, {"124", strings.Repeat("r", 124), 1002},
	}
	var all []Case
	add := func(open bool, code int, name, about string, steps ...step) {
		all = append(all, newCase(fmt.Sprintf("x.close.%d.%s", code, name), fmt.Sprintf("close with the code %d and %s", code, about), steps...).openIf(open))
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4998, 4999} {
		for _, r := range reasons {
			end := mustEcho(code)
			if r.code != 0 {
				end = mustFailBy([]int{r.code, 1002})
			}
			young := code >= 1012 && code <= 1014 // than the RFC
			add(young && r.code == 0, code, r.name, fmt.Sprintf("the reason %q (§5.5.1, §7.4)", r.text), doSend(txClose(code, r.text)), end)
		}
	}
	for _, code := range []int{0, 1, 2, 10, 100, 125, 126, 127, 128, 255, 256, 500, 998, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 1500, 1999, 2000, 2001,
		2500, 2998, 2999, 5000, 5001, 9999, 10000, 32767, 32768, 65534, 65535} {
		for _, r := range reasons[:2] {
			add(code >= 5000, code, r.name, fmt.Sprintf("the reason %q (§7.4)", r.text), doSend(txClose(code, r.text)), mustFail(1002))
		}
		add(code >= 5000, code, "later", "a fragment before it (§5.4, §7.4)", doSend(txText("fragment").part(), txClose(code, "")), mustFail(1002))
	}
	for _, b := range []byte{0, 3, 0x81, 0xff} {
		all = append(all, newCase(fmt.Sprintf("x.close.byte.%d", b), fmt.Sprintf("a Close frame of the one byte %02x (§5.5.1)", b), doSend(tx(8, []byte{b})), mustFail(1002)))
	}
	return append(all,
		newCase("x.close.pending", "a ping and a Close frame at once: the pong, then the Close (§5.5.2)", doSend(txPing("p"), txClose(1000, "")), mustEcho(1000, rxPong("p"))),
		newCase("x.close.echoes", "three messages and a Close frame at once (§5.5.1)", doSend(txText("a"), txBinary("b"), txText("c"), txClose(1001, "")), mustEcho(1001, rxText("a"), rxBinary("b"), rxText("c"))),
		newCase("x.close.octets", "a Close frame byte by byte (§5.5.1)", doChops(1, txClose(3000, "reason")), mustEcho(3000)),
		newCase("x.close.silent", "the stream ends without a Close frame (§7.1.5)", doSend(txText("a")), mustGet(rxText("a")), doDrop(0), mustDropQuietly()))
}

// streamCases is group x.cut: where the bytes of a conversation are cut, and where
// it ends.
func streamCases() []Case {
	var all []Case
	for _, n := range []int{0, 5, 126, 1000, 65536} {
		f, back := tx(2, repeated("cut", n)), rxBinary(string(repeated("cut", n)))
		for at := 1; at <= 14 && at <= n+2; at++ {
			all = append(all, newCase(fmt.Sprintf("x.cut.frame.%d.%d", n, at), fmt.Sprintf("a message of %d bytes whose frame arrives in two pieces, the first of %d bytes (§5.2)", n, at), doCut(at, f), mustEnd(back)))
		}
	}
	for at := 1; at < 6; at++ {
		all = append(all, newCase(fmt.Sprintf("x.cut.frame.more.%d", at), "a fragment's frame in two pieces, with a ping before it (§5.4)", doSend(txText("one ").part(), txPing("p")), doCut(at, txMore("two three")), mustEnd(rxPong("p"), rxText("one two three"))))
	}
	all = append(all, dropCases()...)
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
		newCase("x.cut.many", "100 messages in one piece (§6.2)", doSend(many...), mustEnd(back...)),
		newCase("x.cut.odd", "40 fragmented messages with pings in one piece (§5.4)", doSend(odd...), mustEnd(oddBack...)))
	for _, n := range []int{1, 2, 3, 7, 13, 97, 4096} {
		all = append(all, newCase(fmt.Sprintf("x.cut.chops.%d", n), fmt.Sprintf("the same in pieces of %d bytes (§5.4)", n), doChops(n, odd...), mustEnd(oddBack...)))
	}
	return append(all,
		newCase("x.cut.early", "a frame in the same segment as the opening handshake (§4.2.2)", mustEnd(rxText("early"))).early(txText("early")).of(ClientSide),
		newCase("x.cut.early", "a frame in the same segment as the opening handshake, which no client may send (§4.1)", mustEnd(rxText("early"))).early(txText("early")).of(ServerSide).openIf(true),
		newCase("x.cut.early.more", "a conversation in the same segment as the opening handshake (§4.2.2)", mustEnd(oddBack...)).early(odd...).of(ClientSide))
}

// dropCases ends the stream after each byte of a conversation: what was whole is
// answered, the rest is not.
func dropCases() []Case {
	var all []Case
	parts := []wireFrame{txText("frag").part(), txPing("p"), txMore("ment")}
	deflated := []wireFrame{tx(1, []byte("\xf2\x48\xcd")).bits(4).part(), txPing("p"), tx(0, []byte("\xc9\xc9\x07\x00"))}
	for _, side := range []Side{ServerSide, ClientSide} {
		mask := 4
		if side == ClientSide {
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
				all = append(all, newCase(fmt.Sprintf("x.cut.drop.%s.%d.%d", kind, side, n),
					fmt.Sprintf("the stream ends after %d of %d bytes of a fragmented message with a ping: no half message comes back (§7.1.5)", n, total),
					doDrop(n, frames...), end).of(side).asking(ext...))
			}
		}
	}
	return all
}

// textCases is group x.text: UTF-8 as it arrives (§8.1).
func textCases() []Case {
	var all []Case
	bad := []struct{ good, bad string }{ // the last byte of bad cannot stand there
		{"", "\x80"}, {"", "\xc0"}, {"", "\xc1"}, {"", "\xf5"}, {"", "\xff"}, {"abc", "\xfe"}, {"a", "\xc3("}, {"a", "\xe0\x9f"}, {"a", "\xe2("}, {"a", "\xe2\x82("},
		{"a", "\xed\xa0"}, {"a", "\xf0\x8f"}, {"a", "\xf0\x9d("}, {"a", "\xf0\x9d\x84("}, {"a", "\xf4\x90"}, {"€𝄞", "\xbf"}, {"a", "\xc3\xc3"}, {"a", "\xef\xbf\xc0"},
	}
	for i, c := range bad {
		text := c.good + c.bad
		octets, last := octetFragments(text+"?"), len(text)-1 // and "?" is never sent
		about := fmt.Sprintf("text %x fails at its last byte ", text)
		all = append(all,
			newCase(fmt.Sprintf("x.text.fragment.%d", i), about+"in a first fragment (§8.1)", doSend(txText(text).part()), mustFailFast(1007, doSend(txMore("")))),
			newCase(fmt.Sprintf("x.text.frame.%d", i), about+"in a frame that has more to come (§8.1)", doBegin(txText(text+"more"), len(text)), mustFailFast(1007, doRest)),
			newCase(fmt.Sprintf("x.text.octets.%d", i), about+"in a frame sent byte by byte (§8.1)", doBegin(txText(text+"more"), 0), doMore(last), mustStaySilent, doMore(1), mustFailFast(1007, doRest)),
			newCase(fmt.Sprintf("x.text.split.%d", i), about+"in fragments of a byte (§8.1)", doFrames(octets[:last]...), mustBeIdle, doSend(octets[last]), mustFailFast(1007, doSend(txMore("")))))
	}
	const good = "aé€𝄞z\x00\uffff"
	for at := range len(good) {
		all = append(all,
			newCase(fmt.Sprintf("x.text.cut.%d", at), "UTF-8 in two fragments with a ping between (§5.6)", doSend(txText(good[:at]).part(), txPing(""), txMore(good[at:])), mustEnd(rxPong(""), rxText(good))),
			newCase(fmt.Sprintf("x.text.pieces.%d", at), "UTF-8 in two pieces of a frame (§5.6)", doBegin(txText(good), at), mustStaySilent, doRest, mustEnd(rxText(good))))
	}
	for i, s := range []string{"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9d", "\xf0\x9d\x84", "ascii \xe2\x82"} {
		all = append(all,
			newCase(fmt.Sprintf("x.text.end.%d", i), "text that ends inside a character (§8.1)", doSend(txText(s)), mustFail(1007)),
			newCase(fmt.Sprintf("x.text.late.%d", i), "a fragment may end inside a character, the message may not (§5.6, §8.1)", doSend(txText(s).part()), mustBeIdle, doSend(txMore("")), mustFail(1007)))
	}
	for _, at := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 65535, 65536} {
		text := strings.Repeat("x", at)
		all = append(all,
			newCase(fmt.Sprintf("x.text.after.%d", at), fmt.Sprintf("a bad byte after %d of ASCII (§8.1)", at), doSend(txText(text+"\xc0"+strings.Repeat("y", 20))), mustFail(1007)),
			newCase(fmt.Sprintf("x.text.good.%d", at), fmt.Sprintf("a character of four bytes after %d of ASCII (§5.6)", at), doSend(txText(text+"𝄞"+text)), mustEnd(rxText(text+"𝄞"+text))))
	}
	return append(all,
		newCase("x.text.binary", "binary data is not text (§5.6)", doSend(txBinary("\xff\xc0\x80").part(), txMore("\xfe")), mustEnd(rxBinary("\xff\xc0\x80\xfe"))),
		newCase("x.text.ping", "a ping inside text is not text (§5.5.2)", doSend(txText("é\xc3").part(), txPing("\xff"), txMore("\xa9")), mustEnd(rxPong("\xff"), rxText("éé"))),
		newCase("x.text.fresh", "a message begins without what the last one was about (§5.6)", doSend(txBinary("\xe2\x82"), txText("ok"), txBinary("\xe2"), txText("€")),
			mustEnd(rxBinary("\xe2\x82"), rxText("ok"), rxBinary("\xe2"), rxText("€"))))
}

package judge

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The cases of Autobahn's catalogue under its numbers, judged as it judges them.

const (
	hello      = "Hello, world!"
	eightBytes = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
)

// threeWays is a conversation whose frames go out in one piece, frame by frame
// and byte by byte, under three consecutive numbers.
func threeWays(section string, first int, about string, frames []wireFrame, end step) []Case {
	number := func(i int) string { return fmt.Sprintf("%s.%d", section, first+i) }
	return []Case{
		newCase(number(0), about+", sent in one piece", doSend(frames...), end),
		newCase(number(1), about+", sent frame by frame", doFrames(frames...), end),
		newCase(number(2), about+", sent byte by byte", doChops(1, frames...), end),
	}
}

func framing() []Case {
	var all []Case
	for sub, op := range []byte{1, 2} {
		fill, kind := "*", "text"
		if op == 2 {
			fill, kind = "\xfe", "binary"
		}
		for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536, 65536} {
			body := []byte(strings.Repeat(fill, n))
			send := doSend(tx(op, body))
			if i == 7 {
				send = doChops(997, tx(op, body))
			}
			all = append(all, newCase(fmt.Sprintf("1.%d.%d", sub+1, i+1), fmt.Sprintf("a %s message of %d bytes comes back (§5.2, §5.6)", kind, n), send, mustEnd(rxEvent{kind: kind, data: body})))
		}
	}
	all = append(all, pings()...)
	all = append(all, reserved()...)
	return append(all, fragmented()...)
}

func pings() []Case {
	long := strings.Repeat("\xfe", 125)
	var ten []wireFrame
	var tenBack []rxEvent
	for i := range 10 {
		s := fmt.Sprintf("payload-%d", i)
		ten, tenBack = append(ten, txPing(s)), append(tenBack, rxPong(s))
	}
	return []Case{
		newCase("2.1", "a ping without payload is answered (§5.5.2)", doSend(txPing("")), mustEnd(rxPong(""))),
		newCase("2.2", "a ping is answered with its payload (§5.5.3)", doSend(txPing(hello)), mustEnd(rxPong(hello))),
		newCase("2.3", "a ping with 8 bytes that are not text", doSend(txPing(eightBytes)), mustEnd(rxPong(eightBytes))),
		newCase("2.4", "a ping of 125 bytes, the most there is (§5.5)", doSend(txPing(long)), mustEnd(rxPong(long))),
		newCase("2.5", "a ping of 126 bytes fails the connection (§5.5)", doSend(txPing(long+"\xfe")), mustFail(1002)),
		newCase("2.6", "a ping of 125 bytes, sent byte by byte", doChops(1, txPing(long)), mustEnd(rxPong(long))),
		newCase("2.7", "a pong nobody asked for, without payload, has no answer (§5.5.3)", doSend(txPong("")), mustEnd()),
		newCase("2.8", "a pong nobody asked for has no answer (§5.5.3)", doSend(txPong("unsolicited pong payload")), mustEnd()),
		newCase("2.9", "a pong nobody asked for, then a ping", doFrames(txPong("unsolicited pong payload"), txPing("ping payload")), mustEnd(rxPong("ping payload"))),
		newCase("2.10", "ten pings, ten pongs in order", doFrames(ten...), mustEnd(tenBack...)),
		newCase("2.11", "ten pings byte by byte, ten pongs in order", doChops(1, ten...), mustEnd(tenBack...)),
	}
}

// reserved is sections 3 and 4: RSV bits and opcodes that mean nothing.
func reserved() []Case {
	bad := func(f wireFrame) []wireFrame { return []wireFrame{txText(hello), f, txPing("")} }
	after := mustFail(1002, rxText(hello))
	rsv := func(n byte) wireFrame { return txText(hello).bits(n) }
	all := []Case{
		newCase("3.1", "text with RSV 1 (§5.2)", doSend(rsv(1)), mustFail(1002)),
		newCase("3.2", "text, text with RSV 2, ping: one echo, no pong (§5.2)", doSend(bad(rsv(2))...), after),
		newCase("3.3", "text, text with RSV 3, ping, frame by frame (§5.2)", doFrames(bad(rsv(3))...), after),
		newCase("3.4", "text, text with RSV 4, ping, byte by byte (§5.2)", doChops(1, bad(rsv(4))...), after),
		newCase("3.5", "binary with RSV 5 (§5.2)", doSend(txBinary(eightBytes).bits(5)), mustFail(1002)),
		newCase("3.6", "binary with RSV 6 (§5.2)", doSend(txBinary(hello).bits(6)), mustFail(1002)),
		newCase("3.7", "close with RSV 7 (§5.2)", doSend(tx(8, nil).bits(7)), mustFail(1002)),
	}
	for sub, first := range []byte{3, 11} {
		op := func(i byte, payload string) wireFrame { return tx(first+i, []byte(payload)) }
		for i, steps := range [][]step{
			{doSend(op(0, "")), mustFail(1002)},
			{doSend(op(1, "reserved opcode payload")), mustFail(1002)},
			{doSend(bad(op(2, ""))...), after},
			{doSend(bad(op(3, hello))...), after},
			{doChops(1, bad(op(4, hello))...), after},
		} {
			all = append(all, newCase(fmt.Sprintf("4.%d.%d", sub+1, i+1), fmt.Sprintf("the reserved opcode %d (§5.2)", int(first)+i), steps...))
		}
	}
	return all
}

func fragmented() []Case {
	first, last := txText("fragment1").part(), txMore("fragment2")
	whole, ping := rxText("fragment1fragment2"), txPing("ping payload")
	stray := func(fin bool) []wireFrame {
		f := txMore("non-continuation payload")
		f.fin = fin
		return []wireFrame{f, txText(hello)}
	}
	twice := func(fin bool) []wireFrame {
		f := txMore("fragment1")
		f.fin = fin
		three := []wireFrame{f, txText("fragment2").part(), txMore("fragment3")}
		return append(three, three...)
	}
	all := []Case{
		newCase("5.1", "a ping in two fragments (§5.5)", doFrames(txPing("fragment1").part(), txMore("fragment2")), mustFail(1002)),
		newCase("5.2", "a pong in two fragments (§5.5)", doFrames(txPong("fragment1").part(), txMore("fragment2")), mustFail(1002)),
	}
	all = append(all, threeWays("5", 3, "a text message in two fragments (§5.4)", []wireFrame{first, last}, mustEnd(whole))...)
	all = append(all, threeWays("5", 6, "a ping between two fragments (§5.4)", []wireFrame{first, ping, last}, mustEnd(rxPong("ping payload"), whole))...)
	all = append(all, threeWays("5", 9, "a last continuation of nothing, then text (§5.4)", stray(true), mustFail(1002))...)
	all = append(all, threeWays("5", 12, "a continuation of nothing, then text (§5.4)", stray(false), mustFail(1002))...)
	all = append(all,
		newCase("5.15", "a message in two fragments, a continuation of nothing, a text (§5.4)", doSend(first, last, txMore("fragment3").part(), txText("fragment4")), mustFail(1002, whole)),
		newCase("5.16", "twice: a continuation of nothing with FIN clear, a message in two fragments (§5.4)", doFrames(twice(false)...), mustFail(1002)),
		newCase("5.17", "twice: a continuation of nothing with FIN set, a message in two fragments (§5.4)", doFrames(twice(true)...), mustFail(1002)),
		newCase("5.18", "two fragments, both with opcode text (§5.4)", doSend(first, txText("fragment2")), mustFail(1002)))
	for i, send := range []func(...wireFrame) step{doSend, doFrames} {
		all = append(all, newCase(fmt.Sprintf("5.%d", 19+i), "five fragments with two pings; the first pong comes before the rest is sent (§5.4, §5.5.2)", send(first, last.part(), txPing("pongme 1!")), mustGet(rxPong("pongme 1!")),
			send(txMore("fragment3").part(), txMore("fragment4").part(), txPing("pongme 2!"), txMore("fragment5")),
			mustEnd(rxPong("pongme 2!"), rxText("fragment1fragment2fragment3fragment4fragment5"))))
	}
	return all
}

const kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

// octetFragments is a text message in fragments of a byte.
func octetFragments(s string) []wireFrame { return fragments(1, 0, []byte(s), 1) }

// texts is section 6.
func texts() []Case {
	const mixed = "Hello-µ@ßöäüàá-UTF-8!!"
	bad := kosme + "\xed\xa0\x80" + "edited"
	all := []Case{
		newCase("6.1.1", "an empty text message (§5.6)", doSend(txText("")), mustEnd(rxText(""))),
		newCase("6.1.2", "three empty fragments (§5.4)", doFrames(txText("").part(), txMore("").part(), txMore("")), mustEnd(rxText(""))),
		newCase("6.1.3", "three fragments, the first and the last empty (§5.4)", doFrames(txText("").part(), txMore("middle frame payload").part(), txMore("")), mustEnd(rxText("middle frame payload"))),
		newCase("6.2.1", "UTF-8 in one frame (§5.6)", doSend(txText(mixed)), mustEnd(rxText(mixed))),
		newCase("6.2.2", "UTF-8 in two fragments, cut between characters (§5.6)", doFrames(txText("Hello-µ@ßöä").part(), txMore("üàá-UTF-8!!")), mustEnd(rxText(mixed))),
		newCase("6.2.3", "UTF-8 in fragments of a byte (§5.6)", doFrames(octetFragments(mixed)...), mustEnd(rxText(mixed))),
		newCase("6.2.4", "UTF-8 in fragments of a byte (§5.6)", doFrames(octetFragments(kosme)...), mustEnd(rxText(kosme))),
		newCase("6.3.1", "a surrogate in a text message (§8.1)", doSend(txText(bad)), mustFail(1007)),
		newCase("6.3.2", "a surrogate in fragments of a byte (§8.1)", doFrames(octetFragments(bad)...), mustFail(1007)),
	}
	all = append(all, failingFast()...)
	for i, group := range utf8Sequences() {
		for j, s := range group {
			end := mustFail(1007)
			if utf8.ValidString(s) {
				end = mustEnd(rxText(s))
			}
			all = append(all, newCase(fmt.Sprintf("6.%d.%d", i+5, j+1), fmt.Sprintf("text of the bytes %x (§5.6, §8.1)", s), doSend(txText(s)), end))
		}
	}
	return all
}

// failingFast is 6.4: text that becomes invalid before the message ends.
func failingFast() []Case {
	const text = kosme + "\xf4\x90\x80\x80" + "edited"
	cuts := [][2]int{{11, 15}, {12, 13}}
	var all []Case
	for i, c := range cuts {
		all = append(all, newCase(fmt.Sprintf("6.4.%d", i+1), "text that goes wrong in its second fragment of three fails there (§8.1)", doSend(txText(text[:c[0]]).part()), mustBeIdle, doSend(txMore(text[c[0]:c[1]]).part()),
			mustFailFast(1007, doSend(txMore(text[c[1]:])))))
	}
	for i, c := range cuts {
		all = append(all, newCase(fmt.Sprintf("6.4.%d", i+3), "text that goes wrong in the middle of its only frame fails there (§8.1)", doBegin(txText(text), c[0]), mustStaySilent, doMore(c[1]-c[0]), mustFailFast(1007, doRest)))
	}
	return all
}

// utf8Sequences is Markus Kuhn's decoder test, in the catalogue's groups 6.5 to
// 6.23.
func utf8Sequences() [][]string {
	var prefixes, nonCharacters []string
	for i := range len(kosme) {
		prefixes = append(prefixes, kosme[:i+1])
	}
	nonCharacters = append(nonCharacters, "\ufffe", "\uffff")
	for plane := rune(1); plane <= 16; plane++ {
		nonCharacters = append(nonCharacters, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	run := func(from, to int) (s string) {
		for c := from; c < to; c++ {
			s += string([]byte{byte(c)})
		}
		return s
	}
	spaced := func(from, to int) (s string) {
		for c := from; c < to; c++ {
			s += string([]byte{byte(c), ' '})
		}
		return s
	}
	cut := []string{"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"}
	return [][]string{
		{"hello$world", "hello\u00a2world", "hello\u20acworld", "hello\U00024b62world", kosme},
		prefixes,
		{"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"},
		{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"},
		{"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"},
		{"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf", "\xf4\x90\x80\x80"},
		{"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf", run(0x80, 0xbf)},
		{spaced(0xc0, 0xdf), spaced(0xe0, 0xef), spaced(0xf0, 0xf7), spaced(0xf8, 0xfb), spaced(0xfc, 0xfd)},
		cut,
		{strings.Join(cut, "")},
		{"\xfe", "\xff", "\xfe\xfe\xff\xff"},
		{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"},
		{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"},
		{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"},
		{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"},
		{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf",
			"\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"},
		nonCharacters,
		{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"},
	}
}

// closing is sections 7 and 10.
func closing() []Case {
	normal, either := mustAnswer([]int{1000, 0}), []int{1000, 0}
	long := strings.Repeat("BAsd7&jh23", 256<<10/10+1)[:256<<10]
	all := []Case{
		newCase("7.1.1", "a message, then the closing handshake (§7.1.2)", doSend(txText("Hello World!")), mustEnd(rxText("Hello World!"))),
		newCase("7.1.2", "two Close frames: the second is ignored (§5.5.1)", doFrames(txClose(1000, ""), tx(8, nil)), normal),
		newCase("7.1.3", "a ping after the Close frame has no pong (§5.5.1)", doFrames(txClose(1000, ""), txPing("")), normal),
		newCase("7.1.4", "text after the Close frame has no echo (§5.5.1)", doFrames(txClose(1000, ""), txText("Hello World!")), normal),
		newCase("7.1.5", "a fragment, a Close frame, the other fragment (§5.4, §5.5.1)", doFrames(txText("fragment1").part(), txClose(1000, ""), txMore("fragment2")), normal),
		newCase("7.1.6", "256 KiB of text, more text, close and a ping at once: the end is clean, the echoes are up to the endpoint", doFrames(txText(long), txText("Hello World!"), txClose(1000, ""), txPing("")), mustAnswer([]int{1000, 0}, rxText(long), rxText("Hello World!"))).informational(),
		newCase("7.3.1", "an empty Close frame (§5.5.1)", doSend(tx(8, nil)), normal),
		newCase("7.3.2", "a Close frame of one byte (§5.5.1)", doSend(tx(8, []byte("a"))), mustFail(1002)),
		newCase("7.3.3", "a Close frame with a code (§5.5.1)", doSend(txClose(1000, "")), normal),
		newCase("7.3.4", "a Close frame with code and reason (§5.5.1)", doSend(txClose(1000, "Hello World!")), normal),
		newCase("7.3.5", "a Close frame with a reason of 123 bytes (§5.5)", doSend(txClose(1000, strings.Repeat("*", 123))), normal),
		newCase("7.3.6", "a Close frame with a reason of 124 bytes (§5.5)", doSend(txClose(1000, strings.Repeat("*", 124))), mustFail(1002)),
		newCase("7.5.1", "a Close frame with a reason that is not UTF-8 (§5.5.1)", doSend(txClose(1000, kosme+"\xed\xa0\x80edited")), mustFailBy([]int{1007, 1002})),
	}
	for i, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, newCase(fmt.Sprintf("7.7.%d", i+1), fmt.Sprintf("close with the valid code %d (§7.4)", code), doSend(txClose(code, "")), mustAnswer(append(either, code))))
	}
	for i, code := range []int{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		all = append(all, newCase(fmt.Sprintf("7.9.%d", i+1), fmt.Sprintf("close with the invalid code %d (§7.4)", code), doSend(txClose(code, "")), mustFail(1002)))
	}
	for i, code := range []int{5000, 65535} {
		all = append(all, newCase(fmt.Sprintf("7.13.%d", i+1), fmt.Sprintf("close with the code %d, of which RFC 6455 says nothing (§7.4.2)", code), doSend(txClose(code, "")), mustFail(1002)).informational())
	}
	body := bytes.Repeat([]byte("*"), 65536)
	return append(all, newCase("10.1.1", "65,536 bytes of text in fragments of 1,300 (§5.4)", doSend(fragments(1, 0, body, 1300)...), mustEnd(rxText(string(body)))))
}

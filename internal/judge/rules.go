package judge

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The probes below are products of the rules of RFC 6455 §5 and §7: each opcode
// with each bit at each place, each close code with each kind of reason, each cut.

var knownOpcodes = []byte{0, 1, 2, 8, 9, 10}

func known(op byte) bool { return op <= 2 || op >= 8 && op <= 10 }

// frameOf is a frame of an opcode with a payload that suits it.
func frameOf(op byte, fin bool, rsv byte) string {
	payload, more := "body", ""
	if op == 8 {
		payload = "\x03\xe8"
	}
	if !fin {
		more = "+"
	}
	return fmt.Sprintf("op%d(rsv=%d)%q%s", op, rsv, payload, more)
}

// legalFrame is what must follow frameOf at the start of a message, or inside one
// that began with the text begun.
func legalFrame(op byte, fin bool, rsv byte, inside bool, begun string) string {
	bad := rsv != 0 || !known(op) || op >= 8 && !fin || op < 8 && inside != (op == 0)
	unfinished := fmt.Sprintf(`idle; send more"!"; end text"%s!"`, begun)
	switch {
	case bad:
	case op < 8 && !fin:
		return fmt.Sprintf(`idle; send more"!"; end %s"%sbody!"`, messageKind(op), begun)
	case op < 8:
		return fmt.Sprintf(`end %s"%sbody"`, messageKind(op), begun)
	case op == 9 && inside:
		return `get pong"body"; ` + unfinished
	case op == 10 && inside:
		return unfinished
	}
	return frameEnd(op, `"body"`, bad)
}

// messageKind is what a message that began with this opcode is called.
func messageKind(op byte) string {
	if op == 2 {
		return "binary"
	}
	return "text"
}

// frameCases is groups x.frame, x.mask and x.length: opcodes, bits, masks and lengths at every place.
func frameCases() cases {
	var all cases
	for op := range byte(16) {
		for _, fin := range []bool{true, false} {
			for rsv := range byte(8) {
				all.add("x.frame.start.%d.%t.%d opcode %d, FIN %t, RSV %03b as the first frame (§5.2, §5.4, §5.5) | send %s; %s",
					op, fin, rsv, op, fin, rsv, frameOf(op, fin, rsv), legalFrame(op, fin, rsv, false, ""))
			}
			add := func(place, about, before, after, then string) {
				all.add("x.frame.%s.%d.%t opcode %d, FIN %t %s | send %s %s; %s %s", place, op, fin, op, fin, about, before, frameOf(op, fin, 0), after, then)
			}
			start, inside := legalFrame(op, fin, 0, false, ""), legalFrame(op, fin, 0, true, "begun ")
			add("inside", "inside a fragmented message (§5.4)", `text"begun "+`, "", inside)
			add("deep", "after two fragments and a ping (§5.4)", `text"beg"+ more"un "+ ping"p"`, `get pong"p";`, inside)
			add("next", "after a whole message (§5.4)", `text"a"+ more"b"`, `get text"ab";`, start)
			add("closed", "after a Close frame is ignored (§5.5.1)", `close1000""`, "", "echo 1000")
		}
	}
	return append(append(all, maskCases()...), lengthCases()...)
}

func maskCases() cases {
	var all cases
	for _, op := range knownOpcodes {
		for _, size := range []int{0, 4, 200, 70000} {
			if op >= 8 && size > 125 {
				continue
			}
			f := fmt.Sprintf(`op%d(mask=wrong)"m"*%d`, op, size)
			if op == 8 && size > 0 {
				f = `close1000(mask=wrong)"ok"`
			}
			all.add("x.mask.wrong.%d.%d opcode %d of %d bytes, masked as the other side masks (§5.1) | send %s; send %s; fail 1002",
				op, size, op, size, before(op), f)
		}
	}
	for i, key := range []string{"00000000", "ffffffff", "00000001", "80000000"} {
		body := strings.Repeat("key", 33)
		c := all.add("x.mask.key.%d the masking key %s (§5.3) | send text(key=%s)%q; end text%q", i, key, key, body, body)
		*c = c.of(ServerSide)
	}
	for n := range 17 {
		body := strings.Repeat("0123456789abcdefg", 2)[:n] + "-" + strings.Repeat("x", n)
		all.add("x.mask.align.%d frames of growing size in one piece: the masking key begins anew with each (§5.3) | "+
			"send text%q+ more%q+ ping%q more%q; end pong%q text%q", n, body, body[:n], body[:n/2], body, body[:n/2], body+body[:n]+body)
	}
	return all
}

func lengthCases() cases {
	var all cases
	for _, op := range knownOpcodes {
		for _, c := range []struct {
			form int
			n    int
			ok   bool
		}{
			{7, 0, true}, {7, 2, true}, {7, 125, true}, {16, 0, false}, {16, 2, false}, {16, 125, false}, {16, 126, true}, {16, 65535, true},
			{64, 0, false}, {64, 125, false}, {64, 126, false}, {64, 65535, false}, {64, 65536, true},
		} {
			name, body := fmt.Sprintf("op%d", op), fmt.Sprintf(`"n"*%d`, c.n)
			if op == 8 && c.n >= 2 {
				name, body = "close1000", fmt.Sprintf(`"n"*%d`, c.n-2)
			}
			bad := !c.ok || op >= 8 && c.n > 125
			end := frameEnd(op, body, bad)
			if op == 8 && c.n == 0 && !bad {
				end = "echo 0"
			}
			all.add("x.length.form.%d.%d.%d opcode %d with %d bytes announced in %d bits (§5.2, §5.5) | send %s; send %s(form=%d)%s; %s",
				op, c.form, c.n, op, c.n, c.form, before(op), name, c.form, body, end).open = !c.ok && (op < 8 || c.n <= 125)
		}
		for i, n := range []uint64{1 << 63, 1<<64 - 1, 1<<63 | 5, 1<<63 - 1, 1 << 62, 1 << 32, 1<<32 + 5} {
			codes := "1009"
			if n >= 1<<63 && op < 8 {
				codes = "1002,1009"
			} else if op >= 8 {
				codes = "1002"
			}
			all.add(`x.length.claim.%d.%d opcode %d announces %d bytes: refused by the header (§5.2, §10.4) | send %s; send op%d(form=64,length=%d)""; fail %s`,
				op, i, op, n, before(op), op, n, codes).open = op < 8 && n < 1<<63
		}
	}
	return all
}

// before begins an empty text where a continuation is to follow.
func before(op byte) string {
	if op == 0 {
		return `text""+`
	}
	return ""
}

// frameEnd is what must follow a frame with this body, which is quoted.
func frameEnd(op byte, body string, bad bool) string {
	switch {
	case bad:
		return "fail 1002"
	case op < 8:
		return "end " + messageKind(op) + body
	case op == 8:
		return "echo 1000"
	case op == 9:
		return "end pong" + body
	}
	return "end"
}

// closeCases is group x.close: status codes and reasons (§5.5.1, §7.4).
func closeCases() cases {
	reasons := []struct {
		name, text string
		code       int // 0: the close is good
	}{
		{"none", "", 0}, {"ascii", "going away", 0}, {"utf8", "größer als € und 𝄞", 0}, {"cut", "gr\xc3", 1007}, {"bad", "a\xffb", 1007},
		{"123", strings.Repeat("r", 123), 0}, {"123utf8", strings.Repeat("€", 41), 0}, {"123cut", strings.Repeat("r", 121) + "\xe2\x82", 1007}, {"124", strings.Repeat("r", 124), 1002},
	}
	var all cases
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4998, 4999} {
		for _, r := range reasons {
			end := fmt.Sprintf("echo %d", code)
			if r.code != 0 {
				end = fmt.Sprintf("fail %d,1002", r.code)
			}
			young := code >= 1012 && code <= 1014 // than the RFC
			all.add("x.close.%d.%s close with the code %d and the reason %q (§5.5.1, §7.4) | send close%d%q; %s",
				code, r.name, code, r.text, code, r.text, end).open = young && r.code == 0
		}
	}
	for _, code := range []int{0, 1, 2, 10, 100, 125, 126, 127, 128, 255, 256, 500, 998, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1099, 1100, 1500, 1999, 2000, 2001,
		2500, 2998, 2999, 5000, 5001, 9999, 10000, 32767, 32768, 65534, 65535} {
		for _, r := range reasons[:2] {
			all.add("x.close.%d.%s close with the code %d and the reason %q (§7.4) | send close%d%q; fail 1002", code, r.name, code, r.text, code, r.text).open = code >= 5000
		}
		all.add(`x.close.%d.later close with the code %d and a fragment before it (§5.4, §7.4) | send text"fragment"+ close%d""; fail 1002`, code, code, code).open = code >= 5000
	}
	for _, b := range []byte{0, 3, 0x81, 0xff} {
		all.add("x.close.byte.%d a Close frame of the one byte %02x (§5.5.1) | send close%q; fail 1002", b, b, string([]byte{b}))
	}
	return append(all, fixed("x.close.*")...)
}

// streamCases is group x.cut: where the bytes of a conversation are cut, and where
// it ends.
func streamCases() cases {
	var all cases
	for _, n := range []int{0, 5, 126, 1000, 65536} {
		for at := 1; at <= 14 && at <= n+2; at++ {
			body := repeated("cut", n)
			all.add("x.cut.frame.%d.%d a message of %d bytes whose frame arrives in two pieces, the first of %d bytes (§5.2) | cut %d binary%q; end binary%q",
				n, at, n, at, at, body, body)
		}
	}
	for at := 1; at < 6; at++ {
		all.add("x.cut.frame.more.%d a fragment's frame in two pieces, with a ping before it (§5.4) | "+
			`send text"one "+ ping"p"; cut %d more"two three"; end pong"p" text"one two three"`, at, at)
	}
	all = append(all, dropCases()...)
	var many, back, odd, oddBack string
	for i := range 100 {
		s := strings.Repeat(fmt.Sprint(i), i)
		many += fmt.Sprintf("text%q ", s)
	}
	back = many
	r := rand.New(rand.NewPCG(6455, 5))
	for range 40 {
		s := string(repeated("odd", r.IntN(300)))
		at := r.IntN(len(s) + 1)
		ping := s[:min(at, 125)]
		odd += fmt.Sprintf(`text%q+ pong"?" ping%q more%q `, s[:at], ping, s[at:])
		oddBack += fmt.Sprintf("pong%q text%q ", ping, s)
	}
	all.add("x.cut.many 100 messages in one piece (§6.2) | send %s; end %s", many, back)
	all.add("x.cut.odd 40 fragmented messages with pings in one piece (§5.4) | send %s; end %s", odd, oddBack)
	for _, n := range []int{1, 2, 3, 7, 13, 97, 4096} {
		all.add("x.cut.chops.%d the same in pieces of %d bytes (§5.4) | chops %d %s; end %s", n, n, n, odd, oddBack)
	}
	early := func(side Side, title, frames, back string) *Case {
		c := all.add("x.cut.early%s | end %s", title, back)
		*c = c.of(side)
		for _, word := range wordsOf(frames) {
			c.first = append(c.first, parseFrames(word)...)
		}
		return c
	}
	early(ClientSide, " a frame in the same segment as the opening handshake (§4.2.2)", `text"early"`, `text"early"`)
	early(ServerSide, " a frame in the same segment as the opening handshake, which no client may send (§4.1)", `text"early"`, `text"early"`).open = true
	early(ClientSide, ".more a conversation in the same segment as the opening handshake (§4.2.2)", odd, oddBack)
	return all
}

// dropCases ends the stream after each byte of a conversation: what was whole is
// answered, the rest is not.
func dropCases() cases {
	var all cases
	for _, kind := range []string{"plain", "deflated"} {
		first, last, lengths := `text"frag"+`, `more"ment"`, [3]int{4, 1, 4}
		if kind == "deflated" {
			first, last, lengths = `text(rsv=4)"\xf2\x48\xcd"+`, `more"\xc9\xc9\x07\x00"`, [3]int{3, 1, 4}
		}
		for side, mask := range []int{4, 0} {
			whole := 2*(2+mask) + lengths[0] + lengths[1]
			total := whole + 2 + mask + lengths[2]
			for n := 1; n < total; n++ {
				back := ""
				if n >= whole {
					back = `pong"p"`
				}
				c := all.add(`x.cut.drop.%s.%d.%d the stream ends after %d of %d bytes of a fragmented message with a ping: no half message comes back (§7.1.5) | `+
					`drop %d %s ping"p" %s; quiet %s`, kind, side, n, n, total, n, first, last, back)
				*c = c.of(Side(side))
				if kind == "deflated" {
					c.ext = plainDeflate
				}
			}
		}
	}
	return all
}

// textCases is group x.text: UTF-8 as it arrives (§8.1).
func textCases() cases {
	var all cases
	for i, text := range []string{ // the last byte cannot stand there
		"\x80", "\xc0", "\xc1", "\xf5", "\xff", "abc\xfe", "a\xc3(", "a\xe0\x9f", "a\xe2(", "a\xe2\x82(",
		"a\xed\xa0", "a\xf0\x8f", "a\xf0\x9d(", "a\xf0\x9d\x84(", "a\xf4\x90", "€𝄞\xbf", "a\xc3\xc3", "a\xef\xbf\xc0",
	} {
		last := len(text) - 1
		add := func(place, about, script string, a ...any) {
			all.add("x.text.%s.%d text %x fails at its last byte %s (§8.1) | %s", place, i, text, about, fmt.Sprintf(script, a...))
		}
		add("fragment", "in a first fragment", `send text%q+; failfast 1007; send more""`, text)
		add("frame", "in a frame that has more to come", "begin %d text%q; failfast 1007; rest", len(text), text+"more")
		add("octets", "in a frame sent byte by byte", "begin 0 text%q; more %d; silent; more 1; failfast 1007; rest", text+"more", last)
		opcode := "more"
		fragments := fmt.Sprintf("frames text%q/1+", text[:last])
		if last == 0 {
			opcode, fragments = "text", "frames"
		}
		add("split", "in fragments of a byte", `%s; idle; send %s%q+; failfast 1007; send more""`, fragments, opcode, text[last:])
	}
	const good = "aé€𝄞z\x00\uffff"
	for at := range len(good) {
		all.add(`x.text.cut.%d UTF-8 in two fragments with a ping between (§5.6) | send text%q+ ping"" more%q; end pong"" text%q`, at, good[:at], good[at:], good)
		all.add("x.text.pieces.%d UTF-8 in two pieces of a frame (§5.6) | begin %d text%q; silent; rest; end text%q", at, at, good, good)
	}
	for i, s := range []string{"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9d", "\xf0\x9d\x84", "ascii \xe2\x82"} {
		all.add("x.text.end.%d text that ends inside a character (§8.1) | send text%q; fail 1007", i, s)
		all.add(`x.text.late.%d a fragment may end inside a character, the message may not (§5.6, §8.1) | send text%q+; idle; send more""; fail 1007`, i, s)
	}
	for _, at := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4095, 4096, 4097, 65535, 65536} {
		text := strings.Repeat("x", at)
		all.add("x.text.after.%d a bad byte after %d of ASCII (§8.1) | send text%q; fail 1007", at, at, text+"\xc0"+strings.Repeat("y", 20))
		all.add("x.text.good.%d a character of four bytes after %d of ASCII (§5.6) | send text%q; end text%q", at, at, text+"𝄞"+text, text+"𝄞"+text)
	}
	return append(all, fixed("x.text.*")...)
}

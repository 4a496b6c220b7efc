package wsproto_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The project's list of bad input, groups W (frames) and X (permessage-deflate).
// The bytes are those a client sends, masked with 37fa213d; a client under test
// gets the same frames without mask.

const listKey = "\x37\xfa\x21\x3d"

// fromWire takes a client's frames apart without judging them.
func fromWire(s string) []wireFrame {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	var all []wireFrame
	for len(b) > 0 {
		f := wireFrame{fin: b[0]&0x80 != 0, rsv: b[0] >> 4 & 7, op: b[0] & 15, form: 7, badMask: b[1]&0x80 == 0}
		n := uint64(b[1] & 127)
		b = b[2:]
		switch n {
		case 126:
			f.form, n, b = 16, uint64(binary.BigEndian.Uint16(b)), b[2:]
		case 127:
			f.form, n, b = 64, binary.BigEndian.Uint64(b), b[8:]
		}
		if !f.badMask {
			f.key, b = b[:4:4], b[4:]
		}
		has := min(n, uint64(len(b)))
		if has < n {
			f = f.announcing(n)
		}
		f.payload, b = append([]byte(nil), b[:has]...), b[has:]
		if !f.badMask {
			xorKey(f.payload, f.key)
		} else {
			f.key = []byte(listKey) // for the mask that a client under test gets
		}
		all = append(all, f)
	}
	return all
}

func doWire(s string) step { return doSend(fromWire(s)...) }

func hardeningProbes(limit int64) []probe {
	all := append(hardeningFrames(), hardeningDeflate(limit)...)
	return append(all, hardeningSizes(limit)...)
}

func hardeningFrames() []probe {
	hi := mustEnd(rxText("hi"))
	protocol, invalid := mustFail(1002), mustFail(1007)
	long := strings.Repeat("a", 124)
	var all []probe
	for _, c := range []struct {
		id, about, wire string
		end             step
	}{
		{"W00", "control: text comes back", "818237fa213d5f93", hi},
		{"W01", "RSV1 without an extension (§5.2)", "c18237fa213d5f93", protocol},
		{"W02", "RSV2 (§5.2)", "a18237fa213d5f93", protocol},
		{"W03", "RSV3 (§5.2)", "918237fa213d5f93", protocol},
		{"W04", "opcode 3 (§5.2)", "838237fa213d5f93", protocol},
		{"W05", "opcode 7, empty (§5.2)", "878037fa213d", protocol},
		{"W06", "opcode 11 (§5.2)", "8b8037fa213d", protocol},
		{"W07", "opcode 15 (§5.2)", "8f8137fa213d4f", protocol},
		{"W08", "a frame with the wrong masking (§5.1)", "81026869", protocol},
		{"W09", "the masking key 0 (§5.3)", "8182000000006869", hi},
		{"W11", "a ping with its length in 16 bits (§5.2, §5.5)", "89fe000537fa213d569b405c56", protocol},
		{"W12", "a ping with FIN clear (§5.5)", "098137fa213d56", protocol},
		{"W13", "a continuation of nothing (§5.4)", "808137fa213d56", protocol},
		{"W14", "a text frame inside a text message (§5.4)", "018137fa213d56818137fa213d55", protocol},
		{"W15", "a ping between fragments (§5.4)", "018137fa213d56898137fa213d47808137fa213d55", mustEnd(rxPong("p"), rxText("ab"))},
		{"W16", "5 bytes announced in 16 bits (§5.2)", "81fe000537fa213d5f9f4d5158", protocol},
		{"W18", "a 64-bit length with its top bit set (§5.2)", "82ff800000000000000037fa213d", mustFailOr(1002, 1009)},
		{"W19", "an announcement of 2^63-1 bytes (§10.4)", "82ff7fffffffffffffff37fa213d", mustFail(1009)},
		{"W22", "text C0 AF (§8.1)", "818237fa213df755", invalid},
		{"W23", "text with a surrogate (§8.1)", "818337fa213dda5aa1", invalid},
		{"W24", "text beyond U+10FFFF (§8.1)", "818437fa213dc36aa1bd", invalid},
		{"W25", "text that ends inside a character (§8.1)", "818437fa213d5698c3bf", invalid},
		{"W26", "a character cut by fragments (§5.6)", "018137fa213dd5808237fa213db556", mustEnd(rxText("€"))},
		{"W27", "bad UTF-8 in a first fragment, nothing after it (§8.1)", "018237fa213dc804", invalid},
		{"W28", "NUL and U+FFFF are valid (RFC 3629)", "818437fa213d37159e82", mustEnd(rxText("\x00\uffff"))},
		{"W29", "a Close frame of one byte (§5.5.1)", "888137fa213d34", protocol},
		{"W30", "close code 0 (§7.4)", "888237fa213d37fa", protocol},
		{"W31", "close code 999 (§7.4)", "888237fa213d341d", protocol},
		{"W32", "close code 1004 (§7.4.1)", "888237fa213d3416", protocol},
		{"W33", "close code 1005 (§7.4.1)", "888237fa213d3417", protocol},
		{"W34", "close code 1006 (§7.4.1)", "888237fa213d3414", protocol},
		{"W35", "close code 1015 (§7.4.1)", "888237fa213d340d", protocol},
		{"W36", "close code 1016 (§7.4.2)", "888237fa213d3402", protocol},
		{"W37", "close code 1100 (§7.4.2)", "888237fa213d33b6", protocol},
		{"W38", "close code 2000 (§7.4.2)", "888237fa213d302a", protocol},
		{"W39", "close code 2999 (§7.4.2)", "888237fa213d3c4d", protocol},
		{"W40", "close code 5000 (§7.4.2)", "888237fa213d2472", protocol},
		{"W41", "close code 65535 (§7.4.2)", "888237fa213dc805", protocol},
		{"W42", "close 1000 (§5.5.1)", "888237fa213d3412", mustEcho(1000)},
		{"W43", "close without a code is answered without one (§7.1.5)", "888037fa213d", mustEcho(0)},
		{"W44", "close 4999 (§7.4.2)", "888237fa213d247d", mustEcho(4999)},
		{"W45", "a close reason that is not UTF-8 (§5.5.1, §8.1)", "888437fa213d3412dec3", invalid},
		{"W47", "text after close has no echo (§5.5.1)", "888237fa213d3412818437fa213d5b9b5558", mustEcho(1000)},
		{"W48", "a pong nobody asked for (§5.5.3)", "8a8137fa213d4f818237fa213d5891", mustEnd(rxText("ok"))},
		{"W49", "close in the middle of fragments (§5.4)", "018137fa213d56888237fa213d3412", mustEcho(1000)},
	} {
		all = append(all, probe{id: c.id, about: c.about, steps: []step{doWire(c.wire), c.end}})
	}
	return append(all,
		probe{id: "W10", about: "a ping of 126 bytes (§5.5)", steps: []step{doSend(txPing(long + "aa").keyed(listKey)), protocol}},
		probe{id: "W46", about: "a Close frame of 126 bytes (§5.5)", steps: []step{doSend(txClose(1000, long).keyed(listKey)), protocol}})
}

func hardeningDeflate(limit int64) []probe {
	protocol, invalid := mustFail(1002), mustFail(1007)
	var all []probe
	for _, c := range []struct {
		id, about, wire string
		end             step
	}{
		{"X00", "control: a compressed message (RFC 7692 §7.2.3.1)", "c18737fa213dfdb2ecf4fefd21", mustEnd(rxText("hello"))},
		{"X01", "RSV1 on a continuation (RFC 7692 §6.1)", "418437fa213dfdb2243dc08537fa213dfd33e83a37", protocol},
		{"X02", "RSV1 on a ping (RFC 7692 §6.1)", "c98137fa213d56", protocol},
		{"X03", "no deflate data at all (RFC 7692 §7.2.2)", "c19437fa213dc805dec2c805dec2c805dec2c805dec2c805dec2", invalid},
		{"X04", "block type 3 (RFC 1951 §3.2.3)", "c18137fa213d30", invalid},
		{"X08", "a compressed empty message (RFC 7692 §7.2.3.6)", "c18137fa213d37", mustEnd(rxText(""))},
		{"X09", "a compressed message without payload", "c18037fa213d", mustEnd(rxText(""))},
		{"X10", "a block with BFINAL (RFC 7692 §7.2.3.4)", "c18837fa213dfcb2ecf4fefd213d", mustEnd(rxText("hello"))},
		{"X11", "bad UTF-8 after inflating (§8.1)", "c18437fa213dcd052e3d", invalid},
		{"X12", "a distance behind the first byte (RFC 1951 §3.2.5)", "c28337fa213d34db21", invalid},
		{"X13", "an uncompressed message (RFC 7692 §6)", "818537fa213d4796405459", mustEnd(rxText("plain"))},
		{"X14", "a stored block whose lengths disagree (RFC 1951 §3.2.4)", "c28a37fa213d37ff213d379244515b95", invalid},
	} {
		all = append(all, probe{id: c.id, about: c.about, ext: plainDeflate, steps: []step{doWire(c.wire), c.end}})
	}
	bomb := func(p *prober) error {
		w := &bitWriter{}
		w.open(0)
		w.symbol(0)
		for n := int64(1); n < 4*limit; n += 258 {
			w.match(258, 1)
		}
		w.shut()
		p.sendAll([]wireFrame{tx(2, w.message()).bits(4)})
		return nil
	}
	return append(all, probe{id: "X06", about: fmt.Sprintf("a message that inflates to four times the limit of %d bytes (§10.4)", limit), ext: plainDeflate,
		wait: 30 * time.Second, steps: []step{bomb, mustFail(1009)}})
}

// hardeningSizes is what is long, and what depends on the endpoint's limit.
func hardeningSizes(limit int64) []probe {
	empty, more := txText("").part().keyed(listKey), txMore("").part().keyed(listKey)
	train := func(n int, last ...wireFrame) step {
		return func(p *prober) error {
			b := p.append(nil, empty)
			one := p.append(nil, more)
			for range n {
				b = append(b, one...)
			}
			for _, f := range last {
				b = p.append(b, f)
			}
			p.write(b)
			return nil
		}
	}
	pings := func(p *prober) error {
		var b []byte
		one := p.append(nil, txPing(strings.Repeat("a", 125)).keyed(listKey))
		for range 20000 {
			b = append(b, one...)
		}
		p.write(p.append(b, txText("end").keyed(listKey)))
		return nil
	}
	big := func(p *prober) error {
		n := limit / 1024 * 600
		half := tx(0, repeated("z", int(n))).part().inForm(64).keyed(listKey)
		first := half
		first.op = 2
		p.sendAll([]wireFrame{first, half})
		return nil
	}
	return []probe{
		{id: "W20", about: "one byte more than the limit is refused by the header alone (§10.4)",
			steps: []step{doSend(txBinary("").inForm(64).announcing(uint64(limit) + 1).keyed(listKey)), mustFail(1009)}},
		{id: "W21", about: "two fragments that together are over the limit (§10.4)", wait: 30 * time.Second, steps: []step{big, mustFail(1009)}},
		{id: "W50", about: "a message of 1,002 fragments, all empty but the last (§5.4)", steps: []step{train(1000, txMore("x").keyed(listKey)), mustEnd(rxText("x"))}},
		{id: "W51", house: true, about: "fragment 131,073 of a message ends it", wait: 30 * time.Second, steps: []step{train(200000), mustFail(1008)}},
		{id: "W53", about: "20,000 pings to a peer that does not read for now: at least 16 pongs, and what follows is served (§5.5.3)", wait: 30 * time.Second,
			steps: []step{pings, doNotRead, mustPongAtLeast(16, strings.Repeat("a", 125), rxText("end")), mustEnd()}},
	}
}

// doNotRead lets what was queued go out for a while without reading.
func doNotRead(p *prober) error {
	done := make(chan struct{})
	go func() { p.flush(); close(done) }()
	select {
	case <-done:
	case <-time.After(300 * time.Millisecond): // the endpoint waits for us: so it may
	}
	return nil
}

// mustPongAtLeast wants n pongs or more with a payload, then the event.
func mustPongAtLeast(n int, payload string, then rxEvent) step {
	return func(p *prober) error {
		for got := 0; ; got++ {
			e, err := p.next()
			switch {
			case err != nil:
				return err
			case e.same(rxPong(payload)):
			case !e.same(then):
				return failed("%v after %d pongs, want %v", e, got, then)
			case got < n:
				return nonStrict("%d pongs, want at least %d", got, n)
			default:
				return nil
			}
		}
	}
}

// mustEcho wants our Close answered with its own code (0: none), as §5.5.1 says
// an endpoint typically does.
func mustEcho(code int, events ...rxEvent) step {
	return func(p *prober) error {
		if err := mustGet(events...)(p); err != nil {
			return err
		}
		e, err := p.next()
		switch {
		case err != nil:
			return err
		case e.kind != "close":
			return failed("%v, want a Close frame with the code %d (§5.5.1)", e, code)
		case e.code != code && e.code != 0 && e.code != 1000:
			return failed("%v, want the code %d (§5.5.1)", e, code)
		}
		if err := p.finish(); err != nil {
			return err
		}
		if e.code != code {
			return nonStrict("%v, want the code %d echoed (§5.5.1)", e, code)
		}
		return nil
	}
}

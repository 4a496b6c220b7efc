package judge

import (
	"fmt"
	"time"
)

// This file is pings, many of them, and what an endpoint may refuse as too much.

// pingCases is group x.ping: pings and pongs (§5.5.2, §5.5.3).
func pingCases() []Case {
	var all []Case
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 63, 64, 124, 125} {
		s := string(repeated("\x00\xffping", n))
		all = append(all,
			newCase(fmt.Sprintf("x.ping.size.%d", n), fmt.Sprintf("a ping of %d bytes (§5.5.2)", n), doSend(txPing(s)), mustEnd(rxPong(s))),
			newCase(fmt.Sprintf("x.ping.pong.%d", n), fmt.Sprintf("a pong of %d bytes nobody asked for (§5.5.3)", n), doSend(txPong(s)), mustBeIdle, mustEnd()))
	}
	large := func(i int) []byte { return repeated(string([]byte{byte(i)}), 100000) }
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
		newCase("x.ping.sixteen", "16 pings at once, 16 pongs in order (§5.5.3)", doSend(sixteen...), mustEnd(pongs...)),
		newCase("x.ping.train", "pings and pongs after each of 16 fragments (§5.4)", doSend(train...), mustEnd(append(trainBack, rxText(whole+"."))...)),
		newCase("x.limit.pings", "20,000 different pings to a peer that does not read for now: pongs in order, the newest among them (§5.5.3)", doMake(20000, func(i int) []wireFrame { return []wireFrame{txPing(fmt.Sprintf("%0120d", i))} }), doNotRead, mustPongInOrder(20000), mustBeIdle, mustEnd()).openIf(true),
		newCase("x.ping.unread", "large messages and pings to a peer that does not read for now: every echo comes (§5.5.3)",
			doMake(40, func(i int) []wireFrame { return []wireFrame{tx(2, large(i)), txPing(fmt.Sprint(i))} }), doSend(txText("last")), doNotRead,
			mustGetBesidePongs(41, func(i int) rxEvent {
				if i == 40 {
					return rxText("last")
				}
				return rxBinary(string(large(i)))
			}), mustEnd()))
	return all
}

// doMake sends frames that are made one after another: they are many.
func doMake(n int, frames func(i int) []wireFrame) step {
	return func(p *prober) error {
		var b []byte
		for i := range n {
			for _, f := range frames(i) {
				b = p.append(b, f)
			}
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

// mustGetBesidePongs waits for n events, between which pongs may come.
func mustGetBesidePongs(n int, want func(i int) rxEvent) step {
	return func(p *prober) error {
		for i := 0; i < n; {
			e, err := p.next()
			switch {
			case err != nil:
				return err
			case e.kind == "pong":
			case !e.same(want(i)):
				return failed("%v, want message %d", e, i)
			default:
				i++
			}
		}
		return nil
	}
}

// limitCases is group x.limit: what is long, and what depends on the endpoint's limit.
func limitCases(limit int64) []Case {
	train := func(n int) step { // a message of n fragments without its end
		return doMake(n, func(i int) []wireFrame {
			f := txMore("").part()
			if i == 0 {
				f.op = 1
			}
			return []wireFrame{f}
		})
	}
	big := func(p *prober) error {
		n := limit / 1024 * 600
		half := tx(0, repeated("z", int(n))).part().inForm(64)
		first := half
		first.op = 2
		p.sendAll([]wireFrame{first, half})
		return nil
	}
	return []Case{
		newCase("x.limit.header", "one byte more than the limit is refused by the header alone (§10.4)",
			doSend(txBinary("").inForm(64).announcing(uint64(limit)+1)), mustFail(1009)).limited(),
		newCase("x.limit.fragments", "two fragments that together are over the limit (§10.4)", big, mustFail(1009)).limited(),
		newCase("x.limit.inflated", "one byte more than the limit, after inflating (§10.4)", doInflateTo(limit+1), mustFail(1009)).limited().asking(pmd{bare: true}),
		newCase("x.limit.bomb", "a message that inflates to four times the limit (§10.4)", doInflateTo(4*limit), mustFail(1009)).limited().asking(plainDeflate...),
		newCase("x.limit.train", "a message of 1,002 fragments, all empty but the last (§5.4)", train(1001), doSend(txMore("x")), mustEnd(rxText("x"))),
		newCase("x.limit.endless", "a message of 200,000 fragments that does not end", train(200000), mustFail(1008)).openIf(true),
	}
}

// doInflateTo sends a message of few bytes that inflates to n.
func doInflateTo(n int64) step {
	return func(p *prober) error {
		w := &bitWriter{}
		w.open(0)
		w.symbol(0)
		for n--; n >= 258; n -= 258 {
			w.match(258, 1)
		}
		for ; n > 0; n-- {
			w.symbol(0)
		}
		w.shut()
		p.sendAll([]wireFrame{tx(2, w.message()).bits(4)})
		return nil
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

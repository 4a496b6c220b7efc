package judge

import (
	"fmt"
	"time"
)

// This file is pings, many of them, and what an endpoint may refuse as too much.

// pingCases is group x.ping: pings and pongs (§5.5.2, §5.5.3).
func pingCases() cases {
	var all cases
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 63, 64, 124, 125} {
		s := repeated("\x00\xffping", n)
		all.add("x.ping.size.%d a ping of %d bytes (§5.5.2) | send ping%q; end pong%q", n, n, s, s)
		all.add("x.ping.pong.%d a pong of %d bytes nobody asked for (§5.5.3) | send pong%q; idle; end", n, n, s)
	}
	var sixteen, pongs, train, whole string
	for i := range 16 {
		s := fmt.Sprintf("ping %d", i)
		sixteen += fmt.Sprintf("ping%q ", s)
		pongs += fmt.Sprintf("pong%q ", s)
		train += fmt.Sprintf(`%s%q+ pong"x" ping%q `, []string{"text", "more"}[min(i, 1)], s, s)
		whole += s
	}
	all.add("x.ping.sixteen 16 pings at once, 16 pongs in order (§5.5.3) | send %s; end %s", sixteen, pongs)
	all.add(`x.ping.train pings and pongs after each of 16 fragments (§5.4) | send %s more"."; end %s text"%s."`, train, pongs, whole)
	many := func(i int) []wireFrame { return []wireFrame{txPing(fmt.Sprintf("%0120d", i))} }
	all.add("x.limit.pings 20,000 different pings to a peer that does not read for now: pongs in order, the newest among them (§5.5.3) | idle; end").
		begin(doMake(20000, many), doNotRead, mustPongInOrder(20000)).open = true
	large := func(i int) []byte { return repeated(string([]byte{byte(i)}), 100000) }
	unread := func(i int) []wireFrame { return []wireFrame{tx(2, large(i)), txPing(fmt.Sprint(i))} }
	all.add("x.ping.unread large messages and pings to a peer that does not read for now: every echo comes (§5.5.3) | end").
		begin(doMake(40, unread), doSend(txText("last")), doNotRead, mustGetBesidePongs(41, func(i int) rxEvent {
			if i == 40 {
				return rxText("last")
			}
			return rxBinary(string(large(i)))
		}))
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
func limitCases(limit int64) cases {
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
	var all cases
	add := func(ext []pmd, title string, steps ...step) {
		c := all.add("%s", title).begin(steps...)
		c.limit, c.heavy, c.ext = true, true, ext
	}
	add(nil, "x.limit.header one byte more than the limit is refused by the header alone (§10.4) | fail 1009", doSend(txBinary("").inForm(64).announcing(uint64(limit)+1)))
	add(nil, "x.limit.fragments two fragments that together are over the limit (§10.4) | fail 1009", big)
	add([]pmd{{bare: true}}, "x.limit.inflated one byte more than the limit, after inflating (§10.4) | fail 1009", doInflateTo(limit+1))
	add(plainDeflate, "x.limit.bomb a message that inflates to four times the limit (§10.4) | fail 1009", doInflateTo(4*limit))
	all.add(`x.limit.train a message of 1,002 fragments, all empty but the last (§5.4) | send more"x"; end text"x"`).begin(train(1001))
	all.add("x.limit.endless a message of 200,000 fragments that does not end | fail 1008").begin(train(200000)).open = true
	return all
}

// doInflateTo sends a message of few bytes that inflates to n.
func doInflateTo(n int64) step {
	return func(p *prober) error {
		w := &bitWriter{}
		w.open(0)
		w.symbol(0)
		for range (n - 1) / 258 {
			w.match(258, 1)
		}
		for range (n - 1) % 258 {
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

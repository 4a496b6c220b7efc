package judge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"socketsrv/wsproto"
)

// A judge that cannot fail is worth nothing. Here package wsproto, which keeps the
// rules, is judged through a relay that breaks one of them: what comes in loses the
// fault before the endpoint sees it, or what goes out gets one. The cases about that
// rule have to fail, and their neighbours not.

// relayed is a frame in the relay.
type relayed struct {
	rawFrame
	masked bool
	form   int // as wireFrame's
}

// state is what a rule may remember of a connection.
type state struct {
	side  Side
	key   string // of the opening handshake
	kept  string // what the endpoint does not hear of it
	mu    sync.Mutex
	begun bool   // a message is under way
	kinds []byte // opcodes of messages that came
	held  []relayed
	close bool // a Close frame came
	code  []byte
	part  bool // a control frame was not whole
}

type rule func(s *state, f relayed) []relayed

// breakage is an endpoint that breaks one rule.
type breakage struct {
	name    string
	in, out rule
	head    func(s *state, head string) string // of the opening handshake, both ways
	ends    bool                               // what is cut short ends in a last fragment
	hangs   bool                               // the endpoint's end does not get through
	swaps   bool                               // what follows a Close frame is seen before it
	limit   int64                              // the largest message it accepts, where 1 MiB is agreed on
	fails   []string                           // the cases that have to be worse than INFORMATIONAL
	run     []string                           // what is judged beside them; nil: neighbours
	grade   Grade                              // of those that fail, if it is to be looked at
	only    bool                               // for one side
	side    Side
}

var neighbours = []string{"1.1.[1-3]", "1.2.2", "2.*", "3.[1357]", "4.1.*", "5.*", "6.1.*", "6.2.[12]", "6.3.1", "6.4.[12]", "6.6.[1-5]", "7.1.[1-5]", "7.3.*", "7.5.1", "7.7.[17]", "7.9.[14]"}

// keep passes a frame on; drop does not.
func keep(f relayed) []relayed { return []relayed{f} }

// mend is a rule without memory.
func mend(change func(f *relayed)) rule {
	return func(_ *state, f relayed) []relayed { change(&f); return keep(f) }
}

func dropIf(what func(s *state, f relayed) bool) rule {
	return func(s *state, f relayed) []relayed {
		if what(s, f) {
			return nil
		}
		return keep(f)
	}
}

// changing is a rule for some opcodes.
func changing(ops []byte, change func(f *relayed)) rule {
	return mend(func(f *relayed) {
		if slices.Contains(ops, f.op) {
			change(f)
		}
	})
}

var (
	data    = []byte{1, 2}
	control = []byte{8, 9, 10}
	pongs   = []string{"2.[12346]", "2.9", "2.1[01]", "5.[678]", "5.19", "5.20", "6.4.[12]", "x.ping.size.*", "x.ping.sixteen", "x.frame.start.9.true.0", "x.frame.[idn]*.9.true", "x.length.form.9.7.*", "x.extension.rsv.9.true.0"}
	texts1  = []string{"1.1.*", "3.[234]", "4.?.[345]", "5.[345678]", "5.15", "5.19", "5.20", "6.1.*", "6.2.*", "6.5.*", "6.6.[2579]", "6.6.11", "7.1.1"}
	echoes  = slices.Concat(texts1, []string{"1.2.*", "6.7.*", "6.9.*", "6.11.[1-4]", "6.22.*", "6.23.*", "9.*", "10.*", "12.*", "13.*", "x.frame.start.[12].*.0", "x.frame.[id]*.0.*", "x.frame.next.[12].*",
		"x.mask.key.*", "x.mask.align.*", "x.length.form.[012].7.*", "x.length.form.[012].16.126", "x.length.form.[012].16.65535", "x.length.form.[012].64.65536", "x.close.echoes",
		"x.cut.frame.*", "x.cut.many", "x.cut.odd", "x.cut.chops.*", "x.cut.early*", "x.text.cut.*", "x.text.pieces.*", "x.text.good.*", "x.text.binary", "x.text.ping", "x.text.fresh", "x.ping.train", "x.ping.unread", "x.limit.train",
		"x.extension.example.*", "x.extension.final.*", "x.extension.empty", "x.extension.stored.*", "x.extension.blocks", "x.extension.match.*", "x.extension.window.*", "x.extension.rsv.[12].*.[04]", "x.extension.split.*",
		"x.extension.octets", "x.extension.chops", "x.extension.plain.fragments", "x.extension.mixed", "x.extension.bits.*", "x.extension.offer.*"})
	closes = []string{"1.1.1", "2.2", "7.1.[1-5]", "7.3.[1345]", "7.7.*", "x.frame.closed.*", "x.frame.[idn]*.8.true", "x.frame.start.8.true.0", "x.length.form.8.7.*", "x.extension.rsv.8.true.0", "x.extension.close",
		"x.close.*.utf8", "x.close.*.123", "x.close.*.123utf8", "x.close.100[0-37-9].none", "x.close.100[0-37-9].ascii", "x.close.101[01].none", "x.close.101[01].ascii", "x.close.[34]*.none", "x.close.[34]*.ascii",
		"x.close.pending", "x.close.octets", "x.close.echoes"}
	every = []string{"1.1.2", "2.2", "7.3.1"}
)

// breakages: rules of a receiver, then of a sender, then of both ends.
var breakages = []breakage{
	{name: "accepts reserved bits", in: mend(func(f *relayed) { f.rsv = 0 }),
		fails: []string{"3.[1-6]", "x.frame.start.[12].*.[1-7]", "x.frame.start.[89].true.[1-7]", "x.frame.start.10.true.[1-7]"}},
	{name: "ignores reserved opcodes", in: dropIf(func(_ *state, f relayed) bool { return !known(f.op) }),
		fails: []string{"4.*", "x.frame.start.[3-7].*", "x.frame.start.1[1-5].*", "x.frame.[idn]*.[3-7].*", "x.frame.[idn]*.1[1-5].*"}},
	{name: "ignores frames with reserved bits", in: dropIf(func(_ *state, f relayed) bool { return f.rsv&3 != 0 || f.rsv == 4 && f.op != 1 && f.op != 2 }),
		fails: []string{"3.[123567]", "x.frame.start.*.[1235-7]", "x.frame.start.[03-9].*.4", "x.frame.start.1[0-5].*.4",
			"x.extension.rsv.*.[1235-7]", "x.extension.rsv.[089].*.4", "x.extension.rsv.10.*.4", "x.extension.inside.*"}},
	{name: "ignores control frames in fragments", in: dropIf(func(_ *state, f relayed) bool { return f.op >= 8 && !f.fin }),
		fails: []string{"x.frame.start.[89].false.*", "x.frame.start.10.false.*", "x.frame.[idn]*.[89].false", "x.frame.[idn]*.10.false", "x.extension.rsv.[89].false.*", "x.extension.rsv.10.false.*"}},
	{name: "ignores Close frames that are not valid", in: dropIf(func(_ *state, f relayed) bool { return f.op == 8 && !validClose(f.payload) }),
		fails: []string{"7.3.[26]", "7.5.1", "7.9.*", "x.close.byte.*", "x.close.*.bad", "x.close.*.cut", "x.close.*.123cut", "x.close.*.124", "x.close.*.later", "x.close.[0-9].*",
			"x.close.[0-9][0-9].*", "x.close.[0-9][0-9][0-9].*", "x.close.100[456].*", "x.close.101[567].*", "x.close.1099.*", "x.close.1[159]??.*", "x.close.2*"}},
	{name: "takes a pong for a ping", in: changing(control[2:], func(f *relayed) { f.op = 9 }),
		fails: []string{"2.[789]", "x.frame.[idn]*.10.true", "x.frame.start.10.true.0", "x.length.form.10.7.*", "x.ping.pong.*", "x.ping.train", "x.extension.rsv.10.true.0"}},
	{name: "looks at text when the frame is whole", in: mend(func(*relayed) {}), fails: []string{"6.4.[34]", "x.text.frame.*", "x.text.octets.*"}, grade: NonStrict},
	{name: "ignores frames with the wrong mask", in: dropIf(func(s *state, f relayed) bool { return f.masked != (s.side == ServerSide) }), run: []string{"x.none"}, fails: []string{"x.mask.wrong.*"}},
	{name: "looks at what follows a Close frame", in: mend(func(*relayed) {}), swaps: true, fails: []string{"7.1.[345]", "x.frame.closed.[03-79].*", "x.frame.closed.1[1-5].*", "x.frame.closed.[12].true"}},
	{name: "believes any length", in: mend(func(*relayed) {}), fails: []string{"x.length.claim.*"}},
	{name: "accepts more than its limit", limit: 8 << 20, run: []string{"x.limit.*"}, fails: []string{"x.limit.header", "x.limit.fragments", "x.limit.inflated", "x.limit.bomb"}},
	{name: "has a limit, as it may", limit: 1 << 20, run: []string{"x.limit.*"}},
	{name: "adds a byte to its messages", out: mend(func(f *relayed) {
		if f.op < 8 && f.fin {
			f.payload = append(slices.Clip(f.payload), 6) // in deflate a block of type 3
		}
	}), run: []string{"2.*", "3.[1567]", "7.3.*", "7.7.*", "7.9.*"}, fails: echoes},
	{name: "answers a Close frame with another code", in: noteClose, out: func(s *state, f relayed) []relayed {
		if f.op == 8 && s.close && (len(f.payload) < 2 || bytes.HasPrefix(s.code, f.payload[:2])) {
			f.payload = []byte{15, 158} // 3998
		}
		return keep(f)
	}, fails: closes, run: []string{"2.5", "3.1", "7.9.*"}},
	{name: "agrees on a parameter that nobody knows", head: replace(": permessage-deflate", ": permessage-deflate; unknown"), run: every, fails: []string{"x.extension.example.1", "x.extension.offer.[0-9]"}},
	{name: "accepts any offer", head: anyOffer, only: true, side: ServerSide, run: []string{"x.extension.offer.[0-9]", "x.extension.offer.1?"}, fails: []string{"x.extension.offer.2[89]", "x.extension.offer.[34]?"}},
	{name: "sees no extensions", head: noExtensions, run: every, fails: []string{"x.extension.broken.*", "x.extension.answer.*"}},
	{name: "reaches behind the window", head: wideWindow, run: every, fails: []string{"x.extension.bits.[89].*", "x.extension.bits.1[01].*", "x.extension.bits.1[2-4].false"}},
	{name: "keeps the context that it was to give up", head: keptContext, run: every, fails: []string{"13.[26].*", "x.extension.bits.15.true"}},
	{name: "does not end the stream", hangs: true, run: []string{"x.none"}, fails: []string{"x.cut.drop.*", "x.close.silent"}},
	{name: "accepts control frames in fragments", in: wholeControls,
		fails: []string{"5.[12]", "x.frame.start.[89].false.0", "x.frame.start.10.false.0", "x.frame.inside.[89].false", "x.frame.deep.10.false", "x.frame.next.9.false"}},
	{name: "accepts long control frames", in: changing(control, func(f *relayed) { f.payload = f.payload[:min(125, len(f.payload))] }),
		fails: []string{"2.5", "7.3.6", "x.close.[34]*.124", "x.length.form.[89].*.126", "x.length.form.[89].*.6553[56]", "x.length.form.10.*.126", "x.length.form.10.*.6553[56]"}},
	{name: "does not look at the mask", in: func(s *state, f relayed) []relayed { f.masked = s.side == ServerSide; return keep(f) }, run: []string{"x.none"}, fails: []string{"x.mask.wrong.[0129].*", "x.mask.wrong.10.*", "x.mask.wrong.8.4"}},
	{name: "does not look at text", in: bytesIn, out: textOut,
		fails: []string{"6.3.*", "6.4.[12]", "6.6.[13468]", "6.6.10", "6.8.*", "6.10.*", "6.11.5", "6.12.*", "6.1[3-9].*", "6.2[01].*", "x.text.end.*", "x.text.late.*", "x.text.fragment.*", "x.text.split.*", "x.text.after.*", "x.extension.utf8*"}},
	{name: "looks at text when the message is whole", in: holding, fails: []string{"6.4.[12]", "x.text.fragment.*", "x.text.split.*"}, grade: NonStrict},
	{name: "ignores a continuation of nothing", in: inMessage(func(begun bool, f relayed) []relayed {
		if f.op == 0 && !begun {
			return nil
		}
		return keep(f)
	}), fails: []string{"5.9", "5.1[0-7]", "x.frame.start.0.*", "x.frame.next.0.*", "x.extension.rsv.0.*"}},
	{name: "takes a new message for more of the old one", in: inMessage(func(begun bool, f relayed) []relayed {
		if f.op < 8 && begun {
			f.op = 0
		}
		return keep(f)
	}), fails: []string{"5.18", "x.frame.inside.[12].*", "x.frame.deep.[12].*"}},
	{name: "accepts invalid close codes", in: onClose(func(b []byte) []byte {
		if len(b) >= 2 && !sendableCode(int(binary.BigEndian.Uint16(b))) {
			return append([]byte{3, 232}, b[2:]...)
		}
		return b
	}), fails: []string{"7.9.*", "x.close.0.*", "x.close.999.*", "x.close.100[456].*", "x.close.1015.*", "x.close.2999.*"}},
	{name: "accepts a Close frame of one byte", in: onClose(func(b []byte) []byte {
		if len(b) == 1 {
			return []byte{3, 232}
		}
		return b
	}), fails: []string{"7.3.2", "x.close.byte.*"}},
	{name: "does not look at close reasons", in: onClose(func(b []byte) []byte {
		if len(b) > 2 && !utf8.Valid(b[2:]) {
			return b[:2]
		}
		return b
	}), fails: []string{"7.5.1", "x.close.[34]*.cut", "x.close.[34]*.bad", "x.close.[34]*.123cut"}},
	{name: "drops what does not inflate", in: dropIf(func(_ *state, f relayed) bool {
		_, err := (&inflater{window: 32768}).message(f.payload)
		return f.rsv == 4 && f.fin && err != nil
	}), run: []string{"x.extension.example.1"}, fails: []string{"x.extension.bad.*", "x.extension.worse.*", "x.extension.short.*", "x.extension.window.far"}},

	{name: "answers pings with another payload", out: changing([]byte{10}, func(f *relayed) { f.payload = append(slices.Clip(f.payload[:min(124, len(f.payload))]), 'x') }), fails: pongs},
	{name: "does not answer pings", out: dropIf(func(_ *state, f relayed) bool { return f.op == 10 }), fails: pongs},
	{name: "echoes text as binary", out: changing(data, func(f *relayed) { f.op = 2 }), fails: texts1},
	{name: "does not echo empty messages", out: dropIf(func(_ *state, f relayed) bool { return f.op < 8 && f.fin && len(f.payload) == 0 }), fails: []string{"1.1.1", "1.2.1", "6.1.[12]"}},
	{name: "does not answer Close", in: noteClose, out: dropIf(func(s *state, f relayed) bool { return f.op == 8 && s.close }), run: []string{"2.5", "3.1"}, fails: []string{"1.1.1", "2.2", "7.3.1", "7.7.*"}, grade: Unclean},
	{name: "fails with 1003", out: changing([]byte{8}, func(f *relayed) {
		if len(f.payload) >= 2 && f.payload[1] == 1002&255 {
			f.payload[1] = 1003 & 255
		}
	}), run: []string{"1.1.1", "7.1.1", "7.3.*"}, fails: []string{"2.5", "3.1", "7.9.*", "7.3.[26]", "x.mask.wrong.1.*"}},
	{name: "fails without a Close frame", out: dropIf(func(_ *state, f relayed) bool { return f.op == 8 && len(f.payload) >= 2 && f.payload[1] != 1000&255 }),
		run: []string{"1.1.1", "2.5", "3.1", "7.9.*"}, fails: []string{"x.mask.wrong.1.*", "x.frame.start.3.*"}, grade: NonStrict},
	{name: "leaves the connection open", hangs: true, only: true, side: ServerSide, run: []string{"x.none"}, fails: []string{"1.1.1", "2.5"}, grade: FailedByClient},
	{name: "masks as the other side", out: mend(func(f *relayed) { f.masked = !f.masked }), fails: every, run: every},
	{name: "sends RSV1 that nobody agreed on", out: changing(data, func(f *relayed) { f.rsv = 4 }), fails: every[:1], run: every},
	{name: "sends a reserved opcode", out: changing([]byte{10}, func(f *relayed) { f.op = 11 }), fails: every[1:2], run: every},
	{name: "sends lengths that are not the shortest", out: changing(data, func(f *relayed) { f.form = 64 }), fails: every[:1], run: every},
	{name: "sends control frames in fragments", out: changing([]byte{10}, func(f *relayed) { f.fin = false }), fails: every[1:2], run: every},
	{name: "sends a continuation of nothing", out: changing(data, func(f *relayed) { f.op = 0 }), fails: every[:1], run: every},
	{name: "sends the close code 1005", out: changing([]byte{8}, func(f *relayed) { f.payload = []byte{3, 237} }), fails: every, run: every},
	{name: "sends a Close frame of one byte", out: changing([]byte{8}, func(f *relayed) { f.payload = []byte{3} }), fails: every, run: every},
	{name: "sends reasons that are not UTF-8", out: changing([]byte{8}, func(f *relayed) { f.payload = append(f.payload, 0xff) }), fails: every[:2], run: every[:2]},
	{name: "sends data after Close", out: after(8, relayed{rawFrame: rawFrame{fin: true, op: 1, payload: []byte("late")}}), fails: every, run: every},
	{name: "answers without server_max_window_bits", head: replace("; server_max_window_bits=9", ""), only: true, side: ServerSide,
		run: []string{"12.1.1", "13.[1-5].1"}, fails: []string{"x.extension.bits.9.*"}},
	{name: "answers client_max_window_bits unasked", head: replace("Extensions: permessage-deflate; server", "Extensions: permessage-deflate; client_max_window_bits=15; server"),
		only: true, side: ServerSide, run: []string{"1.1.1"}, fails: []string{"x.extension.offer.1"}},

	{name: "takes a message cut short for a whole one", in: inMessage(func(_ bool, f relayed) []relayed { return keep(f) }), ends: true, only: true, side: ServerSide, run: []string{"x.close.silent"}, fails: []string{"x.cut.drop.plain.0.1[0-6]"}},
	{name: "fragments its echoes, as it may", out: inHalves},
	{name: "pings when it likes, as it may", out: func(_ *state, f relayed) []relayed {
		return []relayed{{rawFrame: rawFrame{fin: true, op: 9, payload: []byte("still there?")}, masked: f.masked}, f}
	}},
}

// validClose tells whether a Close frame may have this payload.
func validClose(b []byte) bool {
	return len(b) == 0 || len(b) >= 2 && len(b) <= 125 && sendableCode(int(binary.BigEndian.Uint16(b))) && utf8.Valid(b[2:])
}

// anyOffer agrees on permessage-deflate where the server does not.
func anyOffer(_ *state, head string) string {
	if strings.HasPrefix(head, "HTTP/1.1 101") && !strings.Contains(head, "Extensions: ") {
		return strings.Replace(head, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 1)
	}
	return head
}

var extensionsLine = regexp.MustCompile("Sec-WebSocket-Extensions: .*\r\n")

// noExtensions hides all of them from the endpoint.
func noExtensions(s *state, head string) string {
	if toEndpoint(s, head) {
		return extensionsLine.ReplaceAllString(head, "")
	}
	return head
}

// wideWindow has the endpoint believe that its window has 15 bits.
func wideWindow(s *state, head string) string {
	bits := regexp.MustCompile("(" + s.side.String() + `_max_window_bits=)\d+`)
	if toEndpoint(s, head) {
		s.kept = bits.FindString(head)
		return bits.ReplaceAllString(head, "${1}15")
	} else if s.kept != "" {
		return bits.ReplaceAllString(head, s.kept)
	}
	return head
}

// keptContext hides from the endpoint that it is to forget.
func keptContext(s *state, head string) string {
	name := "; " + s.side.String() + "_no_context_takeover"
	if toEndpoint(s, head) {
		if strings.Contains(head, name) {
			s.kept = name
		}
		return strings.ReplaceAll(head, name, "")
	} else if !strings.Contains(head, name) {
		return strings.Replace(head, ": permessage-deflate", ": permessage-deflate"+s.kept, 1)
	}
	return head
}

func toEndpoint(s *state, head string) bool {
	return (s.side == ServerSide) == strings.HasPrefix(head, "GET ")
}

func replace(old, new string) func(*state, string) string {
	return func(_ *state, head string) string { return strings.ReplaceAll(head, old, new) }
}

func noteClose(s *state, f relayed) []relayed {
	if f.op == 8 && !s.close {
		s.close, s.code = true, f.payload
	}
	return keep(f)
}

// wholeControls passes a control frame on as a whole one, without what it lacks.
func wholeControls(s *state, f relayed) []relayed {
	if f.op == 0 && s.part {
		return nil
	}
	if f.op >= 8 {
		s.part, f.fin = !f.fin, true
	}
	return keep(f)
}

// bytesIn and textOut hide from the endpoint that text is text.
func bytesIn(s *state, f relayed) []relayed {
	if f.op == 1 || f.op == 2 {
		s.kinds = append(s.kinds, f.op)
		f.op = 2
	}
	return keep(f)
}

func textOut(s *state, f relayed) []relayed {
	if f.op == 2 && len(s.kinds) > 0 {
		f.op, s.kinds = s.kinds[0], s.kinds[1:]
	}
	return keep(f)
}

func holding(s *state, f relayed) []relayed {
	if f.op >= 8 {
		return keep(f)
	}
	if s.held = append(s.held, f); !f.fin {
		return nil
	}
	all := s.held
	s.held = nil
	return all
}

// inMessage is a rule that depends on whether a message is under way.
func inMessage(then func(begun bool, f relayed) []relayed) rule {
	return func(s *state, f relayed) []relayed {
		begun := s.begun
		if f.op < 8 && (f.op != 0 || begun) {
			s.begun = !f.fin
		}
		return then(begun, f)
	}
}

func onClose(change func(b []byte) []byte) rule {
	return changing([]byte{8}, func(f *relayed) { f.payload = change(f.payload) })
}

func after(op byte, more relayed) rule {
	return func(_ *state, f relayed) []relayed {
		if f.op == op {
			next := more
			next.masked = f.masked
			return []relayed{f, next}
		}
		return keep(f)
	}
}

func inHalves(_ *state, f relayed) []relayed {
	if f.op >= 8 || len(f.payload) < 2 || f.rsv != 0 {
		return keep(f)
	}
	first, rest := f, f
	first.fin, first.payload, rest.op, rest.payload = false, f.payload[:1], 0, f.payload[1:]
	return []relayed{first, rest}
}

// duplex is one end of a connection in memory, whose directions end one by one.
type duplex struct {
	net.Conn // read from
	w        net.Conn
}

func newDuplex() (a, b net.Conn) {
	ar, bw := net.Pipe()
	br, aw := net.Pipe()
	return duplex{ar, aw}, duplex{br, bw}
}

func (d duplex) Write(b []byte) (int, error)        { return d.w.Write(b) }
func (d duplex) CloseWrite() error                  { return d.w.Close() }
func (d duplex) Close() error                       { return errors.Join(d.w.Close(), d.Conn.Close()) }
func (d duplex) SetWriteDeadline(t time.Time) error { return d.w.SetWriteDeadline(t) }
func (d duplex) SetDeadline(t time.Time) error {
	return errors.Join(d.Conn.SetReadDeadline(t), d.w.SetWriteDeadline(t))
}

// relay joins the judge and the endpoint until both have ended.
func (b breakage) relay(side Side, judge, endpoint net.Conn) {
	s := &state{side: side}
	var group sync.WaitGroup
	group.Go(func() { b.pass(s, b.in, judge, endpoint); endpoint.(duplex).CloseWrite() })
	group.Go(func() {
		b.pass(s, b.out, endpoint, judge)
		if !b.hangs {
			judge.(duplex).CloseWrite()
		}
	})
	group.Wait()
	if b.hangs {
		time.Sleep(time.Hour) // which takes no time here
	}
	judge.Close()
	endpoint.Close()
}

func (b breakage) pass(s *state, r rule, from, to net.Conn) {
	br := bufio.NewReader(from)
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		line, err := br.ReadSlice('\n')
		if head = append(head, line...); err != nil {
			return
		}
	}
	if b.head != nil {
		head = []byte(b.head(s, string(head)))
	}
	_, _ = to.Write(head)
	if r == nil {
		_, _ = io.Copy(to, br)
	}
	for r != nil {
		f, err := readRelayed(br)
		if err != nil && b.ends && s.begun {
			f, err = relayed{rawFrame: rawFrame{fin: true}, masked: true}, nil
		}
		if errors.Is(err, errClaim) {
			_, _ = io.Copy(io.Discard, br)
		}
		if err != nil {
			break
		}
		s.mu.Lock()
		all := r(s, f)
		s.mu.Unlock()
		if b.swaps && f.op == 8 {
			_ = from.SetReadDeadline(time.Now().Add(time.Second))
			if next, err := readRelayed(br); err == nil {
				all = []relayed{next, f}
			}
			_ = from.SetReadDeadline(time.Time{})
		}
		for _, f := range all {
			side := ClientSide
			if f.masked {
				side = ServerSide
			}
			w := wireFrame{fin: f.fin, rsv: f.rsv, op: f.op, payload: f.payload, form: f.form, key: []byte(exampleKey)}
			if _, err := to.Write((&prober{side: side}).append(nil, w)); err != nil {
				_, _ = io.Copy(io.Discard, br)
			}
		}
	}
}

var errClaim = errors.New("a length that is only a claim")

// readRelayed reads a frame and judges nothing.
func readRelayed(br *bufio.Reader) (f relayed, err error) {
	h := make([]byte, 14)
	if _, err = io.ReadFull(br, h[:2]); err != nil {
		return f, err
	}
	f.fin, f.rsv, f.op, f.masked = h[0]&0x80 != 0, h[0]>>4&7, h[0]&15, h[1]&0x80 != 0
	n := int(h[1] & 127)
	if size := map[int]int{126: 2, 127: 8}[n]; size > 0 {
		if _, err = io.ReadFull(br, h[8-size:8]); err != nil {
			return f, err
		}
		clear(h[:8-size])
		claim := binary.BigEndian.Uint64(h)
		if n = int(claim); claim > largest {
			return f, errClaim
		}
	}
	key := make([]byte, 4)
	if f.masked {
		if _, err = io.ReadFull(br, key); err != nil {
			return f, err
		}
	}
	f.payload = make([]byte, n)
	_, err = io.ReadFull(br, f.payload)
	xorKey(f.payload, key)
	return f, err
}

// judgeBroken judges an endpoint of package wsproto behind the breakage.
func judgeBroken(t *testing.T, b breakage, side Side, o Options) (results []Result) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	join := func() (judge, endpoint net.Conn) {
		x, y := newDuplex()
		z, e := newDuplex()
		group.Go(func() { b.relay(side, y, z) })
		return x, e
	}
	ln := queue{make(chan net.Conn, 100), make(chan struct{})}
	config := wsproto.Config{MaxMessage: 16 << 20}
	if b.limit > 0 {
		config.MaxMessage, o.Limit = b.limit, 1<<20
	}
	if side == ServerSide {
		s := &wsproto.Server{OnMessage: func(u *wsproto.User, m wsproto.Message) { _ = u.Reply(m.Opcode, m.Data) }, Config: config}
		s.Accept.ContextTakeover = true
		group.Go(func() { _ = s.Serve(ln) })
		defer s.Shutdown(ctx)
		results, _ = Server(ctx, func(context.Context) (net.Conn, error) {
			x, e := join()
			ln.conns <- e
			return x, nil
		}, "127.0.0.1", "/", o)
		return results
	}
	dial := func(context.Context, string, string) (net.Conn, error) {
		x, e := join()
		ln.conns <- x
		return e, nil
	}
	options := wsproto.DialOptions{NetDial: dial, Config: config, ContextTakeover: true}
	group.Go(func() {
		_ = Client(ctx, ln, o, func(_ string, all []Result) bool { results = all; return true })
	})
	for i := range Select(ClientSide, o) {
		echoOnce(ctx, "ws://127.0.0.1/runCase?agent=a&case="+strconv.Itoa(i+1), options)
	}
	b = breakage{}
	echoOnce(ctx, "ws://127.0.0.1/updateReports?agent=a", options)
	cancel()
	group.Wait()
	return results
}

func echoOnce(ctx context.Context, url string, opt wsproto.DialOptions) {
	c, _, err := wsproto.Dial(ctx, url, opt)
	if err != nil {
		return
	}
	defer c.Close(wsproto.StatusNormalClosure, "")
	for {
		m, err := c.ReadMessage()
		if err != nil || c.Reply(m.Opcode, m.Data) != nil {
			return
		}
	}
}

// queue is a listener.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
}

func (q queue) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (q queue) Close() error   { close(q.done); return nil }
func (q queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

var allCases = sync.OnceValue(func() [2][]Case {
	return [2][]Case{Select(ServerSide, Options{}), Select(ClientSide, Options{})}
})

// names is the cases that patterns of package path name.
func names(side Side, patterns []string) (all []string) {
	for _, c := range allCases()[side] {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, c.ID); return ok }) {
			all = append(all, c.ID)
		}
	}
	return all
}

// play judges the broken endpoint in a world where waiting takes no time.
func (b breakage) play(t *testing.T, side Side, cases []string) (results []Result) {
	o := Options{Cases: cases, Jobs: 8, Wait: 5 * time.Second, Volume: Quick}
	synctest.Test(t, func(t *testing.T) { results = judgeBroken(t, b, side, o) })
	if len(results) != len(cases) {
		t.Errorf("%s that %s: %d results of %d cases", side, b.name, len(results), len(cases))
	}
	return results
}

func (b breakage) test(t *testing.T, side Side) {
	run := b.run
	if run == nil {
		run = neighbours
	}
	fails := names(side, b.fails)
	for _, r := range b.play(t, side, names(side, slices.Concat(run, b.fails))) {
		broken := slices.Contains(fails, r.ID) && !r.open && !r.info
		if got := r.Worst() > Informational; got != broken || broken && b.grade != OK && r.Worst() != b.grade {
			t.Errorf("%s that %s: case %s is %v, %v (%s), want it broken: %t %v", side, b.name, r.ID, r.Behavior, r.Close, r.Finding, broken, b.grade)
		}
	}
}

func allBreakages() []breakage {
	all := slices.Clone(breakages)
	for _, c := range handshakes() {
		if !c.open {
			all = append(all, unbent(c))
		}
	}
	return all
}

func TestBroken(t *testing.T) {
	for _, b := range allBreakages() {
		for _, side := range []Side{ServerSide, ClientSide} {
			if b.only && b.side != side {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", b.name, side), func(t *testing.T) { t.Parallel(); b.test(t, side) })
		}
	}
}

// unbent is an endpoint that accepts one handshake that it has to refuse, or the
// other way round.
func unbent(c Case) breakage {
	template := [...]string{ServerSide: request, ClientSide: response}[c.side]
	broken := strings.Replace(template, "Sec-WebSocket-", "X-", 1)
	if c.refuses != "" {
		broken = template
	}
	return breakage{name: "has it wrong: " + c.ID, only: true, side: c.side, fails: []string{c.ID}, run: []string{"x.handshake.p*", "x.handshake.bad.[ku]*"},
		head: func(s *state, head string) string {
			if i := strings.Index(strings.ToLower(head), "sec-websocket-key: "); i >= 0 {
				s.key, _, _ = strings.Cut(head[i+len("sec-websocket-key: "):], "\r\n")
			}
			values := []string{"{path}", "/", "{host}", "127.0.0.1", "{key}", s.key, "{accept}", acceptFor(s.key)}
			if head != fill(c.head, "", "", values...) {
				return head
			}
			values[5] = "MTIzNDU2Nzg5MDEyMzQ1Ng=="
			return fill(broken, "", "", values...)
		}}
}

// TestEveryCase finds for each case an endpoint above that fails it. Those that are
// left open cannot fail.
func TestEveryCase(t *testing.T) {
	for _, side := range []Side{ServerSide, ClientSide} {
		var broken []string
		for _, b := range allBreakages() {
			if !b.only || b.side == side {
				broken = append(broken, names(side, b.fails)...)
			}
		}
		for _, c := range allCases()[side] {
			if !slices.Contains(broken, c.ID) && !c.open && !c.info {
				t.Errorf("no broken %s fails the case %s", side, c.ID)
			}
		}
	}
}

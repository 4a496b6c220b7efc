package talk

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The conversations below are written as what happens, one word after the other:
//
//	q5 t5 h5 r5 s5 m   5 bytes queued, taken, held by the system, read, shown; something moved
//	eof said match     the input ended, our end went out, -expect is matched
//	fin close gone     the peer ended its side; a WebSocket's Close; it is away altogether
//	torn reset code9   …its side, without saying so in TLS; a reset; a Close with an exit code
//	fail               nothing more can be sent
//	for late cut tick  -for is over; -timeout is; a signal; nothing
//	+5s                time passes, and a tick tells so
//
// and behind > what is to be done then: say, away, watch, over. Without > that is
// nothing, or only to wait.
type conversation struct {
	name  string
	rules Rules
	story string
	exit  int
	text  string
}

var (
	stream = Rules{Linger: 5 * time.Second, Stall: 30 * time.Second}
	ws     = Rules{Kind: Message, Linger: time.Second, Stall: 30 * time.Second}
	udp    = Rules{Kind: Datagram, Linger: time.Second, Stall: 30 * time.Second}
)

// with is r with changes.
func (r Rules) with(change func(r *Rules)) Rules {
	change(&r)
	return r
}

var (
	hold     = func(r *Rules) { r.Hold = true }
	keepOpen = func(r *Rules) { r.KeepOpen = true }
	count2   = func(r *Rules) { r.Count = 2 }
	expect   = func(r *Rules) { r.Expect = true }
	forever  = func(r *Rules) { r.Linger, r.Stall = Forever, Forever }
)

var conversations = []conversation{
	// Streams: FIN at once, then what comes until the peer's.
	{"an echo", stream, "q5 t5 eof >say said r5 s5 fin >over", 0, ""},
	{"nothing to send", stream, "eof >say said fin >over", 0, ""},
	{"FIN waits for the last byte", stream, "q5 eof t3 t2 >say said fin >over", 0, ""},
	{"the peer ends first and reads on (A1)", stream, "q9 t3 fin +29s t3 +29s t3 eof >say said >over", 0, ""},
	{"…and the system still holds some", stream, "q9 t9 h9 fin eof >say said >watch +29s >watch h3 >watch +29s >watch h0 >over", 0, ""},
	{"…which it never takes", stream, "q9 t9 h9 fin eof >say said >watch h4 >watch +30s >watch+over", 55,
		"the peer took nothing for 30s, not delivered: 4 of 9 bytes"},
	{"the peer ends, and our input pauses", stream, "fin +29s q1 t1 +29s q1 t1 eof >say said >over", 0, ""},
	{"…and brings nothing", stream, "q1 t1 fin +29s +1s >say said >over", 0, ""},
	{"an answer that goes on after our end (A3)", stream, "q1 t1 eof >say said +4s r1 s1 +4s r1 s1 +4s r1 s1 fin >over", 0, ""},
	{"an answer that begins late (A8)", stream, "q1 t1 eof >say said +3s r1 s1 fin >over", 0, ""},
	{"no end from the peer", stream, "q1 t1 eof >say said r1 s1 +4999ms +1ms >over", 28,
		"the peer did not end: nothing came for 5s, bytes sent: 1, received: 1"},
	{"-linger 0", stream.with(func(r *Rules) { r.Linger = 0 }), "q1 t1 eof >say said >over", 0, ""},
	{"…and patience without end", stream.with(forever), "q1 t1 eof >say said +9999h fin >over", 0, ""},
	{"a part of a message moves", stream, "eof >say said +4s m +4s m +4s fin >over", 0, ""},
	{"the peer takes nothing in the middle", stream, "q9 t3 +29s +1s >over", 55,
		"the peer took nothing for 30s, not delivered: 6 of 9 bytes and the rest of the input"},
	{"a printer that pauses (C7)", stream.with(forever), "q9 t3 eof +34s t6 >say said fin >over", 0, ""},
	{"…when all is with the system", stream, "q9 t9 h9 eof >say said >watch +29s >watch h0 +4s fin >over", 0, ""},
	{"the peer takes nothing but talks", stream, "q9 t3 +29s r1 s1 +29s r1 s1 +29s t6 eof >say said fin >over", 0, ""},
	{"stdout stalls after our end", stream, "eof >say said r9 +29s s9 fin >over", 0, ""},
	{"…for ever", stream, "eof >say said r9 s4 +30s >over", 56, "stdout took nothing for 30s, not written: 5 of 9 bytes received"},
	{"stdout stalls in the middle, as a pager does", stream, "q1 t1 r9 +9h s9 eof >say said fin >over", 0, ""},
	{"a reset", stream, "q9 t9 h4 reset >over", 55, "connection reset by peer, not delivered: 4 of 9 bytes and the rest of the input"},
	{"…when all was taken", stream, "q9 t9 r2 s2 reset >over", 56, "connection reset by peer, bytes received: 2"},
	{"the peer ends and then refuses", stream, "q9 t3 fin fail >over", 55, "broken pipe, not delivered: 6 of 9 bytes and the rest of the input"},
	{"our end finds a reset", stream, "q9 t9 fin eof >say fail >over", 55, "broken pipe: bytes sent: 9, and it may not have got them all"},
	{"it refuses, and says why afterwards", stream, "q9 t3 eof fail +1s r5 s5 +1s gone >over", 55, "broken pipe, not delivered: 6 of 9 bytes"},
	{"…or does not", stream, "q9 t3 eof fail +1999ms +1ms >over", 55, "broken pipe, not delivered: 6 of 9 bytes"},
	{"TLS without close_notify (A14)", stream, "q1 t1 eof >say said r11 s11 torn >over", 56, "no close_notify, bytes received: 11"},
	{"…reads on all the same", stream, "q9 t1 torn t8 eof >say said >over", 56, "no close_notify, bytes received: 0"},
	{"a line too long", stream, "r9 s9 code63 >over", 63, "connection closed: 63"},
	{"-keep-open: no FIN", stream.with(keepOpen), "q1 t1 eof r1 s1 +4s r1 s1 +5s >over", 0, ""},
	{"…and the peer's end is the end", stream.with(keepOpen), "q1 t1 eof r1 s1 fin >over", 0, ""},
	{"-keep-open, and nobody takes it", stream.with(keepOpen), "q9 t9 h9 eof >watch +30s >watch+over", 55,
		"the peer took nothing for 30s, not delivered: 9 of 9 bytes"},
	{"-n: until the peer ends (A9)", stream.with(hold), "r1 s1 +9h r1 s1 fin >say said >over", 0, ""},
	{"FIN, and then a reset", stream, "q9 t9 h9 eof >say said >watch fin >watch reset >over", 55, "connection reset by peer, not delivered: 9 of 9 bytes"},
	{"-n -for", stream.with(hold), "r1 s1 +3s for >say+over", 0, ""},
	{"-n -count", stream.with(hold).with(count2), "r1 s1 +9h r1 s1 >say+over", 0, ""},
	{"-for, and nobody takes it", stream, "q9 t1 +3s for +999ms +1ms >over", 55,
		"time of -for is up, not delivered: 8 of 9 bytes and the rest of the input"},

	// -count and -expect: a success whatever follows, on a stream at once.
	{"-expect met", stream.with(expect), "q1 t1 r5 match s5 >say+over", 0, ""},
	{"-expect met before all is sent", stream.with(expect), "q9 t1 r5 match s5 t8 >say+over", 0, ""},
	{"…and the rest stays here", stream.with(expect), "q9 t1 r5 match s5 +999ms +1ms >over", 0, ""},
	{"…or with the system", stream.with(expect), "q9 t9 h9 r5 match s5 >say+watch said >watch +1s >watch+over", 0, ""},
	{"-expect waits after our end", stream.with(expect), "q1 t1 eof >say said +9h r1 s1 +9h r5 match s5 >over", 0, ""},
	{"-expect not met", stream.with(expect), "q1 t1 eof >say said r1 s1 fin >over", 10, "none of 1 messages matches -expect"},
	{"-count not met", stream.with(count2), "q1 t1 eof >say said r1 s1 fin >over", 10, "messages received: 1, expected: 2"},
	{"both, the match later", stream.with(count2).with(expect), "r1 match s1 r1 s1 >say+over", 0, ""},
	{"both, and no match", stream.with(count2).with(expect), "r1 s1 r1 s1 >say+over", 10, "none of 2 messages matches -expect"},
	{"-for before -expect", stream.with(expect), "r1 s1 +3s for >say+over", 10, "none of 1 messages matches -expect"},
	{"a reset after the match", stream.with(expect), "q9 t1 r1 match s1 reset >over", 0, ""},

	// WebSocket: the Close after a silence.
	{"a Close after a second of silence", ws, "q5 t5 eof +900ms r5 s5 +999ms +1ms >say said close >over", 0, ""},
	{"what comes after our Close counts", ws, "q1 t1 eof +1s >say said +4s r1 s1 +4s r1 s1 close >over", 0, ""},
	{"the Close is never answered", ws, "q1 t1 eof +1s >say said +4999ms +1ms >over", 28,
		"the close frame was not answered: nothing came for 5s, bytes sent: 1, received: 0"},
	{"a slow stdout is no silence", ws, "q1 t1 eof r9 +3s s9 +1s >say said close >over", 0, ""},
	{"…for ever", ws, "q1 t1 eof r9 s8 +30s >over", 56, "stdout took nothing for 30s, not written: 1 of 9 bytes received"},
	{"the Close waits behind what the peer does not take", ws, "q9 t9 h9 eof >watch +1s >say+watch said >watch +30s >watch+over", 55, "the peer took nothing for 30s, not delivered: 9 of 9 bytes"},
	{"-linger off", ws.with(forever), "q1 t1 eof +9999h r1 s1 close >over", 0, ""},
	{"the peer closes in the middle", ws, "q9 t3 close >over", 55, "connection closed: code 1000, not delivered: 6 of 9 bytes and the rest of the input"},
	{"…with a code", ws, "q9 t3 eof code9 >over", 9, "connection closed: 9, not delivered: 6 of 9 bytes"},
	{"…and nothing waits", ws, "q9 t9 r1 s1 close >over", 0, ""},
	{"no Close at all", ws, "q9 t9 r1 s1 away >over", 56, "no close frame, bytes received: 1"},
	{"-count met: the Close has a second (hw-01)", ws.with(count2), "r1 s1 r1 s1 >say said +999ms +1ms >over", 0, ""},
	{"…in a flood, too", ws.with(count2), "r1 s1 r1 s1 >say said +500ms r9 s9 +499ms r9 s9 +1ms >over", 0, ""},
	{"…with any code", ws.with(count2), "r1 s1 r1 s1 >say said code9 >over", 0, ""},
	{"-count met while we send", ws.with(count2), "q9 t3 r1 s1 r1 s1 >say said close >over", 0, ""},
	{"no Close while a count is waited for", ws.with(count2), "eof +9h r1 s1 +9h r1 s1 >say said close >over", 0, ""},
	{"-timeout", ws, "r1 s1 late >say+away said +499ms +1ms >over", 28, "time is up: 2s, messages received: 1"},
	{"what the system held is taken while we are silent", ws, "q9 t9 h9 eof >watch +20ms >watch h0 +999ms +1ms >say said close >over", 0, ""},
	{"…answered", ws, "q9 t1 late >say+away said close >over", 28,
		"time is up: 2s, messages received: 0, not delivered: 8 of 9 bytes and the rest of the input"},
	{"a signal", ws, "q1 t1 cut >say+away said cut close >over", 130, "interrupted, messages received: 0"},
	{"a signal after success", ws.with(count2), "r1 s1 r1 s1 >say said cut +1s >over", 0, ""},
	{"-n -for", ws.with(hold), "r1 s1 +3s for >say said +999ms +1ms >over", 0, ""},

	// Datagrams: no end, but silence.
	{"UDP", udp, "q1 t1 q1 t1 eof +900ms r1 s1 +999ms +1ms >over", 0, ""},
	{"UDP, nobody there", udp, "q1 t1 eof code7 >over", 7, "connection closed: 7"},
	{"UDP -count", udp.with(count2), "q1 t1 eof +9h r1 s1 r1 s1 >over", 0, ""},
	{"UDP -timeout", udp, "q1 t1 late >over", 28, "time is up: 2s, messages received: 0"},
	{"UDP -n", udp.with(hold), "r1 s1 +9h r1 s1 cut >over", 130, "interrupted, messages received: 2"},
}

// A player plays a story to a Conversation.
type player struct {
	*Conversation
	now time.Time
}

func play(r Rules) *player {
	p := &player{&Conversation{Rules: r}, time.Unix(1e9, 0)}
	p.Tell(p.now, Event{What: Begun})
	return p
}

var words = map[string]Event{
	"eof": {What: InputEnded}, "said": {What: Said}, "match": {What: Matched}, "m": {What: Moved}, "tick": {What: Tick},
	"fin":   {What: PeerEnded},
	"close": {What: PeerEnded, Gone: true, Text: "connection closed: code 1000"},
	"gone":  {What: PeerEnded, Gone: true},
	"away":  {What: PeerEnded, Gone: true, Torn: true, Text: "no close frame"},
	"torn":  {What: PeerEnded, Torn: true, Text: "no close_notify"},
	"reset": {What: PeerEnded, Gone: true, Torn: true, Text: "connection reset by peer"},
	"fail":  {What: SendFailed, Text: "broken pipe"},
	"for":   {What: Enough, Text: "time of -for is up"},
	"late":  {What: Cut, Exit: 28, Text: "time is up: 2s"},
	"cut":   {What: Cut, Exit: 130, Text: "interrupted"},
}

// word tells one word of a story.
func (p *player) word(w string) Step {
	if ev, ok := words[w]; ok {
		return p.Tell(p.now, ev)
	}
	if code, ok := strings.CutPrefix(w, "code"); ok {
		n, _ := strconv.Atoi(code)
		return p.Tell(p.now, Event{What: PeerEnded, Gone: true, Exit: n, Text: "connection closed: " + code})
	}
	if w[0] == '+' {
		d, err := time.ParseDuration(w[1:])
		if err != nil {
			panic(err)
		}
		p.now = p.now.Add(d)
		return p.Tell(p.now, Event{What: Tick})
	}
	n, err := strconv.ParseInt(w[1:], 10, 64)
	what, ok := map[byte]What{'q': Queued, 't': Taken, 'h': Held, 'r': Read, 's': Shown}[w[0]]
	if err != nil || !ok {
		panic("no word: " + w)
	}
	return p.Tell(p.now, Event{What: what, N: n})
}

func (s Step) String() string {
	var did []string
	for i, on := range []bool{s.Say, s.Away, s.Watch, s.Over} {
		if on {
			did = append(did, []string{"say", "away", "watch", "over"}[i])
		}
	}
	return strings.Join(did, "+")
}

func TestConversations(t *testing.T) {
	for _, tt := range conversations {
		p := play(tt.rules)
		words := strings.Fields(tt.story)
		for i := 0; i < len(words); i++ {
			w, want := words[i], ""
			s := p.word(w)
			if i+1 < len(words) && words[i+1][0] == '>' {
				i, want = i+1, words[i+1][1:]
			}
			if got := s.String(); got != want {
				t.Errorf("%s: after %s: %q; want %q", tt.name, strings.Join(words[:i+1], " "), got, want)
			}
		}
		if got := p.Outcome(); got != (Outcome{tt.exit, tt.text}) {
			t.Errorf("%s: %v; want %d %q", tt.name, got, tt.exit, tt.text)
		}
	}
}

// Each conversation is cut at each of its words in each way there is. It ends, it
// is no success where bytes are missing, and stays as it ended.
func TestCutAtEveryEvent(t *testing.T) {
	for _, tt := range conversations {
		var story []string
		for w := range strings.FieldsSeq(tt.story) {
			if w[0] != '>' {
				story = append(story, w)
			}
		}
		for n := range len(story) + 1 {
			for _, how := range []string{"reset", "close", "fin", "torn", "fail", "for", "cut", "tick", "eof"} {
				t.Run(fmt.Sprintf("%s/%d %s", tt.name, n, how), func(t *testing.T) { cutAfter(t, tt.rules, story[:n], how) })
			}
		}
	}
}

func cutAfter(t *testing.T, r Rules, story []string, how string) {
	p := play(r)
	for _, w := range story {
		p.word(w)
	}
	s := p.word(how)
	if how == "reset" && !s.Over {
		t.Fatalf("a reset is not the end: %v", s)
	}
	for range 20 { // the shell does what it is told; else nothing happens any more
		switch {
		case s.Say && !s.Over:
			s = p.word("said")
		case s.Over || s.Wake.IsZero():
		case !s.Wake.After(p.now):
			t.Fatalf("told at %v to come again at %v", p.now, s.Wake)
		default:
			p.now = s.Wake
			s = p.word("tick")
		}
	}
	out, torn := p.Outcome(), p.peer != nil && p.peer.Torn
	switch lost := p.owed() > 0 || p.shown < p.read || torn; {
	case !s.Over && (!s.Wake.IsZero() || s.Say):
		t.Errorf("it goes round and round: %+v", s)
	case s.Over && lost && !p.met && (out.Exit == 0 || out.Text == ""):
		t.Errorf("bytes are missing, and the outcome is %+v", out)
	}
	if again := p.word("q1"); s.Over && !again.Over {
		t.Error("it was over, and is not")
	}
}

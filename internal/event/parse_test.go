package event

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// whole are events with all there is to say, as Parse gives them, and their lines.
var whole = []struct {
	e    Event
	json string
}{
	{Event{Time: noon.Truncate(time.Microsecond), Event: Open, Proto: "ws", Client: 2, ID: "i", Peer: "127.0.0.1:1", Path: "/", Addr: "a", Dir: In,
		Head: "GET / HTTP/1.1\r\nHost: h\r\nX:  1 \r\n\r\n", Fields: []Data{Text("target", "t"), Int("n", -7), Float("ms", 0.25)}},
		`{"time":"2026-11-20T12:00:00.123456Z","event":"open","proto":"ws","client":2,"id":"i","peer":"127.0.0.1:1","path":"/","addr":"a","dir":"in",` +
			`"head":"GET / HTTP/1.1\r\nHost: h\r\nX:  1 \r\n\r\n","target":"t","n":-7,"ms":0.250}`},
	{Event{Event: Open, Client: -1, Head: "GET / HTTP/1.1\r\nX: caf\xe9\r\n\r\n"},
		`{"event":"open","head_base64":"R0VUIC8gSFRUUC8xLjENClg6IGNhZukNCg0K"}`},
	{Event{Event: Message, Proto: "wss", Dir: Out, Opcode: "text", Payload: []byte("hi"), Size: 5, Code: 1, Reason: "r", Err: "e", Fragments: 3, Compressed: true},
		`{"event":"message","proto":"wss","client":0,"dir":"out","opcode":"text","size":5,"text":"hi","cut":3,"code":1,"reason":"r","error":"e","fragments":3,"compressed":true}`},
	{Event{Event: Error, Proto: "ws", Client: 1, Payload: []byte("\x89\x00"), Size: 2, Code: 1002, Err: "not masked"},
		`{"event":"error","proto":"ws","client":1,"size":2,"base64":"iQA=","code":1002,"error":"not masked","offset":0}`},
	{Event{Event: Error, Client: -1, Payload: []byte("GET /50% HTTP/1.1\r\n"), Size: 19, Err: "bad target", Offset: 5},
		`{"event":"error","size":19,"text":"GET /50% HTTP/1.1\r\n","error":"bad target","offset":5}`},
	{Event{Event: "x", Client: -1, Fields: []Data{
		{Key: "a", kind: kindRaw, text: `{"b":[1,"c\u202e\u007f✓\"\\",null]}`}, {Key: "d", kind: kindRaw, text: "1e9"}, {Key: "f", kind: kindRaw, text: "true"},
		{Key: "g", kind: kindRaw, text: "null"}, {Key: "h", kind: kindRaw, text: "0.25"}, {Key: "i", kind: kindRaw, text: "99999999999999999999"}, Text("", "")}},
		`{"event":"x","a":{"b":[1,"c\u202e\u007f✓\"\\",null]},"d":1e9,"f":true,"g":null,"h":0.25,"i":99999999999999999999,"":""}`},
}

func TestWholeEvents(t *testing.T) {
	for _, tt := range whole {
		if got := string(AppendJSON(nil, &tt.e)); got != tt.json+"\n" {
			t.Errorf("AppendJSON(%+v) =\n%swant\n%s", tt.e, got, tt.json)
		}
		if got, err := Parse([]byte(tt.json)); err != nil || !reflect.DeepEqual(got, tt.e) {
			t.Errorf("Parse(%s) =\n%+v, %v; want\n%+v", tt.json, got, err, tt.e)
		}
	}
}

// TestParse reads lines that are not quite what AppendJSON writes.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, line, again string }{
		{"white space, another order", ` { "dir" : "in", "event" : "message", "text":"a" } `, `{"event":"message","dir":"in","size":1,"text":"a"}`},
		{"nothing to say", `{"event":"message","proto":null,"client":null,"text":""}`, `{"event":"message","size":0,"text":""}`},
		{"a time elsewhere", `{"event":"x","time":"2026-11-20T14:00:00.1+02:00"}`, `{"time":"2026-11-20T12:00:00.100000Z","event":"x"}`},
		{"cut without size", `{"event":"message","text":"ab","cut":2}`, `{"event":"message","size":4,"text":"ab","cut":2}`},
		{"base64 of text", `{"event":"message","base64":"aGk="}`, `{"event":"message","size":2,"text":"hi"}`},
		{"another version's", `{"event":"x","tags":[ 1, {"a" : "` + "\u202e" + `"} ],"z":"` + "\xff" + `"}`, `{"event":"x","tags":[1,{"a":"\u202e"}],"z":"` + "\ufffd" + `"}`},
	} {
		e, err := Parse([]byte(tt.line))
		if got := string(AppendJSON(nil, &e)); err != nil || got != tt.again+"\n" {
			t.Errorf("%s: Parse(%s) = %s, %v; want %s", tt.name, tt.line, got, err, tt.again)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{``, "unexpected EOF: "},
		{`{"event":"x"`, `unexpected EOF: {"event":"x"`},
		{`{"event":"me`, `"event": unexpected EOF: {"event":"me`},
		{`{"event":`, `unexpected EOF: {"event":`},
		{`{"zzz":`, `unexpected EOF: {"zzz":`},
		{`[1]`, "not an object: [1]"},
		{`{}`, `no "event": {}`},
		{`{"event":"x"} {}`, `something follows the object: {"event":"x"} {}`},
		{`{"event":1}`, `"event": number where string belongs: {"event":1}`},
		{`{"event":"x","client":1.5}`, `"client": number 1.5 where int belongs: {"event":"x","client":1.5}`},
		{`{"event":"x","base64":"!"}`, `"base64": illegal base64 data at input byte 0: {"event":"x","base64":"!"}`},
		{`{"event":"x","text":"ab","size":3,"cut":2}`, `"cut": 2 of 3 bytes, but 2 are there: {"event":"x","text":"ab","size":3,"cut":2}`},
		{`{"event":"x",}`, `invalid character '}'`},
		{`< received`, `invalid character '<' looking for beginning of value: < received`},
	} {
		e, err := Parse([]byte(tt.line))
		if err == nil || !strings.HasPrefix(err.Error(), "not an event: "+tt.want) || !reflect.DeepEqual(e, Event{}) {
			t.Errorf("Parse(%s) = %+v, %v; want %s", tt.line, e, err, tt.want)
		}
	}
	if _, err := Parse([]byte(`{"event":"` + strings.Repeat("x", 1<<20))); err == nil || len(err.Error()) > 400 {
		t.Errorf("an error of %d bytes about a long line", len(err.Error()))
	}
}

// checkParse holds that Parse reads what AppendJSON writes of e, and that the same
// line comes of it again.
func checkParse(t *testing.T, e *Event) {
	t.Helper()
	line := AppendJSON(nil, e)
	if !isLine(string(line)) || !json.Valid(line) {
		t.Errorf("%q is not one line of JSON", line)
	}
	back, err := Parse(line)
	if err != nil {
		t.Fatalf("AppendJSON(%+v): %v", e, err)
	}
	if again := AppendJSON(nil, &back); string(again) != string(line) {
		t.Errorf("%s, parsed, is written as\n%s", line, again)
	}
	if want := normal(e); !reflect.DeepEqual(back, want) {
		t.Errorf("%s is read as\n%+v, want\n%+v", line, back, want)
	}
}

// normal is what of e JSON can hold.
func normal(e *Event) Event {
	n := *e
	text := func(s string) string { return string([]rune(s)) }
	for _, s := range []*string{&n.Event, &n.Proto, &n.ID, &n.Peer, &n.Path, &n.Addr, &n.Dir, &n.Opcode, &n.Reason, &n.Err} {
		*s = text(*s)
	}
	n.Time, n.Client, n.Size = e.Time.UTC().Truncate(time.Microsecond), max(e.Client, -1), e.size()
	if len(n.Payload) == 0 {
		n.Payload = nil
	}
	if !e.hasOffset() {
		n.Offset = 0
	}
	n.Fields = nil
	for _, d := range e.Fields {
		n.Fields = append(n.Fields, Data{Key: text(d.Key), kind: d.kind, num: d.num, text: text(d.text)})
	}
	return n
}

func TestParseRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	word := func() string { return string(randomText(rnd)) }
	for range 3000 {
		e := Event{Event: "x" + word(), Proto: word(), Client: rnd.IntN(4) - 2, ID: word(), Peer: word(), Path: word(), Addr: word(), Dir: word(), Opcode: word(),
			Payload: randomText(rnd), Size: rnd.Int64N(40), Code: rnd.IntN(3), Reason: word(), Err: word(), Head: word(), Fragments: rnd.IntN(2), Compressed: rnd.IntN(2) == 0,
			Fields: []Data{Text("x"+word(), word()), Int("n", rnd.Int64()-rnd.Int64())}}
		if rnd.IntN(2) == 0 {
			e.Event, e.Opcode, e.Offset, e.Time = Error, "text", rnd.Int64N(3), time.UnixMicro(rnd.Int64N(1<<50))
		}
		checkParse(t, &e)
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range whole {
		f.Add([]byte(tt.json))
	}
	for _, tt := range events {
		f.Add([]byte(tt.json))
	}
	f.Add([]byte(`{"time":"9999-12-31T23:59:59-01:00","event":"x"}`)) // the year 10000 in UTC
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Parse(line)
		if err != nil {
			return
		}
		written := AppendJSON(nil, &e)
		back, err := Parse(written)
		if err != nil {
			t.Fatalf("Parse(%q) = %+v, whose line\n%s is none: %v", line, e, written, err)
		}
		if again := AppendJSON(nil, &back); string(again) != string(written) {
			t.Errorf("Parse(%q): %s becomes\n%s", line, written, again)
		}
		if !isLine(string(written)) {
			t.Errorf("Parse(%q): %q is not one line", line, written)
		}
	})
}

func FuzzEvent(f *testing.F) {
	f.Add("message", "ws", "text", []byte("hi"), int64(3), 0, "reason", "head", int64(0), "key", "value")
	f.Add("error", "tcp", "", []byte("\xff\n"), int64(0), 1002, "\u202e", "X: \xff", int64(7), "", "\x00")
	f.Fuzz(func(t *testing.T, kind, proto, opcode string, payload []byte, size int64, code int, reason, head string, offset int64, key, value string) {
		if kind == "" || new(parsed).place(normal(&Event{Event: key}).Event) != nil {
			return // no event; a field that has a place of its own
		}
		checkParse(t, &Event{Event: kind, Proto: proto, Opcode: opcode, Payload: payload, Size: max(size, 0), Code: code, Reason: reason,
			Head: head, Offset: offset, Fields: []Data{Text(key, value)}})
	})
}

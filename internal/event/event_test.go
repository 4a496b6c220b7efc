package event

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

// events are one of each kind, the line of text (in the zero Style) and the
// JSON object.
var events = []struct {
	e    Event
	text string
	json string
}{
	{Event{Event: Listening, Proto: "tcp", Client: -1, Addr: "127.0.0.1:4567"},
		"listening on tcp 127.0.0.1:4567\n",
		`{"event":"listening","proto":"tcp","addr":"127.0.0.1:4567"}`},
	{Event{Time: noon, Event: Open, Proto: "tcp", Peer: "127.0.0.1:4567"},
		"< new TCP connection #0: 127.0.0.1:4567\n",
		`{"time":"2026-11-20T12:00:00.123456Z","event":"open","proto":"tcp","client":0,"peer":"127.0.0.1:4567"}`},
	{Event{Event: Open, Proto: "udp", Client: 3, Peer: "[::1]:9955"},
		"< new UDP session #3: [::1]:9955\n",
		`{"event":"open","proto":"udp","client":3,"peer":"[::1]:9955"}`},
	{Event{Event: Open, Proto: "ws", Peer: "127.0.0.1:4567", Path: "/a/b?c=d"},
		"< new WebSocket connection #0: 127.0.0.1:4567:/a/b?c=d\n",
		`{"event":"open","proto":"ws","client":0,"peer":"127.0.0.1:4567","path":"/a/b?c=d"}`},
	{Event{Event: Open, Proto: "unix"}, "< new Unix connection #0\n", `{"event":"open","proto":"unix","client":0}`},
	{Event{Event: Open, Proto: "ws", Client: -1, ID: "7c9e6679", Peer: "a"},
		"< new WebSocket connection 7c9e6679: a\n",
		`{"event":"open","proto":"ws","id":"7c9e6679","peer":"a"}`},
	{Event{Event: Message, Proto: "tcp", Dir: In, Payload: []byte("hello\n")},
		"< received payload on TCP connection #0: hello\\n\n",
		`{"event":"message","proto":"tcp","client":0,"dir":"in","size":6,"text":"hello\n"}`},
	{Event{Event: Message, Proto: "tcp", Dir: Out, Payload: []byte("hello\n")},
		"> sent payload to TCP connection #0: hello\\n\n",
		`{"event":"message","proto":"tcp","client":0,"dir":"out","size":6,"text":"hello\n"}`},
	{Event{Event: Message, Proto: "udp", Payload: []byte("dgram")},
		"< received datagram from UDP session #0: dgram\n",
		`{"event":"message","proto":"udp","client":0,"size":5,"text":"dgram"}`},
	{Event{Event: Message, Proto: "udp"},
		"< received datagram from UDP session #0: \n",
		`{"event":"message","proto":"udp","client":0,"size":0,"text":""}`},
	{Event{Event: Message, Proto: "udp", Dir: Out, Payload: []byte{0xff}},
		"> sent datagram to UDP session #0: 1 byte\n" +
			"00000000  ff                                                |.|\n",
		`{"event":"message","proto":"udp","client":0,"dir":"out","size":1,"base64":"/w=="}`},
	{Event{Event: Message, Proto: "ws", Opcode: "text", Payload: []byte("hello mister é")},
		"< Received message on WebSocket connection #0: hello mister é\n",
		`{"event":"message","proto":"ws","client":0,"opcode":"text","size":15,"text":"hello mister é"}`},
	{Event{Event: Message, Proto: "wss", Dir: Out, Opcode: "text", Payload: []byte("hi")},
		"> sent message to WebSocket connection #0: hi\n",
		`{"event":"message","proto":"wss","client":0,"dir":"out","opcode":"text","size":2,"text":"hi"}`},
	{Event{Event: Message, Proto: "ws", Opcode: "text", Payload: []byte("\x1b[2J\x00")},
		`< Received message on WebSocket connection #0: \x1b[2J\x00` + "\n",
		`{"event":"message","proto":"ws","client":0,"opcode":"text","size":5,"text":"\u001b[2J\u0000"}`},
	{Event{Event: Message, Proto: "ws", Opcode: "binary", Payload: []byte("\x00\xffbin")},
		"< Received binary message on WebSocket connection #0: 5 bytes\n" +
			"00000000  00 ff 62 69 6e                                    |..bin|\n",
		`{"event":"message","proto":"ws","client":0,"opcode":"binary","size":5,"base64":"AP9iaW4="}`},
	{Event{Event: Message, Proto: "ws", Opcode: "binary", Payload: []byte("text")},
		"< Received binary message on WebSocket connection #0: 4 bytes\n" +
			"00000000  74 65 78 74                                       |text|\n",
		`{"event":"message","proto":"ws","client":0,"opcode":"binary","size":4,"base64":"dGV4dA=="}`},
	{Event{Event: Message, Proto: "tcp", Payload: []byte("head"), Size: 10485760},
		"< received payload on TCP connection #0: head… (+10485756 bytes)\n",
		`{"event":"message","proto":"tcp","client":0,"size":10485760,"text":"head","cut":10485756}`},
	{Event{Event: Message, Proto: "tcp", Payload: []byte{0xff}, Size: 2},
		"< received payload on TCP connection #0: 2 bytes\n" +
			"00000000  ff                                                |.|\n… (+1 byte)\n",
		`{"event":"message","proto":"tcp","client":0,"size":2,"base64":"/w==","cut":1}`},
	{Event{Event: Message, Proto: "gruv", Client: -1, Payload: []byte("x")},
		"< received payload on gruv connection: x\n",
		`{"event":"message","proto":"gruv","size":1,"text":"x"}`},
	{Event{Event: Ping, Proto: "ws", Dir: In, Opcode: "ping", Payload: []byte("are you there")},
		"< received ping on WebSocket connection #0: are you there\n",
		`{"event":"ping","proto":"ws","client":0,"dir":"in","opcode":"ping","size":13,"text":"are you there"}`},
	{Event{Event: Pong, Proto: "ws", Dir: Out, Opcode: "pong"},
		"> sent pong to WebSocket connection #0\n",
		`{"event":"pong","proto":"ws","client":0,"dir":"out","opcode":"pong","size":0,"text":""}`},
	{Event{Event: Open, Proto: "tls", Client: 1}, "< new TLS connection #1\n", `{"event":"open","proto":"tls","client":1}`},
	{Event{Event: Open, Proto: "https", Client: 1}, "< new HTTP connection #1\n", `{"event":"open","proto":"https","client":1}`},
	{Event{Event: End, Proto: "tcp", Dir: In}, "< end of TCP connection #0\n", `{"event":"end","proto":"tcp","client":0,"dir":"in"}`},
	{Event{Event: End, Proto: "unix", Client: -1, Dir: Out}, "> end of Unix connection\n", `{"event":"end","proto":"unix","dir":"out"}`},
	{Event{Event: Close, Proto: "tcp"}, "< end of TCP connection #0\n", `{"event":"close","proto":"tcp","client":0}`},
	{Event{Event: Close, Proto: "tcp", Dir: Out},
		"> closed TCP connection #0\n", `{"event":"close","proto":"tcp","client":0,"dir":"out"}`},
	{Event{Event: Close, Proto: "tcp", Err: "connection reset by peer"},
		"< TCP connection #0 cut: connection reset by peer\n",
		`{"event":"close","proto":"tcp","client":0,"error":"connection reset by peer"}`},
	{Event{Event: Close, Proto: "udp", Reason: "idle"},
		"< end of UDP session #0: reason idle\n", `{"event":"close","proto":"udp","client":0,"reason":"idle"}`},
	{Event{Event: Close, Proto: "ws", Code: 1001, Reason: "bye\n"},
		"< end of WebSocket connection #0: code 1001, reason bye\\n\n",
		`{"event":"close","proto":"ws","client":0,"code":1001,"reason":"bye\n"}`},
	{Event{Event: Close, Proto: "ws", Code: 1006, Err: "unexpected EOF"},
		"< WebSocket connection #0 cut: code 1006, unexpected EOF\n",
		`{"event":"close","proto":"ws","client":0,"code":1006,"error":"unexpected EOF"}`},
	{Event{Event: Error, Client: -1, Err: "try to write on closed TCP connection #0"},
		"X try to write on closed TCP connection #0\n",
		`{"event":"error","error":"try to write on closed TCP connection #0"}`},
	{Event{Event: Error, Proto: "ws", Client: 3, Code: 1002, Err: "masking", Payload: []byte("\x89\x00")},
		"X masking: 2 bytes\n00000000  89 00                                             |..|\n",
		`{"event":"error","proto":"ws","client":3,"size":2,"base64":"iQA=","code":1002,"error":"masking","offset":0}`},
	{Event{Event: Error, Client: -1, Err: "line does not end in CRLF", Offset: 14, Payload: []byte("GET / HTTP/1.1\nHost: h\n")},
		`X line does not end in CRLF, at byte 14: GET / HTTP/1.1\nHost: h\n` + "\n",
		`{"event":"error","size":23,"text":"GET / HTTP/1.1\nHost: h\n","error":"line does not end in CRLF","offset":14}`},
	{Event{Event: Close, Proto: "ws", Code: 1007, Err: "not UTF-8", Payload: []byte("caf\xe9"), Offset: 70},
		"< WebSocket connection #0 cut: code 1007, not UTF-8, at byte 70: 4 bytes\n00000000  63 61 66 e9                                       |caf.|\n",
		`{"event":"close","proto":"ws","client":0,"size":4,"base64":"Y2Fm6Q==","code":1007,"error":"not UTF-8","offset":70}`},
	{Event{Event: Summary, Client: -1, Fields: []Data{Int("received", 12), Float("loss", 0.25), Text("peer\n", "a\x1b"), Float("nan", math.NaN())}},
		"summary: received 12, loss 0.250, peer\\n a\\x1b, nan 0\n",
		`{"event":"summary","received":12,"loss":0.250,"peer\n":"a\u001b","nan":0}`},
	{Event{Event: "retry", Proto: "ws", Client: 2, Peer: "h:1", Reason: "soon", Fields: []Data{Int("wait", 2)}},
		"retry WebSocket connection #2: h:1, soon, wait 2\n",
		`{"event":"retry","proto":"ws","client":2,"peer":"h:1","reason":"soon","wait":2}`},
}

func TestAppendText(t *testing.T) {
	for _, tt := range events {
		if got := string(AppendText([]byte("|"), &tt.e, &Style{})); got != "|"+tt.text {
			t.Errorf("AppendText(%+v) =\n%swant\n%s", tt.e, got[1:], tt.text)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for _, tt := range events {
		got := string(AppendJSON([]byte("|"), &tt.e))
		if got != "|"+tt.json+"\n" {
			t.Errorf("AppendJSON(%+v) =\n%swant\n%s", tt.e, got[1:], tt.json)
		}
		if !json.Valid([]byte(got[1:])) {
			t.Errorf("not JSON: %s", got[1:])
		}
	}
}

func TestStyle(t *testing.T) {
	in := func(proto, opcode, payload string) *Event {
		return &Event{Time: noon, Event: Message, Proto: proto, Dir: In, Opcode: opcode, Payload: []byte(payload)}
	}
	const tcp = "< received payload on TCP connection #0: "
	long := strings.Repeat("é", DefaultMaxShow)
	for _, tt := range []struct {
		name string
		e    *Event
		st   Style
		want string
	}{
		{"hex of text", in("tcp", "", "A"), Style{Format: FormatHex},
			tcp + "1 byte\n00000000  41                                                |A|\n"},
		{"text of binary", in("ws", "binary", "\xff\x00"), Style{Format: FormatText},
			`< Received binary message on WebSocket connection #0: \xff\x00` + "\n"},
		{"raw payload in the line", in("tcp", "", "\x1b[1m\xff"), Style{Raw: true}, tcp + "\x1b[1m\xff\n"},
		{"raw, a field stays safe", &Event{Event: Open, Proto: "ws", Peer: "a", Path: "/\x1b"}, Style{Raw: true},
			"< new WebSocket connection #0: a:/\\x1b\n"},
		{"format raw", in("tcp", "", "\x1b\xff\n"), Style{Format: FormatRaw, Time: true, Color: true, MaxShow: 1}, "\x1b\xff\n"},
		{"format raw, sent", &Event{Event: Message, Proto: "tcp", Dir: Out, Payload: []byte("x")}, Style{Format: FormatRaw}, ""},
		{"format raw, other", &Event{Event: Close, Proto: "tcp"}, Style{Format: FormatRaw}, ""},
		{"cut", in("tcp", "", "hello"), Style{MaxShow: 2}, tcp + "he… (+3 bytes)\n"},
		{"cut within a character", in("ws", "text", "a✓b"), Style{MaxShow: 3},
			"< Received message on WebSocket connection #0: a… (+4 bytes)\n"},
		{"cut to nothing", in("tcp", "", "✓"), Style{MaxShow: 1}, tcp + "… (+3 bytes)\n"},
		{"cut hex", in("tcp", "", "\xff\xff\xff"), Style{MaxShow: 2},
			tcp + "3 bytes\n00000000  ff ff                                             |..|\n… (+1 byte)\n"},
		{"cut by default", in("tcp", "", long), Style{}, tcp + long[:DefaultMaxShow] + "… (+65536 bytes)\n"},
		{"never cut", in("tcp", "", long), Style{MaxShow: -1}, tcp + long + "\n"},
		{"time", in("tcp", "", "x"), Style{Time: true}, "2026-11-20 12:00:00.123456 " + tcp + "x\n"},
		{"no time", &Event{Event: Close, Proto: "tcp"}, Style{Time: true}, "< end of TCP connection #0\n"},
		{"colour in", in("tcp", "", "x"), Style{Color: true}, "\x1b[36m" + tcp[:len(tcp)-2] + "\x1b[0m: x\n"},
		{"colour out", &Event{Event: Ping, Proto: "ws", Dir: Out}, Style{Color: true},
			"\x1b[33m> sent ping to WebSocket connection #0\x1b[0m\n"},
		{"colour error", &Event{Event: Error, Err: "\x1b"}, Style{Color: true}, "\x1b[31mX \\x1b\x1b[0m\n"},
		{"colour open", &Event{Event: Open, Proto: "tcp"}, Style{Color: true}, "\x1b[32m< new TCP connection #0\x1b[0m\n"},

		{"a stream cut in the middle of characters", in("tcp", "", "\xa9 ok \xe2\x9c"), Style{}, tcp + `\xa9 ok \xe2\x9c` + "\n"},
		{"a datagram is not a stream", in("udp", "", "\xa9 ok"), Style{},
			"< received datagram from UDP session #0: 4 bytes\n00000000  a9 20 6f 6b                                       |. ok|\n"},
		{"nothing but pieces", in("tcp", "", "\x80\x80"), Style{},
			tcp + "2 bytes\n00000000  80 80                                             |..|\n"},
		{"a piece too many", in("tcp", "", "\x80\x80\x80\x80ab"), Style{},
			tcp + "6 bytes\n00000000  80 80 80 80 61 62                                 |....ab|\n"},
	} {
		if got := string(AppendText(nil, tt.e, &tt.st)); got != tt.want {
			t.Errorf("%s: AppendText =\n%.200q, want\n%.200q", tt.name, got, tt.want)
		}
	}
}

// TestAppendPayload shows messages without a head, to a terminal and to a pipe (hw-08).
func TestAppendPayload(t *testing.T) {
	const quoted = `{"a":"x\"y","b":"line\nbreak"}`
	pipe := Style{Untouched: true, MaxShow: -1}
	for _, tt := range []struct {
		name, opcode, payload string
		st                    Style
		want                  string
	}{
		{"terminal", "text", quoted + "\x1b\n", Style{}, quoted + `\x1b\n` + "\n"},
		{"terminal, binary", "binary", "A", Style{}, "1 byte\n00000000  41                                                |A|\n"},
		{"JSON in a binary frame", "binary", quoted, pipe, quoted + "\n"},
		{"JSON in a text frame", "text", quoted, pipe, quoted + "\n"},
		{"controls in text", "text", "\x1b[2J\x00", pipe, "\x1b[2J\x00\n"},
		{"a message may end in LF", "binary", "a\n", pipe, "a\n\n"},
		{"a line has its LF", "", "a\n", pipe, "a\n"},
		{"a line without", "", "a", pipe, "a\n"},
		{"nothing", "text", "", pipe, "\n"},
		{"not UTF-8", "binary", "\xff", pipe, "1 byte\n00000000  ff                                                |.|\n"},
		{"not UTF-8, raw", "binary", "\xff", Style{Untouched: true, Raw: true}, "\xff"},
		{"UTF-8, raw", "binary", "ÿ", Style{Untouched: true, Raw: true}, "ÿ\n"},
		{"cut", "text", "abc", Style{Untouched: true, MaxShow: 2}, "ab… (+1 byte)\n"},
		{"not cut by default", "text", strings.Repeat("x", DefaultMaxShow+1), Style{Untouched: true}, strings.Repeat("x", DefaultMaxShow+1) + "\n"},
		{"hex asked for", "text", "A", Style{Untouched: true, Format: FormatHex}, "1 byte\n00000000  41                                                |A|\n"},
		{"text asked for", "binary", "\xff\\", Style{Untouched: true, Format: FormatText}, `\xff\` + "\n"},
		{"raw asked for", "text", "a", Style{Untouched: true, Format: FormatRaw}, "a"},
	} {
		e := &Event{Event: Message, Proto: "ws", Dir: Out, Opcode: tt.opcode, Payload: []byte(tt.payload)}
		if got := string(AppendPayload([]byte("|"), e, &tt.st)); got != "|"+tt.want {
			t.Errorf("%s: AppendPayload = %.200q, want %.200q", tt.name, got, tt.want)
		}
	}
}

func TestAppendHead(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"GET / HTTP/1.1\r\nHost: h\r\nX:  caf\xe9\\n \x1b\r\n\r\n", "> GET / HTTP/1.1\n> Host: h\n" + `> X:  caf\xe9\n \x1b` + "\n"},
		{"a\n b\nc", "> a\n>  b\n> c\n"},
		{strings.Repeat("x", 5000), "> " + strings.Repeat("x", 4096) + "…(+904)\n"},
		{"\r\n", ""},
	} {
		if got := string(AppendHead(nil, "> ", tt.in)); got != tt.want {
			t.Errorf("AppendHead(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestPeersWords puts hostile bytes wherever a peer's words go: one line each
// must come out, printable throughout, and cut (TL12, TL14).
func TestPeersWords(t *testing.T) {
	const evil = "/x\n[info] fake\x1b[2J\r\u202e\xff"
	for _, kind := range []string{Listening, Open, Message, Ping, Close, Error, Summary, "own\n"} {
		e := &Event{Event: kind, Proto: evil, Client: -1, ID: evil, Peer: evil, Path: evil, Addr: evil, Opcode: evil,
			Payload: []byte(evil), Code: 1000, Reason: evil, Err: evil, Fields: []Data{Text(evil, evil)}}
		for _, line := range []string{
			string(AppendText(nil, e, &Style{Format: FormatText})), string(AppendJSON(nil, e))} {
			if !isLine(line) {
				t.Errorf("%s: %q is not one printable line", kind, line)
			}
		}
	}
	e := &Event{Event: Open, Proto: "ws", Peer: "a", Path: strings.Repeat("p", 8192)}
	if got, want := string(AppendText(nil, e, &Style{})), "…(+7936)\n"; !strings.HasSuffix(got, want) || len(got) > 400 {
		t.Errorf("a long path ends in %q, want %q", got[max(0, len(got)-20):], want)
	}
}

// isLine tells whether s is printable characters and one line feed.
func isLine(s string) bool {
	s, ok := strings.CutSuffix(s, "\n")
	return ok && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !IsPrint(r) })
}

func TestJSONPayload(t *testing.T) {
	for _, tt := range []struct{ opcode, payload, key string }{
		{"", "printable ✓\r\n\t\\\"", "text"},
		{"", "\x1b[2J", "base64"},
		{"", "bidi \u202e", "base64"},
		{"", "\xff", "base64"},
		{"", "✓"[:2], "base64"},
		{"text", "\x1b[2J \u202e\x00", "text"},
		{"text", "\xff", "base64"},
		{"binary", "printable", "base64"},
		{"continuation", "printable", "text"},
	} {
		checkJSON(t, tt.opcode, []byte(tt.payload), tt.key)
	}
}

// checkJSON fails t unless the payload can be had back from the object, under
// key unless that is empty.
func checkJSON(t *testing.T, opcode string, payload []byte, key string) {
	t.Helper()
	line := AppendJSON(nil, &Event{Event: Message, Opcode: opcode, Payload: payload})
	var got struct {
		Size   int
		Text   *string
		Base64 *string
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var back []byte
	found := ""
	switch {
	case got.Text != nil && got.Base64 == nil:
		back, found = []byte(*got.Text), "text"
	case got.Base64 != nil && got.Text == nil:
		back, _ = base64.StdEncoding.DecodeString(*got.Base64)
		found = "base64"
	}
	if string(back) != string(payload) || got.Size != len(payload) || key != "" && found != key {
		t.Errorf("%q (%s) became %s", payload, opcode, line)
	}
	if !isLine(string(line)) {
		t.Errorf("%q (%s) became %q: not one printable line", payload, opcode, line)
	}
}

func FuzzJSON(f *testing.F) {
	for _, tt := range escapes {
		f.Add("", []byte(tt.in))
		f.Add("text", []byte(tt.in))
	}
	f.Fuzz(func(t *testing.T, opcode string, payload []byte) { checkJSON(t, opcode, payload, "") })
}

func TestFormat(t *testing.T) {
	for _, f := range []Format{FormatAuto, FormatText, FormatHex, FormatRaw} {
		if got, err := ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("Hex\n"); err == nil || err.Error() != `unknown format Hex\n: want auto, text, hex or raw` {
		t.Errorf("ParseFormat of an unknown one: %v", err)
	}
}

func TestTime(t *testing.T) {
	east := time.FixedZone("", 2*3600)
	for _, tt := range []struct {
		t    time.Time
		want string
	}{
		{noon.In(east), "2026-11-20T12:00:00.123456Z"},
		{time.Date(1, 2, 3, 4, 5, 6, 999, time.UTC), "0001-02-03T04:05:06.000000Z"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), "9999-12-31T23:59:59.999999Z"},
	} {
		got := strings.Split(string(AppendJSON(nil, &Event{Time: tt.t, Event: "x"})), `"`)[3]
		if back, err := time.Parse(time.RFC3339Nano, got); got != tt.want || err != nil || !back.Equal(tt.t.Truncate(time.Microsecond)) {
			t.Errorf("the time of %v is %s, want %s", tt.t, got, tt.want)
		}
	}
}

package wire

import (
	"bytes"
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// vectors are messages as they were seen on the wire between programs of both
// generations, and the limits of both formats.
var vectors = []struct {
	name    string
	format  Format
	wire    string
	message Message
}{
	{"chat, bob", PDU, "text 686920c3a9207468657265\nuser 626f62\n",
		Message{{"text", []byte("hi é there"), Text}, {"user", []byte("bob"), Text}}},
	{"chat, bob, until 12.0.1", Msgpack, "\x82\xa4text\xabhi é there\xa4user\xa3bob",
		Message{{"text", []byte("hi é there"), Text}, {"user", []byte("bob"), Text}}},
	{"file", PDU, "content 00ff0a\ndjb2_hash 313933363132303034\nfilename 2f746d702f61\nid 3031\nkind 73656e64\n",
		Message{{"content", []byte("\x00\xff\n"), Text}, {"djb2_hash", []byte("193612004"), Text},
			{"filename", []byte("/tmp/a"), Text}, {"id", []byte("01"), Text}, {"kind", []byte("send"), Text}}},
	{"file, until 12.0.1", Msgpack, "\x85\xa7content\xc4\x03\x00\xff\n\xa9djb2_hash\xa9193612004\xa8filename\xa6/tmp/a\xa2id\xa201\xa4kind\xa4send",
		Message{{"content", []byte("\x00\xff\n"), Bytes}, {"djb2_hash", []byte("193612004"), Text},
			{"filename", []byte("/tmp/a"), Text}, {"id", []byte("01"), Text}, {"kind", []byte("send"), Text}}},
	{"ack", PDU, "ack 74727565\nfilename 61\nid 3031\n",
		Message{{"ack", []byte("true"), Text}, {"filename", []byte("a"), Text}, {"id", []byte("01"), Text}}},
	{"ack, until 12.0.1", Msgpack, "\x83\xa3ack\xc3\xa8filename\xa1a\xa2id\xa201",
		Message{{"ack", []byte("true"), Bool}, {"filename", []byte("a"), Text}, {"id", []byte("01"), Text}}},
	{"error", PDU, "id \nkind 6572726f72\nmessage 48617368206d69736d617463682e\n",
		Message{{"id", []byte{}, Text}, {"kind", []byte("error"), Text}, {"message", []byte("Hash mismatch."), Text}}},
	{"error, until 12.0.1", Msgpack, "\x83\xa2id\xa0\xa4kind\xa5error\xa7message\xaeHash mismatch.",
		Message{{"id", []byte{}, Text}, {"kind", []byte("error"), Text}, {"message", []byte("Hash mismatch."), Text}}},
	{"no", Msgpack, "\x81\xa3ack\xc2", Message{{"ack", []byte("false"), Bool}}},
	{"no fields", Msgpack, "\x80", nil},
	{"no fields", PDU, "", nil},
	{"31 in fixstr, 32 in str8", Msgpack, "\x82\xa1a\xbf" + strings.Repeat("x", 31) + "\xa1b\xd9\x20" + strings.Repeat("x", 32),
		Message{{"a", bytes.Repeat([]byte("x"), 31), Text}, {"b", bytes.Repeat([]byte("x"), 32), Text}}},
	{"256 in str16", Msgpack, "\x81\xa1a\xda\x01\x00" + strings.Repeat("x", 256), Message{{"a", bytes.Repeat([]byte("x"), 256), Text}}},
	{"65536 in str32", Msgpack, "\x81\xa1a\xdb\x00\x01\x00\x00" + strings.Repeat("x", 65536), Message{{"a", bytes.Repeat([]byte("x"), 65536), Text}}},
	{"0 and 255 in bin8", Msgpack, "\x82\xa1a\xc4\x00\xa1b\xc4\xff" + strings.Repeat("\x00", 255), Message{{"a", []byte{}, Bytes}, {"b", make([]byte, 255), Bytes}}},
	{"256 in bin16", Msgpack, "\x81\xa1a\xc5\x01\x00" + strings.Repeat("\x00", 256), Message{{"a", make([]byte, 256), Bytes}}},
	{"65536 in bin32", Msgpack, "\x81\xa1a\xc6\x00\x01\x00\x00" + strings.Repeat("\x00", 65536), Message{{"a", make([]byte, 65536), Bytes}}},
	{"16 fields in map16", Msgpack, "\xde\x00\x10" + sixteen("\xa1", "\xc3"), sixteenFields()},
}

func sixteen(before, after string) string {
	var b strings.Builder
	for c := 'a'; c < 'a'+16; c++ {
		b.WriteString(before + string(c) + after)
	}
	return b.String()
}

func sixteenFields() (m Message) {
	for c := 'a'; c < 'a'+16; c++ {
		m = append(m, Field{string(c), []byte("true"), Bool})
	}
	return m
}

// equal compares messages whatever the order of their fields; an empty value is as
// good as none.
func equal(a, b Message) bool {
	byName := func(x, y Field) int { return cmp.Compare(x.Name, y.Name) }
	return slices.EqualFunc(slices.SortedFunc(slices.Values(a), byName), slices.SortedFunc(slices.Values(b), byName),
		func(x, y Field) bool { return x.Name == y.Name && x.Type == y.Type && bytes.Equal(x.Value, y.Value) })
}

func TestVectors(t *testing.T) {
	for _, tt := range vectors {
		m, format, err := Parse([]byte(tt.wire))
		if err != nil || format != tt.format || !equal(m, tt.message) {
			t.Errorf("%s: Parse(%.80q) = %.80q, %v, %v; want %.80q, %v", tt.name, tt.wire, m, format, err, tt.message, tt.format)
		}
		reversed := slices.Clone(tt.message)
		slices.Reverse(reversed)
		if got := Append([]byte("> "), tt.format, reversed); string(got) != "> "+tt.wire {
			t.Errorf("%s: Append(%.80q) = %.80q, want %.80q", tt.name, reversed, got[2:], tt.wire)
		}
	}
}

// TestCuts: a part of a msgpack message is none; a part of a PDU holds no more
// than the whole.
func TestCuts(t *testing.T) {
	for _, tt := range vectors {
		whole := []byte(tt.wire)
		for n := range min(len(whole), 400) {
			m, format, err := Parse(whole[:n])
			if tt.format == Msgpack {
				if n > 0 && (format != Msgpack || !errors.Is(err, ErrCut)) {
					t.Errorf("%s: Parse of %d bytes of %d: %v, %v; want msgpack, %v", tt.name, n, len(whole), format, err, ErrCut)
				}
				continue
			}
			for _, f := range m {
				if value, ok := tt.message.Get(f.Name); ok && !bytes.HasPrefix(value, f.Value) {
					t.Errorf("%s: Parse of %d bytes of %d: %s is %q, which is not in the whole", tt.name, n, len(whole), f.Name, f.Value)
				}
			}
		}
	}
}

// TestLenient: what else is the same message.
func TestLenient(t *testing.T) {
	hi := Message{{"text", []byte{0xab}, Text}}
	for _, tt := range []struct {
		name, wire string
		want       Message
	}{
		{"upper case", "text AB\n", hi},
		{"no line feed at the end", "text ab", hi},
		{"blank lines", "\n\ntext ab\n\n", hi},
		{"the last of two", "text 00\ntext ab\n", hi},
		{"the last of two", "\x82\xa4text\xa0\xa4text\xa1\xab", hi},
		{"map16", "\xde\x00\x01\xa4text\xa1\xab", hi},
		{"map32", "\xdf\x00\x00\x00\x01\xa4text\xa1\xab", hi},
		{"lengths not in their shortest form", "\x81\xd9\x04text\xdb\x00\x00\x00\x01\xab", hi},
		{"other values are passed over", "\xde\x00\x1d" +
			"\xa1a\x00\xa1b\x7f\xa1c\xe0\xa1d\xff\xa1e\xc0" + // small numbers, nil
			"\xa1f\xcc\x01\xa1g\xcd\x01\x02\xa1h\xce\x01\x02\x03\x04\xa1i\xcf\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa1j\xd0\x01\xa1k\xd1\x01\x02\xa1l\xd2\x01\x02\x03\x04\xa1m\xd3\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa1n\xca\x01\x02\x03\x04\xa1o\xcb\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa1p\xd4\x05\x01\xa1q\xd5\x05\x01\x02\xa1r\xd6\x05\x01\x02\x03\x04\xa1s\xd7\x05\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa1t\xd8\x05\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08" +
			"\xa1u\xc7\x02\x05\x01\x02\xa1v\xc8\x00\x01\x05\x01\xa1w\xc9\x00\x00\x00\x00\x05" +
			"\xa1x\x92\x01\xa1y\xa1y\xdc\x00\x01\xc3\xa1z\xdd\x00\x00\x00\x02\x01\x90" + // lists
			"\xa1A\x81\x01\x91\x02\xa1B\xde\x00\x01\xa0\x80" + // maps
			"\xa4text\xa1\xab", hi},
	} {
		if m, _, err := Parse([]byte(tt.wire)); err != nil || !equal(m, tt.want) {
			t.Errorf("%s: Parse(%q) = %q, %v; want %q", tt.name, tt.wire, m, err, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	lines := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.Repeat("x", i+1) + " 00\n")
		}
		return b.String()
	}
	if m, _, err := Parse([]byte(lines(MaxFields))); err != nil || len(m) != MaxFields {
		t.Errorf("%d fields: %d, %v", MaxFields, len(m), err)
	}
	for _, tt := range []struct {
		name, wire string
		format     Format
		want       error
		where      string
	}{
		{"no space", "text ab\nuser\n", PDU, ErrLine, "line 2: "},
		{"no name", " ab\n", PDU, ErrLine, "line 1: "},
		{"a name that begins as msgpack does", "\xff \n\x84 ", PDU, ErrLine, "line 1: "},
		{"odd digits", "text abc\n", PDU, ErrHex, "line 1: "},
		{"no digit", "\ntext ag\n", PDU, ErrHex, "line 2: "},
		{"two spaces", "text  ab\n", PDU, ErrHex, ""},
		{"a carriage return", "text ab\r\n", PDU, ErrHex, ""},
		{"words", "2f3b connected", PDU, ErrHex, ""},
		{"JSON", `{"text": "hi"}`, PDU, ErrHex, ""},
		{"too many lines", lines(MaxFields + 1), PDU, ErrTooMany, "line 65: "},
		{"a name that is a number", "\x81\x01\xa1x", Msgpack, ErrName, ""},
		{"a name that is bytes", "\x81\xc4\x01x\xa1x", Msgpack, ErrName, ""},
		{"more behind the end", "\x80\x80", Msgpack, ErrMore, "byte 1: "},
		{"type c1", "\x81\xa1x\xc1", Msgpack, ErrType, ""},
		{"4 GiB announced", "\x81\xa1x\xdb\xff\xff\xff\xffabc", Msgpack, ErrCut, ""},
		{"4 GiB of a list announced", "\x81\xa1x\xdd\xff\xff\xff\xff\x01", Msgpack, ErrCut, ""},
		{"4 G fields announced", "\xdf\xff\xff\xff\xff", Msgpack, ErrCut, ""},
		{"an extension of 4 GiB", "\x81\xa1x\xc9\xff\xff\xff\xff\x05", Msgpack, ErrCut, ""},
		{"nested too deep", "\x81\xa1x" + strings.Repeat("\x91", 1000), Msgpack, ErrDepth, ""},
		{"maps nested too deep", "\x81\xa1x" + strings.Repeat("\x81\x01", 1000), Msgpack, ErrDepth, ""},
	} {
		m, format, err := Parse([]byte(tt.wire))
		if !errors.Is(err, tt.want) || m != nil || format != tt.format || !strings.HasPrefix(err.Error(), tt.where) {
			t.Errorf("%s: Parse(%.60q) = %q, %v, %v; want %v, %s%v", tt.name, tt.wire, m, format, err, tt.format, tt.where, tt.want)
		}
	}
}

func TestChat(t *testing.T) {
	bob := Chat{"bob", "hi é there"}
	for format, want := range []string{vectors[0].wire, vectors[1].wire} {
		b := AppendChat(nil, Format(format), bob)
		if string(b) != want {
			t.Errorf("AppendChat(%v) = %q, want %q", Format(format), b, want)
		}
		m, _, _ := Parse(b)
		if c, ok := m.Chat(); !ok || c != bob {
			t.Errorf("%v: Chat() = %+v, %t; want %+v", Format(format), c, ok, bob)
		}
	}
	for _, wire := range []string{"", "text 00\n", "user 00\n", "\x80"} {
		m, _, err := Parse([]byte(wire))
		if c, ok := m.Chat(); ok || err != nil {
			t.Errorf("%q is the chat message %+v, %v", wire, c, err)
		}
	}
}

func TestFile(t *testing.T) {
	file := File{ID: "0123456789abcdef0123456789abcdef", Name: "../dir/ä b.txt", Content: []byte("hello world\nline two \x00\xff\n")}
	for _, format := range []Format{PDU, Msgpack} {
		m, _, err := Parse(AppendFile(nil, format, file))
		want := file
		want.Hash = "15517120995701529334"
		kind, _ := m.Get("kind")
		if got, ok := m.File(); !ok || err != nil || !reflect.DeepEqual(got, want) || !got.Intact() || string(kind) != "send" {
			t.Errorf("%v: %+v, %t, %v, kind %s; want %+v", format, got, ok, err, kind, want)
		}
		spoilt := want
		spoilt.Content = []byte("hello world\nline two \x00\xfe\n")
		m, _, _ = Parse(AppendFile(nil, format, spoilt))
		if got, ok := m.File(); !ok || got.Intact() {
			t.Errorf("%v: a spoilt file is intact: %+v", format, got)
		}
	}
	for _, b := range [][]byte{nil, AppendChat(nil, PDU, Chat{}), AppendAnswer(nil, Msgpack, Answer{Name: "x"})} {
		m, _, _ := Parse(b)
		if f, ok := m.File(); ok {
			t.Errorf("%q is the file %+v", b, f)
		}
	}
}

func TestAnswer(t *testing.T) {
	for i, tt := range []struct {
		format Format
		answer Answer
		vector int
	}{
		{PDU, Answer{ID: "01", Name: "a"}, 4},
		{Msgpack, Answer{ID: "01", Name: "a"}, 5},
		{PDU, Answer{Err: HashMismatch}, 6},
		{Msgpack, Answer{Err: HashMismatch}, 7},
	} {
		b := AppendAnswer(nil, tt.format, tt.answer)
		if want := vectors[tt.vector].wire; string(b) != want {
			t.Errorf("%d: AppendAnswer = %q, want %q", i, b, want)
		}
		m, _, _ := Parse(b)
		if a, ok := m.Answer(); !ok || a != tt.answer {
			t.Errorf("%d: Answer() = %+v, %t; want %+v", i, a, ok, tt.answer)
		}
	}
	for _, wire := range []string{"\x81\xa3ack\xc2", "ack 00\n", "kind 6572726f72\n", vectors[0].wire, vectors[2].wire} {
		m, _, err := Parse([]byte(wire))
		if a, ok := m.Answer(); ok || err != nil {
			t.Errorf("%q is the answer %+v, %v", wire, a, err)
		}
	}
}

// TestDJB2: values that the tool computed.
func TestDJB2(t *testing.T) {
	for _, tt := range []struct{ content, want string }{
		{"", "5381"},
		{"abc", "193485963"},
		{"\xff", "177828"},
		{"hello world\nline two \x00\xff\n", "15517120995701529334"},
	} {
		if got := HashText([]byte(tt.content)); got != tt.want {
			t.Errorf("HashText(%q) = %s, want %s", tt.content, got, tt.want)
		}
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range []Format{PDU, Msgpack} {
		if got, err := ParseFormat(f.String()); got != f || err != nil {
			t.Errorf("ParseFormat(%q) = %v, %v", f, got, err)
		}
	}
	if _, err := ParseFormat("json"); err == nil {
		t.Error("ParseFormat takes json")
	}
}

// FuzzParse: what can be read comes out of Append as the same message.
func FuzzParse(f *testing.F) {
	for _, tt := range vectors {
		f.Add([]byte(tt.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, format, err := Parse(b)
		if !bytes.Equal(b, before) {
			t.Fatalf("Parse(%q) changed it to %q", before, b)
		}
		if err != nil {
			return
		}
		if format != Detect(b) || len(m) > MaxFields {
			t.Errorf("Parse(%q): %v, %d fields", b, format, len(m))
		}
		wire := Append(nil, format, m)
		again, _, err := Parse(wire)
		if err != nil || !equal(m, again) {
			t.Errorf("Parse(%q) = %q; Append = %q; Parse = %q, %v", b, m, wire, again, err)
		}
	})
}

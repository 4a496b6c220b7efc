package linesrv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// framingTests: what a Cutter of at most 16 bytes makes of wire. A message that stood
// outside of frames begins with "stray ", what is left at the end with "cut ".
var framingTests = []struct {
	name    string
	framing string
	wire    string // hexadecimal
	want    []string
	err     error
}{
	{"MLLP block (HL7 MLLP R1, 2.2)", "mllp", "0b 4d53487c 1c0d 0b 41 1c0d", []string{"MSH|", "A"}, nil},
	{"MLLP: 1c alone is data", "mllp", "0b 41 1c 42 1c0d", []string{"A\x1cB"}, nil},
	{"MLLP: CR alone, and 1c 1c 0d", "mllp", "0b 0d 1c 1c0d", []string{"\r\x1c"}, nil},
	{"MLLP: bytes between blocks", "mllp", "0b 41 1c0d 0a 0b 42 1c0d", []string{"A", "stray \n", "B"}, nil},
	{"MLLP: a block that does not end", "mllp", "0b 41 1c", []string{"cut \x0bA\x1c"}, nil},
	{"STX, ETX and an ACK between (ASTM E1381)", "between:02,03", "02 4142 03 06 02 03", []string{"AB", "stray \x06", ""}, nil},
	{"a Begin of two bytes", "between:aa55,0d0a", "aa aa55 41 0d0a aa", []string{"stray \xaa", "A", "cut \xaa"}, nil},
	{"the End is not part of the Begin", "between:0101,01", "0101 01 0101 41 01", []string{"", "A"}, nil},
	{"exactly the limit", "between:02,03", "02 30313233343536373839616263646566 03", []string{"0123456789abcdef"}, nil},
	{"more than the limit", "between:02,03", "02 3031323334353637383961626364656667 03", nil, ErrMessageTooLong},
	{"more than the limit without end", "between:02,03", "02 30313233343536373839616263646566 67", nil, ErrMessageTooLong},

	{"CR", "delim:0d", "2a49444e3f 0d 0d 41", []string{"*IDN?", "", "cut A"}, nil},
	{"NUL", "delim:00", "4100420043", []string{"A", "B", "cut C"}, nil},
	{"CRLF: CR alone is data", "delim:0d0a", "41 0d 42 0d0d0a", []string{"A\rB\r"}, nil},
	{"a delimiter that begins as it goes on", "delim:616162", "616161616279", []string{"aa", "cut y"}, nil},
	{"more than the limit", "delim:0d0a", "3031323334353637383961626364656667 0d0a", nil, ErrMessageTooLong},

	{"gruv_socks (ORIGINALS 5.1)", "length", "00000005 48656c6c6f 00000000", []string{"Hello", ""}, nil},
	{"one byte", "length:1", "02 6869 00", []string{"hi", ""}, nil},
	{"two bytes, little-endian", "length:2le", "0200 6869", []string{"hi"}, nil},
	{"a length that counts itself", "length:2+2", "0004 6869 0002", []string{"hi", ""}, nil},
	{"TPKT (RFC 1006 §6) by its length", "length:2+4", "0007 0300ff", []string{"\x03\x00\xff"}, nil},
	{"less than it counts itself", "length:2+2", "0001", nil, ErrLength},
	{"eight bytes", "length:8", "0000000000000001 41", []string{"A"}, nil},
	{"eight bytes, the top bit", "length:8le", "00000000000000 80", nil, ErrMessageTooLong},
	{"one more than the limit, before it comes", "length", "00000011", nil, ErrMessageTooLong},
	{"part of a message", "length:1", "02 68", []string{"cut \x02h"}, nil},

	{"RFC 6587 §3.4.1", "decimal", "35 20 3c31333e31 31 20 20", []string{"<13>1", " "}, nil},
	{"RFC 6587: MSG-LEN begins with NONZERO-DIGIT", "decimal", "30 20", nil, ErrLength},
	{"no digit", "decimal", "3c31333e", nil, ErrLength},
	{"a blank before the digits", "decimal", "20 31 20 41", nil, ErrLength},
	{"more digits than the limit has", "decimal", "3137", nil, ErrMessageTooLong},
	{"more digits than numbers", "decimal", strings.Repeat("39", 40), nil, ErrMessageTooLong},
	{"part of a length", "decimal", "31", []string{"cut 1"}, nil},

	{"hello world! (netstrings, D. J. Bernstein)", "netstring", "31323a68656c6c6f20776f726c64212c", []string{"hello world!"}, nil},
	{"the empty one", "netstring", "303a2c 313a2c2c", []string{"", ","}, nil},
	{"a leading zero", "netstring", "3031 3a41 2c", nil, ErrLength},
	{"no comma", "netstring", "313a41 41", nil, ErrComma},
	{"no comma yet", "netstring", "313a41", []string{"cut 1:A"}, nil},

	{"RFC 1055: END on both sides", "slip", "c0 4142 c0 c0 43 c0", []string{"AB", "C"}, nil},
	{"RFC 1055: noise, then END", "slip", "4e c0 c0c0 41 c0", []string{"N", "A"}, nil},
	{"RFC 1055: both escapes", "slip", "c0 dbdc dbdd 41 c0", []string{"\xc0\xdbA"}, nil},
	{"RFC 1055: a protocol violation", "slip", "c0 41 db 42 c0", nil, ErrEscape},
	{"an escape of END itself", "slip", "c0 41 db c0", nil, ErrEscape},
	{"the limit counts what comes out", "slip", "c0" + strings.Repeat("dbdc", 16) + "c0", []string{strings.Repeat("\xc0", 16)}, nil},
	{"more than the limit", "slip", "c0" + strings.Repeat("dbdc", 17) + "c0", nil, ErrMessageTooLong},
	{"a packet that does not end", "slip", "c0 41 dbdc", []string{"cut A\xdb\xdc"}, nil},

	{"lines", "line", "410d0a 0a 42", []string{"A", "", "cut B"}, nil},
	{"lines with CR", "line:keep-cr", "410d0a", []string{"A\r"}, nil},
	// The query of MODBUS over Serial Line V1.02, appendix B, as a gateway passes it on.
	{"Modbus RTU", "idle:10ms", "11 03 006b 0003 7687", []string{"\x11\x03\x00k\x00\x03v\x87"}, nil},
	{"more than the limit without silence", "idle:10ms", "3031323334353637383961626364656667", nil, ErrMessageTooLong},
}

func framing(s string) Framing {
	f, err := ParseFraming(s)
	if err != nil {
		panic(err)
	}
	return f
}

// cut cuts the pieces as framingTests show it; stray messages that follow one another
// are one.
func cut(k *Cutter, pieces ...[]byte) (got []string, err error) {
	for _, p := range pieces {
		p = bytes.Clone(p)
		for rest := p; ; {
			message, more, ok, err := k.Next(rest)
			if err != nil {
				return got, err
			}
			if !ok {
				break
			}
			rest = more
			switch n := len(got) - 1; {
			case !k.Stray():
				got = append(got, string(message))
			case n >= 0 && strings.HasPrefix(got[n], "stray "):
				got[n] += string(message)
			default:
				got = append(got, "stray "+string(message))
			}
		}
		clear(p) // the Cutter may not look at it again
	}
	switch message, isCut := k.Finish(); {
	case isCut:
		got = append(got, "cut "+string(message))
	case len(message) > 0:
		got = append(got, string(message))
	}
	return got, nil
}

func TestFramings(t *testing.T) {
	for _, tt := range framingTests {
		wire := unhex(tt.wire)
		check := func(how string, pieces ...[]byte) {
			t.Helper()
			got, err := cut(&Cutter{Framing: framing(tt.framing), Max: 16}, pieces...)
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || err == nil && !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %x %s is %q, %v; want %q, %v", tt.framing, tt.name, wire, how, got, err, tt.want, tt.err)
			}
		}
		check("whole", wire)
		check("byte by byte", single(wire)...)
		for i := range wire {
			check(fmt.Sprintf("cut at %d", i), wire[:i], wire[i:])
		}
	}
}

// What one read brought is a message where there is no framing.
func TestFramingNone(t *testing.T) {
	k := Cutter{Framing: Framing{Kind: KindNone}}
	got, err := cut(&k, []byte("ab"), nil, []byte("c"))
	if err != nil || !slices.Equal(got, []string{"ab", "c"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// An error has the first bytes of the frame, at most 64, and says where it began.
func TestFramingErrors(t *testing.T) {
	for _, tt := range []struct {
		framing, wire string
		err           error
		bytes         string
		offset        int64
	}{
		{"line", "ok\n" + strings.Repeat("x", 100), ErrLineTooLong, strings.Repeat("x", 64), 3},
		{"length:1", "\x02hi\xffabc", ErrMessageTooLong, "\xffabc", 3},
		{"netstring", "2:hi,1:hi,", ErrComma, "1:hi,", 5},
		{"decimal", "2 hiGET / HTTP/1.1", ErrLength, "GET / HTTP/1.1", 4},
		{"slip", "\xc0hi\xc0\xc0a\xdbb\xc0c", ErrEscape, "a\xdbb\xc0", 5},
		{"mllp", "\x0bhi\x1c\r..\x0b" + strings.Repeat("y", 100), ErrMessageTooLong, "\x0b" + strings.Repeat("y", 63), 7},
	} {
		for _, pieces := range [][][]byte{{[]byte(tt.wire)}, single([]byte(tt.wire))} {
			_, err := cut(&Cutter{Framing: framing(tt.framing), Max: 80}, pieces...)
			e, ok := errors.AsType[*ProtocolError](err)
			if !ok || !errors.Is(err, tt.err) || !strings.HasPrefix(tt.bytes, string(e.Bytes)) || len(e.Bytes) == 0 || e.Offset != tt.offset {
				t.Errorf("%s: %q in %d pieces: %#v; want %v, %q at %d", tt.framing, tt.wire, len(pieces), err, tt.err, tt.bytes, tt.offset)
			}
			if len(pieces) == 1 && ok && string(e.Bytes) != tt.bytes {
				t.Errorf("%s: %q: shows %q, want %q", tt.framing, tt.wire, e.Bytes, tt.bytes)
			}
		}
	}
}

// everyFraming is one of each kind, and of its forms.
var everyFraming = []string{"line", "line:keep-cr", "none", "delim:0d", "delim:0d0a00", "mllp", "between:02,03", "length:1",
	"length:2le+2", "length", "length:8", "decimal", "netstring", "slip", "idle:10ms"}

// What comes in one piece costs as much for each byte, however many messages it makes.
func TestFramingIsLinearWhole(t *testing.T) {
	for _, s := range everyFraming {
		f := framing(s)
		var wire []byte
		for range 1 << 14 {
			wire, _ = f.Append(wire, []byte("abc"))
		}
		k := Cutter{Framing: f, Max: len(wire)}
		if _, err := cut(&k, wire); err != nil || k.looked > 32*len(wire) {
			t.Errorf("%s: %d bytes were searched or moved for %d, want at most 32 each; %v", s, k.looked, len(wire), err)
		}
	}
}

// What comes a byte at a time behind a nearly full buffer costs no more for each byte
// than what comes at the beginning.
func TestFramingIsLinear(t *testing.T) {
	const size = 1 << 16
	for _, s := range everyFraming {
		f := framing(s)
		message := bytes.Repeat([]byte{'x', 0xdb}, size/2)
		if f.Kind == KindLength && f.Size < 4 {
			message = message[:1<<(8*f.Size)-1-f.Extra]
		}
		wire, err := f.Append(nil, message)
		if err != nil {
			t.Fatal(err)
		}
		k := Cutter{Framing: f, Max: size}
		messages := 0
		for _, b := range single(wire) {
			_, _, ok, err := k.Next(b)
			if err != nil {
				t.Fatalf("%s: %v", s, err)
			}
			if ok {
				messages++
			}
		}
		if last, isCut := k.Finish(); last != nil && !isCut {
			messages++
		}
		if f.Kind != KindNone && messages != 1 {
			t.Errorf("%s: %d messages of %d bytes", s, messages, len(wire))
		}
		if most := 32 * len(wire); k.looked > most {
			t.Errorf("%s: %d bytes were searched or moved for %d, want at most %d", s, k.looked, len(wire), most)
		}
	}
}

// A length is a claim: nothing is allocated for it.
func TestFramingClaims(t *testing.T) {
	for name, head := range map[string]string{"length": "\x00\xff\xff\xff", "netstring": "16777215:", "decimal": "16777215 "} {
		k := Cutter{Framing: framing(name)}
		for _, b := range single([]byte(head + "abc")) {
			if _, _, ok, err := k.Next(b); ok || err != nil {
				t.Fatalf("%s: %v, %v", name, ok, err)
			}
		}
		if cap(k.part) > keepPart {
			t.Errorf("%s: %d bytes of storage for a claim", name, cap(k.part))
		}
	}
}

func TestParseFraming(t *testing.T) {
	for _, tt := range []struct {
		in, out string // as String has it; "" for an error
		want    Framing
	}{
		{"none", "none", Framing{Kind: KindNone}},
		{"line", "line", Framing{}},
		{"delim:0x0d,0x0a", "delim:0d0a", Framing{Kind: KindDelim, End: "\r\n"}},
		{`delim:"\r"`, "delim:0d", Framing{Kind: KindDelim, End: "\r"}},
		{"between:02,03", "between:02,03", Framing{Kind: KindBetween, Begin: "\x02", End: "\x03"}},
		{`between:"<,",{0x2c, 0x3e}`, "between:3c2c,2c3e", Framing{Kind: KindBetween, Begin: "<,", End: ",>"}},
		{"between:0b,1c0d", "mllp", Framing{Kind: KindBetween, Begin: "\x0b", End: "\x1c\r"}},
		{"length:4", "length", Framing{Kind: KindLength, Size: 4}},
		{"length:2le+10", "length:2le+10", Framing{Kind: KindLength, Size: 2, Little: true, Extra: 10}},
		{"length:1+255", "length:1+255", Framing{Kind: KindLength, Size: 1, Extra: 255}},
		{"idle:5", "idle:5s", Framing{Kind: KindIdle, Silence: 5 * time.Second}},
		{"idle:3.5ms", "idle:3.5ms", Framing{Kind: KindIdle, Silence: 3500 * time.Microsecond}},
		{in: ""}, {in: "lines"}, {in: "delim:"}, {in: "delim:0g"}, {in: "between:02"}, {in: "between:,03"}, {in: "length:3"},
		{in: "length:le2"}, {in: "length:2+"}, {in: "length:2+-1"}, {in: "length:1+256"}, {in: "length:"}, {in: "idle:0"},
		{in: "idle:"}, {in: "idle:-1s"}, {in: "slip:1"}, {in: "mllp:0b"},
	} {
		f, err := ParseFraming(tt.in)
		if (err == nil) != (tt.out != "") || err == nil && (f != tt.want || f.String() != tt.out) {
			t.Errorf("ParseFraming(%q) = %+v (%v), %v; want %+v (%s)", tt.in, f, f, err, tt.want, tt.out)
		}
	}
}

func TestFramingCannotCarry(t *testing.T) {
	for _, tt := range []struct {
		framing string
		size    int
		err     error
	}{
		{"length:1", 256, ErrMessageTooLong},
		{"length:1+1", 255, ErrMessageTooLong},
		{"length:2le", 1 << 16, ErrMessageTooLong},
		{"decimal", 0, errEmpty},
		{"slip", 0, errEmpty},
	} {
		got, err := framing(tt.framing).Append([]byte("x"), make([]byte, tt.size))
		if string(got) != "x" || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d bytes: %q, %v; want %v", tt.framing, tt.size, got, err, tt.err)
		}
		if tt.size > 0 {
			if _, err := framing(tt.framing).Append(nil, make([]byte, tt.size-1)); err != nil {
				t.Errorf("%s: %d bytes: %v", tt.framing, tt.size-1, err)
			}
		}
	}
	if (Framing{Kind: KindLength, Size: 8}).fits(1<<64-1) != true {
		t.Error("eight bytes cannot tell the largest number")
	}
}

// FuzzFraming: what is cut from anything, whole and in pieces, is the same, and goes
// over the wire again as it came where the framing has one way only.
func FuzzFraming(f *testing.F) {
	for _, tt := range framingTests {
		f.Add(tt.framing, unhex(tt.wire), 3)
	}
	f.Fuzz(func(t *testing.T, s string, in []byte, size int) {
		framing, err := ParseFraming(s)
		if err != nil {
			return
		}
		if again, err := ParseFraming(framing.String()); err != nil || again != framing {
			t.Fatalf("%q is %v, which is %v, %v", s, framing, again, err)
		}
		if framing.Kind == KindNone {
			return
		}
		whole, wholeErr := cut(&Cutter{Framing: framing, Max: 50}, in)
		pieces, piecesErr := cut(&Cutter{Framing: framing, Max: 50}, slices.Collect(slices.Chunk(in, 1+abs(size)%9))...)
		if !slices.Equal(whole, pieces) || fmt.Sprint(wholeErr) != fmt.Sprint(piecesErr) {
			t.Errorf("%v: %q whole is %q, %v; in pieces %q, %v", framing, in, whole, wholeErr, pieces, piecesErr)
		}
	})
}

// FuzzFramingAppend: what Append made is cut into the message, where the End does not
// stand in it.
func FuzzFramingAppend(f *testing.F) {
	for i := range everyFraming {
		f.Add(byte(i), []byte("a message"), []byte{0xc0, 0xdb, '\r', 0x1c})
	}
	f.Fuzz(func(t *testing.T, kind byte, a, b []byte) {
		framing := framing(everyFraming[int(kind)%len(everyFraming)])
		var wire []byte
		var want []string
		for _, m := range [][]byte{a, b} {
			end := framing.End
			if framing.Kind == KindLine {
				end = "\n"
			}
			// An End may also be made of the end of a message and the beginning of it.
			if end != "" && strings.Index(string(m)+end, end) != len(m) || framing == (Framing{}) && bytes.HasSuffix(m, []byte("\r")) {
				return
			}
			var err error
			if wire, err = framing.Append(wire, m); err != nil {
				continue
			}
			want = append(want, string(m))
		}
		if framing.Kind == KindNone || framing.Kind == KindIdle {
			want = []string{strings.Join(want, "")}
		}
		k := Cutter{Framing: framing, Max: 1 << 20}
		got, err := cut(&k, wire)
		if err != nil || len(wire) > 0 && !slices.Equal(got, want) {
			t.Errorf("%v: %q went over the wire as %x, which is %q, %v", framing, want, wire, got, err)
		}
	})
}

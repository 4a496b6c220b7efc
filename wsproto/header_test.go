package wsproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
)

// unhex reads bytes written as hex, blanks between them as one likes.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var headerVectors = []struct {
	name, wire string
	h          Header
	err        error
}{
	{"unmasked text Hello (§5.7)", "81 05", Header{Fin: true, Opcode: OpText, PayloadLen: 5}, nil},
	{"masked text Hello (§5.7)", "81 85 37fa213d", Header{Fin: true, Opcode: OpText, Masked: true,
		MaskingKey: [4]byte{0x37, 0xfa, 0x21, 0x3d}, PayloadLen: 5}, nil},
	{"first fragment Hel (§5.7)", "01 03", Header{Opcode: OpText, PayloadLen: 3}, nil},
	{"last fragment lo (§5.7)", "80 02", Header{Fin: true, PayloadLen: 2}, nil},
	{"unmasked ping Hello (§5.7)", "89 05", Header{Fin: true, Opcode: OpPing, PayloadLen: 5}, nil},
	{"masked pong Hello (§5.7)", "8a 85 37fa213d", Header{Fin: true, Opcode: OpPong, Masked: true,
		MaskingKey: [4]byte{0x37, 0xfa, 0x21, 0x3d}, PayloadLen: 5}, nil},
	{"256 bytes binary (§5.7)", "82 7e 0100", Header{Fin: true, Opcode: OpBinary, PayloadLen: 256}, nil},
	{"64 KiB binary (§5.7)", "82 7f 0000000000010000", Header{Fin: true, Opcode: OpBinary, PayloadLen: 65536}, nil},
	{"compressed text (RFC 7692 §7.2.3.1)", "c1 07", Header{Fin: true, Rsv1: true, Opcode: OpText, PayloadLen: 7}, nil},
	{"every bit", "ff ff 7fffffffffffffff 01020304", Header{true, true, true, true, 0xF, true, [4]byte{1, 2, 3, 4}, math.MaxInt64}, nil},
	{"masked, 16 bits", "88 fe ffff 00000000", Header{Fin: true, Opcode: OpClose, Masked: true, PayloadLen: 65535}, nil},
	{"nothing set", "00 00", Header{}, nil},
	{"125 in 7 bits", "82 7d", Header{Fin: true, Opcode: OpBinary, PayloadLen: 125}, nil},
	{"126 in 16 bits", "82 7e 007e", Header{Fin: true, Opcode: OpBinary, PayloadLen: 126}, nil},
	{"125 in 16 bits", "82 7e 007d", Header{}, ErrLengthEncoding},
	{"0 in 16 bits", "82 fe 0000", Header{}, ErrLengthEncoding},
	{"65535 in 64 bits", "82 7f 000000000000ffff", Header{}, ErrLengthEncoding},
	{"5 in 64 bits", "82 ff 0000000000000005", Header{}, ErrLengthEncoding},
	{"top bit set", "82 7f 8000000000000000", Header{}, ErrLengthEncoding},
	{"all bits set", "82 ff ffffffffffffffff", Header{}, ErrLengthEncoding},
}

func TestParseHeader(t *testing.T) {
	for _, tt := range headerVectors {
		wire := unhex(tt.wire)
		for cut := range len(wire) {
			if h, n, err := ParseHeader(wire[:cut]); h != (Header{}) || n != 0 || err != nil {
				t.Errorf("%s: ParseHeader(%x) = %+v, %d, %v; want that more is needed", tt.name, wire[:cut], h, n, err)
			}
		}
		h, n, err := ParseHeader(append(wire, 0xAA))
		wantN := len(wire)
		if tt.err != nil {
			wantN = 0
		}
		if h != tt.h || n != wantN || !errors.Is(err, tt.err) {
			t.Errorf("%s: ParseHeader(%x) = %+v, %d, %v; want %+v, %d, %v", tt.name, wire, h, n, err, tt.h, wantN, tt.err)
		}
		if pe, ok := errors.AsType[*ProtocolError](err); tt.err != nil && (!ok || pe.Code != StatusProtocolError) {
			t.Errorf("%s: ParseHeader(%x): error %v, want one with code 1002", tt.name, wire, err)
		}
		if tt.err == nil {
			if got := AppendHeader([]byte("x"), tt.h); !bytes.Equal(got[1:], wire) || got[0] != 'x' {
				t.Errorf("%s: AppendHeader(%+v) = %x, want %x", tt.name, tt.h, got[1:], wire)
			}
		}
	}
}

func TestAppendHeaderNegative(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.HasPrefix(v.(string), "wsproto:") {
			t.Errorf("AppendHeader with a negative length: recovered %v, want a panic of the package", v)
		}
	}()
	AppendHeader(nil, Header{PayloadLen: -1})
}

func TestOpcode(t *testing.T) {
	names := map[Opcode]string{0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong", 3: "reserved 0x3", 15: "reserved 0xf"}
	for o, want := range names {
		if got := o.String(); got != want {
			t.Errorf("Opcode(%d).String() = %q, want %q", o, got, want)
		}
	}
	for o := Opcode(0); o < 16; o++ {
		reserved := o >= 3 && o <= 7 || o >= 11
		if o.IsReserved() != reserved || o.IsControl() != (o >= 8) {
			t.Errorf("%v: IsReserved %t, IsControl %t; want %t, %t", o, o.IsReserved(), o.IsControl(), reserved, o >= 8)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, tt := range headerVectors {
		f.Add(unhex(tt.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := ParseHeader(b)
		if err != nil || n == 0 {
			if h != (Header{}) || n != 0 {
				t.Errorf("ParseHeader(%x) = %+v, %d, %v; want no header", b, h, n, err)
			}
			if err == nil && len(b) >= MaxHeaderLen {
				t.Errorf("ParseHeader(%x) wants more than the longest header", b)
			}
			return
		}
		if h.PayloadLen < 0 {
			t.Errorf("ParseHeader(%x): payload length %d", b, h.PayloadLen)
		}
		if again := AppendHeader(nil, h); !bytes.Equal(again, b[:n]) {
			t.Errorf("AppendHeader(%+v) = %x, want %x", h, again, b[:n])
		}
	})
}

func BenchmarkParseHeader(b *testing.B) {
	wire := unhex("82 fe 0100 37fa213d")
	b.ReportAllocs()
	for b.Loop() {
		if _, n, _ := ParseHeader(wire); n != 8 {
			b.Fatal(n)
		}
	}
}

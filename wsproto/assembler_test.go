package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// frame is a frame as it goes over the wire; masked with a key if the receiver
// is a server.
func frame(to Role, b0 byte, payload string) []byte {
	h := Header{Fin: b0&bitFin != 0, Rsv1: b0&bitRsv1 != 0, Rsv2: b0&bitRsv2 != 0, Rsv3: b0&bitRsv3 != 0,
		Opcode: Opcode(b0 & 0xF), PayloadLen: int64(len(payload))}
	if to == RoleServer {
		h.Masked, h.MaskingKey = true, [4]byte{0x37, 0xfa, 0x21, 0x3d}
	}
	b := AppendHeader(nil, h)
	n := len(b)
	b = append(b, payload...)
	if h.Masked {
		mask(b[n:], h.MaskingKey, 0)
	}
	return b
}

// assemble feeds a to wire, payloads in pieces of at most step bytes, and returns
// what came of it as text: opcodes and data, then the error.
func assemble(a *Assembler, wire []byte, step int) string {
	var got []string
	p := bytes.Clone(wire) // Add changes what it is given
	for len(p) > 0 {
		h, n, err := ParseHeader(p)
		if err == nil && n > 0 {
			err = a.Check(h)
		}
		if err != nil {
			return strings.Join(append(got, err.Error()), " | ")
		}
		if n == 0 {
			return strings.Join(append(got, "more"), " | ")
		}
		p = p[n:]
		for {
			k := min(len(p), int(min(a.Left(), int64(step))))
			m, done, err := a.Add(p[:k])
			p = p[k:]
			if err != nil {
				return strings.Join(append(got, err.Error()), " | ")
			}
			if done {
				got = append(got, fmt.Sprintf("%v %q", m.Opcode, m.Data))
			}
			if a.Left() == 0 {
				break
			}
			if len(p) == 0 {
				return strings.Join(append(got, "more"), " | ")
			}
		}
	}
	return strings.Join(got, " | ")
}

func fails(code StatusCode, rule error) string {
	return (&ProtocolError{Code: code, Err: rule}).Error()
}

type wireFrame struct {
	b0      byte
	payload string
}

// ruleVectors hold for both roles.
var ruleVectors = []struct {
	name   string
	frames []wireFrame
	want   string
}{
	{"text Hello (§5.7)", []wireFrame{{0x81, "Hello"}}, `text "Hello"`},
	{"fragmented Hello (§5.7)", []wireFrame{{0x01, "Hel"}, {0x80, "lo"}}, `text "Hello"`},
	{"ping and pong (§5.7)", []wireFrame{{0x89, "Hello"}, {0x8a, "Hello"}}, `ping "Hello" | pong "Hello"`},
	{"ping between fragments (§5.4)", []wireFrame{{0x01, "a"}, {0x89, "p"}, {0x00, ""}, {0x80, "b"}}, `ping "p" | text "ab"`},
	{"empty message of empty fragments", []wireFrame{{0x02, ""}, {0x00, ""}, {0x80, ""}}, `binary ""`},
	{"message after a fragmented one", []wireFrame{{0x02, "\x00"}, {0x80, "\xff"}, {0x81, "x"}}, `binary "\x00\xff" | text "x"`},
	{"close 1000", []wireFrame{{0x88, "\x03\xe8bye"}}, `close "\x03\xe8bye"`},
	{"rune across fragments", []wireFrame{{0x01, "\xe6\x97"}, {0x00, "\xa5\xe6"}, {0x80, "\x9c\xac"}}, `text "日本"`},
	{"binary need not be UTF-8", []wireFrame{{0x82, "\xff\xfe"}}, `binary "\xff\xfe"`},

	{"RSV1 without an extension", []wireFrame{{0xc1, ""}}, fails(1002, ErrReservedBits)},
	{"RSV2", []wireFrame{{0xa1, ""}}, fails(1002, ErrReservedBits)},
	{"RSV3", []wireFrame{{0x92, ""}}, fails(1002, ErrReservedBits)},
	{"opcode 3", []wireFrame{{0x83, "hi"}}, fails(1002, fmt.Errorf("%w 0x3", ErrReservedOpcode))},
	{"opcode 15", []wireFrame{{0x8f, ""}}, fails(1002, fmt.Errorf("%w 0xf", ErrReservedOpcode))},
	{"fragmented ping", []wireFrame{{0x09, "p"}}, fails(1002, ErrControlFragment)},
	{"ping of 126 bytes", []wireFrame{{0x89, strings.Repeat("p", 126)}}, fails(1002, ErrControlTooLong)},
	{"ping of 125 bytes", []wireFrame{{0x89, strings.Repeat("p", 125)}}, `ping "` + strings.Repeat("p", 125) + `"`},
	{"continuation of nothing", []wireFrame{{0x80, "x"}}, fails(1002, ErrNoMessageToGoOn)},
	{"continuation of a whole message", []wireFrame{{0x81, "x"}, {0x80, "y"}}, `text "x" | ` + fails(1002, ErrNoMessageToGoOn)},
	{"text inside a message", []wireFrame{{0x01, "x"}, {0x81, "y"}}, fails(1002, ErrMessageNotEnded)},
	{"close with one byte", []wireFrame{{0x88, "\x03"}}, fails(1002, ErrClosePayload)},
	{"close 1005", []wireFrame{{0x88, "\x03\xed"}}, fails(1002, fmt.Errorf("%w: 1005", ErrStatusCode))},
	{"overlong UTF-8", []wireFrame{{0x81, "\xc0\xaf"}}, fails(1007, ErrInvalidUTF8)},
	{"rune cut by the end", []wireFrame{{0x81, "\xe6\x97"}}, fails(1007, ErrInvalidUTF8)},
	{"rune cut by the end of fragments", []wireFrame{{0x01, "a\xe6"}, {0x80, ""}}, fails(1007, ErrInvalidUTF8)},
	{"bad byte in a first fragment", []wireFrame{{0x01, "\xff"}}, fails(1007, ErrInvalidUTF8)},
	{"bad byte, the rest never comes", []wireFrame{{0x01, "ab\xed\xa0"}}, fails(1007, ErrInvalidUTF8)},
}

func TestAssembler(t *testing.T) {
	for _, tt := range ruleVectors {
		for _, role := range []Role{RoleServer, RoleClient} {
			var wire []byte
			for _, f := range tt.frames {
				wire = append(wire, frame(role, f.b0, f.payload)...)
			}
			for _, step := range []int{math.MaxInt, 3, 1} {
				if got := assemble(&Assembler{Role: role}, wire, step); got != tt.want {
					t.Errorf("%s: %v in steps of %d: got  %s\nwant %s", tt.name, role, step, got, tt.want)
				}
			}
		}
	}
}

func TestAssemblerMasking(t *testing.T) {
	for _, role := range []Role{RoleServer, RoleClient} {
		wire := frame(1-role, 0x81, "hi") // as for the other side
		if got, want := assemble(&Assembler{Role: role}, wire, 9), fails(1002, ErrMasking); got != want {
			t.Errorf("%v: got %s, want %s", role, got, want)
		}
	}
}

func TestAssemblerLimits(t *testing.T) {
	big := func(n int) string { return strings.Repeat("x", n) }
	tooBig := fails(1009, fmt.Errorf("%w of 100 bytes", ErrMessageTooBig))
	tests := []struct {
		name   string
		frames []wireFrame
		want   string
	}{
		{"at the limit", []wireFrame{{0x82, big(100)}}, fmt.Sprintf("binary %q", big(100))},
		{"over the limit", []wireFrame{{0x82, big(101)}}, tooBig},
		{"at the limit in parts", []wireFrame{{0x02, big(60)}, {0x80, big(40)}}, fmt.Sprintf("binary %q", big(100))},
		{"over it in parts", []wireFrame{{0x02, big(60)}, {0x80, big(41)}}, tooBig},
		{"a ping counts for nothing", []wireFrame{{0x02, big(60)}, {0x89, big(60)}, {0x80, big(40)}}, fmt.Sprintf("ping %q | binary %q", big(60), big(100))},
		{"3 fragments", []wireFrame{{0x02, ""}, {0x00, ""}, {0x80, ""}}, `binary ""`},
		{"4 fragments", []wireFrame{{0x02, ""}, {0x00, ""}, {0x00, ""}}, `more`},
	}
	tests[6].frames = append(tests[6].frames, wireFrame{0x80, ""})
	tests[6].want = fails(1008, fmt.Errorf("%w of 3", ErrTooManyFragments))
	for _, tt := range tests {
		var wire []byte
		for _, f := range tt.frames {
			wire = append(wire, frame(RoleClient, f.b0, f.payload)...)
		}
		a := &Assembler{Role: RoleClient, MaxMessage: 100, MaxFragments: 3}
		if got := assemble(a, wire, 1000); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if err := new(Assembler).Check(Header{Fin: true, Opcode: OpBinary, Masked: true, PayloadLen: math.MaxInt64}); !errors.Is(err, ErrMessageTooBig) {
		t.Errorf("2^63-1 bytes: %v, want ErrMessageTooBig", err)
	}
	if err := (&Assembler{MaxMessage: math.MaxInt64}).Check(Header{Fin: true, Opcode: OpBinary, Masked: true, PayloadLen: math.MaxInt64}); !errors.Is(err, ErrMessageTooBig) {
		t.Errorf("2^63-1 bytes with no limit: %v, want ErrMessageTooBig", err)
	}
}

// TestAssemblerNoEarlyMemory: a claimed length earns no memory.
func TestAssemblerNoEarlyMemory(t *testing.T) {
	var a Assembler
	if err := a.Check(Header{Opcode: OpBinary, Masked: true, PayloadLen: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	if a.space() != nil {
		t.Error("room is offered before a byte came")
	}
	if _, _, err := a.Add([]byte{1}); err != nil || cap(a.buf.b) > 1<<minBlock+blockMore {
		t.Errorf("one byte of 16 MiB: %v, %d bytes held", err, cap(a.buf.b))
	}
}

// TestAssemblerEarnedMemory: a peer whose last message was large is given as much
// for the next at once, so that it is not copied as it grows, but not more.
func TestAssemblerEarnedMemory(t *testing.T) {
	var a Assembler
	take := func(claimed int64, pieces ...int) {
		t.Helper()
		if err := a.Check(Header{Fin: true, Opcode: OpBinary, Masked: true, PayloadLen: claimed}); err != nil {
			t.Fatal(err)
		}
		for _, n := range pieces {
			if _, _, err := a.Add(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const first = 1 << 20
	take(first, 1, first-1)
	a.release()
	take(16<<20, 1)
	if got := cap(a.buf.b); got < first || got > 2*first {
		t.Errorf("after a message of %d bytes and 1 of the next: %d bytes held", first, got)
	}
}

// TestAssemblerSpace: what is read into the space is not copied and not lost.
func TestAssemblerSpace(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	wire := frame(RoleServer, 0x82, string(want))
	h, n, _ := ParseHeader(wire)
	var a Assembler
	if err := a.Check(h); err != nil {
		t.Fatal(err)
	}
	src, inPlace := bytes.NewReader(wire[n:]), 0
	for {
		p := a.space()
		if p == nil {
			p = make([]byte, 40<<10)
		} else {
			inPlace++
		}
		k, err := io.ReadFull(src, p[:min(int64(len(p)), a.Left())])
		if err != nil {
			t.Fatal(err)
		}
		m, done, err := a.Add(p[:k])
		if err != nil {
			t.Fatal(err)
		}
		if done {
			if !bytes.Equal(m.Data, want) {
				t.Error("the message is not what was sent")
			}
			break
		}
	}
	if inPlace == 0 {
		t.Error("no read went into the message itself")
	}
	a.release()
	if a.buf != nil {
		t.Error("release keeps the buffer of a message that was handed out")
	}
}

func FuzzAssembler(f *testing.F) {
	for _, tt := range ruleVectors {
		var wire []byte
		for _, fr := range tt.frames {
			wire = append(wire, frame(RoleServer, fr.b0, fr.payload)...)
		}
		f.Add(wire, uint8(3))
	}
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		whole := assemble(&Assembler{MaxMessage: 300, MaxFragments: 5}, wire, math.MaxInt)
		parts := assemble(&Assembler{MaxMessage: 300, MaxFragments: 5}, wire, int(step)+1)
		// A bad byte is found earlier in parts when the rest of the frame is missing.
		if whole != parts && !strings.HasPrefix(parts, strings.TrimSuffix(whole, "more")) {
			t.Errorf("%x: whole %s\nin steps of %d %s", wire, whole, step+1, parts)
		}
	})
}

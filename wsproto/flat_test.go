package wsproto

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzFlat: the short way says of every input what Check and Add say of it, or
// nothing, and then leaves it as it was.
func FuzzFlat(f *testing.F) {
	for _, role := range []Role{RoleServer, RoleClient} {
		for _, b0 := range []byte{0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8a, 0x09, 0xc9, 0xc1, 0xf1} {
			for _, p := range []string{"", "x", "\xff", "é", "é"[:1], string(make([]byte, 126)), string(make([]byte, 70000))} {
				f.Add(byte(role), frame(role, b0, p), 0)
			}
		}
	}
	f.Add(byte(RoleServer), unhex("81 fe 0001 00000000 78"), 0) // not in its shortest form
	f.Add(byte(RoleServer), frame(RoleServer, 0x81, "xxx"), 2)
	f.Fuzz(func(t *testing.T, role byte, b []byte, limit int) {
		short := &Assembler{Role: Role(role % 2), MaxMessage: int64(limit)}
		long := &Assembler{Role: Role(role % 2), MaxMessage: int64(limit)}
		given := bytes.Clone(b)
		m, n := short.flat(given)
		if n == 0 {
			if !bytes.Equal(given, b) {
				t.Fatalf("flat(%x) says nothing and leaves %x", b, given)
			}
			return
		}
		h, size, err := ParseHeader(b)
		if err != nil || size == 0 || size+int(h.PayloadLen) != n {
			t.Fatalf("flat(%x) takes %d bytes; the header is %d and has %d, %v", b, n, size, h.PayloadLen, err)
		}
		want, done, err := Message{}, false, long.Check(h)
		if err == nil {
			want, done, err = long.Add(bytes.Clone(b[size:n]))
		}
		if err != nil || !done || want.Opcode != m.Opcode || !bytes.Equal(want.Data, m.Data) {
			t.Fatalf("flat(%x) = %v; by the rules %v, %t, %v", b, m, want, done, err)
		}
		if short.midMessage() || long.midMessage() || short.earned != long.earned {
			t.Fatalf("flat(%x) leaves another state than the rules", b)
		}
	})
}

// TestFlatIsTaken: it is the way of the messages it is for.
func TestFlatIsTaken(t *testing.T) {
	for _, role := range []Role{RoleServer, RoleClient} {
		for _, size := range []int{2, 125, 126, 65535} {
			b := frame(role, 0x82, string(make([]byte, size)))
			a := Assembler{Role: role}
			if m, n := a.flat(b); n != len(b) || len(m.Data) != size {
				t.Errorf("a %v of %d bytes: %d of %d bytes taken", role, size, n, len(b))
			}
		}
	}
	for _, op := range []Opcode{OpPing, OpPong} {
		b := frame(RoleServer, bitFin|byte(op), "x")
		var a Assembler
		if _, n := a.flat(b); n != len(b) {
			t.Errorf("of a control frame %x %d bytes are taken", b, n)
		}
	}
	var a Assembler
	a.Check(Header{Opcode: OpText, Masked: true})
	a.Add(nil)
	b := frame(RoleServer, 0x81, "x")
	if _, n := a.flat(b); n != 0 {
		t.Error("a message inside a fragmented one is taken")
	}
	if h, _, _ := ParseHeader(b); !errors.Is(a.Check(h), ErrMessageNotEnded) {
		t.Error("Check takes it as well")
	}
}

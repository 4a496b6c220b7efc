package wsproto

import "encoding/binary"

// flat returns the message that b begins with, and the length of its frame, if that
// is one unfragmented, uncompressed frame, whole in b and within the rules; or the ping
// or pong, likewise. It is the short way for what most messages are: where n is 0, Check
// and Add say what b is. b is changed only then when n is not 0.
func (a *Assembler) flat(b []byte) (m Message, n int) {
	if len(b) < 4 || a.stream || a.message != 0 || a.left != 0 {
		return m, 0
	}
	switch b[0] {
	case bitFin | byte(OpText), bitFin | byte(OpBinary):
	case bitFin | byte(OpPing), bitFin | byte(OpPong):
		if b[1]&^bitMask > maxControl {
			return m, 0
		}
	default:
		return m, 0
	}
	size, at := int(b[1]&^bitMask), 2 // of the payload, and where it begins
	switch {
	case size == len16:
		size, at = int(binary.BigEndian.Uint16(b[2:])), 4
		if size < len16 {
			return m, 0
		}
	case size == len64:
		return m, 0 // what is so long seldom comes whole
	}
	var key [4]byte
	masked := b[1]&bitMask != 0
	if masked {
		if len(b) < at+4 {
			return m, 0
		}
		key = [4]byte(b[at:])
		at += 4
	}
	if masked != (a.Role == RoleServer) || len(b)-at < size || int64(size) > a.maxMessage() {
		return m, 0
	}
	p := b[at : at+size : at+size]
	if masked {
		mask(p, key, 0)
	}
	m = Message{Opcode(b[0] & 0xF), p}
	if m.Opcode == OpText && utf8Start.next(p) != utf8Start {
		mask(p, key, 0) // as it came
		return Message{}, 0
	}
	if !m.Opcode.IsControl() {
		a.earned = size
	}
	return m, at + size
}

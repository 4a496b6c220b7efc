package wsproto

import (
	"encoding/binary"
	"fmt"
	"math"
)

// An Opcode tells what a frame carries (RFC 6455 §5.2).
type Opcode byte

const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// IsControl reports whether o is the opcode of a control frame (§5.5).
func (o Opcode) IsControl() bool { return o&0x8 != 0 }

// IsReserved reports whether RFC 6455 leaves o undefined.
func (o Opcode) IsReserved() bool { return o&0x7 > 2 }

// String returns the RFC's word for o, "reserved 0x3" for one it leaves undefined.
func (o Opcode) String() string {
	switch o {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	}
	return fmt.Sprintf("reserved %#x", byte(o))
}

// A Header is everything of a frame before its payload (RFC 6455 §5.2).
type Header struct {
	Fin, Rsv1, Rsv2, Rsv3 bool
	Opcode                Opcode
	Masked                bool
	MaskingKey            [4]byte // in wire order; zero unless Masked
	PayloadLen            int64   // in bytes, never negative
}

// MaxHeaderLen is the length in bytes of the longest frame header.
const MaxHeaderLen = 14

const (
	bitFin  = 1 << 7
	bitRsv1 = 1 << 6
	bitRsv2 = 1 << 5
	bitRsv3 = 1 << 4
	bitMask = 1 << 7

	len16 = 126 // the next 2 bytes are the payload length
	len64 = 127 // the next 8 bytes are
)

// AppendHeader appends h as it goes over the wire, the payload length in its
// shortest form. It does not judge: what ParseHeader returns is appended as it
// came. A negative PayloadLen is a mistake of the caller and panics.
func AppendHeader(dst []byte, h Header) []byte {
	if h.PayloadLen < 0 {
		panic("wsproto: AppendHeader: negative PayloadLen")
	}
	b0 := byte(h.Opcode) & 0xF
	if h.Fin {
		b0 |= bitFin
	}
	if h.Rsv1 {
		b0 |= bitRsv1
	}
	if h.Rsv2 {
		b0 |= bitRsv2
	}
	if h.Rsv3 {
		b0 |= bitRsv3
	}
	var mask byte
	if h.Masked {
		mask = bitMask
	}
	switch n := h.PayloadLen; {
	case n < len16:
		dst = append(dst, b0, mask|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, b0, mask|len16, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, b0, mask|len64), uint64(n))
	}
	if h.Masked {
		dst = append(dst, h.MaskingKey[:]...)
	}
	return dst
}

// ParseHeader decodes the frame header at the start of b (RFC 6455 §5.2) and
// returns its length in bytes. n == 0 with a nil error means b holds only part
// of a header: call again with more. The error is a *ProtocolError that wraps
// ErrLengthEncoding: a length that is not in its shortest form, or that has its
// top bit set; it is found as soon as the length is there. All other rules are
// the Assembler's.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	b0, b1 := b[0], b[1]
	length, n := int64(b1&^bitMask), 2
	switch length {
	case len16:
		if len(b) < 4 {
			return h, 0, nil
		}
		length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
		if length < len16 {
			return h, 0, badLength(b, length)
		}
	case len64:
		if len(b) < 10 {
			return h, 0, nil
		}
		length, n = int64(binary.BigEndian.Uint64(b[2:])), 10
		if length <= math.MaxUint16 { // negative: the top bit was set
			return h, 0, badLength(b, length)
		}
	}
	if b1&bitMask != 0 {
		if len(b) < n+4 {
			return h, 0, nil
		}
		h.MaskingKey = [4]byte(b[n:])
		h.Masked = true
		n += 4
	}
	h.setBits(b0)
	h.PayloadLen = length
	return h, n, nil
}

func (h *Header) setBits(b0 byte) {
	h.Fin, h.Rsv1, h.Rsv2, h.Rsv3 = b0&bitFin != 0, b0&bitRsv1 != 0, b0&bitRsv2 != 0, b0&bitRsv3 != 0
	h.Opcode = Opcode(b0 & 0xF)
}

// badLength is the error for a length that is not in its shortest form.
func badLength(b []byte, length int64) error {
	h := Header{Masked: b[1]&bitMask != 0, PayloadLen: max(length, 0)}
	h.setBits(b[0])
	return showInput(&ProtocolError{Code: StatusProtocolError, Err: ErrLengthEncoding, Header: h}, b)
}

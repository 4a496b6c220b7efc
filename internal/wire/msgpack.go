package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// parseMsgpack reads a map. Values that are neither text, bytes nor booleans are
// passed over.
func parseMsgpack(b []byte) (m Message, err error) {
	v := view{b: b}
	for left := v.head().count; left > 0 && v.err == nil; left-- {
		name := v.head()
		if name.kind != kindText && v.err == nil {
			v.err = ErrName
		}
		f := Field{Name: string(v.take(name.size))}
		switch value := v.head(); value.kind {
		case kindText:
			f.Value = v.take(value.size)
		case kindBytes:
			f.Type, f.Value = Bytes, v.take(value.size)
		case kindBool:
			f.Type, f.Value = Bool, strconv.AppendBool(nil, value.yes)
		default:
			v.pass(value, maxDepth)
			continue
		}
		if v.err == nil {
			m, v.err = m.put(f)
		}
	}
	if v.err == nil && len(v.b) > 0 {
		v.err = ErrMore
	}
	if v.err != nil {
		return nil, fmt.Errorf("byte %d: %w", len(b)-len(v.b), v.err)
	}
	return m, nil
}

// A kind is what the first byte of a value says it is.
type kind uint8

const (
	kindOther kind = iota // a number, nothing, a list, an extension
	kindText
	kindBytes
	kindBool
	kindMap
)

// A head is what stands before the contents of a value: what they are, and how
// many bytes (size), or other values (count).
type head struct {
	kind  kind
	yes   bool
	size  uint64
	count uint64
}

// A view is what is not read yet of a message. Nothing is read after an error.
type view struct {
	b   []byte
	err error
}

// take returns the next n bytes.
func (v *view) take(n uint64) []byte {
	if v.err == nil && n > uint64(len(v.b)) {
		v.err = ErrCut
	}
	if v.err != nil {
		return nil
	}
	p := v.b[:n:n]
	v.b = v.b[n:]
	return p
}

// number returns an unsigned number of 1, 2 or 4 bytes, the highest first.
func (v *view) number(bytes int) uint64 {
	var wide [4]byte
	copy(wide[4-bytes:], v.take(uint64(bytes)))
	return uint64(binary.BigEndian.Uint32(wide[:]))
}

// The first bytes of values, as far as they are written here or begin a family
// (https://github.com/msgpack/msgpack/blob/master/spec.md).
const (
	fixmap   = 0x80 // the length in the low 4 bits
	fixarray = 0x90 // likewise
	fixstr   = 0xa0 // in the low 5 bits
	null     = 0xc0
	no       = 0xc2
	yes      = 0xc3
	bin8     = 0xc4 // bin16 and bin32 follow, as with the others
	ext8     = 0xc7
	float32_ = 0xca
	uint8_   = 0xcc
	int8_    = 0xd0
	fixext1  = 0xd4
	str8     = 0xd9
	array16  = 0xdc
	map16    = 0xde
	negative = 0xe0 // small numbers, as below fixmap
)

// head reads the head of the next value.
func (v *view) head() head {
	var first byte
	if p := v.take(1); p != nil {
		first = p[0]
	}
	switch {
	case first < fixmap || first >= negative || first == null:
		return head{}
	case first < fixarray:
		return head{kind: kindMap, count: uint64(first & 0x0f)}
	case first < fixstr:
		return head{count: uint64(first & 0x0f)}
	case first < null:
		return head{kind: kindText, size: uint64(first & 0x1f)}
	case first < no: // c1 is never used
		if v.err == nil {
			v.err = ErrType
		}
		return head{}
	case first <= yes:
		return head{kind: kindBool, yes: first == yes}
	case first < ext8:
		return head{kind: kindBytes, size: v.number(1 << (first - bin8))}
	case first < float32_:
		return head{size: 1 + v.number(1<<(first-ext8))}
	case first < uint8_:
		return head{size: 4 << (first - float32_)}
	case first < int8_:
		return head{size: 1 << (first - uint8_)}
	case first < fixext1:
		return head{size: 1 << (first - int8_)}
	case first < str8:
		return head{size: 1 + 1<<(first-fixext1)}
	case first < array16:
		return head{kind: kindText, size: v.number(1 << (first - str8))}
	case first < map16:
		return head{count: v.number(2 << (first - array16))}
	default:
		return head{kind: kindMap, count: v.number(2 << (first - map16))}
	}
}

// pass skips the contents of a value.
func (v *view) pass(h head, depth int) {
	v.take(h.size)
	values := h.count
	if h.kind == kindMap {
		values *= 2
	}
	if values > 0 && depth == 0 && v.err == nil {
		v.err = ErrDepth
	}
	for ; values > 0 && v.err == nil; values-- {
		v.pass(v.head(), depth-1)
	}
}

func appendMsgpack(dst []byte, m Message) []byte {
	if len(m) < 16 {
		dst = append(dst, fixmap|byte(len(m)))
	} else {
		dst = binary.BigEndian.AppendUint16(append(dst, map16), uint16(len(m)))
	}
	for _, f := range m {
		dst = append(appendLength(dst, fixstr, str8, len(f.Name)), f.Name...)
		switch {
		case f.Type == Bool && string(f.Value) == "true":
			dst = append(dst, yes)
		case f.Type == Bool:
			dst = append(dst, no)
		case f.Type == Bytes:
			dst = append(appendLength(dst, 0, bin8, len(f.Value)), f.Value...)
		default:
			dst = append(appendLength(dst, fixstr, str8, len(f.Value)), f.Value...)
		}
	}
	return dst
}

// appendLength appends the head of n bytes: fix with the length in it, if there is
// such a form, or first with a byte, or those after it with two or four.
func appendLength(dst []byte, fix, first byte, n int) []byte {
	switch {
	case n < 32 && fix != 0:
		return append(dst, fix|byte(n))
	case n < 1<<8:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first+1), uint16(n))
	case uint64(n) < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, first+2), uint32(n))
	}
	panic("wire: value of 4 GiB or more")
}

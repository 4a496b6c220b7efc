package wsproto

import (
	"encoding/binary"
	"unicode/utf8"
)

// UTF-8 is checked by a finite automaton, because it must be checked as it
// arrives (RFC 6455 §8.1): the state is all there is to carry from one piece of
// a message to the next, and the first byte that no valid text can go on with
// is found at once.
//
// One table entry holds the automaton's whole column for a byte: the next state
// for state s stands in the six bits from s on. A state is its own shift count,
// so a byte costs a load, a shift and no branch.

// utf8State is what the automaton expects next.
type utf8State uint64

const (
	utf8Bad    utf8State = 0  // no valid text begins like this
	utf8Start  utf8State = 6  // between two characters; where a text may end
	utf8Tail1  utf8State = 12 // one octet 80..BF is missing
	utf8Tail2  utf8State = 18 // two are
	utf8Tail3  utf8State = 24 // three are
	utf8AftE0  utf8State = 30 // A0..BF, then one: no overlong form
	utf8AftED  utf8State = 36 // 80..9F, then one: no surrogate
	utf8AftF0  utf8State = 42 // 90..BF, then two: no overlong form
	utf8AftF4  utf8State = 48 // 80..8F, then two: nothing above U+10FFFF
	utf8ofMask           = 63
)

// utf8Steps is the grammar of RFC 3629 §4.
var utf8Steps = [...]struct {
	in     utf8State
	lo, hi byte
	out    utf8State
}{
	{utf8Start, 0x00, 0x7F, utf8Start},
	{utf8Start, 0xC2, 0xDF, utf8Tail1},
	{utf8Start, 0xE0, 0xE0, utf8AftE0},
	{utf8Start, 0xE1, 0xEC, utf8Tail2},
	{utf8Start, 0xED, 0xED, utf8AftED},
	{utf8Start, 0xEE, 0xEF, utf8Tail2},
	{utf8Start, 0xF0, 0xF0, utf8AftF0},
	{utf8Start, 0xF1, 0xF3, utf8Tail3},
	{utf8Start, 0xF4, 0xF4, utf8AftF4},
	{utf8Tail1, 0x80, 0xBF, utf8Start},
	{utf8Tail2, 0x80, 0xBF, utf8Tail1},
	{utf8Tail3, 0x80, 0xBF, utf8Tail2},
	{utf8AftE0, 0xA0, 0xBF, utf8Tail1},
	{utf8AftED, 0x80, 0x9F, utf8Tail1},
	{utf8AftF0, 0x90, 0xBF, utf8Tail2},
	{utf8AftF4, 0x80, 0x8F, utf8Tail2},
}

var utf8Table = func() (t [256]uint64) {
	for _, s := range utf8Steps {
		for b := int(s.lo); b <= int(s.hi); b++ {
			t[b] |= uint64(s.out) << s.in
		}
	}
	return t
}()

// next returns the state after p, beginning in s; utf8Bad once there is no way
// on.
func (s utf8State) next(p []byte) utf8State {
	const high = 0x8080808080808080
	for len(p) >= 8 {
		if s == utf8Start && binary.LittleEndian.Uint64(p)&high == 0 {
			p = p[8:]
			for len(p) >= 16 && (binary.LittleEndian.Uint64(p)|binary.LittleEndian.Uint64(p[8:]))&high == 0 {
				p = p[16:]
			}
			continue
		}
		// Eight bytes at a time, because the bad state is kept by every byte:
		// one look at the end will do.
		x := uint64(s)
		q := (*[8]byte)(p)
		x = utf8Table[q[0]] >> (x & utf8ofMask)
		x = utf8Table[q[1]] >> (x & utf8ofMask)
		x = utf8Table[q[2]] >> (x & utf8ofMask)
		x = utf8Table[q[3]] >> (x & utf8ofMask)
		x = utf8Table[q[4]] >> (x & utf8ofMask)
		x = utf8Table[q[5]] >> (x & utf8ofMask)
		x = utf8Table[q[6]] >> (x & utf8ofMask)
		x = utf8Table[q[7]] >> (x & utf8ofMask)
		if s = utf8State(x & utf8ofMask); s == utf8Bad {
			return utf8Bad
		}
		p = p[8:]
	}
	for _, b := range p {
		s = utf8State(utf8Table[b]>>(s&utf8ofMask)) & utf8ofMask
	}
	return s
}

// badAt returns where in p, which begins in s, there is no way on; len(p) if nowhere.
func (s utf8State) badAt(p []byte) (at int) {
	for at < len(p) {
		if s = s.next(p[at : at+1]); s == utf8Bad {
			break
		}
		at++
	}
	return at
}

// validText returns how many bytes at the start of p are whole characters.
func validText(p []byte) (n int) {
	for n < len(p) {
		r, size := utf8.DecodeRune(p[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}

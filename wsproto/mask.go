package wsproto

import (
	"encoding/binary"
	"math/bits"
)

// mask XORs p in place with key, whose first octet goes with the payload octet
// at offset off, and is its own inverse (RFC 6455 §5.3). Words are faster here than
// vectors, crypto/subtle.XORBytes, which want the key repeated over a block first. The
// race detector, which would look at each word, does not look here: tests with large
// messages would take twice as long.
//
//go:norace
func mask(p []byte, key [4]byte, off int64) {
	k32 := binary.LittleEndian.Uint32(key[:])
	k32 = bits.RotateLeft32(k32, -8*int(off&3))
	k := uint64(k32)<<32 | uint64(k32)
	for len(p) >= 32 {
		q := p[:32]
		binary.LittleEndian.PutUint64(q, binary.LittleEndian.Uint64(q)^k)
		binary.LittleEndian.PutUint64(q[8:], binary.LittleEndian.Uint64(q[8:])^k)
		binary.LittleEndian.PutUint64(q[16:], binary.LittleEndian.Uint64(q[16:])^k)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^k)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(k)
		k >>= 8
	}
}

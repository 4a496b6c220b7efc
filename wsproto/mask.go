package wsproto

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

// Below maskBlock bytes building the block costs more than it saves.
const maskBlock = 128

// mask XORs p in place with key, whose first octet goes with the payload octet
// at offset off, and is its own inverse (RFC 6455 §5.3).
func mask(p []byte, key [4]byte, off int64) {
	k32 := binary.LittleEndian.Uint32(key[:])
	k32 = bits.RotateLeft32(k32, -8*int(off&3))
	k := uint64(k32)<<32 | uint64(k32)
	if len(p) >= maskBlock {
		p = maskLong(p, k)
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

// maskLong masks whole multiples of 8 bytes of p by vector, the key repeated
// over a block, and returns the rest.
func maskLong(p []byte, k uint64) []byte {
	var block [1024]byte
	b := block[:min(len(p)&^7, len(block))]
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], k)
	}
	for len(p) >= 8 {
		n := min(len(p)&^7, len(b))
		subtle.XORBytes(p[:n], p[:n], b)
		p = p[n:]
	}
	return p
}

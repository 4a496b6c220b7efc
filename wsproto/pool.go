package wsproto

import (
	"math/bits"
	"sync"
)

// A block is a buffer borrowed from a pool. It travels as a pointer so that
// giving it back allocates nothing.
type block struct{ b []byte }

// The pools hold blocks of 1<<minBlock to 1<<maxBlock bytes, a pool for each
// power of two; larger ones are left to the garbage collector.
const (
	minBlock = 9
	maxBlock = 24
)

var blocks [maxBlock + 1]sync.Pool

// getBlock returns an empty block with room for at least n bytes.
func getBlock(n int) *block {
	k := max(bits.Len(uint(n-1)), minBlock)
	if k > maxBlock {
		return &block{make([]byte, 0, n)}
	}
	if v, _ := blocks[k].Get().(*block); v != nil {
		v.b = v.b[:0]
		return v
	}
	return &block{make([]byte, 0, 1<<k)}
}

// putBlock gives v back; v may be nil. Nobody may hold a slice of it any more.
func putBlock(v *block) {
	if v == nil {
		return
	}
	if k := bits.Len(uint(cap(v.b) - 1)); k <= maxBlock && cap(v.b) == 1<<k {
		blocks[k].Put(v)
	}
}

// grow makes room for n more bytes, at least doubling, in a new block if need be.
func (v *block) grow(n int) *block {
	if v == nil {
		return getBlock(n)
	}
	if cap(v.b)-len(v.b) >= n {
		return v
	}
	w := getBlock(max(len(v.b)+n, 2*cap(v.b)))
	w.b = append(w.b, v.b...)
	putBlock(v)
	return w
}

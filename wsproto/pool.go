package wsproto

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// A block is a buffer borrowed from a pool. It travels as a pointer so that
// giving it back allocates nothing.
type block struct {
	b      []byte
	others atomic.Int32 // who must give it back too; see share
}

// share has v given back one more time before it is free. What is in it must not
// change until then.
func (v *block) share() { v.others.Add(1) }

// shared reports whether others must give v back too.
func (v *block) shared() bool { return v.others.Load() > 0 }

// The pools hold blocks with room for 1<<minBlock to 1<<maxBlock bytes and some
// more, a pool for each power of two, so that a message of a round size fits together
// with its header; larger ones are left to the garbage collector.
const (
	minBlock  = 9
	maxBlock  = 24
	blockMore = 64
)

var blocks [maxBlock + 1]sync.Pool

// getBlock returns an empty block with room for at least n bytes.
func getBlock(n int) *block {
	k := class(n)
	if k > maxBlock {
		return &block{b: make([]byte, 0, n)}
	}
	if v, _ := blocks[k].Get().(*block); v != nil {
		v.b = v.b[:0]
		return v
	}
	return &block{b: make([]byte, 0, 1<<k+blockMore)}
}

// class is the k of the smallest pool with room for n bytes.
func class(n int) int { return max(bits.Len(uint(max(n-blockMore, 1)-1)), minBlock) }

// putBlock gives v back; v may be nil. Nobody may hold a slice of it any more.
func putBlock(v *block) {
	if v == nil || v.shared() && v.others.Add(-1) >= 0 {
		return
	}
	if v.others.Load() != 0 {
		v.others.Store(0)
	}
	if k := class(cap(v.b)); k <= maxBlock && cap(v.b) == 1<<k+blockMore {
		blocks[k].Put(v)
	}
}

// grow makes room for n more bytes, in a new block if need be, and at least half
// as many again as it has.
func (v *block) grow(n int) *block {
	if v == nil {
		return getBlock(n)
	}
	if cap(v.b)-len(v.b) >= n {
		return v
	}
	w := getBlock(max(len(v.b)+n, cap(v.b)+cap(v.b)/2))
	w.b = append(w.b, v.b...)
	putBlock(v)
	return w
}

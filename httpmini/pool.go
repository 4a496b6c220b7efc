package httpmini

import "sync"

// A pool is a sync.Pool of one type.
type pool[T any] struct{ p sync.Pool }

func newPool[T any](fresh func() *T) *pool[T] {
	return &pool[T]{sync.Pool{New: func() any { return fresh() }}}
}

func (p *pool[T]) get() *T  { return p.p.Get().(*T) }
func (p *pool[T]) put(x *T) { p.p.Put(x) }

package listen

import (
	"math"

	"socketsrv/linesrv"
	"socketsrv/wsproto"
)

// A Cutter cuts what a client of a stream sends. What it keeps of a message that is not
// whole counts in the memory for those of all clients.
type Cutter struct {
	linesrv.Cutter
	memory *wsproto.Budget
	held   int64
}

// Cutter returns one for a client; Release is to be called when that is gone.
func (s *Serving) Cutter(framing linesrv.Framing) *Cutter {
	return &Cutter{Cutter: linesrv.Cutter{Framing: framing, Max: int(min(s.MaxMessage, math.MaxInt32))}, memory: s.Memory()}
}

// Next is that of linesrv.Cutter; the error is also wsproto.ErrMemory, where there is no
// room for what it keeps: then Pending has p too.
func (k *Cutter) Next(p []byte) (message, rest []byte, ok bool, err error) {
	message, rest, ok, err = k.Cutter.Next(p)
	if !k.memory.Hold(&k.held, int64(cap(k.Pending()))) && !ok && err == nil {
		err = wsproto.ErrMemory
	}
	return message, rest, ok, err
}

func (k *Cutter) Release() { k.memory.Hold(&k.held, 0) }

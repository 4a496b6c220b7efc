package wsproto

// A relayView puts together the messages that pass one way of a Relay, for those who
// want to see them.
type relayView struct {
	limit    int64   // bytes of a message
	memory   *Budget // nil: no bound for all together
	held     int64   // that memory knows of
	op       Opcode
	deflated bool
	lost     bool    // the message is too long, or there is no memory for it
	buf      *block  // what has come of it, unmasked
	inflated *block  // room for it inflated
	deflate  Deflate // takes whatever was agreed: it remembers all it can
}

func newRelayView(limit int64, memory *Budget) *relayView {
	if limit <= 0 {
		return nil
	}
	return &relayView{limit: limit, memory: memory, deflate: Deflate{receive: flow{maxWindow, true}}}
}

// begin notes the header of a data frame.
func (v *relayView) begin(h Header) {
	if h.Opcode != OpContinuation {
		v.op, v.deflated, v.lost = h.Opcode, h.Rsv1, false
	}
}

// add adds the next bytes of the frame, masked as they came.
func (v *relayView) add(h Header, p []byte, off int64) {
	n := 0
	if v.buf != nil {
		n = len(v.buf.b)
	}
	if v.lost = v.lost || int64(n+len(p)) > v.limit || int64(len(p)) > v.memory.left(); v.lost {
		v.release()
		return
	}
	v.buf = v.buf.grow(len(p))
	v.memory.account(&v.held, v.buf, nil)
	v.buf.b = append(v.buf.b, p...)
	if h.Masked {
		mask(v.buf.b[n:], h.MaskingKey, off)
	}
}

// end returns the message, whose last byte was added, until release; nil if it is
// lost or cannot be inflated.
func (v *relayView) end() []byte {
	p := []byte{}
	if v.buf != nil {
		p = v.buf.b
	}
	if v.deflated && !v.lost {
		p = v.inflate(p)
	}
	if v.lost {
		if v.deflated {
			v.deflate.history = nil // later messages that refer to it cannot be inflated: they are found out
		}
		return nil
	}
	return p
}

func (v *relayView) inflate(p []byte) []byte {
	v.memory.enter()
	defer v.memory.leave()
	v.inflated = getBlock(4 * len(p))
	var err error
	v.inflated.b, err = v.deflate.Decompress(v.inflated.b, p, min(v.limit, v.memory.left()))
	v.memory.account(&v.held, v.buf, v.inflated)
	if v.lost = err != nil; v.lost {
		v.release()
		return nil
	}
	return v.inflated.b
}

// release gives the buffers back.
func (v *relayView) release() {
	putBlock(v.buf)
	putBlock(v.inflated)
	v.buf, v.inflated = nil, nil
	v.memory.account(&v.held, nil, nil)
}

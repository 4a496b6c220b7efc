package wsproto

// A relayView puts together the messages that pass one way of a Relay, for those who
// want to see them.
type relayView struct {
	limit    int64 // bytes of a message
	op       Opcode
	deflated bool
	lost     bool    // the message is too long
	buf      *block  // what has come of it, unmasked
	inflated *block  // room for it inflated
	deflate  Deflate // takes whatever was agreed: it remembers all it can
}

func newRelayView(limit int64) *relayView {
	if limit <= 0 {
		return nil
	}
	return &relayView{limit: limit, deflate: Deflate{receive: flow{maxWindow, true}}}
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
	if v.lost = v.lost || int64(n+len(p)) > v.limit; v.lost {
		return
	}
	v.buf = v.buf.grow(len(p))
	v.buf.b = append(v.buf.b, p...)
	if h.Masked {
		mask(v.buf.b[n:], h.MaskingKey, off)
	}
}

// end returns the message, whose last byte was added, until release; nil if it is too
// long or cannot be inflated.
func (v *relayView) end() []byte {
	p := []byte{}
	if v.buf != nil {
		p = v.buf.b
	}
	if v.deflated && !v.lost {
		v.inflated = getBlock(4 * len(p))
		var err error
		p, err = v.deflate.Decompress(v.inflated.b, p, v.limit)
		v.inflated.b, v.lost = p, err != nil
	}
	if v.lost {
		if v.deflated {
			v.deflate.history = nil // later messages that refer to it cannot be inflated: they are found out
		}
		return nil
	}
	return p
}

// release gives the buffers back.
func (v *relayView) release() {
	putBlock(v.buf)
	putBlock(v.inflated)
	v.buf, v.inflated = nil, nil
}

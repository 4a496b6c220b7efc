package wsproto

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unicode/utf8"
)

// A Role is the side of a connection an endpoint is on.
type Role uint8

const (
	RoleServer Role = iota // accepted the connection: sends unmasked frames
	RoleClient             // opened it: masks every frame
)

func (r Role) String() string {
	if r == RoleClient {
		return "client"
	}
	return "server"
}

// A Message is what a data frame or several make up: OpText or OpBinary. An
// Assembler also hands out whole control frames this way.
type Message struct {
	Opcode Opcode
	Data   []byte // valid until the next read, or Close: copy what is to be kept
}

// The limits of a connection that does not set its own.
const (
	DefaultMaxMessage   = 16 << 20 // bytes
	DefaultMaxFragments = 131072   // a message
)

// An Assembler applies the rules of RFC 6455 §5 to §8 to the frames that come
// from the peer and puts their payloads together to messages. It does no I/O.
// For each frame call Check with its header, then Add with its payload.
//
// The zero value is the Assembler of a server without compression and with the
// default limits. It must not be used by several goroutines at once, nor any
// more after an error.
type Assembler struct {
	Role         Role     // ours: a Server wants masked frames, a Client unmasked ones
	Deflate      *Deflate // nil: permessage-deflate was not agreed on
	MaxMessage   int64    // bytes of a message, after inflating; 0 means DefaultMaxMessage
	MaxFragments int      // frames of a message; 0 means DefaultMaxFragments
	Memory       *Budget  // what messages take counts in it; nil: no bound for all together

	// Lenient, if not nil, is told of faults that nothing depends on, and they are
	// passed over: see Config.Lenient.
	Lenient func(err error)

	h         Header // of the frame whose payload is coming
	left      int64  // bytes of it still to come
	message   Opcode // of the message that has begun, 0 if none
	deflated  bool   // it is compressed
	text      utf8State
	fragments int
	earned    int    // bytes of the last message that came: the next one is given as much at once
	buf       *block // headroom, and what has come of the message, unmasked
	inflated  *block // the last compressed message, inflated
	held      int64  // bytes of Memory
	control   []byte // what has come of a control frame that came in pieces
	misled    bool   // Lenient knows of the masking

	dead *atomic.Pointer[error] // of the connection, which may be cut while its turn to inflate is to come; nil: of none

	// stream has data handed out piece by piece, still compressed, and nothing held:
	// then there are no limits. It is set between two messages.
	stream bool
	passed int64 // bytes of the message handed out so
}

// Check judges the header of the next frame, before its payload is read. The
// error is a *ProtocolError that wraps the rule.
func (a *Assembler) Check(h Header) error {
	switch {
	case h.Rsv2 || h.Rsv3 || h.Rsv1 && (a.Deflate == nil || h.Opcode != OpText && h.Opcode != OpBinary):
		return broke(StatusProtocolError, ErrReservedBits, h) // RSV1: RFC 7692 §6
	case h.Opcode.IsReserved():
		return broke(StatusProtocolError, fmt.Errorf("%w %#x", ErrReservedOpcode, byte(h.Opcode)), h)
	case h.Masked != (a.Role == RoleServer) && !a.misled:
		if err := a.forgive(broke(StatusProtocolError, ErrMasking, h)); err != nil {
			return err
		}
		a.misled = true
	}
	switch {
	case h.Opcode.IsControl():
		if !h.Fin {
			return broke(StatusProtocolError, ErrControlFragment, h)
		}
		if h.PayloadLen > maxControl {
			return broke(StatusProtocolError, ErrControlTooLong, h)
		}
		a.control = nil
	default:
		if err := a.checkData(h); err != nil {
			return err
		}
	}
	a.h, a.left = h, h.PayloadLen
	return nil
}

// forgive passes err over if Lenient is there to be told of it.
func (a *Assembler) forgive(err error) error {
	if a.Lenient == nil {
		return err
	}
	a.Lenient(err)
	return nil
}

// checkData judges the header of a data frame by the message it belongs to.
func (a *Assembler) checkData(h Header) error {
	if h.Opcode == OpContinuation {
		if a.message == 0 {
			return broke(StatusProtocolError, ErrNoMessageToGoOn, h)
		}
	} else {
		if a.message != 0 {
			return broke(StatusProtocolError, ErrMessageNotEnded, h)
		}
		a.message, a.deflated = h.Opcode, h.Rsv1
		a.text, a.fragments, a.passed = utf8Start, 0, 0
		if a.buf != nil {
			a.buf.b = a.buf.b[:headroom]
		}
	}
	if a.stream {
		return nil
	}
	if a.fragments++; a.fragments > a.maxFragments() {
		return broke(StatusPolicyViolation, fmt.Errorf("%w of %d", ErrTooManyFragments, a.maxFragments()), h)
	}
	limit := a.maxMessage()
	if a.deflated { // stored blocks are a little longer than what they hold
		limit += limit>>10 + 64
	}
	if h.PayloadLen > limit-int64(a.buffered()) {
		return broke(StatusMessageTooBig, fmt.Errorf("%w of %d bytes", ErrMessageTooBig, a.maxMessage()), h)
	}
	return nil
}

// Left returns how many payload bytes of the frame last checked are still to be
// added.
func (a *Assembler) Left() int64 { return a.left }

// Add takes the next bytes of the payload of the frame last checked, masked as
// they came, at most Left of them. It changes p, and a message that came whole
// in one p is handed out as a part of it. done reports that m is whole: a
// message, or a control frame. The error is a *ProtocolError. An empty frame
// wants one call too.
func (a *Assembler) Add(p []byte) (m Message, done bool, err error) {
	if int64(len(p)) > a.left {
		panic("wsproto: Assembler.Add: more than the frame's payload")
	}
	if a.h.Masked {
		mask(p, a.h.MaskingKey, a.h.PayloadLen-a.left)
	}
	a.left -= int64(len(p))
	if a.h.Opcode.IsControl() {
		return a.addControl(p)
	}
	if a.message == OpText && !a.deflated && a.text != utf8Bad {
		before := a.text
		if a.text = a.text.next(p); a.text == utf8Bad {
			if err := a.forgive(a.badText(before, p)); err != nil {
				return m, false, err
			}
		}
	}
	last := a.left == 0 && a.h.Fin
	if a.stream {
		return a.piece(p, last)
	}
	if !last || a.buffered() > 0 {
		if err := a.keep(p); err != nil || !last {
			return m, false, err
		}
		p = a.buf.b[headroom:]
	}
	m, err = a.end(p)
	return m, err == nil, err
}

// piece hands out p, a part of a message, where nothing is held.
func (a *Assembler) piece(p []byte, last bool) (m Message, done bool, err error) {
	m = Message{a.message, p}
	a.passed += int64(len(p))
	if last {
		a.message = 0
		if m.Opcode == OpText && !a.deflated && a.text != utf8Start && a.text != utf8Bad {
			err = a.forgive(a.badText(a.text, nil))
		}
	}
	return m, last && err == nil, err
}

// end hands out the message whose last byte came; p is all of it.
func (a *Assembler) end(p []byte) (Message, error) {
	m := Message{a.message, p}
	a.message = 0
	a.earned = len(p)
	if a.deflated {
		var err error
		if m.Data, err = a.inflate(p); err != nil {
			return Message{}, err
		}
		if m.Opcode == OpText {
			a.text = utf8Start.next(m.Data)
		}
	}
	if m.Opcode == OpText && a.text != utf8Start && (a.deflated || a.text != utf8Bad) {
		return m, a.forgive(a.badText(utf8Start, m.Data))
	}
	return m, nil
}

// addControl collects a control frame and judges a Close frame's payload.
func (a *Assembler) addControl(p []byte) (m Message, done bool, err error) {
	if a.left > 0 || a.control != nil {
		if a.control == nil {
			a.control = make([]byte, 0, a.h.PayloadLen)
		}
		a.control = append(a.control, p...)
		if a.left > 0 {
			return m, false, nil
		}
		p = a.control
	}
	if a.h.Opcode == OpClose {
		if _, _, err := ParseClose(p); err != nil {
			if err := a.forgive(inFrame(err, a.h)); err != nil {
				return m, false, err
			}
		}
	}
	return Message{a.h.Opcode, p}, true, nil
}

// spaceSize bounds what is read at once, in bytes, so that it is still in the cache
// when it is unmasked.
const spaceSize = 128 << 10

// headroom is kept free before a message that was put together: its frame can be
// completed in place when it is sent on.
const headroom = MaxHeaderLen

// space returns room for the frame's next bytes, where the caller may read them
// to before it adds them: then Add copies nothing. It is nil while so little
// has come that the room a claimed length asks for has not been earned.
func (a *Assembler) space() []byte {
	const worthwhile = 32 << 10
	if a.h.Opcode.IsControl() || a.message == 0 || a.left < worthwhile || a.buffered() < worthwhile {
		return nil
	}
	if a.Memory.left() < int64(4*a.buffered()) {
		return nil
	}
	a.grow(1)
	a.account()
	n := len(a.buf.b)
	free := a.buf.b[n:cap(a.buf.b)]
	return free[:min(int64(len(free)), a.left, spaceSize)]
}

// grow makes room for n more bytes, and beyond that at most three times what has
// come, or what the peer's last message took, and no more than the frame still
// needs.
func (a *Assembler) grow(n int) {
	if a.buf == nil {
		a.buf = getBlock(headroom + n + int(min(a.left, int64(max(3*n, a.earned-n)), a.Memory.left()/2)))
		a.buf.b = a.buf.b[:headroom]
		return
	}
	if cap(a.buf.b)-len(a.buf.b) < n {
		a.buf = a.buf.grow(n + int(min(a.left, int64(3*len(a.buf.b)), a.Memory.left()/2)))
	}
}

// keep appends p to the message, unless it was read into space and is there.
func (a *Assembler) keep(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if v := a.buf; v != nil {
		n := len(v.b)
		if cap(v.b) > n && &v.b[:n+1][n] == &p[0] {
			v.b = v.b[:n+len(p)]
			return nil
		}
	}
	if a.Memory.left() < int64(len(p)) {
		return broke(StatusTryAgainLater, ErrMemory, a.h)
	}
	a.grow(len(p))
	a.buf.b = append(a.buf.b, p...)
	a.account()
	return nil
}

// whole returns p, the data of the message that Add returned last, with the
// headroom before it, or nil if it was not put together here.
func (a *Assembler) whole(p []byte) []byte {
	if a.buf == nil || len(a.buf.b) != headroom+len(p) || &a.buf.b[headroom] != &p[0] {
		return nil
	}
	return a.buf.b
}

// release gives back every buffer that holds nothing still needed. What was
// handed out before is valid no more.
func (a *Assembler) release() {
	if a.inflated != nil {
		putBlock(a.inflated)
		a.inflated = nil
	}
	if a.buf != nil && a.message == 0 {
		putBlock(a.buf)
		a.buf = nil
	}
	a.account()
}

// midMessage reports whether the end of the stream would cut a message or frame.
func (a *Assembler) midMessage() bool { return a.left > 0 || a.message != 0 }

// idle reports whether another Assembler would do as well.
func (a *Assembler) idle() bool {
	return !a.midMessage() && a.buf == nil && !a.misled && a.earned < inPlace
}

// unfinished tells of a message whose last frame has not come.
func (a *Assembler) unfinished() (cut bool, begun string) {
	if a.message != 0 && !a.deflated {
		begun = string(a.kept()[:min(a.buffered(), maxShown)])
	}
	return a.message != 0, begun
}

func (a *Assembler) inflate(p []byte) ([]byte, error) {
	a.Memory.enter()
	defer a.Memory.leave()
	if a.dead != nil && a.dead.Load() != nil {
		return nil, *a.dead.Load()
	}
	if a.inflated == nil {
		a.inflated = getBlock(4 * len(p))
	}
	var err error
	left := a.Memory.left()
	a.inflated.b, err = a.Deflate.Decompress(a.inflated.b[:0], p, min(a.maxMessage(), left))
	a.account()
	switch {
	case err == nil:
		return a.inflated.b, nil
	case left < a.maxMessage() && errors.Is(err, ErrMessageTooBig):
		return nil, broke(StatusTryAgainLater, ErrMemory, a.h)
	}
	return nil, inFrame(err, a.h)
}

// kept returns what has come of the message before the bytes being added.
func (a *Assembler) kept() []byte {
	if a.buf == nil || a.message == 0 {
		return nil
	}
	return a.buf.b[headroom:]
}

func (a *Assembler) buffered() int { return len(a.kept()) }

func (a *Assembler) maxMessage() int64 {
	if a.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return min(a.MaxMessage, math.MaxInt-1<<24) // what an int can index
}

func (a *Assembler) maxFragments() int {
	if a.MaxFragments <= 0 {
		return DefaultMaxFragments
	}
	return a.MaxFragments
}

// badText is the error of a text message that goes on with p and is invalid then;
// before is the state in which p began. It points to the first byte of what is no
// character, where that is still there.
func (a *Assembler) badText(before utf8State, p []byte) error {
	if a.stream {
		pe := brokeAt(StatusInvalidFramePayloadData, ErrInvalidUTF8, p, before.badAt(p))
		pe.Header = a.h
		pe.Offset += a.passed
		return pe
	}
	kept := a.kept()
	from := max(0, len(kept)-maxShown)
	for n := 0; from > 0 && n < utf8.UTFMax && !utf8.RuneStart(kept[from]); n++ {
		from++
	}
	b := append(bytes.Clone(kept[from:]), p...)
	pe := brokeAt(StatusInvalidFramePayloadData, ErrInvalidUTF8, b, validText(b))
	pe.Header = a.h
	pe.Offset += int64(from)
	return pe
}

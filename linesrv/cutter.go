package linesrv

import (
	"bytes"
	"math"
	"strings"
)

// A Cutter cuts a stream of bytes into messages. The zero value cuts lines of up to
// DefaultMaxLine bytes and drops a CR before the LF. What it does for a byte does not
// depend on how many came before.
type Cutter struct {
	Framing
	Max int // of a message, in bytes, a line's without its LF but with a CR; 0 means DefaultMaxMessage, for lines DefaultMaxLine

	part   []byte // of a frame that has not ended, as it came
	begun  bool   // KindBetween: with part
	stray  bool
	offset int64 // of the frame in the stream
	looked int   // bytes that were searched or moved, which tests hold to be linear
}

// keepPart is how much storage a Cutter begins with, and keeps between two messages.
const keepPart = 1 << 10

// Next returns the first message that ends in p, which begins with what earlier
// calls kept, and what follows it. When none ends in p, ok is false and p is kept:
// it may be used again. The message is valid until the next call. The error is a
// *ProtocolError; the Cutter is of no use after it.
func (k *Cutter) Next(p []byte) (message, rest []byte, ok bool, err error) {
	if k.Kind != KindLine {
		return k.next(p)
	}
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return nil, nil, false, k.keep(p, k.max())
	}
	if len(k.part)+end > k.max() {
		return nil, nil, false, k.fail(ErrLineTooLong, p)
	}
	line, rest := k.take(p, end)
	k.offset++
	if n := len(line) - 1; n >= 0 && line[n] == '\r' && !k.KeepCR {
		line = line[:n]
	}
	return line, rest[1:], true, nil
}

func (k *Cutter) next(p []byte) (message, rest []byte, ok bool, err error) {
	k.stray = false
	switch k.Kind {
	case KindNone:
		message, rest = k.take(p, len(p))
		return message, rest, len(message) > 0, nil
	case KindIdle:
		return nil, nil, false, k.keep(p, k.max())
	case KindDelim:
		return k.until(p, "", k.End)
	case KindBetween:
		return k.between(p)
	case KindSLIP:
		return k.slip(p)
	}
	return k.counted(p)
}

// Stray reports whether the message that Next returned stood outside of any frame:
// what comes before the Begin of KindBetween, such as an acknowledgement of one byte.
func (k *Cutter) Stray() bool { return k.stray }

// Pending returns the beginning of a frame that has not ended yet, as it came. It is
// valid until the next call of Next or Finish.
func (k *Cutter) Pending() []byte { return k.part }

// Finish ends what is pending: at the end of the stream, and with KindIdle when nothing
// has come for the Silence since the last bytes. It returns nil where nothing is
// pending. cut says that what comes back is only the beginning of a frame, as it came.
// It is valid until the next call.
func (k *Cutter) Finish() (message []byte, cut bool) {
	if len(k.part) == 0 {
		return nil, false
	}
	message = k.part
	k.part, k.begun = nil, false
	k.offset += int64(len(message))
	return message, k.Kind != KindIdle
}

// until cuts what ends in end and begins with begin, which is there.
func (k *Cutter) until(p []byte, begin, end string) (message, rest []byte, ok bool, err error) {
	k.looked += len(p) + 2*len(end)
	n := seek(k.part, p, len(begin), end)
	around := len(begin) + len(end)
	if n < 0 {
		return nil, nil, false, k.keep(p, k.max()+around-1)
	}
	if len(k.part)+n > k.max()+around {
		return nil, nil, false, k.fail(ErrMessageTooLong, p)
	}
	frame, rest := k.take(p, n)
	return frame[len(begin) : len(frame)-len(end)], rest, true, nil
}

func (k *Cutter) between(p []byte) (message, rest []byte, ok bool, err error) {
	if !k.begun {
		if len(k.part) > 0 { // the first bytes of a Begin, it seems
			p = append(k.part[:len(k.part):len(k.part)], p...)
			k.part = nil
		}
		k.looked += len(p)
		i := bytes.Index(p, []byte(k.Begin))
		if i < 0 {
			for i = max(0, len(p)-len(k.Begin)+1); !strings.HasPrefix(k.Begin, string(p[i:])); i++ {
			}
		}
		if i > 0 {
			k.stray = true
			message, rest = k.take(p, i)
			return message, rest, true, nil
		}
		if k.begun = len(p) >= len(k.Begin); !k.begun {
			return nil, nil, false, k.keep(p, len(k.Begin))
		}
	}
	message, rest, ok, err = k.until(p, k.Begin, k.End)
	k.begun = !ok
	return message, rest, ok, err
}

// slip skips the frames of nothing that an END at the beginning makes.
func (k *Cutter) slip(p []byte) (message, rest []byte, ok bool, err error) {
	for len(k.part) == 0 && len(p) > 0 && p[0] == slipEnd {
		k.offset++
		p = p[1:]
	}
	k.looked += len(p)
	end := bytes.IndexByte(p, slipEnd)
	if end < 0 {
		return nil, nil, false, k.keep(p, 2*k.max()) // all of it escaped
	}
	frame, rest := k.take(p, end)
	if message = frame; bytes.IndexByte(frame, slipEsc) >= 0 {
		message, err = openSLIP(bytes.Clone(frame)) // p is not ours
	}
	if len(frame) > 2*k.max() || err == nil && len(message) > k.max() {
		err = ErrMessageTooLong
	}
	if err != nil {
		k.offset -= int64(len(frame))
		return nil, nil, false, k.fail(err, frame)
	}
	k.offset++
	return message, rest[1:], true, nil
}

// counted cuts what has its length in front.
func (k *Cutter) counted(p []byte) (message, rest []byte, ok bool, err error) {
	var n, size int
	for {
		start := k.part
		if len(start) == 0 {
			start = p
		}
		k.looked += min(len(start), 24)
		n, size, err = k.head(start, k.max())
		if err != nil {
			return nil, nil, false, k.fail(err, p)
		}
		if n > 0 {
			break
		}
		if len(k.part) == 0 || len(p) == 0 {
			return nil, nil, false, k.keep(p, lengthLimit)
		}
		k.keep(p[:1], lengthLimit) // what comes after the length may be another message's
		p = p[1:]
	}
	whole := n + size
	if k.Kind == KindNetstring {
		whole++
	}
	missing := whole - len(k.part)
	switch {
	case missing > len(p):
		return nil, nil, false, k.keep(p, whole)
	case k.Kind == KindNetstring && p[missing-1] != ',':
		return nil, nil, false, k.fail(ErrComma, p)
	}
	message, rest = k.take(p, missing)
	return message[n : n+size], rest, true, nil
}

// lengthLimit is more than the longest head has.
const lengthLimit = 32

// take returns the frame of part and the first n bytes of p, and what follows.
func (k *Cutter) take(p []byte, n int) (frame, rest []byte) {
	frame, rest = p[:n], p[n:]
	if len(k.part) > 0 {
		frame = k.complete(frame)
	}
	k.offset += int64(len(frame))
	return frame, rest
}

// complete returns the part with its end, and keeps storage of a usual size.
func (k *Cutter) complete(end []byte) (frame []byte) {
	if cap(k.part)-len(k.part) < len(end) {
		k.looked += len(k.part)
	}
	k.looked += len(end)
	frame = append(k.part, end...)
	k.part = frame[:0]
	if cap(frame) > keepPart {
		k.part = nil
	}
	return frame
}

func (k *Cutter) max() int {
	switch {
	case k.Max > 0:
		return min(k.Max, math.MaxInt/4) // so that a frame with all around it has a size
	case k.Kind == KindLine:
		return DefaultMaxLine
	}
	return DefaultMaxMessage
}

// keep adds p to the part. Its storage doubles with the bytes that come, but not
// beyond limit, which is also that of the frame.
func (k *Cutter) keep(p []byte, limit int) error {
	need := len(k.part) + len(p)
	if need > limit {
		if k.Kind == KindLine {
			return k.fail(ErrLineTooLong, p)
		}
		return k.fail(ErrMessageTooLong, p)
	}
	if need > cap(k.part) {
		k.looked += len(k.part)
		bigger := make([]byte, len(k.part), max(need, min(max(2*cap(k.part), keepPart), limit)))
		copy(bigger, k.part)
		k.part = bigger
	}
	k.looked += len(p)
	k.part = append(k.part, p...)
	return nil
}

// fail makes the error of a frame that begins with part and p.
func (k *Cutter) fail(err error, p []byte) error {
	shown := append([]byte(nil), k.part[:min(len(k.part), maxShown)]...)
	return &ProtocolError{Err: err, Bytes: append(shown, p[:min(len(p), maxShown-len(shown))]...), Offset: k.offset}
}

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
	if k.Kind == KindLine && len(k.part) == 0 { // what is usual costs little
		if n := bytes.IndexByte(p, '\n'); n >= 0 && n <= k.max() {
			k.looked += n
			k.offset += int64(n) + 1
			return k.line(p[:n]), p[n+1:], true, nil
		}
	}
	k.stray = false
	if k.Kind == KindBetween && !k.begun && len(k.part) > 0 { // the first bytes of a Begin, it seems
		p = append(k.part[:len(k.part):len(k.part)], p...)
		k.part = nil
	}
	for {
		n, err := k.end(p)
		if err != nil {
			return nil, nil, false, k.fail(err, p)
		}
		if n == 0 {
			k.looked += len(p) + len(k.End)
			return nil, nil, false, k.keep(p)
		}
		k.looked += n + len(k.End)
		if len(k.part)+n > k.limit()+1 && k.Kind != KindNone && !k.stray {
			return nil, nil, false, k.fail(k.tooLong(), p)
		}
		frame := p[:n]
		if rest = p[n:]; len(k.part) > 0 {
			frame = k.complete(frame)
		}
		if message, err = k.open(frame); err != nil {
			return nil, nil, false, k.fail(err, frame)
		}
		k.offset += int64(len(frame))
		if p = rest; k.Kind != KindSLIP || len(message) > 0 { // an END at the beginning makes a frame of nothing
			return message, rest, true, nil
		}
	}
}

// end returns how many bytes of p complete the frame that begins with part, at least
// one; 0 if more has to come.
func (k *Cutter) end(p []byte) (n int, err error) {
	switch k.Kind {
	case KindLine:
		return bytes.IndexByte(p, '\n') + 1, nil
	case KindNone:
		return len(p), nil
	case KindIdle:
		return 0, nil
	case KindDelim:
		return seek(k.part, p, 0, k.End), nil
	case KindSLIP:
		return bytes.IndexByte(p, slipEnd) + 1, nil
	case KindBetween:
		if !k.begun {
			if n = outside(p, k.Begin); n > 0 {
				k.stray = true
				return n, nil
			}
			if k.begun = len(p) >= len(k.Begin); !k.begun {
				return 0, nil
			}
		}
		n = seek(k.part, p, len(k.Begin), k.End)
		k.begun = n == 0
		return n, nil
	}
	return k.counted(p)
}

// outside returns how many bytes of p come before the first Begin, or what may become
// one.
func outside(p []byte, begin string) int {
	i := bytes.Index(p, []byte(begin))
	if i < 0 {
		for i = max(0, len(p)-len(begin)+1); !strings.HasPrefix(begin, string(p[i:])); i++ {
		}
	}
	return i
}

// longestHead is more than a length with what comes after it can have.
const longestHead = 24

// counted is end for what has its length in front.
func (k *Cutter) counted(p []byte) (int, error) {
	if len(k.part)+len(p) == 0 {
		return 0, nil
	}
	var b [longestHead]byte
	start := append(b[:0], k.part[:min(len(k.part), longestHead)]...)
	start = append(start, p[:min(len(p), longestHead-len(start))]...)
	k.looked += len(start)
	n, size, err := k.head(start, k.max())
	if n == 0 || err != nil {
		return 0, err
	}
	if n += size; k.Kind == KindNetstring {
		n++
	}
	if n -= len(k.part); n > len(p) {
		return 0, nil
	}
	if k.Kind == KindNetstring && p[n-1] != ',' {
		return 0, ErrComma
	}
	return n, nil
}

// line drops the CR.
func (k *Cutter) line(p []byte) []byte {
	if n := len(p) - 1; n >= 0 && p[n] == '\r' && !k.KeepCR {
		return p[:n]
	}
	return p
}

// open returns the message of a whole frame.
func (k *Cutter) open(frame []byte) (message []byte, err error) {
	switch k.Kind {
	case KindLine:
		return k.line(frame[:len(frame)-1]), nil
	case KindNone:
		return frame, nil
	case KindDelim, KindBetween:
		if k.stray {
			return frame, nil
		}
		return frame[len(k.Begin) : len(frame)-len(k.End)], nil
	case KindSLIP:
		message = frame[:len(frame)-1]
		if bytes.IndexByte(message, slipEsc) >= 0 {
			if message, err = openSLIP(bytes.Clone(message)); err != nil { // it may not be ours
				return nil, err
			}
		}
		if len(message) > k.max() {
			return nil, ErrMessageTooLong
		}
		return message, nil
	}
	n, size, err := k.head(frame, k.max())
	return frame[n : n+size], err
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

// limit is how long a frame may be that has not ended.
func (k *Cutter) limit() int {
	switch k.Kind {
	case KindLine, KindIdle:
		return k.max()
	case KindSLIP:
		return 2 * k.max() // all of it escaped
	case KindDelim, KindBetween:
		return k.max() + len(k.Begin) + len(k.End) - 1
	}
	return k.max() + longestHead
}

// keep adds p to the part. Its storage doubles with the bytes that come, but not
// beyond the limit of the frame.
func (k *Cutter) keep(p []byte) error {
	need, limit := len(k.part)+len(p), k.limit()
	if need > limit {
		return k.fail(k.tooLong(), p)
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

func (k *Cutter) tooLong() error {
	if k.Kind == KindLine {
		return ErrLineTooLong
	}
	return ErrMessageTooLong
}

// fail makes the error of a frame that begins with part and p.
func (k *Cutter) fail(err error, p []byte) error {
	shown := append([]byte(nil), k.part[:min(len(k.part), maxShown)]...)
	return &ProtocolError{Err: err, Bytes: append(shown, p[:min(len(p), maxShown-len(shown))]...), Offset: k.offset}
}

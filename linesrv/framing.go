package linesrv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Kind is the way in which a Framing tells messages apart.
type Kind uint8

const (
	KindLine      Kind = iota // LF after each
	KindNone                  // no messages: what a read brought
	KindDelim                 // End after each
	KindBetween               // Begin before and End after each
	KindLength                // its length before each, in binary
	KindDecimal               // its length in decimal digits and a blank before each: octet counting of RFC 6587 §3.4.1
	KindNetstring             // its length in decimal digits and a colon before, a comma after each
	KindSLIP                  // END after each, those in it escaped (RFC 1055)
	KindIdle                  // Silence after each: Modbus RTU over TCP
)

// A Framing is how messages lie in a stream of bytes. The zero value is lines. Two
// that are equal by == are the same.
type Framing struct {
	Kind       Kind
	KeepCR     bool          // KindLine: a CR before the LF belongs to the line
	Begin, End string        // KindBetween; KindDelim has an End only
	Size       int           // KindLength: of the length, in bytes: 1, 2, 4 or 8; 0 means 4
	Little     bool          // KindLength: its least significant byte comes first
	Extra      int           // KindLength: how much it counts beyond the message
	Silence    time.Duration // KindIdle
}

// Rules of framings that a peer can break, beside ErrLineTooLong and
// ErrMessageTooLong.
var (
	ErrLength = errors.New("no valid length where that of a message has to be")
	ErrComma  = errors.New("no comma after a netstring")
	ErrEscape = errors.New("an escape that SLIP does not have (RFC 1055)")
)

// errEmpty is that of Append.
var errEmpty = errors.New("an empty message cannot be framed so")

// The bytes of RFC 1055.
const slipEnd, slipEsc, slipEscEnd, slipEscEsc = 0xc0, 0xdb, 0xdc, 0xdd

// framingWords are the framings that have a name and no parameters.
var framingWords = []struct {
	word    string
	framing Framing
}{
	{"none", Framing{Kind: KindNone}},
	{"line", Framing{}},
	{"line:keep-cr", Framing{KeepCR: true}},
	{"mllp", Framing{Kind: KindBetween, Begin: "\x0b", End: "\x1c\r"}}, // HL7 v3 Transport Specification: MLLP, Release 1
	{"length", Framing{Kind: KindLength, Size: 4}},
	{"decimal", Framing{Kind: KindDecimal}},
	{"netstring", Framing{Kind: KindNetstring}},
	{"slip", Framing{Kind: KindSLIP}},
}

var errFraming = errors.New("want none, line, delim:BYTES, between:BYTES,BYTES, mllp, " +
	"length, length:1|2|4|8[le][+N], decimal, netstring, slip or idle:TIME")

// ParseFraming reads what String writes: none, line, line:keep-cr, delim:BYTES,
// between:BYTES,BYTES, mllp (which is between:0b,1c0d), length, length:1|2|4|8[le][+N],
// decimal, netstring, slip, idle:D. BYTES is as ParseBytes has it, D as
// time.ParseDuration has it, or a number of seconds.
func ParseFraming(s string) (Framing, error) {
	for _, w := range framingWords {
		if s == w.word {
			return w.framing, nil
		}
	}
	word, value, _ := strings.Cut(s, ":")
	switch word {
	case "delim":
		end, err := ParseBytes(value)
		if err == nil && len(end) == 0 {
			err = errors.New("want at least one byte")
		}
		return Framing{Kind: KindDelim, End: string(end)}, err
	case "between":
		return parseBetween(value)
	case "length":
		return parseLengthFraming(value)
	case "idle":
		d, err := time.ParseDuration(value)
		if err != nil {
			d, err = time.ParseDuration(value + "s")
		}
		if err != nil || d <= 0 {
			return Framing{}, fmt.Errorf("%q: want a time, such as 10ms", value)
		}
		return Framing{Kind: KindIdle, Silence: d}, nil
	}
	return Framing{}, errFraming
}

// parseBetween takes the first comma with bytes on both sides: BYTES may have commas.
func parseBetween(s string) (Framing, error) {
	for i := range s {
		if s[i] != ',' {
			continue
		}
		begin, err := ParseBytes(s[:i])
		end, err2 := ParseBytes(s[i+1:])
		if err == nil && err2 == nil && len(begin) > 0 && len(end) > 0 {
			return Framing{Kind: KindBetween, Begin: string(begin), End: string(end)}, nil
		}
	}
	return Framing{}, fmt.Errorf("%q: want two times bytes and a comma between, such as 02,03", s)
}

func parseLengthFraming(s string) (Framing, error) {
	width, extra, counts := strings.Cut(s, "+")
	width, little := strings.CutSuffix(width, "le")
	f := Framing{Kind: KindLength, Little: little}
	var err error
	if counts {
		f.Extra, err = strconv.Atoi(extra)
	}
	switch width {
	case "1", "2", "4", "8":
		f.Size = int(width[0] - '0')
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || f.Extra < 0 || !f.fits(uint64(f.Extra)) {
		return Framing{}, fmt.Errorf("%q: want 1, 2, 4 or 8 bytes, such as 2, 2le, 4+4", s)
	}
	return f, nil
}

// String returns what ParseFraming reads as f.
func (f Framing) String() string {
	for _, w := range framingWords {
		if f == w.framing {
			return w.word
		}
	}
	switch f.Kind {
	case KindDelim:
		return fmt.Sprintf("delim:%x", f.End)
	case KindBetween:
		return fmt.Sprintf("between:%x,%x", f.Begin, f.End)
	case KindIdle:
		return "idle:" + f.Silence.String()
	}
	s := "length:" + strconv.Itoa(f.width())
	if f.Little {
		s += "le"
	}
	if f.Extra > 0 {
		s += "+" + strconv.Itoa(f.Extra)
	}
	return s
}

func (f Framing) width() int {
	if f.Size == 0 {
		return lengthSize
	}
	return f.Size
}

// fits reports whether n can be told by the length of KindLength.
func (f Framing) fits(n uint64) bool { return f.width() == 8 || n>>(8*f.width()) == 0 }

// Append appends message to dst as it goes over the wire. A message in which the End
// of the framing stands becomes two. The error says that the framing cannot carry the
// message, ErrMessageTooLong or that it is empty (decimal and slip have no such); dst
// then comes back as it was.
func (f Framing) Append(dst, message []byte) ([]byte, error) {
	switch f.Kind {
	case KindLine:
		return append(append(dst, message...), '\n'), nil
	case KindDelim, KindBetween:
		dst = append(append(dst, f.Begin...), message...)
		return append(dst, f.End...), nil
	case KindLength:
		n := uint64(len(message)) + uint64(f.Extra)
		if !f.fits(n) {
			return dst, fmt.Errorf("%w: %d bytes, %v cannot tell that", ErrMessageTooLong, len(message), f)
		}
		var b [8]byte
		if f.Little {
			binary.LittleEndian.PutUint64(b[:], n)
			return append(append(dst, b[:f.width()]...), message...), nil
		}
		binary.BigEndian.PutUint64(b[:], n)
		return append(append(dst, b[8-f.width():]...), message...), nil
	case KindNetstring:
		dst = append(strconv.AppendInt(dst, int64(len(message)), 10), ':')
		return append(append(dst, message...), ','), nil
	case KindDecimal, KindSLIP:
		if len(message) == 0 {
			return dst, errEmpty
		}
		if f.Kind == KindSLIP {
			return appendSLIP(dst, message), nil
		}
		return append(append(strconv.AppendInt(dst, int64(len(message)), 10), ' '), message...), nil
	}
	return append(dst, message...), nil
}

// appendSLIP begins with an END too, which ends what noise there was (RFC 1055).
func appendSLIP(dst, message []byte) []byte {
	dst = append(dst, slipEnd)
	for _, c := range message {
		switch c {
		case slipEnd:
			dst = append(dst, slipEsc, slipEscEnd)
		case slipEsc:
			dst = append(dst, slipEsc, slipEscEsc)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, slipEnd)
}

// openSLIP takes the escapes out of a frame, in place.
func openSLIP(frame []byte) ([]byte, error) {
	message := frame[:0]
	for i := 0; i < len(frame); i++ {
		c := frame[i]
		if c == slipEsc {
			i++
			switch {
			case i < len(frame) && frame[i] == slipEscEnd:
				c = slipEnd
			case i < len(frame) && frame[i] == slipEscEsc:
			default:
				return nil, ErrEscape
			}
		}
		message = append(message, c)
	}
	return message, nil
}

// head reads the length at the start of b: of itself, and of the message that
// follows. n == 0 with a nil error means that b holds only part of it.
func (f Framing) head(b []byte, max int) (n, size int, err error) {
	var claim, extra uint64
	if f.Kind == KindLength {
		if n = f.width(); len(b) < n {
			return 0, 0, nil
		}
		for i := range n {
			if f.Little {
				claim |= uint64(b[i]) << (8 * i)
			} else {
				claim = claim<<8 | uint64(b[i])
			}
		}
		extra = uint64(f.Extra)
	} else if n, claim, err = f.decimal(b, max); n == 0 || err != nil {
		return 0, 0, err
	}
	switch {
	case claim < extra:
		return 0, 0, fmt.Errorf("%w: %d, less than the %d that it counts itself", ErrLength, claim, extra)
	case claim-extra > uint64(max):
		return 0, 0, fmt.Errorf("%w: %d bytes, the limit is %d", ErrMessageTooLong, claim-extra, max)
	}
	return n, int(claim - extra), nil
}

// decimal reads digits and what comes after them. A number beyond max is returned
// before its end has come.
func (f Framing) decimal(b []byte, max int) (n int, v uint64, err error) {
	after := byte(':')
	if f.Kind == KindDecimal {
		after = ' '
	}
	for i, c := range b {
		switch {
		case c == after && i > 0:
			return i + 1, v, nil
		case c < '0' || c > '9' || i > 0 && v == 0 || f.Kind == KindDecimal && i == 0 && c == '0':
			return 0, 0, ErrLength
		}
		if v = v*10 + uint64(c-'0'); v > uint64(max) {
			return i + 1, v, nil
		}
	}
	return 0, 0, nil
}

// seek returns how many bytes of p complete the frame that begins with part, whose
// first bytes are not looked at, up to and with end; 0 if that has not come.
func seek(part, p []byte, first int, end string) int {
	if n := min(len(part)-first, len(end)-1); n > 0 { // end may have begun in part
		seam := append(part[len(part)-n:len(part):len(part)], p[:min(len(p), len(end)-1)]...)
		if i := bytes.Index(seam, []byte(end)); i >= 0 {
			return i + len(end) - n
		}
	}
	first = max(first-len(part), 0)
	if i := bytes.Index(p[first:], []byte(end)); i >= 0 {
		return first + i + len(end)
	}
	return 0
}

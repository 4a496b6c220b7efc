package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf16"
	"unicode/utf8"
)

// FieldMax is how many bytes of a name that a peer chose (a path, a header
// field, a close reason, an error that quotes him) AppendField shows.
const FieldMax = 256

// ErrEscape is what AppendUnescaped says of a backslash that begins no escape.
var ErrEscape = errors.New(`not an escape: want \n \r \t \0 \\ \xNN \u{N} \uNNNN or \UNNNNNNNN`)

// shown is the quote of what is shown to people: none, for DEL is escaped anyway.
const shown = 0x7f

// AppendEscaped appends p so that only printable characters come out, those for
// which IsPrint holds: controls, C1 controls, bidi, zero-width and invisible
// characters become \n \r \t \xNN \uNNNN or \U000eNNNN, and bytes that are not
// UTF-8 become \xNN. A backslash stays one, so that JSON can be pasted back, and
// what was escaped once does not change; the price is that an escape cannot be told
// from the same characters, which AppendJSON can. dst and p must not overlap.
func AppendEscaped(dst, p []byte) []byte {
	return appendSafe(dst, p, shown)
}

// Escape is AppendEscaped for strings; what needs no escape comes back as it is.
func Escape(s string) string {
	if plainLen([]byte(s), shown) == len(s) {
		return s
	}
	return string(AppendEscaped(nil, []byte(s)))
}

// AppendCut appends at most max bytes of s, escaped, and after a longer s the
// count of the bytes left out, …(+N). The cut does not fall inside a character.
func AppendCut(dst []byte, s string, max int) []byte {
	n := cutLen([]byte(s), max)
	return appendLeftOut(AppendEscaped(dst, []byte(s[:n])), len(s)-n)
}

// Cut is AppendCut without the escapes: for a part of what is escaped as a whole.
func Cut(s string, max int) string {
	n := cutLen([]byte(s), max)
	return string(appendLeftOut([]byte(s[:n]), len(s)-n))
}

func appendLeftOut(dst []byte, n int) []byte {
	if n == 0 {
		return dst
	}
	dst = append(dst, "…(+"...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, ')')
}

// AppendField is AppendCut at FieldMax: for anything in a line that a peer may
// have chosen.
func AppendField(dst []byte, s string) []byte { return AppendCut(dst, s, FieldMax) }

// Field is AppendField as a string.
func Field(s string) string {
	if len(s) <= FieldMax {
		return Escape(s)
	}
	return string(AppendField(nil, s))
}

// AppendUnescaped appends what s stands for, with the escapes that AppendEscaped
// writes and \\, \0 and \u{N} (one to eight digits) beside them. Bytes other than
// a backslash stand for themselves. The error wraps ErrEscape
// and names the byte; dst then comes back as it was.
func AppendUnescaped(dst []byte, s string) ([]byte, error) {
	start := len(dst)
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			dst = append(dst, s[i])
			i++
			continue
		}
		var n int
		if dst, n = appendUnescape(dst, s[i:]); n == 0 {
			return dst[:start], fmt.Errorf("byte %d: %w", i+1, ErrEscape)
		}
		i += n
	}
	return dst, nil
}

// appendUnescape decodes the escape at the start of s and returns its length,
// 0 if it is none.
func appendUnescape(dst []byte, s string) ([]byte, int) {
	if len(s) < 2 {
		return dst, 0
	}
	begin, digits, after := 2, 0, 0
	switch s[1] {
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case '\\':
		return append(dst, '\\'), 2
	case '0':
		return append(dst, 0), 2
	case 'x':
		digits = 2
	case 'u':
		digits = 4
		if len(s) > 2 && s[2] == '{' {
			begin, digits, after = 3, strings.IndexByte(s, '}')-3, 1
		}
	case 'U':
		digits = 8
	}
	if digits < 1 || digits > 8 || len(s) < begin+digits {
		return dst, 0
	}
	// ParseUint alone would take a sign or an underscore in some bases; in base
	// 16 it takes hex digits only.
	v, err := strconv.ParseUint(s[begin:begin+digits], 16, 32)
	if err != nil {
		return dst, 0
	}
	if s[1] == 'x' {
		return append(dst, byte(v)), 4
	}
	if v > utf8.MaxRune || !utf8.ValidRune(rune(v)) {
		return dst, 0
	}
	return utf8.AppendRune(dst, rune(v)), begin + digits + after
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special sets the high bit of each byte of w that is a control, DEL, not
// ASCII, or one of the bytes that quote and slash repeat eight times. Only the
// lowest bit set is sure: a carry may set those above it.
func special(w, quote, slash uint64) uint64 {
	return (w | (w + ones) | (w - ones*0x20) | ((w ^ slash) - ones) | ((w ^ quote) - ones)) & highs
}

// specials are quote and, where that is one of JSON, the backslash, each eight times.
func specials(quote byte) (q, slash uint64) {
	if quote == '"' {
		return ones * '"', ones * '\\'
	}
	return ones * uint64(quote), ones * uint64(quote)
}

// isPlain is special for one byte.
func isPlain(c, quote byte) bool {
	return c >= 0x20 && c < 0x7f && c != quote && (c != '\\' || quote != '"')
}

// plainLen returns how many bytes at the start of p need no escape for being
// printable ASCII.
func plainLen(p []byte, quote byte) int {
	i := 0
	q, slash := specials(quote)
	for ; len(p)-i >= 8; i += 8 {
		if m := special(binary.LittleEndian.Uint64(p[i:]), q, slash); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(p) && isPlain(p[i], quote) {
		i++
	}
	return i
}

// appendSafe appends p with an escape for everything but printable characters: as
// AppendEscaped does where quote is shown, as in a JSON string where it is '"',
// which is then escaped too, as the backslash is.
func appendSafe(dst, p []byte, quote byte) []byte {
	// Room is made a block at a time, not for the most that all of p may come
	// to. \u00NN for one byte is that most.
	const block, worst = 1024, 6
	for len(p) > 0 {
		n := min(len(p), block)
		dst = slices.Grow(dst, worst*(n+utf8.UTFMax)+8)
		dst, n = appendBlock(dst, p, n, quote)
		p = p[n:]
	}
	return dst
}

// appendBlock does appendSafe for the first n bytes of p, and for the rest of
// the character that begins there. It returns how many bytes that were. dst has
// the room.
func appendBlock(dst, p []byte, n int, quote byte) ([]byte, int) {
	i := 0
	q, slash := specials(quote)
	for i < n {
		for i < n && len(p)-i >= 8 {
			w := binary.LittleEndian.Uint64(p[i:])
			j := len(dst)
			dst = dst[:j+8]
			binary.LittleEndian.PutUint64(dst[j:], w)
			if m := special(w, q, slash); m != 0 {
				k := bits.TrailingZeros64(m) >> 3
				dst = dst[:j+k]
				i += k
				break
			}
			i += 8
		}
		for i < n && (len(p)-i < 8 || !isPlain(p[i], quote)) {
			if isPlain(p[i], quote) {
				dst = append(dst, p[i])
				i++
				continue
			}
			if p[i] < utf8.RuneSelf {
				dst = appendControl(dst, p[i], quote)
				i++
				continue
			}
			k := wideLen(p[i:])
			if k > 0 {
				dst = append(dst, p[i:i+k]...)
			} else {
				dst, k = appendWide(dst, p[i:], quote)
			}
			i += k
		}
	}
	return dst, i
}

// cutLen returns how much of p, at most max bytes, ends with a whole character.
func cutLen(p []byte, max int) int {
	if len(p) <= max {
		return len(p)
	}
	return max - len(Partial(p[:max]))
}

// Partial returns the first bytes of a character whose rest is cut off, at the
// end of p; none if p ends with a whole one or with what is no UTF-8 anyway.
func Partial(p []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if t := p[len(p)-n:]; utf8.RuneStart(t[0]) {
			if utf8.FullRune(t) {
				return nil
			}
			return t
		}
	}
	return nil
}

const lowerHex = "0123456789abcdef"

// wideLen returns how many bytes at the start of p are printable characters
// beyond ASCII, whole ones.
func wideLen(p []byte) int {
	i := 0
	for i < len(p) && p[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(p[i:])
		if n == 1 || !IsPrint(r) {
			break
		}
		i += n
	}
	return i
}

// appendWide writes the escape of the character at the start of p, which is
// neither ASCII nor printable, and returns its length.
func appendWide(dst, p []byte, quote byte) ([]byte, int) {
	r, n := utf8.DecodeRune(p)
	switch {
	case n == 1 && quote == '"': // JSON has no bytes
		return utf8.AppendRune(dst, utf8.RuneError), 1
	case n == 1:
		return append(dst, '\\', 'x', lowerHex[p[0]>>4], lowerHex[p[0]&15]), 1
	case r <= 0xffff:
		return appendHex4(append(dst, '\\', 'u'), uint16(r)), n
	case quote == '"':
		hi, lo := utf16.EncodeRune(r)
		dst = appendHex4(append(dst, '\\', 'u'), uint16(hi))
		return appendHex4(append(dst, '\\', 'u'), uint16(lo)), n
	}
	dst = appendHex4(append(dst, '\\', 'U'), uint16(r>>16))
	return appendHex4(dst, uint16(r)), n
}

// appendControl writes the escape of an ASCII character that is not plain.
func appendControl(dst []byte, c, quote byte) []byte {
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	case '\\', '"':
		return append(dst, '\\', c)
	}
	if quote == '"' {
		return appendHex4(append(dst, '\\', 'u'), uint16(c))
	}
	return append(dst, '\\', 'x', lowerHex[c>>4], lowerHex[c&15])
}

func appendHex4(dst []byte, v uint16) []byte {
	return append(dst, lowerHex[v>>12], lowerHex[v>>8&15], lowerHex[v>>4&15], lowerHex[v&15])
}

// printable remembers IsPrint for the characters below U+10000, a bit
// each, in pages of 256 that are made when first needed: text in most scripts
// is shown several times as fast for it.
var printable [256]atomic.Pointer[[4]uint64]

// IsPrint tells whether r is shown as it is: whether strconv.IsPrint holds for it,
// and it is none of the letters and marks that nobody sees.
func IsPrint(r rune) bool {
	if r > 0xffff {
		return strconv.IsPrint(r) && !invisible(r)
	}
	page := printable[r>>8].Load()
	if page == nil {
		page = printPage(r &^ 0xff)
		printable[r>>8].Store(page) // another goroutine may store the same
	}
	return page[r>>6&3]>>(r&63)&1 != 0
}

// invisible tells of what strconv.IsPrint takes whether it hides: fillers, blanks,
// and what Unicode ignores by default. The selectors of text and emoji form stay,
// for emoji are full of them.
func invisible(r rune) bool {
	switch r {
	case 0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x2800, 0x3164, 0xffa0, 0x13441, 0x13442, 0x16fe4, 0x1d159:
		return true
	}
	return r>>4 == 0x180 && r >= 0x180b || r>>4 == 0xfe0 && r < 0xfe0e || r>>12 == 0xe0
}

func printPage(first rune) *[4]uint64 {
	page := new([4]uint64)
	for i := range rune(256) {
		if r := first + i; strconv.IsPrint(r) && !invisible(r) {
			page[i>>6] |= 1 << (i & 63)
		}
	}
	return page
}

package event

import "strconv"

// blankLine is a line of a hex dump before any digit is in it: offset, two
// groups of eight bytes, and the characters between bars.
const (
	blankLine = "          " + "                         " + "                         " +
		"|                |\n"
	bytesColumn = 10
	asciiColumn = 61
)

// dotted is what the right column of a hex dump shows of each byte. A table,
// because in binary data nobody foretells a branch on what is printable.
var dotted = func() (t [256]byte) {
	for i := range t {
		t[i] = '.'
		if i >= 0x20 && i < 0x7f {
			t[i] = byte(i)
		}
	}
	return t
}()

// AppendHexDump appends p sixteen bytes a line as hexdump -C lays them out:
// offset, bytes, printable ASCII. Every line ends in a line feed; an empty p
// has none.
func AppendHexDump(dst, p []byte) []byte {
	for off := 0; off < len(p); off += 16 {
		dst = appendHexLine(dst, uint64(off), p[off:min(off+16, len(p))])
	}
	return dst
}

// appendHexLine appends the line of at most 16 bytes that stand at off.
func appendHexLine(dst []byte, off uint64, p []byte) []byte {
	if off>>32 != 0 {
		dst = strconv.AppendUint(dst, off>>32, 16)
	}
	start := len(dst)
	dst = append(dst, blankLine...)
	line := (*[len(blankLine)]byte)(dst[start:])
	for i := range 8 {
		line[i] = lowerHex[off>>(28-4*i)&15]
	}
	for i, c := range p {
		i &= 15 // which it is; so the compiler knows
		at := bytesColumn + 3*i + i/8
		line[at], line[at+1] = lowerHex[c>>4], lowerHex[c&15]
		line[asciiColumn+i] = dotted[c]
	}
	if len(p) == 16 {
		return dst
	}
	return append(dst[:start+asciiColumn+len(p)], '|', '\n')
}

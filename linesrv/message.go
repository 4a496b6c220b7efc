package linesrv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// DefaultMaxMessage is the longest message taken where MaxMessage is 0, in bytes
// without its length.
const DefaultMaxMessage = 16 << 20

// ErrMessageTooLong says that a message is longer than MaxMessage, or than the
// 2^32-1 bytes that its length can tell. Where the next one begins is known, but
// not worth waiting for.
var ErrMessageTooLong = errors.New("message too long")

const lengthSize = 4

// AppendMessage appends the length of p and p to dst. p is shorter than 4 GiB.
func AppendMessage(dst, p []byte) []byte {
	return append(appendLength(dst, len(p)), p...)
}

func appendLength(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// checkSize is what can be sent: on 64-bit systems a slice can be longer than its
// length can tell.
func checkSize(n uint64) error {
	if n > math.MaxUint32 {
		return fmt.Errorf("%w: %d bytes", ErrMessageTooLong, n)
	}
	return nil
}

// ParseMessage returns the message at the start of b, a view of b, and its length n
// in b. n == 0 with a nil error means that b holds only part of it: call again with
// more. The error wraps ErrMessageTooLong and comes as soon as the length is there;
// max <= 0 means DefaultMaxMessage.
func ParseMessage(b []byte, max int) (p []byte, n int, err error) {
	size, ok, err := parseLength(b, max)
	if err != nil || !ok || len(b)-lengthSize < size {
		return nil, 0, err
	}
	n = lengthSize + size
	return b[lengthSize:n:n], n, nil
}

// parseLength returns the length at the start of b, if it is there.
func parseLength(b []byte, max int) (size int, ok bool, err error) {
	if max <= 0 {
		max = DefaultMaxMessage
	}
	n, size, err := Framing{Kind: KindLength}.head(b, max)
	return size, n > 0, err
}

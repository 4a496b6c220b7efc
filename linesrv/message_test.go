package linesrv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// messageTests: the message at the start of wire, with a limit of 16 bytes.
var messageTests = []struct {
	name string
	wire string
	want string
	n    int
	err  error
}{
	{"Hello (ORIGINALS 5.1)", "00000005 48656c6c6f", "Hello", 9, nil},
	{"an empty message", "00000000", "", 4, nil},
	{"the error byte of the original is a message", "00000001 01", "\x01", 5, nil},
	{"exactly the limit", "00000010 30313233343536373839616263646566", "0123456789abcdef", 20, nil},
	{"followed by another", "00000002 6869 00000000", "hi", 6, nil},
	{"one more than the limit", "00000011", "", 0, ErrMessageTooLong},
	{"the longest length there is", "ffffffff", "", 0, ErrMessageTooLong},
	{"the top bit", "80000000 00", "", 0, ErrMessageTooLong},
	{"HTTP is a length of 1.2 GB", "47455420 2f", "", 0, ErrMessageTooLong},
	{"nothing", "", "", 0, nil},
	{"part of a length", "000000", "", 0, nil},
	{"part of a message", "00000005 48656c6c", "", 0, nil},
}

func TestParseMessage(t *testing.T) {
	for _, tt := range messageTests {
		wire := unhex(tt.wire)
		p, n, err := ParseMessage(wire, 16)
		if string(p) != tt.want || n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("%s: ParseMessage(%x) = %q, %d, %v; want %q, %d, %v", tt.name, wire, p, n, err, tt.want, tt.n, tt.err)
		}
		for i := range wire[:max(tt.n, 0)] {
			if p, n, err := ParseMessage(wire[:i], 16); p != nil || n != 0 || err != nil {
				t.Errorf("%s: %d bytes of it are %q, %d, %v", tt.name, i, p, n, err)
			}
		}
		if n > 0 {
			if again := AppendMessage([]byte("x"), p); !bytes.Equal(again, append([]byte("x"), wire[:n]...)) {
				t.Errorf("AppendMessage(%q) = %x, want %x", p, again, wire[:n])
			}
		}
	}
	for _, max := range []int{0, -1} {
		if _, _, err := ParseMessage(unhex("01000001"), max); !errors.Is(err, ErrMessageTooLong) {
			t.Errorf("limit %d is not 16 MiB: %v", max, err)
		}
		if _, _, err := ParseMessage(unhex("01000000"), max); err != nil {
			t.Errorf("limit %d: 16 MiB: %v", max, err)
		}
	}
	if _, _, err := ParseMessage(unhex("7fffffff"), math.MaxInt32); err != nil {
		t.Errorf("2 GiB where that is allowed: %v", err)
	}
}

func TestCheckSize(t *testing.T) {
	if err := checkSize(math.MaxUint32); err != nil {
		t.Errorf("2^32-1 bytes: %v", err)
	}
	if err := checkSize(math.MaxUint32 + 1); !errors.Is(err, ErrMessageTooLong) {
		t.Errorf("2^32 bytes: %v", err)
	}
}

// FuzzMessage: parse then append gives the same bytes, whatever the limit; and a
// Socket that gets the bytes in pieces of size receives the same messages.
func FuzzMessage(f *testing.F) {
	for _, tt := range messageTests {
		f.Add(unhex(tt.wire), 16, 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, limit, size int) {
		limit, size = 1+abs(limit)%10_000, 1+abs(size)%5000
		s := NewSocket(&pieces{b: in, size: size}, SocketOptions{MaxMessage: limit})
		for rest := in; ; {
			p, n, err := ParseMessage(rest, limit)
			got, gotErr := s.Receive(0)
			if err == nil && n == 0 {
				if want := endOf(rest); !errors.Is(gotErr, want) {
					t.Errorf("Receive at the end: %v, want %v", gotErr, want)
				}
				return
			}
			if !bytes.Equal(got, p) || (gotErr == nil) != (err == nil) || len(p) > limit {
				t.Errorf("Receive = %x, %v; ParseMessage = %x, %v", got, gotErr, p, err)
			}
			if err != nil {
				return
			}
			if again := AppendMessage(nil, p); !bytes.Equal(again, rest[:n]) {
				t.Errorf("AppendMessage(%x) = %x, want %x", p, again, rest[:n])
			}
			rest = rest[n:]
		}
	})
}

func abs(n int) int { return max(n, -max(n, -math.MaxInt)) }

// endOf is what a stream ends with whose last bytes are rest.
func endOf(rest []byte) error {
	if len(rest) > 0 {
		return ErrCut
	}
	return io.EOF
}

package wsproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// A hole is a stream that has ended, and takes everything.
type hole struct{ net.Conn }

func newHole() hole {
	nc, _ := net.Pipe()
	return hole{nc}
}

func (hole) Read([]byte) (int, error)    { return 0, io.EOF }
func (hole) Write(p []byte) (int, error) { return len(p), nil }

// readsOf returns the messages of a Conn to which wire comes, and how it ends.
func readsOf(role Role, ag Agreement, cfg Config, wire []byte) (got []Message, err error) {
	c := NewConn(newHole(), wire, role, ag, cfg)
	defer c.Close(0, "")
	for {
		m, err := c.ReadMessage()
		if err != nil {
			return got, err
		}
		got = append(got, Message{m.Opcode, bytes.Clone(m.Data)})
	}
}

// evidence is what an error shows of the bytes that broke a rule.
var evidence = []struct {
	name   string
	role   Role
	wire   string
	err    error
	opcode Opcode
	len    int64 // of the header
	bytes  string
	before int
	offset int64
}{
	{"hw-26 a ping that is not masked", RoleServer, "89 00", ErrMasking, OpPing, 0, "89 00", 0, 0},
	{"hw-26 a text that is not masked", RoleServer, "81 08 756e6d61736b6564", ErrMasking, OpText, 8, "81 08 756e6d61736b6564", 0, 0},
	{"hw-30 an empty line before the first frame", RoleClient, "0d 0a 81 02 6869", ErrReservedOpcode, 0xd, 10, "0d 0a 81 02 6869", 0, 0},
	{"a masked frame from a server", RoleClient, "81 81 01020304 69", ErrMasking, OpText, 1, "81 81 01020304 69", 0, 0},
	{"only the frame at fault", RoleClient, "81 01 61 83 00", ErrReservedOpcode, 3, 0, "83 00", 0, 0},
	{"at most 64 bytes", RoleClient, "83 7e 0100" + strings.Repeat("ab", 256), ErrReservedOpcode, 3, 256, "83 7e 0100" + strings.Repeat("ab", 60), 0, 0},
	{"125 in 16 bits", RoleClient, "82 7e 007d 0102", ErrLengthEncoding, OpBinary, 125, "82 7e 007d 0102", 0, 0},
	{"the top bit of a length", RoleServer, "82 ff ffffffffffffffff 01", ErrLengthEncoding, OpBinary, 0, "82 ff ffffffffffffffff 01", 0, 0},
	{"beyond the limit", RoleClient, "82 7f 0000000001000001 01", ErrMessageTooBig, OpBinary, 1<<24 + 1, "82 7f 0000000001000001 01", 0, 0},
	{"hw-25 text in Latin-1", RoleClient, "81 0e 636166e92074656d703d3233b043", ErrInvalidUTF8, OpText, 14, "636166e92074656d703d3233b043", 3, 3},
	{"text, masked", RoleServer, hex.EncodeToString(frame(RoleServer, 0x81, "caf\xe9")), ErrInvalidUTF8, OpText, 4, "636166e9", 3, 3},
	{"text cut in a character", RoleClient, "81 03 6162e6", ErrInvalidUTF8, OpText, 3, "6162e6", 2, 2},
	{"the second fragment", RoleClient, "01 04 c3a9c3a9 80 02 61ff", ErrInvalidUTF8, OpContinuation, 2, "c3a9c3a9 61ff", 5, 5},
	{"far in the message", RoleClient, "01 7e 00c8" + strings.Repeat("c3a9", 100) + "80 03 61ff62", ErrInvalidUTF8, OpContinuation, 3,
		strings.Repeat("c3a9", 16)[2:] + "61ff62", 32, 201},
	{"a character across fragments", RoleClient, "01 02 61e6 80 01 20", ErrInvalidUTF8, OpContinuation, 1, "61e620", 1, 1},
	{"a Close of one byte", RoleClient, "88 01 03", ErrClosePayload, OpClose, 1, "03", 0, 0},
	{"a Close with 1005", RoleClient, "88 04 03ed 6869", ErrStatusCode, OpClose, 4, "03ed6869", 0, 0},
	{"a reason that is not UTF-8", RoleServer, hex.EncodeToString(frame(RoleServer, 0x88, "\x03\xe8ab\xff")), ErrInvalidUTF8, OpClose, 5, "03e86162ff", 4, 4},
	{"compressed data that are none", RoleClient, "c1 03 f24807", ErrCompressedData, OpText, 3, "f24807", 3, 3},
	{"compressed text", RoleClient, "c1 0a 00 0400 fbff 636166e9 00", ErrInvalidUTF8, OpText, 10, "636166e9", 3, 3},
}

// deflated is the agreement of connections with compression and without context.
var deflated = Agreement{Deflate: &DeflateParams{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}

func TestEvidence(t *testing.T) {
	for _, tt := range evidence {
		_, err := readsOf(tt.role, deflated, Config{}, unhex(tt.wire))
		pe, ok := errors.AsType[*ProtocolError](err)
		if !ok || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
			continue
		}
		if !bytes.Equal(pe.Bytes, unhex(tt.bytes)) || pe.Before != tt.before || pe.Offset != tt.offset {
			t.Errorf("%s: shows %x, before %d, offset %d; want %s, %d, %d", tt.name, pe.Bytes, pe.Before, pe.Offset, tt.bytes, tt.before, tt.offset)
		}
		if pe.Header.Opcode != tt.opcode || pe.Header.PayloadLen != tt.len || pe.Header.Masked != (unhex(tt.wire)[1]&bitMask != 0) {
			t.Errorf("%s: the header is %+v, want opcode %v and %d bytes", tt.name, pe.Header, tt.opcode, tt.len)
		}
	}
}

// TestRelayEvidence: a relay shows what broke a rule as a Conn does.
func TestRelayEvidence(t *testing.T) {
	for _, tt := range evidence {
		if tt.role != RoleServer || tt.err == ErrInvalidUTF8 && tt.opcode != OpClose {
			continue // a relay does not look at text
		}
		client, far := net.Pipe()
		backend, near := net.Pipe()
		far.Close()
		go func() {
			near.Read(make([]byte, 2)) // the Close frame: it goes after the client
			near.Close()
		}()
		end := NewRelay(client, backend, unhex(tt.wire), nil, RelayConfig{}).Run()
		pe, ok := errors.AsType[*ProtocolError](end.Err)
		if !ok || !bytes.Equal(pe.Bytes, unhex(tt.bytes)) || pe.Offset != tt.offset || pe.Header.PayloadLen != tt.len {
			t.Errorf("%s: %+v, want %s at %d", tt.name, end.Err, tt.bytes, tt.offset)
		}
	}
}

// FuzzEvidence: what an error shows was in the input, and points to the fault.
func FuzzEvidence(f *testing.F) {
	for _, tt := range evidence {
		f.Add(unhex(tt.wire), tt.role == RoleServer)
	}
	f.Fuzz(func(t *testing.T, wire []byte, server bool) {
		role := RoleClient
		if server {
			role = RoleServer
		}
		_, err := readsOf(role, deflated, Config{MaxMessage: 1 << 16}, wire)
		pe, ok := errors.AsType[*ProtocolError](err)
		if !ok {
			return
		}
		if len(pe.Bytes) > maxShown || pe.Before > len(pe.Bytes) || pe.Offset < int64(pe.Before) {
			t.Fatalf("%x: %d bytes, before %d, offset %d", wire, len(pe.Bytes), pe.Before, pe.Offset)
		}
		switch {
		case errors.Is(err, ErrInvalidUTF8):
			if rest := pe.Bytes[pe.Before:]; len(rest) == 0 || validText(rest) > 0 {
				t.Errorf("%x: %x begins with a character", wire, rest)
			}
		case errors.Is(err, ErrClosePayload), errors.Is(err, ErrStatusCode), errors.Is(err, ErrCompressedData), pe.Before > 0:
		case !bytes.Contains(wire, pe.Bytes):
			if !errors.Is(err, ErrMessageTooBig) {
				t.Errorf("%x did not come in %x", pe.Bytes, wire)
			}
		}
	})
}

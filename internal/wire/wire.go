// Package wire is the messages that IXWebSocket's ws tool sends through a
// broadcast server: chat, files, and the answers to files. They come in two
// formats, one for each generation of the tool. Append writes either, Parse
// reads both and tells them apart by the first byte.
//
// PDU, the tool's since 2026, is a line for each field: its name, a space, and
// its value in hexadecimal digits.
//
//	text 6869
//	user 626f62
//
// Msgpack, used up to version 12.0.1, is a MessagePack map from strings to
// strings, byte strings and booleans.
//
// The fields by kind of message; both formats write them in this order:
//
//	chat    text user
//	file    content djb2_hash filename id kind=send
//	ack     ack=true filename id
//	error   id= kind=error message
//
// Everything here is a pure function of its arguments.
package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// A Format is how a message is put into bytes.
type Format uint8

const (
	PDU Format = iota
	Msgpack
)

var formatNames = [...]string{"pdu", "msgpack"}

// String returns the name ParseFormat takes.
func (f Format) String() string { return formatNames[f] }

// ParseFormat takes pdu or msgpack.
func ParseFormat(s string) (Format, error) {
	if i := slices.Index(formatNames[:], s); i >= 0 {
		return Format(i), nil
	}
	return 0, errors.New("want pdu or msgpack")
}

// A Type is what a value is in Msgpack; PDU does not know types.
type Type uint8

const (
	Text  Type = iota // also what comes in PDU
	Bytes             // a byte string
	Bool              // the value is "true" or "false"
)

// A Field is one value of a message with its name.
type Field struct {
	Name  string // in PDU ASCII without spaces and line feeds, and not empty
	Value []byte
	Type  Type
}

// A Message is fields with different names, in no order that matters.
type Message []Field

// What makes a message one that cannot be read. Parse says where, too.
var (
	ErrLine    = errors.New("no ASCII name and space at the start of the line")
	ErrHex     = errors.New("value is not pairs of hexadecimal digits")
	ErrCut     = errors.New("message is cut short")
	ErrMore    = errors.New("bytes after the end of the message")
	ErrName    = errors.New("name is no string")
	ErrType    = errors.New("type that msgpack does not have")
	ErrDepth   = errors.New("values nested too deep")
	ErrTooMany = errors.New("too many fields")
)

const (
	// MaxFields is how many fields a message may have. Those the tool sends have
	// five at most.
	MaxFields = 64
	maxDepth  = 16
)

// Detect tells the format of a message by its first byte: a msgpack map begins
// with 80 to 8f, de or df, which no PDU does.
func Detect(b []byte) Format {
	if len(b) > 0 && (b[0]&0xf0 == 0x80 || b[0] == 0xde || b[0] == 0xdf) {
		return Msgpack
	}
	return PDU
}

// Parse reads a message of either format, which is returned also with an error.
// Where a name comes twice the last one counts. The values may share b's storage.
// The error wraps one of those above.
func Parse(b []byte) (Message, Format, error) {
	if Detect(b) == Msgpack {
		m, err := parseMsgpack(b)
		return m, Msgpack, err
	}
	m, err := parsePDU(b)
	return m, PDU, err
}

// Append appends m in the given format, the fields sorted by name. A value is
// shorter than 4 GiB.
func Append(dst []byte, f Format, m Message) []byte {
	m = slices.Clone(m)
	sort.Slice(m, func(i, j int) bool { return m[i].Name < m[j].Name })
	if f == Msgpack {
		return appendMsgpack(dst, m)
	}
	return appendPDU(dst, m)
}

// Get returns the value with the given name.
func (m Message) Get(name string) (value []byte, ok bool) {
	for i := range m {
		if m[i].Name == name {
			return m[i].Value, true
		}
	}
	return nil, false
}

// put adds a field or replaces the one of its name.
func (m Message) put(f Field) (Message, error) {
	for i := range m {
		if m[i].Name == f.Name {
			m[i] = f
			return m, nil
		}
	}
	if len(m) == MaxFields {
		return m, ErrTooMany
	}
	return append(m, f), nil
}

func parsePDU(b []byte) (m Message, err error) {
	room := make([]byte, 0, len(b)/2) // for all values
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		if len(line) == 0 {
			continue
		}
		name, digits, ok := bytes.Cut(line, []byte{' '})
		if !ok || len(name) == 0 || bytes.ContainsFunc(name, notASCII) {
			return nil, fmt.Errorf("line %d: %w", number, ErrLine)
		}
		start := len(room)
		if room, err = hex.AppendDecode(room, digits); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, ErrHex)
		}
		if m, err = m.put(Field{Name: string(name), Value: room[start:len(room):len(room)]}); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return m, nil
}

func notASCII(r rune) bool { return r >= 0x80 }

func appendPDU(dst []byte, m Message) []byte {
	for _, f := range m {
		dst = slices.Grow(dst, len(f.Name)+2*len(f.Value)+2)
		dst = append(append(dst, f.Name...), ' ')
		dst = append(hex.AppendEncode(dst, f.Value), '\n')
	}
	return dst
}

// Package linesrv speaks two small protocols over TCP, Unix sockets or any
// other net.Conn.
//
// The line protocol is socket-oneline's: a command is a line, the answers are
// lines, a line ends in LF. "ping" is answered by "pong", "disconnect" ends the
// connection, "shutdown" the server; every other command goes to a handler,
// which answers with no, one or many lines. A server never speaks unasked.
// Server and Client speak it; Cutter is its framing alone.
//
// Message sockets are those of gruv_socks: four bytes of length, the most
// significant first, then that many bytes. Socket and SocketServer speak it;
// AppendMessage and ParseMessage are its framing alone.
//
// Lines are for people and devices, messages for programs. The package prints
// nothing, and starts nothing that it does not stop.
package linesrv

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// DefaultMaxLine is the longest line taken where MaxLine is 0, in bytes without
// its LF.
const DefaultMaxLine = 64 << 10

// ErrLineTooLong says that a line has more bytes than MaxLine. Where the next
// line begins is not known then.
var ErrLineTooLong = errors.New("line too long")

// A Command is one line of a client.
//
// Line is a view of the receive buffer and valid until the handler returns: a
// string would cost an allocation for every command. The compiler makes
// switch string(cmd.Line) and m[string(cmd.Line)] without one; String copies.
type Command struct {
	Line    []byte // without its LF, and without a CR before that unless KeepCR
	Invalid bool   // Line is not UTF-8
}

// String returns a copy of the line.
func (cmd Command) String() string { return string(cmd.Line) }

func newCommand(line []byte) Command {
	return Command{Line: line, Invalid: !utf8.Valid(line)}
}

// A Cutter cuts a stream of bytes into lines. The zero value cuts lines of up to
// DefaultMaxLine bytes and drops a CR before the LF.
type Cutter struct {
	MaxLine int  // in bytes before the LF, a CR included; 0 means DefaultMaxLine
	KeepCR  bool // a CR before the LF belongs to the line

	part []byte // of a line whose LF has not come
}

// keepPart is how much storage a Cutter begins with, and keeps between two lines.
const keepPart = 1 << 10

// Next returns the first line that ends in b, which begins with what earlier
// calls kept, and what follows it in b. When no line ends in b, ok is false and b
// is kept. The line is valid until the next call. The error is ErrLineTooLong;
// the Cutter is of no use after it.
func (k *Cutter) Next(b []byte) (line, rest []byte, ok bool, err error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, nil, false, k.keep(b)
	}
	if len(k.part)+end > k.max() {
		return nil, nil, false, ErrLineTooLong
	}
	line, rest = b[:end], b[end+1:]
	if len(k.part) > 0 {
		line = k.complete(line)
	}
	if n := len(line) - 1; n >= 0 && line[n] == '\r' && !k.KeepCR {
		line = line[:n]
	}
	return line, rest, true, nil
}

// complete returns the part with its end, and keeps storage of a usual size.
func (k *Cutter) complete(end []byte) (line []byte) {
	line = append(k.part, end...)
	k.part = line[:0]
	if cap(line) > keepPart {
		k.part = nil
	}
	return line
}

// Pending returns the beginning of a line that has not ended yet. It is valid
// until the next call of Next.
func (k *Cutter) Pending() []byte { return k.part }

func (k *Cutter) max() int {
	if k.MaxLine > 0 {
		return k.MaxLine
	}
	return DefaultMaxLine
}

// keep adds b to the part. Its storage doubles with the bytes that come, but not
// beyond the longest line.
func (k *Cutter) keep(b []byte) error {
	need := len(k.part) + len(b)
	if need > k.max() {
		return ErrLineTooLong
	}
	if need > cap(k.part) {
		bigger := make([]byte, len(k.part), max(need, min(max(2*cap(k.part), keepPart), k.max())))
		copy(bigger, k.part)
		k.part = bigger
	}
	k.part = append(k.part, b...)
	return nil
}

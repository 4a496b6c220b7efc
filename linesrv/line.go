// Package linesrv speaks two small protocols over TCP, Unix sockets or any
// other net.Conn.
//
// The line protocol is socket-oneline's: a command is a line, the answers are
// lines, a line ends in LF. "ping" is answered by "pong", "disconnect" ends the
// connection, "shutdown" the server; every other command goes to a handler,
// which answers with no, one or many lines. A server never speaks unasked.
// Server and Client speak it.
//
// Message sockets are those of gruv_socks: four bytes of length, the most
// significant first, then that many bytes. Socket and SocketServer speak it;
// AppendMessage and ParseMessage are its framing alone.
//
// Framing has these two and the other ways in which devices tell messages apart, to
// be chosen by name; Cutter cuts a stream by any of them.
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

// A ProtocolError is a rule that the peer broke, and the bytes that broke it.
type ProtocolError struct {
	Err    error  // the rule: ErrLineTooLong, ErrMessageTooLong, ErrLength, ErrComma, ErrEscape, ErrHTTP
	Bytes  []byte // the first of the line or frame, as they came, at most 64
	Offset int64  // of Bytes in the stream
}

// maxShown is how many bytes a ProtocolError has.
const maxShown = 64

func (e *ProtocolError) Error() string { return e.Err.Error() }
func (e *ProtocolError) Unwrap() error { return e.Err }

// ErrHTTP says that the first line is one that browsers send, not people: a page can
// have them connect to any port, and the lines of what it posts are no commands.
var ErrHTTP = errors.New("an HTTP request where lines are expected")

// LooksLikeHTTP reports whether line is the request line of HTTP (RFC 9112 §3), of any
// version that has one, or a Host field. It is for the first line of a connection, with
// or without its CR, where lines lead to actions.
func LooksLikeHTTP(line []byte) bool {
	if len(line) >= 5 && bytes.EqualFold(line[:5], []byte("host:")) {
		return true
	}
	fields := bytes.SplitN(bytes.TrimRight(line, "\r"), []byte(" "), 4)
	if len(fields) != 3 || len(fields[0]) == 0 || len(fields[1]) == 0 {
		return false
	}
	version, ok := bytes.CutPrefix(fields[2], []byte("HTTP/"))
	return ok && len(version) == 3 && version[1] == '.'
}

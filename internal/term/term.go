// Package term reads lines from a person at a terminal, and from a pipe when
// there is none: IsTerminal and Width say what a file is, an Editor reads with
// line editing, history and completion, and prints what arrives meanwhile above
// the line being typed.
//
// # How it is built
//
//	bytes   keys.go     decoder: what was typed, as keys; resumable at any byte
//	rules   line.go     line: a key changes the line, or ends it
//	        render.go   screen: a line and a width give the bytes to send
//	        width.go    columns of a rune
//	I/O     editor.go   reads, applies, draws once for all that was there to read
//	        input*.go   reading that can be told to stop
//	        sys_*.go    raw mode, size and waiting, per system
//
// # What is sent to the terminal
//
// The VT100 had all but the last of these in 1978, and whatever emulates a
// terminal has them today. Nothing is asked of the terminal: an answer would
// come mixed with what is typed, or never.
//
//	CR, LF, BEL
//	ESC [ n A     up n rows        ESC [ n B     down n rows
//	ESC [ n C     right n columns, always after a CR: no column is taken on trust
//	ESC [ J       erase from the cursor to the end of the screen
//	ESC [ H       to the top left, with ESC [ 2 J, erase all: for Ctrl-L
//	ESC [ ? 2004 h, l   pastes are bracketed, or not; those who do not know it ignore it
//
// Not sent: save and restore cursor (one slot, which others use), insert and
// delete character (they do not reach over a row's end), scroll regions (output
// would not enter the scrollback), alternate screen, titles, colour (a Prompt
// may hold its own), cursor reports.
//
// # What is understood
//
//	ESC [ A B C D H F, ESC O A B C D H F   arrows, Home, End; both cursor key modes
//	ESC [ 1 ~, 7 ~, 4 ~, 8 ~, 3 ~          Home, End, Delete
//	ESC [ 1 ; 5 C, D and 1 ; 3 C, D        by word, with Ctrl or Alt
//	ESC [ 3 ; 5 ~, 3 ; 3 ~                 delete a word, likewise
//	ESC O M                                Enter of the keypad
//	ESC b, f, d, DEL, BS                   Alt: by word, delete a word either way
//	ESC [ 200 ~, 201 ~                     a paste begins, ends
//
// Any other sequence of the shape ECMA-48 gives them is read as a whole and
// ignored.
package term

import (
	"errors"
	"os"
)

// MaxLine is the longest line in bytes. Typing beyond it rings the bell.
const MaxLine = 1 << 20

var (
	// ErrInterrupted is what ReadLine returns at Ctrl-C. The line is dropped.
	ErrInterrupted = errors.New("interrupted")

	// ErrTooLong is what ReadLine returns, without a terminal, in place of a
	// line over MaxLine. Reading goes on after that line.
	ErrTooLong = errors.New("line longer than 1 MiB")
)

// IsTerminal reports whether f is a terminal (on Windows: a console).
func IsTerminal(f *os.File) bool {
	is := false
	withFD(f, func(fd uintptr) { is = isTerminal(fd) })
	return is
}

// Width returns the columns of the terminal f, 80 when they are not known.
func Width(f *os.File) int { return sizeOf(f).cols }

// size is that of a screen, in columns and rows, both at least 1.
type size struct{ cols, rows int }

// sizeOf returns the size of f; a serial line knows none and says 0 by 0.
func sizeOf(f *os.File) size {
	s := size{}
	withFD(f, func(fd uintptr) { s.cols, s.rows = windowSize(fd) })
	if s.cols <= 0 {
		s.cols = 80
	}
	if s.rows <= 0 {
		s.rows = 24
	}
	return s
}

// withFD calls use with the descriptor of f, which stays open meanwhile. The
// error is that of a closed file. File.Fd would end the use of deadlines.
func withFD(f *os.File, use func(fd uintptr)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(use)
}

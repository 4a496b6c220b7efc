package term

import (
	"bytes"
	"unicode/utf8"
)

// keyCode says what a key does; several keys may do the same.
type keyCode uint8

const (
	keyNone keyCode = iota // read and of no use here
	keyText                // key.text is typed or pasted
	keyEnter
	keyTab
	keyBackspace
	keyDelete // to the right
	keyEOF    // Ctrl-D: keyDelete, or the end on an empty line
	keyLeft
	keyRight
	keyWordLeft
	keyWordRight
	keyHome
	keyEnd
	keyUp
	keyDown
	keyKillEnd      // Ctrl-K
	keyKillStart    // Ctrl-U
	keyKillBlank    // Ctrl-W: to the blank on the left
	keyKillWord     // Alt-D
	keyKillWordBack // Alt-Backspace
	keyYank         // Ctrl-Y
	keyTranspose    // Ctrl-T
	keyClear        // Ctrl-L
	keySearch       // Ctrl-R
	keyCancel       // Ctrl-G, Escape
	keyInterrupt    // Ctrl-C
	keySuspend      // Ctrl-Z
)

// key is one key, or a run of text as long as it came.
type key struct {
	code keyCode
	text []byte // with keyText; part of what was decoded
}

const (
	esc         = 0x1b
	ctrlV       = 'V' & 0x1f
	pasteEnd    = "\x1b[201~"
	maxSequence = 32 // no key's sequence is longer; one that is was none
)

var controlKeys = [32]keyCode{
	'A' & 31: keyHome, 'B' & 31: keyLeft, 'C' & 31: keyInterrupt, 'D' & 31: keyEOF,
	'E' & 31: keyEnd, 'F' & 31: keyRight, 'G' & 31: keyCancel, 'H' & 31: keyBackspace,
	'I' & 31: keyTab, 'J' & 31: keyEnter, 'K' & 31: keyKillEnd, 'L' & 31: keyClear,
	'M' & 31: keyEnter, 'N' & 31: keyDown, 'P' & 31: keyUp, 'R' & 31: keySearch,
	'T' & 31: keyTranspose, 'U' & 31: keyKillStart, 'W' & 31: keyKillBlank,
	'Y' & 31: keyYank, 'Z' & 31: keySuspend,
}

// altKeys follow an ESC.
var altKeys = map[byte]keyCode{
	'b': keyWordLeft, 'B': keyWordLeft, 'f': keyWordRight, 'F': keyWordRight,
	'd': keyKillWord, 'D': keyKillWord, 0x7f: keyKillWordBack, '\b': keyKillWordBack,
}

// csiKeys follow ESC [; those of one letter follow ESC O as well.
var csiKeys = map[string]keyCode{
	"A": keyUp, "B": keyDown, "C": keyRight, "D": keyLeft, "H": keyHome, "F": keyEnd,
	"1~": keyHome, "7~": keyHome, "4~": keyEnd, "8~": keyEnd, "3~": keyDelete,
	"1;5C": keyWordRight, "1;3C": keyWordRight, "1;5D": keyWordLeft, "1;3D": keyWordLeft,
	"3;5~": keyKillWord, "3;3~": keyKillWord,
}

// decoder turns what a terminal sends into keys. The zero value is ready.
type decoder struct {
	paste  bool // between ESC [ 200 ~ and ESC [ 201 ~
	quoted bool // the next rune follows Ctrl-V
	cr     bool // a CR ended a line: an LF right after it is its other half
	whole  bool // line ends that are pasted are text
}

// next decodes the first key of b and returns how many bytes it took. 0 means
// that b holds only part of a key: call again with more. With final set nothing
// more is coming for now, and an ESC that is alone is the key Escape.
func (d *decoder) next(b []byte, final bool) (key, int) {
	if len(b) == 0 {
		return key{}, 0
	}
	if d.cr {
		d.cr = false
		if b[0] == '\n' {
			return key{}, 1
		}
	}
	switch c := b[0]; {
	case d.quoted:
		return d.nextQuoted(b)
	case d.paste:
		return d.nextPasted(b)
	case c == esc:
		return d.nextEscape(b, final)
	case c == 0x7f:
		return key{code: keyBackspace}, 1
	case c == ctrlV:
		d.quoted = true
		return key{}, 1
	case c < ' ':
		d.cr = c == '\r'
		return key{code: controlKeys[c]}, 1
	}
	return textRun(b, indexControl(b))
}

// indexControl returns where the first control character of b is, or its end.
func indexControl(b []byte) int {
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			return i
		}
	}
	return len(b)
}

// textRun is the text b[:n], less a rune at the end of b that is not all there.
func textRun(b []byte, n int) (key, int) {
	if n == len(b) {
		n -= partialRune(b)
	}
	if n == 0 {
		return key{}, 0
	}
	return key{code: keyText, text: b[:n]}, n
}

// partialRune returns the length of a rune begun at the end of b.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

func (d *decoder) nextQuoted(b []byte) (key, int) {
	if !utf8.FullRune(b) {
		return key{}, 0
	}
	d.quoted = false
	_, n := utf8.DecodeRune(b)
	return key{code: keyText, text: b[:n]}, n
}

// nextPasted takes line ends for Enter, unless d.whole, and all else, tabs and
// controls included, for text. Most terminals send CR for the line ends of a paste.
func (d *decoder) nextPasted(b []byte) (key, int) {
	switch b[0] {
	case '\r', '\n':
		if d.cr = b[0] == '\r'; d.whole {
			return key{code: keyText, text: []byte{'\n'}}, 1
		}
		return key{code: keyEnter}, 1
	case esc:
		if bytes.HasPrefix(b, []byte(pasteEnd)) {
			d.paste = false
			return key{}, len(pasteEnd)
		}
		if bytes.HasPrefix([]byte(pasteEnd), b) {
			return key{}, 0
		}
		return key{code: keyText, text: b[:1]}, 1
	}
	n := bytes.IndexAny(b, "\r\n\x1b")
	if n < 0 {
		n = len(b)
	}
	return textRun(b, n)
}

func (d *decoder) nextEscape(b []byte, final bool) (key, int) {
	if len(b) == 1 {
		if final {
			return key{code: keyCancel}, 1
		}
		return key{}, 0
	}
	switch c := b[1]; {
	case c == '[':
		return d.nextCSI(b, final)
	case c == 'O':
		return nextSS3(b, final)
	case altKeys[c] != keyNone:
		return key{code: altKeys[c]}, 2
	case c < ' ' || c > 0x7e: // Escape, and another key after it
		return key{code: keyCancel}, 1
	}
	return key{}, 2
}

// nextSS3 reads ESC O and a letter.
func nextSS3(b []byte, final bool) (key, int) {
	switch {
	case len(b) == 2 && final: // Alt-O
		return key{}, 2
	case len(b) == 2:
		return key{}, 0
	case b[2] < ' ' || b[2] > 0x7e:
		return key{}, 2
	case b[2] == 'M': // Enter of the keypad
		return key{code: keyEnter}, 3
	}
	return key{code: csiKeys[string(b[2:3])]}, 3
}

// nextCSI reads a control sequence (ECMA-48 section 5.4): ESC [, bytes of 20 to
// 3F, one of 40 to 7E. What breaks that shape ends it and is looked at anew.
func (d *decoder) nextCSI(b []byte, final bool) (key, int) {
	for i := 2; i < len(b); i++ {
		switch c := b[i]; {
		case c < ' ' || c > 0x7e || i == maxSequence:
			return key{}, i
		case c == '[' && i == 2: // F1 to F5 of the Linux console: ESC [ [ A
			if len(b) > 3 && b[3] >= ' ' && b[3] <= 0x7e {
				return key{}, 4
			}
			if len(b) > 3 {
				return key{}, 3
			}
		case c >= '@':
			d.paste = string(b[2:i+1]) == "200~"
			return key{code: csiKeys[string(b[2:i+1])]}, i + 1
		}
	}
	if final {
		return key{}, len(b)
	}
	return key{}, 0
}

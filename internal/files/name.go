package files

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"socketsrv/internal/event"
)

const maxFileName = 255 // bytes: what file systems in wide use take

// A NameError says why CheckName does not take a name.
type NameError string

func (e NameError) Error() string { return string(e) }

var (
	errNameEmpty     error = NameError("the name is empty")
	errNameLong      error = NameError("the name is longer than 255 bytes")
	errNameUTF8      error = NameError("the name is not UTF-8")
	errNameInvisible error = NameError("the name has control or invisible characters")
	errNameSeparator error = NameError("the name has a separator of folders: /, \\ or a colon")
	errNameStart     error = NameError("the name begins with a dot or a dash")
	errNameEnd       error = NameError("the name ends with a dot or a blank")
	errNameReserved  error = NameError("the name is a device on Windows")
)

// CheckName says whether a name that a peer chose may become that of a file:
// one path element that is nothing but a name on every system, that shows what it
// is, and that no program takes for a flag. (filepath.IsLocal lets NUL through.)
func CheckName(name string) error {
	switch {
	case name == "":
		return errNameEmpty
	case len(name) > maxFileName:
		return errNameLong
	case !utf8.ValidString(name):
		return errNameUTF8
	case strings.ContainsFunc(name, invisible):
		return errNameInvisible
	case strings.ContainsAny(name, `/\:`):
		return errNameSeparator
	case name[0] == '.' || name[0] == '-':
		return errNameStart
	case strings.HasSuffix(name, ".") || unicode.IsSpace(lastRune(name)):
		return errNameEnd
	case isDeviceName(name):
		return errNameReserved
	}
	return nil
}

// invisible holds for what may hide in a name, such as tags, fillers and the blanks of
// Braille and Hangul: for all but blanks that a display escapes. It also holds for
// U+FFFD, which stands where something was lost.
func invisible(r rune) bool {
	return !event.IsPrint(r) && !unicode.Is(unicode.Zs, r) || r == utf8.RuneError
}

func lastRune(s string) rune {
	r, _ := utf8.DecodeLastRuneInString(s)
	return r
}

// isDeviceName holds for CON, nul.txt, "COM1 .log" and their like.
func isDeviceName(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRightFunc(stem, unicode.IsSpace))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	port, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		port, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

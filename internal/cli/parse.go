package cli

import (
	"errors"
	"fmt"
	"strings"
)

// What a command line can ask for in place of running the mode.
var (
	errHelp    = errors.New("help asked for")
	errVersion = errors.New("version asked for")
)

// Parse sets the flags that args holds and returns the arguments between and
// after them. Errors are UsageErrors, a Failure of a flag, errHelp or errVersion.
//
// A word that begins with one or two dashes is a flag: -name, -name=value, or
// -name with its value in the next word, whatever that looks like. With one dash
// and no flag of that name it is one-letter flags behind one dash, the last of
// which may have its value glued on or in the next word, as curl has it. A dash
// alone and negative numbers are arguments, and so is all that follows "--".
func (fs *Flags) Parse(args []string) (rest []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			for _, word := range args {
				rest = fs.argument(rest, word)
			}
			return rest, fs.check()
		}
		if !fs.isFlag(word) {
			rest = fs.argument(rest, word)
			continue
		}
		if args, err = fs.take(word, args); err != nil {
			return nil, err
		}
	}
	return rest, fs.check()
}

func (fs *Flags) argument(rest []string, word string) []string {
	if fs.Each != nil {
		fs.Each(word)
	}
	return append(rest, word)
}

func (fs *Flags) check() error {
	for _, check := range fs.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (fs *Flags) isFlag(word string) bool {
	name, dashed := Undash(word)
	if !dashed || name == "" {
		return false
	}
	return !isDecimal(name) || fs.ByName[name] != nil
}

// Undash takes one or two dashes off.
func Undash(word string) (name string, dashed bool) {
	name, dashed = strings.CutPrefix(word, "-")
	return strings.TrimPrefix(name, "-"), dashed
}

// take sets the flag or the bundle of flags in word; next are the words that
// follow it, and what is returned are those left.
func (fs *Flags) take(word string, next []string) ([]string, error) {
	whole, _ := Undash(word)
	name, value, has := strings.Cut(whole, "=")
	name = canonical(name)
	glued := fs.Curl && has && len(name) == 1 && !strings.HasPrefix(word, "--") // curl's -d=x is -d with =x
	if f := fs.ByName[name]; f != nil && !glued {
		return fs.give(f, name, value, has, next)
	}
	if off, ok := strings.CutPrefix(word, "--no-"); ok && fs.Curl {
		if f := fs.ByName[canonical(off)]; f != nil && f.arg == "" {
			return next, f.Set("false")
		}
	}
	switch name {
	case "help", "h":
		return nil, errHelp
	case "version", "V":
		return nil, errVersion
	}
	if strings.HasPrefix(word, "--") || !fs.isBundle(whole) {
		return nil, fs.unknown(word)
	}
	left, err := fs.takeBundle(whole, next)
	if near := nearest(name, fs.longNames()); err != nil && near != "" {
		return nil, fs.unknown(word) // rather -prot for -port than -p with the value rot
	}
	return left, err
}

// isBundle says whether letters are known one-letter flags, up to the first
// that takes a value.
func (fs *Flags) isBundle(letters string) bool {
	for i := range len(letters) {
		f := fs.ByName[letters[i:i+1]]
		if f == nil {
			return false
		}
		if f.arg != "" {
			return true
		}
	}
	return true
}

func (fs *Flags) takeBundle(letters string, next []string) (_ []string, err error) {
	for i := range len(letters) {
		name, glued := letters[i:i+1], letters[i+1:]
		f := fs.ByName[name]
		if f.arg != "" {
			return fs.give(f, name, glued, glued != "", next)
		}
		if next, err = fs.give(f, name, "", false, next); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// give sets f to value or, where it has none and needs one, to the next word.
func (fs *Flags) give(f *Flag, name, value string, has bool, next []string) ([]string, error) {
	switch {
	case has:
	case f.arg == "":
		value = "true"
	case len(next) == 0:
		return nil, Usagef("-%s needs a value: -%s %s", name, name, f.arg)
	default:
		value, next = next[0], next[1:]
	}
	if err := f.Set(value); As[*Failure](err) {
		return nil, err
	} else if err != nil && f.secret {
		return nil, Usagef("-%s: %v", name, err)
	} else if err != nil {
		return nil, Usagef("-%s %q: %v", name, Clip(value, MaxShown), err)
	}
	f.value, f.given = value, true
	return next, nil
}

const MaxShown = 100 // bytes of a user's word in an error

func (fs *Flags) unknown(word string) error {
	word, _, _ = strings.Cut(word, "=")
	name, _ := Undash(word)
	if fs.Foreign != nil {
		if err := fs.Foreign(word); err != nil {
			return err
		}
	}
	return suggest("flag", word, "-", nearest(canonical(name), append(fs.longNames(), fs.modes...)))
}

func suggest(kind, word, dash, near string) error {
	if near == "" {
		return Usagef("unknown %s %q", kind, Clip(word, MaxShown))
	}
	return Usagef("unknown %s %q; did you mean %s%s?", kind, Clip(word, MaxShown), dash, near)
}

// all are the flags in the order of help.
func (fs *Flags) all() (flags []*Flag) {
	for _, g := range fs.groups {
		flags = append(flags, g.flags...)
	}
	return flags
}

// longNames are the names of more than one letter.
func (fs *Flags) longNames() (names []string) {
	for _, f := range fs.all() {
		for _, name := range f.names {
			if len(name) > 1 {
				names = append(names, name)
			}
		}
	}
	return names
}

// Preset makes the values in args the defaults.
func (fs *Flags) Preset(args []string) {
	if rest, err := fs.Parse(args); err != nil || len(rest) > 0 {
		panic(fmt.Sprintf("mode: defaults of an alias: %q %v", rest, err))
	}
	for _, f := range fs.all() {
		switch {
		case !f.given:
			continue
		case f.arg != "":
			f.def = f.value
		case f.value == "true":
			f.def = "on"
		default:
			f.def = ""
		}
		f.given = false
	}
}

// nearest returns the name that a mistyped one was probably meant to be: at most
// two letters wrong, missing, too many or swapped, and no more than a third of
// them. It returns "" where there is none.
func nearest(typed string, names []string) string {
	if len(typed) > 40 {
		return ""
	}
	best, bound := "", min(2, (len(typed)+1)/3)
	for _, name := range names {
		if d := distance(typed, name); d <= bound {
			best, bound = name, d-1
		}
	}
	return best
}

// distance is Damerau and Levenshtein's, with adjacent letters swapped once.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

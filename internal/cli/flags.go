package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Flags are the flags of one mode. Setup adds them, in groups; the command line
// sets them; help, man page and completion list them.
//
// The methods that add a flag take a pointer to the variable it sets, whose
// value at that time is the default, and the names of the flag with spaces
// between: "port p". The first is the one shown; underscores in them are dashes
// to the user and to us. The usage is a whole sentence. Adding a
// name twice panics.
type Flags struct {
	groups []group
	ByName map[string]*Flag
	checks []func() error
	modes  []string // what a mistyped flag may have been meant as, too
	Inetd  bool     // a flag said that stdin and stdout are a client

	// For a command line that is another program's.
	Each    func(word string)       // sees the arguments where they stand between flags
	Curl    bool                    // it is curl's: --no-name turns a switch off, -d=x has the value =x
	Foreign func(word string) error // what is known of a flag that is none of ours; nil: nothing
}

type group struct {
	title string
	flags []*Flag
}

// A Flag is one flag. Modes make one themselves only where no method of Flags fits.
type Flag struct {
	names    []string
	arg      string // what the value is called in help; "" for a switch
	def      string // shown; "" for none
	Usage    string
	choices  []string
	Repeated bool
	secret   bool   // the value never stands in an error
	unlisted bool   // not in help: taken for the sake of those who type it
	value    string // as last given
	given    bool   // on the command line
	Set      func(string) error
}

// Group begins a group: flags added from here on stand below title in help. A
// group of the same title is gone on with.
func (fs *Flags) Group(title string) {
	i := slices.IndexFunc(fs.groups, func(g group) bool { return g.title == title })
	if i < 0 {
		fs.groups = append(fs.groups, group{title: title})
		return
	}
	g := fs.groups[i]
	fs.groups = append(slices.Delete(fs.groups, i, i+1), g)
}

// Check adds a check for after the command line was read, such as for flags
// that exclude each other; what it returns is a UsageError.
func (fs *Flags) Check(check func() error) { fs.checks = append(fs.checks, check) }

// Given says whether the command line set the flag.
func (fs *Flags) Given(name string) bool { return fs.ByName[name].given }

// AnyGiven says whether the command line set a flag of the group.
func (fs *Flags) AnyGiven(title string) bool {
	for _, g := range fs.groups {
		if g.title == title {
			return slices.ContainsFunc(g.flags, func(f *Flag) bool { return f.given })
		}
	}
	return false
}

// Switch adds a flag without a value; -name=false turns it off again.
func (fs *Flags) Switch(p *bool, names, usage string) {
	def := ""
	if *p {
		def = "on"
	}
	fs.Add(names, &Flag{def: def, Usage: usage, Set: func(s string) (err error) {
		if *p, err = strconv.ParseBool(s); err != nil {
			return errSwitch
		}
		return nil
	}})
}

// String adds a flag whose value is taken as it is; arg names it in help.
func (fs *Flags) String(p *string, names, arg, usage string) {
	fs.Add(names, &Flag{arg: arg, def: *p, Usage: usage, Set: func(s string) error {
		*p = s
		return nil
	}})
}

// Strings adds a flag that may be given several times.
func (fs *Flags) Strings(p *[]string, names, arg, usage string) {
	fs.Add(names, &Flag{arg: arg, Usage: usage, Repeated: true, Set: func(s string) error {
		*p = append(*p, s)
		return nil
	}})
}

// List adds a flag with values between commas; given again it adds to them.
func (fs *Flags) List(p *[]string, names, arg, usage string) {
	fs.Add(names, &Flag{arg: arg, Usage: usage, Repeated: true, Set: func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
		return nil
	}})
}

// Int adds a flag with a number from low to high.
func (fs *Flags) Int(p *int, names, arg string, low, high int, usage string) {
	fs.Add(names, &Flag{arg: arg, def: strconv.Itoa(*p), Usage: usage, Set: func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return fmt.Errorf("want a number from %d to %d", low, high)
		}
		*p = n
		return nil
	}})
}

// Duration adds a flag with a duration as ParseDuration reads it; 0 is shown as off.
func (fs *Flags) Duration(p *time.Duration, names, usage string) {
	fs.Add(names, &Flag{arg: "D", def: FormatDuration(*p), Usage: usage, Set: setter(p, ParseDuration)})
}

// Size adds a flag with a number of bytes as ParseSize reads it.
func (fs *Flags) Size(p *int64, names, usage string) {
	fs.Add(names, &Flag{arg: "SIZE", def: formatSize(*p), Usage: usage, Set: setter(p, ParseSize)})
}

// SizeFrom is Size for at least min bytes and at most 1 GiB.
func (fs *Flags) SizeFrom(p *int64, names string, min int64, usage string) {
	fs.Add(names, &Flag{arg: "SIZE", def: formatSize(*p), Usage: usage, Set: setter(p, func(s string) (int64, error) {
		n, err := ParseSize(s)
		if err == nil && (n < min || n > 1<<30) {
			err = fmt.Errorf("want %s to 1G", formatSize(min))
		}
		return n, err
	})})
}

// Choice adds a flag with one of the choices.
func (fs *Flags) Choice(p *string, names, usage string, choices ...string) {
	arg := strings.Join(choices, "|")
	fs.Add(names, &Flag{arg: arg, def: *p, Usage: usage, choices: choices, Set: func(s string) error {
		if !slices.Contains(choices, s) {
			return errors.New("want " + strings.Join(choices, ", "))
		}
		*p = s
		return nil
	}})
}

// Port adds a flag with a port from 0 (any free one) to 65535; where orOff,
// the value may also be off.
func (fs *Flags) Port(p *string, names string, orOff bool, usage string) {
	fs.Add(names, &Flag{arg: "N", def: *p, Usage: usage, Set: setter(p, func(s string) (string, error) {
		if orOff && s == "off" {
			return s, nil
		}
		port, err := ParsePort(s)
		if err != nil && orOff {
			err = errPortOff
		}
		return port, err
	})})
}

// Value adds a flag whose value is what parse makes of it; def is what help shows
// as its default.
func (fs *Flags) Value(p *string, names, arg, def, usage string, parse func(string) (string, error)) {
	fs.Add(names, &Flag{arg: arg, def: def, Usage: usage, Set: setter(p, parse)})
}

// Func adds a flag whose value goes to set, as often as it is given. The error
// of set says what would be right: "want …".
func (fs *Flags) Func(names, arg, usage string, set func(string) error) {
	fs.Add(names, &Flag{arg: arg, Usage: usage, Repeated: true, Set: set})
}

// Hide keeps the values of the named flags, which may be secret, out of errors.
func (fs *Flags) Hide(names ...string) {
	for _, name := range names {
		fs.ByName[name].secret = true
	}
}

// Unlist keeps the named flags out of help and man page.
func (fs *Flags) Unlist(names ...string) {
	for _, name := range names {
		fs.ByName[name].unlisted = true
	}
}

// Alias gives a flag another name, which is not listed either, and takes it from the
// flag that had it.
func (fs *Flags) Alias(of, name string) {
	if f := fs.ByName[name]; f != nil {
		f.names = slices.DeleteFunc(f.names, func(n string) bool { return n == name })
	}
	fs.ByName[name] = fs.ByName[of]
}

// IsSwitch says whether name is a flag that takes no value.
func (fs *Flags) IsSwitch(name string) bool {
	f := fs.ByName[name]
	return f != nil && f.arg == ""
}

func setter[T any](p *T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		v, err := parse(s)
		if err == nil {
			*p = v
		}
		return err
	}
}

func (fs *Flags) Add(names string, f *Flag) {
	if fs.ByName == nil {
		fs.ByName = make(map[string]*Flag)
	}
	if len(fs.groups) == 0 {
		fs.Group("")
	}
	f.names = strings.Fields(canonical(names))
	for _, name := range f.names {
		if fs.ByName[name] != nil {
			panic("mode: two flags are called -" + name)
		}
		fs.ByName[name] = f
	}
	g := &fs.groups[len(fs.groups)-1]
	g.flags = append(g.flags, f)
}

// canonical makes max_wait and max-wait the same name.
func canonical(name string) string { return strings.ReplaceAll(name, "_", "-") }

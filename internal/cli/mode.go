// Package cli is what all modes of the program share and know nothing of a protocol:
// the command line, its help, the streams, and how errors become exit codes. A mode
// is a folder in internal/mode and a row in the table of package main:
//
//	// Mode accepts every connection and drops what comes (RFC 863).
//	var Mode = cli.Mode{
//		Name: "discard", Brief: "read every message and drop it",
//		Examples: []string{"socketsrv -discard -port 9000"},
//		Setup: func(fs *cli.Flags) cli.Func {
//			l := listen.AddListener(fs, "127.0.0.1", "8008")
//			return func(ctx context.Context, env *cli.Env, args []string) error { … }
//		},
//	}
//
// Setup adds flags to fs, those that modes have in common by one call a group:
// listen.AddListener, AddTLS and AddWebSocket of servers, dial.AddWebSocket and AddTLS
// of clients, Output of all. The variables behind them are locals of Setup, so that no
// mode sees another's. The function it returns runs with the flags set, and returns an
// error that ExitCode maps: a UsageError for a mistake on the command line, a Failure
// where the mode itself knows the code, any other as it came.
//
// The context ends at the first SIGINT or SIGTERM and when stdout is closed. A server
// then stops politely and returns nil; a client returns any error.
//
// A mode reaches the world through its Env only, so that tests run it whole with
// buffers and fakes. Begin reading with Table.Run in run.go.
package cli

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// A Mode is one thing the program does.
type Mode struct {
	Name     string
	Aliases  []Alias
	Args     string   // arguments in help: "URL [DIR]", "URL FILE..."; how many there may be follows from it
	Brief    string   // in the list of modes: what it does, without a full stop
	Examples []string // three command lines that work when pasted
	Setup    func(fs *Flags) Func
	Checks   []Check            // what -selftest tries of it
	Exits    []Exit             // exit codes that it alone has
	Prompt   func() [][2]string // commands of its prompt, and what they do; nil: it has none
}

// An Alias is another name of a mode, with other defaults.
type Alias struct {
	Name     string
	Defaults []string        // flags, as on a command line
	Change   func(fs *Flags) // flags that mean something else under this name; nil: none
}

// A Func runs a mode whose flags are set.
type Func func(ctx context.Context, env *Env, args []string) error

// A Table is the modes of a program; the first is the one that runs when none is
// named.
type Table []Mode

// Program is the name in usage lines; a link to it has the name of a mode.
const Program = "socketsrv"

// find returns the mode that name, without dashes, stands for, with the defaults
// of an alias.
func (t Table) find(name string) (m Mode, defaults []string, ok bool) {
	name = canonical(name)
	for _, m := range t {
		if m.Name == name {
			return m, nil, true
		}
		for _, alias := range m.Aliases {
			if canonical(alias.Name) == name {
				m.Name = alias.Name
				if setup := m.Setup; alias.Change != nil {
					m.Setup = func(fs *Flags) Func {
						run := setup(fs)
						alias.Change(fs)
						return run
					}
				}
				return m, alias.Defaults, true
			}
		}
	}
	return Mode{}, nil, false
}

// splitName splits a whole command line: what the program, or a link to it, is
// called, and the rest.
func splitName(argv []string) (self string, args []string) {
	if len(argv) == 0 {
		return "", nil
	}
	return strings.TrimSuffix(filepath.Base(argv[0]), ".exe"), argv[1:]
}

// pick takes the mode from the first argument, or else the first of the table.
func (t Table) pick(args []string) (m Mode, defaults, rest []string, err error) {
	if len(args) == 0 {
		return t[0], nil, nil, nil
	}
	name, dashed := Undash(args[0])
	if m, defaults, ok := t.find(name); ok {
		return m, defaults, args[1:], nil
	}
	if !dashed {
		err = suggest("mode", name, "-", nearest(name, t.names()))
	}
	return t[0], nil, args, err
}

// names are the modes' names and aliases.
func (t Table) names() (names []string) {
	for _, m := range t {
		names = append(names, m.Name)
		for _, alias := range m.Aliases {
			names = append(names, alias.Name)
		}
	}
	return names
}

// prepare makes the flags of m and its function.
func (m Mode) prepare(defaults []string) (*Flags, Func) {
	fs := new(Flags)
	run := m.Setup(fs)
	fs.Preset(defaults)
	return fs, run
}

// checkArgs counts the arguments against m.Args: a word in brackets may be left
// out, one that ends in dots may stand for several.
func (m Mode) checkArgs(args []string) error {
	words := strings.Fields(m.Args)
	optional := func(word string) bool { return strings.HasPrefix(word, "[") }
	several := func(word string) bool { return strings.HasSuffix(strings.TrimSuffix(word, "]"), "...") }
	for i, word := range words {
		if i >= len(args) && !optional(word) {
			return Usagef("missing argument %s", strings.TrimSuffix(word, "..."))
		}
	}
	if len(args) > len(words) && !slices.ContainsFunc(words, several) {
		return Usagef("unexpected argument %q", Clip(args[len(words)], MaxShown))
	}
	return nil
}

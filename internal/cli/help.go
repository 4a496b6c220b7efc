package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"socketsrv/internal/tlsconf"
)

const about = "test and debug low-level network protocols"

// asks are what the first word can be in place of a mode; the list stands in
// help, man page and completion.
var asks = []struct{ names, arg, usage string }{
	{"h help", "[MODE|exit-codes]", "this screen, the flags of a mode, the exit codes"},
	{"V version", "", "version, Go version, commit, system, TLS or not"},
	{"completion", "bash|zsh|fish", "completion script for a shell"},
	{"man", "", "manual page"},
}

// ask answers a first word that is none of a mode's; done says whether it was one.
func (t Table) ask(env *Env, args []string) (done bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	name, dashed := Undash(args[0])
	if len(name) == 1 && !dashed {
		return false, nil
	}
	topic := ""
	if len(args) > 1 {
		topic = args[1]
	}
	switch name {
	case "h", "help":
		return true, t.help(env.Stdout, topic)
	case "V", "version":
		return true, writeVersion(env.Stdout)
	case "completion":
		return true, writeCompletion(env.Stdout, topic)
	case "complete": // for those scripts
		return true, t.writeComplete(env.Stdout, args[1:])
	case "man":
		return true, t.writeMan(env.Stdout)
	}
	return false, nil
}

func (t Table) help(w io.Writer, topic string) error {
	name, _ := Undash(topic)
	switch name {
	case "":
		return t.writeOverview(w)
	case "exit-codes":
		return t.writeExitCodes(w)
	}
	m, defaults, ok := t.find(name)
	if !ok {
		return suggest("mode", name, "", nearest(name, t.names()))
	}
	fs, _ := m.prepare(defaults)
	return t.writeHelp(w, m, fs)
}

// Rows is text in two columns.
type Rows [][2]string

const (
	screen = 80 // columns
	widest = 26 // left column; longer cells push the right one aside
)

// Print writes the rows with the left column as wide as its widest cell. The right
// one goes on in the next line where it is too long.
func (r Rows) Print(b *strings.Builder) {
	width := 0
	for _, row := range r {
		if n := utf8.RuneCountInString(row[0]); n <= widest {
			width = max(width, n)
		}
	}
	for _, row := range r {
		line := fmt.Sprintf("  %-*s ", width, row[0])
		for word := range strings.FieldsSeq(row[1]) {
			if utf8.RuneCountInString(line+" "+word) > screen {
				b.WriteString(line + "\n")
				line = strings.Repeat(" ", width+3)
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
}

// flagRows lists the flags of a group; one without usage joins the next one.
func (g group) flagRows() Rows {
	var r Rows
	var left, defs []string
	for _, f := range g.flags {
		if f.unlisted {
			continue
		}
		left = append(left, f.form())
		if f.def != "" {
			defs = append(defs, f.def)
		}
		if f.Usage == "" {
			continue
		}
		usage := f.Usage
		if len(defs) > 0 {
			usage += " (" + strings.Join(defs, ", ") + ")"
		}
		r = append(r, [2]string{strings.Join(left, ", "), usage})
		left, defs = nil, nil
	}
	return r
}

// form is how f is written: "-p, -port N".
func (f *Flag) form() string {
	short, long := "", ""
	for _, name := range f.names {
		if len(name) == 1 {
			short += "-" + name + ", "
		} else {
			long += "-" + name + ", "
		}
	}
	return strings.TrimSuffix(short+long, ", ") + Space(f.arg)
}

// Space puts one before a word that is there.
func Space(word string) string {
	if word == "" {
		return ""
	}
	return " " + word
}

// writeHelp is the screen of one mode.
func (t Table) writeHelp(w io.Writer, m Mode, fs *Flags) error {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s -%s [flags]%s\n%s\n", Program, m.Name, Space(m.Args), m.Brief)
	for _, alias := range m.Aliases {
		if alias.Name != m.Name {
			fmt.Fprintf(&b, "also: -%s%s\n", alias.Name, Space(strings.Join(alias.Defaults, " ")))
		}
	}
	for _, g := range fs.groups {
		if r := g.flagRows(); len(r) > 0 {
			fmt.Fprintf(&b, "%s\n", g.title)
			r.Print(&b)
		}
	}
	if len(m.Examples) > 0 {
		b.WriteString("Examples\n  " + strings.Join(m.Examples, "\n  ") + "\n")
	}
	b.WriteString("Defaults in parentheses. Durations: 500ms, 5s, 10 (seconds); sizes: 64k, 16M.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeOverview is the screen of the program.
func (t Table) writeOverview(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\nusage: %s [-MODE] [flags] [arguments]\n\n", Program, about, Program)
	fmt.Fprintf(&b, "Modes (without one: %s)\n", t[0].Name)
	var modes, more Rows
	for _, m := range t {
		modes = append(modes, [2]string{"-" + m.Name, m.Brief})
	}
	modes.Print(&b)
	b.WriteString("\nMore\n")
	for _, a := range asks {
		f := Flag{names: strings.Fields(a.names), arg: a.arg}
		more = append(more, [2]string{f.form(), a.usage})
	}
	more.Print(&b)
	b.WriteString(`
Flags take one or two dashes, -flag value or -flag=value, before or after the
arguments; one-letter flags can be bundled: -vt. A link to this program that is
named after a mode starts that mode.
`)
	b.WriteString("\nExamples\n")
	for _, m := range t[:min(3, len(t))] {
		fmt.Fprintf(&b, "  %s\n", m.Examples[0])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Table) writeExitCodes(w io.Writer) error {
	for _, c := range t.exits() {
		if _, err := fmt.Fprintf(w, "%3d  %s\n", c.Code, c.Meaning); err != nil {
			return err
		}
	}
	return nil
}

// writeVersion is one line of what the build knows of itself.
func writeVersion(w io.Writer) error {
	version, commit, dirty := "(devel)", "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " (modified)"
			}
		}
	}
	tls := "no"
	if tlsconf.Available {
		tls = "yes"
	}
	_, err := fmt.Fprintf(w, "%s %s, %s, commit %s%s, %s/%s, TLS %s\n",
		Program, version, runtime.Version(), commit, dirty, runtime.GOOS, runtime.GOARCH, tls)
	return err
}

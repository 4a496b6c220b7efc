package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const about = "test and debug low-level network protocols"

// asks are what the first word can be in place of a mode; the list stands in
// help, man page and completion.
var asks = []struct{ names, arg, usage string }{
	{"h help", "[MODE [FLAG]|TOPIC]", "this screen, a mode's flags, more of one flag; topics: exit-codes, recipes, from PROGRAM"},
	{"V version", "[-sbom]", "version, Go version, commit, system, TLS or not; as a bill of materials"},
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
		return true, t.help(env, args[1:])
	case "V", "version":
		if topic == "-sbom" || topic == "sbom" {
			return true, writeSBOM(env.Stdout)
		}
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

// help writes what words ask for: nothing more, a topic, a mode, a mode's flag.
func (t Table) help(env *Env, words []string) error {
	if len(words) == 0 {
		return t.writeOverview(env.Stdout)
	}
	name, _ := Undash(words[0])
	if name == "exit-codes" {
		return t.writeExitCodes(env.Stdout)
	}
	for _, topic := range env.Topics {
		if topic.Name == strings.Join(append([]string{name}, words[1:]...), " ") {
			return topic.write(env.Stdout)
		}
	}
	m, defaults, ok := t.find(name)
	if !ok {
		return suggest("mode", name, "", nearest(name, t.names()))
	}
	fs, _ := m.prepare(defaults)
	if len(words) > 1 {
		return m.writeFlag(env.Stdout, fs, words[1])
	}
	return t.writeHelp(env.Stdout, m, fs)
}

// A Topic is what -help has to say beside modes: tasks, or words of another program,
// and what to type for them here.
type Topic struct {
	Name, Title string
	Rows        [][2]string // what is wanted, the command line
}

func (t Topic) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(t.Title + "\n")
	for _, row := range t.Rows {
		fmt.Fprintf(&b, "\n  %s\n      %s\n", row[0], row[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFlag writes what one flag of m does, with an example.
func (m Mode) writeFlag(w io.Writer, fs *Flags, word string) error {
	name, _ := Undash(word)
	f := fs.ByName[canonical(name)]
	if f == nil {
		return suggest("flag of "+m.Name, word, "-", nearest(canonical(name), fs.longNames()))
	}
	var b strings.Builder
	Rows{{f.form(), f.sentence()}}.Print(&b)
	b.WriteString("Example\n  " + m.example(fs, f) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// example is a command line of m with f in it: the first of its own that has it, else
// one that is made up.
func (m Mode) example(fs *Flags, f *Flag) string {
	for _, line := range m.Examples {
		for _, name := range f.names {
			if strings.Contains(line+" ", " -"+name+" ") {
				return line
			}
		}
	}
	line := Program + " -" + m.Name + " -" + f.names[0]
	if f.arg != "" {
		line += " " + f.sample()
	}
	for word := range strings.FieldsSeq(m.Args) {
		if !strings.HasPrefix(word, "[") {
			line += " " + cmp.Or(samples[strings.TrimSuffix(word, "...")], word)
		}
	}
	return line
}

// samples are values of flags and arguments, by what help calls them.
var samples = map[string]string{
	"N": "10", "D": "5s", "SIZE": "64k", "A": "127.0.0.1", "FILE": "file.txt", "DIR": "files", "TEXT": "hello", "T": "s3cret", "V": "s3cret",
	"LIST": "a,b", "URL": "localhost:8008", "USER": "alice", "CMD": "cat", "CMD=TEXT": "version=1.0", "USER:PASS": "me:s3cret", "'N: V'": "'X-Test: 1'",
	"H": "example.org", "H:P:ADDR": "example.org:80:127.0.0.1", "HEX": "00ff41", "HEX|@FILE": "00ff41", "TEXT|@FILE": "hello", "REGEX": "^ok",
	"NAME": "file.txt", "sha256:…": "sha256:0589df2137dcf62a55afb7080732953caf5d4b2383cd063c9126f94644255d2f",
}

// sample is a value that f takes.
func (f *Flag) sample() string {
	if len(f.choices) > 0 {
		return f.choices[len(f.choices)-1]
	}
	if value, ok := samples[f.arg]; ok {
		return value
	}
	return cmp.Or(f.def, f.arg)
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

// flagRows lists the flags of a group, a row each.
func (g group) flagRows() (r Rows) {
	for _, f := range g.flags {
		if !f.unlisted {
			r = append(r, [2]string{f.form(), f.sentence()})
		}
	}
	return r
}

// sentence is what f does and what its default is.
func (f *Flag) sentence() string {
	if f.def == "" {
		return f.Usage
	}
	return f.Usage + " Default " + f.def + "."
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
	fmt.Fprintf(&b, "Durations: 500ms, 5s, 10 (seconds); sizes: 64k, 16M. More of one flag:\n  %s -help %s FLAG\n", Program, m.Name)
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

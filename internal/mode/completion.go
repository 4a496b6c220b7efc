package mode

import (
	"fmt"
	"io"
	"strings"
)

// writeCompletion writes the completion script of a shell.
func (t Table) writeCompletion(w io.Writer, shell string) error {
	var script string
	switch shell {
	case "bash":
		script = t.bash()
	case "zsh":
		script = t.zsh()
	case "fish":
		script = t.fish()
	case "":
		return Usagef("-completion needs a shell: bash, zsh or fish")
	default:
		return Usagef("-completion %q: want bash, zsh or fish", clip(shell, maxShown))
	}
	_, err := io.WriteString(w, script)
	return err
}

// named is a mode under one of its names, with its flags.
type named struct {
	Mode
	fs *Flags
}

// expand lists every mode under its name and its aliases.
func (t Table) expand() (all []named) {
	for _, name := range t.names() {
		m, defaults, _ := t.find(name)
		fs, _ := m.prepare(defaults)
		all = append(all, named{m, fs})
	}
	return all
}

// words are the flags of a mode as they are typed.
func (fs *Flags) words() (words []string) {
	for _, f := range fs.all() {
		for _, name := range f.names {
			words = append(words, "-"+name)
		}
	}
	return append(words, "-help")
}

// usageOf is what help says of f; where flags share a line, what it says of all.
func (fs *Flags) usageOf(f *flag) string {
	seen := false
	for _, other := range fs.all() {
		if seen = seen || other == f; seen && other.usage != "" {
			return other.usage
		}
	}
	return ""
}

// askWords are the words besides modes that may come first.
func askWords() (words []string) {
	for _, a := range asks {
		for name := range strings.FieldsSeq(a.names) {
			words = append(words, "-"+name)
		}
	}
	return words
}

func (t Table) bash() string {
	var b strings.Builder
	first := askWords()
	for _, name := range t.names() {
		first = append(first, "-"+name)
	}
	fmt.Fprintf(&b, `# bash completion for %[1]s: put it where bash-completion looks, or source it.
_%[1]s() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} mode=${COMP_WORDS[1]} words=
	mode=${mode#-}; mode=${mode#-}
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W '%[2]s %[3]s' -- "$word"))
		return
	fi
	case $mode:$before in
	*:-completion) words='bash zsh fish' ;;
	*:-help|*:-h) words='exit-codes %[4]s' ;;
`, program, strings.Join(first, " "), strings.Join(t.expand()[0].fs.words(), " "), strings.Join(t.names(), " "))
	for _, m := range t.expand() {
		for _, f := range m.fs.all() {
			if len(f.choices) > 0 {
				var when []string
				for _, name := range f.names {
					when = append(when, m.Name+":-"+name, m.Name+":--"+name)
				}
				fmt.Fprintf(&b, "\t%s) words='%s' ;;\n", strings.Join(when, "|"), strings.Join(f.choices, " "))
			}
		}
	}
	b.WriteString("\tesac\n\tif [[ $word == -* && -z $words ]]; then\n\t\tcase $mode in\n")
	for _, m := range t.expand() {
		fmt.Fprintf(&b, "\t\t%s) words='%s' ;;\n", m.Name, strings.Join(m.fs.words(), " "))
	}
	fmt.Fprintf(&b, "\t\t*) words='%s' ;;\n", strings.Join(t.expand()[0].fs.words(), " "))
	fmt.Fprintf(&b, `		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _%[1]s %[1]s
`, program)
	return b.String()
}

// zshQuote quotes s for a specification of _arguments between single quotes.
var zshQuote = strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)

func (t Table) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# zsh completion for %[1]s: put it as _%[1]s into a folder of $fpath.\n_%[1]s() {\n\tlocal -a first\n\tfirst=(\n", program)
	for _, a := range asks {
		for name := range strings.FieldsSeq(a.names) {
			fmt.Fprintf(&b, "\t\t'-%s:%s'\n", name, zshQuote.Replace(a.usage))
		}
	}
	for _, m := range t.expand() {
		fmt.Fprintf(&b, "\t\t'-%s:%s'\n", m.Name, zshQuote.Replace(m.Brief))
	}
	b.WriteString("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe -o mode first\n\tfi\n\tlocal mode=${${words[2]#-}#-}\n\tcase $mode in\n")
	b.WriteString("\tcompletion) _values shell bash zsh fish; return ;;\n")
	for i, m := range t.expand() {
		when := m.Name
		if i == 0 {
			continue // last, for whatever names no mode
		}
		m.zshCase(&b, when)
	}
	t.expand()[0].zshCase(&b, "*")
	fmt.Fprintf(&b, "\tesac\n}\n_%[1]s \"$@\"\n", program)
	return b.String()
}

func (m named) zshCase(b *strings.Builder, when string) {
	fmt.Fprintf(b, "\t%s) _arguments", when)
	for _, f := range m.fs.all() {
		star, value := "", ""
		if f.repeated {
			star = "*"
		}
		if f.arg != "" {
			value = ":" + zshQuote.Replace(f.arg) + ":" + zshValues(f)
		}
		for _, name := range f.names {
			fmt.Fprintf(b, " \\\n\t\t'%s-%s[%s]%s'", star, name, zshQuote.Replace(m.fs.usageOf(f)), value)
		}
	}
	b.WriteString(" \\\n\t\t'*:argument:_files' ;;\n")
}

func zshValues(f *flag) string {
	if len(f.choices) > 0 {
		return "(" + strings.Join(f.choices, " ") + ")"
	}
	return "_files"
}

// fishQuote quotes s for single quotes of fish.
var fishQuote = strings.NewReplacer(`\`, `\\`, "'", `\'`)

func (t Table) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %[1]s: put it as %[1]s.fish into ~/.config/fish/completions.\n", program)
	const first = "test (count (commandline -opc)) -eq 1"
	for _, a := range asks {
		for name := range strings.FieldsSeq(a.names) {
			fmt.Fprintf(&b, "complete -c %s -n '%s' -o %s -d '%s'\n", program, first, name, fishQuote.Replace(a.usage))
		}
	}
	all := t.expand()
	for i, m := range all {
		fmt.Fprintf(&b, "complete -c %s -n '%s' -o %s -d '%s'\n", program, first, m.Name, fishQuote.Replace(m.Brief))
		when := fmt.Sprintf("string match -qr -- \"^--?%s\\$\" (commandline -opc)[2]", m.Name)
		if i == 0 {
			when = "not string match -qr -- \"^--?(" + strings.Join(t.names()[1:], "|") + ")\\$\" (commandline -opc)[2]"
		}
		m.fishFlags(&b, when)
	}
	return b.String()
}

func (m named) fishFlags(b *strings.Builder, when string) {
	for _, f := range m.fs.all() {
		fmt.Fprintf(b, "complete -c %s -n '%s'", program, fishQuote.Replace(when))
		for _, name := range f.names {
			if len(name) == 1 {
				fmt.Fprintf(b, " -s %s", name)
			} else {
				fmt.Fprintf(b, " -o %s", name)
			}
		}
		switch {
		case len(f.choices) > 0:
			fmt.Fprintf(b, " -x -a '%s'", strings.Join(f.choices, " "))
		case f.arg != "":
			b.WriteString(" -r")
		}
		fmt.Fprintf(b, " -d '%s'\n", fishQuote.Replace(m.fs.usageOf(f)))
	}
}

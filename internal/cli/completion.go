package cli

import (
	"io"
	"strings"
)

// completions are the scripts of the shells. They ask the program itself, with
// -complete, what the words typed so far may become, and complete files where it
// knows nothing: so all three say the same, of the version that is there.
var completions = map[string]string{
	"bash": `# bash completion for socketsrv: put it where bash-completion looks, or source it.
_socketsrv() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]/#\~/$HOME}" -complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1))
}
complete -o default -F _socketsrv socketsrv
`,
	"zsh": `#compdef socketsrv
# zsh completion for socketsrv: put it as _socketsrv into a folder of $fpath, or source it.
_socketsrv() {
	local -a found
	found=(${(f)"$(${~words[1]} -complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)"})
	if (($#found)); then
		found=(${${found//:/\\:}/$'\t'/:})
		_describe -V socketsrv found
	else
		_files
	fi
}
if [[ $funcstack[1] == _socketsrv ]]; then _socketsrv; else compdef _socketsrv socketsrv; fi
`,
	"fish": `# fish completion for socketsrv: put it as socketsrv.fish into ~/.config/fish/completions.
function __socketsrv
	set -l words (commandline -opc) (commandline -ct)
	set -l program (string replace -r '^~' $HOME $words[1])
	$program -complete $words[2..] 2>/dev/null
end
complete -c socketsrv -n 'test (count (__socketsrv)) -gt 0' -k -f -a '(__socketsrv)'
`,
}

// writeCompletion writes the completion script of a shell.
func writeCompletion(w io.Writer, shell string) error {
	script, ok := completions[shell]
	switch {
	case shell == "":
		return Usagef("-completion needs a shell: bash, zsh or fish")
	case !ok:
		return Usagef("-completion %q: want bash, zsh or fish", Clip(shell, MaxShown))
	}
	_, err := io.WriteString(w, script)
	return err
}

// writeComplete lists what the last of words, those after the program's name, may
// become: a line each, what to type and, after a tab, what it is if that needs to be
// said. Nothing stands for a file, or for what only the user can know.
func (t Table) writeComplete(w io.Writer, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	word := words[len(words)-1]
	name, _ := Undash(word)
	dashes := strings.TrimSuffix(word, name)
	if word == "" && len(words) == 1 {
		dashes = "-" // As help spells modes
	}
	var b strings.Builder
	add := func(name, usage string) {
		if name = dashes + name; strings.HasPrefix(name, word) {
			b.WriteString(strings.TrimSuffix(name+"\t"+usage, "\t") + "\n")
		}
	}
	if len(words) == 1 {
		for _, a := range asks {
			for name := range strings.FieldsSeq(a.names) {
				add(name, a.usage)
			}
		}
		t.eachName(add)
		if word != "" && dashes != "" {
			fs, _ := t[0].prepare(nil)
			fs.eachFlag(add)
		}
	} else {
		t.completeLater(words[0], words[len(words)-2], dashes, add)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// completeLater is writeComplete for a word that is not the first one.
func (t Table) completeLater(first, before, dashes string, add func(name, usage string)) {
	switch first, _ = Undash(first); first {
	case "h", "help":
		add("exit-codes", "")
		t.eachName(add)
		return
	case "completion":
		for _, shell := range []string{"bash", "zsh", "fish"} {
			add(shell, "")
		}
		return
	}
	m, _, ok := t.find(first)
	if !ok {
		m = t[0]
	}
	fs, _ := m.prepare(nil)
	if name, dashed := Undash(before); dashed {
		if f := fs.ByName[canonical(name)]; f != nil && f.arg != "" {
			for _, choice := range f.choices {
				add(choice, "")
			}
			return
		}
	}
	if dashes != "" {
		fs.eachFlag(add)
		add("help", "the flags of this mode")
	}
}

// eachName calls add for every mode under each of its names.
func (t Table) eachName(add func(name, usage string)) {
	for _, name := range t.names() {
		m, _, _ := t.find(name)
		add(name, m.Brief)
	}
}

// eachFlag calls add for every flag under each of its names.
func (fs *Flags) eachFlag(add func(name, usage string)) {
	for _, f := range fs.all() {
		if f.unlisted {
			continue
		}
		for _, name := range f.names {
			add(name, f.Usage)
		}
	}
}

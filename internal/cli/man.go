package cli

import (
	"fmt"
	"io"
	"strings"

	"socketsrv/internal/event"
)

// writeMan writes the manual page, in the macros that every man(1) knows.
func (t Table) writeMan(w io.Writer) error {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`.TH %s 1`, strings.ToUpper(Program))
	p(".SH NAME\n%s \\- %s", Program, roff(about))
	p(".SH SYNOPSIS\n.B %s\n[\\-\\fIMODE\\fR] [\\fIflags\\fR] [\\fIarguments\\fR]", Program)
	p(".SH DESCRIPTION")
	p("The first argument picks the mode; its dashes are optional. Without one it is %s.", t[0].Name)
	p("A link to the program that is named after a mode starts that mode.")
	p("Flags take one or two dashes, \\-flag value or \\-flag=value, before or after the arguments; \\-\\- ends them.")
	p("One-letter flags can be bundled, and their value glued on.")
	p("Durations: 500ms, 5s, a plain number is seconds. Sizes: 64k, 16M, 1G (powers of 1024).")
	for _, a := range asks {
		f := Flag{names: strings.Fields(a.names), arg: a.arg}
		p(".TP\n.B %s\n%s", roff(f.form()), roff(a.usage))
	}
	for _, m := range t {
		fs, _ := m.prepare(nil)
		m.man(p, fs)
	}
	for _, section := range []struct {
		title string
		rows  [][2]string
	}{{"JSON EVENTS", event.Keys}, {"FILES", manFiles}, {"ENVIRONMENT", environment}} {
		p(".SH %s", section.title)
		manRows(p, section.rows)
	}
	p(".SH EXIT STATUS")
	for _, c := range t.exits() {
		p(".TP\n.B %d\n%s", c.Code, roff(c.Meaning))
	}
	p(".SH SEE ALSO\n%s", roff("nc(1), socat(1), curl(1), tcpdump(8), wireshark(1), RFC 6455 (WebSocket), RFC 7692 (its compression), RFC 9110 and RFC 9112 (HTTP)"))
	_, err := io.WriteString(w, b.String())
	return err
}

// environment is what the variables that the program looks at do.
var environment = [][2]string{
	{"NO_COLOR, TERM=dumb", "no colour"},
	{"http_proxy, https_proxy, all_proxy, no_proxy", "proxies of clients, as curl reads them; upper case too"},
	{"SSL_CERT_FILE, SSLKEYLOGFILE", "certificates that clients trust; where to write session keys"},
	{"XDG_STATE_HOME", "where prompts keep their history"},
}

var manFiles = [][2]string{
	{"~/.local/state/socketsrv/", "what was typed at prompts, a file for each mode"},
	{"~/.netrc", "users and passwords, where -curl is asked to look there"},
}

func manRows(p func(format string, args ...any), rows [][2]string) {
	for _, row := range rows {
		p(".TP\n.B %s\n%s", roff(row[0]), roff(row[1]))
	}
}

func (m Mode) man(p func(format string, args ...any), fs *Flags) {
	p(".SH %s\n%s.", roff(strings.ToUpper(m.Name)), roff(m.Brief))
	p(".PP\n.B %s\n[\\fIflags\\fR]%s", roff(Program+" -"+m.Name), roff(Space(m.Args)))
	for _, alias := range m.Aliases {
		p(".PP\n.B %s\nis the same%s.", roff("-"+alias.Name), roff(with(alias.Defaults)))
	}
	for _, g := range fs.groups {
		p(".SS %s", roff(g.title))
		manRows(p, g.flagRows())
	}
	if m.Prompt != nil {
		p(".SS At the prompt")
		manRows(p, m.Prompt())
	}
	p(".SS Examples")
	for _, example := range m.Examples {
		p(".PP\n.nf\n%s\n.fi", roff(example))
	}
}

// with says what flags an alias comes with.
func with(flags []string) string {
	if len(flags) == 0 {
		return ""
	}
	return " with " + strings.Join(flags, " ")
}

// roff escapes what the formatter would take as its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

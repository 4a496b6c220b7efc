package cli

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHelpFits(t *testing.T) {
	table := testTable(new(spoken))
	screens := [][]string{{"-h"}, {"help"}, {"-help", "exit-codes"}}
	for _, name := range table.names() {
		screens = append(screens, []string{"-help", name}, []string{name, "-h"}, []string{"-" + name, "--help"})
	}
	for _, args := range screens {
		code, stdout, stderr := runTable(table, args...)
		if code != 0 || stderr != "" || stdout == "" {
			t.Errorf("%q: exit %d, %q", args, code, stderr)
		}
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%q: %d columns: %s", args, n, line)
			}
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	for _, m := range testTable(new(spoken)) {
		fs, _ := m.prepare(nil)
		var b strings.Builder
		if err := testTable(nil).writeHelp(&b, m, fs); err != nil {
			t.Fatal(err)
		}
		for _, f := range fs.all() {
			if !strings.Contains(b.String(), "\n  "+f.form()+" ") && !strings.Contains(b.String(), ", "+f.form()) && !strings.Contains(b.String(), "  "+f.form()+",") {
				t.Errorf("-help %s lacks %s", m.Name, f.form())
			}
			if f.Usage == "" {
				t.Errorf("%s of %s is not explained", f.form(), m.Name)
			}
		}
	}
}

func TestHelpText(t *testing.T) {
	_, stdout, _ := runTable(testTable(new(spoken)), "-help", "fetch")
	for _, want := range []string{
		"usage: socketsrv -fetch [flags] URL [DIR]\na client\nFetching\n",
		"\n  -c, -count N         How many. Default 3.\n",
		"\n  -s, -silent          Say nothing.\n",
		"\n  -size SIZE           How much. Default 64k.\n",
		"\n  -pick one|two        One of them. Default one.\n",
		"\nExamples\n  socketsrv -fetch ws://localhost:8008\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("-help fetch lacks %q:\n%s", want, stdout)
		}
	}
	_, stdout, _ = runTable(testTable(new(spoken)), "-help", "dump")
	if want := "  -udp-port N  Listens there. Default 1234.\n"; !strings.Contains(stdout, want) {
		t.Errorf("-help dump lacks %q:\n%s", want, stdout)
	}
	_, stdout, _ = runTable(testTable(new(spoken)), "-h")
	for _, want := range []string{"\n  -echo   send it back\n", "  socketsrv -echo -port 9000\n", "-completion bash|zsh|fish"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("-h lacks %q:\n%s", want, stdout)
		}
	}
}

func TestExitCodesAndVersion(t *testing.T) {
	_, stdout, _ := runTable(nil, "-help", "exit-codes")
	for _, want := range []string{"  0  done; a server stopped by a signal\n", "\n 60  certificate not trusted\n", "\n143  a client cut short by SIGTERM\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("-help exit-codes lacks %q:\n%s", want, stdout)
		}
	}
	for _, flag := range []string{"-V", "-version", "--version", "version"} {
		_, stdout, _ := runTable(testTable(new(spoken)), flag)
		var version, goVersion, commit, system, tls string
		n, err := fmt.Sscanf(stdout, "socketsrv %s %s commit %s %s TLS %s\n", &version, &goVersion, &commit, &system, &tls)
		if n != 5 || err != nil || !strings.Contains(system, "/") {
			t.Errorf("%s: %q", flag, stdout)
		}
	}
	if _, stdout, _ := runTable(testTable(new(spoken)), "echo", "-V"); !strings.HasPrefix(stdout, "socketsrv ") {
		t.Errorf("echo -V: %q", stdout)
	}
}

// TestComplete asks what the words after the program's name may become.
func TestComplete(t *testing.T) {
	for _, tt := range []struct{ words, want string }{
		{"-ec", "-echo -echo_server"},
		{"ec", "echo echo_server"},
		{"--ec", "--echo --echo_server"},
		{"-tcp-p", "-tcp-port"},
		{"-compl", "-completion"},
		{"-hel", "-help"},
		{"-completion ", "bash zsh fish"},
		{"--completion z", "zsh"},
		{"-help ex", "exit-codes"},
		{"help se", "send"},
		{"-h -se", "-send"},
		{"-fetch -cou", "-count"},
		{"-fetch --cou", "--count"},
		{"fetch -pick ", "one two"},
		{"-fetch x -pick t", "two"},
		{"-fetch --pick t", "two"},
		{"-echo -greet ", ""}, // files, by the shell
		{"-echo -greet -", ""},
		{"-echo ", ""},
		{"-fetch -hel", "-help"},
		{"-tls -tcp-a", "-tcp-addr"},
		{"nothing -tcp-a", "-tcp-addr"},
		{"-version ", ""},
	} {
		code, stdout, stderr := runTable(testTable(new(spoken)), append([]string{"-complete"}, strings.Split(tt.words, " ")...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != tt.want || code != 0 || stderr != "" {
			t.Errorf("%q completes to %q, exit %d, %q; want %q", tt.words, got, code, stderr, tt.want)
		}
	}
	_, stdout, _ := runTable(testTable(new(spoken)), "-complete", "")
	if !strings.Contains(stdout, "\n-echo\tsend it back\n") || strings.Contains(stdout, "port") {
		t.Errorf("before anything is typed: %q", stdout)
	}
}

func TestManPage(t *testing.T) {
	_, page, _ := runTable(testTable(new(spoken)), "-man")
	for _, want := range []string{".TH SOCKETSRV 1\n", "\n.SH EXIT STATUS\n", "\n.SH FILES\n", "\n.SH SEE ALSO\n", "\n.B client, id\nits number", "\n.SH FETCH\n", "\n.B \\-c, \\-count N\nHow many. Default 3.\n", "\n.B 143\n", "\n.B \\-echo_server\nis the same with \\-ws\\-port 8008 \\-x.\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ". ") {
			t.Errorf("the formatter takes this for its own: %q", line)
		}
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("no man here to format it")
	}
	cmd := exec.Command(man, "--warnings", "-l", "-")
	cmd.Stdin = strings.NewReader(page)
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || warnings.Len() > 0 || !strings.Contains(string(out), "How many. Default 3.") {
		t.Errorf("man: %v: %s", err, warnings.String())
	}
}

// TestHelpFlag: what -help says of one flag has an example that can be typed.
func TestHelpFlag(t *testing.T) {
	table := testTable(new(spoken))
	for _, m := range table {
		fs, _ := m.prepare(nil)
		for _, f := range fs.all() {
			code, stdout, stderr := runTable(table, "-help", m.Name, "-"+f.names[0])
			_, line, ok := strings.Cut(stdout, "\nExample\n  socketsrv ")
			if code != 0 || !ok {
				t.Errorf("-help %s %s: exit %d, %q %q", m.Name, f.names[0], code, stdout, stderr)
				continue
			}
			if code, _, stderr := runTable(table, strings.Fields(line)...); code != 0 {
				t.Errorf("%s: exit %d, %s", line, code, stderr)
			}
		}
	}
	if code, _, stderr := runTable(table, "-help", "fetch", "cuont"); code != ExitUsage || !strings.Contains(stderr, "did you mean -count?") {
		t.Errorf("a mistyped flag: exit %d, %q", code, stderr)
	}
}

package mode

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHelpIsOneScreen(t *testing.T) {
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
		if len(lines) > 50 {
			t.Errorf("%q: %d lines", args, len(lines))
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("%q: %d columns: %s", args, n, line)
			}
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	for _, m := range testTable(new(spoken)).expand() {
		var b strings.Builder
		if err := testTable(nil).writeHelp(&b, m.Mode, m.fs); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.fs.all() {
			if !strings.Contains(b.String(), "\n  "+f.form()+" ") && !strings.Contains(b.String(), ", "+f.form()) && !strings.Contains(b.String(), "  "+f.form()+",") {
				t.Errorf("-help %s lacks %s", m.Name, f.form())
			}
			if f.usage == "" && m.fs.usageOf(f) == "" {
				t.Errorf("%s of %s is not explained", f.form(), m.Name)
			}
		}
	}
}

func TestHelpText(t *testing.T) {
	_, stdout, _ := runTable(testTable(new(spoken)), "-help", "fetch")
	for _, want := range []string{
		"usage: socketsrv -fetch [flags] URL [DIR]\na client\nFetching\n",
		"\n  -c, -count N         how many (3)\n",
		"\n  -s, -silent          say nothing\n",
		"\n  -size SIZE           how much (64k)\n",
		"\n  -pick one|two        one of them (one)\n",
		"\nExamples\n  socketsrv -fetch ws://localhost:8008\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("-help fetch lacks %q:\n%s", want, stdout)
		}
	}
	_, stdout, _ = runTable(testTable(new(spoken)), "-help", "dump")
	if want := "-tcp-port N, -udp-port N, -ws-port N  0: any free one; off (1234, 1234, 1235)\n"; !strings.Contains(stdout, want) {
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

// TestBashCompletion asks the script as a shell would.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	_, script, _ := runTable(testTable(new(spoken)), "-completion", "bash")
	complete := func(words ...string) []string {
		ask := script + "\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _socketsrv; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
		out, err := exec.Command(bash, append([]string{"-c", ask, "bash"}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", words, err, out)
		}
		return strings.Fields(string(out))
	}
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{"socketsrv", "-ec"}, []string{"-echo", "-echo_server"}},
		{[]string{"socketsrv", "-tcp-p"}, []string{"-tcp-port"}},
		{[]string{"socketsrv", "-compl"}, []string{"-completion"}},
		{[]string{"socketsrv", "-completion", ""}, []string{"bash", "zsh", "fish"}},
		{[]string{"socketsrv", "-help", "ex"}, []string{"exit-codes"}},
		{[]string{"socketsrv", "-help", "se"}, []string{"send"}},
		{[]string{"socketsrv", "-fetch", "-cou"}, []string{"-count"}},
		{[]string{"socketsrv", "fetch", "-pick", ""}, []string{"one", "two"}},
		{[]string{"socketsrv", "-fetch", "-pick", "t"}, []string{"two"}},
		{[]string{"socketsrv", "-echo", "-greet", "x"}, nil}, // files, by the shell
		{[]string{"socketsrv", "-tls", "-tcp-a"}, []string{"-tcp-addr"}},
	} {
		if got := complete(tt.words...); !slices.Equal(got, tt.want) {
			t.Errorf("%q completes to %q; want %q", tt.words, got, tt.want)
		}
	}
}

// TestOtherCompletions has the shells themselves check the syntax where they are.
func TestOtherCompletions(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			_, script, _ := runTable(testTable(new(spoken)), "-completion", shell)
			for _, want := range []string{"echo_server", "tcp-port", "auto text hex raw", "how many"} {
				if !strings.Contains(script, want) {
					t.Errorf("the script lacks %q", want)
				}
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("no %s here to check the syntax", shell)
			}
			cmd := exec.Command(path, "-n", "/dev/stdin")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v: %s", shell, err, out)
			}
		})
	}
}

func TestManPage(t *testing.T) {
	_, page, _ := runTable(testTable(new(spoken)), "-man")
	for _, want := range []string{".TH SOCKETSRV 1\n", "\n.SH EXIT STATUS\n", "\n.SH FETCH\n", "\n.B \\-c, \\-count N\nhow many (3)\n", "\n.B 143\n"} {
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
	if err != nil || warnings.Len() > 0 || !strings.Contains(string(out), "how many (3)") {
		t.Errorf("man: %v: %s", err, warnings.String())
	}
}

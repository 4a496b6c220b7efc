package peers

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"socketsrv/internal/cli"
	"socketsrv/internal/kit"
)

// A script is what a user does: a txtar file whose comment is commands, a line each,
// and whose files lie in the folder they run in.
//
//	start NAME MODE ARG...   runs a server; $NAME is then the address it listens on
//	run MODE ARG...          runs a mode to its end
//	stdin TEXT|FILE          what the next run reads
//	stdout TEXT|FILE         just that came on stdout of the last run
//	stdout NAME PATTERN      that comes on stdout of a server, or stderr
//	stderr PATTERN           that came on stderr of the last run
//	exit N                   it ended with N; 0 where nothing is said
//	stop NAME                ends a server, with 0
//	cmp FILE FILE            they are the same
//
// Words are split at blanks; in quotes they hold some, and escapes as Go has them.
type script struct {
	t       *testing.T
	dir     string
	servers map[string]*kit.Run
	names   *strings.Replacer
	pairs   []string
	stdin   string
	last    *kit.Run
	checked bool // exit, of the last run
}

func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no scripts: ", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{t: t, dir: t.TempDir(), servers: map[string]*kit.Run{}, checked: true}
			s.names = strings.NewReplacer("$WORK", s.dir)
			s.pairs = []string{"$WORK", s.dir}
			for n, line := range strings.Split(s.unpack(string(b)), "\n") {
				if words := splitScript(t, line); len(words) > 0 {
					t.Logf("%d: %s", n+1, line)
					s.do(words[0], words[1:])
				}
			}
			s.checkExit()
		})
	}
}

// unpack writes the files of a txtar archive and returns its comment.
func (s *script) unpack(text string) (comment string) {
	parts := regexp.MustCompile(`(?m)^-- (\S+) --\n`).FindAllStringSubmatchIndex(text, -1)
	comment, end := text, len(text)
	for _, at := range slices.Backward(parts) {
		path := filepath.Join(s.dir, text[at[2]:at[3]])
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text[at[1]:end]), 0o644); err != nil {
			s.t.Fatal(err)
		}
		comment, end = text[:at[0]], at[0]
	}
	return comment
}

func splitScript(t *testing.T, line string) (words []string) {
	if strings.HasPrefix(line, "#") {
		return nil
	}
	for _, word := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\S+`).FindAllString(line, -1) {
		if word[0] == '"' {
			plain, err := strconv.Unquote(word)
			if err != nil {
				t.Fatalf("%s: %v", word, err)
			}
			word = plain
		}
		words = append(words, word)
	}
	return words
}

func (s *script) do(command string, args []string) {
	s.t.Helper()
	for i := range args {
		args[i] = s.names.Replace(args[i])
	}
	switch command {
	case "start":
		s.start(args[0], args[1], args[2:])
	case "run":
		s.checkExit()
		s.last, s.checked = s.mode(args[0], args[1:]), false
		s.last.Stdin.Write([]byte(s.stdin))
		s.last.Stdin.Close()
		s.stdin = ""
		s.last.Wait()
	case "stdin":
		s.stdin = s.text(args[0])
	case "stdout", "stderr":
		s.output(command, args)
	case "exit":
		s.checked = true
		if code := s.last.Wait(); strconv.Itoa(code) != args[0] {
			s.t.Fatalf("exit %d, want %s: %s", code, args[0], s.last.Stderr)
		}
	case "stop":
		if code := s.servers[args[0]].Stop(); code != 0 {
			s.t.Fatalf("%s: exit %d: %s", args[0], code, s.servers[args[0]].Stderr)
		}
	case "cmp":
		if a, b := s.text(args[0]), s.text(args[1]); a != b {
			s.t.Fatalf("%s has %q, %s %q", args[0], a, args[1], b)
		}
	default:
		s.t.Fatalf("no command %s", command)
	}
}

func (s *script) mode(name string, args []string) *kit.Run {
	s.t.Helper()
	for i := range args {
		if strings.HasPrefix(args[i], "@/") {
			args[i] = filepath.Join(s.dir, args[i][2:])
		}
	}
	i := slices.IndexFunc(program, func(m cli.Mode) bool { return m.Name == name })
	if i < 0 {
		s.t.Fatalf("no mode %s", name)
	}
	return kit.Background(s.t, program[i], args...)
}

func (s *script) start(name, mode string, args []string) {
	s.t.Helper()
	r := s.mode(mode, args)
	s.servers[name] = r
	s.pairs = append(s.pairs, "$"+name, r.Addr(`\w+`))
	s.names = strings.NewReplacer(s.pairs...)
}

// output checks what a server prints, sooner or later, or what the last run did.
func (s *script) output(stream string, args []string) {
	s.t.Helper()
	of := map[bool]func(r *kit.Run) kit.Written{true: func(r *kit.Run) kit.Written { return r.Stdout }, false: func(r *kit.Run) kit.Written { return r.Stderr }}[stream == "stdout"]
	switch {
	case len(args) == 2:
		of(s.servers[args[0]]).WaitFor(s.t, args[1])
	case stream == "stderr":
		if !regexp.MustCompile(args[0]).MatchString(s.last.Stderr.String()) {
			s.t.Fatalf("stderr is %q, want %s", s.last.Stderr, args[0])
		}
	default:
		if got, want := s.last.Stdout.String(), s.text(args[0]); got != want {
			s.t.Fatalf("stdout is %q, want %q; stderr %q", got, want, s.last.Stderr)
		}
	}
}

// text is the content of a file of the script, or the word itself.
func (s *script) text(word string) string {
	if b, err := os.ReadFile(filepath.Join(s.dir, word)); err == nil && word != "" {
		return string(b)
	}
	return word
}

func (s *script) checkExit() {
	s.t.Helper()
	if s.last == nil || s.checked {
		return
	}
	if code := s.last.Wait(); code != 0 {
		s.t.Fatalf("exit %d: %s", code, s.last.Stderr)
	}
}

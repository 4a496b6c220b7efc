//go:build !custom

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"socketsrv/internal/accept"
	"socketsrv/internal/cli"
	"socketsrv/internal/listen"
	"socketsrv/internal/tlsconf"
	"socketsrv/internal/topics"
)

// patience is what anything in a test may take before it counts as hanging.
const patience = 20 * time.Second

// A commandLine is a command line and what it does. The words of line are split at
// blanks, in args they stand as they are; stdout and stderr are patterns.
type commandLine struct {
	line   string
	args   []string
	stdin  string
	exit   int
	stdout string
	stderr string
}

// runLines runs command lines of table that end by themselves.
func runLines(t *testing.T, table cli.Table, tests []commandLine) {
	t.Helper()
	for _, tt := range tests {
		args := append(strings.Fields(tt.line), tt.args...)
		p := start(t, table, args...)
		go func() { // a program that does not read all of it closes the pipe
			io.WriteString(p.stdin, tt.stdin)
			p.stdin.Close()
		}()
		exit := p.wait()
		if exit != tt.exit || !match(tt.stdout, p.stdout.String()) || !match(tt.stderr, p.stderr.String()) {
			t.Errorf("socketsrv %q: exit %d\nstdout: %q\nstderr: %q\nwant %d, %s, %s", args, exit, p.stdout, p.stderr, tt.exit, tt.stdout, tt.stderr)
		}
	}
}

// match says whether all of text matches pattern, in which a dot is any character.
func match(pattern, text string) bool {
	return regexp.MustCompile(`(?s)\A(?:` + pattern + `)\z`).MatchString(text)
}

// A program is a command line that runs inside the test.
type program struct {
	t              *testing.T
	args           []string
	stdin          *io.PipeWriter
	stdout, stderr *stream
	signals        chan os.Signal
	done           chan struct{} // closed when it has ended
	exit           int
}

// start runs a command line of table. It is stopped with the test if it still
// runs then.
func start(t *testing.T, table cli.Table, args ...string) *program {
	t.Helper()
	stdin, ours := io.Pipe()
	p := &program{
		t: t, args: args, stdin: ours, stdout: newStream(), stderr: newStream(),
		signals: make(chan os.Signal, 2), done: make(chan struct{}),
	}
	env := cli.System()
	env.Stdin, env.Stdout, env.Stderr = stdin, p.stdout, p.stderr
	env.TTYIn, env.TTYOut = nil, nil
	env.Getenv = func(string) string { return "" }
	env.Signals, env.Topics = p.signals, topics.All
	env.Exit = func(code int) { panic(fmt.Sprintf("socketsrv %q was told twice to stop", args)) }
	go func() {
		defer close(p.done)
		p.exit = table.Run(context.Background(), append([]string{"socketsrv"}, args...), env)
		stdin.Close()
		p.stdout.end()
		p.stderr.end()
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.stop()
		}
	})
	return p
}

// addr waits until the program listens for proto and returns the address.
func (p *program) addr(proto string) string {
	p.t.Helper()
	return p.stderr.wait(p, `(?m)^listening on `+regexp.QuoteMeta(proto)+` (\S+)$`)[1]
}

// stop sends SIGTERM and returns the exit code.
func (p *program) stop() int {
	p.t.Helper()
	p.signals <- syscall.SIGTERM
	return p.wait()
}

// wait waits for the end and returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("socketsrv %q does not end\nstdout: %q\nstderr: %q", p.args, p.stdout, p.stderr)
	}
	return p.exit
}

// A stream is what a program writes, to be read at any time.
type stream struct {
	mu      sync.Mutex
	changed sync.Cond
	text    bytes.Buffer
	ended   bool
}

func newStream() *stream {
	s := new(stream)
	s.changed.L = &s.mu
	return s
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	return s.text.Write(p)
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// wait waits until what was written matches pattern and returns the match with its
// groups.
func (s *stream) wait(p *program, pattern string) []string {
	p.t.Helper()
	re, late := regexp.MustCompile(pattern), false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if m := re.FindStringSubmatch(s.text.String()); m != nil {
			return m
		}
		if s.ended || late {
			p.t.Fatalf("socketsrv %q: nothing like %s came: %q", p.args, pattern, s.text.String())
		}
		s.changed.Wait()
	}
}

// discard is a mode as small as they come, for the tests of this file.
var discard = cli.Mode{
	Name: "discard", Brief: "read all that comes and drop it",
	Examples: []string{"socketsrv -discard -port 9000"},
	Setup: func(fs *cli.Flags) cli.Func {
		l, out := listen.AddListener(fs, "127.0.0.1", "8008"), fs.Output()
		return func(ctx context.Context, env *cli.Env, args []string) error {
			con, err := out.Open(env)
			if err != nil {
				return err
			}
			defer con.Close()
			ln, err := l.Open(ctx, env, con, "tcp", nil)
			if err != nil {
				return err
			}
			defer context.AfterFunc(ctx, func() { ln.Close() })()
			return accept.Serve(ln, func(c net.Conn) {
				defer c.Close()
				n, _ := io.Copy(io.Discard, c)
				fmt.Fprintf(con, "%d bytes\n", n)
			}, con.Error)
		}
	},
}

// count is a mode that reads its input.
var count = cli.Mode{
	Name: "count", Args: "[FILE...]", Brief: "count the bytes of its input",
	Examples: []string{"echo hello | socketsrv -count"},
	Setup: func(fs *cli.Flags) cli.Func {
		return func(ctx context.Context, env *cli.Env, args []string) error {
			n, err := io.Copy(io.Discard, env.Stdin)
			fmt.Fprintln(env.Stdout, n)
			return err
		}
	},
}

// TestHarness shows how modes are tested, with two that are not in the program.
func TestHarness(t *testing.T) {
	table := cli.Table{discard, count}
	p := start(t, table, "-discard", "-port", "0")
	c, err := net.Dial("tcp", p.addr("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "hello")
	c.Close()
	p.stdout.wait(p, "5 bytes\n")
	if exit := p.stop(); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	runLines(t, table, []commandLine{
		{line: "count", stdin: "hello\n", stdout: "6\n"},
		{line: "-port 70000", exit: 2, stderr: `socketsrv: -port "70000": want a port from 0 to 65535\ntry: socketsrv -discard -h\n`},
		{line: "discard -h", stdout: `usage: socketsrv -discard \[flags\]\n.*`},
		{args: []string{"count", "-x y"}, exit: 2, stderr: `socketsrv: unknown flag "-x y"\ntry: .*`},
	})
}

// TestMain makes this binary the program where SOCKETSRV_RUN says so: "program" with
// its own modes, "trivial" with those of this file. See command.
func TestMain(m *testing.M) {
	switch os.Getenv("SOCKETSRV_RUN") {
	case "trivial":
		modes = cli.Table{discard, count, hang}
		main()
	case "program":
		main()
	}
	os.Exit(m.Run())
}

// hang is a mode that cannot be stopped.
var hang = cli.Mode{
	Name: "hang", Brief: "do not stop",
	Setup: func(fs *cli.Flags) cli.Func {
		return func(ctx context.Context, env *cli.Env, args []string) error {
			fmt.Fprintln(env.Stdout, "running")
			<-ctx.Done()
			fmt.Fprintln(env.Stdout, "stopping")
			select {}
		}
	},
}

// command is the program as a process of its own, with an empty environment but for
// what says which; see TestMain.
func command(t *testing.T, which string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = []string{"SOCKETSRV_RUN=" + which}
	return cmd
}

// TestProcess has what only a process of its own can show: signals, and streams that
// fail (RL03, RL13, TL16).
func TestProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals there")
	}
	t.Run("two signals", testTwoSignals)
	t.Run("reader gone", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "trivial", "discard", "-port", "0")
		stderr := newStream()
		cmd.Stdout, cmd.Stderr = w, stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		r.Close()
		p := &program{t: t, stderr: stderr}
		c, err := net.Dial("tcp", p.addr("tcp"))
		if err != nil {
			t.Fatal(err)
		}
		c.Close() // which makes it write
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != 1 || !strings.HasSuffix(stderr.String(), "\nsocketsrv: stdout is closed\n") {
			t.Errorf("%v, %q", cmd.ProcessState, stderr)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("no /dev/full: ", err)
		}
		defer full.Close()
		var stderr bytes.Buffer
		cmd := command(t, "trivial", "count")
		cmd.Stdout, cmd.Stderr = full, &stderr
		if cmd.Run(); cmd.ProcessState.ExitCode() != 23 || stderr.String() != "socketsrv: write /dev/stdout: no space left on device\n" {
			t.Errorf("%v, %q", cmd.ProcessState, &stderr)
		}
	})
}

// testTwoSignals ends a program that does not end by itself, as who presses Ctrl-C until it
// does: what comes at once after the first signal is the same one.
func testTwoSignals(t *testing.T) {
	for sig, want := range map[os.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		cmd := command(t, "trivial", "hang")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		err = cmd.Start()
		for _, text := range []string{"running\n", "stopping\n"} {
			if _, e := io.ReadFull(out, make([]byte, len(text))); err == nil {
				err = e
			}
			if err == nil {
				err = cmd.Process.Signal(sig)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		again := time.NewTicker(50 * time.Millisecond)
		for running := true; running; {
			select {
			case <-again.C:
				cmd.Process.Signal(sig)
			case <-ended:
				running = false
			}
		}
		again.Stop()
		if err != nil || cmd.ProcessState.ExitCode() != want {
			t.Errorf("%v twice: %v, %v; want %d", sig, err, cmd.ProcessState, want)
		}
	}
}

// TestCompletion has each shell load its script and complete words with it.
func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "socketsrv"))
	}
	if err != nil {
		t.Skip(err)
	}
	for shell, ask := range map[string]string{
		"bash": `source "$0"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _socketsrv; printf '%s\n' "${COMPREPLY[@]}"`,
		"zsh": `compdef() { } ; source "$0"; _describe() { print -rl -- ${(P)argv[-1]%%:*} } ; _files() { }
			words=("$@") CURRENT=$#; _socketsrv`,
		"fish": `source $argv[1]; complete -C (string join -- ' ' $argv[2..]) | cut -f 1`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			script, err := command(t, "program", "-completion", shell).Output()
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, shell), script, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct{ words, want string }{
				{"-ech", "-echo -echo_server"},
				{"ech", "echo echo_server"},
				{"--ech", "--echo --echo_server"},
				{"-completion ", "bash zsh fish"},
				{"-help tr", "transfer"},
				{"--broadcast --slow ", "drop close"},
				{"-allow-h", "-allow-host"}, // with a * in what it says
			} {
				cmd := command(t, "program", append([]string{"-c", ask, filepath.Join(dir, shell), "socketsrv"}, strings.Split(tt.words, " ")...)...)
				cmd.Path, cmd.Args[0] = path, shell
				cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir)
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if got := strings.Join(strings.Fields(string(out)), " "); got != tt.want || err != nil || stderr.Len() > 0 {
					t.Errorf("%q completes to %q, %v, %s; want %q", tt.words, got, err, &stderr, tt.want)
				}
			}
		})
	}
}

// TestModes states what holds for every mode of the program.
func TestModes(t *testing.T) {
	for _, m := range modes {
		if m.Brief == "" || strings.HasSuffix(m.Brief, ".") {
			t.Errorf("%s: the brief is %q", m.Name, m.Brief)
		}
		if len(m.Examples) != 3 {
			t.Errorf("%s: %d examples, not three", m.Name, len(m.Examples))
		}
		for _, example := range m.Examples {
			checkExample(t, m.Name, example)
		}
		names := []string{m.Name}
		for _, alias := range m.Aliases {
			names = append(names, alias.Name)
		}
		for _, name := range names {
			checkHelp(t, name)
			checkName(t, name)
		}
	}
}

// TestNamesOfWs reads the command lines of IXWebSocket's ws, each flag of its help among
// them, and tries those that mean something else here under another name.
func TestNamesOfWs(t *testing.T) {
	tls := " --cert-file c.pem --key-file k.pem --ca-file ca.pem --ciphers DEFAULT --verify_none --disable-hostname-validation --tls --logfile log"
	if !tlsconf.Available {
		tls = ""
	}
	for _, line := range []string{
		"send -x --pidfile p ws://h f" + tls, "receive --delay 10 --pidfile p ws://h" + tls, "transfer --port 0 --host ::1 --pidfile p" + tls,
		"connect -H Authorization:supersecret -d -x -b --max_wait 10 --ping_interval 30 --subprotocol a -g --pidfile p ws://h" + tls,
		"chat ws://h user --logfile log", "ping ws://h" + tls, "broadcast_server --port 0 --host ::1" + tls,
		"echo_server --port 0 --host ::1 --http_authorization_header a -q -g -6 -x -p --pidfile p" + tls,
		"curl -d a=b --data-binary a -H a:b --output f -I -L --max-redirects 2 -v -O --compressed --compress --compress_request --connect-timeout 1 --transfer-timeout 1 http://h" + tls,
		"curl -F foo=bar -H 'my_custom_header:baz' https://h/post", "httpd --port 0 --host ::1 -L --redirect_url http://h" + tls, "httpd -D",
		"proxy_server --port 0 --host ::1 --remote_host ws://h -v --config_path f --pidfile p" + tls,
	} {
		checkExample(t, "ws", "socketsrv "+line)
	}
	p := start(t, modes, "echo_server", "--port", "0", "-6gp")
	addr := p.addr("ws")
	if !strings.HasPrefix(addr, "[::1]:") {
		t.Errorf("-6 listens on %s", addr)
	}
	runLines(t, modes, []commandLine{
		{line: "-connect -n -count 1 -q ws://" + addr, stdout: "Welcome !\n"},
		{line: "-ping -c 1 -W 50ms -q ws://" + addr, exit: 10, stdout: ".*1 sent, 0 received.*", stderr: ".*nothing came back\n"},
	})
}

// TestTopics reads the command lines of recipes and of those who come from elsewhere,
// and has -help print them.
func TestTopics(t *testing.T) {
	for _, topic := range topics.All {
		for _, row := range topic.Rows {
			checkExample(t, topic.Name, row[1])
		}
		p := start(t, modes, append([]string{"-help"}, strings.Fields(topic.Name)...)...)
		if exit := p.wait(); exit != 0 || strings.Count(p.stdout.String(), "\n      socketsrv") != len(topic.Rows) {
			t.Errorf("-help %s: exit %d, %s", topic.Name, exit, p.stdout)
		}
	}
	if n := len(topics.All[0].Rows); n != 40 {
		t.Errorf("%d recipes", n)
	}
}

// checkExample has the flags of an example read: -h behind them is only reached if
// they are right.
func checkExample(t *testing.T, name, example string) {
	_, command, ok := strings.Cut(" "+example, " socketsrv")
	command, _, _ = strings.Cut(command, " | ")
	if !ok {
		t.Errorf("%s: %q does not run socketsrv", name, example)
	}
	p := start(t, modes, append(shellWords(command), "-h")...)
	if exit := p.wait(); exit != 0 || !strings.Contains(p.stdout.String(), "usage: ") {
		t.Errorf("%s: %q: exit %d, %s", name, example, exit, p.stderr)
	}
}

// shellWords splits a command as a shell does, as far as examples go.
func shellWords(command string) (words []string) {
	word := regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	for _, w := range word.FindAllString(command, -1) {
		if w == "&" || strings.HasPrefix(w, ">") {
			break
		}
		words = append(words, strings.NewReplacer("'", "", `"`, "").Replace(w))
	}
	return words
}

// checkName: where a mode and a flag of the first mode had one name, the first word
// would be the mode.
func checkName(t *testing.T, name string) {
	p := start(t, modes, "-"+modes[0].Name, "-"+name, "-h")
	if p.wait(); !strings.HasPrefix(p.stderr.String(), "socketsrv: unknown flag ") {
		t.Errorf("-%s is a mode, and to -%s it is a flag: %s", name, modes[0].Name, p.stderr)
	}
}

func checkHelp(t *testing.T, name string) {
	p := start(t, modes, "-help", name)
	exit := p.wait()
	help := p.stdout.String()
	if !strings.HasPrefix(help, "usage: socketsrv -"+name+" ") || exit != 0 {
		t.Errorf("-help %s: exit %d, %q", name, exit, help)
	}
	lines := strings.Split(strings.TrimSpace(help), "\n")
	for _, line := range lines {
		if utf8.RuneCountInString(line) > 80 {
			t.Errorf("-help %s: more than 80 columns: %s", name, line)
		}
	}
}

// floors is the house: a package imports those of lower floors only, so that no mode
// knows another.
var floors = map[string]int{
	"socketsrv":                   8,
	"socketsrv/internal/mode":     7, // and each folder in it
	"socketsrv/internal/peers":    7,
	"socketsrv/internal/listen":   5,
	"socketsrv/internal/dial":     5,
	"socketsrv/internal/talk":     6,
	"socketsrv/internal/answer":   5,
	"socketsrv/internal/files":    5,
	"socketsrv/internal/kit":      5,
	"socketsrv/internal/topics":   5,
	"socketsrv/internal/talkfile": 5,
	"socketsrv/internal/cli":      4,
	"socketsrv/wsproto":           3,
	"socketsrv/httpmini":          2,
	"socketsrv/linesrv":           2,
	"socketsrv/internal/event":    1,
	"socketsrv/internal/judge":    1,
	"socketsrv/internal/term":     1,
	"socketsrv/internal/tlsconf":  1,
	"socketsrv/internal/wire":     1,
	"socketsrv/internal/accept":   0,
	"socketsrv/internal/rawio":    0,
}

// floorOf is the floor of a package of ours; modes share one.
func floorOf(pkg string) (floor int, ours bool) {
	if path.Dir(pkg) == "socketsrv/internal/mode" {
		pkg = path.Dir(pkg)
	}
	floor, ours = floors[pkg]
	return floor, ours
}

// reserved are packages that only one of ours may import.
var reserved = map[string]string{
	"unsafe":                 "socketsrv/internal/term",
	"os/exec":                "socketsrv/internal/answer",
	"socketsrv/internal/kit": "tests",
}

// libraries never print, never exit, know no flags.
var libraries = []string{"socketsrv/wsproto", "socketsrv/httpmini", "socketsrv/linesrv", "socketsrv/internal/accept", "socketsrv/internal/rawio"}

// TestFloors looks at every file, whatever system and tags it is for.
func TestFloors(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "." {
			return cmp.Or(err, fs.SkipDir)
		}
		switch name = filepath.ToSlash(name); {
		case strings.HasPrefix(name, "doc/examples/") && strings.HasSuffix(name, ".go"):
			checkProgram(t, name)
		case strings.HasSuffix(name, ".go"):
			checkFile(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkProgram: doc/examples is a module of its own, of programs as somebody else would
// write them: of this module they import what anybody may, and never net/http.
func checkProgram(t *testing.T, name string) {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range file.Imports {
		if imported, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(libraries, imported) && !isStandard(imported) || imported == "net/http" {
			t.Errorf("%s: %s is not for other programs", name, imported)
		}
	}
}

func checkFile(t *testing.T, name string) {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return
	}
	pkg := path.Join("socketsrv", path.Dir(name))
	floor, known := floorOf(pkg)
	if !known {
		t.Errorf("%s: package %s is on no floor", name, pkg)
	}
	test := strings.HasSuffix(name, "_test.go") || pkg == "socketsrv/internal/kit"
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		below, ours := floorOf(imported)
		owner, owned := reserved[imported]
		switch {
		case imported == "C":
			t.Errorf("%s: cgo", name)
		case owned && pkg != owner && (!test || imported == "unsafe"):
			t.Errorf("%s: %s is for %s", name, imported, owner)
		case imported == "net/http" && !test:
			t.Errorf("%s: net/http outside of tests", name)
		case slices.Contains([]string{"flag", "log"}, imported) && !test && slices.Contains(libraries, pkg):
			t.Errorf("%s: %s in a library", name, imported)
		case ours && below >= floor && !test:
			t.Errorf("%s: %s is not below %s", name, imported, pkg)
		case !ours && !isStandard(imported):
			t.Errorf("%s: %s is not of the standard library", name, imported)
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if strings.HasPrefix(comment.Text, "//go:linkname") && pkg != "socketsrv/internal/term" {
				t.Errorf("%s: go:linkname", name)
			}
		}
	}
	if !test && slices.Contains(libraries, pkg) {
		checkSilent(t, name, file)
	}
}

func isStandard(imported string) bool {
	p, err := build.Import(imported, "", build.FindOnly)
	return err == nil && p.Goroot
}

// checkSilent finds what prints or exits.
func checkSilent(t *testing.T, name string, file *ast.File) {
	forbidden := []string{"os.Exit", "os.Stdin", "os.Stdout", "os.Stderr", "fmt.Print", "fmt.Printf", "fmt.Println", "fmt.Scan"}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && slices.Contains(forbidden, x.Name+"."+s.Sel.Name) {
				t.Errorf("%s: %s.%s in a library", name, x.Name, s.Sel.Name)
			}
		}
		return true
	})
}

// TestGoMod: the program is what stands here and the standard library.
func TestGoMod(t *testing.T) {
	b, err := os.ReadFile("go.mod")
	if got := strings.Join(strings.Fields(string(b)), " "); err != nil || got != "module socketsrv go 1.26" {
		t.Errorf("go.mod says %q, %v", got, err)
	}
	for _, name := range []string{"go.sum", "go.work", "vendor"} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("there is a %s", name)
		}
	}
}

// TestTopLevel: what is in the first folder one sees, and in internal. What
// .gitignore lists may lie around.
func TestTopLevel(t *testing.T) {
	allowed := map[string][]string{".": {"go.mod", "socketsrv.go", "socketsrv_test.go", "README.md", "LICENSE", ".ci",
		".git", ".gitignore", ".gitattributes", "socketsrv", "socketsrv.exe", "*.test", "*.out", "*.prof", "internal", "doc"}}
	for pkg := range floors {
		dir := path.Dir(strings.TrimPrefix(pkg, "socketsrv/"))
		allowed[dir] = append(allowed[dir], path.Base(pkg))
	}
	for dir := range allowed {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.ContainsFunc(allowed[dir], func(pattern string) bool {
				ok, _ := path.Match(pattern, e.Name())
				return ok
			}) {
				t.Errorf("%s has no place in %s", e.Name(), dir)
			}
		}
	}
}

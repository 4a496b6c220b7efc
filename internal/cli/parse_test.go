package cli

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// words splits a command line at blanks; _ stands for a blank in a word.
func words(line string) (w []string) {
	for word := range strings.FieldsSeq(line) {
		w = append(w, strings.ReplaceAll(word, "_", " "))
	}
	return w
}

var fetched = spoken{name: "fetch", n: 3, d: time.Second, size: 64 << 10, port: "80", pick: "one", args: []string{"u"}}

func fetchWith(change func(s *spoken)) spoken {
	s := fetched
	change(&s)
	return s
}

var commandLines = []struct {
	line string
	want spoken
}{
	{"", spoken{name: "dump"}},
	{"-tcp-port 4000", spoken{name: "dump"}},
	{"dump", spoken{name: "dump"}},
	{"-echo", spoken{name: "echo"}},
	{"--echo", spoken{name: "echo"}},
	{"echo", spoken{name: "echo"}},
	{"echo -tcp-port=off --ws-port=0", spoken{name: "echo"}},
	{"fetch u", fetched},
	{"fetch u -c 5", fetchWith(func(s *spoken) { s.n = 5 })},
	{"fetch -c=5 u", fetchWith(func(s *spoken) { s.n = 5 })},
	{"fetch --c 5 u", fetchWith(func(s *spoken) { s.n = 5 })},
	{"fetch -count=-5 u", fetchWith(func(s *spoken) { s.n = -5 })},
	{"fetch -count -5 u", fetchWith(func(s *spoken) { s.n = -5 })},
	{"fetch --count 5 u", fetchWith(func(s *spoken) { s.n = 5 })},
	{"fetch -c5 u", fetchWith(func(s *spoken) { s.n = 5 })},
	{"fetch -sSc5 u", fetchWith(func(s *spoken) { s.on, s.loud, s.n = true, true, 5 })},
	{"fetch -sSc 5 u", fetchWith(func(s *spoken) { s.on, s.loud, s.n = true, true, 5 })},
	{"fetch -sS u", fetchWith(func(s *spoken) { s.on, s.loud = true, true })},
	{"fetch -sSL u", fetchWith(func(s *spoken) { s.on, s.loud = true, true })},
	{"fetch -XPOST u", fetchWith(func(s *spoken) { s.request = "POST" })},
	{"fetch -X=POST u", fetchWith(func(s *spoken) { s.request = "POST" })},
	{"fetch -sX POST u", fetchWith(func(s *spoken) { s.on, s.request = true, "POST" })},
	{"fetch -mhello u -m a=b -m=c", fetchWith(func(s *spoken) { s.words = []string{"hello", "a=b", "c"} })},
	{"fetch -m -s u", fetchWith(func(s *spoken) { s.words = []string{"-s"} })}, // a value may look like a flag
	{"fetch -m -- u", fetchWith(func(s *spoken) { s.words = []string{"--"} })},
	{"fetch -s=false u", fetched},
	{"fetch -s -s=0 u", fetched},
	{"fetch -silent=true u", fetchWith(func(s *spoken) { s.on = true })},
	{"fetch -list a,b u -list=c", fetchWith(func(s *spoken) { s.list = []string{"a", "b", "c"} })},
	{"fetch -pick two u", fetchWith(func(s *spoken) { s.pick = "two" })},
	{"fetch -w 500ms u", fetchWith(func(s *spoken) { s.d = 500 * time.Millisecond })},
	{"fetch -w 2 u", fetchWith(func(s *spoken) { s.d = 2 * time.Second })},
	{"fetch -size 16M u", fetchWith(func(s *spoken) { s.size = 16 << 20 })},
	{"fetch -p off u", fetchWith(func(s *spoken) { s.port = "off" })},
	{"fetch -p 0 u", fetchWith(func(s *spoken) { s.port = "0" })},
	{"fetch -p 00080 u", fetched},
	{"fetch -p4000 u", fetchWith(func(s *spoken) { s.port = "4000" })},
	{"fetch u d", fetchWith(func(s *spoken) { s.args = []string{"u", "d"} })},
	{"fetch -- -u -s", fetchWith(func(s *spoken) { s.args = []string{"-u", "-s"} })},
	{"fetch - -5", fetchWith(func(s *spoken) { s.args = []string{"-", "-5"} })}, // a dash alone and numbers are arguments
	{"fetch -HName:_value -HA:b -SsHC:d u", fetchWith(func(s *spoken) { s.on, s.loud = true, true })},
	{"send u f g h", spoken{name: "send", args: []string{"u", "f", "g", "h"}}},
}

func TestCommandLine(t *testing.T) {
	for _, tt := range commandLines {
		var got spoken
		code, stdout, stderr := runTable(testTable(&got), words(tt.line)...)
		if code != 0 || stdout != "" || stderr != "" || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: exit %d, %q, %q\n%+v; want\n%+v", tt.line, code, stdout, stderr, got, tt.want)
		}
	}
}

// TestUsageErrors has each mistake and the line it gives (RL14).
func TestUsageErrors(t *testing.T) {
	tests := []struct{ line, want string }{
		{"bogus", `unknown mode "bogus"`},
		{"ecko", `unknown mode "ecko"; did you mean -echo?`},
		{"-ecko", `unknown flag "-ecko"; did you mean -echo?`},
		{"echo_servre", `unknown mode "echo servre"; did you mean -echo_server?`},
		{"echo-servre", `unknown mode "echo-servre"; did you mean -echo_server?`},
		{"-tcp-prot 1", `unknown flag "-tcp-prot"; did you mean -tcp-port?`},
		{"-tcpport 1", `unknown flag "-tcpport"; did you mean -tcp-port?`},
		{"-bogus", `unknown flag "-bogus"`},
		{"echo -bogus=\x1b[2J", `unknown flag "-bogus"`},
		{"-\x1b]0;x\x07", `unknown flag "-\x1b]0;x\a"`},
		{"-tcp-port 70000", `-tcp-port "70000": want a port from 0 to 65535, or off`},
		{"--ws-port 65536", `-ws-port "65536": want a port from 0 to 65535, or off`},
		{"-tcp-port -1", `-tcp-port "-1": want a port from 0 to 65535, or off`},
		{"-tcp-port http", `-tcp-port "http": want a port from 0 to 65535, or off`},
		{"-tcp-port", `-tcp-port needs a value: -tcp-port N`},
		{"-v -q", `-v and -q exclude each other`},
		{"-json=maybe", `-json "maybe": want true or false, or no value at all`},
		{"-format yaml", `-format "yaml": want auto, text, hex, raw`},
		{"-tcp-port 1 extra", `unexpected argument "extra"`},
		{"fetch", `missing argument URL`},
		{"fetch a b c", `unexpected argument "c"`},
		{"send a", `missing argument FILE`},
		{"fetch u -count 5000", `-count "5000": want a number from -10 to 1000`},
		{"fetch u -c5x", `-c "5x": want a number from -10 to 1000`},
		{"fetch u -prot 5", `unknown flag "-prot"; did you mean -port?`}, // rather than -p rot
		{"fetch u -sZ", `unknown flag "-sZ"`},
		{"fetch u --sS", `unknown flag "--sS"`},
		{"-help bogus", `unknown mode "bogus"`},
		{"-help eco", `unknown mode "eco"; did you mean echo?`},
		{"-completion", `-completion needs a shell: bash, zsh or fish`},
		{"-completion csh", `-completion "csh": want bash, zsh or fish`},
		{strings.Repeat("x", 5000), `unknown mode "` + strings.Repeat("x", 97) + `…"`},
		{"-" + strings.Repeat("\x01", 5000), `unknown flag "-` + strings.Repeat(`\x01`, 96) + `…"`},
		{"-tcp-port " + strings.Repeat("\x01", 5000), `-tcp-port "` + strings.Repeat(`\x01`, 97) + `…": want a port from 0 to 65535, or off`},
	}
	for _, tt := range tests {
		args := strings.Split(tt.line, " ")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "_", " ")
		}
		code, stdout, stderr := runTable(testTable(new(spoken)), args...)
		line, hint, _ := strings.Cut(stderr, "\n")
		if code != ExitUsage || stdout != "" || line != "socketsrv: "+tt.want {
			t.Errorf("%.80q: exit %d, stdout %q\n got %s\nwant socketsrv: %s", tt.line, code, stdout, line, tt.want)
		}
		if !strings.HasPrefix(hint, "try: socketsrv ") || !strings.HasSuffix(hint, " -h\n") || strings.Count(hint, "\n") != 1 || len(stderr) > 1024 {
			t.Errorf("%.80q: %d bytes, the pointer to help is %q", tt.line, len(stderr), hint)
		}
	}
}

func TestAlias(t *testing.T) {
	// The defaults of an alias hold unless said otherwise, and stand in its help.
	table := Table{{
		Name: "serve", Brief: "b", Examples: []string{"e"},
		Aliases: []Alias{{Name: "old_serve", Defaults: []string{"-port", "99", "-quick"}}},
	}}
	var port string
	var quick bool
	table[0].Setup = func(fs *Flags) Func {
		port, quick = "1", false
		fs.Port(&port, "port p", false, "Where.")
		fs.Switch(&quick, "quick", "How.")
		return nil
	}
	for _, tt := range []struct {
		name  string
		args  []string
		port  string
		quick bool
	}{
		{"serve", nil, "1", false},
		{"old_serve", nil, "99", true},
		{"old-serve", nil, "99", true},
		{"old_serve", []string{"-p5", "-quick=false"}, "5", false},
	} {
		m, defaults, args, err := table.pick(append([]string{"--" + tt.name}, tt.args...))
		if err != nil {
			t.Fatal(err)
		}
		fs, _ := m.prepare(defaults)
		if _, err := fs.Parse(args); err != nil || port != tt.port || quick != tt.quick {
			t.Errorf("%s %q: port %s, quick %v, %v", tt.name, tt.args, port, quick, err)
		}
	}
	_, help, _ := runTable(table, "-help", "old_serve")
	for _, want := range []string{"usage: socketsrv -old_serve [flags]\n", "Where. Default 99.\n", "How. Default on.\n"} {
		if !strings.Contains(help, want) {
			t.Errorf("help of the alias lacks %q:\n%s", want, help)
		}
	}
}

// TestProgramName has links to the program that are named after a mode.
func TestProgramName(t *testing.T) {
	for _, tt := range []struct {
		argv         []string
		mode, stdout string
	}{
		{[]string{"/usr/bin/fetch", "u"}, "fetch", ""},
		{[]string{"fetch.exe", "u"}, "fetch", ""},
		{[]string{"./echo_server"}, "echo", ""},
		{[]string{"/bin/socketsrv-1.2", "echo"}, "echo", ""},
		{[]string{"fetch", "echo"}, "fetch", ""}, // the word is its argument
		{[]string{"fetch", "-h"}, "", "usage: socketsrv -fetch "},
		{[]string{"echo_server", "-V"}, "", "socketsrv "},
		{nil, "dump", ""},
		{[]string{""}, "dump", ""},
	} {
		var got spoken
		var stdout, stderr bytes.Buffer
		code := testTable(&got).Run(t.Context(), tt.argv, testEnv(&stdout, &stderr))
		if code != 0 || got.name != tt.mode || !strings.HasPrefix(stdout.String(), tt.stdout) {
			t.Errorf("%q: exit %d, mode %s, %q, %q; want %s, %q", tt.argv, code, got.name, &stdout, &stderr, tt.mode, tt.stdout)
		}
	}
}

func TestFlagTwicePanics(t *testing.T) {
	defer func() {
		if r := recover(); fmt.Sprint(r) != "mode: two flags are called -a-b" {
			t.Errorf("recovered %v", r)
		}
	}()
	var fs Flags
	var s string
	fs.String(&s, "a_b", "S", "")
	fs.String(&s, "x a-b", "S", "")
}

func TestNearest(t *testing.T) {
	names := []string{"port", "host", "max-message", "v"}
	for typed, want := range map[string]string{
		"prot": "port", "hots": "host", "maxmessage": "max-message", "max-mesage": "max-message",
		"x": "", "poor": "", "ghost": "host", "": "", "max-massagee": "max-message", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(typed, names); got != want {
			t.Errorf("nearest(%q) = %q; want %q", typed, got, want)
		}
	}
}

// FuzzCommandLine: whatever is typed, the program ends with 0 or 2, and a mistake
// is told in two lines of printable text, stdout staying empty.
func FuzzCommandLine(f *testing.F) {
	for _, line := range []string{"", "fetch u -sSc5", "-tcp-port 70000", "-\x1b[2J", "-h", "-help echo", "fetch -- -x", "send\xff a b", "echo -host ::1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		code, stdout, stderr := runTable(testTable(new(spoken)), strings.Split(line, " ")...)
		switch {
		case code == ExitOK:
		case code != ExitUsage || stdout != "" || len(stderr) > 1024 || strings.Count(stderr, "\n") != 2:
			t.Errorf("%q: exit %d, %q, %q", line, code, stdout, stderr)
		case strings.ContainsFunc(strings.ReplaceAll(stderr, "\n", ""), Unprintable) || !utf8.ValidString(stderr):
			t.Errorf("%q: not printable: %q", line, stderr)
		}
	})
}

package connect

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, Mode)) }

func TestPromptTyping(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	term.Run("-connect", k.URL())
	c := k.Client()
	term.Shows(`^connected to .*\n>`)
	term.Types("half")
	term.Shows(`^> half$`)
	c.WriteMessage(wsproto.OpText, []byte("he\x1b[2Jllo"))
	term.Shows(`^< he\\x1b\[2Jllo\n> half$`)
	c.WriteMessage(wsproto.OpBinary, []byte{0, 'A'})
	term.Shows(`^< 2 bytes\n00000000  00 41 .*\n> half$`)
	term.Types(" typed")
	term.Keys("Home", "x", "End", "Enter")
	k.Wants("text xhalf typed")
	term.Keys("Enter")
	k.Wants("text ")
	term.Types("//slash")
	term.Keys("Enter")
	k.Wants("text /slash")
	term.Keys("C-d")
	k.Wants("close 1000 ")
	term.Shows(`^exit 0`)
}

func TestPromptCommands(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	name := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte("of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	term.Run("-connect", k.URL())
	term.Shows(`^>`)
	for _, tt := range []struct{ line, got, shows string }{
		{"/binary 00 fF41", "binary \x00\xffA", ""},
		{"/file " + name, "text of a file\n", ""},
		{"/ping abc", "", `^received pong: abc \(\d`},
		{"/pong abc", "", ""},
		{"/nonsense", "", `^socketsrv: unknown command /nonsense: /help lists them`},
		{"/binary 0g", "", `^socketsrv: not sent: character 2: 'g'`},
		{"/file /", "", `^socketsrv: not sent: no regular file`},
		{"/close 1005", "", `^socketsrv: want a code that may be sent`},
		{"/help", "", `^  /ping \[TEXT\] `},
	} {
		term.Types(tt.line)
		term.Keys("Enter")
		if tt.got != "" {
			k.Wants(tt.got)
		}
		if tt.shows != "" {
			term.Shows(tt.shows)
		}
	}
	term.Types("/cl")
	term.Keys("Tab")
	term.Types("4001 see you")
	term.Keys("Enter")
	k.Wants("close 4001 see you")
	term.Shows(`^exit 0`)
}

// TestPromptPaste is hw-41: what is pasted is one message, however many lines it has.
func TestPromptPaste(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	term.Run("-connect", k.URL())
	term.Shows(`^>`)
	const text = "{\n  \"a\": 1\n}"
	for _, pasted := range []string{text, text + "\n"} { // and no empty message behind it
		term.Paste(pasted)
		term.Shows(`}`)
		term.Keys("Enter")
		k.Wants("text " + text)
	}
	term.Paste(strings.Repeat("0123456789abcde\n", 1000) + "rest")
	term.Shows(`rest$`)
	term.Keys("Enter")
	k.Wants("text " + strings.Repeat("0123456789abcde\n", 1000) + "rest")
	term.Types("/help")
	term.Keys("Enter")
	term.Keys("C-c")
	k.Wants("close 1001 ")
	term.Shows(`^exit 130`)
}

func TestPromptHistory(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	for run, keys := range [][]string{{"-l", "typed before"}, {"Up"}, {"C-r", "bef"}} {
		term.Run("-connect", k.URL())
		k.Client()
		term.Shows(`^>`)
		if keys[0] == "-l" {
			term.Types(keys[1])
		} else {
			term.Keys(keys...)
		}
		term.Shows("typed before")
		term.Keys("Enter")
		k.Wants("text typed before")
		term.Keys("C-d")
		k.Wants("close 1000 ")
		term.Shows(`^exit 0`)
		term.Tmux("kill-server")
		term.Socket += "+" // the old one is in use until the server has ended
		if run > 0 {
			continue
		}
		st, err := os.Stat(filepath.Join(term.State, "socketsrv", "connect"))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the file of the history: %v, %v; want mode 0600", st, err)
		}
	}
}

// ownAddress is a loopback address of this process where there are some.
func ownAddress() string {
	address := fmt.Sprintf("127.73.%d.%d:0", os.Getpid()>>8&255, os.Getpid()&255)
	if ln, err := net.Listen("tcp", address); err == nil {
		ln.Close()
		return address
	}
	return "127.0.0.1:0"
}

// TestPromptReconnect: the server goes away and comes back. Its address is one on
// which nobody else listens meanwhile.
func TestPromptReconnect(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, ownAddress())
	k.Screen = term
	address := k.Ln.Addr().String()
	term.Run("-connect", k.URL(), "-m", "subscribe", "-resend", "-max-wait", "200ms")
	k.Client()
	k.Wants("text subscribe")
	term.Shows(`^>`)
	term.Types("typed")
	k.Stop()
	term.Shows(`^connection closed: code 1006`)
	term.Shows(`^socketsrv: dial tcp .* connection refused\nconnecting again in \d+ms`)
	term.Shows(`^\(not connected\) > typed$`)
	term.Keys("Enter")
	term.Shows(`^socketsrv: not sent: not connected`)
	k = kit.NewTalker(t, address)
	c := k.Client()
	k.Wants("text subscribe")
	term.Shows(`^connected to `)
	term.Keys("Up", "Enter")
	k.Wants("text typed")
	c.WriteMessage(wsproto.OpText, []byte("back"))
	term.Shows(`^< back$`)
	c.CloseWrite(4000, "again")
	k.Wants("close 4000 again")
	term.Shows(`^connection closed: code 4000 reason "again"`)
	k.Client()
	k.Wants("text subscribe")
	k.Stop()
	term.Shows(`^\(not connected\) >`)
	term.Keys("C-d")
	term.Shows(`^exit 0`)
}

// TestPromptOnce: -d ends with the connection, and its code.
func TestPromptOnce(t *testing.T) {
	t.Parallel()
	term, k := kit.NewTerminal(t), kit.NewTalker(t, "127.0.0.1:0")
	k.Screen = term
	term.Run("-connect", k.URL(), "-d")
	k.Client().CloseWrite(4001, "no")
	term.Shows(`^socketsrv: connection closed: code 4001 reason "no"\n(> ?\n)?exit 9`)
}

// TestPromptStream: a line of tcp ends in LF, and what comes keeps its ends of lines.
func TestPromptStream(t *testing.T) {
	t.Parallel()
	term := kit.NewTerminal(t)
	got := make(chan string, 1)
	address := kit.ListenFor(t, "tcp", func(nc net.Conn) {
		buf := make([]byte, 100)
		n, _ := nc.Read(buf)
		got <- string(buf[:n])
		nc.Write([]byte("220 hello\r\n221 \x1bbye\r\n"))
		kit.DrainPeer(nc)
	})
	term.Run("-connect", "tcp://"+address)
	term.Shows(`^>`)
	term.Types("EHLO")
	term.Keys("Enter")
	if line := <-got; line != "EHLO\n" {
		t.Errorf("got %q", line)
	}
	term.Shows(`^220 hello\n221 \\x1bbye\n>`)
	term.Types("/ping")
	term.Keys("Enter")
	term.Shows("only WebSocket")
	term.Types("/close")
	term.Keys("Enter")
	term.Shows(`^exit 0`)
}

func TestCompleteCommand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ab", "ac", ".hidden"} {
		os.WriteFile(filepath.Join(dir, name), nil, 0o600)
	}
	os.Mkdir(filepath.Join(dir, "b"), 0o700)
	sep := string(filepath.Separator)
	for _, tt := range []struct {
		line  string
		start int
		want  []string
	}{
		{"/p", 0, []string{"/ping ", "/pong "}},
		{"/x", 0, nil},
		{"p", 1, nil},
		{"/ping a", 7, nil},
		{"/file " + dir + sep + "a", 6, []string{dir + sep + "ab", dir + sep + "ac"}},
		{"/file " + dir + sep, 6, []string{dir + sep + "ab", dir + sep + "ac", dir + sep + "b" + sep}},
	} {
		if start, got := completeCommand(tt.line, len(tt.line)); start != tt.start || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %d, %q; want %d, %q", tt.line, start, got, tt.start, tt.want)
		}
	}
}

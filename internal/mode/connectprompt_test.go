package mode

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"socketsrv/wsproto"
)

// The test's own binary is the program, so that a terminal can run it.
func init() {
	if os.Getenv("SOCKETSRV_TEST_PROGRAM") == "connect" {
		env := System()
		env.Signals = Signals()
		os.Exit(Table{Connect}.Run(context.Background(), append([]string{"socketsrv"}, os.Args[1:]...), env))
	}
}

func TestPromptTyping(t *testing.T) {
	term, k := newTerminal(t), newTalker(t, "127.0.0.1:0")
	k.screen = term
	term.run(k.url())
	c := k.client()
	term.shows(`^connected to .*\n>`)
	term.types("half")
	term.shows(`^> half$`)
	c.WriteMessage(wsproto.OpText, []byte("he\x1b[2Jllo"))
	term.shows(`^< he\\x1b\[2Jllo\n> half$`)
	c.WriteMessage(wsproto.OpBinary, []byte{0, 'A'})
	term.shows(`^< 2 bytes\n00000000  00 41 .*\n> half$`)
	term.types(" typed")
	term.keys("Home", "x", "End", "Enter")
	k.wants("text xhalf typed")
	term.keys("Enter")
	k.wants("text ")
	term.types("//slash")
	term.keys("Enter")
	k.wants("text /slash")
	term.keys("C-d")
	k.wants("close 1000 ")
	term.shows(`^exit 0`)
}

func TestPromptCommands(t *testing.T) {
	term, k := newTerminal(t), newTalker(t, "127.0.0.1:0")
	k.screen = term
	name := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(name, []byte("of a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	term.run(k.url())
	term.shows(`^>`)
	for _, tt := range []struct{ line, got, shows string }{
		{"/binary 00 fF41", "binary \x00\xffA", ""},
		{"/file " + name, "text of a file\n", ""},
		{"/ping abc", "", `^received pong: abc \(\d`},
		{"/pong abc", "", ""},
		{"/nonsense", "", `^socketsrv: unknown command /nonsense: /help lists them`},
		{"/binary 0g", "", `^socketsrv: not sent: want hex digits`},
		{"/file /", "", `^socketsrv: not sent: no regular file`},
		{"/close 1005", "", `^socketsrv: want a code that may be sent`},
		{"/help", "", `^  /ping \[TEXT\] `},
	} {
		term.types(tt.line)
		term.keys("Enter")
		if tt.got != "" {
			k.wants(tt.got)
		}
		if tt.shows != "" {
			term.shows(tt.shows)
		}
	}
	term.types("/cl")
	term.keys("Tab")
	term.types("4001 see you")
	term.keys("Enter")
	k.wants("close 4001 see you")
	term.shows(`^exit 0`)
}

func TestPromptPaste(t *testing.T) {
	term, k := newTerminal(t), newTalker(t, "127.0.0.1:0")
	k.screen = term
	term.run(k.url())
	term.shows(`^>`)
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("line %04d", i))
	}
	term.paste(strings.Join(lines, "\n") + "\nrest")
	for _, line := range lines {
		k.wants("text " + line)
	}
	term.shows(`^> rest$`)
	term.keys("C-c")
	k.wants("close 1001 ")
	term.shows(`^exit 130`)
}

func TestPromptHistory(t *testing.T) {
	term, k := newTerminal(t), newTalker(t, "127.0.0.1:0")
	k.screen = term
	for run, keys := range [][]string{{"-l", "typed before"}, {"Up"}, {"C-r", "bef"}} {
		term.run(k.url())
		k.client()
		term.shows(`^>`)
		if keys[0] == "-l" {
			term.types(keys[1])
		} else {
			term.keys(keys...)
		}
		term.shows("typed before")
		term.keys("Enter")
		k.wants("text typed before")
		term.keys("C-d")
		k.wants("close 1000 ")
		term.shows(`^exit 0`)
		term.tmux("kill-server")
		term.socket += "+" // the old one is in use until the server has ended
		if run > 0 {
			continue
		}
		st, err := os.Stat(filepath.Join(term.state, "socketsrv", "connect"))
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
	term, k := newTerminal(t), newTalker(t, ownAddress())
	k.screen = term
	address := k.ln.Addr().String()
	term.run(k.url(), "-m", "subscribe", "-resend", "-max-wait", "200ms")
	k.client()
	k.wants("text subscribe")
	term.shows(`^>`)
	term.types("typed")
	k.stop()
	term.shows(`^connection closed: code 1006`)
	term.shows(`^socketsrv: dial tcp .* connection refused\nconnecting again in \d+ms`)
	term.shows(`^\(not connected\) > typed$`)
	term.keys("Enter")
	term.shows(`^socketsrv: not sent: not connected`)
	k = newTalker(t, address)
	c := k.client()
	k.wants("text subscribe")
	term.shows(`^connected to `)
	term.keys("Up", "Enter")
	k.wants("text typed")
	c.WriteMessage(wsproto.OpText, []byte("back"))
	term.shows(`^< back$`)
	c.CloseWrite(4000, "again")
	k.wants("close 4000 again")
	term.shows(`^connection closed: code 4000 reason "again"`)
	k.client()
	k.wants("text subscribe")
	k.stop()
	term.shows(`^\(not connected\) >`)
	term.keys("C-d")
	term.shows(`^exit 0`)
}

// TestPromptOnce: -d ends with the connection, and its code.
func TestPromptOnce(t *testing.T) {
	term, k := newTerminal(t), newTalker(t, "127.0.0.1:0")
	k.screen = term
	term.run(k.url(), "-d")
	k.client().CloseWrite(4001, "no")
	term.shows(`^connection closed: code 4001 reason "no"\n(> ?\n)?exit 9`)
}

// TestPromptStream: a line of tcp ends in LF, and what comes keeps its ends of lines.
func TestPromptStream(t *testing.T) {
	term := newTerminal(t)
	got := make(chan string, 1)
	address := listenFor(t, "tcp", func(nc net.Conn) {
		buf := make([]byte, 100)
		n, _ := nc.Read(buf)
		got <- string(buf[:n])
		nc.Write([]byte("220 hello\r\n221 \x1bbye\r\n"))
		drainPeer(nc)
	})
	term.run("tcp://" + address)
	term.shows(`^>`)
	term.types("EHLO")
	term.keys("Enter")
	if line := <-got; line != "EHLO\n" {
		t.Errorf("got %q", line)
	}
	term.shows(`^220 hello\n221 \\x1bbye\n>`)
	term.types("/ping")
	term.keys("Enter")
	term.shows("only WebSocket")
	term.types("/close")
	term.keys("Enter")
	term.shows(`^exit 0`)
}

func TestLineQueue(t *testing.T) {
	var q lineQueue
	q.more.L = &q.mu
	big := strings.Repeat("x", 1<<20)
	n := 0
	for q.put(big) {
		n++
	}
	if n != 15 {
		t.Errorf("%d lines of 1 MiB; want 15", n)
	}
	if line, ok := q.get(); !ok || line != big {
		t.Error("the first line is lost")
	}
	if !q.put("last") {
		t.Error("no room for a line in place of one of 1 MiB")
	}
	q.close(false)
	for range n - 1 {
		q.get()
	}
	if line, ok := q.get(); !ok || line != "last" {
		t.Errorf("%q, %v; want last", line, ok)
	}
	if _, ok := q.get(); ok || q.size != 0 {
		t.Errorf("more than the last line, or %d bytes of nothing", q.size)
	}
}

func TestPauses(t *testing.T) {
	w := pauses{max: time.Second}
	for _, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		if got := w.next(); got < most/2 || got > most {
			t.Errorf("%v; want %v to %v", got, most/2, most)
		}
	}
	w.reset()
	if got := w.next(); got > 100*time.Millisecond {
		t.Errorf("%v after reset; want 100ms at most", got)
	}
	zero := pauses{}
	if got := zero.next(); got != 0 {
		t.Errorf("%v; want none", got)
	}
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

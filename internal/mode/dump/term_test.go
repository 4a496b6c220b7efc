package dump

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"socketsrv/internal/kit"
	"socketsrv/wsproto"
)

// A dumpScreen is a dump in a terminal of tmux's.
type dumpScreen struct {
	t      *testing.T
	socket string
	dump   dumpTest // its addresses and clients
}

// TestPrompt has the prompt in a real terminal.
func TestPrompt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux here")
	}
	t.Run("output while typing", func(t *testing.T) { promptOutputWhileTyping(t) })
	t.Run("keys", func(t *testing.T) { promptKeys(t) })
	t.Run("paste", func(t *testing.T) { promptPaste(t) })
	t.Run("Ctrl-C", func(t *testing.T) { promptEnds(t, "C-c") })
	t.Run("Ctrl-D", func(t *testing.T) { promptEnds(t, "C-d") })
	t.Run("SIGTERM", func(t *testing.T) { promptSignal(t) })
}

func startScreen(t *testing.T, flags ...string) *dumpScreen {
	t.Helper()
	dir, err := os.MkdirTemp("", "dump")
	if err != nil {
		t.Fatal(err)
	}
	s := &dumpScreen{t: t, socket: filepath.Join(dir, "tmux"), dump: dumpTest{t: t}}
	line := append([]string{kit.Program(t), "-dump", "-host", "127.0.0.1", "-tcp-port", "0", "-udp-port", "0", "-ws-port", "0"}, flags...)
	s.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "40",
		"env XDG_STATE_HOME="+dir+" LC_ALL=C.UTF-8 "+strings.Join(line, " ")+`; echo "exit=$?"; stty -a | grep -o '[^ ]*icanon'; exec cat`)
	t.Cleanup(func() {
		exec.Command("tmux", "-S", s.socket, "kill-server").Run()
		for os.RemoveAll(dir) != nil { // what it started may still write there
		}
	})
	for _, l := range []struct {
		name string
		addr *string
	}{{"tcp", &s.dump.tcp}, {"udp", &s.dump.udp}, {"ws", &s.dump.ws}} {
		*l.addr = strings.TrimPrefix(s.want(`^listening on `+l.name+` \S+:\d+$`), "listening on "+l.name+" ")
	}
	s.want(`^socketsrv>`)
	return s
}

func (s *dumpScreen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TMUX=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// keys types: names of keys as tmux has them, or text.
func (s *dumpScreen) keys(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys", "--"}, keys...)...)
}

// text is what stands on the screen: lines that were wrapped are whole, blanks at
// their ends are left out.
func (s *dumpScreen) text() string {
	s.t.Helper()
	var b strings.Builder
	for line := range strings.Lines(s.tmux("capture-pane", "-p", "-J")) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// want waits until the screen matches.
func (s *dumpScreen) want(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	for deadline := time.Now().Add(kit.Patience); ; {
		text := s.text()
		if m := re.FindString(text); m != "" {
			return m
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("nothing matches %q on the screen\n%s", pattern, strings.TrimRight(text, "\n"))
		}
	}
}

// wantRestored wants the program ended, and the terminal as it was.
func (s *dumpScreen) wantRestored() {
	s.t.Helper()
	s.want(`^exit=0\nicanon$`)
}

// promptOutputWhileTyping has TD08: what arrives comes above the line being
// typed, and no key is lost.
func promptOutputWhileTyping(t *testing.T) {
	s := startScreen(t)
	c := s.dump.dial("tcp")
	s.want(`< new TCP connection #0`)
	const text = "the quick brown fox jumps over the lazy dog"
	s.keys("send tcp 0 ")
	for i, word := range strings.Fields(text) {
		for j := range 20 {
			c.send(fmt.Sprintf("line %d.%d\n", i, j))
		}
		s.keys(word)
		if i < len(strings.Fields(text))-1 {
			s.keys("Space")
		}
	}
	s.want(`line 8\.19\\n\nsocketsrv> send tcp 0 ` + text + `\n`)
	s.keys("Enter")
	c.want(text + "\n")
	s.want(`^socketsrv> send tcp 0 ` + text + `\n> sent payload to TCP connection #0: ` + text + `\\n\nsocketsrv>$`)
	c.send("\x1b[2J\x1b[H\x1b]0;pwned\x07\r")
	s.want(`payload on TCP connection #0: \\x1b\[2J\\x1b\[H\\x1b\]0;pwned\\x07\\r\nsocketsrv>`)
}

// promptKeys has TD09: Tab, Up, the keys of Emacs, wide characters, a resize.
func promptKeys(t *testing.T) {
	s := startScreen(t)
	c := s.dump.dial("tcp")
	s.want(`< new TCP connection #0`)
	s.keys("li", "Tab", "Enter")
	s.want(`socketsrv> list_clients\nudp:\n\s+No client\ntcp:\n\s+#0: `)
	s.keys("se", "Tab")
	s.want(`socketsrv> send$`)
	s.keys("Tab")
	s.want(`send +sendb +sendf\nsocketsrv> send`)
	s.keys(" t", "Tab", "Tab")
	s.want(`^all +0\nsocketsrv> send tcp$`)
	s.keys("0 one wrong", "C-w", "two", "C-a", "C-k", "C-y", "Enter")
	s.want(`socketsrv> `)
	s.keys("C-u", "send tcp 0 日本語é", "BSpace", "Left", "X", "Enter")
	for deadline := time.Now().Add(kit.Patience); !strings.Contains(s.text(), "日本X語"); {
		if time.Now().After(deadline) {
			t.Fatalf("the line with wide characters:\n%s", s.text())
		}
	}
	s.tmux("resize-window", "-x", "40")
	s.keys("Up")
	s.want(`^socketsrv> send tcp 0 日本X語$`)
	s.tmux("resize-window", "-x", "100")
	s.keys("Enter", "C-c")
	s.wantRestored()
	b := make([]byte, 1000)
	got := ""
	for {
		n, err := c.Read(b)
		got += string(b[:n])
		if err != nil {
			break
		}
	}
	if !strings.HasSuffix(got, "日本X語\n日本X語\n") {
		t.Errorf("the client got %q", got)
	}
}

// promptPaste pastes 10,000 characters.
func promptPaste(t *testing.T) {
	s := startScreen(t, "-max-show", "100")
	c := s.dump.dial("tcp")
	s.want(`< new TCP connection #0`)
	var b strings.Builder
	for i := range 10000 {
		b.WriteByte("abcdefghijklmnopqrstuvwxyz 0123456789"[i*i%37])
	}
	file := filepath.Join(t.TempDir(), "paste")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.keys("send tcp 0 ")
	s.tmux("load-buffer", file)
	s.tmux("paste-buffer", "-p", "-r")
	s.keys("Enter")
	c.want(b.String() + "\n")
	s.want(`> sent payload to TCP connection #0: .*\n?.*… \(\+9901 bytes\)\nsocketsrv>`)
}

// promptEnds: Ctrl-C and Ctrl-D are polite.
func promptEnds(t *testing.T, key string) {
	s := startScreen(t)
	w := s.dump.dialWS("/", wsproto.DialOptions{})
	s.want(`< new WebSocket connection #0`)
	c := s.dump.dial("tcp")
	s.want(`< new TCP connection #0`)
	s.keys(key)
	w.wantClose(wsproto.StatusGoingAway, "")
	c.wantEnd("")
	c.Close()
	s.want(`> closed WebSocket connection #0: code 1001\n`)
	s.wantRestored()
}

// promptSignal: SIGTERM leaves the terminal usable.
func promptSignal(t *testing.T) {
	dir := t.TempDir()
	s := startScreen(t, "-pidfile", filepath.Join(dir, "pid"))
	s.keys("half a command")
	s.want(`socketsrv> half a command$`)
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("kill", strings.TrimSpace(string(b))).Run(); err != nil {
		t.Fatal(err)
	}
	s.wantRestored()
	if _, err := net.Dial("tcp", s.dump.tcp); err == nil {
		t.Error("it still listens")
	}
}

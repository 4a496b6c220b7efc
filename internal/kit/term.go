package kit

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A terminal is a tmux with the program in it.
type terminal struct {
	t      *testing.T
	Socket string
	State  string // XDG_STATE_HOME
}

// NewTerminal returns a terminal with nothing in it yet.
func NewTerminal(t *testing.T) *terminal {
	t.Helper()
	if testing.Short() {
		t.Skip("starts programs")
	}
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("no tmux: ", err)
	}
	dir, err := os.MkdirTemp("", "tmux") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, Socket: filepath.Join(dir, "s"), State: filepath.Join(dir, "state")}
	t.Cleanup(func() {
		term.Tmux("kill-server")
		os.RemoveAll(dir)
	})
	return term
}

func (term *terminal) Tmux(args ...string) string {
	cmd := exec.Command("tmux", append([]string{"-S", term.Socket, "-f", "/dev/null"}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// Run starts the program in a window of its own.
func (term *terminal) Run(args ...string) {
	term.t.Helper()
	script := `"$0" "$@"; echo "exit $?"; exec cat`
	command := []string{"new-session", "-d", "-x", "80", "-y", "24", "env", "XDG_STATE_HOME=" + term.State, "NO_COLOR=1", "TERM=xterm",
		"sh", "-c", script, Program(term.t)}
	if out := term.Tmux(append(command, args...)...); out != "" {
		term.t.Fatalf("tmux: %s", out)
	}
}

// Keys types the names of keys, as tmux has them.
func (term *terminal) Keys(keys ...string) { term.Tmux(append([]string{"send-keys"}, keys...)...) }

// Types types text as it is.
func (term *terminal) Types(text string) { term.Tmux("send-keys", "-l", "--", text) }

// Paste pastes text, marked as such.
func (term *terminal) Paste(text string) {
	name := filepath.Join(term.t.TempDir(), "paste")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		term.t.Fatal(err)
	}
	term.Tmux("load-buffer", name)
	term.Tmux("paste-buffer", "-p")
}

// text is the screen with what has left it at the top.
func (term *terminal) text() string {
	if term == nil {
		return ""
	}
	return strings.TrimRight(term.Tmux("capture-pane", "-p", "-S", "-"), "\n")
}

// Shows waits until the screen, with what has left it at the top, matches.
func (term *terminal) Shows(pattern string) {
	term.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	deadline := time.Now().Add(Patience)
	for {
		screen := term.text()
		if re.MatchString(screen) {
			return
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("the screen never shows %s; it is\n%s", pattern, screen)
		}
	}
}
